#include "media/timestamps.hpp"

#include <algorithm>

namespace latham::media {

namespace {

constexpr std::int64_t reordered_max = 17;

/// Differences of damaged times overflow.
std::int64_t minus(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t out = 0;
  if (__builtin_sub_overflow(a, b, &out)) return a < b ? INT64_MIN : INT64_MAX;
  return out;
}
std::int64_t plus(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t out = 0;
  if (__builtin_add_overflow(a, b, &out)) return a < 0 ? INT64_MIN : INT64_MAX;
  return out;
}
std::uint64_t distance(std::int64_t a, std::int64_t b) noexcept {
  return a < b ? static_cast<std::uint64_t>(b) - static_cast<std::uint64_t>(a) : static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b);
}

/// Index of the shift that holds at `offset`, from 1; 0 before the first.
std::size_t shift_index(const std::vector<time_shift>& shifts, std::uint64_t offset) noexcept {
  const auto after =
      std::upper_bound(shifts.begin(), shifts.end(), offset, [](std::uint64_t at, const time_shift& s) { return at < s.offset; });
  return static_cast<std::size_t>(after - shifts.begin());
}

}  // namespace

bool time_line::in_step(std::int64_t from, std::int64_t to) const {
  const auto step = minus(to, from);
  return step >= -back_ && step <= bounds_.doubt;
}

std::optional<time_line::verdict> time_line::push(const packet_time& packet) {
  window_.push_back(packet);
  if (window_.size() <= look_ahead) return std::nullopt;
  return judge();
}

std::optional<time_line::verdict> time_line::finish() {
  if (window_.empty()) return std::nullopt;
  return judge();
}

time_line::verdict time_line::judge() {
  auto packet = window_.front();
  window_.pop_front();
  back_ = std::max(bounds_.back, std::clamp<std::int64_t>(packet.duration, 0, bounds_.doubt) * reordered_max);
  auto time = plus(packet.time, add_);
  bool believed = true;
  bool anew = false;
  // Around a hold, reordered pictures come from both of its sides.
  const bool before_hold = last_ && before_hold_ && !in_step(*last_, time) && in_step(*before_hold_, time);
  if (!before_hold && (!last_ || !in_step(*last_, time))) {
    const auto count = [this](auto&& rule) { return std::count_if(window_.begin(), window_.end(), rule); };
    const auto bear_out = count([&](const packet_time& p) { return in_step(packet.time, p.time); });
    const auto returning = !last_ ? 0 : count([&](const packet_time& p) { return in_step(*last_, plus(p.time, add_)); });
    const auto step = last_ ? minus(time, *last_) : 0;
    if (!last_) {
      // Pictures minutes apart bear out nothing: only those that agree with one another speak against the first.
      believed = bear_out > 0 || std::none_of(window_.begin(), window_.end(), [&](const packet_time& p) {
                   return count([&](const packet_time& q) { return &p != &q && in_step(p.time, q.time); }) > 0;
                 });
    } else if (bear_out == 0) {
      believed = returning == 0 && (!bounds_.restarts || (step > 0 && step <= bounds_.jump));
    } else if (returning > bear_out) {
      believed = false;  // several packets of one damaged header
    } else {
      anew = bounds_.restarts && returning == 0 && (step > bounds_.jump || step < -back_);
    }
    if (believed && step > 0) before_hold_ = last_;
  }
  if (!believed) {
    ++disbelieved_;
    packet.time = time;
    return {packet, false};
  }
  if (anew) {
    before_hold_.reset();
    add_ = minus(end_, packet.time);
    time = end_;
    shifts_.push_back({packet.offset, add_});
  }
  const auto end = plus(time, std::clamp<std::int64_t>(packet.duration, 0, bounds_.doubt));
  end_ = last_ ? std::max(end_, end) : end;
  if (!before_hold) last_ = time;
  packet.time = time;
  return {packet, true};
}

std::int64_t shift_at(const std::vector<time_shift>& shifts, std::uint64_t offset) noexcept {
  const auto index = shift_index(shifts, offset);
  return index == 0 ? 0 : shifts[index - 1].add;
}

std::int64_t shift_near(const std::vector<time_shift>& shifts, std::uint64_t offset, std::int64_t time,
                        std::optional<std::int64_t> expected) noexcept {
  const auto index = shift_index(shifts, offset);
  auto best = index == 0 ? 0 : shifts[index - 1].add;
  if (!expected) return best;
  for (auto i = index == 0 ? 0 : index - 1; i <= std::min(index + 1, shifts.size()); ++i) {
    const auto add = i == 0 ? 0 : shifts[i - 1].add;
    if (distance(plus(time, add), *expected) < distance(plus(time, best), *expected)) best = add;
  }
  return best;
}

}  // namespace latham::media
