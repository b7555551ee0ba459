#include "core/manifest/manifests.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <map>

namespace latham {

namespace {

std::uint64_t peak_of(const std::vector<presented_rendition>& all) {
  std::uint64_t peak = 0;
  for (const auto& r : all) peak = std::max(peak, r.peak_bit_s);
  return peak;
}

std::uint64_t average_of(const std::vector<presented_rendition>& all) {
  std::uint64_t average = 0;
  for (const auto& r : all) average = std::max(average, r.average_bit_s);
  return average;
}

/// Track names and languages come from files that strangers upload. Not called "quoted": std::quoted would be preferred.
std::string attribute_safe(std::string_view text) {
  std::string out;
  for (unsigned char c : text)
    if (c >= 0x20 && c != '"' && c != '<' && c != '>' && c != '&' && c != 0x7f) out += static_cast<char>(c);
  return out;
}

std::string iso_time(std::int64_t utc_ms) {
  // Days to civil date, Howard Hinnant's algorithm through <chrono>.
  using namespace std::chrono;
  const sys_time<milliseconds> t{milliseconds{utc_ms}};
  const auto day = floor<days>(t);
  const year_month_day date{day};
  const hh_mm_ss time{t - day};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()), time.hours().count(), time.minutes().count(), time.seconds().count(), time.subseconds().count());
}

std::string timeline(const presented_rendition& r) {
  std::string out;
  for (std::size_t i = 0; i < r.durations.size();) {
    auto end = i + 1;
    while (end < r.durations.size() && r.durations[end] == r.durations[i]) ++end;
    const auto start = i == 0 ? std::string{" t=\"0\""} : std::string{};
    const auto repeat = end - i > 1 ? fmt::format(" r=\"{}\"", end - i - 1) : std::string{};
    out += fmt::format("          <S{} d=\"{}\"{}/>\n", start, r.durations[i], repeat);
    i = end;
  }
  return out;
}

std::string segment_template(const presentation& p, const presented_rendition& r) {
  return fmt::format(
    "        <SegmentTemplate timescale=\"{}\" startNumber=\"1\" initialization=\"{}/{}/init.mp4\" media=\"{}/{}/$Number$.m4s\">\n"
    "         <SegmentTimeline>\n{}         </SegmentTimeline>\n        </SegmentTemplate>\n",
    r.timescale, p.base, r.name, p.base, r.name, timeline(r));
}

/// What people choose by; no two alike, as HLS asks of the names in a group.
std::vector<std::string> text_labels(const presentation& p) {
  std::vector<std::string> out;
  for (const auto& t : p.text) {
    auto label = attribute_safe(t.title.empty() ? t.language : t.title);
    if (label.empty() || std::find(out.begin(), out.end(), label) != out.end()) label += fmt::format(" {}", out.size() + 1);
    out.push_back(std::move(label));
  }
  return out;
}

std::string hls_text_group(const presentation& p) {
  std::string out;
  const auto labels = text_labels(p);
  for (std::size_t i = 0; i < p.text.size(); ++i) {
    const auto& t = p.text[i];
    out += fmt::format("#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"text\",NAME=\"{}\",LANGUAGE=\"{}\",DEFAULT=NO,AUTOSELECT=YES,FORCED={},URI=\"{}/{}/playlist.m3u8\"\n", labels[i],
                       attribute_safe(t.language), t.forced ? "YES" : "NO", p.base, t.name);
  }
  return out;
}

/// An attribute of each variant.
const char* of_text_group(const presentation& p) { return p.text.empty() ? "" : ",SUBTITLES=\"text\""; }

std::string text_sets(const presentation& p, std::size_t first_id) {
  std::string out;
  const auto labels = text_labels(p);
  for (std::size_t i = 0; i < p.text.size(); ++i) {
    const auto& t = p.text[i];
    out += fmt::format("    <AdaptationSet id=\"{}\" contentType=\"text\" mimeType=\"text/vtt\" lang=\"{}\">\n"
                       "      <Label>{}</Label>\n"
                       "      <Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"{}\"/>\n"
                       "      <Representation id=\"{}\" bandwidth=\"{}\">\n        <BaseURL>{}/{}/1.vtt</BaseURL>\n      </Representation>\n    </AdaptationSet>\n",
                       first_id + i, attribute_safe(t.language), labels[i], t.forced ? "forced-subtitle" : "subtitle", t.name,
                       std::max<std::uint64_t>(1, t.bytes * 8000 / std::max<std::uint64_t>(1, p.total_ms)), p.base, t.name);
  }
  return out;
}

/// Sound alone. A variant is one rate: its own playlist is the first track, which the group names without a URI for its
/// language (RFC 8216, 4.3.4.2.1); the other tracks stand beside it.
std::string hls_sound_master(const presentation& p) {
  std::map<std::uint32_t, std::vector<const presented_rendition*>> by_rate;
  for (const auto& a : p.audio) by_rate[a.kbit].push_back(&a);
  std::string media, variants;
  for (const auto& [kbit, tracks] : by_rate) {
    const auto group = kbit == 0 ? std::string{"audio"} : fmt::format("audio-{}k", kbit);
    std::uint64_t peak = 1, average = 1;
    for (std::size_t i = 0; i < tracks.size(); ++i) {
      const auto& a = *tracks[i];
      peak = std::max(peak, a.peak_bit_s);
      average = std::max(average, a.average_bit_s);
      media += fmt::format("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{}\",NAME=\"{} {}\",LANGUAGE=\"{}\",DEFAULT={},AUTOSELECT=YES,CHANNELS=\"2\"", group, attribute_safe(a.language), i + 1,
                           attribute_safe(a.language), i == 0 ? "YES" : "NO");
      media += i == 0 ? "\n" : fmt::format(",URI=\"{}/{}/playlist.m3u8\"\n", p.base, a.name);
    }
    variants += fmt::format("#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\",AUDIO=\"{}\"{}\n{}/{}/playlist.m3u8\n", peak, average, tracks.front()->codecs, group, of_text_group(p), p.base,
                            tracks.front()->name);
  }
  return "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n" + media + hls_text_group(p) + variants;
}

/// The sets of sound, and then those of text.
std::string track_sets(const presentation& p) {
  std::string out;
  std::vector<std::uint32_t> seen;
  for (const auto& first : p.audio) {
    if (std::find(seen.begin(), seen.end(), first.source) != seen.end()) continue;
    seen.push_back(first.source);
    out += fmt::format("    <AdaptationSet id=\"{}\" contentType=\"audio\" mimeType=\"audio/mp4\" lang=\"{}\" segmentAlignment=\"true\" startWithSAP=\"1\">\n", seen.size(),
                       attribute_safe(first.language));
    for (const auto& a : p.audio)
      if (a.source == first.source)
        out += fmt::format("      <Representation id=\"{}\" bandwidth=\"{}\" codecs=\"{}\" audioSamplingRate=\"{}\">\n"
                           "        <AudioChannelConfiguration schemeIdUri=\"urn:mpeg:dash:23003:3:audio_channel_configuration:2011\" value=\"2\"/>\n{}      </Representation>\n",
                           a.name, std::max<std::uint64_t>(1, a.peak_bit_s), a.codecs, a.timescale, segment_template(p, a));
    out += "    </AdaptationSet>\n";
  }
  return out + text_sets(p, seen.size() + 1);
}

}  // namespace

std::uint32_t segment_frames_of(const source_plan& plan, std::uint32_t segment) noexcept {
  const auto count = segment_count(plan, plan.frames);
  if (segment >= count) return 0;
  if (segment + 1 < count) return plan.segment_frames;
  return static_cast<std::uint32_t>(plan.frames - std::uint64_t{segment} * plan.segment_frames);
}

std::string hls_master(const presentation& p) {
  if (p.video.empty()) return hls_sound_master(p);
  std::string out = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n";
  for (std::size_t i = 0; i < p.audio.size(); ++i) {
    const auto& a = p.audio[i];
    out += fmt::format("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"{} {}\",LANGUAGE=\"{}\",DEFAULT={},AUTOSELECT=YES,CHANNELS=\"2\",URI=\"{}/{}/playlist.m3u8\"\n",
                       attribute_safe(a.language), i + 1, attribute_safe(a.language), i == 0 ? "YES" : "NO", p.base, a.name);
  }
  out += hls_text_group(p);
  const auto rate = p.fps.to_double();
  for (const auto& v : p.video) {
    const auto codecs = p.audio.empty() ? v.codecs : v.codecs + "," + p.audio.front().codecs;
    out += fmt::format("#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\",RESOLUTION={}x{},FRAME-RATE={:.3f}{}{}\n{}/{}/playlist.m3u8\n",
                       std::max<std::uint64_t>(1, v.peak_bit_s + peak_of(p.audio)), std::max<std::uint64_t>(1, v.average_bit_s + average_of(p.audio)), codecs,
                       v.size.width, v.size.height, rate, p.audio.empty() ? "" : ",AUDIO=\"audio\"", of_text_group(p), p.base, v.name);
  }
  return out;
}

std::string hls_media(const presentation& p, const presented_rendition& r) {
  std::uint64_t longest = r.duration_max;
  for (auto d : r.durations) longest = std::max(longest, d);
  // RFC 8216, 4.3.3.1: each duration, rounded to the nearest integer, is at most the target. It must not change while an
  // EVENT playlist grows, so the nominal length counts too, and what is still to come. Sound follows the picture's segments to
  // an AAC frame, and those are at most 0.7 s longer than nominal, also the last one: a second more is enough for it.
  const auto target = std::max<std::uint64_t>({1, (longest + r.timescale / 2) / r.timescale, (p.segment_ms + 500) / 1000 + (r.kind == track_kind::audio ? 1u : 0u)});
  std::string out = fmt::format("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-PLAYLIST-TYPE:{}\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"{}/{}/init.mp4\"\n",
                                target, p.finished ? "VOD" : "EVENT", p.base, r.name);
  // Differences of rounded ends: rounding each duration by itself would make a long playlist shorter or longer than its media.
  std::uint64_t ticks = 0;
  const auto microseconds = [&] { return (ticks * 1'000'000 + r.timescale / 2) / r.timescale; };
  for (std::size_t i = 0; i < r.durations.size(); ++i) {
    const auto start = microseconds();
    ticks += r.durations[i];
    const auto lasts = microseconds() - start;
    out += fmt::format("#EXTINF:{}.{:06},\n{}/{}/{}.m4s\n", lasts / 1'000'000, lasts % 1'000'000, p.base, r.name, i + 1);
  }
  if (p.finished) out += "#EXT-X-ENDLIST\n";
  return out;
}

std::string hls_text(const presentation& p, const presented_text& t) {
  return fmt::format("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:{}.{:03},\n{}/{}/1.vtt\n#EXT-X-ENDLIST\n",
                     std::max<std::uint64_t>(1, (p.total_ms + 999) / 1000), p.total_ms / 1000, p.total_ms % 1000, p.base, t.name);
}

std::string dash_manifest(const presentation& p) {
  std::string out = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n";
  const auto buffer_s = p.segment_ms * 2 / 1000.0;
  if (p.finished)
    out += fmt::format("<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019\" type=\"static\" mediaPresentationDuration=\"PT{:.3f}S\" minBufferTime=\"PT{:.1f}S\">\n",
                       static_cast<double>(p.total_ms) / 1000.0, buffer_s);
  else
    out += fmt::format("<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019\" type=\"dynamic\" availabilityStartTime=\"{}\" minimumUpdatePeriod=\"PT2S\" minBufferTime=\"PT{:.1f}S\">\n",
                       iso_time(p.available_from_ms), buffer_s);
  out += "  <Period id=\"0\" start=\"PT0S\">\n";
  if (!p.video.empty()) {
    const auto& top = p.video.back().size;
    out += fmt::format("    <AdaptationSet id=\"0\" contentType=\"video\" mimeType=\"video/mp4\" segmentAlignment=\"true\" startWithSAP=\"1\" maxWidth=\"{}\" maxHeight=\"{}\" frameRate=\"{}/{}\">\n",
                       top.width, top.height, p.fps.num, p.fps.den);
    for (const auto& v : p.video)
      out += fmt::format("      <Representation id=\"{}\" bandwidth=\"{}\" codecs=\"{}\" width=\"{}\" height=\"{}\" sar=\"1:1\">\n{}      </Representation>\n", v.name,
                         std::max<std::uint64_t>(1, v.peak_bit_s), v.codecs, v.size.width, v.size.height, segment_template(p, v));
    out += "    </AdaptationSet>\n";
  }
  out += track_sets(p);
  out += "  </Period>\n</MPD>\n";
  return out;
}

expected<std::string> codecs_of(std::string_view init) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(init[i])); };
  if (const auto at = init.find("avcC"); at != std::string_view::npos && at + 8 <= init.size())
    return fmt::format("avc1.{:02x}{:02x}{:02x}", byte(at + 5), byte(at + 6), byte(at + 7));
  // Our audio is always AAC-LC (object type 2 in MPEG-4 audio, object type indication 0x40).
  if (init.find("esds") != std::string_view::npos) return std::string{"mp4a.40.2"};
  return {errc::corrupt, "an init segment names neither H.264 nor AAC"};
}

}  // namespace latham
