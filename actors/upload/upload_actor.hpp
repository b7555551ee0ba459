// One upload in progress, as the gateway sees it. Soft state: what is durable lives at storage, so when this actor or the
// whole gateway dies the offset is asked for again and nothing is lost. It ends when the upload is finished, abandoned,
// or silent for too long.
#pragma once

#include "actors/env.hpp"
#include "actors/protocol.hpp"

namespace latham {

using upload_actor = caf::typed_actor<
  caf::replies_to<finish_atom, std::uint64_t>::with<video_view>,
  caf::replies_to<abort_atom>::with<bool>,
  /// Storage has a new handle.
  caf::reacts_to<storage_up_atom, node_name, caf::strong_actor_ptr>>;

[[nodiscard]] upload_actor spawn_upload(caf::local_actor* parent, const env& e, video_id video, storage_actor storage);

}  // namespace latham
