// What a storage node that is being emptied must hear before it may be switched off for good: that everything it keeps is kept
// by as many others, and that nobody takes it for a node that will be there. Pure; actors/storage/storage_actor asks.
//
// All other members have to answer, with the same configuration. One that still has the configuration of before would place
// copies on this node, and give up its own for them; one that does not answer may be such a one. What is on another node that
// is being emptied does not count.
//
// Claims: whoever takes over a shard asks a majority of those that stay, so as many of them must know each generation as
// every such majority has one of.
#pragma once

#include "core/cluster/leave.hpp"
#include "core/cluster/placement.hpp"
#include "core/cluster/shard_claim.hpp"
#include "core/upload/uploads.hpp"

#include <map>
#include <set>
#include <vector>

namespace latham {

class leave_count {
public:
  /// `own`: the marks of all uploads here; `claims`: all claims.
  leave_count(copy_rules rules, const std::vector<upload_mark>& own, const std::vector<shard_claim>& claims);

  /// What others say; each of them completely, or not `on_heard`.
  void on_rules(const node_name& node, std::uint64_t digest);
  void on_marks(const node_name& node, const std::vector<upload_mark>& marks);
  void on_claims(const node_name& node, const std::vector<shard_claim>& claims);
  void on_heard(const node_name& node) { heard_.insert(node); }

  /// `blobs`: how many are on the own disk; `changes`: deletes that are under way here, and what came since the
  /// others were asked.
  [[nodiscard]] leave_report report(std::uint64_t blobs, std::uint64_t changes) const;

private:
  struct mark_less {
    bool operator()(const upload_mark& a, const upload_mark& b) const { return a.video < b.video; }
  };
  const copy_rules rules_;
  std::map<upload_mark, std::uint32_t, mark_less> uploads_;              // and how many others that stay keep it
  std::map<std::uint16_t, std::pair<shard_claim, std::uint32_t>> claims_;  // likewise
  std::uint64_t receiving_ = 0;
  std::set<node_name> heard_;
  std::set<node_name> differ_;
};

}  // namespace latham
