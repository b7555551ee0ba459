// The few things the blob store asks of a file system, as an interface, so that tests can cut the power, fill the disk and
// make it fail at any call. Blocking; used on the store's own threads only. RocksDB has an interface of its own for the
// same purpose; in tests one simulated disk stands under both.
#pragma once

#include "core/expected.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace latham::store {

/// An open file. Calls on one object come from one thread at a time, but for `read_at`. Errors: disk_full, io.
class disk_file {
public:
  virtual ~disk_file() = default;
  /// Fills `out` from `offset`; answers the bytes read, fewer only at the end of the file.
  [[nodiscard]] virtual expected<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> out) const = 0;
  /// Writes the parts one after the other from `offset`. After an error any part of them may be in the file.
  [[nodiscard]] virtual expected<void> write_at(std::uint64_t offset, std::span<const std::span<const std::uint8_t>> parts) = 0;
  /// Content and length are durable when it succeeds. After an error what is durable is unknown, and asking again proves
  /// nothing: the kernel reports a lost page once.
  [[nodiscard]] virtual expected<void> sync_data() = 0;
  [[nodiscard]] virtual expected<void> truncate(std::uint64_t bytes) = 0;
  [[nodiscard]] virtual expected<std::uint64_t> size() const = 0;
};

enum class open_mode : std::uint8_t {
  read,    // must exist
  create,  // for reading and writing; made when absent
};

class file_system {
public:
  virtual ~file_system() = default;
  /// Fails with not_found, limited (descriptors), disk_full, io.
  [[nodiscard]] virtual expected<std::unique_ptr<disk_file>> open(const std::string& path, open_mode mode) = 0;
  /// Succeeds when the directory is there already.
  [[nodiscard]] virtual expected<void> make_directory(const std::string& path) = 0;
  /// The names in the directory are durable when it succeeds.
  [[nodiscard]] virtual expected<void> sync_directory(const std::string& path) = 0;
  /// Succeeds when there is no such file.
  [[nodiscard]] virtual expected<void> unlink(const std::string& path) = 0;
  /// Names, not paths, in no order, without "." and "..".
  [[nodiscard]] virtual expected<std::vector<std::string>> list(const std::string& path) = 0;
  /// Bytes that may still be written to the file system that holds `path`.
  [[nodiscard]] virtual expected<std::uint64_t> free_bytes(const std::string& path) = 0;
};

/// The operating system's. Stateless; any thread.
class posix_file_system final : public file_system {
public:
  expected<std::unique_ptr<disk_file>> open(const std::string& path, open_mode mode) override;
  expected<void> make_directory(const std::string& path) override;
  expected<void> sync_directory(const std::string& path) override;
  expected<void> unlink(const std::string& path) override;
  expected<std::vector<std::string>> list(const std::string& path) override;
  expected<std::uint64_t> free_bytes(const std::string& path) override;
};

}  // namespace latham::store
