// Names to addresses. getaddrinfo(3) may block for half a minute when a name server is away, so it runs on two threads of
// this object's own, never on a loop and never in libuv's shared pool. Numeric addresses need no look-up; one more thread
// answers them even while all names hang.
#pragma once

#include "core/ports/completion.hpp"
#include "core/ports/peer_links.hpp"

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

struct sockaddr_storage;

namespace latham::net {

/// The socket address of a numeric host ("127.0.0.1", "::1"); nothing when it is a name.
[[nodiscard]] bool numeric_address(const ports::endpoint& where, sockaddr_storage& out);
/// 127.0.0.0/8 and ::1.
[[nodiscard]] bool is_loopback(const sockaddr_storage& address);
[[nodiscard]] std::string to_string(const sockaddr_storage& address);

class address_lookup {
public:
  explicit address_lookup(std::size_t threads = 2, std::size_t waiting_max = 256);
  /// Waits for look-ups that are in the kernel's or the resolver library's hands; answers the waiting ones with
  /// errc::unavailable.
  ~address_lookup();

  /// Every endpoint as numeric ones, in order, 8 at most for each. Completes on a thread of this object. Fails with
  /// unavailable (no address for any of them), limited.
  void resolve(std::vector<ports::endpoint> names, ports::completion<std::vector<ports::endpoint>> done);

private:
  void run(bool only_quick);
  std::mutex mutex_;
  std::condition_variable changed_;
  struct request {
    std::vector<ports::endpoint> names;
    ports::completion<std::vector<ports::endpoint>> done;
    bool refused = false;
  };
  std::deque<request> queue_;
  std::deque<request> quick_;  // answers that need no look-up
  const std::size_t waiting_max_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace latham::net
