// Virtual time: a queue of things that will happen, ordered by when and then by when they were said. Everything random in
// a run is drawn here, from the seed, so that a seed is a run.
//
// Time moves in ticks: what happens within one tick happens "at once", which gives the seed something to choose and keeps
// the world from stopping at a moment of its own for every packet.
#pragma once

#include "core/units.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <random>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

namespace latham::sim {

/// A move-only closure whose state lives in place when it is small: a std::function would go to the heap for each packet.
class thunk {
public:
  thunk() = default;
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, thunk>)
  thunk(F&& f) {  // implicit on purpose: any closure is one
    using body = std::remove_cvref_t<F>;
    if constexpr (sizeof(body) <= room && alignof(body) <= alignof(std::max_align_t) && std::is_nothrow_move_constructible_v<body>) {
      ::new (static_cast<void*>(bytes_)) body(std::forward<F>(f));
      how_ = &in_place<body>;
    } else {
      ::new (static_cast<void*>(bytes_)) body* {new body(std::forward<F>(f))};
      how_ = &on_heap<body>;
    }
  }
  thunk(thunk&& other) noexcept { take(other); }
  thunk& operator=(thunk&& other) noexcept {
    if (this != &other) {
      drop();
      take(other);
    }
    return *this;
  }
  ~thunk() { drop(); }

  void operator()() { how_(job::run, bytes_, nullptr); }
  /// The closure's type, which names the function that made it.
  [[nodiscard]] const std::type_info& type() {
    const std::type_info* out = nullptr;
    how_(job::tell_type, bytes_, &out);
    return *out;
  }

private:
  enum class job : std::uint8_t { run, move, destroy, tell_type };
  using handler = void (*)(job, void*, void*);

  template <class F>
  static void in_place(job what, void* self, void* to) {
    auto* f = std::launder(static_cast<F*>(self));
    if (what == job::run) return (*f)();
    if (what == job::tell_type) {
      *static_cast<const std::type_info**>(to) = &typeid(F);
      return;
    }
    if (what == job::move) ::new (to) F(std::move(*f));
    f->~F();
  }
  template <class F>
  static void on_heap(job what, void* self, void* to) {
    auto* f = *static_cast<F**>(self);
    if (what == job::run) return (*f)();
    if (what == job::tell_type) {
      *static_cast<const std::type_info**>(to) = &typeid(F);
      return;
    }
    if (what == job::move) {
      ::new (to) F* {f};
      return;
    }
    delete f;
  }
  void take(thunk& other) noexcept {
    how_ = other.how_;
    if (how_ != nullptr) how_(job::move, other.bytes_, bytes_);
    other.how_ = nullptr;
  }
  void drop() noexcept {
    if (how_ != nullptr) how_(job::destroy, bytes_, nullptr);
    how_ = nullptr;
  }

  static constexpr std::size_t room = 88;
  alignas(std::max_align_t) unsigned char bytes_[room];
  handler how_ = nullptr;
};

class events {
public:
  static constexpr nanoseconds tick{50'000};

  explicit events(std::uint64_t seed) : random_{seed} {}

  [[nodiscard]] nanoseconds now() const noexcept { return now_; }
  /// Since the world began.
  [[nodiscard]] nanoseconds age() const noexcept { return now_ - beginning; }

  void at(nanoseconds when, thunk what) {
    when = std::max(when, now_);
    when = nanoseconds{(when.count() + tick.count() - 1) / tick.count() * tick.count()};
    std::uint32_t slot = 0;
    if (free_.empty()) {
      slot = static_cast<std::uint32_t>(pool_.size());
      pool_.push_back(std::move(what));
    } else {
      slot = free_.back();
      free_.pop_back();
      pool_[slot] = std::move(what);
    }
    heap_.push_back({when, next_++, slot});
    std::push_heap(heap_.begin(), heap_.end(), later_first);
  }
  void after(nanoseconds wait, thunk what) { at(now_ + wait, std::move(what)); }

  [[nodiscard]] bool empty() const noexcept { return heap_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return heap_.size(); }
  [[nodiscard]] nanoseconds next_time() const { return heap_.front().when; }
  [[nodiscard]] bool due() const noexcept { return !heap_.empty() && heap_.front().when <= now_; }

  /// Of the event that is due first.
  [[nodiscard]] const std::type_info& next_type() { return pool_[heap_.front().slot].type(); }

  /// Moves time on; never back.
  void advance(nanoseconds to) { now_ = std::max(now_, to); }

  /// Runs the first event that is due; false when none is.
  bool run_due() {
    if (!due()) return false;
    std::pop_heap(heap_.begin(), heap_.end(), later_first);
    const auto slot = heap_.back().slot;
    heap_.pop_back();
    // The event may add others and so move the pool: it runs from here.
    auto what = std::move(pool_[slot]);
    free_.push_back(slot);
    what();
    return true;
  }

  [[nodiscard]] std::uint64_t draw() { return random_(); }
  /// 0..limit-1.
  [[nodiscard]] std::uint64_t draw(std::uint64_t limit) { return random_() % limit; }
  /// Both ends included.
  [[nodiscard]] nanoseconds draw(nanoseconds from, nanoseconds to) {
    return from + nanoseconds{static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>((to - from).count() + 1))};
  }
  /// True in `mille` of a thousand cases. Draws nothing when it cannot be true.
  [[nodiscard]] bool chance(std::int64_t mille) { return mille > 0 && static_cast<std::int64_t>(random_() % 1000) < mille; }

  static constexpr nanoseconds beginning{seconds{3600}};

private:
  struct entry {
    nanoseconds when;
    std::uint64_t order;
    std::uint32_t slot;
  };
  static bool later_first(const entry& a, const entry& b) noexcept { return a.when != b.when ? a.when > b.when : a.order > b.order; }

  std::mt19937_64 random_;
  nanoseconds now_{beginning};
  std::uint64_t next_ = 0;
  std::vector<entry> heap_;
  std::vector<thunk> pool_;
  std::vector<std::uint32_t> free_;
};

}  // namespace latham::sim
