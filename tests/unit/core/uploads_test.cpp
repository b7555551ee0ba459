#include "core/recipes.hpp"
#include "core/upload/uploads.hpp"

#include <gtest/gtest.h>

namespace latham {

namespace {
constexpr video_id id{1, 2};
constexpr blob_id blob{3, 4};
constexpr instant now{1'000'000'000};

expected<upload_record> begin(uploads& all, const upload_request& request, video_id which = id) { return all.begin(request, which, blob, 99, "storage-0", utc_ms{5}, now); }

ports::blob_stat sealed(std::uint64_t bytes) { return {blob, bytes, true, sha256::of("x"), 0}; }
}  // namespace

TEST(Uploads, BeginReservesWhatIsExpectedOrTheDefault) {
  uploads all{{}};
  EXPECT_EQ(begin(all, {"default", "t", 1000, {}, priority_class::normal})->token.bytes_max, 1000u);
  EXPECT_EQ(begin(all, {"default", "t", 0, {}, priority_class::normal}, {1, 3})->token.bytes_max, upload_limits{}.bytes_unknown);
}

TEST(Uploads, BadRequestsAreRefusedWithWhatToDo) {
  uploads all{{}};
  const auto code = [&](const upload_request& r) { return begin(all, r).error().code; };
  EXPECT_EQ(code({"default", std::string(201, 'x'), 1, {}, priority_class::normal}), errc::invalid_argument);
  EXPECT_EQ(code({"default", "\xff", 1, {}, priority_class::normal}), errc::invalid_argument);
  EXPECT_EQ(code({"default", "a\nb", 1, {}, priority_class::normal}), errc::invalid_argument);
  EXPECT_EQ(code({"UPPER", "t", 1, {}, priority_class::normal}), errc::invalid_argument);
  EXPECT_EQ(code({"default", "t", 1, {{641, 360, 0}}, priority_class::normal}), errc::invalid_argument);
  EXPECT_EQ(code({"default", "t", 1, {}, static_cast<priority_class>(9)}), errc::invalid_argument);
  EXPECT_EQ(code({"default", "t", 65 * gib, {}, priority_class::normal}), errc::too_large);
  EXPECT_EQ(all.open(), 0u);
}

TEST(Uploads, AtMostSoManyAreOpen) {
  uploads all{{.open_max = 1}};
  ASSERT_TRUE(begin(all, {}));
  EXPECT_EQ(begin(all, {}, {1, 3}).error().code, errc::limited);
  ASSERT_TRUE(all.remove(id));
  EXPECT_TRUE(begin(all, {}, {1, 3}));
}

TEST(Uploads, CompleteIsIdempotentAndFillsTheOutboxUntilAnnounced) {
  uploads all{{}};
  ASSERT_TRUE(begin(all, {}));
  EXPECT_TRUE(all.outbox(10).empty());
  const auto first = all.complete(id, sealed(10));
  ASSERT_TRUE(first);
  EXPECT_EQ(*all.complete(id, sealed(10)), *first);
  ASSERT_EQ(all.outbox(10).size(), 1u);
  EXPECT_EQ(all.outbox(10)[0].source.bytes, 10u);
  ASSERT_TRUE(all.announced(id));
  EXPECT_TRUE(all.outbox(10).empty());
  EXPECT_TRUE(all.list("default", {}, 10).empty());
}

TEST(Uploads, AnEmptyFileIsNoVideo) {
  uploads all{{}};
  ASSERT_TRUE(begin(all, {}));
  EXPECT_EQ(all.complete(id, sealed(0)).error().code, errc::unprocessable);
}

TEST(Uploads, TheDeadStayDead) {
  uploads all{{}};
  ASSERT_TRUE(begin(all, {}));
  const auto tombstone = all.remove(id);
  ASSERT_TRUE(tombstone);
  EXPECT_EQ(tombstone->state, upload_state::removed);
  EXPECT_EQ(all.complete(id, sealed(10)).error().code, errc::not_found);
  uploads again{{}};
  again.load(*tombstone, now);
  EXPECT_EQ(again.open(), 0u);
  EXPECT_EQ(again.complete(id, sealed(10)).error().code, errc::not_found);
  EXPECT_TRUE(again.outbox(10).empty());
}

TEST(Uploads, OnlyWhatTheSchedulerDoesNotHaveIsListed) {
  uploads all{{}};
  ASSERT_TRUE(begin(all, {}));
  ASSERT_TRUE(begin(all, {}, {1, 3}));
  ASSERT_TRUE(begin(all, {}, {1, 4}));
  ASSERT_TRUE(begin(all, {}, {1, 5}));
  ASSERT_TRUE(all.complete({1, 3}, sealed(10)));
  ASSERT_TRUE(all.remove({1, 4}));
  all.forget({1, 5});
  ASSERT_EQ(all.outbox(10).size(), 1u);
  EXPECT_EQ(all.list("default", {}, 10).size(), 2u);
  EXPECT_EQ(all.list("default", {1, 3}, 10).size(), 1u);
  EXPECT_EQ(all.list("default", {}, 1)[0].what.video, (video_id{1, 3}));
  const auto others = all.list("default", {}, 1, [](const upload_record& r) { return r.what.video != video_id{1, 3}; });
  ASSERT_EQ(others.size(), 1u) << "what is passed over must not make the page look like the last one";
  EXPECT_NE(others[0].what.video, (video_id{1, 3}));
  const auto announced = all.announced({1, 3});
  ASSERT_TRUE(announced);
  EXPECT_TRUE(all.outbox(10).empty());
  EXPECT_EQ(all.list("default", {}, 10).size(), 1u);
  uploads again{{}};
  again.load(*announced, now);
  EXPECT_TRUE(again.list("default", {}, 10).empty());
  EXPECT_NE(again.find({1, 3}), nullptr);
}

TEST(Uploads, SilentSessionsExpire) {
  uploads all{{.idle = seconds{10}}};
  ASSERT_TRUE(begin(all, {}));
  EXPECT_TRUE(all.expired(now + seconds{9}).empty());
  all.touch(id, now + seconds{9});
  EXPECT_TRUE(all.expired(now + seconds{19}).empty()) << "ten seconds, and no more";
  EXPECT_EQ(all.expired(now + seconds{20}), std::vector<video_id>{id});
}

TEST(Uploads, WhatGrowsDoesNotExpire) {
  uploads all{{.idle = seconds{10}}};
  ASSERT_TRUE(begin(all, {}));
  EXPECT_FALSE(all.is_abandoned(id, 0, now + seconds{10})) << "not yet";
  EXPECT_FALSE(all.is_abandoned(id, 5, now + seconds{11}));
  EXPECT_TRUE(all.expired(now + seconds{21}).empty());
  EXPECT_FALSE(all.is_abandoned(id, 5, now + seconds{21})) << "heard ten seconds ago";
  EXPECT_FALSE(all.is_abandoned(id, 6, now + seconds{22}));
  EXPECT_TRUE(all.is_abandoned(id, 6, now + seconds{33}));
  EXPECT_FALSE(all.is_abandoned({9, 9}, 0, now + seconds{33}));
  ASSERT_TRUE(all.complete(id, sealed(6)));
  EXPECT_FALSE(all.is_abandoned(id, 6, now + seconds{90})) << "it is all there";
}

TEST(Uploads, NameTheirSourcesUntilTheyAreGone) {
  uploads all{{}};
  const auto record = begin(all, {});
  ASSERT_TRUE(record);
  EXPECT_TRUE(all.names(blob));
  all.forget(id);
  EXPECT_FALSE(all.names(blob));
  auto other = *record;
  other.state = upload_state::complete;
  ASSERT_TRUE(all.keep(other, now));
  EXPECT_TRUE(all.names(blob)) << "one that another node tells of";
  ASSERT_TRUE(all.remove(id));
  EXPECT_FALSE(all.names(blob));
  uploads restarted{{}}, removed{{}};
  restarted.load(other, now);
  EXPECT_TRUE(restarted.names(blob));
  other.state = upload_state::removed;
  removed.load(other, now);
  EXPECT_FALSE(removed.names(blob));
}

TEST(Recipes, DefaultAndRequestedLadders) {
  EXPECT_EQ(make_recipe({})->rungs, default_ladder());
  const auto asked = make_recipe({{1280, 720, 0}, {256, 144, 0}});
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->rungs, (std::vector<rung>{{256, 144, 200}, {1280, 720, 2800}}));
  const auto between = make_recipe({{1024, 576, 0}})->rungs[0].maxrate_kbit;
  EXPECT_GT(between, 1400u);
  EXPECT_LT(between, 2800u);
  EXPECT_FALSE(make_recipe({{256, 144, 0}, {256, 144, 0}}));
  EXPECT_FALSE(make_recipe({{0, 144, 0}}));
  EXPECT_FALSE(make_recipe({{8192, 144, 0}}));
  EXPECT_FALSE(make_recipe(std::vector<rung>(17, {256, 144, 0})));
}

TEST(Recipes, RungsAreParsedStrictly) {
  EXPECT_EQ(*parse_rung("640x360"), (rung{640, 360, 0}));
  EXPECT_EQ(*parse_rung("640X360"), (rung{640, 360, 0}));
  for (const auto* bad : {"", "640", "640x", "x360", "640x360p", "-640x360", "640 x 360", "99999999999x1"}) EXPECT_FALSE(parse_rung(bad)) << bad;
}

TEST(Utf8, ValidityFollowsRfc3629) {
  for (const auto* good : {"", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8e\xac"}) EXPECT_TRUE(is_valid_utf8(good));
  for (const auto* bad : {"\x80", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xe2\x82", "\xc3"}) EXPECT_FALSE(is_valid_utf8(bad));
}

TEST(Uploads, OfAShardWhoseSchedulerForgotThemAreAnnouncedAgain) {
  uploads all{{}};
  const auto of = [](std::uint16_t shard, std::uint64_t n) { return make_id<video_id>(utc_ms{5}, shard, n); };
  for (const auto which : {of(1, 1), of(1, 2), of(1, 3), of(2, 4)}) {
    ASSERT_TRUE(begin(all, {}, which));
    if (which == of(1, 3)) continue;  // still receiving
    ASSERT_TRUE(all.complete(which, sealed(10)));
    ASSERT_TRUE(all.announced(which));
  }
  ASSERT_TRUE(all.remove(of(1, 2)));
  EXPECT_TRUE(all.outbox(10).empty());
  const auto again = all.announce_again(1, {});
  ASSERT_TRUE(again);
  EXPECT_EQ(again->what.video, of(1, 1));
  EXPECT_FALSE(again->announced);
  EXPECT_FALSE(all.announce_again(1, again->what.video)) << "neither what is removed nor what is another shard's";
  ASSERT_EQ(all.outbox(10).size(), 1u);
  EXPECT_FALSE(all.announce_again(1, {})) << "it is in the outbox already";
}

TEST(Uploads, AreAnnouncedAgainOneAfterTheOtherWhateverWasAnnouncedMeanwhile) {
  uploads all{{}};
  for (std::uint64_t n = 0; n < 25; ++n) {
    const auto which = make_id<video_id>(utc_ms{5}, 0, n);
    ASSERT_TRUE(begin(all, {}, which));
    ASSERT_TRUE(all.complete(which, sealed(10)));
    ASSERT_TRUE(all.announced(which));
  }
  std::size_t total = 0;
  for (auto one = all.announce_again({}, {}); one; one = all.announce_again({}, one->what.video)) {
    ++total;
    ASSERT_TRUE(all.announced(one->what.video));
  }
  EXPECT_EQ(total, 25u);
}

TEST(Utf8, EachFormHasItsFirstAndItsLast) {
  for (const auto* good : {"\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
                           "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "a\xc3\xa9z"})
    EXPECT_TRUE(is_valid_utf8(good)) << good;
  for (const auto* bad :
       {"\xc1\xbf", "\xc0\x80", "\xe0\x9f\xbf", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf5\x80\x80\x80", "\xf5\x80\x80\x80\x80",
        "\xff\x80\x80\x80\x80", "\xc3(", "\xe2(\xa1", "\xe2\x82(", "a\xff", "\xc3\xa9\xff", "\xc3\xa9\x80", "\xf0\x9f\x8e", "\xc3\xc3\xa9"})
    EXPECT_FALSE(is_valid_utf8(bad)) << bad;
  for (const auto* bad : {"\x80\x90\x80\x80", "\xc1\x90\x80\x80", "\xf8\x90\x80\x80"})
    EXPECT_FALSE(is_valid_utf8(bad)) << "would be a point, were it a lead";
  for (const std::size_t n : {20u, 110u})
    EXPECT_FALSE(is_valid_utf8(std::string(n, '\x80'))) << "nothing begins with a continuation, however many follow";
}

TEST(Uploads, TitlesAndTenantsAreJudgedAtTheirBorders) {
  EXPECT_TRUE(check_title(""));
  EXPECT_TRUE(check_title(std::string(200, 'x')));
  EXPECT_FALSE(check_title(std::string(201, 'x')));
  EXPECT_TRUE(check_title(" ~"));
  EXPECT_FALSE(check_title("a\x1f"));
  EXPECT_FALSE(check_title("a\x7f"));
  EXPECT_TRUE(check_title("\xc2\x80")) << "its bytes are above 0x7f";
  for (const auto& good : {std::string{"a"}, std::string{"z"}, std::string{"0"}, std::string{"9"}, std::string{"-"}, std::string(64, 'a')})
    EXPECT_TRUE(check_tenant(good)) << good;
  for (const auto& bad : {std::string{}, std::string(65, 'a'), std::string{"A"}, std::string{"`"}, std::string{"{"}, std::string{"/"},
                          std::string{":"}, std::string{"a_b"}})
    EXPECT_FALSE(check_tenant(bad)) << bad;
}

TEST(Uploads, ARecordSaysWhatWasAskedFor) {
  uploads all{{}};
  const upload_request asked{"acme", "A film", 1000, {{640, 360, 0}}, priority_class::high, {1000, 2000}};
  const auto begun = begin(all, asked);
  ASSERT_TRUE(begun);
  EXPECT_EQ(begun->what.video, id);
  EXPECT_EQ(begun->what.tenant, "acme");
  EXPECT_EQ(begun->what.title, "A film");
  EXPECT_EQ(begun->what.created_ms, 5);
  EXPECT_EQ(begun->what.priority, priority_class::high);
  EXPECT_EQ(begun->what.how, *make_recipe(asked.ladder, asked.part));
  EXPECT_EQ(begun->what.source.blob, blob);
  EXPECT_EQ(begun->what.source.store, "storage-0");
  EXPECT_EQ(begun->token, (ports::write_token{blob, 99, 1000}));
  EXPECT_EQ(begun->bytes_expected, 1000u);
  EXPECT_EQ(begun->state, upload_state::receiving);
  EXPECT_EQ(*all.find(id), *begun);
  EXPECT_EQ(begin(all, asked).error().code, errc::conflict);
  const auto done = all.complete(id, sealed(900));
  EXPECT_EQ(done->what.source.bytes, 900u);
  EXPECT_EQ(done->what.source.digest, sha256::of("x"));
  EXPECT_EQ(all.open(), 0u);
  EXPECT_EQ(all.find({7, 7}), nullptr);
}

TEST(Uploads, TheLargestIsAsLargeAsTheLimit) {
  uploads all{{.bytes_max = 10 * mib, .bytes_unknown = 20 * mib}};
  EXPECT_TRUE(begin(all, {"default", "", 10 * mib, {}, priority_class::normal}));
  const auto refused = begin(all, {"default", "", 10 * mib + 1, {}, priority_class::normal}, {1, 3});
  EXPECT_EQ(refused.error().code, errc::too_large);
  EXPECT_NE(refused.error().message.find("10 MiB"), std::string::npos) << refused.error().message;
  EXPECT_EQ(begin(all, {}, {1, 4})->token.bytes_max, 10 * mib) << "an unknown length is no way around it";
}

TEST(Uploads, ABeginThatIsTakenBackWasNever) {
  uploads all{{}};
  ASSERT_TRUE(begin(all, {}));
  all.forget({7, 7});
  EXPECT_EQ(all.open(), 1u);
  all.forget(id);
  EXPECT_EQ(all.open(), 0u);
  EXPECT_EQ(all.find(id), nullptr);
  EXPECT_TRUE(begin(all, {})) << "the same id is free again";
  ASSERT_TRUE(all.complete(id, sealed(10)));
  all.forget(id);
  EXPECT_EQ(all.open(), 0u) << "it was open no more";
}

TEST(Uploads, OnlyWhatIsCompleteIsAnnounced) {
  uploads all{{}};
  EXPECT_EQ(all.announced(id).error().code, errc::not_found);
  ASSERT_TRUE(begin(all, {}));
  EXPECT_EQ(all.announced(id).error().code, errc::not_found);
  EXPECT_EQ(all.list("default", {}, 10).size(), 1u);
  ASSERT_TRUE(all.complete(id, sealed(10)));
  EXPECT_TRUE(all.announced(id)->announced);
  EXPECT_EQ(all.complete({7, 7}, sealed(10)).error().code, errc::not_found);
  EXPECT_EQ(all.remove({7, 7}).error().code, errc::not_found);
}

TEST(Uploads, ARestartGoesOnWhereTheyWere) {
  uploads all{{.open_max = 1}};
  uploads again{{.open_max = 1}};
  again.load(*begin(all, {}), now);
  EXPECT_EQ(again.open(), 1u);
  EXPECT_EQ(begin(again, {}, {1, 3}).error().code, errc::limited);
  EXPECT_EQ(again.list("default", {}, 10).size(), 1u);
  uploads complete{{}};
  complete.load(*all.complete(id, sealed(10)), now);
  EXPECT_EQ(complete.open(), 0u);
  EXPECT_EQ(complete.outbox(10).size(), 1u);
}

TEST(Uploads, ListsAndTheOutboxEndAtTheirLimit) {
  uploads all{{}};
  for (std::uint64_t n = 1; n <= 3; ++n) {
    ASSERT_TRUE(begin(all, {}, {1, n}));
    ASSERT_TRUE(all.complete({1, n}, sealed(10)));
  }
  EXPECT_EQ(all.list("default", {}, 2).size(), 2u);
  EXPECT_EQ(all.outbox(2).size(), 2u);
  EXPECT_EQ(all.outbox(10).size(), 3u);
}

namespace {
/// A complete upload of that shard.
video_id add(uploads& all, std::uint16_t shard, std::uint64_t n) {
  const auto which = make_id<video_id>(utc_ms{static_cast<std::int64_t>(n)}, shard, n);
  EXPECT_TRUE(begin(all, {}, which));
  EXPECT_TRUE(all.complete(which, sealed(10)));
  return which;
}
}  // namespace

TEST(Uploads, OfAShardThatIsAwayHoldUpNoOther) {
  uploads all{{}};
  for (std::uint64_t n = 1; n <= 40; ++n) add(all, 1, n);
  const auto last = add(all, 2, 41);
  const auto found = all.outbox(16, {}, [](std::uint16_t shard) { return shard == 2; });
  ASSERT_EQ(found.size(), 1u) << "the oldest are all of the one that is away";
  EXPECT_EQ(found[0].video, last);
}

TEST(Uploads, OfAShardThatAnswersNothingHaveTheirOwnPlacesOnly) {
  uploads all{{}};
  announcements under_way;
  for (std::uint64_t n = 1; n <= 40; ++n) {
    const auto which = add(all, 1, n);
    if (n <= 3) under_way[1].insert(which);
  }
  const auto last = add(all, 2, 41);
  const auto found = all.outbox(4, under_way);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].video.created(), utc_ms{4}) << "what is under way is passed over, and counts";
  EXPECT_EQ(found[1].video, last);
  under_way[1].insert(found[0].video);
  ASSERT_EQ(all.outbox(4, under_way).size(), 1u);
  EXPECT_EQ(all.outbox(4, under_way)[0].video, last);
}

TEST(Uploads, ThatMayNotBeAnnouncedAreLookedAtOnce) {
  uploads all{{}};
  for (std::uint64_t n = 1; n <= 1'000; ++n) add(all, 1, n);
  const auto last = add(all, 1, 1'001);
  std::size_t looks = 0;
  auto allowed = last;
  const auto find = [&] { return all.outbox(16, {}, {}, [&](video_id which) { return ++looks, which == allowed; }); };
  ASSERT_EQ(find().size(), 1u);
  EXPECT_EQ(looks, 1'001u);
  ASSERT_EQ(find().size(), 1u);
  EXPECT_EQ(looks, 1'002u);
  allowed = make_id<video_id>(utc_ms{500}, 1, 500);
  all.reconsider(allowed);
  ASSERT_EQ(find().size(), 1u);
  EXPECT_EQ(find()[0].video, allowed);
  EXPECT_EQ(all.outbox(2'000).size(), 1u) << "the others are aside still";
  all.reconsider_all();
  EXPECT_EQ(all.outbox(2'000).size(), 1'001u);
  ASSERT_TRUE(all.remove(allowed));
  all.reconsider(allowed);
  EXPECT_EQ(all.outbox(2'000).size(), 1'000u);
}

TEST(Uploads, AreSeenByPeopleAsVideos) {
  uploads all{{}};
  const auto receiving = *begin(all, {"acme", "A film", 1000, {}, priority_class::normal});
  const auto shown = view_of(receiving, 400);
  EXPECT_EQ(shown.id, id);
  EXPECT_EQ(shown.tenant, "acme");
  EXPECT_EQ(shown.title, "A film");
  EXPECT_EQ(shown.created_ms, 5);
  EXPECT_EQ(shown.state, video_state::receiving);
  EXPECT_EQ(shown.bytes, 400u);
  EXPECT_EQ(shown.bytes_total, 1000u);
  const auto complete = view_of(*all.complete(id, sealed(900)), 400);
  EXPECT_EQ(complete.state, video_state::queued);
  EXPECT_EQ(complete.bytes, 900u);
  EXPECT_EQ(complete.bytes_total, 900u);
  EXPECT_EQ(view_of(*all.remove(id), 0).state, video_state::deleting);
}

}  // namespace latham
