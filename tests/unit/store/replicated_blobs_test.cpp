// A storage node's store with copies: who has what after a write, and where reads, looks and deletes go.
#include "tests/support/copies_cluster.hpp"

#include <gtest/gtest.h>

#include <optional>

namespace latham::testing {

namespace {

const std::vector<node_name> three{"storage-0", "storage-1", "storage-2"};

class ReplicatedBlobs : public ::testing::Test {
protected:
  ReplicatedBlobs() {
    token.blob = {0x0123456789ab0000ull, 99};
    token.nonce = 7;
    token.bytes_max = 4 * mib;
    homes = placement_of(token.blob, three);
  }
  template <class T, class Start>
  errc code(Start call) {
    const auto result = cluster.ask<T>(std::move(call));
    if (!result) return errc::internal;
    return *result ? errc::none : result->error().code;
  }
  errc append(const std::string& bytes, std::uint64_t at) {
    return code<std::uint64_t>([&](auto done) { cluster.at(homes[0]).append(token, at, buffer{bytes}, crc32c(bytes), done); });
  }
  errc reserve() {
    return code<void>([&](auto done) { cluster.at(homes[0]).reserve(token, done); });
  }
  errc seal(std::uint64_t bytes) {
    return code<ports::blob_stat>([&](auto done) { cluster.at(homes[0]).seal(token, bytes, done); });
  }
  ports::blob_presence on_disk(const node_name& name) {
    return (*cluster.ask<ports::blob_look>([&](auto done) { cluster.disk(name).look(token.blob, done); }))->presence;
  }
  std::string read_at(const node_name& name, std::uint64_t at, std::uint32_t bytes) {
    const auto part = cluster.ask<buffer>([&](auto done) { cluster.at(name).read(token.blob, at, bytes, done); });
    return part && *part ? std::string{(*part)->view()} : "error " + std::string{to_string(part->error().code)};
  }

  copies_cluster cluster{three, 2, 2};
  ports::write_token token;
  std::vector<node_name> homes;
};

}  // namespace

TEST_F(ReplicatedBlobs, ABlobIsAtItsFirstTwoHomesAndReadFromAnywhere) {
  ASSERT_EQ(reserve(), errc::none);
  ASSERT_EQ(append("hello ", 0), errc::none);
  ASSERT_EQ(append("world", 6), errc::none);
  ASSERT_EQ(seal(11), errc::none);
  EXPECT_EQ(on_disk(homes[0]), ports::blob_presence::sealed);
  EXPECT_EQ(on_disk(homes[1]), ports::blob_presence::sealed);
  EXPECT_EQ(on_disk(homes[2]), ports::blob_presence::missing);
  for (const auto& name : three) {
    EXPECT_EQ(read_at(name, 0, 11), "hello world");
    EXPECT_EQ(read_at(name, 6, 1000), "world");
    EXPECT_EQ(read_at(name, 11, 10), "");
  }
}

TEST_F(ReplicatedBlobs, WithoutASecondNodeNothingIsPromisedAndNothingIsLeftBehind) {
  cluster.kill(homes[1]);
  cluster.kill(homes[2]);
  EXPECT_EQ(reserve(), errc::unavailable);
  // Not missing: had one of them promised before it went, this tombstone takes the promise back when it is here again.
  EXPECT_EQ(on_disk(homes[0]), ports::blob_presence::dead);
}

TEST_F(ReplicatedBlobs, APromiseThatGotToOneNodeOfTwoIsDeadThere) {
  copies_cluster wide{three, 3, 3};
  wide.kill(homes[2]);
  const auto refused = wide.ask<void>([&](auto done) { wide.at(homes[0]).reserve(token, done); });
  ASSERT_TRUE(refused && !*refused);
  for (const auto& name : {homes[0], homes[1]})
    EXPECT_EQ((*wide.ask<ports::blob_look>([&](auto done) { wide.disk(name).look(token.blob, done); }))->presence, ports::blob_presence::dead);
}

TEST_F(ReplicatedBlobs, ANewWriterDoesNotCutWhatTheOthersHave) {
  ASSERT_EQ(reserve(), errc::none);
  ASSERT_EQ(append("one", 0), errc::none);
  token.nonce = 8;
  ASSERT_EQ(reserve(), errc::none);
  EXPECT_EQ((*cluster.ask<ports::blob_stat>([&](auto done) { cluster.disk(homes[1]).stat(token.blob, done); }))->bytes, 3u);
  ASSERT_EQ(append("two", 3), errc::none);
  ASSERT_EQ(seal(6), errc::none);
  EXPECT_EQ(on_disk(homes[1]), ports::blob_presence::sealed);
}

TEST_F(ReplicatedBlobs, ANodeThatDiesIsReplacedByOneThatHasEverything) {
  ASSERT_EQ(reserve(), errc::none);
  ASSERT_EQ(append(std::string(mib, 'a'), 0), errc::none);
  cluster.kill(homes[1]);
  ASSERT_EQ(append("tail", mib), errc::none);
  ASSERT_EQ(seal(mib + 4), errc::none);
  EXPECT_EQ(on_disk(homes[2]), ports::blob_presence::sealed);
  cluster.kill(homes[0]);
  cluster.restart(homes[1]);
  // The one that came back holds a part only: it must not pass for the whole.
  EXPECT_EQ(on_disk(homes[1]), ports::blob_presence::open);
  EXPECT_EQ(read_at(homes[1], mib - 2, 100), "aatail");
  EXPECT_EQ(read_at(homes[1], mib + 4, 100), "");
}

TEST_F(ReplicatedBlobs, AnAppendThatTooFewHoldIsSaidToBeSoAndIsTakenUpLater) {
  ASSERT_EQ(reserve(), errc::none);
  ASSERT_EQ(append("one", 0), errc::none);
  cluster.kill(homes[1]);
  cluster.kill(homes[2]);
  EXPECT_EQ(append("two", 3), errc::unavailable);
  EXPECT_EQ(code<std::uint64_t>([&](auto done) { cluster.at(homes[0]).open_write(token, done); }), errc::unavailable);
  cluster.restart(homes[2]);
  cluster.pass(seconds{1});
  const auto from = cluster.ask<std::uint64_t>([&](auto done) { cluster.at(homes[0]).open_write(token, done); });
  ASSERT_TRUE(from && *from);
  EXPECT_EQ(**from, 6u);
  EXPECT_EQ(seal(6), errc::none);
  EXPECT_EQ(read_at(homes[2], 0, 6), "onetwo");
}

TEST_F(ReplicatedBlobs, ARottenBlockIsReadFromTheOther) {
  ASSERT_EQ(reserve(), errc::none);
  ASSERT_EQ(append("precious", 0), errc::none);
  ASSERT_EQ(seal(8), errc::none);
  ASSERT_TRUE(cluster.disk(homes[0]).rot(token.blob, 2));
  EXPECT_EQ(read_at(homes[0], 0, 8), "precious");
  ASSERT_TRUE(cluster.disk(homes[1]).rot(token.blob, 3));
  EXPECT_EQ(read_at(homes[0], 0, 8), "error corrupt");
}

TEST_F(ReplicatedBlobs, ADeleteReachesAllThatCanBeReached) {
  ASSERT_EQ(reserve(), errc::none);
  ASSERT_EQ(append("x", 0), errc::none);
  ASSERT_EQ(seal(1), errc::none);
  cluster.kill(homes[2]);
  EXPECT_EQ(code<void>([&](auto done) { cluster.at(homes[1]).remove(token.blob, done); }), errc::none);
  EXPECT_EQ(on_disk(homes[0]), ports::blob_presence::dead);
  EXPECT_EQ(on_disk(homes[1]), ports::blob_presence::dead);
  EXPECT_EQ(read_at(homes[0], 0, 1), "error unavailable");  // the third could have it
  cluster.restart(homes[2]);
  EXPECT_EQ(read_at(homes[0], 0, 1), "error not_found");
}

/// The others may have lost their disks: whoever is not heard may have the only copy that is left.
TEST_F(ReplicatedBlobs, ABlobIsNotUnknownWhileAnybodyIsAway) {
  const auto stat = [&] { return code<ports::blob_stat>([&](auto done) { cluster.at(homes[0]).stat(token.blob, done); }); };
  EXPECT_EQ(stat(), errc::not_found);
  cluster.kill(homes[2]);
  EXPECT_EQ(stat(), errc::unavailable);
}

TEST_F(ReplicatedBlobs, ManyDeletesAtOnceDoNotFillTheOtherNode) {
  std::size_t deleted = 0;
  for (std::uint64_t i = 0; i < 100; ++i)
    cluster.at(homes[0]).remove({0x0123456789ab0000ull, 1'000 + i}, [&deleted](expected<void> result) { deleted += result ? 1 : 0; });
  cluster.run();
  EXPECT_EQ(deleted, 100u);
  EXPECT_LE(cluster.most_calls(homes[1]), store::replicated_blobs_options{}.removes_under_way_max);
  token.blob = {0x0123456789ab0000ull, 1'099};
  EXPECT_EQ(on_disk(homes[1]), ports::blob_presence::dead);
  EXPECT_EQ(on_disk(homes[2]), ports::blob_presence::dead);
}

TEST_F(ReplicatedBlobs, WritersGoOnWhileTheOtherNodeHasTooMuchToDo) {
  copies_cluster two{{"storage-0", "storage-1"}, 2, 2};
  std::vector<ports::write_token> tokens;
  for (std::uint64_t n = 1; tokens.size() < 8; ++n) {
    ports::write_token t{{0x0123456789ab0000ull, n * 0x9e3779b97f4a7c15ull}, 7, 4 * mib};
    if (placement_of(t.blob, {"storage-0", "storage-1"}).front() == "storage-0") tokens.push_back(t);
  }
  two.limit("storage-1", 3);
  std::size_t reserved = 0, appended = 0, sealed = 0;
  for (const auto& t : tokens) two.at("storage-0").reserve(t, [&reserved](expected<void> result) { reserved += result ? 1 : 0; });
  two.run();
  EXPECT_EQ(reserved, tokens.size());
  for (const auto& t : tokens)
    for (std::uint64_t at = 0; at < 30; at += 3)
      two.at("storage-0").append(t, at, buffer{std::string{"abc"}}, crc32c("abc"), [&appended](expected<std::uint64_t> result) { appended += result ? 1 : 0; });
  for (std::uint64_t i = 0; i < 50; ++i) two.at("storage-0").remove({0x0123456789ab0000ull, 1'000 + i}, [](const expected<void>&) {});
  two.run();
  EXPECT_EQ(appended, 10 * tokens.size());
  for (const auto& t : tokens) two.at("storage-0").seal(t, 30, [&sealed](expected<ports::blob_stat> result) { sealed += result ? 1 : 0; });
  two.run();
  EXPECT_EQ(sealed, tokens.size());
  EXPECT_EQ(two.replicated("storage-0").sessions(), 0u);
}

TEST_F(ReplicatedBlobs, APartDoesNotPassForTheWholeWhenTheWholeComesBackInBetween) {
  // Read while nobody had more, asked for its length when somebody had.
  struct part final : ports::blob_store {
    void reserve(ports::write_token, ports::completion<void>) override {}
    void open_write(ports::write_token, ports::completion<std::uint64_t>) override {}
    void append(ports::write_token, std::uint64_t, buffer, std::uint32_t, ports::completion<std::uint64_t>) override {}
    void truncate(ports::write_token, std::uint64_t, ports::completion<void>) override {}
    void seal(ports::write_token, std::uint64_t, ports::completion<ports::blob_stat>) override {}
    void read(blob_id, std::uint64_t, std::uint32_t, ports::completion<buffer> done) override { done(buffer{std::string{"par"}}); }
    void stat(blob_id blob, ports::completion<ports::blob_stat> done) override { done(ports::blob_stat{blob, whole, true, {}, 0}); }
    void remove(blob_id, ports::completion<void>) override {}
    void list(blob_id, std::uint32_t, ports::completion<std::vector<ports::blob_stat>>) override {}
    std::uint64_t whole = 5;
  };
  const auto store = std::make_shared<part>();
  const auto read = [&] {
    std::optional<expected<buffer>> got;
    store::read_first({store, store}, token.blob, 0, 10, [&](expected<buffer> result) { got.emplace(std::move(result)); });
    return got ? *got : expected<buffer>{errc::timeout, "no answer"};
  };
  EXPECT_EQ(read().error().code, errc::unavailable);
  store->whole = 3;
  EXPECT_EQ(read()->view(), "par");
}

TEST_F(ReplicatedBlobs, ALookDoesNotCallMissingWhatMayBeOnANodeThatIsAway) {
  ASSERT_EQ(reserve(), errc::none);
  ASSERT_EQ(append("x", 0), errc::none);
  ASSERT_EQ(seal(1), errc::none);
  const auto stat = [&](const node_name& name) { return code<ports::blob_stat>([&](auto done) { cluster.at(name).stat(token.blob, done); }); };
  EXPECT_EQ(stat(homes[2]), errc::none);
  cluster.kill(homes[0]);
  EXPECT_EQ(stat(homes[2]), errc::none);
  cluster.kill(homes[1]);
  EXPECT_EQ(stat(homes[2]), errc::unavailable);
}

TEST_F(ReplicatedBlobs, ALookDoesNotTakeTheWordOfANodeThatLostItsDisk) {
  ASSERT_EQ(reserve(), errc::none);
  ASSERT_EQ(append("x", 0), errc::none);
  ASSERT_EQ(seal(1), errc::none);
  ASSERT_EQ(code<void>([&](auto done) { cluster.disk(homes[0]).drop(token.blob, done); }), errc::none);
  const auto stat = [&](const node_name& name) { return code<ports::blob_stat>([&](auto done) { cluster.at(name).stat(token.blob, done); }); };
  EXPECT_EQ(stat(homes[0]), errc::none);
  cluster.kill(homes[1]);  // who has the only copy
  EXPECT_EQ(stat(homes[0]), errc::unavailable);
  EXPECT_EQ(stat(homes[2]), errc::unavailable);
}

TEST_F(ReplicatedBlobs, ALookDoesNotTakeAPartForAllWhileSomebodyIsAway) {
  ASSERT_EQ(reserve(), errc::none);
  ASSERT_EQ(append("x", 0), errc::none);
  ASSERT_EQ(seal(1), errc::none);
  ASSERT_EQ(code<void>([&](auto done) { cluster.disk(homes[0]).drop(token.blob, done); }), errc::none);
  ASSERT_EQ(code<void>([&](auto done) { cluster.disk(homes[0]).reserve(token, done); }), errc::none);  // the repair begins
  const auto stat = [&] { return cluster.ask<ports::blob_stat>([&](auto done) { cluster.at(homes[0]).stat(token.blob, done); }); };
  EXPECT_TRUE((*stat())->sealed);
  cluster.kill(homes[1]);  // who has the only copy
  EXPECT_EQ(stat()->error().code, errc::unavailable);
}

TEST_F(ReplicatedBlobs, WhatIsSealedIsForgotten) {
  ASSERT_EQ(reserve(), errc::none);
  ASSERT_EQ(append("x", 0), errc::none);
  EXPECT_EQ(cluster.replicated(homes[0]).sessions(), 1u);
  ASSERT_EQ(seal(1), errc::none);
  EXPECT_EQ(cluster.replicated(homes[0]).sessions(), 0u);
}

}  // namespace latham::testing
