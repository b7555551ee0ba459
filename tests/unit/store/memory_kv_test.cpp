#include "store/memory_kv.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace latham::store {
namespace {

struct MemoryKv : ::testing::Test {
  closure_queue time;
  memory_kv kv{time.adder()};
  std::vector<int> done;

  void commit(int n) {
    kv.commit({{"key", std::to_string(n)}}, [this, n](expected<void> r) { done.push_back(r ? n : -n); });
  }
  std::optional<std::string> get(const std::string& key) {
    std::optional<std::string> out;
    kv.get(key, [&](expected<std::optional<std::string>> r) { out = *r; });
    time.run_all();
    return out;
  }
};

TEST_F(MemoryKv, NothingCompletesInsideTheCall) {
  commit(1);
  EXPECT_TRUE(done.empty());
  EXPECT_TRUE(kv.contents().empty());
  time.run_all();
  EXPECT_EQ(done, std::vector<int>{1});
  EXPECT_EQ(get("key"), "1");
}

TEST_F(MemoryKv, APowerCutForgetsWhatWasNotCompleted) {
  commit(1);
  time.run_all();
  commit(2);
  commit(3);
  kv.power_cut();
  time.run_all();
  EXPECT_EQ(done, std::vector<int>{1});
  EXPECT_EQ(get("key"), "1");
}

TEST_F(MemoryKv, APrefixOfTheWaitingCommitsMaySurviveUnacknowledged) {
  commit(1);
  commit(2);
  commit(3);
  kv.power_cut(2);
  time.run_all();
  EXPECT_TRUE(done.empty());
  EXPECT_EQ(get("key"), "2");
}

TEST_F(MemoryKv, CommitsKeepTheirOrderWhateverTheOwnerOfTimeDoes) {
  std::vector<std::function<void()>> later;
  memory_kv other{[&](std::function<void()> work) { later.push_back(std::move(work)); }};
  std::vector<int> order;
  for (int i = 0; i < 3; ++i) other.commit({{"k", std::to_string(i)}}, [&, i](expected<void>) { order.push_back(i); });
  for (auto at = later.rbegin(); at != later.rend(); ++at) (*at)();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(other.contents().at("k"), "2");
}

TEST_F(MemoryKv, ABarrierWaitsForWhatWasCalledBeforeIt) {
  const auto barrier = [this](int n) { kv.barrier([this, n](expected<void> r) { done.push_back(r ? n : -n); }); };
  barrier(1);
  EXPECT_TRUE(done.empty());
  time.run_all();
  EXPECT_EQ(done, std::vector<int>{1});
  commit(2);
  commit(3);
  barrier(4);
  barrier(5);
  commit(6);
  ASSERT_TRUE(time.run_one());
  EXPECT_EQ(done, (std::vector<int>{1, 2}));
  ASSERT_TRUE(time.run_one());
  EXPECT_EQ(done, (std::vector<int>{1, 2, 3, 4, 5}));
  time.run_all();
  EXPECT_EQ(done, (std::vector<int>{1, 2, 3, 4, 5, 6}));
  commit(7);
  barrier(8);
  kv.power_cut();
  time.run_all();
  EXPECT_EQ(done.size(), 6u);
}

TEST_F(MemoryKv, LimitsAreThoseOfThePort) {
  errc seen = errc::none;
  const auto code = [&](ports::kv_batch batch) {
    kv.commit(std::move(batch), [&](expected<void> r) { seen = r ? errc::none : r.error().code; });
    time.run_all();
    return seen;
  };
  EXPECT_EQ(code({{"", "x"}}), errc::invalid_argument);
  EXPECT_EQ(code({{std::string(513, 'k'), "x"}}), errc::invalid_argument);
  EXPECT_EQ(code({{std::string("\0k", 2), "x"}}), errc::invalid_argument);
  EXPECT_EQ(code({{"k", std::string(1024 * 1024 + 1, 'v')}}), errc::invalid_argument);
  EXPECT_EQ(code({{std::string(512, 'k'), std::string(1024 * 1024, 'v')}}), errc::none);
  memory_kv small{time.adder(), {1, 1024}};
  errc second = errc::none;
  small.commit({{"k", "1"}}, [](expected<void>) {});
  small.commit({{"k", "2"}}, [&](expected<void> r) { second = r ? errc::none : r.error().code; });
  time.run_all();
  EXPECT_EQ(second, errc::limited);
}

TEST_F(MemoryKv, TakesNoMoreBytesThanMayWait) {
  memory_kv small{time.adder(), {10, 100}};
  std::vector<errc> codes;
  const auto commit = [&](std::size_t bytes) {
    small.commit({{"k", std::string(bytes - 17, 'v')}}, [&](expected<void> r) { codes.push_back(r ? errc::none : r.error().code); });
  };
  commit(60);
  commit(41);
  commit(40);
  time.run_all();
  EXPECT_EQ(codes, (std::vector{errc::none, errc::limited, errc::none}));
  codes.clear();
  commit(101);
  commit(100);
  time.run_all();
  EXPECT_EQ(codes, (std::vector{errc::too_large, errc::none})) << "what fits into no queue is not to be tried again";
  codes.clear();
  commit(100);
  small.power_cut();
  commit(100);
  time.run_all();
  EXPECT_EQ(codes, (std::vector{errc::none})) << "what was lost waits no more";
}

TEST_F(MemoryKv, ScansByPrefixInOrder) {
  kv.commit({{"a/1", "x"}, {"b/1", "1"}, {"b/2", "2"}, {"b/3", "3"}, {"c", "y"}}, [](expected<void>) {});
  kv.commit({{"b/2", std::nullopt}}, [](expected<void>) {});
  ports::kv_pairs found;
  kv.scan("b/", "", 10, [&](expected<ports::kv_pairs> r) { found = *r; });
  time.run_all();
  EXPECT_EQ(found, (ports::kv_pairs{{"b/1", "1"}, {"b/3", "3"}}));
  kv.scan("b/", "b/1", 1, [&](expected<ports::kv_pairs> r) { found = *r; });
  time.run_all();
  EXPECT_EQ(found, (ports::kv_pairs{{"b/3", "3"}}));
}

}  // namespace
}  // namespace latham::store
