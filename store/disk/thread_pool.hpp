// A fixed number of threads with a bounded queue, for work that waits for a disk. Nothing in this room runs on anybody
// else's threads: libuv has four for everything, and CAF's workers must never wait.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace latham::store {

class thread_pool {
public:
  /// `name`: of the threads, 15 characters at most.
  thread_pool(std::string name, std::size_t threads, std::size_t waiting_max);
  ~thread_pool();
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  /// Queues `work`; false (and nothing happened) when the queue is full. Any thread.
  [[nodiscard]] bool post(std::function<void()> work);
  /// Queues `work` even when the queue is full: for answers and for steps of work that was admitted before, whose number
  /// is bounded by that admission. After `stop` the work is dropped unrun.
  void post_always(std::function<void()> work);
  /// Runs what is queued, also what that adds, and joins. Idempotent; not from a pool thread.
  void stop();

private:
  void run();

  const std::string name_;
  const std::size_t waiting_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  std::size_t running_ = 0;
  bool stopping_ = false;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace latham::store
