// What a storage node does about one of its own copies, from what the others say they have. Pure; actors/storage/repair_actor
// asks and acts.
//
// A tombstone anywhere is a delete that this node missed. A home that lacks the blob gets it from the first member, in
// placement order, that has it whole: everybody computes the same one, so it is pushed once. A copy at a node that is no
// home (it stood in for one, or the members have changed) is given up when every home has said that it has one, never
// before, and never on what was heard in another round. Nor on the word of a home that places copies by another configuration:
// it may be about to give up its own for this one.
#pragma once

#include "core/cluster/placement.hpp"
#include "core/ports/own_blobs.hpp"

#include <map>

namespace latham {

struct repair_plan {
  enum class own_copy : std::uint8_t {
    keep,
    remove,
    give_up,
    abandon,  // an open one: given up, if no record here says that it is written
  };
  own_copy own = own_copy::keep;
  std::vector<node_name> push;       // in placement order
  std::vector<node_name> different;  // sealed there with other bytes: a bug or a broken disk, for a person to look at
  std::uint32_t lacking = 0;         // homes that were heard and have no whole copy
  friend bool operator==(const repair_plan&, const repair_plan&) = default;
};

/// `heard`: other members' answers of this round; who is missing did not answer. `away`: members that were not heard of for
/// so long that others stand in for them. `agreed`: members that place copies by the same rules. `abandoned`: an open copy is so old that a writer who lost its disk does not come back.
[[nodiscard]] repair_plan plan_repair(const ports::blob_stat& own, const copy_rules& rules, const std::map<node_name, ports::blob_look>& heard,
                                      const std::set<node_name>& away, const std::set<node_name>& agreed, bool abandoned);

/// The right to push a sealed blob: equal for all who push these bytes, so that a push goes on where any of them left off,
/// and whoever holds another token is no longer heard.
[[nodiscard]] ports::write_token push_token(const ports::blob_stat& sealed) noexcept;

}  // namespace latham
