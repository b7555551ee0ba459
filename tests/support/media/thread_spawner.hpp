// A child spawner whose children are threads of the test process at the far end of a socketpair: the production child's
// main loop, real bytes, no exec. Killing such a child closes its stream, so it ends at its next read or write.
#pragma once

#include "core/ports/process.hpp"
#include "media/av/codec_child_main.hpp"

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace latham::testing {

class thread_child final : public ports::child {
public:
  explicit thread_child(ports::child_events events) : events_{std::move(events)} {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) std::abort();
    ours_ = ends[0];
    child_ = std::thread{[this, fd = ends[1]] {
      status_ = media::run_codec_child(fd, media::containment{true, true});  // so it says: a thread cannot be contained
      ::close(fd);
    }};
    reader_ = std::thread{[this] { read_all(); }};
  }
  ~thread_child() override {
    silent_ = true;
    kill();
    reader_.join();
    ::close(ours_);
  }
  thread_child(const thread_child&) = delete;
  thread_child& operator=(const thread_child&) = delete;

  void write(buffer bytes) override {
    auto view = bytes.view();
    while (!view.empty()) {
      const auto sent = ::send(ours_, view.data(), view.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      view.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  void pause_reading(bool) override {}
  void allow_cpu_seconds(std::uint32_t) override {}
  void kill() override {
    killed_ = true;
    ::shutdown(ours_, SHUT_RDWR);
  }
  [[nodiscard]] int pid() const noexcept override { return 1; }

private:
  void read_all() {
    std::string chunk(64 * 1024, '\0');
    for (;;) {
      const auto got = ::recv(ours_, chunk.data(), chunk.size(), 0);
      if (got <= 0) break;
      if (!silent_) events_.on_bytes(buffer{chunk.substr(0, static_cast<std::size_t>(got))});
    }
    child_.join();
    if (!silent_) events_.on_exit(killed_ ? ports::child_exit{0, 9} : ports::child_exit{status_, 0});
  }

  ports::child_events events_;
  int ours_ = -1;
  int status_ = 0;
  std::atomic<bool> silent_{false};
  std::atomic<bool> killed_{false};
  std::thread child_;
  std::thread reader_;
};

class thread_spawner final : public ports::child_spawner {
public:
  expected<std::unique_ptr<ports::child>> spawn(std::vector<std::string>, ports::child_limits, ports::child_events events) override {
    ++spawned;
    return std::unique_ptr<ports::child>{std::make_unique<thread_child>(std::move(events))};
  }
  std::atomic<int> spawned{0};
};

}  // namespace latham::testing
