#include "store/blob_record.hpp"

#include "core/assert.hpp"
#include "core/codec.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace latham::store {

std::string blob_key(blob_id blob) {
  return std::string{blob_key_prefix} + to_string(blob);
}

expected<blob_id> blob_of_key(std::string_view key) {
  if (key.substr(0, blob_key_prefix.size()) == blob_key_prefix) {
    if (auto id = parse_id<blob_id>(key.substr(blob_key_prefix.size()))) return *id;
  }
  return {errc::corrupt, "a key of the blob index is not an id"};
}

std::string block_pages_prefix(blob_id blob) {
  return "block/" + to_string(blob) + "/";
}

std::string block_page_key(blob_id blob, std::uint64_t page) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%08llx", static_cast<unsigned long long>(page));
  return block_pages_prefix(blob) + digits;
}

expected<blob_record> read_blob_record(std::string_view bytes) {
  auto record = from_record<blob_record>(bytes);
  if (!record) return record;
  if (record->state > blob_state::dead || record->bytes > record->bytes_max)
    return {errc::corrupt, "a blob record holds impossible values"};
  return record;
}

ports::blob_stat stat_of(blob_id blob, const blob_record& record) {
  ports::blob_stat stat;
  stat.blob = blob;
  stat.bytes = record.bytes;
  stat.sealed = record.state == blob_state::sealed;
  if (stat.sealed) {
    stat.digest = record.digest;
  } else {
    stat.bytes_reserved = record.bytes_max;
  }
  return stat;
}

ports::blob_look look_of(blob_id blob, const blob_record* record) {
  if (record == nullptr) return {};
  switch (record->state) {
    case blob_state::open: return {ports::blob_presence::open, stat_of(blob, *record)};
    case blob_state::sealed: return {ports::blob_presence::sealed, stat_of(blob, *record)};
    case blob_state::dead: break;
  }
  return {ports::blob_presence::dead, {}};
}

blob_space space_of(const blob_record& record) {
  if (record.state == blob_state::dead) return {};
  return {record.bytes, record.state == blob_state::open ? record.bytes_max - record.bytes : 0};
}

void space_account::change(const blob_record& before, const blob_record& after) {
  const auto was = space_of(before), is = space_of(after);
  LATHAM_ASSERT(all_.held >= was.held && all_.promised >= was.promised);  // else something was given back that nobody had
  all_ = {all_.held - was.held + is.held, all_.promised - was.promised + is.promised};
}

expected<void> check_mend(const blob_record* record, std::uint64_t offset, std::uint64_t size) {
  if (record == nullptr || record->state == blob_state::dead) return {errc::not_found, "no such blob"};
  if (record->state != blob_state::sealed) return {errc::conflict, "the blob is not sealed"};
  if (offset % blob_block_bytes != 0 || offset >= record->bytes || size != std::min<std::uint64_t>(blob_block_bytes, record->bytes - offset))
    return {errc::invalid_argument, "what is mended is one whole block"};
  return {};
}

expected<blob_record> reserved_record(const blob_record* existing, const ports::write_token& token) {
  if (token.blob.is_nil() || token.bytes_max == 0) return {errc::invalid_argument, "a reservation names a blob and a size"};
  blob_record record;
  if (existing != nullptr) {
    if (existing->state != blob_state::open) return {errc::conflict, "the blob is sealed or deleted"};
    if (existing->bytes > token.bytes_max) return {errc::invalid_argument, "the blob already holds more than is reserved"};
    record = *existing;
  }
  record.nonce = token.nonce;
  record.bytes_max = token.bytes_max;
  return record;
}

expected<void> check_writer(const blob_record* record, const ports::write_token& token) {
  if (record == nullptr) return {errc::not_found, "no such blob: reserve it first"};
  if (record->state != blob_state::open) return {errc::conflict, "the blob is sealed or deleted"};
  if (record->nonce != token.nonce) return {errc::fenced, "a newer token for this blob exists"};
  return {};
}

expected<void> check_append_bytes(const buffer& bytes, std::uint32_t crc) {
  if (bytes.empty()) return {errc::invalid_argument, "an append has at least one byte"};
  if (bytes.size() > ports::append_bytes_max) return {errc::too_large, "an append has 1 MiB at most"};
  if (crc32c(std::span{bytes.data(), bytes.size()}) != crc) return {errc::corrupt, "the bytes do not match their checksum"};
  return {};
}

expected<void> check_append(const blob_record* record, const ports::write_token& token, std::uint64_t accepted, std::uint64_t offset,
                            std::uint64_t size) {
  if (auto writer = check_writer(record, token); !writer) return writer;
  if (offset != accepted) return {errc::offset_mismatch, "the blob does not end where the append starts: ask for its length"};
  if (size > record->bytes_max - accepted) return {errc::too_large, "the append goes beyond the reserved space"};
  return {};
}

expected<std::uint32_t> readable_bytes(std::uint64_t durable, std::uint64_t offset, std::uint32_t bytes) {
  if (bytes == 0 || bytes > ports::read_bytes_max) return {errc::invalid_argument, "a read asks for 1 byte to 4 MiB"};
  if (offset > durable) return {errc::bad_range, "the read starts past the end of the blob"};
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes, durable - offset));
}

void block_digests::update(std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min<std::size_t>(bytes.size(), blob_block_bytes - in_block_));
    current_.update(part);
    in_block_ += part.size();
    bytes = bytes.subspan(part.size());
    if (in_block_ < blob_block_bytes) continue;
    blocks_.push_back(current_.finish());
    current_ = {};
    in_block_ = 0;
  }
}

std::vector<sha256_digest> block_digests::all() const {
  auto blocks = blocks_;
  if (in_block_ > 0) {
    auto copy = current_;
    blocks.push_back(copy.finish());
  }
  return blocks;
}

sha256_digest block_digests::root(std::span<const sha256_digest> blocks) {
  sha256 hash;
  for (const auto& block : blocks) hash.update(block.bytes);
  return hash.finish();
}

}  // namespace latham::store
