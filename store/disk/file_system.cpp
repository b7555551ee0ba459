#include "store/disk/file_system.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

namespace latham::store {

namespace {

error last_error(const char* what) {
  const int number = errno;
  auto code = errc::io;
  switch (number) {
    case ENOSPC:
    case EDQUOT: code = errc::disk_full; break;
    case ENOENT: code = errc::not_found; break;
    case EMFILE:
    case ENFILE:
    case ENOMEM: code = errc::limited; break;
    default: break;
  }
  return {code, std::string{what} + ": " + std::strerror(number)};
}

class descriptor {
public:
  explicit descriptor(int fd) noexcept : fd_{fd} {}
  ~descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  descriptor(descriptor&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
  descriptor& operator=(descriptor&&) = delete;
  [[nodiscard]] int get() const noexcept { return fd_; }

private:
  int fd_;
};

class posix_file final : public disk_file {
public:
  explicit posix_file(descriptor fd) : fd_{std::move(fd)} {}

  expected<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> out) const override {
    std::size_t have = 0;
    while (have < out.size()) {
      const auto n = ::pread(fd_.get(), out.data() + have, out.size() - have, static_cast<off_t>(offset + have));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return last_error("read a blob file");
      if (n == 0) break;
      have += static_cast<std::size_t>(n);
    }
    return have;
  }

  expected<void> write_at(std::uint64_t offset, std::span<const std::span<const std::uint8_t>> parts) override {
    std::array<iovec, 64> vector{};
    std::size_t part = 0;
    std::size_t within = 0;
    while (part < parts.size()) {
      int count = 0;
      for (auto i = part; i < parts.size() && count < static_cast<int>(vector.size()); ++i, ++count) {
        const auto skip = i == part ? within : 0;
        vector[static_cast<std::size_t>(count)] = {const_cast<std::uint8_t*>(parts[i].data()) + skip, parts[i].size() - skip};
      }
      auto n = ::pwritev(fd_.get(), vector.data(), count, static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return last_error("write a blob file");
      offset += static_cast<std::uint64_t>(n);
      for (auto left = static_cast<std::size_t>(n); left > 0;) {
        const auto step = std::min(left, parts[part].size() - within);
        within += step;
        left -= step;
        if (within == parts[part].size()) {
          ++part;
          within = 0;
        }
      }
      while (part < parts.size() && parts[part].empty()) ++part;
    }
    return {};
  }

  expected<void> sync_data() override {
    if (::fdatasync(fd_.get()) != 0) return last_error("sync a blob file");
    return {};
  }
  expected<void> truncate(std::uint64_t bytes) override {
    if (::ftruncate(fd_.get(), static_cast<off_t>(bytes)) != 0) return last_error("truncate a blob file");
    return {};
  }
  expected<std::uint64_t> size() const override {
    struct stat about {};
    if (::fstat(fd_.get(), &about) != 0) return last_error("look at a blob file");
    return static_cast<std::uint64_t>(about.st_size);
  }

private:
  descriptor fd_;
};

}  // namespace

expected<std::unique_ptr<disk_file>> posix_file_system::open(const std::string& path, open_mode mode) {
  const int flags = O_CLOEXEC | O_NOFOLLOW | (mode == open_mode::read ? O_RDONLY : O_RDWR | O_CREAT);
  descriptor fd{::open(path.c_str(), flags, 0640)};
  if (fd.get() < 0) return last_error("open a blob file");
  return std::unique_ptr<disk_file>{std::make_unique<posix_file>(std::move(fd))};
}

expected<void> posix_file_system::make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0750) != 0 && errno != EEXIST) return last_error("make a directory");
  return {};
}

expected<void> posix_file_system::sync_directory(const std::string& path) {
  const descriptor fd{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (fd.get() < 0) return last_error("open a directory");
  if (::fsync(fd.get()) != 0) return last_error("sync a directory");
  return {};
}

expected<void> posix_file_system::unlink(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return last_error("delete a blob file");
  return {};
}

expected<std::vector<std::string>> posix_file_system::list(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory{::opendir(path.c_str()), &::closedir};
  if (!directory) return last_error("list a directory");
  std::vector<std::string> names;
  errno = 0;
  while (const auto* entry = ::readdir(directory.get())) {
    const std::string_view name{entry->d_name};
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return last_error("list a directory");
  return names;
}

expected<std::uint64_t> posix_file_system::free_bytes(const std::string& path) {
  struct statvfs about {};
  if (::statvfs(path.c_str(), &about) != 0) return last_error("ask for free space");
  return static_cast<std::uint64_t>(about.f_bavail) * about.f_frsize;
}

}  // namespace latham::store
