// Power cuts, hundreds of them, each by a seed: a random workload of commits and blobs runs over one simulated disk that
// carries both RocksDB and the blob files; the power fails at a random operation of the disk; the stores start again over
// what is left. Everything that was acknowledged must be there, equal; of what was not, whole commits in order and nothing
// else. Up to three lives per seed, so that recovery itself is cut too.
//
// And the proof that the test can see: with any one of the sync points switched off it finds a loss.
#include "tests/integration/store/simulated_files.hpp"
#include "store/blob_record.hpp"
#include "store/disk/file_blobs.hpp"
#include "store/disk/rocks_kv.hpp"
#include "tests/support/await.hpp"

#include <gtest/gtest.h>

#include <array>
#include <condition_variable>
#include <map>
#include <mutex>
#include <random>
#include <sstream>

namespace latham::testing {
namespace {

/// Byte `at` of blob `blob` is always the same, so bytes that are cut and written again are equal.
std::string content(std::uint64_t blob, std::uint64_t from, std::uint64_t bytes) {
  std::string out(bytes, '\0');
  for (std::uint64_t i = 0; i < bytes; ++i) {
    auto x = (from + i + 1) * 0x9e3779b97f4a7c15ull ^ blob * 0xbf58476d1ce4e5b9ull;
    x ^= x >> 29;
    out[i] = static_cast<char>(x * 0x94d049bb133111ebull >> 56);
  }
  return out;
}

struct world {
  explicit world(std::uint64_t s) : seed{s}, chance{s} {
    // Parents of their own, so that no sync covers for another.
    (void)disk.make_directory("/data/kv");
    (void)disk.make_directory("/data/media");
    (void)disk.sync_directory("/data");
  }

  // ---- what we know about commits: number i writes two keys, atomically -------------------------------------------
  static ports::kv_batch commit_number(std::uint64_t i) {
    return {{"k/" + std::to_string(i % 10), std::to_string(i)},
            {"j/" + std::to_string(i % 7), std::to_string(i) + std::string(i % 500, 'v')}};
  }
  static std::map<std::string, std::string> state_after(std::uint64_t n) {
    std::map<std::string, std::string> state;
    for (std::uint64_t i = n > 20 ? n - 20 : 1; i <= n; ++i) {
      for (const auto& write : commit_number(i)) state[write.key] = *write.value;
    }
    return state;
  }
  std::uint64_t commits_issued = 0;
  std::uint64_t commits_acknowledged = 0;

  // ---- what we know about a blob ----------------------------------------------------------------------------------
  struct known_blob {
    ports::write_token token;
    bool reserved = false;      // acknowledged
    std::uint64_t floor = 0;    // at least this is durable
    std::uint64_t issued = 0;   // at most this was sent
    bool seal_issued = false, sealed = false;
    bool remove_issued = false, removed = false;
    std::string history;        // for the report of a violation
  };
  std::map<std::uint64_t, known_blob> blobs;  // by number
  std::uint64_t blobs_made = 0;

  static blob_id id_of(std::uint64_t number) { return {0x1000 + number, number * 0x9e3779b97f4a7c15ull}; }

  void violation(const std::string& what) {
    const std::lock_guard guard{mutex};
    std::ostringstream line;
    line << "seed " << seed << " life " << life << ": " << what;
    violations.push_back(line.str());
  }

  /// Waits until at most `max` calls are under way.
  void wait_below(std::size_t max) {
    std::unique_lock guard{mutex};
    if (!changed.wait_for(guard, answer_deadline, [&] { return under_way <= max; })) violations.push_back("a completion never came");
  }
  void begin() {
    const std::lock_guard guard{mutex};
    ++under_way;
  }
  template <class Work>
  void finish(Work work) {
    const std::lock_guard guard{mutex};
    work();
    --under_way;
    changed.notify_all();
  }

  bool start(const store::disabled_sync_points& no_sync) {
    store::rocks_kv_options kv_options;
    kv_options.directory = "/data/kv/index";
    kv_options.files = rocks;
    kv_options.no_sync = no_sync;
    auto opened = store::rocks_kv::open(kv_options);
    if (!opened) {
      if (!disk.off()) violation("the index does not open: " + opened.error().message);
      return false;
    }
    kv = std::move(*opened);
    store::file_blobs_options options;
    options.directory = "/data/media/blobs";
    options.write_threads = 2;
    options.read_threads = 1;
    options.no_sync = no_sync;
    auto store = store::file_blobs::open(options, *kv, files);
    if (!store) {
      if (!disk.off()) violation("the blobs do not open: " + store.error().message);
      return false;
    }
    store_ = std::move(*store);
    return true;
  }
  void stop() {
    store_.reset();
    kv.reset();
  }

  void issue_commit() {
    const auto number = ++commits_issued;
    begin();
    kv->commit(commit_number(number), [this, number](expected<void> r) {
      finish([&] {
        if (r) commits_acknowledged = std::max(commits_acknowledged, number);
      });
    });
  }
  void new_blob() {
    const auto number = ++blobs_made;
    auto& b = blobs[number];
    b.token = {id_of(number), chance(), 4 * mib};
    begin();
    store_->reserve(b.token, [this, &b](expected<void> r) { finish([&] { b.reserved = b.reserved || r.has_value(); }); });
  }
  void issue_append(std::uint64_t number, known_blob& b, std::uint64_t bytes) {
    const auto from = b.issued;
    auto piece = content(number, from, bytes);
    const auto crc = crc32c(piece);
    {
      const std::lock_guard guard{mutex};
      b.history += " append:" + std::to_string(from) + "+" + std::to_string(bytes);
    }
    b.issued += bytes;
    begin();
    store_->append(b.token, from, buffer{std::move(piece)}, crc, [this, &b](expected<std::uint64_t> r) {
      finish([&] {
        if (r) b.floor = std::max(b.floor, *r);
        b.history += r ? " ack:" + std::to_string(*r) : " nack:" + std::string{to_string(r.error().code)};
      });
    });
  }
  void issue_blob_step() {
    auto at = blobs.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(chance() % blobs.size()));
    const auto number = at->first;
    auto& b = at->second;
    if (b.remove_issued || b.seal_issued) return;
    const auto dice = chance() % 20;
    if (dice < 15) {
      const auto most = number % 5 == 0 ? 400'000 : 9'000;
      const auto bytes = 1 + chance() % static_cast<unsigned>(most);
      if (b.issued + bytes <= b.token.bytes_max) issue_append(number, b, bytes);
    } else if (dice < 17) {
      wait_below(0);
      const auto to = b.floor == 0 ? 0 : chance() % b.floor;
      b.floor = std::min(b.floor, to);
      b.history += " truncate:" + std::to_string(to);
      begin();
      store_->truncate(b.token, to, [this, to, &b](expected<void> r) {
        finish([&] {
          if (r) b.issued = to;
          b.history += r ? " cut" : " nocut:" + std::string{to_string(r.error().code)};
        });
      });
      wait_below(0);
    } else if (dice < 19) {
      wait_below(0);
      b.seal_issued = true;
      begin();
      store_->seal(b.token, b.issued, [this, &b](expected<ports::blob_stat> r) { finish([&] { b.sealed = r.has_value(); }); });
    } else {
      wait_below(0);
      b.remove_issued = true;
      begin();
      store_->remove(b.token.blob, [this, &b](expected<void> r) { finish([&] { b.removed = r.has_value(); }); });
    }
  }
  void work(std::size_t steps) {
    for (std::size_t i = 0; i < steps && !disk.off(); ++i) {
      if (chance() % 3 == 0) issue_commit();
      if (blobs.empty() || chance() % 12 == 0) new_blob();
      issue_blob_step();
      wait_below(6);
    }
    wait_below(0);
  }

  void check_commits() {
    std::map<std::string, std::string> found;
    for (const char* prefix : {"j/", "k/"}) {
      auto page = await<ports::kv_pairs>([&](auto done) { kv->scan(prefix, "", 1000, done); });
      if (!page) return violation("a scan fails: " + page.error().message);
      found.insert(page->begin(), page->end());
    }
    std::uint64_t last = 0;
    for (const auto& [key, value] : found) last = std::max<std::uint64_t>(last, std::stoull(value));
    if (last < commits_acknowledged)
      violation("commit " + std::to_string(commits_acknowledged) + " was acknowledged, " + std::to_string(last) + " is the last there");
    if (last > commits_issued) violation("a commit nobody made");
    if (found != state_after(last)) violation("the commits are not a prefix of whole ones");
    commits_issued = commits_acknowledged = last;
  }
  void check_blob(std::uint64_t number, known_blob& b) {
    const auto name = "blob " + std::to_string(number);
    const auto about = await<ports::blob_stat>([&](auto done) { store_->stat(b.token.blob, done); });
    if (!about) {
      if (about.error().code != errc::not_found) return violation(name + " has no stat: " + about.error().message);
      if (b.reserved && !b.remove_issued) violation(name + " was acknowledged and is gone");
      b.remove_issued = true;  // gone for good, as far as the workload is concerned
      return;
    }
    if (b.removed) return violation(name + " was deleted and is back");
    if (about->bytes < b.floor)
      violation(name + " lost bytes: " + std::to_string(b.floor) + " acknowledged, " + std::to_string(about->bytes) + " there");
    if (about->bytes > b.issued) violation(name + " has bytes nobody sent: " + std::to_string(about->bytes) + " of" + b.history);
    if (b.sealed && !about->sealed) violation(name + " lost its seal");
    if (about->sealed && !b.seal_issued) violation(name + " was sealed by nobody");
    const auto wanted = content(number, 0, about->bytes);
    if (about->sealed && about->digest != blob_digest({reinterpret_cast<const std::uint8_t*>(wanted.data()), wanted.size()}))
      violation(name + " has a wrong digest");
    for (std::uint64_t at = 0; at < about->bytes; at += ports::read_bytes_max) {
      const auto part = await<buffer>([&](auto done) { store_->read(b.token.blob, at, ports::read_bytes_max, done); });
      if (!part) return violation(name + " cannot be read: " + part.error().message);
      if (part->view() != std::string_view{wanted}.substr(at, ports::read_bytes_max))
        return violation(name + " reads back different bytes");
    }
    if (b.remove_issued) b.removed = false;
    b.remove_issued = false;
    b.reserved = true;
    b.seal_issued = b.sealed = about->sealed;
    b.floor = b.issued = about->bytes;
    b.history = " restart:" + std::to_string(about->bytes);
    if (about->sealed) return;
    const auto from = await<std::uint64_t>([&](auto done) { store_->open_write(b.token, done); });
    if (!from) return violation(name + " cannot be written again: " + from.error().message);
    if (*from != about->bytes) violation(name + " goes on elsewhere than it ends");
  }
  void check() {
    check_commits();
    for (auto& [number, b] : blobs) check_blob(number, b);
  }

  const std::uint64_t seed;
  std::mt19937_64 chance;
  int life = 0;
  simulated_disk disk;
  simulated_files files{disk};
  std::shared_ptr<simulated_rocks> rocks = std::make_shared<simulated_rocks>(disk);
  std::unique_ptr<store::rocks_kv> kv;
  std::unique_ptr<store::file_blobs> store_;

  std::mutex mutex;
  std::condition_variable changed;
  std::size_t under_way = 0;
  std::vector<std::string> violations;
};

/// What the cuts met: a test that meets nothing proves nothing.
struct tally {
  std::size_t cuts = 0;
  std::size_t cuts_in_start = 0;
  std::uint64_t commits = 0;  // acknowledged and checked after a cut
  std::uint64_t blob_bytes = 0;
  std::uint64_t blobs_sealed = 0;
  std::uint64_t bytes_cut = 0;  // torn tails that recovery found
};

/// Runs up to three lives; answers what was lost.
std::vector<std::string> cut_the_power(std::uint64_t seed, const store::disabled_sync_points& no_sync, tally& met) {
  world w{seed};
  for (w.life = 0; w.life < 3; ++w.life) {
    // One cut of four falls into the start-up, where recovery is.
    w.disk.cut_at(w.chance() % 4 == 0 ? 1 + w.chance() % 700 : 0);
    if (w.start(no_sync)) {
      if (w.life > 0 && !w.disk.off()) {
        w.disk.cut_at(0);
        w.check();
        if (!w.violations.empty()) break;
      }
      w.disk.cut_at(1 + w.chance() % 400);
      w.work(60);
    } else {
      ++met.cuts_in_start;
    }
    w.disk.cut_now();
    w.stop();
    ++met.cuts;
    w.disk.reboot(w.chance);
  }
  met.commits += w.commits_acknowledged;
  for (const auto& [number, b] : w.blobs) {
    met.blob_bytes += b.floor;
    met.blobs_sealed += b.sealed ? 1 : 0;
  }
  if (w.violations.empty() && w.start(no_sync)) {
    met.bytes_cut += w.store_->recovered().bytes_cut;
    w.check();
  }
  w.stop();
  return w.violations;
}

TEST(PowerCut, NothingAcknowledgedIsLost) {
  tally met;
  for (std::uint64_t seed = 1; met.cuts < 900; ++seed) {
    const auto lost = cut_the_power(seed, {}, met);
    for (const auto& line : lost) ADD_FAILURE() << line;
    if (!lost.empty()) break;
  }
  RecordProperty("cuts", static_cast<int>(met.cuts));
  RecordProperty("cuts_in_start", static_cast<int>(met.cuts_in_start));
  RecordProperty("commits", static_cast<int>(met.commits));
  RecordProperty("blob_bytes", static_cast<int>(met.blob_bytes));
  RecordProperty("blobs_sealed", static_cast<int>(met.blobs_sealed));
  RecordProperty("bytes_cut", static_cast<int>(met.bytes_cut));
  EXPECT_GT(met.cuts_in_start, 50u);
  EXPECT_LT(met.cuts_in_start, met.cuts / 3);
  EXPECT_GT(met.commits, 1000u);
  EXPECT_GT(met.blob_bytes, 10 * mib);
  EXPECT_GT(met.blobs_sealed, 50u);
  EXPECT_GT(met.bytes_cut, 0u);
}

class EverySync : public ::testing::TestWithParam<std::size_t> {};

TEST_P(EverySync, IsNeeded) {
  store::disabled_sync_points no_sync;
  no_sync.set(GetParam());
  tally met;
  std::vector<std::string> lost;
  for (std::uint64_t seed = 1; met.cuts < 300 && lost.empty(); ++seed) lost = cut_the_power(seed, no_sync, met);
  EXPECT_FALSE(lost.empty()) << "switching this sync off was not noticed in " << met.cuts << " power cuts";
  RecordProperty("cuts_until_found", static_cast<int>(met.cuts));
}

std::string name_of(const ::testing::TestParamInfo<std::size_t>& about) {
  constexpr std::array names = {"KvParentDirectory", "KvLog", "BlobRootDirectory", "BlobDirectory", "BlobData"};
  static_assert(names.size() == store::sync_points);
  return names[about.param];
}
INSTANTIATE_TEST_SUITE_P(PowerCut, EverySync, ::testing::Range(std::size_t{0}, store::sync_points), name_of);

}  // namespace
}  // namespace latham::testing
