// What the tests of exactness share: a source is described and made by the ffmpeg command, planned, encoded chunk by chunk with
// the last chunk first, glued together from init and media segments, and read back: frame k of every rung has to show picture k.
// Rates and lengths are drawn from a seed that each failure prints; LATHAM_TEST_SEED sets it.
#pragma once

#include "core/assert.hpp"
#include "core/findings.hpp"
#include "media/audio_segments.hpp"
#include "media/av/planner.hpp"
#include "media/av/task_runner.hpp"
#include "tests/support/media/barcode.hpp"
#include "tests/support/media/memory_host.hpp"

extern "C" {
#include <libavutil/log.h>
}

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <sstream>

namespace latham::testing {

using namespace latham::media;

inline std::uint32_t seed() {
  static const std::uint32_t value = [] {
    const char* text = std::getenv("LATHAM_TEST_SEED");
    return text ? static_cast<std::uint32_t>(std::strtoul(text, nullptr, 10)) : std::random_device{}();
  }();
  return value;
}

inline recipe small_recipe() {
  recipe how;
  how.rungs = {{128, 72, 150}, {256, 144, 400}, {1280, 720, 2800}};
  how.segment_ms = 500;
  how.chunk_segments = 3;
  return how;
}

/// What a source is made of; the rest of a case is how it differs from the plainest.
struct source {
  int width = 320;
  int height = 180;
  int num = 24;
  int den = 1;
  int frames = 100;
  std::string container = "mp4";
  std::string video = "-c:v libx264 -preset ultrafast -crf 18 -g 24 -pix_fmt yuv420p";
  std::string filter;                          // -vf
  std::string audio = "-c:a aac -ac 2";        // empty: none
  std::string layout = "stereo";
  int audio_rate = 48000;
  std::string more;                            // options of the output
  std::vector<std::string> after;              // commands on {in} and {out}
  std::function<int(int)> number = [](int n) { return n; };  // of output frame n
  std::function<int(int)> drawn = [](int n) { return n; };   // the number on picture n of the source
  double fps = 0;                              // of the output, if not the source's
  double first_beep_s = 0;
  double sound_s = 0;                          // of the source's sound, if it is not as long as the picture
  std::size_t tracks = 1;                      // of sound, if there is any
  std::size_t chunks_min = 2;                  // a test of one chunk tests no border
  std::vector<std::string> notes;              // words that the notes have to say, one for each note
  trim part{};                                 // of the recipe
  std::string read_back;                       // a filter that looks at the output before its numbers are read
};

inline std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) text.replace(at, what.size(), by);
  return text;
}

inline std::string make_source(const scratch_directory& dir, const source& s, const std::string& name = "source") {
  const auto rate = std::to_string(s.num) + "/" + std::to_string(s.den);
  const auto seconds = static_cast<double>(s.frames) * s.den / s.num;
  auto path = dir.file(name + "." + s.container);
  std::string command =
      ffmpeg_stdin + "-f rawvideo -pix_fmt gray -s " + std::to_string(s.width) + "x" + std::to_string(s.height) + " -r " + rate + " -i - ";
  if (!s.audio.empty()) command += beeps(s.sound_s > 0 ? s.sound_s : seconds, s.audio_rate, s.layout) + "-map 0:v -map 1:a ";
  if (!s.filter.empty()) command += "-vf \"" + s.filter + "\" ";
  command += s.video + " " + s.audio + " " + s.more + " " + path;
  EXPECT_TRUE(run_command(command, s.frames, [&](int i) { return draw_barcode(s.drawn(i), s.width, s.height); })) << command;
  for (std::size_t i = 0; i < s.after.size(); ++i) {
    const auto out = dir.file(name + "-" + std::to_string(i) + "." + s.container);
    const auto step = replaced(replaced(s.after[i], "{in}", path), "{out}", out);
    EXPECT_TRUE(run_command(step)) << step;
    path = out;
  }
  return path;
}

/// Everything that came out of all tasks of one source.
struct transcoded {
  source_plan plan;
  std::vector<chunk_plan> chunks;
  std::vector<kept_piece> video;
  std::vector<kept_piece> audio;
  std::vector<kept_piece> images;
  findings_sum found;
  std::vector<std::string> notes;  // of the plan, and what was found
};

inline transcoded transcode(const std::string& bytes, const recipe& how = small_recipe()) {
  transcoded out;
  memory_host host{bytes};
  ports::engine_task task;
  task.source_bytes = bytes.size();
  task.how = how;
  auto planned = run_task(task, host);
  EXPECT_TRUE(planned) << to_string(planned.error().code) << ": " << planned.error().message;
  if (!planned) return out;
  EXPECT_TRUE(host.complete);
  out.plan = task.plan = host.planned;
  out.chunks = host.chunks;
  task.kind = ports::engine_task_kind::video;
  // Last chunk first, each by itself: nothing may depend on order.
  for (auto chunk = host.chunks.rbegin(); chunk != host.chunks.rend(); ++chunk) {
    task.chunks = {*chunk};
    const auto ok = run_task(task, host);
    EXPECT_TRUE(ok) << "chunk " << chunk->index << ": " << ok.error().message;
    if (!ok) continue;
    EXPECT_TRUE(is_possible_of_chunk(host.found.back(), *chunk));
    out.found.add_chunk(host.found.back());
  }
  for (auto& piece : std::exchange(host.pieces, {})) (piece.kind == track_kind::image ? out.images : out.video).push_back(std::move(piece));
  task.kind = ports::engine_task_kind::audio;
  task.chunks.clear();
  for (task.audio_index = 0; task.audio_index < task.plan.audio.size(); ++task.audio_index) {
    const auto ok = run_task(task, host);
    EXPECT_TRUE(ok) << "audio: " << ok.error().message;
    if (!ok) continue;
    EXPECT_TRUE(is_possible(host.found.back(), 0, audio_samples(task.plan, how.audio_rate_hz)) && !host.found.back().reshaped);
    out.found.add_sound(task.plan.audio[task.audio_index].stream_index, host.found.back());
  }
  out.notes = out.found.notes(out.plan, how);
  out.audio = std::move(host.pieces);
  return out;
}

/// However it is found, the plan of a sound file is the same: from the index, from Matroska's cues, by a pass.
inline void expect_planned_alike(const std::string& bytes, const transcoded& planned, const recipe& how) {
  for (const auto& limits : {plan_limits{false, 0}, plan_limits{true, 0}}) {
    SCOPED_TRACE(limits.from_index ? "from the index" : "by a pass");
    memory_host host{bytes};
    auto again = plan_source(host, bytes.size(), how, limits);
    ASSERT_TRUE(again) << again.error().message;
    // Cues name the byte where a cluster begins.
    for (auto& chunk : again->chunks)
      if (planned.plan.container == "matroska" && chunk.index < planned.chunks.size())
        chunk.seek_offset = planned.chunks[chunk.index].seek_offset;
    EXPECT_TRUE(again->plan == planned.plan);
    EXPECT_TRUE(again->chunks == planned.chunks);
  }
}

/// Init segment and media segments of one rendition in order; checks that none is missing, doubled or of another length.
inline std::string stitched(const std::vector<kept_piece>& pieces, std::uint8_t rendition, const std::vector<std::uint32_t>& durations) {
  std::map<std::uint32_t, const kept_piece*> segments;
  const kept_piece* init = nullptr;
  for (const auto& p : pieces) {
    if (p.rendition != rendition) continue;
    if (p.segment == output_entry::init_segment) {
      if (init) {
        EXPECT_EQ(init->bytes, p.bytes) << "init segments differ between chunks";
      }
      init = &p;
      EXPECT_EQ(p.duration, 0u);
    } else {
      EXPECT_TRUE(segments.emplace(p.segment, &p).second) << "segment " << p.segment << " came twice";
    }
  }
  EXPECT_NE(init, nullptr);
  std::string out = init ? init->bytes : std::string{};
  EXPECT_EQ(segments.size(), durations.size());
  std::uint32_t next = 0;
  for (const auto& [number, p] : segments) {
    EXPECT_EQ(number, next) << "a segment is missing";
    if (number < durations.size()) {
      EXPECT_EQ(p->duration, durations[number]) << "segment " << number;
    }
    next = number + 1;
    out += p->bytes;
  }
  return out;
}

/// Counted anew: the rule that is tested is not its own judge.
inline std::vector<std::uint32_t> video_durations(const source_plan& plan) {
  std::vector<std::uint32_t> out;
  for (std::uint64_t at = 0; at < plan.frames; at += plan.segment_frames)
    out.push_back(static_cast<std::uint32_t>(std::min<std::uint64_t>(plan.segment_frames, plan.frames - at)));
  while (out.size() > 1 && out.back() < 4) {
    const auto few = out.back();
    out.pop_back();
    out.back() += few;
  }
  return out;
}

inline std::vector<std::uint32_t> audio_durations(const source_plan& plan, std::uint32_t rate) {
  std::vector<std::uint32_t> out;
  const auto total = audio_samples(plan, rate);
  const auto count = video_durations(plan).size();
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto from = audio_segment_start(plan, rate, i);
    const auto to = i + 1 < count ? std::min(audio_segment_start(plan, rate, i + 1), total) : total;
    if (from < to) out.push_back(static_cast<std::uint32_t>(to - from));
  }
  return out;
}

/// Indexes and times of key packets, and the times of all packets, by ffprobe.
struct packets {
  std::vector<std::size_t> keys;
  std::vector<double> times;
};
inline packets probe(const std::string& path) {
  std::istringstream lines{output_of("ffprobe -v error -select_streams v:0 -show_entries packet=pts_time,flags -of csv=p=0 " + path)};
  packets out;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    if (line.find('K') != std::string::npos) out.keys.push_back(out.times.size());
    out.times.push_back(std::strtod(line.c_str(), nullptr));
  }
  std::sort(out.times.begin(), out.times.end());
  return out;
}

inline void expect_exact(const source& s, const std::string& path, const scratch_directory& dir) {
  const auto bytes = file_bytes(path);
  auto how = small_recipe();
  how.part = s.part;
  const auto result = transcode(bytes, how);
  const auto& plan = result.plan;
  ASSERT_FALSE(plan.rungs.empty());
  expect_planned_alike(bytes, result, how);
  const double fps = s.fps > 0 ? s.fps : static_cast<double>(s.num) / s.den;
  EXPECT_NEAR(plan.fps.to_double(), fps, 0.001);
  EXPECT_FALSE(plan.truncated);
  // Of a source that is whole, decoding finds nothing to say.
  EXPECT_EQ(result.notes.size(), s.notes.size()) << (result.notes.empty() ? "" : result.notes.back());
  for (std::size_t i = 0; i < std::min(result.notes.size(), s.notes.size()); ++i)
    EXPECT_NE(result.notes[i].find(s.notes[i]), std::string::npos) << result.notes[i];
  EXPECT_GE(result.chunks.size(), s.chunks_min);
  const auto durations = video_durations(plan);
  for (std::size_t i = 0; i < plan.rungs.size(); ++i) {
    const auto& rung = plan.rungs[i];
    SCOPED_TRACE("rung " + to_string(rung));
    const auto file = dir.file("v" + std::to_string(i) + ".mp4");
    write_file(file, stitched(result.video, static_cast<std::uint8_t>(i), durations));
    const auto numbers = barcodes_of(file, static_cast<int>(rung.width), static_cast<int>(rung.height), s.read_back);
    ASSERT_EQ(numbers.size(), plan.frames);
    for (std::size_t n = 0; n < numbers.size(); ++n) ASSERT_EQ(numbers[n], s.number(static_cast<int>(n))) << "frame " << n;
    if (i > 0) continue;
    const auto seen = probe(file);
    std::vector<std::size_t> expected_keys;
    for (std::size_t n = 0; n < durations.size(); ++n) expected_keys.push_back(n * plan.segment_frames);
    // One more may stand where the frames begin that were joined to the last segment: the encoder's own affair.
    auto keys = seen.keys;
    if (keys.size() == durations.size() + 1 && durations.back() > plan.segment_frames && keys.back() == durations.size() * plan.segment_frames) keys.pop_back();
    EXPECT_EQ(keys, expected_keys) << "sync samples";
    ASSERT_EQ(seen.times.size(), plan.frames);
    for (std::size_t n = 0; n < seen.times.size(); ++n) ASSERT_NEAR(seen.times[n], static_cast<double>(n) / fps, 0.0002) << "frame " << n;
  }
  ASSERT_EQ(plan.audio.size(), s.audio.empty() ? 0u : s.tracks);
  for (std::size_t track = 0; track < plan.audio.size(); ++track) {
    SCOPED_TRACE("track " + std::to_string(track));
    const auto file = dir.file("a" + std::to_string(track) + ".mp4");
    write_file(file, stitched(result.audio, static_cast<std::uint8_t>(track), audio_durations(plan, 48000)));
    const auto sound = listen(file);
    const auto total = static_cast<std::int64_t>(audio_samples(plan, 48000));
    EXPECT_NEAR(sound.samples, total, aac_frame_samples);
    const auto lasts = s.sound_s > 0 ? std::min<std::int64_t>(total, std::llround(s.sound_s * 48000)) : total;
    const auto expected_beeps = static_cast<std::size_t>(static_cast<double>(lasts - 2400) / 48000 - s.first_beep_s) + 1;
    ASSERT_GE(sound.beeps.size() + 1, expected_beeps);
    for (std::size_t k = 0; k < sound.beeps.size(); ++k)
      EXPECT_NEAR(sound.beeps[k], (s.first_beep_s + static_cast<double>(k)) * 48000, aac_frame_samples) << "beep " << k;
  }
}

class exactness_test : public ::testing::Test {
protected:
  exactness_test() : random_{seed()} {
    av_log_set_level(AV_LOG_QUIET);
    std::seed_seq mixed{
        seed(), static_cast<std::uint32_t>(std::hash<std::string>{}(::testing::UnitTest::GetInstance()->current_test_info()->name()))};
    random_.seed(mixed);
  }
  int between(int low, int high) { return std::uniform_int_distribution<int>{low, high}(random_); }
  /// A source of drawn rate and length, 3 to 5 seconds.
  source drawn() {
    static constexpr std::pair<int, int> rates[] = {{24, 1}, {25, 1}, {30, 1}, {24000, 1001}, {30000, 1001}, {15, 1}};
    source s;
    std::tie(s.num, s.den) = rates[between(0, 5)];
    s.frames = between(3 * s.num / s.den, 5 * s.num / s.den);
    return s;
  }
  void check(const source& s) {
    SCOPED_TRACE("LATHAM_TEST_SEED=" + std::to_string(seed()));
    const auto path = make_source(dir_, s);
    if (HasFailure()) return;
    expect_exact(s, path, dir_);
    // Kept for a look when asked for.
    if (HasFailure() && std::getenv("LATHAM_TEST_KEEP"))
      std::filesystem::copy(path, std::getenv("LATHAM_TEST_KEEP"), std::filesystem::copy_options::overwrite_existing);
  }

  scratch_directory dir_;
  std::mt19937 random_;
};

}  // namespace latham::testing
