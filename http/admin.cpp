#include "http/admin.hpp"

#include "http/await.hpp"
#include "http/site.hpp"

#include <nlohmann/json.hpp>

namespace latham::http {

namespace {

void answer_check(exchange& x, const std::function<expected<void>()>& check) {
  const auto result = check ? check() : expected<void>{};
  x.answer = result ? json_reply(200, R"({"status":"ok"})") : problem_reply(to_problem(503, result.error().message));
}

constexpr milliseconds leave_deadline{20'000};  // it asks its peers, one thing after the other

void answer_leave(exchange& x, const admin_options& options) {
  if (!options.leave) {
    x.answer = problem_reply(to_problem(error{errc::unsupported, "this node keeps nothing that others would miss; stop it when you like"}));
    return;
  }
  const auto report = await<leave_report>(leave_deadline, [&](auto done) { options.leave(std::move(done)); });
  if (!report) {
    x.answer = problem_reply(report.error());
    return;
  }
  nlohmann::ordered_json out{{"may_leave", report->may_leave}, {"reasons", nlohmann::ordered_json::array()}};
  for (const auto& reason : report->reasons) out["reasons"].push_back({{"what", reason.what}, {"count", reason.count}, {"detail", reason.detail}});
  x.answer = json_reply(200, out.dump());
}

}  // namespace

admin_server::admin_server(admin_options options) : options_{std::move(options)} {
  router table;
  table.add({"GET", "/live", "live", lane::api, false, [this](exchange& x) { answer_check(x, options_.live); }});
  table.add({"GET", "/ready", "ready", lane::api, false, [this](exchange& x) { answer_check(x, options_.ready); }});
  table.add({"GET", "/metrics", "metrics", lane::api, false, [this](exchange& x) {
               x.answer.content_type = "text/plain; version=0.0.4; charset=utf-8";
               x.answer.fields.emplace_back("Cache-Control", "no-store");
               x.answer.body = options_.metrics ? options_.metrics() : std::string{};
             }});
  table.add({"GET", "/leave", "leave", lane::api, false, [this](exchange& x) { answer_leave(x, options_); }});
  site_options small;
  small.api_threads = 2;
  small.media_threads = 0;
  small.upload_threads = 1;
  small.queue_max = 32;
  small.limits.connections_max = 256;
  site_ = std::make_unique<site>(std::move(table), small, site::callbacks{});
}

admin_server::~admin_server() = default;

expected<std::uint16_t> admin_server::start() { return site_->start(options_.addresses, options_.port); }
bool admin_server::drain(milliseconds deadline) { return site_->drain(deadline); }

}  // namespace latham::http
