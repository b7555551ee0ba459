#include "http/commands.hpp"

#include "http/client.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <thread>
#include <unistd.h>

namespace latham::http {

namespace {

using nlohmann::json;

constexpr int exit_failed = 1;
constexpr int exit_video_failed = 3;
constexpr int reconnects_max = 60;  // while waiting: a server that restarts is back within a minute

bool has_terminal() { return ::isatty(2) != 0; }

void show(const std::string& line) {
  if (!has_terminal()) return;
  std::fprintf(stderr, "\r\033[K%s", line.c_str());
  std::fflush(stderr);
}

void end_line() {
  if (has_terminal()) std::fputc('\n', stderr);
}

int fail(const error& e, const std::string& server) {
  end_line();
  const char* hint = "";
  if (e.code == errc::unavailable) hint = "\nIs the server running? Start one with: latham serve";
  std::fprintf(stderr, "latham: %s (server %s)%s\n", e.message.c_str(), server.c_str(), hint);
  return exit_failed;
}

std::string text(const json& j, const char* key) {
  auto at = j.find(key);
  return at != j.end() && at->is_string() ? at->get<std::string>() : std::string{};
}

double number(const json& j, const char* key) {
  auto at = j.find(key);
  return at != j.end() && at->is_number() ? at->get<double>() : 0.0;
}

std::string eta(const json& video) {
  auto at = video.find("eta_s");
  if (at == video.end() || !at->is_number_integer()) return "";
  const auto s = at->get<std::int64_t>();
  return s >= 60 ? fmt::format("  {} min {:02} s left", s / 60, s % 60) : fmt::format("  {} s left", s);
}

std::string one_line(const json& video) {
  return fmt::format("{}  {:<9} {} {}{}", text(video, "id"), text(video, "state"), draw_bar(number(video, "progress"), 30), text(video, "title"), eta(video));
}

/// Ready: where to play it. Failed: why.
int conclude(const json& video, const submit_command& c) {
  if (c.json) std::printf("%s\n", video.dump().c_str());
  if (text(video, "state") == "failed") {
    const auto why = video.contains("error") && video["error"].is_object() ? text(video["error"], "detail") : std::string{"no reason given"};
    std::fprintf(stderr, "latham: the video failed: %s\n", why.c_str());
    return exit_video_failed;
  }
  if (!c.json) {
    const auto& links = video.at("links");
    std::printf("%s is ready\n  HLS   %s%s\n  DASH  %s%s\n", text(video, "id").c_str(), c.server.c_str(), text(links, "hls").c_str(), c.server.c_str(), text(links, "dash").c_str());
  }
  return 0;
}

bool is_final(const json& video) {
  const auto state = text(video, "state");
  return state == "ready" || state == "failed" || state == "deleting";
}

}  // namespace

std::string draw_bar(double done, std::size_t width) {
  constexpr std::size_t frame = 8;  // brackets and " 100 %"
  const auto inner = width > frame ? width - frame : 1;
  done = std::isfinite(done) ? std::clamp(done, 0.0, 1.0) : 0.0;
  const auto full = static_cast<std::size_t>(done * static_cast<double>(inner));
  std::string bar(full, '=');
  if (full < inner) bar += '>';
  bar.resize(inner, ' ');
  return fmt::format("[{}] {:3.0f} %", bar, std::floor(done * 100));
}

std::string human_bytes(std::uint64_t bytes) {
  constexpr const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1000 && unit < 4) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

int run_submit(const submit_command& c) {
  api_client client{{c.server, c.token}};
  const auto begin = std::chrono::steady_clock::now();
  auto sent = client.submit({c.file, c.title, c.ladder, c.priority, c.start, c.end}, [&](std::uint64_t now, std::uint64_t total) {
    const auto s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    show(fmt::format("uploading {} {} of {}  {}/s", draw_bar(total == 0 ? 0 : static_cast<double>(now) / static_cast<double>(total), 40), human_bytes(now), human_bytes(total),
                     human_bytes(s > 0 ? static_cast<std::uint64_t>(static_cast<double>(now) / s) : 0)));
    return true;
  });
  if (!sent) return fail(sent.error(), c.server);
  end_line();
  auto video = *sent;
  const auto id = text(video, "id");
  if (!c.wait) {
    if (c.json) std::printf("%s\n", video.dump().c_str());
    else std::printf("%s\nFollow it with: latham status %s\n", id.c_str(), id.c_str());
    return 0;
  }
  // Events while the connection lasts; a look by GET whenever it does not, so that nothing is missed in between.
  for (int attempt = 0; attempt < reconnects_max; ++attempt) {
    auto now = client.get(id);
    if (now) {
      video = *now;
      show(one_line(video));
      if (is_final(video)) break;
    } else if (!is_transient(now.error().code)) {
      return fail(now.error(), c.server);
    }
    auto followed = client.events([&](std::string_view, const json& data) {
      if (!data.is_object() || text(data, "id") != id) return true;
      video = data;
      show(one_line(video));
      return !is_final(video);
    });
    if (is_final(video)) break;
    if (!followed) std::this_thread::sleep_for(std::chrono::seconds{1});  // a person's client: the server is away for a moment
  }
  end_line();
  if (!is_final(video)) return fail({errc::timeout, "the video is not ready yet; look again with: latham status " + id}, c.server);
  return conclude(video, c);
}

int run_status(const status_command& c) {
  api_client client{{c.server, c.token}};
  if (!c.id.empty()) {
    auto video = client.get(c.id);
    if (!video) return fail(video.error(), c.server);
    if (c.json) {
      std::printf("%s\n", video->dump().c_str());
      return 0;
    }
    std::printf("%s\n", one_line(*video).c_str());
    if (auto at = video->find("rungs"); at != video->end())
      for (const auto& rung : *at) std::printf("  %-10s %s\n", text(rung, "name").c_str(), draw_bar(number(rung, "progress"), 30).c_str());
    if (auto at = video->find("error"); at != video->end() && at->is_object()) std::printf("  failed: %s\n", text(*at, "detail").c_str());
    if (auto at = video->find("notes"); at != video->end())
      for (const auto& note : *at) std::printf("  note: %s\n", note.get<std::string>().c_str());
    return 0;
  }
  auto page = client.list(50);
  if (!page) return fail(page.error(), c.server);
  if (c.json) {
    std::printf("%s\n", page->dump().c_str());
    return 0;
  }
  const auto& videos = page->at("videos");
  if (videos.empty()) std::printf("no videos yet; upload one with: latham submit FILE\n");
  for (const auto& video : videos) std::printf("%s\n", one_line(video).c_str());
  return 0;
}

int run_leave(const leave_command& c) {
  api_client node{{"http://" + c.admin, ""}};
  double most = 0;
  int unheard = 0;
  for (;;) {
    const auto answer = node.leave();
    if (!answer) {
      // A node that is being restarted, or asks peers that are: for a minute, when somebody waits.
      if (c.wait && is_transient(answer.error().code) && ++unheard < reconnects_max) {
        std::this_thread::sleep_for(std::chrono::seconds{1});
        continue;
      }
      end_line();
      std::fprintf(stderr, "latham: %s (admin port %s)%s\n", answer.error().message.c_str(), c.admin.c_str(),
                   answer.error().code == errc::unavailable ? "\nIs this the address that the node has as --admin?" : "");
      return exit_failed;
    }
    unheard = 0;
    const auto& reasons = answer->at("reasons");
    const bool may = answer->value("may_leave", false);
    double left = 0;
    bool hopeless = false;  // nothing changes while one waits
    for (const auto& reason : reasons) {
      left += number(reason, "count");
      const auto what = text(reason, "what");
      hopeless = hopeless || what == "not_draining" || what == "only_node";
    }
    if (!may && c.wait && !hopeless) {
      most = std::max(most, left);
      const auto& first = reasons.at(0);
      show(fmt::format("{} {} {}", draw_bar(most > 0 ? 1 - left / most : 0, 30), static_cast<std::uint64_t>(number(first, "count")), text(first, "detail")));
      std::this_thread::sleep_for(std::chrono::seconds{1});
      continue;
    }
    end_line();
    if (c.json) std::printf("%s\n", answer->dump().c_str());
    else if (may) std::printf("may leave\n");
    else
      for (const auto& reason : reasons) {
        const auto count = static_cast<std::uint64_t>(number(reason, "count"));
        std::printf("%s%s\n", count == 0 ? "" : fmt::format("{}: ", count).c_str(), text(reason, "detail").c_str());
      }
    return may ? 0 : exit_failed;
  }
}

}  // namespace latham::http
