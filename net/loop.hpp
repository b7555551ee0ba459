// One libuv loop on one thread of its own: the place where sockets, timers, signals and child processes of a part of the
// node live. A node has few of them, one per kind of work, so that bulk bytes never delay control messages.
//
// Rules, and why:
//  * Everything that touches a uv handle runs on the loop's thread. Other threads use `post`, the only door.
//  * A closure on the loop never blocks: every stream of the loop waits for it. Disk and name look-ups go elsewhere
//    (libuv's own pool of four threads is not used by us: one slow disk would stall all look-ups).
//  * Handles are owned by `handle<T>`; libuv frees nothing by itself and a handle's memory must outlive its close
//    callback, which is the one thing that C++ destructors get wrong without help.
//  * The loop's thread must outlive child processes spawned on it: PR_SET_PDEATHSIG fires when the spawning *thread* ends.
//
// This header shows `uv.h` and is for code inside net/ only; other rooms see ports.
#pragma once

#include "core/assert.hpp"
#include "core/expected.hpp"
#include "core/units.hpp"

#include <uv.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace latham::net {

class loop {
public:
  /// Prepares the loop; closures posted now run once `start` was called. Ignores SIGPIPE for the whole process: a peer
  /// that goes away is an error code, never a signal. `name` (15 characters at most) is the thread's name in ps and gdb.
  explicit loop(std::string name);
  /// Stops with the default deadline if that was not done.
  ~loop();
  loop(const loop&) = delete;
  loop& operator=(const loop&) = delete;

  /// Starts the thread; once.
  void start();

  /// Runs `work` on the loop's thread, after everything posted before it; never inside this call. Any thread. False when
  /// the loop is stopping: `work` is destroyed without being run, so whoever must answer somebody answers now.
  /// The queue is bounded by its users (each has a limit on what it has under way); a million waiting closures are a bug.
  bool post(std::function<void()> work);

  /// Refuses new closures, runs those already posted, gives open handles until `deadline` to be closed by their owners,
  /// closes the rest itself, and joins the thread. False when a closure blocked the thread for a second past the deadline;
  /// the thread then still runs and the only safe thing left is to end the process. Idempotent; never on the loop's thread.
  bool stop(milliseconds deadline = milliseconds{1000});

  [[nodiscard]] bool on_thread() const noexcept { return std::this_thread::get_id() == thread_id_.load(std::memory_order_acquire); }
  /// True on the loop's thread, and on any thread while the thread does not run: then handles may be made and destroyed.
  [[nodiscard]] bool may_touch_handles() const noexcept { return on_thread() || !running_.load(std::memory_order_acquire); }

  /// For code inside net/. Only where `may_touch_handles()`.
  [[nodiscard]] uv_loop_t* raw() noexcept { return &loop_; }
  [[nodiscard]] static loop& of(uv_loop_t* raw) noexcept { return *static_cast<loop*>(raw->data); }
  /// Frees a handle's memory when the loop has ended: for handles that the stopping loop closed before their owners did.
  void bury(std::function<void()> release);

private:
  void run();
  void drain();
  void close_everything();

  std::string name_;
  uv_loop_t loop_{};
  uv_async_t wake_{};
  uv_timer_t deadline_timer_{};
  bool loop_closed_ = false;  // only in stop()
  std::vector<std::function<void()>> buried_;  // only where handles may be touched

  std::mutex mutex_;
  std::condition_variable finished_changed_;
  std::vector<std::function<void()>> posted_;
  bool stopping_ = false;
  bool finished_ = false;
  milliseconds deadline_{0};

  std::thread thread_;
  std::atomic<std::thread::id> thread_id_{};
  std::atomic<bool> running_{false};
};

/// Owns one uv handle. Made by `make_handle`, closed by the destructor; its memory lives until libuv has let go of it.
/// `get()->data` belongs to the user. After the destructor no callback of the handle comes but those of requests under
/// way (uv_write, uv_connect): these come with UV_ECANCELED and must own what they touch.
template <class T>
class handle {
public:
  handle() = default;
  handle(handle&& other) noexcept : box_{std::exchange(other.box_, nullptr)} {}
  handle& operator=(handle&& other) noexcept {
    if (this != &other) {
      reset();
      box_ = std::exchange(other.box_, nullptr);
    }
    return *this;
  }
  ~handle() { reset(); }

  /// Closes the handle now. On the loop's thread, or when the loop has stopped.
  void reset() noexcept {
    auto* box = std::exchange(box_, nullptr);
    if (box == nullptr) return;
    auto* base = reinterpret_cast<uv_handle_t*>(box);
    if (base->loop == nullptr) {  // uv_*_init failed: libuv never saw it
      delete box;
      return;
    }
    LATHAM_ASSERT(loop::of(base->loop).may_touch_handles());
    if (uv_is_closing(base) == 0) {
      uv_close(base, [](uv_handle_t* h) { delete reinterpret_cast<T*>(h); });
    } else {
      loop::of(base->loop).bury([box] { delete box; });
    }
  }

  [[nodiscard]] T* get() const noexcept { return box_; }
  [[nodiscard]] uv_stream_t* stream() const noexcept { return reinterpret_cast<uv_stream_t*>(box_); }
  [[nodiscard]] uv_handle_t* base() const noexcept { return reinterpret_cast<uv_handle_t*>(box_); }
  explicit operator bool() const noexcept { return box_ != nullptr; }

  /// `init` calls the matching uv_*_init on the zeroed handle and answers its result.
  template <class Init>
  [[nodiscard]] static expected<handle> make(Init init) {
    handle h;
    h.box_ = new T{};
    if (const int rc = init(h.box_); rc < 0) {
      h.base()->loop = nullptr;
      return error{errc::io, std::string{"cannot make a handle: "} + uv_strerror(rc)};
    }
    return h;
  }

private:
  T* box_ = nullptr;
};

using tcp_handle = handle<uv_tcp_t>;
using pipe_handle = handle<uv_pipe_t>;
using signal_handle = handle<uv_signal_t>;
using process_handle = handle<uv_process_t>;

/// A one-shot timer. May be destroyed, stopped or started anew from inside its own callback.
class timer {
public:
  /// On the loop's thread.
  explicit timer(loop& where);
  ~timer();
  timer(const timer&) = delete;
  timer& operator=(const timer&) = delete;

  /// Calls `due` once, `after` from now; replaces what was set before. Does not keep a stopping loop alive.
  void start(milliseconds after, std::function<void()> due);
  void stop() noexcept;
  [[nodiscard]] bool active() const noexcept;

private:
  handle<uv_timer_t> handle_;
  std::shared_ptr<std::function<void()>> due_;  // shared: the callback keeps it while it runs, whatever it does to us
};

/// The error a caller can act on for a libuv result: unavailable for a peer that is away or gone, timeout, limited for a
/// lack of descriptors or memory, io for the rest.
[[nodiscard]] error uv_error(int result, const char* what);

}  // namespace latham::net
