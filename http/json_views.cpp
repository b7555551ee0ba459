#include "http/json_views.hpp"

#include "http/problem.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <cstdio>
#include <ctime>

namespace latham::http {

namespace {

using json = nlohmann::ordered_json;

json thousandths(std::uint16_t mille) { return static_cast<double>(std::min<std::uint16_t>(mille, 1000)) / 1000.0; }

/// Bytes of the character that starts at `at`, or 0 when there is no valid one (overlong forms, surrogates, beyond U+10FFFF).
std::size_t character_at(std::string_view text, std::size_t at, char32_t& point) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const auto b = byte(at);
  if (b < 0x80) {
    point = b;
    return 1;
  }
  if (b >= 0xc2 && b <= 0xdf && follows(at + 1)) {
    point = (b & 0x1f) << 6 | (byte(at + 1) & 0x3f);
    return 2;
  }
  if (b >= 0xe0 && b <= 0xef && follows(at + 1) && follows(at + 2)) {
    point = (b & 0x0f) << 12 | (byte(at + 1) & 0x3f) << 6 | (byte(at + 2) & 0x3f);
    return point >= 0x800 && (point < 0xd800 || point > 0xdfff) ? 3 : 0;
  }
  if (b >= 0xf0 && b <= 0xf4 && follows(at + 1) && follows(at + 2) && follows(at + 3)) {
    point = (b & 0x07) << 18 | (byte(at + 1) & 0x3f) << 12 | (byte(at + 2) & 0x3f) << 6 | (byte(at + 3) & 0x3f);
    return point >= 0x10000 && point <= 0x10ffff ? 4 : 0;
  }
  return 0;
}

std::string dumped(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace

std::string to_rfc3339(std::int64_t utc_ms) {
  auto ms = utc_ms % 1000;
  auto s = static_cast<std::time_t>(utc_ms / 1000);
  if (ms < 0) {
    ms += 1000;
    --s;
  }
  std::tm parts{};
  ::gmtime_r(&s, &parts);
  std::array<char, 64> text{};
  const auto size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text.data() + size, text.size() - size, ".%03dZ", static_cast<int>(ms));
  return text.data();
}

std::string clean_title(std::string_view raw) {
  std::string out;
  bool blank = true;  // drops blanks at the start, joins the rest
  for (std::size_t at = 0; at < raw.size();) {
    char32_t point = 0;
    const auto size = character_at(raw, at, point);
    const auto piece = size == 0 ? std::string_view{"\xef\xbf\xbd"} : raw.substr(at, size);
    at += size == 0 ? 1 : size;
    if (size != 0 && (point < 0x20 || (point >= 0x7f && point < 0xa0))) {
      if (point != '\t' && point != '\n' && point != '\r') continue;
      point = ' ';
    }
    const bool is_blank = point == ' ';
    if (is_blank && blank) continue;
    blank = is_blank;
    const auto text = is_blank ? std::string_view{" "} : piece;
    if (out.size() + text.size() > title_bytes_max) break;
    out += text;
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::string title_of_file(std::string_view filename) {
  const auto slash = filename.find_last_of("/\\");
  return clean_title(slash == std::string_view::npos ? filename : filename.substr(slash + 1));
}

json to_json_value(const video_view& v) {
  const auto id = to_string(v.id);
  json rungs = json::array();
  for (const auto& [size, mille] : v.rungs)
    rungs.push_back({{"name", to_string(size)}, {"width", size.width}, {"height", size.height}, {"progress", thousandths(mille)}});
  json plan = nullptr;
  if (v.duration_ms > 0 || v.width > 0)
    plan = {{"format", v.source_format},
            {"duration_s", static_cast<double>(v.duration_ms) / 1000.0},
            {"width", v.width},
            {"height", v.height},
            {"fps", v.fps.to_double()},
            {"chunks", v.chunks},
            {"chunks_done", v.chunks_done}};
  json failure = nullptr;
  if (!v.error_code.empty()) failure = {{"code", v.error_code}, {"detail", to_sentence(v.error_message)}};
  json links = {{"self", "/api/v1/videos/" + id}, {"hls", nullptr}, {"dash", nullptr}, {"poster", nullptr}, {"storyboard", nullptr}};
  if (v.playable) {
    links["hls"] = "/media/" + id + "/master.m3u8";
    links["dash"] = "/media/" + id + "/manifest.mpd";
  }
  if (v.state == video_state::ready && v.pictures) {
    links["poster"] = "/media/" + id + "/poster.jpg";
    links["storyboard"] = "/media/" + id + "/storyboard.vtt";
  }
  return {{"id", id},
          {"title", v.title},
          {"state", to_string(v.state)},
          {"progress", thousandths(v.progress_mille)},
          {"eta_s", v.eta_s < 0 ? json(nullptr) : json(v.eta_s)},
          {"created", to_rfc3339(v.created_ms)},
          {"revision", v.revision},
          {"bytes", v.bytes},
          {"bytes_total", v.bytes_total == 0 ? json(nullptr) : json(v.bytes_total)},
          {"rungs", std::move(rungs)},
          {"plan", std::move(plan)},
          {"notes", v.notes},
          {"error", std::move(failure)},
          {"links", std::move(links)}};
}

std::string to_json(const video_view& v) { return dumped(to_json_value(v)); }

std::string to_json(const ports::video_page& page) {
  json videos = json::array();
  for (const auto& v : page.videos) videos.push_back(to_json_value(v));
  return dumped({{"videos", std::move(videos)}, {"next", page.next.empty() ? json(nullptr) : json(page.next)}});
}

}  // namespace latham::http
