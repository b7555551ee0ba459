// One class per invariant, named after it. Safety checkers look at every durable write, at every event that a client
// hears and at every answer that it gets, as it happens; others look once a virtual second, or at the end, after the
// faults have healed. A checker that finds something throws `violation`, which ends the run with its seed.
#pragma once

#include "core/cluster/shard_claim.hpp"
#include "core/scheduler/records.hpp"
#include "core/upload/uploads.hpp"
#include "sim/model_engine.hpp"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace latham::store {
class memory_blobs;
}

namespace latham::sim {

struct violation : std::runtime_error {
  violation(std::string checker_name, const std::string& what) : std::runtime_error{what}, checker{std::move(checker_name)} {}
  std::string checker;
};

/// What the clients of the run know of a video from the moment that they asked for it to be accepted.
struct known_video {
  model_video model;
  std::uint64_t seed = 0;
  std::string source;
  bool poison = false;         // it may fail, and stay failed
  bool acknowledged = false;   // 201
  bool delete_asked = false;   // and perhaps done
  bool deleted = false;        // and answered
};

/// Something that grows when nobody works it off.
struct watched_queue {
  std::string name;
  std::function<std::size_t()> length;
  std::size_t most;  // beyond it something feeds it that does not wait for answers
};

/// What is durable, and what the clients know: all that checkers may look at.
struct view {
  std::map<video_id, known_video> known;
  std::map<video_id, video_record> videos;
  std::map<task_id, task_record> tasks;
  std::map<std::pair<std::uint16_t, epoch>, lease_record> leases;  // epochs are a shard's own
  std::map<video_id, std::map<node_name, upload_record>> upload_records;  // as each storage node has them
  std::map<video_id, upload_record> uploads;  // of them the one that counts: removed before complete, not announced before announced
  std::map<std::pair<node_name, std::uint16_t>, shard_claim> claims;  // of each shard, as each storage node has it, or had it on the disk that it lost
  std::vector<std::function<double()>> slots_busy;                // of each worker
  std::vector<watched_queue> queues;
  std::map<node_name, std::function<store::memory_blobs&()>> blobs;  // of each storage node, past all faults
  std::uint32_t attempts = attempts_max;
  std::uint32_t copies = 0;  // of each blob, as configured
  milliseconds repair_period{0};
  /// Lets the world go on until an answer has come, or for half a minute.
  std::function<void(const std::function<bool()>& answered)> wait;
  /// A storage node lost its disk a moment ago, which may have been one of those that were counted before somebody was told.
  std::function<bool()> disk_lost_lately;
  std::function<bool()> old_volume_lately;  // some node may not have been told yet that it answers from one
  /// All of its storage nodes have been well for a while.
  std::function<bool()> storage_well;
  /// Is storage up, so that what it holds counts as readable?
  std::function<bool()> storage_up;
  /// The storage nodes that there are, or will be when all nodes know of a change. `blobs` has also those that are to join, and
  /// those that have left.
  std::function<std::vector<node_name>()> storages;
  /// As the scheduler of a shard was told when it started.
  std::function<std::vector<node_name>(std::uint16_t shard)> storages_of;
  /// How many copies were promised by whoever promised least a moment ago: nodes differ while a change is told to them.
  std::function<std::uint32_t()> acks_lately;
  /// Nothing is wrong, nor was lately, but that nodes are told to stop.
  std::function<bool()> quiet;
  /// Which process decides about a shard; 0: none that has been well for a while.
  std::function<std::uint64_t(std::uint16_t shard)> decided_by;
};

class checker {
public:
  explicit checker(const view& v) : view_{v} {}
  virtual ~checker() = default;
  // -- A durable write of the scheduler; the view has all of its batch already
  virtual void on_video(const video_record&) {}
  virtual void on_video_gone(video_id) {}
  virtual void on_task(const task_record&) {}
  virtual void on_lease(const lease_record&) {}
  /// The scheduler of a shard lost its disk: its videos begin again from what storage has. Epochs must not.
  virtual void on_shard_lost(std::uint16_t) {}
  // -- What a client hears: `ear` is one subscription
  virtual void on_event(std::uint64_t /*ear*/, const video_view&) {}
  /// A client was told that its upload is accepted.
  virtual void on_accepted(video_id) {}
  /// A worker is about to be told to stop, and these are its leases.
  virtual void on_stopping(const std::vector<lease_record>& /*has*/) {}
  /// It has ended by itself, and these are its leases still, at schedulers that must have heard of it.
  virtual void on_stopped(const std::vector<lease_record>& /*left*/) {}
  virtual void on_second(std::uint64_t /*random*/) {}
  virtual void at_end() {}

protected:
  const view& view_;
};

struct misplacement {
  std::string words;           // empty: nothing is amiss
  bool only_in_excess = true;  // what is amiss are copies of what is wanted, at who is none of its homes
};

/// What storage holds and should not, and what it lacks: the sources and outputs of the videos there are, sealed, at each of
/// their homes, and nothing else. Lets the world go on while it looks.
[[nodiscard]] misplacement misplaced_blobs(const view& v);

/// What a storage node has stored otherwise than it was written, in words.
[[nodiscard]] std::string damaged_blobs(const view& v);

/// All of them, in the order of sim/checkers.cpp.
[[nodiscard]] std::vector<std::unique_ptr<checker>> make_checkers(const view& v);

/// What a calm run with that engine answers for /media/{id}/{path} of a ready video. Fails with not_found.
[[nodiscard]] expected<std::string> calm_media(video_id id, const known_video& video, const engine_id& engine, const recipe& how, const std::string& path);
/// Paths that a player asks for, of all kinds.
[[nodiscard]] std::vector<std::string> media_paths(const known_video& video);

}  // namespace latham::sim
