// Invariants of the pure part of media/: chunk borders, ladders, audio cuts.
#include "core/manifest/manifests.hpp"
#include "media/audio_segments.hpp"
#include "media/chunk_planner.hpp"
#include "media/child_protocol.hpp"
#include "media/ladder.hpp"
#include "media/text_cues.hpp"
#include "media/timestamps.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cstdlib>

namespace latham::media {

namespace {

/// Runs one property; RapidCheck prints the seed and the shrunk case when it fails.
template <class Property>
void holds(const std::string& description, Property property) {
  EXPECT_TRUE(rc::check(description, property));
}

struct drawn_source {
  source_plan plan;
  std::vector<key_frame> keys;
  std::uint32_t chunk_segments = 1;
};

drawn_source draw() {
  static const std::vector<rational> rates = {{24, 1},       {25, 1}, {30000, 1001}, {24000, 1001}, {60, 1},
                                              {60000, 1001}, {15, 1}, {7, 1},        {999, 100}};
  static const std::vector<rational> bases = {{1, 90000}, {1, 1000}, {1, 12288}, {1001, 30000}, {1, 1'000'000}};
  drawn_source out;
  auto& plan = out.plan;
  plan.fps = *rc::gen::elementOf(rates);
  plan.time_base = *rc::gen::elementOf(bases);
  plan.origin_pts = *rc::gen::inRange<std::int64_t>(-1'000'000, 100'000'000'000);
  plan.frames = *rc::gen::inRange<std::uint64_t>(1, 4000);
  plan.segment_frames = *rc::gen::inRange<std::uint32_t>(1, 130);
  out.chunk_segments = *rc::gen::inRange<std::uint32_t>(1, 9);
  const auto distance = *rc::gen::inRange<std::int64_t>(1, 400);
  for (std::int64_t n = 0; n < static_cast<std::int64_t>(plan.frames); n += 1 + *rc::gen::inRange<std::int64_t>(0, 2 * distance))
    out.keys.push_back({pts_of_frame(n, plan.origin_pts, plan.time_base, plan.fps) + *rc::gen::inRange<std::int64_t>(0, 3), 0});
  std::sort(out.keys.begin(), out.keys.end(), [](const auto& a, const auto& b) { return a.pts < b.pts; });
  return out;
}

}  // namespace

TEST(ChunkPlannerProperty, EveryFrameIsInExactlyOneChunkOfWholeSegments) {
  holds("chunks tile the video", [] {
    const auto source = draw();
    const auto chunks = plan_chunks(source.plan, source.keys, source.chunk_segments);
    const auto range = chunk_range_of(source.chunk_segments);
    std::uint64_t next = 0;
    std::uint32_t total = 0;
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      const auto& c = chunks[i];
      RC_ASSERT(c.index == i);
      RC_ASSERT(c.first_frame == next);
      RC_ASSERT(c.frames > 0);
      RC_ASSERT(c.first_frame % source.plan.segment_frames == 0);
      // As one counts them frame by frame, apart from the last, which has at least so many frames.
      const auto whole = i + 1 < chunks.size() ? c.frames / source.plan.segment_frames : 0;
      const auto segments = segment_count(source.plan, c);
      RC_ASSERT(segments <= range.chunk_segments_max);
      RC_ASSERT(i + 1 == chunks.size() || segments == whole);
      if (i + 1 < chunks.size()) {
        RC_ASSERT(c.frames % source.plan.segment_frames == 0);
        RC_ASSERT(segments >= (i == 0 ? 1 : range.chunk_segments_min));
        RC_ASSERT(i > 0 || segments == 1);
      }
      total += segments;
      next += c.frames;
    }
    RC_ASSERT(next == source.plan.frames);
    // The last segment is whole in the last chunk.
    RC_ASSERT(total == segment_count(source.plan, source.plan.frames));
    const auto last = segment_frames_of(source.plan, total - 1);
    RC_ASSERT(last <= chunks.back().frames);
    RC_ASSERT(last < source.plan.segment_frames + last_segment_frames_min);
    RC_ASSERT(last >= std::min<std::uint64_t>(last_segment_frames_min, source.plan.frames));
  });
}

TEST(ChunkPlannerProperty, SeekIsTheLastKeyFrameThatTheFirstFrameMayShow) {
  holds("seek_pts is usable and the best", [] {
    const auto source = draw();
    RC_PRE(!source.keys.empty());
    for (const auto& c : plan_chunks(source.plan, source.keys, source.chunk_segments)) {
      const auto limit =
          last_pts_of_frame(static_cast<std::int64_t>(c.first_frame), source.plan.origin_pts, source.plan.time_base, source.plan.fps);
      RC_ASSERT(c.seek_pts <= limit || c.first_frame == 0);
      for (const auto& k : source.keys) RC_ASSERT(k.pts <= c.seek_pts || k.pts > limit);
    }
  });
}

TEST(ChunkPlannerProperty, LayoutDependsOnItsArgumentsOnly) {
  holds("the same twice", [] {
    const auto source = draw();
    RC_ASSERT(plan_chunks(source.plan, source.keys, source.chunk_segments) == plan_chunks(source.plan, source.keys, source.chunk_segments));
  });
}

TEST(ChunkPlannerProperty, BordersFarFromTheEndDoNotDependOnTheLength) {
  holds("a list of chunks can be appended to", [] {
    auto source = draw();
    const auto shorter = plan_chunks(source.plan, source.keys, source.chunk_segments);
    const auto end = source.plan.frames;
    source.plan.frames += *rc::gen::inRange<std::uint64_t>(1, 1000);
    const auto longer = plan_chunks(source.plan, source.keys, source.chunk_segments);
    const auto reach = std::uint64_t{3} * chunk_range_of(source.chunk_segments).chunk_segments_max * source.plan.segment_frames;
    for (std::size_t i = 0; i < shorter.size() && i < longer.size(); ++i)
      if (shorter[i].first_frame + reach < end) RC_ASSERT(shorter[i].first_frame == longer[i].first_frame);
  });
}

TEST(ChunkPlannerProperty, FrameTimesAndTheirInverseAgree) {
  holds("first_frame_showing inverts pts_of_frame", [] {
    const auto source = draw();
    const auto& p = source.plan;
    const auto n = *rc::gen::inRange<std::int64_t>(-1000, 5'000'000);
    const auto last = last_pts_of_frame(n, p.origin_pts, p.time_base, p.fps);
    RC_ASSERT(first_frame_showing(last, p.origin_pts, p.time_base, p.fps) <= n);
    // A coarse time base may skip frames altogether.
    RC_ASSERT(first_frame_showing(last + 1, p.origin_pts, p.time_base, p.fps) > n);
  });
}

TEST(ChunkPlannerProperty, ChosenRateIsWithinLimits) {
  holds("5 to 60 frames a second", [] {
    const auto any = [] {
      return rational{*rc::gen::inRange<std::int64_t>(0, 100'000'000), *rc::gen::inRange<std::int64_t>(1, 1'000'000)};
    };
    const auto fps = choose_fps(any(), any(), any());
    RC_ASSERT(fps.num > 0 && fps.den > 0);
    RC_ASSERT(fps.num <= fps.den * fps_max);
    RC_ASSERT(fps.num >= fps.den * 5);
    RC_ASSERT(fps.num <= 1'000'000 * 2 && fps.den <= 1'000'000);
  });
}

TEST(LadderProperty, RungsAreEvenAscendingAndNeverLargerThanTheSource) {
  holds("ladder", [] {
    const auto width = *rc::gen::inRange<std::uint32_t>(2, dimension_max + 1);
    const auto height = *rc::gen::inRange<std::uint32_t>(2, dimension_max + 1);
    const auto boxes = *rc::gen::nonEmpty(rc::gen::container<std::vector<rung>>(rc::gen::apply(
        [](std::uint32_t w, std::uint32_t h) {
          return rung{w * 2, h * 2, w};
        },
        rc::gen::inRange<std::uint32_t>(1, 2000), rc::gen::inRange<std::uint32_t>(1, 2000))));
    const auto rungs = fit_ladder(boxes, width, height);
    RC_ASSERT(!rungs.empty());
    for (std::size_t i = 0; i < rungs.size(); ++i) {
      RC_ASSERT(rungs[i].width % 2 == 0 && rungs[i].height % 2 == 0);
      RC_ASSERT(rungs[i].width >= 2 && rungs[i].height >= 2);
      RC_ASSERT(rungs[i].width <= width && rungs[i].height <= height);
      if (i > 0) RC_ASSERT(rungs[i].width >= rungs[i - 1].width && rungs[i].height >= rungs[i - 1].height && rungs[i] != rungs[i - 1]);
    }
  });
}

TEST(AudioSegmentsProperty, CutsLieLessThanAFrameAfterTheVideos) {
  holds("audio follows video", [] {
    const auto source = draw();
    std::uint64_t frame = 0;
    const auto segment = *rc::gen::inRange<std::uint32_t>(0, segment_count(source.plan, source.plan.frames) + 1);
    for (std::uint32_t n = 0; n < segment; ++n) frame += segment_frames_of(source.plan, n);
    const auto start = audio_segment_start(source.plan, 48000, segment);
    RC_ASSERT(start % aac_frame_samples == 0);
    const double exact = static_cast<double>(frame) / source.plan.fps.to_double() * 48000;
    RC_ASSERT(static_cast<double>(start) > exact - 0.001);
    RC_ASSERT(static_cast<double>(start) < exact + aac_frame_samples + 0.001);
  });
}

// ---- The frame parser

TEST(FrameParserProperty, FramesDoNotDependOnHowTheStreamWasTorn) {
  holds("any tearing gives the same frames", [] {
    std::string stream;
    const auto count = *rc::gen::inRange(0, 8);
    for (int i = 0; i < count; ++i) {
      const auto bulk = *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
      if (*rc::gen::arbitrary<bool>())
        stream += make_bulk_frame_head(frame_type::supply, supply_head{static_cast<std::uint64_t>(i)}, bulk) + bulk;
      else
        stream += make_frame(frame_type::end, end_message{errc::io, bulk});
    }
    std::vector<frame> whole;
    frame_parser at_once;
    RC_ASSERT(at_once.feed(stream, whole).has_value());
    RC_ASSERT(static_cast<int>(whole.size()) == count);
    std::vector<frame> torn;
    frame_parser bit_by_bit;
    for (std::string_view rest = stream; !rest.empty();) {
      const auto some = std::min<std::size_t>(*rc::gen::inRange<std::size_t>(1, 40), rest.size());
      RC_ASSERT(bit_by_bit.feed(rest.substr(0, some), torn).has_value());
      rest.remove_prefix(some);
    }
    RC_ASSERT(bit_by_bit.pending_bytes() == 0u);
    RC_ASSERT(torn.size() == whole.size());
    for (std::size_t i = 0; i < whole.size(); ++i) {
      RC_ASSERT(torn[i].type == whole[i].type);
      RC_ASSERT(torn[i].payload.view() == whole[i].payload.view());
    }
  });
}

TEST(FrameParserProperty, GarbageNeverCrashesNorHoldsMoreThanItBrought) {
  holds("garbage", [] {
    const auto garbage = *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
    frame_parser parser;
    std::vector<frame> out;
    const bool fine = parser.feed(garbage, out).has_value();
    RC_ASSERT(parser.pending_bytes() <= garbage.size());
    for (const auto& f : out) {
      (void)decode_message<ports::engine_task>(f);
      (void)decode_message<plan_message>(f);
      (void)decode_bulk<piece_head>(f);
    }
    if (!fine) RC_ASSERT(!parser.feed("more", out).has_value());
  });
}

TEST(FrameParserProperty, OneFlippedBitIsFoundOut) {
  holds("a changed frame is refused or incomplete, never another frame", [] {
    const std::string bulk = *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
    auto stream = make_bulk_frame_head(frame_type::piece, piece_head{1, track_kind::video, 2, 3, 4}, bulk) + bulk;
    const auto bit = *rc::gen::inRange<std::size_t>(0, stream.size() * 8);
    stream[bit / 8] = static_cast<char>(stream[bit / 8] ^ (1 << bit % 8));
    frame_parser parser;
    std::vector<frame> out;
    (void)parser.feed(stream, out);
    RC_ASSERT(out.empty());
  });
}

/// Runs of pictures whose clocks start anywhere, with some times damaged: what comes out is one clock, and it is the same
/// that a reader makes of a packet's own time and place.
TEST(TimestampsProperty, DamagedAndRestartedClocksMakeOne) {
  holds("one clock", [] {
    constexpr std::int64_t picture = 3600, second = 90'000;
    time_line line{{second * 7 / 10, second, 10 * second, true}};
    std::vector<packet_time> packets;
    const auto runs = *rc::gen::inRange(1, 5);
    std::vector<bool> whole;
    for (int r = 0; r < runs; ++r) {
      const auto start = *rc::gen::inRange<std::int64_t>(0, std::int64_t{1} << 33);
      const auto length = *rc::gen::inRange(60, 200);
      for (int i = 0; i < length; ++i) {
        const bool damaged = i > 3 && i < length - 30 && *rc::gen::inRange(0, 25) == 0 && whole.back();
        whole.push_back(!damaged);
        const auto time = damaged ? *rc::gen::inRange<std::int64_t>(0, std::int64_t{1} << 33) : start + i * picture;
        packets.push_back({packets.size() * 188, time, picture, static_cast<std::uint32_t>(packets.size())});
      }
    }
    std::vector<time_line::verdict> out;
    for (const auto& p : packets)
      if (const auto v = line.push(p)) out.push_back(*v);
    while (const auto v = line.finish()) out.push_back(*v);
    RC_ASSERT(out.size() == packets.size());
    RC_ASSERT(line.shifts().size() < static_cast<std::size_t>(runs));
    for (std::size_t i = 0; i < out.size(); ++i) {
      RC_ASSERT(out[i].packet.tag == i);
      RC_ASSERT(out[i].packet.time == packets[i].time + shift_at(line.shifts(), packets[i].offset));
      if (!whole[i]) continue;
      RC_ASSERT(out[i].believed);
    }
  });
}

/// Whatever strangers write: the file is cues of times and lines, and no line of theirs is read as anything else.
TEST(TextCuesProperty, NoTextBreaksOutOfItsCue) {
  holds("a WebVTT file keeps its form", [] {
    constexpr std::int64_t total_ms = 100'000;
    // Bytes that matter are drawn more often.
    const auto byte = rc::gen::oneOf(rc::gen::arbitrary<char>(), rc::gen::elementOf(std::string{"\n\r<>&-{}\\pN1 WEBVTTNOTE:. \xe2\x80\xa8"}));
    std::vector<text_cue> cues;
    const auto count = *rc::gen::inRange(0, 20);
    for (int i = 0; i < count; ++i) {
      const auto start = *rc::gen::inRange<std::int64_t>(-10'000, 110'000);
      cues.push_back({start, start + *rc::gen::inRange<std::int64_t>(-10, 10'000), clean_cue(words_of_ass(*rc::gen::container<std::string>(byte)))});
    }
    std::uint32_t written = 0;
    const auto file = webvtt(cues, total_ms, &written);
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < file.size();) {
      const auto end = file.find('\n', at);
      RC_ASSERT(end != std::string::npos);
      lines.push_back(file.substr(at, end - at));
      at = end + 1;
    }
    RC_ASSERT(lines.at(0) == "WEBVTT");
    std::uint32_t found = 0;
    std::string before;
    for (std::size_t i = 1; i < lines.size();) {
      RC_ASSERT(lines[i++].empty());
      const auto& times = lines.at(i++);
      RC_ASSERT(times.size() == 29u);
      RC_ASSERT(times.substr(12, 5) == " --> ");
      RC_ASSERT(times.substr(0, 12) < times.substr(17));
      RC_ASSERT(times.substr(17) <= "00:01:40.000");
      RC_ASSERT(before <= times.substr(0, 12));
      before = times.substr(0, 12);
      ++found;
      std::size_t words = 0;
      for (; i < lines.size() && !lines[i].empty(); ++i, ++words) {
        RC_ASSERT(lines[i].find_first_of("<>\r") == std::string::npos);
        for (auto at = lines[i].find('&'); at != std::string::npos; at = lines[i].find('&', at + 1)) {
          const auto rest = lines[i].substr(at);
          RC_ASSERT(rest.starts_with("&amp;") || rest.starts_with("&lt;") || rest.starts_with("&gt;"));
        }
        RC_ASSERT(clean_cue(lines[i]) == lines[i]);
      }
      RC_ASSERT(words > 0u);
      RC_ASSERT(words <= cue_lines_max);
    }
    RC_ASSERT(found == written);
  });
}

}  // namespace latham::media
