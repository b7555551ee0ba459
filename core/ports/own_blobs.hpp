// The blobs on this node's own disk, with what only their keeper may do to them. No other node can ask for any of it, so
// none of it is on the wire: a peer may delete a blob everywhere, but not quietly take away one node's copy.
#pragma once

#include "core/ports/blob_store.hpp"

namespace latham::ports {

/// Numbers are wire format.
enum class blob_presence : std::uint8_t {
  missing = 0,  // never here, or given up
  open = 1,     // being written
  sealed = 2,
  dead = 3,     // deleted, and known to be
};

/// What this disk knows of a blob, told apart where `stat` says not_found.
struct blob_look {
  blob_presence presence = blob_presence::missing;
  blob_stat about;  // of open and sealed ones
  friend bool operator==(const blob_look&, const blob_look&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, blob_look& x) {
  return f(x.presence, x.about);
}

inline constexpr std::size_t looks_max = 1'000;

class own_blobs : public blob_store {
public:
  virtual void look(blob_id blob, completion<blob_look> done) = 0;

  /// The same of many at once, at most looks_max: one answer for each, in their order. Fails when one of them cannot be read.
  virtual void look_all(std::vector<blob_id> blobs, completion<std::vector<blob_look>> done) = 0;

  /// Reads the first block of each, at most looks_max of them, and answers what such a read would fail with, in their order:
  /// errc::none for what is whole, corrupt for what is damaged. For blobs of one block, in one operation.
  virtual void check_all(std::vector<blob_id> blobs, completion<std::vector<errc>> done) = 0;

  /// Gives up this copy without a tombstone: the id may be reserved again. For a copy that others hold, never for a delete.
  /// Unknown ids succeed. Fails with conflict for a dead one: its tombstone stays.
  virtual void drop(blob_id blob, completion<void> done) = 0;

  /// Writes one block of a sealed blob anew, in place; `offset` is a multiple of blob_block_bytes, and `bytes` are all of the
  /// block. Taken only when they match the digest that was recorded for the block, so the blob can become whole by it and
  /// nothing else. Durable when completed. Fails with corrupt (other bytes), invalid_argument (no such block), conflict (not
  /// sealed), not_found, disk_full, io.
  virtual void mend(blob_id blob, std::uint64_t offset, buffer bytes, completion<void> done) = 0;

  /// Whether a new blob would be taken just now; fails with unavailable while the disk is in trouble. Answers at once, from
  /// memory, so that nothing has to be written before it is refused. To be asked now and then: it is what makes a disk in
  /// trouble be tried again. Any thread.
  [[nodiscard]] virtual expected<void> takes_new() { return {}; }
};

}  // namespace latham::ports
