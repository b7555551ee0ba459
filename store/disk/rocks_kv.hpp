// ports::kv_store on RocksDB: where every record of a node lives.
//
// One writer thread takes all commits that are waiting, up to a limit, writes them as one batch with one fsync of the log,
// and completes them in call order. So a thousand actors that persist small decisions share the price of the disk
// (group commit), and nobody but this thread ever waits for it. Reads run on a small pool of their own.
//
// After an i/o error what is durable is unknown, so the store refuses all further commits until the node restarts and
// recovers from what really is on the disk. A disk that is nearly full is not such an error: the commit is refused before
// anything is written, and commits work again when there is space. The reserve exists because RocksDB does not survive a
// log that it could not write, and needs room for compaction.
//
// The database holds its own format number. A newer one is refused: an older program must not guess.
//
// It must not: call completions under a lock, block its callers, or show a type of RocksDB in its interface but the
// file system, which is a parameter so that tests can cut the power.
#pragma once

#include "core/ports/kv_store.hpp"
#include "store/disk/sync_point.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace rocksdb {
class FileSystem;
}

namespace latham::store {

struct rocks_kv_options {
  std::string directory;                          // made when absent; its parent must exist
  std::shared_ptr<rocksdb::FileSystem> files;     // nothing: the operating system's. Shared: RocksDB keeps it too
  std::size_t commits_waiting_max = 4096;         // more fail with errc::limited
  std::size_t bytes_waiting_max = 64 * 1024 * 1024;  // the same; one batch of more fails with errc::too_large
  std::size_t group_bytes_max = 4 * 1024 * 1024;  // written with one fsync
  std::size_t group_commits_max = 1024;
  std::uint64_t free_reserve_bytes = 64 * 1024 * 1024;  // of the disk; below it commits fail with errc::disk_full. 0: none
  std::size_t reads_waiting_max = 4096;
  std::size_t read_threads = 2;
  disabled_sync_points no_sync;                   // tests only
};

class rocks_kv final : public ports::kv_store {
public:
  /// Opens or makes the database and starts the threads; blocks, for start-up. Fails with newer_format (and the remedy),
  /// corrupt, io, conflict (another process has it open).
  [[nodiscard]] static expected<std::unique_ptr<rocks_kv>> open(rocks_kv_options options);

  /// Refuses new calls, finishes those under way, closes the database. No completion comes after it.
  ~rocks_kv() override;

  void commit(ports::kv_batch batch, ports::completion<void> done) override;
  void barrier(ports::completion<void> done) override;
  void get(std::string key, ports::completion<std::optional<std::string>> done) override;
  void scan(std::string prefix, std::string after, std::uint32_t limit, ports::completion<ports::kv_pairs> done) override;

  struct counters {
    std::uint64_t commits = 0;
    std::uint64_t groups = 0;  // fsyncs; commits / groups is what sharing them brings
  };
  [[nodiscard]] counters counted() const;

  struct core;  // in the .cpp: what the threads share

private:
  explicit rocks_kv(std::unique_ptr<core> c);
  std::unique_ptr<core> core_;
};

}  // namespace latham::store
