// Decide, persist, act. An event has changed memory; its records and effects join the open batch; one batch is in flight;
// effects leave, in order, once their batch is durable. What only reads memory joins too, so that nobody is told of a
// change that a power cut could still undo.
//
// What is joined at once is one decision, and stays together: it is durable as a whole or not at all. Beyond that a batch has
// a limit, because whatever piles up behind a full disk would become one that no store takes. So what waits leaves in several
// when it has to, each with the effects of its own decisions.
//
// When the store fails nobody knows what is durable: the owner ends, is restarted from what is, and escalates if it must. So it
// is with a decision that is too large for the store, which no further try makes smaller.
// A batch that was refused before it was written (no space, too many waiting) is another matter: it is said again until it
// is taken, and nothing leaves meanwhile. Nor may everything wait that comes meanwhile, for hours perhaps: whoever asks for
// something is refused once too much does (`takes`), and asks again or elsewhere. What the owner decides by itself, or has begun
// for somebody, is not refused, because memory has it already; the owner sees to it that there is so much of that, and no more.
#pragma once

#include "core/ports/kv_store.hpp"
#include "core/reach.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <iterator>
#include <utility>
#include <vector>

namespace latham {

struct journal_limits {
  std::size_t commit_bytes_max = 0;   // of a batch, unless one decision alone is larger
  std::size_t waiting_max = 0;        // calls to `join` that have not left; beyond it requests are refused
  std::size_t waiting_bytes_max = 0;  // the same of their records
};

class journal {
public:
  using effect = std::function<void()>;
  /// `commit` starts a batch and answers inside the owner; `failed` ends the owner.
  using committer = std::function<void(ports::kv_batch, std::function<void(expected<void>)>)>;

  /// Runs something after a wait, inside the owner.
  using waiter = std::function<void(std::function<void()>)>;

  /// Hears how many wait, whenever that has changed.
  using watcher = std::function<void(std::size_t)>;

  void open(committer commit, std::function<void(const error&)> failed, waiter wait, watcher watch, journal_limits limits) {
    commit_ = std::move(commit);
    failed_ = std::move(failed);
    wait_ = std::move(wait);
    watch_ = std::move(watch);
    limits_ = limits;
  }

  /// Whether the owner may take a request that will join. Fails with limited, and says what to do.
  [[nodiscard]] expected<void> takes() const {
    if (!LATHAM_REACHED_IF("requests_refused_behind_records", waiting() >= limits_.waiting_max || bytes_ >= limits_.waiting_bytes_max)) return {};
    return full();
  }

  /// Whether the owner may decide something that it could as well decide later: not while records are refused, when whoever waits for
  /// an answer has none. Fails as `takes` does.
  [[nodiscard]] expected<void> takes_decisions() const {
    if (LATHAM_REACHED_IF("decided_later_for_a_full_disk", refused_)) return full();
    return takes();
  }

  void join(ports::kv_batch records, effect act) {
    const auto bytes = ports::bytes_of(records);
    bytes_ += bytes;
    waiting_.push_back({std::move(records), bytes, std::move(act)});
    if (!in_flight_) start();
    tell();
  }

  /// Forgets what has not left: the owner ends, and effects hold promises that hold the owner.
  void drop() {
    waiting_.clear();
    leaving_.clear();
    bytes_ = leaving_bytes_ = 0;
    tell();
  }

  /// Calls whose effects have not left.
  [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size() + leaving_.size(); }

private:
  static error full() {
    return {errc::limited, "too much waits for the disk that this node keeps its records on, which is full or too slow: make room there, and try again in a few seconds"};
  }

  struct decided {
    ports::kv_batch records;
    std::size_t bytes = 0;
    effect act;
  };

  void start() {
    // Effects may join again; what they join leaves after what waits already.
    in_flight_ = true;
    while (!waiting_.empty() && waiting_.front().records.empty()) take().act();
    if (waiting_.empty()) {
      in_flight_ = false;
      return;
    }
    ports::kv_batch batch;
    while (!waiting_.empty()) {
      if (LATHAM_REACHED_IF("records_leave_in_parts", !batch.empty() && leaving_bytes_ + waiting_.front().bytes > limits_.commit_bytes_max)) break;
      auto next = take();
      leaving_bytes_ += next.bytes;
      std::move(next.records.begin(), next.records.end(), std::back_inserter(batch));
      leaving_.push_back(std::move(next.act));
    }
    commit(std::move(batch));
  }

  decided take() {
    auto first = std::move(waiting_.front());
    waiting_.pop_front();
    return first;
  }

  void commit(ports::kv_batch batch) {
    commit_(batch, [this, batch](expected<void> result) {
      refused_ = !result && (result.error().code == errc::disk_full || result.error().code == errc::limited);
      if (LATHAM_REACHED_IF("records_refused", refused_)) return wait_([this, batch] { commit(batch); });
      if (!result) {
        LATHAM_REACHED("records_failed");
        return failed_(result.error());
      }
      bytes_ -= std::exchange(leaving_bytes_, 0);
      for (auto& one : std::exchange(leaving_, {})) one();
      start();
      tell();
    });
  }

  void tell() {
    if (std::exchange(told_, waiting()) != waiting()) watch_(waiting());
  }

  committer commit_;
  std::function<void(const error&)> failed_;
  waiter wait_;
  watcher watch_;
  journal_limits limits_;
  std::deque<decided> waiting_;
  std::vector<effect> leaving_;
  std::size_t bytes_ = 0;          // of both
  std::size_t leaving_bytes_ = 0;  // of it
  std::size_t told_ = 0;
  bool in_flight_ = false;
  bool refused_ = false;           // the last time that they were tried
};

}  // namespace latham
