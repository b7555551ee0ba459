#include "media/av/promises.hpp"

#include <algorithm>

namespace latham::media {

namespace {

// Less than this is rounding, or an encoder's padding.
constexpr std::int64_t missing_us_max = 2 * AV_TIME_BASE;
constexpr std::int64_t missing_part_max = 20;  // of what is promised
constexpr std::uint32_t riff_bytes_unknown = 0x7fff'0000;  // what is written where the length was not known: this or more, or 0

bool promises_length(const input& in) { return in.container == "matroska" || in.container == "flv" || in.container == "flac"; }

/// Samples that the index has beyond the last byte.
bool index_goes_on(const input& in, const AVStream& stream) {
  const auto type = stream.codecpar->codec_type;
  if ((type != AVMEDIA_TYPE_VIDEO && type != AVMEDIA_TYPE_AUDIO) || (stream.disposition & AV_DISPOSITION_ATTACHED_PIC) != 0) return false;
  const auto* last = avformat_index_get_entry(const_cast<AVStream*>(&stream), avformat_index_get_entries_count(&stream) - 1);
  return last && last->pos >= 0 && static_cast<std::uint64_t>(last->pos) + static_cast<std::uint64_t>(last->size) > in.io->size();
}

bool is_much(std::int64_t missing, std::int64_t promised) { return missing > missing_us_max && missing > promised / missing_part_max; }

}  // namespace

bool counts_in_promise(const input& in, const AVStream& stream) {
  return stream.codecpar->codec_type == AVMEDIA_TYPE_SUBTITLE && promises_length(in);
}

expected<bool> ends_early(const input& in, std::int64_t end_us) {
  // Where a clock begins late, some muxers count what they promise from zero, others from the first packet: the doubt is the file's.
  const auto begin_us = in.demuxer->start_time != AV_NOPTS_VALUE ? in.demuxer->start_time : 0;
  const auto there_us = end_us - std::min<std::int64_t>(begin_us, 0);
  if (in.container == "mov") {
    for (unsigned i = 0; i < in.demuxer->nb_streams; ++i)
      if (index_goes_on(in, *in.demuxer->streams[i])) return true;
    return false;
  }
  if (in.container == "avi" || in.container == "wav") {
    auto* bytes = in.demuxer->pb;
    if (avio_seek(bytes, 4, SEEK_SET) < 0) return false;
    const auto promised = avio_rl32(bytes);
    if (in.io->failure().code != errc::none) return in.io->failure();
    const auto there = in.io->size();
    if (promised == 0 || promised >= riff_bytes_unknown || promised <= there) return false;
    const auto missing_us = static_cast<double>(promised - there) / static_cast<double>(there) * static_cast<double>(there_us);
    return missing_us < static_cast<double>(INT64_MAX / 2) && is_much(static_cast<std::int64_t>(missing_us), there_us + static_cast<std::int64_t>(missing_us));
  }
  const auto promised = in.demuxer->duration;
  if (!promises_length(in) || promised == AV_NOPTS_VALUE || promised <= 0) return false;
  return is_much(promised - there_us, promised);
}

}  // namespace latham::media
