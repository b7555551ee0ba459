// An answer that an actor owes, and all that it owes. CAF's promises do not know of their copies, of which each may answer;
// and an actor that ends drops them in silence. Copies of one of these are the same: the first answer counts.
//
// One owner: used in the turns of its actor alone, wherever it is held meanwhile.
#pragma once

#include <caf/all.hpp>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

namespace latham {

class owed_answer {
public:
  virtual ~owed_answer() = default;
  [[nodiscard]] bool is_open() const noexcept { return open_; }
  void fail(const caf::error& why) {
    if (std::exchange(open_, false)) tell(why);
  }

protected:
  explicit owed_answer(bool open) : open_{open} {}
  virtual void tell(const caf::error& why) = 0;
  bool open_;
};

template <class T>
class promise {
public:
  explicit promise(caf::typed_response_promise<T> answer) : owed_{std::make_shared<owed>(std::move(answer))} {}

  void deliver(T value) const {
    if (std::exchange(owed_->open_, false)) owed_->answer.deliver(std::move(value));
  }
  void deliver(const caf::error& why) const { owed_->fail(why); }

  /// What a handler returns that answers later.
  operator caf::result<T>() const { return caf::delegated<T>{}; }

private:
  friend class owed_answers;
  struct owed final : owed_answer {
    explicit owed(caf::typed_response_promise<T> a) : owed_answer{a.pending()}, answer{std::move(a)} {}
    void tell(const caf::error& why) override { answer.deliver(why); }
    using owed_answer::open_;
    caf::typed_response_promise<T> answer;
  };
  std::shared_ptr<owed> owed_;  // shared by the copies
};

class owed_answers {
public:
  template <class T>
  promise<T> add(promise<T> one) {
    if (!one.owed_->is_open()) return one;  // nobody waits for it
    // Looked through when it has doubled, so it holds at most twice what is owed, and each is looked at twice or so.
    if (all_.size() >= most_) {
      std::erase_if(all_, [](const auto& weak) {
        const auto owed = weak.lock();
        return !owed || !owed->is_open();
      });
      most_ = std::max(most_first, 2 * all_.size());
    }
    all_.push_back(one.owed_);
    return one;
  }

  /// In the order in which they were asked for.
  void answer_all(const caf::error& why) {
    for (const auto& weak : std::exchange(all_, {}))
      if (const auto owed = weak.lock()) owed->fail(why);
  }

  /// Owed, or not looked through yet.
  [[nodiscard]] std::size_t kept() const noexcept { return all_.size(); }

private:
  static constexpr std::size_t most_first = 64;
  std::vector<std::weak_ptr<owed_answer>> all_;
  std::size_t most_ = most_first;
};

}  // namespace latham
