// Text subtitles of each container come out as WebVTT, at their times on the output's clock, to the millisecond.
#include "media/text_cues.hpp"
#include "tests/support/media/exactness.hpp"

namespace latham::media {

namespace {

using namespace latham::testing;

constexpr const char* pictures = "-f lavfi -i testsrc2=s=160x90:r=25:d=5 ";
constexpr const char* encoder = " -c:v libx264 -preset ultrafast -bf 0 ";

constexpr const char* words_srt =
  "1\n00:00:00,500 --> 00:00:01,250\nHello <i>world</i> & more\n\n"
  "2\n00:00:02,000 --> 00:00:03,501\n{\\an8}Zwei Zeilen\n\xc3\xbc"
  "ber 1 & 2\n\n"
  "3\n00:00:04,900 --> 00:00:09,000\nBeyond the end\n\n"
  "4\n00:00:07,000 --> 00:00:09,000\nNever seen\n";
const std::string words_vtt =
  "WEBVTT\n"
  "\n00:00:00.500 --> 00:00:01.250\nHello world &amp; more\n"
  "\n00:00:02.000 --> 00:00:03.501\nZwei Zeilen\n\xc3\xbc"
  "ber 1 &amp; 2\n"
  "\n00:00:04.900 --> 00:00:05.000\nBeyond the end\n";

class Subtitles : public ::testing::Test {
protected:
  Subtitles() {
    av_log_set_level(AV_LOG_QUIET);
    write_file(dir_.file("words.srt"), words_srt);
  }
  std::string words() const { return dir_.file("words.srt"); }
  std::string made(const std::string& arguments, const std::string& name) {
    const auto path = dir_.file(name);
    EXPECT_TRUE(run_command(ffmpeg + arguments + " " + path)) << arguments;
    return file_bytes(path);
  }
  std::string with_words(const std::string& codec, const std::string& name, const std::string& more = "") {
    return made(pictures + ("-i " + words()) + (name.ends_with("webm") ? " -c:v libvpx -deadline realtime " : encoder) + "-c:s " + codec + " " + more, name);
  }

  struct read {
    source_plan plan;
    std::map<std::uint8_t, kept_piece> texts;
    expected<void> result;
    std::vector<std::uint32_t> done;
  };
  static read read_text(const std::string& bytes) {
    read out;
    memory_host host{bytes};
    ports::engine_task task;
    task.source_bytes = bytes.size();
    task.how = small_recipe();
    out.result = run_task(task, host);
    EXPECT_TRUE(out.result) << out.result.error().message;
    out.plan = task.plan = host.planned;
    task.kind = ports::engine_task_kind::text;
    if (!out.result || out.plan.text.empty()) return out;
    out.result = run_task(task, host);
    EXPECT_TRUE(out.result) << out.result.error().message;
    for (auto& piece : host.pieces) {
      EXPECT_EQ(piece.kind, track_kind::text);
      EXPECT_EQ(piece.chunk, 0u);
      EXPECT_EQ(piece.segment, 0u);
      EXPECT_TRUE(out.texts.emplace(piece.rendition, piece).second);
    }
    out.done = host.done;
    return out;
  }
  void expect_words(const std::string& bytes) {
    const auto found = read_text(bytes);
    ASSERT_EQ(found.plan.text.size(), 1u) << (found.plan.notes.empty() ? "" : found.plan.notes[0]);
    EXPECT_TRUE(found.plan.notes.empty()) << found.plan.notes[0];
    EXPECT_FALSE(found.plan.truncated) << "a cue beyond the end is no promise";
    ASSERT_EQ(found.texts.size(), 1u);
    EXPECT_EQ(found.texts.at(0).bytes, words_vtt);
    EXPECT_EQ(found.texts.at(0).duration, 3u);
    EXPECT_EQ(found.done, std::vector<std::uint32_t>{0});
  }

  scratch_directory dir_;
};

}  // namespace

TEST_F(Subtitles, SubripInMatroska) { expect_words(with_words("srt", "a.mkv")); }

TEST_F(Subtitles, TimedTextInMp4) { expect_words(with_words("mov_text", "a.mp4")); }

TEST_F(Subtitles, WebvttInWebm) { expect_words(with_words("webvtt", "a.webm")); }

TEST_F(Subtitles, TheirClockIsTheVideos) {
  expect_words(with_words("srt", "late.mkv", "-output_ts_offset 7"));
  // Sound that starts before the picture moves the origin, and the cues with it.
  const auto found = read_text(made("-itsoffset 1 " + std::string{pictures} + "-f lavfi -i sine=d=6 -itsoffset 1 -i " + words() + encoder + "-c:a flac -c:s srt", "sound.mkv"));
  ASSERT_EQ(found.texts.size(), 1u);
  EXPECT_NE(found.texts.at(0).bytes.find("\n00:00:01.500 --> 00:00:02.250\nHello"), std::string::npos) << found.texts.at(0).bytes;
}

TEST_F(Subtitles, SubstationInMatroskaLosesItsMarkup) {
  write_file(dir_.file("a.ass"),
             "[Script Info]\nScriptType: v4.00+\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, "
             "Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\n"
             "Style: Default,Arial,20,&H00FFFFFF,&H000000FF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,2,2,2,10,10,10,1\n"
             "[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
             "Dialogue: 0,0:00:02.00,0:00:03.50,Default,,0,0,0,,{\\p1}m 0 0 l 100 0{\\p0}\n"
             "Dialogue: 0,0:00:00.50,0:00:01.25,Default,Joe,0,0,0,,{\\b1\\pos(10,20)}Hello{\\b0}, world\\Nsecond, line\n"
             "Dialogue: 1,0:00:00.50,0:00:01.25,Default,Joe,0,0,0,,{\\c&HFF00&}Hello, world\\Nsecond, line\n"
             "Dialogue: 0,0:00:02.00,0:00:03.50,Default,,0,0,0,,<script>alert(1)</script>\n");
  const auto found = read_text(made(pictures + ("-i " + dir_.file("a.ass")) + encoder + "-c:s ass", "a.mkv"));
  ASSERT_EQ(found.texts.size(), 1u);
  EXPECT_EQ(found.texts.at(0).bytes,
            "WEBVTT\n\n00:00:00.500 --> 00:00:01.250\nHello, world\nsecond, line\n\n00:00:02.000 --> 00:00:03.500\n&lt;script&gt;alert(1)&lt;/script&gt;\n");
}

TEST_F(Subtitles, LanguagesTitlesAndForcedOnesAreKept) {
  const auto found = read_text(made(pictures + ("-i " + words()) + " -i " + words() + " -map 0 -map 1 -map 2" + encoder +
                                      "-c:s srt -metadata:s:s:0 language=eng -metadata:s:s:0 title='English SDH' -metadata:s:s:1 language=deu -disposition:s:1 forced",
                                    "two.mkv"));
  ASSERT_EQ(found.plan.text.size(), 2u);
  EXPECT_EQ(found.plan.text[0], (text_track{1, "eng", "English SDH", false}));
  EXPECT_EQ(found.plan.text[1], (text_track{2, "deu", "", true}));
  ASSERT_EQ(found.texts.size(), 2u) << "one pass for both";
  EXPECT_EQ(found.texts.at(1).bytes, words_vtt);
}

TEST_F(Subtitles, PicturesOfWordsAreLeftOutWithANote) {
  auto bytes = with_words("srt", "a.mkv");
  const std::string text = "S_TEXT/UTF8";
  const auto at = bytes.find(text);
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at, text.size(), std::string{"S_HDMV/PGS\0", text.size()});
  const auto found = read_text(bytes);
  EXPECT_TRUE(found.plan.text.empty());
  ASSERT_EQ(found.plan.notes.size(), 1u);
  EXPECT_NE(found.plan.notes[0].find("pictures of words"), std::string::npos) << found.plan.notes[0];
  EXPECT_FALSE(found.plan.rungs.empty());
}

TEST_F(Subtitles, TextOfAForeignKindIsLeftOutWithANote) {
  auto bytes = with_words("srt", "a.mkv");
  const std::string text = "S_TEXT/UTF8";
  bytes.replace(bytes.find(text), text.size(), "S_TEXT/FOO9");
  const auto found = read_text(bytes);
  EXPECT_TRUE(found.plan.text.empty());
  ASSERT_EQ(found.plan.notes.size(), 1u);
  EXPECT_NE(found.plan.notes[0].find("cannot be decoded"), std::string::npos) << found.plan.notes[0];
}

TEST_F(Subtitles, MoreThanEightAreLeftOutWithANote) {
  std::string arguments = pictures + ("-i " + words()) + " -map 0";
  for (int i = 0; i < 10; ++i) arguments += " -map 1";
  const auto found = read_text(made(arguments + encoder + "-c:s srt", "ten.mkv"));
  EXPECT_EQ(found.plan.text.size(), text_tracks_max);
  EXPECT_EQ(found.texts.size(), text_tracks_max);
  ASSERT_EQ(found.plan.notes.size(), 1u);
  EXPECT_NE(found.plan.notes[0].find("2 subtitle tracks are left out: Latham keeps eight"), std::string::npos) << found.plan.notes[0];
}

TEST_F(Subtitles, TextOfAnOldCodePageIsReadAsFarAsItCan) {
  auto bytes = with_words("srt", "a.mkv");
  const auto at = bytes.find("\xc3\xbc" "ber");
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at, 2, "\xfc\xfc");
  const auto found = read_text(bytes);
  ASSERT_EQ(found.texts.size(), 1u);
  EXPECT_NE(found.texts.at(0).bytes.find("\xef\xbf\xbd\xef\xbf\xbd" "ber"), std::string::npos) << found.texts.at(0).bytes;
}

TEST_F(Subtitles, ATrackWithoutWordsGivesNoPiece) {
  write_file(dir_.file("none.srt"), "1\n00:00:00,500 --> 00:00:01,250\n<i> </i>\n");
  const auto found = read_text(made(pictures + ("-i " + dir_.file("none.srt")) + encoder + "-c:s srt", "a.mkv"));
  ASSERT_EQ(found.plan.text.size(), 1u);
  EXPECT_TRUE(found.texts.empty());
  EXPECT_EQ(found.done, std::vector<std::uint32_t>{0});
}

TEST_F(Subtitles, NobodyReadsMoreThanTheLimit) {
  std::string srt;
  const auto stamp = [](int ms) {
    char text[32];
    std::snprintf(text, sizeof text, "00:%02d:%02d,%03d", ms / 60'000, ms / 1000 % 60, ms % 1000);
    return std::string{text};
  };
  for (int i = 0; i < 60'000; ++i) srt += std::to_string(i + 1) + "\n" + stamp(i / 15) + " --> " + stamp(i / 15 + 1) + "\nw" + std::to_string(i) + "\n\n";
  write_file(dir_.file("many.srt"), srt);
  const auto found = read_text(made(pictures + ("-i " + dir_.file("many.srt")) + encoder + "-c:s srt", "many.mkv"));
  ASSERT_EQ(found.texts.size(), 1u);
  EXPECT_EQ(found.texts.at(0).duration, cues_max);
}

TEST_F(Subtitles, BesideSoundAlone) {
  const auto found = read_text(made("-f lavfi -i sine=d=5 -i " + words() + " -c:a flac -c:s srt", "a.mka"));
  EXPECT_FALSE(has_picture(found.plan));
  EXPECT_FALSE(found.plan.truncated);
  ASSERT_EQ(found.texts.size(), 1u);
  EXPECT_NE(found.texts.at(0).bytes.find("\n00:00:02.000 --> 00:00:03.501\nZwei"), std::string::npos) << found.texts.at(0).bytes;
}

TEST_F(Subtitles, PlanOfAnotherSourceIsRefused) {
  const auto planned = read_text(with_words("srt", "a.mkv"));
  const auto other = made(std::string{pictures} + encoder, "b.mkv");
  for (const auto& bytes : {other, with_words("mov_text", "c.mp4")}) {
    memory_host host{bytes};
    ports::engine_task task;
    task.source_bytes = bytes.size();
    task.how = small_recipe();
    task.kind = ports::engine_task_kind::text;
    task.plan = planned.plan;
    EXPECT_EQ(run_task(task, host).error().code, errc::corrupt);
  }
}

TEST_F(Subtitles, FailedReadEndsTheTaskWithTheHostsError) {
  const auto bytes = with_words("srt", "a.mkv");
  const auto planned = read_text(bytes);
  memory_host host{bytes};
  host.fail_read = 1;
  ports::engine_task task;
  task.source_bytes = bytes.size();
  task.how = small_recipe();
  task.kind = ports::engine_task_kind::text;
  task.plan = planned.plan;
  EXPECT_EQ(run_task(task, host).error().code, errc::unavailable);
}

}  // namespace latham::media
