// A client that says exactly the bytes it is told to, for tests of servers: half heads, lies about lengths, pipelines.
#pragma once

#include "core/units.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace latham::testing {

struct raw_response {
  int status = 0;  // 0: the connection ended without a whole response
  std::map<std::string, std::string> fields;  // names in lower case
  std::string body;
};

class raw_http {
public:
  explicit raw_http(std::uint16_t port, int receive_buffer_bytes = 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer_bytes > 0) (void)::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    const int on = 1;
    (void)::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) close();
  }
  ~raw_http() { close(); }
  raw_http(raw_http&& other) noexcept : fd_{std::exchange(other.fd_, -1)}, in_{std::move(other.in_)} {}
  raw_http& operator=(raw_http&&) = delete;

  [[nodiscard]] bool connected() const { return fd_ >= 0; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  /// False when the server does not take it any more.
  bool say(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  /// The next response, by its Content-Length (or none for HEAD). Interim responses are skipped.
  raw_response hear(bool is_head = false, milliseconds timeout = milliseconds{15'000}) {
    raw_response r;
    const auto until = std::chrono::steady_clock::now() + timeout;
    do {
      r = {};
      std::size_t end = 0;
      while ((end = in_.find("\r\n\r\n")) == std::string::npos)
        if (!more(until)) return {};
      const auto head = in_.substr(0, end + 2);
      in_.erase(0, end + 4);
      r.status = std::stoi(head.substr(9, 3));
      for (auto at = head.find("\r\n") + 2; at < head.size();) {
        const auto stop = head.find("\r\n", at);
        const auto line = head.substr(at, stop - at);
        const auto colon = line.find(':');
        auto name = line.substr(0, colon);
        for (auto& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        if (colon != std::string::npos) r.fields[name] = line.substr(line.find_first_not_of(' ', colon + 1));
        at = stop + 2;
      }
    } while (r.status == 100);
    if (is_head) return r;
    const auto length = r.fields.contains("content-length") ? std::stoull(r.fields["content-length"]) : 0;
    while (in_.size() < length)
      if (!more(until)) return {};
    r.body = in_.substr(0, length);
    in_.erase(0, length);
    return r;
  }

  /// Reads until `text` was seen (and drops everything up to its end); false at the end of the connection or after `timeout`.
  bool hear_until(std::string_view text, std::string* seen = nullptr, milliseconds timeout = milliseconds{15'000}) {
    const auto until = std::chrono::steady_clock::now() + timeout;
    std::size_t at = 0;
    while ((at = in_.find(text)) == std::string::npos)
      if (!more(until)) return false;
    if (seen != nullptr) *seen = in_.substr(0, at + text.size());
    in_.erase(0, at + text.size());
    return true;
  }

  /// True when the server closed and nothing was left to read.
  bool closed(milliseconds timeout = milliseconds{15'000}) {
    const auto until = std::chrono::steady_clock::now() + timeout;
    while (more(until)) in_.clear();
    return ended_;
  }

  raw_response ask(const std::string& request_line, const std::string& fields = {}, std::string_view body = {}) {
    // In one piece: whether a body that nobody reads is here when the answer is decides what becomes of the connection.
    say(request_line + " HTTP/1.1\r\nHost: test\r\n" + fields +
        (body.empty() ? "" : "Content-Length: " + std::to_string(body.size()) + "\r\n") + "\r\n" + std::string{body});
    return hear(request_line.rfind("HEAD", 0) == 0);
  }

private:
  bool more(std::chrono::steady_clock::time_point until) {
    const auto left = std::chrono::ceil<milliseconds>(until - std::chrono::steady_clock::now());
    pollfd p{fd_, POLLIN, 0};
    if (fd_ < 0 || left.count() <= 0 || ::poll(&p, 1, static_cast<int>(left.count())) <= 0) return false;
    char bytes[65536];
    const auto got = ::recv(fd_, bytes, sizeof bytes, 0);
    if (got <= 0) {
      ended_ = true;
      return false;
    }
    in_.append(bytes, static_cast<std::size_t>(got));
    return true;
  }

  int fd_ = -1;
  std::string in_;
  bool ended_ = false;
};

}  // namespace latham::testing
