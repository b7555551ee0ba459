// The memory twin of ports::blob_store, for tests and for the simulation. Same rules as the file store (they share
// store/blob_record.hpp), no thread, no clock: an operation takes effect and completes in one step, when the owner of time
// runs it. Operations on one blob happen in call order whatever the order of the closures; others may overtake.
//
// It can be made to fail as disks do: power cuts, a full disk, a rotten block.
#pragma once

#include "core/ports/own_blobs.hpp"
#include "store/blob_record.hpp"
#include "store/run_later.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace latham::store {

struct memory_blobs_options {
  std::uint64_t capacity_bytes = 1ull << 40;
  std::size_t operations_waiting_max = 4096;  // further ones fail with errc::limited
};

class memory_blobs final : public ports::own_blobs {
public:
  explicit memory_blobs(run_later later, memory_blobs_options options = {});
  ~memory_blobs() override;

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

  /// All blobs that are not dead, at once and past all trouble.
  [[nodiscard]] std::vector<ports::blob_stat> contents() const;

  /// What the store says that its blobs take, and what they do when all are looked at.
  [[nodiscard]] blob_space space() const;
  [[nodiscard]] blob_space space_counted() const;

  /// From now on; what was promised stays so.
  void set_capacity(std::uint64_t bytes);

  /// How many bytes of an append of so many reached the disk.
  using torn_at = std::function<std::uint64_t(std::uint64_t bytes)>;
  /// The power fails: nothing under way completes. Of each blob's waiting operations the first `survivors` had reached
  /// the disk all the same, and of the next, if it is an append, the first `torn` bytes: what is acknowledged is a prefix of
  /// what is durable, wherever that ends. Answers how many appends are torn. The object is the disk: use it again for the
  /// node's next life.
  std::size_t power_cut(std::size_t survivors = 0, const torn_at& torn = {});
  /// From now on operations that write fail with `code`; errc::none heals.
  void fail_writes(errc code);
  /// Flips a bit of the stored bytes; reads that touch its 1 MiB block fail with errc::corrupt. False when out of range.
  bool rot(blob_id blob, std::uint64_t offset);
  /// Blobs with a stored byte that is not the one that was written.
  [[nodiscard]] std::vector<blob_id> damaged() const;
  /// The tree digest of the bytes as they are stored now, whatever was recorded of them; of no bytes when there is no such blob.
  [[nodiscard]] sha256_digest digest_of_stored(blob_id blob) const;

private:
  struct state;
  std::shared_ptr<state> state_;  // shared with closures that may run after our destruction
};

}  // namespace latham::store
