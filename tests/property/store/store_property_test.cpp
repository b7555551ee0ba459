// Properties over generated histories. rapidcheck prints the seed and the smallest counterexample.
#include "core/digest.hpp"
#include "store/blob_record.hpp"
#include "store/disk/rocks_kv.hpp"
#include "store/memory_kv.hpp"
#include "tests/support/await.hpp"
#include "tests/support/scratch_directory.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>
#include <vector>

namespace latham::store {
namespace {

std::span<const std::uint8_t> as_bytes(const std::string& s) {
  return {reinterpret_cast<const std::uint8_t*>(s.data()), s.size()};
}

TEST(StoreProperties, BlockDigestsAreTheTreeDigestHoweverTheyAreFedAndResumed) {
  EXPECT_TRUE(rc::check([] {
    const auto size = *rc::gen::inRange<std::size_t>(0, 3 * mib);
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 31 + (i >> 8));
    block_digests digests;
    for (std::size_t at = 0; at < size;) {
      const auto step = *rc::gen::inRange<std::size_t>(1, 700'000);
      digests.update(as_bytes(bytes.substr(at, step)));
      at += step;
      if (*rc::gen::inRange(0, 4) == 0) {  // a restart: complete blocks are kept, the unfinished one is read again
        const auto have = digests.bytes();
        digests = block_digests{digests.complete()};
        digests.update(as_bytes(bytes.substr(digests.bytes(), have - digests.bytes())));
      }
    }
    RC_ASSERT(digests.bytes() == size);
    RC_ASSERT(block_digests::root(digests.all()) == blob_digest(as_bytes(bytes)));
  }));
}

TEST(StoreProperties, TheMemoryTwinAndRocksDbAnswerTheSame) {
  latham::testing::scratch_directory directory;
  int run = 0;
  EXPECT_TRUE(rc::check([&] {
    rocks_kv_options options;
    options.directory = directory / std::to_string(++run);
    auto opened = rocks_kv::open(options);
    RC_ASSERT(opened.has_value());
    auto& rocks = **opened;
    closure_queue time;
    memory_kv memory{time.adder()};
    const auto key = rc::gen::map(rc::gen::inRange(0, 30),
                                  [](int i) { return "k" + std::string(static_cast<std::size_t>(i % 3), '/') + std::to_string(i); });
    const auto steps = *rc::gen::inRange(1, 20);
    for (int i = 0; i < steps; ++i) {
      ports::kv_batch batch;
      const auto writes = *rc::gen::inRange(0, 5);
      for (int w = 0; w < writes; ++w) {
        std::optional<std::string> value;
        if (*rc::gen::inRange(0, 3) > 0) value = std::to_string(*rc::gen::inRange(0, 1000));
        batch.push_back({*key, value});
      }
      memory.commit(batch, [](expected<void>) {});
      time.run_all();
      RC_ASSERT(latham::testing::await<void>([&](auto done) { rocks.commit(batch, done); }).has_value());
      const auto prefix = *rc::gen::element<std::string>("", "k", "k/", "k//", "z");
      const auto after = *rc::gen::oneOf(rc::gen::just(std::string{}), rc::gen::cast<std::string>(key));
      const auto limit = *rc::gen::inRange<std::uint32_t>(1, 8);
      ports::kv_pairs from_memory;
      memory.scan(prefix, after, limit, [&](expected<ports::kv_pairs> r) { from_memory = *r; });
      time.run_all();
      const auto from_rocks = latham::testing::await<ports::kv_pairs>([&](auto done) { rocks.scan(prefix, after, limit, done); });
      RC_ASSERT(from_rocks.has_value());
      RC_ASSERT(*from_rocks == from_memory);
    }
  }));
}

}  // namespace
}  // namespace latham::store
