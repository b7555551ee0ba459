#include "core/manifest/presentation.hpp"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace latham {

namespace {

output_table some_table(std::uint32_t committed, video_state state) {
  output_table t;
  t.video = {1, 2};
  t.state = state;
  t.plan.fps = {24, 1};
  t.plan.segment_frames = 48;
  t.plan.frames = 200;
  t.plan.rungs = {{256, 144, 200}, {640, 360, 800}};
  t.plan.audio = {{1, "eng"}};
  t.plan_complete = true;
  t.chunks_total = 2;
  for (std::uint32_t i = 0; i < committed; ++i) {
    output_ref out;
    out.blob = {7, i};
    for (std::uint8_t r = 0; r < 2; ++r) out.renditions.push_back({track_kind::video, r, 36'000, 100'000, "avc1.64001f"});
    t.chunks[i] = {chunk_plan{i, i * 144ull, i == 0 ? 144u : 56u, 0, 0}, out};
  }
  output_ref audio;
  audio.renditions = {{track_kind::audio, 0, 133'000, 130'000, "mp4a.40.2"}};
  t.audio[0] = audio;
  auto& index = t.audio_index[0];
  index.push_back({track_kind::audio, 0, output_entry::init_segment, 0, 700, 0, {}});
  for (std::uint32_t s = 0; s < 5; ++s) index.push_back({track_kind::audio, 0, s, 0, 32'000, s < 4 ? 96'256u : 15'360u, {}});
  return t;
}

/// Two tracks of sound without a picture, each at two rates.
output_table sound_table() {
  output_table t;
  t.video = {1, 2};
  t.state = video_state::ready;
  t.plan.fps = {375, 8};
  t.plan.segment_frames = 94;
  t.plan.frames = 141;
  t.plan.audio = {{1, "eng", 64}, {1, "eng", 128}, {3, "deu", 64}, {3, "deu", 128}};
  t.plan_complete = true;
  for (std::uint8_t i = 0; i < 4; ++i) {
    output_ref audio;
    audio.renditions = {{track_kind::audio, i, 24'000, i % 2 == 0 ? 70'000u : 133'000u, "mp4a.40.2"}};
    t.audio[i] = audio;
    t.audio_index[i] = {{track_kind::audio, i, output_entry::init_segment, 0, 700, 0, {}},
                        {track_kind::audio, i, 0, 0, 16'000, 96'256, {}},
                        {track_kind::audio, i, 1, 0, 8'000, 48'128, {}}};
  }
  return t;
}

}  // namespace

TEST(Manifests, TextIsOfferedOnceTheVideoIsReady) {
  auto table = some_table(2, video_state::ready);
  table.plan.text = {{2, "eng", "English \"SDH\"", false}, {3, "deu", "", true}, {4, "fra", "", false}, {5, "deu", "", false}};
  EXPECT_TRUE(make_presentation(table)->text.empty()) << "not made";
  table.text.emplace();
  table.text->renditions = {{track_kind::text, 0, 1000, 0, ""}, {track_kind::text, 1, 50, 0, ""}, {track_kind::text, 3, 50, 0, ""}};  // nothing is said in 2
  const auto p = make_presentation(table);
  ASSERT_TRUE(p);
  const auto base = "/media/" + to_string(table.video);
  const auto hls = hls_master(*p);
  const auto group = hls.find("#EXT-X-MEDIA:TYPE=SUBTITLES");
  EXPECT_EQ(hls.substr(group, hls.find("#EXT-X-STREAM-INF") - group),
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"text\",NAME=\"English SDH\",LANGUAGE=\"eng\",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI=\"" + base + "/text-0/playlist.m3u8\"\n"
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"text\",NAME=\"deu\",LANGUAGE=\"deu\",DEFAULT=NO,AUTOSELECT=YES,FORCED=YES,URI=\"" + base + "/text-1/playlist.m3u8\"\n"
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"text\",NAME=\"deu 3\",LANGUAGE=\"deu\",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI=\"" + base + "/text-3/playlist.m3u8\"\n");
  EXPECT_NE(hls.find("AUDIO=\"audio\",SUBTITLES=\"text\"\n"), std::string::npos);
  EXPECT_EQ(hls_text(*p, p->text[0]),
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:9\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:8.333,\n" + base + "/text-0/1.vtt\n#EXT-X-ENDLIST\n");
  const auto dash = dash_manifest(*p);
  EXPECT_NE(dash.find("    <AdaptationSet id=\"3\" contentType=\"text\" mimeType=\"text/vtt\" lang=\"deu\">\n"
                      "      <Label>deu</Label>\n"
                      "      <Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"forced-subtitle\"/>\n"
                      "      <Representation id=\"text-1\" bandwidth=\"48\">\n"
                      "        <BaseURL>" + base + "/text-1/1.vtt</BaseURL>\n"
                      "      </Representation>\n"
                      "    </AdaptationSet>\n"),
            std::string::npos)
      << dash;
  table.state = video_state::encoding;
  EXPECT_TRUE(make_presentation(table)->text.empty()) << "a file that is whole does not go with a playlist that grows";
  EXPECT_EQ(hls_master(*make_presentation(table)).find("SUBTITLES"), std::string::npos);
}

TEST(Manifests, SoundAloneMayHaveText) {
  auto table = sound_table();
  table.plan.text = {{2, "eng", "", false}};
  table.text.emplace();
  table.text->renditions = {{track_kind::text, 0, 1000, 0, ""}};
  const auto p = make_presentation(table);
  EXPECT_NE(hls_master(*p).find("AUDIO=\"audio-64k\",SUBTITLES=\"text\"\n"), std::string::npos) << hls_master(*p);
  EXPECT_NE(dash_manifest(*p).find("<AdaptationSet id=\"3\" contentType=\"text\""), std::string::npos);
}

TEST(Manifests, TitlesOfStrangersCannotBreakOut) {
  auto table = some_table(2, video_state::ready);
  table.plan.text = {{2, "e\"<x>", "a\"\n<script>&", false}};
  table.text.emplace();
  table.text->renditions = {{track_kind::text, 0, 1000, 0, ""}};
  const auto p = make_presentation(table);
  EXPECT_NE(hls_master(*p).find("NAME=\"ascript\",LANGUAGE=\"ex\""), std::string::npos) << hls_master(*p);
  EXPECT_NE(dash_manifest(*p).find("<Label>ascript</Label>"), std::string::npos);
}

TEST(MediaPaths, TextHasAPlaylistAndOneFile) {
  auto plan = some_table(2, video_state::ready).plan;
  plan.text = {{2, "eng", "", false}};
  EXPECT_EQ(parse_media_path("text-0/playlist.m3u8", plan)->kind, media_path::what::playlist);
  const auto file = parse_media_path("text-0/1.vtt", plan);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->kind, media_path::what::segment);
  EXPECT_EQ(file->track, track_kind::text);
  EXPECT_EQ(file->segment, 0u);
  for (const auto* bad : {"text-0/2.vtt", "text-0/init.mp4", "text-0/1.m4s", "text-1/1.vtt", "640x360/1.vtt", "text-0/"}) EXPECT_FALSE(parse_media_path(bad, plan)) << bad;
}

TEST(Manifests, SoundAloneIsAVariantForEachRate) {
  auto table = sound_table();
  const auto p = make_presentation(table);
  ASSERT_TRUE(p);
  const auto base = "/media/" + to_string(table.video);
  EXPECT_EQ(hls_master(*p),
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n"
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio-64k\",NAME=\"eng 1\",LANGUAGE=\"eng\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\"\n"
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio-64k\",NAME=\"deu 2\",LANGUAGE=\"deu\",DEFAULT=NO,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"" + base + "/audio-2/playlist.m3u8\"\n"
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio-128k\",NAME=\"eng 1\",LANGUAGE=\"eng\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\"\n"
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio-128k\",NAME=\"deu 2\",LANGUAGE=\"deu\",DEFAULT=NO,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"" + base + "/audio-3/playlist.m3u8\"\n"
            "#EXT-X-STREAM-INF:BANDWIDTH=70000,AVERAGE-BANDWIDTH=63829,CODECS=\"mp4a.40.2\",AUDIO=\"audio-64k\"\n" + base + "/audio-0/playlist.m3u8\n"
            "#EXT-X-STREAM-INF:BANDWIDTH=133000,AVERAGE-BANDWIDTH=63829,CODECS=\"mp4a.40.2\",AUDIO=\"audio-128k\"\n" + base + "/audio-1/playlist.m3u8\n");
  const auto dash = dash_manifest(*p);
  EXPECT_EQ(dash.find("video"), std::string::npos) << dash;
  const auto count = [&](const std::string& what) {
    std::size_t n = 0;
    for (auto at = dash.find(what); at != std::string::npos; at = dash.find(what, at + 1)) ++n;
    return n;
  };
  EXPECT_EQ(count("<AdaptationSet "), 2u);
  EXPECT_EQ(count("<Representation "), 4u);
  EXPECT_NE(dash.find("PT3.008S"), std::string::npos) << dash;
  EXPECT_NE(hls_media(*p, p->audio[3]).find("/audio-3/2.m4s\n#EXT-X-ENDLIST"), std::string::npos);
}

TEST(Manifests, SoundAloneIsShownOnceAllOfItIsThere) {
  auto table = sound_table();
  table.state = video_state::encoding;
  EXPECT_EQ(make_presentation(table)->audio[0].durations.size(), 2u) << "no picture to wait for";
  table.audio_index.erase(3);
  EXPECT_EQ(make_presentation(table).error().code, errc::conflict);
}

TEST(MediaPaths, SoundAloneHasNoPictures) {
  const auto plan = sound_table().plan;
  for (const auto* bad : {"poster.jpg", "storyboard.vtt", "storyboard/1.jpg", "audio-4/1.m4s"}) EXPECT_EQ(parse_media_path(bad, plan).error().code, errc::not_found) << bad;
  EXPECT_EQ(parse_media_path("audio-3/1.m4s", plan)->rendition, 3);
  EXPECT_TRUE(parse_media_path("poster.jpg", source_plan{})) << "what is not planned yet may have a picture";
}

TEST(Manifests, MasterListsEveryRungWithItsRates) {
  const auto p = make_presentation(some_table(2, video_state::ready));
  ASSERT_TRUE(p);
  const auto text = hls_master(*p);
  EXPECT_NE(text.find("RESOLUTION=256x144"), std::string::npos);
  EXPECT_NE(text.find("CODECS=\"avc1.64001f,mp4a.40.2\""), std::string::npos);
  EXPECT_NE(text.find("BANDWIDTH=230000,"), std::string::npos);
  EXPECT_NE(text.find("/media/" + to_string(video_id{1, 2}) + "/640x360/playlist.m3u8"), std::string::npos);
  EXPECT_NE(text.find("LANGUAGE=\"eng\""), std::string::npos);
}

TEST(Manifests, MediaPlaylistIsVodWhenReadyAndCoversEveryFrame) {
  const auto p = make_presentation(some_table(2, video_state::ready));
  const auto text = hls_media(*p, p->video[1]);
  EXPECT_NE(text.find("#EXT-X-PLAYLIST-TYPE:VOD"), std::string::npos);
  EXPECT_NE(text.find("#EXT-X-ENDLIST"), std::string::npos);
  EXPECT_NE(text.find("#EXT-X-TARGETDURATION:2"), std::string::npos);
  std::uint64_t frames = 0;
  for (auto d : p->video[1].durations) frames += d;
  EXPECT_EQ(frames, 200u);
  EXPECT_NE(text.find("#EXTINF:0.333333,"), std::string::npos);  // the last eight frames
}

TEST(Manifests, SegmentDurationsAddUpToTheMedia) {
  presentation p;
  presented_rendition r;
  r.timescale = 48'000;
  r.durations.assign(3000, 96'256);  // 2.005333... s: rounded one by one they would lack a millisecond
  const auto text = hls_media(p, r);
  std::uint64_t us = 0;
  for (auto at = text.find("#EXTINF:"); at != std::string::npos; at = text.find("#EXTINF:", at + 1)) {
    ASSERT_EQ(text.substr(at + 9, 1), ".");
    us += std::stoull(text.substr(at + 8, 1)) * 1'000'000 + std::stoull(text.substr(at + 10, 6));
  }
  EXPECT_EQ(us, 6'016'000'000u);
}

TEST(Manifests, WhileEncodingThePrefixWithoutGapsIsAnEvent) {
  auto table = some_table(2, video_state::encoding);
  table.chunks.erase(0);
  EXPECT_EQ(make_presentation(table).error().code, errc::conflict);
  table = some_table(1, video_state::encoding);
  const auto p = make_presentation(table);
  ASSERT_TRUE(p);
  EXPECT_EQ(p->video[0].durations.size(), 3u);
  EXPECT_EQ(p->audio[0].durations.size(), 3u);  // not ahead of the picture
  const auto text = hls_media(*p, p->video[0]);
  EXPECT_NE(text.find("#EXT-X-PLAYLIST-TYPE:EVENT"), std::string::npos);
  EXPECT_EQ(text.find("#EXT-X-ENDLIST"), std::string::npos);
  EXPECT_NE(dash_manifest(*p).find("type=\"dynamic\""), std::string::npos);
}

TEST(Manifests, WithoutItsAudioAVideoIsNotShownYet) {
  auto table = some_table(1, video_state::encoding);
  table.audio_index.clear();
  EXPECT_EQ(make_presentation(table).error().code, errc::conflict);
}

TEST(Manifests, TargetDurationDoesNotChangeWhileAPlaylistGrows) {
  const auto target = [](const std::string& text) { return text.substr(text.find("TARGETDURATION"), 17); };
  const auto one = make_presentation(some_table(1, video_state::encoding));
  const auto all = make_presentation(some_table(2, video_state::ready));
  EXPECT_EQ(target(hls_media(*one, one->video[0])), target(hls_media(*all, all->video[0])));
  EXPECT_EQ(target(hls_media(*one, one->audio[0])), target(hls_media(*all, all->audio[0])));
}

/// At few frames a second the joined ones are long: 2.6 s here.
TEST(Manifests, TargetDurationCountsTheLastSegmentBeforeItIsThere) {
  auto table = some_table(1, video_state::encoding);
  table.plan.fps = {5, 1};
  table.plan.segment_frames = 10;
  table.plan.frames = 33;
  table.chunks[0].first = {0, 0, 20, 0, 0};
  const auto growing = make_presentation(table);
  EXPECT_EQ(growing->video[0].durations, (std::vector<std::uint64_t>{10, 10}));
  EXPECT_NE(hls_media(*growing, growing->video[0]).find("#EXT-X-TARGETDURATION:3\n"), std::string::npos);
  auto ready = some_table(2, video_state::ready);
  ready.plan = table.plan;
  ready.chunks[0].first = {0, 0, 20, 0, 0};
  ready.chunks[1].first = {1, 20, 13, 0, 0};
  const auto whole = make_presentation(ready);
  EXPECT_EQ(whole->video[0].durations, (std::vector<std::uint64_t>{10, 10, 13}));
  const auto text = hls_media(*whole, whole->video[0]);
  EXPECT_NE(text.find("#EXT-X-TARGETDURATION:3\n"), std::string::npos);
  EXPECT_NE(text.find("#EXTINF:2.600000,"), std::string::npos);
}

TEST(Manifests, DashTimelineAddsUpToTheVideo) {
  const auto p = make_presentation(some_table(2, video_state::ready));
  const auto text = dash_manifest(*p);
  EXPECT_NE(text.find("type=\"static\" mediaPresentationDuration=\"PT8.333S\""), std::string::npos);
  EXPECT_NE(text.find("<S t=\"0\" d=\"48\" r=\"3\"/>"), std::string::npos);
  EXPECT_NE(text.find("<S d=\"8\"/>"), std::string::npos);
}

TEST(Manifests, LanguagesOfStrangersCannotBreakOut) {
  auto table = some_table(2, video_state::ready);
  table.plan.audio[0].language = "e\"\n<x>&";
  const auto p = make_presentation(table);
  EXPECT_NE(hls_master(*p).find("LANGUAGE=\"ex\""), std::string::npos);
  EXPECT_NE(dash_manifest(*p).find("lang=\"ex\""), std::string::npos);
}

TEST(MediaPaths, OnlyWhatTheManifestsNameExists) {
  const auto plan = some_table(2, video_state::ready).plan;
  EXPECT_EQ(parse_media_path("master.m3u8", plan)->kind, media_path::what::hls_master);
  EXPECT_EQ(parse_media_path("640x360/3.m4s", plan)->segment, 2u);
  EXPECT_EQ(parse_media_path("audio-0/init.mp4", plan)->track, track_kind::audio);
  for (const auto* bad : {"", "x", "640x360", "640x360/", "640x360/0.m4s", "640x360/01.m4s", "640x360/-1.m4s", "640x360/1.m4s/", "1920x1080/1.m4s", "audio-1/1.m4s",
                          "../secret", "640x360/../1.m4s", "640x360/99999999999.m4s"})
    EXPECT_FALSE(parse_media_path(bad, plan)) << bad;
}

TEST(MediaPaths, ASegmentIsInTheChunkThatHoldsItsFirstFrame) {
  const auto table = some_table(2, video_state::ready);
  EXPECT_EQ(output_of_segment(table, 2)->blob, (blob_id{7, 0}));
  EXPECT_EQ(output_of_segment(table, 3)->blob, (blob_id{7, 1}));
  EXPECT_EQ(output_of_segment(table, 9), nullptr);
  auto joined = table;
  joined.plan.frames = 195;
  joined.chunks[1].first.frames = 51;
  EXPECT_EQ(output_of_segment(joined, 3)->blob, (blob_id{7, 1}));
  EXPECT_EQ(output_of_segment(joined, 4), nullptr) << "its frames are in the last segment";
}

TEST(Codecs, AreReadFromTheInitSegment) {
  EXPECT_EQ(*codecs_of(std::string_view{"....avcC\x01\x64\x00\x1f", 12}), "avc1.64001f");
  EXPECT_EQ(*codecs_of("....esds...."), "mp4a.40.2");
  EXPECT_FALSE(codecs_of("nothing"));
  EXPECT_FALSE(codecs_of("avcC"));
}

// ---- As they are given out, to the letter ----------------------------------------------------------------------------

namespace {

/// A ready video at 29.97 pictures a second: five segments, the last one shorter, two tracks of sound.
presentation golden() {
  presentation p;
  p.base = "/media/X";
  p.finished = true;
  p.fps = {30'000, 1001};
  p.total_ms = 9'009;
  p.segment_ms = 2000;
  p.available_from_ms = 1'700'000'000'123;
  for (const auto& [size, peak] : {std::pair{rung{256, 144, 200}, 200'000u}, std::pair{rung{640, 360, 800}, 800'000u}}) {
    presented_rendition v;
    v.name = to_string(size);
    v.size = size;
    v.codecs = "avc1.64001f";
    v.peak_bit_s = peak;
    v.average_bit_s = peak / 2;
    v.timescale = 30'000;
    v.durations = {60'060, 60'060, 60'060, 60'060, 30'030};
    v.duration_max = 60'060;
    p.video.push_back(v);
  }
  for (std::uint32_t i = 0; i < 2; ++i) {
    presented_rendition a;
    a.kind = track_kind::audio;
    a.name = "audio-" + std::to_string(i);
    a.rendition = static_cast<std::uint8_t>(i);
    a.source = i + 1;
    a.language = i == 0 ? "eng" : "deu";
    a.codecs = "mp4a.40.2";
    a.peak_bit_s = 133'000 - 1'000 * i;
    a.average_bit_s = 128'000 + 1'000 * i;
    a.timescale = 48'000;
    a.durations = {97'280, 96'256, 95'232, 96'256, 47'104};
    p.audio.push_back(a);
  }
  return p;
}

}  // namespace

TEST(Manifests, HlsMasterIsFrozen) {
  EXPECT_EQ(hls_master(golden()),
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n"
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"eng "
            "1\",LANGUAGE=\"eng\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"/media/X/audio-0/playlist.m3u8\"\n"
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"deu "
            "2\",LANGUAGE=\"deu\",DEFAULT=NO,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"/media/X/audio-1/playlist.m3u8\"\n"
            "#EXT-X-STREAM-INF:BANDWIDTH=333000,AVERAGE-BANDWIDTH=229000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=256x144,FRAME-RATE=29."
            "970,AUDIO=\"audio\"\n"
            "/media/X/256x144/playlist.m3u8\n"
            "#EXT-X-STREAM-INF:BANDWIDTH=933000,AVERAGE-BANDWIDTH=529000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=29."
            "970,AUDIO=\"audio\"\n"
            "/media/X/640x360/playlist.m3u8\n");
  auto silent = golden();
  silent.audio.clear();
  silent.video.resize(1);
  silent.video[0].peak_bit_s = silent.video[0].average_bit_s = 0;
  EXPECT_EQ(hls_master(silent),
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n"
            "#EXT-X-STREAM-INF:BANDWIDTH=1,AVERAGE-BANDWIDTH=1,CODECS=\"avc1.64001f\",RESOLUTION=256x144,FRAME-RATE=29.970\n/media/X/"
            "256x144/playlist.m3u8\n")
      << "a rate is never nought";
}

TEST(Manifests, HlsMediaIsFrozen) {
  const auto p = golden();
  EXPECT_EQ(
      hls_media(p, p.video[1]),
      "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n"
      "#EXT-X-MAP:URI=\"/media/X/640x360/init.mp4\"\n"
      "#EXTINF:2.002000,\n/media/X/640x360/1.m4s\n#EXTINF:2.002000,\n/media/X/640x360/2.m4s\n#EXTINF:2.002000,\n/media/X/640x360/3.m4s\n"
      "#EXTINF:2.002000,\n/media/X/640x360/4.m4s\n#EXTINF:1.001000,\n/media/X/640x360/5.m4s\n#EXT-X-ENDLIST\n");
}

TEST(Manifests, TheTargetIsTheLongestRoundedAndForSoundASecondMore) {
  const auto target = [](const presentation& p, const presented_rendition& r) {
    const auto text = hls_media(p, r);
    const auto at = text.find("TARGETDURATION:") + 15;
    return text.substr(at, text.find('\n', at) - at);
  };
  auto p = golden();
  EXPECT_EQ(target(p, p.audio[0]), "3");
  p.segment_ms = 1499;
  EXPECT_EQ(target(p, p.video[0]), "2") << "2.002 s";
  p.video[0].durations = {30'030, 74'999};
  p.video[0].duration_max = 30'030;
  EXPECT_EQ(target(p, p.video[0]), "2");
  p.video[0].durations[1] = 75'000;
  EXPECT_EQ(target(p, p.video[0]), "3") << "half a second is rounded up";
  p.video[0].duration_max = 105'000;
  EXPECT_EQ(target(p, p.video[0]), "4") << "of a segment that is still to come";
  p.video[0] = {};
  p.video[0].timescale = 1000;
  EXPECT_EQ(target(p, p.video[0]), "1");
  p.segment_ms = 1500;
  EXPECT_EQ(target(p, p.video[0]), "2");
  p.segment_ms = 400;
  EXPECT_EQ(target(p, p.video[0]), "1") << "never nought";
  p.segment_ms = 999'600;
  EXPECT_EQ(target(p, p.video[0]), "1000");
}

TEST(Manifests, ALongPlaylistIsRoundedToTheNearestMicrosecond) {
  presentation p;
  presented_rendition r;
  r.timescale = 3;
  r.durations = {1, 1, 1, 2};
  const auto text = hls_media(p, r);
  std::vector<std::string> lasts;
  for (auto at = text.find("#EXTINF:"); at != std::string::npos; at = text.find("#EXTINF:", at + 1))
    lasts.push_back(text.substr(at + 8, text.find(',', at) - at - 8));
  EXPECT_EQ(lasts, (std::vector<std::string>{"0.333333", "0.333334", "0.333333", "0.666667"}));
  r.timescale = 7;
  r.durations = {4};
  EXPECT_NE(hls_media(p, r).find("#EXTINF:0.571429,"), std::string::npos);
  r.timescale = 1'000'000;
  r.durations = {12'000'000};
  EXPECT_NE(hls_media(p, r).find("#EXTINF:12.000000,"), std::string::npos);
}

TEST(Manifests, APlaylistOfTextHasOneSegmentOfItsWholeLength) {
  auto p = golden();
  const auto text = [&](std::uint64_t total_ms) {
    p.total_ms = total_ms;
    return hls_text(p, {"text-0", 0, "eng", "", false, 10});
  };
  EXPECT_EQ(text(9'001),
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:10\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:9.001,\n/"
            "media/X/text-0/1.vtt\n#EXT-X-ENDLIST\n");
  EXPECT_NE(text(9'000).find("TARGETDURATION:9\n"), std::string::npos);
  EXPECT_NE(text(0).find("TARGETDURATION:1\n"), std::string::npos) << "never nought";
  EXPECT_NE(text(3'600'999).find("#EXTINF:3600.999,"), std::string::npos);
  EXPECT_NE(text(3'600'000).find("TARGETDURATION:3600\n"), std::string::npos);
}

TEST(Manifests, DashIsFrozen) {
  auto p = golden();
  p.text.push_back({"text-0", 0, "eng", "", false, 9'009});
  const std::string audio_config =
      "        <AudioChannelConfiguration schemeIdUri=\"urn:mpeg:dash:23003:3:audio_channel_configuration:2011\" value=\"2\"/>\n";
  const auto sound = [&](const std::string& id, const std::string& name, const std::string& language, const std::string& rate) {
    return "    <AdaptationSet id=\"" + id + "\" contentType=\"audio\" mimeType=\"audio/mp4\" lang=\"" + language +
           "\" segmentAlignment=\"true\" startWithSAP=\"1\">\n"
           "      <Representation id=\"" +
           name + "\" bandwidth=\"" + rate + "\" codecs=\"mp4a.40.2\" audioSamplingRate=\"48000\">\n" + audio_config +
           "        <SegmentTemplate timescale=\"48000\" startNumber=\"1\" initialization=\"/media/X/" + name +
           "/init.mp4\" media=\"/media/X/" + name +
           "/$Number$.m4s\">\n"
           "         <SegmentTimeline>\n"
           "          <S t=\"0\" d=\"97280\"/>\n          <S d=\"96256\"/>\n          <S d=\"95232\"/>\n          <S d=\"96256\"/>\n       "
           "   <S d=\"47104\"/>\n"
           "         </SegmentTimeline>\n        </SegmentTemplate>\n      </Representation>\n    </AdaptationSet>\n";
  };
  const auto picture = [](const std::string& name, const std::string& rate, const std::string& width, const std::string& height) {
    return "      <Representation id=\"" + name + "\" bandwidth=\"" + rate + "\" codecs=\"avc1.64001f\" width=\"" + width + "\" height=\"" +
           height +
           "\" sar=\"1:1\">\n"
           "        <SegmentTemplate timescale=\"30000\" startNumber=\"1\" initialization=\"/media/X/" +
           name + "/init.mp4\" media=\"/media/X/" + name +
           "/$Number$.m4s\">\n"
           "         <SegmentTimeline>\n          <S t=\"0\" d=\"60060\" r=\"3\"/>\n          <S d=\"30030\"/>\n         "
           "</SegmentTimeline>\n"
           "        </SegmentTemplate>\n      </Representation>\n";
  };
  const std::string head =
      "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" "
      "profiles=\"urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019\" ";
  EXPECT_EQ(dash_manifest(p),
            head +
                "type=\"static\" mediaPresentationDuration=\"PT9.009S\" minBufferTime=\"PT4.0S\">\n"
                "  <Period id=\"0\" start=\"PT0S\">\n"
                "    <AdaptationSet id=\"0\" contentType=\"video\" mimeType=\"video/mp4\" segmentAlignment=\"true\" startWithSAP=\"1\" "
                "maxWidth=\"640\" maxHeight=\"360\" frameRate=\"30000/1001\">\n" +
                picture("256x144", "200000", "256", "144") + picture("640x360", "800000", "640", "360") + "    </AdaptationSet>\n" +
                sound("1", "audio-0", "eng", "133000") + sound("2", "audio-1", "deu", "132000") +
                "    <AdaptationSet id=\"3\" contentType=\"text\" mimeType=\"text/vtt\" lang=\"eng\">\n      <Label>eng</Label>\n"
                "      <Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"subtitle\"/>\n"
                "      <Representation id=\"text-0\" bandwidth=\"8000\">\n        <BaseURL>/media/X/text-0/1.vtt</BaseURL>\n      "
                "</Representation>\n    </AdaptationSet>\n"
                "  </Period>\n</MPD>\n");
  p.finished = false;
  p.segment_ms = 1500;
  const auto growing = dash_manifest(p);
  const auto wanted =
      head + "type=\"dynamic\" availabilityStartTime=\"2023-11-14T22:13:20.123Z\" minimumUpdatePeriod=\"PT2S\" minBufferTime=\"PT3.0S\">\n";
  EXPECT_EQ(growing.substr(0, wanted.size()), wanted);
}

TEST(Manifests, ARateOfNoughtIsSaidToBeOne) {
  auto p = golden();
  p.text.push_back({"text-0", 0, "eng", "", false, 0});
  p.total_ms = 0;
  for (auto* all : {&p.video, &p.audio})
    for (auto& r : *all) r.peak_bit_s = 0;
  const auto dash = dash_manifest(p);
  std::size_t count = 0;
  for (auto at = dash.find("bandwidth=\"1\""); at != std::string::npos; at = dash.find("bandwidth=\"1\"", at + 1)) ++count;
  EXPECT_EQ(count, 5u);
  p.video.clear();
  for (auto& a : p.audio) a.average_bit_s = 0;
  EXPECT_NE(hls_master(p).find("BANDWIDTH=1,AVERAGE-BANDWIDTH=1,"), std::string::npos);
  p.audio.resize(1);
  p.audio[0].kbit = 0;
  EXPECT_NE(hls_master(p).find("GROUP-ID=\"audio\""), std::string::npos) << "without a rate of its own";
  p.text[0].bytes = 3;
  EXPECT_NE(dash_manifest(p).find("bandwidth=\"24000\""), std::string::npos) << "of no length: as if it were a millisecond";
}

TEST(Manifests, OnlyWhatMayStandInAnAttributeIsLeftOfAName) {
  auto p = golden();
  p.audio[0].language = "a\x1f\x20\x7e\x7f\"<>&b\xc3\xa9";
  EXPECT_NE(hls_master(p).find("LANGUAGE=\"a ~b\xc3\xa9\""), std::string::npos);
}

// ---- What is summed up of the outputs --------------------------------------------------------------------------------

TEST(Summaries, SayOfEachRenditionWhatItWeighsAndItsDearestSegment) {
  source_plan plan;
  plan.fps = {30'000, 1001};
  const recipe how;
  const auto init = [](const char* what) { return buffer{std::string{"....", 4} + what}; };
  const auto bytes = [](std::size_t n) { return buffer{std::string(n, 'x')}; };
  const auto sums = summarise({{track_kind::video, 1, output_entry::init_segment, 0, init("avcC\x01\x64\x02\x1f")},
                               {track_kind::video, 1, 0, 60, bytes(2002)},
                               {track_kind::video, 1, 1, 30, bytes(1501)},
                               {track_kind::video, 1, 2, 0, bytes(7)},
                               {track_kind::audio, 0, output_entry::init_segment, 0, init("esds")},
                               {track_kind::audio, 0, 0, 24'000, bytes(300)},
                               {track_kind::audio, 0, 1, 96'000, bytes(400)},
                               {track_kind::image, 2, 0, 4, bytes(900)},
                               {track_kind::text, 3, 0, 17, bytes(50)}},
                              plan, how);
  ASSERT_TRUE(sums);
  EXPECT_EQ(*sums, (std::vector<rendition_summary>{{track_kind::video, 1, 3510, 11'996, "avc1.64021f"},
                                                   {track_kind::audio, 0, 700, 4800, "mp4a.40.2"},
                                                   {track_kind::image, 2, 900, 0, ""},
                                                   {track_kind::text, 3, 50, 0, ""}}));
  EXPECT_EQ(summarise({{track_kind::video, 0, output_entry::init_segment, 0, bytes(40)}}, plan, how).error().code, errc::corrupt);
}

TEST(Summaries, HalfASecondIsALengthToo) {
  source_plan plan;
  plan.fps = {2, 1};
  EXPECT_EQ(summarise({{track_kind::video, 0, 0, 1, buffer{std::string(100, 'x')}}}, plan, {})->at(0).peak_bit_s, 1600u);
}

TEST(Presentations, SayWhatThePlanAndTheOutputsSay) {
  auto table = some_table(2, video_state::ready);
  table.plan.fps = {30'000, 1001};
  table.how.segment_ms = 1600;
  table.created_ms = 1234;
  table.chunks[0].second.renditions[1] = {track_kind::video, 1, 36'000, 90'000, "avc1.first"};
  table.chunks[1].second.renditions[1] = {track_kind::video, 1, 72'000, 120'000, "avc1.second"};
  const auto p = make_presentation(table);
  ASSERT_TRUE(p);
  EXPECT_EQ(p->base, "/media/" + to_string(table.video));
  EXPECT_TRUE(p->finished);
  EXPECT_EQ(p->fps.num, 30'000);
  EXPECT_EQ(p->fps.den, 1001);
  EXPECT_EQ(p->total_ms, 6673u);
  EXPECT_EQ(p->segment_ms, 1600u);
  EXPECT_EQ(p->available_from_ms, 1234);
  ASSERT_EQ(p->video.size(), 2u);
  const auto& v = p->video[1];
  EXPECT_EQ(v.kind, track_kind::video);
  EXPECT_EQ(v.rendition, 1);
  EXPECT_EQ(v.size, table.plan.rungs[1]);
  EXPECT_EQ(v.codecs, "avc1.first");
  EXPECT_EQ(v.average_bit_s, 129'470u) << "108,000 bytes in 6.673 s";
  EXPECT_EQ(v.peak_bit_s, 120'000u);
  EXPECT_EQ(v.timescale, 30'000u);
  EXPECT_EQ(v.durations, (std::vector<std::uint64_t>{48 * 1001, 48 * 1001, 48 * 1001, 48 * 1001, 8 * 1001}));
  EXPECT_EQ(v.duration_max, 48u * 1001);
  EXPECT_EQ(p->video[0].rendition, 0);
  EXPECT_EQ(p->video[0].average_bit_s, 86'313u);
  ASSERT_EQ(p->audio.size(), 1u);
  EXPECT_EQ(p->audio[0].kind, track_kind::audio);
  EXPECT_EQ(p->audio[0].rendition, 0);
  EXPECT_EQ(p->audio[0].source, 1u);
  EXPECT_EQ(p->audio[0].average_bit_s, 153'452u) << "160,000 bytes in 400,384 samples";
  EXPECT_EQ(p->audio[0].peak_bit_s, 130'000u);
}

TEST(Presentations, OfTwoSegmentsTheFirstIsTheLongest) {
  auto table = some_table(1, video_state::encoding);
  table.plan.frames = 58;
  table.chunks[0].first = {0, 0, 58, 0, 0};
  EXPECT_EQ(make_presentation(table)->video[0].duration_max, 48u);
}

TEST(Presentations, OfWhatHasNoGridAreNotYet) {
  for (const rational nonsense : {rational{0, 1}, rational{24, 0}, rational{-1, 1}, rational{1, -1}}) {
    auto table = some_table(2, video_state::ready);
    table.plan.fps = nonsense;
    EXPECT_EQ(make_presentation(table).error().code, errc::conflict) << nonsense.num << "/" << nonsense.den;
  }
  auto table = some_table(2, video_state::ready);
  table.plan.segment_frames = 0;
  EXPECT_EQ(make_presentation(table).error().code, errc::conflict);
  table.plan.segment_frames = 48;
  table.plan.fps = {1, 1};
  EXPECT_TRUE(make_presentation(table)) << "a picture a second";
}

TEST(Presentations, ATrackThatThePlanDoesNotKnowHasNoLanguage) {
  auto table = some_table(2, video_state::ready);
  table.audio_index[1] = {{track_kind::audio, 1, output_entry::init_segment, 0, 700, 0, {}}};
  const auto p = make_presentation(table);
  ASSERT_TRUE(p);
  ASSERT_EQ(p->audio.size(), 2u);
  EXPECT_EQ(p->audio[1].language, "und");
  EXPECT_EQ(p->audio[1].average_bit_s, 0u) << "nothing was heard of it yet";
  EXPECT_EQ(p->audio[1].rendition, 1);
  table.plan.text = {{2, "eng", "", false}};
  table.text.emplace();
  table.text->renditions = {{track_kind::text, 0, 10, 0, ""}, {track_kind::text, 1, 10, 0, ""}};
  EXPECT_EQ(make_presentation(table)->text.size(), 1u) << "nor is its text shown";
}

TEST(MediaPaths, EachNamesItsKindTrackRenditionAndNumber) {
  auto plan = some_table(2, video_state::ready).plan;
  plan.audio.push_back({2, "deu"});
  plan.text = {{3, "eng", "", false}, {4, "deu", "", false}};
  using what = media_path::what;
  const auto expect = [&](const char* path, what kind, track_kind track, std::uint8_t rendition, std::uint32_t segment) {
    const auto found = parse_media_path(path, plan);
    ASSERT_TRUE(found) << path;
    EXPECT_EQ(found->kind, kind) << path;
    EXPECT_EQ(found->track, track) << path;
    EXPECT_EQ(found->rendition, rendition) << path;
    EXPECT_EQ(found->segment, segment) << path;
  };
  expect("master.m3u8", what::hls_master, track_kind::video, 0, 0);
  expect("manifest.mpd", what::dash, track_kind::video, 0, 0);
  expect("poster.jpg", what::poster, track_kind::image, 0, 0);
  expect("storyboard.vtt", what::storyboard, track_kind::image, 0, 0);
  expect("storyboard/7.jpg", what::sheet, track_kind::image, 0, 6);
  expect("256x144/playlist.m3u8", what::playlist, track_kind::video, 0, 0);
  expect("640x360/playlist.m3u8", what::playlist, track_kind::video, 1, 0);
  expect("256x144/init.mp4", what::init, track_kind::video, 0, 0);
  expect("640x360/12.m4s", what::segment, track_kind::video, 1, 11);
  expect("audio-1/init.mp4", what::init, track_kind::audio, 1, 0);
  expect("audio-1/1.m4s", what::segment, track_kind::audio, 1, 0);
  expect("text-1/playlist.m3u8", what::playlist, track_kind::text, 1, 0);
  expect("text-1/1.vtt", what::segment, track_kind::text, 1, 0);
  for (const auto* bad : {"640x360/1x.m4s", "640x360/x1.m4s", "640x360/.m4s", "storyboard/1x.jpg", "640x360/ 1.m4s"})
    EXPECT_EQ(parse_media_path(bad, plan).error().code, errc::not_found) << bad;
}

TEST(Manifests, ATimelineRepeatsWhatComesTwiceInARow) {
  auto p = golden();
  p.video[0].durations = {100, 200, 200, 100};
  EXPECT_NE(
      dash_manifest(p).find(
          "          <S t=\"0\" d=\"100\"/>\n          <S d=\"200\" r=\"1\"/>\n          <S d=\"100\"/>\n         </SegmentTimeline>"),
      std::string::npos);
}

TEST(Manifests, RatesOfAPictureWithoutSoundAreItsOwn) {
  auto p = golden();
  p.audio.clear();
  p.video[0].peak_bit_s = 5;
  p.video[0].average_bit_s = 4;
  EXPECT_NE(hls_master(p).find("#EXT-X-STREAM-INF:BANDWIDTH=5,AVERAGE-BANDWIDTH=4,"), std::string::npos);
}

TEST(Presentations, RatesAreExactWhereTheyCanBe) {
  auto table = some_table(2, video_state::ready);
  for (auto& [index, chunk] : table.chunks) chunk.second.renditions[0].peak_bit_s = 0;
  table.audio_index[0] = {{track_kind::audio, 0, 0, 0, 6000, 48'000, {}}};
  const auto p = make_presentation(table);
  EXPECT_EQ(p->video[0].peak_bit_s, 0u);
  EXPECT_EQ(p->audio[0].average_bit_s, 48'000u);
  table.audio_index[0] = {{track_kind::audio, 0, 0, 0, 1, 1, {}}};
  EXPECT_EQ(make_presentation(table)->audio[0].average_bit_s, 384'000u) << "a single sample";
}

}  // namespace latham
