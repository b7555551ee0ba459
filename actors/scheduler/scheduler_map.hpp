// The schedulers that a node sees, and whose shard is whose. Held by gateways, storage nodes and workers; filled from the
// directory's news and from what each scheduler says of itself.
#pragma once

#include "actors/protocol.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

namespace latham {

class scheduler_map {
public:
  struct entry {
    scheduler_actor handle;
    shard_info info;      // empty until it has answered, and of one that gave its shards away
    bool told = false;    // it has answered
  };

  /// News from the directory: a scheduler came, was replaced, or went. One that came has no shards until `on_info`; one that was
  /// replaced, or is named again because its node has another service now, keeps those that it was known for.
  void on_change(const service_change& change) {
    if (!change.handle) {
      all_.erase(change.node);
      return;
    }
    // Always the new handle: CAF calls it equal to the one of an earlier link, which stays dead.
    auto& known = all_[change.node];
    known.handle = caf::actor_cast<scheduler_actor>(change.handle);
    known.told = false;
  }

  /// False when it is no longer the one that was asked.
  bool on_info(const node_name& node, const scheduler_actor& asked, const shard_info& info) {
    const auto at = all_.find(node);
    if (at == all_.end() || at->second.handle != asked) return false;
    at->second.info = info;
    at->second.told = true;
    seen_.insert(info.shards.begin(), info.shards.end());
    // One without a shard may have given it to somebody who has not said so yet.
    if (info.shards.empty()) spoken_.erase(node);
    else spoken_.insert(node);
    homes_[node] = info.takes_uploads && !info.shards.empty() ? std::optional{info.shards.front()} : std::nullopt;
    return true;
  }

  [[nodiscard]] bool is(const node_name& node, const caf::strong_actor_ptr& handle) const {
    const auto at = all_.find(node);
    return at != all_.end() && caf::actor_cast<caf::strong_actor_ptr>(at->second.handle) == handle;
  }

  /// Null when nobody that is reachable has that shard.
  [[nodiscard]] scheduler_actor of(std::uint16_t shard) const {
    for (const auto& [node, e] : all_)
      for (const auto mine : e.info.shards)
        if (mine == shard) return e.handle;
    return {};
  }

  /// A home for a new video: by chance, one of the shards that take uploads as far as is known. Also of a scheduler that
  /// is away: its videos wait in the outbox. `otherwise` when none was ever seen.
  [[nodiscard]] std::uint16_t pick(std::uint64_t random, std::uint16_t otherwise) const {
    std::vector<std::uint16_t> reachable, known;
    for (const auto& [node, home] : homes_) {
      if (!home) continue;
      known.push_back(*home);
      if (all_.contains(node)) reachable.push_back(*home);
    }
    const auto& from = reachable.empty() ? known : reachable;
    return from.empty() ? otherwise : from[random % from.size()];
  }

  /// Someone has said what it is responsible for.
  [[nodiscard]] bool knows_any() const {
    for (const auto& [node, e] : all_)
      if (!e.info.shards.empty()) return true;
    return false;
  }

  /// All `schedulers` there are have spoken, now or before, and none had that shard.
  [[nodiscard]] bool is_foreign(std::uint16_t shard, std::size_t schedulers) const {
    return spoken_.size() >= std::max<std::size_t>(schedulers, 1) && !seen_.contains(shard);
  }

  [[nodiscard]] const std::map<node_name, entry>& all() const noexcept { return all_; }
  [[nodiscard]] bool empty() const noexcept { return all_.empty(); }
  void clear() { all_.clear(); }

private:
  std::map<node_name, entry> all_;
  std::set<std::uint16_t> seen_;
  std::set<node_name> spoken_;
  std::map<node_name, std::optional<std::uint16_t>> homes_;  // also of those that are away; none: takes no uploads
};

}  // namespace latham
