#include "media/av/tracks.hpp"

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

}  // namespace latham::media
