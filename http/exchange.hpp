// One request and its answer as handlers see them: free of any library, so a handler can be read, moved and tested without
// knowing who parses heads or writes responses.
#pragma once

#include "core/buffer.hpp"
#include "core/expected.hpp"
#include "core/units.hpp"
#include "http/head.hpp"
#include "http/problem.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace latham::net {
class connection;
}

namespace latham::http {

/// A body may come slowly, but not so slowly that it keeps a thread for nothing: over each window of time spent waiting for
/// the client, this rate at least. Time that we spend ourselves (a busy store) does not count.
struct body_pace {
  std::uint64_t bytes_per_s_min = 16 * kib;
  milliseconds window{30'000};
};

/// The body of a request, decoded and accounted for: it knows exactly where the body ends, so what follows is the next
/// request and nothing else. Used by the request's thread only.
class body_reader {
public:
  body_reader(net::connection& c, const request_head& head, body_pace pace);
  ~body_reader();
  body_reader(const body_reader&) = delete;
  body_reader& operator=(const body_reader&) = delete;

  /// Up to `bytes_max` (at least 1 KiB) bytes; 0 at the end. Blocks. Tells a client that waits for it to go on. Fails with
  /// cancelled (the client left), timeout (too slow), invalid_argument (malformed chunks); then the connection is lost.
  [[nodiscard]] expected<std::size_t> read(char* into, std::size_t bytes_max);
  [[nodiscard]] bool complete() const noexcept;
  /// Bytes of content delivered so far.
  [[nodiscard]] std::uint64_t bytes() const noexcept;
  /// Throws away what is left when that is little and already there. True: the body is complete.
  [[nodiscard]] bool discard_little();

private:
  struct implementation;
  std::unique_ptr<implementation> self_;
};

struct reply {
  /// Gives bytes to the client; false when it is gone.
  using writer = std::function<bool(std::string_view)>;

  int status = 200;
  std::vector<std::pair<std::string, std::string>> fields;  // but content-type and content-length
  std::string content_type;
  std::string body;
  std::uint64_t stream_bytes = 0;                // when not 0: the body is exactly so many bytes,
  std::function<bool(const writer&)> stream;     // given here; false breaks the connection
};

[[nodiscard]] reply json_reply(int status, std::string json);
[[nodiscard]] reply problem_reply(const problem& p);
[[nodiscard]] inline reply problem_reply(const error& e) { return problem_reply(to_problem(e)); }

struct exchange {
  const request_head& head;
  body_reader& body;
  std::string remote;                                        // numeric address of the peer
  std::string path;                                          // percent-decoded
  std::vector<std::pair<std::string, std::string>> query;    // percent-decoded
  std::vector<std::string> parameters;                       // of the route, in order
  reply answer;

  [[nodiscard]] std::optional<std::string> query_value(std::string_view name) const {
    for (const auto& [n, value] : query)
      if (n == name) return value;
    return std::nullopt;
  }
};

}  // namespace latham::http
