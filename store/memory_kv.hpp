// The memory twin of ports::kv_store: a map, for tests and for the simulation. It keeps the contract to the letter, above
// all the awkward part: what was not completed before a power cut may be there afterwards or not, but always a prefix of
// the commits and each one whole.
//
// Deterministic: it has no thread and no clock; every completion goes through `run_later`. It must not be used where bytes
// have to survive the process.
#pragma once

#include "core/ports/kv_store.hpp"
#include "store/run_later.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace latham::store {

inline constexpr std::size_t kv_key_bytes_max = 512;
inline constexpr std::size_t kv_value_bytes_max = 1024 * 1024;
inline constexpr std::uint32_t kv_scan_max = 1000;

/// Fails with invalid_argument when a key or value is outside the limits of the port. Keys that start with a zero byte
/// belong to the store itself.
[[nodiscard]] expected<void> check_batch(const ports::kv_batch& batch);

/// What waits for the disk, or may.
struct kv_queue {
  std::size_t commits = 0;
  std::size_t bytes = 0;
};

/// Whether a batch of `bytes` may wait as well. Fails with limited when there is no room for it now, and with too_large when
/// there would be none in an empty queue: that one is not to be tried again.
[[nodiscard]] expected<void> check_room(std::size_t bytes, const kv_queue& waiting, const kv_queue& most);

class memory_kv final : public ports::kv_store {
public:
  /// `most`: what would be more fails as `check_room` says.
  explicit memory_kv(run_later later, kv_queue most = {4096, 64 * mib});
  ~memory_kv() override;

  void commit(ports::kv_batch batch, ports::completion<void> done) override;
  void barrier(ports::completion<void> done) override;
  void get(std::string key, ports::completion<std::optional<std::string>> done) override;
  void scan(std::string prefix, std::string after, std::uint32_t limit, ports::completion<ports::kv_pairs> done) override;

  /// The power fails: nothing that is under way completes any more. The first `survivors` of the waiting commits had
  /// reached the disk all the same. The object is the disk: use it again for the node's next life.
  void power_cut(std::size_t survivors = 0);

  /// From now on every commit fails with `code` (errc::io stays for this life, as in production); none heals.
  void fail_commits(errc code);

  [[nodiscard]] std::size_t commits_waiting() const;
  /// What is durable now, for checkers.
  [[nodiscard]] std::map<std::string, std::string> contents() const;

private:
  struct state;
  std::shared_ptr<state> state_;  // shared with closures that may run after our destruction
};

}  // namespace latham::store
