#include "actors/storage/repair_actor.hpp"

#include "actors/role_actor.hpp"
#include "core/cluster/repair_plan.hpp"
#include "core/reach.hpp"
#include "store/replicated_blobs.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <set>

namespace latham {

namespace {

constexpr std::uint32_t page_blobs = batch_max;
constexpr milliseconds page_pause{20};        // between pages of a round: others want the disk, too
constexpr milliseconds news_pause{1'000};     // from a node that comes to the round that it causes: it has friends on the way
constexpr std::uint32_t pushes_max = 2;       // at once
constexpr milliseconds scrub_pause{16};       // between reads of a scrub, at least

using repair_interface = caf::typed_actor<caf::reacts_to<abort_atom>>;

class repair : public role_actor<repair_interface> {
public:
  repair(caf::actor_config& config, const env* e, directory_actor directory) : role_actor(config, *e), directory_{std::move(directory)}, rules_{e->config.rules_of_copies()} {}

  behavior_type make_behavior() override {
    for (const auto& node : rules_.members)
      if (node != rules_.self) away_since_[node] = now();
    listen(directory_, service_storage, [this](const service_change& change) { on_peer(change); });
    later(env_.config.repair_period, [this] { period(); });
    if (env_.config.scrub_bytes_s > 0) scrub_page({});
    return {
      [this](abort_atom) { quit(); },
      [](local_call& call) { call.run(); },
    };
  }

  void on_exit() override {
    own_ = nullptr;
    peers_.clear();
  }

private:
  struct push {
    ports::blob_stat blob;
    node_name node;
    std::uint64_t reserved = 0;  // there, by a writer who left a part behind
    std::uint64_t there = 0;     // bytes that it holds already
    std::uint64_t sent = 0;      // of the blob, there, and known to be equal
  };
  using push_ptr = std::shared_ptr<push>;  // shared by the completions of its steps

  struct part {
    std::uint64_t bytes = 0;
    instant since;
  };

  struct round_page {
    std::vector<ports::blob_stat> blobs;
    std::vector<std::map<node_name, ports::blob_look>> heard;  // per blob
    std::size_t left = 0;
  };

  // ---- When --------------------------------------------------------------------------------------------------------

  void on_peer(const service_change& change) {
    if (change.node == rules_.self) {
      own_ = caf::actor_cast<storage_actor>(change.handle);
      return;
    }
    if (!away_since_.contains(change.node)) return;
    agreed_.erase(change.node);  // another process, perhaps with another configuration
    if (!change.handle) {
      if (peers_.erase(change.node) != 0) away_since_[change.node] = now();
      return;
    }
    // Always the new handle: CAF calls it equal to the one of an earlier link, which stays dead.
    peers_[change.node] = caf::actor_cast<storage_actor>(change.handle);
    if (soon_) return;
    soon_ = true;
    later(news_pause, [this] {
      soon_ = false;
      start_round();
    });
  }

  void period() {
    start_round();
    later(env_.config.repair_period, [this] { period(); });
  }

  void start_round() {
    if (running_) {
      again_ = true;
      return;
    }
    if (peers_.empty()) return;
    running_ = true;
    lacking_ = pushed_ = 0;
    parts_seen_.clear();
    ask_for_rules();
  }

  /// Who places copies as this node does. The others are pushed to, and asked, but nothing is given up on their word.
  void ask_for_rules() {
    const auto left = std::make_shared<std::size_t>(peers_.size());  // shared by the answers
    const auto step = [this, left] {
      if (--*left == 0) next_page({});
    };
    agreed_.clear();
    for (const auto& [node, handle] : peers_)
      request(handle, env_.config.request_timeout, rules_atom::value)
        .then(
          [this, step, node = node, asked = handle](std::uint64_t digest) {
            const auto at = peers_.find(node);
            if (digest == digest_of(rules_) && at != peers_.end() && at->second == asked) agreed_.insert(node);
            step();
          },
          [step](caf::error&) { step(); });
  }

  void end_round() {
    running_ = false;
    if (env_.metrics != nullptr) env_.metrics->set("latham_copies_lacking", static_cast<double>(lacking_));
    if (lacking_ > 0 || pushed_ > 0) log(ports::log_level::info, "repair round ends copies_lacking={} copies_pushed={}", lacking_, pushed_);
    if (std::exchange(again_, false)) return start_round();
    // Stand-ins give up their copies when they see that the homes have theirs, which is no sooner than now.
    if (lacking_ == 0 || follow_up_) return;
    follow_up_ = true;
    later(env_.config.repair_period / 4, [this] {
      follow_up_ = false;
      start_round();
    });
  }

  // ---- One round ---------------------------------------------------------------------------------------------------

  void next_page(blob_id after) {
    env_.own_blobs->list(after, page_blobs, here<std::vector<ports::blob_stat>>([this](expected<std::vector<ports::blob_stat>> blobs) {
      if (!blobs) {
        log(ports::log_level::warn, "repair cannot list blobs code={} detail=\"{}\"", to_string(blobs.error().code), blobs.error().message);
        return end_round();
      }
      if (blobs->empty()) {
        parts_ = std::exchange(parts_seen_, {});
        return end_round();
      }
      ask_others(std::move(*blobs));
    }));
  }

  void ask_others(std::vector<ports::blob_stat> blobs) {
    auto page = std::make_shared<round_page>();  // shared by the answers
    page->heard.resize(blobs.size());
    page->blobs = std::move(blobs);
    page->left = peers_.size();
    if (peers_.empty()) return end_round();
    blob_list ids;
    for (const auto& blob : page->blobs) ids.push_back(blob.blob);
    const auto step = [this, page] {
      if (--page->left == 0) decide(*page);
    };
    for (const auto& [node, handle] : peers_)
      request(handle, env_.config.request_timeout, have_atom::value, ids)
        .then(
          [page, step, node = node](const look_list& looks) {
            for (std::size_t i = 0; i < page->blobs.size() && i < looks.size(); ++i)
              if (looks[i].presence <= ports::blob_presence::dead) page->heard[i][node] = looks[i];
            step();
          },
          [step](caf::error&) { step(); });
  }

  [[nodiscard]] std::set<node_name> long_away() {
    std::set<node_name> out;
    for (const auto& [node, since] : away_since_)
      if (!peers_.contains(node) && now() - since > env_.config.stand_in_after) out.insert(node);
    return out;
  }

  void decide(const round_page& page) {
    const auto away = long_away();
    for (std::size_t i = 0; i < page.blobs.size(); ++i) {
      const auto& own = page.blobs[i];
      // Nobody comes back to an upload after `idle`; ids tell when they were made, to within what clocks differ.
      const auto age = env_.clock->wall().value - own.blob.created().value;
      const auto patience = 2 * env_.config.uploading.idle + env_.config.output_grace;
      const bool abandoned = age > patience.count() || (!own.sealed && unchanged_for(own) > patience);
      const auto plan = plan_repair(own, rules_, page.heard[i], away, agreed_, abandoned);
      lacking_ += plan.lacking;
      for (const auto& node : plan.different) {
        count("latham_copies_different_total");
        log(ports::log_level::error, "two copies of a blob differ, one of their disks lies blob={} other={}", to_string(own.blob), node);
      }
      for (const auto& node : plan.push) waiting_.push_back(std::make_shared<push>(push{own, node, page.heard[i].at(node).about.bytes_reserved, 0, 0}));
      switch (plan.own) {
        case repair_plan::own_copy::keep: break;
        case repair_plan::own_copy::remove:
          count("latham_copies_removed_total");
          log(ports::log_level::info, "copy removed, the blob was deleted elsewhere blob={}", to_string(own.blob));
          env_.own_blobs->remove(own.blob, here<void>([this](expected<void> result) { warn_of(result); }));
          break;
        case repair_plan::own_copy::give_up: give_up(own.blob); break;
        case repair_plan::own_copy::abandon: abandon(own.blob); break;
      }
    }
    next_ = page.blobs.back().blob;
    page_open_ = true;
    start_pushes();
  }

  /// One that is written here though its first home is elsewhere, because the members have changed meanwhile, has a record.
  void abandon(blob_id blob) {
    if (!own_) return;
    request(own_, env_.config.request_timeout, names_atom::value, blob_list{blob})
      .then(
        [this, blob](const bool_list& named) {
          if (!LATHAM_REACHED_IF("part_is_written_here", named.size() != 1 || named[0] != 0)) give_up(blob);
        },
        [](caf::error&) {});  // the next round looks again
  }

  void give_up(blob_id blob) {
    count("latham_copies_given_up_total");
    log(ports::log_level::debug, "copy given up, every home has one blob={}", to_string(blob));
    env_.own_blobs->drop(blob, here<void>([this](expected<void> result) { warn_of(result); }));
  }

  /// How long this process has seen an open copy as it is: who made its id, or this node, may have set the clock wrong by years.
  [[nodiscard]] nanoseconds unchanged_for(const ports::blob_stat& own) {
    const auto before = parts_.find(own.blob);
    const bool same = before != parts_.end() && before->second.bytes == own.bytes;
    const auto& seen = parts_seen_[own.blob] = same ? before->second : part{own.bytes, now()};
    return now() - seen.since;
  }

  void warn_of(const expected<void>& result) {
    if (!result) log(ports::log_level::warn, "a copy cannot be taken away code={} detail=\"{}\"", to_string(result.error().code), result.error().message);
  }

  // ---- Pushing -----------------------------------------------------------------------------------------------------

  void start_pushes() {
    while (pushing_ < pushes_max && !waiting_.empty()) {
      auto p = std::move(waiting_.front());
      waiting_.pop_front();
      ++pushing_;
      open(p, true);
    }
    if (pushing_ > 0 || !page_open_) return;
    page_open_ = false;
    later(page_pause, [this] { next_page(next_); });
  }

  void ended(const push_ptr& p, const expected<void>& result) {
    if (LATHAM_REACHED_IF("copy_repaired", result.has_value())) {
      ++pushed_;
      count("latham_copies_pushed_total");
      count("latham_copy_bytes_pushed_total", static_cast<double>(p->blob.bytes));
      log(ports::log_level::info, "copy pushed blob={} node={} bytes={}", to_string(p->blob.blob), p->node, p->blob.bytes);
    } else {
      count("latham_copies_push_failed_total", 1, {{"code", std::string{to_string(result.error().code)}}});
      log(ports::log_level::warn, "copy not pushed blob={} node={} code={} detail=\"{}\"", to_string(p->blob.blob), p->node, to_string(result.error().code), result.error().message);
    }
    --pushing_;
    start_pushes();
  }

  /// Goes on from what is there, whoever wrote it: it is a prefix, some of it acknowledged, and to cut it off would leave
  /// those bytes on one node less until all is sent again. A seal cannot be undone, so the prefix is compared before.
  void open(const push_ptr& p, bool first) {
    const auto token = push_token(p->blob);
    env_.transport->own_of(p->node)->open_write(token, here<std::uint64_t>([this, p, token, first](expected<std::uint64_t> bytes) {
      if (bytes && *bytes <= p->blob.bytes) {
        p->there = *bytes;
        return compare(p);
      }
      if (bytes) return first ? cut_to(p, p->blob.bytes, [this, p] { open(p, false); }) : ended(p, error{errc::conflict, "the copy holds more than the blob"});
      const bool others = bytes.error().code == errc::fenced;
      if (!first || (!others && bytes.error().code != errc::not_found)) return ended(p, bytes.error());
      reserve(p, token, others);
    }));
  }

  void reserve(const push_ptr& p, ports::write_token token, bool others) {
    // What an earlier writer reserved, and wrote, may be more than the blob has become.
    auto wide = token;
    if (others) wide.bytes_max = std::max(wide.bytes_max, p->reserved);
    env_.transport->own_of(p->node)->reserve(wide, here<void>([this, p, token, wide](expected<void> reserved) {
      if (!reserved) return ended(p, reserved);
      if (wide == token) return open(p, false);
      cut_to(p, p->blob.bytes, [this, p, token] {
        env_.transport->own_of(p->node)->reserve(token, here<void>([this, p](expected<void> again) {
          if (!again) return ended(p, again);
          open(p, false);
        }));
      });
    }));
  }

  /// Takes away what is there past `bytes`.
  void cut_to(const push_ptr& p, std::uint64_t bytes, std::function<void()> then) {
    env_.transport->own_of(p->node)->truncate(push_token(p->blob), bytes, here<void>([this, p, then = std::move(then)](expected<void> cut) {
      if (!cut && cut.error().code != errc::bad_range) return ended(p, cut);  // shorter already
      then();
    }));
  }

  void compare(const push_ptr& p) {
    if (p->sent == p->there) return send(p);
    const auto bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(ports::append_bytes_max, p->there - p->sent));
    env_.blobs->read(p->blob.blob, p->sent, bytes, here<buffer>([this, p, bytes](expected<buffer> own) {
      if (!own) return ended(p, own.error());
      if (own->size() != bytes) return ended(p, error{errc::corrupt, "the own copy is shorter than it was"});
      env_.transport->own_of(p->node)->read(p->blob.blob, p->sent, bytes, here<buffer>([this, p, bytes, own = *own](expected<buffer> theirs) {
        if (!theirs && theirs.error().code != errc::corrupt) return ended(p, theirs.error());
        const auto mine = own.view(), there = theirs ? theirs->view() : std::string_view{};
        const auto equal = static_cast<std::uint64_t>(std::mismatch(mine.begin(), mine.end(), there.begin(), there.end()).first - mine.begin());
        p->sent += equal;
        if (equal == bytes) return later(pace(bytes), [this, p] { compare(p); });
        log(ports::log_level::warn, "part of a copy is cut off, it holds other bytes blob={} node={} offset={}", to_string(p->blob.blob), p->node, p->sent);
        cut_to(p, p->sent, [this, p] { send(p); });
      }));
    }));
  }

  [[nodiscard]] milliseconds pace(std::uint32_t bytes) const {
    return milliseconds{static_cast<std::int64_t>(env_.config.repair_bytes_s == 0 ? 0 : bytes * 1'000ull * pushes_max / env_.config.repair_bytes_s)};
  }

  void send(const push_ptr& p) {
    if (p->sent == p->blob.bytes) return seal(p);
    const auto bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(ports::append_bytes_max, p->blob.bytes - p->sent));
    // Through the replicated store: a block that is damaged here comes from another copy.
    env_.blobs->read(p->blob.blob, p->sent, bytes, here<buffer>([this, p, bytes](expected<buffer> piece) {
      if (!piece) return ended(p, piece.error());
      if (piece->size() != bytes) return ended(p, error{errc::corrupt, "the own copy is shorter than it was"});
      env_.transport->own_of(p->node)->append(push_token(p->blob), p->sent, *piece, crc32c(piece->view()), here<std::uint64_t>([this, p, bytes](expected<std::uint64_t> durable) {
        if (!durable) return ended(p, durable.error());
        p->sent = std::min(p->sent + bytes, p->blob.bytes);
        later(pace(bytes), [this, p] { send(p); });
      }));
    }));
  }

  void seal(const push_ptr& p) {
    env_.transport->own_of(p->node)->seal(push_token(p->blob), p->blob.bytes, here<ports::blob_stat>([this, p](expected<ports::blob_stat> sealed) {
      if (!sealed) return ended(p, sealed.error());
      if (sealed->digest != p->blob.digest) return ended(p, error{errc::corrupt, "the copy holds other bytes than were sent"});
      ended(p, {});
    }));
  }

  // ---- Scrub -------------------------------------------------------------------------------------------------------

  void scrub_page(blob_id after) {
    env_.own_blobs->list(after, page_blobs, here<std::vector<ports::blob_stat>>([this](expected<std::vector<ports::blob_stat>> blobs) {
      if (!blobs || blobs->empty()) {
        later(std::max(env_.config.scrub_rest, env_.config.repair_period), [this] { scrub_page({}); });
        return;
      }
      scrub(std::make_shared<const std::vector<ports::blob_stat>>(std::move(*blobs)), 0, 0, {});
    }));
  }

  using scrubbed = std::shared_ptr<const std::vector<ports::blob_stat>>;  // shared by the reads of a page

  /// `owed`: the pause for what was read since the last one. Small blobs share one.
  void scrub(const scrubbed& blobs, std::size_t index, std::uint64_t offset, milliseconds owed) {
    while (index < blobs->size() && (!(*blobs)[index].sealed || offset >= (*blobs)[index].bytes)) {
      ++index;
      offset = 0;
    }
    if (index == blobs->size()) {
      later(page_pause + owed, [this, next = blobs->back().blob] { scrub_page(next); });
      return;
    }
    const auto& blob = (*blobs)[index];
    if (blob.bytes <= blob_block_bytes) return scrub_small(blobs, index, owed);
    const auto bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(blob_block_bytes, blob.bytes - offset));
    const auto go_on = [this, blobs, index, offset, bytes, owed] { scrub_after(owed + scrub_pace(bytes), blobs, index, offset + blob_block_bytes); };
    env_.own_blobs->read(blob.blob, offset, bytes, here<buffer>([this, blob, offset, bytes, go_on](expected<buffer> block) {
      const bool damaged = !block && block.error().code == errc::corrupt;
      // What could not be read was not looked at.
      if (block || damaged) count("latham_scrub_bytes_total", bytes);
      if (!damaged) return go_on();
      mend(blob, offset, bytes, go_on);
    }));
  }

  [[nodiscard]] milliseconds scrub_pace(std::uint64_t bytes) const { return milliseconds{static_cast<std::int64_t>(1 + bytes * 1'000ull / env_.config.scrub_bytes_s)}; }

  void scrub_after(milliseconds owed, const scrubbed& blobs, std::size_t index, std::uint64_t offset) {
    if (owed < scrub_pause) return scrub(blobs, index, offset, owed);
    later(owed, [this, blobs, index, offset] { scrub(blobs, index, offset, {}); });
  }

  /// Blobs of one block from `index` on: as many as share a pause are one operation.
  void scrub_small(const scrubbed& blobs, std::size_t index, milliseconds owed) {
    auto some = std::make_shared<std::vector<ports::blob_stat>>();  // shared by the mends of what is damaged
    std::vector<blob_id> ids;
    for (; index < blobs->size() && (*blobs)[index].bytes <= blob_block_bytes && owed < scrub_pause; ++index) {
      const auto& blob = (*blobs)[index];
      if (!blob.sealed || blob.bytes == 0) continue;
      some->push_back(blob);
      ids.push_back(blob.blob);
      owed += scrub_pace(blob.bytes);
    }
    env_.own_blobs->check_all(std::move(ids), here<std::vector<errc>>([this, blobs, index, owed, some](const expected<std::vector<errc>>& found) {
      std::vector<ports::blob_stat> damaged;
      for (std::size_t i = 0; found && i < some->size(); ++i) {
        const auto code = (*found)[i];
        if (code == errc::none || code == errc::corrupt) count("latham_scrub_bytes_total", static_cast<double>((*some)[i].bytes));
        if (code == errc::corrupt) damaged.push_back((*some)[i]);
      }
      *some = std::move(damaged);
      mend_all(some, [this, blobs, index, owed] { scrub_after(owed, blobs, index, 0); });
    }));
  }

  /// One after the other: each is read from another node.
  void mend_all(const std::shared_ptr<std::vector<ports::blob_stat>>& damaged, std::function<void()> go_on) {
    if (damaged->empty()) return go_on();
    const auto blob = damaged->back();
    damaged->pop_back();
    mend(blob, 0, static_cast<std::uint32_t>(blob.bytes), [this, damaged, go_on = std::move(go_on)] { mend_all(damaged, go_on); });
  }

  void mend(const ports::blob_stat& blob, std::uint64_t offset, std::uint32_t bytes, std::function<void()> go_on) {
    std::vector<std::shared_ptr<ports::blob_store>> others;
    for (const auto& node : placement_of(blob.blob, rules_))
      if (node != rules_.self) others.push_back(env_.transport->own_of(node));
    const auto finish = [this, blob, offset, go_on = std::move(go_on)](const expected<void>& mended) {
      if (LATHAM_REACHED_IF("corrupt_copy_mended", mended.has_value())) {
        count("latham_blocks_mended_total");
        log(ports::log_level::warn, "damaged block mended blob={} offset={}", to_string(blob.blob), offset);
      } else {
        count("latham_blocks_damaged_total");
        log(ports::log_level::error, "damaged block cannot be mended blob={} offset={} code={} detail=\"{}\"", to_string(blob.blob), offset, to_string(mended.error().code), mended.error().message);
      }
      go_on();
    };
    store::read_first(std::move(others), blob.blob, offset, bytes, here<buffer>([this, blob, offset, finish](expected<buffer> good) {
      if (!good) return finish(good.error());
      env_.own_blobs->mend(blob.blob, offset, std::move(*good), here<void>([finish](expected<void> result) { finish(result); }));
    }));
  }

  directory_actor directory_;
  const copy_rules rules_;
  std::map<node_name, storage_actor> peers_;
  storage_actor own_;
  std::set<node_name> agreed_;               // of them, those that place copies by the same rules; learned in this round
  std::map<node_name, instant> away_since_;  // all other members; when each was last lost
  std::map<blob_id, part> parts_;            // open copies, as the last round saw them
  std::map<blob_id, part> parts_seen_;       // and as this one does
  std::deque<push_ptr> waiting_;             // of one page: at most page_blobs times the homes of a blob
  std::uint32_t pushing_ = 0;
  blob_id next_;
  bool page_open_ = false;
  bool running_ = false;
  bool again_ = false;
  bool soon_ = false;
  bool follow_up_ = false;
  std::uint64_t lacking_ = 0;
  std::uint64_t pushed_ = 0;
};

}  // namespace

caf::actor spawn_repair(caf::event_based_actor* parent, const env& e, directory_actor directory) {
  return caf::actor_cast<caf::actor>(parent->spawn<repair>(&e, std::move(directory)));
}

}  // namespace latham
