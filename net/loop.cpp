#include "net/loop.hpp"

#include <pthread.h>

#include <csignal>
#include <string>

namespace latham::net {

namespace {
constexpr std::size_t posted_max = 1'000'000;
}

loop::loop(std::string name) : name_{std::move(name)} {
  std::signal(SIGPIPE, SIG_IGN);
  LATHAM_ASSERT(uv_loop_init(&loop_) == 0);
  loop_.data = this;
  LATHAM_ASSERT(uv_async_init(&loop_, &wake_, [](uv_async_t* wake) { static_cast<loop*>(wake->data)->drain(); }) == 0);
  wake_.data = this;
  LATHAM_ASSERT(uv_timer_init(&loop_, &deadline_timer_) == 0);
  deadline_timer_.data = this;
}

loop::~loop() {
  LATHAM_ASSERT(stop());
}

void loop::start() {
  LATHAM_ASSERT(!thread_.joinable() && !finished_);
  running_.store(true, std::memory_order_release);
  thread_ = std::thread{[this] { run(); }};
}

void loop::run() {
  thread_id_.store(std::this_thread::get_id(), std::memory_order_release);
  pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
  uv_run(&loop_, UV_RUN_DEFAULT);
  const std::lock_guard guard{mutex_};
  finished_ = true;
  finished_changed_.notify_all();
}

bool loop::post(std::function<void()> work) {
  // The send stays under the mutex: once `stopping_` is set the loop may close `wake_` and its descriptor at any moment,
  // and libuv aborts on a send to a closed one.
  const std::lock_guard guard{mutex_};
  if (stopping_) return false;
  LATHAM_ASSERT(posted_.size() < posted_max);
  posted_.push_back(std::move(work));
  uv_async_send(&wake_);
  return true;
}

void loop::drain() {
  std::vector<std::function<void()>> work;
  bool stopping = false;
  {
    const std::lock_guard guard{mutex_};
    work.swap(posted_);
    stopping = stopping_;
  }
  for (auto& closure : work) {
    closure();
    closure = nullptr;  // what it owned is released here, on the loop's thread
  }
  if (!stopping || uv_is_closing(reinterpret_cast<uv_handle_t*>(&wake_)) != 0) return;
  uv_close(reinterpret_cast<uv_handle_t*>(&wake_), nullptr);
  if (deadline_.count() <= 0) return close_everything();
  uv_timer_start(
      &deadline_timer_, [](uv_timer_t* timer) { static_cast<loop*>(timer->data)->close_everything(); },
      static_cast<std::uint64_t>(deadline_.count()), 0);
  uv_unref(reinterpret_cast<uv_handle_t*>(&deadline_timer_));
}

void loop::close_everything() {
  uv_walk(
      &loop_,
      [](uv_handle_t* h, void*) {
        if (uv_is_closing(h) == 0) uv_close(h, nullptr);
      },
      nullptr);
}

bool loop::stop(milliseconds deadline) {
  LATHAM_ASSERT(!on_thread());
  if (loop_closed_) return true;
  {
    const std::lock_guard guard{mutex_};
    if (!stopping_ && thread_.joinable()) uv_async_send(&wake_);
    stopping_ = true;
    deadline_ = deadline;
  }
  if (thread_.joinable()) {
    std::unique_lock guard{mutex_};
    if (!finished_changed_.wait_for(guard, deadline + seconds{1}, [this] { return finished_; })) return false;
    guard.unlock();
    thread_.join();
    thread_id_.store(std::thread::id{}, std::memory_order_release);
    running_.store(false, std::memory_order_release);
  }
  // Never started, or ended with unreferenced handles (timers) still there: finish on this thread.
  std::vector<std::function<void()>> dropped;
  dropped.swap(posted_);
  dropped.clear();
  close_everything();
  uv_run(&loop_, UV_RUN_DEFAULT);
  LATHAM_ASSERT(uv_loop_close(&loop_) == 0);
  loop_closed_ = true;
  for (auto& release : buried_) release();
  buried_.clear();
  return true;
}

void loop::bury(std::function<void()> release) {
  if (loop_closed_) return release();
  buried_.push_back(std::move(release));
}

timer::timer(loop& where) {
  LATHAM_ASSERT(where.may_touch_handles());
  auto made = handle<uv_timer_t>::make([&](uv_timer_t* t) { return uv_timer_init(where.raw(), t); });
  LATHAM_ASSERT(made);  // cannot fail
  handle_ = std::move(*made);
}

timer::~timer() = default;

void timer::start(milliseconds after, std::function<void()> due) {
  due_ = std::make_shared<std::function<void()>>(std::move(due));
  if (uv_is_closing(handle_.base()) != 0) return;  // the loop is stopping: nothing is due any more
  handle_.get()->data = &due_;
  uv_update_time(handle_.get()->loop);  // the loop's cached time may be old after a long callback
  uv_timer_start(
      handle_.get(),
      [](uv_timer_t* t) {
        const auto callback = *static_cast<std::shared_ptr<std::function<void()>>*>(t->data);
        (*callback)();
      },
      static_cast<std::uint64_t>(after.count() < 0 ? 0 : after.count()), 0);
  uv_unref(handle_.base());
}

void timer::stop() noexcept {
  if (uv_is_closing(handle_.base()) == 0) uv_timer_stop(handle_.get());
  due_.reset();
}

bool timer::active() const noexcept {
  return uv_is_active(handle_.base()) != 0;
}

error uv_error(int result, const char* what) {
  auto code = errc::io;
  switch (result) {
    case UV_ECONNREFUSED:
    case UV_ECONNRESET:
    case UV_ECONNABORTED:
    case UV_EHOSTUNREACH:
    case UV_ENETUNREACH:
    case UV_EPIPE:
    case UV_EOF:
    case UV_ECANCELED:
    case UV_ENOTCONN:
    case UV_EAI_NONAME:
    case UV_EAI_AGAIN: code = errc::unavailable; break;
    case UV_ETIMEDOUT: code = errc::timeout; break;
    case UV_EMFILE:
    case UV_ENFILE:
    case UV_ENOBUFS:
    case UV_ENOMEM: code = errc::limited; break;
    default: break;
  }
  return {code, std::string{what} + ": " + uv_strerror(result)};
}

}  // namespace latham::net
