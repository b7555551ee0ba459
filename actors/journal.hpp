// Decide, persist, act. An event has changed memory; its records and effects join the open batch; one batch is in flight;
// effects leave, in order, once their batch is durable. What only reads memory joins too, so that nobody is told of a
// change that a power cut could still undo.
//
// When the store fails nobody knows what is durable: the owner ends, is restarted from what is, and escalates if it must.
// A batch that was refused before it was written (no space, too many waiting) is another matter: it is said again until it
// is taken, and nothing leaves meanwhile.
#pragma once

#include "core/ports/kv_store.hpp"
#include "core/reach.hpp"

#include <functional>
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

  void open(committer commit, std::function<void(const error&)> failed, waiter wait) {
    commit_ = std::move(commit);
    failed_ = std::move(failed);
    wait_ = std::move(wait);
  }

  void join(ports::kv_batch records, effect act) {
    for (auto& r : records) records_.push_back(std::move(r));
    effects_.push_back(std::move(act));
    if (!in_flight_) start();
  }

  /// Forgets what has not left: the owner ends, and effects hold promises that hold the owner.
  void drop() {
    records_.clear();
    effects_.clear();
    leaving_.clear();
  }

  [[nodiscard]] std::size_t waiting() const noexcept { return effects_.size(); }

private:
  void start() {
    // Effects may join again; what they join leaves after them.
    in_flight_ = true;
    while (!effects_.empty() && records_.empty()) act(std::exchange(effects_, {}));
    if (records_.empty()) {
      in_flight_ = false;
      return;
    }
    leaving_ = std::exchange(effects_, {});
    commit(std::exchange(records_, {}));
  }

  void commit(ports::kv_batch batch) {
    commit_(batch, [this, batch](expected<void> result) {
      if (LATHAM_REACHED_IF("records_refused", !result && (result.error().code == errc::disk_full || result.error().code == errc::limited))) return wait_([this, batch] { commit(batch); });
      if (!result) {
        LATHAM_REACHED("records_failed");
        return failed_(result.error());
      }
      act(std::exchange(leaving_, {}));
      start();
    });
  }

  static void act(std::vector<effect> ready) {
    for (auto& one : ready) one();
  }

  committer commit_;
  std::function<void(const error&)> failed_;
  waiter wait_;
  ports::kv_batch records_;
  std::vector<effect> effects_;
  std::vector<effect> leaving_;
  bool in_flight_ = false;
};

}  // namespace latham
