// Copies of blobs over generated histories: writers that append, resume and seal while storage nodes lose power, come back
// and answer out of order. Whatever a writer was told is on as many nodes as was promised, and equal.
#include "core/digest.hpp"
#include "tests/support/copies_cluster.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace latham::testing {

namespace {

const std::vector<node_name> all{"storage-0", "storage-1", "storage-2", "storage-3"};

std::string pattern(std::size_t bytes, std::uint64_t seed) {
  std::string out(bytes, '\0');
  auto x = seed * 0x9e3779b97f4a7c15ull + 1;
  for (auto& c : out) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    c = static_cast<char>(x);
  }
  return out;
}

/// What is readable of a blob on one disk, without asking anybody else. Nothing: no copy.
std::optional<std::string> readable(copies_cluster& cluster, const node_name& name, blob_id blob, bool* sealed = nullptr) {
  auto& disk = cluster.disk(name);
  const auto about = cluster.ask<ports::blob_stat>([&](auto done) { disk.stat(blob, done); });
  if (!about || !*about) return std::nullopt;
  if (sealed != nullptr) *sealed = (*about)->sealed;
  std::string out;
  while (out.size() < (*about)->bytes) {
    const auto part = cluster.ask<buffer>([&](auto done) { disk.read(blob, out.size(), ports::read_bytes_max, done); });
    RC_ASSERT(part.has_value());
    RC_ASSERT(part->has_value());
    out += (*part)->view();
  }
  return out;
}

/// One upload: what its writer sent, and what it was told.
struct upload {
  ports::write_token token;
  node_name home;
  std::string bytes;         // all that it will ever send
  std::uint64_t told = 0;
  bool sealed = false;
  sha256_digest digest;
};

}  // namespace

TEST(ReplicatedBlobsProperties, WhatWasAcknowledgedIsOnAsManyNodesAsWasPromised) {
  EXPECT_TRUE(rc::check([] {
    const auto copies = *rc::gen::inRange<std::uint32_t>(1, 4);
    const auto acks = *rc::gen::inRange<std::uint32_t>(1, copies + 1);
    auto chance = *rc::gen::arbitrary<std::uint64_t>() | 1;
    copies_cluster cluster{all, copies, acks, [&chance](std::size_t choices) {
                             chance = chance * 6364136223846793005ull + 1442695040888963407ull;
                             return static_cast<std::size_t>((chance >> 33) % choices);
                           }};
    std::vector<upload> uploads(2);
    for (std::size_t i = 0; i < uploads.size(); ++i) {
      auto& u = uploads[i];
      u.token = {{0x0123456789ab0000ull + i, chance + i}, 7, 64 * mib};
      u.home = placement_of(u.token.blob, all).front();
      u.bytes = pattern(*rc::gen::inRange<std::size_t>(1, 3 * mib), i + 1);
    }
    const auto check = [&](const upload& u) {
      if (u.told == 0 && !u.sealed) return;
      std::uint32_t have = 0;
      for (const auto& name : all) {
        bool sealed = false;
        const auto there = readable(cluster, name, u.token.blob, &sealed);
        if (!there) continue;
        // Every copy is a prefix of what was sent: no two tails.
        RC_ASSERT(*there == u.bytes.substr(0, there->size()));
        have += there->size() >= u.told && (!u.sealed || sealed) ? 1 : 0;
      }
      RC_ASSERT(have >= acks);
    };
    const auto steps = *rc::gen::inRange(5, 40);
    for (int i = 0; i < steps; ++i) {
      auto& u = uploads[*rc::gen::inRange<std::size_t>(0, uploads.size())];
      switch (*rc::gen::inRange(0, 8)) {
        case 0: {
          const auto name = *rc::gen::elementOf(all);
          if (cluster.up(name)) cluster.kill(name, *rc::gen::inRange<std::size_t>(0, 3));
          break;
        }
        case 1: cluster.restart(*rc::gen::elementOf(all)); break;
        case 2: cluster.pass(milliseconds{*rc::gen::inRange(0, 1'000)}); break;
        case 3: cluster.limit(*rc::gen::elementOf(all), *rc::gen::elementOf(std::vector<std::size_t>{0, 1, 2, 5, SIZE_MAX})); break;
        default: {
          if (!cluster.up(u.home)) break;
          auto& store = cluster.at(u.home);
          // The promise, once; a resume; a few appends under way together, and in half of the cases somebody dies meanwhile.
          (void)cluster.ask<void>([&](auto done) { store.reserve(u.token, done); });
          const auto from = cluster.ask<std::uint64_t>([&](auto done) { store.open_write(u.token, done); });
          if (!from || !*from) break;
          RC_ASSERT(**from >= u.told);
          u.told = std::max(u.told, **from);
          check(u);
          auto told = std::make_shared<std::uint64_t>(0);
          auto unanswered = std::make_shared<int>(0);
          auto at = **from;
          for (int k = *rc::gen::inRange(0, 4); k > 0 && at < u.bytes.size(); --k) {
            ++*unanswered;
            const auto piece = u.bytes.substr(at, *rc::gen::inRange<std::size_t>(1, 400'000));
            store.append(u.token, at, buffer{piece}, crc32c(piece), [told, unanswered](expected<std::uint64_t> durable) {
              --*unanswered;
              if (durable) *told = std::max(*told, *durable);
            });
            at += piece.size();
          }
          const auto victim = *rc::gen::elementOf(all);
          if (*rc::gen::inRange(0, 2) == 0 && cluster.up(victim)) {
            for (int k = *rc::gen::inRange(0, 30); k > 0; --k) (void)cluster.step();
            cluster.kill(victim, *rc::gen::inRange<std::size_t>(0, 4));
          }
          cluster.run();
          // Nobody waits for a replica that has too much to do when nothing more will happen.
          RC_ASSERT(*unanswered == 0 || !cluster.up(u.home));
          u.told = std::max(u.told, *told);
          check(u);
          if (u.told == u.bytes.size() && cluster.up(u.home)) {
            const auto about = cluster.ask<ports::blob_stat>([&](auto done) { store.seal(u.token, u.bytes.size(), done); });
            if (about && *about) {
              u.sealed = true;
              u.digest = (*about)->digest;
              RC_ASSERT(u.digest == blob_digest({reinterpret_cast<const std::uint8_t*>(u.bytes.data()), u.bytes.size()}));
            }
          }
          break;
        }
      }
      check(u);
    }
    // With everybody back, any node answers for what was sealed.
    for (const auto& name : all) {
      cluster.restart(name);
      cluster.limit(name, SIZE_MAX);
    }
    cluster.pass(seconds{10});
    for (const auto& u : uploads) {
      check(u);
      if (!u.sealed) continue;
      for (const auto& name : all) {
        const auto bytes = std::min<std::uint32_t>(1000, static_cast<std::uint32_t>(u.bytes.size()));
        const auto part = cluster.ask<buffer>([&](auto done) { cluster.at(name).read(u.token.blob, u.bytes.size() - bytes, bytes, done); });
        RC_ASSERT(part.has_value());
        RC_ASSERT(part->has_value());
        RC_ASSERT((*part)->view() == std::string_view{u.bytes}.substr(u.bytes.size() - bytes));
        const auto about = cluster.ask<ports::blob_stat>([&](auto done) { cluster.at(name).stat(u.token.blob, done); });
        RC_ASSERT(about.has_value());
        RC_ASSERT(about->has_value());
        RC_ASSERT((*about)->digest == u.digest);
      }
    }
  }));
}

}  // namespace latham::testing
