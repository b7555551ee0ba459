// The simulated disk as the blob store sees it, and as RocksDB sees it.
#pragma once

#include "store/disk/file_system.hpp"
#include "tests/support/simulated_disk.hpp"

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <cstdarg>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace latham::testing {

class simulated_files final : public store::file_system {
public:
  explicit simulated_files(simulated_disk& disk) : disk_{disk} {}

  expected<std::unique_ptr<store::disk_file>> open(const std::string& path, store::open_mode mode) override {
    auto node = disk_.open(path, mode == store::open_mode::create, false);
    if (!node) return std::move(node).error();
    return std::unique_ptr<store::disk_file>{std::make_unique<file>(disk_, std::move(*node))};
  }
  expected<void> make_directory(const std::string& path) override { return disk_.make_directory(path); }
  expected<void> sync_directory(const std::string& path) override { return disk_.sync_directory(path); }
  expected<void> unlink(const std::string& path) override {
    auto done = disk_.unlink(path);
    if (!done && done.error().code == errc::not_found) return {};
    return done;
  }
  expected<std::vector<std::string>> list(const std::string& path) override { return disk_.list(path); }
  expected<std::uint64_t> free_bytes(const std::string&) override { return disk_.free_bytes(); }

private:
  class file final : public store::disk_file {
  public:
    file(simulated_disk& disk, simulated_disk::node_ptr node) : disk_{disk}, node_{std::move(node)} {}
    expected<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> out) const override {
      return disk_.read(*node_, offset, out.data(), out.size());
    }
    expected<void> write_at(std::uint64_t offset, std::span<const std::span<const std::uint8_t>> parts) override {
      for (const auto& part : parts) {
        auto done = disk_.write(*node_, offset, {reinterpret_cast<const char*>(part.data()), part.size()});
        if (!done) return done;
        offset += part.size();
      }
      return {};
    }
    expected<void> sync_data() override { return disk_.sync(*node_); }
    expected<void> truncate(std::uint64_t bytes) override { return disk_.truncate(*node_, bytes); }
    expected<std::uint64_t> size() const override { return disk_.size(*node_); }

  private:
    simulated_disk& disk_;
    const simulated_disk::node_ptr node_;
  };
  simulated_disk& disk_;
};

class simulated_rocks final : public rocksdb::FileSystemWrapper {
  using options = rocksdb::IOOptions;
  using debug = rocksdb::IODebugContext;
  using status = rocksdb::IOStatus;

public:
  explicit simulated_rocks(simulated_disk& disk) : FileSystemWrapper{rocksdb::FileSystem::Default()}, disk_{disk} {}
  const char* Name() const override { return "simulated"; }

  status NewSequentialFile(const std::string& path, const rocksdb::FileOptions&, std::unique_ptr<rocksdb::FSSequentialFile>* out,
                           debug*) override {
    return open(path, false, false, out);
  }
  status NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions&, std::unique_ptr<rocksdb::FSRandomAccessFile>* out,
                             debug*) override {
    return open(path, false, false, out);
  }
  status NewWritableFile(const std::string& path, const rocksdb::FileOptions&, std::unique_ptr<rocksdb::FSWritableFile>* out,
                         debug*) override {
    return open(path, true, true, out);
  }
  status ReopenWritableFile(const std::string& path, const rocksdb::FileOptions&, std::unique_ptr<rocksdb::FSWritableFile>* out,
                            debug*) override {
    return open(path, true, false, out);
  }
  status ReuseWritableFile(const std::string& path, const std::string& old, const rocksdb::FileOptions&,
                           std::unique_ptr<rocksdb::FSWritableFile>* out, debug*) override {
    if (auto done = disk_.rename(old, path); !done) return translate(done);
    return open(path, true, true, out);
  }
  status NewRandomRWFile(const std::string&, const rocksdb::FileOptions&, std::unique_ptr<rocksdb::FSRandomRWFile>*, debug*) override {
    return status::NotSupported("simulated");
  }
  status NewMemoryMappedFileBuffer(const std::string&, std::unique_ptr<rocksdb::MemoryMappedFileBuffer>*) override {
    return status::NotSupported("simulated");
  }
  status NewDirectory(const std::string& path, const options&, std::unique_ptr<rocksdb::FSDirectory>* out, debug*) override {
    auto found = disk_.find(path);
    if (!found) return translate(found);
    *out = std::make_unique<directory>(disk_, path);
    return status::OK();
  }
  status FileExists(const std::string& path, const options&, debug*) override {
    auto found = disk_.find(path);
    return !found && found.error().code == errc::not_found ? status::NotFound() : translate(found);
  }
  status GetChildren(const std::string& path, const options&, std::vector<std::string>* out, debug*) override {
    auto names = disk_.list(path);
    if (!names) return translate(names);
    *out = std::move(*names);
    return status::OK();
  }
  status DeleteFile(const std::string& path, const options&, debug*) override { return translate(disk_.unlink(path)); }
  status CreateDir(const std::string& path, const options&, debug*) override { return translate(disk_.make_directory(path)); }
  status CreateDirIfMissing(const std::string& path, const options&, debug*) override { return translate(disk_.make_directory(path)); }
  status DeleteDir(const std::string& path, const options&, debug*) override { return translate(disk_.unlink(path)); }
  status GetFileSize(const std::string& path, const options&, std::uint64_t* out, debug*) override {
    auto found = disk_.find(path);
    if (!found) return translate(found);
    auto size = disk_.size(**found);
    if (size) *out = *size;
    return translate(size);
  }
  status GetFileModificationTime(const std::string&, const options&, std::uint64_t* out, debug*) override {
    *out = 0;
    return status::OK();
  }
  status RenameFile(const std::string& from, const std::string& to, const options&, debug*) override {
    return translate(disk_.rename(from, to));
  }
  status LinkFile(const std::string&, const std::string&, const options&, debug*) override { return status::NotSupported("simulated"); }
  status LockFile(const std::string& path, const options&, rocksdb::FileLock** out, debug*) override {
    const std::lock_guard guard{mutex_};
    if (!locked_.insert(path).second) return status::IOError("lock hold by current process: " + path);
    *out = new file_lock{path};
    return status::OK();
  }
  status UnlockFile(rocksdb::FileLock* lock, const options&, debug*) override {
    const std::lock_guard guard{mutex_};
    const std::unique_ptr<file_lock> owned{static_cast<file_lock*>(lock)};
    locked_.erase(owned->path);
    return status::OK();
  }
  status NewLogger(const std::string&, const options&, std::shared_ptr<rocksdb::Logger>* out, debug*) override {
    *out = std::make_shared<silent_logger>();
    return status::OK();
  }
  status GetAbsolutePath(const std::string& path, const options&, std::string* out, debug*) override {
    *out = path;
    return status::OK();
  }
  status IsDirectory(const std::string& path, const options&, bool* out, debug*) override {
    auto found = disk_.find(path);
    if (found) *out = (*found)->directory;
    return translate(found);
  }
  status GetFreeSpace(const std::string&, const options&, std::uint64_t* out, debug*) override {
    const auto free = disk_.free_bytes();
    if (free) *out = *free;
    return translate(free);
  }

private:
  struct silent_logger final : rocksdb::Logger {
    using Logger::Logv;
    void Logv(const char*, va_list) override {}
  };
  struct file_lock final : rocksdb::FileLock {
    explicit file_lock(std::string p) : path{std::move(p)} {}
    const std::string path;
  };

  template <class T>
  static status translate(const expected<T>& result) {
    if (result) return status::OK();
    switch (result.error().code) {
      case errc::not_found: return status::PathNotFound(result.error().message);
      case errc::disk_full: return status::NoSpace(result.error().message);
      default: return status::IOError(result.error().message);
    }
  }

  class sequential final : public rocksdb::FSSequentialFile {
  public:
    sequential(simulated_disk& disk, simulated_disk::node_ptr node) : disk_{disk}, node_{std::move(node)} {}
    status Read(std::size_t n, const options&, rocksdb::Slice* result, char* scratch, debug*) override {
      auto have = disk_.read(*node_, at_, reinterpret_cast<std::uint8_t*>(scratch), n);
      if (!have) return translate(have);
      at_ += *have;
      *result = {scratch, *have};
      return status::OK();
    }
    status Skip(std::uint64_t n) override {
      at_ += n;
      return status::OK();
    }

  private:
    simulated_disk& disk_;
    const simulated_disk::node_ptr node_;
    std::uint64_t at_ = 0;
  };
  class random_access final : public rocksdb::FSRandomAccessFile {
  public:
    random_access(simulated_disk& disk, simulated_disk::node_ptr node) : disk_{disk}, node_{std::move(node)} {}
    status Read(std::uint64_t offset, std::size_t n, const options&, rocksdb::Slice* result, char* scratch, debug*) const override {
      auto have = disk_.read(*node_, offset, reinterpret_cast<std::uint8_t*>(scratch), n);
      if (!have) return translate(have);
      *result = {scratch, *have};
      return status::OK();
    }

  private:
    simulated_disk& disk_;
    const simulated_disk::node_ptr node_;
  };
  class writable final : public rocksdb::FSWritableFile {
  public:
    writable(simulated_disk& disk, simulated_disk::node_ptr node) : disk_{disk}, node_{std::move(node)} {}
    using FSWritableFile::Append;
    status Append(const rocksdb::Slice& data, const options&, debug*) override {
      return translate(disk_.append(*node_, {data.data(), data.size()}));
    }
    status Truncate(std::uint64_t size, const options&, debug*) override { return translate(disk_.truncate(*node_, size)); }
    status Close(const options&, debug*) override { return status::OK(); }
    status Flush(const options&, debug*) override { return status::OK(); }
    status Sync(const options&, debug*) override { return translate(disk_.sync(*node_)); }
    status Fsync(const options&, debug*) override { return translate(disk_.sync(*node_)); }
    bool IsSyncThreadSafe() const override { return true; }
    std::uint64_t GetFileSize(const options&, debug*) override {
      const auto size = disk_.size(*node_);
      return size ? *size : 0;
    }

  private:
    simulated_disk& disk_;
    const simulated_disk::node_ptr node_;
  };
  class directory final : public rocksdb::FSDirectory {
  public:
    directory(simulated_disk& disk, std::string path) : disk_{disk}, path_{std::move(path)} {}
    status Fsync(const options&, debug*) override { return translate(disk_.sync_directory(path_)); }
    status Close(const options&, debug*) override { return status::OK(); }

  private:
    simulated_disk& disk_;
    const std::string path_;
  };

  template <class Base>
  status open(const std::string& path, bool create, bool empty, std::unique_ptr<Base>* out) {
    auto node = disk_.open(path, create, empty);
    if (!node) return translate(node);
    if constexpr (std::is_same_v<Base, rocksdb::FSSequentialFile>) *out = std::make_unique<sequential>(disk_, std::move(*node));
    if constexpr (std::is_same_v<Base, rocksdb::FSRandomAccessFile>) *out = std::make_unique<random_access>(disk_, std::move(*node));
    if constexpr (std::is_same_v<Base, rocksdb::FSWritableFile>) *out = std::make_unique<writable>(disk_, std::move(*node));
    return status::OK();
  }

  simulated_disk& disk_;
  std::mutex mutex_;
  std::set<std::string> locked_;
};

}  // namespace latham::testing
