// Bytes off the wire between a worker and its codec child: cut into frames however they are torn, decoded as every message,
// and what was understood says the same when it is said again.
#include "core/assert.hpp"
#include "media/child_protocol.hpp"

#include <algorithm>

namespace latham::media {

namespace {

template <class T>
void check(const frame& f) {
  const auto message = decode_message<T>(f);
  if (message) LATHAM_ASSERT(encode(*message) == f.payload.view());
}

template <class Head>
void check_bulk(const frame& f) {
  const auto bulk = decode_bulk<Head>(f);
  if (bulk) LATHAM_ASSERT(encode(bulk->first) + std::string{bulk->second.view()} == f.payload.view());
}

void check(const frame& f) {
  LATHAM_ASSERT(f.payload.size() <= payload_bytes_max(f.type));
  switch (f.type) {
    case frame_type::hello: return check<hello_message>(f);
    case frame_type::task: {
      const auto task = decode_message<ports::engine_task>(f);
      if (task) (void)validate(*task);
      return check<ports::engine_task>(f);
    }
    case frame_type::read: return check<read_message>(f);
    case frame_type::supply: return check_bulk<supply_head>(f);
    case frame_type::supply_error: return check<supply_error_message>(f);
    case frame_type::plan: {
      const auto page = decode_message<plan_message>(f);
      if (page) (void)validate(page->plan);
      return check<plan_message>(f);
    }
    case frame_type::piece: return check_bulk<piece_head>(f);
    case frame_type::chunk_done: return check<chunk_done_message>(f);
    case frame_type::progress: return check<progress_message>(f);
    case frame_type::end: return check<end_message>(f);
  }
}

/// The first byte says how the rest is torn; what it says has no checksum, as a fuzzer would never guess one.
void run(std::string_view input) {
  if (input.empty()) return;
  const auto step = std::max<std::size_t>(1, static_cast<unsigned char>(input[0]));
  input.remove_prefix(1);
  // As it is: nearly always refused, and never a crash.
  frame_parser raw;
  std::vector<frame> frames;
  for (std::size_t at = 0; at < input.size(); at += step) (void)raw.feed(input.substr(at, step), frames);
  // As {type, length, payload}* in good order.
  std::string stream;
  std::size_t count = 0;
  while (input.size() >= 3) {
    const auto type = static_cast<frame_type>(static_cast<unsigned char>(input[0]) % 10 + 1);
    const auto length = std::min({std::size_t{static_cast<unsigned char>(input[1])} << 8 | static_cast<unsigned char>(input[2]),
                                  input.size() - 3, std::size_t{payload_bytes_max(type)}});
    stream += make_frame(type, input.substr(3, length));
    input.remove_prefix(3 + length);
    ++count;
  }
  frame_parser whole;
  frames.clear();
  for (std::size_t at = 0; at < stream.size(); at += step)
    LATHAM_ASSERT(whole.feed(std::string_view{stream}.substr(at, step), frames).has_value());
  LATHAM_ASSERT(frames.size() == count && whole.pending_bytes() == 0);
  for (const auto& f : frames) check(f);
}

}  // namespace

}  // namespace latham::media

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  latham::media::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
