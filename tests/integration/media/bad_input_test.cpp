// What strangers upload: every bad input ends with the right code and a sentence, opens nothing, and costs little.
#include "media/av/task_runner.hpp"
#include "tests/support/media/barcode.hpp"
#include "tests/support/media/bombs.hpp"
#include "tests/support/media/memory_host.hpp"

extern "C" {
#include <libavutil/log.h>
}

#include <gtest/gtest.h>

#include <chrono>
#include <random>

namespace latham::media {

namespace {

using namespace latham::testing;

ports::engine_task plan_task(const std::string& bytes) {
  ports::engine_task task;
  task.source_bytes = bytes.size();
  task.how.rungs = {{128, 72, 150}, {256, 144, 400}};
  task.how.segment_ms = 500;
  return task;
}

struct verdict {
  errc code = errc::none;
  std::string message;
  source_plan plan;
  std::vector<chunk_plan> chunks;
};

verdict judge(const std::string& bytes) {
  memory_host host{bytes};
  const auto before = std::clock();
  const auto result = run_task(plan_task(bytes), host);
  EXPECT_LT(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC, 2.0) << "a refusal must be cheap";
  verdict out{result ? errc::none : result.error().code, result ? "" : result.error().message, host.planned, host.chunks};
  if (!result) {
    EXPECT_FALSE(out.message.empty());
    EXPECT_EQ(out.message.back(), '.') << out.message;
  }
  return out;
}

void expect_refused(const std::string& bytes, errc code, const std::string& word) {
  const auto v = judge(bytes);
  EXPECT_EQ(to_string(v.code), to_string(code)) << v.message;
  EXPECT_NE(v.message.find(word), std::string::npos) << v.message;
}

class BadInput : public ::testing::Test {
protected:
  BadInput() { av_log_set_level(AV_LOG_QUIET); }
  std::string made(const std::string& arguments, const std::string& name) {
    const auto path = dir_.file(name);
    EXPECT_TRUE(run_command(ffmpeg + arguments + " " + path)) << arguments;
    return file_bytes(path);
  }
  std::string video(const std::string& more = "", const std::string& name = "v.mp4") {
    return made("-f lavfi -i testsrc2=s=160x90:r=25:d=3 -c:v libx264 -preset ultrafast -g 25 " + more, name);
  }
  scratch_directory dir_;
};

}  // namespace

TEST_F(BadInput, EmptyFile) { expect_refused("", errc::unsupported, "empty"); }

TEST_F(BadInput, Garbage) {
  std::mt19937 random{1};
  for (const std::size_t size : {std::size_t{1}, std::size_t{100}, std::size_t{100'000}, std::size_t{2'000'000}}) {
    std::string bytes(size, '\0');
    for (auto& c : bytes) c = static_cast<char>(random());
    const auto v = judge(bytes);
    EXPECT_TRUE(v.code == errc::unsupported || v.code == errc::unprocessable) << size << ": " << to_string(v.code);
  }
  expect_refused(std::string(1'000'000, '\0'), errc::unsupported, "not a video");
}

TEST_F(BadInput, Text) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "The quick brown fox jumps over the lazy dog.\n";
  expect_refused(text, errc::unsupported, "not a video");
  expect_refused("hello", errc::unsupported, "not a video");
}

TEST_F(BadInput, Pictures) {
  expect_refused(made("-f lavfi -i testsrc2=s=160x90:d=1 -frames:v 1 -f image2 -c:v png", "p.png"), errc::unprocessable, "picture");
  expect_refused(made("-f lavfi -i testsrc2=s=160x90:d=1 -frames:v 1", "p.jpg"), errc::unprocessable, "picture");
  expect_refused(made("-f lavfi -i testsrc2=s=160x90:d=1", "p.gif"), errc::unprocessable, "picture");
}

TEST_F(BadInput, HugePictures) {
  auto png = made("-f lavfi -i testsrc2=s=160x90:d=1 -frames:v 1 -f image2 -c:v png", "p.png");
  enlarge_png(png);
  expect_refused(png, errc::unprocessable, "picture");
  for (const std::string name : {"m.mov", "m.avi", "m.mkv"}) {
    SCOPED_TRACE(name);
    const auto small = made("-f lavfi -i testsrc2=s=160x90:r=25:d=1 -c:v mjpeg -pix_fmt yuvj420p", name);
    // Every picture's own header (SOF0) says 16000 x 16000; the container says 160 x 90 or agrees.
    auto bytes = small;
    enlarge_jpeg(bytes);
    const auto v = judge(bytes);
    if (v.code == errc::none) {
      auto task = plan_task(bytes);
      task.kind = ports::engine_task_kind::video;
      task.plan = v.plan;
      task.chunks = v.chunks;
      memory_host host{bytes};
      const auto result = run_task(task, host);
      ASSERT_FALSE(result);
      EXPECT_EQ(to_string(result.error().code), "unprocessable") << result.error().message;
    }
    if (name != "m.mov") continue;
    const auto entry = bytes.find("jpeg", bytes.find("stsd"));
    ASSERT_NE(entry, std::string::npos);
    put_u32(bytes, entry + 28, 16000u << 16 | 16000u);
    expect_refused(bytes, errc::too_large, "16000x16000");
  }
}

TEST_F(BadInput, HugeCoverIsNotDecoded) {
  auto bytes = made("-f lavfi -i testsrc2=s=160x90:r=25:d=1 -f lavfi -i testsrc2=s=64x64:d=0.04 -map 0 -map 1 -c:v:0 mpeg4 -c:v:1 mjpeg "
                    "-pix_fmt:v:1 yuvj420p -disposition:v:1 attached_pic",
                    "cover.mp4");
  enlarge_jpeg(bytes);
  const auto v = judge(bytes);
  EXPECT_EQ(to_string(v.code), "none") << v.message;
  EXPECT_EQ(v.plan.width, 160u);
}

TEST_F(BadInput, PictureCodecsInVideoContainersAreNotStarted) {
  for (const std::string codec : {"png", "gif", "tiff", "jpeg2000"}) {
    SCOPED_TRACE(codec);
    const auto bytes = made("-f lavfi -i testsrc2=s=160x90:r=25:d=0.2 -c:v " + codec, codec + ".mkv");
    const auto v = judge(bytes);
    EXPECT_EQ(to_string(v.code), "unsupported") << v.message;
    EXPECT_NE(v.message.find("does not decode"), std::string::npos) << v.message;
  }
}

TEST_F(BadInput, ForeignContainers) {
  for (const std::string name : {"f.nut", "f.wtv", "f.asf", "f.gxf", "f.mxf", "f.y4m", "f.rm", "f.ivf", "f.h264", "f.dv"}) {
    SCOPED_TRACE(name);
    const std::string codec = name == "f.gxf" || name == "f.mxf" ? "mpeg2video -s 720x576" : name == "f.h264" ? "libx264"
                              : name == "f.y4m"                  ? "wrapped_avframe"
                              : name == "f.rm"                   ? "rv10 -s 176x144"
                              : name == "f.ivf"                  ? "libvpx"
                              : name == "f.dv"                   ? "dvvideo -s 720x576"
                                                                 : "mpeg4";
    expect_refused(made("-f lavfi -i testsrc2=s=160x90:r=25:d=0.2 -pix_fmt yuv420p -c:v " + codec, name), errc::unsupported, "not a video");
  }
}

TEST_F(BadInput, IndexOfMoreSamplesThanTheFileHasBytes) {
  auto bytes = video("-movflags +faststart");
  const auto sizes = bytes.find("stsz"), chunks = bytes.find("stsc");
  ASSERT_NE(sizes, std::string::npos);
  ASSERT_NE(chunks, std::string::npos);
  put_u32(bytes, sizes + 8, 1);             // every sample is one byte long
  put_u32(bytes, sizes + 12, 0x0fff'ffff);  // and there are many
  put_u32(bytes, chunks + 16, 0x0fff'ffff);  // in one chunk
  const auto v = judge(bytes);
  EXPECT_NE(to_string(v.code), "internal") << v.message;
  EXPECT_LT(v.plan.frames, 1000u);
}

TEST_F(BadInput, LongerThanADay) {
  auto bytes = video("-movflags +faststart -use_editlist 0");
  const auto at = bytes.find("stts");
  ASSERT_NE(at, std::string::npos);
  put_u32(bytes, at + 16, 12800 * 1200);  // 20 minutes a frame: 25 hours
  expect_refused(bytes, errc::too_large, "24 hours");
}

TEST_F(BadInput, PlaylistsOpenNothing) {
  const std::string secret = dir_.file("secret.ts");
  ASSERT_TRUE(run_command(ffmpeg + "-f lavfi -i testsrc2=s=160x90:r=25:d=1 -c:v mpeg2video " + secret));
  expect_refused("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", errc::unsupported, "playlist");
  expect_refused("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:1/x.ts\n#EXT-X-ENDLIST\n", errc::unsupported, "playlist");
  expect_refused("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n" + secret + "\n#EXT-X-ENDLIST\n", errc::unsupported, "playlist");
  expect_refused("ffconcat version 1.0\nfile '" + secret + "'\n", errc::unsupported, "playlist");
  expect_refused("<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\"><Period/></MPD>", errc::unsupported, "");
  expect_refused("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n", errc::unsupported, "");
}

TEST_F(BadInput, SoundOfForeignKinds) {
  for (const std::string name : {"a.ac3", "a.aiff", "a.caf", "a.au", "a.wv", "a.tta", "a.w64", "a.aac"}) {
    SCOPED_TRACE(name);
    expect_refused(made("-f lavfi -i sine=d=1", name), errc::unsupported, "convert it to MP3");
  }
  expect_refused(made("-f lavfi -i sine=d=1 -c:a wavpack", "w.mkv"), errc::unsupported, "wavpack");
  expect_refused(made("-f lavfi -i sine=d=1 -c:a adpcm_ms", "adpcm.wav"), errc::unsupported, "adpcm_ms");
}

TEST_F(BadInput, NeitherPictureNorSound) {
  write_file(dir_.file("s.srt"), "1\n00:00:00,000 --> 00:00:01,000\nHello\n");
  expect_refused(made("-i " + dir_.file("s.srt") + " -c:s srt", "s.mkv"), errc::unprocessable, "neither a video track nor sound");
}

TEST_F(BadInput, SoundWithoutSamples) {
  auto bytes = made("-f lavfi -i sine=d=1 -c:a pcm_s16le -bitexact", "a.wav");
  expect_refused(bytes.substr(0, bytes.find("data") + 8), errc::unprocessable, "");
  expect_refused(made("-f lavfi -i sine=d=1 -c:a aac -t 0", "empty.mkv"), errc::unprocessable, "");
}

TEST_F(BadInput, SoundThatIsCutOffIsUsedAsFarAsItGoes) {
  for (const std::string name : {"a.flac", "a.mkv"}) {
    SCOPED_TRACE(name);
    const auto bytes = made("-f lavfi -i \"anoisesrc=d=20\" -ac 2" + std::string{name == "a.mkv" ? " -c:a flac" : ""}, name);
    const auto v = judge(bytes.substr(0, bytes.size() / 2));
    ASSERT_EQ(to_string(v.code), "none") << v.message;
    EXPECT_TRUE(v.plan.truncated);
    EXPECT_NEAR(static_cast<double>(v.plan.frames) * aac_frame_samples / 48'000, 10, 1);
    ASSERT_FALSE(v.plan.notes.empty());
    EXPECT_NE(v.plan.notes[0].find("ends early"), std::string::npos) << v.plan.notes[0];
  }
}

TEST_F(BadInput, FewPacketsOfSoundThatClaimYears) {
  auto bytes = made("-f lavfi -i sine=d=1 -c:a aac -movflags +faststart -use_editlist 0", "a.m4a");
  const auto at = bytes.find("stts");
  ASSERT_NE(at, std::string::npos);
  put_u32(bytes, at + 16, 44'100u * 3600);  // an hour a packet
  expect_refused(bytes, errc::too_large, "24 hours");
  put_u32(bytes, at + 16, 44'100u * 20);
  expect_refused(bytes, errc::unprocessable, "timestamps are damaged");
}

TEST_F(BadInput, ForeignCodec) {
  expect_refused(made("-f lavfi -i testsrc2=s=160x90:d=1 -c:v ffv1", "f.mkv"), errc::unsupported, "ffv1");
  const auto v = judge(made("-f lavfi -i testsrc2=s=160x90:d=1 -f lavfi -i sine=d=1 -c:v libx264 -c:a wavpack", "w.mkv"));
  EXPECT_EQ(v.code, errc::none) << "a sound that cannot be decoded is left out: " << v.message;
  EXPECT_TRUE(v.plan.audio.empty());
  EXPECT_EQ(v.plan.notes.size(), 1u);
}

TEST_F(BadInput, NoFrames) {
  // A film that was closed before its first frame: an index that is whole and empty.
  auto bytes = video("-movflags +empty_moov+frag_keyframe+default_base_moof");
  bytes.resize(bytes.find("moof") - 4);
  expect_refused(bytes, errc::unprocessable, "no frames");
}

TEST_F(BadInput, CutOffBeforeItsIndex) {
  const auto bytes = video();
  expect_refused(bytes.substr(0, bytes.size() / 2), errc::unprocessable, "cut off");
}

TEST_F(BadInput, CutOffInTheMiddleIsUsedAsFarAsItGoes) {
  const auto bytes = video("-movflags +faststart -b:v 2M -crf 5");
  const auto v = judge(bytes.substr(0, bytes.size() * 6 / 10));
  ASSERT_EQ(v.code, errc::none) << v.message;
  EXPECT_TRUE(v.plan.truncated);
  EXPECT_GT(v.plan.frames, 20u);
  EXPECT_LT(v.plan.frames, 70u);
  ASSERT_EQ(v.plan.notes.size(), 1u);
  EXPECT_NE(v.plan.notes[0].find("ends early"), std::string::npos);
  auto task = plan_task(bytes.substr(0, bytes.size() * 6 / 10));
  task.kind = ports::engine_task_kind::video;
  task.plan = v.plan;
  task.chunks = v.chunks;
  memory_host host{bytes.substr(0, bytes.size() * 6 / 10)};
  const auto result = run_task(task, host);
  EXPECT_TRUE(result) << result.error().message;
  EXPECT_EQ(host.done.size(), v.chunks.size());
}

TEST_F(BadInput, CutOffMatroskaSaysSo) {
  const auto bytes = made("-f lavfi -i testsrc2=s=160x90:r=25:d=6 -c:v libx264 -preset ultrafast -g 25", "v.mkv");
  const auto v = judge(bytes.substr(0, bytes.size() / 3));
  ASSERT_EQ(v.code, errc::none) << v.message;
  EXPECT_TRUE(v.plan.truncated);
}

// A cue may stand longer than anything else, so what subtitles promise is held against the subtitles that are there.
TEST_F(BadInput, CutOffFilesWithSubtitlesSaySo) {
  std::string words;
  for (int s = 0; s < 20; ++s) words += std::to_string(s + 1) + "\n00:00:" + (s < 10 ? "0" : "") + std::to_string(s) + ",000 --> 00:00:" + (s < 10 ? "0" : "") + std::to_string(s) + ",800\nHello\n\n";
  write_file(dir_.file("w.srt"), words);
  const std::string picture = "-f lavfi -i testsrc2=s=160x90:r=25:d=20 ", sound = "-f lavfi -i \"anoisesrc=d=20\" ";
  const std::string encoder = "-c:v libx264 -preset ultrafast -g 25 -crf 5 ";
  struct one {
    std::string name, arguments;
  };
  const std::string srt = "-i " + dir_.file("w.srt") + " ";
  for (const auto& [name, arguments] : {one{"s.mkv", picture + srt + encoder + "-c:s srt"}, one{"t.mkv", picture + sound + srt + "-map 0 -map 1 -map 2 " + encoder + "-c:s ass"},
                                        one{"s.mp4", picture + srt + encoder + "-c:s mov_text -movflags +faststart"}, one{"a.mkv", sound + srt + "-c:a flac -c:s srt"},
                                        one{"a.m4a.mp4", sound + srt + "-c:a aac -c:s mov_text -movflags +faststart"}}) {
    SCOPED_TRACE(name);
    const auto bytes = made(arguments, name);
    const auto whole = judge(bytes);
    ASSERT_EQ(to_string(whole.code), "none") << whole.message;
    EXPECT_FALSE(whole.plan.truncated);
    EXPECT_TRUE(whole.plan.notes.empty()) << whole.plan.notes[0];
    const auto half = judge(bytes.substr(0, bytes.size() / 2));
    ASSERT_EQ(to_string(half.code), "none") << half.message;
    EXPECT_EQ(half.plan.text.size(), 1u);
    EXPECT_TRUE(half.plan.truncated);
    ASSERT_FALSE(half.plan.notes.empty());
    EXPECT_NE(half.plan.notes[0].find("ends early"), std::string::npos) << half.plan.notes[0];
  }
}

TEST_F(BadInput, CutOffFilesOfOtherContainersSaySo) {
  const std::string picture = "-f lavfi -i testsrc2=s=160x90:r=25:d=20 ", sound = "-f lavfi -i \"anoisesrc=d=20\" ", encoder = "-c:v libx264 -preset ultrafast -g 25 -crf 5 ";
  struct one {
    std::string name, arguments;
  };
  for (const auto& [name, arguments] : {one{"p.flv", picture + encoder}, one{"p.avi", picture + "-c:v mpeg4 -q:v 3"}, one{"a.wav", sound + "-c:a pcm_s16le"},
                                        one{"a.flv", sound + "-c:a aac"},
                                        // The picture is whole and lies before the sound.
                                        one{"late.mp4", picture + sound + encoder + "-c:a aac -movflags +faststart -max_interleave_delta 1"}}) {
    SCOPED_TRACE(name);
    const auto bytes = made(arguments, name);
    const auto whole = judge(bytes);
    ASSERT_EQ(to_string(whole.code), "none") << whole.message;
    EXPECT_FALSE(whole.plan.truncated);
    const auto half = judge(bytes.substr(0, bytes.size() / 2));
    ASSERT_EQ(to_string(half.code), "none") << half.message;
    EXPECT_TRUE(half.plan.truncated);
  }
}

/// A clock that begins late is no reason to think that something is missing, in files with and without subtitles.
TEST_F(BadInput, FilesThatBeginLateAreNotCutOff) {
  write_file(dir_.file("w.srt"), "1\n00:00:00,500 --> 00:00:01,000\nHello\n");
  const std::string picture = "-f lavfi -i testsrc2=s=160x90:r=25:d=4 ", sound = "-f lavfi -i sine=d=4 ", words = "-i " + dir_.file("w.srt") + " ";
  for (const auto& [name, arguments] : {std::pair{"p.mkv", picture + "-c:v mpeg4"}, {"pw.mkv", picture + words + "-c:v mpeg4 -c:s srt"}, {"a.mkv", sound + "-c:a flac"},
                                        {"aw.mkv", sound + words + "-c:a flac -c:s srt"}, {"p.flv", picture + "-c:v flv1"}}) {
    SCOPED_TRACE(name);
    const auto v = judge(made(arguments + " -output_ts_offset 9", name));
    ASSERT_EQ(to_string(v.code), "none") << v.message;
    EXPECT_FALSE(v.plan.truncated);
    EXPECT_TRUE(v.plan.notes.empty());
  }
}

/// A cue from the beginning stands until long after all else: the container lasts as long as it does.
TEST_F(BadInput, ACueThatOutlastsThePictureIsNoPromise) {
  write_file(dir_.file("w.srt"), "1\n00:00:00,500 --> 00:10:00,000\nHello\n");
  for (const std::string name : {"l.mkv", "l.mp4"}) {
    SCOPED_TRACE(name);
    const auto v = judge(made("-f lavfi -i testsrc2=s=160x90:r=25:d=6 -i " + dir_.file("w.srt") + " -c:v libx264 -preset ultrafast -g 25 -c:s " +
                                (name == "l.mkv" ? "srt" : "mov_text"), name));
    ASSERT_EQ(to_string(v.code), "none") << v.message;
    EXPECT_FALSE(v.plan.truncated);
    EXPECT_EQ(v.plan.frames, 150u);
  }
}

TEST_F(BadInput, TinyFileThatClaimsYears) {
  auto bytes = video("-movflags +faststart -use_editlist 0");
  const auto at = bytes.find("stts");
  ASSERT_NE(at, std::string::npos);
  // stts: version, count, then (samples, ticks). Years of ticks for each of 75 frames.
  put_u32(bytes, at + 16, 0x7000'0000);
  const auto v = judge(bytes);
  EXPECT_TRUE(v.code == errc::too_large || v.code == errc::unprocessable) << to_string(v.code) << " frames " << v.plan.frames;
  auto slower = video("-movflags +faststart -use_editlist 0");
  put_u32(slower, at + 16, 12800 * 300);  // 5 minutes a frame: 6 hours
  expect_refused(slower, errc::unprocessable, "timestamps");
}

TEST_F(BadInput, TooManyStreams) {
  std::string maps;
  for (int i = 0; i < 20; ++i) maps += " -map 0";
  const auto v = judge(made("-f lavfi -i testsrc2=s=64x64:d=0.2 -c:v libx264 -preset ultrafast" + maps, "many.mkv"));
  EXPECT_EQ(to_string(v.code), "too_large") << v.message;
}

TEST_F(BadInput, TooManyStreamsOfATransportStream) {
  std::string maps;
  for (int i = 0; i < 20; ++i) maps += " -map 0";
  expect_refused(made("-f lavfi -i testsrc2=s=64x64:d=0.2 -c:v mpeg2video" + maps, "many.ts"), errc::too_large, "16 tracks");
}

TEST_F(BadInput, ContainerThatRefersToAnotherFileOpensNothing) {
  auto bytes = video("-movflags +faststart");
  // The data reference turns from "in this file" to an alias elsewhere.
  const auto at = bytes.find("url ");
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at, 4, "alis");
  put_u32(bytes, at + 4, 0);
  memory_host host{bytes};
  EXPECT_NO_FATAL_FAILURE((void)run_task(plan_task(bytes), host));
}

TEST_F(BadInput, DamageInTheMiddleKeepsTheNumberOfFrames) {
  const auto whole =
      made("-f lavfi -i testsrc2=s=160x90:r=25:d=4 -f lavfi -i sine=d=4 -c:v libx264 -preset ultrafast -g 25 -crf 10 -c:a aac", "d.ts");
  std::mt19937 random{7};
  auto bytes = whole;
  for (auto at = bytes.size() / 3; at < bytes.size() / 2; ++at)
    if (random() % 50 == 0) bytes[at] = static_cast<char>(random());
  const auto v = judge(bytes);
  ASSERT_EQ(v.code, errc::none) << v.message;
  ASSERT_FALSE(v.plan.notes.empty());
  EXPECT_NE(v.plan.notes[0].find("damaged"), std::string::npos);
  auto task = plan_task(bytes);
  task.plan = v.plan;
  task.chunks = v.chunks;
  task.kind = ports::engine_task_kind::video;
  memory_host host{bytes};
  const auto result = run_task(task, host);
  EXPECT_TRUE(result) << result.error().message;
  std::uint64_t frames = 0;
  for (const auto& p : host.pieces)
    if (p.kind == track_kind::video && p.rendition == 0) frames += p.duration;
  EXPECT_EQ(frames, v.plan.frames);
  EXPECT_GE(v.plan.frames, 95u);
  task.kind = ports::engine_task_kind::audio;
  task.audio_index = 0;
  if (!task.plan.audio.empty()) {
    EXPECT_TRUE(run_task(task, host));
  }
}

TEST_F(BadInput, SamplesThatAreNoNumbersAreSilence) {
  auto bytes = made("-f lavfi -i testsrc2=s=64x48:r=25:d=2 -f lavfi -i sine=d=2 -c:v mpeg2video -c:a pcm_f32le", "f.mkv");
  const auto v = judge(bytes);
  ASSERT_EQ(v.code, errc::none) << v.message;
  ASSERT_EQ(v.plan.audio.size(), 1u);
  for (const char byte : {'\xff', '\x7f'}) {  // not a number; and as loud as a float can be
    SCOPED_TRACE(int{byte});
    bytes.replace(bytes.size() / 2, 64, std::string(64, byte));
    auto task = plan_task(bytes);
    task.kind = ports::engine_task_kind::audio;
    task.plan = v.plan;
    memory_host host{bytes};
    const auto result = run_task(task, host);
    EXPECT_TRUE(result) << result.error().message;
    EXPECT_EQ(host.done.size(), 1u);
  }
}

TEST_F(BadInput, RandomDamageNeverCrashes) {
  // A taste of fuzzing on every run; the fuzzers go deeper.
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random{seed};
  const std::string sources[] = {video("-t 0.5 -movflags +faststart", "a.mp4"), video("-t 0.5", "a.mkv"), video("-t 0.5", "a.ts"),
                                 video("-t 0.5", "a.avi"), video("-t 0.5", "a.flv")};
  for (int round = 0; round < 60; ++round) {
    auto bytes = sources[random() % std::size(sources)];
    const auto changes = 1 + random() % 40;
    for (std::uint32_t i = 0; i < changes; ++i)
      bytes[random() % (round % 2 ? bytes.size() : std::min<std::size_t>(bytes.size(), 2000))] = static_cast<char>(random());
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    memory_host host{bytes};
    auto task = plan_task(bytes);
    if (!run_task(task, host)) continue;
    task.plan = host.planned;
    if (task.plan.frames > 500) continue;
    task.kind = ports::engine_task_kind::video;
    task.chunks = host.chunks;
    (void)run_task(task, host);
  }
}

TEST_F(BadInput, FailedReadEndsTheTaskWithTheHostsError) {
  const auto bytes = video("-movflags +faststart -crf 5");
  for (std::uint64_t read = 1; read <= 4; ++read) {
    memory_host host{bytes};
    host.fail_read = read;
    const auto result = run_task(plan_task(bytes), host);
    if (host.reads < read) break;
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, errc::unavailable) << read;
  }
}

TEST_F(BadInput, PlanOfAnotherSourceIsRefused) {
  const auto bytes = video();
  memory_host host{bytes};
  auto task = plan_task(bytes);
  ASSERT_TRUE(run_task(task, host));
  task.kind = ports::engine_task_kind::video;
  task.plan = host.planned;
  task.chunks = host.chunks;
  const auto other = made("-f lavfi -i testsrc2=s=160x90:r=25:d=3 -c:v mpeg4", "other.mp4");
  memory_host elsewhere{other};
  task.source_bytes = other.size();
  const auto result = run_task(task, elsewhere);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, errc::corrupt);
}

}  // namespace latham::media
