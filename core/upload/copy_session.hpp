// One blob while it is written: who gets a copy, what each of them has, and when the writer may be told that its bytes are
// safe. Pure: no store, no clock, no bytes. store/replicated_blobs makes the calls that it asks for.
//
// The first home, where this runs, is always ahead: a byte is durable in its own store before it is sent to a replica, and
// the same holds for the seal. So a replica's bytes are a prefix of the first home's, whoever lost power when, and catching
// up is an append from the length that the replica says it has. Writing everywhere at once would save one disk's latency
// and need a way to tell, after a power cut, which of two different tails was acknowledged.
//
// A replica that fails is dropped and the next member in placement order takes its part, from its first byte; it is tried
// again after `retry_after`, with what it has by then. When too few can be had, those who wait are told so at once.
//
// A replica of a blob that has no bytes yet has none either, nearly always: it is not asked. What it refuses because it has some
// all the same has changed nothing there; then what it has is cut, because nothing of ours can be there, and it is asked.
//
// A replica that has too much to do (errc::limited) has not failed, and dropping it would make its load everybody's failure:
// it is held, and what was refused is asked again once its node has answered something else, or after `retry_after`.
#pragma once

#include "core/cluster/placement.hpp"
#include "core/expected.hpp"
#include "core/ports/blob_store.hpp"
#include "core/units.hpp"

#include <optional>
#include <string>
#include <vector>

namespace latham {

/// To be done at one replica's own store. Its result comes back by `on_...` with the same replica and attempt.
struct copy_call {
  enum class kind : std::uint8_t { look, reserve, open, cut, send, seal };
  kind what = kind::look;
  std::size_t replica = 0;
  std::uint32_t attempt = 0;
  node_name node;
  std::uint64_t offset = 0;  // send
  std::uint64_t bytes = 0;   // send: how many; cut and seal: the length
  friend bool operator==(const copy_call&, const copy_call&) = default;
};

struct copy_actions {
  std::vector<copy_call> calls;                            // in this order
  std::vector<std::pair<std::uint64_t, expected<void>>> answers;  // ticket, and whether it is safe
  std::vector<std::pair<node_name, error>> dropped;        // replicas that failed
  std::vector<node_name> held;                             // replicas that wait for `on_room`
};

/// What a writer waits for, beyond its own store.
enum class copy_goal : std::uint8_t { reserved, length, sealed };

class copy_session {
public:
  static constexpr milliseconds retry_after{500};     // until a replica that failed or is held is asked again
  static constexpr milliseconds patience{5'000};      // of a writer: it is told to come again, and the copies go on
  static constexpr std::uint32_t sends_max = 4;       // under way to one replica
  static constexpr std::size_t waiting_max = 256;

  copy_session(blob_id blob, const copy_rules& rules);

  /// The own store holds `bytes` durably. Never shrinks while the session lives.
  void on_own(std::uint64_t bytes, instant now, copy_actions& out);
  /// The own store has sealed it.
  void on_own_sealed(const ports::blob_stat& about, instant now, copy_actions& out);
  /// Answers `ticket` once enough replicas have reached the goal: a promise of space, `bytes`, or the seal.
  void wait(std::uint64_t ticket, copy_goal goal, std::uint64_t bytes, instant now, copy_actions& out);

  void on_looked(std::size_t index, std::uint32_t attempt, const expected<ports::blob_stat>& about, instant now, copy_actions& out);
  void on_reserved(std::size_t index, std::uint32_t attempt, const expected<void>& result, instant now, copy_actions& out);
  void on_opened(std::size_t index, std::uint32_t attempt, const expected<std::uint64_t>& bytes, instant now, copy_actions& out);
  void on_cut(std::size_t index, std::uint32_t attempt, const expected<void>& result, instant now, copy_actions& out);
  void on_sent(std::size_t index, std::uint32_t attempt, const expected<std::uint64_t>& bytes, instant now, copy_actions& out);
  void on_sealed(std::size_t index, std::uint32_t attempt, const expected<ports::blob_stat>& about, instant now, copy_actions& out);

  /// The node of a replica that is held has answered somebody: it may have room again.
  void on_room(const node_name& node, instant now, copy_actions& out);
  /// Nothing is under way to the node of a replica that is held, so no `on_room` is to be expected: who waits for it must not.
  void on_stalled(const node_name& node, instant now, copy_actions& out);

  /// Ends it: everybody who waits is told `why`.
  void close(const error& why, copy_actions& out);

  /// Nobody waits and nothing is under way: it may be forgotten, and begun again by the next append.
  [[nodiscard]] bool idle() const noexcept;
  /// Sealed, and nothing is left to be done.
  [[nodiscard]] bool done() const noexcept;
  /// No replica that is being written needs bytes before this offset any more.
  [[nodiscard]] std::uint64_t sent_to_all() const noexcept;
  [[nodiscard]] std::uint64_t own_bytes() const noexcept { return own_; }
  /// Nodes that promised space in this session, or are just being asked to.
  [[nodiscard]] std::vector<node_name> reserved_at() const;

private:
  enum class phase : std::uint8_t { idle, looking, reserving, opening, cutting, copying, sealing, sealed, failed };
  struct replica {
    node_name node;
    phase at = phase::idle;
    std::uint32_t attempt = 0;
    bool reserved = false;
    std::uint64_t durable = 0;
    std::uint64_t sent = 0;
    std::uint32_t under_way = 0;
    instant failed;
    bool held = false;     // said limited, and is to be asked again
    bool room = false;     // held: it may be asked now
    bool stalled = false;  // held: nobody will say when
    bool gap = false;      // copying: refused bytes that come behind others
    bool assumed = false;  // copying: nobody asked for its length
    instant held_since;
  };
  struct waiter {
    std::uint64_t ticket = 0;
    copy_goal goal = copy_goal::length;
    std::uint64_t bytes = 0;
    instant since;
  };

  [[nodiscard]] replica* current(std::size_t index, std::uint32_t attempt, phase expected_phase);
  void call(copy_actions& out, std::size_t index, copy_call::kind what, std::uint64_t offset = 0, std::uint64_t bytes = 0) const;
  void fail(std::size_t index, const error& why, instant now, copy_actions& out);
  void hold(std::size_t index, instant now, copy_actions& out);
  void go_on(std::size_t index, copy_actions& out);
  void proceed(instant now, copy_actions& out);
  void enlist(instant now, copy_actions& out);
  void send(std::size_t index, copy_actions& out);
  [[nodiscard]] bool reached(const replica& r, const waiter& w) const noexcept;

  const std::uint32_t wanted_;  // replicas beside the own copy
  const std::uint32_t needed_;  // of them before an answer
  std::uint64_t own_ = 0;
  std::optional<ports::blob_stat> sealed_;
  std::vector<replica> replicas_;  // all other members, in placement order
  std::vector<waiter> waiting_;
  error last_;
  std::optional<error> closed_;
};

}  // namespace latham
