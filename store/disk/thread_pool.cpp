#include "store/disk/thread_pool.hpp"

#include <pthread.h>

#include <utility>

namespace latham::store {

thread_pool::thread_pool(std::string name, std::size_t threads, std::size_t waiting_max)
  : name_{name.substr(0, 15)}, waiting_max_{waiting_max} {
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
}

thread_pool::~thread_pool() {
  stop();
}

// Notifying happens under the lock: the work may be done, and the pool be destroyed for it, before who posted it goes on.
bool thread_pool::post(std::function<void()> work) {
  const std::lock_guard guard{mutex_};
  if (stopped_ || queue_.size() >= waiting_max_) return false;
  queue_.push_back(std::move(work));
  changed_.notify_one();
  return true;
}

void thread_pool::post_always(std::function<void()> work) {
  const std::lock_guard guard{mutex_};
  if (stopped_) return;
  queue_.push_back(std::move(work));
  changed_.notify_one();
}

void thread_pool::stop() {
  {
    const std::lock_guard guard{mutex_};
    stopping_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
  const std::lock_guard guard{mutex_};
  stopped_ = true;
}

void thread_pool::run() {
  pthread_setname_np(pthread_self(), name_.c_str());
  std::unique_lock guard{mutex_};
  for (;;) {
    // A thread leaves only when no other runs work that might add some.
    changed_.wait(guard, [this] { return !queue_.empty() || (stopping_ && running_ == 0); });
    if (queue_.empty()) break;
    auto work = std::move(queue_.front());
    queue_.pop_front();
    ++running_;
    guard.unlock();
    work();
    work = nullptr;
    guard.lock();
    --running_;
    if (stopping_ && running_ == 0) changed_.notify_all();
  }
  changed_.notify_all();
}

}  // namespace latham::store
