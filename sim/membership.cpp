#include "sim/membership.hpp"

#include "core/reach.hpp"

#include <algorithm>

namespace latham::sim {

namespace {

constexpr nanoseconds looks_every{milliseconds{250}};
constexpr nanoseconds asks_every{seconds{1}};

/// When its turn comes to be restarted.
int turn_of(node_role role) {
  switch (role) {
    case node_role::scheduler: return 0;
    case node_role::worker: return 1;
    case node_role::gateway: return 2;
    case node_role::storage: return 3;
  }
  return 0;
}

bool holds_something(const machine& m) {
  auto& disk = const_cast<machine&>(m).storage();  // looks only
  return !disk.blobs_as_they_are().contents().empty() || !disk.records_as_they_are().empty();
}

}  // namespace

membership::membership(surroundings& around, machines& all, std::function<void(machine&)> start) : around_{around}, machines_{all}, start_{std::move(start)} {}

void membership::begin() {
  for (const auto& m : machines_) {
    const auto first = std::find_if(around_.what.faults.begin(), around_.what.faults.end(),
                                    [&](const fault& f) { return (f.kind == "grow" || f.kind == "shrink") && std::find(f.nodes.begin(), f.nodes.end(), m->name()) != f.nodes.end(); });
    if (first != around_.what.faults.end() && first->kind == "grow") {
      m->part();
      continue;
    }
    auto& names = m->role() == node_role::storage ? told_.storages : told_.schedulers;
    if ((m->role() == node_role::storage || m->role() == node_role::scheduler) && std::find(names.begin(), names.end(), m->name()) == names.end()) names.push_back(m->name());
  }
  for (const auto& m : machines_) m->tell(told_);
}

std::string membership::under_way() const {
  if (!busy()) return {};
  std::string names;
  for (const auto* m : changing_) names += (names.empty() ? "" : ", ") + m->name();
  return what().kind + " of " + names + " (" + phase_ + (held_back_.empty() ? "" : ": " + held_back_) + ")";
}

void membership::change(std::size_t which) {
  waiting_.push_back(which);
  if (waiting_.size() == 1) next();
}

void membership::next() {
  changing_.clear();
  held_back_.clear();
  const bool joins = what().kind == "grow";
  for (const auto& m : machines_)
    if (!m->is_second() && m->in_cluster() != joins && std::find(what().nodes.begin(), what().nodes.end(), m->name()) != what().nodes.end()) changing_.push_back(m.get());
  // Somebody must stay.
  const auto stay = std::count_if(machines_.begin(), machines_.end(), [this](const auto& m) {
    return m->role() == node_role::storage && m->in_cluster() && std::find(changing_.begin(), changing_.end(), m.get()) == changing_.end();
  });
  if (changing_.empty() || stay == 0) return done();
  if (joins) grow();
  else shrink();
}

void membership::done() {
  waiting_.pop_front();
  if (busy()) next();
}

void membership::bites_if_held() {
  if (std::any_of(changing_.begin(), changing_.end(), [](const machine* m) { return holds_something(*m); })) around_.faults.bites(waiting_.front());
}

void membership::grow() {
  for (auto* m : changing_) {
    auto& names = m->role() == node_role::storage ? told_.storages : told_.schedulers;
    if (m->role() == node_role::storage || m->role() == node_role::scheduler) names.push_back(m->name());
    m->join();
  }
  for (auto* m : changing_) {
    m->tell(told_);
    start_(*m);
  }
  tell_all("joining", [this] {
    bites_if_held();
    LATHAM_REACHED("sim_cluster_grew");
    done();
  });
}

void membership::shrink() {
  for (const auto* m : changing_) told_.draining.insert(m->name());
  tell_all("draining", [this] {
    phase_ = "asking";
    ask_to_leave();
  });
}

/// As an operator does: again and again, until all of them say yes. What another life of a node said counts for nothing.
void membership::ask_to_leave() {
  bites_if_held();
  struct asking {
    std::size_t left;
    std::size_t yes = 0;
    std::vector<std::uint64_t> lives;
  };
  auto all = std::make_shared<asking>(asking{changing_.size(), 0, {}});  // shared by the answers
  for (const auto* m : changing_) all->lives.push_back(m->life());
  const auto ended = std::make_shared<bool>(false);  // once: all have answered, or one never will
  const auto again = [this, ended] {
    if (std::exchange(*ended, true)) return;
    around_.time.after(asks_every, [this] { ask_to_leave(); });
  };
  around_.time.after(milliseconds{4 * around_.what.knobs.request_timeout_ms}, again);
  for (auto* m : changing_) {
    if (!m->runs() || m->stopping()) {
      held_back_ = m->name() + " is down";
      return again();
    }
    m->ask_to_leave([this, m, all, ended, again](const expected<leave_report>& report) {
      if (*ended) return;
      if (report && report->may_leave) ++all->yes;
      else held_back_ = m->name() + ": " + (report ? report->reasons.front().what + " " + std::to_string(report->reasons.front().count) : report.error().message);
      if (--all->left > 0) return;
      for (std::size_t i = 0; i < changing_.size(); ++i)
        if (!changing_[i]->runs() || changing_[i]->life() != all->lives[i]) all->yes = 0;
      if (all->yes < changing_.size()) return again();
      *ended = true;
      held_back_.clear();
      phase_ = "stopping";
      for (auto* leaving : changing_) {
        leaving->part();
        leaving->stop([] {});
      }
      take_away();
    });
  }
}

void membership::take_away() {
  if (std::any_of(changing_.begin(), changing_.end(), [](const machine* m) { return m->runs(); })) {
    around_.time.after(looks_every, [this] { take_away(); });
    return;
  }
  for (auto* m : changing_) {
    LATHAM_REACHED("sim_node_left");
    if (around_.log.keeps()) around_.log.say(around_.time.now(), trace::what::fault, m->index(), m->index(), "its disk is wiped, it has left");
    m->storage().lose();
    std::erase(told_.storages, m->name());
    std::erase(told_.schedulers, m->name());
    told_.draining.erase(m->name());
  }
  tell_all("leaving", [this] { done(); });
}

// ---- Telling -------------------------------------------------------------------------------------------------------

void membership::tell_all(std::string why, std::function<void()> then) {
  phase_ = std::move(why);
  std::vector<machine*> all;
  for (const auto& m : machines_)
    if (m->in_cluster()) all.push_back(m.get());
  std::stable_sort(all.begin(), all.end(), [](const machine* a, const machine* b) { return turn_of(a->role()) > turn_of(b->role()); });
  tell(std::move(all), std::move(then));
}

/// From the back.
void membership::tell(std::vector<machine*> left, std::function<void()> then) {
  if (left.empty()) return wait_for_all(std::move(then));
  auto* m = left.back();
  left.pop_back();
  const bool news = !(m->told() == told_);
  m->tell(told_);
  if (news && m->runs() && m->wanted())
    m->stop([this, m, lasts = milliseconds{what().for_ms}] {
      around_.time.after(lasts, [this, m] {
        if (!m->runs() && m->wanted()) start_(*m);
      });
    });
  around_.time.after(milliseconds{news ? what().amount : 1}, [this, left = std::move(left), then = std::move(then)]() mutable { tell(std::move(left), std::move(then)); });
}

void membership::wait_for_all(std::function<void()> then) {
  const bool ready = std::all_of(machines_.begin(), machines_.end(), [this](const auto& m) { return !m->wanted() || (m->runs() && !m->stopping() && m->configured() == told_); });
  if (ready) return then();
  around_.time.after(looks_every, [this, then = std::move(then)]() mutable { wait_for_all(std::move(then)); });
}

}  // namespace latham::sim
