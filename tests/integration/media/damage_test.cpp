// What only decoding shows: pictures and sound that cannot be decoded, counted where they are seen and said in one sentence;
// pixels that change their shape. The other half, that whatever is whole stays exact and that
// nothing is said of it, is checked for every source of exactness_test.cpp.
#include "tests/support/media/exactness.hpp"

namespace latham::media {

namespace {

using namespace latham::testing;

struct packet_place {
  std::size_t at = 0;
  std::size_t bytes = 0;
};
/// In file order.
std::vector<packet_place> packets_of(const std::string& path, const std::string& stream) {
  std::istringstream lines{output_of("ffprobe -v error -select_streams " + stream + " -show_entries packet=pos,size -of csv=p=0 " + path)};
  std::vector<packet_place> out;
  for (std::string line; std::getline(lines, line);) {
    packet_place one;
    if (std::sscanf(line.c_str(), "%zu,%zu", &one.bytes, &one.at) == 2) out.push_back(one);
  }
  return out;
}

class Damage : public exactness_test {
protected:
  static constexpr const char* closed_gops = "-c:v libx264 -preset veryfast -crf 18 -bf 2 -g 38 -sc_threshold 0 -x264-params open-gop=0 -pix_fmt yuv420p";

  source quarter_a_minute() {
    source s;
    s.num = 25;
    s.frames = 375;
    s.video = closed_gops;
    return s;
  }
  /// Every layout of chunks says the same.
  void expect_note(const std::string& bytes, const std::string& note) {
    for (const std::uint32_t segments : {3u, 1u, 2u, 64u}) {
      SCOPED_TRACE(segments);
      auto how = small_recipe();
      how.chunk_segments = segments;
      const auto result = transcode(bytes, how);
      ASSERT_EQ(result.notes.size(), 1u) << (result.notes.empty() ? "" : result.notes.back());
      EXPECT_EQ(result.notes[0], note);
    }
  }
  /// Of the first rung.
  std::vector<int> numbers_of(const transcoded& result) {
    const auto file = dir_.file("numbers.mp4");
    write_file(file, stitched(result.video, 0, video_durations(result.plan)));
    return barcodes_of(file, 128, 72);
  }
};

}  // namespace

TEST_F(Damage, PicturesThatAreGoneAreCounted) {
  auto s = quarter_a_minute();
  for (const std::string container : {"mp4", "mkv", "mov", "avi"}) {
    SCOPED_TRACE(container);
    s.container = container;
    s.video = container == "avi" ? "-c:v mjpeg -q:v 3 -pix_fmt yuvj420p" : closed_gops;
    s.audio = container == "avi" ? "-c:a pcm_s16le" : "-c:a aac -ac 2";
    const auto path = make_source(dir_, s);
    auto bytes = file_bytes(path);
    const auto places = packets_of(path, "v:0");
    ASSERT_EQ(places.size(), 375u);
    // All of a GOP. AVI's demuxer counts pictures by their heads.
    const std::size_t head = container == "avi" ? 8 : 0;
    for (std::size_t n = 304; n < 342; ++n) std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(places[n].at + head), places[n].bytes - head, '\0');
    if (container == "mkv") {
      // The heads of the blocks are gone, too, and the demuxer goes on at the next cluster: how much it skips is its affair.
      const auto result = transcode(bytes);
      ASSERT_EQ(result.notes.size(), 1u);
      EXPECT_NE(result.notes[0].find("could not be decoded and were replaced (first at 0:1"), std::string::npos) << result.notes[0];
      continue;
    }
    expect_note(bytes, "38 pictures could not be decoded and were replaced (first at 0:12).");
    const auto numbers = numbers_of(transcode(bytes));
    ASSERT_EQ(numbers.size(), 375u);
    for (int n = 0; n < 375; ++n) EXPECT_EQ(numbers[static_cast<std::size_t>(n)], n < 304 || n >= 342 ? n : 303) << n;
  }
}

/// The decoder makes up what is missing within a picture, and says so.
TEST_F(Damage, PicturesThatTheDecoderMendedAreCounted) {
  auto s = quarter_a_minute();
  s.audio = "";
  for (const std::string& video : {std::string{closed_gops}, std::string{"-c:v mpeg2video -b:v 4M -g 12 -bf 0"}, std::string{"-c:v mpeg4 -q:v 3 -g 38 -bf 0"}}) {
    SCOPED_TRACE(video);
    s.container = "mov";
    s.video = video;
    const auto path = make_source(dir_, s);
    auto bytes = file_bytes(path);
    const auto places = packets_of(path, "v:0");
    ASSERT_EQ(places.size(), 375u);
    const auto& place = places[311];
    for (auto at = place.at + place.bytes / 3; at < place.at + place.bytes; ++at) bytes[at] = '\0';
    for (const std::uint32_t segments : {3u, 1u, 64u}) {
      auto how = small_recipe();
      how.chunk_segments = segments;
      const auto result = transcode(bytes, how);
      ASSERT_EQ(result.notes.size(), 1u);
      EXPECT_EQ(result.notes[0], "1 picture could not be decoded and was replaced (at 0:12).");
    }
  }
}

/// Planned from the index, where nothing shows; the reader goes back for a picture to hold, and what it holds is counted.
TEST_F(Damage, KeyPictureOfAnIndexedFile) {
  auto s = quarter_a_minute();
  s.audio = "";
  s.more = "-movflags +faststart";
  const auto path = make_source(dir_, s);
  auto bytes = file_bytes(path);
  const auto places = packets_of(path, "v:0");
  ASSERT_EQ(places.size(), 375u);
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(places[38 * 3].at), places[38 * 3].bytes, '\0');
  memory_host host{bytes};
  const auto planned = plan_source(host, bytes.size(), small_recipe());
  ASSERT_TRUE(planned);
  EXPECT_TRUE(planned->plan.notes.empty());
  const auto result = transcode(bytes);
  ASSERT_EQ(result.notes.size(), 1u);
  EXPECT_NE(result.notes[0].find("could not be decoded"), std::string::npos) << result.notes[0];
  EXPECT_NE(result.notes[0].find("at 0:04)"), std::string::npos) << result.notes[0];
  const auto numbers = numbers_of(result);
  ASSERT_EQ(numbers.size(), 375u);
  // Without the key picture the decoder takes the last one before it to be out of order.
  for (int n = 0; n < 375; ++n) {
    if (n >= 113 && n < 152) continue;
    EXPECT_EQ(numbers[static_cast<std::size_t>(n)], n);
  }
}

TEST_F(Damage, ThePicturesAtTheBeginningAreCountedToo) {
  auto s = quarter_a_minute();
  s.audio = "";
  s.video = "-c:v mjpeg -q:v 3 -pix_fmt yuvj422p";
  s.container = "mov";
  const auto path = make_source(dir_, s);
  auto bytes = file_bytes(path);
  const auto places = packets_of(path, "v:0");
  ASSERT_EQ(places.size(), 375u);
  for (std::size_t n = 0; n < 3; ++n) std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(places[n].at), places[n].bytes, '\0');
  expect_note(bytes, "3 pictures could not be decoded and were replaced (first at 0:00).");
}

TEST_F(Damage, LossesOfATransportStream) {
  auto s = quarter_a_minute();
  s.container = "ts";
  s.audio = "-c:a mp2";
  const auto path = make_source(dir_, s);
  auto bytes = file_bytes(path);
  // Packets of 188 bytes that are not there any more.
  const auto places = packets_of(path, "v:0");
  ASSERT_EQ(places.size(), 375u);
  const auto from = places[310].at / 188 * 188, to = places[316].at / 188 * 188;
  bytes.erase(from, to - from);
  const auto result = transcode(bytes);
  EXPECT_EQ(result.plan.frames, 375u);
  ASSERT_FALSE(result.notes.empty());
  EXPECT_NE(result.notes.back().find("could not be decoded"), std::string::npos) << result.notes.back();
  EXPECT_NE(result.notes.back().find("first at 0:12)"), std::string::npos) << result.notes.back();
}

TEST_F(Damage, SoundThatIsGoneIsSilentAndCounted) {
  auto s = quarter_a_minute();
  s.frames = 250;
  for (const auto& [container, audio] : {std::pair{"mp4", "-c:a aac -ac 2"}, {"mp4", "-c:a ac3 -ac 2"}, {"mkv", "-c:a flac"}, {"mov", "-c:a libmp3lame"}}) {
    SCOPED_TRACE(std::string{container} + audio);
    s.container = container;
    s.audio = audio;
    const auto path = make_source(dir_, s);
    auto bytes = file_bytes(path);
    const auto places = packets_of(path, "a:0");
    ASSERT_GT(places.size(), 60u);
    // Behind the head of Matroska's block, so that its demuxer finds the next one.
    const std::size_t head = s.container == "mkv" ? 16 : 0;
    for (std::size_t n = places.size() * 53 / 100; n < places.size() * 53 / 100 + 10; ++n)  // between two beeps
      std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(places[n].at + head), places[n].bytes - head, '\xff');
    const auto result = transcode(bytes);
    ASSERT_EQ(result.notes.size(), 1u) << (result.notes.empty() ? "" : result.notes.back());
    EXPECT_NE(result.notes[0].find("s of sound could not be decoded and was replaced (first at 0:0"), std::string::npos) << result.notes[0];
    const auto file = dir_.file("sound.mp4");
    write_file(file, stitched(result.audio, 0, audio_durations(result.plan, 48000)));
    const auto sound = listen(file);
    ASSERT_GE(sound.beeps.size(), 9u);
    for (const auto beep : sound.beeps) EXPECT_LE(std::min(beep % 48000, 48000 - beep % 48000), static_cast<std::int64_t>(aac_frame_samples)) << "behind the hole it is where it was";
  }
}

/// The pixels become wider, the picture's size in pixels stays: no header that the planner reads tells.
TEST_F(Damage, PixelsOfAnotherShapeInTheMiddleGetBarsAndANote) {
  source s;
  s.container = "ts";
  s.audio = "";
  s.num = 25;
  s.frames = 50;
  s.filter = "setsar=1";
  for (const std::string& video : {s.video, std::string{"-c:v mpeg4 -q:v 3 -bf 0 -g 15"}}) {
    SCOPED_TRACE(video);
    const bool narrow = video != s.video;
    auto plain = s;
    plain.video = video;
    if (narrow) plain.filter = "setdar=16/9";
    auto other = plain;
    other.filter = narrow ? "setdar=4/3" : "setsar=4/3";
    other.more = "-output_ts_offset 2";
    const auto bytes = file_bytes(make_source(dir_, plain, "first")) + file_bytes(make_source(dir_, other, "second"));
    const auto result = transcode(bytes);
    ASSERT_EQ(result.plan.frames, 100u);
    EXPECT_EQ(result.plan.width, 320u);
    EXPECT_EQ(result.plan.height, 180u);
    ASSERT_EQ(result.notes.size(), 1u);
    EXPECT_EQ(result.notes[0], note_reshaped);
    for (std::size_t i = 0; i < result.plan.rungs.size(); ++i) {
      const auto& rung = result.plan.rungs[i];
      SCOPED_TRACE("rung " + to_string(rung));
      const auto file = dir_.file("bars.mp4");
      write_file(file, stitched(result.video, static_cast<std::uint8_t>(i), video_durations(result.plan)));
      const auto width = static_cast<int>(rung.width), height = static_cast<int>(rung.height);
      const auto whole = barcodes_of(file, width, height);
      // Three quarters of the height, or of the width, in the middle.
      const auto middle = barcodes_of(file, width, height, (narrow ? "crop=iw*3/4:ih,scale=" : "crop=iw:ih*3/4,scale=") + std::to_string(width) + ":" + std::to_string(height));
      ASSERT_EQ(whole.size(), 100u);
      ASSERT_EQ(middle.size(), 100u);
      for (int n = 0; n < 50; ++n) EXPECT_EQ(whole[static_cast<std::size_t>(n)], n);
      for (int n = 50; n < 100; ++n) EXPECT_EQ(middle[static_cast<std::size_t>(n)], n - 50);
      const auto grey = output_of(ffmpeg + "-ss 3 -i " + file + " -frames:v 1 -vf " + (narrow ? "crop=8:ih:0:0" : "crop=iw:4:0:0") + " -f rawvideo -pix_fmt gray -");
      ASSERT_EQ(grey.size(), static_cast<std::size_t>(narrow ? 8 * height : 4 * width));
      for (const char c : grey) ASSERT_LE(static_cast<unsigned char>(c), 24) << "a bar is black";
    }
  }
}

/// What the container says of the pixels' shape counts, and that the stream says something else from beginning to end is no change.
TEST_F(Damage, ContainerThatKnowsTheShapeOfPixelsBetterGetsNoBars) {
  for (const std::string container : {"mp4", "mkv"}) {
    SCOPED_TRACE(container);
    source s;
    s.container = container;
    s.audio = "";
    s.num = 25;
    s.frames = 100;
    s.width = 240;
    s.height = 180;
    s.filter = "setsar=1";
    s.after = {ffmpeg + "-i {in} -c copy -aspect 16:9 {out}"};
    check(s);
    const auto result = transcode(file_bytes(dir_.file("source-0." + container)));
    EXPECT_EQ(result.plan.width, 320u);
    EXPECT_EQ(result.plan.height, 180u);
  }
}

}  // namespace latham::media
