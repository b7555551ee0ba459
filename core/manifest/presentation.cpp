#include "core/manifest/presentation.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <map>

namespace latham {

namespace {

const rendition_summary* find_summary(const output_ref& output, track_kind kind, std::size_t rendition) {
  for (const auto& s : output.renditions)
    if (s.kind == kind && s.rendition == rendition) return &s;
  return nullptr;
}

}  // namespace

expected<std::vector<rendition_summary>> summarise(const std::vector<output_piece>& pieces, const source_plan& plan, const recipe& how) {
  std::map<std::pair<track_kind, std::uint8_t>, rendition_summary> sums;
  for (const auto& piece : pieces) {
    auto& sum = sums[{piece.kind, piece.rendition}];
    sum.kind = piece.kind;
    sum.rendition = piece.rendition;
    if (piece.segment == output_entry::init_segment) {
      auto codecs = codecs_of(piece.bytes.view());
      if (!codecs) return std::move(codecs).error();
      sum.codecs = *codecs;
      continue;
    }
    sum.bytes += piece.bytes.size();
    if (piece.kind == track_kind::image || piece.kind == track_kind::text) continue;  // no stream: nothing to be had per second
    const auto lasts_s = piece.kind == track_kind::audio ? static_cast<double>(piece.duration) / how.audio_rate_hz
                                                         : static_cast<double>(piece.duration) * static_cast<double>(plan.fps.den) / static_cast<double>(plan.fps.num);
    if (lasts_s > 0) sum.peak_bit_s = std::max(sum.peak_bit_s, static_cast<std::uint64_t>(static_cast<double>(piece.bytes.size()) * 8 / lasts_s));
  }
  std::vector<rendition_summary> out;
  for (auto& [key, sum] : sums) out.push_back(std::move(sum));
  return out;
}

expected<presentation> make_presentation(const output_table& table) {
  const auto not_yet = error{errc::conflict, "the video is not far enough to be played; try again in a few seconds"};
  const auto& plan = table.plan;
  if (plan.fps.num <= 0 || plan.fps.den <= 0 || plan.segment_frames == 0) return not_yet;
  if (has_picture(plan) ? !table.chunks.contains(0) : plan.audio.empty()) return not_yet;
  for (std::uint32_t i = 0; i < plan.audio.size(); ++i)
    if (!table.audio_index.contains(i)) return not_yet;

  presentation out;
  out.base = "/media/" + to_string(table.video);
  out.finished = table.state == video_state::ready;
  out.fps = plan.fps;
  out.total_ms = plan.frames * 1000 * static_cast<std::uint64_t>(plan.fps.den) / static_cast<std::uint64_t>(plan.fps.num);
  out.segment_ms = table.how.segment_ms;
  out.available_from_ms = table.created_ms;

  // Only the prefix without gaps is shown: a player must be able to run through it.
  std::uint64_t frames = 0;
  std::vector<std::uint64_t> bytes(plan.rungs.size(), 0);
  std::vector<std::uint64_t> peak(plan.rungs.size(), 0);
  std::vector<std::string> codecs(plan.rungs.size());
  for (std::uint32_t index = 0;; ++index) {
    auto at = table.chunks.find(index);
    if (at == table.chunks.end()) break;
    frames += at->second.first.frames;
    for (std::size_t r = 0; r < plan.rungs.size(); ++r) {
      const auto* s = find_summary(at->second.second, track_kind::video, r);
      if (s == nullptr) return {errc::corrupt, "an output lacks a rung of its plan"};
      bytes[r] += s->bytes;
      peak[r] = std::max(peak[r], s->peak_bit_s);
      if (codecs[r].empty()) codecs[r] = s->codecs;
    }
  }
  std::vector<std::uint64_t> durations;
  const auto segments = segment_count(plan, frames);
  for (std::uint32_t n = 0; n < segments; ++n) durations.push_back(std::uint64_t{segment_frames_of(plan, n)} * static_cast<std::uint64_t>(plan.fps.den));
  const auto longest = std::max(segment_frames_of(plan, 0), segment_frames_of(plan, std::max(1u, segment_count(plan, plan.frames)) - 1));
  const auto shown_s = static_cast<double>(frames) * static_cast<double>(plan.fps.den) / static_cast<double>(plan.fps.num);
  for (std::size_t r = 0; r < plan.rungs.size(); ++r) {
    presented_rendition v;
    v.name = to_string(plan.rungs[r]);
    v.rendition = static_cast<std::uint8_t>(r);
    v.size = plan.rungs[r];
    v.codecs = codecs[r];
    v.average_bit_s = static_cast<std::uint64_t>(static_cast<double>(bytes[r]) * 8 / shown_s);
    v.peak_bit_s = peak[r];
    v.timescale = static_cast<std::uint32_t>(plan.fps.num);
    v.durations = durations;
    v.duration_max = std::uint64_t{longest} * static_cast<std::uint64_t>(plan.fps.den);
    out.video.push_back(std::move(v));
  }
  for (const auto& [track, entries] : table.audio_index) {
    presented_rendition a;
    a.kind = track_kind::audio;
    a.rendition = static_cast<std::uint8_t>(track);
    a.name = "audio-" + std::to_string(track);
    if (track < plan.audio.size()) {
      a.language = plan.audio[track].language;
      a.kbit = plan.audio[track].kbit;
      a.source = plan.audio[track].stream_index;
    }
    a.timescale = table.how.audio_rate_hz;
    std::uint64_t samples = 0;
    std::uint64_t size = 0;
    for (const auto& e : entries) {
      if (e.segment == output_entry::init_segment) continue;
      // While encoding, audio is shown as far as video is, so that both tracks end together.
      if (!out.finished && has_picture(plan) && e.segment >= segments) continue;
      a.durations.push_back(e.duration);
      samples += e.duration;
      size += e.bytes;
    }
    if (auto at = table.audio.find(track); at != table.audio.end())
      if (const auto* s = find_summary(at->second, track_kind::audio, track)) {
        a.codecs = s->codecs;
        a.peak_bit_s = s->peak_bit_s;
      }
    if (samples > 0) a.average_bit_s = size * 8 * a.timescale / samples;
    out.audio.push_back(std::move(a));
  }
  if (!out.finished || !table.text) return out;
  for (std::size_t i = 0; i < plan.text.size(); ++i) {
    const auto* s = find_summary(*table.text, track_kind::text, i);
    if (s == nullptr) continue;  // nothing is said in it
    out.text.push_back({"text-" + std::to_string(i), static_cast<std::uint8_t>(i), plan.text[i].language, plan.text[i].title, plan.text[i].forced, s->bytes});
  }
  return out;
}

expected<media_path> parse_media_path(std::string_view path, const source_plan& plan) {
  const auto nothing = error{errc::not_found, "there is nothing at this path; start from master.m3u8 or manifest.mpd"};
  const bool is_sound_alone = !has_picture(plan) && !plan.audio.empty();  // not just unplanned
  media_path out;
  if (path == "master.m3u8") return out;
  if (path == "manifest.mpd") {
    out.kind = media_path::what::dash;
    return out;
  }
  if (!is_sound_alone && (path == "poster.jpg" || path == "storyboard.vtt")) {
    out.kind = path == "poster.jpg" ? media_path::what::poster : media_path::what::storyboard;
    out.track = track_kind::image;
    return out;
  }
  const auto slash = path.find('/');
  if (slash == std::string_view::npos) return nothing;
  const auto name = path.substr(0, slash);
  const auto leaf = path.substr(slash + 1);
  // A number from 1, as it was given out: nothing before it, nothing after it but `suffix`.
  const auto numbered = [&](std::string_view suffix) {
    if (!leaf.ends_with(suffix)) return false;
    const auto digits = leaf.substr(0, leaf.size() - suffix.size());
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), out.segment);
    if (parsed.ec != std::errc{} || parsed.ptr != digits.data() + digits.size() || out.segment == 0 || digits.front() == '0') return false;
    --out.segment;
    return true;
  };
  if (!is_sound_alone && name == "storyboard") {
    out.kind = media_path::what::sheet;
    out.track = track_kind::image;
    return numbered(".jpg") ? expected<media_path>{out} : expected<media_path>{nothing};
  }
  bool known = false;
  for (std::size_t i = 0; i < plan.rungs.size() && !known; ++i)
    if (to_string(plan.rungs[i]) == name) {
      out.rendition = static_cast<std::uint8_t>(i);
      known = true;
    }
  for (std::size_t i = 0; i < plan.audio.size() && !known; ++i)
    if ("audio-" + std::to_string(i) == name) {
      out.track = track_kind::audio;
      out.rendition = static_cast<std::uint8_t>(i);
      known = true;
    }
  for (std::size_t i = 0; i < plan.text.size() && !known; ++i)
    if ("text-" + std::to_string(i) == name) {
      out.track = track_kind::text;
      out.rendition = static_cast<std::uint8_t>(i);
      known = true;
    }
  if (!known) return nothing;
  if (leaf == "playlist.m3u8") {
    out.kind = media_path::what::playlist;
    return out;
  }
  if (out.track == track_kind::text) {
    out.kind = media_path::what::segment;
    return leaf == "1.vtt" ? expected<media_path>{out} : expected<media_path>{nothing};
  }
  if (leaf == "init.mp4") {
    out.kind = media_path::what::init;
    return out;
  }
  if (!numbered(".m4s")) return nothing;
  out.kind = media_path::what::segment;
  return out;
}

const output_ref* output_of_segment(const output_table& table, std::uint32_t segment) {
  if (segment >= segment_count(table.plan, table.plan.frames)) return nullptr;
  const auto frame = std::uint64_t{segment} * table.plan.segment_frames;
  for (const auto& [index, entry] : table.chunks)
    if (frame >= entry.first.first_frame && frame < entry.first.first_frame + entry.first.frames) return &entry.second;
  return nullptr;
}

}  // namespace latham
