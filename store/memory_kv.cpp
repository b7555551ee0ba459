#include "store/memory_kv.hpp"

#include "core/reach.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace latham::store {

expected<void> check_batch(const ports::kv_batch& batch) {
  for (const auto& write : batch) {
    if (write.key.empty() || write.key.size() > kv_key_bytes_max || write.key[0] == '\0')
      return {errc::invalid_argument, "a key has 1 to 512 bytes and does not start with a zero byte"};
    if (write.value && write.value->size() > kv_value_bytes_max) return {errc::invalid_argument, "a value has 1 MiB at most"};
  }
  return {};
}

expected<void> check_room(std::size_t bytes, const kv_queue& waiting, const kv_queue& most) {
  if (bytes > most.bytes)
    return {errc::too_large, "a batch of " + std::to_string(bytes) + " bytes is more than the store takes at once, which is " + std::to_string(most.bytes) + ": whoever writes it has to do that in parts"};
  if (waiting.commits >= most.commits || bytes > most.bytes - std::min(waiting.bytes, most.bytes)) return {errc::limited, "too many commits are waiting for the disk"};
  return {};
}

struct memory_kv::state {
  struct waiting {
    ports::kv_batch batch;
    std::size_t bytes = 0;
    ports::completion<void> done;
    std::vector<ports::completion<void>> barriers;  // called while it was the last one
  };

  state(run_later l, kv_queue m) : later{std::move(l)}, most{m} {}

  void apply(const ports::kv_batch& batch) {
    for (const auto& write : batch) {
      if (write.value) {
        durable[write.key] = *write.value;
      } else {
        durable.erase(write.key);
      }
    }
  }

  /// Defers `work` for this life of the node: after a power cut it is dropped.
  void defer(std::shared_ptr<state> self, std::function<void()> work) {
    later([self = std::move(self), life = life, work = std::move(work)] {
      {
        const std::lock_guard guard{self->mutex};
        if (self->life != life) return;
      }
      work();
    });
  }

  const run_later later;
  const kv_queue most;
  mutable std::mutex mutex;
  std::map<std::string, std::string> durable;
  std::deque<waiting> commits;
  std::size_t bytes_waiting = 0;
  std::uint64_t life = 0;
  errc failing = errc::none;
};

memory_kv::memory_kv(run_later later, kv_queue most) : state_{std::make_shared<state>(std::move(later), most)} {}

memory_kv::~memory_kv() = default;

void memory_kv::commit(ports::kv_batch batch, ports::completion<void> done) {
  auto checked = check_batch(batch);
  const std::unique_lock guard{state_->mutex};
  if (checked && state_->failing != errc::none) checked = error{state_->failing, "the store was told to fail"};
  const auto bytes = ports::bytes_of(batch);
  if (checked) checked = check_room(bytes, {state_->commits.size(), state_->bytes_waiting}, state_->most);
  if (!checked) {
    state_->defer(state_, [done = std::move(done), checked] { done(checked); });
    return;
  }
  state_->bytes_waiting += bytes;
  state_->commits.push_back({std::move(batch), bytes, std::move(done), {}});
  // The closure takes the *oldest* commit, not this one: whatever order the owner of time runs closures in, commits
  // become durable in call order.
  state_->defer(state_, [self = state_] {
    state::waiting oldest;
    {
      const std::lock_guard inner{self->mutex};
      if (self->commits.empty()) return;
      oldest = std::move(self->commits.front());
      self->commits.pop_front();
      self->bytes_waiting -= oldest.bytes;
      self->apply(oldest.batch);
    }
    oldest.done({});
    for (auto& passed : oldest.barriers) passed({});
  });
}

void memory_kv::barrier(ports::completion<void> done) {
  const std::lock_guard guard{state_->mutex};
  if (LATHAM_REACHED_IF("barrier_behind_commits", !state_->commits.empty())) return state_->commits.back().barriers.push_back(std::move(done));
  state_->defer(state_, [done = std::move(done)] { done({}); });
}

void memory_kv::get(std::string key, ports::completion<std::optional<std::string>> done) {
  const std::lock_guard guard{state_->mutex};
  state_->defer(state_, [self = state_, key = std::move(key), done = std::move(done)] {
    std::optional<std::string> found;
    {
      const std::lock_guard inner{self->mutex};
      if (auto at = self->durable.find(key); at != self->durable.end()) found = at->second;
    }
    done(std::move(found));
  });
}

void memory_kv::scan(std::string prefix, std::string after, std::uint32_t limit, ports::completion<ports::kv_pairs> done) {
  const std::lock_guard guard{state_->mutex};
  state_->defer(state_, [self = state_, prefix = std::move(prefix), after = std::move(after), limit, done = std::move(done)] {
    if (limit == 0 || limit > kv_scan_max) return done(error{errc::invalid_argument, "a scan asks for 1 to 1000 pairs"});
    ports::kv_pairs found;
    {
      const std::lock_guard inner{self->mutex};
      auto at = after < prefix ? self->durable.lower_bound(prefix) : self->durable.upper_bound(after);
      for (; at != self->durable.end() && found.size() < limit; ++at) {
        if (at->first.compare(0, prefix.size(), prefix) != 0) break;
        found.emplace_back(at->first, at->second);
      }
    }
    done(std::move(found));
  });
}

void memory_kv::power_cut(std::size_t survivors) {
  std::deque<state::waiting> lost;
  const std::lock_guard guard{state_->mutex};
  lost.swap(state_->commits);
  state_->bytes_waiting = 0;
  for (std::size_t i = 0; i < std::min(survivors, lost.size()); ++i) state_->apply(lost[i].batch);
  ++state_->life;
  state_->failing = errc::none;
}

void memory_kv::fail_commits(errc code) {
  const std::lock_guard guard{state_->mutex};
  state_->failing = code;
}

std::size_t memory_kv::commits_waiting() const {
  const std::lock_guard guard{state_->mutex};
  return state_->commits.size();
}

std::map<std::string, std::string> memory_kv::contents() const {
  const std::lock_guard guard{state_->mutex};
  return state_->durable;
}

}  // namespace latham::store
