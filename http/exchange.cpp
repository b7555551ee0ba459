#include "http/exchange.hpp"

#include "net/connection_server.hpp"

#include <http_parser.h>

#include <algorithm>
#include <cstring>

namespace latham::http {

namespace {
constexpr std::uint64_t discard_bytes_max = 64 * kib;
constexpr auto continue_timeout = milliseconds{5'000};
}  // namespace

struct body_reader::implementation {
  net::connection& c;
  body_pace pace;
  bool chunked;
  bool must_continue;
  bool broken = false;
  bool done = false;
  std::uint64_t left = 0;       // of a body with a length
  std::uint64_t delivered = 0;
  nanoseconds waited{0};        // in the current window
  std::uint64_t in_window = 0;
  http_parser parser{};         // of a chunked body
  char* out = nullptr;          // where the parser's callback puts content
  std::size_t out_bytes = 0;

  implementation(net::connection& connection, const request_head& head, body_pace p)
    : c{connection}, pace{p}, chunked{head.chunked}, must_continue{head.expects_continue && head.has_body()}, done{!head.has_body()},
      left{head.content_length.value_or(0)} {
    if (!chunked) return;
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = this;
    static constexpr std::string_view prelude = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    (void)http_parser_execute(&parser, &settings(), prelude.data(), prelude.size());
  }

  static const http_parser_settings& settings() {
    static const http_parser_settings made = [] {
      http_parser_settings s;
      http_parser_settings_init(&s);
      s.on_body = [](http_parser* p, const char* at, std::size_t size) {
        auto& self = *static_cast<implementation*>(p->data);
        std::memmove(self.out + self.out_bytes, at, size);  // moves left inside one buffer: content is shorter than its frame
        self.out_bytes += size;
        return 0;
      };
      s.on_message_complete = [](http_parser* p) {
        static_cast<implementation*>(p->data)->done = true;
        http_parser_pause(p, 1);
        return 0;
      };
      return s;
    }();
    return made;
  }

  expected<std::size_t> raw(char* into, std::size_t bytes_max) {
    if (std::exchange(must_continue, false)) {
      if (c.inbox().empty() && c.write("HTTP/1.1 100 Continue\r\n\r\n", {}, continue_timeout) != net::connection::io::ok)
        return error{errc::cancelled, "The client left."};
    }
    for (;;) {
      const auto remaining = std::chrono::ceil<milliseconds>(pace.window - waited);
      nanoseconds spent{0};
      const auto got = c.read(into, bytes_max, std::max(remaining, milliseconds{1}), &spent);
      waited += spent;
      if (got.status == net::connection::io::closed) return error{errc::cancelled, "The client left before its body was complete."};
      in_window += got.bytes;
      if (waited >= pace.window) {
        const auto wanted = pace.bytes_per_s_min * static_cast<std::uint64_t>(pace.window.count()) / 1000;
        if (in_window < wanted) return error{errc::timeout, "The body of the request came too slowly."};
        waited = nanoseconds{0};
        in_window = 0;
      }
      if (got.status == net::connection::io::ok) return got.bytes;
    }
  }

  expected<std::size_t> read(char* into, std::size_t bytes_max) {
    while (!done) {
      auto got = raw(into, chunked ? bytes_max : static_cast<std::size_t>(std::min<std::uint64_t>(bytes_max, left)));
      if (!got) return got;
      if (!chunked) {
        left -= *got;
        done = left == 0;
        return *got;
      }
      out = into;
      out_bytes = 0;
      // Chunk framing is removed in place. What comes after the body belongs to the next request.
      const auto used = http_parser_execute(&parser, &settings(), into, *got);
      const auto failure = HTTP_PARSER_ERRNO(&parser);
      if (done) {
        c.inbox().insert(0, into + used, *got - used);
      } else if (failure != HPE_OK) {
        return error{errc::invalid_argument, "The chunks of the request's body are malformed."};
      }
      if (out_bytes > 0) return out_bytes;
    }
    return std::size_t{0};
  }
};

body_reader::body_reader(net::connection& c, const request_head& head, body_pace pace)
  : self_{std::make_unique<implementation>(c, head, pace)} {}
body_reader::~body_reader() = default;

expected<std::size_t> body_reader::read(char* into, std::size_t bytes_max) {
  if (self_->broken) return error{errc::cancelled, "The client left."};
  auto got = self_->read(into, bytes_max);
  if (got)
    self_->delivered += *got;
  else
    self_->broken = true;
  return got;
}

bool body_reader::complete() const noexcept { return self_->done && !self_->broken; }
std::uint64_t body_reader::bytes() const noexcept { return self_->delivered; }

bool body_reader::discard_little() {
  if (complete()) return true;
  // A client that still waits for our "continue" will not send the body; nothing can be taken for its next request then.
  if (self_->broken || self_->must_continue) return false;
  if (self_->chunked || self_->left > self_->c.inbox().size() || self_->left > discard_bytes_max) return false;
  self_->c.inbox().erase(0, static_cast<std::size_t>(self_->left));
  self_->left = 0;
  self_->done = true;
  return true;
}

reply json_reply(int status, std::string json) {
  reply r;
  r.status = status;
  r.content_type = "application/json";
  r.fields.emplace_back("Cache-Control", "no-store");
  r.body = std::move(json);
  return r;
}

reply problem_reply(const problem& p) {
  auto r = json_reply(p.status, to_json(p));
  r.content_type = std::string{problem_content_type};
  if (p.retry_after_s > 0) r.fields.emplace_back("Retry-After", std::to_string(p.retry_after_s));
  if (p.status == 401) r.fields.emplace_back("WWW-Authenticate", "Bearer");
  return r;
}

}  // namespace latham::http
