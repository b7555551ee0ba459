// ports::blob_store that keeps copies: what a storage node of several answers for. The node that is asked to write is the
// blob's first home; what is durable in its own store goes on to the next members in placement order, and the writer is
// told once enough of them have it (core/upload/copy_session.hpp has the rules; here are the calls and the bytes).
// Reads come from the own store, else from the other members, homes first.
//
// Replicas are reached through `peer`, which answers another node's *own* blobs: such a call is neither copied on nor
// fetched from elsewhere, so copies cannot go round in circles.
//
// Nothing here is durable. A session that is lost with the process is begun again by the next call of its writer; what
// nobody asks for again is found by the repair (actors/storage/repair_actor).
//
// Any thread; completions come from threads of the stores, or inside the call that they answer. A lock guards the table and
// is never held while a store is called.
#pragma once

#include "core/cluster/placement.hpp"
#include "core/ports/blob_transport.hpp"
#include "core/ports/clock.hpp"
#include "core/ports/log_sink.hpp"
#include "core/ports/metrics.hpp"
#include "core/ports/own_blobs.hpp"

#include <functional>
#include <memory>

namespace latham::store {

struct replicated_blobs_options {
  std::size_t sessions_max = 4096;                       // the longest idle one makes room
  std::size_t bytes_kept_max = 256 * 1024 * 1024;        // of all sessions, for replicas; beyond it they are read back
  std::size_t bytes_kept_per_blob_max = 8 * 1024 * 1024;
  std::size_t removes_under_way_max = 4;                 // to one node: deletes come in thousands, and writes go the same way
  std::size_t removes_waiting_max = 64 * 1024;           // for one node; beyond it the repair tells it
  ports::metrics* metrics = nullptr;                     // these two outlive the store
  ports::log_sink* log = nullptr;
};

class replicated_blobs final : public ports::blob_store {
public:
  using peer_blobs = std::function<std::shared_ptr<ports::blob_store>(const node_name&)>;

  /// `own`, `clock` and what `peer` refers to outlive this object and every call that it makes.
  replicated_blobs(ports::own_blobs& own, peer_blobs peer, copy_rules rules, const ports::clock& clock, replicated_blobs_options options = {});
  /// Writers who wait are told that the node is stopping.
  ~replicated_blobs() override;

  // Each as in the port, and further: unavailable when too few members can be reached for the copies, or for a read of
  // what is not here.
  void reserve(ports::write_token token, ports::completion<void> done) override;
  void open_write(ports::write_token token, ports::completion<std::uint64_t> done) override;
  void append(ports::write_token token, std::uint64_t offset, buffer bytes, std::uint32_t crc,
              ports::completion<std::uint64_t> done) override;
  /// Needs every member: one that is away might come back with bytes that were cut off.
  void truncate(ports::write_token token, std::uint64_t bytes, ports::completion<void> done) override;
  void seal(ports::write_token token, std::uint64_t bytes, ports::completion<ports::blob_stat> done) override;
  void read(blob_id blob, std::uint64_t offset, std::uint32_t bytes, ports::completion<buffer> done) override;
  void stat(blob_id blob, ports::completion<ports::blob_stat> done) override;
  /// Everywhere that can be reached; the rest learns of it from the repair.
  void remove(blob_id blob, ports::completion<void> done) override;
  /// This node's own.
  void list(blob_id after, std::uint32_t limit, ports::completion<std::vector<ports::blob_stat>> done) override;

  /// Blobs that are being written here.
  [[nodiscard]] std::size_t sessions() const;

private:
  struct state;
  std::shared_ptr<state> state_;  // shared with completions of the stores
};

/// Where to read `blob` from, for who is no storage node: `first`, which is known to have had it and is asked last when it is
/// not there to stay, and the others, homes first.
[[nodiscard]] std::vector<std::shared_ptr<ports::blob_store>> stores_of(ports::blob_transport& transport, blob_id blob, const node_name& first, const copy_rules& rules);

/// Reads from the first of `stores` that has the bytes. A copy that is shorter than another (it was left behind while it was
/// written) does not pass for the whole. Fails with not_found only when all said so.
/// `before`: what a copy that was asked already failed with.
void read_first(std::vector<std::shared_ptr<ports::blob_store>> stores, blob_id blob, std::uint64_t offset, std::uint32_t bytes,
                ports::completion<buffer> done, error before = {errc::not_found, "no such blob"});

}  // namespace latham::store
