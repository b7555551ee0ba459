// The codec child's wire protocol: what a worker and its codec child say to each other over one byte stream.
//
// A frame is {u32 length, u8 type, u32 crc32c} and `length` bytes of payload, little-endian, in the encoding of
// core/codec.hpp. The checksum covers type and payload: it costs nothing beside encoding a frame of video, and a child
// whose heap was overrun is found out before its bytes are stored. Every type has its own length limit, so a child that
// lost its senses cannot make its parent allocate; memory grows only with bytes that really arrived.
//
//   child -> parent   hello              once, first: protocol version, engine id, and what the child is contained by
//   parent -> child   task               one at a time
//   child -> parent   read               one open at a time; answered by supply or supply_error
//                     plan, piece, chunk_done, progress
//                     end                exactly one per task; the next task may follow
//
// There is no cancel: a parent that lost interest kills the child. Bulk payloads (supply, piece) are a fixed head and
// then raw bytes up to the end of the frame, so that neither side copies them. Golden bytes: tests/unit/media. A change of
// any byte needs a new child_protocol_version; both ends are the same binary, so there is no negotiation, only refusal.
#pragma once

#include "core/buffer.hpp"
#include "core/codec.hpp"
#include "core/expected.hpp"
#include "core/model.hpp"
#include "core/ports/media_engine.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace latham::media {

inline constexpr std::uint16_t child_protocol_version = 8;
inline constexpr std::size_t frame_header_bytes = 9;
inline constexpr std::uint32_t piece_bytes_max = 64 * 1024 * 1024;  // one segment of one rendition
inline constexpr std::size_t error_message_bytes_max = 1000;

enum class frame_type : std::uint8_t {
  hello = 1,
  task = 2,
  read = 3,
  supply = 4,
  supply_error = 5,
  plan = 6,
  piece = 7,
  chunk_done = 8,
  progress = 9,
  end = 10,
};

/// The longest payload of a frame of this type; 0 for a type that does not exist.
[[nodiscard]] std::uint32_t payload_bytes_max(frame_type type) noexcept;

struct frame {
  frame_type type = frame_type::hello;
  buffer payload;
};

// ---- Messages ----------------------------------------------------------------------------------------------------

/// What keeps a child from harm that a file may talk it into; media/av/sandbox.hpp.
struct containment {
  bool seccomp = false;
  bool landlock = false;
  /// seccomp alone is enough to keep a child in, and nothing is enough without it: Landlock leaves most calls alone.
  [[nodiscard]] bool holds() const noexcept { return seccomp; }
  friend bool operator==(const containment&, const containment&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, containment& x) {
  return f(x.seccomp, x.landlock);
}

struct hello_message {
  std::uint16_t version = child_protocol_version;
  engine_id engine;
  containment in_force;
  friend bool operator==(const hello_message&, const hello_message&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, hello_message& x) {
  return f(x.version, x.engine, x.in_force);
}

struct read_message {
  std::uint64_t read = 0;  // counts from 1 within a child's life
  std::uint64_t offset = 0;
  std::uint32_t bytes = 0;
  friend bool operator==(const read_message&, const read_message&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, read_message& x) {
  return f(x.read, x.offset, x.bytes);
}

/// Head of a supply frame; the bytes follow.
struct supply_head {
  std::uint64_t read = 0;
  friend bool operator==(const supply_head&, const supply_head&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, supply_head& x) {
  return f(x.read);
}

struct supply_error_message {
  std::uint64_t read = 0;
  errc code = errc::none;
  std::string message;
  friend bool operator==(const supply_error_message&, const supply_error_message&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, supply_error_message& x) {
  return f(x.read, x.code, x.message);
}

/// One page of a plan; see ports::engine_listener::on_plan.
struct plan_message {
  source_plan plan;
  std::uint32_t first_chunk = 0;
  std::vector<chunk_plan> chunks;
  bool complete = false;
  friend bool operator==(const plan_message&, const plan_message&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, plan_message& x) {
  return f(x.plan, x.first_chunk, x.chunks, x.complete);
}

/// Head of a piece frame; the bytes follow.
struct piece_head {
  std::uint32_t chunk = 0;
  track_kind kind = track_kind::video;
  std::uint8_t rendition = 0;
  std::uint32_t segment = output_entry::init_segment;
  std::uint32_t duration = 0;
  friend bool operator==(const piece_head&, const piece_head&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, piece_head& x) {
  return f(x.chunk, x.kind, x.rendition, x.segment, x.duration);
}

struct chunk_done_message {
  std::uint32_t chunk = 0;
  findings found{};
  friend bool operator==(const chunk_done_message&, const chunk_done_message&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, chunk_done_message& x) {
  return f(x.chunk, x.found);
}

struct progress_message {
  std::uint64_t done = 0;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, progress_message& x) {
  return f(x.done);
}

struct end_message {
  errc code = errc::none;
  std::string message;  // empty when code is none
  ports::engine_usage usage{};
  friend bool operator==(const end_message&, const end_message&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, end_message& x) {
  return f(x.code, x.message, x.usage);
}

// ---- Writing -----------------------------------------------------------------------------------------------------

/// A whole frame. The payload must not exceed its type's limit: that is the caller's bug.
[[nodiscard]] std::string make_frame(frame_type type, std::string_view payload);

template <class T>
[[nodiscard]] std::string make_frame(frame_type type, const T& message) {
  return make_frame(type, std::string_view{encode(message)});
}

/// Everything of a bulk frame that comes before its raw bytes: send `bulk` right after it.
[[nodiscard]] std::string make_bulk_frame_head(frame_type type, std::string_view head, std::string_view bulk);

template <class Head>
[[nodiscard]] std::string make_bulk_frame_head(frame_type type, const Head& head, std::string_view bulk) {
  return make_bulk_frame_head(type, std::string_view{encode(head)}, bulk);
}

// ---- Reading -----------------------------------------------------------------------------------------------------

/// Cuts a byte stream into frames, however it was torn into reads. After its first error it stays failed: a stream that
/// lost its framing has no next frame to find.
class frame_parser {
public:
  /// Appends the frames that `bytes` completes to `out`. Fails with errc::corrupt for an unknown type, a length beyond the
  /// type's limit or a wrong checksum; frames before the bad one are still in `out`.
  [[nodiscard]] expected<void> feed(std::string_view bytes, std::vector<frame>& out);

  /// Bytes held of a frame that is not complete yet.
  [[nodiscard]] std::size_t pending_bytes() const noexcept { return header_.size() + payload_.size(); }

private:
  std::string header_;
  std::string payload_;
  error failed_;
};

/// Fails with errc::corrupt when the payload is not exactly one T.
template <class T>
[[nodiscard]] expected<T> decode_message(const frame& f) {
  return decode<T>(f.payload.view());
}

/// Head and raw bytes of a bulk frame; the bytes share the frame's memory. Fails with errc::corrupt.
template <class Head>
[[nodiscard]] expected<std::pair<Head, buffer>> decode_bulk(const frame& f) {
  Head head;
  byte_reader reader{f.payload.view()};
  reader(head);
  if (!reader.ok()) return {errc::corrupt, "a bulk frame is shorter than its head"};
  const auto rest = reader.rest().size();
  return std::pair{head, f.payload.slice(f.payload.size() - rest, rest)};
}

// ---- Checks that both ends make ------------------------------------------------------------------------------------

/// True for codes that this build knows.
[[nodiscard]] bool is_known(errc code) noexcept;

/// A plan that can be worked with: sizes, rates and counts within the limits of core/model.hpp. errc::invalid_argument.
[[nodiscard]] expected<void> validate(const source_plan& plan);

/// A recipe that the engine can follow. errc::invalid_argument.
[[nodiscard]] expected<void> validate(const recipe& how);

/// A task that may be started: its recipe, and for all kinds but plan its plan and its run of chunks. errc::invalid_argument.
[[nodiscard]] expected<void> validate(const ports::engine_task& task);

}  // namespace latham::media
