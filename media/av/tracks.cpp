#include "media/av/tracks.hpp"

#include "media/text_cues.hpp"

#include <algorithm>
#include <string_view>

namespace latham::media {

namespace {

constexpr std::size_t language_bytes_max = 35;
constexpr std::size_t track_notes_max = 8;

}  // namespace

std::string language_of(const AVStream& stream) {
  const auto* entry = av_dict_get(stream.metadata, "language", nullptr, 0);
  if (!entry) return "und";
  const std::string_view text{entry->value};
  const bool sane = !text.empty() && text.size() <= language_bytes_max && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
  });
  return sane ? std::string{text} : "und";
}

void find_audio(const input& in, source_plan& plan) {
  for (unsigned i = 0; i < in.demuxer->nb_streams && plan.audio.size() < audio_tracks_max; ++i) {
    const auto& other = *in.demuxer->streams[i];
    if (other.codecpar->codec_type != AVMEDIA_TYPE_AUDIO) continue;
    if (!has_decoder(other) || other.codecpar->sample_rate <= 0) {
      if (plan.notes.size() < track_notes_max) plan.notes.push_back("A sound track is left out: its format cannot be decoded.");
      continue;
    }
    plan.audio.push_back({i, language_of(other)});
  }
}

void find_text(const input& in, source_plan& plan) {
  std::size_t pictures = 0, foreign = 0, beyond = 0;
  for (unsigned i = 0; i < in.demuxer->nb_streams; ++i) {
    const auto& stream = *in.demuxer->streams[i];
    if (stream.codecpar->codec_type != AVMEDIA_TYPE_SUBTITLE) continue;
    const auto* descriptor = avcodec_descriptor_get(stream.codecpar->codec_id);
    if (descriptor && (descriptor->props & AV_CODEC_PROP_BITMAP_SUB) != 0) {
      ++pictures;
    } else if (!has_decoder(stream)) {
      ++foreign;
    } else if (plan.text.size() == text_tracks_max) {
      ++beyond;
    } else {
      const auto* title = av_dict_get(stream.metadata, "title", nullptr, 0);
      plan.text.push_back({i, language_of(stream), title ? clean_title(title->value) : std::string{}, (stream.disposition & AV_DISPOSITION_FORCED) != 0});
    }
  }
  const auto note = [&](std::size_t n, const char* why) {
    if (n == 0) return;
    plan.notes.push_back(n == 1 ? std::string{"A subtitle track is left out: "} + why : std::to_string(n) + " subtitle tracks are left out: " + why);
  };
  note(pictures, "pictures of words are not made into text.");
  note(foreign, "the format cannot be decoded.");
  note(beyond, "Latham keeps eight.");
}

}  // namespace latham::media
