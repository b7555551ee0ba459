#include "store/memory_blobs.hpp"

#include "core/digest.hpp"

#include <gtest/gtest.h>

#include <deque>

namespace latham::store {
namespace {

constexpr ports::write_token token{blob_id{7, 1}, 42, 100};

/// A disk that does nothing before it is told to.
struct slow_disk {
  std::deque<std::function<void()>> waiting;
  memory_blobs blobs{[this](std::function<void()> work) { waiting.push_back(std::move(work)); }, {.capacity_bytes = 100, .operations_waiting_max = 64}};

  void run() {
    for (; !waiting.empty(); waiting.pop_front()) waiting.front()();
  }
  errc reserve(ports::write_token t) {
    errc code = errc::internal;
    blobs.reserve(t, [&](const expected<void>& done) { code = done ? errc::none : done.error().code; });
    run();
    return code;
  }
  void append(std::uint64_t offset, const std::string& bytes) { blobs.append(token, offset, buffer{std::string{bytes}}, crc32c(bytes), [](const expected<std::uint64_t>&) {}); }
};

TEST(MemoryBlobs, ACopyThatIsDroppedGivesItsSpaceBack) {
  slow_disk disk;
  ASSERT_EQ(disk.reserve(token), errc::none);
  disk.append(0, "ten bytes.");
  disk.run();
  EXPECT_EQ(disk.blobs.space(), (blob_space{10, 90}));
  EXPECT_EQ(disk.reserve({blob_id{7, 2}, 1, 1}), errc::disk_full);
  disk.blobs.drop(token.blob, [](const expected<void>&) {});
  disk.run();
  EXPECT_EQ(disk.blobs.space(), blob_space{});
  EXPECT_EQ(disk.reserve({blob_id{7, 2}, 1, 100}), errc::none);
}

TEST(MemoryBlobs, APowerCutLeavesAnyPrefixOfWhatWasNotSynced) {
  slow_disk disk;
  ASSERT_EQ(disk.reserve(token), errc::none);
  disk.append(0, "first");
  disk.append(5, "second");
  disk.append(11, "third");
  EXPECT_EQ(disk.blobs.power_cut(1, [](std::uint64_t bytes) { return bytes / 2; }), 1u);
  disk.waiting.clear();
  const std::string left = "firstsec";
  EXPECT_EQ(disk.blobs.digest_of_stored(token.blob), blob_digest({reinterpret_cast<const std::uint8_t*>(left.data()), left.size()}));
  EXPECT_EQ(disk.blobs.space(), disk.blobs.space_counted());
  // The writer is told where to go on, and what it seals is what it sent.
  std::uint64_t at = 0;
  disk.blobs.open_write(token, [&](const expected<std::uint64_t>& bytes) { at = *bytes; });
  disk.run();
  EXPECT_EQ(at, left.size());
}

TEST(MemoryBlobs, ABitThatTurnedIsFoundUntilItsBlockIsWrittenAnew) {
  slow_disk disk;
  ASSERT_EQ(disk.reserve(token), errc::none);
  disk.append(0, "ten bytes.");
  disk.blobs.seal(token, 10, [](const expected<ports::blob_stat>&) {});
  disk.run();
  ASSERT_TRUE(disk.blobs.rot(token.blob, 3));
  EXPECT_EQ(disk.blobs.damaged(), std::vector{token.blob});
  disk.blobs.mend(token.blob, 0, buffer{std::string{"ten bytes."}}, [](const expected<void>& done) { EXPECT_TRUE(done); });
  disk.run();
  EXPECT_TRUE(disk.blobs.damaged().empty());
}

}  // namespace
}  // namespace latham::store
