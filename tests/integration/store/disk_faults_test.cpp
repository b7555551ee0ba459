// The stores on a disk that fails at chosen calls, and at their limits. Power cuts have a test of their own.
#include "store/blob_record.hpp"
#include "store/disk/file_blobs.hpp"
#include "core/cluster/disk_trouble.hpp"
#include "core/codec.hpp"
#include "store/disk/rocks_kv.hpp"
#include "store/disk/thread_pool.hpp"
#include "store/guarded_blobs.hpp"
#include "store/memory_kv.hpp"
#include "tests/integration/store/simulated_files.hpp"
#include "tests/support/await.hpp"
#include "tests/support/scratch_directory.hpp"

#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <mutex>
#include <utility>
#include <vector>

namespace latham::store {
namespace {

using latham::testing::await;
using latham::testing::code_of;
using latham::testing::disk_call;

class RocksKv : public ::testing::Test {
protected:
  expected<std::unique_ptr<rocks_kv>> open(rocks_kv_options options = {}) {
    options.directory = "/data/index";
    options.files = files;
    return rocks_kv::open(options);
  }
  static expected<void> put(rocks_kv& kv, const std::string& key, const std::string& value) {
    return await<void>([&](auto done) { kv.commit({{key, value}}, done); });
  }
  static std::optional<std::string> get(rocks_kv& kv, const std::string& key) {
    auto r = await<std::optional<std::string>>([&](auto done) { kv.get(key, done); });
    return r ? *r : std::nullopt;
  }
  latham::testing::simulated_disk disk;
  std::shared_ptr<latham::testing::simulated_rocks> files = std::make_shared<latham::testing::simulated_rocks>(disk);
};

TEST_F(RocksKv, WaitingCommitsShareOneSyncAndCompleteInOrder) {
  auto kv = open();
  ASSERT_TRUE(kv) << kv.error().message;
  constexpr int commits = 2000;
  std::vector<int> order;
  std::promise<void> all;
  for (int i = 0; i < commits; ++i) {
    (*kv)->commit({{"k" + std::to_string(i), "v"}}, [&, i](expected<void> r) {
      EXPECT_TRUE(r);
      order.push_back(i);
      if (i + 1 == commits) all.set_value();
    });
  }
  all.get_future().wait();
  for (int i = 0; i < commits; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
  const auto counted = (*kv)->counted();
  EXPECT_EQ(counted.commits, static_cast<std::uint64_t>(commits));
  EXPECT_LT(counted.groups, static_cast<std::uint64_t>(commits));
}

TEST_F(RocksKv, ABarrierWaitsForWhatWasCalledBeforeItWhateverBecomesOfThat) {
  auto kv = open();
  ASSERT_TRUE(kv) << kv.error().message;
  EXPECT_EQ(code_of(await<void>([&](auto done) { (*kv)->barrier(done); })), errc::none) << "there is nothing to wait for";
  std::promise<void> syncs;
  std::promise<void> may_sync;
  disk.inject([&, first = true, may = may_sync.get_future().share()](disk_call call, const std::string&) mutable {
    if (call != disk_call::sync || !std::exchange(first, false)) return errc::none;
    syncs.set_value();
    may.wait();
    return errc::io;
  });
  std::mutex mutex;
  std::vector<int> order;
  std::promise<void> all;
  const auto hear = [&](int n) {
    return [&, n](const expected<void>& r) {
      const std::lock_guard guard{mutex};
      order.push_back(r ? n : -n);
      if (order.size() == 4) all.set_value();
    };
  };
  (*kv)->commit({{"a", "1"}}, hear(1));
  syncs.get_future().wait();
  (*kv)->barrier(hear(2));
  (*kv)->commit({{"b", "2"}}, hear(3));
  (*kv)->barrier(hear(4));
  {
    const std::lock_guard guard{mutex};
    EXPECT_TRUE(order.empty());
  }
  may_sync.set_value();
  all.get_future().wait();
  EXPECT_EQ(order, (std::vector<int>{-1, 2, -3, 4}));
  kv->reset();  // before what its thread has just written to
}

TEST_F(RocksKv, AfterAnIoErrorNothingIsCommittedUntilARestart) {
  auto kv = open();
  ASSERT_TRUE(kv);
  ASSERT_TRUE(put(**kv, "a", "1"));
  disk.inject([](disk_call call, const std::string&) { return call == disk_call::sync ? errc::io : errc::none; });
  EXPECT_EQ(code_of(put(**kv, "a", "2")), errc::io);
  disk.inject(nullptr);
  EXPECT_EQ(code_of(put(**kv, "b", "3")), errc::io);
  kv->reset();
  auto again = open();
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(get(**again, "b"), std::nullopt);
  EXPECT_TRUE(put(**again, "b", "4"));
}

TEST_F(RocksKv, ANearlyFullDiskRefusesCommitsUntilThereIsSpace) {
  auto kv = open();
  ASSERT_TRUE(kv);
  ASSERT_TRUE(put(**kv, "a", "1"));
  disk.set_free_bytes(1'000'000);
  EXPECT_EQ(code_of(put(**kv, "a", "2")), errc::disk_full);
  EXPECT_EQ(get(**kv, "a"), "1");
  disk.set_free_bytes(1ull << 30);
  EXPECT_EQ(code_of(put(**kv, "a", "3")), errc::none);
  EXPECT_EQ(get(**kv, "a"), "3");
}

TEST_F(RocksKv, ALogThatCannotBeWrittenStopsTheStoreAndLosesNothing) {
  auto kv = open();
  ASSERT_TRUE(kv);
  ASSERT_TRUE(put(**kv, "a", "1"));
  disk.inject([](disk_call call, const std::string&) { return call == disk_call::write ? errc::disk_full : errc::none; });
  EXPECT_EQ(code_of(put(**kv, "a", "2")), errc::io);
  disk.inject(nullptr);
  EXPECT_EQ(code_of(put(**kv, "a", "3")), errc::io);
  kv->reset();
  auto again = open();
  ASSERT_TRUE(again);
  EXPECT_EQ(get(**again, "a"), "1");
  EXPECT_TRUE(put(**again, "a", "4"));
}

TEST_F(RocksKv, ANewerFormatIsRefusedWithTheRemedy) {
  {
    auto kv = open();
    ASSERT_TRUE(kv);
  }
  {
    const auto environment = rocksdb::NewCompositeEnv(files);
    rocksdb::Options options;
    options.env = environment.get();
    rocksdb::DB* raw = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(options, "/data/index", &raw).ok());
    const std::unique_ptr<rocksdb::DB> database{raw};
    byte_writer newer;
    newer(std::uint32_t{2});
    ASSERT_TRUE(database->Put({}, std::string("\0format", 7), seal_record(1, newer.bytes())).ok());
  }
  const auto refused = open();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::newer_format);
  EXPECT_NE(refused.error().message.find("upgrade"), std::string::npos);
}

TEST_F(RocksKv, TheStoresOwnKeysAreNotSeen) {
  auto kv = open();
  ASSERT_TRUE(kv);
  EXPECT_EQ(code_of(put(**kv, std::string("\0format", 7), "x")), errc::invalid_argument);
  const auto all = await<ports::kv_pairs>([&](auto done) { (*kv)->scan("", "", 10, done); });
  ASSERT_TRUE(all);
  EXPECT_TRUE(all->empty());
}

TEST_F(RocksKv, TooManyWaitingCommitsAreRefused) {
  rocks_kv_options options;
  options.commits_waiting_max = 8;
  auto kv = open(options);
  ASSERT_TRUE(kv);
  std::atomic<int> limited{0};
  std::atomic<int> answered{0};
  constexpr int commits = 3000;
  for (int i = 0; i < commits; ++i) {
    (*kv)->commit({{"k", std::string(10'000, 'v')}}, [&](expected<void> r) {
      if (code_of(r) == errc::limited) ++limited;
      ++answered;
    });
  }
  while (answered.load() < commits) std::this_thread::yield();
  EXPECT_GT(limited.load(), 0);
}

TEST_F(RocksKv, ABatchThatFitsIntoNoQueueIsRefusedForGood) {
  rocks_kv_options options;
  options.bytes_waiting_max = 100'000;
  auto kv = open(options);
  ASSERT_TRUE(kv);
  const auto of = [](std::size_t bytes) { return std::string(bytes - 17, 'v'); };
  EXPECT_EQ(code_of(put(**kv, "k", of(100'001))), errc::too_large) << "nothing waits, and the next try finds no more room";
  EXPECT_EQ(code_of(put(**kv, "k", of(100'000))), errc::none);
}

TEST_F(RocksKv, TwoProcessesCannotOpenOneDatabase) {
  auto kv = open();
  ASSERT_TRUE(kv);
  const auto second = open();
  EXPECT_EQ(code_of(second), errc::conflict);
  EXPECT_NE(second.error().message.find("a data directory of its own"), std::string::npos) << second.error().message;
}

/// Its words would send somebody to look for a process that is not there.
TEST_F(RocksKv, WhatIsNoLockOfAnotherIsNotCalledOne) {
  const latham::testing::scratch_directory scratch;
  rocks_kv_options options;
  options.directory = scratch / "block";
  std::filesystem::create_directories(scratch / "block/LOCK");
  const auto refused = rocks_kv::open(options);
  EXPECT_EQ(code_of(refused), errc::io);
  EXPECT_EQ(refused.error().message.find("another process"), std::string::npos) << refused.error().message;
}

class FileBlobs : public ::testing::Test {
protected:
  void start(file_blobs_options options = {}) {
    blobs.reset();
    options.directory = "/data/blobs";
    auto opened = file_blobs::open(options, index, files);
    ASSERT_TRUE(opened) << opened.error().message;
    blobs = std::move(*opened);
  }
  void SetUp() override { start(); }
  void TearDown() override {
    blobs.reset();
    thread.stop();
  }
  ports::write_token reserved(std::uint64_t bytes_max = 4 * mib) {
    const ports::write_token token{blob_id{1, ++ids}, 1, bytes_max};
    EXPECT_TRUE(await<void>([&](auto done) { blobs->reserve(token, done); }));
    return token;
  }
  expected<std::uint64_t> append(ports::write_token t, std::uint64_t offset, std::string bytes) {
    const auto crc = crc32c(bytes);
    return await<std::uint64_t>([&](auto done) { blobs->append(t, offset, buffer{std::move(bytes)}, crc, done); });
  }
  expected<std::uint64_t> open_write(ports::write_token t) {
    return await<std::uint64_t>([&](auto done) { blobs->open_write(t, done); });
  }
  expected<buffer> read(ports::write_token t, std::uint64_t offset, std::uint32_t bytes) {
    return await<buffer>([&](auto done) { blobs->read(t.blob, offset, bytes, done); });
  }
  expected<ports::blob_stat> seal(ports::write_token t, std::uint64_t bytes) {
    return await<ports::blob_stat>([&](auto done) { blobs->seal(t, bytes, done); });
  }

  latham::testing::simulated_disk disk;
  latham::testing::simulated_files files{disk};
  thread_pool thread{"index", 1, 1'000'000};
  memory_kv index{[this](std::function<void()> work) { thread.post_always(std::move(work)); }};
  std::unique_ptr<file_blobs> blobs;
  std::uint64_t ids = 0;
};

TEST_F(FileBlobs, AFullDiskTakesNothingAndTheWriterGoesOnLater) {
  const auto t = reserved();
  ASSERT_TRUE(append(t, 0, "first"));
  disk.inject([](disk_call call, const std::string&) { return call == disk_call::write ? errc::disk_full : errc::none; });
  EXPECT_EQ(code_of(append(t, 5, "second")), errc::disk_full);
  disk.inject(nullptr);
  ASSERT_EQ(*open_write(t), 5u);
  EXPECT_EQ(*append(t, 5, "third"), 10u);
  const auto sealed = seal(t, 10);
  ASSERT_TRUE(sealed);
  EXPECT_EQ(read(t, 0, 100)->view(), "firstthird");
}

TEST_F(FileBlobs, AFailedSyncAcknowledgesNothingAndTheBlobRecovers) {
  const auto t = reserved();
  ASSERT_TRUE(append(t, 0, "first"));
  disk.inject([](disk_call call, const std::string&) { return call == disk_call::sync ? errc::io : errc::none; });
  EXPECT_EQ(code_of(append(t, 5, "lost")), errc::io);
  disk.inject(nullptr);
  ASSERT_EQ(*open_write(t), 5u);
  ASSERT_EQ(*append(t, 5, "kept!"), 10u);
  ASSERT_TRUE(seal(t, 10));
  EXPECT_EQ(read(t, 0, 100)->view(), "firstkept!");
}

TEST_F(FileBlobs, BehindItsGuardABadDiskIsTriedWithAFileThatLeavesNothingBehind) {
  struct : ports::clock {
    std::atomic<std::int64_t> ns{1};
    [[nodiscard]] instant now() const noexcept override { return {ns}; }
    [[nodiscard]] utc_ms wall() const noexcept override { return {}; }
  } clock;
  const auto t = reserved();
  ASSERT_TRUE(append(t, 0, "first"));
  {
    guarded_blobs guarded{*blobs, clock};
    disk.inject([](disk_call call, const std::string&) { return call == disk_call::sync ? errc::io : errc::none; });
    const std::string bytes = "lost";
    EXPECT_EQ(code_of(await<std::uint64_t>([&](auto done) { guarded.append(t, 5, buffer{bytes}, crc32c(bytes), done); })), errc::io);
    EXPECT_EQ(code_of(await<void>([&](auto done) { guarded.reserve({blob_id{1, 99}, 1, 10}, done); })), errc::unavailable);
    disk.inject(nullptr);
    clock.ns += nanoseconds{disk_trouble::wait_first}.count();
    while (!guarded.takes_new()) std::this_thread::yield();
    EXPECT_TRUE(await<void>([&](auto done) { guarded.reserve({blob_id{1, 99}, 1, 10}, done); }));
  }
  start();
  EXPECT_EQ(blobs->recovered().blobs, 2u);
  EXPECT_EQ(blobs->recovered().files_removed, 0u);
}

TEST_F(FileBlobs, AfterAnIndexErrorNothingIsWrittenButReadsGoOn) {
  const auto t = reserved();
  ASSERT_TRUE(append(t, 0, "first"));
  index.fail_commits(errc::io);
  EXPECT_EQ(code_of(append(t, 5, "second")), errc::io);
  index.fail_commits(errc::none);
  EXPECT_EQ(code_of(append(t, 5, "second")), errc::io);
  EXPECT_EQ(code_of(open_write(t)), errc::io);
  EXPECT_EQ(read(t, 0, 100)->view(), "first");
  start();
  EXPECT_EQ(*open_write(t), 5u);
}

TEST_F(FileBlobs, StartUpCutsTailsRemovesStrangersAndReportsWhatIsMissing) {
  const auto whole = reserved();
  ASSERT_TRUE(append(whole, 0, "whole"));
  const auto gone = reserved();
  ASSERT_TRUE(append(gone, 0, "gone"));
  ASSERT_TRUE(seal(gone, 4));
  const auto path = [](ports::write_token t) { return "/data/blobs/" + file_blobs::relative_path(t.blob); };
  blobs.reset();
  auto tail = disk.open(path(whole), false, false);
  ASSERT_TRUE(disk.append(**tail, "unacknowledged"));
  ASSERT_TRUE(disk.unlink(path(gone)));
  ASSERT_TRUE(disk.open("/data/blobs/07/stranger", true, true));
  ASSERT_TRUE(disk.open("/data/blobs/" + file_blobs::relative_path(blob_id{9, 9}), true, true));
  start();
  const auto& report = blobs->recovered();
  EXPECT_EQ(report.blobs, 2u);
  EXPECT_EQ(report.blobs_open, 1u);
  EXPECT_EQ(report.bytes_cut, 14u);
  EXPECT_EQ(report.files_removed, 2u);
  EXPECT_EQ(report.damaged, std::vector<blob_id>{gone.blob});
  EXPECT_EQ(code_of(read(gone, 0, 4)), errc::corrupt);
  EXPECT_EQ(read(whole, 0, 100)->view(), "whole");
}

TEST_F(FileBlobs, WaitingAppendsShareOneWriteAndOneSync) {
  const auto t = reserved();
  ASSERT_TRUE(append(t, 0, "x"));
  // Holds the first sync until all the appends are waiting behind it.
  std::promise<void> release;
  auto released = release.get_future().share();
  std::atomic<int> syncs{0};
  disk.inject(nullptr);
  constexpr std::uint64_t appends = 32;
  std::atomic<std::uint64_t> done{0};
  std::promise<void> all;
  std::promise<void> blocked;
  blobs->open_write(t, [&](expected<std::uint64_t>) {
    blocked.set_value();
    released.wait();  // on the blob's own step: nothing of this blob moves
  });
  blocked.get_future().wait();
  for (std::uint64_t i = 0; i < appends; ++i) {
    blobs->append(t, 1 + i, buffer{std::string{"y"}}, crc32c("y"), [&](expected<std::uint64_t> r) {
      EXPECT_TRUE(r);
      if (++done == appends) all.set_value();
    });
  }
  disk.inject([&](disk_call call, const std::string&) {
    if (call == disk_call::sync) ++syncs;
    return errc::none;
  });
  release.set_value();
  all.get_future().wait();
  disk.inject(nullptr);
  EXPECT_EQ(syncs.load(), 1);
}

TEST_F(FileBlobs, TooManyAppendsUnderWayAreRefused) {
  file_blobs_options options;
  options.appends_per_blob_max = 4;
  start(options);
  const auto t = reserved();
  std::promise<void> release;
  std::promise<void> blocked;
  blobs->open_write(t, [&](expected<std::uint64_t>) {
    blocked.set_value();
    release.get_future().wait();
  });
  blocked.get_future().wait();
  std::atomic<int> limited{0};
  std::atomic<int> answered{0};
  for (std::uint64_t i = 0; i < 10; ++i) {
    blobs->append(t, i, buffer{std::string{"y"}}, crc32c("y"), [&](expected<std::uint64_t> r) {
      if (code_of(r) == errc::limited) ++limited;
      ++answered;
    });
  }
  release.set_value();
  while (answered.load() < 10) std::this_thread::yield();
  EXPECT_EQ(limited.load(), 6);
  EXPECT_EQ(*open_write(t), 4u);
}

TEST_F(FileBlobs, SpaceIsPromisedOnce) {
  file_blobs_options options;
  options.free_reserve_bytes = 1000;
  start(options);
  disk.set_free_bytes(10'000);
  const auto reserve = [&](std::uint64_t n, std::uint64_t bytes) {
    const ports::write_token token{blob_id{2, n}, 1, bytes};
    return code_of(await<void>([&](auto done) { blobs->reserve(token, done); }));
  };
  EXPECT_EQ(reserve(1, 9001), errc::disk_full);
  EXPECT_EQ(reserve(1, 5000), errc::none);
  EXPECT_EQ(reserve(1, 5000), errc::none);  // the same promise again
  EXPECT_EQ(reserve(2, 4001), errc::disk_full);
  EXPECT_EQ(reserve(2, 4000), errc::none);
  EXPECT_EQ(reserve(3, 1), errc::disk_full);
  EXPECT_EQ(blobs->used().bytes_promised, 9000u);
  EXPECT_EQ(reserve(1, 100), errc::none);  // less
  EXPECT_EQ(blobs->used().bytes_promised, 4100u);
  ASSERT_TRUE(await<void>([&](auto done) { blobs->remove(blob_id{2, 2}, done); }));
  EXPECT_EQ(blobs->used().bytes_promised, 100u);
  start(options);
  EXPECT_EQ(blobs->used().bytes_promised, 100u);
}

TEST_F(FileBlobs, ManyOpenBlobsAreBoundedAndStillWritable) {
  file_blobs_options options;
  options.open_blobs_max = 3;
  start(options);
  std::vector<ports::write_token> tokens;
  for (int i = 0; i < 20; ++i) tokens.push_back(reserved());
  for (int round = 0; round < 3; ++round) {
    for (const auto& t : tokens)
      ASSERT_EQ(*append(t, static_cast<std::uint64_t>(round) * 4, "four"), static_cast<std::uint64_t>(round + 1) * 4);
  }
  for (const auto& t : tokens) {
    const auto sealed = seal(t, 12);
    ASSERT_TRUE(sealed);
    EXPECT_EQ(read(t, 0, 12)->view(), "fourfourfour");
  }
}

TEST(RocksKvOnARealDisk, SurvivesAReopen) {
  latham::testing::scratch_directory directory;
  rocks_kv_options options;
  options.directory = directory / "index";
  {
    auto kv = rocks_kv::open(options);
    ASSERT_TRUE(kv) << kv.error().message;
    ASSERT_TRUE(await<void>([&](auto done) { (*kv)->commit({{"k", "v"}, {"gone", "x"}}, done); }));
    ASSERT_TRUE(await<void>([&](auto done) { (*kv)->commit({{"gone", std::nullopt}}, done); }));
  }
  auto kv = rocks_kv::open(options);
  ASSERT_TRUE(kv);
  const auto all = await<ports::kv_pairs>([&](auto done) { (*kv)->scan("", "", 10, done); });
  ASSERT_TRUE(all);
  EXPECT_EQ(*all, (ports::kv_pairs{{"k", "v"}}));
}

}  // namespace
}  // namespace latham::store
