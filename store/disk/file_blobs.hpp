// ports::blob_store on files: one file per blob, an index of records in the node's kv store (store/blob_record.hpp).
//
//   <directory>/<2 hex digits>/<id>      the digits are the id's last byte, which is random: 256 directories of one size
//
// What makes an acknowledgement true, in this order: the file's bytes are synced (and the name of a new file, in its
// directory), then the index record with the new length is durable, then the answer leaves. So the index never counts a
// byte that is not on the disk, and whatever a file holds beyond its record is the rest of an unacknowledged write and is
// cut off. There is no temporary file and no rename: a blob exists when its record says so.
//
// Work on one blob happens in call order, one step at a time; appends that wait together become one write and one sync.
// Different blobs share a fixed number of threads. Reads have threads of their own, check every complete 1 MiB block
// against its digest, and never wait for writers.
//
// It must not: answer before the index is durable, load the index into memory (only blobs with work under way and a
// bounded number of open ones are there), or touch files on anybody else's thread.
#pragma once

#include "core/ports/own_blobs.hpp"
#include "core/ports/kv_store.hpp"
#include "store/disk/file_system.hpp"
#include "store/disk/sync_point.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace latham::store {

struct file_blobs_options {
  std::string directory;                           // made when absent; its parent must exist
  std::uint64_t capacity_bytes = 0;                // of all blobs and promises; 0: as much as the disk has
  std::uint64_t free_reserve_bytes = 1ull << 30;   // of the disk, never promised
  std::size_t write_threads = 4;
  std::size_t read_threads = 4;
  std::size_t appends_per_blob_max = 64;           // under way; more fail with errc::limited
  std::size_t operations_max = 4096;               // of all blobs, reads not counted
  std::size_t append_bytes_waiting_max = 256 * 1024 * 1024;
  std::size_t reads_waiting_max = 1024;
  std::size_t write_bytes_max = 8 * 1024 * 1024;   // appends of one blob that share a write and a sync
  std::size_t open_blobs_max = 1024;               // kept ready for the next append
  disabled_sync_points no_sync;                    // tests only
};

/// What start-up found and mended.
struct recovery_report {
  std::uint64_t blobs = 0;
  std::uint64_t blobs_open = 0;
  std::uint64_t bytes = 0;
  std::uint64_t bytes_cut = 0;              // unacknowledged tails
  std::uint64_t files_removed = 0;          // of dead, unknown or never acknowledged blobs
  std::uint64_t blobs_damaged = 0;          // file gone or shorter than its record: reads answer errc::corrupt
  std::vector<blob_id> damaged;             // the first 1000 of them
};

class file_blobs final : public ports::own_blobs {
public:
  /// Recovers and starts the threads; blocks, for start-up. `index` and `files` outlive the store. Fails with io,
  /// disk_full, corrupt (the index), newer_format.
  [[nodiscard]] static expected<std::unique_ptr<file_blobs>> open(file_blobs_options options, ports::kv_store& index, file_system& files);

  /// Finishes what is under way, then ends the threads. No completion comes after it.
  ~file_blobs() override;

  void reserve(ports::write_token token, ports::completion<void> done) override;
  void open_write(ports::write_token token, ports::completion<std::uint64_t> done) override;
  void append(ports::write_token token, std::uint64_t offset, buffer bytes, std::uint32_t crc,
              ports::completion<std::uint64_t> done) override;
  void truncate(ports::write_token token, std::uint64_t bytes, ports::completion<void> done) override;
  void seal(ports::write_token token, std::uint64_t bytes, ports::completion<ports::blob_stat> done) override;
  void read(blob_id blob, std::uint64_t offset, std::uint32_t bytes, ports::completion<buffer> done) override;
  void stat(blob_id blob, ports::completion<ports::blob_stat> done) override;
  void remove(blob_id blob, ports::completion<void> done) override;
  void list(blob_id after, std::uint32_t limit, ports::completion<std::vector<ports::blob_stat>> done) override;
  void look(blob_id blob, ports::completion<ports::blob_look> done) override;
  void look_all(std::vector<blob_id> blobs, ports::completion<std::vector<ports::blob_look>> done) override;
  void check_all(std::vector<blob_id> blobs, ports::completion<std::vector<errc>> done) override;
  void drop(blob_id blob, ports::completion<void> done) override;
  void mend(blob_id blob, std::uint64_t offset, buffer bytes, ports::completion<void> done) override;

  [[nodiscard]] const recovery_report& recovered() const noexcept;

  struct usage {
    std::uint64_t bytes = 0;           // held
    std::uint64_t bytes_promised = 0;  // reserved and not yet written
    std::uint64_t operations = 0;      // under way
  };
  [[nodiscard]] usage used() const;

  /// Where the blob's file is, relative to the store's directory; for tests and operators.
  [[nodiscard]] static std::string relative_path(blob_id blob);

  struct core;

private:
  explicit file_blobs(std::unique_ptr<core> c);
  std::unique_ptr<core> core_;
};

}  // namespace latham::store
