// Who gets a copy of a blob that is written, and when its writer is told: placement with copies, and the session's rules.
#include "core/upload/copy_session.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace latham {

namespace {

constexpr instant start{1'000'000'000'000};
const std::vector<node_name> four{"storage-0", "storage-1", "storage-2", "storage-3"};
blob_id blob(std::uint64_t n) { return make_id<blob_id>({1'714'000'000'000}, 0, n * 0x9e3779b97f4a7c15ull); }

/// A session whose calls are answered by hand.
struct writer {
  explicit writer(std::uint32_t copies, std::uint32_t acks, std::set<node_name> draining = {})
    : id{blob(1)}, order{placement_of(id, four)}, rules{make_copy_rules(order[0], four, std::move(draining), copies, acks)}, session{id, rules} {}

  copy_call next(copy_call::kind what) {
    EXPECT_FALSE(out.calls.empty());
    if (out.calls.empty()) return {};
    const auto call = out.calls.front();
    out.calls.erase(out.calls.begin());
    EXPECT_EQ(call.what, what);
    return call;
  }
  void bring_up() {
    const auto reserve = next(copy_call::kind::reserve);
    session.on_reserved(reserve.replica, reserve.attempt, {}, now, out);
    const auto open = next(copy_call::kind::open);
    session.on_opened(open.replica, open.attempt, std::uint64_t{0}, now, out);
  }
  [[nodiscard]] errc answer_to(std::uint64_t ticket) const {
    for (const auto& [t, result] : out.answers)
      if (t == ticket) return result ? errc::none : result.error().code;
    return errc::internal;  // none yet
  }

  blob_id id;
  std::vector<node_name> order;
  copy_rules rules;
  copy_session session;
  copy_actions out;
  instant now = start;
};

const error away{errc::unavailable, "away"};
const error busy{errc::limited, "busy"};

}  // namespace

TEST(CopyRules, AreTwoCopiesWhereThereAreTwoNodesAndNeverMoreThanNodes) {
  EXPECT_EQ(make_copy_rules("a", {}, {}, 0, 0).copies, 1u);
  EXPECT_EQ(make_copy_rules("a", {"a"}, {}, 3, 3).acks, 1u);
  EXPECT_EQ(make_copy_rules("a", {"a", "b", "c"}, {}, 0, 0).copies, 2u);
  const auto three = make_copy_rules("a", four, {}, 3, 0);
  EXPECT_EQ(three.copies, 3u);
  EXPECT_EQ(three.acks, 3u);
  EXPECT_EQ(make_copy_rules("a", four, {}, 2, 4).acks, 2u);
  EXPECT_EQ(make_copy_rules("a", {"a", "b", "c"}, {"b", "c"}, 2, 2).copies, 1u);
}

TEST(CopyRules, ADrainingMemberIsNoHomeAndIsAskedLast) {
  for (std::uint64_t n = 0; n < 50; ++n) {
    const auto rules = make_copy_rules("storage-0", four, {"storage-1"}, 2, 2);
    const auto order = placement_of(blob(n), rules);
    EXPECT_EQ(order.size(), 4u);
    EXPECT_EQ(order.back(), "storage-1");
    const auto homes = homes_of(blob(n), rules);
    EXPECT_EQ(homes, (std::vector<node_name>{order[0], order[1]}));
    EXPECT_EQ(homes_of(blob(n), rules, {order[0]}), (std::vector<node_name>{order[1], order[2]}));
  }
}

TEST(CopySession, AWriterIsToldOnceEnoughCopiesHaveItsBytes) {
  writer w{2, 2};
  w.session.wait(1, copy_goal::reserved, 0, w.now, w.out);
  EXPECT_EQ(w.answer_to(1), errc::internal);
  w.bring_up();
  EXPECT_EQ(w.answer_to(1), errc::none);
  w.session.on_own(100, w.now, w.out);
  w.session.wait(2, copy_goal::length, 100, w.now, w.out);
  const auto send = w.next(copy_call::kind::send);
  EXPECT_EQ(send.node, w.order[1]);
  EXPECT_EQ(send.offset, 0u);
  EXPECT_EQ(send.bytes, 100u);
  EXPECT_EQ(w.answer_to(2), errc::internal);
  w.session.on_sent(send.replica, send.attempt, std::uint64_t{100}, w.now, w.out);
  EXPECT_EQ(w.answer_to(2), errc::none);
}

TEST(CopySession, NothingIsSentBeforeTheOwnStoreHasIt) {
  writer w{3, 2};
  w.session.wait(1, copy_goal::reserved, 0, w.now, w.out);
  const auto first = w.next(copy_call::kind::reserve), second = w.next(copy_call::kind::reserve);
  w.session.on_reserved(first.replica, first.attempt, {}, w.now, w.out);
  w.session.on_reserved(second.replica, second.attempt, {}, w.now, w.out);
  const auto open = w.next(copy_call::kind::open);
  w.session.on_opened(open.replica, open.attempt, std::uint64_t{0}, w.now, w.out);
  EXPECT_EQ(w.out.calls.size(), 1u);  // the other's open
  w.session.wait(2, copy_goal::length, 10, w.now, w.out);
  EXPECT_EQ(w.out.calls.size(), 1u);
}

TEST(CopySession, AReplicaThatFailsIsReplacedByOneThatGetsAllOfIt) {
  writer w{2, 2};
  w.session.on_own(0, w.now, w.out);
  w.bring_up();
  w.session.on_own(3 * mib, w.now, w.out);
  w.session.wait(1, copy_goal::length, 3 * mib, w.now, w.out);
  const auto lost = w.next(copy_call::kind::send);
  EXPECT_EQ(w.next(copy_call::kind::send).offset, mib);
  EXPECT_EQ(w.next(copy_call::kind::send).offset, 2 * mib);
  w.session.on_sent(lost.replica, lost.attempt, away, w.now, w.out);
  ASSERT_EQ(w.out.dropped.size(), 1u);
  EXPECT_EQ(w.answer_to(1), errc::internal);
  EXPECT_EQ(w.out.calls.front().node, w.order[2]);
  w.bring_up();
  for (std::uint64_t at = 0; at < 3 * mib; at += mib) {
    const auto send = w.next(copy_call::kind::send);
    EXPECT_EQ(send.node, w.order[2]);
    EXPECT_EQ(send.offset, at);
    w.session.on_sent(send.replica, send.attempt, at + mib, w.now, w.out);
  }
  EXPECT_EQ(w.answer_to(1), errc::none);
  // The first one's late answer changes nothing.
  w.session.on_sent(lost.replica, lost.attempt, 3 * mib, w.now, w.out);
  EXPECT_TRUE(w.out.calls.empty());
}

TEST(CopySession, WithTooFewToAskTheWriterIsToldAtOnceAndMayComeAgain) {
  writer w{2, 2};
  w.session.on_own(50, w.now, w.out);
  w.session.wait(1, copy_goal::length, 50, w.now, w.out);
  for (int i = 0; i < 3; ++i) {
    const auto reserve = w.next(copy_call::kind::reserve);
    w.session.on_reserved(reserve.replica, reserve.attempt, away, w.now, w.out);
  }
  EXPECT_EQ(w.answer_to(1), errc::unavailable);
  EXPECT_TRUE(w.session.idle());
  w.session.wait(2, copy_goal::length, 50, w.now, w.out);
  EXPECT_EQ(w.answer_to(2), errc::unavailable);  // asked only a moment ago
  EXPECT_TRUE(w.out.calls.empty());
  w.now = w.now + copy_session::retry_after;
  w.session.wait(3, copy_goal::length, 50, w.now, w.out);
  w.bring_up();
  const auto send = w.next(copy_call::kind::send);
  w.session.on_sent(send.replica, send.attempt, std::uint64_t{50}, w.now, w.out);
  EXPECT_EQ(w.answer_to(3), errc::none);
}

TEST(CopySession, FullDisksEverywhereAreSaidToBeFull) {
  writer w{2, 2};
  w.session.wait(1, copy_goal::reserved, 0, w.now, w.out);
  for (int i = 0; i < 3; ++i) {
    const auto reserve = w.next(copy_call::kind::reserve);
    w.session.on_reserved(reserve.replica, reserve.attempt, error{errc::disk_full, "full"}, w.now, w.out);
  }
  EXPECT_EQ(w.answer_to(1), errc::disk_full);
}

TEST(CopySession, ASealIsAnsweredWhenEnoughCopiesAreSealedAndEqual) {
  writer w{2, 2};
  w.session.on_own(10, w.now, w.out);
  w.bring_up();
  const auto send = w.next(copy_call::kind::send);
  ports::blob_stat about;
  about.blob = w.id;
  about.bytes = 10;
  about.sealed = true;
  about.digest = sha256::of("ten bytes.");
  w.session.on_own_sealed(about, w.now, w.out);
  w.session.wait(1, copy_goal::sealed, 10, w.now, w.out);
  w.session.on_sent(send.replica, send.attempt, std::uint64_t{10}, w.now, w.out);
  const auto seal = w.next(copy_call::kind::seal);
  auto other = about;
  other.digest = sha256::of("other ones");
  w.session.on_sealed(seal.replica, seal.attempt, other, w.now, w.out);
  EXPECT_EQ(w.answer_to(1), errc::internal);
  // The next one is asked first what it has: an earlier life may have brought it there.
  const auto look = w.next(copy_call::kind::look);
  EXPECT_EQ(look.node, w.order[2]);
  w.session.on_looked(look.replica, look.attempt, about, w.now, w.out);
  EXPECT_EQ(w.answer_to(1), errc::none);
  EXPECT_TRUE(w.session.done());
}

TEST(CopySession, AReplicaThatHasTooMuchToDoIsHeldAndGoesOnWhereItWas) {
  writer w{2, 2};
  w.session.on_own(0, w.now, w.out);
  w.bring_up();
  w.session.on_own(3 * mib, w.now, w.out);
  w.session.wait(1, copy_goal::length, 3 * mib, w.now, w.out);
  const auto first = w.next(copy_call::kind::send), refused = w.next(copy_call::kind::send), behind = w.next(copy_call::kind::send);
  // Whatever order the answers come in.
  w.session.on_sent(behind.replica, behind.attempt, error{errc::offset_mismatch, "behind"}, w.now, w.out);
  w.session.on_sent(refused.replica, refused.attempt, busy, w.now, w.out);
  EXPECT_EQ(w.out.held, std::vector<node_name>{w.order[1]});
  EXPECT_TRUE(w.out.calls.empty());
  w.session.on_sent(first.replica, first.attempt, std::uint64_t{mib}, w.now, w.out);
  EXPECT_TRUE(w.out.dropped.empty());
  for (std::uint64_t at = mib; at < 3 * mib; at += mib) {
    const auto send = w.next(copy_call::kind::send);
    EXPECT_EQ(send.node, w.order[1]);
    EXPECT_EQ(send.offset, at);
    w.session.on_sent(send.replica, send.attempt, at + mib, w.now, w.out);
  }
  EXPECT_EQ(w.answer_to(1), errc::none);
  EXPECT_TRUE(w.out.calls.empty());
}

TEST(CopySession, EveryCallThatIsRefusedIsAskedAgain) {
  writer w{2, 2};
  const auto refuse = [&w](copy_call::kind what, auto answer) {
    const auto call = w.next(what);
    answer(call);
    EXPECT_TRUE(w.out.calls.empty());
    w.session.on_room(call.node, w.now, w.out);
    ASSERT_FALSE(w.out.calls.empty());
    EXPECT_EQ(w.out.calls.front(), call);
  };
  w.session.on_own(5, w.now, w.out);
  refuse(copy_call::kind::reserve, [&](const copy_call& c) { w.session.on_reserved(c.replica, c.attempt, busy, w.now, w.out); });
  const auto reserve = w.next(copy_call::kind::reserve);
  w.session.on_reserved(reserve.replica, reserve.attempt, {}, w.now, w.out);
  refuse(copy_call::kind::open, [&](const copy_call& c) { w.session.on_opened(c.replica, c.attempt, busy, w.now, w.out); });
  const auto open = w.next(copy_call::kind::open);
  w.session.on_opened(open.replica, open.attempt, std::uint64_t{9}, w.now, w.out);
  refuse(copy_call::kind::cut, [&](const copy_call& c) { w.session.on_cut(c.replica, c.attempt, busy, w.now, w.out); });
  const auto cut = w.next(copy_call::kind::cut);
  w.session.on_cut(cut.replica, cut.attempt, {}, w.now, w.out);
  const auto again = w.next(copy_call::kind::open);
  w.session.on_opened(again.replica, again.attempt, std::uint64_t{5}, w.now, w.out);
  ports::blob_stat about{w.id, 5, true, {}, 0};
  w.session.on_own_sealed(about, w.now, w.out);
  w.session.wait(1, copy_goal::sealed, 5, w.now, w.out);
  refuse(copy_call::kind::seal, [&](const copy_call& c) { w.session.on_sealed(c.replica, c.attempt, busy, w.now, w.out); });
  const auto seal = w.next(copy_call::kind::seal);
  w.session.on_sealed(seal.replica, seal.attempt, about, w.now, w.out);
  EXPECT_EQ(w.answer_to(1), errc::none);
  EXPECT_TRUE(w.out.dropped.empty());
}

TEST(CopySession, WhereNobodyWillSayThatThereIsRoomTheWriterComesAgain) {
  writer w{4, 4};
  w.session.on_own(0, w.now, w.out);
  for (int i = 0; i < 3; ++i) {
    const auto reserve = w.next(copy_call::kind::reserve);
    w.session.on_reserved(reserve.replica, reserve.attempt, {}, w.now, w.out);
  }
  for (int i = 0; i < 3; ++i) {
    const auto open = w.next(copy_call::kind::open);
    w.session.on_opened(open.replica, open.attempt, std::uint64_t{0}, w.now, w.out);
  }
  w.session.on_own(7, w.now, w.out);
  w.session.wait(1, copy_goal::length, 7, w.now, w.out);
  const auto send = w.next(copy_call::kind::send);
  w.session.on_sent(send.replica, send.attempt, busy, w.now, w.out);
  EXPECT_EQ(w.answer_to(1), errc::internal);
  w.session.on_stalled(send.node, w.now, w.out);
  EXPECT_EQ(w.answer_to(1), errc::limited);
  w.out.calls.clear();
  w.now = w.now + copy_session::retry_after;
  w.session.wait(2, copy_goal::length, 7, w.now, w.out);
  const auto again = w.next(copy_call::kind::send);
  EXPECT_EQ(again.node, send.node);
  EXPECT_EQ(again.offset, 0u);
  EXPECT_EQ(w.answer_to(2), errc::internal);
}

TEST(CopySession, ALongCatchUpKeepsNobodyWaitingForEver) {
  writer w{2, 2};
  w.session.on_own(8 * mib, w.now, w.out);
  w.bring_up();
  w.session.wait(1, copy_goal::length, 8 * mib, w.now, w.out);
  const auto send = w.next(copy_call::kind::send);
  w.now = w.now + copy_session::patience + milliseconds{1};
  w.session.on_sent(send.replica, send.attempt, mib, w.now, w.out);
  EXPECT_EQ(w.answer_to(1), errc::unavailable);
  EXPECT_FALSE(w.session.idle());  // the copies go on
}

TEST(CopySession, ADrainingMemberGetsNothingNewEvenWhenOthersFail) {
  writer all{2, 2};
  writer w{2, 2, {all.order[2]}};
  w.session.on_own(1, w.now, w.out);
  w.session.wait(1, copy_goal::length, 1, w.now, w.out);
  for (int i = 0; i < 2; ++i) {
    const auto reserve = w.next(copy_call::kind::reserve);
    EXPECT_NE(reserve.node, all.order[2]);
    w.session.on_reserved(reserve.replica, reserve.attempt, away, w.now, w.out);
  }
  EXPECT_EQ(w.answer_to(1), errc::unavailable);
}

}  // namespace latham
