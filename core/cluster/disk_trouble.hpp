// When a storage node whose disk fails writes takes new blobs again. Pure: time comes in as an argument.
//
// One write that fails makes the node read-only for new blobs, because the next one would go to the same disk while another
// node may have a good one. What is under way goes on: some of it may be finished. After a wait the disk is tried. If writes
// still fail then, the wait doubles; bytes that become durable end the trouble.
//
// The trial is the node's own. To let one new blob through for it was refused: a blob needs other nodes, too, and two of them
// with bad disks would each refuse what the other tries with, for ever.
//
// Bytes that become durable during the wait end nothing: a disk that fails every tenth write would be given new blobs again
// a moment after each failure. Nor does a promise of space, which is a record: it may be the files that cannot be written.
#pragma once

#include "core/units.hpp"

#include <cstdint>

namespace latham {

class disk_trouble {
public:
  static constexpr milliseconds wait_first{30'000};
  static constexpr milliseconds wait_max{600'000};

  enum class change : std::uint8_t { none, begins, goes_on, ends };

  /// A write failed, and not for want of space.
  change on_failed(instant now);
  /// Bytes that were handed to the disk at `begun` are durable.
  change on_written(instant begun);

  /// New blobs are to be refused.
  [[nodiscard]] bool is_there() const noexcept { return there_; }
  /// The wait is over: the disk is to be tried now. Once; should nobody hear how that ends, again as much later.
  [[nodiscard]] bool may_try(instant now);
  /// From a failure that counted to the next trial.
  [[nodiscard]] milliseconds wait() const noexcept { return wait_; }

private:
  bool there_ = false;
  milliseconds wait_{};
  instant tried_from_;  // writes since then tell
  instant next_;        // trial
};

}  // namespace latham
