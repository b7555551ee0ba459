// Every message and every typed interface between actors, in one file. Names on the wire are the names given here: they
// are stable over releases. Additions are safe (a server may offer more than a client asks for); changes are new names.
//
// Limits: a control message is at most control_message_bytes_max; lists travel in batches of batch_max. Media bytes never
// travel here. Enums from a peer are not range-checked by CAF: whoever stores or switches on one validates it first.
#pragma once

#include "core/cluster/leave.hpp"
#include "core/cluster/protocol_versions.hpp"
#include "core/cluster/shard_claim.hpp"
#include "core/ports/own_blobs.hpp"
#include "core/scheduler/scheduler.hpp"
#include "core/upload/uploads.hpp"

#include <caf/all.hpp>

#include <functional>
#include <string>
#include <vector>

namespace latham {

// ---- Values ----------------------------------------------------------------------------------------------------------

/// First words on a link. A peer is Up only after it answered with one of these.
struct hello {
  node_name node;
  std::uint64_t incarnation = 0;       // drawn at process start: tells a restarted node from its old self
  std::uint16_t protocol = 4;          // the newest that the node speaks: core/cluster/protocol_versions
  std::string engine;
  std::uint64_t services_revision = 0; // grows when a service of the node (re)starts: resolve again
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, hello& x) {
  return f(x.node, x.incarnation, x.protocol, x.engine, x.services_revision);
}

/// The right to send the bytes of an upload.
struct upload_ticket {
  video_view view;
  ports::write_token token;
  node_name store;
  std::uint64_t offset = 0;  // durable so far
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, upload_ticket& x) {
  return f(x.view, x.token, x.store, x.offset);
}

/// The right to write one output blob.
struct output_ticket {
  ports::write_token token;
  node_name store;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, output_ticket& x) {
  return f(x.token, x.store);
}

/// What a scheduler answers to a request for work. The leases themselves come when they are durable.
struct work_answer {
  std::uint32_t granted = 0;
  std::uint32_t waiting = 0;  // tasks that this worker could run, beyond those
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, work_answer& x) {
  return f(x.granted, x.waiting);
}

/// What a scheduler is responsible for.
struct shard_info {
  std::vector<std::uint16_t> shards;
  bool takes_uploads = true;  // false: new videos go to others, it is being emptied
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, shard_info& x) {
  return f(x.shards, x.takes_uploads);
}


/// What a storage node keeps, for one that has lost its disk.
struct kept_claims {
  bool blank = false;               // has lost its own, and does not know yet what was deleted
  bool known = true;                // these are all; else it has lost its disk, or had an earlier one, and asks itself
  std::vector<shard_claim> claims;  // ascending; as many as fit: more from the last one's successor on
  std::uint64_t disk = 0;            // its own
  std::vector<storage_disk> disks = {};  // of the others, as it knows them
  friend bool operator==(const kept_claims&, const kept_claims&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, kept_claims& x) {
  return f(x.blank, x.known, x.claims, x.disk, x.disks);
}
inline constexpr std::size_t claims_max = 256;     // in one message

/// Some of a shard's records, on their way from the scheduler that gives it away to the one that gets it. A page with number 0
/// begins anew.
struct shard_page {
  std::uint16_t shard = 0;
  predecessor giver = {};
  std::uint32_t attempt = 0;        // of that life of it; what is left of earlier ones on some link counts no more
  std::uint32_t number = 0;
  bool last = false;
  std::vector<video_record> videos;
  std::vector<task_record> tasks;
  friend bool operator==(const shard_page&, const shard_page&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, shard_page& x) {
  return f(x.shard, x.giver, x.attempt, x.number, x.last, x.videos, x.tasks);
}
inline constexpr std::uint32_t shard_page_videos = 32;
inline constexpr std::uint32_t shard_page_tasks = 256;

/// The page is durable. `conflict`: it is not the one that was expected; begin anew.
struct adopt_answer {
  errc code = errc::none;
  std::uint64_t incarnation = 0;    // of the receiver
  friend bool operator==(const adopt_answer&, const adopt_answer&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, adopt_answer& x) {
  return f(x.code, x.incarnation);
}

/// How far the hand-over of a shard is.
struct hand_over_answer {
  bool done = false;                // the storage nodes know the other one as its scheduler
  std::uint64_t leases = 0;         // that still run: it waits for them, for a while
  std::uint64_t records = 0;        // sent
  std::string what;                 // is done now, or why it cannot be
  friend bool operator==(const hand_over_answer&, const hand_over_answer&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, hand_over_answer& x) {
  return f(x.done, x.leases, x.records, x.what);
}

using errc_list = std::vector<errc>;
using bool_list = std::vector<std::uint8_t>;
using grant_list = std::vector<work_grant>;
using renewal_list = std::vector<lease_renewal>;
using commit_list = std::vector<task_commit>;
using output_list = std::vector<output_ref>;
using blob_list = std::vector<blob_id>;
using view_list = std::vector<video_view>;
using look_list = std::vector<ports::blob_look>;
using upload_list = std::vector<upload_record>;
using mark_list = std::vector<upload_mark>;
inline constexpr std::uint32_t marks_max = 500;    // in one message
inline constexpr std::size_t uploads_max = 16;     // records in one message: each has a recipe in it

/// Work for an actor from its own completions and timers. Local only: it has no wire form.
struct local_call {
  std::function<void()> run;
};

/// A service of some node came, went (null) or was replaced. Local only.
struct service_change {
  std::string service;
  node_name node;
  caf::strong_actor_ptr handle;
};

}  // namespace latham

namespace latham {

/// The same 32 bytes on the wire as one by one, at an eighth of CAF's steps: lists of copies are mostly digests.
caf::error inspect(caf::serializer& f, sha256_digest& x);
caf::error inspect(caf::deserializer& f, sha256_digest& x);

}  // namespace latham

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(latham::local_call)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(latham::service_change)

// ---- Type ids --------------------------------------------------------------------------------------------------------

CAF_BEGIN_TYPE_ID_BLOCK(latham, first_custom_type_id)
  CAF_ADD_TYPE_ID(latham, (latham::video_id))
  CAF_ADD_TYPE_ID(latham, (latham::blob_id))
  CAF_ADD_TYPE_ID(latham, (latham::epoch))
  CAF_ADD_TYPE_ID(latham, (latham::errc))
  CAF_ADD_TYPE_ID(latham, (latham::hello))
  CAF_ADD_TYPE_ID(latham, (latham::upload_request))
  CAF_ADD_TYPE_ID(latham, (latham::upload_ticket))
  CAF_ADD_TYPE_ID(latham, (latham::output_ticket))
  CAF_ADD_TYPE_ID(latham, (latham::video_view))
  CAF_ADD_TYPE_ID(latham, (latham::media_ready))
  CAF_ADD_TYPE_ID(latham, (latham::work_request))
  CAF_ADD_TYPE_ID(latham, (latham::work_grant))
  CAF_ADD_TYPE_ID(latham, (latham::lease_renewal))
  CAF_ADD_TYPE_ID(latham, (latham::plan_page))
  CAF_ADD_TYPE_ID(latham, (latham::task_commit))
  CAF_ADD_TYPE_ID(latham, (latham::task_failure))
  CAF_ADD_TYPE_ID(latham, (latham::output_ref))
  CAF_ADD_TYPE_ID(latham, (latham::output_page))
  CAF_ADD_TYPE_ID(latham, (latham::errc_list))
  CAF_ADD_TYPE_ID(latham, (latham::bool_list))
  CAF_ADD_TYPE_ID(latham, (latham::grant_list))
  CAF_ADD_TYPE_ID(latham, (latham::renewal_list))
  CAF_ADD_TYPE_ID(latham, (latham::commit_list))
  CAF_ADD_TYPE_ID(latham, (latham::output_list))
  CAF_ADD_TYPE_ID(latham, (latham::blob_list))
  CAF_ADD_TYPE_ID(latham, (latham::view_list))
  CAF_ADD_TYPE_ID(latham, (latham::work_answer))
  CAF_ADD_TYPE_ID(latham, (latham::shard_info))
  CAF_ADD_TYPE_ID(latham, (latham::claim_request))
  CAF_ADD_TYPE_ID(latham, (latham::claim_answer))
  CAF_ADD_TYPE_ID(latham, (latham::look_list))
  CAF_ADD_TYPE_ID(latham, (latham::upload_list))
  CAF_ADD_TYPE_ID(latham, (latham::mark_list))
  CAF_ADD_TYPE_ID(latham, (latham::leave_report))
  CAF_ADD_TYPE_ID(latham, (latham::kept_claims))
  CAF_ADD_TYPE_ID(latham, (latham::shard_page))
  CAF_ADD_TYPE_ID(latham, (latham::adopt_answer))
  CAF_ADD_TYPE_ID(latham, (latham::hand_over_answer))

  CAF_ADD_ATOM(latham, latham, resolve_atom, "resolve")
  CAF_ADD_ATOM(latham, latham, begin_atom, "begin")
  CAF_ADD_ATOM(latham, latham, resume_atom, "resume")
  CAF_ADD_ATOM(latham, latham, finish_atom, "finish")
  CAF_ADD_ATOM(latham, latham, abort_atom, "abort")
  CAF_ADD_ATOM(latham, latham, forget_atom, "forget")
  CAF_ADD_ATOM(latham, latham, output_atom, "output")
  CAF_ADD_ATOM(latham, latham, verify_atom, "verify")
  CAF_ADD_ATOM(latham, latham, remove_atom, "remove")
  CAF_ADD_ATOM(latham, latham, find_atom, "find")
  CAF_ADD_ATOM(latham, latham, list_atom, "list")
  CAF_ADD_ATOM(latham, latham, retry_atom, "retry")
  CAF_ADD_ATOM(latham, latham, outputs_atom, "outputs")
  CAF_ADD_ATOM(latham, latham, unused_atom, "unused")
  CAF_ADD_ATOM(latham, latham, storage_up_atom, "storageup")
  CAF_ADD_ATOM(latham, latham, later_disk_atom, "laterdisk")
  CAF_ADD_ATOM(latham, latham, listen_atom, "listen")
  CAF_ADD_ATOM(latham, latham, shards_atom, "shards")
  CAF_ADD_ATOM(latham, latham, again_atom, "again")
  CAF_ADD_ATOM(latham, latham, have_atom, "have")
  CAF_ADD_ATOM(latham, latham, keep_atom, "keep")
  CAF_ADD_ATOM(latham, latham, marks_atom, "marks")
  CAF_ADD_ATOM(latham, latham, leave_atom, "leave")
  CAF_ADD_ATOM(latham, latham, recall_atom, "recall")
  CAF_ADD_ATOM(latham, latham, names_atom, "names")
  CAF_ADD_ATOM(latham, latham, adopt_atom, "adopt")
  CAF_ADD_ATOM(latham, latham, handover_atom, "handover")
  CAF_ADD_ATOM(latham, latham, rules_atom, "rules")
  CAF_ADD_ATOM(latham, latham, fetch_atom, "fetch")
CAF_END_TYPE_ID_BLOCK(latham)

namespace latham {

// ---- Interfaces ------------------------------------------------------------------------------------------------------

/// The one published actor of a node; its two messages are frozen for ever. `resolve` answers null for a service that
/// this node does not run (or not in that version).
using node_root_actor = caf::typed_actor<
  caf::replies_to<hello>::with<hello>,
  caf::replies_to<resolve_atom, std::string, std::uint16_t>::with<caf::strong_actor_ptr>>;

inline constexpr const char* service_storage = "storage";
inline constexpr const char* service_scheduler = "scheduler";
/// A scheduler from its start on, before it owns its shard and has loaded it: where storage nodes make themselves known.
inline constexpr const char* service_claimant = "claimant";
/// Of this node alone, no peer asks for it: who waits until the worker is drained. The worker sends it a caf::unit then. Withdrawn:
/// it has waited long enough, and what still runs is to be handed back.
inline constexpr const char* service_drain = "drain";

using storage_actor = caf::typed_actor<
  caf::replies_to<begin_atom, upload_request>::with<upload_ticket>,
  caf::replies_to<resume_atom, video_id>::with<upload_ticket>,
  caf::replies_to<finish_atom, video_id, std::uint64_t>::with<video_view>,
  caf::replies_to<abort_atom, video_id>::with<bool>,
  /// Deletes the source and keeps a tombstone; unknown ids succeed.
  caf::replies_to<forget_atom, video_id>::with<bool>,
  caf::replies_to<output_atom, video_id, std::uint64_t>::with<output_ticket>,
  /// One flag per output: sealed here with that length and digest.
  caf::replies_to<verify_atom, output_list>::with<bool_list>,
  caf::replies_to<remove_atom, blob_list>::with<bool>,
  caf::replies_to<find_atom, video_id>::with<video_view>,
  /// Not yet known to the scheduler; newest first, ids less than the given one.
  caf::replies_to<list_atom, std::string, video_id, std::uint32_t>::with<view_list>,
  caf::replies_to<claim_request>::with<claim_answer>,
  /// Every complete upload of this shard is to be announced again. Answered when that is durable.
  caf::replies_to<again_atom, std::uint16_t>::with<bool>,
  // ---- Of storage nodes among one another
  /// Another storage node, with a disk that was begun then, is there: the one that dialed makes itself known to the one that was
  /// dialed, and both say which disk they have (core/cluster/shard_claim).
  caf::reacts_to<storage_up_atom, node_name, std::uint64_t, caf::strong_actor_ptr>,
  /// The answer to one whose disk is not the latest of its name: when that was begun.
  caf::reacts_to<later_disk_atom, std::uint64_t>,
  /// What is on this node's own disk, one answer per blob.
  caf::replies_to<have_atom, blob_list>::with<look_list>,
  /// Keep these records of complete and removed uploads, too. Answered when they are durable. Idempotent.
  caf::replies_to<keep_atom, upload_list>::with<bool>,
  /// What became of the uploads with ids greater than the given one, ascending, marks_max at most.
  caf::replies_to<marks_atom, video_id>::with<mark_list>,
  /// Whether this node may be switched off for good. Once it may, it takes nothing new any more.
  caf::replies_to<leave_atom>::with<leave_report>,
  /// The claims that it keeps, of this shard and greater ones.
  caf::replies_to<recall_atom, std::uint16_t>::with<kept_claims>,
  /// One flag per blob: a record here names it, as a source or as an output.
  caf::replies_to<names_atom, blob_list>::with<bool_list>,
  /// Its records of these uploads, of at most uploads_max: those that are complete here.
  caf::replies_to<fetch_atom, mark_list>::with<upload_list>,
  /// The digest of how it places copies (core/cluster/placement).
  caf::replies_to<rules_atom>::with<std::uint64_t>,
  /// Passes a page, or a wish, on to that scheduler: schedulers have no links among one another.
  caf::replies_to<adopt_atom, node_name, shard_page>::with<adopt_answer>,
  caf::replies_to<handover_atom, node_name, std::uint16_t, node_name>::with<hand_over_answer>>;

/// Who wants to hear of changes: a gateway.
using event_sink = caf::typed_actor<caf::reacts_to<video_view>>;

/// Who takes leases.
using worker_actor = caf::typed_actor<caf::reacts_to<grant_list>>;

using scheduler_actor = caf::typed_actor<
  caf::replies_to<media_ready>::with<errc>,
  caf::reacts_to<storage_up_atom, node_name, caf::strong_actor_ptr>,
  caf::replies_to<work_request, caf::strong_actor_ptr>::with<work_answer>,
  caf::replies_to<shards_atom>::with<shard_info>,
  caf::replies_to<renewal_list>::with<errc_list>,
  caf::replies_to<plan_page>::with<errc>,
  caf::replies_to<commit_list>::with<errc_list>,
  caf::replies_to<task_failure>::with<errc>,
  caf::replies_to<find_atom, video_id>::with<video_view>,
  caf::replies_to<list_atom, std::string, video_id, std::uint32_t>::with<view_list>,
  caf::replies_to<remove_atom, video_id>::with<bool>,
  caf::replies_to<retry_atom, video_id>::with<video_view>,
  caf::replies_to<outputs_atom, video_id, std::uint32_t>::with<output_page>,
  caf::replies_to<unused_atom, video_id, blob_list>::with<blob_list>,
  caf::reacts_to<listen_atom, caf::strong_actor_ptr>,
  caf::replies_to<adopt_atom, shard_page>::with<adopt_answer>,
  /// Gives a shard to another scheduler. Asked again and again, until it is done.
  caf::replies_to<handover_atom, std::uint16_t, node_name>::with<hand_over_answer>,
  caf::replies_to<leave_atom>::with<leave_report>>;

// ---- Errors ----------------------------------------------------------------------------------------------------------

/// Our errors inside CAF's, and back. CAF's own (a lost peer, a timeout) become unavailable or timeout.
[[nodiscard]] caf::error to_caf(const error& e);
[[nodiscard]] error from_caf(const caf::error& e);

}  // namespace latham
