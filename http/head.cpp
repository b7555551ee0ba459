#include "http/head.hpp"

#include <http_parser.h>

#include <algorithm>
#include <charconv>
#include <climits>

namespace latham::http {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

head_scan refused(int status, std::string why) {
  head_scan scan;
  scan.what = head_scan::state::refused;
  scan.status = status;
  scan.why = std::move(why);
  return scan;
}

struct collector {
  request_head head;
  bool in_value = false;
  bool complete = false;
};

collector& of(http_parser* p) { return *static_cast<collector*>(p->data); }

const http_parser_settings& settings() {
  static const http_parser_settings made = [] {
    http_parser_settings s;
    http_parser_settings_init(&s);
    s.on_url = [](http_parser* p, const char* at, std::size_t size) {
      of(p).head.target.append(at, size);
      return 0;
    };
    s.on_header_field = [](http_parser* p, const char* at, std::size_t size) {
      auto& c = of(p);
      if (c.in_value || c.head.fields.empty()) {
        if (c.head.fields.size() >= head_fields_max) return 1;
        c.head.fields.emplace_back();
        c.in_value = false;
      }
      auto& name = c.head.fields.back().first;
      std::transform(at, at + size, std::back_inserter(name), lower);
      return 0;
    };
    s.on_header_value = [](http_parser* p, const char* at, std::size_t size) {
      auto& c = of(p);
      c.in_value = true;
      c.head.fields.back().second.append(at, size);
      return 0;
    };
    s.on_headers_complete = [](http_parser* p) {
      of(p).complete = true;
      // Nothing after the head is to be read here.
      http_parser_pause(p, 1);
      return 0;
    };
    return s;
  }();
  return made;
}

bool is_token(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || std::string_view{"!#$%&'*+-.^_`|~"}.find(c) != std::string_view::npos;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// Where the head ends, or npos; `bare` when a line feed comes without a carriage return before it.
std::size_t end_of_head(std::string_view bytes, std::size_t from, bool& bare) {
  for (auto at = bytes.find('\n', from); at != std::string_view::npos; at = bytes.find('\n', at + 1)) {
    if (at == 0 || bytes[at - 1] != '\r') {
      bare = true;
      return std::string_view::npos;
    }
    if (at >= 3 && bytes[at - 2] == '\n' && bytes[at - 3] == '\r') return at + 1;
  }
  return std::string_view::npos;
}

/// "http://host/path" as sent to proxies becomes "/path". False for what cannot be made so.
bool to_origin_form(std::string& target) {
  if (target == "*" || (!target.empty() && target.front() == '/')) return true;
  const auto scheme = target.find("://");
  if (scheme == std::string::npos) return false;
  const auto path = target.find_first_of("/?", scheme + 3);
  if (path == std::string::npos)
    target = "/";
  else
    target.erase(0, path);
  if (target.front() == '?') target.insert(0, 1, '/');
  return true;
}

}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

const std::string* request_head::field(std::string_view name) const noexcept {
  for (const auto& [n, value] : fields)
    if (n == name) return &value;
  return nullptr;
}

std::string_view request_head::path() const noexcept { return std::string_view{target}.substr(0, target.find('?')); }

head_scan scan_head(std::string_view bytes, std::size_t seen) {
  // Empty lines before a request are forgiven (RFC 9112, 2.2); some old clients send one after a body.
  std::size_t skipped = 0;
  while (bytes.size() >= 2 && bytes[0] == '\r' && bytes[1] == '\n') {
    bytes.remove_prefix(2);
    skipped += 2;
  }
  if (bytes.empty() || bytes == "\r") return {};
  // A TLS handshake and other noise are turned away at their first byte instead of being waited for.
  if (bytes.front() < 'A' || bytes.front() > 'Z') return refused(400, "This is not an HTTP request.");

  bool bare = false;
  const auto from = seen > skipped + 3 ? std::min(seen - skipped - 3, bytes.size()) : 0;
  const auto end = end_of_head(bytes, from, bare);
  if (bare) return refused(400, "A line of the request head ends without a carriage return.");
  if (end == std::string_view::npos) return {};
  const auto raw = bytes.substr(0, end);
  if (raw.find("\r\n ") != std::string_view::npos || raw.find("\r\n\t") != std::string_view::npos)
    return refused(400, "Header lines must not be folded.");

  collector c;
  http_parser parser;
  http_parser_init(&parser, HTTP_REQUEST);
  parser.data = &c;
  (void)http_parser_execute(&parser, &settings(), raw.data(), raw.size());
  if (!c.complete) {
    if (c.head.fields.size() >= head_fields_max) return refused(431, "The request has too many header fields.");
    return refused(400, "The request head is malformed.");
  }
  auto& head = c.head;
  head.method = http_method_str(static_cast<http_method>(parser.method));
  if (parser.http_major != 1) return refused(505, "Use HTTP/1.1.");
  head.http_1_0 = parser.http_minor == 0;
  head.keep_alive = http_should_keep_alive(&parser) != 0;
  head.bytes = skipped + end;
  if (head.target.size() > target_bytes_max) return refused(414, "The address of the request is too long.");
  if (!to_origin_form(head.target)) return refused(400, "The address of the request is malformed.");

  int hosts = 0, lengths = 0, codings = 0;
  for (auto& [name, value] : head.fields) {
    // The parser lets a blank before the colon through, and "Content-Length : 3" is a length to some and none to others.
    if (!std::all_of(name.begin(), name.end(), is_token)) return refused(400, "The name of a header field is malformed.");
    value = std::string{trimmed(value)};
    if (name == "host") {
      ++hosts;
    } else if (name == "content-length") {
      ++lengths;
      std::uint64_t length = 0;
      const auto [rest, failure] = std::from_chars(value.data(), value.data() + value.size(), length);
      if (failure != std::errc{} || rest != value.data() + value.size() || value.empty())
        return refused(400, "Content-Length is not a number.");
      head.content_length = length;
    } else if (name == "transfer-encoding") {
      ++codings;
      if (!equals_ignoring_case(value, "chunked")) return refused(501, "The only transfer coding here is chunked.");
      head.chunked = true;
    } else if (name == "expect") {
      if (!equals_ignoring_case(value, "100-continue")) return refused(417, "The only expectation here is 100-continue.");
      head.expects_continue = true;
    }
  }
  if (hosts > 1 || (hosts == 0 && !head.http_1_0)) return refused(400, "The request must have exactly one Host field.");
  if (lengths > 1 || codings > 1) return refused(400, "The request must say the length of its body once.");
  if (lengths > 0 && codings > 0) return refused(400, "Content-Length and Transfer-Encoding exclude each other.");
  if (head.chunked && head.http_1_0) return refused(400, "HTTP/1.0 has no transfer codings.");

  head_scan scan;
  scan.what = head_scan::state::complete;
  scan.head = std::move(head);
  return scan;
}

}  // namespace latham::http
