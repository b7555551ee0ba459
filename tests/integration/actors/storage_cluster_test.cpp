// Several storage nodes: their actors as they are, on memory twins, in virtual time on CAF's test scheduler. Links between
// them, and the power of each, are in the hands of the test.
#include "actors/cluster/directory.hpp"
#include "actors/storage/repair_actor.hpp"
#include "actors/storage/storage_actor.hpp"
#include "actors/supervisor.hpp"
#include "core/cluster/identities.hpp"
#include "core/codec.hpp"
#include "core/upload/output_grant.hpp"
#include "store/memory_blobs.hpp"
#include "store/memory_kv.hpp"
#include "store/replicated_blobs.hpp"
#include "store/schema.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>

namespace latham {

namespace {

struct virtual_time : caf::actor_system_config {
  virtual_time() { set("scheduler.policy", caf::atom("testing")); }
};

class counting_random final : public ports::random {
public:
  [[nodiscard]] std::uint64_t next() override { return 0x9e3779b97f4a7c15ull * ++count_; }

private:
  std::uint64_t count_ = 0;
};

class StorageCluster : public ::testing::Test {
protected:
  struct clock final : ports::clock {
    explicit clock(StorageCluster& t) : test{t} {}
    [[nodiscard]] instant now() const noexcept override { return {std::chrono::duration_cast<nanoseconds>(test.actors().clock().now().time_since_epoch()).count()}; }
    [[nodiscard]] utc_ms wall() const noexcept override { return {1'714'000'000'000 + test.wall_offset_ms_ + now().ns / 1'000'000}; }
    StorageCluster& test;
  };

  struct node;
  /// Another node's own blobs, as far as it can be reached.
  class far_blobs final : public ports::blob_store {
  public:
    far_blobs(StorageCluster& t, node_name from, node_name to) : test_{t}, from_{std::move(from)}, to_{std::move(to)} {}
    void reserve(ports::write_token t, ports::completion<void> done) override { call<void>(done, [&](auto d) { disk().reserve(t, d); }); }
    void open_write(ports::write_token t, ports::completion<std::uint64_t> done) override { call<std::uint64_t>(done, [&](auto d) { disk().open_write(t, d); }); }
    void append(ports::write_token t, std::uint64_t at, buffer b, std::uint32_t crc, ports::completion<std::uint64_t> done) override {
      test_.sent_.push_back(at);
      call<std::uint64_t>(done, [&](auto d) { disk().append(t, at, b, crc, d); });
    }
    void truncate(ports::write_token t, std::uint64_t n, ports::completion<void> done) override {
      test_.cuts_.push_back(n);
      call<void>(done, [&](auto d) { disk().truncate(t, n, d); });
    }
    void seal(ports::write_token t, std::uint64_t n, ports::completion<ports::blob_stat> done) override { call<ports::blob_stat>(done, [&](auto d) { disk().seal(t, n, d); }); }
    void read(blob_id b, std::uint64_t at, std::uint32_t n, ports::completion<buffer> done) override { call<buffer>(done, [&](auto d) { disk().read(b, at, n, d); }); }
    void stat(blob_id b, ports::completion<ports::blob_stat> done) override { call<ports::blob_stat>(done, [&](auto d) { disk().stat(b, d); }); }
    void remove(blob_id b, ports::completion<void> done) override { call<void>(done, [&](auto d) { disk().remove(b, d); }); }
    void list(blob_id b, std::uint32_t n, ports::completion<std::vector<ports::blob_stat>> done) override { call<std::vector<ports::blob_stat>>(done, [&](auto d) { disk().list(b, n, d); }); }

  private:
    store::memory_blobs& disk() { return *test_.nodes_.at(to_).disk; }
    template <class T, class F>
    void call(const ports::completion<T>& done, F f) {
      if (from_ == to_ || test_.linked(from_, to_)) return f(done);
      test_.queue_.adder()([done] { done(error{errc::unavailable, "away"}); });
    }
    StorageCluster& test_;
    const node_name from_;
    const node_name to_;
  };
  class far_transport final : public ports::blob_transport {
  public:
    far_transport(StorageCluster& t, node_name from) : test_{t}, from_{std::move(from)} {}
    [[nodiscard]] std::shared_ptr<ports::blob_store> at(const node_name& to) override { return own_of(to); }
    [[nodiscard]] std::shared_ptr<ports::blob_store> own_of(const node_name& to) override { return std::make_shared<far_blobs>(test_, from_, to); }

  private:
    StorageCluster& test_;
    const node_name from_;
  };

  struct node {
    std::unique_ptr<store::memory_kv> records;
    std::unique_ptr<store::memory_blobs> disk;
    std::unique_ptr<far_transport> transport;
    std::unique_ptr<store::replicated_blobs> blobs;
    std::unique_ptr<env> e;
    directory_actor directory;
    caf::actor tree;
    storage_actor storage;
  };

  void SetUp() override {
    scheduler_ = system_.spawn([this](caf::event_based_actor*) -> caf::behavior {
      return {[](shards_atom) { return shard_info{{0}, true}; },
              [this](const media_ready& event) {
                announced_.insert(event.video);
                return errc::none;
              },
              [this](unused_atom, video_id, const blob_list& blobs) {
                blob_list out;
                for (const auto blob : blobs)
                  if (unused_.contains(blob)) out.push_back(blob);
                return out;
              }};
    });
    for (const auto* name : {"storage-0", "storage-1", "storage-2"}) {
      auto& n = nodes_[name];
      n.records = std::make_unique<store::memory_kv>(queue_.adder());
      n.disk = std::make_unique<store::memory_blobs>(queue_.adder());
      start(name);
    }
    link_all();
    pass(seconds{3});
  }
  void TearDown() override {
    for (auto& [name, n] : nodes_) stop(name);
    caf::anon_send_exit(scheduler_, caf::exit_reason::kill);
    actors().run();
    actors().clock().advance_time(std::chrono::hours{100});
    settle();
    nodes_.clear();
  }

  caf::scheduler::test_coordinator& actors() { return dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler()); }
  void settle() {
    do actors().run();
    while (do_one());
  }
  bool do_one() {
    const bool done = queue_.run_one();
    if (done && look_) look_();
    return done;
  }
  void pass(milliseconds time) {
    settle();
    for (auto left = time; left.count() > 0; left -= milliseconds{100}) {
      actors().clock().advance_time(milliseconds{100});
      settle();
    }
  }

  void start(const node_name& name) {
    auto& n = nodes_.at(name);
    n.transport = std::make_unique<far_transport>(*this, name);
    n.e = std::make_unique<env>();
    auto& e = *n.e;
    e.config.name = name;
    e.config.roles = {node_role::storage};
    e.config.incarnation = make_incarnation(clock_.wall(), ++incarnations_);
    e.config.storages = members_;
    e.config.draining = draining_;
    e.config.repair_period = seconds{10};
    e.config.output_grace = seconds{20};
    e.config.uploading.idle = idle_;
    e.config.scrub_bytes_s = scrub_bytes_s_;
    e.config.records.commit_bytes_max = commit_bytes_max_;
    n.blobs = std::make_unique<store::replicated_blobs>(*n.disk, [t = n.transport.get()](const node_name& to) { return t->own_of(to); }, e.config.rules_of_copies(), clock_);
    e.clock = &clock_;
    e.random = &random_;
    e.records = n.records.get();
    e.blobs = n.blobs.get();
    e.own_blobs = n.disk.get();
    e.transport = n.transport.get();
    n.directory = spawn_directory(system_, e);
    n.tree = spawn_supervisor(system_, e, "node", {},
                              {{"storage", [&e, d = n.directory](caf::event_based_actor* s) { return spawn_storage(s, e, d); }, restart_type::permanent},
                               {"repair", [&e, d = n.directory](caf::event_based_actor* s) { return spawn_repair(s, e, d); }, restart_type::permanent}});
    settle();
    n.storage = caf::actor_cast<storage_actor>(ask<caf::strong_actor_ptr>(n.directory, resolve_atom::value, std::string{service_storage}).value());
    up_.insert(name);
  }
  /// Starts again with what is configured now.
  void tell(const node_name& name) {
    kill(name);
    restart(name);
  }
  leave_report leave(const node_name& name) {
    auto report = ask<leave_report>(nodes_.at(name).storage, leave_atom::value);
    EXPECT_TRUE(report) << report.error().message;
    return report ? *report : leave_report{};
  }
  static std::uint64_t count_of(const leave_report& report, const std::string& what) {
    for (const auto& reason : report.reasons)
      if (reason.what == what) return reason.count;
    return 0;
  }
  void stop(const node_name& name) {
    auto& n = nodes_.at(name);
    if (up_.erase(name) == 0) return;
    caf::anon_send_exit(n.tree, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(n.directory, caf::exit_reason::user_shutdown);
    n.tree = nullptr;
    n.directory = nullptr;
    n.storage = nullptr;
    settle();
  }
  /// The power fails, and all links with it.
  void kill(const node_name& name) {
    for (const auto& [other, n] : nodes_)
      if (other != name) unlink(name, other);
    nodes_.at(name).disk->power_cut();
    nodes_.at(name).records->power_cut();
    stop(name);
  }
  void restart(const node_name& name) {
    start(name);
    link_all();
    settle();
  }
  struct volume {
    std::unique_ptr<store::memory_kv> records;
    std::unique_ptr<store::memory_blobs> disk;
  };
  volume new_volume() { return {std::make_unique<store::memory_kv>(queue_.adder()), std::make_unique<store::memory_blobs>(queue_.adder())}; }
  /// Ends it, and gives it that volume; returns the one that it had.
  volume change_volume(const node_name& name, volume next) {
    kill(name);
    auto& n = nodes_.at(name);
    n.blobs.reset();
    return {std::exchange(n.records, std::move(next.records)), std::exchange(n.disk, std::move(next.disk))};
  }
  void lose_disk(const node_name& name) { change_volume(name, new_volume()); }

  [[nodiscard]] bool linked(const node_name& a, const node_name& b) const { return links_.contains({std::min(a, b), std::max(a, b)}); }
  void link_all() {
    for (const auto& a : up_)
      for (const auto& b : up_)
        if (a < b) link(a, b);
  }
  /// The smaller name dials.
  void link(const node_name& a, const node_name& b) {
    if (links_.insert({a, b}).second) caf::anon_send(nodes_.at(a).directory, service_change{service_storage, b, caf::actor_cast<caf::strong_actor_ptr>(nodes_.at(b).storage)});
  }
  void unlink(const node_name& a, const node_name& b) {
    if (links_.erase({std::min(a, b), std::max(a, b)}) == 0) return;
    for (const auto& [here, there] : {std::pair{a, b}, std::pair{b, a}})
      if (nodes_.at(here).directory) caf::anon_send(nodes_.at(here).directory, service_change{service_storage, there, nullptr});
    settle();
  }
  void join_scheduler(const node_name& name) {
    caf::anon_send(nodes_.at(name).directory, service_change{service_scheduler, "scheduler", caf::actor_cast<caf::strong_actor_ptr>(scheduler_)});
    settle();
  }

  template <class T, class Handle, class... Ts>
  expected<T> ask(const Handle& handle, const Ts&... what) {
    auto pending = self_->request(handle, seconds{30}, what...);
    pass(milliseconds{100});
    expected<T> out = error{errc::timeout, "no answer"};
    pending.receive([&](T& value) { out = std::move(value); }, [&](caf::error& e) { out = from_caf(e); });
    return out;
  }
  template <class T, class Start>
  expected<T> call(Start start) {
    expected<T> out = error{errc::timeout, "no answer"};
    start(ports::completion<T>{[&out](expected<T> r) { out = std::move(r); }});
    settle();
    return out;
  }

  /// As in every cluster that has lived: a scheduler owns the shard, and each node keeps its claim.
  void live_with_a_scheduler() {
    for (const auto& [name, n] : nodes_) EXPECT_TRUE(ask<claim_answer>(n.storage, claim_request{{0, 1, "scheduler-0", 7}, 0})->granted);
  }

  /// The number of `about`'s disk, as `at` says in its answer to a claim.
  std::uint64_t disk_of(const node_name& about, const node_name& at) {
    const auto answer = ask<claim_answer>(nodes_.at(at).storage, claim_request{{0, 1, "scheduler-0", 7}, 0});
    EXPECT_TRUE(answer && answer->granted);
    if (!answer || about == at) return answer ? answer->disk : 0;
    const auto found = std::find_if(answer->others.begin(), answer->others.end(), [&](const storage_disk& d) { return d.node == about; });
    return found == answer->others.end() ? 0 : found->begun;
  }

  /// A complete upload whose first home is `name`.
  struct uploaded {
    video_id video;
    blob_id blob;
    std::vector<node_name> order;
  };
  expected<uploaded> upload(const node_name& name, const std::string& bytes) {
    auto& n = nodes_.at(name);
    auto ticket = ask<upload_ticket>(n.storage, begin_atom::value, upload_request{});
    if (!ticket) return ticket.error();
    const auto token = ticket->token;
    for (std::size_t at = 0; at < bytes.size(); at += mib) {
      const auto part = bytes.substr(at, mib);
      auto taken = call<std::uint64_t>([&](auto done) { n.blobs->append(token, at, buffer{part}, crc32c(part), done); });
      if (!taken) return taken.error();
    }
    auto done = ask<video_view>(n.storage, finish_atom::value, ticket->view.id, std::uint64_t{bytes.size()});
    if (!done) return done.error();
    return uploaded{ticket->view.id, token.blob, placement_of(token.blob, n.e->config.rules_of_copies())};
  }
  ports::blob_presence on_disk(const node_name& name, blob_id blob) {
    return call<ports::blob_look>([&](auto done) { nodes_.at(name).disk->look(blob, done); })->presence;
  }
  bool knows(const node_name& name, video_id video) { return ask<video_view>(nodes_.at(name).storage, find_atom::value, video).has_value(); }
  std::size_t copies(blob_id blob) {
    std::size_t count = 0;
    for (const auto& [name, n] : nodes_) count += on_disk(name, blob) == ports::blob_presence::sealed ? 1 : 0;
    return count;
  }

  virtual_time config_;
  caf::actor_system system_{config_};
  caf::scoped_actor self_{system_};
  store::closure_queue queue_;
  clock clock_{*this};
  counting_random random_;
  caf::actor scheduler_;
  std::map<node_name, node> nodes_;
  std::set<node_name> up_;
  std::set<std::pair<node_name, node_name>> links_;
  std::vector<node_name> members_{"storage-0", "storage-1", "storage-2"};  // as the next to start are told
  std::set<node_name> draining_;
  std::uint64_t scrub_bytes_s_ = 0;
  std::uint64_t commit_bytes_max_ = 1 * mib;
  std::function<void()> look_;  // after whatever the disks and the others did
  milliseconds idle_{24 * 3600 * 1000};
  std::int64_t wall_offset_ms_ = 0;
  std::uint64_t incarnations_ = 0;
  std::set<video_id> announced_;
  std::set<blob_id> unused_;  // to which the scheduler does not refer
  std::vector<std::uint64_t> cuts_;  // lengths, of truncates at other nodes
  std::vector<std::uint64_t> sent_;  // offsets, of appends at other nodes
};

}  // namespace

TEST_F(StorageCluster, ACompleteUploadAndItsRecordAreOnTwoNodes) {
  for (const auto* name : {"storage-0", "storage-1", "storage-2"}) {
    const auto u = upload(name, "bytes of " + std::string{name});
    ASSERT_TRUE(u) << u.error().message;
    EXPECT_EQ(u->order[0], name);  // the node that is asked is the first home
    EXPECT_EQ(on_disk(u->order[1], u->blob), ports::blob_presence::sealed);
    EXPECT_EQ(copies(u->blob), 2u);
    EXPECT_TRUE(knows(u->order[0], u->video));
    EXPECT_TRUE(knows(u->order[1], u->video));
    EXPECT_FALSE(knows(u->order[2], u->video));
  }
}

TEST_F(StorageCluster, NothingIsAcknowledgedWithoutASecondNode) {
  kill("storage-1");
  kill("storage-2");
  const auto u = upload("storage-0", "x");
  ASSERT_FALSE(u);
  EXPECT_EQ(u.error().code, errc::unavailable);
  restart("storage-2");
  pass(seconds{3});
  EXPECT_TRUE(upload("storage-0", "x"));
}

TEST_F(StorageCluster, TheLossOfTheFirstHomeLosesNothing) {
  const auto u = upload("storage-0", "bytes");
  ASSERT_TRUE(u);
  lose_disk("storage-0");
  for (const auto* name : {"storage-1", "storage-2"}) join_scheduler(name);
  pass(seconds{3});
  EXPECT_TRUE(announced_.contains(u->video));
  const auto bytes = call<buffer>([&](auto done) { nodes_.at(u->order[2]).blobs->read(u->blob, 0, 100, done); });
  ASSERT_TRUE(bytes);
  EXPECT_EQ(bytes->view(), "bytes");
}

TEST_F(StorageCluster, ANodeThatMissedADeleteDoesNotReviveTheVideo) {
  const auto u = upload("storage-0", "bytes");
  ASSERT_TRUE(u);
  const auto second = u->order[1];
  kill(second);
  EXPECT_TRUE(ask<bool>(nodes_.at("storage-0").storage, forget_atom::value, u->video));
  EXPECT_TRUE(ask<bool>(nodes_.at(u->order[2]).storage, forget_atom::value, u->video));
  // It returns to a scheduler that knows nothing, before it hears of the others.
  start(second);
  join_scheduler(second);
  EXPECT_TRUE(ask<bool>(nodes_.at(second).storage, again_atom::value, std::uint16_t{0}));
  pass(seconds{5});
  EXPECT_FALSE(announced_.contains(u->video));
  link_all();
  pass(seconds{15});
  EXPECT_FALSE(announced_.contains(u->video));
  EXPECT_FALSE(knows(second, u->video));
  for (const auto& [name, n] : nodes_) EXPECT_NE(on_disk(name, u->blob), ports::blob_presence::sealed) << name;
}

TEST_F(StorageCluster, ARebuiltSchedulerHearsOfAllThatLives) {
  const auto u = upload("storage-1", "bytes");
  ASSERT_TRUE(u);
  for (const auto& [name, n] : nodes_) join_scheduler(name);
  pass(seconds{2});
  ASSERT_TRUE(announced_.contains(u->video));
  announced_.clear();
  for (const auto& [name, n] : nodes_) EXPECT_TRUE(ask<bool>(n.storage, again_atom::value, std::uint16_t{0}));
  pass(seconds{2});
  EXPECT_TRUE(announced_.contains(u->video));
}

TEST_F(StorageCluster, ANodeThatReturnsEmptyGetsItsCopiesAndRecordsBack) {
  live_with_a_scheduler();
  std::string bytes(2 * mib + 500, 'a');
  bytes[mib + 3] = 'b';
  const auto u = upload("storage-0", bytes);
  ASSERT_TRUE(u);
  lose_disk(u->order[1]);
  restart(u->order[1]);
  pass(seconds{5});
  EXPECT_EQ(on_disk(u->order[1], u->blob), ports::blob_presence::sealed);
  EXPECT_TRUE(knows(u->order[1], u->video));
  EXPECT_EQ(copies(u->blob), 2u);
}

TEST_F(StorageCluster, ALostRecordThatIsNowhereAnyMoreIsNotWaitedFor) {
  auto u = upload("storage-0", "bytes");
  while (u && u->order[1] != "storage-2") u = upload("storage-0", "bytes");
  ASSERT_TRUE(u);
  const auto lists = [&] { return ask<view_list>(nodes_.at("storage-1").storage, list_atom::value, std::string{}, video_id{}, std::uint32_t{10}); };
  lose_disk("storage-1");
  kill("storage-2");
  restart("storage-1");
  pass(seconds{3});
  EXPECT_FALSE(lists()) << "it has heard of a record of one node, and has not heard the third";
  // More disks are lost than anybody promises to survive; what is gone must not keep the rest from answering.
  lose_disk("storage-0");
  lose_disk("storage-2");
  restart("storage-0");
  restart("storage-2");
  pass(seconds{90});
  EXPECT_TRUE(lists());
  const auto found = ask<video_view>(nodes_.at("storage-1").storage, find_atom::value, u->video);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, errc::not_found);
}

TEST_F(StorageCluster, AnUploadIsFinishedAgainWhereItsBytesAreLost) {
  const std::string bytes = "some bytes";
  const auto u = upload("storage-0", bytes);
  ASSERT_TRUE(u);
  // Its record comes back before its bytes, and the client, whose answer was lost, asks again.
  lose_disk("storage-0");
  start("storage-0");
  const auto early = ask<video_view>(nodes_.at("storage-0").storage, finish_atom::value, u->video, std::uint64_t{bytes.size()});
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code, errc::unavailable) << "it does not know yet what it had";
  link_all();
  for (int i = 0; i < 80 && !knows("storage-0", u->video); ++i) {
  }
  ASSERT_EQ(on_disk("storage-0", u->blob), ports::blob_presence::missing);
  EXPECT_TRUE(ask<video_view>(nodes_.at("storage-0").storage, finish_atom::value, u->video, std::uint64_t{bytes.size()}));
  const auto other = ask<video_view>(nodes_.at("storage-0").storage, finish_atom::value, u->video, std::uint64_t{bytes.size() + 1});
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, errc::conflict);
}

TEST_F(StorageCluster, AStandInGivesUpItsCopyOnceTheHomesHaveTheirs) {
  kill("storage-2");
  std::vector<uploaded> made;
  while (made.size() < 3) {
    const auto u = upload("storage-0", "some bytes");
    ASSERT_TRUE(u) << u.error().message;
    if (u->order[1] == "storage-2") made.push_back(*u);
  }
  for (const auto& u : made) EXPECT_EQ(on_disk("storage-1", u.blob), ports::blob_presence::sealed);
  restart("storage-2");
  pass(seconds{30});
  for (const auto& u : made) {
    EXPECT_EQ(on_disk("storage-2", u.blob), ports::blob_presence::sealed);
    EXPECT_EQ(on_disk("storage-1", u.blob), ports::blob_presence::missing);
    EXPECT_EQ(copies(u.blob), 2u);
    EXPECT_TRUE(knows("storage-2", u.video));
  }
}

TEST_F(StorageCluster, APartThatAWriterLeftBehindIsMadeWhole) {
  auto& n = nodes_.at("storage-0");
  const auto ticket = ask<upload_ticket>(n.storage, begin_atom::value, upload_request{}).value();
  const auto order = placement_of(ticket.token.blob, n.e->config.rules_of_copies());
  ASSERT_EQ(order[0], "storage-0");
  const std::string half(300'000, 'h');
  const auto append = [&](std::uint64_t at) { return call<std::uint64_t>([&](auto done) { n.blobs->append(ticket.token, at, buffer{half}, crc32c(half), done); }); };
  ASSERT_TRUE(append(0));
  unlink(order[0], order[1]);
  ASSERT_TRUE(append(half.size()));
  ASSERT_TRUE(ask<video_view>(n.storage, finish_atom::value, ticket.view.id, std::uint64_t{2 * half.size()}));
  EXPECT_EQ(on_disk(order[1], ticket.token.blob), ports::blob_presence::open);
  EXPECT_EQ(on_disk(order[2], ticket.token.blob), ports::blob_presence::sealed);
  link_all();
  pass(seconds{60});
  EXPECT_EQ(on_disk(order[1], ticket.token.blob), ports::blob_presence::sealed);
  EXPECT_EQ(on_disk(order[2], ticket.token.blob), ports::blob_presence::missing);
}

TEST_F(StorageCluster, APartThatAWriterLeftBehindIsGoneOnWith) {
  auto& n = nodes_.at("storage-0");
  const std::string bytes = std::string(mib, 'a') + std::string(mib, 'b') + std::string(500, 'c');
  struct part {
    std::string there;
    std::uint64_t kept;
  };
  // A prefix, one that is too long, and one that somebody's disk has made up.
  for (const auto& [there, kept] : {part{bytes.substr(0, mib + 100), mib + 100}, part{bytes + "more", bytes.size()},
                                    part{bytes.substr(0, mib + 40) + "other bytes", mib + 40}}) {
    const auto ticket = ask<upload_ticket>(n.storage, begin_atom::value, upload_request{}).value();
    const auto blob = ticket.token.blob;
    const auto order = placement_of(blob, n.e->config.rules_of_copies());
    unlink(order[0], order[1]);
    for (std::size_t at = 0; at < bytes.size(); at += mib) {
      const auto piece = bytes.substr(at, mib);
      ASSERT_TRUE(call<std::uint64_t>([&](auto done) { n.blobs->append(ticket.token, at, buffer{piece}, crc32c(piece), done); }));
    }
    for (std::size_t at = 0; at < there.size(); at += mib) {
      const auto piece = there.substr(at, mib);
      ASSERT_TRUE(call<std::uint64_t>([&](auto done) { nodes_.at(order[1]).disk->append(ticket.token, at, buffer{piece}, crc32c(piece), done); }));
    }
    ASSERT_TRUE(ask<video_view>(n.storage, finish_atom::value, ticket.view.id, std::uint64_t{bytes.size()}));
    ASSERT_EQ(on_disk(order[1], blob), ports::blob_presence::open);
    cuts_.clear();
    sent_.clear();
    link_all();
    pass(seconds{60});
    const auto made = call<ports::blob_stat>([&](auto done) { nodes_.at(order[1]).disk->stat(blob, done); });
    ASSERT_TRUE(made && made->sealed);
    EXPECT_EQ(made->digest, call<ports::blob_stat>([&](auto done) { n.disk->stat(blob, done); })->digest);
    for (const auto cut : cuts_) EXPECT_GE(cut, kept);
    for (const auto at : sent_) EXPECT_GE(at, kept);
  }
}

TEST_F(StorageCluster, AnUploadWhoseRecordIsOnOneNodeAloneIsNotShownAsAccepted) {
  auto& n = nodes_.at("storage-0");
  const auto ticket = ask<upload_ticket>(n.storage, begin_atom::value, upload_request{}).value();
  const std::string bytes(1'000, 'a');
  ASSERT_TRUE(call<std::uint64_t>([&](auto done) { n.blobs->append(ticket.token, 0, buffer{bytes}, crc32c(bytes), done); }));
  // Blobs come through, control does not: sealed on two nodes, with a record on one.
  const auto tell = [&](const node_name& here, const node_name& there, bool up) {
    caf::anon_send(nodes_.at(here).directory, service_change{service_storage, there, up ? caf::actor_cast<caf::strong_actor_ptr>(nodes_.at(there).storage) : nullptr});
  };
  for (const auto* other : {"storage-1", "storage-2"}) {
    tell("storage-0", other, false);
    tell(other, "storage-0", false);
  }
  settle();
  const auto accepted = ask<video_view>(n.storage, finish_atom::value, ticket.view.id, std::uint64_t{bytes.size()});
  ASSERT_FALSE(accepted);
  EXPECT_EQ(copies(ticket.token.blob), 2u);
  const auto shown = [&] { return ask<video_view>(n.storage, find_atom::value, ticket.view.id); };
  const auto listed = [&] { return ask<view_list>(n.storage, list_atom::value, std::string{"default"}, video_id{}, std::uint32_t{10})->size(); };
  ASSERT_FALSE(shown());
  EXPECT_EQ(shown().error().code, errc::unavailable);
  EXPECT_EQ(listed(), 0u);
  // Another node fetches it, after the loss of its disk: there it may be shown from then on, as it is on two, and so it is listed.
  EXPECT_EQ(ask<upload_list>(n.storage, fetch_atom::value, mark_list{{ticket.view.id, upload_state::complete}})->size(), 1u);
  EXPECT_FALSE(shown());
  EXPECT_EQ(listed(), 1u);
  // A later life learns from the others that they have it, or hands it over.
  kill("storage-0");
  restart("storage-0");
  pass(seconds{5});
  EXPECT_TRUE(knows("storage-0", ticket.view.id));
}

TEST_F(StorageCluster, DamageIsFoundAndMendedFromTheOtherCopy) {
  const auto u = upload("storage-0", std::string(3 * mib, 'q'));
  ASSERT_TRUE(u);
  for (const auto& [name, n] : std::map<node_name, int>{{"storage-0", 0}, {"storage-1", 0}, {"storage-2", 0}}) kill(name);
  scrub_bytes_s_ = 64 * mib;
  ASSERT_TRUE(nodes_.at(u->order[0]).disk->rot(u->blob, mib + 77));
  ASSERT_TRUE(nodes_.at(u->order[1]).disk->rot(u->blob, 5));  // another block: neither copy is whole
  for (const auto* name : {"storage-0", "storage-1", "storage-2"}) restart(name);
  pass(seconds{120});
  for (const auto& name : {u->order[0], u->order[1]})
    for (std::uint64_t at = 0; at < 3 * mib; at += mib) EXPECT_TRUE(call<buffer>([&](auto done) { nodes_.at(name).disk->read(u->blob, at, mib, done); })) << name << " " << at;
}

TEST_F(StorageCluster, DamageAmongManySmallBlobsIsFoundAndMended) {
  std::vector<uploaded> made;
  for (int i = 0; i < 40; ++i) {
    const auto u = upload("storage-0", "small blob " + std::to_string(i));
    ASSERT_TRUE(u);
    made.push_back(*u);
  }
  const auto large = upload("storage-0", std::string(2 * mib, 'q'));  // small ones before it and after it
  ASSERT_TRUE(large);
  for (int i = 40; i < 60; ++i) {
    const auto u = upload("storage-0", "small blob " + std::to_string(i));
    ASSERT_TRUE(u);
    made.push_back(*u);
  }
  for (const auto* name : {"storage-0", "storage-1", "storage-2"}) kill(name);
  scrub_bytes_s_ = 64 * mib;
  ASSERT_TRUE(nodes_.at(large->order[0]).disk->rot(large->blob, mib + 1));
  for (std::size_t i = 0; i < made.size(); i += 3) ASSERT_TRUE(nodes_.at(made[i].order[i % 2]).disk->rot(made[i].blob, 5));
  for (const auto* name : {"storage-0", "storage-1", "storage-2"}) restart(name);
  pass(seconds{120});
  for (const auto& u : made)
    for (const auto& name : {u.order[0], u.order[1]}) EXPECT_TRUE(call<buffer>([&](auto done) { nodes_.at(name).disk->read(u.blob, 0, mib, done); })) << name;
  EXPECT_TRUE(call<buffer>([&](auto done) { nodes_.at(large->order[0]).disk->read(large->blob, mib, mib, done); }));
}

TEST_F(StorageCluster, ANodeMayBeSwitchedOffOnceAllOfItIsElsewhere) {
  live_with_a_scheduler();
  std::vector<uploaded> made;
  for (int i = 0; i < 4; ++i) {
    const auto u = upload("storage-1", "bytes to keep");
    ASSERT_TRUE(u);
    made.push_back(*u);
  }
  EXPECT_FALSE(leave("storage-1").may_leave);  // nobody said that it should
  draining_ = {"storage-1"};
  for (const auto* name : {"storage-0", "storage-1", "storage-2"}) kill(name);
  for (const auto* name : {"storage-0", "storage-1", "storage-2"}) start(name);
  const auto alone = leave("storage-1");
  EXPECT_FALSE(alone.may_leave);
  EXPECT_EQ(count_of(alone, "nodes_away"), 2u);
  EXPECT_EQ(count_of(alone, "blobs"), 4u);
  EXPECT_EQ(count_of(alone, "uploads"), 4u);
  link_all();
  pass(seconds{40});
  EXPECT_EQ(upload("storage-1", "x").error().code, errc::unavailable);
  const auto now_it_may = leave("storage-1");
  EXPECT_TRUE(now_it_may.may_leave) << now_it_may.reasons.front().detail;
  for (const auto& u : made) {
    EXPECT_EQ(on_disk("storage-1", u.blob), ports::blob_presence::missing);
    EXPECT_EQ(copies(u.blob), 2u);
  }
}

TEST_F(StorageCluster, ANodeDoesNotLeaveWhileAnotherHasTheConfigurationOfBefore) {
  live_with_a_scheduler();
  draining_ = {"storage-1"};
  for (const auto* name : {"storage-1", "storage-2"}) tell(name);
  pass(seconds{40});
  const auto differs = leave("storage-1");
  EXPECT_FALSE(differs.may_leave);
  EXPECT_EQ(count_of(differs, "nodes_differ"), 1u);
  tell("storage-0");
  pass(seconds{40});
  EXPECT_TRUE(leave("storage-1").may_leave);
}

TEST_F(StorageCluster, ANodeThatMayLeaveTakesNothingThatOthersDoNotHave) {
  live_with_a_scheduler();
  const auto u = upload("storage-0", "bytes to keep");
  ASSERT_TRUE(u);
  draining_ = {"storage-1"};
  for (const auto* name : {"storage-0", "storage-1", "storage-2"}) tell(name);
  pass(seconds{40});
  ASSERT_TRUE(leave("storage-1").may_leave);
  const auto leaving = nodes_.at("storage-1").storage;
  EXPECT_EQ(ask<bool>(leaving, forget_atom::value, u->video).error().code, errc::unavailable);
  upload_record record;
  record.what.video = {7, 7};
  record.state = upload_state::complete;
  EXPECT_EQ(ask<bool>(leaving, keep_atom::value, upload_list{record}).error().code, errc::unavailable);
  EXPECT_EQ(ask<claim_answer>(leaving, claim_request{{0, 2, "scheduler-0", 8}, 7}).error().code, errc::unavailable);
  EXPECT_TRUE(ask<claim_answer>(leaving, claim_request{{0, 1, "scheduler-0", 7}, 0})->granted) << "who owns the shard already goes on";
  tell("storage-1");
  pass(seconds{20});
  EXPECT_TRUE(ask<bool>(nodes_.at("storage-1").storage, forget_atom::value, u->video)) << "it was not switched off after all";
}

TEST_F(StorageCluster, ANodeThatHasLeftAnnouncesNothing) {
  live_with_a_scheduler();
  const auto u = upload("storage-1", "bytes to keep");
  ASSERT_TRUE(u);
  draining_ = {"storage-1"};
  for (const auto* name : {"storage-0", "storage-1", "storage-2"}) tell(name);
  pass(seconds{40});
  ASSERT_TRUE(leave("storage-1").may_leave);
  join_scheduler("storage-1");
  pass(seconds{5});
  EXPECT_FALSE(announced_.contains(u->video)) << "the others may have heard since that it was deleted";
  for (const auto* name : {"storage-0", "storage-2"}) join_scheduler(name);
  pass(seconds{5});
  EXPECT_TRUE(announced_.contains(u->video));
}

TEST_F(StorageCluster, ATombstoneOfOneNodeAnswersNoAbort) {
  const auto u = upload("storage-0", "bytes");
  ASSERT_TRUE(u);
  for (const auto* other : {"storage-1", "storage-2"}) unlink("storage-0", other);
  const auto abort_at = [&](const node_name& name) { return ask<bool>(nodes_.at(name).storage, abort_atom::value, u->video); };
  ASSERT_TRUE(ask<bool>(nodes_.at(u->order[1]).storage, forget_atom::value, u->video));
  ASSERT_FALSE(abort_at(u->order[1])) << "the first home has not heard of it, and may announce it";
  EXPECT_EQ(abort_at(u->order[1]).error().code, errc::not_found);
  EXPECT_EQ(abort_at("storage-0").error().code, errc::unavailable);
}

TEST_F(StorageCluster, NodesOfTwoConfigurationsDoNotBothGiveUpTheirCopies) {
  live_with_a_scheduler();
  // Belongs to the two that are to leave, and not to the one that stays.
  std::optional<uploaded> u;
  for (int i = 0; i < 64 && (!u || u->order[2] != "storage-0"); ++i) u = *upload("storage-1", "bytes to keep");
  ASSERT_EQ(u->order[2], "storage-0");
  draining_ = {"storage-1", "storage-2"};
  for (const auto* name : {"storage-1", "storage-2"}) tell(name);
  pass(seconds{100});
  // They have pushed it to the only home that they know; there it is a copy in excess.
  EXPECT_EQ(copies(u->blob), 3u);
  tell("storage-0");
  pass(seconds{100});
  EXPECT_EQ(on_disk("storage-0", u->blob), ports::blob_presence::sealed);
  EXPECT_EQ(copies(u->blob), 1u);
  for (const auto* name : {"storage-1", "storage-2"}) EXPECT_TRUE(leave(name).may_leave);
}

TEST_F(StorageCluster, NodesThatJoinTakeTheRecordsBeforeTheirWordCounts) {
  for (const auto* name : {"storage-0", "storage-1", "storage-2"}) lose_disk(name);
  members_ = {"storage-0"};
  start("storage-0");
  EXPECT_TRUE(ask<claim_answer>(nodes_.at("storage-0").storage, claim_request{{0, 1, "scheduler-0", 7}, 0})->granted);
  std::vector<uploaded> made;
  for (int i = 0; i < 20; ++i) made.push_back(*upload("storage-0", "bytes to keep"));
  EXPECT_EQ(copies(made.front().blob), 1u);
  members_ = {"storage-0", "storage-1", "storage-2"};
  for (const auto* name : {"storage-1", "storage-2"}) start(name);
  link_all();
  pass(seconds{10});
  EXPECT_EQ(upload("storage-1", "x").error().code, errc::unavailable) << "not before all storage nodes know of it";
  tell("storage-0");
  for (int i = 0; i < 600 && !ask<view_list>(nodes_.at("storage-1").storage, list_atom::value, std::string{"default"}, video_id{}, 1u); ++i) {
  }
  for (const auto& u : made) {
    const auto homes = homes_of(u.blob, nodes_.at("storage-1").e->config.rules_of_copies());
    const auto is_home = std::find(homes.begin(), homes.end(), "storage-1") != homes.end();
    const auto found = ask<video_view>(nodes_.at("storage-1").storage, find_atom::value, u.video);
    EXPECT_NE(found ? errc::none : found.error().code, errc::not_found) << is_home;
  }
  // A restart forgets what it was told of others, and has its own records.
  pass(seconds{10});
  tell("storage-1");
  for (const auto& u : made) {
    const auto homes = homes_of(u.blob, nodes_.at("storage-1").e->config.rules_of_copies());
    if (std::find(homes.begin(), homes.end(), "storage-1") == homes.end()) continue;
    const auto found = ask<video_view>(nodes_.at("storage-1").storage, find_atom::value, u.video);
    EXPECT_NE(found ? errc::none : found.error().code, errc::not_found);
  }
  pass(seconds{60});
  for (const auto& u : made) EXPECT_EQ(copies(u.blob), 2u);
}

TEST_F(StorageCluster, AnOutputIsVerifiedAnywhereAndNotCalledMissingWhileItsNodesAreAway) {
  auto& n = nodes_.at("storage-0");
  const auto ticket = ask<output_ticket>(n.storage, output_atom::value, video_id{5, 5}, std::uint64_t{100});
  ASSERT_TRUE(ticket);
  ASSERT_TRUE(call<std::uint64_t>([&](auto done) { n.blobs->append(ticket->token, 0, buffer{std::string{"output"}}, crc32c(std::string_view{"output"}), done); }));
  const auto sealed = call<ports::blob_stat>([&](auto done) { n.blobs->seal(ticket->token, 6, done); });
  ASSERT_TRUE(sealed);
  output_ref ref;
  ref.blob = ticket->token.blob;
  ref.store = ticket->store;
  ref.bytes = 6;
  ref.digest = sealed->digest;
  const auto order = placement_of(ref.blob, n.e->config.rules_of_copies());
  const auto third = nodes_.at(order[2]).storage;
  EXPECT_EQ(*ask<bool_list>(third, verify_atom::value, output_list{ref}), bool_list{1});
  kill(order[0]);
  EXPECT_EQ(*ask<bool_list>(third, verify_atom::value, output_list{ref}), bool_list{1});
  kill(order[1]);
  EXPECT_EQ(ask<bool_list>(third, verify_atom::value, output_list{ref}).error().code, errc::unavailable);
}

TEST_F(StorageCluster, AClaimIsNotGrantedAnewByANodeThatLostIt) {
  const shard_claim held{0, 5, "scheduler-0", 7};
  const auto claim = [&](const node_name& name, const shard_claim& wanted) { return ask<claim_answer>(nodes_.at(name).storage, claim_request{wanted, 0}); };
  // Of three, a majority that the third has not heard of.
  EXPECT_TRUE(claim("storage-0", held)->granted);
  EXPECT_TRUE(claim("storage-1", held)->granted);
  lose_disk("storage-0");
  restart("storage-0");
  const shard_claim another{0, 1, "scheduler-0", 8};
  for (int i = 0; i < 40; ++i) {
    const auto answer = claim("storage-0", another);
    ASSERT_FALSE(answer && answer->granted);  // with the third it would be a majority, of an owner's epochs
  }
  pass(seconds{10});
  const auto answer = claim("storage-0", another);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_FALSE(answer->granted);
  EXPECT_EQ(answer->known, held);
  // It is durable, so a restart knows it at once.
  kill("storage-0");
  start("storage-0");
  EXPECT_EQ(claim("storage-0", another)->known, held);
}

TEST_F(StorageCluster, AnswersToClaimsSayWhichDiskIsTheLatestOfEachName) {
  const auto first = disk_of("storage-0", "storage-0");
  EXPECT_NE(first, 0u);
  for (const auto* at : {"storage-1", "storage-2"}) EXPECT_EQ(disk_of("storage-0", at), first);
  kill("storage-0");
  restart("storage-0");
  EXPECT_EQ(disk_of("storage-0", "storage-0"), first) << "a restart has the same disk";
  lose_disk("storage-0");
  start("storage-0");
  EXPECT_EQ(disk_of("storage-0", "storage-1"), first) << "there is no link yet";
  link_all();
  pass(seconds{12});
  const auto later = disk_of("storage-0", "storage-0");
  EXPECT_GT(later, first);
  for (const auto* at : {"storage-1", "storage-2"}) EXPECT_EQ(disk_of("storage-0", at), later) << "before its word counts";
  // Both lose power, and one comes back with no link to it.
  kill("storage-0");
  kill("storage-1");
  start("storage-1");
  EXPECT_EQ(disk_of("storage-0", "storage-1"), later);
}

TEST_F(StorageCluster, AnEarlierStorageNodeThatIsHeardLateIsNotTakenForTheLater) {
  live_with_a_scheduler();
  const auto earlier = nodes_.at("storage-0").storage;
  const auto disk = disk_of("storage-0", "storage-0");
  lose_disk("storage-0");
  restart("storage-0");
  pass(seconds{12});
  caf::anon_send(nodes_.at("storage-1").storage, storage_up_atom::value, node_name{"storage-0"}, disk, caf::actor_cast<caf::strong_actor_ptr>(earlier));
  settle();
  EXPECT_GT(disk_of("storage-0", "storage-1"), disk);
}

TEST_F(StorageCluster, OneThatLostItsDiskIsToldWhichOfTwoDisksIsTheLater) {
  live_with_a_scheduler();
  const auto earlier = nodes_.at("storage-0").storage;
  const auto first = disk_of("storage-0", "storage-0");
  lose_disk("storage-0");
  restart("storage-0");
  pass(seconds{12});
  const auto later = disk_of("storage-0", "storage-0");
  lose_disk("storage-1");
  start("storage-1");
  // It hears of the earlier one first, and then of the third alone.
  const auto asks = [&] { return ask<kept_claims>(nodes_.at("storage-1").storage, recall_atom::value, std::uint16_t{0}); };
  const auto introduce = [&] {
    caf::anon_send(nodes_.at("storage-1").storage, storage_up_atom::value, node_name{"storage-0"}, first, caf::actor_cast<caf::strong_actor_ptr>(earlier));
    settle();
  };
  introduce();
  EXPECT_EQ(asks()->disks, (std::vector<storage_disk>{{"storage-0", first}}));
  caf::anon_send(nodes_.at("storage-1").directory, service_change{service_storage, "storage-2", caf::actor_cast<caf::strong_actor_ptr>(nodes_.at("storage-2").storage)});
  pass(seconds{3});
  introduce();
  const auto told = asks()->disks;
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[0], (storage_disk{"storage-0", later}));
}

TEST_F(StorageCluster, AnEarlierDiskThatIsInUseAgainAsksWhatWasPromisedSince) {
  live_with_a_scheduler();
  const auto claim = [&](const node_name& name, const shard_claim& wanted, std::uint64_t previous) { return ask<claim_answer>(nodes_.at(name).storage, claim_request{wanted, previous}); };
  const auto first = disk_of("storage-0", "storage-0");
  auto old = change_volume("storage-0", new_volume());
  restart("storage-0");
  pass(seconds{12});
  const auto later = disk_of("storage-0", "storage-0");
  // A majority on the later disk, of which one is lost when the earlier disk comes back.
  const shard_claim held{0, 5, "scheduler-0", 8};
  EXPECT_TRUE(claim("storage-0", held, 7)->granted);
  EXPECT_TRUE(claim("storage-1", held, 7)->granted);
  change_volume("storage-0", std::move(old));
  restart("storage-0");
  const shard_claim another{0, 4, "scheduler-0", 9};
  for (int i = 0; i < 40; ++i) {
    const auto answer = claim("storage-0", another, 7);
    ASSERT_TRUE(!answer || !answer->granted || answer->disk == first) << "what is granted before it was told is granted on the earlier disk, and does not count";
    ASSERT_TRUE(!answer || !answer->granted || i < 15);
  }
  pass(seconds{10});
  const auto answer = claim("storage-0", another, 7);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_FALSE(answer->granted);
  EXPECT_EQ(answer->known, held);
  EXPECT_GT(answer->disk, later);
  for (const auto* at : {"storage-1", "storage-2"}) {
    const auto told = claim(at, at == std::string{"storage-1"} ? held : shard_claim{0, 1, "scheduler-0", 7}, 0)->others;
    EXPECT_TRUE(std::any_of(told.begin(), told.end(), [&](const storage_disk& d) { return d.node == "storage-0" && d.begun == answer->disk; })) << at;
  }
  // A restart has the number with what was told.
  kill("storage-0");
  start("storage-0");
  EXPECT_EQ(claim("storage-0", another, 7)->known, held);
  EXPECT_EQ(claim("storage-0", another, 7)->disk, answer->disk);
}

TEST_F(StorageCluster, TheEarlierOfTwoDoesNotRiseAboveTheLater) {
  live_with_a_scheduler();
  const auto own = disk_of("storage-0", "storage-0");
  // A later process of its name makes itself known, and ends.
  const auto ended = nodes_.at("storage-2").storage;
  const auto later = make_incarnation({began(own).value + 1'000}, 1);
  caf::anon_send(nodes_.at("storage-1").storage, storage_up_atom::value, node_name{"storage-0"}, later, caf::actor_cast<caf::strong_actor_ptr>(ended));
  pass(seconds{12});
  EXPECT_EQ(disk_of("storage-0", "storage-0"), own);
  EXPECT_EQ(disk_of("storage-0", "storage-1"), later);
  // Restarted it is the later one.
  kill("storage-0");
  restart("storage-0");
  pass(seconds{2});
  EXPECT_EQ(ask<claim_answer>(nodes_.at("storage-0").storage, claim_request{{0, 1, "scheduler-0", 7}, 0}).error().code, errc::unavailable) << "it asks first what was promised";
  pass(seconds{10});
  const auto risen = disk_of("storage-0", "storage-0");
  EXPECT_GT(risen, later);
  for (const auto* at : {"storage-1", "storage-2"}) EXPECT_EQ(disk_of("storage-0", at), risen);
}

TEST_F(StorageCluster, AnEarlierDiskKnowsNoVideosBeforeItHasAskedForThem) {
  live_with_a_scheduler();
  auto& n = nodes_.at("storage-0");
  auto old = change_volume("storage-0", new_volume());
  restart("storage-0");
  pass(seconds{12});
  const auto u = upload("storage-0", "bytes");
  ASSERT_TRUE(u);
  const auto other = u->order[1], third = u->order[2];
  change_volume("storage-0", std::move(old));
  kill(other);
  restart("storage-0");
  pass(seconds{12});
  EXPECT_TRUE(up_.contains(third));
  EXPECT_EQ(ask<video_view>(n.storage, find_atom::value, u->video).error().code, errc::unavailable) << "with the third it would be enough to say that there is no such video";
  restart(other);
  pass(seconds{15});
  EXPECT_TRUE(knows("storage-0", u->video));
}

/// A scheduler that lost its disk has asked the disk that was there meanwhile.
TEST_F(StorageCluster, AnEarlierDiskAnnouncesAllAgainAndAsksAboutItsOutputs) {
  live_with_a_scheduler();
  const auto u = upload("storage-0", "bytes");
  ASSERT_TRUE(u);
  const auto write = [&]() -> blob_id {
    auto& n = nodes_.at("storage-0");
    const auto token = ask<output_ticket>(n.storage, output_atom::value, u->video, std::uint64_t{100})->token;
    EXPECT_TRUE(call<std::uint64_t>([&](auto done) { n.blobs->append(token, 0, buffer{std::string{"output"}}, crc32c("output"), done); }));
    EXPECT_TRUE(call<ports::blob_stat>([&](auto done) { n.blobs->seal(token, 6, done); }));
    return token.blob;
  };
  const auto of_before = write(), committed = write();
  join_scheduler("storage-0");
  pass(seconds{60});
  ASSERT_TRUE(announced_.contains(u->video));
  for (const auto blob : {of_before, committed}) ASSERT_TRUE(from_record<output_grant>(nodes_.at("storage-0").records->contents().at(store::output_key(blob)))->confirmed);
  auto old = change_volume("storage-0", new_volume());
  restart("storage-0");
  pass(seconds{12});
  // The scheduler does the job anew, and has committed one output again.
  announced_.clear();
  unused_ = {of_before};
  change_volume("storage-0", std::move(old));
  restart("storage-0");
  join_scheduler("storage-0");
  pass(seconds{60});
  EXPECT_TRUE(announced_.contains(u->video));
  EXPECT_EQ(copies(of_before), 0u);
  EXPECT_EQ(copies(committed), 2u);
}

/// That it is an earlier disk it is told for as long as its number says so, and no longer.
TEST_F(StorageCluster, AnEarlierDiskHasItsNewNumberOnceAllOfItIsToBeAnnouncedAgain) {
  live_with_a_scheduler();
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(upload("storage-0", "bytes"));
  join_scheduler("storage-0");
  pass(seconds{60});
  auto old = change_volume("storage-0", new_volume());
  restart("storage-0");
  pass(seconds{12});
  change_volume("storage-0", std::move(old));
  commit_bytes_max_ = 200;
  const auto number = [this] { return from_record<storage_disk>(nodes_.at("storage-0").records->contents().at(store::storage_disk_key("storage-0")))->begun; };
  const auto with_the_scheduler = [this] {
    std::size_t count = 0;
    for (const auto& [key, value] : nodes_.at("storage-0").records->contents())
      if (key.starts_with(store::prefix_uploads) && from_record<upload_record>(value)->announced) ++count;
    return count;
  };
  const auto before = number();
  ASSERT_EQ(with_the_scheduler(), 8u);
  std::size_t parts = 0, least = 8;
  look_ = [&] {
    const auto left = with_the_scheduler();
    if (number() != before) {
      EXPECT_EQ(left, 0u);
    }
    if (left < std::exchange(least, left) && ++parts == 1)
      // They tell all that they know at once, long before the last part is written.
      for (const auto* other : {"storage-1", "storage-2"})
        for (const auto& handle : {caf::strong_actor_ptr{}, caf::actor_cast<caf::strong_actor_ptr>(nodes_.at(other).storage)})
          caf::anon_send(nodes_.at("storage-0").directory, service_change{service_storage, other, handle});
  };
  restart("storage-0");
  pass(seconds{12});
  EXPECT_GT(number(), before);
  EXPECT_GT(parts, 1u);
  look_ = {};
}

TEST_F(StorageCluster, AnUploadExpiresWhenNothingComesAnyMoreHoweverLongItTakes) {
  idle_ = seconds{10};
  for (const auto* name : {"storage-0", "storage-1", "storage-2"}) tell(name);
  pass(seconds{3});
  auto& n = nodes_.at("storage-0");
  const auto ticket = ask<upload_ticket>(n.storage, begin_atom::value, upload_request{});
  ASSERT_TRUE(ticket) << ticket.error().message;
  for (std::uint64_t at = 0; at < 12; ++at) {
    pass(seconds{4});
    ASSERT_TRUE(call<std::uint64_t>([&](auto done) { n.blobs->append(ticket->token, at, buffer{std::string{"b"}}, crc32c(std::string_view{"b"}), done); })) << at;
  }
  EXPECT_TRUE(knows("storage-0", ticket->view.id));
  pass(seconds{30});
  EXPECT_EQ(ask<video_view>(n.storage, find_atom::value, ticket->view.id).error().code, errc::not_found);
}

TEST_F(StorageCluster, OutputsGoWithTheirVideoWhoeverWasAskedToRemoveThem) {
  const auto u = upload("storage-0", "bytes");
  ASSERT_TRUE(u);
  auto& n = nodes_.at("storage-0");
  const auto ticket = ask<output_ticket>(n.storage, output_atom::value, u->video, std::uint64_t{100});
  ASSERT_TRUE(ticket);
  const auto blob = ticket->token.blob;
  ASSERT_TRUE(call<std::uint64_t>([&](auto done) { n.blobs->append(ticket->token, 0, buffer{std::string{"output"}}, crc32c("output"), done); }));
  ASSERT_TRUE(call<ports::blob_stat>([&](auto done) { n.blobs->seal(ticket->token, 6, done); }));
  join_scheduler("storage-0");
  pass(seconds{60});
  EXPECT_TRUE(from_record<output_grant>(n.records->contents().at(store::output_key(blob)))->confirmed) << "the scheduler refers to it: no reaper looks at it again";
  ASSERT_EQ(copies(blob), 2u);
  // The other copy's node removed its own, and lost its disk before this one heard of that.
  EXPECT_TRUE(ask<bool>(n.storage, forget_atom::value, u->video));
  pass(seconds{15});
  EXPECT_EQ(copies(blob), 0u);
}

TEST_F(StorageCluster, ADiskThatIsNewWhileTheClockWasSetBackHasAGreaterNumberAllTheSame) {
  live_with_a_scheduler();
  const auto before = disk_of("storage-2", "storage-2");
  lose_disk("storage-2");  // which is dialed by the others
  wall_offset_ms_ = -3600 * 1000;
  restart("storage-2");
  pass(seconds{20});
  const auto after = disk_of("storage-2", "storage-2");
  EXPECT_GT(after, before);
  EXPECT_EQ(disk_of("storage-2", "storage-0"), after);
  EXPECT_EQ(disk_of("storage-2", "storage-1"), after);
}

TEST_F(StorageCluster, ANodeThatLostItsDiskIsNoWitnessOfWhatLives) {
  live_with_a_scheduler();
  const auto u = upload("storage-0", "bytes");
  ASSERT_TRUE(u);
  const auto second = u->order[1], third = u->order[2];
  kill(second);
  EXPECT_TRUE(ask<bool>(nodes_.at("storage-0").storage, forget_atom::value, u->video));
  EXPECT_TRUE(ask<bool>(nodes_.at(third).storage, forget_atom::value, u->video));
  // Of the two who know of the delete one loses its disk, the other is cut off.
  lose_disk("storage-0");
  kill(third);
  start(second);
  join_scheduler(second);
  restart("storage-0");
  pass(seconds{10});
  EXPECT_FALSE(announced_.contains(u->video));
  restart(third);
  pass(seconds{15});
  EXPECT_FALSE(announced_.contains(u->video));
  for (const auto& [name, n] : nodes_) EXPECT_NE(on_disk(name, u->blob), ports::blob_presence::sealed) << name;
}

TEST_F(StorageCluster, WhatANodeMayHaveLostItDoesNotCallUnknown) {
  live_with_a_scheduler();
  const auto u = upload("storage-0", "bytes");
  ASSERT_TRUE(u);
  lose_disk("storage-0");
  kill(u->order[1]);
  restart("storage-0");
  pass(seconds{5});
  EXPECT_EQ(ask<video_view>(nodes_.at("storage-0").storage, find_atom::value, u->video).error().code, errc::unavailable);
  restart(u->order[1]);
  pass(seconds{5});
  EXPECT_TRUE(knows("storage-0", u->video));
}

TEST_F(StorageCluster, WhatANodeMayHaveLostAndOneOtherHasAloneItsListsAreNotWithout) {
  live_with_a_scheduler();
  kill("storage-2");
  auto u = upload("storage-0", "bytes");
  while (u && u->order[1] != "storage-2") u = upload("storage-0", "bytes");
  ASSERT_TRUE(u);
  // The stand-in loses its disk, and hears of what it had from a node that does not reach the second home yet.
  lose_disk("storage-1");
  for (const auto* name : {"storage-1", "storage-2"}) start(name);
  link("storage-0", "storage-1");
  link("storage-1", "storage-2");
  pass(seconds{15});
  const auto list = [&](const node_name& name) { return ask<view_list>(nodes_.at(name).storage, list_atom::value, std::string{"default"}, video_id{}, std::uint32_t{10}); };
  ASSERT_EQ(list("storage-2")->size(), 0u);
  ASSERT_FALSE(list("storage-1")) << "with the other's it would be a list of two nodes without the video";
  EXPECT_EQ(list("storage-1").error().code, errc::unavailable);
  link_all();
  pass(seconds{15});
  EXPECT_TRUE(list("storage-1"));
  EXPECT_GT(list("storage-2")->size(), 0u);
}

TEST_F(StorageCluster, APartOfAWriterWhoLostItsDiskGoesWhateverTheClockSays) {
  live_with_a_scheduler();
  idle_ = seconds{10};
  for (const auto* name : {"storage-0", "storage-1", "storage-2"}) kill(name);
  for (const auto* name : {"storage-0", "storage-1", "storage-2"}) restart(name);
  pass(seconds{3});
  auto& n = nodes_.at("storage-0");
  const auto ticket = ask<upload_ticket>(n.storage, begin_atom::value, upload_request{});
  ASSERT_TRUE(ticket) << ticket.error().message;
  const auto blob = ticket->token.blob;
  ASSERT_TRUE(call<std::uint64_t>([&](auto done) { n.blobs->append(ticket->token, 0, buffer{std::string{"a part"}}, crc32c(std::string_view{"a part"}), done); }));
  const auto second = placement_of(blob, n.e->config.rules_of_copies())[1];
  ASSERT_EQ(on_disk(second, blob), ports::blob_presence::open);
  wall_offset_ms_ = -10 * 3600 * 1000;
  lose_disk("storage-0");
  restart("storage-0");
  pass(seconds{80});
  EXPECT_EQ(on_disk(second, blob), ports::blob_presence::missing);
}

TEST_F(StorageCluster, OutputsGrantedByANodeThatLostItsDiskAreReapedAllTheSame) {
  live_with_a_scheduler();
  const auto write = [&]() -> blob_id {
    auto& n = nodes_.at("storage-0");
    const auto token = ask<output_ticket>(n.storage, output_atom::value, video_id{5 << 16, 5}, std::uint64_t{100})->token;
    EXPECT_TRUE(call<std::uint64_t>([&](auto done) { n.blobs->append(token, 0, buffer{std::string{"output"}}, crc32c(std::string_view{"output"}), done); }));
    EXPECT_TRUE(call<ports::blob_stat>([&](auto done) { n.blobs->seal(token, 6, done); }));
    return token.blob;
  };
  const auto nobodys = write(), committed = write();
  const auto u = upload("storage-0", "bytes");
  ASSERT_TRUE(u);
  unused_ = {nobodys, u->blob};  // the scheduler has not heard of the upload
  lose_disk("storage-0");
  restart("storage-0");
  join_scheduler("storage-0");
  pass(seconds{120});
  EXPECT_EQ(copies(nobodys), 0u);
  EXPECT_EQ(copies(committed), 2u);
  EXPECT_EQ(copies(u->blob), 2u);
}

/// Whatever happens to one storage node at a time, what was acknowledged ends up on two nodes, whole, with its record, and
/// what was deleted is nowhere and is not announced again.
class StorageHistories : public StorageCluster, public ::testing::WithParamInterface<std::uint64_t> {
protected:
  std::uint64_t draw(std::uint64_t below) {
    chance_ = chance_ * 6364136223846793005ull + 1442695040888963407ull;
    return (chance_ >> 33) % below;
  }
  node_name any() { return "storage-" + std::to_string(draw(3)); }
  std::uint64_t chance_ = 0;
};

TEST_P(StorageHistories, EndWithAllCopiesOfWhatLivesAndNoneOfWhatWasDeleted) {
  chance_ = GetParam() * 0x9e3779b97f4a7c15ull + 1;
  live_with_a_scheduler();
  struct known {
    std::string bytes;
    blob_id blob;
    std::set<node_name> forget;  // who are yet to forget it, as the scheduler would have them do
    bool deleted = false;
  };
  std::map<video_id, known> videos;
  std::set<video_id> gone;
  std::set<node_name> joined;
  const auto forget = [&] {
    for (auto& [id, v] : videos)
      for (auto at = v.forget.begin(); at != v.forget.end();) {
        const bool done = up_.contains(*at) && ask<bool>(nodes_.at(*at).storage, forget_atom::value, id).has_value();
        at = done ? v.forget.erase(at) : std::next(at);
      }
    // From here on the scheduler knows nothing of it, and would take it for new.
    for (auto& [id, v] : videos)
      if (v.deleted && v.forget.empty() && gone.insert(id).second) announced_.erase(id);
  };
  const auto join = [&] {
    for (const auto& name : up_)
      if (joined.insert(name).second) join_scheduler(name);
  };
  for (int step = 0; step < 40; ++step) {
    const auto name = any();
    switch (draw(9)) {
      case 0:
        // Never the second one before the first one's loss is made good: two copies, two losses.
        if (up_.size() == 3) {
          joined.erase(name);
          kill(name);
        }
        break;
      case 1:
        if (up_.size() == 3 && draw(3) == 0) {
          pass(seconds{30});
          joined.erase(name);
          lose_disk(name);
        }
        break;
      case 2:
        for (const auto* each : {"storage-0", "storage-1", "storage-2"})
          if (!up_.contains(each)) restart(each);
        break;
      case 3: {
        const auto other = any();
        if (name != other) unlink(name, other);
        break;
      }
      case 4: link_all(); break;
      case 5:
        if (!videos.empty()) {
          auto at = videos.begin();
          std::advance(at, static_cast<std::ptrdiff_t>(draw(videos.size())));
          if (at->second.deleted) break;
          at->second.deleted = true;
          at->second.forget = {"storage-0", "storage-1", "storage-2"};
        }
        break;
      default: {
        if (!up_.contains(name)) break;
        const std::string bytes(1 + draw(1'500'000), static_cast<char>('a' + draw(26)));
        if (const auto u = upload(name, bytes)) videos[u->video] = {bytes, u->blob, {}, false};
      }
    }
    join();
    forget();
    pass(milliseconds{static_cast<std::int64_t>(100 * draw(30))});
    for (const auto id : gone) ASSERT_FALSE(announced_.contains(id)) << "revived in step " << step;
  }
  for (const auto* each : {"storage-0", "storage-1", "storage-2"})
    if (!up_.contains(each)) restart(each);
  link_all();
  join();
  pass(seconds{5});
  forget();
  pass(seconds{60});
  for (const auto id : gone) EXPECT_FALSE(announced_.contains(id));
  for (const auto& [id, v] : videos) {
    if (v.deleted) {
      EXPECT_TRUE(v.forget.empty());
      for (const auto& [name, n] : nodes_) EXPECT_NE(on_disk(name, v.blob), ports::blob_presence::sealed) << name;
      continue;
    }
    EXPECT_TRUE(announced_.contains(id)) << to_string(id);
    const auto homes = homes_of(v.blob, nodes_.at("storage-0").e->config.rules_of_copies());
    EXPECT_EQ(copies(v.blob), 2u) << to_string(v.blob);
    for (const auto& home : homes) {
      EXPECT_TRUE(knows(home, id)) << home;
      std::string there;
      while (there.size() < v.bytes.size()) {
        const auto part = call<buffer>([&](auto done) { nodes_.at(home).disk->read(v.blob, there.size(), ports::read_bytes_max, done); });
        ASSERT_TRUE(part) << home << " " << part.error().message;
        if (part->empty()) break;
        there += part->view();
      }
      EXPECT_TRUE(there == v.bytes) << home;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, StorageHistories, ::testing::Range<std::uint64_t>(1, 41));

}  // namespace latham
