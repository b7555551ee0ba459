#include "media/child_protocol.hpp"

#include "core/assert.hpp"
#include "core/digest.hpp"
#include "core/recipes.hpp"

#include <algorithm>
#include <array>

namespace latham::media {

namespace {

constexpr std::uint32_t small_payload_bytes_max = 4 * 1024;
constexpr std::uint32_t head_slack_bytes = 64;
constexpr std::uint32_t task_payload_bytes_max = 8 * 1024 * 1024;  // a run of chunks as long as a day of video
constexpr std::uint32_t plan_payload_bytes_max = 256 * 1024;
constexpr std::size_t text_bytes_max = 200;
constexpr std::size_t notes_max = 16;
constexpr std::uint32_t audio_kbit_max = 512;

std::uint32_t checksum(frame_type type, std::string_view head, std::string_view bulk) {
  const auto tag = static_cast<char>(type);
  return crc32c(bulk, crc32c(head, crc32c(std::string_view{&tag, 1})));
}

error corrupt(const char* why) { return {errc::corrupt, std::string{"codec protocol: "} + why}; }
error invalid(const char* why) { return {errc::invalid_argument, std::string{"codec task: "} + why}; }

bool is_even_size(std::uint32_t width, std::uint32_t height) {
  return width >= 2 && height >= 2 && width % 2 == 0 && height % 2 == 0 && width <= dimension_max && height <= dimension_max;
}

}  // namespace

std::uint32_t payload_bytes_max(frame_type type) noexcept {
  switch (type) {
    case frame_type::hello:
    case frame_type::read:
    case frame_type::supply_error:
    case frame_type::chunk_done:
    case frame_type::progress:
    case frame_type::end: return small_payload_bytes_max;
    case frame_type::task: return task_payload_bytes_max;
    case frame_type::supply: return ports::engine_read_bytes_max + head_slack_bytes;
    case frame_type::plan: return plan_payload_bytes_max;
    case frame_type::piece: return piece_bytes_max + head_slack_bytes;
  }
  return 0;
}

std::string make_frame(frame_type type, std::string_view payload) { return make_bulk_frame_head(type, payload, {}); }

std::string make_bulk_frame_head(frame_type type, std::string_view head, std::string_view bulk) {
  const auto length = head.size() + bulk.size();
  LATHAM_ASSERT(length <= payload_bytes_max(type));
  byte_writer writer;
  writer(static_cast<std::uint32_t>(length), type, checksum(type, head, bulk));
  auto out = writer.take();
  out += head;
  return out;
}

expected<void> frame_parser::feed(std::string_view bytes, std::vector<frame>& out) {
  if (failed_.code != errc::none) return failed_;
  const auto fail = [this](const char* why) {
    header_.clear();
    payload_ = {};
    failed_ = corrupt(why);
    return failed_;
  };
  while (!bytes.empty() || header_.size() == frame_header_bytes) {
    if (header_.size() < frame_header_bytes) {
      const auto take = std::min(frame_header_bytes - header_.size(), bytes.size());
      header_ += bytes.substr(0, take);
      bytes.remove_prefix(take);
      if (header_.size() < frame_header_bytes) break;
    }
    std::uint32_t length = 0;
    frame_type type{};
    std::uint32_t crc = 0;
    byte_reader{header_}(length, type, crc);
    const auto limit = payload_bytes_max(type);
    if (limit == 0) return fail("a frame of an unknown type");
    if (length > limit) return fail("a frame is longer than its type allows");
    const auto take = std::min<std::size_t>(length - payload_.size(), bytes.size());
    payload_ += bytes.substr(0, take);
    bytes.remove_prefix(take);
    if (payload_.size() < length) break;
    if (checksum(type, payload_, {}) != crc) return fail("a frame does not match its checksum");
    out.push_back({type, buffer{std::move(payload_)}});
    header_.clear();
    payload_ = {};
  }
  return {};
}

bool is_known(errc code) noexcept { return to_string(code) != "unknown"; }

expected<void> validate(const source_plan& plan) {
  if (plan.container.size() > text_bytes_max || plan.video_codec.size() > text_bytes_max) return invalid("a name is too long");
  if (plan.time_base.num <= 0 || plan.time_base.den <= 0 || plan.time_base.num > INT32_MAX || plan.time_base.den > INT32_MAX)
    return invalid("the time base is not a positive fraction");
  if (plan.fps.num <= 0 || plan.fps.den <= 0 || plan.fps.num > 1'000'000 || plan.fps.den > 1'000'000 ||
      plan.fps.num > plan.fps.den * fps_max)
    return invalid("the frame rate is out of range");
  if (plan.frames == 0 || plan.frames > duration_s_max * fps_max) return invalid("the number of frames is out of range");
  if (plan.segment_frames == 0 || plan.segment_frames > 600 * fps_max) return invalid("the segment length is out of range");
  if (has_picture(plan) ? !is_even_size(plan.width, plan.height) : plan.width != 0 || plan.height != 0)
    return invalid("the picture size is out of range");
  if (plan.rotation % 90 != 0 || plan.rotation >= 360) return invalid("the rotation is not a multiple of 90 degrees");
  if (plan.rungs.size() > rungs_max) return invalid("the number of rungs is out of range");
  if (!has_picture(plan) && plan.audio.empty()) return invalid("neither picture nor sound");
  for (const auto& r : plan.rungs)
    if (!is_even_size(r.width, r.height) || r.maxrate_kbit == 0 || r.maxrate_kbit > 1'000'000) return invalid("a rung is out of range");
  if (plan.audio.size() > audio_tracks_max) return invalid("too many audio tracks");
  for (const auto& track : plan.audio) {
    if (track.language.size() > text_bytes_max) return invalid("a language tag is too long");
    if (track.kbit > audio_kbit_max) return invalid("a rate of sound is out of range");
  }
  if (plan.text.size() > text_tracks_max) return invalid("too many tracks of text");
  for (const auto& track : plan.text)
    if (track.language.size() > text_bytes_max || track.title.size() > text_bytes_max) return invalid("the name of a track of text is too long");
  if (plan.notes.size() > notes_max) return invalid("too many notes");
  for (const auto& note : plan.notes)
    if (note.size() > error_message_bytes_max) return invalid("a note is too long");
  if (plan.skipped_frames > duration_s_max * fps_max) return invalid("the number of skipped frames is out of range");
  if (plan.shifts.size() > time_shifts_max) return invalid("too many shifts of time");
  for (std::size_t i = 1; i < plan.shifts.size(); ++i)
    if (plan.shifts[i].offset < plan.shifts[i - 1].offset) return invalid("shifts of time are out of order");
  return {};
}

expected<void> validate(const recipe& how) {
  static constexpr std::array<std::string_view, 9> presets = {"ultrafast", "superfast", "veryfast", "faster", "fast",
                                                              "medium",    "slow",      "slower",   "veryslow"};
  if (how.version < 1 || how.version > 2) return invalid("the recipe is of a version that this build does not know");
  if (how.rungs.empty() || how.rungs.size() > rungs_max) return invalid("the recipe needs 1 to 16 rungs");
  for (const auto& r : how.rungs)
    if (!is_even_size(r.width, r.height) || r.maxrate_kbit == 0 || r.maxrate_kbit > 1'000'000)
      return invalid("a rung of the recipe is out of range");
  if (how.segment_ms < 100 || how.segment_ms > 60'000) return invalid("segment_ms must be 100 to 60000");
  if (how.chunk_segments == 0 || how.chunk_segments > 64) return invalid("chunk_segments must be 1 to 64");
  if (how.crf_tenths < crf_tenths_min || how.crf_tenths > 500) return invalid("crf_tenths must be 10 to 500");
  if (std::find(presets.begin(), presets.end(), how.preset) == presets.end()) return invalid("the preset is unknown");
  if (how.audio_kbit < 16 || how.audio_kbit > audio_kbit_max) return invalid("audio_kbit must be 16 to 512");
  if (how.audio_rate_hz != 44'100 && how.audio_rate_hz != 48'000) return invalid("audio_rate_hz must be 44100 or 48000");
  if (how.part.start_ms > duration_s_max * 1000 || how.part.end_ms > duration_s_max * 1000 ||
      (how.part.end_ms != 0 && how.part.end_ms <= how.part.start_ms))
    return invalid("the part of the source is empty or out of range");
  if (how.audio_channels != 1 && how.audio_channels != 2) return invalid("audio_channels must be 1 or 2");
  return {};
}

expected<void> validate(const ports::engine_task& task) {
  if (auto ok = validate(task.how); !ok) return ok;
  switch (task.kind) {
    case ports::engine_task_kind::plan: return {};
    case ports::engine_task_kind::video: break;
    case ports::engine_task_kind::audio:
      if (auto ok = validate(task.plan); !ok) return ok;
      if (task.audio_index >= task.plan.audio.size()) return invalid("no such audio track");
      return {};
    case ports::engine_task_kind::text:
      if (auto ok = validate(task.plan); !ok) return ok;
      if (task.plan.text.empty()) return invalid("no text");
      return {};
    default: return invalid("of an unknown kind");
  }
  if (auto ok = validate(task.plan); !ok) return ok;
  if (!has_picture(task.plan)) return invalid("no picture to be encoded");
  if (task.chunks.empty()) return invalid("no chunks");
  const auto segments = segment_count(task.plan, task.plan.frames);
  const chunk_plan* before = nullptr;
  for (const auto& chunk : task.chunks) {
    if (chunk.frames == 0 || chunk.first_frame % task.plan.segment_frames != 0 || chunk.first_frame >= task.plan.frames ||
        chunk.frames > task.plan.frames - chunk.first_frame)
      return invalid("a chunk lies outside the plan");
    // A border behind the start of the last segment would cut it.
    const auto end = chunk.first_frame + chunk.frames;
    if (chunk.first_frame / task.plan.segment_frames >= segments ||
        (end != task.plan.frames && (chunk.frames % task.plan.segment_frames != 0 || end / task.plan.segment_frames >= segments)))
      return invalid("a chunk is not made of whole segments");
    if (before && (chunk.index != before->index + 1 || chunk.first_frame != before->first_frame + before->frames))
      return invalid("its chunks are not consecutive");
    before = &chunk;
  }
  return {};
}

}  // namespace latham::media
