// The outbox against one that looks at every upload each time, over random histories.
#include "core/upload/uploads.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <random>

namespace latham {

namespace {

constexpr std::uint16_t shards = 3;
constexpr std::size_t places = 3;

/// What a search would find.
std::vector<video_id> search(const std::set<video_id>& waiting, const announcements& under_way, const std::set<std::uint16_t>& reachable, const std::set<video_id>& allowed) {
  std::vector<video_id> out;
  for (std::uint16_t shard = 0; shard < shards; ++shard) {
    if (!reachable.contains(shard)) continue;
    const auto begun = under_way.contains(shard) ? under_way.at(shard) : std::set<video_id>{};
    auto left = places - begun.size();
    for (const auto id : waiting)
      if (left > 0 && id.shard() == shard && allowed.contains(id) && !begun.contains(id)) {
        out.push_back(id);
        --left;
      }
  }
  return out;
}

}  // namespace

/// Whatever is away, answers nothing or is refused: of each shard that is reachable the oldest that may go have all its places.
RC_GTEST_PROP(OutboxHistories, WhatIsAnnouncedIsWhatASearchFinds, (std::uint64_t seed)) {
  std::mt19937_64 random{seed};
  uploads all{{}};
  std::set<video_id> waiting, announced, allowed;
  announcements under_way;
  std::set<std::uint16_t> reachable{0, 1, 2};
  const auto one_of = [&](const std::set<video_id>& from) { return *std::next(from.begin(), static_cast<std::ptrdiff_t>(random() % from.size())); };
  const auto ended = [&](video_id id) {
    waiting.erase(id);
    under_way[id.shard()].erase(id);
  };
  for (std::uint64_t i = 0; i < 400; ++i) {
    switch (random() % 9) {
      case 0:
      case 1: {
        const auto id = make_id<video_id>(utc_ms{static_cast<std::int64_t>(random() % 100)}, static_cast<std::uint16_t>(random() % shards), i);
        upload_record record;
        record.what.video = id;
        record.what.source.blob = {1, i + 1};
        record.state = upload_state::complete;
        if (random() % 2 == 0) all.load(record, {});
        else RC_ASSERT(all.keep(record, {}).has_value());
        waiting.insert(id);
        if (random() % 2 == 0) allowed.insert(id);
        break;
      }
      case 2: {
        const auto shard = static_cast<std::uint16_t>(random() % shards);
        if (!reachable.erase(shard)) reachable.insert(shard);
        break;
      }
      case 3:  // the scheduler has it
        if (waiting.empty()) break;
        if (const auto id = one_of(waiting); all.announced(id)) {
          ended(id);
          announced.insert(id);
        }
        break;
      case 4:  // or is away again
        if (!waiting.empty()) under_way[one_of(waiting).shard()].clear();
        break;
      case 5:
        if (waiting.empty()) break;
        if (const auto id = one_of(waiting); all.remove(id)) ended(id);
        break;
      case 6: {  // it asks for everything
        const auto shard = static_cast<std::uint16_t>(random() % shards);
        for (auto record = all.announce_again(shard, {}); record; record = all.announce_again(shard, record->what.video)) {
          RC_ASSERT(announced.erase(record->what.video) == 1u);
          waiting.insert(record->what.video);
        }
        break;
      }
      case 7:
        if (waiting.empty()) break;
        if (const auto id = one_of(waiting); allowed.insert(id).second) all.reconsider(id);
        else allowed.erase(id);
        break;
      default:
        if (random() % 8 != 0) break;
        allowed.insert(waiting.begin(), waiting.end());
        all.reconsider_all();
        break;
    }
    std::vector<video_id> found;
    const auto expected = search(waiting, under_way, reachable, allowed);
    for (const auto& event : all.outbox(places, under_way, [&](std::uint16_t shard) { return reachable.contains(shard); }, [&](video_id id) { return allowed.contains(id); }))
      found.push_back(event.video);
    RC_ASSERT(found == expected);
    for (const auto id : found) under_way[id.shard()].insert(id);
  }
}

}  // namespace latham
