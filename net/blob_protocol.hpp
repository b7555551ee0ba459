// What the frames of the data plane say: the calls of ports::blob_store and their answers, one to one. Fields are encoded
// by core/codec.hpp; bytes of blobs follow the fields as they are. Numbers are wire format: append only.
//
// A reply has the type of its request with the highest bit set, or is `failed`. Replies may come in any order. A client has
// 16 requests and 8 MiB under way at most (what it sends and what it asks to be sent); the server stops reading beyond twice
// that, so neither side can be made to hold more.
#pragma once

#include "core/codec.hpp"
#include "core/ports/blob_store.hpp"

#include <cstdint>
#include <string>

namespace latham::net {

enum class message_type : std::uint8_t {
  reserve = 1,
  open_write = 2,
  append = 3,  // append_fields, then the bytes
  truncate = 4,
  seal = 5,
  read = 6,  // the reply is the bytes alone
  stat = 7,
  remove = 8,
  list = 9,
  ping = 16,  // nothing; the reply is nothing: is anybody there?
  failed = 0xff,
};
inline constexpr std::uint8_t reply_bit = 0x80;
/// Beside the type of a request, and of its reply: of this node's own copies alone (ports::blob_transport::own_of). What a
/// storage node asks of another one; without it two that lack a blob would ask each other for ever.
inline constexpr std::uint8_t own_bit = 0x40;

struct append_fields {
  ports::write_token token;
  std::uint64_t offset = 0;
  std::uint32_t crc = 0;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, append_fields& x) {
  return f(x.token, x.offset, x.crc);
}
inline constexpr std::size_t append_fields_bytes = 44;

/// truncate and seal
struct length_fields {
  ports::write_token token;
  std::uint64_t bytes = 0;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, length_fields& x) {
  return f(x.token, x.bytes);
}

struct read_fields {
  blob_id blob;
  std::uint64_t offset = 0;
  std::uint32_t bytes = 0;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, read_fields& x) {
  return f(x.blob, x.offset, x.bytes);
}

struct list_fields {
  blob_id after;
  std::uint32_t limit = 0;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, list_fields& x) {
  return f(x.after, x.limit);
}

struct failed_fields {
  std::uint8_t code = 0;
  std::string message;  // 1 KiB at most
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, failed_fields& x) {
  return f(x.code, x.message);
}
inline constexpr std::size_t failed_message_bytes_max = 1024;

/// The error that a `failed` frame carries; errc::internal for a code that this version does not know.
[[nodiscard]] inline error error_of(const failed_fields& fields) {
  auto code = static_cast<errc>(fields.code);
  if (code == errc::none || to_string(code) == "unknown") code = errc::internal;
  return {code, fields.message.substr(0, failed_message_bytes_max)};
}

}  // namespace latham::net
