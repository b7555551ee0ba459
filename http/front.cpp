#include "http/front.hpp"

#include "net/connection_server.hpp"

#include <httplib.h>

#include <algorithm>
#include <cstring>

namespace latham::http {

namespace {

constexpr std::size_t gather_bytes_max = 64 * 1024;

/// The exchange of the request that runs on this thread: httplib gives its handlers no place for a pointer of ours.
thread_local exchange* current = nullptr;

/// What httplib takes for a socket.
class request_stream final : public httplib::Stream {
public:
  request_stream(net::connection& c, std::string head, milliseconds timeout) : c_{c}, head_{std::move(head)}, timeout_{timeout} {}

  [[nodiscard]] bool is_readable() const override { return at_ < head_.size(); }
#if LATHAM_HTTPLIB_VERSION < 2000
  [[nodiscard]] bool is_writable() const override { return !failed_; }
#else
  [[nodiscard]] bool wait_readable() const override { return is_readable(); }
  [[nodiscard]] bool wait_writable() const override { return !failed_; }
  [[nodiscard]] time_t duration() const override { return 0; }
#endif
  ssize_t read(char* into, std::size_t size) override {
    const auto bytes = std::min(size, head_.size() - at_);
    std::memcpy(into, head_.data() + at_, bytes);
    at_ += bytes;
    return static_cast<ssize_t>(bytes);
  }
  ssize_t write(const char* bytes, std::size_t size) override {
    if (failed_) return -1;
    if (gathered_.size() + size <= gather_bytes_max) {
      gathered_.append(bytes, size);
    } else {
      failed_ = c_.write(gathered_, {bytes, size}, timeout_) != net::connection::io::ok;
      gathered_.clear();
      if (failed_) return -1;
    }
    return static_cast<ssize_t>(size);
  }
  bool flush() {
    if (!failed_ && !gathered_.empty()) failed_ = c_.write(gathered_, {}, timeout_) != net::connection::io::ok;
    gathered_.clear();
    return !failed_;
  }
  void get_remote_ip_and_port(std::string& ip, int& port) const override {
    ip = c_.peer().host;
    port = c_.peer().port;
  }
  void get_local_ip_and_port(std::string& ip, int& port) const override {
    ip.clear();
    port = 0;
  }
  // httplib refuses descriptors beyond 1024 because it uses select() on them; it never gets to see ours.
  [[nodiscard]] socket_t socket() const override { return 0; }

private:
  net::connection& c_;
  std::string head_;
  std::size_t at_ = 0;
  milliseconds timeout_;
  std::string gathered_;
  bool failed_ = false;
};

}  // namespace

class front::server final : public httplib::Server {
public:
  server(std::function<void(exchange&)> answer, front_options o) : answer_{std::move(answer)}, options{o} {
    svr_sock_ = 0;  // "not shutting down", which it asks before each piece of a body
    set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      handle(request, response);
      return HandlerResponse::Handled;
    });
    // Its own refusals, of which few are left.
    set_error_handler([](const httplib::Request&, httplib::Response& response) {
      if (current != nullptr && current->answer.status == response.status && !response.body.empty()) return;
      if (response.body.empty() && !response.has_header("Content-Type"))
        response.set_content(to_json(to_problem(response.status, "The request is malformed.")), std::string{problem_content_type}.c_str());
    });
    set_post_routing_handler([](const httplib::Request&, httplib::Response& response) {
      response.headers.erase("Keep-Alive");  // it would name its own limits, which are not in force
      response.headers.erase("Accept-Ranges");
      if (response.status == 204 || response.status == 304) response.headers.erase("Content-Length");
      if (current == nullptr) return;
      for (auto& [name, value] : current->answer.fields) response.set_header(name.c_str(), value);
      if (!current->body.discard_little()) {
        response.headers.erase("Connection");
        response.set_header("Connection", "close");
      }
    });
  }
  ~server() override { svr_sock_ = INVALID_SOCKET; }

  bool process(request_stream& stream, bool close) {
    bool closed = false;
#if LATHAM_HTTPLIB_VERSION < 1600
    return process_request(stream, close, closed, nullptr);
#else
    return process_request(stream, "", 0, "", 0, close, closed, nullptr);
#endif
  }

  const front_options& settings() const { return options; }

private:
  void handle(const httplib::Request& request, httplib::Response& response) {
    auto& x = *current;
    x.path = request.path;
    x.query.assign(request.params.begin(), request.params.end());
    try {
      answer_(x);
    } catch (...) {
      x.answer = problem_reply(to_problem(500, "Something went wrong here. Try again; if it stays, tell the operator."));
    }
    response.status = x.answer.status;
    if (x.answer.stream_bytes > 0) {
      response.set_content_provider(
        x.answer.stream_bytes, x.answer.content_type.c_str(),
        [&x](std::size_t, std::size_t, httplib::DataSink& sink) {
          try {
            return x.answer.stream([&sink](std::string_view bytes) { return sink.write(bytes.data(), bytes.size()); });
          } catch (...) {
            return false;
          }
        });
    } else if (!x.answer.body.empty()) {
      response.body = std::move(x.answer.body);
      response.set_header("Content-Type", x.answer.content_type.c_str());
    }
  }

  std::function<void(exchange&)> answer_;
  front_options options;
};

front::front(std::function<void(exchange&)> answer, front_options options)
  : server_{std::make_unique<server>(std::move(answer), options)} {}
front::~front() = default;

bool front::serve(net::connection& c) {
  auto scan = scan_head(c.inbox());
  if (scan.what != head_scan::state::complete) return false;  // the loop gives us complete heads only
  const auto& head = scan.head;
  c.inbox().erase(0, head.bytes);
  body_reader body{c, head, server_->settings().pace};
  exchange x{head, body, c.peer().host, {}, {}, {}, {}};
  // Methods other than HEAD make no difference to how an answer is written; the router looks at the real one.
  request_stream stream{c, (head.method == "HEAD" ? "HEAD " : "GET ") + head.target + " HTTP/1.1\r\n\r\n",
                        server_->settings().write_timeout};
  const bool close = !head.keep_alive || c.last_request();
  current = &x;
  const bool written = server_->process(stream, close) && stream.flush();
  current = nullptr;
  return written && !close && body.complete();
}

}  // namespace latham::http
