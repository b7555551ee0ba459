#include "http/site.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>

namespace latham::http {

namespace {

std::vector<net::lane_options> lanes_of(const site_options& o) {
  return {
      {"http-api", o.api_threads, o.queue_max}, {"http-media", o.media_threads, o.queue_max}, {"http-up", o.upload_threads, o.queue_max}};
}

/// "Sun, 06 Nov 1994 08:49:37 GMT"; written by hand because strftime speaks the process's language.
std::string http_date() {
  static constexpr std::array<const char*, 7> days = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array<const char*, 12> months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto now = std::time(nullptr);
  std::tm t{};
  ::gmtime_r(&now, &t);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT", days[static_cast<std::size_t>(t.tm_wday)], t.tm_mday,
                months[static_cast<std::size_t>(t.tm_mon)], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
  return text.data();
}

constexpr std::string_view stream_head =
  "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Accel-Buffering: no\r\n"
  "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n";

}  // namespace

site::site(router routes, site_options options, callbacks calls)
  : routes_{std::move(routes)},
    options_{options},
    calls_{std::move(calls)},
    front_{[this](exchange& x) { answer(x); }, options.front},
    connections_{*this, lanes_of(options), options.limits} {}

site::~site() { drain(milliseconds{0}); }

expected<std::uint16_t> site::start(const std::vector<std::string>& addresses, std::uint16_t port) {
  std::optional<error> unsupported;
  bool listening = false;
  for (const auto& address : addresses) {
    auto bound = connections_.listen(address, port);
    if (bound) {
      port = *bound;
      listening = true;
    } else if (bound.error().code == errc::unsupported && address.find(':') != std::string::npos) {
      unsupported = bound.error();
    } else {
      return bound;
    }
  }
  if (!listening) return unsupported.value_or(error{errc::invalid_argument, "There is no address to listen on."});
  if (auto started = connections_.start(); !started) return std::move(started).error();
  return port;
}

bool site::drain(milliseconds deadline) { return connections_.drain(deadline); }

net::connection_decision site::on_bytes(std::string_view bytes, std::size_t seen, const net::peer_address&) {
  using action = net::connection_decision::action;
  net::connection_decision decision;
  auto scan = scan_head(bytes, seen);
  if (scan.what == head_scan::state::incomplete) return decision;
  if (scan.what == head_scan::state::refused) {
    decision.then = action::refuse;
    decision.response = to_closing_response(to_problem(scan.status, std::move(scan.why)));
    return decision;
  }
  const auto& head = scan.head;
  if (head.bytes > options_.limits.head_bytes_max) {
    decision.then = action::refuse;
    decision.response = refusal(net::connection_refusal::head_too_large);
    return decision;
  }
  const auto match = routes_.match(head.method, head.path());
  if (match.found != nullptr && match.found->stream && head.method == "GET") {
    auto refused = calls_.guard ? calls_.guard(*match.found, head) : std::nullopt;
    if (!refused && connections_.counts().streams >= options_.streams_max)
      refused = to_problem(503, "Too many event streams are open. Try again later.");
    if (refused) {
      decision.then = action::refuse;
      decision.response = to_closing_response(*refused);
    } else {
      decision.then = action::stream;
      decision.response = std::string{stream_head};
    }
    return decision;
  }
  decision.then = action::dispatch;
  decision.bytes_needed = head.bytes;
  // A body for nobody is not read, so it needs no thread of the upload lane.
  const auto where = match.found != nullptr ? match.found->where : lane::api;
  decision.lane = static_cast<std::size_t>(where == lane::upload ? lane::api : where);
  if (match.found != nullptr && head.has_body()) {
    if (head.chunked || *head.content_length > options_.small_body_bytes_max || head.expects_continue)
      decision.lane = static_cast<std::size_t>(lane::upload);
    else
      decision.bytes_needed += static_cast<std::size_t>(*head.content_length);
  }
  return decision;
}

std::string site::refusal(net::connection_refusal why) {
  switch (why) {
    case net::connection_refusal::head_too_large:
      return to_closing_response({431, "head_too_large", "The head of the request is larger than 16 KiB.", 0});
    case net::connection_refusal::head_too_slow: return to_closing_response(to_problem(408, "The request came too slowly."));
    case net::connection_refusal::lane_full:
    case net::connection_refusal::too_many_connections: break;
  }
  return to_closing_response(to_problem(503, "The server is busy. Try again in a moment."));
}

bool site::serve(net::connection& c) { return front_.serve(c); }

void site::answer(exchange& x) {
  const auto began = std::chrono::steady_clock::now();
  auto match = routes_.match(x.head.method, x.path);
  std::string_view name = "none";
  if (match.found == nullptr) {
    if (!match.allow.empty()) {
      x.answer = problem_reply(to_problem(405, "This address does not know that method. Use one of: " + match.allow + "."));
      x.answer.fields.emplace_back("Allow", match.allow);
    } else if (!calls_.fallback || !calls_.fallback(x)) {
      x.answer = problem_reply(to_problem(404, "There is nothing at this address."));
    }
  } else {
    name = match.found->name;
    x.parameters = std::move(match.parameters);
    auto refused = calls_.guard ? calls_.guard(*match.found, x.head) : std::nullopt;
    if (refused) {
      x.answer = problem_reply(*refused);
    } else if (match.found->handler) {
      try {
        match.found->handler(x);
      } catch (...) {
        x.answer = problem_reply(to_problem(500, "Something went wrong here. Try again; if it stays, tell the operator."));
      }
    } else {
      x.answer = problem_reply(to_problem(405, "This address is a stream of events: ask for it with GET."));
      x.answer.fields.emplace_back("Allow", "GET");
    }
  }
  x.answer.fields.emplace_back("Date", http_date());
  x.answer.fields.emplace_back("X-Content-Type-Options", "nosniff");
  if (calls_.observe) calls_.observe(name, x.answer.status, std::chrono::steady_clock::now() - began, x.body.bytes());
}

void site::on_stream(net::stream_id id, std::string head) {
  if (streams_ == nullptr) return;
  streams_->on_open(id, scan_head(head).head);
}
void site::on_stream_drained(net::stream_id id) {
  if (streams_ != nullptr) streams_->on_drained(id);
}
void site::on_stream_closed(net::stream_id id) {
  if (streams_ != nullptr) streams_->on_closed(id);
}
void site::on_wake() {
  if (streams_ != nullptr) streams_->on_wake();
}

}  // namespace latham::http
