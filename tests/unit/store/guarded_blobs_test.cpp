// A node's own disk that fails writes: what it still takes, and what it is spared.
#include "store/guarded_blobs.hpp"

#include "core/cluster/disk_trouble.hpp"
#include "store/memory_blobs.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <optional>
#include <vector>

namespace latham::store {

namespace {

struct manual_clock final : ports::clock {
  instant time{1'000'000'000'000};
  [[nodiscard]] instant now() const noexcept override { return time; }
  [[nodiscard]] utc_ms wall() const noexcept override { return {1'700'000'000'000}; }
};

struct kept_metrics final : ports::metrics {
  std::map<std::string, double, std::less<>> values;
  void add(std::string_view counter, double amount, const ports::labels&) override { values[std::string{counter}] += amount; }
  void set(std::string_view gauge, double value, const ports::labels&) override { values[std::string{gauge}] = value; }
  void observe(std::string_view, double, const ports::labels&) override {}
};

struct kept_log final : ports::log_sink {
  std::vector<std::string> lines;
  [[nodiscard]] bool enabled(ports::log_level level) const noexcept override { return level != ports::log_level::debug; }
  void write(ports::log_level, std::string line) override { lines.push_back(std::move(line)); }
};

class GuardedBlobs : public ::testing::Test {
protected:
  template <class T, class Start>
  errc code(Start call) {
    std::optional<errc> answer;
    call(ports::completion<T>{[&](const expected<T>& result) {
      EXPECT_FALSE(answer) << "answered twice";
      answer = result ? errc::none : result.error().code;
    }});
    queue.run_all();
    return answer.value_or(errc::internal);
  }
  static ports::write_token token(std::uint64_t blob, std::uint64_t nonce = 7) { return {{0x0123456789ab0000ull, blob}, nonce, 4 * mib}; }
  errc reserve(const ports::write_token& t) {
    return code<void>([&](auto done) { blobs.reserve(t, done); });
  }
  errc append(const ports::write_token& t, std::uint64_t at = 0) {
    const buffer bytes{std::string{"hello"}};
    return code<std::uint64_t>([&](auto done) { blobs.append(t, at, bytes, crc32c(bytes.view()), done); });
  }
  errc seal(const ports::write_token& t, std::uint64_t bytes) {
    return code<ports::blob_stat>([&](auto done) { blobs.seal(t, bytes, done); });
  }
  void pass(nanoseconds time) { clock.time = clock.time + time; }
  /// One write of a blob that is there already fails.
  void fail_once() {
    ASSERT_EQ(reserve(token(1)), errc::none);
    disk.fail_writes(errc::io);
    ASSERT_EQ(append(token(1)), errc::io);
  }
  bool takes_new() { return blobs.takes_new().has_value(); }
  /// As the one does who asks first after a wait: refused, it has the disk tried.
  void ask() {
    EXPECT_FALSE(takes_new());
    queue.run_all();
  }
  double read_only() const { return metrics.values.at("latham_storage_read_only"); }

  closure_queue queue;
  memory_blobs disk{queue.adder()};
  manual_clock clock;
  kept_metrics metrics;
  kept_log log;
  guarded_blobs blobs{disk, clock, {&metrics, &log}};
};

}  // namespace

TEST_F(GuardedBlobs, AGoodDiskIsAskedForEverything) {
  EXPECT_EQ(reserve(token(1)), errc::none);
  EXPECT_EQ(append(token(1)), errc::none);
  EXPECT_EQ(seal(token(1), 5), errc::none);
  EXPECT_EQ(code<buffer>([&](auto done) { blobs.read(token(1).blob, 0, 5, done); }), errc::none);
  EXPECT_EQ(code<ports::blob_stat>([&](auto done) { blobs.stat(token(1).blob, done); }), errc::none);
  EXPECT_EQ(code<void>([&](auto done) { blobs.remove(token(1).blob, done); }), errc::none);
  EXPECT_TRUE(takes_new());
  EXPECT_EQ(read_only(), 0);
  EXPECT_TRUE(log.lines.empty());
}

TEST_F(GuardedBlobs, AFailedWriteMakesItRefuseNewBlobsUntilTheWaitIsOver) {
  fail_once();
  disk.fail_writes(errc::none);  // had it been asked, it would have taken them
  EXPECT_FALSE(takes_new());
  EXPECT_EQ(blobs.takes_new().error().code, errc::unavailable);
  EXPECT_EQ(reserve(token(2)), errc::unavailable);
  EXPECT_EQ(read_only(), 1);
  ASSERT_EQ(log.lines.size(), 1u);
  EXPECT_NE(log.lines[0].find("wait_s=30"), std::string::npos) << log.lines[0];
  EXPECT_EQ(disk.contents().size(), 1u);
  pass(disk_trouble::wait_first);
  EXPECT_EQ(reserve(token(2)), errc::unavailable) << "who asks first has the disk tried";
  EXPECT_TRUE(takes_new());
  EXPECT_EQ(read_only(), 0);
  EXPECT_EQ(log.lines.size(), 2u);
  EXPECT_EQ(reserve(token(2)), errc::none);
  EXPECT_EQ(disk.contents().size(), 2u) << "of the trial nothing is left";
}

TEST_F(GuardedBlobs, WhoOnlyAsksHasTheDiskTriedAsWell) {
  fail_once();
  disk.fail_writes(errc::none);
  ask();
  EXPECT_FALSE(takes_new()) << "not before the wait is over";
  pass(disk_trouble::wait_first);
  ask();
  EXPECT_TRUE(takes_new());
}

TEST_F(GuardedBlobs, WhatIsUnderWayIsFinishedReadAndRemoved) {
  ASSERT_EQ(reserve(token(4)), errc::none);
  ASSERT_EQ(append(token(4)), errc::none);
  fail_once();
  disk.fail_writes(errc::none);
  EXPECT_EQ(reserve(token(4, 8)), errc::none) << "its writer comes back";
  EXPECT_EQ(append(token(4, 8), 5), errc::none);
  EXPECT_EQ(seal(token(4, 8), 10), errc::none);
  EXPECT_EQ(code<buffer>([&](auto done) { blobs.read(token(4).blob, 0, 10, done); }), errc::none);
  EXPECT_EQ(code<void>([&](auto done) { blobs.remove(token(1).blob, done); }), errc::none);
  EXPECT_FALSE(takes_new());
  EXPECT_EQ(reserve(token(1)), errc::conflict) << "a dead blob is as dead as ever";
}

TEST_F(GuardedBlobs, ATrialThatFailsMakesTheNextOneWaitTwiceAsLong) {
  fail_once();
  pass(disk_trouble::wait_first);
  ask();
  EXPECT_EQ(log.lines.size(), 2u);
  disk.fail_writes(errc::none);
  pass(2 * disk_trouble::wait_first - nanoseconds{1});
  ask();
  EXPECT_FALSE(takes_new());
  pass(nanoseconds{1});
  ask();
  EXPECT_TRUE(takes_new());
  EXPECT_EQ(metrics.values.at("latham_disk_writes_failed_total"), 2);
}

TEST_F(GuardedBlobs, ATrialOnADiskThatIsFullByThenTellsNothing) {
  fail_once();
  disk.fail_writes(errc::disk_full);
  pass(disk_trouble::wait_first);
  ask();
  disk.fail_writes(errc::none);
  ask();
  EXPECT_FALSE(takes_new());
  pass(disk_trouble::wait_first);
  ask();
  EXPECT_TRUE(takes_new());
}

TEST_F(GuardedBlobs, ATrialThatACrashLeftIsInNobodysListAndGoneAfterTheNextStart) {
  ASSERT_EQ(reserve(token(1)), errc::none);
  ASSERT_EQ(reserve({{0, 1}, 7, 4096}), errc::none);
  std::vector<blob_id> listed;
  blobs.list({}, 2, [&](const expected<std::vector<ports::blob_stat>>& all) {
    for (const auto& one : *all) listed.push_back(one.blob);
  });
  queue.run_all();
  EXPECT_EQ(listed, (std::vector<blob_id>{token(1).blob}));
  EXPECT_EQ(disk.contents().size(), 2u);
  const guarded_blobs next{disk, clock};
  queue.run_all();
  EXPECT_EQ(disk.contents().size(), 1u);
}

TEST_F(GuardedBlobs, EveryKindOfWriteThatFailsBeginsIt) {
  struct kind {
    const char* name;
    std::function<errc()> call;
  };
  const buffer block{std::string{"hello"}};
  const auto mend = [&] { return code<void>([&](auto done) { blobs.mend(token(2).blob, 0, block, done); }); };
  const std::vector<kind> kinds = {
    {"reserve", [&] { return reserve(token(9)); }},
    {"truncate", [&] { return code<void>([&](auto done) { blobs.truncate(token(1), 0, done); }); }},
    {"seal", [&] { return seal(token(1), 5); }},
    {"remove", [&] { return code<void>([&](auto done) { blobs.remove(token(1).blob, done); }); }},
    {"drop", [&] { return code<void>([&](auto done) { blobs.drop(token(1).blob, done); }); }},
    {"mend", mend},
  };
  for (const auto& one : kinds) {
    ASSERT_TRUE(takes_new()) << one.name;
    for (const std::uint64_t blob : {1, 2}) {
      (void)reserve(token(blob));
      (void)append(token(blob));
    }
    (void)seal(token(2), 5);
    disk.fail_writes(errc::io);
    EXPECT_EQ(one.call(), errc::io) << one.name;
    EXPECT_FALSE(takes_new()) << one.name;
    disk.fail_writes(errc::none);
    pass(disk_trouble::wait_first);
    EXPECT_EQ(mend(), errc::none) << one.name;  // durable bytes end it
  }
}

TEST_F(GuardedBlobs, AFullDiskIsNoTrouble) {
  ASSERT_EQ(reserve(token(1)), errc::none);
  disk.fail_writes(errc::disk_full);
  EXPECT_EQ(append(token(1)), errc::disk_full);
  EXPECT_TRUE(takes_new());
  EXPECT_EQ(reserve(token(2)), errc::disk_full) << "a delete may have made room, so it is asked";
}

TEST_F(GuardedBlobs, AnAnswerThatComesAfterItsEndIsStillGiven) {
  auto code = errc::internal;
  {
    guarded_blobs gone{disk, clock};
    gone.reserve(token(1), [&](const expected<void>& result) { code = result ? errc::none : result.error().code; });
  }
  queue.run_all();
  EXPECT_EQ(code, errc::none);
}

}  // namespace latham::store
