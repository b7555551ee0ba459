// A node's own disk, behind the rule that a disk in trouble takes no new blobs (core/cluster/disk_trouble.hpp). It stands in
// front of the disk itself, below the copies, so that uploads, outputs and what other nodes push all come by it.
//
// Watched: every call that writes. A failure with errc::io begins the trouble, or makes it last; a full disk is no trouble, a
// delete helps there. Only `reserve` of a blob that is not here is ever refused, with errc::unavailable, upon which callers go
// to another node. Everything else goes through, also the promise for a blob that a writer comes back to.
//
// When the wait is over, whoever asks next for something new makes it try the disk with a blob of its own: a file is made,
// written, synced and given up. Its id is before all others, and lists begin behind it, so nobody else ever sees that blob;
// one that a crash left is given up at the next start.
//
// Nothing here is durable: a process that starts takes its disk for good. Any thread; a lock guards the rule and is never held
// while the disk is called.
#pragma once

#include "core/ports/clock.hpp"
#include "core/ports/log_sink.hpp"
#include "core/ports/metrics.hpp"
#include "core/ports/own_blobs.hpp"

#include <memory>

namespace latham::store {

/// What a disk in trouble is tried with: there for a moment, and in no list. Ids of others begin with the time when they were made.
inline constexpr blob_id trial_blob{0, 1};

struct guarded_blobs_options {
  ports::metrics* metrics = nullptr;  // these two outlive the store
  ports::log_sink* log = nullptr;
};

class guarded_blobs final : public ports::own_blobs {
public:
  /// `disk` and `clock` outlive this object and every call that it makes.
  guarded_blobs(ports::own_blobs& disk, const ports::clock& clock, guarded_blobs_options options = {});

  // Each as in the port.
  void reserve(ports::write_token token, ports::completion<void> done) override;
  void open_write(ports::write_token token, ports::completion<std::uint64_t> done) override;
  void append(ports::write_token token, std::uint64_t offset, buffer bytes, std::uint32_t crc,
              ports::completion<std::uint64_t> done) override;
  void truncate(ports::write_token token, std::uint64_t bytes, ports::completion<void> done) override;
  void seal(ports::write_token token, std::uint64_t bytes, ports::completion<ports::blob_stat> done) override;
  void read(blob_id blob, std::uint64_t offset, std::uint32_t bytes, ports::completion<buffer> done) override;
  void stat(blob_id blob, ports::completion<ports::blob_stat> done) override;
  void remove(blob_id blob, ports::completion<void> done) override;
  void list(blob_id after, std::uint32_t limit, ports::completion<std::vector<ports::blob_stat>> done) override;
  void look(blob_id blob, ports::completion<ports::blob_look> done) override;
  void look_all(std::vector<blob_id> blobs, ports::completion<std::vector<ports::blob_look>> done) override;
  void check_all(std::vector<blob_id> blobs, ports::completion<std::vector<errc>> done) override;
  void drop(blob_id blob, ports::completion<void> done) override;
  void mend(blob_id blob, std::uint64_t offset, buffer bytes, ports::completion<void> done) override;
  [[nodiscard]] expected<void> takes_new() override;

private:
  struct state;
  std::shared_ptr<state> state_;  // shared with completions of the disk
};

}  // namespace latham::store
