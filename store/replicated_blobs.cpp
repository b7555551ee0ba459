#include "store/replicated_blobs.hpp"

#include "core/reach.hpp"
#include "core/upload/copy_session.hpp"

#include <algorithm>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <utility>

namespace latham::store {

namespace {

/// What a copy's failure says about the blob: `a` or `b`, whichever leaves more hope.
error worse_of(const error& a, const error& b) {
  const auto hope = [](errc code) { return code == errc::not_found ? 0 : code == errc::bad_range ? 1 : is_transient(code) ? 3 : 2; };
  return hope(b.code) > hope(a.code) ? b : a;
}

/// One read that goes from copy to copy.
struct reading : std::enable_shared_from_this<reading> {
  std::vector<std::shared_ptr<ports::blob_store>> stores;
  blob_id blob;
  std::uint64_t offset = 0;
  std::uint32_t bytes = 0;
  ports::completion<buffer> done;
  std::size_t next = 0;
  error why{errc::not_found, "no such blob"};
  std::optional<buffer> longest;  // of copies that are not sealed

  void go() {
    if (next == stores.size()) {
      // A copy that is not sealed is all there is only when nobody has another that could just not be read.
      if (longest && (why.code == errc::not_found || why.code == errc::bad_range)) return done(std::move(*longest));
      return done(why);
    }
    stores[next]->read(blob, offset, bytes, [self = shared_from_this()](expected<buffer> result) { self->on_read(std::move(result)); });
  }
  void on_read(expected<buffer> result) {
    const bool end = result ? result->size() < bytes : result.error().code == errc::bad_range;
    if (result && !end) return done(std::move(result));
    if (!end && !result && result.error().code == errc::invalid_argument) return done(std::move(result));
    if (!end) return failed(result.error());
    // The end of the blob, or of a copy that was left behind?
    stores[next]->stat(blob, [self = shared_from_this(), result = std::move(result)](expected<ports::blob_stat> about) mutable {
      const auto end_of_it = self->offset + (result ? result->size() : 0);
      if (about && about->sealed && end_of_it >= about->bytes) return self->done(std::move(result));
      // Who keeps a part knew of nobody who has more when it was read, and of one who has when it was asked for its length.
      if (LATHAM_REACHED_IF("part_of_a_sealed_blob_read", about && about->sealed)) return self->failed({errc::unavailable, "the storage nodes that hold the whole blob are not reachable"});
      if (result && (!self->longest || self->longest->size() < result->size())) self->longest = *result;
      self->failed(result ? error{errc::not_found, "no such blob"} : result.error());
    });
  }
  void failed(const error& e) {
    why = worse_of(why, e);
    ++next;
    go();
  }
};

}  // namespace

std::vector<std::shared_ptr<ports::blob_store>> stores_of(ports::blob_transport& transport, blob_id blob, const node_name& first, const copy_rules& rules) {
  auto order = placement_of(blob, rules);
  // Where it was written is the best guess, but not when it is being emptied, has left, or is not known here yet.
  const auto at = std::find(order.begin(), order.end(), first);
  if (at == order.end()) order.push_back(first);
  else if (!rules.draining.contains(first)) std::rotate(order.begin(), at, at + 1);
  std::vector<std::shared_ptr<ports::blob_store>> out;
  for (const auto& node : order) out.push_back(transport.at(node));
  return out;
}

void read_first(std::vector<std::shared_ptr<ports::blob_store>> stores, blob_id blob, std::uint64_t offset, std::uint32_t bytes,
                ports::completion<buffer> done, error before) {
  // One store and no copy elsewhere that failed: what it says is all there is to know.
  if (stores.size() == 1 && before.code == errc::not_found) return stores[0]->read(blob, offset, bytes, std::move(done));
  auto r = std::make_shared<reading>();  // shared with the completion under way
  r->why = std::move(before);
  r->stores = std::move(stores);
  r->blob = blob;
  r->offset = offset;
  r->bytes = bytes;
  r->done = std::move(done);
  r->go();
}

struct replicated_blobs::state : std::enable_shared_from_this<state> {
  state(ports::own_blobs& o, peer_blobs p, copy_rules r, const ports::clock& c, replicated_blobs_options opt)
    : own{o}, peer{std::move(p)}, rules{std::move(r)}, clock{c}, options{opt} {}

  struct piece {
    std::uint64_t offset = 0;
    buffer bytes;
  };
  using answer = std::function<void(const expected<void>&)>;

  struct session {
    session(blob_id b, const copy_rules& r, ports::write_token t) : blob{b}, token{t}, copies{b, r} {}
    const blob_id blob;
    const ports::write_token token;
    copy_session copies;
    std::map<std::uint64_t, answer> answers;  // by ticket
    std::uint64_t next_ticket = 1;
    std::deque<piece> kept;                   // what the replicas need next, in order
    std::size_t bytes_kept = 0;
    std::uint64_t used = 0;
    // Calls leave in order, whichever thread's event made them: one at a time. One that answers false is still at it (it reads
    // what is to be sent) and says when it has left.
    std::deque<std::function<bool()>> calls;
    bool leaving = false;
  };
  using session_ptr = std::shared_ptr<session>;  // shared with completions

  /// What all blobs have to do with one other node.
  struct lane {
    std::size_t under_way = 0;            // calls of sessions, and removes
    std::deque<session_ptr> held;         // whose replica there had too much to do, longest first
    std::size_t room = 0;                 // answers that nobody of `held` has used
    bool letting = false;                 // a thread lets them go on
    std::deque<std::pair<blob_id, answer>> removes;  // that wait
    std::size_t removing = 0;
    bool pumping = false;                 // a thread starts removes
  };

  /// An event of a session: rules under the lock, then what they ask for without it.
  void run(const session_ptr& s, const std::function<void(copy_session&, instant, copy_actions&)>& event) {
    std::vector<std::pair<answer, expected<void>>> answers;
    std::vector<std::pair<node_name, error>> dropped;
    {
      const std::lock_guard guard{mutex};
      copy_actions out;
      event(s->copies, clock.now(), out);
      take(s, out, answers);
      dropped = std::move(out.dropped);
    }
    for (const auto& [node, why] : dropped) {
      if (options.metrics != nullptr) options.metrics->add("latham_copies_dropped_total", 1, {{"code", std::string{to_string(why.code)}}});
      if (options.log != nullptr && options.log->enabled(ports::log_level::debug))
        options.log->write(ports::log_level::debug, "replica dropped blob=" + to_string(s->blob) + " node=" + node + " code=" + std::string{to_string(why.code)} +
                                                      " detail=\"" + why.message + "\"");
    }
    for (auto& [tell, result] : answers) tell(result);
    leave(s);
  }

  /// Under the lock.
  void take(const session_ptr& s, copy_actions& out, std::vector<std::pair<answer, expected<void>>>& answers) {
    for (auto& [ticket, result] : out.answers) {
      const auto at = s->answers.find(ticket);
      if (at == s->answers.end()) continue;
      answers.emplace_back(std::move(at->second), std::move(result));
      s->answers.erase(at);
    }
    for (const auto& call : out.calls) s->calls.push_back(prepare(s, call));
    for (const auto& node : out.held) {
      auto& held = lanes[node].held;
      if (std::find(held.begin(), held.end(), s) == held.end()) held.push_back(s);
    }
    const auto needed = s->copies.sent_to_all();
    while (!s->kept.empty() && s->kept.front().offset + s->kept.front().bytes.size() <= needed) unkeep(*s);
    const auto at = sessions.find(s->blob);
    if (at == sessions.end() || at->second != s || !s->copies.done()) return;
    while (!s->kept.empty()) unkeep(*s);
    sessions.erase(at);
  }

  void unkeep(session& s) {
    const auto size = s.kept.front().bytes.size();
    s.bytes_kept -= size;
    bytes_kept -= size;
    s.kept.pop_front();
  }

  void leave(const session_ptr& s) {
    for (;;) {
      std::function<bool()> call;
      {
        const std::lock_guard guard{mutex};
        if (s->leaving || s->calls.empty()) return;
        s->leaving = true;
        call = std::move(s->calls.front());
        s->calls.pop_front();
      }
      if (!call()) return;
      const std::lock_guard guard{mutex};
      s->leaving = false;
    }
  }

  void left(const session_ptr& s) {
    {
      const std::lock_guard guard{mutex};
      s->leaving = false;
    }
    leave(s);
  }

  /// A call's completion, which is made as the call leaves for `node`: whoever is held there goes on after its answer.
  template <class T>
  ports::completion<T> counted(const node_name& node, ports::completion<T> done) {
    {
      const std::lock_guard guard{mutex};
      ++lanes[node].under_way;
    }
    return [this, self = shared_from_this(), node, done = std::move(done)](expected<T> result) {
      const bool refused = !result && result.error().code == errc::limited;
      {
        const std::lock_guard guard{mutex};
        --lanes[node].under_way;
      }
      done(std::move(result));
      if (refused) stalled(node);
      else has_room(node);
    };
  }

  /// One answer lets one session go on. Completions may come inside the call that they answer, so the first does it for all.
  void has_room(const node_name& node) {
    std::size_t spare = 0;  // for those who have nothing to ask any more, and so bring no answer
    {
      const std::lock_guard guard{mutex};
      auto& l = lanes[node];
      ++l.room;
      if (l.letting) return;
      l.letting = true;
    }
    for (bool first = true;; first = false) {
      session_ptr s;
      {
        const std::lock_guard guard{mutex};
        auto& l = lanes[node];
        if (first) spare = l.held.size();
        if (l.held.empty() || (l.room == 0 && (l.under_way > 0 || spare == 0))) {
          l.room = 0;
          l.letting = false;
          break;
        }
        --(l.room > 0 ? l.room : spare);
        s = std::move(l.held.front());
        l.held.pop_front();
        const auto at = sessions.find(s->blob);
        if (at == sessions.end() || at->second != s) continue;  // it has ended
      }
      run(s, [&](copy_session& rules_, instant now, copy_actions& out) { rules_.on_room(node, now, out); });
    }
    stalled(node);
  }

  /// Others fill the node. With nothing of ours under way there, nobody would tell those who are held to go on.
  void stalled(const node_name& node) {
    std::vector<session_ptr> held;
    {
      const std::lock_guard guard{mutex};
      const auto& l = lanes[node];
      if (l.under_way > 0 || l.letting) return;
      held.assign(l.held.begin(), l.held.end());
    }
    for (const auto& s : held) run(s, [&](copy_session& rules_, instant now, copy_actions& out) { rules_.on_stalled(node, now, out); });
  }

  void remove_at(const node_name& node, blob_id blob, answer done) {
    {
      const std::lock_guard guard{mutex};
      auto& waiting = lanes[node].removes;
      if (waiting.size() < options.removes_waiting_max) waiting.emplace_back(blob, std::exchange(done, nullptr));
    }
    if (done) return done(error{errc::limited, "too many deletes wait for the node"});
    pump(node);
  }

  void pump(const node_name& node) {
    for (bool first = true;; first = false) {
      std::pair<blob_id, answer> next;
      {
        const std::lock_guard guard{mutex};
        auto& l = lanes[node];
        if (first && l.pumping) return;
        l.pumping = !l.removes.empty() && l.removing < options.removes_under_way_max;
        if (!l.pumping) return;
        next = std::move(l.removes.front());
        l.removes.pop_front();
        ++l.removing;
      }
      peer(node)->remove(next.first, counted<void>(node, [this, self = shared_from_this(), node, done = std::move(next.second)](const expected<void>& result) {
        {
          const std::lock_guard guard{mutex};
          --lanes[node].removing;
        }
        done(result);
        pump(node);
      }));
    }
  }

  /// Under the lock: what is to be called, with the bytes as far as they are at hand.
  std::function<bool()> prepare(const session_ptr& s, const copy_call& c) {
    switch (c.what) {
      case copy_call::kind::look:
        return [this, self = shared_from_this(), s, c] {
          peer(c.node)->stat(s->blob, counted<ports::blob_stat>(c.node, [this, self, s, c](expected<ports::blob_stat> about) {
            run(s, [&](copy_session& rules_, instant now, copy_actions& out) { rules_.on_looked(c.replica, c.attempt, about, now, out); });
          }));
          return true;
        };
      case copy_call::kind::reserve:
        return [this, self = shared_from_this(), s, c] {
          peer(c.node)->reserve(s->token, counted<void>(c.node, [this, self, s, c](expected<void> result) {
            run(s, [&](copy_session& rules_, instant now, copy_actions& out) { rules_.on_reserved(c.replica, c.attempt, result, now, out); });
          }));
          return true;
        };
      case copy_call::kind::open:
        return [this, self = shared_from_this(), s, c] {
          peer(c.node)->open_write(s->token, counted<std::uint64_t>(c.node, [this, self, s, c](expected<std::uint64_t> bytes) {
            run(s, [&](copy_session& rules_, instant now, copy_actions& out) { rules_.on_opened(c.replica, c.attempt, bytes, now, out); });
          }));
          return true;
        };
      case copy_call::kind::cut:
        return [this, self = shared_from_this(), s, c] {
          peer(c.node)->truncate(s->token, c.bytes, counted<void>(c.node, [this, self, s, c](expected<void> result) {
            run(s, [&](copy_session& rules_, instant now, copy_actions& out) { rules_.on_cut(c.replica, c.attempt, result, now, out); });
          }));
          return true;
        };
      case copy_call::kind::seal:
        return [this, self = shared_from_this(), s, c] {
          peer(c.node)->seal(s->token, c.bytes, counted<ports::blob_stat>(c.node, [this, self, s, c](expected<ports::blob_stat> about) {
            run(s, [&](copy_session& rules_, instant now, copy_actions& out) { rules_.on_sealed(c.replica, c.attempt, about, now, out); });
          }));
          return true;
        };
      case copy_call::kind::send: break;
    }
    // What was just written is sent from memory, a copy that catches up from the own disk.
    for (const auto& p : s->kept) {
      if (c.offset < p.offset || c.offset + c.bytes > p.offset + p.bytes.size()) continue;
      return [this, self = shared_from_this(), s, c, bytes = p.bytes.slice(c.offset - p.offset, c.bytes)] {
        send(s, c, bytes);
        return true;
      };
    }
    return [this, self = shared_from_this(), s, c] {
      own.read(s->blob, c.offset, static_cast<std::uint32_t>(c.bytes), [this, self, s, c](expected<buffer> bytes) {
        if (bytes && bytes->size() != c.bytes) bytes = error{errc::corrupt, "the own copy is shorter than it was"};
        if (bytes) send(s, c, *bytes);
        else run(s, [&](copy_session& rules_, instant now, copy_actions& out) { rules_.on_sent(c.replica, c.attempt, bytes.error(), now, out); });
        left(s);
        if (!bytes && bytes.error().code == errc::limited) stalled(c.node);
      });
      return false;
    };
  }

  void send(const session_ptr& s, const copy_call& c, const buffer& bytes) {
    peer(c.node)->append(s->token, c.offset, bytes, crc32c(bytes.view()), counted<std::uint64_t>(c.node, [this, self = shared_from_this(), s, c](expected<std::uint64_t> durable) {
      run(s, [&](copy_session& rules_, instant now, copy_actions& out) { rules_.on_sent(c.replica, c.attempt, durable, now, out); });
    }));
  }

  /// The session of a token that the own store has just accepted. A newer token ends the older one's.
  session_ptr session_of(const ports::write_token& token) {
    session_ptr old, mine;
    {
      const std::lock_guard guard{mutex};
      auto& slot = sessions[token.blob];
      if (slot && slot->token.nonce != token.nonce) old = std::move(slot);
      if (!slot || old) slot = std::make_shared<session>(token.blob, rules, token);
      slot->used = ++uses;
      mine = slot;
      if (sessions.size() > options.sessions_max) make_room();
    }
    if (old) end(old, {errc::fenced, "a newer token for this blob exists"});
    return mine;
  }

  /// Under the lock.
  void make_room() {
    auto oldest = sessions.end();
    for (auto at = sessions.begin(); at != sessions.end(); ++at)
      if (at->second->copies.idle() && at->second->used != uses && (oldest == sessions.end() || at->second->used < oldest->second->used)) oldest = at;
    if (oldest == sessions.end()) return;
    while (!oldest->second->kept.empty()) unkeep(*oldest->second);
    sessions.erase(oldest);
  }

  void end(const session_ptr& s, const error& why) {
    run(s, [&](copy_session& rules_, instant, copy_actions& out) {
      rules_.close(why, out);
      s->calls.clear();
    });
    const std::lock_guard guard{mutex};
    while (!s->kept.empty()) unkeep(*s);
  }

  /// The session that was ended, if there was one.
  session_ptr forget(blob_id blob, const error& why) {
    session_ptr s;
    {
      const std::lock_guard guard{mutex};
      const auto at = sessions.find(blob);
      if (at == sessions.end()) return nullptr;
      s = at->second;
      sessions.erase(at);
    }
    end(s, why);
    return s;
  }

  [[nodiscard]] bool writes(blob_id blob) {
    const std::lock_guard guard{mutex};
    return sessions.contains(blob);
  }

  void wait(const session_ptr& s, copy_goal goal, std::uint64_t bytes, answer done, const std::function<void(copy_session&, instant, copy_actions&)>& before) {
    run(s, [&](copy_session& rules_, instant now, copy_actions& out) {
      if (before) before(rules_, now, out);
      const auto ticket = s->next_ticket++;
      s->answers[ticket] = std::move(done);
      rules_.wait(ticket, goal, bytes, now, out);
    });
  }

  [[nodiscard]] std::vector<node_name> others(blob_id blob) const {
    auto all = placement_of(blob, rules);
    std::erase(all, rules.self);
    return all;
  }

  ports::own_blobs& own;
  const peer_blobs peer;
  const copy_rules rules;
  const ports::clock& clock;
  const replicated_blobs_options options;
  mutable std::mutex mutex;
  std::map<blob_id, session_ptr> sessions;
  std::map<node_name, lane> lanes;  // of the other members
  std::uint64_t uses = 0;
  std::size_t bytes_kept = 0;
};

replicated_blobs::replicated_blobs(ports::own_blobs& own, peer_blobs peer, copy_rules rules, const ports::clock& clock, replicated_blobs_options options)
  : state_{std::make_shared<state>(own, std::move(peer), std::move(rules), clock, options)} {}

replicated_blobs::~replicated_blobs() {
  std::map<blob_id, state::session_ptr> left;
  std::vector<state::answer> removes;
  {
    const std::lock_guard guard{state_->mutex};
    left.swap(state_->sessions);
    for (auto& [node, l] : state_->lanes) {
      l.held.clear();
      for (auto& [blob, done] : l.removes) removes.push_back(std::move(done));
      l.removes.clear();
    }
  }
  for (const auto& done : removes) done(error{errc::unavailable, "the node is stopping"});
  for (const auto& [blob, s] : left) state_->end(s, {errc::unavailable, "the node is stopping"});
}

std::size_t replicated_blobs::sessions() const {
  const std::lock_guard guard{state_->mutex};
  return state_->sessions.size();
}

void replicated_blobs::reserve(ports::write_token token, ports::completion<void> done) {
  auto s = state_;
  s->own.look(token.blob, [s, token, done = std::move(done)](expected<ports::blob_look> before) {
    if (!before) return done(before.error());
    const bool fresh = before->presence == ports::blob_presence::missing;
    s->own.reserve(token, [s, token, fresh, done](expected<void> reserved) {
      if (!reserved) return done(std::move(reserved));
      const auto promise = [s, token, fresh, done](std::uint64_t bytes) {
        auto mine = s->session_of(token);
        s->wait(mine, copy_goal::reserved, 0, [s, token, fresh, mine, done](const expected<void>& enough) {
          if (enough || !fresh) return done(enough);
          // A promise that is not kept must not hold space: the id is dead wherever it got to.
          std::vector<node_name> nodes;
          {
            const std::lock_guard guard{s->mutex};
            nodes = mine->copies.reserved_at();
          }
          (void)s->forget(token.blob, enough.error());
          // Also when nobody is known to have promised: an answer that was lost may have been a promise, which only the
          // tombstone here lets the repair take back.
          for (const auto& node : nodes) s->remove_at(node, token.blob, [](const expected<void>&) {});
          s->own.remove(token.blob, [done, enough](const expected<void>&) { done(enough); });
        },
        [bytes](copy_session& rules, instant now, copy_actions& out) { rules.on_own(bytes, now, out); });
      };
      if (fresh) return promise(0);
      // What earlier writers left here, who can add nothing more: a replica that has it is not to be cut.
      s->own.stat(token.blob, [promise, done](expected<ports::blob_stat> about) {
        if (!about) return done(about.error());
        promise(about->bytes);
      });
    });
  });
}

void replicated_blobs::open_write(ports::write_token token, ports::completion<std::uint64_t> done) {
  auto s = state_;
  s->own.open_write(token, [s, token, done = std::move(done)](expected<std::uint64_t> bytes) {
    if (!bytes) return done(std::move(bytes));
    s->wait(s->session_of(token), copy_goal::length, *bytes,
            [bytes = *bytes, done](const expected<void>& enough) {
              if (!enough) return done(enough.error());
              done(bytes);
            },
            [bytes = *bytes](copy_session& rules, instant now, copy_actions& out) { rules.on_own(bytes, now, out); });
  });
}

void replicated_blobs::append(ports::write_token token, std::uint64_t offset, buffer bytes, std::uint32_t crc,
                              ports::completion<std::uint64_t> done) {
  auto s = state_;
  s->own.append(token, offset, bytes, crc, [s, token, offset, bytes, done = std::move(done)](expected<std::uint64_t> durable) {
    if (!durable) return done(std::move(durable));
    const auto mine = s->session_of(token);
    {
      const std::lock_guard guard{s->mutex};
      const bool next = mine->kept.empty() || mine->kept.back().offset + mine->kept.back().bytes.size() == offset;
      if (next && mine->bytes_kept + bytes.size() <= s->options.bytes_kept_per_blob_max && s->bytes_kept + bytes.size() <= s->options.bytes_kept_max) {
        mine->kept.push_back({offset, bytes});
        mine->bytes_kept += bytes.size();
        s->bytes_kept += bytes.size();
      }
    }
    s->wait(mine, copy_goal::length, *durable,
            [durable = *durable, done](const expected<void>& enough) {
              if (!enough) return done(enough.error());
              done(durable);
            },
            [durable = *durable](copy_session& rules, instant now, copy_actions& out) { rules.on_own(durable, now, out); });
  });
}

void replicated_blobs::seal(ports::write_token token, std::uint64_t bytes, ports::completion<ports::blob_stat> done) {
  auto s = state_;
  s->own.seal(token, bytes, [s, token, done = std::move(done)](expected<ports::blob_stat> about) {
    if (!about) return done(std::move(about));
    s->wait(s->session_of(token), copy_goal::sealed, about->bytes,
            [about = *about, done](const expected<void>& enough) {
              if (!enough) return done(enough.error());
              done(about);
            },
            [about = *about](copy_session& rules, instant now, copy_actions& out) { rules.on_own_sealed(about, now, out); });
  });
}

void replicated_blobs::truncate(ports::write_token token, std::uint64_t bytes, ports::completion<void> done) {
  struct progress {
    std::mutex mutex;
    std::size_t left = 0;
    expected<void> result;
  };
  auto s = state_;
  // Copies are taken up again with what is left.
  const auto ended = s->forget(token.blob, {errc::cancelled, "the blob is cut"});
  const auto nodes = s->others(token.blob);
  auto p = std::make_shared<progress>();  // shared by the answers
  p->left = nodes.size();
  auto finish = [s, token, bytes, done = std::move(done), p] {
    if (!p->result) return done(p->result);
    s->own.truncate(token, bytes, done);
  };
  if (nodes.empty()) return finish();
  const auto cut_all = [s, token, bytes, nodes, p, finish] {
    for (const auto& node : nodes)
      s->peer(node)->truncate(token, bytes, [p, finish](expected<void> cut) {
        {
          const std::lock_guard guard{p->mutex};
          // No copy, a dead one, and one that is shorter already.
          const bool harmless = cut || cut.error().code == errc::not_found || cut.error().code == errc::conflict || cut.error().code == errc::bad_range;
          if (!harmless) p->result = std::move(cut);
          if (--p->left > 0) return;
        }
        finish();
      });
    return true;
  };
  if (!ended) {
    (void)cut_all();
    return;
  }
  // Behind an append that is just leaving on another thread.
  {
    const std::lock_guard guard{s->mutex};
    ended->calls.emplace_back(cut_all);
  }
  s->leave(ended);
}

void replicated_blobs::read(blob_id blob, std::uint64_t offset, std::uint32_t bytes, ports::completion<buffer> done) {
  auto s = state_;
  s->own.read(blob, offset, bytes, [s, blob, offset, bytes, done = std::move(done)](expected<buffer> result) {
    if (result && result->size() == bytes) return done(std::move(result));
    if (!result && result.error().code == errc::invalid_argument) return done(std::move(result));
    if (s->writes(blob)) return done(std::move(result));  // here is all there is
    const auto damaged = !result && (result.error().code == errc::corrupt || result.error().code == errc::io);
    const auto elsewhere = [s, blob, offset, bytes, done, result, damaged] {
      if (damaged && s->options.metrics != nullptr) s->options.metrics->add("latham_reads_from_replica_total", 1, {{"cause", std::string{to_string(result.error().code)}}});
      std::vector<std::shared_ptr<ports::blob_store>> stores;
      for (const auto& node : s->others(blob)) stores.push_back(s->peer(node));
      read_first(std::move(stores), blob, offset, bytes, [done, result](expected<buffer> found) {
        if (found && (!result || found->size() >= result->size())) return done(std::move(found));
        // An open copy, and nobody has more.
        if (result && (found || found.error().code == errc::not_found || found.error().code == errc::bad_range)) return done(result);
        if (!found) return done(result ? found.error() : worse_of(result.error(), found.error()));
        done(std::move(found));
      }, result ? error{errc::not_found, "no such blob"} : result.error());
    };
    if (!result && result.error().code != errc::bad_range) return elsewhere();
    s->own.stat(blob, [done, result, elsewhere](const expected<ports::blob_stat>& about) {
      if (about && about->sealed) return done(result);
      elsewhere();
    });
  });
}

void replicated_blobs::stat(blob_id blob, ports::completion<ports::blob_stat> done) {
  struct progress {
    std::mutex mutex;
    std::size_t left = 0;
    std::size_t unknown = 0;
    std::optional<ports::blob_stat> sealed;
    expected<ports::blob_stat> own = error{};
  };
  auto s = state_;
  s->own.stat(blob, [s, blob, done = std::move(done)](expected<ports::blob_stat> mine) {
    const auto nodes = s->others(blob);
    if ((mine && mine->sealed) || nodes.empty() || s->writes(blob)) return done(std::move(mine));
    auto p = std::make_shared<progress>();  // shared by the answers
    p->left = nodes.size();
    p->own = std::move(mine);
    for (const auto& node : nodes)
      s->peer(node)->stat(blob, [s, p, done](const expected<ports::blob_stat>& theirs) {
        {
          const std::lock_guard guard{p->mutex};
          if (theirs && theirs->sealed && !p->sealed) p->sealed = *theirs;
          if (!theirs && theirs.error().code != errc::not_found) ++p->unknown;
          if (--p->left > 0) return;
        }
        if (p->sealed) return done(*p->sealed);
        // One that is not heard may have the only copy that is left: another's disk was lost, or it is older than the copies. A part
        // that nobody writes here may be what was pushed of it so far.
        if ((p->own || p->own.error().code == errc::not_found) && p->unknown > 0)
          return done(error{errc::unavailable, "the storage nodes that may hold the blob are not reachable"});
        done(std::move(p->own));
      });
  });
}

void replicated_blobs::remove(blob_id blob, ports::completion<void> done) {
  struct progress {
    std::mutex mutex;
    std::size_t left = 0;
    expected<void> own;
  };
  auto s = state_;
  (void)s->forget(blob, {errc::conflict, "the blob is deleted"});
  const auto nodes = s->others(blob);
  auto p = std::make_shared<progress>();  // shared by the answers
  p->left = nodes.size() + 1;
  const auto step = [p, done = std::move(done)](const expected<void>* own) {
    {
      const std::lock_guard guard{p->mutex};
      if (own != nullptr) p->own = *own;
      if (--p->left > 0) return;
    }
    done(p->own);
  };
  s->own.remove(blob, [step](const expected<void>& removed) { step(&removed); });
  for (const auto& node : nodes) s->remove_at(node, blob, [step](const expected<void>&) { step(nullptr); });
}

void replicated_blobs::list(blob_id after, std::uint32_t limit, ports::completion<std::vector<ports::blob_stat>> done) {
  state_->own.list(after, limit, std::move(done));
}

}  // namespace latham::store
