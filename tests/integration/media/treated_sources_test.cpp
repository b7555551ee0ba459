// Sources whose pictures are not encoded as they are: interlaced, high dynamic range, of another shape in the middle. The
// numbers have to be exact as everywhere, and the treatment must not depend on where a chunk begins.
#include "media/av/chunk_reader.hpp"
#include "media/av/whole_pictures.hpp"
#include "media/chunk_planner.hpp"
#include "tests/support/media/exactness.hpp"

namespace latham::media {

namespace {

using namespace latham::testing;

class TreatedSources : public exactness_test {
protected:
  /// Two pictures become the fields of one, and the first of them is the one that is to be seen. Numbers are in Gray code: a
  /// bit that changes with each picture would be the same in all fields of its kind, as if nothing moved.
  source interlaced(bool top_first) {
    source s;
    s.num = 50;
    s.frames = between(160, 220) / 2 * 2;
    s.fps = 25;
    s.filter = top_first ? "tinterlace=interleave_top,setfield=tff" : "tinterlace=interleave_bottom,setfield=bff";
    s.drawn = [](int n) { return n ^ n >> 1; };
    s.number = [](int n) { return 2 * n ^ n; };
    s.height = 288;
    s.width = 512;
    return s;
  }
};

std::uint64_t digest_of(const AVFrame& picture) {
  std::uint64_t out = 14695981039346656037u;
  for (int plane = 0; plane < 3; ++plane) {
    const int shift = plane == 0 ? 0 : 1;
    for (int y = 0; y < picture.height >> shift; ++y)
      for (int x = 0; x < picture.width >> shift; ++x)
        out = (out ^ picture.data[plane][static_cast<std::ptrdiff_t>(y) * picture.linesize[plane] + x]) * 1099511628211u;
  }
  return out;
}

/// Digests by time of all pictures that `chunk` shows; with the way back that the sampler would take.
std::map<std::int64_t, std::uint64_t> shown(const std::string& bytes, const source_plan& plan, const chunk_plan& chunk) {
  memory_host host{bytes};
  std::map<std::int64_t, std::uint64_t> out;
  auto reader = chunk_reader::open(host, bytes.size(), plan, chunk);
  EXPECT_TRUE(reader);
  if (!reader) return out;
  whole_pictures pictures{**reader};
  auto picture = make_frame_handle();
  std::int64_t pts = 0;
  const auto until = pts_of_frame(static_cast<std::int64_t>(chunk.first_frame + chunk.frames), plan.origin_pts, plan.time_base, plan.fps);
  const auto from = pts_of_frame(static_cast<std::int64_t>(chunk.first_frame), plan.origin_pts, plan.time_base, plan.fps);
  for (;;) {
    auto got = pictures.next(*picture, pts);
    EXPECT_TRUE(got);
    if (!got || !*got || pts >= until) return out;
    if (pts < from) continue;
    if (out.empty() && pictures.lacks_neighbour()) {
      auto again = pictures.back_off();
      EXPECT_TRUE(again);
      if (again && *again) continue;
    }
    out[pts] = digest_of(*picture);
  }
}

}  // namespace

TEST_F(TreatedSources, InterlacedMpeg2) {
  auto s = interlaced(true);
  s.container = "ts";
  s.video = "-c:v mpeg2video -b:v 6M -bf 2 -g " + std::to_string(between(12, 20)) + " -flags +ilme+ildct -top 1";
  s.audio = "-c:a mp2";
  check(s);
}

TEST_F(TreatedSources, InterlacedH264OpenGop) {
  auto s = interlaced(false);
  s.video = "-c:v libx264 -preset fast -crf 16 -pix_fmt yuv420p -flags +ilme+ildct -x264-params bff=1:open-gop=1:bframes=3:b-adapt=0:"
            "scenecut=0:min-keyint=10:keyint=" + std::to_string(between(15, 40));
  s.audio = "";
  check(s);
}

TEST_F(TreatedSources, InterlacedProres) {
  auto s = interlaced(true);
  s.frames = 160;
  s.container = "mov";
  s.video = "-c:v prores_ks -profile:v 0 -flags +ilme+ildct";
  s.audio = "";
  check(s);
}

TEST_F(TreatedSources, ProgressiveAmongInterlacedGoesThroughUntouched) {
  auto s = interlaced(true);
  s.num = 25;
  s.fps = 25;
  s.frames = between(80, 110);
  s.filter = "";
  s.number = s.drawn;
  s.container = "ts";
  s.video = "-c:v mpeg2video -b:v 6M -bf 2 -g 15";
  s.audio = "";
  check(s);
}

TEST_F(TreatedSources, InterlacedPicturesDoNotDependOnWhereAChunkBegins) {
  auto s = interlaced(true);
  s.audio = "";
  s.frames = 200;
  for (const std::string video :
       {"-c:v mpeg2video -b:v 6M -bf 2 -g 13 -flags +ilme+ildct -top 1",
        "-c:v libx264 -preset fast -crf 16 -pix_fmt yuv420p -flags +ilme+ildct -x264-params "
        "tff=1:open-gop=1:bframes=3:b-adapt=0:scenecut=0:min-keyint=10:keyint=25"})
    for (const std::string container : {"ts", "mkv"}) {
      SCOPED_TRACE(container + video);
      s.container = container;
      s.video = video;
      const auto bytes = file_bytes(make_source(dir_, s));
      std::map<std::int64_t, std::uint64_t> whole;
      for (const std::uint32_t segments : {64u, 1u, 2u, 3u}) {
        SCOPED_TRACE(segments);
        memory_host host{bytes};
        ports::engine_task task;
        task.source_bytes = bytes.size();
        task.how = small_recipe();
        task.how.chunk_segments = segments;
        ASSERT_TRUE(run_task(task, host));
        if (segments == 64) {
          // All of it in one go, to hold the others against.
          host.chunks.resize(1);
          host.chunks[0].frames = static_cast<std::uint32_t>(host.planned.frames);
        }
        ASSERT_EQ(host.chunks.size() == 1, segments == 64);
        std::map<std::int64_t, std::uint64_t> joined;
        for (auto chunk : host.chunks) {
          for (const auto& [pts, digest] : shown(bytes, host.planned, chunk)) EXPECT_TRUE(joined.emplace(pts, digest).second) << pts;
          // The same without the planner's help: the reader finds its neighbour by going back.
          if (segments != 2 || chunk.index == 0) continue;
          chunk.seek_pts = pts_of_frame(static_cast<std::int64_t>(chunk.first_frame), host.planned.origin_pts, host.planned.time_base,
                                        host.planned.fps);
          chunk.seek_offset = 0;
          for (const auto& [pts, digest] : shown(bytes, host.planned, chunk)) EXPECT_EQ(joined[pts], digest) << pts;
        }
        if (segments == 64) whole = joined;
        EXPECT_EQ(whole, joined);
      }
      EXPECT_EQ(whole.size(), 100u);
    }
}

TEST_F(TreatedSources, AnotherShapeInTheMiddleGetsBars) {
  source s;
  s.container = "ts";
  s.audio = "";
  s.num = 25;
  s.frames = 150;
  const auto first = make_source(dir_, s, "first");
  auto square = s;
  square.frames = 50;
  square.width = square.height = 300;
  square.more = "-output_ts_offset 6";
  const auto second = make_source(dir_, square, "second");
  const auto result = transcode(file_bytes(first) + file_bytes(second));
  ASSERT_EQ(result.plan.frames, 200u);
  EXPECT_EQ(result.plan.width, 320u);
  ASSERT_EQ(result.plan.notes.size(), 1u);
  EXPECT_NE(result.plan.notes[0].find("size changes"), std::string::npos);
  for (std::size_t i = 0; i < result.plan.rungs.size(); ++i) {
    const auto& rung = result.plan.rungs[i];
    SCOPED_TRACE("rung " + to_string(rung));
    const auto file = dir_.file("bars.mp4");
    write_file(file, stitched(result.video, static_cast<std::uint8_t>(i), video_durations(result.plan)));
    const auto width = static_cast<int>(rung.width), height = static_cast<int>(rung.height);
    const auto whole = barcodes_of(file, width, height);
    const auto middle = barcodes_of(file, height, height, "crop=ih:ih:trunc((iw-ih)/4)*2:0");
    ASSERT_EQ(whole.size(), 200u);
    ASSERT_EQ(middle.size(), 200u);
    for (int n = 0; n < 150; ++n) EXPECT_EQ(whole[static_cast<std::size_t>(n)], n);
    for (int n = 150; n < 200; ++n) EXPECT_EQ(middle[static_cast<std::size_t>(n)], n - 150);
    const auto grey = output_of(ffmpeg + "-ss 7 -i " + file + " -frames:v 1 -vf crop=8:ih:0:0 -f rawvideo -pix_fmt gray -");
    ASSERT_EQ(grey.size(), static_cast<std::size_t>(8 * height));
    for (const char c : grey) ASSERT_LE(static_cast<unsigned char>(c), 24) << "a bar is black";
  }
}

/// PQ and HLG, with the numbers in the brightness that ordinary white and black have there.
TEST_F(TreatedSources, HighDynamicRangeIsToneMapped) {
  for (const std::string transfer : {"smpte2084", "arib-std-b67"})
    for (const std::string container : {"mp4", "ts"}) {
      SCOPED_TRACE(transfer + " in " + container);
      auto s = drawn();
      s.frames = 2 * s.num / s.den + 5;
      s.audio = "";
      s.container = container;
      s.notes = {"HDR"};
      s.filter = "format=yuv420p10le,lutyuv=y=64+(val-64)*0.7";
      s.video = "-c:v libx265 -preset ultrafast -crf 12 -pix_fmt yuv420p10le -color_primaries bt2020 -colorspace bt2020nc -color_trc " +
                transfer + " -x265-params log-level=none:keyint=30:pools=1:repeat-headers=1";
      const auto path = make_source(dir_, s, "hdr-" + transfer);
      expect_exact(s, path, dir_);
    }
}

TEST_F(TreatedSources, ToneMappingIsWhatTheCommandMakes) {
  for (const std::string transfer : {"smpte2084", "arib-std-b67"})
    for (const std::string light : {"", ":range=full", ":master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(40000000,50):max-cll=600,200"}) {
      SCOPED_TRACE(transfer + light);
      const auto path = dir_.file("source.mp4");
      ASSERT_TRUE(run_command(
          ffmpeg + "-f lavfi -i testsrc2=s=640x360:r=25:d=1.2 -vf " + (light == ":range=full" ? "scale=out_range=pc," : "") + "format=yuv420p10le " + (light == ":range=full" ? "-color_range pc " : "") + "-c:v libx265 -preset ultrafast -crf 10 -color_primaries "
          "bt2020 -colorspace bt2020nc -color_trc " + transfer + " -x265-params \"log-level=none:pools=1" + light + "\" " + path));
      auto how = small_recipe();
      how.rungs = {{640, 360, 20'000}};
      how.crf_tenths = 10;
      const auto result = transcode(file_bytes(path), how);
      const auto file = dir_.file("mapped.mp4");
      write_file(file, stitched(result.video, 0, video_durations(result.plan)));
      EXPECT_EQ(output_of("ffprobe -v error -select_streams v:0 -show_entries stream=pix_fmt,color_range,color_space,color_transfer,"
                          "color_primaries -of csv=p=0 " + file),
                "yuv420p,tv,bt709,bt709,bt709\n");
      const auto text = output_of(
          "ffmpeg -hide_banner -nostdin -i " + path + " -i " + file +
          " -lavfi \"[0:v]zscale=t=linear:npl=100:agamma=0,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv:agamma=0,"
          "format=yuv420p[a];[a][1:v]psnr=shortest=1\" -f null - 2>&1");
      const auto at = text.find("average:");
      ASSERT_NE(at, std::string::npos) << text;
      EXPECT_GE(std::strtod(text.c_str() + at + 8, nullptr), 50.0) << text.substr(at);
      RecordProperty("psnr", text.substr(at, 20));
    }
}

/// Two recordings in one file: the second's clock is behind, ahead by less than a day, or beyond the wrap.
TEST_F(TreatedSources, TransportStreamWhoseClockStartsAnew) {
  for (const std::string offset : {"1", "5000", "90000"}) {
    SCOPED_TRACE(offset);
    source s;
    s.container = "ts";
    s.num = 25;
    s.frames = 100;
    s.video = "-c:v libx264 -preset veryfast -crf 18 -bf 2 -g " + std::to_string(between(20, 60)) + " -pix_fmt yuv420p";
    s.audio = "-c:a mp2";
    s.more = "-output_ts_offset 1000";
    const auto first = make_source(dir_, s, "first");
    auto again = s;
    again.more = "-output_ts_offset " + offset;
    const auto second = make_source(dir_, again, "second");
    const auto path = dir_.file("joined.ts");
    write_file(path, file_bytes(first) + file_bytes(second));
    s.frames = 200;
    s.number = [](int n) { return n % 100; };
    s.notes = {"clock"};
    expect_exact(s, path, dir_);
  }
}

/// Single presentation times are overwritten: nothing may grow, and pictures of which the time is whole stay where they are.
TEST_F(TreatedSources, DamagedTimesOfATransportStreamDoNotStretchIt) {
  source s;
  s.container = "ts";
  s.num = 25;
  s.frames = 100;
  s.video = "-c:v libx264 -preset veryfast -crf 18 -bf 2 -g 30 -pix_fmt yuv420p";
  s.audio = "-c:a mp2";
  auto bytes = file_bytes(make_source(dir_, s));
  int damaged = 0, pes = 0;
  for (std::size_t at = 0; at + 188 <= bytes.size(); at += 188) {
    // Start of a PES packet of video or sound that has a time, behind an adaptation field if there is one.
    if ((bytes[at + 1] & 0x40) == 0) continue;
    const auto head = at + 4 + ((bytes[at + 3] & 0x20) != 0 ? static_cast<unsigned char>(bytes[at + 4]) + 1u : 0u);
    if (head + 14 > at + 188 || bytes.compare(head, 3, std::string_view{"\0\0\1", 3}) != 0) continue;
    if ((bytes[head + 7] & 0x80) == 0 || ++pes % 17 != 5) continue;
    bytes[head + 9] = static_cast<char>(bytes[head + 9] ^ (random_() % 4) << 1);
    bytes[head + 10] = static_cast<char>(random_());
    ++damaged;
  }
  ASSERT_GE(damaged, 6);
  const auto result = transcode(bytes);
  EXPECT_EQ(result.plan.frames, 100u);
  ASSERT_EQ(result.plan.notes.size(), 1u);
  EXPECT_NE(result.plan.notes[0].find("timestamps"), std::string::npos);
  const auto file = dir_.file("damaged.mp4");
  write_file(file, stitched(result.video, 0, video_durations(result.plan)));
  const auto numbers = barcodes_of(file, 128, 72);
  ASSERT_EQ(numbers.size(), 100u);
  int off = 0;
  for (int n = 0; n < 100; ++n) {
    EXPECT_NEAR(numbers[static_cast<std::size_t>(n)], n, 1);
    off += numbers[static_cast<std::size_t>(n)] != n ? 1 : 0;
  }
  EXPECT_LE(off, damaged);
  write_file(file, stitched(result.audio, 0, audio_durations(result.plan, 48000)));
  const auto sound = listen(file);
  ASSERT_EQ(sound.beeps.size(), 4u);
  for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(sound.beeps[k], static_cast<double>(k) * 48000, aac_frame_samples);
}

/// Single pictures come without a time. The decoder gives them one, and they are shown wherever a chunk begins: a reader that
/// took such a packet for one from before the chunk would skip it.
TEST_F(TreatedSources, PicturesWithoutATimeDoNotDependOnWhereAChunkBegins) {
  source s;
  s.container = "ts";
  s.num = 25;
  s.frames = 200;
  s.audio = "";
  for (const std::string video :
       {"-c:v libx264 -preset veryfast -crf 18 -g 30 -pix_fmt yuv420p -x264-params bframes=3:b-adapt=0:b-pyramid=normal:scenecut=0",
        "-c:v mpeg2video -b:v 4M -bf 2 -g 15 -pix_fmt yuv420p"}) {
    SCOPED_TRACE(video);
    s.video = video;
    auto bytes = file_bytes(make_source(dir_, s));
    int cleared = 0, pes = 0;
    for (std::size_t at = 0; at + 188 <= bytes.size(); at += 188) {
      // As in DamagedTimesOfATransportStreamDoNotStretchIt; but the time goes, and stuffing takes its place.
      if ((bytes[at + 1] & 0x40) == 0) continue;
      const auto head = at + 4 + ((bytes[at + 3] & 0x20) != 0 ? static_cast<unsigned char>(bytes[at + 4]) + 1u : 0u);
      if (head + 9 > at + 188 || bytes.compare(head, 3, std::string_view{"\0\0\1", 3}) != 0) continue;
      if ((bytes[head + 7] & 0x80) == 0 || ++pes % 17 != 5) continue;
      bytes[head + 7] = static_cast<char>(bytes[head + 7] & 0x3f);
      const auto stuffing = std::min<std::size_t>(static_cast<unsigned char>(bytes[head + 8]), at + 188 - (head + 9));
      std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(head + 9), stuffing, static_cast<char>(0xff));
      ++cleared;
    }
    ASSERT_GE(cleared, 10);
    std::map<std::int64_t, std::uint64_t> whole;
    for (const std::uint32_t segments : {64u, 1u, 2u, 3u}) {
      SCOPED_TRACE(segments);
      memory_host host{bytes};
      ports::engine_task task;
      task.source_bytes = bytes.size();
      task.how = small_recipe();
      task.how.chunk_segments = segments;
      ASSERT_TRUE(run_task(task, host));
      EXPECT_EQ(host.planned.frames, 200u);
      if (segments == 64) {
        host.chunks.resize(1);
        host.chunks[0].frames = static_cast<std::uint32_t>(host.planned.frames);
      }
      ASSERT_EQ(host.chunks.size() == 1, segments == 64);
      std::map<std::int64_t, std::uint64_t> joined;
      for (const auto& chunk : host.chunks)
        for (const auto& [pts, digest] : shown(bytes, host.planned, chunk)) EXPECT_TRUE(joined.emplace(pts, digest).second) << pts;
      if (segments == 64)
        whole = joined;
      else
        EXPECT_EQ(joined, whole);
    }
    // Of some not even the decoder knows the time; those are lost, the same ones always.
    EXPECT_GE(whole.size(), 200u - static_cast<unsigned>(cleared));
  }
}

/// A second and a half in the middle cannot be decoded, its key frame first: the picture before is held, whichever chunk
/// shows it, and all others are as ever. Where headers are whole, a decoder makes up what it can, as it does in any player.
TEST_F(TreatedSources, PicturesThatCannotBeDecodedAreHeldOver) {
  source s;
  s.num = 25;
  s.frames = 150;
  for (const std::string container : {"mp4", "mkv"})
    for (const bool noise : {false, true}) {
      SCOPED_TRACE(container + (noise ? " noise" : " zeros"));
      s.container = container;
      s.video = "-c:v libx264 -preset veryfast -crf 18 -bf 2 -g 38 -sc_threshold 0 -x264-params open-gop=0 -pix_fmt yuv420p";
      const auto path = make_source(dir_, s);
      auto bytes = file_bytes(path);
      std::istringstream lines{output_of("ffprobe -v error -select_streams v:0 -show_entries packet=pos,size -of csv=p=0 " + path)};
      std::size_t size = 0, at = 0;
      char comma = 0;
      for (int n = 0; lines >> size >> comma >> at; ++n)
        if (n >= 38 && n < 76)
          for (std::size_t i = noise ? 16 : 0; i < size; ++i) bytes[at + i] = noise ? static_cast<char>(random_()) : '\0';
      // Matroska's position is the block's, whose head goes too, and with it what the demuxer skips to find its way again.
      const auto result = transcode(bytes);
      ASSERT_EQ(result.plan.frames, 150u);
      ASSERT_GE(result.chunks.size(), 3u);
      const auto file = dir_.file("held.mp4");
      write_file(file, stitched(result.video, 0, video_durations(result.plan)));
      const auto numbers = barcodes_of(file, 128, 72);
      ASSERT_EQ(numbers.size(), 150u);
      for (int n = 0; n < 150; ++n) {
        const auto seen = numbers[static_cast<std::size_t>(n)];
        if (n < 38 || n >= 76) {
          EXPECT_EQ(seen, n);
        } else if (!noise) {
          EXPECT_EQ(seen, 37) << n;
        }
      }
      write_file(file, stitched(result.audio, 0, audio_durations(result.plan, 48000)));
      if (container == "mp4") {
        EXPECT_EQ(listen(file).beeps.size(), 6u);
      }
    }
}

// Of long GOPs, so that the part begins far from a key picture, in containers that are searched in different ways.
TEST_F(TreatedSources, APartBeginsAndEndsOnItsVeryFrame) {
  for (const std::string container : {"mp4", "mkv", "ts", "avi"}) {
    SCOPED_TRACE(container);
    source s;
    s.num = 25;
    s.frames = 200;
    s.container = container;
    s.video = container == "avi" ? "-c:v mpeg4 -bf 2 -g 90 -q:v 3" : "-c:v libx264 -preset veryfast -crf 18 -bf 2 -g 90 -sc_threshold 0 -pix_fmt yuv420p";
    if (container == "avi") s.audio = "-c:a pcm_s16le";
    const auto start = between(52, 98);  // between beeps, or the first would begin before the sound
    const auto first = start % 25 < 3 ? start + 3 : start;
    const auto frames = between(60, 90);
    s.part = {static_cast<std::uint64_t>(first) * 40, static_cast<std::uint64_t>(first + frames) * 40};
    s.number = [first](int n) { return n + first; };
    s.first_beep_s = static_cast<double>((25 - first % 25) % 25) / 25;
    check(s);
    memory_host host{file_bytes(dir_.file("source." + container))};
    auto how = small_recipe();
    how.part = s.part;
    const auto planned = plan_source(host, host.source().size(), how);
    ASSERT_TRUE(planned);
    EXPECT_EQ(planned->plan.frames, static_cast<std::uint64_t>(frames));
  }
}

TEST_F(TreatedSources, APartBehindTheEndIsRefused) {
  source s;
  memory_host host{file_bytes(make_source(dir_, s))};
  auto how = small_recipe();
  how.part = {60'000, 0};
  const auto planned = plan_source(host, host.source().size(), how);
  ASSERT_FALSE(planned);
  EXPECT_EQ(planned.error().code, errc::unprocessable);
  EXPECT_NE(planned.error().message.find("earlier start"), std::string::npos);
}

}  // namespace latham::media
