// Blobs: write once, in order, then sealed; named by id, verified by digest (core/digest.hpp: tree of 1 MiB blocks).
// Local files, a remote node and (later) an S3-like service are this same port; tests/integration/blob_store_contract
// runs one contract against all of them. An S3-like store has no append and no rename: `append` may be buffered there,
// but a durable length that was answered stays true.
//
// Life of a blob: reserve (space promised, token valid) -> open_write -> append* -> seal -> read* -> remove (tombstone).
#pragma once

#include "core/buffer.hpp"
#include "core/digest.hpp"
#include "core/ids.hpp"
#include "core/ports/completion.hpp"

#include <cstdint>
#include <vector>

namespace latham::ports {

inline constexpr std::uint32_t append_bytes_max = 1 * 1024 * 1024;
inline constexpr std::uint32_t read_bytes_max = 4 * 1024 * 1024;

/// The right to write one blob. Granted by the storage actor, checked by the store; whoever holds the newest token is
/// the only writer. A newer token for the same blob fences the older one.
struct write_token {
  blob_id blob;
  std::uint64_t nonce = 0;      // unguessable
  std::uint64_t bytes_max = 0;  // reserved space; appends beyond it fail with errc::too_large
  friend bool operator==(const write_token&, const write_token&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, write_token& x) {
  return f(x.blob, x.nonce, x.bytes_max);
}

struct blob_stat {
  blob_id blob;
  std::uint64_t bytes = 0;  // durable
  bool sealed = false;
  sha256_digest digest;     // only when sealed
  std::uint64_t bytes_reserved = 0;  // only while not sealed
  friend bool operator==(const blob_stat&, const blob_stat&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, blob_stat& x) {
  return f(x.blob, x.bytes, x.sealed, x.digest, x.bytes_reserved);
}

class blob_store {
public:
  virtual ~blob_store() = default;

  /// Promises space for a new blob, or hands an existing unsealed one to a new token (fencing the old). Durable when
  /// completed. Fails with disk_full when the promise cannot be kept, conflict when the blob is sealed or tombstoned.
  virtual void reserve(write_token token, completion<void> done) = 0;

  /// Answers the durable length, where the next append must start. Bytes past it, left by a crash, are gone.
  virtual void open_write(write_token token, completion<std::uint64_t> done) = 0;

  /// Adds 1..append_bytes_max bytes whose CRC-32C is `crc`. Completes with the durable length, after fsync. Several may
  /// be under way; they are applied in call order and may share one fsync. Fails with offset_mismatch (the error changes
  /// nothing), corrupt (checksum), fenced, too_large, disk_full, limited (too many under way: wait for one), io.
  virtual void append(write_token token, std::uint64_t offset, buffer bytes, std::uint32_t crc, completion<std::uint64_t> done) = 0;

  /// Drops bytes past `bytes` of an unsealed blob.
  virtual void truncate(write_token token, std::uint64_t bytes, completion<void> done) = 0;

  /// Makes the blob immutable and durable, and answers its stat. Fails with conflict when it does not hold exactly
  /// `bytes` bytes. Sealing a blob that is sealed with the same length answers the same stat.
  virtual void seal(write_token token, std::uint64_t bytes, completion<blob_stat> done) = 0;

  /// Up to read_bytes_max bytes; shorter only at the end. An unsealed blob can be read up to its durable length. Fails
  /// with not_found, bad_range (offset past the end), corrupt, io.
  virtual void read(blob_id blob, std::uint64_t offset, std::uint32_t bytes, completion<buffer> done) = 0;

  virtual void stat(blob_id blob, completion<blob_stat> done) = 0;

  /// Deletes, and remembers that the id is dead so that a late write is refused. Idempotent; unknown ids succeed.
  virtual void remove(blob_id blob, completion<void> done) = 0;

  /// Up to `limit` (1..1000) blobs with ids greater than `after`, in id order.
  virtual void list(blob_id after, std::uint32_t limit, completion<std::vector<blob_stat>> done) = 0;
};

}  // namespace latham::ports
