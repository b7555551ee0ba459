// What every keeper of blobs does beyond the port that the network knows: ports::own_blobs on files, on the memory twin and
// on a model of an S3-like service.
#include "core/digest.hpp"
#include "core/ports/own_blobs.hpp"
#include "store/disk/file_blobs.hpp"
#include "store/disk/thread_pool.hpp"
#include "store/memory_blobs.hpp"
#include "store/memory_kv.hpp"
#include "tests/support/await.hpp"
#include "tests/support/s3_model_blobs.hpp"
#include "tests/support/scratch_directory.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace latham::testing {

namespace {

class keeper {
public:
  virtual ~keeper() = default;
  [[nodiscard]] virtual ports::own_blobs& blobs() = 0;
  /// Flips a stored bit, without the store's knowledge.
  virtual void damage(blob_id blob, std::uint64_t offset) = 0;
  /// False where a reader is not told of damage.
  [[nodiscard]] virtual bool notices() const { return true; }
};

class file_keeper final : public keeper {
public:
  file_keeper() {
    store::file_blobs_options options;
    options.directory = directory_ / "blobs";
    options.free_reserve_bytes = 0;
    blobs_ = std::move(*store::file_blobs::open(options, index_, files_));
  }
  ~file_keeper() override {
    blobs_.reset();
    thread_.stop();
  }
  ports::own_blobs& blobs() override { return *blobs_; }
  void damage(blob_id blob, std::uint64_t offset) override {
    std::fstream file{path(blob), std::ios::in | std::ios::out | std::ios::binary};
    file.seekg(static_cast<std::streamoff>(offset));
    const auto byte = static_cast<char>(file.get() ^ 1);
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(byte);
  }
  [[nodiscard]] std::string path(blob_id blob) const { return directory_ / "blobs/" + store::file_blobs::relative_path(blob); }

private:
  scratch_directory directory_;
  store::thread_pool thread_{"later", 1, 1'000'000};
  store::memory_kv index_{[this](std::function<void()> work) { thread_.post_always(std::move(work)); }};
  store::posix_file_system files_;
  std::unique_ptr<store::file_blobs> blobs_;
};

class memory_keeper final : public keeper {
public:
  ~memory_keeper() override { thread_.stop(); }
  ports::own_blobs& blobs() override { return blobs_; }
  void damage(blob_id blob, std::uint64_t offset) override { ASSERT_TRUE(blobs_.rot(blob, offset)); }

private:
  store::thread_pool thread_{"later", 1, 1'000'000};
  store::memory_blobs blobs_{[this](std::function<void()> work) { thread_.post_always(std::move(work)); }};
};

class s3_keeper final : public keeper {
public:
  ~s3_keeper() override { thread_.stop(); }
  ports::own_blobs& blobs() override { return blobs_; }
  void damage(blob_id blob, std::uint64_t offset) override {
    auto& part = service_.objects().at("part/" + to_string(blob) + "/" + std::to_string(offset / s3_model_blobs::part_bytes));
    auto& byte = part[offset % s3_model_blobs::part_bytes];
    byte = static_cast<char>(byte ^ 1);
  }
  [[nodiscard]] bool notices() const override { return false; }

private:
  object_service service_;
  store::thread_pool thread_{"later", 1, 1'000'000};
  s3_model_blobs blobs_{service_, [this](std::function<void()> work) { thread_.post_always(std::move(work)); }, gib};
};

struct named_keeper {
  std::string name;
  std::function<std::unique_ptr<keeper>()> make;
};

class OwnBlobsContract : public ::testing::TestWithParam<named_keeper> {
protected:
  void SetUp() override { keeper_ = GetParam().make(); }
  ports::own_blobs& blobs() { return keeper_->blobs(); }
  ports::write_token token(std::uint64_t bytes_max) { return {{0x0123456789ab0000ull + ++ids_, 77 * ids_}, 7, bytes_max}; }
  static std::string pattern(std::size_t bytes) {
    std::string out(bytes, '\0');
    for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<char>(i * 31 + (i >> 8) + (i >> 16));
    return out;
  }
  void write(ports::write_token t, const std::string& bytes) {
    ASSERT_EQ(code_of(await<void>([&](auto done) { blobs().reserve(t, done); })), errc::none);
    for (std::size_t at = 0; at < bytes.size(); at += mib) {
      const auto part = bytes.substr(at, mib);
      ASSERT_EQ(code_of(await<std::uint64_t>([&](auto done) { blobs().append(t, at, buffer{part}, crc32c(part), done); })), errc::none);
    }
  }
  void seal(ports::write_token t, std::size_t bytes) {
    ASSERT_EQ(code_of(await<ports::blob_stat>([&](auto done) { blobs().seal(t, bytes, done); })), errc::none);
  }
  ports::blob_look look(blob_id b) { return *await<ports::blob_look>([&](auto done) { blobs().look(b, done); }); }
  errc drop(blob_id b) { return code_of(await<void>([&](auto done) { blobs().drop(b, done); })); }
  errc mend(blob_id b, std::uint64_t at, std::string bytes) {
    return code_of(await<void>([&](auto done) { blobs().mend(b, at, buffer{std::move(bytes)}, done); }));
  }
  expected<buffer> read(blob_id b, std::uint64_t at, std::uint32_t bytes) {
    return await<buffer>([&](auto done) { blobs().read(b, at, bytes, done); });
  }

  std::unique_ptr<keeper> keeper_;
  std::uint64_t ids_ = 0;
};

}  // namespace

TEST_P(OwnBlobsContract, ALookTellsWhatAStatDoesNot) {
  const auto t = token(100);
  EXPECT_EQ(look(t.blob).presence, ports::blob_presence::missing);
  write(t, "hello");
  EXPECT_EQ(look(t.blob).presence, ports::blob_presence::open);
  seal(t, 5);
  const auto sealed = look(t.blob);
  EXPECT_EQ(sealed.presence, ports::blob_presence::sealed);
  EXPECT_EQ(sealed.about, *await<ports::blob_stat>([&](auto done) { blobs().stat(t.blob, done); }));
  ASSERT_TRUE(await<void>([&](auto done) { blobs().remove(t.blob, done); }));
  EXPECT_EQ(look(t.blob).presence, ports::blob_presence::dead);
}

TEST_P(OwnBlobsContract, ALookAtManyIsAsOneAtEach) {
  std::vector<blob_id> ids;
  for (int i = 0; i < 3; ++i) {
    const auto t = token(100);
    ids.push_back(t.blob);
    if (i == 0) continue;
    write(t, "hello");
    if (i == 2) seal(t, 5);
  }
  const auto looks = await<std::vector<ports::blob_look>>([&](auto done) { blobs().look_all(ids, done); });
  ASSERT_TRUE(looks);
  ASSERT_EQ(looks->size(), ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) EXPECT_EQ((*looks)[i], look(ids[i]));
  EXPECT_TRUE(await<std::vector<ports::blob_look>>([&](auto done) { blobs().look_all({}, done); })->empty());
}

TEST_P(OwnBlobsContract, ACheckOfManyTellsWhichIsDamaged) {
  std::vector<ports::write_token> tokens;
  std::vector<blob_id> ids;
  for (int i = 0; i < 4; ++i) {
    const auto t = token(mib);
    tokens.push_back(t);
    ids.push_back(t.blob);
    if (i == 0) continue;  // never here
    write(t, pattern(1'000));
    seal(t, 1'000);
  }
  ASSERT_TRUE(await<void>([&](auto done) { blobs().remove(ids[3], done); }));
  const auto check = [&] { return *await<std::vector<errc>>([&](auto done) { blobs().check_all(ids, done); }); };
  EXPECT_EQ(check(), (std::vector{errc::not_found, errc::none, errc::none, errc::not_found}));
  keeper_->damage(ids[2], 700);
  if (keeper_->notices()) { EXPECT_EQ(check(), (std::vector{errc::not_found, errc::none, errc::corrupt, errc::not_found})); }
  EXPECT_EQ(mend(ids[2], 0, pattern(1'000)), errc::none);
  EXPECT_EQ(check(), (std::vector{errc::not_found, errc::none, errc::none, errc::not_found}));
  EXPECT_TRUE(await<std::vector<errc>>([&](auto done) { blobs().check_all({}, done); })->empty());
}

TEST_P(OwnBlobsContract, ACopyGivenUpLeavesNoTraceAndMayBeMadeAgain) {
  const auto t = token(3 * mib);
  const auto bytes = pattern(2 * mib + 5);
  EXPECT_EQ(drop(t.blob), errc::none);
  for (int again = 0; again < 2; ++again) {
    write(t, bytes);
    if (again == 1) seal(t, bytes.size());
    EXPECT_EQ(drop(t.blob), errc::none);
    EXPECT_EQ(look(t.blob).presence, ports::blob_presence::missing);
    EXPECT_EQ(code_of(read(t.blob, 0, 1)), errc::not_found);
  }
  write(t, bytes);
  seal(t, bytes.size());
  EXPECT_EQ(read(t.blob, 2 * mib, 100)->view(), std::string_view{bytes}.substr(2 * mib));
}

TEST_P(OwnBlobsContract, ATombstoneIsNotGivenUp) {
  const auto t = token(10);
  write(t, "x");
  ASSERT_TRUE(await<void>([&](auto done) { blobs().remove(t.blob, done); }));
  EXPECT_EQ(drop(t.blob), errc::conflict);
  EXPECT_EQ(code_of(await<void>([&](auto done) { blobs().reserve(t, done); })), errc::conflict);
}

TEST_P(OwnBlobsContract, ADamagedBlockBecomesWholeByTheRightBytesOnly) {
  const auto t = token(4 * mib);
  const auto bytes = pattern(2 * mib + 12345);
  write(t, bytes);
  EXPECT_EQ(mend(t.blob, 0, bytes.substr(0, mib)), errc::conflict);
  seal(t, bytes.size());
  for (const std::uint64_t block : {0ull, 1ull, 2ull}) {
    const auto at = block * mib;
    const auto right = bytes.substr(at, mib);
    keeper_->damage(t.blob, at + 700);
    if (keeper_->notices()) { EXPECT_EQ(code_of(read(t.blob, at, 1)), errc::corrupt); }
    auto wrong = right;
    wrong[3] = static_cast<char>(wrong[3] ^ 4);
    EXPECT_EQ(mend(t.blob, at, wrong), errc::corrupt);
    EXPECT_EQ(mend(t.blob, at, right.substr(1)), errc::invalid_argument);
    EXPECT_EQ(mend(t.blob, at, right), errc::none);
    EXPECT_EQ(read(t.blob, at, mib)->view(), right);
  }
  EXPECT_EQ(mend(t.blob, 3 * mib, "x"), errc::invalid_argument);
  EXPECT_EQ(mend(t.blob, 100, bytes.substr(100, mib)), errc::invalid_argument);
  EXPECT_EQ(mend(token(1).blob, 0, "x"), errc::not_found);
  EXPECT_EQ(look(t.blob).about.digest, blob_digest({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}));
}

INSTANTIATE_TEST_SUITE_P(Keepers, OwnBlobsContract,
                         ::testing::Values(named_keeper{"Files", [] { return std::make_unique<file_keeper>(); }},
                                           named_keeper{"Memory", [] { return std::make_unique<memory_keeper>(); }},
                                           named_keeper{"S3Model", [] { return std::make_unique<s3_keeper>(); }}),
                         [](const auto& about) { return about.param.name; });

TEST(OwnFiles, ABlobWhoseFileIsGoneIsMendedBlockByBlock) {
  file_keeper keeper;
  const ports::write_token t{{0x0123456789ab0000ull, 5}, 7, 2 * mib};
  const std::string bytes(mib + 10, 'q');
  ASSERT_TRUE(await<void>([&](auto done) { keeper.blobs().reserve(t, done); }));
  for (std::size_t at = 0; at < bytes.size(); at += mib) {
    const auto part = bytes.substr(at, mib);
    ASSERT_TRUE(await<std::uint64_t>([&](auto done) { keeper.blobs().append(t, at, buffer{part}, crc32c(part), done); }));
  }
  ASSERT_TRUE(await<ports::blob_stat>([&](auto done) { keeper.blobs().seal(t, bytes.size(), done); }));
  std::filesystem::remove(keeper.path(t.blob));
  const auto all = [&] { return await<buffer>([&](auto done) { keeper.blobs().read(t.blob, 0, ports::read_bytes_max, done); }); };
  EXPECT_EQ(code_of(all()), errc::corrupt);
  ASSERT_TRUE(await<void>([&](auto done) { keeper.blobs().mend(t.blob, mib, buffer{bytes.substr(mib)}, done); }));
  EXPECT_EQ(code_of(all()), errc::corrupt);
  ASSERT_TRUE(await<void>([&](auto done) { keeper.blobs().mend(t.blob, 0, buffer{bytes.substr(0, mib)}, done); }));
  EXPECT_EQ(all()->view(), bytes);
}

}  // namespace latham::testing
