// Every message goes through CAF's own serializer and comes back equal. A type that CAF cannot carry fails only at run
// time, as a line on standard error and an empty message at the receiver; this is where it is noticed instead.
#include "actors/node.hpp"
#include "actors/protocol.hpp"
#include "core/codec.hpp"

#include <caf/all.hpp>
#include <gtest/gtest.h>

#include <algorithm>

namespace latham {

namespace {

class Protocol : public ::testing::Test {
protected:
  template <class T>
  T round_trip(const T& x) {
    std::vector<char> bytes;
    caf::binary_serializer out{system_, bytes};
    auto copy = x;
    EXPECT_EQ(out(caf::make_message(copy)), caf::none);
    caf::binary_deserializer in{system_, bytes};
    caf::message back;
    EXPECT_EQ(in(back), caf::none);
    EXPECT_TRUE(back.match_elements<T>());
    EXPECT_LE(bytes.size(), control_message_bytes_max);
    return back.match_elements<T>() ? back.get_as<T>(0) : T{};
  }

  /// Equal when their disk encodings are: not every message has an operator ==.
  template <class T>
  void expect_same(const T& x) {
    EXPECT_EQ(encode(round_trip(x)), encode(x));
  }

  caf_config config_{1};
  caf::actor_system system_{config_};
};

source_plan some_plan() {
  source_plan plan;
  plan.container = "mov";
  plan.video_codec = "h264";
  plan.fps = {30000, 1001};
  plan.frames = 900;
  plan.segment_frames = 60;
  plan.rungs = {{640, 360, 800}};
  plan.audio = {{1, "eng"}};
  plan.notes = {"the file ends early"};
  plan.text = {{2, "deu", "Deutsch", true}};
  return plan;
}

output_ref some_output() {
  output_ref out;
  out.blob = {1, 2};
  out.store = "storage-0";
  out.bytes = 1000;
  out.index_bytes = 100;
  out.digest = sha256::of("x");
  out.renditions = {{track_kind::video, 1, 900, 5000, "avc1.64001f"}};
  return out;
}

}  // namespace

TEST_F(Protocol, ADigestIsItsBytesInOrder) {
  sha256_digest digest;
  for (std::size_t i = 0; i < digest.bytes.size(); ++i) digest.bytes[i] = static_cast<std::uint8_t>(250 - 7 * i);
  std::vector<char> bytes;
  caf::binary_serializer out{system_, bytes};
  ASSERT_EQ(out(digest), caf::none);
  ASSERT_EQ(bytes.size(), digest.bytes.size());
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), digest.bytes.begin(), [](char a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; }));
  sha256_digest back;
  caf::binary_deserializer in{system_, bytes};
  ASSERT_EQ(in(back), caf::none);
  EXPECT_EQ(back, digest);
}

TEST_F(Protocol, IdsAndEpochsCrossTheWire) {
  EXPECT_EQ(round_trip(video_id{3, 4}), (video_id{3, 4}));
  EXPECT_EQ(round_trip(blob_id{3, 4}), (blob_id{3, 4}));
  EXPECT_EQ(round_trip(epoch{3, 4}), (epoch{3, 4}));
  EXPECT_EQ(round_trip(errc::fenced), errc::fenced);
}

TEST_F(Protocol, ListsCrossTheWire) {
  EXPECT_EQ(round_trip(errc_list{errc::none, errc::fenced}), (errc_list{errc::none, errc::fenced}));
  EXPECT_EQ(round_trip(bool_list{1, 0}), (bool_list{1, 0}));
  EXPECT_EQ(round_trip(blob_list{{1, 2}, {3, 4}}), (blob_list{{1, 2}, {3, 4}}));
  EXPECT_EQ(round_trip(output_list{some_output()}), output_list{some_output()});
  expect_same(renewal_list{{{1, 2}, 3, 4}});
  expect_same(commit_list{{{{1, 2}, task_kind::video, 3}, {1, 2}, some_output(), {4, 5, true}}});
}

TEST_F(Protocol, WorkCrossesTheWire) {
  work_grant grant;
  grant.held = {1, 2};
  grant.video = {3, 4};
  grant.kind = task_kind::video;
  grant.source = {{5, 6}, "storage-0", 1000, sha256::of("s")};
  grant.how.rungs = {{640, 360, 800}};
  grant.plan = some_plan();
  grant.chunks = {{1, 144, 144, -5, 99}};
  EXPECT_EQ(round_trip(grant_list{grant}), grant_list{grant});
  expect_same(work_request{"worker-0", 9, "engine", 2});
  expect_same(plan_page{{1, 2}, {3, 4}, some_plan(), 0, {{0, 0, 144, 0, 0}}, true});
  expect_same(task_failure{{{1, 2}, task_kind::audio, 1}, {3, 4}, errc::crashed, "why"});
}

TEST_F(Protocol, UploadsAndViewsCrossTheWire) {
  video_view view;
  view.id = {1, 2};
  view.title = "Bunny";
  view.state = video_state::encoding;
  view.rungs = {{{640, 360, 800}, 500}};
  view.notes = {"n"};
  EXPECT_EQ(round_trip(view), view);
  EXPECT_EQ(round_trip(view_list{view, view}), (view_list{view, view}));
  expect_same(upload_request{"default", "t", 100, {{640, 360, 0}}, priority_class::high, {500, 1500}});
  expect_same(upload_ticket{view, {{1, 2}, 3, 4}, "storage-0", 5});
  expect_same(output_ticket{{{1, 2}, 3, 4}, "storage-0"});
  expect_same(hello{"worker-0", 7, 1, "engine", 3});
  media_ready ready;
  ready.video = {1, 2};
  ready.tenant = "default";
  ready.how.rungs = {{640, 360, 800}};
  ready.source = {{5, 6}, "storage-0", 1000, sha256::of("s")};
  EXPECT_EQ(round_trip(ready), ready);
  output_page page;
  page.plan = some_plan();
  page.video = {{{0, 0, 144, 0, 0}, some_output()}};
  page.audio = {{0, some_output()}};
  page.text = {some_output()};
  expect_same(page);
}

TEST_F(Protocol, WhatStorageNodesTellOneAnotherCrossesTheWire) {
  const ports::blob_look look{ports::blob_presence::sealed, {{1, 2}, 10, true, sha256::of("x"), 0}};
  EXPECT_EQ(round_trip(look_list{look, {}}), (look_list{look, {}}));
  upload_record record;
  record.what.video = {1, 2};
  record.what.tenant = "default";
  record.what.source = {{5, 6}, "storage-0", 1000, sha256::of("s")};
  record.token = {{5, 6}, 7, 1000};
  record.state = upload_state::complete;
  EXPECT_EQ(encode(round_trip(upload_list{record})), encode(upload_list{record}));
  EXPECT_EQ(round_trip(mark_list{{{1, 2}, upload_state::removed}}), (mark_list{{{1, 2}, upload_state::removed}}));
  expect_same(leave_report{false, {{"blobs", 2, "why"}}});
  expect_same(claim_answer{true, {1, 2, "scheduler-1", 3}, 4, 5, {{"storage-1", 6}, {"storage-2", 7}}});
  expect_same(kept_claims{true, false, {{1, 2, "scheduler-1", 3}}, 4, {{"storage-1", 5}}});
  expect_same(adopt_answer{errc::conflict, 7});
  expect_same(hand_over_answer{true, 1, 2, "what"});
}

TEST_F(Protocol, AFullListOfEachKindFitsAMessage) {
  (void)round_trip(look_list(batch_max));
  (void)round_trip(mark_list(marks_max));
}

TEST_F(Protocol, ErrorsKeepTheirCodeAndSentence) {
  const error ours{errc::disk_full, "no space left; delete something"};
  EXPECT_EQ(from_caf(to_caf(ours)), ours);
  EXPECT_EQ(from_caf(round_trip(to_caf(ours))), ours);
  EXPECT_EQ(from_caf(caf::make_error(caf::sec::request_timeout)).code, errc::timeout);
}

}  // namespace latham
