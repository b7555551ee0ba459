// Joins two MP4 files of one video track each into one whose track has two sample descriptions (ISO/IEC 14496-12, 8.5.2): what
// no option of the ffmpeg command makes. Samples are laid out one a chunk, so that any of them may be the first of its kind.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace latham::testing {

namespace mp4 {

inline std::uint32_t u32(const std::string& bytes, std::size_t at) {
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < 4; ++i) out = out << 8 | static_cast<unsigned char>(bytes.at(at + i));
  return out;
}
inline std::string u32(std::uint64_t value) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
  return out;
}
inline std::string box(std::string_view type, const std::string& body) { return u32(body.size() + 8) + std::string{type} + body; }

/// Body of the box at the end of a path of types; empty when there is none.
inline std::string find(std::string bytes, std::initializer_list<std::string_view> path) {
  for (const auto type : path) {
    std::string body;
    bool there = false;
    for (std::size_t at = 0; at + 8 <= bytes.size() && !there; at += std::max<std::size_t>(u32(bytes, at), 8)) {
      if (std::string_view{bytes}.substr(at + 4, 4) != type) continue;
      body = bytes.substr(at + 8, u32(bytes, at) - 8);
      there = true;
    }
    if (!there) return {};
    bytes = std::move(body);
  }
  return bytes;
}

/// The box of `type` gets another body, wherever it is; lengths above it follow.
inline std::string with_box(const std::string& bytes, std::string_view type, const std::string& body) {
  std::string out;
  for (std::size_t at = 0; at + 8 <= bytes.size(); at += u32(bytes, at)) {
    const auto name = bytes.substr(at + 4, 4);
    const auto inner = bytes.substr(at + 8, u32(bytes, at) - 8);
    const bool holds = name == "trak" || name == "mdia" || name == "minf" || name == "stbl";
    out += name == type ? box(type, body) : holds ? box(name, with_box(inner, type, body)) : box(name, inner);
  }
  return out;
}

struct track {
  std::string description;           // the entry of stsd
  std::vector<std::string> samples;
  std::vector<std::uint32_t> keys;   // from 1
};

inline track track_of(const std::string& file) {
  const auto table = [&](std::string_view type) { return find(file, {"moov", "trak", "mdia", "minf", "stbl", type}); };
  track out;
  out.description = table("stsd").substr(8);
  const auto sizes = table("stsz"), runs = table("stsc"), offsets = table("stco"), keys = table("stss");
  std::size_t sample = 0, run = 0;
  for (std::uint32_t chunk = 1; chunk <= u32(offsets, 4); ++chunk) {
    while (run + 1 < u32(runs, 4) && u32(runs, 8 + 12 * (run + 1)) <= chunk) ++run;
    std::size_t at = u32(offsets, 8 + 4 * (chunk - 1));
    for (std::uint32_t i = 0; i < u32(runs, 8 + 12 * run + 4); ++i, ++sample) {
      const auto bytes = u32(sizes, 12 + 4 * sample);
      out.samples.push_back(file.substr(at, bytes));
      at += bytes;
    }
  }
  for (std::uint32_t i = 0; i < u32(keys, 4); ++i) out.keys.push_back(u32(keys, 8 + 4 * i));
  return out;
}

}  // namespace mp4

/// Both of one rate and without B pictures, whose samples therefore all last the same.
inline std::string join_with_two_headers(const std::string& first, const std::string& second) {
  using namespace mp4;
  const auto a = track_of(first), b = track_of(second);
  auto moov = find(first, {"moov"});
  const auto durations = find(first, {"moov", "trak", "mdia", "minf", "stbl", "stts"});
  const auto count = a.samples.size() + b.samples.size();
  if (moov.empty() || durations.size() < 16) return {};
  const auto step = u32(durations, 12);

  auto out = box("ftyp", find(first, {"ftyp"}));
  std::string sizes = u32(0) + u32(0) + u32(count), offsets = u32(0) + u32(count), media;
  for (const auto* t : {&a, &b})
    for (const auto& sample : t->samples) {
      sizes += u32(sample.size());
      offsets += u32(out.size() + 8 + media.size());
      media += sample;
    }
  std::string keys = u32(0) + u32(a.keys.size() + b.keys.size());
  for (const auto key : a.keys) keys += u32(key);
  for (const auto key : b.keys) keys += u32(a.samples.size() + key);

  moov = with_box(moov, "stsd", u32(0) + u32(2) + a.description + b.description);
  moov = with_box(moov, "stts", u32(0) + u32(1) + u32(count) + u32(step));
  moov = with_box(moov, "stsc", u32(0) + u32(2) + u32(1) + u32(1) + u32(1) + u32(a.samples.size() + 1) + u32(1) + u32(2));
  moov = with_box(moov, "stsz", sizes);
  moov = with_box(moov, "stco", offsets);
  moov = with_box(moov, "stss", keys);
  // The edit list would end the movie where the first part ended.
  std::string without;
  for (std::size_t at = 0; at + 8 <= moov.size(); at += u32(moov, at)) {
    if (moov.compare(at + 4, 4, "trak") != 0) {
      without += moov.substr(at, u32(moov, at));
      continue;
    }
    std::string trak;
    for (std::size_t in = at + 8; in + 8 <= at + u32(moov, at); in += u32(moov, in))
      if (moov.compare(in + 4, 4, "edts") != 0) trak += moov.substr(in, u32(moov, in));
    without += box("trak", trak);
  }
  return out + box("mdat", media) + box("moov", without);
}

}  // namespace latham::testing
