#include "sim/faults.hpp"

#include "core/cluster/placement.hpp"

#include <algorithm>

namespace latham::sim {

namespace {

constexpr nanoseconds restart_of_locked_out{seconds{1}};
constexpr nanoseconds looks_for_repair_every{milliseconds{250}};
constexpr nanoseconds lights_differ_by{seconds{3}};

bool only_stops(std::string_view kind) { return kind == "stop" || kind == "rolling_restart" || kind == "upgrade" || kind == "grow" || kind == "shrink"; }

}  // namespace

faults::faults(surroundings& around, std::vector<std::unique_ptr<machine>>& machines, std::function<void(machine&)> start, std::function<bool(const machine&)> has_work,
               std::function<bool(const machine&)> may_lose_disk, std::function<void(std::size_t)> change_cluster)
  : around_{around}, machines_{machines}, start_{std::move(start)}, has_work_{std::move(has_work)}, may_lose_disk_{std::move(may_lose_disk)},
    change_cluster_{std::move(change_cluster)}, active_(around.what.faults.size()) {}

void faults::begin() {
  for (std::size_t i = 0; i < around_.what.faults.size(); ++i) {
    around_.faults.plan(around_.what.faults[i].kind);
    around_.time.after(milliseconds{around_.what.faults[i].at_ms}, [this, i] {
      if (!healed_) inject(i);
    });
  }
  around_.time.after(milliseconds{around_.what.trouble_ms}, [this] { heal_all(); });
}

void faults::say(std::size_t which, const std::string& text) {
  const auto& f = around_.what.faults[which];
  around_.log.note(std::string_view{f.kind});
  if (!around_.log.keeps()) return;
  for (auto* m : targets(f.nodes)) around_.log.say(around_.time.now(), trace::what::fault, m->index(), m->index(), f.kind + " " + text);
}

std::vector<machine*> faults::targets(const std::vector<std::string>& names) {
  std::vector<machine*> out;
  for (const auto& m : machines_)
    if (m->wanted() && std::find(names.begin(), names.end(), m->name()) != names.end()) out.push_back(m.get());
  return out;
}

void faults::restart_later(machine& m, nanoseconds wait) {
  around_.time.after(wait, [this, &m] {
    if (!m.runs() && m.wanted()) start_(m);
  });
}

/// The name moves to a new process on another machine, with an empty disk, while the first lives on: its pod was deleted by
/// force because nobody could reach its machine. To a storage node that is the loss of a disk.
void faults::start_twin(machine& first) {
  for (const auto& other : machines_) {
    if (other->name() != first.name() || other.get() == &first) continue;
    if (!first.runs() || other->runs() || !first.wanted()) return;  // nothing to be a twin of, or the last one still lives
    if (!may_lose_disk_(first)) {
      around_.time.after(looks_for_repair_every, [this, &first] {
        if (!healed_) start_twin(first);
      });
      return;
    }
    disturb(lights_differ_by);
    around_.net.point(other->index());
    other->storage().lose();
    start_(*other);
    return;
  }
}

void faults::twin_ended(const machine& first) {
  for (std::size_t i = 0; i < around_.what.faults.size(); ++i) {
    const auto& f = around_.what.faults[i];
    if (f.kind == "twin" && std::find(f.nodes.begin(), f.nodes.end(), first.name()) != f.nodes.end() && milliseconds{f.at_ms} <= around_.time.age()) around_.faults.bites(i);
  }
}

/// The name moves while the first process has the lock of the disk: the second ends as often as it is started, so nobody
/// listens where the name points to. Once the first can be reached it is ended, as its pod's deletion says.
void faults::lock_out_twin(std::size_t which, machine& first) {
  if (!first.runs()) return;
  around_.net.move(first.index());
  std::vector<node_index> others;
  for (const auto& m : machines_)
    if (m.get() != &first) others.push_back(m->index());
  around_.net.afflict(which, network::ill::refusing, others, {first.index()}, 0);
  locked_by_[{which, first.index()}] = first.life();
}

void faults::take_down(std::size_t which, machine& m, bool silent) {
  if (!m.runs()) return;
  disturb(milliseconds{around_.what.faults[which].for_ms});
  if (has_work_(m)) around_.faults.bites(which);
  m.kill(silent);
}

/// Nobody promises anything of two disks lost at once: this one waits until what the last one held is on as many again.
void faults::lose_disk(std::size_t which, machine& m) {
  if (healed_) return;
  if (!may_lose_disk_(m)) {
    around_.time.after(looks_for_repair_every, [this, which, &m] { lose_disk(which, m); });
    return;
  }
  take_down(which, m, false);
  m.storage().lose();
  restart_later(m, milliseconds{around_.what.faults[which].for_ms});
}

/// A volume is replaced by an empty one, and put back after a while, as an operator may who found it again: two lost disks, one
/// after the other.
void faults::replace_volume(std::size_t which, machine& m, bool back) {
  if (healed_) return;
  if (!may_lose_disk_(m)) {
    around_.time.after(looks_for_repair_every, [this, which, &m, back] { replace_volume(which, m, back); });
    return;
  }
  const auto& f = around_.what.faults[which];
  disturb(milliseconds{f.for_ms});
  m.kill(false);
  if (!back) m.storage().put_aside();
  else if (m.storage().bring_back()) around_.faults.bites(which);
  restart_later(m, milliseconds{f.for_ms});
  if (!back) around_.time.after(milliseconds{f.for_ms + f.amount}, [this, which, &m] { replace_volume(which, m, true); });
}

/// A process dies at any moment, but an append is a short one: this one waits for it.
void faults::tear_append(std::size_t which, machine& m) {
  m.storage().when_appending([this, which, &m] {
    if (healed_ || !m.runs()) return;
    const auto before = m.storage().appends_torn();
    m.kill(false);
    if (m.storage().appends_torn() > before) around_.faults.bites(which);
    restart_later(m, milliseconds{around_.what.faults[which].amount});
  });
}

/// Bits turn in blobs that are sealed, also where nobody looks for long. One copy of a blob at a time: nobody promises anything
/// of a blob whose copies are all damaged. Waits while there is none that may be.
void faults::rot(std::size_t which, machine& m) {
  if (!active_[which]) return;
  const auto amount = around_.what.faults[which].amount;
  bool any = false;
  for (const auto& stat : m.storage().blobs_as_they_are().contents())
    if (stat.sealed && stat.bytes > 0 && around_.time.chance(amount) && has_another_whole(m, stat.blob)) any |= m.storage().rot(which, stat.blob, around_.time.draw(stat.bytes));
  if (any) return;
  around_.time.after(looks_for_repair_every, [this, which, &m] { rot(which, m); });
}

/// At a home, where nobody gives it up; and none is damaged.
bool faults::has_another_whole(const machine& m, blob_id blob) const {
  const auto rules = make_copy_rules({}, m.configured().storages, m.configured().draining, static_cast<std::uint32_t>(around_.what.knobs.copies), 0);
  const auto homes = homes_of(blob, rules);
  bool whole = false;
  for (const auto& other : machines_) {
    if (other->role() != node_role::storage) continue;
    auto& blobs = other->storage().blobs_as_they_are();
    const auto damaged = blobs.damaged();
    if (std::find(damaged.begin(), damaged.end(), blob) != damaged.end()) return false;
    if (other.get() == &m || !other->wanted() || std::find(homes.begin(), homes.end(), other->name()) == homes.end()) continue;
    const auto all = blobs.contents();
    whole |= std::any_of(all.begin(), all.end(), [&](const ports::blob_stat& stat) { return stat.blob == blob && stat.sealed; });
  }
  return whole;
}

void faults::on_links(std::size_t which, const fault& f, const std::vector<machine*>& nodes) {
  std::vector<node_index> from;
  std::vector<node_index> to;
  for (auto* m : nodes) from.push_back(m->index());
  if (f.others.empty()) {
    for (const auto& m : machines_)
      if (std::find(from.begin(), from.end(), m->index()) == from.end()) to.push_back(m->index());
  } else {
    for (auto* m : targets(f.others)) to.push_back(m->index());
  }
  auto& net = around_.net;
  using ill = network::ill;
  const auto both = [&](ill what) {
    net.afflict(which, what, from, to, f.amount);
    net.afflict(which, what, to, from, f.amount);
  };
  const bool cut_off_twin = (f.kind == "twin" || f.kind == "twin_shared") && f.amount != 0;
  if (f.kind == "partition" || cut_off_twin) both(ill::blocked);
  if (f.kind == "partition_one_way") net.afflict(which, ill::blocked, from, to, 0);
  if (f.kind == "refuse") both(ill::refusing);
  if (f.kind == "stall_handshake") both(ill::stalling);
  if (f.kind == "delay") both(ill::slow);
  if (f.kind == "loss") both(ill::lossy);
  if (f.kind == "bandwidth") both(ill::narrow);
  // A link that stands is not dialed: what makes dials fail ends those that there are.
  if (f.kind == "reset" || f.kind == "refuse" || f.kind == "stall_handshake")
    for (const auto a : from)
      for (const auto b : to) net.reset(which, a, b);
}

void faults::inject(std::size_t which) {
  const auto& f = around_.what.faults[which];
  around_.faults.injected(which);
  active_[which] = true;
  say(which, "begins");
  const auto nodes = targets(f.nodes);
  const nanoseconds lasts = milliseconds{f.for_ms};
  if (!only_stops(f.kind)) disturb(lasts + lights_differ_by);
  on_links(which, f, nodes);
  if (f.kind == "grow" || f.kind == "shrink") change_cluster_(which);
  if (f.kind == "rolling_restart" || f.kind == "upgrade") {
    nanoseconds wait{0};
    for (auto* m : nodes) {
      around_.time.after(wait, [this, which, m, lasts] {
        if (healed_) return;
        if (around_.what.faults[which].kind == "upgrade") m->change_release();  // also of one that is down: its image is another
        if (!m->runs()) return;
        if (has_work_(*m)) around_.faults.bites(which);
        m->stop([this, m, lasts] { restart_later(*m, lasts); });
      });
      wait += milliseconds{f.amount};
    }
    return;
  }
  for (auto* m : nodes) {
    if (f.kind == "disk_lost") lose_disk(which, *m);
    if (f.kind == "old_volume") replace_volume(which, *m, false);
    if (f.kind == "kill" || f.kind == "move" || f.kind == "dark") {
      take_down(which, *m, f.kind == "dark");
      if (f.kind == "move") around_.net.move(m->index());
      // After the dark machines come on again in any order.
      restart_later(*m, f.kind == "dark" ? lasts + around_.time.draw(nanoseconds{0}, lights_differ_by) : lasts);
    }
    if (f.kind == "stop" && m->runs()) {
      if (has_work_(*m)) around_.faults.bites(which);
      m->stop([this, m, lasts] { restart_later(*m, lasts); });
    }
    if (f.kind == "twin") start_twin(*m);
    if (f.kind == "twin_shared") lock_out_twin(which, *m);
    if (f.kind == "pause") m->pause(which);
    if (f.kind == "cpu_stress") m->slow_down(which, nanoseconds{f.amount * 1'000});
    if (f.kind == "clock_jump") {
      m->jump_wall_clock(f.amount);
      if (m->role() == node_role::storage && m->runs()) around_.faults.bites(which);  // it stamps ids and records
    }
    if (f.kind == "dns_failure") m->dns = {which, f.amount, around_.time.now() + lasts};
    using ill = disk::ill;
    if (f.kind == "disk_slow") m->storage().afflict(which, ill::slow, f.amount);
    if (f.kind == "disk_read_error") m->storage().afflict(which, ill::read_error, f.amount);
    if (f.kind == "disk_write_error") m->storage().afflict(which, ill::write_error, f.amount);
    if (f.kind == "blob_write_error") m->storage().afflict(which, ill::blob_write_error, f.amount);
    if (f.kind == "disk_full") m->storage().afflict(which, ill::full, 0);
    if (f.kind == "torn_append") tear_append(which, *m);
    if (f.kind == "rot") rot(which, *m);
    if (f.kind == "corrupt_read") m->storage().afflict(which, ill::corrupt_read, f.amount);
    auto& codec = m->codec();
    if (f.kind == "engine_crash") {
      codec.crash_mille = f.amount;
      codec.crash_fault = which;
    }
    if (f.kind == "engine_hang") {
      codec.hang_mille = f.amount;
      codec.hang_fault = which;
    }
    if (f.kind == "engine_slow") {
      codec.slower = f.amount;
      codec.slow_fault = which;
    }
  }
  // A name is looked up at each dial: those who have their links must dial again to feel it.
  if (f.kind == "dns_failure")
    for (auto* m : nodes)
      for (const auto& other : machines_) around_.net.reset(ledger::no_fault, m->index(), other->index());
  around_.time.after(lasts, [this, which] { heal(which); });
}

void faults::heal(std::size_t which) {
  if (!active_[which]) return;
  active_[which] = false;
  say(which, "is over");
  const auto& f = around_.what.faults[which];
  around_.net.heal(which);
  for (const auto& m : machines_) {
    if (std::find(f.nodes.begin(), f.nodes.end(), m->name()) == f.nodes.end()) continue;
    if (const auto lock = locked_by_.find({which, m->index()}); lock != locked_by_.end() && m->runs() && m->life() == lock->second) {
      take_down(which, *m, false);
      restart_later(*m, restart_of_locked_out);
    }
    m->storage().heal(which);
    if (f.kind == "torn_append") m->storage().when_appending({});
    if (f.kind == "pause") m->resume();
    if (f.kind == "cpu_stress") m->slow_down(ledger::no_fault, nanoseconds{0});
    if (m->dns.fault == which) m->dns = {};
    auto& codec = m->codec();
    if (codec.crash_fault == which) codec.crash_mille = 0;
    if (codec.hang_fault == which) codec.hang_mille = 0;
    if (codec.slow_fault == which) codec.slower = 1;
  }
}

void faults::heal_all() {
  for (std::size_t i = 0; i < active_.size(); ++i) heal(i);
  healed_ = true;
  healed_at_ = around_.time.now();
  for (const auto& m : machines_) {
    // A client that never heard of its 201 sends its video a second time: what all of them need has no bound.
    m->storage().grow();
    m->resume();
    if (!m->runs() && m->wanted()) start_(*m);
  }
}

}  // namespace latham::sim
