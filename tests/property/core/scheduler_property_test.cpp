// Random histories against the scheduler: workers come, work, stall, die and restart; the scheduler itself is restarted
// from what it wrote. Whatever happens: each task commits once, epochs only grow, attempts stay bounded, states move along
// the drawn edges, and when the faults stop everything ends.
#include "core/scheduler/scheduler.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <random>

namespace latham {

namespace {

struct database {
  std::map<video_id, video_record> videos;
  std::map<task_id, task_record> tasks;
  std::map<epoch, lease_record> leases;
  scheduler_meta meta;
  std::map<task_id, output_ref> committed;
  epoch newest;

  void apply(const scheduler_write& write) {
    if (const auto* v = std::get_if<video_record>(&write)) {
      videos[v->request.video] = *v;
    } else if (const auto* t = std::get_if<task_record>(&write)) {
      RC_ASSERT(t->attempts <= attempts_max);
      auto& before = tasks[t->id];
      RC_ASSERT(!(t->held < before.held));
      if (before.state == task_state::committed) RC_ASSERT(t->output == before.output);
      before = *t;
    } else if (const auto* l = std::get_if<lease_record>(&write)) {
      RC_ASSERT(newest < l->held);
      newest = l->held;
      leases[l->held] = *l;
    } else if (const auto* m = std::get_if<scheduler_meta>(&write)) {
      meta = *m;
    } else if (const auto* e = std::get_if<erase_lease>(&write)) {
      leases.erase(e->held);
    }
  }
};

class history {
public:
  explicit history(std::uint64_t seed) : random_{seed}, rules_{std::make_unique<scheduler>(scheduler_config{}, 1)} { db_.meta.last = {1, 0}; }

  void run(int steps) {
    const auto videos = 1 + random_() % 3;
    for (std::uint64_t i = 0; i < videos; ++i) {
      media_ready event;
      event.video = {i + 1, i};
      event.tenant = "t" + std::to_string(random_() % 2);
      event.priority = static_cast<priority_class>(random_() % 3);
      event.source = {{9, i}, "storage-0", 1000, {}};
      RC_ASSERT(rules_->on_media_ready(event, now_, out_) == errc::none);
      settle();
    }
    for (int i = 0; i < steps; ++i) {
      random_step();
      settle();
    }
    calm();
  }

private:
  void settle() {
    auto out = std::exchange(out_, {});
    for (const auto& write : out.writes) db_.apply(write);
    for (const auto& effect : out.effects) {
      if (const auto* g = std::get_if<grant_effect>(&effect)) held_.push_back(g->grant);
      if (const auto* v = std::get_if<verify_effect>(&effect)) {
        rules_->on_verified(v->video, v->job, {}, now_, out_);
        settle();
      }
    }
  }

  void random_step() {
    switch (random_() % 8) {
      case 0: rules_->on_work_request({"w" + std::to_string(random_() % 3), random_() % 2, "e", 1 + static_cast<std::uint32_t>(random_() % 3)}, now_, random_(), out_); break;
      case 1: rules_->on_worker_lost("w" + std::to_string(random_() % 3)); break;
      case 2: now_ = now_ + milliseconds{random_() % 12'000}; rules_->on_tick(now_, random_(), out_); break;
      case 3:
        if (random_() % 4 == 0) restart();
        break;
      case 4:
        if (!held_.empty()) {
          const auto& g = held_[random_() % held_.size()];
          (void)rules_->on_failure({{g.video, g.kind, g.first}, g.held, errc::crashed, "crash"}, now_, random_(), out_);
        }
        break;
      default: work(); break;
    }
  }

  /// Some holder, whose lease may be long gone, reports.
  void work() {
    if (held_.empty()) return;
    const auto g = held_[random_() % held_.size()];
    if (g.kind == task_kind::plan) {
      plan_page page;
      page.video = g.video;
      page.held = g.held;
      page.plan.segment_frames = 48;
      page.plan.fps = {24, 1};
      page.plan.frames = 6 * 144;
      page.plan.rungs = {{640, 360, 800}};
      page.plan.audio = {{1, "und"}};
      std::uint64_t begin = 0;
      for (std::uint32_t i = 0; i < 6; ++i) {
        page.chunks.push_back({i, begin, 48 * (1 + i % 3), 0, 0});
        begin += page.chunks.back().frames;
      }
      page.plan.frames = begin;
      for (const auto& chunk : page.chunks) first_frame_[chunk.index] = chunk.first_frame;
      page.complete = true;
      (void)rules_->on_plan_page(page, now_, out_);
      return;
    }
    task_commit c;
    c.task = {g.video, g.kind, g.kind == task_kind::video ? g.chunks[random_() % g.chunks.size()].index : g.first};
    c.held = g.held;
    c.output.blob = {8, random_()};
    c.output.store = "storage-0";
    if (g.kind == task_kind::video && random_() % 8 == 0) c.found = {1, first_frame_[c.task.index], false};
    const auto code = rules_->on_commit(c, now_, out_);
    if (code == errc::none) {
      RC_ASSERT(db_.committed.try_emplace(c.task, c.output).second);  // once, ever
    }
  }

  void restart() {
    std::vector<video_view> before;
    for (const auto& [id, r] : db_.videos) before.push_back(*rules_->view(id, now_));
    const auto counts = rules_->count();
    db_.meta.last = {db_.meta.last.generation + 1, 0};  // taken, and written, before anything is granted under it
    rules_ = std::make_unique<scheduler>(scheduler_config{}, db_.meta.last.generation);
    for (const auto& [id, r] : db_.tasks) rules_->load(r);
    for (const auto& [id, r] : db_.leases) rules_->load(r);
    for (const auto& [id, r] : db_.videos) rules_->load(r);
    rules_->load(db_.meta);
    rules_->loaded(now_, out_);
    // What is summed up as reports come is what a look at all records finds.
    for (const auto& v : before) {
      const auto after = *rules_->view(v.id, now_);
      RC_ASSERT(after.state == v.state);
      RC_ASSERT(after.chunks == v.chunks);
      RC_ASSERT(after.chunks_done == v.chunks_done);
      RC_ASSERT(after.playable == v.playable);
      RC_ASSERT(after.notes == v.notes);
      RC_ASSERT(after.rungs == v.rungs);
      RC_ASSERT(after.revision > v.revision);
    }
    RC_ASSERT(rules_->count().pending_tasks == counts.pending_tasks);
    RC_ASSERT(rules_->count().leases == counts.leases);
  }

  /// No more faults: a diligent worker does all that it is given.
  void calm() {
    for (int i = 0; i < 3; ++i) rules_->on_worker_lost("w" + std::to_string(i));
    held_.clear();
    rules_->on_work_request({"diligent", 5, "e", 2}, now_, random_(), out_);
    settle();
    for (int round = 0; round < 400; ++round) {
      now_ = now_ + milliseconds{500};
      rules_->on_tick(now_, random_(), out_);
      settle();
      auto todo = std::exchange(held_, {});
      for (const auto& g : todo) {
        held_ = {g};
        const auto times = std::max<std::size_t>(1, g.chunks.size());
        for (std::size_t i = 0; i < times * 12; ++i) {
          work();
          settle();
        }
        held_.erase(held_.begin());
      }
    }
    for (const auto& [id, v] : db_.videos) RC_ASSERT(v.state == video_state::ready || v.state == video_state::failed);
    RC_ASSERT(db_.leases.empty());
    RC_ASSERT(rules_->count().leases == 0u);
  }

  std::mt19937_64 random_;
  instant now_{1'000'000'000'000};
  std::unique_ptr<scheduler> rules_;
  decision out_;
  database db_;
  std::vector<work_grant> held_;
  std::map<std::uint32_t, std::uint64_t> first_frame_;
};

}  // namespace

RC_GTEST_PROP(SchedulerHistories, EveryTaskCommitsOnceAndEverythingEnds, (std::uint64_t seed)) { history{seed}.run(300); }

}  // namespace latham
