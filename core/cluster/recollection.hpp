// What a storage node must hear from the others before its word counts again, when it comes with an empty disk: new, or after
// it lost what it had. Until then it does not know what it promised: a claim that it granted is worth half a majority, and
// a tombstone may have been on its disk and on one other.
//
// Claims: those of any earlier majority that it was part of are kept by at least one of so many others. What it granted just
// before may still be used for `claim_ttl`, and be on its way to the others, so their answers count from then on. An earlier
// process of the name may even go on granting, on a disk of its own (core/cluster/shard_claim). Whoever is asked knows of the
// later disk from then on and says so, so what counts is an answer of `claim_ttl` after its first one: no claimant can have
// been told less by it and still hold. Two holders of one generation may be told of, one of whom had this name's word: which of
// them is not known any more, so neither gets it again. Marks: what was deleted is on `acks` disks; all others but `acks - 2` have
// to be heard.
//
// A disk that is not empty may be an earlier one of its name: an old volume that is in use again. What was promised since, on
// another disk, it does not know; so it asks as if it were empty, and keeps the newest of what it had and is told. Of two that
// ask so neither counts for the other, as it would not if it had lost its disk.
//
// In a new cluster nobody has anything to tell, which is an answer, too. Two empty disks in one that is not new are more than
// anybody promises to survive. Pure.
#pragma once

#include "core/cluster/placement.hpp"
#include "core/cluster/shard_claim.hpp"

#include <map>
#include <set>

namespace latham {

class recollection {
public:
  /// `empty`: the own disk keeps no claim. Else, and without others to ask, everything is known at once.
  void begin(const copy_rules& rules, bool empty);
  /// The own disk is an earlier one of its name, and keeps `own`. Forgets what was heard.
  void begin_again(const copy_rules& rules, const std::vector<shard_claim>& own);

  [[nodiscard]] bool knows_claims() const noexcept { return claims_known_; }
  [[nodiscard]] bool knows_marks() const noexcept { return marks_known_; }

  /// What a node tells.
  struct answer {
    bool blank = false;               // it does not know itself what was deleted
    bool known = true;                // the claims are all that its name promised
    std::vector<shard_claim> claims;
  };
  /// Asked for at `sent`.
  void on_claims(const node_name& node, const answer& told, instant sent, instant now);
  /// What `node` told was an earlier disk of its name.
  void take_back(const node_name& node);
  /// What `node` knows to be deleted is known here, and durable.
  void on_marks(const node_name& node);

  /// Enough were heard: the claims to keep, once. They are to be durable before `claims_kept`.
  [[nodiscard]] bool may_keep_claims() const noexcept;
  /// Incarnation 0: of that generation nobody is the holder.
  [[nodiscard]] std::vector<shard_claim> claims() const;
  void claims_kept() noexcept { claims_known_ = true; }

private:
  void note(const shard_claim& claim);

  std::size_t claims_needed_ = 0;
  std::size_t marks_needed_ = 0;
  std::map<node_name, instant> knows_us_;  // since when, at the latest
  std::set<node_name> told_claims_;
  std::set<node_name> told_marks_;
  std::map<std::uint16_t, shard_claim> newest_;
  bool claims_known_ = false;
  bool marks_known_ = false;
};

}  // namespace latham
