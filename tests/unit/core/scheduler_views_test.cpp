// What people are shown of a video, what manifests are made of, and what is told to whom: all that the scheduler says.
#include "scheduler_fixture.hpp"

namespace latham {

namespace {

class SchedulerViews : public SchedulerFixture {
protected:
  /// A video of chunks of six seconds with two tracks of sound, planned by worker-0, which has one slot.
  void planned(std::uint32_t chunks, std::uint32_t audio) {
    media_ready event;
    event.video = video;
    event.tenant = "acme";
    event.title = "A film";
    event.created_ms = 77;
    event.how.segment_ms = 1600;
    event.source = {{9, 1}, "storage-0", 5000, {}};
    ASSERT_EQ(rules.on_media_ready(event, now, out), errc::none);
    join("worker-0", 1);
    plan_page page;
    page.video = video;
    page.held = grants().at(0).grant.held;
    page.complete = true;
    page.plan.container = "mov";
    page.plan.video_codec = "h264";
    page.plan.width = 1920;
    page.plan.height = 1080;
    page.plan.segment_frames = 48;
    page.plan.fps = {24, 1};
    page.plan.frames = std::uint64_t{chunks} * 144;
    page.plan.rungs = {{256, 144, 200}, {640, 360, 800}};
    for (std::uint32_t i = 0; i < audio; ++i) page.plan.audio.push_back({i + 1, "und"});
    for (std::uint32_t i = 0; i < chunks; ++i) page.chunks.push_back({i, std::uint64_t{i} * 144, 144, 0, 0});
    ASSERT_EQ(rules.on_plan_page(page, now, out), errc::none);
  }

  /// The only grant there is to be.
  work_grant next() {
    const auto all = grants();
    EXPECT_EQ(all.size(), 1u);
    return all.empty() ? work_grant{} : all[0].grant;
  }

  static std::uint64_t blob_of(task_kind kind, std::uint32_t index) { return 1 + static_cast<std::uint64_t>(kind) * 1000 + index; }
  void commit(const work_grant& grant, std::uint32_t index) {
    EXPECT_EQ(rules.on_commit(commit_of(grant, index, blob_of(grant.kind, index)), now, out), errc::none);
  }
  /// Commits all of what is granted until nothing more is.
  void work_off() {
    for (auto all = grants(); !all.empty(); all = grants())
      for (const auto& g : all)
        for (std::uint32_t i = 0; i < std::max<std::size_t>(1, g.grant.chunks.size()); ++i) commit(g.grant, g.grant.first + i);
  }

  video_view view() const { return *rules.view(video, now); }
  std::uint16_t progress() const { return view().progress_mille; }
  std::vector<video_view> published() {
    std::vector<video_view> all;
    for (const auto& e : effects<publish_effect>()) all.push_back(e.view);
    out = {};
    return all;
  }
};

}  // namespace

TEST_F(SchedulerViews, SayWhatTheUploadAndThePlanSaid) {
  planned(2, 2);
  const auto v = view();
  EXPECT_EQ(v.id, video);
  EXPECT_EQ(v.tenant, "acme");
  EXPECT_EQ(v.title, "A film");
  EXPECT_EQ(v.created_ms, 77);
  EXPECT_EQ(v.bytes, 5000u);
  EXPECT_EQ(v.bytes_total, 5000u);
  EXPECT_EQ(v.width, 1920u);
  EXPECT_EQ(v.height, 1080u);
  EXPECT_EQ(v.fps, (rational{24, 1}));
  EXPECT_EQ(v.duration_ms, 12'000u);
  EXPECT_EQ(v.chunks, 2u);
  EXPECT_EQ(v.chunks_done, 0u);
  EXPECT_EQ(v.source_format, "mov, h264");
  EXPECT_EQ(v.eta_s, -1) << "nobody knows yet";
  EXPECT_TRUE(v.error_code.empty());
}

TEST_F(SchedulerViews, BeforeThePlanThereIsLittleToSay) {
  accept();
  const auto v = view();
  EXPECT_EQ(v.progress_mille, 0);
  EXPECT_TRUE(v.rungs.empty());
  EXPECT_EQ(v.duration_ms, 0u);
  EXPECT_FALSE(v.playable);
  EXPECT_GT(v.revision >> 32, 0u) << "beyond all that was shown while its bytes came in";
}

TEST_F(SchedulerViews, ProgressIsFramesOfAllAndComesBackWithWhatIsLost) {
  planned(2, 0);
  const auto first = next();
  EXPECT_EQ(progress(), 0);
  EXPECT_EQ(rules.on_renewal({video, first.held, 0, 96}, now, out), errc::none);
  EXPECT_EQ(progress(), 333);
  EXPECT_EQ(rules.on_renewal({video, first.held, 0, 48}, now, out), errc::none);
  EXPECT_EQ(progress(), 333) << "what was done is not undone by an older word";
  EXPECT_EQ(rules.on_renewal({video, first.held, 0, 100'000}, now, out), errc::none);
  EXPECT_EQ(progress(), 499) << "no more than its chunk";
  commit(first, 0);
  EXPECT_EQ(progress(), 499);
  EXPECT_EQ(view().chunks_done, 1u);
  const auto second = next();
  EXPECT_EQ(rules.on_renewal({video, second.held, 1, 72}, now, out), errc::none);
  EXPECT_EQ(progress(), 749);
  EXPECT_EQ(rules.on_failure({{video, task_kind::video, 1}, second.held, errc::crashed, "x"}, now, 7, out), errc::none);
  EXPECT_EQ(progress(), 499);
  tick(seconds{1});
  const auto again = next();
  EXPECT_EQ(progress(), 499) << "a new try begins at nought";
  EXPECT_EQ(rules.on_renewal({video, again.held, 1, 72}, now, out), errc::none);
  out = {};
  tick(seconds{10});
  const auto told = published();
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.back().progress_mille, 499) << "people see that it was lost";
  tick(seconds{1});
  commit(next(), 1);
  EXPECT_EQ(state(), video_state::finishing);
  EXPECT_EQ(progress(), 999) << "the last thousandth is the check";
  rules.on_verified(video, 1, {}, now, out);
  EXPECT_EQ(progress(), 1000);
}

TEST_F(SchedulerViews, PicturesThatAreDoneAreNotAllWhileSoundIsMissing) {
  planned(1, 1);
  join("worker-0", 2);
  const auto work = grants();
  ASSERT_EQ(work.size(), 2u);
  commit(work[1].grant, 0);
  EXPECT_EQ(state(), video_state::encoding);
  EXPECT_EQ(progress(), 999);
}

TEST_F(SchedulerViews, ProgressOfSoundAloneIsSamplesOfAllRenditions) {
  accept();
  join("worker-0", 2);
  plan_page page;
  page.video = video;
  page.held = next().held;
  page.complete = true;
  page.plan.segment_frames = 94;
  page.plan.fps = {375, 8};
  page.plan.frames = 200;
  page.plan.audio = {{0, "und", 64}, {0, "und", 128}};
  ASSERT_EQ(rules.on_plan_page(page, now, out), errc::none);
  const auto work = grants();
  ASSERT_EQ(work.size(), 2u);
  commit(work[0].grant, 0);
  EXPECT_EQ(progress(), 499);
  EXPECT_EQ(rules.on_renewal({video, work[1].grant.held, 1, 50 * aac_frame_samples}, now, out), errc::none);
  EXPECT_EQ(progress(), 624);
  EXPECT_EQ(rules.on_renewal({video, work[1].grant.held, 1, 1'000'000}, now, out), errc::none);
  EXPECT_EQ(progress(), 999) << "no more than its track";
  EXPECT_FALSE(view().playable);
}

TEST_F(SchedulerViews, RungsAdvanceTogetherWithTheChunksThatAreDone) {
  planned(3, 0);
  using rungs = std::vector<std::pair<rung, std::uint16_t>>;
  EXPECT_EQ(view().rungs, (rungs{{{256, 144, 200}, std::uint16_t{0}}, {{640, 360, 800}, std::uint16_t{0}}}));
  commit(next(), 0);
  EXPECT_EQ(view().rungs, (rungs{{{256, 144, 200}, std::uint16_t{333}}, {{640, 360, 800}, std::uint16_t{333}}}));
  commit(next(), 1);
  EXPECT_EQ(view().rungs[0].second, 666);
  work_off();
  EXPECT_EQ(view().rungs[1].second, 1000);
  rules.on_verified(video, 1, {}, now, out);
  EXPECT_EQ(view().rungs[0].second, 1000);
}

TEST_F(SchedulerViews, APlanOfNoFramesHasAViewToo) {
  accept();
  join("worker-0", 1);
  plan_page page;
  page.video = video;
  page.held = next().held;
  page.plan.segment_frames = 48;
  page.plan.fps = {0, 1};
  page.plan.rungs = {{640, 360, 800}};
  page.chunks = {{0, 0, 0, 0, 0}};
  ASSERT_EQ(rules.on_plan_page(page, now, out), errc::none);
  EXPECT_EQ(progress(), 0);
  EXPECT_EQ(view().rungs.at(0).second, 0);
  EXPECT_EQ(view().duration_ms, 0u);
  page.plan.fps = {1, 1};
  page.plan.frames = 3;
  ASSERT_EQ(rules.on_plan_page(page, now, out), errc::none);
  EXPECT_EQ(view().duration_ms, 3000u);
}

TEST_F(SchedulerViews, TheTimeLeftFollowsFromTheTimeSpent) {
  planned(4, 0);
  const auto first = next();
  for (int i = 0; i < 20; ++i) {
    tick(seconds{5});
    EXPECT_EQ(rules.on_renewal({video, first.held, 0, 1}, now, out), errc::none);
  }
  EXPECT_EQ(view().eta_s, 100 * 999) << "one thousandth in 100 s";
  commit(first, 0);
  EXPECT_EQ(progress(), 249);
  EXPECT_EQ(view().eta_s, 301) << "100 s for 249 of 1000";
  EXPECT_EQ(rules.on_delete(video, now, out), errc::none);
  EXPECT_EQ(view().eta_s, -1);
}

TEST_F(SchedulerViews, TheTimeOfARetryBeginsWithIt) {
  planned(2, 0);
  commit(next(), 0);
  const auto second = next();
  EXPECT_EQ(rules.on_failure({{video, task_kind::video, 1}, second.held, errc::unprocessable, "x"}, now, 7, out), errc::none);
  now = now + seconds{1000};
  EXPECT_EQ(rules.on_retry(video, now, out), errc::none);
  now = now + seconds{5};
  EXPECT_EQ(state(), video_state::encoding) << "the plan is known: straight on to the chunks";
  EXPECT_EQ(view().eta_s, 5 * 501 / 499);
}

TEST_F(SchedulerViews, PlayingBeginsWithTheFirstChunkAndAllSoundAndEndsWithTheVideo) {
  planned(2, 2);
  join("worker-0", 4);
  auto work = grants();
  ASSERT_EQ(work.size(), 4u);
  std::map<std::pair<task_kind, std::uint32_t>, work_grant> by;
  for (const auto& g : work) by[{g.grant.kind, g.grant.first}] = g.grant;
  commit(by.at({task_kind::video, 1}), 1);
  commit(by.at({task_kind::audio, 1}), 1);
  EXPECT_FALSE(view().playable);
  commit(by.at({task_kind::video, 0}), 0);
  EXPECT_FALSE(view().playable) << "the first track is missing";
  commit(by.at({task_kind::audio, 0}), 0);
  EXPECT_TRUE(view().playable);
  rules.on_verified(video, 1, {{video, task_kind::audio, 7}}, now, out);
  EXPECT_EQ(state(), video_state::failed);
  EXPECT_FALSE(view().playable);
  EXPECT_EQ(rules.on_delete(video, now, out), errc::none);
  EXPECT_FALSE(view().playable);
}

TEST_F(SchedulerViews, AFailureIsSaidWithItsCodeUntilItIsTriedAgain) {
  planned(1, 0);
  EXPECT_EQ(rules.on_failure({{video, task_kind::video, 0}, next().held, errc::unsupported, "no such codec"}, now, 7, out), errc::none);
  const auto told = published();
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.back().state, video_state::failed);
  EXPECT_EQ(told.back().error_code, "unsupported");
  EXPECT_EQ(told.back().error_message, "no such codec");
  EXPECT_EQ(rules.on_retry(video, now, out), errc::none);
  for (const auto& write : out.writes)
    if (const auto* record = std::get_if<video_record>(&write)) {
      EXPECT_EQ(record->error_code, errc::none);
      EXPECT_TRUE(record->error_message.empty());
      EXPECT_EQ(record->job, 2u);
    }
  EXPECT_TRUE(view().error_code.empty());
}

TEST_F(SchedulerViews, EachChangeIsToldOnceWithAGreaterRevision) {
  std::vector<video_view> told;
  const auto hear = [&] {
    for (auto& v : published()) told.push_back(std::move(v));
  };
  accept();
  hear();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told.back().state, video_state::queued);
  join("worker-0", 1);
  const auto planning = effects<grant_effect>().at(0).grant;
  hear();
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told.back().state, video_state::planning);
  ASSERT_EQ(plan(planning, 2), errc::none);
  const auto first = effects<grant_effect>().at(0).grant;
  hear();
  EXPECT_EQ(told.back().state, video_state::encoding);
  const auto before = told.size();
  EXPECT_EQ(rules.on_renewal({video, first.held, 0, 72}, now, out), errc::none);
  hear();
  ASSERT_EQ(told.size(), before + 1);
  EXPECT_EQ(told.back().progress_mille, 249);
  EXPECT_EQ(rules.on_renewal({video, first.held, 0, 72}, now, out), errc::none);
  hear();
  EXPECT_EQ(told.size(), before + 1) << "nothing is new";
  EXPECT_EQ(rules.on_commit(commit_of(first, 0, 1), now, out), errc::none);
  const auto second = effects<grant_effect>().at(0).grant;
  hear();
  EXPECT_EQ(told.back().chunks_done, 1u);
  EXPECT_EQ(rules.on_commit(commit_of(second, 1, 2), now, out), errc::none);
  hear();
  EXPECT_EQ(told.back().state, video_state::finishing);
  rules.on_verified(video, 1, {}, now, out);
  hear();
  EXPECT_EQ(told.back().state, video_state::ready);
  EXPECT_EQ(rules.on_delete(video, now, out), errc::none);
  hear();
  EXPECT_EQ(told.back().state, video_state::deleting);
  for (std::size_t i = 1; i < told.size(); ++i) EXPECT_GT(told[i].revision, told[i - 1].revision) << i;
}

TEST_F(SchedulerViews, WhatSoundLostIsInTheNotes) {
  planned(1, 1);
  join("worker-0", 2);
  const auto work = grants();
  ASSERT_EQ(work.size(), 2u);
  auto sound = commit_of(work[0].grant, 0, 5);
  sound.found = {48'000, 48'000, false};
  EXPECT_EQ(rules.on_commit(sound, now, out), errc::none);
  EXPECT_EQ(view().notes, std::vector<std::string>{"1.0 s of sound could not be decoded and was replaced (first at 0:01)."});
}

TEST_F(SchedulerViews, TextFindsNothing) {
  accept();
  join("worker-0", 2);
  plan_page page;
  page.video = video;
  page.held = next().held;
  page.complete = true;
  page.plan.segment_frames = 48;
  page.plan.fps = {24, 1};
  page.plan.frames = 144;
  page.plan.rungs = {{640, 360, 800}};
  page.plan.text = {{2, "eng", "", false}};
  page.chunks = {{0, 0, 144, 0, 0}};
  ASSERT_EQ(rules.on_plan_page(page, now, out), errc::none);
  const auto work = grants();
  ASSERT_EQ(work.size(), 2u);
  auto text = commit_of(work[1].grant, 0, 5);
  text.found = {1, 0, false};
  EXPECT_EQ(rules.on_commit(text, now, out), errc::invalid_argument);
}

// ---- Outputs -----------------------------------------------------------------------------------------------------------

TEST_F(SchedulerViews, OutputsComeInPagesAndOnlyWhatIsCommitted) {
  planned(70, 2);
  EXPECT_TRUE(rules.outputs(video, 0)->video.empty());
  work_off();
  const auto first = rules.outputs(video, 0);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->plan.frames, 70u * 144);
  EXPECT_EQ(first->how.segment_ms, 1600u);
  EXPECT_EQ(first->state, video_state::finishing);
  EXPECT_TRUE(first->plan_complete);
  EXPECT_EQ(first->chunks_total, 70u);
  EXPECT_TRUE(first->more);
  ASSERT_EQ(first->video.size(), output_page_chunks);
  for (std::uint32_t i = 0; i < output_page_chunks; ++i) {
    EXPECT_EQ(first->video[i].first.index, i);
    EXPECT_EQ(first->video[i].second.blob, (blob_id{8, blob_of(task_kind::video, i)}));
  }
  ASSERT_EQ(first->audio.size(), 2u);
  EXPECT_EQ(first->audio[1].first, 1u);
  EXPECT_EQ(first->audio[1].second.blob, (blob_id{8, blob_of(task_kind::audio, 1)}));
  const auto second = rules.outputs(video, 64);
  ASSERT_EQ(second->video.size(), 6u);
  EXPECT_EQ(second->video.front().first.index, 64u);
  EXPECT_FALSE(second->more);
  EXPECT_TRUE(second->audio.empty()) << "with the first page only";
  EXPECT_TRUE(rules.outputs(video, 1)->audio.empty());
  EXPECT_FALSE(rules.outputs(video, 6)->more) << "exactly a page";
  EXPECT_EQ(rules.outputs(video, 6)->video.size(), output_page_chunks);
  EXPECT_EQ(rules.outputs({7, 7}, 0).error().code, errc::not_found);
}

TEST_F(SchedulerViews, OutputsMayHaveGaps) {
  planned(3, 1);
  join("worker-0", 4);
  const auto work = grants();
  ASSERT_EQ(work.size(), 4u);
  for (const auto& g : work)
    if (g.grant.kind == task_kind::video && g.grant.first != 1) commit(g.grant, g.grant.first);
  const auto page = rules.outputs(video, 0);
  ASSERT_EQ(page->video.size(), 2u);
  EXPECT_EQ(page->video[1].first.index, 2u);
  EXPECT_TRUE(page->audio.empty()) << "not committed";
  EXPECT_EQ(page->state, video_state::encoding);
}

TEST_F(SchedulerViews, BlobsThatNobodyCommittedAreUnreferenced) {
  planned(2, 0);
  commit(next(), 0);
  const blob_id known{8, blob_of(task_kind::video, 0)}, lost{8, 99};
  EXPECT_EQ(rules.unreferenced(video, {known, lost}), std::vector<blob_id>{lost});
  EXPECT_EQ(rules.unreferenced({7, 7}, {known, lost}), (std::vector<blob_id>{known, lost})) << "of a video that is gone, all are";
  const blob_id source{9, video.low};
  EXPECT_EQ(rules.unreferenced(video, {source, lost}), std::vector<blob_id>{lost});
  EXPECT_EQ(rules.unreferenced({}, {known, source, lost}), std::vector<blob_id>{lost}) << "of whatever video";
  commit(next(), 1);
  rules.on_verified(video, 1, {{video, task_kind::video, 0}}, now, out);
  EXPECT_EQ(rules.unreferenced(video, {known}), std::vector<blob_id>{known}) << "storage lost it, and it will be made again";
}

TEST_F(SchedulerViews, VerificationNamesEachTaskAndItsOutput) {
  planned(2, 1);
  work_off();
  out = {};
  rules.on_storage_up(out);
  const auto asked = effects<verify_effect>();
  ASSERT_EQ(asked.size(), 1u) << "asked again when storage is back";
  EXPECT_EQ(asked[0].video, video);
  EXPECT_EQ(asked[0].job, 1u);
  EXPECT_EQ(asked[0].tasks,
            (std::vector<task_id>{{video, task_kind::video, 0}, {video, task_kind::video, 1}, {video, task_kind::audio, 0}}));
  ASSERT_EQ(asked[0].outputs.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(asked[0].outputs[i].blob, (blob_id{8, blob_of(asked[0].tasks[i].kind, asked[0].tasks[i].index)}));
}

TEST_F(SchedulerViews, AChunkThatIsLongerThanItsPlanIsNoMoreThanAll) {
  accept();
  join("worker-0", 1);
  plan_page page;
  page.video = video;
  page.held = next().held;
  page.plan.segment_frames = 48;
  page.plan.fps = {24, 1};
  page.plan.frames = 100;
  page.plan.rungs = {{640, 360, 800}};
  page.chunks = {{0, 0, 144, 0, 0}};
  ASSERT_EQ(rules.on_plan_page(page, now, out), errc::none);
  join("worker-0", 2);
  commit(next(), 0);
  EXPECT_EQ(progress(), 999);
  EXPECT_EQ(view().rungs.at(0).second, 1000);
}

}  // namespace latham
