// The scheduler's typed writes as a batch for the key-value store, and back. Pure.
#pragma once

#include "core/ports/kv_store.hpp"
#include "core/scheduler/scheduler.hpp"

namespace latham::store {

/// Appends the writes to `batch`, in order.
void append_writes(const std::vector<scheduler_write>& writes, ports::kv_batch& batch);

/// Feeds one stored pair to the scheduler under construction. Keys of other owners are ignored; a damaged or newer
/// record is an error, because a scheduler that skips one would do the work of others again.
[[nodiscard]] expected<void> load_pair(const std::string& key, const std::string& value, scheduler& into);

/// The newest epoch a database has seen; zero for an empty one.
[[nodiscard]] expected<epoch> read_meta(const std::optional<std::string>& value);

}  // namespace latham::store
