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
// is taken, and nothing leaves meanwhile.
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

class journal {
public:
  using effect = std::function<void()>;
  /// `commit` starts a batch and answers inside the owner; `failed` ends the owner.
  using committer = std::function<void(ports::kv_batch, std::function<void(expected<void>)>)>;

  /// Runs something after a wait, inside the owner.
  using waiter = std::function<void(std::function<void()>)>;

  /// `commit_bytes_max`: of a batch, unless one decision alone is larger.
  void open(committer commit, std::function<void(const error&)> failed, waiter wait, std::size_t commit_bytes_max) {
    commit_ = std::move(commit);
    failed_ = std::move(failed);
    wait_ = std::move(wait);
    commit_bytes_max_ = commit_bytes_max;
  }

  void join(ports::kv_batch records, effect act) {
    const auto bytes = ports::bytes_of(records);
    waiting_.push_back({std::move(records), bytes, std::move(act)});
    if (!in_flight_) start();
  }

  /// Forgets what has not left: the owner ends, and effects hold promises that hold the owner.
  void drop() {
    waiting_.clear();
    leaving_.clear();
  }

  [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size(); }

private:
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
    std::size_t bytes = 0;
    while (!waiting_.empty()) {
      if (LATHAM_REACHED_IF("records_leave_in_parts", !batch.empty() && bytes + waiting_.front().bytes > commit_bytes_max_)) break;
      auto next = take();
      bytes += next.bytes;
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
      if (LATHAM_REACHED_IF("records_refused", !result && (result.error().code == errc::disk_full || result.error().code == errc::limited))) return wait_([this, batch] { commit(batch); });
      if (!result) {
        LATHAM_REACHED("records_failed");
        return failed_(result.error());
      }
      for (auto& one : std::exchange(leaving_, {})) one();
      start();
    });
  }

  committer commit_;
  std::function<void(const error&)> failed_;
  waiter wait_;
  std::size_t commit_bytes_max_ = 0;
  std::deque<decided> waiting_;
  std::vector<effect> leaving_;
  bool in_flight_ = false;
};

}  // namespace latham
