// The wire between a worker and its codec child: golden bytes, and what a hostile or broken peer can send.
#include "media/child_protocol.hpp"

#include <gtest/gtest.h>

namespace latham::media {

namespace {

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    out += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
    out += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

std::vector<frame> parse(std::string_view bytes) {
  frame_parser parser;
  std::vector<frame> out;
  EXPECT_TRUE(parser.feed(bytes, out));
  return out;
}

std::string header(std::uint32_t length, std::uint8_t type, std::uint32_t crc) {
  byte_writer writer;
  writer(length, type, crc);
  return writer.take();
}

}  // namespace

TEST(ChildProtocol, BytesAreFrozen) {
  EXPECT_EQ(hex(make_frame(frame_type::hello, hello_message{2, "e", {true, false}})), "09000000" "01" "b9a805a3" "0200" "01000000" "65" "01" "00");
  EXPECT_EQ(hex(make_frame(frame_type::read, read_message{1, 2, 3})),
            "14000000" "03" "4230c6ee" "0100000000000000" "0200000000000000" "03000000");
  EXPECT_EQ(hex(make_bulk_frame_head(frame_type::supply, supply_head{1}, "abc")), "0b000000" "04" "918ef92f" "0100000000000000");
  EXPECT_EQ(hex(make_frame(frame_type::supply_error, supply_error_message{1, errc::io, "x"})),
            "0e000000" "05" "67127f31" "0100000000000000" "0e" "01000000" "78");
  EXPECT_EQ(hex(make_bulk_frame_head(frame_type::piece, piece_head{1, track_kind::audio, 2, 3, 4}, "abc")),
            "11000000" "07" "01b85ea7" "01000000" "01" "02" "03000000" "04000000");
  EXPECT_EQ(hex(make_frame(frame_type::chunk_done, chunk_done_message{5, {6, 7, true}})),
            "15000000" "08" "14969910" "05000000" "0600000000000000" "0700000000000000" "01");
  EXPECT_EQ(hex(make_frame(frame_type::progress, progress_message{6})), "08000000" "09" "5f34cd44" "0600000000000000");
  EXPECT_EQ(hex(make_frame(frame_type::end, end_message{errc::unsupported, "no"})), "47000000" "0a" "1b06603a" "06" "02000000" "6e6f" + std::string(128, '0'));
}

TEST(ChildProtocol, TaskAndPlanBytesAreFrozen) {
  ports::engine_task task;
  task.kind = ports::engine_task_kind::video;
  task.source_bytes = 9;
  task.how.version = 1;
  task.how.rungs = {{640, 360, 800}};
  task.chunks = {{1, 2, 3, -4, 5}};
  EXPECT_EQ(to_string(sha256::of(make_frame(frame_type::task, task))),
            "ecc20f5b6e7a4fd9b41cc0ba6f7cfaa8a4168ed8b80d21d5cb9d1647682ed22f");
  plan_message page;
  page.plan.container = "mov";
  page.plan.audio = {{1, "eng"}};
  page.plan.text = {{2, "deu", "Deutsch", true}};
  page.chunks = task.chunks;
  page.complete = true;
  EXPECT_EQ(to_string(sha256::of(make_frame(frame_type::plan, page))),
            "7dd82d4dce85972d46b63c19c25f90f1818c0ab09aa9d8e83f8f217bd392bb49");
}

TEST(ChildProtocol, MessagesRoundTrip) {
  ports::engine_task task;
  task.kind = ports::engine_task_kind::audio;
  task.source_bytes = 1'000'000'000'000;
  task.plan.notes = {"note"};
  task.chunks = {{0, 0, 48, 0, 0}, {1, 48, 48, 512, 999}};
  task.audio_index = 3;
  const auto frames = parse(make_frame(frame_type::task, task));
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].type, frame_type::task);
  EXPECT_EQ(*decode_message<ports::engine_task>(frames[0]), task);
}

TEST(ChildProtocol, BulkBytesAreNotCopiedOutOfTheFrame) {
  const std::string bulk(1000, 'x');
  const auto frames = parse(make_bulk_frame_head(frame_type::supply, supply_head{7}, bulk) + bulk);
  ASSERT_EQ(frames.size(), 1u);
  auto supplied = decode_bulk<supply_head>(frames[0]);
  ASSERT_TRUE(supplied);
  EXPECT_EQ(supplied->first.read, 7u);
  EXPECT_EQ(supplied->second.view(), bulk);
  EXPECT_EQ(supplied->second.data(), frames[0].payload.data() + 8);
}

TEST(ChildProtocol, EmptyPayloadAndEmptyBulkAreFrames) {
  const auto frames = parse(make_bulk_frame_head(frame_type::supply, supply_head{1}, {}) + make_frame(frame_type::end, end_message{}));
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_TRUE(decode_bulk<supply_head>(frames[0])->second.empty());
  EXPECT_EQ(decode_message<end_message>(frames[1])->code, errc::none);
}

TEST(ChildProtocol, UnknownTypeIsRefused) {
  frame_parser parser;
  std::vector<frame> out;
  const auto fed = parser.feed(header(0, 77, 0), out);
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().code, errc::corrupt);
  EXPECT_TRUE(out.empty());
}

TEST(ChildProtocol, LengthBeyondTheTypesLimitIsRefusedBeforeAnyByteOfIt) {
  frame_parser parser;
  std::vector<frame> out;
  EXPECT_FALSE(parser.feed(header(0xffffffff, static_cast<std::uint8_t>(frame_type::piece), 0), out));
  EXPECT_EQ(parser.pending_bytes(), 0u);
  frame_parser another;
  EXPECT_FALSE(another.feed(header(5000, static_cast<std::uint8_t>(frame_type::end), 0), out));
}

TEST(ChildProtocol, WrongChecksumIsRefusedAndTheParserStaysFailed) {
  auto bytes = make_frame(frame_type::progress, progress_message{6});
  bytes.back() ^= 1;
  frame_parser parser;
  std::vector<frame> out;
  EXPECT_FALSE(parser.feed(bytes, out));
  EXPECT_FALSE(parser.feed(make_frame(frame_type::progress, progress_message{6}), out));
  EXPECT_TRUE(out.empty());
}

TEST(ChildProtocol, FramesBeforeTheBadOneAreKept) {
  frame_parser parser;
  std::vector<frame> out;
  EXPECT_FALSE(parser.feed(make_frame(frame_type::progress, progress_message{1}) + header(0, 0, 0), out));
  EXPECT_EQ(out.size(), 1u);
}

TEST(ChildProtocol, MessageOfAnotherLengthIsRefused) {
  const auto frames = parse(make_frame(frame_type::progress, std::string_view{"1234567"}) +
                            make_frame(frame_type::progress, std::string_view{"123456789"}));
  EXPECT_FALSE(decode_message<progress_message>(frames[0]));
  EXPECT_FALSE(decode_message<progress_message>(frames[1]));
  EXPECT_FALSE(decode_bulk<piece_head>(frames[0]));
}

TEST(ChildProtocol, TaskIsCheckedAgainstItsPlan) {
  ports::engine_task task;
  task.how.rungs = {{640, 360, 800}};
  EXPECT_TRUE(validate(task));
  task.kind = ports::engine_task_kind::video;
  EXPECT_FALSE(validate(task)) << "no plan";
  task.plan.time_base = {1, 12288};
  task.plan.fps = {24, 1};
  task.plan.frames = 100;
  task.plan.segment_frames = 48;
  task.plan.width = 640;
  task.plan.height = 360;
  task.plan.rungs = {{640, 360, 800}};
  EXPECT_FALSE(validate(task)) << "no chunks";
  task.chunks = {{0, 0, 48, 0, 0}, {1, 48, 52, 0, 0}};
  EXPECT_TRUE(validate(task));
  task.chunks[1].frames = 53;
  EXPECT_FALSE(validate(task)) << "beyond the end";
  task.chunks[1].frames = 40;
  EXPECT_FALSE(validate(task)) << "not whole segments";
  task.plan.frames = 99;  // the last three are in the second segment
  task.chunks[1].frames = 51;
  EXPECT_TRUE(validate(task));
  task.chunks[1].frames = 48;
  EXPECT_FALSE(validate(task)) << "cuts the last segment";
  task.chunks = {{2, 96, 3, 0, 0}};
  EXPECT_FALSE(validate(task)) << "starts within the last segment";
  task.plan.frames = 100;
  task.chunks = {{0, 0, 48, 0, 0}, {1, 48, 52, 0, 0}};
  task.chunks[1] = {3, 48, 52, 0, 0};
  EXPECT_FALSE(validate(task)) << "not consecutive";
  task.kind = ports::engine_task_kind::audio;
  EXPECT_FALSE(validate(task)) << "no such track";
  task.kind = static_cast<ports::engine_task_kind>(9);
  EXPECT_FALSE(validate(task)) << "no such kind";
}

TEST(ChildProtocol, TextTaskNeedsTracksOfText) {
  ports::engine_task task;
  task.how.rungs = {{640, 360, 800}};
  task.kind = ports::engine_task_kind::text;
  task.plan.time_base = {1, 12288};
  task.plan.fps = {24, 1};
  task.plan.frames = 100;
  task.plan.segment_frames = 48;
  task.plan.width = 640;
  task.plan.height = 360;
  task.plan.rungs = {{640, 360, 800}};
  EXPECT_FALSE(validate(task)) << "no text";
  task.plan.text.assign(text_tracks_max, {2, "eng", "English", false});
  EXPECT_TRUE(validate(task));
  task.plan.text[3].title.assign(201, 'x');
  EXPECT_FALSE(validate(task)) << "a long title";
  task.plan.text[3].title.clear();
  task.plan.text[3].language.assign(201, 'x');
  EXPECT_FALSE(validate(task)) << "a long language";
  task.plan.text.assign(text_tracks_max + 1, {2, "eng", "", false});
  EXPECT_FALSE(validate(task)) << "too many";
}

TEST(ChildProtocol, PlanOfSoundAloneHasNoPictureAtAll) {
  ports::engine_task task;
  task.how.rungs = {{640, 360, 800}};
  task.kind = ports::engine_task_kind::audio;
  task.plan.time_base = {1, 44100};
  task.plan.fps = {375, 8};
  task.plan.frames = 141;
  task.plan.segment_frames = 94;
  EXPECT_FALSE(validate(task)) << "neither picture nor sound";
  task.plan.audio = {{0, "eng", 64}, {0, "eng", 128}};
  EXPECT_TRUE(validate(task));
  task.audio_index = 1;
  EXPECT_TRUE(validate(task));
  task.plan.audio[1].kbit = 513;
  EXPECT_FALSE(validate(task)) << "no such rate";
  task.plan.audio[1].kbit = 512;
  task.plan.width = task.plan.height = 2;
  EXPECT_FALSE(validate(task)) << "a size without a picture";
  task.plan.width = task.plan.height = 0;
  task.kind = ports::engine_task_kind::video;
  task.chunks = {{0, 0, 94, 0, 0}};
  EXPECT_FALSE(validate(task)) << "a chunk without a picture";
}

}  // namespace latham::media
