// ports::blob_store of another node, over one data stream. Connects when first called, keeps the stream while it is used,
// connects again (with back-off) after it was lost.
//
// A stream that dies takes every call with it that was sent or waits: they fail with errc::unavailable at once, because
// later appends make no sense without the earlier ones, and the caller resumes by open_write. A call that gets no answer
// within its deadline fails with errc::timeout and ends the stream too: a peer that is stuck is no better than one that is
// gone. Credit bounds what is under way, so a call may wait here; too many waiting fail with errc::limited.
#pragma once

#include "core/ids.hpp"
#include "core/ports/blob_store.hpp"
#include "core/ports/random.hpp"
#include "core/ports/resolver.hpp"
#include "net/dialer.hpp"
#include "net/loop.hpp"

#include <cstddef>
#include <memory>

namespace latham::net {

struct blob_client_options {
  std::size_t requests_under_way_max = 16;
  std::size_t bytes_under_way_max = 8 * 1024 * 1024;
  std::size_t requests_waiting_max = 256;
  std::size_t bytes_waiting_max = 64 * 1024 * 1024;
  milliseconds request_deadline{10'000};   // from the call, waiting included
  milliseconds idle_max{30'000};           // then the stream is closed; below the server's limit
  milliseconds back_off_first{100};        // doubles, with jitter, up to:
  milliseconds back_off_max{5'000};
  bool own_copies = false;                 // asks for the node's own copies alone: see own_bit
};

/// What a client needs of its node; all outlive it.
struct blob_client_context {
  loop& where;
  ports::resolver& resolver;
  address_lookup& lookup;
  ports::random& chance;
  dialer_options dialing;
};

class blob_client final : public ports::blob_store {
public:
  blob_client(blob_client_context context, node_name node, blob_client_options options = {});
  /// Every call that is under way fails with errc::unavailable.
  ~blob_client() override;

  // Each as in the port, and further: unavailable, timeout, limited, corrupt (the stream's checksum). A name that nobody
  // configured is not_found. After the loop has stopped completions come at once, from the caller's thread.
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

private:
  struct state;
  std::shared_ptr<state> state_;  // shared with closures on the loop
};

}  // namespace latham::net
