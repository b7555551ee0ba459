// A listener that writes down what it is told and can be waited for. Reads are answered from a string in memory when a
// session is bound, and only recorded when none is.
#pragma once

#include "core/ports/media_engine.hpp"

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace latham::testing {

struct recorded_read {
  std::uint64_t read = 0;
  std::uint64_t offset = 0;
  std::uint32_t bytes = 0;
};

class recording_listener : public ports::engine_listener {
public:
  void on_read(std::uint64_t read, std::uint64_t offset, std::uint32_t bytes) override {
    std::function<void(const recorded_read&)> answer;
    {
      const std::lock_guard lock{mutex_};
      reads.push_back({read, offset, bytes});
      answer = answer_;
      changed_.notify_all();
    }
    if (answer) answer({read, offset, bytes});
  }
  void on_plan(source_plan p, std::uint32_t first_chunk, std::vector<chunk_plan> page, bool is_complete) override {
    const std::lock_guard lock{mutex_};
    plan = std::move(p);
    plan_pages.push_back(first_chunk);
    chunks.insert(chunks.end(), page.begin(), page.end());
    plan_complete = is_complete;
  }
  void on_piece(std::uint32_t chunk, output_piece piece) override {
    const std::lock_guard lock{mutex_};
    pieces.emplace_back(chunk, std::move(piece));
  }
  void on_chunk_done(std::uint32_t chunk, const findings& f) override {
    const std::lock_guard lock{mutex_};
    done.push_back(chunk);
    found.push_back(f);
  }
  void on_progress(std::uint64_t p) override {
    const std::lock_guard lock{mutex_};
    progress.push_back(p);
  }
  void on_end(expected<void> r) override {
    std::function<void()> then;
    {
      const std::lock_guard lock{mutex_};
      ++ends;
      result = r ? error{} : r.error();
      then = at_end;
      changed_.notify_all();
    }
    if (then) then();
  }

  void answer_reads(std::function<void(const recorded_read&)> answer) {
    const std::lock_guard lock{mutex_};
    answer_ = std::move(answer);
  }
  /// False when nothing ended within two minutes.
  [[nodiscard]] bool wait_for_end() {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, std::chrono::minutes{2}, [this] { return ends > 0; });
  }
  [[nodiscard]] bool wait_for_reads(std::size_t count) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, std::chrono::minutes{2}, [&] { return reads.size() >= count || ends > 0; });
  }

  std::vector<recorded_read> reads;
  source_plan plan;
  std::vector<std::uint32_t> plan_pages;
  std::vector<chunk_plan> chunks;
  bool plan_complete = false;
  std::vector<std::pair<std::uint32_t, output_piece>> pieces;
  std::vector<std::uint32_t> done;
  std::vector<findings> found;  // of each that is done
  std::vector<std::uint64_t> progress;
  int ends = 0;
  error result;
  std::function<void()> at_end;

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void(const recorded_read&)> answer_;
};

}  // namespace latham::testing
