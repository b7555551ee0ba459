#include "net/frame.hpp"

#include "core/codec.hpp"
#include "core/digest.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

namespace latham::net {

namespace {
constexpr std::size_t covered_bytes = frame_header_bytes - 4;
}  // namespace

buffer frame_header(std::uint8_t type, std::uint64_t request, std::span<const buffer> payload) {
  std::size_t length = 0;
  for (const auto& part : payload) length += part.size();
  byte_writer writer;
  writer(static_cast<std::uint32_t>(length), type, request);
  auto crc = crc32c(writer.bytes());
  for (const auto& part : payload) crc = crc32c(std::span{part.data(), part.size()}, crc);
  writer(crc);
  return buffer{writer.take()};
}

expected<void> frame_parser::feed(std::span<const std::uint8_t> bytes, std::vector<frame>& out) {
  while (!bytes.empty()) {
    if (header_have_ < frame_header_bytes) {
      const auto take = std::min(bytes.size(), frame_header_bytes - header_have_);
      std::memcpy(header_ + header_have_, bytes.data(), take);
      header_have_ += take;
      bytes = bytes.subspan(take);
      if (header_have_ < frame_header_bytes) return {};
      byte_reader reader{{reinterpret_cast<const char*>(header_), frame_header_bytes}};
      reader(length_);
      if (length_ > payload_max_) return {errc::corrupt, "a frame is longer than allowed"};
      payload_.clear();
      payload_.reserve(length_);  // address space; pages are touched as bytes come
      if (length_ == 0) {
        if (auto ok = finish(out); !ok) return ok;
        continue;
      }
    }
    const auto take = std::min<std::size_t>(bytes.size(), length_ - payload_.size());
    payload_.insert(payload_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(take));
    bytes = bytes.subspan(take);
    if (payload_.size() == length_) {
      if (auto ok = finish(out); !ok) return ok;
    }
  }
  return {};
}

expected<void> frame_parser::finish(std::vector<frame>& out) {
  byte_reader reader{{reinterpret_cast<const char*>(header_), frame_header_bytes}};
  std::uint32_t length = 0;
  std::uint32_t crc = 0;
  frame done;
  reader(length, done.type, done.request, crc);
  const auto actual = crc32c(payload_, crc32c(std::span<const std::uint8_t>{header_, covered_bytes}));
  if (actual != crc) return {errc::corrupt, "a frame does not match its checksum"};
  done.payload = buffer{std::move(payload_)};
  payload_ = {};
  header_have_ = 0;
  out.push_back(std::move(done));
  return {};
}

}  // namespace latham::net
