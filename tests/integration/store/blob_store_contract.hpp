// The contract of ports::blob_store as tests: whoever implements the port runs these (local files, the memory twin, a
// model of an S3-like service, the client of a remote node). Include it once per executable and instantiate
// `BlobStoreContract` with makers of subjects.
#pragma once

#include "core/digest.hpp"
#include "core/ports/blob_store.hpp"
#include "tests/support/await.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

namespace latham::testing {

/// One implementation, ready to use. It has room for `subject_capacity` bytes.
class blob_store_subject {
public:
  virtual ~blob_store_subject() = default;
  [[nodiscard]] virtual ports::blob_store& store() = 0;
  /// The process ends in good order and starts again over the same disk.
  virtual void restart() = 0;
  /// Flips a stored bit. False where the subject cannot do that.
  virtual bool rot(blob_id, std::uint64_t) { return false; }
};
inline constexpr std::uint64_t subject_capacity = 256 * mib;

struct named_subject {
  std::string name;
  std::function<std::unique_ptr<blob_store_subject>()> make;
};

class BlobStoreContract : public ::testing::TestWithParam<named_subject> {
protected:
  void SetUp() override { subject = GetParam().make(); }

  ports::blob_store& store() { return subject->store(); }
  blob_id next_blob() { return blob_id{0x0123456789ab0000ull + ++ids, 0x9e3779b97f4a7c15ull * ids}; }
  ports::write_token token(std::uint64_t bytes_max, std::uint64_t nonce = 7) { return {next_blob(), nonce, bytes_max}; }

  static std::string pattern(std::size_t bytes, std::uint64_t seed = 1) {
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
  static sha256_digest digest(std::string_view bytes) {
    return blob_digest({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  }

  expected<void> reserve(ports::write_token t) {
    return await<void>([&](auto done) { store().reserve(t, done); });
  }
  expected<std::uint64_t> open(ports::write_token t) {
    return await<std::uint64_t>([&](auto done) { store().open_write(t, done); });
  }
  expected<std::uint64_t> append(ports::write_token t, std::uint64_t offset, std::string bytes) {
    const auto crc = crc32c(bytes);
    return await<std::uint64_t>([&](auto done) { store().append(t, offset, buffer{std::move(bytes)}, crc, done); });
  }
  expected<void> truncate(ports::write_token t, std::uint64_t bytes) {
    return await<void>([&](auto done) { store().truncate(t, bytes, done); });
  }
  expected<ports::blob_stat> seal(ports::write_token t, std::uint64_t bytes) {
    return await<ports::blob_stat>([&](auto done) { store().seal(t, bytes, done); });
  }
  expected<buffer> read(blob_id b, std::uint64_t offset, std::uint32_t bytes) {
    return await<buffer>([&](auto done) { store().read(b, offset, bytes, done); });
  }
  expected<ports::blob_stat> stat(blob_id b) {
    return await<ports::blob_stat>([&](auto done) { store().stat(b, done); });
  }
  expected<void> remove(blob_id b) {
    return await<void>([&](auto done) { store().remove(b, done); });
  }
  expected<std::vector<ports::blob_stat>> list(blob_id after, std::uint32_t limit) {
    return await<std::vector<ports::blob_stat>>([&](auto done) { store().list(after, limit, done); });
  }
  /// Appends from `from` in pieces of `piece`, one after the other; the answered lengths never shrink and never lie ahead.
  void append_all(ports::write_token t, const std::string& bytes, std::uint64_t from = 0, std::size_t piece = 300'000) {
    std::uint64_t durable = 0;
    for (auto at = from; at < bytes.size(); at += piece) {
      const auto part = bytes.substr(at, piece);
      const auto length = append(t, at, part);
      ASSERT_EQ(code_of(length), errc::none) << length.error().message;
      EXPECT_GE(*length, durable);
      EXPECT_LE(*length, at + part.size());
      durable = *length;
    }
  }
  void write_sealed(ports::write_token t, const std::string& bytes) {
    ASSERT_EQ(code_of(reserve(t)), errc::none);
    ASSERT_EQ(code_of(open(t)), errc::none);
    append_all(t, bytes);
    const auto sealed = seal(t, bytes.size());
    ASSERT_EQ(code_of(sealed), errc::none) << sealed.error().message;
    EXPECT_EQ(sealed->digest, digest(bytes));
  }
  std::string read_all(blob_id b, std::uint64_t bytes) {
    std::string out;
    while (out.size() < bytes) {
      auto part = read(b, out.size(), ports::read_bytes_max);
      EXPECT_EQ(code_of(part), errc::none);
      if (!part || part->empty()) break;
      out += part->view();
    }
    return out;
  }

  std::unique_ptr<blob_store_subject> subject;
  std::uint64_t ids = 0;
};

TEST_P(BlobStoreContract, WritesSealsAndReadsBack) {
  for (const std::size_t size : {1ul, 1000ul, mib - 1, mib, mib + 1, 5 * mib + 12345}) {
    const auto t = token(size);
    const auto bytes = pattern(size, size);
    write_sealed(t, bytes);
    const auto about = stat(t.blob);
    ASSERT_EQ(code_of(about), errc::none);
    EXPECT_TRUE(about->sealed);
    EXPECT_EQ(about->bytes, size);
    EXPECT_EQ(about->digest, digest(bytes));
    EXPECT_EQ(about->bytes_reserved, 0u);
    EXPECT_EQ(read_all(t.blob, size), bytes);
  }
}

TEST_P(BlobStoreContract, ReadsAnyRangeAndRefusesOthers) {
  const auto bytes = pattern(3 * mib + 77);
  const auto t = token(bytes.size());
  write_sealed(t, bytes);
  for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{1}, mib - 1, mib, 2 * mib + 5, std::uint64_t{bytes.size() - 1}}) {
    for (const std::uint32_t length : {1u, 2u, 100'000u, 1'048'576u, 4'194'304u}) {
      const auto part = read(t.blob, offset, length);
      ASSERT_EQ(code_of(part), errc::none);
      EXPECT_EQ(part->view(), std::string_view{bytes}.substr(offset, length));
    }
  }
  const auto end = read(t.blob, bytes.size(), 10);
  ASSERT_EQ(code_of(end), errc::none);
  EXPECT_TRUE(end->empty());
  EXPECT_EQ(code_of(read(t.blob, bytes.size() + 1, 10)), errc::bad_range);
  EXPECT_EQ(code_of(read(t.blob, 0, 0)), errc::invalid_argument);
  EXPECT_EQ(code_of(read(t.blob, 0, ports::read_bytes_max + 1)), errc::invalid_argument);
  EXPECT_EQ(code_of(read(next_blob(), 0, 1)), errc::not_found);
  EXPECT_EQ(code_of(stat(next_blob())), errc::not_found);
}

TEST_P(BlobStoreContract, SealsAnEmptyBlob) {
  const auto t = token(10);
  ASSERT_EQ(code_of(reserve(t)), errc::none);
  const auto sealed = seal(t, 0);
  ASSERT_EQ(code_of(sealed), errc::none);
  EXPECT_EQ(sealed->digest, digest(""));
  const auto none = read(t.blob, 0, 1);
  ASSERT_EQ(code_of(none), errc::none);
  EXPECT_TRUE(none->empty());
}

TEST_P(BlobStoreContract, AWrongOffsetOrChecksumChangesNothing) {
  const auto bytes = pattern(200'000);
  const auto t = token(mib);
  ASSERT_EQ(code_of(reserve(t)), errc::none);
  append_all(t, bytes);
  EXPECT_EQ(code_of(append(t, 0, "again")), errc::offset_mismatch);
  EXPECT_EQ(code_of(append(t, bytes.size() + 1, "gap")), errc::offset_mismatch);
  const auto torn = await<std::uint64_t>([&](auto done) { store().append(t, bytes.size(), buffer{std::string{"x"}}, 12345, done); });
  EXPECT_EQ(code_of(torn), errc::corrupt);
  EXPECT_EQ(code_of(append(t, bytes.size(), "")), errc::invalid_argument);
  const auto sealed = seal(t, bytes.size());
  ASSERT_EQ(code_of(sealed), errc::none);
  EXPECT_EQ(sealed->digest, digest(bytes));
}

TEST_P(BlobStoreContract, SpaceIsWhatWasReserved) {
  const auto t = token(1000);
  ASSERT_EQ(code_of(reserve(t)), errc::none);
  append_all(t, pattern(900));
  EXPECT_EQ(code_of(append(t, 900, std::string(101, 'x'))), errc::too_large);
  EXPECT_EQ(code_of(append(t, 900, std::string(100, 'x'))), errc::none);
  EXPECT_EQ(code_of(append(t, 1000, "x")), errc::too_large);
  EXPECT_EQ(code_of(append(t, 1000, std::string(ports::append_bytes_max + 1, 'x'))), errc::too_large);
}

TEST_P(BlobStoreContract, APromiseThatCannotBeKeptIsNotMade) {
  EXPECT_EQ(code_of(reserve(token(subject_capacity + 1))), errc::disk_full);
  const auto half = token(subject_capacity / 2);
  EXPECT_EQ(code_of(reserve(half)), errc::none);
  const auto more = token(subject_capacity / 2 + 1);
  EXPECT_EQ(code_of(reserve(more)), errc::disk_full);
  EXPECT_EQ(code_of(open(more)), errc::not_found);
  EXPECT_EQ(code_of(remove(half.blob)), errc::none);
  EXPECT_EQ(code_of(reserve(more)), errc::none);
  EXPECT_EQ(code_of(reserve({blob_id{}, 1, 1})), errc::invalid_argument);
  EXPECT_EQ(code_of(reserve(token(0))), errc::invalid_argument);
}

TEST_P(BlobStoreContract, ANewerTokenFencesTheOlder) {
  const auto old_token = token(mib, 1);
  auto new_token = old_token;
  new_token.nonce = 2;
  ASSERT_EQ(code_of(reserve(old_token)), errc::none);
  append_all(old_token, pattern(1000));
  ASSERT_EQ(code_of(reserve(new_token)), errc::none);
  EXPECT_EQ(code_of(open(old_token)), errc::fenced);
  EXPECT_EQ(code_of(append(old_token, 1000, "late")), errc::fenced);
  EXPECT_EQ(code_of(truncate(old_token, 0)), errc::fenced);
  EXPECT_EQ(code_of(seal(old_token, 1000)), errc::fenced);
  const auto from = open(new_token);
  ASSERT_EQ(code_of(from), errc::none);
  EXPECT_LE(*from, 1000u);
  append_all(new_token, pattern(1000) + "more", *from);
  const auto sealed = seal(new_token, 1004);
  ASSERT_EQ(code_of(sealed), errc::none);
  EXPECT_EQ(sealed->digest, digest(pattern(1000) + "more"));
}

TEST_P(BlobStoreContract, NothingIsWrittenWithoutAReservation) {
  const auto t = token(100);
  EXPECT_EQ(code_of(open(t)), errc::not_found);
  EXPECT_EQ(code_of(append(t, 0, "x")), errc::not_found);
  EXPECT_EQ(code_of(seal(t, 0)), errc::not_found);
  EXPECT_EQ(code_of(truncate(t, 0)), errc::not_found);
}

TEST_P(BlobStoreContract, ASealIsExactFinalAndMayBeAskedAgain) {
  const auto t = token(100);
  ASSERT_EQ(code_of(reserve(t)), errc::none);
  append_all(t, "hello");
  EXPECT_EQ(code_of(seal(t, 4)), errc::conflict);
  EXPECT_EQ(code_of(seal(t, 6)), errc::conflict);
  const auto first = seal(t, 5);
  ASSERT_EQ(code_of(first), errc::none);
  const auto second = seal(t, 5);
  ASSERT_EQ(code_of(second), errc::none);
  EXPECT_EQ(*first, *second);
  EXPECT_EQ(code_of(seal(t, 4)), errc::conflict);
  EXPECT_EQ(code_of(append(t, 5, "x")), errc::conflict);
  EXPECT_EQ(code_of(truncate(t, 0)), errc::conflict);
  EXPECT_EQ(code_of(open(t)), errc::conflict);
  EXPECT_EQ(code_of(reserve(t)), errc::conflict);
}

TEST_P(BlobStoreContract, ATruncatedBlobGoesOnFromThere) {
  const auto bytes = pattern(2 * mib + 500'000);
  const auto t = token(8 * mib);
  for (const std::uint64_t keep : {2 * mib + 100, 2 * mib, mib + 17, std::uint64_t{5}, std::uint64_t{0}}) {
    auto u = t;
    u.blob = next_blob();
    ASSERT_EQ(code_of(reserve(u)), errc::none);
    append_all(u, bytes);
    EXPECT_EQ(code_of(truncate(u, bytes.size() + 1)), errc::bad_range);
    ASSERT_EQ(code_of(truncate(u, keep)), errc::none);
    const auto from = open(u);
    ASSERT_EQ(code_of(from), errc::none);
    ASSERT_LE(*from, keep);
    const auto whole = bytes.substr(0, keep) + pattern(mib, 99);
    append_all(u, whole, *from);
    const auto sealed = seal(u, whole.size());
    ASSERT_EQ(code_of(sealed), errc::none);
    EXPECT_EQ(sealed->digest, digest(whole));
    EXPECT_EQ(read_all(u.blob, whole.size()), whole);
  }
}

TEST_P(BlobStoreContract, ADeletedBlobStaysDead) {
  const auto t = token(100);
  write_sealed(t, "hello");
  EXPECT_EQ(read(t.blob, 0, 5)->view(), "hello");
  EXPECT_EQ(code_of(remove(t.blob)), errc::none);
  EXPECT_EQ(code_of(remove(t.blob)), errc::none);
  EXPECT_EQ(code_of(read(t.blob, 0, 5)), errc::not_found);
  EXPECT_EQ(code_of(stat(t.blob)), errc::not_found);
  EXPECT_EQ(code_of(reserve(t)), errc::conflict);
  EXPECT_EQ(code_of(append(t, 0, "x")), errc::conflict);
  EXPECT_EQ(code_of(seal(t, 5)), errc::conflict);
  const auto never = next_blob();
  EXPECT_EQ(code_of(remove(never)), errc::none);
  EXPECT_EQ(code_of(reserve({never, 1, 10})), errc::conflict);
  const auto half = token(100);
  ASSERT_EQ(code_of(reserve(half)), errc::none);
  append_all(half, "half");
  EXPECT_EQ(code_of(remove(half.blob)), errc::none);
  EXPECT_EQ(code_of(append(half, 4, "x")), errc::conflict);
}

TEST_P(BlobStoreContract, ListsLivingBlobsInOrderOfTheirIds) {
  std::vector<ports::write_token> made;
  for (int i = 0; i < 25; ++i) {
    made.push_back(token(10));
    ASSERT_EQ(code_of(reserve(made.back())), errc::none);
  }
  ASSERT_EQ(code_of(remove(made[3].blob)), errc::none);
  std::vector<blob_id> seen;
  for (blob_id after;;) {
    const auto page = list(after, 10);
    ASSERT_EQ(code_of(page), errc::none);
    ASSERT_LE(page->size(), 10u);
    for (const auto& about : *page) {
      EXPECT_EQ(about.bytes_reserved, 10u);
      seen.push_back(about.blob);
    }
    if (page->empty()) break;
    after = page->back().blob;
  }
  std::vector<blob_id> expected_ids;
  for (const auto& t : made) {
    if (t.blob != made[3].blob) expected_ids.push_back(t.blob);
  }
  EXPECT_EQ(seen, expected_ids);
  EXPECT_EQ(code_of(list({}, 0)), errc::invalid_argument);
  EXPECT_EQ(code_of(list({}, 1001)), errc::invalid_argument);
}

TEST_P(BlobStoreContract, AppendsUnderWayTogetherAreAppliedInCallOrder) {
  constexpr std::size_t pieces = 16;
  constexpr std::size_t piece = 100'003;
  const auto bytes = pattern(pieces * piece);
  const auto t = token(bytes.size());
  ASSERT_EQ(code_of(reserve(t)), errc::none);
  std::vector<std::promise<expected<std::uint64_t>>> answers(pieces);
  for (std::size_t i = 0; i < pieces; ++i) {
    const auto part = bytes.substr(i * piece, piece);
    store().append(t, i * piece, buffer{part}, crc32c(part), [&, i](expected<std::uint64_t> r) { answers[i].set_value(std::move(r)); });
  }
  std::uint64_t before = 0;
  for (std::size_t i = 0; i < pieces; ++i) {
    auto answer = answers[i].get_future();
    ASSERT_EQ(answer.wait_for(answer_deadline), std::future_status::ready);
    const auto length = answer.get();
    ASSERT_EQ(code_of(length), errc::none) << length.error().message;
    EXPECT_GE(*length, before);
    before = *length;
  }
  const auto sealed = seal(t, bytes.size());
  ASSERT_EQ(code_of(sealed), errc::none);
  EXPECT_EQ(sealed->digest, digest(bytes));
}

TEST_P(BlobStoreContract, AnOpenBlobCanBeReadUpToItsDurableLength) {
  const auto bytes = pattern(2 * mib + 100);
  const auto t = token(bytes.size());
  ASSERT_EQ(code_of(reserve(t)), errc::none);
  append_all(t, bytes);
  const auto about = stat(t.blob);
  ASSERT_EQ(code_of(about), errc::none);
  EXPECT_FALSE(about->sealed);
  EXPECT_EQ(about->bytes_reserved, bytes.size());
  EXPECT_EQ(read_all(t.blob, about->bytes), bytes.substr(0, about->bytes));
  EXPECT_EQ(code_of(read(t.blob, about->bytes + 1, 1)), errc::bad_range);
}

TEST_P(BlobStoreContract, AWriterGoesOnAfterARestart) {
  const auto bytes = pattern(3 * mib + 4321);
  const auto t = token(bytes.size());
  ASSERT_EQ(code_of(reserve(t)), errc::none);
  append_all(t, bytes.substr(0, 2 * mib + 1000));
  const auto promised = stat(t.blob);
  ASSERT_EQ(code_of(promised), errc::none);
  subject->restart();
  const auto from = open(t);
  ASSERT_EQ(code_of(from), errc::none);
  EXPECT_GE(*from, promised->bytes);
  append_all(t, bytes, *from);
  const auto sealed = seal(t, bytes.size());
  ASSERT_EQ(code_of(sealed), errc::none);
  EXPECT_EQ(sealed->digest, digest(bytes));
  subject->restart();
  EXPECT_EQ(read_all(t.blob, bytes.size()), bytes);
  ASSERT_EQ(code_of(remove(t.blob)), errc::none);
  subject->restart();
  EXPECT_EQ(code_of(reserve(t)), errc::conflict);
}

TEST_P(BlobStoreContract, ARottenBlockIsReportedAndTheOthersAreRead) {
  const auto bytes = pattern(3 * mib);
  const auto t = token(bytes.size());
  write_sealed(t, bytes);
  if (!subject->rot(t.blob, mib + 100)) GTEST_SKIP() << "this store cannot be damaged from here";
  EXPECT_EQ(code_of(read(t.blob, mib + 5000, 1)), errc::corrupt);
  EXPECT_EQ(code_of(read(t.blob, 0, 2 * mib)), errc::corrupt);
  EXPECT_EQ(read(t.blob, 0, mib)->view(), std::string_view{bytes}.substr(0, mib));
  EXPECT_EQ(read(t.blob, 2 * mib, mib)->view(), std::string_view{bytes}.substr(2 * mib, mib));
}

}  // namespace latham::testing
