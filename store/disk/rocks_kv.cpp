#include "store/disk/rocks_kv.hpp"

#include "core/assert.hpp"
#include "core/codec.hpp"
#include "store/disk/thread_pool.hpp"
#include "store/memory_kv.hpp"

#include <pthread.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <mutex>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace latham::store {

namespace {

/// Version of the key schema as a whole. Single records carry their own.
struct database_format {
  static constexpr std::uint8_t record_format = 1;
  std::uint32_t number = 1;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, database_format& x) {
  return f(x.number);
}
constexpr std::uint32_t format_number = 1;
const std::string format_key{"\0format", 7};  // callers' keys never start with a zero byte

/// RocksDB has no code for it. What it says begins with one of these, before any path.
bool is_locked_by_another(const rocksdb::Status& status) {
  const std::string_view why{status.getState() == nullptr ? "" : status.getState()};
  // The system's word for it, among others that a lock can fail with.
  const bool taken = why.ends_with(std::generic_category().message(EAGAIN)) || why.ends_with(std::generic_category().message(EACCES));
  return status.IsIOError() && ((why.starts_with("While lock file: ") && taken) || why.starts_with("lock hold by current process"));
}

error from_status(const rocksdb::Status& status, const char* what) {
  auto code = errc::io;
  if (status.IsNoSpace()) {
    code = errc::disk_full;
  } else if (status.IsCorruption()) {
    code = errc::corrupt;
  } else if (status.IsBusy() || is_locked_by_another(status)) {
    code = errc::conflict;
  }
  return {code, std::string{what} + ": " + status.ToString()};
}

rocksdb::Options database_options(rocksdb::Env* env) {
  rocksdb::Options options;
  options.env = env;
  options.create_if_missing = true;
  options.paranoid_checks = true;
  options.track_and_verify_wals_in_manifest = true;  // a log file that vanished is noticed, not skipped
  options.write_buffer_size = 16 * mib;
  options.max_total_wal_size = 64 * mib;
  options.max_background_jobs = 2;
  options.max_open_files = 256;
  options.keep_log_file_num = 2;
  options.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  options.compression = rocksdb::kNoCompression;  // records are small; what is large is media, and not here
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  rocksdb::BlockBasedTableOptions table;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

}  // namespace

struct rocks_kv::core {
  struct waiting {
    ports::kv_batch batch;
    std::size_t bytes = 0;
    ports::completion<void> done;
  };

  explicit core(rocks_kv_options o)
    : options{std::move(o)}, reads{"kv-read", options.read_threads, options.reads_waiting_max} {}

  ~core() {
    {
      const std::lock_guard guard{mutex};
      closing = true;
    }
    changed.notify_all();
    if (writer.joinable()) writer.join();
    reads.stop();
    database.reset();
  }

  expected<void> start();
  void write_groups();
  [[nodiscard]] expected<void> write(const std::vector<waiting>& group);
  [[nodiscard]] bool has_space(std::size_t bytes) const;

  rocks_kv_options options;
  std::shared_ptr<rocksdb::FileSystem> files;  // shared with RocksDB
  std::unique_ptr<rocksdb::Env> environment;  // outlives the database
  std::unique_ptr<rocksdb::DB> database;
  thread_pool reads;
  std::thread writer;

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<waiting> commits;
  std::size_t bytes_waiting = 0;
  std::uint64_t taken = 0;  // commits, in all
  std::uint64_t ended = 0;  // of them: completed
  std::deque<std::pair<std::uint64_t, ports::completion<void>>> barriers;  // in order; each waits until so many have ended
  bool closing = false;
  error failure;  // once set, for ever

  std::atomic<std::uint64_t> commits_done{0};
  std::atomic<std::uint64_t> groups_done{0};
};

expected<void> rocks_kv::core::start() {
  files = options.files ? options.files : rocksdb::FileSystem::Default();
  environment = rocksdb::NewCompositeEnv(files);
  rocksdb::DB* opened = nullptr;
  // RocksDB syncs what is in its directory, but not the directory's own name.
  const auto parent = std::filesystem::path{options.directory}.parent_path().string();
  if (auto status = environment->CreateDirIfMissing(options.directory); !status.ok())
    return from_status(status, "make the database directory");
  if (!parent.empty() && !options.no_sync[static_cast<std::size_t>(sync_point::kv_parent_directory)]) {
    std::unique_ptr<rocksdb::FSDirectory> directory;
    rocksdb::IOStatus status = files->NewDirectory(parent, {}, &directory, nullptr);
    if (status.ok()) status = directory->Fsync({}, nullptr);
    if (!status.ok()) return from_status(status, "sync the database's parent directory");
  }
  if (auto status = rocksdb::DB::Open(database_options(environment.get()), options.directory, &opened); !status.ok()) {
    auto why = from_status(status, "open the database");
    if (why.code == errc::conflict) why.message = "another process uses it; end that one, or give this one a data directory of its own (" + status.ToString() + ")";
    return why;
  }
  database.reset(opened);

  std::string stored;
  auto status = database->Get({}, format_key, &stored);
  if (status.IsNotFound()) {
    rocksdb::WriteOptions how;
    how.sync = true;
    status = database->Put(how, format_key, to_record(database_format{format_number}));
    if (!status.ok()) return from_status(status, "write the database's format");
  } else if (!status.ok()) {
    return from_status(status, "read the database's format");
  } else {
    auto format = from_record<database_format>(stored);
    if (!format) return std::move(format).error();
    if (format->number > format_number)
      return {errc::newer_format, "the database was written by a newer version of latham (format " + std::to_string(format->number) +
                                    ", this one knows " + std::to_string(format_number) + "): upgrade this node or restore a backup"};
  }
  writer = std::thread{[this] { write_groups(); }};
  return {};
}

void rocks_kv::core::write_groups() {
  pthread_setname_np(pthread_self(), "kv-write");
  for (;;) {
    std::vector<waiting> group;
    error failed;
    {
      std::unique_lock guard{mutex};
      changed.wait(guard, [this] { return closing || !commits.empty(); });
      if (commits.empty()) return;
      for (std::size_t bytes = 0; !commits.empty() && group.size() < options.group_commits_max;) {
        bytes += commits.front().bytes;
        if (!group.empty() && bytes > options.group_bytes_max) break;
        group.push_back(std::move(commits.front()));
        commits.pop_front();
      }
      failed = failure;
    }
    auto result = failed.code == errc::none ? write(group) : expected<void>{failed};
    std::size_t released = 0;
    for (const auto& commit : group) released += commit.bytes;
    {
      const std::lock_guard guard{mutex};
      bytes_waiting -= released;
      if (!result && result.error().code != errc::disk_full && failure.code == errc::none)
        failure = {errc::io, "the store failed and must be restarted: " + result.error().message};
    }
    groups_done.fetch_add(1, std::memory_order_relaxed);
    commits_done.fetch_add(group.size(), std::memory_order_relaxed);
    for (auto& commit : group) commit.done(result);
    std::vector<ports::completion<void>> passed;
    {
      const std::lock_guard guard{mutex};
      ended += group.size();
      for (; !barriers.empty() && barriers.front().first <= ended; barriers.pop_front()) passed.push_back(std::move(barriers.front().second));
    }
    for (auto& done : passed) done({});
  }
}

expected<void> rocks_kv::core::write(const std::vector<waiting>& group) {
  std::size_t bytes = 0;
  for (const auto& commit : group) bytes += commit.bytes;
  if (!has_space(bytes)) return {errc::disk_full, "no space for records: delete something or add a disk"};
  rocksdb::WriteBatch batch;
  for (const auto& commit : group) {
    for (const auto& write : commit.batch) {
      if (write.value) {
        batch.Put(write.key, *write.value);
      } else {
        batch.Delete(write.key);
      }
    }
  }
  rocksdb::WriteOptions how;
  how.sync = !options.no_sync[static_cast<std::size_t>(sync_point::kv_log)];
  if (const auto status = database->Write(how, &batch); !status.ok()) {
    auto failed = from_status(status, "commit");
    failed.code = errc::io;  // also for a full disk: a log that could not be written leaves the database unusable
    return failed;
  }
  return {};
}

bool rocks_kv::core::has_space(std::size_t bytes) const {
  if (options.free_reserve_bytes == 0) return true;
  std::uint64_t available = 0;
  // A disk that cannot even tell is asked to write all the same, and says what is wrong.
  if (!files->GetFreeSpace(options.directory, {}, &available, nullptr).ok()) return true;
  return available >= options.free_reserve_bytes && available - options.free_reserve_bytes >= bytes;
}

rocks_kv::rocks_kv(std::unique_ptr<core> c) : core_{std::move(c)} {}
rocks_kv::~rocks_kv() = default;

expected<std::unique_ptr<rocks_kv>> rocks_kv::open(rocks_kv_options options) {
  auto made = std::make_unique<core>(std::move(options));
  if (auto started = made->start(); !started) return std::move(started).error();
  return std::unique_ptr<rocks_kv>{new rocks_kv{std::move(made)}};
}

void rocks_kv::commit(ports::kv_batch batch, ports::completion<void> done) {
  auto refused = check_batch(batch);
  const auto bytes = ports::bytes_of(batch);
  if (refused) {
    const std::lock_guard guard{core_->mutex};
    if (core_->failure.code != errc::none) {
      refused = core_->failure;
    } else {
      refused = check_room(bytes, {core_->commits.size(), core_->bytes_waiting}, {core_->options.commits_waiting_max, core_->options.bytes_waiting_max});
    }
    if (refused) {
      core_->bytes_waiting += bytes;
      core_->commits.push_back({std::move(batch), bytes, std::move(done)});
      ++core_->taken;
    }
  }
  if (refused) {
    core_->changed.notify_one();
    return;
  }
  core_->reads.post_always([done = std::move(done), refused] { done(refused); });
}

void rocks_kv::barrier(ports::completion<void> done) {
  {
    const std::lock_guard guard{core_->mutex};
    if (core_->ended < core_->taken) {
      core_->barriers.emplace_back(core_->taken, std::move(done));
      return;
    }
  }
  core_->reads.post_always([done = std::move(done)] { done({}); });
}

void rocks_kv::get(std::string key, ports::completion<std::optional<std::string>> done) {
  auto work = [c = core_.get(), key = std::move(key), done] {
    std::string value;
    const auto status = c->database->Get({}, key, &value);
    if (status.ok()) return done(std::optional<std::string>{std::move(value)});
    if (status.IsNotFound()) return done(std::optional<std::string>{});
    done(from_status(status, "get"));
  };
  if (core_->reads.post(std::move(work))) return;
  core_->reads.post_always([done = std::move(done)] { done(error{errc::limited, "too many reads are waiting for the disk"}); });
}

void rocks_kv::scan(std::string prefix, std::string after, std::uint32_t limit, ports::completion<ports::kv_pairs> done) {
  auto work = [c = core_.get(), prefix = std::move(prefix), after = std::move(after), limit, done] {
    if (limit == 0 || limit > kv_scan_max) return done(error{errc::invalid_argument, "a scan asks for 1 to 1000 pairs"});
    ports::kv_pairs found;
    const std::unique_ptr<rocksdb::Iterator> at{c->database->NewIterator({})};
    at->Seek(after < prefix ? prefix : after);
    if (at->Valid() && at->key() == after && !(after < prefix)) at->Next();
    // An empty prefix must not show the store's own keys.
    for (; at->Valid() && found.size() < limit && at->key().starts_with(prefix); at->Next()) {
      if (at->key().empty() || at->key()[0] != '\0') found.emplace_back(at->key().ToString(), at->value().ToString());
    }
    if (!at->status().ok()) return done(from_status(at->status(), "scan"));
    done(std::move(found));
  };
  if (core_->reads.post(std::move(work))) return;
  core_->reads.post_always([done = std::move(done)] { done(error{errc::limited, "too many reads are waiting for the disk"}); });
}

rocks_kv::counters rocks_kv::counted() const {
  return {core_->commits_done.load(std::memory_order_relaxed), core_->groups_done.load(std::memory_order_relaxed)};
}

}  // namespace latham::store
