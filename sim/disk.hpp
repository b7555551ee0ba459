// A node's disk, which survives its processes: the memory twins of store/ behind wrappers that make disks as bad as they
// are. Slow, full, failing to read or to write, reading what is not what was written, for a moment or for good because a
// stored bit has turned, and at a power cut forgetting what was not synced, up to a point that the seed chooses.
//
// Every commit that became durable is shown to `watcher`s, also one that a power cut made durable without an answer.
#pragma once

#include "sim/events.hpp"
#include "sim/ledger.hpp"
#include "sim/trace.hpp"
#include "store/memory_blobs.hpp"
#include "store/memory_kv.hpp"

#include <deque>
#include <functional>
#include <map>
#include <memory>

namespace latham::sim {

class disk {
public:
  static constexpr std::uint64_t endless = 1ull << 40;  // bytes
  /// Of records that wait to become durable. A few dozens of theirs, as production's 64 MiB are a few hundred thousand, and not drawn,
  /// so that every run has to live with them.
  static constexpr std::size_t commit_bytes_waiting_max = 16 * 1024;
  static constexpr std::size_t commits_waiting_max = 4096;
  /// Sees a batch once it is durable.
  using watcher = std::function<void(const ports::kv_batch&)>;

  disk(events& time, trace& log, ledger& faults, std::uint32_t node, nanoseconds latency, std::uint64_t capacity_bytes, watcher watch, std::function<void()> lost);

  [[nodiscard]] ports::kv_store& records() noexcept { return *records_; }
  [[nodiscard]] ports::own_blobs& blobs() noexcept { return *blobs_; }
  /// Past all faults, at once: for checkers.
  [[nodiscard]] store::memory_blobs& blobs_as_they_are() noexcept { return *twin_blobs_; }
  [[nodiscard]] std::map<std::string, std::string> records_as_they_are() const { return twin_records_->contents(); }
  [[nodiscard]] std::size_t commits_waiting() const { return pending_.size(); }
  /// Appends of which a part reached the disk, so far.
  [[nodiscard]] std::uint64_t appends_torn() const noexcept { return appends_torn_; }
  /// Reservations that were refused because others had the space.
  [[nodiscard]] std::uint64_t had_no_space() const noexcept { return had_no_space_; }

  /// The process died or the power went: what was not synced may be gone.
  void cut();
  /// A new, empty disk.
  void lose();
  /// The same, and the old one is kept.
  void put_aside();
  /// The one that was put aside is in use again, and what is here now is lost. False: there is none.
  bool bring_back();

  /// Has as much space as anybody asks for, from now on.
  void grow();
  /// A bit of a stored byte turns, and stays so when the fault is over. Bites when the store finds it. False: no such byte.
  bool rot(std::size_t fault, blob_id blob, std::uint64_t offset);

  /// Calls it once, soon after the next append has come and before that is durable. Replaces what was to be called before.
  void when_appending(std::function<void()> then) { when_appending_ = std::move(then); }

  enum class ill : std::uint8_t { slow, read_error, write_error, blob_write_error, full, corrupt_read };
  void afflict(std::size_t fault, ill what, std::int64_t amount) { afflictions_.push_back({fault, what, amount}); }
  void heal(std::size_t fault) {
    std::erase_if(afflictions_, [fault](const affliction& a) { return a.fault == fault; });
  }
  /// A write failed in this life of the node, or a read did: it may have to end for it.
  [[nodiscard]] bool failed_in_this_life() const noexcept { return failed_; }
  void new_life() noexcept { failed_ = broken_ = false; }

private:
  class kv;
  class blob_files;
  struct affliction {
    std::size_t fault;
    ill what;
    std::int64_t amount;
  };

  [[nodiscard]] const affliction* find(ill what) const {
    for (const auto& a : afflictions_)
      if (a.what == what) return &a;
    return nullptr;
  }
  /// Whether the next operation has that trouble.
  [[nodiscard]] bool strikes(ill what);
  void bites(std::size_t fault);
  void found_damaged(blob_id blob);
  void later(std::function<void()> work);
  void make();
  void unplug();

  events& time_;
  trace& trace_;
  ledger& ledger_;
  const std::uint32_t node_;
  const nanoseconds latency_;
  std::uint64_t capacity_bytes_;
  const watcher watch_;
  const std::function<void()> lost_;
  std::unique_ptr<store::memory_kv> twin_records_;
  std::unique_ptr<store::memory_blobs> twin_blobs_;
  std::unique_ptr<store::memory_kv> records_aside_;
  std::unique_ptr<store::memory_blobs> blobs_aside_;
  std::unique_ptr<ports::kv_store> records_;
  std::unique_ptr<ports::own_blobs> blobs_;
  std::deque<std::shared_ptr<const ports::kv_batch>> pending_;  // handed to the twin, not yet durable; in order
  std::vector<affliction> afflictions_;
  std::map<blob_id, std::size_t> rotten_;  // and of which fault
  std::function<void()> when_appending_;
  std::uint64_t life_ = 0;
  std::uint64_t appends_torn_ = 0;
  std::uint64_t had_no_space_ = 0;
  bool tearing_ = false;  // whoever is killed now dies in the middle of an append
  bool broken_ = false;  // a write failed: what is durable is unknown, so nothing more is taken in this life
  bool failed_ = false;
};

}  // namespace latham::sim
