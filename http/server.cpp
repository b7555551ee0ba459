#include "http/server.hpp"

#include "http/assets.hpp"

#include <chrono>

namespace latham::http {

namespace {

class sink_of_site final : public stream_sink {
public:
  explicit sink_of_site(std::unique_ptr<site>& where) : where_{where} {}
  bool post(std::function<void()> work) override { return where_->connections().post(std::move(work)); }
  void wake_after(milliseconds delay) override { where_->connections().wake_after(delay); }
  bool send(net::stream_id id, buffer bytes) override { return where_->connections().send(id, std::move(bytes)); }
  [[nodiscard]] std::size_t backlog(net::stream_id id) const override { return where_->connections().backlog(id); }
  void close_stream(net::stream_id id) override { where_->connections().close_stream(id); }

private:
  std::unique_ptr<site>& where_;
};

std::string epoch_from_clock() {
  const auto now = std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  return "t" + std::to_string(now);
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  // The length is no secret; which byte differs is.
  auto difference = static_cast<unsigned>(a.size() != b.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    difference |= static_cast<unsigned>(static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b.empty() ? 0 : b[i % b.size()]));
  return difference == 0;
}

/// Another site's page may make a browser send forms here; it may not make it change anything.
std::optional<problem> check_origin(const request_head& head) {
  if (head.method == "GET" || head.method == "HEAD" || head.method == "OPTIONS") return std::nullopt;
  const auto* site = head.field("sec-fetch-site");
  if (site == nullptr || *site != "cross-site") return std::nullopt;
  return problem{403, "forbidden", "Requests from pages of other sites are not taken.", 0};
}

}  // namespace

std::optional<problem> check_token(const std::string& token, const request_head& head) {
  if (token.empty()) return std::nullopt;
  const auto* given = head.field("authorization");
  if (given != nullptr && given->size() > 7 && equals_ignoring_case(std::string_view{*given}.substr(0, 7), "bearer ") &&
      equal_in_constant_time(std::string_view{*given}.substr(7), token))
    return std::nullopt;
  return to_problem(401, "Send the API token as \"Authorization: Bearer <token>\".");
}

class http_server::running {
public:
  running(const server_options& options, ports::service& service, ports::metrics& numbers) : numbers_{numbers}, sink_{site_} {
    site::callbacks calls;
    calls.guard = [token = options.token](const route& r, const request_head& head) -> std::optional<problem> {
      if (r.pattern.rfind("/api/", 0) != 0) return std::nullopt;
      if (auto refused = check_origin(head)) return refused;
      return check_token(token, head);
    };
    calls.observe = [this](std::string_view name, int status, nanoseconds took, std::uint64_t body_bytes) {
      const ports::labels by{{"route", std::string{name}}};
      numbers_.add("latham_http_requests_total", 1, {{"route", std::string{name}}, {"status", std::to_string(status)}});
      numbers_.observe("latham_http_request_seconds", std::chrono::duration<double>(took).count(), by);
      if (body_bytes > 0) numbers_.add("latham_http_body_bytes_total", static_cast<double>(body_bytes), by);
    };
    calls.fallback = [](exchange& x) { return answer_asset(x); };
    site_ = std::make_unique<site>(make_routes(service, options), options.site, std::move(calls));
    hub_ = std::make_shared<events_hub>(service, sink_, options.event_epoch.empty() ? epoch_from_clock() : options.event_epoch,
                                        options.events);
    site_->set_streams(*hub_);
    subscription_ = service.subscribe([hub = std::weak_ptr<events_hub>{hub_}](const ports::service_event& e) {
      const auto alive = hub.lock();
      if (!alive) return;
      if (const auto* changed = std::get_if<video_view>(&e)) alive->on_change(*changed);
      else alive->on_changes_missed();
    });
  }
  ~running() { drain(milliseconds{0}); }

  /// Afterwards nothing here refers to the service: it may go away before this object does.
  bool drain(milliseconds deadline) {
    const bool calm = site_->drain(deadline);
    subscription_.reset();
    hub_->detach();
    return calm;
  }

  site& where() { return *site_; }

private:
  ports::metrics& numbers_;
  std::unique_ptr<site> site_;
  sink_of_site sink_;
  std::shared_ptr<events_hub> hub_;  // shared: late completions of the service hold it weakly
  std::shared_ptr<void> subscription_;
};

http_server::http_server(server_options options) : options_{std::move(options)} {}
http_server::~http_server() = default;

expected<std::uint16_t> http_server::start(ports::service& service, ports::metrics& numbers) {
  auto made = std::make_unique<running>(options_, service, numbers);
  auto port = made->where().start(options_.addresses, options_.port);
  if (port) running_ = std::move(made);
  return port;
}

bool http_server::drain(milliseconds deadline) { return !running_ || running_->drain(deadline); }

net::connection_counts http_server::counts() const {
  return running_ ? running_->where().connections().counts() : net::connection_counts{};
}

}  // namespace latham::http
