// One rung of one chunk: pictures of the rung's size in, x264, CMAF pieces out.
//
// One encoder thread: with more, rate control under a VBV is not repeatable, and repeated or hedged work must give the same
// bytes. CRF with a cap (maxrate, buffer of two seconds of it). x264's key frame interval is the segment: an IDR at
// every segment border and nowhere else, whatever the scenes do, but where the few frames begin that were joined to the last
// segment.
#pragma once

#include "core/expected.hpp"
#include "core/model.hpp"
#include "media/av/cmaf_muxer.hpp"
#include "media/av/handles.hpp"
#include "media/av/task_host.hpp"

#include <cstdint>
#include <memory>

namespace latham::media {

/// How the samples are to be read; the same for every rung and chunk of a job.
struct colour {
  AVColorSpace matrix = AVCOL_SPC_BT709;
  AVColorPrimaries primaries = AVCOL_PRI_BT709;
  AVColorTransferCharacteristic transfer = AVCOL_TRC_BT709;
};

class rung_encoder {
public:
  /// `rendition` indexes plan.rungs. All arguments outlive the encoder.
  [[nodiscard]] static expected<std::unique_ptr<rung_encoder>> open(task_host& host, const recipe& how, const source_plan& plan,
                                                                    const chunk_plan& chunk, std::uint8_t rendition, const colour& tags);

  /// Encodes `picture` (yuv420p, the rung's size) as frame `n` of the output grid. Frames come without a gap from
  /// chunk.first_frame; those at or past the chunk's end only push the encoder along and are not written.
  [[nodiscard]] expected<void> encode(const AVFrame& picture, std::uint64_t n);

  /// Flushes and hands over the last segment. Fails with errc::internal unless every frame came out.
  [[nodiscard]] expected<void> finish();

private:
  rung_encoder(task_host& host, const source_plan& plan, const chunk_plan& chunk, std::uint8_t rendition)
    : host_{host}, plan_{plan}, chunk_{chunk}, rendition_{rendition} {}
  expected<void> drain();
  expected<void> end_segment();
  [[nodiscard]] std::uint64_t end_frame() const noexcept { return chunk_.first_frame + chunk_.frames; }
  /// The number of the segment under way.
  [[nodiscard]] std::uint32_t segment() const noexcept { return static_cast<std::uint32_t>((chunk_.first_frame + written_) / plan_.segment_frames); }

  task_host& host_;
  const source_plan& plan_;
  const chunk_plan& chunk_;
  const std::uint8_t rendition_;
  av_codec_context encoder_;
  std::unique_ptr<cmaf_muxer> muxer_;
  av_frame picture_ = make_frame_handle();
  av_packet packet_ = make_packet_handle();
  std::uint32_t in_segment_ = 0;
  std::uint64_t written_ = 0;
  bool init_sent_ = false;
  bool forces_keys_ = false;
};

}  // namespace latham::media
