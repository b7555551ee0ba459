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
  /// `has`: what the replica says that it has, when it is asked.
  void bring_up(std::uint64_t has = 0) {
    const auto reserve = next(copy_call::kind::reserve);
    const bool asked = session.own_bytes() > 0 || reserve.attempt > 1;
    session.on_reserved(reserve.replica, reserve.attempt, {}, now, out);
    if (!asked) return;
    const auto open = next(copy_call::kind::open);
    session.on_opened(open.replica, open.attempt, has, now, out);
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
  EXPECT_TRUE(w.out.calls.empty());
  w.session.wait(2, copy_goal::length, 10, w.now, w.out);
  EXPECT_TRUE(w.out.calls.empty());
}

TEST(CopySession, AReplicaOfABlobWithoutBytesIsNotAskedForItsLength) {
  writer w{2, 2};
  w.session.on_own(0, w.now, w.out);
  w.bring_up();
  EXPECT_TRUE(w.out.calls.empty());
  w.session.on_own(3 * mib, w.now, w.out);
  const auto first = w.next(copy_call::kind::send);
  EXPECT_EQ(first.offset, 0u);
  EXPECT_TRUE(w.out.calls.empty()) << "nothing goes behind what may be refused";
  w.session.on_sent(first.replica, first.attempt, mib, w.now, w.out);
  EXPECT_EQ(w.next(copy_call::kind::send).offset, mib);
  EXPECT_EQ(w.next(copy_call::kind::send).offset, 2 * mib);
}

TEST(CopySession, WhatAReplicaHasBeforeAnythingWasSentIsCut) {
  writer w{2, 2};
  w.session.on_own(0, w.now, w.out);
  w.bring_up();
  w.session.on_own(3 * mib, w.now, w.out);
  w.session.wait(1, copy_goal::length, 3 * mib, w.now, w.out);
  const auto first = w.next(copy_call::kind::send);
  w.session.on_sent(first.replica, first.attempt, error{errc::offset_mismatch, "it has some"}, w.now, w.out);
  EXPECT_TRUE(w.out.dropped.empty());
  const auto cut = w.next(copy_call::kind::cut);
  EXPECT_EQ(cut.offset, 0u);
  EXPECT_EQ(cut.bytes, 0u) << "not ours, however many they are";
  w.session.on_cut(cut.replica, cut.attempt, {}, w.now, w.out);
  const auto open = w.next(copy_call::kind::open);
  w.session.on_opened(open.replica, open.attempt, 0, w.now, w.out);
  for (const std::uint64_t at : {0u, 1u, 2u}) {
    const auto send = w.next(copy_call::kind::send);
    EXPECT_EQ(send.offset, at * mib);
    EXPECT_EQ(w.answer_to(1), errc::internal);
    w.session.on_sent(send.replica, send.attempt, (at + 1) * mib, w.now, w.out);
  }
  EXPECT_EQ(w.answer_to(1), errc::none);
}

TEST(CopySession, AReplicaIsCutOnceAndThenLooksAfterItself) {
  writer w{2, 2};
  w.session.on_own(0, w.now, w.out);
  w.bring_up();
  w.session.on_own(2 * mib, w.now, w.out);
  const error more{errc::offset_mismatch, "it has some"};
  const auto first = w.next(copy_call::kind::send);
  w.session.on_sent(first.replica, first.attempt, more, w.now, w.out);
  const auto cut = w.next(copy_call::kind::cut);
  w.session.on_cut(cut.replica, cut.attempt, {}, w.now, w.out);
  const auto open = w.next(copy_call::kind::open);
  w.session.on_opened(open.replica, open.attempt, 0, w.now, w.out);
  const auto again = w.next(copy_call::kind::send), behind = w.next(copy_call::kind::send);
  w.session.on_sent(again.replica, again.attempt, more, w.now, w.out);
  w.session.on_sent(behind.replica, behind.attempt, more, w.now, w.out);
  EXPECT_EQ(w.out.dropped.size(), 1u) << "somebody else writes there";
  (void)w.next(copy_call::kind::reserve);
}

TEST(CopySession, AReplicaThatRefusedForWantOfRoomIsStillNotAsked) {
  writer w{2, 2};
  w.session.on_own(0, w.now, w.out);
  w.bring_up();
  w.session.on_own(2 * mib, w.now, w.out);
  const auto first = w.next(copy_call::kind::send);
  w.session.on_sent(first.replica, first.attempt, busy, w.now, w.out);
  w.session.on_room(first.node, w.now, w.out);
  const auto again = w.next(copy_call::kind::send);
  EXPECT_EQ(again, first);
  EXPECT_TRUE(w.out.calls.empty());
  w.session.on_sent(again.replica, again.attempt, error{errc::offset_mismatch, "it has some"}, w.now, w.out);
  (void)w.next(copy_call::kind::cut);
}

TEST(CopySession, AReplicaThatIsTriedAgainIsAsked) {
  writer all{2, 2};
  writer w{2, 2, {all.order[2], all.order[3]}};  // nobody could take its place
  w.session.on_own(0, w.now, w.out);
  const auto reserve = w.next(copy_call::kind::reserve);
  w.session.on_reserved(reserve.replica, reserve.attempt, away, w.now, w.out);
  w.now = w.now + copy_session::retry_after;
  w.session.on_own(0, w.now, w.out);
  const auto again = w.next(copy_call::kind::reserve);
  w.session.on_reserved(again.replica, again.attempt, {}, w.now, w.out);
  (void)w.next(copy_call::kind::open);
}

TEST(CopySession, AReplicaThatFailsIsReplacedByOneThatGetsAllOfIt) {
  writer w{2, 2};
  w.session.on_own(0, w.now, w.out);
  w.bring_up();
  w.session.on_own(3 * mib, w.now, w.out);
  w.session.wait(1, copy_goal::length, 3 * mib, w.now, w.out);
  const auto lost = w.next(copy_call::kind::send);
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
  w.session.on_own(mib, w.now, w.out);
  w.bring_up(mib);
  w.session.on_own(4 * mib, w.now, w.out);
  w.session.wait(1, copy_goal::length, 4 * mib, w.now, w.out);
  const auto first = w.next(copy_call::kind::send), refused = w.next(copy_call::kind::send), behind = w.next(copy_call::kind::send);
  // Whatever order the answers come in.
  w.session.on_sent(behind.replica, behind.attempt, error{errc::offset_mismatch, "behind"}, w.now, w.out);
  w.session.on_sent(refused.replica, refused.attempt, busy, w.now, w.out);
  EXPECT_EQ(w.out.held, std::vector<node_name>{w.order[1]});
  EXPECT_TRUE(w.out.calls.empty());
  w.session.on_sent(first.replica, first.attempt, 2 * mib, w.now, w.out);
  EXPECT_TRUE(w.out.dropped.empty());
  for (std::uint64_t at = 2 * mib; at < 4 * mib; at += mib) {
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

// ---- Each answer of a replica ------------------------------------------------------------------------------------------

namespace {

/// A sealed blob whose second home has failed, so that the third node is being looked at.
struct sealed_writer : writer {
  sealed_writer() : writer{2, 2} {
    session.on_own(10, now, out);
    bring_up();
    const auto send = next(copy_call::kind::send);
    session.on_own_sealed(about, now, out);
    session.wait(1, copy_goal::sealed, 10, now, out);
    session.on_sent(send.replica, send.attempt, away, now, out);
    look = next(copy_call::kind::look);
  }
  void looked(const expected<ports::blob_stat>& found) { session.on_looked(look.replica, look.attempt, found, now, out); }

  const ports::blob_stat about{id, 10, true, sha256::of("ten bytes."), 0};
  copy_call look;
};

}  // namespace

TEST(CopySession, ACopyThatIsFoundSealedAndEqualIsOne) {
  sealed_writer w;
  w.looked(w.about);
  EXPECT_EQ(w.answer_to(1), errc::none);
  EXPECT_TRUE(w.session.done());
  w.session.wait(2, copy_goal::length, 10, w.now, w.out);
  EXPECT_EQ(w.answer_to(2), errc::none) << "it has all bytes";
  w.session.wait(3, copy_goal::reserved, 0, w.now, w.out);
  EXPECT_EQ(w.answer_to(3), errc::none);
  EXPECT_EQ(w.session.reserved_at().back(), w.look.node);
  EXPECT_TRUE(w.out.calls.empty());
}

TEST(CopySession, ACopyThatIsFoundSealedAndDifferentIsNone) {
  for (int i = 0; i < 2; ++i) {
    sealed_writer w;
    auto other = w.about;
    if (i == 0)
      other.bytes = 11;
    else
      other.digest = sha256::of("other");
    const auto before = w.out.dropped.size();
    w.looked(other);
    ASSERT_EQ(w.out.dropped.size(), before + 1);
    EXPECT_EQ(w.out.dropped.back().second.code, errc::conflict);
    EXPECT_EQ(w.answer_to(1), errc::internal);
    EXPECT_EQ(w.next(copy_call::kind::look).node, w.order[3]) << "the next one is asked";
  }
}

TEST(CopySession, WhereNothingIsFoundOrAPartItIsReservedAnew) {
  for (int i = 0; i < 2; ++i) {
    sealed_writer w;
    auto part = w.about;
    part.sealed = false;
    if (i == 0)
      w.looked(error{errc::not_found, "none"});
    else
      w.looked(part);
    const auto reserve = w.next(copy_call::kind::reserve);
    EXPECT_EQ(reserve.node, w.look.node);
    w.session.on_reserved(reserve.replica, reserve.attempt, {}, w.now, w.out);
    const auto open = w.next(copy_call::kind::open);
    w.session.on_opened(open.replica, open.attempt, std::uint64_t{4}, w.now, w.out);
    const auto send = w.next(copy_call::kind::send);
    EXPECT_EQ(send.offset, 4u);
    EXPECT_EQ(send.bytes, 6u);
    w.session.on_sent(send.replica, send.attempt, std::uint64_t{10}, w.now, w.out);
    const auto seal = w.next(copy_call::kind::seal);
    EXPECT_EQ(seal.bytes, 10u);
    w.session.on_sealed(seal.replica, seal.attempt, w.about, w.now, w.out);
    EXPECT_EQ(w.answer_to(1), errc::none);
  }
}

TEST(CopySession, WhoCannotBeLookedAtIsHeldWhenBusyAndDroppedWhenAway) {
  sealed_writer w;
  w.looked(busy);
  EXPECT_EQ(w.out.held, std::vector<node_name>{w.look.node});
  EXPECT_TRUE(w.out.calls.empty());
  w.session.on_room(w.look.node, w.now, w.out);
  EXPECT_EQ(w.next(copy_call::kind::look), w.look);
  w.looked(away);
  EXPECT_EQ(w.out.dropped.back().first, w.look.node);
  EXPECT_EQ(w.next(copy_call::kind::look).node, w.order[3]);
}

TEST(CopySession, WhoseAnswerComesTwiceOrForAnotherIsNotHeard) {
  writer w{2, 2};
  w.session.on_own(3, w.now, w.out);
  const auto reserve = w.next(copy_call::kind::reserve);
  w.session.on_reserved(reserve.replica, reserve.attempt, {}, w.now, w.out);
  const auto open = w.next(copy_call::kind::open);
  w.session.on_reserved(reserve.replica, reserve.attempt, {}, w.now, w.out);
  w.session.on_reserved(99, reserve.attempt, {}, w.now, w.out);
  w.session.on_reserved(w.order.size() - 1, 0, {}, w.now, w.out);
  w.session.on_opened(open.replica, open.attempt + 1, std::uint64_t{0}, w.now, w.out);
  w.session.on_looked(open.replica, open.attempt, away, w.now, w.out);
  w.session.on_cut(open.replica, open.attempt, away, w.now, w.out);
  w.session.on_sealed(open.replica, open.attempt, away, w.now, w.out);
  w.session.on_sent(open.replica, open.attempt, away, w.now, w.out);
  EXPECT_TRUE(w.out.calls.empty());
  EXPECT_TRUE(w.out.dropped.empty());
  w.session.on_opened(open.replica, open.attempt, std::uint64_t{0}, w.now, w.out);
  EXPECT_EQ(w.next(copy_call::kind::send).bytes, 3u);
}

TEST(CopySession, EveryCallThatFailsDropsItsReplicaAndTheNextOneBegins) {
  const auto expect_dropped = [](writer& w, errc code) {
    ASSERT_EQ(w.out.dropped.size(), 1u);
    EXPECT_EQ(w.out.dropped[0].first, w.order[1]);
    EXPECT_EQ(w.out.dropped[0].second.code, code);
    ASSERT_FALSE(w.out.calls.empty());
    EXPECT_EQ(w.out.calls.back().node, w.order[2]);
  };
  {
    writer w{2, 2};
    w.session.on_own(3, w.now, w.out);
    const auto reserve = w.next(copy_call::kind::reserve);
    w.session.on_reserved(reserve.replica, reserve.attempt, {}, w.now, w.out);
    const auto open = w.next(copy_call::kind::open);
    w.session.on_opened(open.replica, open.attempt, away, w.now, w.out);
    expect_dropped(w, errc::unavailable);
  }
  {
    writer w{2, 2};
    w.session.on_own(3, w.now, w.out);
    const auto reserve = w.next(copy_call::kind::reserve);
    w.session.on_reserved(reserve.replica, reserve.attempt, {}, w.now, w.out);
    const auto open = w.next(copy_call::kind::open);
    w.session.on_opened(open.replica, open.attempt, std::uint64_t{4}, w.now, w.out);
    const auto cut = w.next(copy_call::kind::cut);
    EXPECT_EQ(cut.bytes, 3u);
    w.session.on_cut(cut.replica, cut.attempt, away, w.now, w.out);
    expect_dropped(w, errc::unavailable);
  }
  {
    writer w{2, 2};
    w.session.on_own(3, w.now, w.out);
    w.bring_up();
    const auto send = w.next(copy_call::kind::send);
    w.session.on_sent(send.replica, send.attempt, std::uint64_t{2}, w.now, w.out);
    expect_dropped(w, errc::io);  // it took three bytes and has two
  }
  {
    writer w{2, 2};
    w.session.on_own(3, w.now, w.out);
    w.bring_up();
    const auto send = w.next(copy_call::kind::send);
    w.session.on_sent(send.replica, send.attempt, error{errc::offset_mismatch, "other"}, w.now, w.out);
    expect_dropped(w, errc::offset_mismatch);  // nothing before it was refused
  }
  {
    writer w{2, 2};
    w.session.on_own(3, w.now, w.out);
    w.bring_up();
    const auto send = w.next(copy_call::kind::send);
    w.session.on_sent(send.replica, send.attempt, std::uint64_t{3}, w.now, w.out);
    w.session.on_own_sealed({w.id, 3, true, {}, 0}, w.now, w.out);
    w.session.wait(1, copy_goal::sealed, 3, w.now, w.out);
    const auto seal = w.next(copy_call::kind::seal);
    w.session.on_sealed(seal.replica, seal.attempt, away, w.now, w.out);
    expect_dropped(w, errc::unavailable);
    EXPECT_EQ(w.answer_to(1), errc::internal);
  }
}

TEST(CopySession, WhatIsBehindARefusedPieceIsNoFaultUntilAllHaveAnswered) {
  writer w{2, 2};
  w.session.on_own(mib, w.now, w.out);
  w.bring_up(mib);
  w.session.on_own(3 * mib, w.now, w.out);
  const auto first = w.next(copy_call::kind::send), second = w.next(copy_call::kind::send);
  w.session.on_sent(second.replica, second.attempt, error{errc::offset_mismatch, "behind"}, w.now, w.out);
  EXPECT_TRUE(w.out.dropped.empty()) << "the first may have been refused";
  w.session.on_own(4 * mib, w.now, w.out);
  EXPECT_TRUE(w.out.calls.empty()) << "nothing more goes into a gap";
  w.session.on_sent(first.replica, first.attempt, 2 * mib, w.now, w.out);
  ASSERT_EQ(w.out.dropped.size(), 1u) << "but it was not";
  EXPECT_EQ(w.out.dropped[0].second.code, errc::offset_mismatch);
}

TEST(CopySession, AtMostSoMuchIsUnderWayToOne) {
  writer w{2, 2};
  w.session.on_own(1, w.now, w.out);
  w.bring_up(1);
  const auto all = (copy_session::sends_max + 2) * ports::append_bytes_max + 6;
  w.session.on_own(all, w.now, w.out);
  EXPECT_EQ(w.out.calls.size(), copy_session::sends_max);
  EXPECT_EQ(w.session.sent_to_all(), 1 + copy_session::sends_max * ports::append_bytes_max);
  EXPECT_EQ(w.session.own_bytes(), all);
  std::uint64_t sent = 1;
  while (!w.out.calls.empty()) {
    const auto send = w.next(copy_call::kind::send);
    EXPECT_EQ(send.offset, sent);
    EXPECT_EQ(send.bytes, std::min<std::uint64_t>(ports::append_bytes_max, all - sent));
    sent += send.bytes;
    EXPECT_FALSE(w.session.idle());
    w.session.on_sent(send.replica, send.attempt, sent, w.now, w.out);
  }
  EXPECT_EQ(sent, all);
  EXPECT_EQ(w.session.sent_to_all(), all);
  EXPECT_TRUE(w.session.idle());
  EXPECT_FALSE(w.session.done()) << "it is not sealed";
}

TEST(CopySession, TooManyWhoWaitAreToldSo) {
  writer w{2, 2};
  for (std::uint64_t ticket = 0; ticket < copy_session::waiting_max; ++ticket) w.session.wait(ticket, copy_goal::reserved, 0, w.now, w.out);
  EXPECT_TRUE(w.out.answers.empty());
  w.session.wait(1000, copy_goal::reserved, 0, w.now, w.out);
  ASSERT_EQ(w.out.answers.size(), 1u);
  EXPECT_EQ(w.answer_to(1000), errc::limited);
  const auto reserve = w.next(copy_call::kind::reserve);
  w.session.on_reserved(reserve.replica, reserve.attempt, {}, w.now, w.out);
  EXPECT_EQ(w.out.answers.size(), copy_session::waiting_max + 1) << "each is told once, and that one no more";
}

TEST(CopySession, ClosingTellsAllThatWaitAndAllThatCome) {
  writer w{2, 2};
  w.session.on_own(3, w.now, w.out);
  const auto reserve = w.next(copy_call::kind::reserve);
  w.session.wait(1, copy_goal::length, 3, w.now, w.out);
  w.session.on_reserved(reserve.replica, reserve.attempt, busy, w.now, w.out);
  w.session.close({errc::cancelled, "removed"}, w.out);
  EXPECT_EQ(w.answer_to(1), errc::cancelled);
  EXPECT_TRUE(w.session.idle());
  w.session.wait(2, copy_goal::length, 3, w.now, w.out);
  EXPECT_EQ(w.answer_to(2), errc::cancelled);
  EXPECT_TRUE(w.session.idle()) << "whoever comes later does not wait";
  EXPECT_EQ(w.out.answers.size(), 2u);
  w.out.calls.clear();
  w.session.on_reserved(reserve.replica, reserve.attempt, {}, w.now, w.out);
  w.session.on_room(reserve.node, w.now, w.out);
  w.session.on_own(9, w.now + seconds{60}, w.out);
  EXPECT_TRUE(w.out.calls.empty()) << "nobody is asked any more";
  EXPECT_EQ(w.out.answers.size(), 2u);
}

TEST(CopySession, PromisesOfSpaceAreKnownByNode) {
  writer w{3, 3};
  w.session.on_own(0, w.now, w.out);
  EXPECT_EQ(w.session.reserved_at(), (std::vector<node_name>{w.order[1], w.order[2]})) << "both are being asked";
  const auto first = w.next(copy_call::kind::reserve), second = w.next(copy_call::kind::reserve);
  w.session.on_reserved(first.replica, first.attempt, busy, w.now, w.out);
  EXPECT_EQ(w.session.reserved_at(), std::vector<node_name>{w.order[2]}) << "who refused has promised nothing";
  w.session.on_reserved(second.replica, second.attempt, {}, w.now, w.out);
  EXPECT_EQ(w.session.reserved_at(), std::vector<node_name>{w.order[2]});
  w.session.on_own(1, w.now, w.out);
  const auto send = w.next(copy_call::kind::send);
  w.session.on_sent(send.replica, send.attempt, away, w.now, w.out);
  EXPECT_EQ(w.session.reserved_at(), (std::vector<node_name>{w.order[2], w.order[3]})) << "a promise outlives its session";
}

TEST(CopySession, WhoIsHeldIsSaidOnceAndAgainWhenThereWasRoom) {
  writer w{2, 2};
  w.session.on_own(mib, w.now, w.out);
  w.bring_up(mib);
  w.session.on_own(3 * mib, w.now, w.out);
  w.session.wait(1, copy_goal::length, 3 * mib, w.now, w.out);
  const auto first = w.next(copy_call::kind::send), second = w.next(copy_call::kind::send);
  w.session.on_sent(first.replica, first.attempt, busy, w.now, w.out);
  w.session.on_sent(second.replica, second.attempt, busy, w.now, w.out);
  EXPECT_EQ(w.out.held, std::vector<node_name>{w.order[1]}) << "twice refused, once held";
  w.session.on_stalled(w.order[1], w.now, w.out);
  EXPECT_TRUE(w.session.idle()) << "the writer was told, and nobody will answer";
  EXPECT_EQ(w.answer_to(1), errc::limited);
  w.session.on_room(w.order[2], w.now, w.out);
  EXPECT_TRUE(w.out.calls.empty()) << "room elsewhere is none here";
  w.session.on_room(w.order[1], w.now, w.out);
  EXPECT_FALSE(w.session.idle());
  const auto again = w.next(copy_call::kind::send);
  EXPECT_EQ(again.offset, mib);
  (void)w.next(copy_call::kind::send);
  w.session.on_sent(again.replica, again.attempt, busy, w.now, w.out);
  EXPECT_EQ(w.out.held.size(), 2u) << "held anew";
}

TEST(CopySession, StallingIsOfWhoIsHeldAndHasNoRoom) {
  writer w{3, 3};
  w.session.on_own(0, w.now, w.out);
  const auto first = w.next(copy_call::kind::reserve), second = w.next(copy_call::kind::reserve);
  w.session.wait(1, copy_goal::reserved, 0, w.now, w.out);
  w.session.on_stalled(first.node, w.now, w.out);
  EXPECT_EQ(w.answer_to(1), errc::internal) << "it has not refused anything";
  w.session.on_reserved(first.replica, first.attempt, busy, w.now, w.out);
  w.session.on_stalled(second.node, w.now, w.out);
  EXPECT_EQ(w.answer_to(1), errc::internal) << "that is another one";
  w.session.on_stalled(first.node, w.now, w.out);
  EXPECT_EQ(w.answer_to(1), errc::limited);
}

TEST(CopySession, AHeldReplicaIsAskedAgainAfterAWhile) {
  writer w{2, 2};
  w.session.on_own(0, w.now, w.out);
  const auto reserve = w.next(copy_call::kind::reserve);
  w.session.on_reserved(reserve.replica, reserve.attempt, busy, w.now, w.out);
  w.session.on_own(1, w.now + copy_session::retry_after - nanoseconds{1}, w.out);
  EXPECT_TRUE(w.out.calls.empty());
  w.session.on_own(2, w.now + copy_session::retry_after, w.out);
  EXPECT_EQ(w.next(copy_call::kind::reserve), reserve);
}

TEST(CopySession, AReplicaThatFailedBeginsAnewWithWhatItSaysItHas) {
  writer w{4, 2};
  w.session.on_own(4, w.now, w.out);
  std::vector<copy_call> reserves;
  for (int i = 0; i < 3; ++i) reserves.push_back(w.next(copy_call::kind::reserve));
  for (const auto& r : reserves) w.session.on_reserved(r.replica, r.attempt, {}, w.now, w.out);
  for (int i = 0; i < 3; ++i) {
    const auto open = w.next(copy_call::kind::open);
    w.session.on_opened(open.replica, open.attempt, std::uint64_t{0}, w.now, w.out);
  }
  const auto send = w.next(copy_call::kind::send);
  w.session.on_sent(send.replica, send.attempt, away, w.now, w.out);
  w.out.calls.clear();
  w.session.on_own(5, w.now + copy_session::retry_after - nanoseconds{1}, w.out);
  EXPECT_TRUE(std::none_of(w.out.calls.begin(), w.out.calls.end(), [](const auto& c) { return c.what == copy_call::kind::reserve; }));
  w.out.calls.clear();
  w.now = w.now + copy_session::retry_after;
  w.session.on_own(6, w.now, w.out);
  const auto again = std::find_if(w.out.calls.begin(), w.out.calls.end(), [](const auto& c) { return c.what == copy_call::kind::reserve; });
  ASSERT_NE(again, w.out.calls.end());
  EXPECT_EQ(again->replica, send.replica);
  EXPECT_GT(again->attempt, send.attempt);
  const auto call = *again;
  w.out.calls.clear();
  w.session.on_sent(send.replica, send.attempt, std::uint64_t{4}, w.now, w.out);
  w.session.on_reserved(call.replica, call.attempt, {}, w.now, w.out);
  const auto open = w.next(copy_call::kind::open);
  w.session.on_opened(open.replica, open.attempt, std::uint64_t{2}, w.now, w.out);
  const auto rest = w.next(copy_call::kind::send);
  EXPECT_EQ(rest.offset, 2u);
  EXPECT_EQ(rest.bytes, 4u);
  w.session.on_sent(rest.replica, rest.attempt, std::uint64_t{6}, w.now, w.out);
  EXPECT_EQ(w.out.dropped.size(), 1u);
}

TEST(CopySession, ASealThatWasAnsweredLeavesWhatIsMissingToTheRepair) {
  writer w{3, 2};
  w.session.on_own(0, w.now, w.out);
  const auto first = w.next(copy_call::kind::reserve), second = w.next(copy_call::kind::reserve);
  w.session.on_reserved(first.replica, first.attempt, {}, w.now, w.out);
  w.session.on_reserved(second.replica, second.attempt, away, w.now, w.out);
  const auto third = w.next(copy_call::kind::reserve);
  w.session.on_reserved(third.replica, third.attempt, away, w.now, w.out);
  const ports::blob_stat about{w.id, 0, true, {}, 0};
  w.session.on_own_sealed(about, w.now, w.out);
  w.session.wait(1, copy_goal::sealed, 0, w.now, w.out);
  const auto seal = w.next(copy_call::kind::seal);
  w.session.on_sealed(seal.replica, seal.attempt, about, w.now, w.out);
  EXPECT_EQ(w.answer_to(1), errc::none);
  EXPECT_TRUE(w.session.done());
  w.session.on_room(first.node, w.now + copy_session::retry_after, w.out);
  EXPECT_TRUE(w.out.calls.empty()) << "nobody waits";
  w.session.wait(2, copy_goal::sealed, 0, w.now + copy_session::retry_after, w.out);
  EXPECT_EQ(w.answer_to(2), errc::none);
}

TEST(CopySession, TheOwnSealBringsTheLastBytes) {
  writer w{2, 2};
  w.session.on_own(3, w.now, w.out);
  w.bring_up();
  const auto send = w.next(copy_call::kind::send);
  w.session.on_sent(send.replica, send.attempt, std::uint64_t{3}, w.now, w.out);
  EXPECT_TRUE(w.session.idle());
  EXPECT_TRUE(w.out.calls.empty());
  w.session.on_own_sealed({w.id, 5, true, {}, 0}, w.now, w.out);
  EXPECT_EQ(w.session.own_bytes(), 5u);
  EXPECT_FALSE(w.session.idle());
  const auto rest = w.next(copy_call::kind::send);
  EXPECT_EQ(rest.offset, 3u);
  EXPECT_EQ(rest.bytes, 2u);
  w.session.on_sent(rest.replica, rest.attempt, std::uint64_t{5}, w.now, w.out);
  EXPECT_FALSE(w.session.done()) << "its seal is under way";
  EXPECT_EQ(w.next(copy_call::kind::seal).bytes, 5u);
}

TEST(CopySession, AWriterWithoutReplicasWaitsForNobody) {
  const auto rules = make_copy_rules("storage-0", {"storage-0"}, {}, 2, 2);
  copy_session session{blob(1), rules};
  copy_actions out;
  session.on_own(3, start, out);
  session.wait(1, copy_goal::length, 3, start, out);
  ASSERT_EQ(out.answers.size(), 1u);
  EXPECT_TRUE(out.answers[0].second);
  EXPECT_TRUE(out.calls.empty());
  EXPECT_TRUE(session.idle());
  EXPECT_FALSE(session.done());
  session.on_own_sealed({blob(1), 3, true, {}, 0}, start, out);
  EXPECT_TRUE(session.done());
}

TEST(CopySession, AReplicaThatIsTriedAgainKnowsNothingOfItsLastTry) {
  writer all{2, 2};
  writer w{2, 2, {all.order[2], all.order[3]}};  // nobody could take its place
  w.session.on_own(mib, w.now, w.out);
  w.bring_up(mib);
  w.session.on_own(4 * mib, w.now, w.out);
  const auto first = w.next(copy_call::kind::send), second = w.next(copy_call::kind::send), third = w.next(copy_call::kind::send);
  w.session.on_sent(third.replica, third.attempt, error{errc::offset_mismatch, "behind"}, w.now, w.out);
  w.session.on_sent(first.replica, first.attempt, away, w.now, w.out);  // the second never answers
  ASSERT_EQ(w.out.dropped.size(), 1u);
  w.now = w.now + copy_session::retry_after;
  w.session.on_own(5 * mib, w.now, w.out);
  w.bring_up();
  EXPECT_EQ(w.out.calls.size(), copy_session::sends_max) << "as many as to any other";
  w.session.on_sent(second.replica, second.attempt, 3 * mib, w.now, w.out);
  EXPECT_EQ(w.out.calls.size(), copy_session::sends_max) << "that was the last try's";
  for (std::uint64_t at = 0; at < 5 * mib; at += mib) {
    const auto send = w.next(copy_call::kind::send);
    EXPECT_EQ(send.offset, at);
    w.session.on_sent(send.replica, send.attempt, at + mib, w.now, w.out);
  }
  EXPECT_EQ(w.out.dropped.size(), 1u);
  EXPECT_TRUE(w.session.idle());
}

TEST(CopySession, RoomIsUsedUpByARefusalThatWasUnderWay) {
  writer w{2, 2};
  w.session.on_own(mib, w.now, w.out);
  w.bring_up(mib);
  w.session.on_own(3 * mib, w.now, w.out);
  const auto first = w.next(copy_call::kind::send), second = w.next(copy_call::kind::send);
  w.session.on_sent(first.replica, first.attempt, busy, w.now, w.out);
  w.session.on_room(first.node, w.now, w.out);
  EXPECT_TRUE(w.out.calls.empty()) << "one is under way";
  w.session.on_sent(second.replica, second.attempt, busy, w.now, w.out);
  EXPECT_TRUE(w.out.calls.empty()) << "it has none after all";
  EXPECT_EQ(w.out.held.size(), 2u);
  w.session.on_room(first.node, w.now, w.out);
  EXPECT_EQ(w.out.calls.size(), 2u);
}

TEST(CopySession, BytesAreSafeWhileTheSealIsUnderWay) {
  writer w{2, 2};
  w.session.on_own(3, w.now, w.out);
  w.bring_up();
  const auto send = w.next(copy_call::kind::send);
  w.session.on_own_sealed({w.id, 3, true, {}, 0}, w.now, w.out);
  w.session.on_sent(send.replica, send.attempt, std::uint64_t{3}, w.now, w.out);
  (void)w.next(copy_call::kind::seal);
  w.session.wait(1, copy_goal::length, 3, w.now, w.out);
  EXPECT_EQ(w.answer_to(1), errc::none);
  w.session.wait(2, copy_goal::sealed, 3, w.now, w.out);
  EXPECT_EQ(w.answer_to(2), errc::internal);
}

TEST(CopySession, PatienceEndsOnceAndNotBeforeItsTime) {
  writer w{2, 2};
  w.session.on_own(3, w.now, w.out);
  w.bring_up();
  w.session.wait(1, copy_goal::length, 3, w.now, w.out);
  w.session.on_own(4, w.now + copy_session::patience, w.out);
  EXPECT_EQ(w.answer_to(1), errc::internal);
  w.session.on_own(5, w.now + copy_session::patience + nanoseconds{1}, w.out);
  w.session.on_own(6, w.now + copy_session::patience + seconds{1}, w.out);
  EXPECT_EQ(w.answer_to(1), errc::unavailable);
  EXPECT_EQ(w.out.answers.size(), 1u);
}

}  // namespace latham
