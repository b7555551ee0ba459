// The life of leases and jobs: what is granted to whom and in which order, what becomes of work that is lost, what is written
// for a restart, and what a restart makes of it.
#include "scheduler_fixture.hpp"

#include <algorithm>

namespace latham {

namespace {

class SchedulerLife : public SchedulerFixture {
protected:
  work_grant only() {
    const auto all = grants();
    EXPECT_EQ(all.size(), 1u);
    return all.empty() ? work_grant{} : all[0].grant;
  }
  void commit(const work_grant& grant, std::uint32_t index) {
    EXPECT_EQ(rules.on_commit(commit_of(grant, index, 100 + index), now, out), errc::none);
  }
  errc fail(const work_grant& grant, std::uint32_t index, errc code = errc::crashed, const std::string& why = "why") {
    return rules.on_failure({{grant.video, grant.kind, index}, grant.held, code, why}, now, 7, out);
  }
  static std::vector<std::uint32_t> chunks_of(const work_grant& grant) {
    std::vector<std::uint32_t> all;
    for (const auto& chunk : grant.chunks) all.push_back(chunk.index);
    return all;
  }
  task_record task(task_kind kind, std::uint32_t index) { return kept.tasks.at({video, kind, index}); }
  scheduler restart(std::uint32_t generation = 2) {
    kept.take(out);
    scheduler again{{}, generation};
    kept.load_into(again);
    out = {};
    again.loaded(now, out);
    return again;
  }

  static constexpr milliseconds first_wait{107};  // of a first retry, as drawn by 7
};

using indices = std::vector<std::uint32_t>;

}  // namespace

// ---- Grants ------------------------------------------------------------------------------------------------------------

TEST_F(SchedulerLife, AGrantHasAllThatItsHolderNeeds) {
  media_ready event;
  event.video = video;
  event.how.segment_ms = 1500;
  event.source = {{9, 1}, "storage-0", 1000, sha256::of("x")};
  ASSERT_EQ(rules.on_media_ready(event, now, out), errc::none);
  join("worker-0", 1);
  const auto planning = only();
  EXPECT_EQ(planning.ttl_ms, 10'000u);
  EXPECT_EQ(planning.source, event.source);
  EXPECT_EQ(planning.how, event.how);
  ASSERT_EQ(plan(planning, 1), errc::none);
  const auto chunk = only();
  EXPECT_EQ(chunk.plan.frames, 144u);
  EXPECT_EQ(chunk.first, 0u);
  ASSERT_EQ(chunk.chunks.size(), 1u);
}

TEST_F(SchedulerLife, FirstComeFirstServed) {
  join("worker-b", 1);
  join("worker-a", 1);
  accept();
  EXPECT_EQ(grants().at(0).worker, "worker-b");
}

TEST_F(SchedulerLife, JobsGoOneByOneToWhoIsNearAsLongAsItWaits) {
  for (const auto* worker : {"worker-1", "worker-2", "storage-0"}) join(worker, 2);
  std::vector<node_name> order;
  for (std::uint64_t i = 1; i <= 6; ++i) accept({1, i});
  for (const auto& g : grants()) order.push_back(g.worker);
  EXPECT_EQ(order, (std::vector<node_name>{"storage-0", "storage-0", "worker-1", "worker-1", "worker-2", "worker-2"}));
}

TEST_F(SchedulerLife, ALongJobIsDealtOutInRoundsToAllThatWait) {
  accept();
  join("planner", 1);
  const auto planning = only();
  rules.on_worker_lost("planner");
  for (const auto* worker : {"worker-1", "worker-2", "storage-0"}) join(worker, 3);
  ASSERT_EQ(plan(planning, 9), errc::none);
  std::vector<node_name> order;
  for (const auto& g : grants()) order.push_back(g.worker);
  std::vector<node_name> wanted;
  for (int round = 0; round < 3; ++round) wanted.insert(wanted.end(), {"storage-0", "worker-1", "worker-2"});
  EXPECT_EQ(order, wanted);
}

TEST_F(SchedulerLife, RunsAreAQuarterOfWhatEachSlotCouldGet) {
  const auto run = [this](std::uint32_t chunks, std::uint32_t slots) {
    rules = scheduler{{}, 1};
    accept();
    join("worker-0", slots);
    EXPECT_EQ(plan(grants().at(0).grant, chunks), errc::none);
    return grants().at(0).grant.chunks.size();
  };
  EXPECT_EQ(run(16, 1), 4u);
  EXPECT_EQ(run(15, 1), 3u);
  EXPECT_EQ(run(8, 1), 2u);
  EXPECT_EQ(run(7, 1), 1u);
  EXPECT_EQ(run(40, 1), lease_chunks_max);
  EXPECT_EQ(run(16, 2), 2u);
  EXPECT_EQ(run(16, 4), 1u);
  EXPECT_EQ(run(32, 4), 2u);
}

TEST_F(SchedulerLife, TracksOfSoundAreGrantedOneByOne) {
  accept();
  join("worker-0", 1);
  ASSERT_EQ(plan(only(), 40, 2), errc::none);
  const auto sound = only();
  ASSERT_EQ(sound.kind, task_kind::audio);
  EXPECT_EQ(kept.leases.at(sound.held).count, 1u);
  EXPECT_TRUE(sound.chunks.empty());
}

TEST_F(SchedulerLife, ARunEndsBeforeAChunkThatFailedOrIsDone) {
  auto grant = first_chunk(40);
  EXPECT_EQ(chunks_of(grant), (indices{0, 1, 2, 3}));
  EXPECT_EQ(fail(grant, 2), errc::none);
  auto next = only();
  EXPECT_EQ(chunks_of(next), (indices{4, 5, 6, 7})) << "the others rest";
  tick(first_wait);
  commit(next, 4);
  commit(next, 5);
  commit(next, 6);
  EXPECT_TRUE(grants().empty());
  commit(next, 7);
  next = only();
  EXPECT_EQ(chunks_of(next), (indices{0, 1}));
  commit(next, 0);
  commit(next, 1);
  next = only();
  EXPECT_EQ(chunks_of(next), (indices{2})) << "alone";
  commit(next, 2);
  next = only();
  EXPECT_EQ(chunks_of(next), (indices{3}));
  commit(next, 3);
  EXPECT_EQ(chunks_of(only()), (indices{8, 9, 10, 11}));
}

TEST_F(SchedulerLife, TheFirstChunkComesBeforeTheLongestOnes) {
  accept();
  join("worker-0", 1);
  const auto planning = only();
  plan_page page;
  page.video = video;
  page.held = planning.held;
  page.complete = true;
  page.plan.segment_frames = 48;
  page.plan.fps = {24, 1};
  page.plan.rungs = {{640, 360, 800}};
  page.plan.frames = 288;
  page.plan.audio = {{1, "und"}};
  page.chunks = {{0, 0, 48, 0, 0}, {1, 48, 96, 0, 0}, {2, 144, 144, 0, 0}};
  join("worker-0", 2);
  out = {};
  ASSERT_EQ(rules.on_plan_page(page, now, out), errc::none);
  const auto both = grants();
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[0].grant.kind, task_kind::audio);
  EXPECT_EQ(chunks_of(both[1].grant), (indices{0}));
  commit(both[0].grant, 0);
  EXPECT_EQ(chunks_of(only()), (indices{2})) << "two are left for two slots: the longer one first";
}

TEST_F(SchedulerLife, AJobOfTwoChunksBeginsWithTheFirstThoughBothSlotsTakeOne) {
  accept();
  join("worker-0", 2);
  plan_page page;
  page.video = video;
  page.held = only().held;
  page.complete = true;
  page.plan.segment_frames = 48;
  page.plan.fps = {24, 1};
  page.plan.rungs = {{640, 360, 800}};
  page.plan.frames = 192;
  page.plan.audio = {{1, "und"}};
  page.chunks = {{0, 0, 48, 0, 0}, {1, 48, 144, 0, 0}};
  ASSERT_EQ(rules.on_plan_page(page, now, out), errc::none);
  const auto both = grants();
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(chunks_of(both[1].grant), (indices{0})) << "playing begins there";
}

TEST_F(SchedulerLife, WorkersHearHowMuchMoreTheyCouldRun) {
  const auto ask = [&](const node_name& worker, std::uint32_t slots, const engine_id& runs) {
    return rules.on_work_request({worker, 1, runs, slots}, now, 7, out);
  };
  EXPECT_EQ(ask("worker-0", 1, engine), 0u);
  accept({1, 1});
  accept({1, 2});
  accept({1, 3});
  EXPECT_EQ(ask("worker-0", 1, engine), 2u) << "one of the three is its own already";
  EXPECT_EQ(ask("stranger", 0, "another engine"), 2u) << "plans are anybody's";
  const auto planning = grants().at(0).grant;
  ASSERT_EQ(plan(planning, 10), errc::none);
  // Eight chunks and two plans wait: the run that was granted has two chunks.
  EXPECT_EQ(ask("worker-0", 1, engine), 10u);
  EXPECT_EQ(ask("stranger", 0, "another engine"), 2u) << "chunks belong to the engine of their plan";
  EXPECT_EQ(ask("nobody", 0, ""), 2u);
  for (std::uint64_t i = 10; i < 80; ++i) accept({1, i});
  EXPECT_EQ(ask("worker-0", 1, engine), batch_max) << "more is not worth counting";
}

TEST_F(SchedulerLife, NothingWaitsAnyMoreWhenAJobIsDoneFailedOrDeleted) {
  const auto waiting = [&] { return rules.on_work_request({"asks", 1, engine, 0}, now, 7, out); };
  auto grant = first_chunk(3);
  EXPECT_EQ(waiting(), 2u);
  EXPECT_EQ(rules.count().pending_tasks, 2u);
  EXPECT_EQ(fail(grant, 0), errc::none);
  (void)grants();
  EXPECT_EQ(waiting(), 1u) << "one runs, one rests";
  EXPECT_EQ(rules.count().pending_tasks, 2u);
  tick(seconds{1});
  EXPECT_EQ(waiting(), 2u);
  ASSERT_EQ(rules.on_delete(video, now, out), errc::none);
  EXPECT_EQ(waiting(), 0u);
  EXPECT_EQ(rules.count().pending_tasks, 0u);
  EXPECT_EQ(rules.count().leases, 0u);
  join("worker-1", 4);
  tick(seconds{60});
  EXPECT_TRUE(grants().empty());
}

TEST_F(SchedulerLife, AWorkerThatTakesNoMoreGetsNoMore) {
  join("worker-0", 2);
  EXPECT_EQ(rules.count().workers, 1u);
  join("worker-0", 0);
  EXPECT_EQ(rules.count().workers, 0u);
  accept();
  EXPECT_TRUE(grants().empty());
  join("worker-1", 1);
  EXPECT_EQ(grants().size(), 1u);
  rules.on_worker_lost("worker-1");
  rules.on_worker_lost("never seen");
  EXPECT_EQ(rules.count().workers, 0u);
}

TEST_F(SchedulerLife, AWorkerThatComesBackStillHoldsWhatItHeld) {
  accept();
  accept({1, 2});
  join("worker-0", 1);
  const auto held = only();
  rules.on_worker_lost("worker-0");
  join("worker-0", 1);
  EXPECT_TRUE(grants().empty()) << "its slot is taken";
  EXPECT_EQ(fail(held, 0), errc::none);
  EXPECT_EQ(grants().size(), 1u);
}

TEST_F(SchedulerLife, TheEngineOfThePlanIsFrozenAndWritten) {
  accept();
  join("worker-0", 1);
  const auto planning = only();
  EXPECT_EQ(kept.videos.at(video).engine, engine);
  EXPECT_EQ(kept.videos.at(video).state, video_state::planning);
  join("worker-0", 0);
  ASSERT_EQ(plan(planning, 1), errc::none);
  join("worker-1", 1, 1, "another engine");
  EXPECT_TRUE(grants().empty());
  join("worker-2", 1);
  EXPECT_EQ(grants().size(), 1u);
}

TEST_F(SchedulerLife, AfterARetryAnotherEngineMayPlanButNotGoOnWithAPlan) {
  accept();
  join("worker-0", 1);
  EXPECT_EQ(fail(only(), 0, errc::unprocessable), errc::none);
  rules.on_worker_lost("worker-0");
  ASSERT_EQ(rules.on_retry(video, now, out), errc::none);
  join("worker-1", 1, 1, "another engine");
  const auto planning = only();
  ASSERT_EQ(planning.kind, task_kind::plan) << "nothing was pinned to the first one";
  ASSERT_EQ(plan(planning, 1), errc::none);
  EXPECT_EQ(fail(only(), 0, errc::unprocessable), errc::none);
  rules.on_worker_lost("worker-1");
  ASSERT_EQ(rules.on_retry(video, now, out), errc::none);
  join("worker-2", 1);
  EXPECT_TRUE(grants().empty()) << "the plan is the other engine's";
}

/// Its planner may be of another engine than that of the one before, and what it then plans is for that engine alone.
TEST_F(SchedulerLife, TheEngineOfASecondPlannerIsWrittenToo) {
  accept();
  join("worker-0", 1);
  EXPECT_EQ(fail(only(), 0, errc::cancelled), errc::none);
  rules.on_worker_lost("worker-0");
  join("worker-1", 1, 1, "another engine");
  tick(seconds{1});
  const auto planning = only();
  ASSERT_EQ(planning.kind, task_kind::plan);
  EXPECT_EQ(kept.videos.at(video).engine, "another engine");
  // While it is leased a restart changes nothing about that.
  rules = restart();
  ASSERT_EQ(plan(planning, 1), errc::none);
  join("worker-2", 1);
  EXPECT_TRUE(grants().empty());
  join("worker-3", 1, 1, "another engine");
  EXPECT_EQ(grants().size(), 1u);
}

TEST_F(SchedulerLife, APlanOfWhichAPageIsKnownGoesOnWithItsEngine) {
  accept();
  join("worker-0", 1);
  const auto planning = only();
  ASSERT_EQ(rules.on_plan_page(page_of(planning, 1, 2), now, out), errc::none);
  EXPECT_EQ(fail(planning, 0, errc::cancelled), errc::none);
  rules = restart();
  join("worker-1", 2, 1, "another engine");
  tick(seconds{1});
  EXPECT_TRUE(grants().empty());
  join("worker-2", 2);
  EXPECT_FALSE(grants().empty());
}

TEST_F(SchedulerLife, ATenantWhoseLeasesEndedIsAnEqualAgain) {
  accept({1, 1}, priority_class::normal, "a");
  accept({1, 2}, priority_class::normal, "a");
  accept({1, 3}, priority_class::normal, "b");
  join("worker-0", 1);
  EXPECT_EQ(only().video, (video_id{1, 1}));
  join("worker-0", 2);
  EXPECT_EQ(only().video, (video_id{1, 3})) << "b has fewer";
  ASSERT_EQ(rules.on_delete({1, 1}, now, out), errc::none);
  tick(milliseconds{1});
  EXPECT_EQ(only().video, (video_id{1, 2}));
  accept({1, 5}, priority_class::normal, "a");
  accept({1, 6}, priority_class::normal, "b");
  ASSERT_EQ(rules.on_delete({1, 3}, now, out), errc::none);
  tick(milliseconds{1});
  EXPECT_EQ(only().video, (video_id{1, 6})) << "now b has fewer again";
}

TEST_F(SchedulerLife, AJobThatIsGrantedSomethingBeginsItsWaitAnew) {
  accept({1, 1}, priority_class::low);
  join("worker-0", 1);
  ASSERT_EQ(plan(only(), 4), errc::none);
  auto held = only();
  for (int i = 0; i < 599; ++i) {
    tick(seconds{1});
    EXPECT_EQ(rules.on_renewal({held.video, held.held, held.first, 1}, now, out), errc::none);
  }
  commit(held, 0);
  held = only();
  EXPECT_EQ(held.video, (video_id{1, 1})) << "nobody else is there";
  accept({1, 2});
  tick(seconds{2});
  commit(held, 1);
  EXPECT_EQ(only().video, (video_id{1, 2})) << "it got something two seconds ago";
}

TEST_F(SchedulerLife, AtMostSoManyVideosAreTaken) {
  rules = scheduler{scheduler_config{.videos_max = 1}, 1};
  accept({1, 1});
  media_ready event;
  event.video = {1, 2};
  EXPECT_EQ(rules.on_media_ready(event, now, out), errc::limited);
  EXPECT_EQ(rules.count().videos, 1u);
  accept({1, 1});  // said again
}

// ---- Time --------------------------------------------------------------------------------------------------------------

TEST_F(SchedulerLife, ALeaseEndsOnTheInstant) {
  const auto grant = first_chunk();
  tick(seconds{10} - nanoseconds{1});
  EXPECT_EQ(rules.count().leases, 1u);
  now = now + nanoseconds{1};
  EXPECT_EQ(rules.on_renewal({video, grant.held, 0, 1}, now, out), errc::fenced);
  EXPECT_EQ(rules.on_commit(commit_of(grant, 0, 5), now, out), errc::fenced);
  EXPECT_EQ(rules.count().leases, 1u) << "no tick has seen it";
  tick(nanoseconds{0});
  EXPECT_EQ(rules.count().leases, 0u);
}

TEST_F(SchedulerLife, APlanThatComesOnTheInstantIsTooLate) {
  accept();
  join("worker-0", 1);
  const auto planning = only();
  now = now + seconds{10};
  EXPECT_EQ(plan(planning, 1), errc::fenced);
  EXPECT_EQ(state(), video_state::planning);
}

TEST_F(SchedulerLife, PagesAndCommitsKeepALeaseAlive) {
  accept();
  join("worker-0", 1);
  const auto planning = only();
  auto page = page_of(planning, 0, 40);
  for (std::uint32_t i = 0; i < 20; ++i) {
    tick(seconds{9});
    page.first_chunk = i;
    page.chunks = {{i, std::uint64_t{i} * 144, 144, 0, 0}};
    page.complete = i == 19;
    ASSERT_EQ(rules.on_plan_page(page, now, out), errc::none);
  }
  const auto run = only();
  ASSERT_EQ(run.chunks.size(), lease_chunks_max);
  for (std::uint32_t i = lease_chunks_max; i-- > 0;) {
    tick(seconds{9});
    commit(run, i);  // from the end: the lease lasts until all of it is done
  }
  EXPECT_EQ(rules.view(video, now)->chunks_done, lease_chunks_max);
}

TEST_F(SchedulerLife, WhatFailedRestsAsLongAsIsDrawnAndNoLonger) {
  const auto grant = first_chunk();
  EXPECT_EQ(fail(grant, 0), errc::none);
  EXPECT_TRUE(grants().empty());
  EXPECT_EQ(rules.next_due(now), now + first_wait);
  tick(first_wait - nanoseconds{1});
  EXPECT_TRUE(grants().empty());
  tick(nanoseconds{1});
  const auto again = only();
  EXPECT_EQ(fail(again, 0, errc::cancelled), errc::none);
  tick(first_wait);
  EXPECT_EQ(grants().size(), 1u) << "trouble of our own does not make it wait longer";
}

TEST_F(SchedulerLife, OurOwnTroubleBeforeAnyAttemptRestsAsAFirstOne) {
  const auto grant = first_chunk();
  EXPECT_EQ(fail(grant, 0, errc::unavailable), errc::none);
  (void)grants();
  EXPECT_EQ(task(task_kind::video, 0).attempts, 0u);
  EXPECT_EQ(rules.next_due(now), now + first_wait);
}

TEST_F(SchedulerLife, OurOwnTroubleThatGoesOnIsTriedLessAndLessOften) {
  auto grant = first_chunk();
  std::vector<nanoseconds> waits;
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(fail(grant, 0, errc::unavailable), errc::none);
    (void)grants();
    waits.push_back(rules.next_due(now) - now);
    tick(waits.back());
    grant = only();
  }
  EXPECT_GE(waits[1], waits[0] * 3 / 2);
  EXPECT_GE(waits[7], waits[0] * 25);
  EXPECT_EQ(task(task_kind::video, 0).attempts, 1u);
}

TEST_F(SchedulerLife, WithoutABackoffItIsGrantedAgainAtOnce) {
  rules = scheduler{scheduler_config{.retry = {milliseconds{0}, milliseconds{0}}}, 1};
  const auto grant = first_chunk();
  EXPECT_EQ(fail(grant, 0), errc::none);
  EXPECT_EQ(grants().size(), 1u);
}

TEST_F(SchedulerLife, TheNextTickIsDueWhenSomethingIs) {
  EXPECT_EQ(rules.next_due(now), now + seconds{60});
  const auto grant = first_chunk();
  EXPECT_EQ(rules.next_due(now), now + seconds{10}) << "the lease";
  EXPECT_EQ(rules.next_due(now + seconds{10}), now + seconds{10} + milliseconds{10}) << "never at once, or it would spin";
  EXPECT_EQ(fail(grant, 0), errc::none);
  rules.on_worker_lost("worker-0");
  EXPECT_EQ(rules.next_due(now), now + seconds{60}) << "what rests is due to nobody, and the lease has ended";
  join("worker-0", 1);
  EXPECT_EQ(rules.next_due(now), now + first_wait);
  tick(seconds{1});
  EXPECT_EQ(rules.next_due(now), now + seconds{10});
}

TEST_F(SchedulerLife, ALeaseThatEndedIsNotWaitedFor) {
  const auto grant = first_chunk();
  commit(grant, 0);
  tick(seconds{20});
  EXPECT_EQ(rules.next_due(now), now + seconds{60});
}

// ---- Failures ----------------------------------------------------------------------------------------------------------

TEST_F(SchedulerLife, OfARunOnlyTheTaskThatFailedHasBeenTried) {
  (void)first_chunk(40);
  join("worker-0", 2);
  const auto run = only();
  ASSERT_EQ(chunks_of(run), (indices{4, 5, 6, 7}));
  commit(run, 4);
  EXPECT_EQ(fail(run, 5, errc::crashed, "boom"), errc::none);
  (void)grants();
  for (const auto& [index, attempts, error] : {std::tuple{5u, 1u, "boom"}, std::tuple{6u, 0u, ""}, std::tuple{7u, 0u, ""}}) {
    const auto record = task(task_kind::video, index);
    EXPECT_EQ(record.state, task_state::pending) << index;
    EXPECT_EQ(record.attempts, attempts) << index;
    EXPECT_EQ(record.last_error, error) << index;
  }
  EXPECT_EQ(task(task_kind::video, 4).state, task_state::committed);
}

TEST_F(SchedulerLife, ACommitForgetsWhatFailedBefore) {
  EXPECT_EQ(fail(first_chunk(), 0), errc::none);
  (void)grants();
  EXPECT_EQ(task(task_kind::video, 0).last_error, "why");
  tick(seconds{1});
  commit(only(), 0);
  (void)grants();
  EXPECT_TRUE(task(task_kind::video, 0).last_error.empty());
  EXPECT_EQ(task(task_kind::video, 0).attempts, 2u);
}

TEST_F(SchedulerLife, AnInputAtFaultEndsTheWholeRun) {
  const auto run = first_chunk(40);
  ASSERT_EQ(run.chunks.size(), 4u);
  EXPECT_EQ(rules.on_renewal({video, run.held, 0, 100}, now, out), errc::none);
  EXPECT_EQ(fail(run, 1, errc::unprocessable), errc::none);
  (void)grants();
  EXPECT_EQ(rules.count().leases, 0u);
  EXPECT_EQ(rules.count().pending_tasks, 0u);
  EXPECT_TRUE(kept.leases.empty());
  for (std::uint32_t i = 0; i < 4; ++i) EXPECT_EQ(task(task_kind::video, i).state, task_state::pending) << i;
  EXPECT_EQ(rules.view(video, now)->progress_mille, 0);
  EXPECT_EQ(kept.videos.at(video).state, video_state::failed);
  EXPECT_EQ(kept.videos.at(video).error_code, errc::unprocessable);
}

TEST_F(SchedulerLife, APoisonTaskIsKeptWithItsAttemptsAndItsCause) {
  auto grant = first_chunk();
  for (std::uint32_t i = 1; i <= attempts_max; ++i) {
    EXPECT_EQ(fail(grant, 0, errc::crashed, "boom " + std::to_string(i)), errc::none);
    tick(seconds{20});
    if (i < attempts_max) grant = only();
  }
  (void)grants();
  EXPECT_EQ(task(task_kind::video, 0).attempts, attempts_max);
  EXPECT_EQ(task(task_kind::video, 0).last_error, "boom 5");
  EXPECT_EQ(task(task_kind::video, 0).state, task_state::pending);
  EXPECT_EQ(kept.videos.at(video).error_code, errc::unprocessable);
  EXPECT_EQ(kept.videos.at(video).error_message, "part 0 of the video failed 5 times (boom 5); check the file, then retry");
  ASSERT_EQ(rules.on_retry(video, now, out), errc::none);
  const auto retried =
      std::find_if(out.writes.begin(), out.writes.end(), [](const auto& w) { return std::holds_alternative<task_record>(w); });
  ASSERT_NE(retried, out.writes.end());
  EXPECT_EQ(std::get<task_record>(*retried).attempts, 0u);
  EXPECT_TRUE(std::get<task_record>(*retried).last_error.empty());
  const auto again = only();
  EXPECT_EQ(task(task_kind::video, 0).attempts, 1u);
  EXPECT_EQ(fail(again, 0), errc::none) << "it has all its attempts anew";
  EXPECT_EQ(state(), video_state::encoding);
}

TEST_F(SchedulerLife, ARetryDoesNotWaitForTheBackoff) {
  const auto first = first_chunk(2);
  EXPECT_EQ(fail(first, 0), errc::none);
  const auto second = only();
  EXPECT_EQ(fail(second, 1, errc::unprocessable), errc::none);
  ASSERT_EQ(rules.on_retry(video, now, out), errc::none);
  const auto again = only();
  EXPECT_EQ(again.first, 0u) << "which rested";
  EXPECT_EQ(kept.videos.at(video).state, video_state::encoding);
  EXPECT_EQ(kept.videos.at(video).job, 2u);
  EXPECT_EQ(task(task_kind::video, 1).state, task_state::pending);
}

TEST_F(SchedulerLife, ReportsOfWhatIsUnknownAreFenced) {
  const auto grant = first_chunk(2);
  out = {};
  const epoch never{9, 9};
  const video_id nobody{7, 7};
  EXPECT_EQ(rules.on_renewal({video, never, 0, 1}, now, out), errc::fenced);
  EXPECT_EQ(rules.on_failure({{video, task_kind::video, 0}, never, errc::crashed, ""}, now, 7, out), errc::fenced);
  EXPECT_EQ(rules.on_failure({{nobody, task_kind::video, 0}, grant.held, errc::crashed, ""}, now, 7, out), errc::fenced);
  EXPECT_EQ(rules.on_failure({{video, task_kind::video, 1}, grant.held, errc::crashed, ""}, now, 7, out), errc::fenced) << "not its task";
  plan_page page;
  page.video = video;
  page.held = never;
  EXPECT_EQ(rules.on_plan_page(page, now, out), errc::fenced);
  page.held = grant.held;
  EXPECT_EQ(rules.on_plan_page(page, now, out), errc::fenced) << "a lease, but not of a plan";
  page.video = nobody;
  EXPECT_EQ(rules.on_plan_page(page, now, out), errc::fenced);
  EXPECT_TRUE(out.writes.empty());
  EXPECT_TRUE(out.effects.empty());
  for (auto commit : {commit_of(grant, 0, 5), commit_of(grant, 0, 6), commit_of(grant, 1, 7), commit_of(grant, 99, 8)}) {
    out = {};
    if (commit.output.blob.low == 5) commit.held = never;
    if (commit.output.blob.low == 6) commit.task.video = nobody;
    EXPECT_EQ(rules.on_commit(commit, now, out), errc::fenced);
    ASSERT_EQ(effects<remove_blobs_effect>().size(), 1u) << "what nobody commits is removed";
    EXPECT_EQ(effects<remove_blobs_effect>()[0].blobs, std::vector<blob_id>{commit.output.blob});
    EXPECT_TRUE(out.writes.empty());
  }
}

TEST_F(SchedulerLife, APlanIsNothingToCommit) {
  accept();
  join("worker-0", 1);
  const auto planning = only();
  EXPECT_EQ(rules.on_commit(commit_of(planning, 0, 5), now, out), errc::fenced);
  EXPECT_EQ(state(), video_state::planning);
}

TEST_F(SchedulerLife, TheSameBlobUnderALaterLeaseIsFencedButKept) {
  const auto old = first_chunk(2);
  tick(seconds{11});
  tick(seconds{1});
  const auto again = grants();
  ASSERT_FALSE(again.empty());
  for (const auto& g : again)
    if (g.grant.first == 0) {
      EXPECT_EQ(rules.on_commit(commit_of(g.grant, 0, 5), now, out), errc::none);
      out = {};
      EXPECT_EQ(rules.on_commit(commit_of(old, 0, 5), now, out), errc::fenced);
      EXPECT_TRUE(effects<remove_blobs_effect>().empty());
    }
}

// ---- Plans -------------------------------------------------------------------------------------------------------------

TEST_F(SchedulerLife, AllCommittedIsNotTheEndBeforeThePlanIs) {
  accept();
  join("worker-0", 2);
  plan_page page;
  page.video = video;
  page.held = only().held;
  page.plan.segment_frames = 48;
  page.plan.fps = {24, 1};
  page.plan.frames = 144;
  page.plan.rungs = {{640, 360, 800}};
  ASSERT_EQ(rules.on_plan_page(page, now, out), errc::none) << "a first page may come before any chunk is known";
  EXPECT_EQ(state(), video_state::encoding);
  page.chunks = {{1, 0, 144, 0, 0}};
  EXPECT_EQ(rules.on_plan_page(page, now, out), errc::invalid_argument) << "the first chunk of a page is the page's";
  page.chunks = {{0, 0, 144, 0, 0}};
  ASSERT_EQ(rules.on_plan_page(page, now, out), errc::none);
  commit(only(), 0);
  EXPECT_EQ(state(), video_state::encoding) << "more may come";
  page.first_chunk = 1;
  page.chunks.clear();
  page.complete = true;
  ASSERT_EQ(rules.on_plan_page(page, now, out), errc::none) << "no more has come";
  EXPECT_EQ(state(), video_state::finishing);
  EXPECT_EQ(effects<verify_effect>().size(), 1u);
}

TEST_F(SchedulerLife, TheTimeOfEncodingBeginsWithThePlan) {
  accept();
  now = now + seconds{1000};
  join("worker-0", 1);
  now = now + seconds{5};
  ASSERT_EQ(plan(only(), 2), errc::none);
  const auto grant = only();
  now = now + seconds{8};
  commit(grant, 0);
  EXPECT_EQ(rules.view(video, now)->eta_s, 8 * 501 / 499);
}

// ---- The end of a job ---------------------------------------------------------------------------------------------------

TEST_F(SchedulerLife, OnlyTheCheckThatWasAskedForCounts) {
  const auto grant = first_chunk();
  rules.on_verified(video, 1, {}, now, out);
  EXPECT_EQ(state(), video_state::encoding);
  rules.on_verified({7, 7}, 1, {}, now, out);
  commit(grant, 0);
  rules.on_verified(video, 2, {}, now, out);
  EXPECT_EQ(state(), video_state::finishing) << "of another job";
  rules.on_verified(video, 1, {}, now, out);
  EXPECT_EQ(state(), video_state::ready);
  (void)grants();
  EXPECT_EQ(kept.videos.at(video).state, video_state::ready);
}

TEST_F(SchedulerLife, WhatStorageLostIsCountedWrittenAndMadeAgain) {
  auto grant = first_chunk(3);
  for (std::uint32_t i = 0; i < 3; ++i) {
    commit(grant, i);
    if (i < 2) grant = only();
  }
  EXPECT_EQ(state(), video_state::finishing);
  rules.on_verified(video, 1, {{video, task_kind::video, 0}, {video, task_kind::video, 9}, {video, task_kind::video, 2}}, now, out);
  (void)grants();
  EXPECT_EQ(kept.videos.at(video).error_code, errc::corrupt);
  EXPECT_EQ(kept.videos.at(video).error_message, "storage lost 3 finished parts; retry encodes only these again");
  EXPECT_EQ(task(task_kind::video, 0).state, task_state::pending);
  EXPECT_EQ(task(task_kind::video, 1).state, task_state::committed);
  EXPECT_EQ(rules.view(video, now)->chunks_done, 1u);
  EXPECT_EQ(rules.view(video, now)->progress_mille, 333);
  ASSERT_EQ(rules.on_retry(video, now, out), errc::none);
  grant = only();
  EXPECT_EQ(grant.first, 0u);
  commit(grant, 0);
  EXPECT_EQ(state(), video_state::encoding);
  commit(only(), 2);
  EXPECT_EQ(state(), video_state::finishing);
  EXPECT_EQ(effects<verify_effect>().at(0).job, 2u);
  EXPECT_EQ(rules.view(video, now)->chunks_done, 3u);
}

TEST_F(SchedulerLife, ARetryOfWhatIsAllThereGoesStraightToTheCheck) {
  commit(first_chunk(), 0);
  rules.on_verified(video, 1, {{video, task_kind::audio, 9}}, now, out);
  ASSERT_EQ(state(), video_state::failed);
  out = {};
  ASSERT_EQ(rules.on_retry(video, now, out), errc::none);
  EXPECT_EQ(state(), video_state::finishing);
  ASSERT_EQ(effects<verify_effect>().size(), 1u);
  EXPECT_EQ(effects<verify_effect>()[0].job, 2u);
  EXPECT_EQ(effects<publish_effect>().back().view.state, video_state::finishing);
  (void)grants();
  EXPECT_EQ(kept.videos.at(video).state, video_state::finishing);
}

TEST_F(SchedulerLife, ADeleteTakesOutputsThatAreThereAndNothingElse) {
  const auto grant = first_chunk(2);
  EXPECT_EQ(rules.on_renewal({video, grant.held, 0, 100}, now, out), errc::none);
  commit(grant, 0);
  EXPECT_EQ(rules.on_renewal({video, only().held, 1, 100}, now, out), errc::none);
  ASSERT_EQ(rules.on_delete(video, now, out), errc::none);
  EXPECT_EQ(rules.view(video, now)->progress_mille, 499) << "what ran runs no more";
  const auto removal = effects<remove_video_effect>().at(0);
  EXPECT_EQ(removal.source_store, "storage-0");
  EXPECT_EQ(removal.outputs, (std::map<node_name, std::vector<blob_id>>{{"storage-0", {{8, 100}}}}));
  EXPECT_EQ(effects<publish_effect>().back().view.state, video_state::deleting);
  (void)grants();
  EXPECT_EQ(kept.videos.at(video).state, video_state::deleting);
  EXPECT_TRUE(kept.leases.empty());
  rules.on_storage_up(out);
  EXPECT_EQ(effects<remove_video_effect>().size(), 1u) << "asked again when storage is back";
  rules.on_video_removed({7, 7}, now, out);
  rules.on_video_removed(video, now, out);
  (void)grants();
  ASSERT_EQ(kept.erased.size(), 1u);
  EXPECT_EQ(kept.erased[0].video, video);
  EXPECT_EQ(kept.erased[0].chunks, 2u);
  EXPECT_EQ(kept.erased[0].audio, 0u);
  EXPECT_EQ(kept.erased[0].text, 0u);
}

TEST_F(SchedulerLife, ADeletedVideoThatIsAnnouncedLateDoesNotBeginAnew) {
  const auto remove = [&] {
    EXPECT_EQ(rules.on_delete(video, now, out), errc::none);
    rules.on_video_removed(video, now, out);
    EXPECT_FALSE(rules.knows(video));
  };
  media_ready late;
  late.video = video;
  late.source = {{5, 5}, "storage-0", 1000, {}};
  accept();
  remove();
  now = now + scheduler_config{}.gone_for;
  out = {};
  EXPECT_EQ(rules.on_media_ready(late, now, out), errc::none);
  EXPECT_TRUE(out.writes.empty() && out.effects.empty());
  EXPECT_FALSE(rules.knows(video));
  now = now + milliseconds{1};
  EXPECT_EQ(rules.on_media_ready(late, now, out), errc::none);
  EXPECT_TRUE(rules.knows(video)) << "remembered for so long and not longer";
  // Of many the last ones.
  remove();
  const auto another = [&](std::uint64_t i) {
    auto other = late;
    other.video = {9, i};
    EXPECT_EQ(rules.on_media_ready(other, now, out), errc::none);
    EXPECT_EQ(rules.on_delete(other.video, now, out), errc::none);
    rules.on_video_removed(other.video, now, out);
  };
  for (std::uint64_t i = 1; i < scheduler_config{}.gone_max; ++i) another(i);
  EXPECT_EQ(rules.on_media_ready(late, now, out), errc::none);
  EXPECT_FALSE(rules.knows(video));
  another(scheduler_config{}.gone_max);
  EXPECT_EQ(rules.on_media_ready(late, now, out), errc::none);
  EXPECT_TRUE(rules.knows(video));
}

TEST_F(SchedulerLife, OnlyADeletedVideoIsRemoved) {
  (void)first_chunk();
  rules.on_video_removed(video, now, out);
  EXPECT_TRUE(rules.knows(video));
  EXPECT_EQ(rules.on_retry({7, 7}, now, out), errc::not_found);
  EXPECT_EQ(rules.on_delete(video, now, out), errc::none);
  out = {};
  EXPECT_EQ(rules.on_delete(video, now, out), errc::none);
  EXPECT_TRUE(out.effects.empty()) << "it is under way";
}

TEST_F(SchedulerLife, StorageThatIsBackIsAskedOnlyAboutWhatWaitsForIt) {
  (void)first_chunk();
  out = {};
  rules.on_storage_up(out);
  EXPECT_TRUE(out.effects.empty());
}

// ---- Restart -----------------------------------------------------------------------------------------------------------

TEST_F(SchedulerLife, EpochsGoOnWithinAGenerationAndBeginAnewInTheNext) {
  (void)first_chunk();
  kept.take(out);
  ASSERT_TRUE(kept.meta);
  EXPECT_EQ(kept.meta->last, (epoch{1, 2}));
  for (const auto& [generation, wanted] : {std::pair{1u, epoch{1, 3}}, std::pair{2u, epoch{2, 1}}}) {
    scheduler again{{}, generation};
    decision d;
    again.load(*kept.meta);
    again.loaded(now, d);
    media_ready event;
    event.video = {1, 2};
    EXPECT_EQ(again.on_media_ready(event, now, d), errc::none);
    again.on_work_request({"worker-0", 1, engine, 1}, now, 7, d);
    const auto* granted = std::get_if<grant_effect>(&d.effects.back());
    ASSERT_NE(granted, nullptr);
    EXPECT_EQ(granted->grant.held, wanted);
  }
}

TEST_F(SchedulerLife, ALeaseGetsOneFullTermAfterARestart) {
  const auto grant = first_chunk();
  tick(seconds{9});
  auto again = restart();
  EXPECT_EQ(again.count().leases, 1u);
  EXPECT_EQ(again.next_due(now), now + seconds{10});
  again.on_tick(now + seconds{10} - nanoseconds{1}, 7, out);
  EXPECT_EQ(again.count().leases, 1u);
  EXPECT_EQ(again.on_renewal({video, grant.held, 0, 72}, now + seconds{5}, out), errc::none);
  EXPECT_EQ(again.view(video, now)->progress_mille, 499);
  again.on_tick(now + seconds{15}, 7, out);
  EXPECT_EQ(again.count().leases, 0u);
}

TEST_F(SchedulerLife, WhatIsHeldCountsAfterARestart) {
  // a holds a lease, b none: b's turn, though a's job is older.
  accept({1, 1}, priority_class::normal, "a");
  accept({1, 2}, priority_class::normal, "a");
  accept({1, 3}, priority_class::normal, "b");
  join("worker-0", 1);
  (void)grants();
  auto again = restart();
  again.on_work_request({"worker-0", 1, engine, 2}, now, 7, out);
  const auto granted = effects<grant_effect>();
  ASSERT_EQ(granted.size(), 1u) << "one of its slots is taken";
  EXPECT_EQ(granted[0].grant.video, (video_id{1, 3}));
}

TEST_F(SchedulerLife, TheTailOfAJobIsKnownAfterARestart) {
  accept();
  join("worker-0", 1);
  plan_page page;
  page.video = video;
  page.held = only().held;
  page.complete = true;
  page.plan.segment_frames = 48;
  page.plan.fps = {24, 1};
  page.plan.rungs = {{640, 360, 800}};
  page.plan.frames = 288;
  page.chunks = {{0, 0, 96, 0, 0}, {1, 96, 48, 0, 0}, {2, 144, 144, 0, 0}};
  ASSERT_EQ(rules.on_plan_page(page, now, out), errc::none);
  EXPECT_EQ(only().first, 0u);
  auto again = restart();
  again.on_work_request({"worker-1", 1, engine, 1}, now, 7, out);
  const auto granted = effects<grant_effect>();
  ASSERT_EQ(granted.size(), 1u);
  EXPECT_EQ(granted[0].grant.first, 2u) << "one slot is at work on it, another asks, two are left: the longer one";
}

TEST_F(SchedulerLife, PendingWorkIsGrantedAfterARestart) {
  (void)first_chunk(3);
  auto again = restart();
  EXPECT_EQ(again.count().pending_tasks, 2u);
  again.on_work_request({"worker-1", 1, engine, 2}, now, 7, out);
  EXPECT_EQ(effects<grant_effect>().size(), 2u);
}

TEST_F(SchedulerLife, ATaskWhoseLeaseIsGoneIsPendingAfterARestart) {
  (void)first_chunk();
  kept.take(out);
  kept.leases.clear();
  auto again = restart();
  EXPECT_EQ(again.count().pending_tasks, 1u);
  again.on_work_request({"worker-1", 1, engine, 1}, now, 7, out);
  const auto granted = effects<grant_effect>();
  ASSERT_EQ(granted.size(), 1u);
  EXPECT_EQ(granted[0].grant.first, 0u);
  EXPECT_EQ(again.on_commit(commit_of(granted[0].grant, 0, 1), now, out), errc::none);
}

TEST_F(SchedulerLife, ATaskOrALeaseWithoutItsVideoDoesNoHarm) {
  (void)first_chunk();
  kept.take(out);
  kept.videos.clear();
  auto again = restart();
  EXPECT_EQ(again.count().videos, 0u);
  EXPECT_EQ(again.count().pending_tasks, 0u);
  EXPECT_EQ(again.view(video, now).error().code, errc::not_found);
  again.on_work_request({"worker-1", 1, engine, 1}, now, 7, out);
  EXPECT_TRUE(effects<grant_effect>().empty());
  again.on_tick(now + seconds{10}, 7, out);
  EXPECT_EQ(again.count().leases, 0u);
}

TEST_F(SchedulerLife, AFailedJobRestsAfterARestartUntilItIsTriedAgain) {
  EXPECT_EQ(fail(first_chunk(2), 0, errc::unprocessable), errc::none);
  auto again = restart();
  EXPECT_EQ(again.count().pending_tasks, 0u);
  again.on_work_request({"worker-1", 1, engine, 2}, now, 7, out);
  EXPECT_TRUE(effects<grant_effect>().empty());
  EXPECT_EQ(again.on_retry(video, now, out), errc::none);
  EXPECT_EQ(effects<grant_effect>().size(), 2u);
}

TEST_F(SchedulerLife, WhatWaitsForStorageIsAskedForAfterARestart) {
  commit(first_chunk(), 0);
  auto finishing = restart();
  EXPECT_EQ(effects<verify_effect>().size(), 1u);
  EXPECT_TRUE(effects<remove_video_effect>().empty());
  out = {};
  ASSERT_EQ(rules.on_delete(video, now, out), errc::none);
  auto deleting = restart();
  EXPECT_TRUE(effects<verify_effect>().empty());
  ASSERT_EQ(effects<remove_video_effect>().size(), 1u);
  EXPECT_EQ(effects<remove_video_effect>()[0].outputs.at("storage-0"), std::vector<blob_id>({{8, 100}}));
}

TEST_F(SchedulerLife, TheTimeLeftIsCountedFromTheRestart) {
  commit(first_chunk(2), 0);
  now = now + seconds{1000};
  auto again = restart();
  EXPECT_EQ(again.view(video, now + seconds{10})->eta_s, 10 * 501 / 499);
  EXPECT_EQ(again.view(video, now)->progress_mille, 499);
  EXPECT_EQ(again.view(video, now)->chunks_done, 1u);
}

TEST_F(SchedulerLife, ALateCommitOfWhatStorageLostIsRemoved) {
  const auto grant = first_chunk();
  commit(grant, 0);
  rules.on_verified(video, 1, {{video, task_kind::video, 0}}, now, out);
  out = {};
  EXPECT_EQ(rules.on_commit(commit_of(grant, 0, 100), now, out), errc::fenced);
  EXPECT_EQ(effects<remove_blobs_effect>().size(), 1u) << "it will be made again";
}

TEST_F(SchedulerLife, ALeaseThatEndedCountsAgainstNobody) {
  accept({1, 1}, priority_class::normal, "a");
  accept({1, 2}, priority_class::normal, "a");
  accept({1, 3}, priority_class::normal, "b");
  join("worker-0", 1);
  EXPECT_EQ(only().video, (video_id{1, 1}));
  ASSERT_EQ(rules.on_delete({1, 1}, now, out), errc::none);
  tick(milliseconds{1});
  EXPECT_EQ(only().video, (video_id{1, 2})) << "nobody holds any: the older one";
}

}  // namespace latham
