#include "sim/scale.hpp"

#include "actors/protocol.hpp"
#include "core/assert.hpp"
#include "core/scheduler/grant_batches.hpp"
#include "core/scheduler/scheduler.hpp"
#include "core/scheduler/slot_offers.hpp"
#include "store/scheduler_records.hpp"

#include <caf/binary_serializer.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <deque>
#include <functional>
#include <malloc.h>
#include <memory>
#include <queue>
#include <random>
#include <set>

// tcmalloc's; null where it is not linked. Its own mallinfo2 is younger than Debian 12's, and the C library's would see nothing.
extern "C" __attribute__((weak)) int MallocExtension_GetNumericProperty(const char* property, std::size_t* value);

namespace latham::sim {

namespace {

/// Bytes that the process has allocated and not freed.
std::size_t allocated_bytes() {
  std::size_t bytes = 0;
  if (MallocExtension_GetNumericProperty != nullptr && MallocExtension_GetNumericProperty("generic.current_allocated_bytes", &bytes) != 0) return bytes;
  return ::mallinfo2().uordblks;
}

constexpr nanoseconds latency = milliseconds{1};
constexpr nanoseconds sync_time = milliseconds{2};
constexpr nanoseconds renew_period = milliseconds{700};  // as node_config has it
constexpr std::uint64_t ask_ticks = 4;  // as in actors/transcoder
constexpr nanoseconds tick_period = milliseconds{200};
constexpr double chunk_s = 5;   // of one slot, on average, for an average chunk of 1080p

double processor_s() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

template <class T>
std::uint64_t wire_bytes(T x) {
  std::vector<char> bytes;
  caf::binary_serializer sink{static_cast<caf::execution_unit*>(nullptr), bytes};
  LATHAM_ASSERT(!sink(x));
  return bytes.size();
}

/// A source, as nobody knows it before it is planned.
struct source {
  media_ready event;
  source_plan plan;
  std::vector<chunk_plan> chunks;
  std::vector<double> chunk_costs_s;
  double plan_s = 1;
  double audio_s = 0;
  bool begun = false;  // a chunk is committed
};

struct shard {
  std::unique_ptr<scheduler> rules;
  std::uint64_t batch_records = 0;
  std::vector<std::function<void()>> waiting;  // for the next batch
  bool syncing = false;
  double rules_s = 0;
};

struct lease {
  work_grant grant;
  std::uint32_t done = 0;  // tasks of the run
};

struct worker {
  explicit worker(std::uint32_t slots) : offers{slots}, free{slots} {}
  node_name name;
  slot_offers offers;
  std::uint32_t free;
  std::map<std::pair<std::uint16_t, epoch>, lease> running;
  std::deque<std::pair<std::uint16_t, epoch>> homeless;
  std::uint64_t ticks = 0;
  std::map<std::uint16_t, std::uint32_t> asked;      // slots, by shard
  std::set<std::uint16_t> to_ask;
  std::map<std::uint16_t, commit_list> commits;
  std::set<std::uint16_t> committing;
};

node_name scheduler_name(std::uint16_t shard) { return fmt::format("scheduler-{:02}", shard); }

class model {
public:
  explicit model(const scale_options& how) : random_{how.seed} { result_.how = how; }

  scale_result run() {
    draw();
    for (std::uint16_t i = 0; i < result_.how.shards; ++i) {
      auto& s = shards_.emplace_back();
      s.rules = std::make_unique<scheduler>(scheduler_config{}, 1);
    }
    for (std::uint32_t i = 0; i < result_.how.workers; ++i) {
      auto& w = workers_.emplace_back(result_.how.slots);
      w.name = fmt::format("worker-{}", i);
      by_name_[w.name] = i;
      for (std::uint16_t s = 0; s < result_.how.shards; ++s) w.offers.add(scheduler_name(s));
    }
    for (const auto& [id, s] : sources_) {
      send("media_ready", s.event, [this, id = id] {
        at_shard(id.shard(), "media_ready", [&](scheduler& rules, decision& out) { (void)rules.on_media_ready(sources_.at(id).event, now_, out); });
      });
    }
    // Workers do not all start in the same moment.
    for (auto& w : workers_) after(nanoseconds{random_() % static_cast<std::uint64_t>(renew_period.count())}, [this, &w] { tick(w); });
    for (std::uint16_t i = 0; i < result_.how.shards; ++i) shard_tick(i);
    while (left_ > 0 && !events_.empty()) {
      // The priority queue gives its top as const; what is moved from it is gone with the pop.
      auto next = std::move(const_cast<event&>(events_.top()));
      events_.pop();
      now_ = next.when;
      next.run();
    }
    LATHAM_ASSERT(left_ == 0);
    result_.makespan_s = static_cast<double>((now_ - start_).count()) / 1e9;
    for (const auto& s : shards_) {
      result_.rules_s += s.rules_s;
      result_.busiest = std::max(result_.busiest, s.rules_s / result_.makespan_s);
    }
    result_.first_chunk_s /= static_cast<double>(sources_.size());
    events_ = {};
    for (auto& s : shards_) s.waiting.clear();
    const auto before = allocated_bytes();
    for (auto& s : shards_) s.rules.reset();
    result_.memory_bytes = before - allocated_bytes();
    return std::move(result_);
  }

private:
  struct event {
    instant when;
    std::uint64_t order;
    std::function<void()> run;
    bool operator<(const event& other) const { return std::tie(other.when, other.order) < std::tie(when, order); }
  };

  void after(nanoseconds wait, std::function<void()> run) { events_.push({now_ + wait, ++order_, std::move(run)}); }

  template <class T>
  void send(const char* what, const T& message, std::function<void()> arrive) {
    auto& t = result_.messages[what];
    ++t.messages;
    t.bytes += wire_bytes(message);
    after(latency, std::move(arrive));
  }

  // ---- What there is to do ---------------------------------------------------------------------------------------------

  void add_source(std::uint32_t chunks) {
    static constexpr std::array<rung, 5> ladder{{{426, 240, 400}, {640, 360, 800}, {854, 480, 1400}, {1280, 720, 2800}, {1920, 1080, 5000}}};
    const auto n = static_cast<std::uint64_t>(sources_.size());
    const auto id = make_id<video_id>({1'700'000'000'000 + static_cast<std::int64_t>(n)}, static_cast<std::uint16_t>(n % result_.how.shards), random_());
    auto& s = sources_[id];
    s.event.video = id;
    s.event.tenant = fmt::format("tenant-{}", random_() % 8);
    s.event.title = fmt::format("video {}", n);
    s.event.created_ms = id.created().value;
    s.event.priority = std::array{priority_class::low, priority_class::normal, priority_class::normal, priority_class::normal, priority_class::high}[random_() % 5];
    s.event.source = {make_id<blob_id>(id.created(), 0, random_()), fmt::format("storage-{}", random_() % 4), 1'000'000ull * chunks, {}};
    s.event.how.rungs.assign(ladder.begin(), ladder.end());
    const auto rungs = 2 + random_() % 4;
    double pixels = 0;
    double most = 0;
    for (std::size_t i = 0; i < ladder.size(); ++i) {
      most += ladder[i].width * ladder[i].height;
      if (i < rungs) pixels += ladder[i].width * ladder[i].height;
    }
    s.plan.container = "mov";
    s.plan.video_codec = "h264";
    s.plan.time_base = {1, 12'800};
    s.plan.fps = {24, 1};
    s.plan.segment_frames = 48;
    s.plan.width = ladder[rungs - 1].width;
    s.plan.height = ladder[rungs - 1].height;
    s.plan.rungs.assign(ladder.begin(), ladder.begin() + static_cast<std::ptrdiff_t>(rungs));
    s.plan.audio = {{1, "und"}};
    for (std::uint32_t i = 0; i < chunks; ++i) {
      // Borders follow the source's key frames: two to six segments; and some content is harder than other.
      const auto frames = static_cast<std::uint32_t>(48 * (2 + random_() % 5));
      s.chunks.push_back({i, s.plan.frames, frames, static_cast<std::int64_t>(s.plan.frames) * 533, s.plan.frames * 5'000});
      s.plan.frames += frames;
      const auto hard = 0.7 + 0.6 * static_cast<double>(random_() % 1000) / 1000;
      s.chunk_costs_s.push_back(chunk_s * pixels / most * frames / 192 * hard);
      work_s_ += s.chunk_costs_s.back();
    }
    s.audio_s = 0.02 * chunks;
    work_s_ += s.plan_s + s.audio_s;
    chain_s_ = std::max(chain_s_, s.plan_s + s.audio_s);
    result_.tasks += chunks + 2;
  }

  /// A few long films, some episodes, many clips; in no order.
  void draw() {
    const auto all = result_.how.chunks;
    std::vector<std::uint32_t> sizes;
    const auto fill = [&](std::uint32_t part, std::uint32_t size) {
      for (std::uint32_t have = 0; have < part; have += size) sizes.push_back(std::min(size, part - have));
    };
    fill(all / 5, 5'000);
    fill(all / 5 * 2, 1'000);
    fill(all - all / 5 - all / 5 * 2, 100);
    for (std::size_t i = sizes.size(); i > 1; --i) std::swap(sizes[i - 1], sizes[random_() % i]);
    for (const auto size : sizes) add_source(size);
    left_ = result_.videos = sources_.size();
    result_.ideal_s = std::max(chain_s_, work_s_ / (result_.how.workers * result_.how.slots));
  }

  // ---- A shard: decide, persist, act -------------------------------------------------------------------------------------

  template <class Rule>
  void at_shard(std::uint16_t i, const char* what, Rule rule, std::function<void()> answer = {}) {
    auto& s = shards_[i];
    decision out;
    const auto began = processor_s();
    rule(*s.rules, out);
    const auto spent = processor_s() - began;
    s.rules_s += spent;
    auto& e = result_.rules[what];
    ++e.calls;
    e.s += spent;
    ++result_.decisions;
    ports::kv_batch batch;
    store::append_writes(out.writes, batch);
    for (const auto& record : batch) result_.store_bytes += record.key.size() + (record.value ? record.value->size() : 0);
    result_.store_records += batch.size();
    s.batch_records += batch.size();
    s.waiting.push_back([this, i, effects = std::move(out.effects), answer = std::move(answer)] {
      if (answer) answer();
      perform(i, effects);
    });
    if (!s.syncing) sync(i);
  }

  void sync(std::uint16_t i) {
    auto& s = shards_[i];
    auto leaving = std::exchange(s.waiting, {});
    if (leaving.empty()) return;
    const bool writes = std::exchange(s.batch_records, 0) > 0;
    result_.syncs += writes ? 1 : 0;
    s.syncing = true;
    after(writes ? sync_time : nanoseconds{0}, [this, i, leaving = std::move(leaving)] {
      for (const auto& act : leaving) act();
      shards_[i].syncing = false;
      sync(i);
    });
  }

  void perform(std::uint16_t i, const std::vector<scheduler_effect>& effects) {
    for (const auto& batch : grants_by_worker(effects)) {
      auto& w = workers_[by_name_.at(batch.worker)];
      send("grant_list", grant_list{batch.grants}, [this, &w, grants = batch.grants] {
        for (const auto& grant : grants) on_grant(w, grant);
      });
    }
    for (const auto& effect : effects) {
      if (const auto* p = std::get_if<publish_effect>(&effect)) {
        send("video_view", p->view, [] {});
        if (p->view.state == video_state::ready) --left_;
      } else if (const auto* v = std::get_if<verify_effect>(&effect)) {
        std::size_t left = (v->outputs.size() + batch_max - 1) / batch_max;
        for (std::size_t from = 0; from < v->outputs.size(); from += batch_max) {
          const auto to = std::min<std::size_t>(v->outputs.size(), from + batch_max);
          const output_list page(v->outputs.begin() + static_cast<std::ptrdiff_t>(from), v->outputs.begin() + static_cast<std::ptrdiff_t>(to));
          const bool last = --left == 0;
          send("verify", page, [this, i, last, n = page.size(), id = v->video, job = v->job] {
            send("verify answer", bool_list(n, 1), [this, i, last, id, job] {
              if (last) at_shard(i, "verified", [&](scheduler& rules, decision& out) { rules.on_verified(id, job, {}, now_, out); });
            });
          });
        }
      }
    }
  }

  void shard_tick(std::uint16_t i) {
    at_shard(i, "tick", [&](scheduler& rules, decision& out) { rules.on_tick(now_, random_(), out); });
    after(tick_period, [this, i] { shard_tick(i); });
  }

  // ---- A worker: the same words as actors/transcoder -----------------------------------------------------------------------

  void tick(worker& w) {
    std::map<std::uint16_t, renewal_list> renewals;
    for (const auto& [key, l] : w.running)
      if (renewals[key.first].size() < batch_max) renewals[key.first].push_back({l.grant.video, key.second, l.grant.first + l.done, 0});
    for (const auto& [s, list] : renewals)
      send("renewal_list", list, [this, s = s, list = list] {
        auto codes = std::make_shared<errc_list>();
        at_shard(
          s, "renewal",
          [&](scheduler& rules, decision& out) {
            for (const auto& renewal : list) codes->push_back(rules.on_renewal(renewal, now_, out));
          },
          [this, codes] { send("renewal answer", *codes, [] {}); });
      });
    ++w.ticks;
    for (std::uint16_t s = 0; s < result_.how.shards; ++s) {
      const auto last = w.asked.find(s);
      if ((w.ticks + s) % ask_ticks == 0 || last == w.asked.end() || last->second != w.offers.allowance(scheduler_name(s))) ask(w, s);
    }
    after(renew_period, [this, &w] { tick(w); });
  }

  void ask(worker& w, std::uint16_t s) {
    const auto slots = w.offers.allowance(scheduler_name(s));
    w.asked[s] = slots;
    const work_request what{w.name, 1, "x86_64 avcodec-59.37.100 x264-164", slots};
    send("work_request", what, [this, &w, s, what] {
      auto answer = std::make_shared<work_answer>();
      at_shard(
        s, "work_request",
        [&](scheduler& rules, decision& out) {
          answer->waiting = rules.on_work_request(what, now_, random_(), out);
          for (const auto& effect : out.effects)
            if (const auto* grant = std::get_if<grant_effect>(&effect)) answer->granted += grant->worker == w.name ? 1 : 0;
        },
        [this, &w, s, answer] {
          send("work_answer", *answer, [this, &w, s, answer] {
            w.offers.on_answer(scheduler_name(s), answer->granted + answer->waiting);
            for (const auto& [other, last] : w.asked)
              if (w.offers.allowance(scheduler_name(other)) != last && w.to_ask.insert(other).second)
                after(nanoseconds{0}, [this, &w, other = other] {
                  w.to_ask.erase(other);
                  ask(w, other);
                });
          });
        });
    });
  }

  void on_grant(worker& w, const work_grant& grant) {
    const auto key = std::pair{grant.video.shard(), grant.held};
    w.running[key].grant = grant;
    w.offers.on_granted(scheduler_name(key.first));
    w.homeless.push_back(key);
    start_waiting(w);
  }

  void start_waiting(worker& w) {
    while (w.free > 0 && !w.homeless.empty()) {
      --w.free;
      const auto key = w.homeless.front();
      w.homeless.pop_front();
      work(w, key);
    }
  }

  void work(worker& w, std::pair<std::uint16_t, epoch> key) {
    const auto& l = w.running.at(key);
    const auto& s = sources_.at(l.grant.video);
    const auto cost = l.grant.kind == task_kind::plan ? s.plan_s : l.grant.kind == task_kind::audio ? s.audio_s : s.chunk_costs_s[l.grant.first + l.done];
    after(nanoseconds{static_cast<std::int64_t>(cost * 1e9)}, [this, &w, key] {
      const auto& grant = w.running.at(key).grant;
      if (grant.kind == task_kind::plan) return page(w, key, 0);
      task_commit c;
      c.task = {grant.video, grant.kind, grant.first + w.running.at(key).done};
      c.held = key.second;
      c.output = output_of(grant);
      w.commits[key.first].push_back(std::move(c));
      send_commits(w, key.first);
    });
  }

  void page(worker& w, std::pair<std::uint16_t, epoch> key, std::uint32_t first) {
    const auto& s = sources_.at(w.running.at(key).grant.video);
    plan_page p{s.event.video, key.second, s.plan, first, {}, false};
    const auto last = std::min<std::size_t>(s.chunks.size(), first + ports::plan_page_chunks_max);
    p.chunks.assign(s.chunks.begin() + first, s.chunks.begin() + static_cast<std::ptrdiff_t>(last));
    p.complete = last == s.chunks.size();
    send("plan_page", p, [this, &w, key, p] {
      at_shard(
        key.first, "plan_page", [&](scheduler& rules, decision& out) { LATHAM_ASSERT(rules.on_plan_page(p, now_, out) == errc::none); },
        [this, &w, key, complete = p.complete, next = static_cast<std::uint32_t>(p.first_chunk + p.chunks.size())] {
          send("plan answer", errc::none, [this, &w, key, complete, next] {
            if (complete) return end(w, key);
            page(w, key, next);
          });
        });
    });
  }

  output_ref output_of(const work_grant& grant) {
    output_ref out;
    out.blob = make_id<blob_id>(grant.video.created(), grant.video.shard(), random_());
    out.store = grant.source.store;
    out.bytes = 5'000'000;
    out.index_bytes = 2'000;
    if (grant.kind == task_kind::audio) out.renditions.push_back({track_kind::audio, 0, 100'000, 128'000, "mp4a.40.2"});
    if (grant.kind == task_kind::video)
      for (std::uint8_t i = 0; i < grant.plan.rungs.size(); ++i) out.renditions.push_back({track_kind::video, i, 1'000'000, 5'000'000, "avc1.64001f"});
    return out;
  }

  void send_commits(worker& w, std::uint16_t s) {
    if (w.commits[s].empty() || !w.committing.insert(s).second) return;
    auto list = std::exchange(w.commits[s], {});
    if (list.size() > batch_max) {
      w.commits[s].assign(list.begin() + batch_max, list.end());
      list.resize(batch_max);
    }
    send("commit_list", list, [this, &w, s, list] {
      auto codes = std::make_shared<errc_list>();
      at_shard(
        s, "commit",
        [&](scheduler& rules, decision& out) {
          for (const auto& commit : list) {
            codes->push_back(rules.on_commit(commit, now_, out));
            LATHAM_ASSERT(codes->back() == errc::none);
            auto& src = sources_.at(commit.task.video);
            if (commit.task.kind != task_kind::video || std::exchange(src.begun, true)) continue;
            result_.first_chunk_s += static_cast<double>((now_ - start_).count()) / 1e9;
          }
        },
        [this, &w, s, list, codes] {
          send("commit answer", *codes, [this, &w, s, list] {
            w.committing.erase(s);
            for (const auto& commit : list) {
              const auto key = std::pair{s, commit.held};
              auto& l = w.running.at(key);
              if (++l.done >= std::max<std::size_t>(1, l.grant.chunks.size()))
                end(w, key);
              else
                work(w, key);
            }
            send_commits(w, s);
          });
        });
    });
  }

  void end(worker& w, std::pair<std::uint16_t, epoch> key) {
    w.running.erase(key);
    w.offers.on_ended(scheduler_name(key.first));
    ++w.free;
    start_waiting(w);
  }

  scale_result result_;
  std::mt19937_64 random_;
  static constexpr instant start_{1'000'000'000'000};
  instant now_ = start_;
  std::uint64_t order_ = 0;
  std::priority_queue<event> events_;
  std::map<video_id, source> sources_;
  std::deque<shard> shards_;    // deques: what is under way refers into them
  std::deque<worker> workers_;
  std::map<node_name, std::uint32_t> by_name_;
  std::uint64_t left_ = 0;      // videos that are not ready
  double work_s_ = 0;
  double chain_s_ = 0;          // the longest plan with the sound that follows, one task however long it is
};

scale_result::traffic sum_of(const scale_result& r) {
  scale_result::traffic sum;
  for (const auto& [what, t] : r.messages) {
    sum.messages += t.messages;
    sum.bytes += t.bytes;
  }
  return sum;
}

double per_chunk(const scale_result& r, std::uint64_t n) { return static_cast<double>(n) / r.how.chunks; }

}  // namespace

scale_result run_scale(const scale_options& how) { return model{how}.run(); }

std::string to_json(const scale_result& r) {
  nlohmann::ordered_json j;
  j["workers"] = r.how.workers;
  j["shards"] = r.how.shards;
  j["chunks"] = r.how.chunks;
  j["slots"] = r.how.slots;
  j["seed"] = r.how.seed;
  j["videos"] = r.videos;
  j["ideal_s"] = r.ideal_s;
  j["makespan_s"] = r.makespan_s;
  j["first_chunk_s"] = r.first_chunk_s;
  j["rules_s"] = r.rules_s;
  j["busiest"] = r.busiest;
  j["decisions"] = r.decisions;
  j["memory_bytes"] = r.memory_bytes;
  j["store_bytes"] = r.store_bytes;
  j["store_records"] = r.store_records;
  j["syncs"] = r.syncs;
  for (const auto& [what, t] : r.messages) j["messages"][what] = {{"messages", t.messages}, {"bytes", t.bytes}};
  for (const auto& [what, e] : r.rules) j["rules"][what] = {{"calls", e.calls}, {"us_each", e.s / static_cast<double>(e.calls) * 1e6}};
  return j.dump();
}

std::string scale_table_head() {
  return "| workers | shards | makespan s | of the ideal | first chunk s | decisions/s | busiest shard | messages/chunk | bytes/chunk | memory/task | store/task | syncs/chunk |\n"
         "|---|---|---|---|---|---|---|---|---|---|---|---|\n";
}

std::string to_table_row(const scale_result& r) {
  const auto sum = sum_of(r);
  return fmt::format("| {} | {} | {:.1f} | {:.3f} | {:.1f} | {:.0f} | {:.2f} % | {:.1f} | {:.0f} | {} | {} | {:.2f} |\n", r.how.workers, r.how.shards, r.makespan_s, r.makespan_s / r.ideal_s, r.first_chunk_s,
                     static_cast<double>(r.decisions) / r.rules_s, r.busiest * 100, per_chunk(r, sum.messages), per_chunk(r, sum.bytes), r.memory_bytes / r.tasks, r.store_bytes / r.tasks, per_chunk(r, r.syncs));
}

std::string scale_plots(const std::vector<scale_result>& all) {
  struct plot {
    const char* title;
    double (*of)(const scale_result&);
  };
  static constexpr std::array plots{
    plot{"makespan, of the ideal", [](const scale_result& r) { return r.makespan_s / r.ideal_s; }},
    plot{"decisions a second, one shard", [](const scale_result& r) { return static_cast<double>(r.decisions) / r.rules_s; }},
    plot{"busiest shard, % of a core", [](const scale_result& r) { return r.busiest * 100; }},
    plot{"messages a chunk", [](const scale_result& r) { return per_chunk(r, sum_of(r).messages); }},
    plot{"message bytes a chunk", [](const scale_result& r) { return per_chunk(r, sum_of(r).bytes); }},
    plot{"store bytes a task", [](const scale_result& r) { return static_cast<double>(r.store_bytes) / static_cast<double>(r.tasks); }},
  };
  static constexpr std::array colors{"#07a", "#c50", "#383", "#849"};
  constexpr int width = 300;
  constexpr int height = 200;
  std::set<std::uint32_t> workers, shards;
  for (const auto& r : all) {
    workers.insert(r.how.workers);
    shards.insert(r.how.shards);
  }
  std::string out = fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n", 3 * width, 2 * height + 30);
  for (std::size_t p = 0; p < plots.size(); ++p) {
    const auto left = static_cast<int>(p % 3) * width + 55;
    const auto top = static_cast<int>(p / 3) * height + 30;
    constexpr int w = width - 75;
    constexpr int h = height - 60;
    double most = 0;
    for (const auto& r : all) most = std::max(most, plots[p].of(r));
    if (most <= 0) most = 1;
    out += fmt::format("<text x=\"{}\" y=\"{}\" font-weight=\"bold\">{}</text>\n<path d=\"M{} {}v{}h{}\" fill=\"none\" stroke=\"#999\"/>\n", left, top - 10, plots[p].title, left, top, h, w);
    for (const double part : {0.0, 0.5, 1.0})
      out += fmt::format("<text x=\"{}\" y=\"{:.0f}\" text-anchor=\"end\" fill=\"#555\">{:.{}f}</text>\n", left - 4, top + h * (1 - part) + 4, most * part, most < 20 ? 2 : 0);
    const auto x_of = [&](std::uint32_t n) {
      const auto at = static_cast<std::size_t>(std::distance(workers.begin(), workers.find(n)));
      return left + 15 + static_cast<int>(at) * (w - 30) / std::max(1, static_cast<int>(workers.size()) - 1);
    };
    for (const auto n : workers) out += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{}</text>\n", x_of(n), top + h + 14, n);
    std::size_t color = 0;
    for (const auto s : shards) {
      std::string points;
      for (const auto& r : all)
        if (r.how.shards == s) points += fmt::format("{},{:.1f} ", x_of(r.how.workers), top + h * (1 - plots[p].of(r) / most));
      out += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"/>\n", points, colors[color++ % colors.size()]);
    }
  }
  int x = 55;
  std::size_t color = 0;
  for (const auto s : shards) {
    out += fmt::format("<text x=\"{}\" y=\"{}\" fill=\"{}\">{} shard{}</text>\n", x, 2 * height + 20, colors[color++ % colors.size()], s, s == 1 ? "" : "s");
    x += 80;
  }
  return out + fmt::format("<text x=\"{}\" y=\"{}\" fill=\"#555\">over the number of workers</text>\n</svg>\n", x, 2 * height + 20);
}

}  // namespace latham::sim
