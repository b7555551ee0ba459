// A shard goes from one scheduler actor to another, in virtual time, with storage nodes that keep claims as the real ones do.
#include "actors/cluster/directory.hpp"
#include "actors/scheduler/scheduler_actor.hpp"
#include "store/memory_kv.hpp"
#include "store/schema.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

namespace latham {

namespace {

struct virtual_time : caf::actor_system_config {
  virtual_time() { set("scheduler.policy", caf::atom("testing")); }
};

class moving_clock final : public ports::clock {
public:
  [[nodiscard]] instant now() const noexcept override { return {at.count()}; }
  [[nodiscard]] utc_ms wall() const noexcept override { return {1'700'000'000'000}; }
  nanoseconds at{seconds{1'000}};
};

class zero_random final : public ports::random {
public:
  [[nodiscard]] std::uint64_t next() override { return 0; }
};

class HandOver : public ::testing::Test {
protected:
  struct scheduler_node {
    store::closure_queue disk;
    std::unique_ptr<store::memory_kv> records;
    env e;
    directory_actor directory;
    caf::actor actor;
    caf::actor watcher;  // held, because an actor that nobody knows ends
    bool ended = true;
  };

  void SetUp() override {
    for (const auto& name : storage_names()) {
      storages_[name] = system_.spawn([this, name](caf::event_based_actor* self) -> caf::behavior {
        return {[this, name](recall_atom, std::uint16_t from) { return kept_claims{false, true, claims_[name].list(from, claims_max)}; },
                [this, name](const claim_request& asked) -> caf::result<claim_answer> {
                  const bool transfer = asked.previous != 0 && asked.wanted.holder != names_by_incarnation_[asked.previous];
                  if (asked.wanted.holder != "scheduler-1" && asked.wanted.shard == 1 && !transfer && out_of_reach_.contains(name)) return to_caf({errc::unavailable, "the node is away"});
                  if (transfer && no_transfer_.contains(name)) return to_caf({errc::unavailable, "the node is away"});
                  return claims_[name].on_claim(asked, clock_.now()).answer;
                },
                [this](again_atom, std::uint16_t) -> caf::result<bool> {
                  if (!tells_) return to_caf({errc::unavailable, "the node is away"});
                  return true;
                },
                [this, self](adopt_atom, const node_name& to, const shard_page& some) -> caf::result<adopt_answer> {
                  pages_.push_back(some);
                  const auto at = nodes_.find(to);
                  if (at == nodes_.end() || at->second.ended || cut_off_) return to_caf({errc::unavailable, "the scheduler is away"});
                  auto answer = self->make_response_promise<adopt_answer>();
                  self->request(caf::actor_cast<scheduler_actor>(at->second.actor), seconds{5}, adopt_atom::value, some)
                    .then([answer](const adopt_answer& taken) mutable { answer.deliver(taken); }, [answer](caf::error& e) mutable { answer.deliver(std::move(e)); });
                  return answer;
                },
                [this, self](handover_atom, const node_name& holder, std::uint16_t shard, const node_name& to) -> caf::result<hand_over_answer> {
                  const auto at = nodes_.find(holder);
                  if (at == nodes_.end() || at->second.ended || cut_off_) return to_caf({errc::unavailable, "the scheduler is away"});
                  auto answer = self->make_response_promise<hand_over_answer>();
                  self->request(caf::actor_cast<scheduler_actor>(at->second.actor), seconds{5}, handover_atom::value, shard, to)
                    .then([answer](const hand_over_answer& told) mutable { answer.deliver(told); }, [answer](caf::error& e) mutable { answer.deliver(std::move(e)); });
                  return answer;
                }};
      });
    }
    start("scheduler-0", 0);
    start("scheduler-1", 1);
    pass(seconds{2});
    ASSERT_EQ(shards("scheduler-0"), std::vector<std::uint16_t>{0});
    ASSERT_EQ(shards("scheduler-1"), std::vector<std::uint16_t>{1});
  }
  void TearDown() override {
    for (auto& [name, n] : nodes_) {
      caf::anon_send_exit(n.actor, caf::exit_reason::kill);
      caf::anon_send_exit(n.watcher, caf::exit_reason::kill);
      caf::anon_send_exit(caf::actor_cast<caf::actor>(n.directory), caf::exit_reason::kill);
    }
    for (const auto& [name, one] : storages_) caf::anon_send_exit(one, caf::exit_reason::kill);
    run();
    actors().clock().advance_time(std::chrono::hours{1});
    run();
  }
  static std::vector<node_name> storage_names() { return {"storage-0", "storage-1", "storage-2"}; }

  /// Also of one that ended: with the disk that it had.
  void start(const node_name& name, std::uint16_t home) {
    auto& n = nodes_[name];
    if (!n.records) n.records = std::make_unique<store::memory_kv>(n.disk.adder());
    n.e.config.name = name;
    n.e.config.shard = home;
    n.e.config.storages = storage_names();
    n.e.config.schedulers = {"scheduler-0", "scheduler-1"};
    n.e.config.draining = draining_;
    n.e.config.incarnation = ++lives_;
    names_by_incarnation_[lives_] = name;
    n.e.records = n.records.get();
    n.e.clock = &clock_;
    n.e.random = &random_;
    if (n.directory) caf::anon_send_exit(caf::actor_cast<caf::actor>(n.directory), caf::exit_reason::kill);
    n.directory = spawn_directory(system_, n.e);
    n.ended = false;
    n.watcher = system_.spawn([this, &n](caf::event_based_actor* self) -> caf::behavior {
      n.actor = spawn_scheduler(self, n.e, n.directory);
      self->monitor(n.actor);
      self->set_down_handler([self, &n](caf::down_msg&) {
        n.ended = true;
        self->quit();
      });
      return {[](caf::unit_t) {}};
    });
    run();
    for (const auto& [storage, handle] : storages_)
      caf::anon_send(caf::actor_cast<scheduler_actor>(n.actor), storage_up_atom::value, storage, caf::actor_cast<caf::strong_actor_ptr>(handle));
    run();
  }
  void kill(const node_name& name) {
    caf::anon_send_exit(nodes_.at(name).actor, caf::exit_reason::kill);
    run();
  }

  caf::scheduler::test_coordinator& actors() { return dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler()); }
  void run() {
    bool more = true;
    while (more) {
      actors().run();
      more = false;
      for (auto& [name, n] : nodes_) n.disk.run_all();
      more = actors().has_job();
    }
  }
  void pass(milliseconds time) {
    for (auto left = time; left > milliseconds{0}; left -= milliseconds{100}) {
      clock_.at += milliseconds{100};
      actors().clock().advance_time(milliseconds{100});
      run();
    }
  }
  template <class T, class... Args>
  expected<T> ask(const node_name& of, const Args&... args) {
    expected<T> out{errc::internal, "no answer"};
    system_.spawn([&](caf::event_based_actor* self) {
      self->request(nodes_.at(of).actor, seconds{5}, args...).then([&](const T& value) { out = value; }, [&](const caf::error& e) { out = from_caf(e); });
    });
    run();
    return out;
  }
  std::vector<std::uint16_t> shards(const node_name& of) {
    const auto info = ask<shard_info>(of, shards_atom::value);
    return info ? info->shards : std::vector<std::uint16_t>{999};
  }
  errc announce(const node_name& to, video_id video) {
    media_ready event;
    event.video = video;
    event.tenant = "default";
    event.source.bytes = 10;
    const auto code = ask<errc>(to, event);
    return code ? *code : code.error().code;
  }
  expected<hand_over_answer> hand_over(const node_name& from, std::uint16_t shard, const node_name& to) { return ask<hand_over_answer>(from, handover_atom::value, shard, to); }
  errc finds(const node_name& at, video_id video) {
    const auto view = ask<video_view>(at, find_atom::value, video);
    return view ? errc::none : view.error().code;
  }

  virtual_time config_;
  caf::actor_system system_{config_};
  moving_clock clock_;
  zero_random random_;
  std::map<node_name, scheduler_node> nodes_;
  std::map<node_name, caf::actor> storages_;
  std::map<node_name, shard_claims> claims_;
  std::map<std::uint64_t, node_name> names_by_incarnation_;
  std::uint64_t lives_ = 0;
  std::set<node_name> no_transfer_;  // to claims that a scheduler makes for another
  std::set<node_name> out_of_reach_; // of the receiver, for shard 1
  bool tells_ = true;                // of its uploads
  bool cut_off_ = false;             // schedulers, from pages
  std::set<node_name> draining_;     // that are to be emptied, as said to those that start
  std::vector<shard_page> pages_;
};

const auto video = make_id<video_id>({1}, 1, 1);
const auto another = make_id<video_id>({2}, 1, 2);

}  // namespace

TEST_F(HandOver, OfASchedulerThatIsEmptiedAndComesBack) {
  ASSERT_EQ(announce("scheduler-1", video), errc::none);
  EXPECT_EQ(ask<leave_report>("scheduler-1", leave_atom::value)->reasons.front().what, "not_draining");
  draining_ = {"scheduler-1"};
  kill("scheduler-1");
  cut_off_ = true;
  start("scheduler-1", 1);
  pass(seconds{12});
  const auto early = ask<leave_report>("scheduler-1", leave_atom::value);
  ASSERT_TRUE(early);
  EXPECT_FALSE(early->may_leave);
  ASSERT_EQ(early->reasons.size(), 1u);
  EXPECT_EQ(early->reasons[0].what, "shards");
  EXPECT_EQ(early->reasons[0].count, 1u);
  cut_off_ = false;
  pass(seconds{20});
  ASSERT_TRUE(nodes_.at("scheduler-0").ended) << "it begins anew, with the shard";
  EXPECT_FALSE(ask<leave_report>("scheduler-1", leave_atom::value)->may_leave) << "the other does not go on from there yet";
  start("scheduler-0", 0);
  pass(seconds{3});
  ASSERT_TRUE(nodes_.at("scheduler-1").ended) << "it begins anew, without it";
  start("scheduler-1", 1);
  pass(seconds{3});
  EXPECT_TRUE(ask<leave_report>("scheduler-1", leave_atom::value)->may_leave);
  EXPECT_EQ(shards("scheduler-0"), (std::vector<std::uint16_t>{0, 1}));
  EXPECT_EQ(shards("scheduler-1"), std::vector<std::uint16_t>{});
  EXPECT_EQ(finds("scheduler-0", video), errc::none);
  EXPECT_EQ(finds("scheduler-1", video), errc::unavailable) << "not: there is no such video";
  EXPECT_EQ(announce("scheduler-0", another), errc::none);
  const auto over = hand_over("scheduler-1", 1, "scheduler-0");
  ASSERT_TRUE(over);
  EXPECT_TRUE(over->done);

  // The one that has it is away for longer than a claim lasts, and it stays that one's.
  kill("scheduler-0");
  pass(seconds{10});
  EXPECT_EQ(shards("scheduler-1"), std::vector<std::uint16_t>{});
  start("scheduler-0", 0);
  pass(seconds{7});
  ASSERT_EQ(shards("scheduler-0"), (std::vector<std::uint16_t>{0, 1}));

  // It comes back to stay, with nothing on its disk, and asks for what is its own.
  draining_ = {};
  kill("scheduler-1");
  nodes_.at("scheduler-1").records.reset();
  start("scheduler-1", 1);
  pass(seconds{8});
  ASSERT_TRUE(nodes_.at("scheduler-1").ended);
  start("scheduler-1", 1);
  pass(seconds{3});
  ASSERT_TRUE(nodes_.at("scheduler-0").ended);
  start("scheduler-0", 0);
  pass(seconds{3});
  EXPECT_EQ(finds("scheduler-1", video), errc::none);
  EXPECT_EQ(finds("scheduler-1", another), errc::none);
  EXPECT_EQ(shards("scheduler-0"), std::vector<std::uint16_t>{0});
}

TEST_F(HandOver, OfSomebodyWhoIsAwayIsGivenUpAndTheShardGoesOn) {
  ASSERT_EQ(announce("scheduler-1", video), errc::none);
  cut_off_ = true;
  ASSERT_TRUE(hand_over("scheduler-1", 1, "scheduler-0"));
  pass(milliseconds{500});
  EXPECT_EQ(announce("scheduler-1", another), errc::unavailable) << "while it is sent nothing changes";
  EXPECT_FALSE(hand_over("scheduler-1", 1, "scheduler-0")->done);
  pass(seconds{25});
  EXPECT_EQ(announce("scheduler-1", another), errc::none);
  EXPECT_EQ(shards("scheduler-1"), std::vector<std::uint16_t>{1});
  cut_off_ = false;
  ASSERT_TRUE(hand_over("scheduler-1", 1, "scheduler-0"));
  pass(seconds{3});
  start("scheduler-0", 0);
  pass(seconds{3});
  EXPECT_EQ(finds("scheduler-0", another), errc::none) << "the second try sends what was decided since the first";
}

TEST_F(HandOver, RefusesToBeginWhileAStorageNodeHasNotTold) {
  tells_ = false;
  kill("scheduler-1");
  nodes_.at("scheduler-1").records.reset();  // a new disk, that knows no storage node
  start("scheduler-1", 1);
  pass(seconds{12});
  ASSERT_EQ(shards("scheduler-1"), std::vector<std::uint16_t>{1});
  const auto refused = hand_over("scheduler-1", 1, "scheduler-0");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::unavailable);
  EXPECT_FALSE(hand_over("scheduler-1", 1, "scheduler-1")) << "to itself";
  EXPECT_FALSE(hand_over("scheduler-1", 2, "scheduler-0")) << "not its own";
}

TEST_F(HandOver, IsNotDoneBeforeAMajorityKnowsAndThenTheOldLifeMayGoOn) {
  ASSERT_EQ(announce("scheduler-1", video), errc::none);
  no_transfer_ = {"storage-1", "storage-2"};
  ASSERT_TRUE(hand_over("scheduler-1", 1, "scheduler-0"));
  pass(seconds{4});
  ASSERT_EQ(claims_["storage-0"].find(1)->holder, "scheduler-0");
  EXPECT_FALSE(nodes_.at("scheduler-1").ended);
  EXPECT_FALSE(hand_over("scheduler-1", 1, "scheduler-0")->done);
  // The giver dies. Its next life hears of the shard from two that know nothing of the receiver, and goes on.
  kill("scheduler-1");
  claims_["storage-0"].load(*claims_["storage-0"].find(1), clock_.now());
  storages_.at("storage-0");
  const auto first = storages_.extract("storage-0");
  start("scheduler-1", 1);
  pass(seconds{8});
  ASSERT_EQ(shards("scheduler-1"), std::vector<std::uint16_t>{1});
  ASSERT_EQ(announce("scheduler-1", another), errc::none);
  kill("scheduler-1");
  // What the receiver has is old now. It never takes the shard, however long the giver is silent.
  pass(seconds{60});
  if (nodes_.at("scheduler-0").ended) start("scheduler-0", 0);
  pass(seconds{30});
  EXPECT_EQ(claims_["storage-1"].find(1)->holder, "scheduler-1");
  EXPECT_EQ(claims_["storage-2"].find(1)->holder, "scheduler-1");
  storages_.emplace("storage-0", first.mapped());
  start("scheduler-1", 1);
  pass(seconds{20});
  ASSERT_EQ(shards("scheduler-1"), std::vector<std::uint16_t>{1});
  EXPECT_EQ(finds("scheduler-1", another), errc::none);
  EXPECT_EQ(finds("scheduler-1", video), errc::none);
}

TEST_F(HandOver, IsNotForgottenWhenOneStorageNodeHasHeardTheReceiver) {
  ASSERT_EQ(announce("scheduler-1", video), errc::none);
  no_transfer_ = out_of_reach_ = {"storage-1", "storage-2"};
  ASSERT_TRUE(hand_over("scheduler-1", 1, "scheduler-0"));
  pass(seconds{4});
  const auto given = claims_["storage-0"].find(1)->generation;
  if (nodes_.at("scheduler-0").ended) start("scheduler-0", 0);
  pass(seconds{10});
  ASSERT_EQ(claims_["storage-0"].find(1)->holder, "scheduler-0");
  ASSERT_GT(claims_["storage-0"].find(1)->generation, given) << "the receiver has gone on there";
  EXPECT_FALSE(nodes_.at("scheduler-1").ended);
  const auto has_video = [&] { return nodes_.at("scheduler-1").records->contents().contains(store::video_key(video)); };
  EXPECT_TRUE(has_video()) << "its next life may own the shard, by the other two";
  no_transfer_ = out_of_reach_ = {};
  pass(seconds{15});
  EXPECT_TRUE(nodes_.at("scheduler-1").ended);
  EXPECT_FALSE(has_video());
}

/// The giver claims for the receiver once. To go on would look as if that life of the receiver were heard, and its next one waits
/// until it is not.
TEST_F(HandOver, ToOneThatLosesItsDiskJustThenGivesItTheShardAllTheSame) {
  ASSERT_TRUE(hand_over("scheduler-1", 1, "scheduler-0"));
  for (int i = 0; i < 30 && claims_["storage-2"].find(1)->holder != "scheduler-0"; ++i) pass(milliseconds{100});
  ASSERT_EQ(claims_["storage-2"].find(1)->holder, "scheduler-0");
  kill("scheduler-0");
  nodes_.at("scheduler-0").records.reset();
  start("scheduler-0", 0);
  pass(seconds{20});
  EXPECT_EQ(announce("scheduler-0", video), errc::none);
  EXPECT_TRUE(nodes_.at("scheduler-1").ended) << "it begins anew, without it";
}

TEST_F(HandOver, PagesThatComeLateChangeNothing) {
  ASSERT_EQ(announce("scheduler-1", video), errc::none);
  no_transfer_ = {"storage-0", "storage-1", "storage-2"};
  ASSERT_TRUE(hand_over("scheduler-1", 1, "scheduler-0"));
  pass(seconds{2});
  ASSERT_GE(pages_.size(), 2u);
  ASSERT_TRUE(pages_.back().last);
  auto late = pages_.front();
  late.videos.clear();
  EXPECT_EQ(ask<adopt_answer>("scheduler-0", adopt_atom::value, late)->code, errc::conflict);
  auto older = late;
  --older.attempt;
  EXPECT_EQ(ask<adopt_answer>("scheduler-0", adopt_atom::value, older)->code, errc::conflict);
  auto too_far = pages_.back();
  too_far.number += 2;
  EXPECT_EQ(ask<adopt_answer>("scheduler-0", adopt_atom::value, too_far)->code, errc::conflict);
  no_transfer_.clear();
  pass(seconds{3});
  start("scheduler-0", 0);
  pass(seconds{3});
  EXPECT_EQ(finds("scheduler-0", video), errc::none);
}

namespace {

shard_page page_of(std::uint32_t attempt, std::uint32_t number, bool last, std::vector<video_id> videos) {
  shard_page out;
  out.shard = 1;
  out.giver = {77, 5};
  out.attempt = attempt;
  out.number = number;
  out.last = last;
  for (const auto id : videos) out.videos.emplace_back().request.video = id;
  return out;
}

}  // namespace

TEST_F(HandOver, AFirstPageThatComesAgainTakesNothingAwayOfWhatFollowedIt) {
  const auto has = [&](video_id id) { return nodes_.at("scheduler-0").records->contents().contains(store::video_key(id)); };
  const auto send = [&](const shard_page& some) { caf::anon_send(caf::actor_cast<scheduler_actor>(nodes_.at("scheduler-0").actor), adopt_atom::value, some); };
  EXPECT_EQ(ask<adopt_answer>("scheduler-0", adopt_atom::value, page_of(1, 0, false, {video}))->code, errc::none);
  send(page_of(1, 0, false, {video}));  // by another way
  send(page_of(1, 1, true, {another}));
  run();
  EXPECT_TRUE(has(video));
  EXPECT_TRUE(has(another));
}

TEST_F(HandOver, OfTwoFirstPagesTheLaterAttemptsCountsAndBothAreAnswered) {
  const auto has = [&](video_id id) { return nodes_.at("scheduler-0").records->contents().contains(store::video_key(id)); };
  std::vector<errc> answers;
  const auto send = [&](const shard_page& some) {
    system_.spawn([&](caf::event_based_actor* self) {
      self->request(caf::actor_cast<scheduler_actor>(nodes_.at("scheduler-0").actor), seconds{5}, adopt_atom::value, some)
        .then([&](const adopt_answer& a) { answers.push_back(a.code); }, [&](const caf::error& e) { answers.push_back(from_caf(e).code); });
    });
    actors().run();
  };
  send(page_of(1, 0, false, {video}));
  send(page_of(1, 0, false, {video}));
  send(page_of(2, 0, false, {another}));
  EXPECT_EQ(answers, (std::vector<errc>{errc::limited, errc::limited})) << "nobody waits for what will not be";
  run();
  EXPECT_EQ(answers.size(), 3u);
  EXPECT_EQ(answers.back(), errc::none);
  EXPECT_TRUE(has(another));
  EXPECT_FALSE(has(video)) << "of the earlier attempt";

  // And while the first page is on its way to the disk.
  answers.clear();
  send(page_of(3, 0, false, {video}));
  auto& disk = nodes_.at("scheduler-0").disk;
  while (!has(video) && disk.run_one()) actors().run();
  send(page_of(4, 0, false, {another}));
  run();
  EXPECT_EQ(answers.back(), errc::none);
  EXPECT_TRUE(has(another));
  EXPECT_FALSE(has(video));
}

TEST_F(HandOver, AFirstPageTakesAwayTheMarkOfTheAttemptBeforeAlsoOnItsWayToTheDisk) {
  const auto send = [&](const shard_page& some) { caf::anon_send(caf::actor_cast<scheduler_actor>(nodes_.at("scheduler-0").actor), adopt_atom::value, some); };
  EXPECT_EQ(ask<adopt_answer>("scheduler-0", adopt_atom::value, page_of(1, 0, false, {video}))->code, errc::none);
  send(page_of(1, 1, true, {}));
  send(page_of(2, 0, false, {video}));
  run();
  EXPECT_FALSE(nodes_.at("scheduler-0").records->contents().contains(store::adoption_key(1)));
}

TEST_F(HandOver, ToOneThatIsEmptiedIsRefusedAndWhatCameBeforeKeepsItThere) {
  ASSERT_EQ(announce("scheduler-1", video), errc::none);
  no_transfer_ = {"storage-0", "storage-1", "storage-2"};
  ASSERT_TRUE(hand_over("scheduler-1", 1, "scheduler-0"));
  pass(seconds{3});
  ASSERT_TRUE(pages_.back().last);
  draining_ = {"scheduler-0"};
  kill("scheduler-0");
  start("scheduler-0", 0);
  pass(seconds{8});
  EXPECT_EQ(ask<adopt_answer>("scheduler-0", adopt_atom::value, page_of(1, 0, false, {}))->code, errc::limited);
  const auto why = ask<leave_report>("scheduler-0", leave_atom::value);
  ASSERT_TRUE(why);
  EXPECT_FALSE(why->may_leave);
  EXPECT_TRUE(std::any_of(why->reasons.begin(), why->reasons.end(), [](const auto& r) { return r.detail.starts_with("shard 1 has come from another scheduler"); }));
}

}  // namespace latham
