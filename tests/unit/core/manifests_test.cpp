#include "core/manifest/presentation.hpp"

#include <gtest/gtest.h>

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

}  // namespace latham
