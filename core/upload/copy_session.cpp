#include "core/upload/copy_session.hpp"

#include "core/assert.hpp"

#include <algorithm>

namespace latham {

namespace {

template <class T>
bool limited(const expected<T>& result) {
  return !result && result.error().code == errc::limited;
}

}  // namespace

copy_session::copy_session(blob_id blob, const copy_rules& rules) : wanted_{rules.copies - 1}, needed_{rules.acks - 1} {
  for (auto& member : placement_of(blob, rules))
    // What is to be emptied takes nothing new, even when there is nobody else.
    if (member != rules.self && !rules.draining.contains(member)) replicas_.emplace_back().node = std::move(member);
}

copy_session::replica* copy_session::current(std::size_t index, std::uint32_t attempt, phase expected_phase) {
  if (index >= replicas_.size()) return nullptr;
  auto& r = replicas_[index];
  return r.attempt == attempt && r.at == expected_phase ? &r : nullptr;
}

void copy_session::call(copy_actions& out, std::size_t index, copy_call::kind what, std::uint64_t offset, std::uint64_t bytes) const {
  const auto& r = replicas_[index];
  out.calls.push_back({what, index, r.attempt, r.node, offset, bytes});
}

void copy_session::fail(std::size_t index, const error& why, instant now, copy_actions& out) {
  auto& r = replicas_[index];
  r.at = phase::failed;  // what is still under way to it counts for nothing, also when it is tried again: by another attempt
  r.under_way = 0;
  r.failed = now;
  r.held = r.room = r.stalled = r.gap = r.assumed = false;
  last_ = why;
  out.dropped.emplace_back(r.node, why);
}

void copy_session::hold(std::size_t index, instant now, copy_actions& out) {
  auto& r = replicas_[index];
  if (!r.held || r.room) out.held.push_back(r.node);
  r.held = true;
  r.room = r.stalled = false;
  r.held_since = now;
}

/// Asks again for what was refused, which has changed nothing.
void copy_session::go_on(std::size_t index, copy_actions& out) {
  auto& r = replicas_[index];
  r.held = r.room = r.stalled = r.gap = false;
  switch (r.at) {
    case phase::looking: return call(out, index, copy_call::kind::look);
    case phase::reserving: return call(out, index, copy_call::kind::reserve);
    case phase::opening: return call(out, index, copy_call::kind::open);
    case phase::cutting: return call(out, index, copy_call::kind::cut, 0, r.durable);
    case phase::copying: r.sent = r.durable; return;  // sent by who called
    case phase::sealing: return call(out, index, copy_call::kind::seal, 0, own_);
    case phase::idle:
    case phase::sealed:
    case phase::failed: return;
  }
}

void copy_session::on_room(const node_name& node, instant now, copy_actions& out) {
  for (auto& r : replicas_)
    if (r.node == node && r.held) {
      r.room = true;
      r.stalled = false;
    }
  proceed(now, out);
}

void copy_session::on_stalled(const node_name& node, instant now, copy_actions& out) {
  for (auto& r : replicas_)
    if (r.node == node && r.held && !r.room) r.stalled = true;
  proceed(now, out);
}

void copy_session::on_own(std::uint64_t bytes, instant now, copy_actions& out) {
  own_ = std::max(own_, bytes);
  proceed(now, out);
}

void copy_session::on_own_sealed(const ports::blob_stat& about, instant now, copy_actions& out) {
  own_ = std::max(own_, about.bytes);
  sealed_ = about;
  proceed(now, out);
}

void copy_session::wait(std::uint64_t ticket, copy_goal goal, std::uint64_t bytes, instant now, copy_actions& out) {
  if (closed_) {
    out.answers.emplace_back(ticket, *closed_);
    return;
  }
  if (waiting_.size() >= waiting_max) {
    out.answers.emplace_back(ticket, error{errc::limited, "too much waits for the copies of this blob: wait for an answer before the next call"});
    return;
  }
  waiting_.push_back({ticket, goal, bytes, now});
  proceed(now, out);
}

void copy_session::on_looked(std::size_t index, std::uint32_t attempt, const expected<ports::blob_stat>& about, instant now, copy_actions& out) {
  auto* r = current(index, attempt, phase::looking);
  if (r == nullptr) return;
  if (about && about->sealed) {
    if (sealed_ && about->bytes == sealed_->bytes && about->digest == sealed_->digest) {
      r->at = phase::sealed;
      r->reserved = true;
      r->durable = r->sent = about->bytes;
    } else {
      fail(index, {errc::conflict, "the copy at " + r->node + " holds other bytes"}, now, out);
    }
  } else if (limited(about)) {
    hold(index, now, out);
  } else if (!about && about.error().code != errc::not_found) {
    fail(index, about.error(), now, out);
  } else {
    r->at = phase::reserving;
    call(out, index, copy_call::kind::reserve);
  }
  proceed(now, out);
}

void copy_session::on_reserved(std::size_t index, std::uint32_t attempt, const expected<void>& result, instant now, copy_actions& out) {
  auto* r = current(index, attempt, phase::reserving);
  if (r == nullptr) return;
  if (result) {
    r->reserved = true;
    r->assumed = own_ == 0 && !sealed_ && r->attempt == 1;
    r->at = r->assumed ? phase::copying : phase::opening;
    if (!r->assumed) call(out, index, copy_call::kind::open);
  } else if (limited(result)) {
    hold(index, now, out);
  } else {
    fail(index, result.error(), now, out);
  }
  proceed(now, out);
}

void copy_session::on_opened(std::size_t index, std::uint32_t attempt, const expected<std::uint64_t>& bytes, instant now, copy_actions& out) {
  auto* r = current(index, attempt, phase::opening);
  if (r == nullptr) return;
  if (limited(bytes)) {
    hold(index, now, out);
  } else if (!bytes) {
    fail(index, bytes.error(), now, out);
  } else if (*bytes > own_) {
    // Only when the own disk went back behind what it had promised.
    r->at = phase::cutting;
    r->durable = r->sent = own_;
    call(out, index, copy_call::kind::cut, 0, own_);
  } else {
    r->at = phase::copying;
    r->durable = r->sent = *bytes;
  }
  proceed(now, out);
}

void copy_session::on_cut(std::size_t index, std::uint32_t attempt, const expected<void>& result, instant now, copy_actions& out) {
  auto* r = current(index, attempt, phase::cutting);
  if (r == nullptr) return;
  if (result) r->at = phase::opening, call(out, index, copy_call::kind::open);  // what it has now is its to say
  else if (limited(result)) hold(index, now, out);
  else fail(index, result.error(), now, out);
  proceed(now, out);
}

void copy_session::on_sent(std::size_t index, std::uint32_t attempt, const expected<std::uint64_t>& bytes, instant now, copy_actions& out) {
  auto* r = current(index, attempt, phase::copying);
  if (r == nullptr) return;
  LATHAM_ASSERT(r->under_way > 0);
  --r->under_way;
  // Behind one that was refused, and whose answer may be yet to come.
  const bool behind = !bytes && bytes.error().code == errc::offset_mismatch && (r->held || r->under_way > 0);
  if (bytes) {
    r->assumed = false;
    r->durable = std::max(r->durable, *bytes);
    r->room = r->held;
  } else if (r->assumed && bytes.error().code == errc::offset_mismatch) {
    // It has bytes all the same, and nothing of ours was sent before: they are somebody else's.
    r->assumed = false;
    r->at = phase::cutting;
    call(out, index, copy_call::kind::cut, 0, 0);
  } else if (limited(bytes)) {
    hold(index, now, out);
  } else if (behind) {
    r->gap = true;
  } else {
    fail(index, bytes.error(), now, out);
  }
  if (r->at == phase::copying && r->under_way == 0 && !r->held) {
    if (r->gap) fail(index, {errc::offset_mismatch, r->node + " has other bytes than it said"}, now, out);
    // All was taken and less is durable: it would be waited for until the end of days.
    else if (r->sent == own_ && r->durable < own_) fail(index, {errc::io, r->node + " does not keep what it was sent"}, now, out);
  }
  proceed(now, out);
}

void copy_session::on_sealed(std::size_t index, std::uint32_t attempt, const expected<ports::blob_stat>& about, instant now, copy_actions& out) {
  auto* r = current(index, attempt, phase::sealing);
  if (r == nullptr) return;
  if (limited(about)) hold(index, now, out);
  else if (!about) fail(index, about.error(), now, out);
  else if (about->bytes != sealed_->bytes || about->digest != sealed_->digest) fail(index, {errc::corrupt, "the copy at " + r->node + " holds other bytes"}, now, out);
  else r->at = phase::sealed;
  proceed(now, out);
}

void copy_session::enlist(instant now, copy_actions& out) {
  std::uint32_t active = 0;
  for (const auto& r : replicas_) active += r.at != phase::idle && r.at != phase::failed ? 1 : 0;
  for (std::size_t i = 0; i < replicas_.size() && active < wanted_; ++i) {
    auto& r = replicas_[i];
    const bool again = r.at == phase::failed && now - r.failed >= retry_after;
    if (r.at != phase::idle && !again) continue;
    // A seal that was answered leaves what is missing to the repair.
    if (again && sealed_ && waiting_.empty()) continue;
    ++r.attempt;
    r.at = sealed_ ? phase::looking : phase::reserving;
    call(out, i, sealed_ ? copy_call::kind::look : copy_call::kind::reserve);
    ++active;
  }
}

void copy_session::send(std::size_t index, copy_actions& out) {
  auto& r = replicas_[index];
  // Alone while it may be refused: bytes that come behind must not be taken where the first ones were not.
  while (r.under_way < (r.assumed ? 1 : sends_max) && r.sent < own_) {
    const auto bytes = std::min<std::uint64_t>(ports::append_bytes_max, own_ - r.sent);
    call(out, index, copy_call::kind::send, r.sent, bytes);
    r.sent += bytes;
    ++r.under_way;
  }
  if (sealed_ && r.under_way == 0 && r.durable == own_) {
    r.at = phase::sealing;
    call(out, index, copy_call::kind::seal, 0, own_);
  }
}

bool copy_session::reached(const replica& r, const waiter& w) const noexcept {
  switch (w.goal) {
    case copy_goal::reserved: return r.reserved && r.at != phase::failed;
    case copy_goal::length: return (r.at == phase::copying || r.at == phase::sealing || r.at == phase::sealed) && r.durable >= w.bytes;
    case copy_goal::sealed: return r.at == phase::sealed;
  }
  return false;
}

void copy_session::proceed(instant now, copy_actions& out) {
  if (closed_) return;
  enlist(now, out);
  for (std::size_t i = 0; i < replicas_.size(); ++i) {
    const auto& r = replicas_[i];
    if (r.held && r.under_way == 0 && (r.room || now - r.held_since >= retry_after)) go_on(i, out);
    if (r.at == phase::copying && !r.held && !r.gap) send(i, out);
  }
  std::uint32_t hopeful = 0, stalled = 0;
  for (const auto& r : replicas_) {
    if (r.at == phase::failed || r.at == phase::idle) continue;
    ++(r.stalled ? stalled : hopeful);
  }
  std::erase_if(waiting_, [&](const waiter& w) {
    const auto have = std::count_if(replicas_.begin(), replicas_.end(), [&](const replica& r) { return reached(r, w); });
    if (static_cast<std::uint32_t>(have) >= needed_) {
      out.answers.emplace_back(w.ticket, expected<void>{});
      return true;
    }
    if (hopeful < needed_ && hopeful + stalled >= needed_) {
      out.answers.emplace_back(w.ticket, error{errc::limited, "the storage nodes for the copies have too much to do; try again in a few seconds"});
      return true;
    }
    if (hopeful < needed_) {
      const auto full = last_.code == errc::disk_full;
      out.answers.emplace_back(w.ticket, error{full ? errc::disk_full : errc::unavailable,
                                               full ? "too few storage nodes have room for the copies: delete something or add a disk"
                                                    : "too few storage nodes are reachable to keep the copies that were asked for; try again in a few seconds"});
      return true;
    }
    if (now - w.since > patience) {
      out.answers.emplace_back(w.ticket, error{errc::unavailable, "a copy is being brought up to date; try again in a few seconds"});
      return true;
    }
    return false;
  });
}

void copy_session::close(const error& why, copy_actions& out) {
  closed_ = why;
  for (const auto& w : waiting_) out.answers.emplace_back(w.ticket, why);
  waiting_.clear();
  for (auto& r : replicas_) r.at = phase::failed;
}

bool copy_session::idle() const noexcept {
  return waiting_.empty() && std::all_of(replicas_.begin(), replicas_.end(), [this](const replica& r) {
    return r.at == phase::idle || r.at == phase::failed || r.stalled || r.at == phase::sealed || (r.at == phase::copying && r.under_way == 0 && r.sent == own_ && !sealed_);
  });
}

bool copy_session::done() const noexcept { return sealed_ && idle(); }

std::uint64_t copy_session::sent_to_all() const noexcept {
  auto least = own_;
  for (const auto& r : replicas_)
    if (r.at == phase::copying) least = std::min(least, r.sent);
  return least;
}

std::vector<node_name> copy_session::reserved_at() const {
  std::vector<node_name> out;
  for (const auto& r : replicas_)
    if (r.reserved || (r.at == phase::reserving && !r.held)) out.push_back(r.node);
  return out;
}

}  // namespace latham
