// A scheduler with what its shell would carry out, a disk that keeps what it writes, and a clock that the test moves.
#pragma once

#include "core/scheduler/scheduler.hpp"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <vector>

namespace latham {

inline constexpr video_id video{1, 1};
inline const engine_id engine = "x86_64 test";

/// What the store holds once all that was decided is durable.
struct scheduler_disk {
  std::map<video_id, video_record> videos;
  std::map<task_id, task_record> tasks;
  std::map<epoch, lease_record> leases;
  std::optional<scheduler_meta> meta;
  std::vector<erase_video> erased;

  void take(const decision& d) {
    for (const auto& write : d.writes) {
      if (const auto* v = std::get_if<video_record>(&write)) videos[v->request.video] = *v;
      if (const auto* t = std::get_if<task_record>(&write)) tasks[t->id] = *t;
      if (const auto* l = std::get_if<lease_record>(&write)) leases[l->held] = *l;
      if (const auto* m = std::get_if<scheduler_meta>(&write)) meta = *m;
      if (const auto* e = std::get_if<erase_lease>(&write)) leases.erase(e->held);
      if (const auto* e = std::get_if<erase_video>(&write)) erased.push_back(*e);
    }
  }
  void load_into(scheduler& rules) const {
    for (const auto& [id, v] : videos) rules.load(v);
    for (const auto& [id, t] : tasks) rules.load(t);
    for (const auto& [id, l] : leases) rules.load(l);
    if (meta) rules.load(*meta);
  }
};

class SchedulerFixture : public ::testing::Test {
protected:
  instant now{1'000'000'000'000};
  scheduler rules{{}, 1};
  decision out;
  scheduler_disk kept;  // what was decided before the last call of grants()

  void tick(nanoseconds passed) {
    now = now + passed;
    rules.on_tick(now, 7, out);
  }

  void accept(video_id id = video, priority_class priority = priority_class::normal, const std::string& tenant = "default",
              std::uint16_t recipe_version = 2) {
    media_ready event;
    event.how.version = recipe_version;
    event.video = id;
    event.tenant = tenant;
    event.priority = priority;
    event.source = {{9, id.low}, "storage-0", 1000, {}};
    ASSERT_EQ(rules.on_media_ready(event, now, out), errc::none);
  }

  void join(const node_name& worker, std::uint32_t slots, std::uint64_t incarnation = 1, const engine_id& runs = engine) {
    rules.on_work_request({worker, incarnation, runs, slots}, now, 7, out);
  }

  /// Grants since the last call, by worker. All that was decided is carried out.
  std::vector<grant_effect> grants() {
    kept.take(out);
    std::vector<grant_effect> all;
    for (const auto& effect : out.effects)
      if (const auto* grant = std::get_if<grant_effect>(&effect)) all.push_back(*grant);
    out = {};
    return all;
  }

  template <class T>
  std::vector<T> effects() {
    std::vector<T> all;
    for (const auto& effect : out.effects)
      if (const auto* e = std::get_if<T>(&effect)) all.push_back(*e);
    return all;
  }

  /// The first so many chunks of a plan of `of`; not its last page.
  static plan_page page_of(const work_grant& grant, std::uint32_t chunks, std::uint32_t of) {
    plan_page page;
    page.video = grant.video;
    page.held = grant.held;
    page.plan.segment_frames = 48;
    page.plan.fps = {24, 1};
    page.plan.frames = std::uint64_t{of} * 144;
    page.plan.rungs = {{640, 360, 800}};
    for (std::uint32_t i = 0; i < chunks; ++i) page.chunks.push_back({i, std::uint64_t{i} * 144, 144, 0, 0});
    return page;
  }

  errc plan(const work_grant& grant, std::uint32_t chunks, std::uint32_t audio = 0) {
    auto page = page_of(grant, chunks, chunks);
    page.complete = true;
    for (std::uint32_t i = 0; i < audio; ++i) page.plan.audio.push_back({i + 1, "und"});
    return rules.on_plan_page(page, now, out);
  }

  static task_commit commit_of(const work_grant& grant, std::uint32_t index, std::uint64_t blob) {
    task_commit c;
    c.task = {grant.video, grant.kind, index};
    c.held = grant.held;
    c.output.blob = {8, blob};
    c.output.store = "storage-0";
    return c;
  }

  /// Takes a fresh video to the point where worker-0 holds chunk 0.
  work_grant first_chunk(std::uint32_t chunks = 1) {
    accept();
    join("worker-0", 1);
    auto planning = grants();
    EXPECT_EQ(planning.size(), 1u);
    EXPECT_EQ(plan(planning[0].grant, chunks), errc::none);
    auto encoding = grants();
    EXPECT_EQ(encoding.size(), 1u);
    return encoding[0].grant;
  }

  /// Takes it to the second run of its job: one that does not begin at nought.
  work_grant second_run() {
    const auto first = first_chunk(60);
    for (const auto& chunk : first.chunks) EXPECT_EQ(rules.on_commit(commit_of(first, chunk.index, 100 + chunk.index), now, out), errc::none);
    join("worker-0", 1);
    const auto next = grants();
    EXPECT_EQ(next.size(), 1u);
    EXPECT_GT(next.at(0).grant.first, 0u);
    return next[0].grant;
  }

  video_state state(video_id id = video) { return rules.view(id, now)->state; }
};

}  // namespace latham
