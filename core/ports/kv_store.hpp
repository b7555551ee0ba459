// The key-value store that holds every record. Production: RocksDB behind one writer thread with group commit.
// Memory twin and simulation: a map that forgets what was not synced.
#pragma once

#include "core/ports/completion.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace latham::ports {

struct kv_write {
  std::string key;                    // 1..512 bytes
  std::optional<std::string> value;   // nothing: delete. 1 MiB at most
  friend bool operator==(const kv_write&, const kv_write&) = default;
};
using kv_batch = std::vector<kv_write>;
using kv_pairs = std::vector<std::pair<std::string, std::string>>;

/// What a batch counts for wherever bytes that wait are limited: keys, values, and what each write costs around them.
[[nodiscard]] inline std::size_t bytes_of(const kv_batch& batch) noexcept {
  std::size_t bytes = 0;
  for (const auto& write : batch) bytes += write.key.size() + (write.value ? write.value->size() : 0) + 16;
  return bytes;
}

class kv_store {
public:
  virtual ~kv_store() = default;

  /// Applies the batch atomically and completes when it is durable against power loss. Batches become durable, and
  /// complete, in call order. Fails with errc::limited when too many or too much is waiting, disk_full, io; after io the
  /// store refuses all further commits (what is durable is unknown: the owner must restart). And with too_large when the
  /// batch is more than the store ever takes at once (64 MiB in production), however often it is tried. Any thread.
  virtual void commit(kv_batch batch, completion<void> done) = 0;

  /// Completes, never with an error, once every commit that was taken before the call has completed; one that is refused writes
  /// nothing. Who reads what an earlier owner of the records has written waits for this first: the last commits of an actor that
  /// ended are still on their way, and would change on the disk what its successor has read already. Never refused, and not
  /// counted as waiting: each owner calls it once, when it begins. Any thread.
  virtual void barrier(completion<void> done) = 0;

  /// The value of `key` as of all commits that completed before the call.
  virtual void get(std::string key, completion<std::optional<std::string>> done) = 0;

  /// Up to `limit` (1..1000) pairs whose keys start with `prefix` and are greater than `after`, in key order.
  virtual void scan(std::string prefix, std::string after, std::uint32_t limit, completion<kv_pairs> done) = 0;
};

}  // namespace latham::ports
