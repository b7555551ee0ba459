// However messages are delayed, lost and answered late, whoever restarts, and whatever earlier processes of storage nodes go on
// saying, whose names have moved on to empty disks and may move back: a shard has one owner at a time, generations are never used
// twice, and when all is calm somebody owns it.
#include "core/cluster/recollection.hpp"
#include "core/cluster/shard_claim.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <memory>
#include <set>

namespace latham {

namespace {

struct claimant {
  std::unique_ptr<shard_hold> rules;
  shard_claim disk;
};

/// A storage node's disk, and the process on it.
struct storage {
  node_name name;
  std::uint64_t incarnation = 0;  // of the process
  std::uint64_t disk = 0;
  std::uint64_t begun = 0;  // durable: what `disk` is after a restart
  shard_claims claims;
  recollection memory;
  std::map<node_name, std::uint64_t> disks;  // of the others, durable
};

struct letter {
  std::size_t from = 0;
  std::size_t to = 0;  // a disk
  claim_request asked;
  instant sent;
};

class council {
public:
  council(std::size_t storages, std::size_t claimants) : claimants_(claimants) {
    for (std::size_t i = 0; i < storages; ++i) {
      names_.push_back("storage-" + std::to_string(i));
      current_.push_back(i);
      former_.push_back(i);
      add(names_.back());
    }
    for (auto& s : storages_) s.memory.begin(rules_of(), false);
    for (auto& c : claimants_) start(c);
  }

  void start(claimant& c) { c.rules = std::make_unique<shard_hold>(0, "scheduler-0", ++incarnation_, c.disk, names_); }

  void step(std::uint8_t what, std::size_t a, std::size_t b, std::int64_t ms) {
    now_ = now_ + milliseconds{ms};
    auto& c = claimants_[a % claimants_.size()];
    switch (what % 13) {
      case 0:
        start(c);  // killed, and back on its disk
        break;
      case 1:
        c.disk = {};  // back on an empty one
        start(c);
        break;
      case 2:  // a storage node restarts
        restart(storages_[current_[b % current_.size()]]);
        break;
      case 3:  // a letter is lost
        if (!letters_.empty()) letters_.erase(letters_.begin() + static_cast<std::ptrdiff_t>(b % letters_.size()));
        break;
      case 4:
      case 5:  // it asks, and half of the letters arrive at once
        if (const auto asked = c.rules->request(now_)) {
          letters_.push_back({a % claimants_.size(), b % storages_.size(), *asked, now_});
          if (what % 13 == 4) deliver(letters_.size() - 1);
        }
        break;
      case 6:  // a name moves on to an empty disk, and the process on the other one lives on
        if (names_.size() > 1 && all_know() && storages_.size() < 12) {
          const auto rules = rules_of();
          auto& seat = current_[b % current_.size()];
          former_[b % current_.size()] = seat;
          add(storages_[seat].name);
          storages_.back().memory.begin(rules, true);
          seat = storages_.size() - 1;
        }
        break;
      case 7:  // and it asks another, as may an earlier one that does not know yet. Not an earlier one of another name: that two
               // names have two processes each, cut crosswise, and then a disk is lost, is more than anybody promises to survive
        for (auto& s : storages_)
          if (!s.memory.knows_claims()) ask(s, storages_[current_[a % current_.size()]]);
        break;
      case 8:  // any of them, also an earlier one, says who it is to any
        introduce(storages_[b % storages_.size()], storages_[what % 2 == 0 ? current_[a % current_.size()] : a % storages_.size()]);
        break;
      case 9:  // a name moves back to an earlier disk, and what was on the other one is lost
        if (all_know() && storages_.size() > names_.size()) {
          const auto back = b % storages_.size();
          const auto name = static_cast<std::size_t>(std::find(names_.begin(), names_.end(), storages_[back].name) - names_.begin());
          if (current_[name] == back) break;
          former_[name] = std::exchange(current_[name], back);
          restart(storages_[back]);
        }
        break;
      case 10:
      case 11:  // it asks some, and is answered
        for (std::size_t i = 0; i < current_.size(); ++i)
          if (const auto asked = c.rules->request(now_); asked && (b >> i & 1) != 0) {
            letters_.push_back({a % claimants_.size(), what % 13 == 10 ? current_[i] : former_[i], *asked, now_});
            deliver(letters_.size() - 1);
          }
        break;
      default:
        if (!letters_.empty()) deliver(b % letters_.size());
        break;
    }
    check();
  }

  void deliver(std::size_t i) {
    const auto l = letters_[i];
    letters_.erase(letters_.begin() + static_cast<std::ptrdiff_t>(i));
    auto& s = storages_[l.to];
    if (!s.memory.knows_claims()) return;
    auto answer = s.claims.on_claim(l.asked, now_).answer;
    answer.disk = s.disk;
    for (const auto& [node, begun] : s.disks) answer.others.push_back({node, begun});
    claimants_[l.from].rules->on_answer(s.name, l.asked, answer, l.sent, now_);
    check();
  }

  copy_rules rules_of() const {
    copy_rules rules;
    rules.members = names_;
    rules.acks = 2;
    return rules;
  }

  /// One disk is lost at a time: none is while another has not all that was promised, or is an earlier one that was not told so yet.
  bool all_know() const {
    return std::all_of(current_.begin(), current_.end(), [this](std::size_t seat) {
      const auto& s = storages_[seat];
      return s.memory.knows_claims() && std::all_of(storages_.begin(), storages_.end(), [&](const storage& other) { return other.name != s.name || other.disk <= s.disk; });
    });
  }

  void add(const node_name& name) {
    storage s;
    s.name = name;
    s.incarnation = s.disk = s.begun = ++incarnation_;
    storages_.push_back(std::move(s));
  }

  /// Who has an earlier disk than is known is told so, and rises above that one if it may.
  void introduce(storage& s, storage& to) {
    if (s.name == to.name) return;
    if (const auto known = to.disks[s.name]; known > s.disk) {
      const auto kept = s.claims.list(0, 10);
      const auto above = disk_above(known, s.incarnation, kept.empty(), {1}, 0);
      if (above == 0) return;
      s.disk = above;
      s.memory.begin_again(rules_of(), kept);
    }
    keep_disk(to, s.name, s.disk);
  }

  void keep_disk(storage& s, const node_name& about, std::uint64_t disk) {
    auto& known = s.disks[about];
    if (disk <= known) return;
    if (known != 0) s.memory.take_back(about);
    known = disk;
  }

  void restart(storage& s) {
    shard_claims again;
    if (const auto* kept = s.claims.find(0)) again.load(*kept, now_);
    s.claims = std::move(again);
    s.incarnation = ++incarnation_;
    s.disk = s.begun;
    s.memory = {};
    s.memory.begin(rules_of(), s.claims.empty());
  }

  /// Whoever asks is known to the one that answers before it does.
  void ask(storage& blank, storage& other) {
    if (blank.name == other.name) return;
    introduce(blank, other);
    for (const auto& [node, begun] : other.disks)
      if (node != blank.name) keep_disk(blank, node, begun);
    if (other.disk < blank.disks[other.name]) return;
    keep_disk(blank, other.name, other.disk);
    blank.memory.on_claims(other.name, {false, other.memory.knows_claims(), other.claims.list(0, 10)}, now_, now_);
    if (!blank.memory.may_keep_claims()) return;
    for (const auto& claim : blank.memory.claims()) blank.claims.load(claim, now_);
    blank.memory.claims_kept();
    blank.begun = blank.disk;
  }

  void check() {
    std::set<std::size_t> owners;
    for (std::size_t i = 0; i < claimants_.size(); ++i) {
      auto& c = claimants_[i];
      if (!c.rules->holds(now_)) continue;
      owners.insert(i);
      const auto claim = c.rules->claim();
      const auto [at, fresh] = used_.try_emplace(claim.generation, claim.incarnation);
      RC_ASSERT(at->second == claim.incarnation);
      c.disk = claim;
    }
    RC_ASSERT(owners.size() <= 1u);
  }

  /// All links are up, everybody asks every second; who lost ends, and stays away, as do earlier storage nodes.
  void calm() {
    letters_.clear();
    for (int s = 0; s < 60; ++s) {
      now_ = now_ + seconds{1};
      for (const auto seat : current_)
        for (const auto other : current_) {
          introduce(storages_[seat], storages_[other]);
          if (!storages_[seat].memory.knows_claims()) ask(storages_[seat], storages_[other]);
        }
      for (auto& c : claimants_)
        if (c.rules->outdated()) start(c);
      for (std::size_t i = 0; i < claimants_.size(); ++i)
        for (const auto k : current_)
          if (const auto asked = claimants_[i].rules->request(now_)) {
            letters_.push_back({i, k, *asked, now_});
            deliver(letters_.size() - 1);
          }
    }
    std::size_t owners = 0;
    bool all_lost = true;
    for (auto& c : claimants_) {
      owners += c.rules->holds(now_) ? 1 : 0;
      all_lost = all_lost && c.rules->lost();
    }
    RC_ASSERT(owners == 1u || all_lost);
  }

private:
  std::vector<storage> storages_;      // one for each disk that there ever was
  std::vector<std::size_t> current_;   // where each name points to
  std::vector<std::size_t> former_;    // and pointed to before
  std::vector<claimant> claimants_;
  std::vector<node_name> names_;
  std::vector<letter> letters_;
  std::map<std::uint32_t, std::uint64_t> used_;
  std::uint64_t incarnation_ = 0;
  instant now_{1'000'000'000};
};

}  // namespace

RC_GTEST_PROP(ShardClaims, HaveOneOwnerAtATime, ()) {
  const auto storages = *rc::gen::inRange<std::size_t>(1, 6);
  const auto claimants = *rc::gen::inRange<std::size_t>(1, 4);
  council c{storages, claimants};
  const auto steps = *rc::gen::container<std::vector<std::tuple<std::uint8_t, std::size_t, std::size_t, std::int64_t>>>(
    rc::gen::tuple(rc::gen::arbitrary<std::uint8_t>(), rc::gen::inRange<std::size_t>(0, 8), rc::gen::inRange<std::size_t>(0, 64), rc::gen::oneOf(rc::gen::inRange<std::int64_t>(0, 100), rc::gen::inRange<std::int64_t>(0, 100), rc::gen::inRange<std::int64_t>(0, 6000))));
  for (const auto& [what, a, b, ms] : steps) c.step(what, a, b, ms);
  c.calm();
}

}  // namespace latham
