#include "core/cluster/shard_claim.hpp"

#include "core/assert.hpp"
#include "core/reach.hpp"

namespace latham {

namespace {

/// A tenth early, because clocks differ.
bool is_fresh(instant sent, instant now) noexcept { return now - sent < claim_ttl * 9 / 10; }

}  // namespace

// ---- Storage -------------------------------------------------------------------------------------------------------

void shard_claims::load(shard_claim record, instant now) { shards_[record.shard] = {std::move(record), now}; }

const shard_claim* shard_claims::find(std::uint16_t shard) const {
  const auto at = shards_.find(shard);
  return at == shards_.end() ? nullptr : &at->second.kept;
}

std::vector<shard_claim> shard_claims::list(std::uint16_t from, std::size_t limit) const {
  std::vector<shard_claim> out;
  for (auto at = shards_.lower_bound(from); at != shards_.end() && out.size() < limit; ++at) out.push_back(at->second.kept);
  return out;
}

shard_claims::outcome shard_claims::on_claim(const claim_request& request, instant now) {
  const auto& wanted = request.wanted;
  const auto at = shards_.find(wanted.shard);
  if (at != shards_.end()) {
    auto& e = at->second;
    if (e.kept == wanted) {
      e.heard = now;
      return {{true, e.kept, 0}, std::nullopt};
    }
    const bool own = e.kept.incarnation == wanted.incarnation || (request.previous != 0 && e.kept.incarnation == request.previous) ||
                     (request.from.incarnation != 0 && e.kept.incarnation == request.from.incarnation);
    // The giver's later life, or somebody after it, went on: what the claimant was sent is old. An earlier claim only missed the giver's.
    if (!own && request.from.incarnation != 0 && e.kept.holder != wanted.holder && e.kept.generation >= request.from.generation) return {{false, e.kept, static_cast<std::uint32_t>(claim_ttl.count())}, std::nullopt};
    const auto silent = now - e.heard;
    if (!own && silent < claim_ttl) {
      const auto left = std::chrono::ceil<milliseconds>(nanoseconds{claim_ttl} - silent);
      return {{false, e.kept, static_cast<std::uint32_t>(left.count())}, std::nullopt};
    }
    if (wanted.generation <= e.kept.generation) return {{false, e.kept, 0}, std::nullopt};
  }
  shards_[wanted.shard] = {wanted, now};
  return {{true, wanted, 0}, wanted};
}

// ---- Scheduler -----------------------------------------------------------------------------------------------------

shard_hold::shard_hold(std::uint16_t shard, node_name self, std::uint64_t incarnation, shard_claim last, std::vector<node_name> members, predecessor from)
  : wanted_{shard, last.generation + 1, std::move(self), incarnation}, previous_{last.incarnation}, from_{from}, members_{members.begin(), members.end()} {
  LATHAM_ASSERT(!members_.empty());
}

void shard_hold::raise(std::uint32_t generation) {
  if (generation <= wanted_.generation) return;
  wanted_.generation = generation;
  confirmed_.clear();
  held_once_ = false;
}

std::optional<claim_request> shard_hold::request(instant now) const {
  if (lost_ || outdated_ || now < silent_until_) return std::nullopt;
  return claim_request{wanted_, previous_, from_};
}

void shard_hold::on_answer(const node_name& storage, const claim_request& asked, const claim_answer& answer, instant sent, instant now) {
  if (!members_.contains(storage) || asked.wanted != wanted_ || answer.known.shard != wanted_.shard) return;
  if (answer.granted) {
    if (auto& c = confirmed_[storage]; c.sent <= sent) {
      c = {sent, answer.disk, {}};
      // At most one of each member, whatever was sent.
      for (const auto& other : answer.others)
        if (members_.contains(other.node) && c.others.size() < members_.size()) c.others.push_back(other);
    }
    held_once_ = held_once_ || holds(now);
    return;
  }
  confirmed_.erase(storage);
  if (held_once_) {
    // A claimant that got hold of a minority does not end an owner, nor does one that is dead: perhaps this node's own earlier
    // life, which asked for the same generation and never owned it.
    if (answer.known.generation < wanted_.generation || holds(now)) return;
    // Nor does an earlier life of its own that a storage node, restarted, takes to have been heard just now.
    const bool own_earlier = answer.known.holder == wanted_.holder && answer.known.incarnation < wanted_.incarnation;
    (answer.wait_ms > 0 && !own_earlier && answer.known.incarnation != 0 ? lost_ : outdated_) = true;
    return;
  }
  if (answer.known.generation >= wanted_.generation) {
    // Somebody was further than our disk knows. What was confirmed for the smaller generation counts no more.
    wanted_.generation = answer.known.generation + 1;
    confirmed_.clear();
  }
  if (answer.wait_ms > 0 && answer.known.incarnation > wanted_.incarnation) {
    silent_until_ = now + claim_ttl * 2;
    confirmed_.clear();
  }
}

bool shard_hold::holds(instant now) const {
  if (lost_ || outdated_) return false;
  std::size_t fresh = 0;
  for (const auto& [name, c] : confirmed_) fresh += is_fresh(c.sent, now) && !is_outdated(name, c, now) ? 1 : 0;
  return fresh >= members_.size() / 2 + 1;
}

bool shard_hold::is_outdated(const node_name& storage, const confirmation& c, instant now) const {
  for (const auto& [teller, told] : confirmed_)
    for (const auto& other : told.others)
      if (LATHAM_REACHED_IF("claim_granted_on_an_earlier_disk", other.node == storage && other.begun > c.disk && is_fresh(told.sent, now))) return true;
  return false;
}

}  // namespace latham
