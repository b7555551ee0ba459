#include "scheduler_fixture.hpp"

namespace latham {

namespace {
using Scheduler = SchedulerFixture;
}  // namespace

TEST_F(Scheduler, PicturesArePromisedByTheRecipesThatMakeThem) {
  for (const std::uint16_t version : {1, 2}) {
    const video_id id{1, 100u + version};
    accept(id, priority_class::normal, "default", version);
    EXPECT_FALSE(rules.view(id, now)->pictures) << "nobody knows yet whether it has a picture";
    join("worker-0", 1);
    const auto planning = grants();
    ASSERT_EQ(planning.size(), 1u);
    ASSERT_EQ(plan(planning[0].grant, 1), errc::none);
    EXPECT_EQ(rules.view(id, now)->pictures, version == 2);
    EXPECT_EQ(rules.on_commit(commit_of(grants().at(0).grant, 0, version), now, out), errc::none);
  }
}

TEST_F(Scheduler, AVideoGoesThroughAllItsStates) {
  accept();
  EXPECT_EQ(state(), video_state::queued);
  join("worker-0", 2);
  const auto planning = grants();
  ASSERT_EQ(planning.size(), 1u);
  EXPECT_EQ(planning[0].grant.kind, task_kind::plan);
  EXPECT_EQ(state(), video_state::planning);
  ASSERT_EQ(plan(planning[0].grant, 2, 1), errc::none);
  EXPECT_EQ(state(), video_state::encoding);
  auto work = grants();
  ASSERT_EQ(work.size(), 2u);
  EXPECT_EQ(work[0].grant.kind, task_kind::audio);  // short, and played from the start
  EXPECT_EQ(work[1].grant.kind, task_kind::video);
  EXPECT_EQ(rules.on_commit(commit_of(work[0].grant, 0, 1), now, out), errc::none);
  EXPECT_FALSE(rules.view(video, now)->playable);
  EXPECT_EQ(rules.on_commit(commit_of(work[1].grant, 0, 2), now, out), errc::none);
  EXPECT_TRUE(rules.view(video, now)->playable);  // sound and first chunk are there
  work = grants();
  ASSERT_EQ(work.size(), 1u);
  EXPECT_EQ(rules.on_commit(commit_of(work[0].grant, 1, 3), now, out), errc::none);
  EXPECT_EQ(state(), video_state::finishing);
  EXPECT_EQ(effects<verify_effect>().at(0).tasks.size(), 3u);
  rules.on_verified(video, 1, {}, now, out);
  EXPECT_EQ(state(), video_state::ready);
  EXPECT_EQ(rules.count().leases, 0u);
}

TEST_F(Scheduler, WhatIsNotToBeGrantedWaits) {
  rules.grant_work(false);
  accept();
  join("worker-0", 1);
  EXPECT_TRUE(grants().empty());
  rules.grant_work(true);
  tick(seconds{1});
  EXPECT_EQ(grants().size(), 1u);
}

TEST_F(Scheduler, SoundAloneBecomesReadyWithoutAChunk) {
  accept();
  join("worker-0", 2);
  const auto planning = grants().at(0).grant;
  plan_page page;
  page.video = video;
  page.held = planning.held;
  page.plan.segment_frames = 94;
  page.plan.fps = {375, 8};
  page.plan.frames = 200;
  page.plan.audio = {{0, "und", 64}, {0, "und", 128}};
  EXPECT_EQ(rules.on_plan_page(page, now, out), errc::invalid_argument) << "there is no second page";
  page.complete = true;
  page.chunks = {{0, 0, 94, 0, 0}};
  EXPECT_EQ(rules.on_plan_page(page, now, out), errc::invalid_argument) << "there is nothing to chunk";
  page.chunks.clear();
  ASSERT_EQ(rules.on_plan_page(page, now, out), errc::none);
  EXPECT_EQ(state(), video_state::encoding);
  const auto work = grants();
  ASSERT_EQ(work.size(), 2u);
  EXPECT_EQ(work[1].grant.kind, task_kind::audio);
  EXPECT_EQ(rules.view(video, now)->progress_mille, 0);
  EXPECT_EQ(rules.on_renewal({work[0].grant.video, work[0].grant.held, 0, 100 * aac_frame_samples}, now, out), errc::none);
  EXPECT_EQ(rules.view(video, now)->progress_mille, 249) << "a half of one of two renditions";
  EXPECT_EQ(rules.on_commit(commit_of(work[0].grant, 0, 1), now, out), errc::none);
  EXPECT_FALSE(rules.view(video, now)->playable);
  EXPECT_EQ(rules.on_commit(commit_of(work[1].grant, 1, 2), now, out), errc::none);
  EXPECT_EQ(state(), video_state::finishing);
  EXPECT_EQ(effects<verify_effect>().at(0).tasks.size(), 2u);
  rules.on_verified(video, 1, {}, now, out);
  const auto view = *rules.view(video, now);
  EXPECT_EQ(view.state, video_state::ready);
  EXPECT_TRUE(view.playable);
  EXPECT_EQ(view.duration_ms, 4266u);
  EXPECT_EQ(view.chunks, 0u);
  EXPECT_TRUE(view.rungs.empty());
  EXPECT_EQ(view.fps.num, 0) << "how sound is counted is nobody's business";
}

TEST_F(Scheduler, TextComesAfterTheFirstChunkAndIsWaitedFor) {
  accept();
  join("worker-0", 1);
  const auto planning = grants().at(0).grant;
  plan_page page;
  page.video = video;
  page.held = planning.held;
  page.complete = true;
  page.plan.segment_frames = 48;
  page.plan.fps = {24, 1};
  page.plan.frames = 288;
  page.plan.rungs = {{640, 360, 800}};
  page.plan.text = {{2, "eng", "", false}, {3, "deu", "", false}};
  page.chunks = {{0, 0, 144, 0, 0}, {1, 144, 144, 0, 0}};
  ASSERT_EQ(rules.on_plan_page(page, now, out), errc::none);
  auto work = grants();
  ASSERT_EQ(work.size(), 1u);
  EXPECT_EQ(work[0].grant.kind, task_kind::video) << "so that playing can start";
  EXPECT_EQ(rules.on_commit(commit_of(work[0].grant, 0, 1), now, out), errc::none);
  EXPECT_TRUE(rules.view(video, now)->playable) << "text is not waited for";
  work = grants();
  ASSERT_EQ(work.size(), 1u);
  ASSERT_EQ(work[0].grant.kind, task_kind::text) << "one task for all tracks";
  EXPECT_TRUE(rules.outputs(video, 0)->text.empty());
  const auto text = work[0].grant;
  join("worker-1", 1);
  work = grants();
  ASSERT_EQ(work.size(), 1u);
  EXPECT_EQ(rules.on_commit(commit_of(work[0].grant, 1, 2), now, out), errc::none);
  EXPECT_EQ(state(), video_state::encoding) << "the text is missing";
  EXPECT_EQ(rules.on_commit(commit_of(text, 0, 3), now, out), errc::none);
  EXPECT_EQ(state(), video_state::finishing);
  EXPECT_EQ(effects<verify_effect>().at(0).tasks.size(), 3u);
  EXPECT_EQ(rules.outputs(video, 0)->text.size(), 1u);
  EXPECT_TRUE(rules.outputs(video, 0)->audio.empty());
  EXPECT_TRUE(rules.outputs(video, 1)->text.empty()) << "with the first page only";
  rules.on_verified(video, 1, {}, now, out);
  EXPECT_EQ(state(), video_state::ready);
  ASSERT_EQ(rules.on_delete(video, now, out), errc::none);
  EXPECT_EQ(effects<remove_video_effect>().at(0).outputs.at("storage-0").size(), 3u);
  rules.on_video_removed(video, now, out);
  const auto* erased = std::get_if<erase_video>(&out.writes.back());
  ASSERT_NE(erased, nullptr);
  EXPECT_EQ(erased->text, 1u);
}

TEST_F(Scheduler, TextThatWasLostIsMadeAgain) {
  accept();
  join("worker-0", 2);
  plan_page page;
  page.video = video;
  page.held = grants().at(0).grant.held;
  page.complete = true;
  page.plan.segment_frames = 48;
  page.plan.fps = {24, 1};
  page.plan.frames = 144;
  page.plan.rungs = {{640, 360, 800}};
  page.plan.text = {{2, "eng", "", false}};
  page.chunks = {{0, 0, 144, 0, 0}};
  ASSERT_EQ(rules.on_plan_page(page, now, out), errc::none);
  auto work = grants();
  ASSERT_EQ(work.size(), 2u);
  EXPECT_EQ(rules.on_failure({{video, task_kind::text, 0}, work[1].grant.held, errc::crashed, "why"}, now, 7, out), errc::none);
  grants();
  tick(seconds{2});
  EXPECT_EQ(state(), video_state::encoding);
  work = grants();
  ASSERT_EQ(work.size(), 1u);
  EXPECT_EQ(work[0].grant.kind, task_kind::text);
}

TEST_F(Scheduler, APlanOfNothingIsRefused) {
  accept();
  join("worker-0", 1);
  plan_page page;
  page.video = video;
  page.held = grants().at(0).grant.held;
  page.complete = true;
  page.plan.segment_frames = 48;
  page.plan.fps = {24, 1};
  page.plan.frames = 48;
  EXPECT_EQ(rules.on_plan_page(page, now, out), errc::invalid_argument) << "neither picture nor sound";
  page.plan.rungs = {{640, 360, 800}};
  EXPECT_EQ(rules.on_plan_page(page, now, out), errc::invalid_argument) << "a picture without chunks";
}

TEST_F(Scheduler, TheSameUploadTwiceIsOneVideo) {
  accept();
  out = {};
  accept();
  EXPECT_TRUE(out.writes.empty());
  EXPECT_TRUE(out.effects.empty());
}

TEST_F(Scheduler, LeaseAndEpochArePersistedWithTheGrant) {
  accept();
  join("worker-0", 1);
  bool lease = false;
  bool meta = false;
  for (const auto& write : out.writes) {
    lease |= std::holds_alternative<lease_record>(write);
    meta |= std::holds_alternative<scheduler_meta>(write);
  }
  EXPECT_TRUE(lease);
  EXPECT_TRUE(meta);
}

TEST_F(Scheduler, LateCommitOfExpiredEpochIsFencedAndItsBlobRemoved) {
  const auto old = first_chunk();
  tick(seconds{11});
  tick(seconds{1});  // the back-off has passed
  const auto again = grants();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_LT(old.held, again[0].grant.held);
  EXPECT_EQ(rules.on_commit(commit_of(old, 0, 5), now, out), errc::fenced);
  ASSERT_EQ(effects<remove_blobs_effect>().size(), 1u);
  EXPECT_EQ(effects<remove_blobs_effect>()[0].blobs, std::vector<blob_id>({{8, 5}}));
  EXPECT_EQ(rules.on_commit(commit_of(again[0].grant, 0, 6), now, out), errc::none);
}

TEST_F(Scheduler, AnExpiredLeaseThatNoTickHasSeenIsExpiredAllTheSame) {
  const auto grant = first_chunk();
  now = now + seconds{11};
  EXPECT_EQ(rules.on_renewal({grant.video, grant.held, 0, 1}, now, out), errc::fenced);
  EXPECT_EQ(rules.on_commit(commit_of(grant, 0, 5), now, out), errc::fenced);
}

TEST_F(Scheduler, RenewalKeepsALeaseAlive) {
  const auto grant = first_chunk();
  for (int i = 0; i < 10; ++i) {
    tick(seconds{6});
    EXPECT_EQ(rules.on_renewal({grant.video, grant.held, 0, 10}, now, out), errc::none);
  }
  EXPECT_EQ(rules.on_commit(commit_of(grant, 0, 5), now, out), errc::none);
}

TEST_F(Scheduler, TheSameCommitAgainIsOkAndRemovesNothing) {
  const auto grant = first_chunk(2);
  EXPECT_EQ(rules.on_commit(commit_of(grant, 0, 5), now, out), errc::none);
  out = {};
  EXPECT_EQ(rules.on_commit(commit_of(grant, 0, 5), now, out), errc::none);
  EXPECT_TRUE(effects<remove_blobs_effect>().empty());
  EXPECT_TRUE(out.writes.empty());
}

TEST_F(Scheduler, APoisonTaskIsParkedWithItsCause) {
  first_chunk();
  std::uint32_t granted = 1;
  for (int i = 0; i < 50 && state() != video_state::failed; ++i) {
    tick(seconds{11});
    granted += static_cast<std::uint32_t>(grants().size());
  }
  EXPECT_EQ(state(), video_state::failed);
  EXPECT_EQ(granted, attempts_max);
  EXPECT_NE(rules.view(video, now)->error_message.find("worker-0"), std::string::npos);
  EXPECT_EQ(rules.count().leases, 0u);
}

TEST_F(Scheduler, TheInputsFaultEndsTheJobAtOnce) {
  const auto grant = first_chunk();
  EXPECT_EQ(rules.on_failure({{video, task_kind::video, 0}, grant.held, errc::unprocessable, "no frames"}, now, 7, out), errc::none);
  EXPECT_EQ(state(), video_state::failed);
  EXPECT_EQ(rules.view(video, now)->error_message, "no frames");
  tick(seconds{60});
  EXPECT_TRUE(grants().empty());
}

TEST_F(Scheduler, RetryByHandKeepsWhatIsCommitted) {
  const auto grant = first_chunk(2);
  EXPECT_EQ(rules.on_commit(commit_of(grant, 0, 5), now, out), errc::none);
  const auto second = grants();
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(rules.on_failure({{video, task_kind::video, 1}, second[0].grant.held, errc::unprocessable, "x"}, now, 7, out), errc::none);
  EXPECT_EQ(state(), video_state::failed);
  EXPECT_EQ(rules.on_retry(video, now, out), errc::none);
  const auto third = grants();
  ASSERT_EQ(third.size(), 1u);
  EXPECT_EQ(third[0].grant.first, 1u);
  EXPECT_EQ(rules.on_retry(video, now, out), errc::conflict);
}

TEST_F(Scheduler, WhoStopsBetweenTwoChunksOfARunGivesTheRestBack) {
  const auto grant = first_chunk(40);
  ASSERT_GE(grant.chunks.size(), 2u);
  EXPECT_EQ(rules.on_commit(commit_of(grant, 0, 5), now, out), errc::none);
  // It has not said yet that it went on to the next one.
  EXPECT_EQ(rules.on_failure({{video, task_kind::video, 0}, grant.held, errc::cancelled, "the worker stops"}, now, 7, out), errc::none);
  EXPECT_EQ(rules.on_renewal({video, grant.held, 1, 0}, now, out), errc::fenced) << "it holds nothing any more";
  EXPECT_EQ(rules.on_failure({{video, task_kind::video, 0}, grant.held, errc::cancelled, "again"}, now, 7, out), errc::fenced);
}

/// Chunks are sent to storage several at once: a later one may be committed first. And who is at the end of a run names what is
/// behind it.
class SchedulerRun : public SchedulerFixture, public ::testing::WithParamInterface<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Names, SchedulerRun, ::testing::Values(0, 1, 2, 1'000'000));
TEST_P(SchedulerRun, IsGivenBackWhicheverOfItsChunksIsNamed) {
  const auto grant = first_chunk(40);
  ASSERT_GE(grant.chunks.size(), 3u);
  EXPECT_EQ(rules.on_commit(commit_of(grant, 1, 5), now, out), errc::none);
  EXPECT_EQ(rules.on_failure({{video, task_kind::video, GetParam()}, grant.held, errc::cancelled, "the worker stops"}, now, 7, out), errc::none);
  EXPECT_EQ(rules.on_renewal({video, grant.held, 0, 0}, now, out), errc::fenced) << "it holds nothing any more";
  (void)grants();
  for (const auto& [id, task] : kept.tasks)
    if (id.kind == task_kind::video && task.state == task_state::pending) {
      EXPECT_EQ(task.attempts, 0u) << to_string(id);
    }
}

TEST_P(SchedulerRun, IsGivenBackWhicheverOfItsChunksIsLeft) {
  const auto grant = second_run();
  const auto count = static_cast<std::uint32_t>(grant.chunks.size());
  ASSERT_EQ(count % 2, 0u) << "an even number, so that not each way through it comes by all";
  for (std::uint32_t left = 0; left < count; ++left) {
    auto other = rules;
    decision d;
    for (std::uint32_t i = 0; i < count; ++i) {
      if (i != left) {
        EXPECT_EQ(other.on_commit(commit_of(grant, grant.first + i, 200 + i), now, d), errc::none);
      }
    }
    EXPECT_EQ(other.on_failure({{video, task_kind::video, grant.first + GetParam()}, grant.held, errc::cancelled, "the worker stops"}, now, 7, d), errc::none) << left;
    EXPECT_EQ(other.on_renewal({video, grant.held, grant.first + left, 0}, now, d), errc::fenced) << left;
  }
}

TEST_F(Scheduler, WhatFailsBehindItsCommitIsTheNextOfItsRun) {
  const auto grant = second_run();
  ASSERT_GE(grant.chunks.size(), 3u);
  EXPECT_EQ(rules.on_commit(commit_of(grant, grant.first, 5), now, out), errc::none);
  EXPECT_EQ(rules.on_failure({{video, task_kind::video, grant.first}, grant.held, errc::crashed, "x"}, now, 7, out), errc::none);
  (void)grants();
  EXPECT_EQ(kept.tasks.at({video, task_kind::video, grant.first + 1}).last_error, "x");
  EXPECT_EQ(kept.tasks.at({video, task_kind::video, grant.first + 2}).last_error, "");
}

TEST_F(Scheduler, WhatFailsBehindAllThatIsLeftOfARunIsNobodysFault) {
  const auto grant = first_chunk(40);
  const auto last = static_cast<std::uint32_t>(grant.chunks.size()) - 1;
  ASSERT_GE(last, 1u);
  EXPECT_EQ(rules.on_commit(commit_of(grant, last, 5), now, out), errc::none);
  EXPECT_EQ(rules.on_failure({{video, task_kind::video, last}, grant.held, errc::crashed, "x"}, now, 7, out), errc::fenced);
  EXPECT_EQ(rules.on_renewal({video, grant.held, 0, 0}, now, out), errc::none) << "it is at the first one still";
}

/// Its shard was handed over while it was being planned, and that lease stayed behind.
TEST_F(Scheduler, WhatIsLoadedWithoutAPlanWaitsForNoEngine) {
  accept();
  join("worker-0", 1);
  ASSERT_EQ(grants().size(), 1u);
  ASSERT_EQ(kept.videos.at(video).engine, engine);
  scheduler receiver{{}, 2};
  receiver.load(kept.videos.at(video));
  auto planning = kept.tasks.at({video, task_kind::plan, 0});
  planning.state = task_state::pending;
  receiver.load(planning);
  receiver.loaded(now, out);
  (void)receiver.on_work_request({"worker-1", 1, "another engine", 1}, now, 7, out);
  receiver.on_tick(now + seconds{1}, 7, out);
  EXPECT_EQ(receiver.count().leases, 1u);
}

TEST_F(Scheduler, WhatWasNotPlannedWaitsForNoEngine) {
  accept();
  join("worker-0", 1);
  auto planning = grants();
  ASSERT_EQ(planning.size(), 1u);
  const auto& lost = planning[0].grant;
  EXPECT_EQ(rules.on_failure({{video, task_kind::plan, 0}, lost.held, errc::cancelled, "the worker stops"}, now, 7, out), errc::none);
  rules.on_worker_lost("worker-0");
  out = {};
  (void)rules.on_work_request({"worker-1", 1, "another engine", 1}, now, 7, out);
  tick(seconds{1});
  EXPECT_EQ(rules.count().leases, 1u);
}

TEST_F(Scheduler, OurOwnTroubleIsNoFaultOfTheVideo) {
  auto grant = first_chunk();
  // A worker that stops, storage that is away, full or busy: each more often than a poison input would be tried.
  for (const auto code : {errc::cancelled, errc::unavailable, errc::disk_full, errc::limited}) {
    for (std::uint32_t i = 0; i < 2 * attempts_max; ++i) {
      EXPECT_EQ(rules.on_failure({{video, task_kind::video, 0}, grant.held, code, "trouble"}, now, 7, out), errc::none);
      tick(seconds{10});
      const auto again = grants();
      ASSERT_EQ(again.size(), 1u) << to_string(code);
      grant = again[0].grant;
    }
  }
  EXPECT_EQ(state(), video_state::encoding);
}

TEST_F(Scheduler, ARestartedWorkerFreesItsOldLeasesAtOnce) {
  const auto grant = first_chunk();
  join("worker-0", 1, 2);
  EXPECT_EQ(rules.on_renewal({grant.video, grant.held, 0, 1}, now, out), errc::fenced);
  tick(milliseconds{500});
  EXPECT_EQ(grants().size(), 1u);
}

TEST_F(Scheduler, ARequestThatCrossedAGrantIsNotGrantedTwice) {
  accept();
  accept({1, 2});
  join("worker-0", 1);
  EXPECT_EQ(grants().size(), 1u);
  join("worker-0", 1);  // said before the grant arrived
  EXPECT_TRUE(grants().empty());
}

TEST_F(Scheduler, AnotherEngineGetsNoChunkOfTheJob) {
  const auto grant = first_chunk(2);
  EXPECT_EQ(rules.on_failure({{video, task_kind::video, 0}, grant.held, errc::crashed, "x"}, now, 7, out), errc::none);
  EXPECT_EQ(grants().size(), 1u);  // the other chunk, to the same worker
  rules.on_worker_lost("worker-0");
  join("worker-1", 4, 1, "aarch64 test");
  tick(seconds{20});
  EXPECT_TRUE(grants().empty());
  join("worker-2", 1);
  EXPECT_EQ(grants().size(), 1u);
}

TEST_F(Scheduler, PriorityFirstThenTheTenantWithTheFewestLeases) {
  accept({1, 1}, priority_class::normal, "a");
  accept({1, 2}, priority_class::normal, "a");
  accept({1, 3}, priority_class::normal, "b");
  accept({1, 4}, priority_class::high, "a");
  join("worker-0", 4);
  const auto all = grants();
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0].grant.video, (video_id{1, 4}));
  EXPECT_EQ(all[1].grant.video, (video_id{1, 3}));  // b has none, a has one
  EXPECT_EQ(all[2].grant.video, (video_id{1, 1}));
}

TEST_F(Scheduler, WaitingLiftsAJobAboveThoseOfAHigherClass) {
  accept({1, 1}, priority_class::low, "a");
  now = now + scheduler_config{}.ageing;
  accept({1, 2}, priority_class::normal, "a");
  accept({1, 3}, priority_class::high, "a");
  join("worker-0", 3);
  const auto all = grants();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].grant.video, (video_id{1, 3}));
  EXPECT_EQ(all[1].grant.video, (video_id{1, 1}));  // normal by now, and the older one
  EXPECT_EQ(all[2].grant.video, (video_id{1, 2}));
}

TEST_F(Scheduler, TheLastChunksAreGrantedLongestFirst) {
  accept();
  join("worker-0", 2);
  const auto planning = grants().at(0).grant;
  plan_page page;
  page.video = planning.video;
  page.held = planning.held;
  page.complete = true;
  page.plan.segment_frames = 48;
  page.plan.fps = {24, 1};
  page.plan.rungs = {{640, 360, 800}};
  std::uint64_t begin = 0;
  for (std::uint32_t i = 0; const std::uint32_t frames : {48, 96, 48, 96, 144}) {
    page.chunks.push_back({i++, begin, frames, 0, 0});
    begin += frames;
  }
  page.plan.frames = begin;
  ASSERT_EQ(rules.on_plan_page(page, now, out), errc::none);
  std::vector<std::uint32_t> order;
  auto held = grants();
  for (std::uint64_t blob = 1; !held.empty(); ++blob) {
    const auto grant = held.front().grant;
    held.erase(held.begin());
    ASSERT_EQ(grant.chunks.size(), 1u);
    order.push_back(grant.first);
    ASSERT_EQ(rules.on_commit(commit_of(grant, grant.first, blob), now, out), errc::none);
    for (const auto& more : grants()) held.push_back(more);
  }
  // From the front while there are more than its two slots take; then the longest of those that are left.
  EXPECT_EQ(order, (std::vector<std::uint32_t>{0, 1, 2, 4, 3}));
}

TEST_F(Scheduler, AJobGoesToTheWaitingWorkerNearItsSource) {
  join("worker-0", 1);
  join("storage-0", 1);
  accept();
  EXPECT_EQ(grants().at(0).worker, "storage-0");
  accept({1, 2});
  EXPECT_EQ(grants().at(0).worker, "worker-0") << "the near one is at work";
}

TEST_F(Scheduler, GrantsAndCommitsDoNotWriteTheVideoAgain) {
  const auto grant = first_chunk(2);
  EXPECT_EQ(rules.on_commit(commit_of(grant, 0, 1), now, out), errc::none);
  EXPECT_TRUE(std::none_of(out.writes.begin(), out.writes.end(), [](const scheduler_write& w) { return std::holds_alternative<video_record>(w); }));
}

TEST_F(Scheduler, TwoIdleWorkersShareAShortJob) {
  accept();
  join("worker-0", 1);
  const auto planning = grants();
  join("worker-1", 2);
  ASSERT_EQ(plan(planning[0].grant, 2), errc::none);
  const auto work = grants();
  ASSERT_EQ(work.size(), 2u);
  EXPECT_NE(work[0].worker, work[1].worker);
}

TEST_F(Scheduler, LongJobsAreGrantedInRunsButARetryAlone) {
  const auto grant = first_chunk(40);
  EXPECT_EQ(grant.chunks.size(), lease_chunks_max);
  EXPECT_EQ(rules.on_commit(commit_of(grant, 0, 1), now, out), errc::none);
  EXPECT_TRUE(grants().empty());  // three of its chunks are still to come
  tick(seconds{11});
  (void)grants();  // worker-0 is given the next run while the others wait for their back-off
  tick(seconds{1});
  join("worker-1", 1);
  const auto again = grants();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].grant.chunks.size(), 1u);
  EXPECT_EQ(again[0].grant.first, 1u);
}

TEST_F(Scheduler, DeletingRevokesWorkAndEndsWhenStorageHasForgotten) {
  const auto grant = first_chunk(2);
  EXPECT_EQ(rules.on_commit(commit_of(grant, 0, 5), now, out), errc::none);
  const auto second = grants();
  EXPECT_EQ(rules.on_delete(video, now, out), errc::none);
  EXPECT_EQ(state(), video_state::deleting);
  EXPECT_EQ(rules.outputs(video, 0).error().code, errc::not_found);  // its segments are going away
  ASSERT_EQ(effects<remove_video_effect>().size(), 1u);
  EXPECT_EQ(effects<remove_video_effect>()[0].outputs.at("storage-0"), std::vector<blob_id>({{8, 5}}));
  EXPECT_EQ(rules.on_renewal({second[0].grant.video, second[0].grant.held, 1, 1}, now, out), errc::fenced);
  rules.on_video_removed(video, now, out);
  EXPECT_FALSE(rules.view(video, now));
  EXPECT_EQ(rules.on_delete(video, now, out), errc::not_found);
}

TEST_F(Scheduler, AFailureReportedAfterTheDeleteIsFenced) {
  const auto grant = first_chunk();
  EXPECT_EQ(rules.on_delete(video, now, out), errc::none);
  EXPECT_EQ(rules.on_failure({{video, task_kind::video, 0}, grant.held, errc::crashed, "x"}, now, 7, out), errc::fenced);
  EXPECT_EQ(rules.on_failure({{video, task_kind::video, 0}, grant.held, errc::unprocessable, "x"}, now, 7, out), errc::fenced);
  EXPECT_EQ(rules.on_commit(commit_of(grant, 0, 5), now, out), errc::fenced);
  EXPECT_EQ(state(), video_state::deleting);
  EXPECT_EQ(rules.count().leases, 0u);
}

TEST_F(Scheduler, RevisionsGoOnGrowingAfterARestart) {
  const auto grant = first_chunk();
  video_record durable;
  for (const auto& write : out.writes)
    if (const auto* v = std::get_if<video_record>(&write)) durable = *v;
  durable.request.video = video;
  for (std::uint64_t done = 1; done < 144; ++done) EXPECT_EQ(rules.on_renewal({grant.video, grant.held, 0, done}, now, out), errc::none);
  const auto shown = rules.view(video, now)->revision;
  scheduler restarted{{}, 2};
  restarted.load(durable);
  restarted.loaded(now, out);
  EXPECT_GT(restarted.view(video, now)->revision, shown);
}

TEST_F(Scheduler, WhatTasksFoundIsSaidInTheNotesAndKept) {
  accept();
  join("worker-0", 3);
  ASSERT_EQ(plan(grants().at(0).grant, 2, 1), errc::none);
  auto work = grants();
  ASSERT_EQ(work.size(), 3u);
  for (auto& g : work) {
    const auto index = g.grant.first;
    auto commit = commit_of(g.grant, index, 1 + static_cast<std::uint64_t>(g.grant.kind) * 10 + index);
    if (g.grant.kind == task_kind::video) commit.found = {1 + index, index * 144 + 48, false};
    EXPECT_EQ(rules.on_commit(commit, now, out), errc::none);
    EXPECT_EQ(rules.on_commit(commit, now, out), errc::none) << "the same again counts once";
  }
  const std::vector<std::string> said{"3 pictures could not be decoded and were replaced (first at 0:02)."};
  EXPECT_EQ(rules.view(video, now)->notes, said);
  EXPECT_EQ(effects<publish_effect>().back().view.notes, said);

  scheduler restarted{{}, 2};
  for (const auto& write : out.writes) {
    if (const auto* v = std::get_if<video_record>(&write)) restarted.load(*v);
    if (const auto* t = std::get_if<task_record>(&write)) restarted.load(*t);
  }
  restarted.loaded(now, out);
  EXPECT_EQ(restarted.view(video, now)->notes, said);
}

TEST_F(Scheduler, OnlyCommittedTasksCount) {
  const auto grant = first_chunk();
  auto commit = commit_of(grant, 0, 5);
  commit.found = {7, 0, true};
  EXPECT_EQ(rules.on_commit(commit, now, out), errc::none);
  EXPECT_EQ(rules.view(video, now)->notes.size(), 2u);
  rules.on_verified(video, 1, {{video, task_kind::video, 0}}, now, out);
  EXPECT_TRUE(rules.view(video, now)->notes.empty()) << "storage lost it: it will be found again";
}

TEST_F(Scheduler, ACommitThatLostMoreThanItsTaskIsRefused) {
  const auto grant = first_chunk();
  auto commit = commit_of(grant, 0, 5);
  for (const auto& found : {findings{145, 0, false}, findings{1, 144, false}, findings{0, 1, false}, findings{~0ull, ~0ull, true}}) {
    commit.found = found;
    EXPECT_EQ(rules.on_commit(commit, now, out), errc::invalid_argument);
  }
  commit.found = {144, 0, true};
  EXPECT_EQ(rules.on_commit(commit, now, out), errc::none);
}

TEST_F(Scheduler, LongFailureTextsAreCut) {
  const auto grant = first_chunk();
  EXPECT_EQ(rules.on_failure({{video, task_kind::video, 0}, grant.held, errc::unprocessable, std::string(10'000, 'x')}, now, 7, out), errc::none);
  EXPECT_EQ(rules.view(video, now)->error_message.size(), failure_text_bytes_max);
}

TEST_F(Scheduler, OutputsThatStorageLostAreDoneAgainByARetry) {
  const auto grant = first_chunk();
  EXPECT_EQ(rules.on_commit(commit_of(grant, 0, 5), now, out), errc::none);
  EXPECT_EQ(state(), video_state::finishing);
  rules.on_verified(video, 1, {{video, task_kind::video, 0}}, now, out);
  EXPECT_EQ(state(), video_state::failed);
  EXPECT_EQ(rules.on_retry(video, now, out), errc::none);
  EXPECT_EQ(grants().size(), 1u);
}

TEST_F(Scheduler, PlanPagesComeInOrderAndTwiceWithoutHarm) {
  accept();
  join("worker-0", 1);
  const auto planning = grants();
  const auto page = page_of(planning[0].grant, 1, 2);
  EXPECT_EQ(rules.on_plan_page(page, now, out), errc::none);
  EXPECT_EQ(rules.on_plan_page(page, now, out), errc::none);
  EXPECT_EQ(rules.view(video, now)->chunks, 1u);
  auto hole = page;
  hole.first_chunk = 2;
  hole.chunks = {{2, 288, 144, 0, 0}};
  EXPECT_EQ(rules.on_plan_page(hole, now, out), errc::invalid_argument);
}

TEST_F(Scheduler, ABadPlanPageChangesNothing) {
  accept();
  join("worker-0", 1);
  const auto planning = grants();
  auto page = page_of(planning[0].grant, 2, 2);
  page.chunks[1].index = 7;
  EXPECT_EQ(rules.on_plan_page(page, now, out), errc::invalid_argument);
  page.chunks.clear();
  page.complete = true;
  EXPECT_EQ(rules.on_plan_page(page, now, out), errc::invalid_argument);  // a video of nothing
  EXPECT_TRUE(out.writes.empty());
  EXPECT_EQ(rules.view(video, now)->chunks, 0u);
  EXPECT_EQ(state(), video_state::planning);
}

TEST_F(Scheduler, ViewsPageBackwardsThroughTheNewestFirst) {
  for (std::uint64_t i = 1; i <= 5; ++i) accept({i, 0});
  const auto newest = rules.list("default", {}, 2, now);
  ASSERT_EQ(newest.size(), 2u);
  EXPECT_EQ(newest[0].id, (video_id{5, 0}));
  const auto next = rules.list("default", newest[1].id, 10, now);
  ASSERT_EQ(next.size(), 3u);
  EXPECT_EQ(next[0].id, (video_id{3, 0}));
  EXPECT_TRUE(rules.list("other", {}, 10, now).empty());
}

}  // namespace latham
