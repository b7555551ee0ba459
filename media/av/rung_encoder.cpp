#include "media/av/rung_encoder.hpp"

#include "core/assert.hpp"
#include "core/manifest/manifests.hpp"
#include "core/recipes.hpp"

#include <algorithm>
#include <new>

namespace latham::media {

namespace {

constexpr std::int64_t time_scale_min = 10'000;  // ticks per second: some players round what is coarser

/// The video's last frames, too few for a segment of their own, are in this chunk's last one.
bool ends_in_joined_frames(const source_plan& plan, const chunk_plan& chunk) {
  return chunk.frames > std::uint64_t{segment_count(plan, chunk)} * plan.segment_frames;
}

/// x264 reports a failed allocation as a failure of no kind; with parameters and pictures that are ours, it has no other.
error encoder_error(const char* what, int code) {
  if (code == AVERROR_EXTERNAL) throw std::bad_alloc{};
  return av_error(what, code);
}

}  // namespace

expected<std::unique_ptr<rung_encoder>> rung_encoder::open(task_host& host, const recipe& how, const source_plan& plan,
                                                           const chunk_plan& chunk, std::uint8_t rendition, const colour& tags) {
  LATHAM_ASSERT(rendition < plan.rungs.size());
  const auto& size = plan.rungs[rendition];
  const auto* codec = avcodec_find_encoder_by_name("libx264");
  if (!codec) return {errc::internal, "this build of FFmpeg has no libx264"};
  std::unique_ptr<rung_encoder> out{new rung_encoder{host, plan, chunk, rendition}};
  out->encoder_ = checked(av_codec_context{avcodec_alloc_context3(codec)});
  auto& encoder = *out->encoder_;
  encoder.width = static_cast<int>(size.width);
  encoder.height = static_cast<int>(size.height);
  encoder.pix_fmt = AV_PIX_FMT_YUV420P;
  encoder.sample_aspect_ratio = {1, 1};
  encoder.framerate = to_av(plan.fps.num, plan.fps.den);
  encoder.time_base = to_av(plan.fps.den, plan.fps.num);
  encoder.color_range = AVCOL_RANGE_MPEG;
  encoder.colorspace = tags.matrix;
  encoder.color_primaries = tags.primaries;
  encoder.color_trc = tags.transfer;
  // x264's own interval puts the key frames onto the grid. Forcing them one by one cost 3 % of the bytes: its lookahead does not
  // see a forced one come, and spends on frames that nothing will refer to. They are forced all the same in a chunk whose last
  // segment has frames joined to it: the interval would put one more where those begin.
  out->forces_keys_ = ends_in_joined_frames(plan, chunk);
  const auto interval = out->forces_keys_ ? chunk.frames + 1 : plan.segment_frames;
  encoder.gop_size = static_cast<int>(interval);
  encoder.keyint_min = static_cast<int>(interval);
  encoder.flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_CLOSED_GOP;
  encoder.thread_count = 1;
  encoder.rc_max_rate = std::int64_t{size.maxrate_kbit} * 1000;
  encoder.rc_buffer_size = static_cast<int>(std::min<std::uint64_t>(std::uint64_t{size.maxrate_kbit} * 2000, 2'000'000'000));
  av_dictionary options;
  options.set("preset", how.preset.c_str());
  const auto crf_tenths = crf_tenths_of(how, size);
  options.set("crf", (std::to_string(crf_tenths / 10) + "." + std::to_string(crf_tenths % 10)).c_str());
  options.set("forced-idr", "1");
  // cpu-independent: the same bytes on every CPU, and on one CPU in every run. Diamond search: 2.5 % less time
  // than veryfast's hexagon at nearly the same quality and size. No key frame at a cut: the grid has enough.
  // aq-strength: 0.1 dB more at the same bytes and the same SSIM (docs/performance.md).
  // No partitions of predicted blocks and always three B-frames: a sixth less time in all, and smaller at equal likeness.
  options.set("x264-params", "open-gop=0:cpu-independent=1:me=dia:scenecut=0:aq-strength=0.8:partitions=i8x8,i4x4:b-adapt=0");
  if (const int r = avcodec_open2(&encoder, codec, options.address()); r < 0) return encoder_error("open x264", r);
  if (const char* key = options.left_over()) return error{errc::internal, std::string{"x264 knows no option "} + key};

  auto scale = plan.fps.num;
  while (scale < time_scale_min) scale *= 2;
  const auto first_segment = static_cast<std::uint32_t>(chunk.first_frame / plan.segment_frames);
  auto muxer = cmaf_muxer::open(encoder, to_av(1, scale), first_segment);
  if (!muxer) return std::move(muxer).error();
  out->muxer_ = std::move(muxer).value();
  return out;
}

expected<void> rung_encoder::encode(const AVFrame& picture, std::uint64_t n) {
  av_frame_unref(picture_.get());
  if (const int r = av_frame_ref(picture_.get(), &picture); r < 0) return av_error("hold a picture", r);
  picture_->pts = static_cast<std::int64_t>(n);
  // Set on every frame: a source's own type would be taken as an order. Blanks behind the end must not be referred to.
  const bool starts_segment = forces_keys_ && n < end_frame() && (n - chunk_.first_frame) / plan_.segment_frames < segment_count(plan_, chunk_) && (n - chunk_.first_frame) % plan_.segment_frames == 0;
  picture_->pict_type = n == end_frame() || starts_segment ? AV_PICTURE_TYPE_I : AV_PICTURE_TYPE_NONE;
  picture_->sample_aspect_ratio = {1, 1};
  const int r = avcodec_send_frame(encoder_.get(), picture_.get());
  av_frame_unref(picture_.get());
  if (r < 0) return encoder_error("encode a picture", r);
  return drain();
}

expected<void> rung_encoder::finish() {
  if (const int r = avcodec_send_frame(encoder_.get(), nullptr); r < 0) return encoder_error("flush x264", r);
  if (auto ok = drain(); !ok) return ok;
  if (in_segment_ > 0)
    if (auto ok = end_segment(); !ok) return ok;
  if (written_ != chunk_.frames)
    return {errc::internal, "x264 gave " + std::to_string(written_) + " of " + std::to_string(chunk_.frames) + " frames"};
  return {};
}

expected<void> rung_encoder::drain() {
  for (;;) {
    const int r = avcodec_receive_packet(encoder_.get(), packet_.get());
    if (r == AVERROR(EAGAIN) || r == AVERROR_EOF) return {};
    if (r < 0) return encoder_error("encode a picture", r);
    if (packet_->pts >= static_cast<std::int64_t>(end_frame())) {
      av_packet_unref(packet_.get());
      continue;
    }
    if (in_segment_ > 0 && in_segment_ == segment_frames_of(plan_, segment())) {
      if (auto ok = end_segment(); !ok) return ok;
      if ((packet_->flags & AV_PKT_FLAG_KEY) == 0) return {errc::internal, "segment " + std::to_string(segment()) + " starts without a key frame"};
    }
    packet_->duration = 1;  // libx264 leaves it at 0; the grid is constant
    ++in_segment_;
    const stage_clock::scope stage{host_.clock, &ports::engine_usage::mux_us};
    if (auto ok = muxer_->write(*packet_); !ok) return ok;
  }
}

expected<void> rung_encoder::end_segment() {
  const stage_clock::scope stage{host_.clock, &ports::engine_usage::mux_us};
  auto bytes = muxer_->cut();
  if (!bytes) return std::move(bytes).error();
  if (!init_sent_) {
    init_sent_ = true;
    auto sent = host_.piece(chunk_.index, track_kind::video, rendition_, output_entry::init_segment, 0, muxer_->init_segment());
    if (!sent) return sent;
  }
  const auto number = segment();
  const auto frames = segment_frames_of(plan_, number);
  if (in_segment_ != frames)
    return {errc::internal, "segment " + std::to_string(number) + " has " + std::to_string(in_segment_) + " frames instead of " +
                              std::to_string(frames)};
  written_ += in_segment_;
  const auto duration = std::exchange(in_segment_, 0);
  return host_.piece(chunk_.index, track_kind::video, rendition_, number, duration, *bytes);
}

}  // namespace latham::media
