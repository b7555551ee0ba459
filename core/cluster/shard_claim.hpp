// Who is the scheduler of a shard. The storage nodes keep the answer, so that a scheduler that lost its disk does not use
// an epoch again, and so that of two that live (a pod deleted by force, and its replacement) only one grants and commits.
//
// A scheduler claims its shard at every storage node and owns it while a majority of the configured ones agreed within
// the last `claim_ttl`. A newcomer takes over at once from its own earlier life, whose incarnation it read from its disk;
// from anybody else only after the holder has been silent for `claim_ttl`. Who got the shard's records from its holder takes
// over from that life of it and from no other: if it lived on, the records are old. Majorities overlap and a storage node knows
// one holder, so two never own a shard at once, if clocks run at equal speed to within a tenth: the holder counts from when
// it sent its claim and gives up a tenth early.
//
// A storage node, of several, knows one holder only while it has one disk: of two processes that live under its name with a disk each, the
// one that started later has asked the others what the other one had granted. Since then they know its disk, and each answer to
// a claim says which disks its node knows; so a majority with the earlier one in it tells on it, and it does not count.
//
// Pure: no clock, no message. `shard_claims` is the storage node's side, `shard_hold` the scheduler's.
#pragma once

#include "core/cluster/identities.hpp"
#include "core/expected.hpp"
#include "core/ids.hpp"
#include "core/units.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace latham {

inline constexpr milliseconds claim_ttl{5'000};
inline constexpr milliseconds claim_period{1'000};

/// What a storage node keeps of a shard. Incarnation 0: of that generation nobody is the holder (core/cluster/recollection).
struct shard_claim {
  static constexpr std::uint8_t record_format = 1;

  std::uint16_t shard = 0;
  std::uint32_t generation = 0;     // of epochs; grows with each takeover
  node_name holder;
  std::uint64_t incarnation = 0;    // of the holder's process
  friend bool operator==(const shard_claim&, const shard_claim&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, shard_claim& x) {
  return f(x.shard, x.generation, x.holder, x.incarnation);
}

/// The life of a scheduler that handed a shard over, and its generation. Incarnation 0: nobody did.
struct predecessor {
  std::uint64_t incarnation = 0;
  std::uint32_t generation = 0;
  friend bool operator==(const predecessor&, const predecessor&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, predecessor& x) {
  return f(x.incarnation, x.generation);
}

struct claim_request {
  shard_claim wanted;
  std::uint64_t previous = 0;       // incarnation of the claimant's earlier life, from its disk; 0: none
  predecessor from = {};            // who handed the shard over to the claimant; from nobody later then
  friend bool operator==(const claim_request&, const claim_request&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, claim_request& x) {
  return f(x.wanted, x.previous, x.from);
}

/// A storage node's disk: `begun` is the incarnation of the process that found it empty, or that uses it again after a later one,
/// so of two of a name the later one's is greater. Of an empty disk whose clock was set back it is a little more than what the
/// others knew. 0: older than such numbers.
struct storage_disk {
  static constexpr std::uint8_t record_format = 1;

  node_name node;
  std::uint64_t begun = 0;
  friend bool operator==(const storage_disk&, const storage_disk&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, storage_disk& x) {
  return f(x.node, x.begun);
}

/// The others know of a later disk of the name, `known`, than the own one: the number to take, to rise above it. 0: none, this
/// process is the earlier of two and has no say any more. One with an `empty` disk may have found its clock set back, if that
/// other one began later than it is now; `chance` keeps two that are told the same from agreeing.
[[nodiscard]] constexpr std::uint64_t disk_above(std::uint64_t known, std::uint64_t incarnation, bool empty, utc_ms wall, std::uint64_t chance) noexcept {
  if (incarnation > known) return incarnation;
  return empty && began(known) > wall ? known + 1 + (chance & 0xffff) : 0;
}

struct claim_answer {
  bool granted = false;
  shard_claim known;                // what is kept now: the wanted claim when granted
  std::uint32_t wait_ms = 0;        // another holds it and was heard lately: until it has been silent for claim_ttl
  std::uint64_t disk = 0;           // of the storage node that answers: when it was begun
  std::vector<storage_disk> others = {};  // as it knows them
  friend bool operator==(const claim_answer&, const claim_answer&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, claim_answer& x) {
  return f(x.granted, x.known, x.wait_ms, x.disk, x.others);
}

class shard_claims {
public:
  /// After a restart nobody knows when the holder was heard last: it is taken to be now.
  void load(shard_claim record, instant now);

  struct outcome {
    claim_answer answer;
    std::optional<shard_claim> write;  // to be durable before the answer leaves
  };
  [[nodiscard]] outcome on_claim(const claim_request& request, instant now);

  [[nodiscard]] const shard_claim* find(std::uint16_t shard) const;
  /// Those of `from` and of greater shards, ascending.
  [[nodiscard]] std::vector<shard_claim> list(std::uint16_t from, std::size_t limit) const;
  [[nodiscard]] bool empty() const noexcept { return shards_.empty(); }

private:
  struct entry {
    shard_claim kept;
    instant heard;
  };
  std::map<std::uint16_t, entry> shards_;
};

class shard_hold {
public:
  /// `members`: the configured storage nodes, not empty. `last`: the claim of this scheduler's earlier life, from its disk;
  /// generation 0 when there was none. `from`: see `claim_request`.
  shard_hold(std::uint16_t shard, node_name self, std::uint64_t incarnation, shard_claim last, std::vector<node_name> members,
             predecessor from = {});

  /// What to ask every storage node now, and again each claim_period. None while this scheduler steps back: of two that
  /// hold some storage nodes each and block one another, the one that started earlier lets its claims lapse.
  [[nodiscard]] std::optional<claim_request> request(instant now) const;

  /// Asks for a generation that is this one at least; a greater one than before has to be confirmed anew.
  void raise(std::uint32_t generation);

  /// From now on what it holds is used: the generation stays, and a loss is an end. It may come to hold without an answer, when what
  /// spoke against one is out of date.
  void own() noexcept { held_once_ = true; }

  /// `sent`: when the request was sent. Answers to an earlier proposal are harmless.
  void on_answer(const node_name& storage, const claim_request& asked, const claim_answer& answer, instant sent, instant now);

  /// Owns the shard: it may grant, commit and answer.
  [[nodiscard]] bool holds(instant now) const;
  /// It owned the shard, does no longer, and another that lives has claimed it since: it must stop.
  [[nodiscard]] bool lost() const noexcept { return lost_; }
  /// It owned the shard, does no longer, and its generation cannot be had again, though nobody else lives: begin anew, with
  /// `claim()` as the last one.
  [[nodiscard]] bool outdated() const noexcept { return outdated_; }
  /// To be durable before the first epoch of its generation is used; valid once it held for the first time.
  [[nodiscard]] const shard_claim& claim() const noexcept { return wanted_; }

private:
  /// That a storage node granted the claim.
  struct confirmation {
    instant sent;  // the newest request that it did
    std::uint64_t disk = 0;
    std::vector<storage_disk> others;
  };
  [[nodiscard]] bool is_outdated(const node_name& storage, const confirmation& c, instant now) const;

  shard_claim wanted_;
  std::uint64_t previous_;
  predecessor from_;
  std::set<node_name> members_;
  std::map<node_name, confirmation> confirmed_;
  instant silent_until_;
  bool held_once_ = false;
  bool lost_ = false;
  bool outdated_ = false;
};

}  // namespace latham
