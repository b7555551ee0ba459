// Packets of one rendition in, CMAF init segment and media segments out, in memory.
//
// libavformat's mp4 muxer makes the boxes. It is told the number of the first segment and given absolute timestamps, so
// tfdt and mfhd come out the same whichever worker makes a chunk, and the init segment is equal over all chunks: stitching
// chunks together is writing a manifest. Video has an edit list that takes the encoder's reordering delay back out; audio
// has none, its first packet (the encoder's priming) is dropped by the caller instead.
#pragma once

#include "core/expected.hpp"
#include "media/av/handles.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace latham::media {

class cmaf_muxer {
public:
  /// `encoder` is open; `time_base` is what the packets will be in after `write` rescaled them from the encoder's. Its
  /// denominator becomes the track's time scale.
  [[nodiscard]] static expected<std::unique_ptr<cmaf_muxer>> open(const AVCodecContext& encoder, AVRational time_base,
                                                                  std::uint32_t first_segment);
  cmaf_muxer(const cmaf_muxer&) = delete;
  cmaf_muxer& operator=(const cmaf_muxer&) = delete;

  /// Adds a packet in the encoder's time base, with its duration set; the packet is blank afterwards.
  [[nodiscard]] expected<void> write(AVPacket& packet);

  /// Ends the segment: all packets since the last cut, of which there must be one. Its styp, moof and mdat.
  [[nodiscard]] expected<std::string> cut();

  /// ftyp and moov; empty before the first cut.
  [[nodiscard]] const std::string& init_segment() const noexcept { return init_; }

private:
  cmaf_muxer() = default;
  expected<void> flush();

  std::string written_;
  std::string init_;
  AVRational encoder_time_base_{0, 1};
  av_io_context io_;
  av_output_context muxer_;  // before io_ in destruction: it points there
};

}  // namespace latham::media
