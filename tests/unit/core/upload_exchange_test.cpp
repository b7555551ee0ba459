// Records of uploads on several storage nodes: which of two wins, and what two nodes that meet again tell each other.
#include "core/upload/uploads.hpp"

#include <gtest/gtest.h>

namespace latham {

namespace {

constexpr instant now{1'000'000'000};

upload_record record(std::uint64_t n, upload_state state = upload_state::complete) {
  upload_record r;
  r.what.video = {1, n};
  r.what.tenant = "default";
  r.what.source.blob = {2, n};
  r.state = state;
  r.announced = true;
  return r;
}
const auto everything = [](const upload_record&) { return true; };

}  // namespace

TEST(KeptUploads, RemovedWinsOverCompleteAndCompleteOverReceiving) {
  uploads all{{}};
  ASSERT_TRUE(all.begin({}, {1, 1}, {2, 1}, 9, "storage-0", {5}, now));
  EXPECT_EQ(all.open(), 1u);
  const auto complete = all.keep(record(1), now);
  ASSERT_TRUE(complete);
  EXPECT_EQ(complete->state, upload_state::complete);
  EXPECT_EQ(all.open(), 0u);
  EXPECT_FALSE(all.keep(record(1), now));  // no news
  EXPECT_FALSE(all.keep(record(1, upload_state::receiving), now));
  const auto removed = all.keep(record(1, upload_state::removed), now);
  ASSERT_TRUE(removed);
  EXPECT_EQ(removed->state, upload_state::removed);
  EXPECT_FALSE(all.keep(record(1, upload_state::removed), now));
  EXPECT_FALSE(all.keep(record(1), now));
  EXPECT_TRUE(all.outbox(10).empty());
}

TEST(KeptUploads, EachHolderAnnouncesItself) {
  uploads all{{}};
  const auto kept = all.keep(record(1), now);
  ASSERT_TRUE(kept);
  EXPECT_FALSE(kept->announced);
  EXPECT_EQ(all.list(kept->what.tenant, {}, 10).size(), 1u) << "and lists it until then";
  EXPECT_EQ(all.outbox(10).size(), 1u);
  EXPECT_TRUE(all.outbox(10, {}, {}, [](video_id) { return false; }).empty());
}

TEST(KeptUploads, WhatIsUnknownIsBuriedToo) {
  uploads all{{}};
  const auto bare = all.bury({1, 7}, now);
  ASSERT_TRUE(bare);
  EXPECT_EQ(bare->state, upload_state::removed);
  EXPECT_FALSE(all.bury({1, 7}, now));
  EXPECT_FALSE(all.keep(record(7), now));
  EXPECT_FALSE(all.bury({}, now));
}

TEST(UploadExchange, TellsWhatWasDeletedThereAndWhatIsMissingThere) {
  uploads mine{{}};
  for (const auto n : {1u, 2u, 3u, 4u}) (void)mine.keep(record(n), now);
  (void)mine.bury({1, 5}, now);
  const std::vector<upload_mark> theirs{{{1, 1}, upload_state::complete}, {{1, 2}, upload_state::removed}, {{1, 3}, upload_state::receiving}, {{1, 5}, upload_state::complete},
                                        {{1, 9}, upload_state::removed}};
  const auto found = compare_uploads(mine, {}, theirs, true, everything);
  EXPECT_EQ(found.bury, (std::vector<video_id>{{1, 2}, {1, 9}}));
  EXPECT_EQ(found.push, (std::vector<video_id>{{1, 3}, {1, 4}}));
  EXPECT_TRUE(compare_uploads(mine, {}, theirs, true, [](const upload_record&) { return false; }).push.empty());
}

TEST(UploadExchange, APageSaysNothingOfIdsBehindIt) {
  uploads mine{{}};
  for (const auto n : {1u, 2u, 3u, 4u}) (void)mine.keep(record(n), now);
  const std::vector<upload_mark> page{{{1, 2}, upload_state::complete}};
  EXPECT_EQ(compare_uploads(mine, {}, page, false, everything).push, (std::vector<video_id>{{1, 1}}));
  EXPECT_EQ(compare_uploads(mine, {1, 2}, {}, true, everything).push, (std::vector<video_id>{{1, 3}, {1, 4}}));
}

TEST(UploadExchange, MarksComeInPagesOfAllThereIs) {
  uploads mine{{}};
  for (const auto n : {3u, 1u, 2u}) (void)mine.keep(record(n), now);
  (void)mine.bury({1, 4}, now);
  EXPECT_EQ(mine.marks({}, 2), (std::vector<upload_mark>{{{1, 1}, upload_state::complete}, {{1, 2}, upload_state::complete}}));
  EXPECT_EQ(mine.marks({1, 2}, 10), (std::vector<upload_mark>{{{1, 3}, upload_state::complete}, {{1, 4}, upload_state::removed}}));
}

TEST(KeptUploads, ARecordThatIsNoneIsNotKept) {
  uploads all{{}};
  auto nobody = record(1);
  nobody.what.video = {};
  EXPECT_FALSE(all.keep(nobody, now));
  EXPECT_FALSE(all.keep(record(1, static_cast<upload_state>(3)), now));
  EXPECT_TRUE(all.marks({}, 10).empty());
  EXPECT_EQ(all.bury({1, 7}, now)->what.video, (video_id{1, 7}));
  EXPECT_EQ(all.find({1, 7})->state, upload_state::removed);
}

TEST(UploadExchange, TheLastIdOfAPageIsSaidByIt) {
  uploads mine{{}};
  for (const auto n : {1u, 2u, 3u}) (void)mine.keep(record(n), now);
  const std::vector<upload_mark> page{{{1, 2}, upload_state::receiving}};
  EXPECT_EQ(compare_uploads(mine, {}, page, false, everything).push, (std::vector<video_id>{{1, 1}, {1, 2}}));
  EXPECT_TRUE(compare_uploads(mine, {}, {}, false, everything).push.empty()) << "an empty page that is not the last says nothing";
}

TEST(UploadExchange, MoreThanAPageOfOnesOwnIsLookedThrough) {
  uploads mine{{}};
  for (std::uint64_t n = 1; n <= 1200; ++n) (void)mine.keep(record(n), now);
  const auto all = compare_uploads(mine, {}, {}, true, everything).push;
  ASSERT_EQ(all.size(), 1200u);
  for (std::uint64_t n = 1; n <= 1200; ++n) EXPECT_EQ(all[n - 1], (video_id{1, n}));
}

}  // namespace latham
