// multipart/form-data (RFC 7578) as a stream: bytes go in as they arrive, parts come out, and nothing is kept but what
// could be the beginning of a boundary. Memory is constant; limits are on everything a sender decides.
//
// Searching for the boundary is memmem over whole reads, because the bodies are gigabytes: a parser that looks at each byte
// costs three times the CPU of the transfer itself.
#pragma once

#include "core/expected.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace latham::http {

inline constexpr std::size_t part_head_bytes_max = 8 * 1024;
inline constexpr std::size_t parts_max = 64;
inline constexpr std::size_t boundary_bytes_max = 70;  // RFC 2046

struct part_head {
  std::string name;
  std::optional<std::string> filename;  // a part with one, even an empty one, is a file
  std::string content_type;
};

/// The boundary of a Content-Type value, or nothing when it is not multipart/form-data with a proper one.
[[nodiscard]] std::optional<std::string> multipart_boundary(std::string_view content_type);

class multipart_parser {
public:
  struct events {
    std::function<expected<void>(part_head)> on_part;         // an error stops the parser
    std::function<expected<void>(std::string_view)> on_data;  // bytes of the current part; never empty
    std::function<expected<void>()> on_part_end;
  };

  multipart_parser(std::string_view boundary, events to);

  /// Takes the next bytes, cut anywhere. Fails with invalid_argument (malformed), too_large (a limit), or what an event
  /// answered; after that the parser must not be fed.
  [[nodiscard]] expected<void> feed(std::string_view bytes);
  /// The last boundary was seen; what follows is ignored.
  [[nodiscard]] bool complete() const noexcept { return state_ == state::epilogue; }

private:
  enum class state : std::uint8_t { preamble, after_boundary, head, data, epilogue };

  expected<void> step(std::string_view& bytes, bool& again);
  expected<void> emit(std::string_view data);

  std::string delimiter_;  // "\r\n--boundary"
  events to_;
  state state_ = state::preamble;
  std::string kept_;       // not decided yet: shorter than a delimiter, or a part's head so far
  std::size_t parts_ = 0;
};

/// The value of parameter `name` in "form-data; name=\"x\"; filename=\"y\""; quoted-pairs and percent-encoded quotes as
/// browsers send them are undone, filename* (RFC 8187, UTF-8) wins over filename.
[[nodiscard]] std::optional<std::string> disposition_parameter(std::string_view disposition, std::string_view name);

}  // namespace latham::http
