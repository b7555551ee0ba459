// What a storage node remembers about a blob, and the rules that every local store applies to it. Pure: the file store
// and its memory twin share this file, so they cannot disagree about who may write what.
//
// Schema (all values are records of core/codec.hpp):
//   blob/<id>               blob_record: state, newest token, durable length, digest when sealed
//   block/<id>/<page, 8 hex digits>  block_page: SHA-256 of up to 64 consecutive *complete* 1 MiB blocks; after the seal
//                           also of the last, shorter one. Written in the same batch as the length it belongs to, so a
//                           digest resumes after a crash from at most 1 MiB of the file, and any range can be verified.
#pragma once

#include "core/digest.hpp"
#include "core/ids.hpp"
#include "core/ports/own_blobs.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace latham::store {

/// Numbers are disk format.
enum class blob_state : std::uint8_t {
  open = 0,    // space promised, the newest token may write
  sealed = 1,  // immutable
  dead = 2,    // a tombstone: late writes are refused
};

struct blob_record {
  static constexpr std::uint8_t record_format = 1;
  blob_state state = blob_state::open;
  std::uint64_t nonce = 0;      // of the newest token
  std::uint64_t bytes_max = 0;  // promised
  std::uint64_t bytes = 0;      // durable
  sha256_digest digest;         // when sealed
  friend bool operator==(const blob_record&, const blob_record&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, blob_record& x) {
  return f(x.state, x.nonce, x.bytes_max, x.bytes, x.digest);
}

inline constexpr std::uint64_t page_blocks = 64;

struct block_page {
  static constexpr std::uint8_t record_format = 1;
  std::vector<sha256_digest> blocks;
  friend bool operator==(const block_page&, const block_page&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, block_page& x) {
  return f(x.blocks);
}

inline constexpr std::string_view blob_key_prefix = "blob/";
[[nodiscard]] std::string blob_key(blob_id blob);
/// Fails with errc::corrupt when `key` is no blob's.
[[nodiscard]] expected<blob_id> blob_of_key(std::string_view key);
[[nodiscard]] std::string block_pages_prefix(blob_id blob);
[[nodiscard]] std::string block_page_key(blob_id blob, std::uint64_t page);

/// Reads a blob record and checks what the codec cannot: the state is known and the length fits the promise.
[[nodiscard]] expected<blob_record> read_blob_record(std::string_view bytes);

[[nodiscard]] ports::blob_stat stat_of(blob_id blob, const blob_record& record);

/// `record` may be null.
[[nodiscard]] ports::blob_look look_of(blob_id blob, const blob_record* record);

/// What a blob takes of a disk.
struct blob_space {
  std::uint64_t held = 0;      // bytes that are there
  std::uint64_t promised = 0;  // and those that may still be written
  friend bool operator==(const blob_space&, const blob_space&) = default;
};
[[nodiscard]] blob_space space_of(const blob_record& record);

/// What all blobs of a disk take, kept by the changes of their records. `blob_record{}` stands for one that is not there.
class space_account {
public:
  void change(const blob_record& before, const blob_record& after);
  [[nodiscard]] const blob_space& all() const noexcept { return all_; }

private:
  blob_space all_;
};

/// Whether [offset, offset + size) is one whole block of a sealed blob. Fails with not_found (null, dead), conflict (open),
/// invalid_argument.
[[nodiscard]] expected<void> check_mend(const blob_record* record, std::uint64_t offset, std::uint64_t size);

/// What a reservation makes of the record there is (nothing: `existing` is null). Fails with invalid_argument (nil id, no
/// bytes, less than is already there) and conflict (sealed, dead).
[[nodiscard]] expected<blob_record> reserved_record(const blob_record* existing, const ports::write_token& token);

/// Whether `token` may change the blob. Fails with not_found (`record` is null), conflict (sealed, dead), fenced.
[[nodiscard]] expected<void> check_writer(const blob_record* record, const ports::write_token& token);

/// The limits and checksum of one append, before anything is queued. Fails with invalid_argument, too_large, corrupt.
[[nodiscard]] expected<void> check_append_bytes(const buffer& bytes, std::uint32_t crc);

/// Whether `size` bytes may be added at `offset` when `accepted` bytes were taken so far. Fails as check_writer does, and
/// with offset_mismatch, too_large.
[[nodiscard]] expected<void> check_append(const blob_record* record, const ports::write_token& token, std::uint64_t accepted,
                                          std::uint64_t offset, std::uint64_t size);

/// The part of [offset, offset + bytes) that exists. Fails with invalid_argument (zero or above read_bytes_max) and
/// bad_range (offset past the end; the end itself gives no bytes).
[[nodiscard]] expected<std::uint32_t> readable_bytes(std::uint64_t durable, std::uint64_t offset, std::uint32_t bytes);

/// The tree digest of core/digest.hpp, in a form that can be put down and taken up again at any complete block.
class block_digests {
public:
  block_digests() = default;
  /// Takes up after `complete` whole blocks; the bytes of the unfinished one are fed again by the caller.
  explicit block_digests(std::vector<sha256_digest> complete) : blocks_{std::move(complete)} {}

  void update(std::span<const std::uint8_t> bytes);
  [[nodiscard]] std::uint64_t bytes() const noexcept { return blocks_.size() * blob_block_bytes + in_block_; }
  /// Complete blocks so far.
  [[nodiscard]] const std::vector<sha256_digest>& complete() const noexcept { return blocks_; }
  /// All block digests with the last, shorter one. Does not change the object.
  [[nodiscard]] std::vector<sha256_digest> all() const;

  [[nodiscard]] static sha256_digest root(std::span<const sha256_digest> blocks);

private:
  std::vector<sha256_digest> blocks_;
  sha256 current_;
  std::uint64_t in_block_ = 0;
};

}  // namespace latham::store
