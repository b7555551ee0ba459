// Frame k of every rung shows picture k, whatever the source looks like: the usual kinds of source. Those that need a
// treatment of their own (interlaced, HDR, another shape in the middle) are in treated_sources_test.cpp.
#include "core/manifest/storyboard.hpp"
#include "tests/support/media/exactness.hpp"

namespace latham::media {

namespace {

using namespace latham::testing;

using Exactness = exactness_test;

}  // namespace

TEST_F(Exactness, ClosedGopMp4) {
  auto s = drawn();
  s.num = 24;
  s.den = 1;
  s.frames = between(72, 120);
  s.video = "-c:v libx264 -preset veryfast -crf 18 -g 48 -flags +cgop -pix_fmt yuv420p";
  check(s);
}

TEST_F(Exactness, LongGopFaststart) {
  auto s = drawn();
  s.video = "-c:v libx264 -preset veryfast -crf 18 -g 250 -sc_threshold 0 -pix_fmt yuv420p";
  s.more = "-movflags +faststart";
  check(s);
}

TEST_F(Exactness, OpenGopWithBFrames) {
  auto s = drawn();
  s.video = "-c:v libx264 -preset fast -crf 18 -bf 3 -x264-params open-gop=1:keyint=" + std::to_string(between(17, 40)) +
            ":min-keyint=10:b-adapt=0:scenecut=0 -pix_fmt yuv420p";
  check(s);
}

TEST_F(Exactness, NtscRate) {
  auto s = drawn();
  s.num = 30000;
  s.den = 1001;
  s.frames = between(100, 150);
  check(s);
}

TEST_F(Exactness, VariableRateWithHoles) {
  auto s = drawn();
  const int hole = between(5, 20);
  s.filter = "select='not(between(mod(n\\,40)\\,10\\," + std::to_string(10 + hole) + "))'";
  s.more = "-vsync vfr";
  s.frames = 125;
  s.number = [hole](int n) { return n % 40 >= 10 && n % 40 <= 10 + hole ? n / 40 * 40 + 9 : n; };
  check(s);
}

TEST_F(Exactness, Matroska) {
  auto s = drawn();
  s.container = "mkv";
  s.audio = "-c:a libvorbis -ac 2";
  s.video = "-c:v libx264 -preset veryfast -crf 18 -g " + std::to_string(between(20, 60)) + " -bf 2 -pix_fmt yuv420p";
  check(s);
}

TEST_F(Exactness, TransportStreamStartingAt1000Seconds) {
  auto s = drawn();
  s.container = "ts";
  s.video = "-c:v libx264 -preset veryfast -crf 18 -bf 2 -g " + std::to_string(between(20, 60)) + " -pix_fmt yuv420p";
  s.more = "-output_ts_offset 1000";
  check(s);
}

TEST_F(Exactness, Mpeg2TransportStream) {
  auto s = drawn();
  s.num = 25;
  s.den = 1;
  s.frames = between(75, 125);
  s.container = "ts";
  s.video = "-c:v mpeg2video -b:v 3M -bf 2 -g " + std::to_string(between(12, 30));
  s.audio = "-c:a mp2";
  check(s);
}

TEST_F(Exactness, ProgramStream) {
  auto s = drawn();
  s.num = 25;
  s.den = 1;
  s.frames = between(75, 125);
  s.container = "mpg";
  s.video = "-c:v mpeg2video -b:v 3M -bf 2 -g 15";
  s.audio = "-c:a mp2";
  check(s);
}

TEST_F(Exactness, WebmVp9Opus) {
  auto s = drawn();
  s.container = "webm";
  s.video = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 1M -g 40";
  s.audio = "-c:a libopus";
  check(s);
}

TEST_F(Exactness, Av1InMatroska) {
  auto s = drawn();
  s.frames = std::min(s.frames, 75);
  s.container = "mkv";
  s.video = "-c:v libaom-av1 -cpu-used 8 -usage realtime -b:v 1M -g 30";
  s.audio = "";
  check(s);
}

TEST_F(Exactness, HevcTenBitOpenGop) {
  auto s = drawn();
  s.video =
      "-c:v libx265 -preset ultrafast -crf 20 -pix_fmt yuv420p10le -x265-params log-level=none:keyint=30:open-gop=1:bframes=3:pools=1";
  check(s);
}

TEST_F(Exactness, AviMpeg4WithBFrames) {
  auto s = drawn();
  s.container = "avi";
  s.video = "-c:v mpeg4 -q:v 3 -bf 2 -g 30";
  s.audio = "-c:a pcm_s16le";  // AVI cannot tell of an encoder's priming
  check(s);
}

TEST_F(Exactness, FlashVideo) {
  auto s = drawn();
  s.container = "flv";
  s.audio_rate = 44100;
  check(s);
}

TEST_F(Exactness, FragmentedMp4) {
  auto s = drawn();
  s.more = "-movflags +frag_keyframe+delay_moov";
  check(s);
}

TEST_F(Exactness, FragmentedMp4WithEmptyIndex) {
  auto s = drawn();
  s.audio = "";
  s.more = "-movflags +frag_keyframe+empty_moov+default_base_moof";
  check(s);
}

TEST_F(Exactness, AviH264WithBFrames) {
  auto s = drawn();
  s.container = "avi";
  s.video = "-c:v libx264 -preset veryfast -crf 18 -bf 3 -g " + std::to_string(between(20, 60)) + " -pix_fmt yuv420p";
  s.audio = "-c:a pcm_s16le";
  check(s);
}

TEST_F(Exactness, Rotated) {
  for (const int degrees : {90, 180, 270}) {
    SCOPED_TRACE(degrees);
    auto s = drawn();
    s.frames = 3 * s.num / s.den;
    s.audio = "";
    if (degrees != 180) std::swap(s.width, s.height);
    // The coded picture is turned the other way, so that the player's turn makes it upright.
    s.filter = degrees == 90 ? "transpose=clock" : degrees == 270 ? "transpose=cclock" : "hflip,vflip";
    s.after = {ffmpeg + "-i {in} -c copy -metadata:s:v rotate=" + std::to_string(degrees) + " {out}"};
    const auto path = make_source(dir_, s, "rotated" + std::to_string(degrees));
    const auto reference = barcodes_of(path, s.width, s.height);
    ASSERT_EQ(reference.size(), static_cast<std::size_t>(s.frames));
    EXPECT_EQ(reference[7], 7) << "the test's own idea of rotation is wrong";
    expect_exact(s, path, dir_);
  }
}

TEST_F(Exactness, NoAudio) {
  auto s = drawn();
  s.audio = "";
  check(s);
}

TEST_F(Exactness, MonoAudioAt22Kilohertz) {
  auto s = drawn();
  s.layout = "mono";
  s.audio_rate = 22050;
  s.audio = "-c:a aac -ac 1";
  check(s);
}

TEST_F(Exactness, SurroundAudio) {
  auto s = drawn();
  s.audio = "-c:a ac3 -ac 6";
  check(s);
}

TEST_F(Exactness, OddSize) {
  auto s = drawn();
  s.width = 321;
  s.height = 179;
  s.video = "-c:v libx264 -preset veryfast -crf 18 -g 30 -pix_fmt yuv444p";
  check(s);
}

TEST_F(Exactness, AnamorphicPixels) {
  auto s = drawn();
  s.width = 240;
  s.height = 180;
  s.filter = "setsar=4/3";
  check(s);
}

TEST_F(Exactness, FullRangeMotionJpeg) {
  auto s = drawn();
  s.container = "mov";
  s.video = "-c:v mjpeg -q:v 3 -pix_fmt yuvj422p";
  s.audio = "-c:a pcm_s16le";
  check(s);
}

TEST_F(Exactness, HundredTwentyFramesASecondAreHalved) {
  auto s = drawn();
  s.num = 120;
  s.den = 1;
  s.frames = between(360, 480) / 2 * 2;
  s.fps = 60;
  s.number = [](int n) { return 2 * n + 1; };
  check(s);
}

TEST_F(Exactness, SoundStartsAfterThePicture) {
  auto s = drawn();
  s.after = {ffmpeg + "-i {in} -itsoffset 0.7 -i {in} -map 0:v -map 1:a -c copy {out}"};
  s.first_beep_s = 0.7;
  check(s);
}

TEST_F(Exactness, PictureStartsAfterTheSound) {
  auto s = drawn();
  s.num = 25;
  s.den = 1;
  s.frames = 80;
  s.container = "mkv";
  s.audio = "-c:a flac";  // no priming, so the sound starts at 0
  s.after = {ffmpeg + "-i {in} -itsoffset 0.6 -i {in} -map 1:v -map 0:a -c copy {out}"};
  s.number = [](int n) { return std::max(0, n - 15); };
  check(s);
}

TEST_F(Exactness, EditListThatCutsIntoAGop) {
  auto s = drawn();
  s.num = 25;
  s.den = 1;
  s.frames = 125;
  s.video = "-c:v libx264 -preset fast -crf 18 -bf 3 -x264-params open-gop=1:keyint=40:min-keyint=40:scenecut=0 -pix_fmt yuv420p";
  s.audio = "";
  s.after = {ffmpeg + "-ss 1.2 -i {in} -c copy {out}"};
  s.number = [](int n) { return n + 30; };
  check(s);
}

TEST_F(Exactness, FilmRate) {
  auto s = drawn();
  s.num = 24000;
  s.den = 1001;
  s.frames = between(80, 120);
  check(s);
}

TEST_F(Exactness, DoubleNtscRate) {
  auto s = drawn();
  s.num = 60000;
  s.den = 1001;
  s.frames = between(180, 240);
  s.container = "mkv";  // whose milliseconds do not hold 1001/60000
  check(s);
}

TEST_F(Exactness, Portrait) {
  auto s = drawn();
  std::swap(s.width, s.height);
  s.audio = "";
  check(s);
}

TEST_F(Exactness, TenBit422) {
  auto s = drawn();
  s.video = "-c:v libx264 -preset ultrafast -crf 18 -g 30 -pix_fmt yuv422p10le";
  s.audio = "";
  check(s);
}

TEST_F(Exactness, WebmVp8WithoutCues) {
  auto s = drawn();
  s.frames = 75;
  s.container = "webm";
  s.video = "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 1M -g 40 -auto-alt-ref 1 -lag-in-frames 10";
  s.audio = "-c:a libvorbis";
  s.more = "-live 1";  // no cues and no duration: a recording as it arrives
  check(s);
}

TEST_F(Exactness, ProresInMovWithTimecodeAndChapters) {
  auto s = drawn();
  s.num = 25;
  s.den = 1;
  s.frames = 75;
  s.container = "mov";
  s.video = "-c:v prores_ks -profile:v 0 -pix_fmt yuv422p10le";
  s.audio = "-c:a pcm_s24le -ar 48000";
  s.more = "-timecode 01:00:00:00";
  const auto chapters = dir_.file("chapters.txt");
  write_file(chapters, ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1\nSTART=0\nEND=2\ntitle=one\n"
                       "[CHAPTER]\nTIMEBASE=1/1\nSTART=2\nEND=3\ntitle=two\n");
  s.after = {ffmpeg + "-i {in} -i " + chapters + " -map 0 -map_metadata 1 -map_chapters 1 -c copy {out}"};
  check(s);
}

TEST_F(Exactness, StartOffset) {
  auto s = drawn();
  s.video = "-c:v libx264 -preset veryfast -crf 18 -bf 2 -g 30 -pix_fmt yuv420p";
  s.more = "-output_ts_offset 2.5 -movflags +faststart";
  check(s);
}

TEST_F(Exactness, TransportStreamWhoseClockWraps) {
  auto s = drawn();
  s.container = "ts";
  s.video = "-c:v libx264 -preset veryfast -crf 18 -bf 2 -g " + std::to_string(between(20, 60)) + " -pix_fmt yuv420p";
  s.more = "-output_ts_offset 95441.5";  // 2^33 / 90 000 is 95 443.7
  check(s);
}

TEST_F(Exactness, TelephoneAudio) {
  auto s = drawn();
  s.container = "mov";
  s.layout = "mono";
  s.audio_rate = 8000;
  s.audio = "-c:a pcm_mulaw";
  check(s);
}

TEST_F(Exactness, AudioAt96Kilohertz) {
  auto s = drawn();
  s.container = "mkv";
  s.audio_rate = 96000;
  s.audio = "-c:a flac";
  check(s);
}

TEST_F(Exactness, SeveralLanguages) {
  auto s = drawn();
  s.tracks = 3;
  s.after = {ffmpeg + "-i {in} -map 0:v -map 0:a -map 0:a -map 0:a -c copy -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu "
             "-metadata:s:a:2 language=fra {out}"};
  check(s);
}

TEST_F(Exactness, SoundShorterThanThePicture) {
  auto s = drawn();
  s.sound_s = 1.7;
  check(s);
}

TEST_F(Exactness, SoundLongerThanThePicture) {
  auto s = drawn();
  s.sound_s = 8;
  check(s);
}

TEST_F(Exactness, SoundIsTheFirstStream) {
  auto s = drawn();
  s.after = {ffmpeg + "-i {in} -map 0:a -map 0:v -c copy {out}"};
  check(s);
}

TEST_F(Exactness, CoverBesideTheVideo) {
  auto s = drawn();
  const auto cover = dir_.file("cover.png");
  ASSERT_TRUE(run_command(ffmpeg + "-f lavfi -i testsrc2=s=640x480:d=0.04 -frames:v 1 " + cover));
  s.after = {ffmpeg + "-i {in} -i " + cover + " -map 1 -map 0:v -map 0:a -c copy -disposition:v:0 attached_pic {out}"};
  check(s);
}

TEST_F(Exactness, OneFrame) {
  auto s = drawn();
  s.frames = 1;
  s.audio = "";
  s.chunks_min = 1;
  s.fps = 25;  // a single frame has no rate
  s.num = 25;
  s.den = 1;
  check(s);
}

TEST_F(Exactness, HalfASecond) {
  auto s = drawn();
  s.num = 24;
  s.den = 1;
  s.frames = 12;
  s.chunks_min = 1;
  check(s);
}

/// At 25 frames a second a segment has 13. Those that are too few for a segment are joined to the last one: in a chunk of
/// several, in a chunk of its own, and in the only one.
TEST_F(Exactness, AFewFramesBeyondASegment) {
  for (const int segments : {4, 2, 1})
    for (int beyond = 1; beyond <= 4; ++beyond) {
      source s;
      s.num = 25;
      s.frames = 13 * segments + beyond;
      s.chunks_min = segments == 1 && beyond < 4 ? 1 : 2;
      SCOPED_TRACE(std::to_string(s.frames) + " frames");
      const auto path = make_source(dir_, s);
      expect_exact(s, path, dir_);
      const auto result = transcode(file_bytes(path));
      const auto count = static_cast<std::size_t>(beyond < 4 ? segments : segments + 1);
      EXPECT_EQ(segment_count(result.plan, result.plan.frames), count);
      const auto joined = dir_.file("joined.mp4");
      write_file(joined, stitched(result.video, 0, video_durations(result.plan)));
      const auto flags = output_of("ffprobe -v error -select_streams v:0 -show_entries packet=flags -of csv=p=0 " + joined);
      EXPECT_EQ(static_cast<std::size_t>(std::count(flags.begin(), flags.end(), 'K')), count) << "a key frame for each segment and none besides";
      std::size_t sounds = 0, tiles = 0;
      for (const auto& piece : result.audio) sounds += piece.segment != output_entry::init_segment;
      for (const auto& image : result.images) tiles += image.rendition == image_sheet ? image.duration : 0;
      EXPECT_EQ(sounds, count);
      EXPECT_EQ(tiles, count);
    }
}

/// A held picture whose last predecessor nobody refers to: it must not be among those that are skipped before a chunk.
TEST_F(Exactness, HoldAcrossABorderAfterAPictureThatNobodyRefersTo) {
  auto s = drawn();
  s.num = 25;
  s.den = 1;
  s.frames = 125;
  s.audio = "";
  s.filter = "select='not(between(n\\,30\\,100))'";
  s.video = "-c:v libx264 -preset veryfast -crf 18 -g 250 -bf 1 -x264-params b-adapt=0:scenecut=0:b-pyramid=none -pix_fmt yuv420p";
  s.more = "-vsync vfr";
  s.number = [](int n) { return n >= 30 && n <= 100 ? 29 : n; };
  check(s);
}

TEST_F(Exactness, SoundHasNoSeamAtBorders) {
  const auto path = dir_.file("tone.mkv");
  ASSERT_TRUE(run_command(ffmpeg + "-f lavfi -i testsrc2=s=320x180:r=25:d=4 -f lavfi -i \"aevalsrc=0.5*sin(2*PI*440*t):s=48000:d=4\" "
                          "-c:v libx264 -preset ultrafast -c:a pcm_f32le -ac 2 " + path));
  auto how = small_recipe();
  how.audio_kbit = 192;
  const auto result = transcode(file_bytes(path), how);
  const auto file = dir_.file("tone.mp4");
  write_file(file, stitched(result.audio, 0, audio_durations(result.plan, 48000)));
  const auto heard = samples_of(file);
  ASSERT_GT(heard.size(), 190'000u);
  // The tone that fits best, away from both ends, where the encoder still settles: it has to run on through every border.
  const auto omega = 2 * M_PI * 440 / 48000;
  double in_phase = 0, quadrature = 0;
  constexpr std::size_t from = 14'400, count = 168'000;  // whole periods
  for (std::size_t i = from; i < from + count; ++i) {
    in_phase += 2.0 / count * heard[i] * std::sin(omega * static_cast<double>(i));
    quadrature += 2.0 / count * heard[i] * std::cos(omega * static_cast<double>(i));
  }
  std::map<std::uint64_t, double> worst;  // by the distance to the nearest border, in AAC frames
  for (std::size_t i = from; i < from + count; ++i) {
    std::uint64_t distance = UINT64_MAX;
    for (std::uint32_t n = 0; n < segment_count(result.plan, result.plan.frames); ++n) {
      const auto border = audio_segment_start(result.plan, 48000, n);
      distance = std::min<std::uint64_t>(distance, (i > border ? i - border : border - i) / aac_frame_samples);
    }
    auto& entry = worst[std::min<std::uint64_t>(distance, 4)];
    entry = std::max(entry, std::abs(heard[i] - in_phase * std::sin(omega * static_cast<double>(i)) -
                                     quadrature * std::cos(omega * static_cast<double>(i))));
  }
  // What the codec leaves of a tone anywhere is its own affair.
  EXPECT_LE(worst[0], worst[4] + 0.001);
  EXPECT_LE(worst[4], 0.002);
}

TEST_F(Exactness, PictureSizeChangesInTheMiddle) {
  source s;
  s.container = "ts";
  s.audio = "";
  s.num = 25;
  s.frames = 50;
  const auto first = make_source(dir_, s, "first");
  auto bigger = s;
  bigger.width = 480;
  bigger.height = 270;
  bigger.more = "-output_ts_offset 2";
  const auto second = make_source(dir_, bigger, "second");
  const auto path = dir_.file("joined.ts");
  write_file(path, file_bytes(first) + file_bytes(second));
  s.frames = 100;
  s.number = [](int n) { return n % 50; };
  s.notes = {"size changes"};
  expect_exact(s, path, dir_);
}

TEST_F(Exactness, StoryboardAndPosterShowTheFirstPictureOfTheirSegment) {
  source s;
  s.width = 640;
  s.height = 360;
  s.frames = 260;
  s.audio = "";
  const auto result = transcode(file_bytes(make_source(dir_, s)));
  const auto& plan = result.plan;
  const auto tile = tile_size_of(plan);
  std::size_t sheets = 0;
  std::size_t posters = 0;
  for (const auto& image : result.images) {
    const auto file = dir_.file("still.jpg");
    write_file(file, image.bytes);
    if (image.rendition == image_poster) {
      ++posters;
      EXPECT_EQ(image.chunk, poster_frame(plan) < result.chunks[0].frames ? 0u : 1u);
      EXPECT_EQ(barcodes_of(file, static_cast<int>(plan.rungs.back().width), static_cast<int>(plan.rungs.back().height)), std::vector<int>{static_cast<int>(poster_frame(plan))});
      continue;
    }
    ++sheets;
    const auto& chunk = result.chunks.at(image.chunk);
    SCOPED_TRACE("sheet of chunk " + std::to_string(chunk.index));
    EXPECT_EQ(image.segment, chunk.first_frame / plan.segment_frames);
    ASSERT_EQ(image.duration, segment_count(plan, chunk));
    const auto width = static_cast<int>(tile.width), height = static_cast<int>(tile.height);
    for (std::uint32_t k = 0; k < image.duration; ++k) {
      const auto crop = "crop=" + std::to_string(width) + ":" + std::to_string(height) + ":" + std::to_string(k * tile.width) + ":0";
      EXPECT_EQ(barcodes_of(file, width, height, crop), std::vector<int>{static_cast<int>(chunk.first_frame + k * plan.segment_frames)});
    }
  }
  EXPECT_EQ(sheets, result.chunks.size());
  EXPECT_EQ(posters, 1u);
  EXPECT_GT(poster_frame(plan), 0u);

  auto how = small_recipe();
  how.version = 1;
  EXPECT_TRUE(transcode(file_bytes(dir_.file("source.mp4")), how).images.empty()) << "the first recipe makes none";
}

}  // namespace latham::media
