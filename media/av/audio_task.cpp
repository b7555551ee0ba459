#include "media/av/audio_task.hpp"

#include "core/assert.hpp"
#include "media/audio_segments.hpp"
#include "media/av/cmaf_muxer.hpp"
#include "media/av/finite_samples.hpp"
#include "media/av/input.hpp"
#include "media/av/same_instructions.hpp"
#include "media/timestamps.hpp"

extern "C" {
#include <libavutil/channel_layout.h>
#include <libavutil/mathematics.h>
#include <libavutil/samplefmt.h>
}

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

namespace latham::media {

namespace {

constexpr std::int64_t resync_ms = 50;  // timestamps that are off by less are rounding, not a gap
constexpr int damaged_reads_max = 1000;
// Before a part of the source, in seconds: enough for a decoder to settle; then for containers that land late.
constexpr std::array<std::int64_t, 2> landing_tries_s = {2, 30};
constexpr int sample_rate_max = 768'000;

class channel_layout {
public:
  channel_layout() = default;
  ~channel_layout() { av_channel_layout_uninit(&layout_); }
  channel_layout(const channel_layout&) = delete;
  channel_layout& operator=(const channel_layout&) = delete;
  [[nodiscard]] AVChannelLayout* get() noexcept { return &layout_; }
  [[nodiscard]] const AVChannelLayout* get() const noexcept { return &layout_; }

private:
  AVChannelLayout layout_{};
};

/// Samples on the output's clock in, AAC segments out.
class track_encoder {
public:
  track_encoder(const ports::engine_task& task, task_host& host)
    : task_{task},
      host_{host},
      rate_{static_cast<int>(task.how.audio_rate_hz)},
      channels_{static_cast<int>(task.how.audio_channels)},
      total_{audio_samples(task.plan, task.how.audio_rate_hz)} {}

  expected<void> open() {
    const auto* codec = avcodec_find_encoder_by_name("aac");
    if (!codec) return {errc::internal, "this build of FFmpeg has no AAC encoder"};
    encoder_ = checked(av_codec_context{avcodec_alloc_context3(codec)});
    encoder_->sample_rate = rate_;
    encoder_->sample_fmt = AV_SAMPLE_FMT_FLTP;
    const auto kbit = task_.plan.audio[task_.audio_index].kbit;
    encoder_->bit_rate = std::int64_t{kbit != 0 ? kbit : task_.how.audio_kbit} * 1000;
    encoder_->time_base = {1, rate_};
    encoder_->thread_count = 1;
    encoder_->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
    av_channel_layout_default(&encoder_->ch_layout, channels_);
    if (const int r = avcodec_open2(encoder_.get(), codec, nullptr); r < 0) return av_error("open the AAC encoder", r);
    LATHAM_ASSERT(encoder_->frame_size == static_cast<int>(aac_frame_samples));
    auto muxer = cmaf_muxer::open(*encoder_, {1, rate_}, 0);
    if (!muxer) return std::move(muxer).error();
    muxer_ = std::move(muxer).value();
    pending_.reset(av_audio_fifo_alloc(AV_SAMPLE_FMT_FLTP, channels_, rate_));
    if (!pending_) throw std::bad_alloc{};
    return {};
  }

  [[nodiscard]] int rate() const noexcept { return rate_; }
  [[nodiscard]] AVChannelLayout& layout() const noexcept { return encoder_->ch_layout; }
  /// Position of the next sample, and how many there are to be.
  [[nodiscard]] std::int64_t position() const noexcept { return position_; }
  [[nodiscard]] std::int64_t total() const noexcept { return static_cast<std::int64_t>(total_); }
  [[nodiscard]] bool full() const noexcept { return position_ >= total(); }

  /// Appends planar float samples; what lies past the end is dropped.
  expected<void> append(float* const* planes, std::int64_t count) {
    count = std::min(count, total() - position_);
    if (count <= 0) return {};
    std::array<void*, 2> data{};
    for (int c = 0; c < channels_; ++c) data[static_cast<std::size_t>(c)] = planes[c];
    if (const int r = av_audio_fifo_write(pending_.get(), data.data(), static_cast<int>(count)); r < 0) return av_error("buffer sound", r);
    position_ += count;
    return encode_whole_frames();
  }
  expected<void> append_silence(std::int64_t count) {
    std::vector<float> zeros(aac_frame_samples, 0.0F);
    const std::array<float*, 2> planes{zeros.data(), zeros.data()};
    count = std::min(count, total() - position_);
    while (count > 0) {
      const auto some = std::min<std::int64_t>(count, aac_frame_samples);
      if (auto ok = append(planes.data(), some); !ok) return ok;
      count -= some;
    }
    return {};
  }

  expected<void> finish() {
    if (auto ok = append_silence(total() - position_); !ok) return ok;
    if (const auto left = av_audio_fifo_size(pending_.get()); left > 0)
      if (auto ok = encode_frame(left); !ok) return ok;
    if (const int r = avcodec_send_frame(encoder_.get(), nullptr); r < 0) return av_error("flush the AAC encoder", r);
    if (auto ok = drain(); !ok) return ok;
    if (in_segment_ > 0)
      if (auto ok = end_segment(); !ok) return ok;
    return {};
  }

private:
  expected<void> encode_whole_frames() {
    while (av_audio_fifo_size(pending_.get()) >= static_cast<int>(aac_frame_samples))
      if (auto ok = encode_frame(aac_frame_samples); !ok) return ok;
    return {};
  }

  expected<void> encode_frame(int samples) {
    const stage_clock::scope stage{host_.clock, &ports::engine_usage::encode_us};
    auto frame = make_frame_handle();
    frame->nb_samples = samples;
    frame->format = AV_SAMPLE_FMT_FLTP;
    frame->sample_rate = rate_;
    if (const int r = av_channel_layout_copy(&frame->ch_layout, &encoder_->ch_layout); r < 0) return av_error("describe sound", r);
    if (const int r = av_frame_get_buffer(frame.get(), 0); r < 0) return av_error("allocate sound", r);
    std::array<void*, 2> data{};
    for (int c = 0; c < channels_; ++c) data[static_cast<std::size_t>(c)] = frame->extended_data[c];
    if (av_audio_fifo_read(pending_.get(), data.data(), samples) != samples) return {errc::internal, "the sound buffer came up short"};
    frame->pts = encoded_;
    encoded_ += samples;
    if (const int r = avcodec_send_frame(encoder_.get(), frame.get()); r < 0) return av_error("encode sound", r);
    return drain();
  }

  expected<void> drain() {
    for (;;) {
      const int r = avcodec_receive_packet(encoder_.get(), packet_.get());
      if (r == AVERROR(EAGAIN) || r == AVERROR_EOF) return {};
      if (r < 0) return av_error("encode sound", r);
      const auto pts = packet_->pts;
      if (pts < 0 || packet_->duration <= 0) {  // priming; and nothing may be longer than the picture
        av_packet_unref(packet_.get());
        continue;
      }
      if (in_segment_ > 0 && pts >= static_cast<std::int64_t>(audio_segment_start(task_.plan, task_.how.audio_rate_hz, segment_ + 1)))
        if (auto ok = end_segment(); !ok) return ok;
      in_segment_ += packet_->duration;
      written_ += packet_->duration;
      const stage_clock::scope stage{host_.clock, &ports::engine_usage::mux_us};
      if (auto ok = muxer_->write(*packet_); !ok) return ok;
    }
  }

  expected<void> end_segment() {
    const stage_clock::scope stage{host_.clock, &ports::engine_usage::mux_us};
    auto segment = muxer_->cut();
    if (!segment) return std::move(segment).error();
    const auto rendition = static_cast<std::uint8_t>(task_.audio_index);
    if (!init_sent_) {
      init_sent_ = true;
      auto sent = host_.piece(0, track_kind::audio, rendition, output_entry::init_segment, 0, muxer_->init_segment());
      if (!sent) return sent;
    }
    const auto duration = static_cast<std::uint32_t>(std::exchange(in_segment_, 0));
    if (auto sent = host_.piece(0, track_kind::audio, rendition, segment_, duration, *segment); !sent) return sent;
    // A segment shorter than an AAC frame owns none; its number is left out.
    do ++segment_;
    while (static_cast<std::int64_t>(audio_segment_start(task_.plan, task_.how.audio_rate_hz, segment_ + 1)) <= written_ &&
           written_ < total());
    return host_.progress(static_cast<std::uint64_t>(written_));
  }

  const ports::engine_task& task_;
  task_host& host_;
  const int rate_;
  const int channels_;
  const std::uint64_t total_;
  av_codec_context encoder_;
  std::unique_ptr<cmaf_muxer> muxer_;
  av_audio_fifo pending_;
  av_packet packet_ = make_packet_handle();
  std::int64_t position_ = 0;  // samples appended
  std::int64_t encoded_ = 0;   // samples given to the encoder
  std::int64_t written_ = 0;   // samples in packets
  std::int64_t in_segment_ = 0;
  std::uint32_t segment_ = 0;
  bool init_sent_ = false;
};

/// Decoded frames of any shape in, samples of the output's shape at the right place out.
class track_resampler {
public:
  track_resampler(track_encoder& to, AVRational time_base, std::int64_t origin_samples)
      : to_{to}, time_base_{time_base}, origin_{origin_samples} {}

  expected<void> take(const AVFrame& frame) {
    if (frame.nb_samples <= 0 || frame.sample_rate <= 0 || frame.sample_rate > sample_rate_max) return {};
    if (auto ok = fit(frame); !ok) return ok;
    const auto stamp = frame.pts != AV_NOPTS_VALUE ? frame.pts : frame.best_effort_timestamp;
    // Samples inside the resampler belong before this frame's first one.
    const auto waiting = swr_get_delay(resampler_.get(), to_.rate());
    const auto at = stamp == AV_NOPTS_VALUE ? to_.position() + waiting : av_rescale_q(stamp, time_base_, {1, to_.rate()}) - origin_;
    const auto off = at - waiting - to_.position();
    std::int64_t skip = 0;
    if (!aligned_ || std::abs(off) > resync_ms * to_.rate() / 1000) {
      aligned_ = true;
      if (off > 0) {
        // A flushed resampler is at the end of its stream; what follows the gap gets a new one.
        if (auto ok = flush(); !ok) return ok;
        resampler_.reset();
        if (auto ok = to_.append_silence(at - to_.position()); !ok) return ok;
        if (auto ok = fit(frame); !ok) return ok;
      } else {
        skip = -off;
      }
    }
    return convert(frame.extended_data, frame.nb_samples, skip);
  }

  /// Something is missing before the next frame: it goes to its very place, and silence fills the hole.
  void align_anew() { aligned_ = false; }

  /// Position on the output of what is shown at `stamp`, or of what comes next.
  [[nodiscard]] std::int64_t position_of(std::int64_t stamp) const {
    return stamp == AV_NOPTS_VALUE ? to_.position() : av_rescale_q(stamp, time_base_, {1, to_.rate()}) - origin_;
  }

  /// What the resampler still holds.
  expected<void> flush() {
    if (!resampler_) return {};
    return convert(nullptr, 0, 0);
  }

private:
  expected<void> fit(const AVFrame& frame) {
    if (resampler_ && frame.format == format_ && frame.sample_rate == rate_ &&
        av_channel_layout_compare(&frame.ch_layout, layout_.get()) == 0)
      return {};
    if (auto ok = flush(); !ok) return ok;
    channel_layout in;
    // A layout that names no channels is taken as the usual one of that many.
    if (frame.ch_layout.order == AV_CHANNEL_ORDER_UNSPEC)
      av_channel_layout_default(in.get(), frame.ch_layout.nb_channels);
    else if (av_channel_layout_copy(in.get(), &frame.ch_layout) < 0)
      throw std::bad_alloc{};
    SwrContext* raw = nullptr;
    int r = swr_alloc_set_opts2(&raw, &to_.layout(), AV_SAMPLE_FMT_FLTP, to_.rate(), in.get(), static_cast<AVSampleFormat>(frame.format),
                                frame.sample_rate, 0, nullptr);
    resampler_.reset(raw);
    if (r >= 0) r = swr_init(raw);
    if (r == AVERROR(ENOMEM)) throw std::bad_alloc{};
    if (r < 0) return {errc::unprocessable, "The sound's channels cannot be mixed down: convert it to stereo first."};
    format_ = frame.format;
    rate_ = frame.sample_rate;
    if (av_channel_layout_copy(layout_.get(), &frame.ch_layout) < 0) throw std::bad_alloc{};
    return {};
  }

  expected<void> convert(std::uint8_t** data, int samples, std::int64_t skip) {
    const int room = swr_get_out_samples(resampler_.get(), samples);
    if (room < 0) return av_error("resample sound", room);
    if (room == 0) return {};
    const auto channels = static_cast<std::size_t>(to_.layout().nb_channels);
    samples_.assign(channels * static_cast<std::size_t>(room), 0.0F);
    std::array<std::uint8_t*, 2> out{};
    std::array<float*, 2> planes{};
    for (std::size_t c = 0; c < channels; ++c) {
      planes[c] = samples_.data() + c * static_cast<std::size_t>(room);
      out[c] = reinterpret_cast<std::uint8_t*>(planes[c]);
    }
    const int got = swr_convert(resampler_.get(), out.data(), room, const_cast<const std::uint8_t**>(data), samples);
    if (got < 0) return av_error("resample sound", got);
    for (std::size_t c = 0; c < channels; ++c) make_finite(planes[c], got);
    if (skip > got) {
      aligned_ = false;  // the next frame has to be cut too, however little is left of the overlap
      return {};
    }
    for (auto& plane : planes)
      if (plane) plane += skip;
    return to_.append(planes.data(), got - skip);
  }

  track_encoder& to_;
  const AVRational time_base_;
  const std::int64_t origin_;
  av_resampler resampler_;
  channel_layout layout_;  // of the frames that the resampler was made for
  int format_ = -1;
  int rate_ = 0;
  bool aligned_ = false;
  std::vector<float> samples_;
};

/// Counts what the decoder refused, in samples of the output.
///
/// A recording begins and ends in the middle of a packet, which is no damage; what lies between two that can be decoded is.
class lost_sound {
public:
  lost_sound(std::int64_t total, int rate) : total_{total}, edge_max_{edge_ms_max * rate / 1000} {}

  void refuse(std::int64_t at, std::int64_t samples) {
    if (at >= total_) return;
    const auto from = std::max({at, counted_, std::int64_t{0}});
    const auto to = std::min(at + samples, total_);
    if (from >= to) return;
    counted_ = to;
    if (waiting_ == 0) waiting_first_ = from;
    waiting_ += to - from;
  }
  /// Something could be decoded. True when sound before it is missing.
  bool go_on() {
    const bool missing = waiting_ > 0;
    settle(!std::exchange(began_, true));
    return missing;
  }
  findings finish() {
    settle(true);
    return found_;
  }

private:
  static constexpr std::int64_t edge_ms_max = 100;

  void settle(bool edge) {
    const auto lost = std::exchange(waiting_, 0);
    if (lost == 0 || (edge && lost <= edge_max_)) return;
    if (found_.lost == 0) found_.first_lost = static_cast<std::uint64_t>(waiting_first_);
    found_.lost += static_cast<std::uint64_t>(lost);
  }

  const std::int64_t total_;
  const std::int64_t edge_max_;
  std::int64_t counted_ = 0;        // nothing before this counts again
  std::int64_t waiting_ = 0;        // refused since the last that could be decoded
  std::int64_t waiting_first_ = 0;
  bool began_ = false;
  findings found_;
};

/// Packets in file order in, the same with times on the plan's clock out; a time that cannot be believed is taken away, and the
/// sound then goes on where it is.
class packet_clock {
public:
  packet_clock(const source_plan& plan, AVRational time_base)
    : time_base_{time_base}, line_{{av_rescale_q(1, AVRational{1, 1}, time_base), av_rescale_q(1, AVRational{1, 1}, time_base), 0, false}} {
    const auto video = to_av(plan.time_base.num, plan.time_base.den);
    for (const auto& s : plan.shifts) shifts_.push_back({s.offset, av_rescale_q(s.add, video, time_base)});
  }

  void push(av_packet packet) {
    const auto stamp = packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts;
    auto time = stamp != AV_NOPTS_VALUE ? stamp : expected_.value_or(0);
    if (packet->pos >= 0) offset_ = static_cast<std::uint64_t>(packet->pos);
    if (!shifts_.empty() && stamp != AV_NOPTS_VALUE) {
      const auto add = shift_near(shifts_, offset_, time, expected_);
      if (__builtin_add_overflow(time, add, &time)) time = stamp;
    }
    const auto duration = std::clamp<std::int64_t>(packet->duration, 0, INT32_MAX);
    // Where the next one is looked for follows what is near, or what insists.
    const auto near = av_rescale_q(near_s, AVRational{1, 1}, time_base_);
    const auto off = expected_ ? static_cast<double>(time) - static_cast<double>(*expected_) : 0;
    if (std::abs(off) <= static_cast<double>(near) || ++strays_ > strays_max) {
      strays_ = 0;
      expected_ = std::clamp(time, -(INT64_MAX / 2), INT64_MAX / 2) + duration;
    }
    packets_.push_back(std::move(packet));
    if (const auto judged = line_.push({offset_, time, duration, stamp != AV_NOPTS_VALUE})) settle(*judged);
  }
  void end() {
    while (const auto judged = line_.finish()) settle(*judged);
  }
  /// Null when none is settled.
  av_packet pop() {
    if (settled_ == 0) return {};
    --settled_;
    auto out = std::move(packets_.front());
    packets_.pop_front();
    return out;
  }

private:
  static constexpr std::int64_t near_s = 10;
  static constexpr int strays_max = 8;

  void settle(const time_line::verdict& v) {
    auto& packet = *packets_[settled_++];
    packet.dts = AV_NOPTS_VALUE;
    packet.pts = v.believed && v.packet.tag != 0 ? v.packet.time : AV_NOPTS_VALUE;
  }

  const AVRational time_base_;
  time_line line_;
  std::vector<time_shift> shifts_;  // in time_base_
  std::deque<av_packet> packets_;
  std::size_t settled_ = 0;  // of packets_
  std::optional<std::int64_t> expected_;
  std::uint64_t offset_ = 0;
  int strays_ = 0;
};

/// The packets of one sound, in file order; from a little before the part that is wanted.
class sound_source {
public:
  sound_source(const ports::engine_task& task, task_host& host, unsigned index) : task_{task}, host_{host}, index_{index} {}

  expected<void> open() {
    const auto& plan = task_.plan;
    if (auto ok = reopen(); !ok) return ok;
    // A clock that starts anew is no order to search in.
    if (plan.skipped_frames == 0 || !plan.shifts.empty()) return {};
    const auto base = in_.stream(index_)->time_base;
    const auto wanted = av_rescale_q(plan.origin_pts, to_av(plan.time_base.num, plan.time_base.den), base);
    for (const auto seconds : landing_tries_s) {
      const auto target = wanted - av_rescale_q(seconds, AVRational{1, 1}, base);
      if (av_seek_frame(in_.demuxer.get(), static_cast<int>(index_), target, AVSEEK_FLAG_BACKWARD) >= 0) {
        auto first = read();
        if (!first) return std::move(first).error();
        first_ = std::move(*first);
        if (first_ && first_->pts != AV_NOPTS_VALUE && first_->pts <= wanted) return {};
        first_.reset();
      }
      if (in_.io->failure().code != errc::none) return in_.io->failure();
    }
    return reopen();
  }

  [[nodiscard]] const input& in() const noexcept { return in_; }

  /// Null at the end.
  expected<av_packet> next() {
    if (first_) return std::move(first_);
    return read();
  }

private:
  expected<void> reopen() {
    const stage_clock::scope stage{host_.clock, &ports::engine_usage::demux_us};
    in_.demuxer.reset();
    auto opened = open_input(host_, task_.source_bytes);
    if (!opened) return std::move(opened).error();
    in_ = std::move(opened).value();
    const auto* stream = in_.stream(index_);
    if (!stream || in_.container != task_.plan.container || stream->codecpar->codec_type != AVMEDIA_TYPE_AUDIO)
      return {errc::corrupt, "the source is not the one that was planned"};
    in_.use_only(index_);
    return {};
  }

  expected<av_packet> read() {
    const stage_clock::scope stage{host_.clock, &ports::engine_usage::demux_us};
    for (;;) {
      auto packet = make_packet_handle();
      const int r = av_read_frame(in_.demuxer.get(), packet.get());
      if (in_.io->failure().code != errc::none) return in_.io->failure();
      if (r == AVERROR(ENOMEM)) throw std::bad_alloc{};
      if (r == AVERROR_EOF || (r < 0 && (++failures_ > damaged_reads_max || avio_feof(in_.demuxer->pb)))) return av_packet{};
      if (r >= 0 && packet->stream_index == static_cast<int>(index_)) return packet;
    }
  }

  const ports::engine_task& task_;
  task_host& host_;
  const unsigned index_;
  input in_;
  av_packet first_;  // read to see where a search landed
  int failures_ = 0;
};

}  // namespace

expected<void> run_audio_task(const ports::engine_task& task, task_host& host) {
  const same_instructions instructions;
  const auto index = task.plan.audio[task.audio_index].stream_index;
  sound_source source{task, host, index};
  if (auto ok = source.open(); !ok) return ok;
  const auto& in = source.in();
  const auto* stream = in.stream(index);
  auto decoder = open_decoder(*stream);
  if (!decoder) return std::move(decoder).error();

  track_encoder encoder{task, host};
  if (auto ok = encoder.open(); !ok) return ok;
  const auto video_time_base = to_av(task.plan.time_base.num, task.plan.time_base.den);
  track_resampler resampler{encoder, stream->time_base, av_rescale_q(task.plan.origin_pts, video_time_base, {1, encoder.rate()})};

  packet_clock clock{task.plan, stream->time_base};
  auto frame = make_frame_handle();
  lost_sound lost{encoder.total(), encoder.rate()};
  // A packet that cannot be decoded leaves a gap, and gaps are filled.
  const auto refuse = [&](const AVPacket* some) {
    if (!some || some->size == 0 || (some->flags & AV_PKT_FLAG_DISCARD) != 0) return;
    auto samples = av_rescale_q(std::clamp<std::int64_t>(some->duration, 0, INT32_MAX), stream->time_base, {1, encoder.rate()});
    if (const auto* d = decoder->get(); samples == 0 && d->frame_size > 0 && d->sample_rate > 0)
      samples = av_rescale(d->frame_size, encoder.rate(), d->sample_rate);
    lost.refuse(resampler.position_of(some->pts), samples);
  };
  const auto decode = [&](AVPacket* some) -> expected<void> {
    const stage_clock::scope stage{host.clock, &ports::engine_usage::decode_us};
    const int sent = avcodec_send_packet(decoder->get(), some);
    if (sent == AVERROR(ENOMEM)) throw std::bad_alloc{};
    if (sent < 0) refuse(some);
    for (;;) {
      const int got = avcodec_receive_frame(decoder->get(), frame.get());
      if (got == AVERROR(ENOMEM)) throw std::bad_alloc{};
      if (got < 0 && got != AVERROR(EAGAIN) && got != AVERROR_EOF) refuse(some);
      if (got < 0) return {};
      if (lost.go_on()) resampler.align_anew();
      if (auto ok = resampler.take(*frame); !ok) return ok;
    }
  };
  while (!encoder.full()) {
    auto packet = source.next();
    if (!packet) return std::move(packet).error();
    if (!*packet) break;
    clock.push(std::move(*packet));
    if (const auto ready = clock.pop())
      if (auto ok = decode(ready.get()); !ok) return ok;
  }
  clock.end();
  for (auto ready = clock.pop(); ready && !encoder.full(); ready = clock.pop())
    if (auto ok = decode(ready.get()); !ok) return ok;
  if (auto ok = decode(nullptr); !ok) return ok;
  if (!encoder.full())
    if (auto ok = resampler.flush(); !ok) return ok;
  if (auto ok = encoder.finish(); !ok) return ok;
  return host.chunk_done(0, lost.finish());
}

}  // namespace latham::media
