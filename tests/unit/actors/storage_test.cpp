// The storage actor against a disk that fails, in virtual time, on CAF's own test scheduler.
#include "actors/storage/storage_actor.hpp"

#include "actors/cluster/directory.hpp"
#include "core/codec.hpp"
#include "core/digest.hpp"
#include "core/upload/output_grant.hpp"
#include "store/guarded_blobs.hpp"
#include "store/memory_blobs.hpp"
#include "store/memory_kv.hpp"
#include "store/schema.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace latham {

namespace {

struct virtual_time : caf::actor_system_config {
  virtual_time() { set("scheduler.policy", caf::atom("testing")); }
};

/// Blobs whose stat fails with `failing` while that is set, whose removal fails with `removal`, and whose reservations take
/// place and are then said to have failed with `reservation`.
class moody_blobs final : public ports::blob_store {
public:
  explicit moody_blobs(ports::blob_store& inner) : inner_{inner} {}
  void reserve(ports::write_token t, ports::completion<void> d) override {
    inner_.reserve(t, [code = reservation, d = std::move(d)](expected<void> result) { d(code == errc::none ? std::move(result) : error{code, "too few copies"}); });
  }
  void open_write(ports::write_token t, ports::completion<std::uint64_t> d) override { inner_.open_write(t, std::move(d)); }
  void append(ports::write_token t, std::uint64_t o, buffer b, std::uint32_t c, ports::completion<std::uint64_t> d) override { inner_.append(t, o, std::move(b), c, std::move(d)); }
  void truncate(ports::write_token t, std::uint64_t b, ports::completion<void> d) override { inner_.truncate(t, b, std::move(d)); }
  void seal(ports::write_token t, std::uint64_t b, ports::completion<ports::blob_stat> d) override { inner_.seal(t, b, std::move(d)); }
  void read(blob_id i, std::uint64_t o, std::uint32_t b, ports::completion<buffer> d) override { inner_.read(i, o, b, std::move(d)); }
  void stat(blob_id i, ports::completion<ports::blob_stat> d) override {
    ++looks;
    if (slow) return late.push_back([this, i, d = std::move(d)] { inner_.stat(i, d); });
    if (failing != errc::none) return d(error{failing, "the disk failed"});
    inner_.stat(i, std::move(d));
  }
  void remove(blob_id i, ports::completion<void> d) override {
    if (slow_removal) return late.push_back([this, i, d = std::move(d)] { remove(i, d); });
    if (removal != errc::none) return d(error{removal, "the disk failed"});
    inner_.remove(i, std::move(d));
  }
  void list(blob_id a, std::uint32_t l, ports::completion<std::vector<ports::blob_stat>> d) override { inner_.list(a, l, std::move(d)); }
  bool slow = false;  // for now: what is asked is looked at with `late`
  bool slow_removal = false;  // likewise
  std::vector<std::function<void()>> late;
  std::size_t looks = 0;  // by stat
  errc failing = errc::none;
  errc removal = errc::none;
  errc reservation = errc::none;

private:
  ports::blob_store& inner_;
};

class fixed_clock final : public ports::clock {
public:
  [[nodiscard]] instant now() const noexcept override { return {1}; }
  [[nodiscard]] utc_ms wall() const noexcept override { return {1'700'000'000'000}; }
};

class counting_random final : public ports::random {
public:
  [[nodiscard]] std::uint64_t next() override { return ++count_; }

private:
  std::uint64_t count_ = 0;
};

class Storage : public ::testing::Test {
protected:
  void SetUp() override {
    env_.config.name = "storage-0";
    env_.config.output_grace = seconds{100};
    env_.config.records.commit_bytes_max = records_bytes_max / 4;
    env_.records = &records_;
    env_.blobs = &moody_;
    env_.clock = &clock_;
    env_.random = &random_;
    directory_ = spawn_directory(system_, env_);
    system_.spawn([this](caf::event_based_actor* parent) { actor_ = spawn_storage(parent, env_, directory_); });
    run();
  }
  void TearDown() override {
    for (const auto& one : {actor_, caf::actor_cast<caf::actor>(directory_)}) caf::anon_send_exit(one, caf::exit_reason::kill);
    run();
    actors().clock().advance_time(std::chrono::hours{100});
    run();
  }
  caf::scheduler::test_coordinator& actors() { return dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler()); }
  void run() {
    do {
      actors().run();
      disk_.run_all();
    } while (actors().has_job());
  }
  /// The answer to a question about one output, or the error's code.
  std::pair<bool_list, errc> verify(const output_ref& output) {
    bool_list flags;
    auto code = errc::none;
    auto asks = system_.spawn([&](caf::event_based_actor* self) {
      self->request(actor_, caf::infinite, verify_atom::value, output_list{output})
        .then([&](const bool_list& found) { flags = found; }, [&](const caf::error& e) { code = from_caf(e).code; });
    });
    run();
    return {flags, code};
  }

  void pass(milliseconds time) {
    for (milliseconds passed{0}; passed < time; passed += seconds{1}) {
      actors().clock().advance_time(seconds{1});
      run();
    }
  }
  std::size_t blobs_held() {
    std::size_t count = 0;
    blobs_.list({}, 1000, [&](const expected<std::vector<ports::blob_stat>>& all) { count = all->size(); });
    run();
    return count;
  }
  /// A scheduler that refers to nothing.
  caf::actor join_scheduler() {
    auto scheduler = system_.spawn([](caf::event_based_actor*) -> caf::behavior {
      return {[](shards_atom) { return shard_info{{1}, true}; }, [](unused_atom, video_id, const blob_list& blobs) { return blobs; }, [](storage_up_atom, const node_name&, const caf::strong_actor_ptr&) {}};
    });
    caf::anon_send(directory_, service_change{service_scheduler, "scheduler-0", caf::actor_cast<caf::strong_actor_ptr>(scheduler)});
    return scheduler;
  }

  virtual_time config_;
  caf::actor_system system_{config_};
  store::closure_queue disk_;
  static constexpr std::size_t records_bytes_max = 8'000;
  bool slow_ = false;  // for now: what is asked of the disk of records comes when `late_` is run
  std::vector<std::function<void()>> late_;
  store::memory_kv records_{[this](std::function<void()> work) { slow_ ? late_.push_back(std::move(work)) : disk_.adder()(std::move(work)); }, {4096, records_bytes_max}};
  store::memory_blobs blobs_{disk_.adder()};
  moody_blobs moody_{blobs_};
  fixed_clock clock_;
  counting_random random_;
  env env_;
  directory_actor directory_;
  caf::actor actor_;
};

}  // namespace

namespace {

/// Complete uploads that another node sends, while this disk has no room for records.
class StorageWithAFullDisk : public Storage {
protected:
  void SetUp() override {
    Storage::SetUp();
    record_.what.video = {1, 2};
    record_.what.source = {{3, 4}, "storage-0", 5, {}};
    record_.state = upload_state::complete;
    records_.fail_commits(errc::disk_full);
    scheduler_ = system_.spawn([this](caf::event_based_actor*) -> caf::behavior {
      return {[this](shards_atom) { return shard_info{{record_.what.video.shard()}, true}; },
              [this](const media_ready& event) {
                announced_.push_back(event.video);
                return errc::none;
              },
              [](storage_up_atom, const node_name&, const caf::strong_actor_ptr&) {}};
    });
  }
  void TearDown() override {
    caf::anon_send_exit(scheduler_, caf::exit_reason::kill);
    scheduler_ = nullptr;
    Storage::TearDown();
  }
  void keep() {
    system_.spawn([this](caf::event_based_actor* self) { self->request(actor_, caf::infinite, keep_atom::value, upload_list{record_}).then([this](bool) { ++kept_; }, [](const caf::error&) {}); });
    run();
  }
  void forget() {
    system_.spawn([this](caf::event_based_actor* self) { self->request(actor_, caf::infinite, forget_atom::value, record_.what.video).then([](bool) {}, [](const caf::error&) {}); });
    run();
  }
  void join() {
    caf::anon_send(directory_, service_change{service_scheduler, "scheduler-0", caf::actor_cast<caf::strong_actor_ptr>(scheduler_)});
    pass(seconds{5});
  }

  upload_record record_;
  int kept_ = 0;
  std::vector<video_id> announced_;
  caf::actor scheduler_;
};

}  // namespace

TEST_F(Storage, ThatBeginsAnewReadsWhatItsPredecessorHadOnItsWayToTheDisk) {
  upload_request request;
  request.tenant = "default";
  request.title = "clip";
  request.bytes_expected = 10;
  bool answered = false;
  slow_ = true;
  system_.spawn([&](caf::event_based_actor* self) {
    self->request(actor_, caf::infinite, begin_atom::value, request).then([&](const upload_ticket&) { answered = true; }, [](const caf::error&) {});
  });
  run();
  slow_ = false;
  ASSERT_FALSE(late_.empty());
  EXPECT_FALSE(answered) << "not durable yet";
  caf::anon_send_exit(actor_, caf::exit_reason::user_shutdown);
  run();
  system_.spawn([this](caf::event_based_actor* parent) { actor_ = spawn_storage(parent, env_, directory_); });
  run();
  for (auto& work : std::exchange(late_, {})) work();
  run();
  std::size_t listed = 0;
  system_.spawn([&](caf::event_based_actor* self) {
    self->request(actor_, caf::infinite, list_atom::value, std::string{"default"}, video_id{}, std::uint32_t{10}).then([&](const view_list& all) { listed = all.size(); }, [](const caf::error&) {});
  });
  run();
  EXPECT_EQ(listed, 1u);
}

TEST_F(StorageWithAFullDisk, AnnouncesNoUploadBeforeItsRecordIsDurable) {
  keep();
  join();
  EXPECT_EQ(kept_, 0);
  EXPECT_TRUE(announced_.empty()) << "the record is in memory alone";
  records_.fail_commits(errc::none);
  pass(seconds{5});
  EXPECT_EQ(kept_, 1);
  EXPECT_EQ(announced_, std::vector<video_id>{record_.what.video});
}

TEST_F(StorageWithAFullDisk, RefusesWhatCouldOnlyWaitAsWell) {
  env_.config.records.waiting_max = 4;
  caf::anon_send_exit(actor_, caf::exit_reason::kill);
  run();
  records_.fail_commits(errc::none);
  system_.spawn([this](caf::event_based_actor* parent) { actor_ = spawn_storage(parent, env_, directory_); });
  run();
  records_.fail_commits(errc::disk_full);
  keep();
  std::map<errc, int> answers;
  const auto ask = [&](auto what, auto... with) {
    system_.spawn([&, what, with...](caf::event_based_actor* self) {
      self->request(actor_, caf::infinite, what, with...).then([&](const mark_list&) { ++answers[errc::none]; }, [&](const caf::error& e) { ++answers[from_caf(e).code]; });
    });
    run();
  };
  for (int i = 0; i < 10; ++i) ask(marks_atom::value, video_id{});
  EXPECT_EQ(answers, (std::map<errc, int>{{errc::limited, 7}})) << "three wait behind the record";
  ask(claim_request{{1, 1, "scheduler-0", 7}, 0, {}});
  ask(again_atom::value, std::uint16_t{1});
  ask(begin_atom::value, upload_request{});
  EXPECT_EQ(answers[errc::limited], 10);
  records_.fail_commits(errc::none);
  pass(seconds{2});
  EXPECT_EQ(kept_, 1);
  EXPECT_EQ(answers[errc::none], 3);
  ask(marks_atom::value, video_id{});
  EXPECT_EQ(answers[errc::none], 4);
}

TEST_F(StorageWithAFullDisk, AnnouncesNoUploadThatWasDeletedWhileItWaited) {
  keep();
  join();
  record_.state = upload_state::removed;
  keep();
  records_.fail_commits(errc::none);
  pass(seconds{5});
  EXPECT_EQ(kept_, 2);
  EXPECT_TRUE(announced_.empty());
}

namespace {

/// Many complete uploads of shard 1, and then one of shard 2.
class StorageOfTwoShards : public Storage {
protected:
  void SetUp() override {
    Storage::SetUp();
    for (std::uint64_t n = 1; n <= 40; ++n) keep(make_id<video_id>(utc_ms{static_cast<std::int64_t>(n)}, 1, n));
    keep(last_);
  }
  void TearDown() override {
    for (auto& one : schedulers_) caf::anon_send_exit(one, caf::exit_reason::kill);
    schedulers_.clear();
    Storage::TearDown();
  }
  void keep(video_id id) {
    upload_record record;
    record.what.video = id;
    record.what.source = {{3, id.low}, "storage-0", 5, {}};
    record.state = upload_state::complete;
    system_.spawn([this, record](caf::event_based_actor* self) { self->request(actor_, caf::infinite, keep_atom::value, upload_list{record}).then([](bool) {}, [](const caf::error&) {}); });
    run();
  }
  /// A scheduler that answers so to each announcement.
  void join(std::uint16_t shard, errc answer) {
    schedulers_.push_back(system_.spawn([this, shard, answer](caf::event_based_actor*) -> caf::behavior {
      return {[shard](shards_atom) { return shard_info{{shard}, true}; },
              [this, answer](const media_ready& event) {
                announced_.push_back(event.video);
                return answer;
              },
              [](storage_up_atom, const node_name&, const caf::strong_actor_ptr&) {}};
    }));
    caf::anon_send(directory_, service_change{service_scheduler, "scheduler-" + std::to_string(shard), caf::actor_cast<caf::strong_actor_ptr>(schedulers_.back())});
    run();
  }

  const video_id last_ = make_id<video_id>(utc_ms{41}, 2, 41);
  std::vector<video_id> announced_;
  std::vector<caf::actor> schedulers_;
};

}  // namespace

TEST_F(StorageOfTwoShards, AnnouncesToTheOneWhileTheOtherIsAway) {
  join(2, errc::none);
  pass(seconds{3});
  EXPECT_EQ(announced_, std::vector<video_id>{last_});
}

TEST_F(StorageOfTwoShards, AnnouncesToTheOneWhileTheOtherTakesNothing) {
  join(1, errc::limited);
  join(2, errc::none);
  pass(seconds{3});
  EXPECT_EQ(std::count(announced_.begin(), announced_.end(), last_), 1);
}

TEST_F(StorageOfTwoShards, AnnouncesAllWhenBothAreThere) {
  join(2, errc::none);
  join(1, errc::none);
  pass(seconds{3});
  EXPECT_EQ(announced_.size(), 41u);
}

TEST_F(StorageOfTwoShards, LooksForMoreWhenWhatWasUnderWayIsDeleted) {
  records_.fail_commits(errc::disk_full);
  keep(make_id<video_id>(utc_ms{42}, 2, 42));  // what comes waits behind it
  join(1, errc::none);
  pass(seconds{2});
  for (std::uint64_t n = 1; n <= 16; ++n) {
    system_.spawn([this, n](caf::event_based_actor* self) {
      self->request(actor_, caf::infinite, forget_atom::value, make_id<video_id>(utc_ms{static_cast<std::int64_t>(n)}, 1, n)).then([](bool) {}, [](const caf::error&) {});
    });
    run();
  }
  records_.fail_commits(errc::none);
  pass(seconds{12});
  EXPECT_EQ(announced_.size(), 24u);
}

TEST_F(StorageOfTwoShards, GoesOnAnnouncingToTheOneWhileWhatTheOtherHadIsTakenBack) {
  join(2, errc::none);
  ASSERT_EQ(announced_.size(), 1u);
  // Its answer is on its way when the other shard's scheduler asks for everything.
  const auto more = make_id<video_id>(utc_ms{43}, 2, 43);
  records_.fail_commits(errc::disk_full);
  keep(more);
  system_.spawn([this](caf::event_based_actor* self) { self->request(actor_, caf::infinite, again_atom::value, std::uint16_t{1}).then([](bool) {}, [](const caf::error&) {}); });
  run();
  records_.fail_commits(errc::none);
  pass(seconds{2});
  EXPECT_EQ(announced_, (std::vector<video_id>{last_, more}));
  pass(seconds{20});
  EXPECT_EQ(announced_.size(), 2u) << "and what it has said that it has is not asked of it again";
}

/// Its blob goes before its tombstone is written.
TEST_F(StorageWithAFullDisk, AnnouncesNoUploadThatIsOnItsWayOutWhileItWaited) {
  keep();
  join();
  moody_.slow_removal = true;
  forget();
  ASSERT_EQ(moody_.late.size(), 1u);
  records_.fail_commits(errc::none);
  pass(seconds{5});
  EXPECT_EQ(kept_, 1);
  EXPECT_TRUE(announced_.empty());
}

namespace {

/// An upload that its scheduler has, and whose blob is being removed.
class StorageThatRemovesAnUpload : public StorageWithAFullDisk {
protected:
  void SetUp() override {
    StorageWithAFullDisk::SetUp();
    records_.fail_commits(errc::none);
    keep();
    join();
    ASSERT_EQ(announced_.size(), 1u);
    announced_.clear();
    moody_.slow_removal = true;
    forget();
    ASSERT_EQ(moody_.late.size(), 1u);
    // The scheduler has lost its disk.
    system_.spawn([this](caf::event_based_actor* self) { self->request(actor_, caf::infinite, again_atom::value, record_.what.video.shard()).then([](bool) {}, [](const caf::error&) {}); });
    run();
    pass(seconds{5});
  }
  void go_on() {
    moody_.slow_removal = false;
    moody_.late[0]();
    pass(seconds{5});
  }
};

}  // namespace

TEST_F(StorageThatRemovesAnUpload, DoesNotAnnounceIt) {
  EXPECT_TRUE(announced_.empty()) << "what would be made of it cannot be read";
  go_on();
  EXPECT_TRUE(announced_.empty());
}

TEST_F(StorageThatRemovesAnUpload, DoesNotAnnounceItWhileAnotherRemovalOfItIsUnderWay) {
  forget();
  ASSERT_EQ(moody_.late.size(), 2u);
  moody_.slow_removal = false;
  moody_.removal = errc::io;
  moody_.late[0]();
  pass(seconds{10});
  EXPECT_TRUE(announced_.empty());
  moody_.removal = errc::none;
  moody_.late[1]();
  pass(seconds{10});
  EXPECT_TRUE(announced_.empty());
}

TEST_F(StorageThatRemovesAnUpload, AnnouncesItWhenTheRemovalFails) {
  moody_.removal = errc::io;
  go_on();
  EXPECT_EQ(announced_, std::vector<video_id>{record_.what.video}) << "nobody else knows of the delete";
}

namespace {

/// More uploads that a scheduler has, and outputs that it refers to, than the store takes at once.
class StorageWithMuchToAnnounceAgain : public Storage {
protected:
  void SetUp() override {
    for (std::uint64_t i = 1; i <= many; ++i)
      for (const auto shard : {std::uint16_t{1}, std::uint16_t{2}}) {
        upload_record upload;
        upload.what.video = make_id<video_id>(utc_ms{5}, shard, i);
        upload.what.source = {make_id<blob_id>(utc_ms{5}, shard, i), "storage-0", 5, {}};
        upload.state = upload_state::complete;
        upload.announced = true;
        const output_grant output{make_id<blob_id>(utc_ms{6}, shard, i), upload.what.video, true};
        ports::kv_batch batch{{store::upload_key(upload.what.video), to_record(upload)}, {store::output_key(output.blob), to_record(output)}};
        bytes_ += shard == 1 ? ports::bytes_of(batch) : 0;
        records_.commit(std::move(batch), [](const expected<void>&) {});
        disk_.run_all();
      }
    ASSERT_GT(bytes_, records_bytes_max);
    Storage::SetUp();
  }
  void ask(std::uint16_t shard = 1) {
    system_.spawn([this, shard](caf::event_based_actor* self) {
      self->request(actor_, caf::infinite, again_atom::value, shard).then([this](bool) { answers_.push_back(errc::none); }, [this](const caf::error& e) { answers_.push_back(from_caf(e).code); });
    });
    actors().run();
  }
  /// The disk does so much, and nothing else.
  void let_disk_do(int operations) {
    for (; operations > 0 && disk_.run_one(); --operations) actors().run();
  }
  /// Records of the shard that say so still.
  std::size_t announced(std::uint16_t shard = 1) {
    std::size_t count = 0;
    for (const auto& [key, value] : records_.contents()) {
      if (key.starts_with(store::prefix_uploads)) {
        const auto upload = *from_record<upload_record>(value);
        count += upload.what.video.shard() == shard && upload.announced ? 1 : 0;
      } else if (key.starts_with(store::prefix_outputs)) {
        const auto output = *from_record<output_grant>(value);
        count += output.blob.shard() == shard && output.confirmed ? 1 : 0;
      }
    }
    return count;
  }

  static constexpr std::uint64_t many = 60;
  std::size_t bytes_ = 0;
  std::vector<errc> answers_;
};

}  // namespace

TEST_F(StorageWithMuchToAnnounceAgain, TakesItBackInPartsAndAnswersWhenTheLastIsDurable) {
  ASSERT_EQ(announced(), 2 * many);
  ask();
  while (disk_.size() > 0) {
    if (announced() > 0) {
      EXPECT_TRUE(answers_.empty());
    }
    let_disk_do(1);
  }
  EXPECT_EQ(answers_, std::vector{errc::none});
  EXPECT_EQ(announced(), 0u);
  EXPECT_EQ(announced(2), 2 * many) << "it is another scheduler that has these";
}

TEST_F(StorageWithMuchToAnnounceAgain, ThatEndedHalfWayDoesAllOfItWhenItIsAskedAgain) {
  ask();
  let_disk_do(2);
  EXPECT_TRUE(answers_.empty());
  EXPECT_GT(announced(), 0u);
  EXPECT_LT(announced(), 2 * many);
  caf::anon_send_exit(actor_, caf::exit_reason::kill);
  actors().run();
  records_.power_cut();
  answers_.clear();
  system_.spawn([this](caf::event_based_actor* parent) { actor_ = spawn_storage(parent, env_, directory_); });
  run();
  EXPECT_GT(announced(), 0u);
  ask();
  run();
  EXPECT_EQ(answers_, std::vector{errc::none});
  EXPECT_EQ(announced(), 0u);
}

/// Whoever asked before may be an earlier life of the scheduler, which was told of some of it in between, and is gone.
TEST_F(StorageWithMuchToAnnounceAgain, PromisesNothingToWhoeverAsksInTheMiddle) {
  ask();
  let_disk_do(2);
  ask();
  EXPECT_EQ(answers_, std::vector{errc::unavailable});
  run();
  EXPECT_EQ(answers_, (std::vector{errc::unavailable, errc::none}));
  ask();
  run();
  EXPECT_EQ(answers_, (std::vector{errc::unavailable, errc::none, errc::none}));
}

TEST_F(Storage, OutputThatIsNotThereIsReportedMissing) {
  output_ref output;
  output.blob = {1, 2};
  const auto [flags, code] = verify(output);
  EXPECT_EQ(flags, (bool_list{0}));
  EXPECT_EQ(code, errc::none);
}

TEST_F(Storage, OutputThatCannotBeLookedAtIsNotReportedMissing) {
  output_ref output;
  output.blob = {1, 2};
  moody_.failing = errc::io;
  const auto [flags, code] = verify(output);
  EXPECT_TRUE(flags.empty()) << "a disk that cannot be read has not lost anything";
  EXPECT_EQ(code, errc::io);
}

TEST_F(Storage, OutputThatWasWrittenMeanwhileIsNotReapedYet) {
  const auto scheduler = join_scheduler();  // the holder of the lease has not committed
  std::optional<output_ticket> ticket;
  system_.spawn([&](caf::event_based_actor* self) {
    self->request(actor_, caf::infinite, output_atom::value, video_id{1, 2}, std::uint64_t{10}).then([&](const output_ticket& t) { ticket = t; }, [](const caf::error&) {});
  });
  run();
  ASSERT_TRUE(ticket);
  const buffer bytes{std::string{"0123456789"}};
  blobs_.append(ticket->token, 0, bytes, crc32c(bytes.view()), [](const expected<std::uint64_t>&) {});
  run();
  const auto is_there = [&] {
    bool found = false;
    blobs_.stat(ticket->token.blob, [&](const expected<ports::blob_stat>& stat) { found = stat.has_value(); });
    run();
    return found;
  };
  pass(env_.config.output_grace + seconds{20});
  EXPECT_TRUE(is_there()) << "it was written since the last look";
  pass(env_.config.output_grace + seconds{20});
  EXPECT_FALSE(is_there()) << "nobody wrote or committed it for all that time";
  caf::anon_send_exit(scheduler, caf::exit_reason::kill);
}

TEST_F(Storage, OutputThatIsConfirmedWhileTheReaperLooksIsNotLookedAtAgain) {
  int asked = 0;
  const auto scheduler = system_.spawn([&](caf::event_based_actor*) -> caf::behavior {
    return {[](shards_atom) { return shard_info{{video_id{1, 2}.shard()}, true}; },
            [&](unused_atom, video_id, const blob_list&) {
              ++asked;
              return blob_list{};
            },
            [](storage_up_atom, const node_name&, const caf::strong_actor_ptr&) {}};
  });
  caf::anon_send(directory_, service_change{service_scheduler, "scheduler-0", caf::actor_cast<caf::strong_actor_ptr>(scheduler)});
  std::optional<output_ticket> ticket;
  system_.spawn([&](caf::event_based_actor* self) {
    self->request(actor_, caf::infinite, output_atom::value, video_id{1, 2}, std::uint64_t{10}).then([&](const output_ticket& t) { ticket = t; }, [](const caf::error&) {});
  });
  run();
  ASSERT_TRUE(ticket);
  moody_.slow = true;
  pass(env_.config.output_grace + seconds{10});
  ASSERT_EQ(moody_.late.size(), 1u);
  moody_.slow = false;
  const buffer bytes{std::string{"0123456789"}};
  blobs_.append(ticket->token, 0, bytes, crc32c(bytes.view()), [](const expected<std::uint64_t>&) {});
  std::optional<ports::blob_stat> sealed;
  blobs_.seal(ticket->token, 10, [&](const expected<ports::blob_stat>& stat) { sealed = *stat; });
  run();
  output_ref output;
  output.blob = ticket->token.blob;
  output.bytes = 10;
  output.digest = sealed->digest;
  EXPECT_EQ(verify(output).first, bool_list{1});
  moody_.late[0]();
  run();
  pass(env_.config.output_grace + seconds{20});
  EXPECT_EQ(asked, 0) << "nobody would ever take it from the list, and what is behind it would wait for ever";
  caf::anon_send_exit(scheduler, caf::exit_reason::kill);
}

namespace {

/// Many outputs that nobody committed, of some videos and of two shards.
class StorageOfManyOutputs : public Storage {
protected:
  static constexpr std::uint64_t videos = 5, outputs = 80, waiting_max = 300;
  void SetUp() override {
    env_.config.records.waiting_max = waiting_max;
    Storage::SetUp();
    for (const std::uint16_t shard : {1, 2})
      for (std::uint64_t v = 0; v < videos; ++v)
        for (std::uint64_t n = 0; n < outputs; ++n) {
          system_.spawn([this, id = make_id<video_id>(utc_ms{5}, shard, v)](caf::event_based_actor* self) {
            self->request(actor_, caf::infinite, output_atom::value, id, std::uint64_t{10}).then([](const output_ticket&) {}, [](const caf::error&) {});
          });
          run();
        }
  }
  void TearDown() override {
    for (auto& one : schedulers_) caf::anon_send_exit(one, caf::exit_reason::kill);
    schedulers_.clear();
    Storage::TearDown();
  }
  /// A scheduler that refers to nothing, or never says so.
  void join(std::uint16_t shard, bool answers) {
    schedulers_.push_back(system_.spawn([this, shard, answers](caf::event_based_actor*) -> caf::behavior {
      return {[shard](shards_atom) { return shard_info{{shard}, true}; },
              [this, answers](unused_atom, video_id, const blob_list& blobs) -> caf::result<blob_list> {
                ++asked_;
                most_ = std::max(most_, blobs.size());
                if (!answers) return caf::skip();
                return blobs;
              },
              [](storage_up_atom, const node_name&, const caf::strong_actor_ptr&) {}};
    }));
    caf::anon_send(directory_, service_change{service_scheduler, "scheduler-" + std::to_string(shard), caf::actor_cast<caf::strong_actor_ptr>(schedulers_.back())});
    run();
  }

  std::size_t asked_ = 0;
  std::size_t most_ = 0;  // of blobs in a question
  std::vector<caf::actor> schedulers_;
};

}  // namespace

TEST_F(StorageOfManyOutputs, ReapsAllThatAreDueInOneGo) {
  join(1, true);
  join(2, true);
  EXPECT_EQ(blobs_held(), 2 * videos * outputs);
  pass(env_.config.output_grace + seconds{10});
  EXPECT_EQ(blobs_held(), 0u);
  EXPECT_LE(most_, batch_max);
}

TEST_F(StorageOfManyOutputs, ReapsThoseOfAShardWhileTheOtherDoesNotAnswer) {
  join(1, false);
  join(2, true);
  pass(env_.config.output_grace + seconds{10});
  EXPECT_EQ(blobs_held(), videos * outputs);
}

TEST_F(StorageOfManyOutputs, LooksAgainAtTheNextTickOnlyAtADiskThatCannotBeRead) {
  join(1, true);
  moody_.failing = errc::io;
  pass(env_.config.output_grace + seconds{12});
  EXPECT_GT(moody_.looks, 0u);
  EXPECT_LE(moody_.looks, 3 * batch_max);
}

TEST_F(StorageOfManyOutputs, AsksNothingThatCouldNotBeWrittenDown) {
  records_.fail_commits(errc::disk_full);
  for (std::uint64_t n = 0; n < waiting_max; ++n) {
    system_.spawn([this](caf::event_based_actor* self) { self->request(actor_, caf::infinite, output_atom::value, video_id{1, 2}, std::uint64_t{10}).then([](const output_ticket&) {}, [](const caf::error&) {}); });
    run();
  }
  join(1, true);
  join(2, true);
  pass(env_.config.output_grace + seconds{12});
  EXPECT_EQ(asked_, 0u);
  records_.fail_commits(errc::none);
  pass(seconds{12});
  EXPECT_GT(asked_, 0u);
}

TEST_F(StorageOfManyOutputs, TriesWhatFailedAtTheNextTickOnly) {
  join(1, true);
  moody_.removal = errc::io;
  pass(env_.config.output_grace + seconds{12});
  EXPECT_EQ(blobs_held(), 2 * videos * outputs);
  EXPECT_LE(asked_, 3 * videos);
}

TEST_F(Storage, BlobsThatNoRecordNamesAreAllFoundInOneGo) {
  const auto scheduler = join_scheduler();
  for (std::uint64_t n = 1; n <= 900; ++n) blobs_.reserve({make_id<blob_id>(utc_ms{5}, 1, n), n, 10}, [](const expected<void>&) {});
  run();
  EXPECT_EQ(blobs_held(), 900u);
  // Seen after a rest at most, taken up with the first look after the time of grace, removed after another.
  pass(env_.config.output_grace * 5 / 2 + seconds{15});
  EXPECT_EQ(blobs_held(), 0u);
  caf::anon_send_exit(scheduler, caf::exit_reason::kill);
}

TEST_F(Storage, OutputWhoseReservationWasRefusedHalfWayIsRemovedInTheEnd) {
  const auto scheduler = join_scheduler();
  moody_.reservation = errc::unavailable;
  moody_.removal = errc::io;
  auto code = errc::none;
  system_.spawn([&](caf::event_based_actor* self) {
    self->request(actor_, caf::infinite, output_atom::value, video_id{1, 2}, std::uint64_t{10}).then([](const output_ticket&) {}, [&](const caf::error& e) { code = from_caf(e).code; });
  });
  run();
  EXPECT_EQ(code, errc::unavailable);
  EXPECT_EQ(blobs_held(), 1u);
  moody_.removal = errc::none;
  pass(env_.config.output_grace + seconds{20});
  EXPECT_EQ(blobs_held(), 0u) << "its grant was forgotten before it was gone";
  caf::anon_send_exit(scheduler, caf::exit_reason::kill);
}

TEST_F(Storage, UploadWhoseReservationWasRefusedHalfWayIsRemovedWithItsRecord) {
  moody_.reservation = errc::unavailable;
  moody_.removal = errc::io;
  auto code = errc::none;
  system_.spawn([&](caf::event_based_actor* self) {
    self->request(actor_, caf::infinite, begin_atom::value, upload_request{}).then([](const upload_ticket&) {}, [&](const caf::error& e) { code = from_caf(e).code; });
  });
  run();
  EXPECT_EQ(code, errc::unavailable);
  EXPECT_EQ(blobs_held(), 1u);
  const auto records = [this] {
    std::size_t count = 0;
    for (const auto& [key, value] : records_.contents()) count += key.starts_with(store::prefix_uploads) ? 1 : 0;
    return count;
  };
  EXPECT_EQ(records(), 1u);
  moody_.removal = errc::none;
  pass(seconds{3});
  EXPECT_EQ(blobs_held(), 0u);
  EXPECT_EQ(records(), 0u);
}

/// No time passes here: a caller that had to wait for its deadline would not hear anything.
TEST_F(Storage, ThatEndsWithItsRecordsAnswersWhoeverWaits) {
  std::vector<errc> answers;
  const auto hear = [&](errc code) { answers.push_back(code); };
  records_.fail_commits(errc::io);
  system_.spawn([&](caf::event_based_actor* self) {
    self->request(actor_, caf::infinite, begin_atom::value, upload_request{}).then([=](const upload_ticket&) { hear(errc::none); }, [=](const caf::error& e) { hear(from_caf(e).code); });
    self->request(actor_, caf::infinite, list_atom::value, std::string{"default"}, video_id{}, std::uint32_t{10})
      .then([=](const view_list&) { hear(errc::none); }, [=](const caf::error& e) { hear(from_caf(e).code); });
  });
  run();
  EXPECT_EQ(answers, (std::vector<errc>{errc::unavailable, errc::unavailable}));
}

/// What its disk is spared: a record of what is refused would go to the same one.
TEST_F(Storage, OnABadDiskRefusesNewBlobsBeforeItWritesARecord) {
  store::guarded_blobs guarded{blobs_, clock_};
  env_.own_blobs = &guarded;
  blobs_.fail_writes(errc::io);
  guarded.remove({1, 2}, [](const expected<void>&) {});
  run();
  const auto before = records_.contents();
  auto code = errc::none;
  system_.spawn([&](caf::event_based_actor* self) {
    self->request(actor_, caf::infinite, begin_atom::value, upload_request{}).then([](const upload_ticket&) {}, [&](const caf::error& e) { code = from_caf(e).code; });
  });
  run();
  EXPECT_EQ(code, errc::unavailable);
  code = errc::none;
  system_.spawn([&](caf::event_based_actor* self) {
    self->request(actor_, caf::infinite, output_atom::value, video_id{1, 2}, std::uint64_t{10}).then([](const output_ticket&) {}, [&](const caf::error& e) { code = from_caf(e).code; });
  });
  run();
  EXPECT_EQ(code, errc::unavailable);
  EXPECT_EQ(records_.contents(), before);
  env_.own_blobs = nullptr;
}

}  // namespace latham
