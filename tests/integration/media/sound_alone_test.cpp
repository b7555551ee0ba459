// Sources without a picture: whatever the container, the first sample that is heard stands at sample 0 of the output, and the
// output is at most one AAC frame longer than the source.
#include "tests/support/media/exactness.hpp"

namespace latham::media {

namespace {

using namespace latham::testing;

class SoundAlone : public ::testing::Test {
protected:
  SoundAlone() {
    av_log_set_level(AV_LOG_QUIET);
    const auto s = seed();
    std::mt19937 random{s};
    length_s_ = 3 + static_cast<double>(random() % 3000) / 1000;
  }

  /// Beeps at full seconds, in the container that `name` says.
  std::string made(const std::string& arguments, const std::string& name, int rate = 48000, const std::string& layout = "stereo") {
    const auto path = dir_.file(name);
    EXPECT_TRUE(run_command(ffmpeg + beeps(length_s_, rate, layout) + arguments + " " + path)) << arguments;
    return file_bytes(path);
  }

  /// `late`: samples (48 kHz) by which the source itself is late: its container does not tell of the encoder's priming.
  void expect_exact(const std::string& bytes, std::int64_t late = 0) {
    SCOPED_TRACE("LATHAM_TEST_SEED=" + std::to_string(seed()));
    const auto result = transcode(bytes);
    const auto& plan = result.plan;
    EXPECT_FALSE(has_picture(plan));
    EXPECT_TRUE(result.chunks.empty());
    EXPECT_TRUE(result.video.empty());
    EXPECT_TRUE(result.images.empty());
    EXPECT_TRUE(plan.notes.empty()) << plan.notes[0];
    ASSERT_EQ(plan.audio.size(), 2u);
    EXPECT_EQ(plan.audio[0].kbit, 64u);
    EXPECT_EQ(plan.audio[1].kbit, 128u);
    for (std::uint8_t i = 0; i < 2; ++i) {
      SCOPED_TRACE("rendition " + std::to_string(i));
      const auto file = dir_.file("out.mp4");
      write_file(file, stitched(result.audio, i, audio_durations(plan, 48000)));
      const auto heard = listen(file);
      const auto expected = std::llround(length_s_ * 48000);
      EXPECT_GE(heard.samples, expected + late - 1);
      EXPECT_LE(heard.samples, expected + 2 * late + aac_frame_samples) << "at most a frame at the end";
      ASSERT_EQ(heard.beeps.size(), static_cast<std::size_t>(std::ceil(length_s_ - 0.0005)));
      // The first beep begins with the output: an AAC frame without its forerunner comes up slowly.
      for (std::size_t k = 1; k < heard.beeps.size(); ++k)
        EXPECT_NEAR(static_cast<double>(heard.beeps[k]), static_cast<double>(k) * 48000 + static_cast<double>(late), 16) << "beep " << k;
    }
  }

  scratch_directory dir_;
  double length_s_ = 0;
};

}  // namespace

TEST_F(SoundAlone, Mp3) { expect_exact(made("-c:a libmp3lame", "a.mp3")); }

TEST_F(SoundAlone, Mp3AtOtherRates) {
  expect_exact(made("-c:a libmp3lame", "b.mp3", 44100));
  expect_exact(made("-c:a libmp3lame -q:a 4", "c.mp3", 22050, "mono"));
}

TEST_F(SoundAlone, Mp3WithItsCover) {
  expect_exact(made("-f lavfi -i testsrc2=s=300x300:d=0.04 -map 0 -map 1 -c:a libmp3lame -c:v mjpeg -pix_fmt yuvj420p -disposition:v attached_pic", "cover.mp3"));
  expect_exact(made("-f lavfi -i testsrc2=s=300x300:d=0.04 -map 0 -map 1 -c:a libmp3lame -c:v png -disposition:v attached_pic", "png.mp3"));
}

// A part is moved to whole AAC frames, and the beep at 2 s keeps its distance from the start.
TEST_F(SoundAlone, APartBeginsWithinAFrameOfItsPlace) {
  for (const char* name : {"part.m4a", "part.wav"}) {
    SCOPED_TRACE(name);
    auto how = small_recipe();
    how.part = {1'500, 2'600};
    const auto result = transcode(made(std::string{name} == "part.wav" ? "-c:a pcm_s16le" : "-c:a aac", name), how);
    const auto file = dir_.file("out.mp4");
    write_file(file, stitched(result.audio, 0, audio_durations(result.plan, 48000)));
    const auto heard = listen(file);
    EXPECT_NEAR(static_cast<double>(heard.samples), 1.1 * 48000, aac_frame_samples);
    ASSERT_EQ(heard.beeps.size(), 1u);
    EXPECT_NEAR(static_cast<double>(heard.beeps[0]), 0.5 * 48000, aac_frame_samples);
  }
}

TEST_F(SoundAlone, Mp4) {
  expect_exact(made("-c:a aac", "a.m4a"));
  expect_exact(made("-c:a alac", "alac.m4a", 44100));
  expect_exact(made("-f lavfi -i testsrc2=s=300x300:d=0.04 -map 0 -map 1 -c:a aac -c:v mjpeg -pix_fmt yuvj420p -disposition:v attached_pic", "cover.mp4"));
}

TEST_F(SoundAlone, Wav) {
  expect_exact(made("-c:a pcm_s16le", "a.wav"));
  expect_exact(made("-c:a pcm_f32le", "f.wav", 96000, "mono"));
}

TEST_F(SoundAlone, Flac) {
  expect_exact(made("-c:a flac", "a.flac"));
  expect_exact(made("-c:a flac", "a.ogg", 44100));
}

TEST_F(SoundAlone, Ogg) {
  expect_exact(made("-c:a libvorbis", "v.ogg"));
  expect_exact(made("-c:a libopus", "o.ogg"));
}

TEST_F(SoundAlone, MatroskaAndWebm) {
  expect_exact(made("-c:a libopus", "o.webm"));
  expect_exact(made("-c:a flac", "f.mkv"));
}

TEST_F(SoundAlone, ContainersThatDoNotTellOfThePriming) {
  expect_exact(made("-c:a aac", "a.ts"), 1024);
  expect_exact(made("-c:a aac", "a.flv"), 1024);
  expect_exact(made("-c:a libmp3lame -write_xing 0", "a.mp3"), 1105);
}

TEST_F(SoundAlone, StartOffsetIsNoContent) { expect_exact(made("-c:a aac -output_ts_offset 1000", "a.ts"), 1024); }

TEST_F(SoundAlone, SeveralTracksKeepTheirLanguagesAndTheirDistance) {
  const auto path = dir_.file("two.mkv");
  ASSERT_TRUE(run_command(ffmpeg + beeps(3, 48000, "stereo") + "-itsoffset 0.5 " + beeps(4, 48000, "stereo") +
                          "-map 0 -map 1 -c:a flac -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu " + path));
  const auto result = transcode(file_bytes(path));
  ASSERT_EQ(result.plan.audio.size(), 4u);
  EXPECT_EQ(result.plan.audio[1].language, "eng");
  EXPECT_EQ(result.plan.audio[2].language, "deu");
  EXPECT_EQ(result.plan.frames, static_cast<std::uint64_t>(std::ceil(4.5 * 48000 / 1024)));
  const auto file = dir_.file("out.mp4");
  write_file(file, stitched(result.audio, 3, audio_durations(result.plan, 48000)));
  const auto heard = listen(file);
  ASSERT_EQ(heard.beeps.size(), 4u);
  EXPECT_NEAR(static_cast<double>(heard.beeps[0]), 24000, 64);  // 1 ms of Matroska's clock
}

TEST_F(SoundAlone, MoreThanFourTracksHaveOneRateEach) {
  const auto path = dir_.file("many.mkv");
  ASSERT_TRUE(run_command(ffmpeg + beeps(1, 48000, "stereo") + "-map 0 -map 0 -map 0 -map 0 -map 0 -c:a flac " + path));
  const auto result = transcode(file_bytes(path));
  ASSERT_EQ(result.plan.audio.size(), 5u);
  EXPECT_EQ(result.plan.audio[4].kbit, 128u);
}

}  // namespace latham::media
