#include "net/address_lookup.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <memory>
#include <utility>

namespace latham::net {

bool numeric_address(const ports::endpoint& where, sockaddr_storage& out) {
  std::memset(&out, 0, sizeof out);
  sockaddr_in four{};
  if (::inet_pton(AF_INET, where.host.c_str(), &four.sin_addr) == 1) {
    four.sin_family = AF_INET;
    four.sin_port = htons(where.port);
    std::memcpy(&out, &four, sizeof four);
    return true;
  }
  sockaddr_in6 six{};
  if (::inet_pton(AF_INET6, where.host.c_str(), &six.sin6_addr) == 1) {
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(where.port);
    std::memcpy(&out, &six, sizeof six);
    return true;
  }
  return false;
}

bool is_loopback(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    sockaddr_in four{};
    std::memcpy(&four, &address, sizeof four);
    return (ntohl(four.sin_addr.s_addr) >> 24) == 127;
  }
  if (address.ss_family == AF_INET6) {
    sockaddr_in6 six{};
    std::memcpy(&six, &address, sizeof six);
    if (IN6_IS_ADDR_LOOPBACK(&six.sin6_addr)) return true;
    // An IPv4 peer of a listener for both.
    return IN6_IS_ADDR_V4MAPPED(&six.sin6_addr) && six.sin6_addr.s6_addr[12] == 127;
  }
  return false;
}

std::string to_string(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    sockaddr_in four{};
    std::memcpy(&four, &address, sizeof four);
    ::inet_ntop(AF_INET, &four.sin_addr, text.data(), text.size());
    return std::string{text.data()} + ":" + std::to_string(ntohs(four.sin_port));
  }
  if (address.ss_family == AF_INET6) {
    sockaddr_in6 six{};
    std::memcpy(&six, &address, sizeof six);
    ::inet_ntop(AF_INET6, &six.sin6_addr, text.data(), text.size());
    return "[" + std::string{text.data()} + "]:" + std::to_string(ntohs(six.sin6_port));
  }
  return "unknown address";
}

namespace {

constexpr std::size_t addresses_max = 8;

expected<std::vector<ports::endpoint>> look_up(const std::vector<ports::endpoint>& names) {
  std::vector<ports::endpoint> found;
  std::string why = "no address is configured";
  for (const auto& name : names) {
    sockaddr_storage numeric{};
    if (numeric_address(name, numeric)) {
      found.push_back(name);
      continue;
    }
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    if (const int rc = ::getaddrinfo(name.host.c_str(), nullptr, &hints, &list); rc != 0) {
      why = "cannot look up " + name.host + ": " + ::gai_strerror(rc);
      continue;
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned{list, &::freeaddrinfo};
    std::size_t count = 0;
    for (const auto* at = list; at != nullptr && count < addresses_max; at = at->ai_next, ++count) {
      std::array<char, NI_MAXHOST> host{};
      if (::getnameinfo(at->ai_addr, at->ai_addrlen, host.data(), host.size(), nullptr, 0, NI_NUMERICHOST) == 0)
        found.push_back({host.data(), name.port});
    }
  }
  if (found.empty()) return {errc::unavailable, why};
  return found;
}

}  // namespace

address_lookup::address_lookup(std::size_t threads, std::size_t waiting_max) : waiting_max_{waiting_max} {
  for (std::size_t i = 0; i <= threads; ++i) threads_.emplace_back([this, i] { run(i == 0); });
}

address_lookup::~address_lookup() {
  {
    const std::lock_guard guard{mutex_};
    stopping_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void address_lookup::resolve(std::vector<ports::endpoint> names, ports::completion<std::vector<ports::endpoint>> done) {
  bool numeric = true;
  for (const auto& name : names) {
    sockaddr_storage ignored{};
    numeric = numeric && numeric_address(name, ignored);
  }
  {
    const std::lock_guard guard{mutex_};
    const auto refused = !numeric && queue_.size() >= waiting_max_;
    (numeric || refused ? quick_ : queue_).push_back({std::move(names), std::move(done), refused});
  }
  changed_.notify_all();
}

void address_lookup::run(bool only_quick) {
  pthread_setname_np(pthread_self(), "lookup");
  for (;;) {
    request next;
    bool stopping = false;
    {
      std::unique_lock guard{mutex_};
      const auto slow = [this, only_quick] { return !only_quick && !queue_.empty(); };
      changed_.wait(guard, [&] { return stopping_ || !quick_.empty() || slow(); });
      if (quick_.empty() && !slow()) return;
      auto& from = quick_.empty() ? queue_ : quick_;
      next = std::move(from.front());
      from.pop_front();
      stopping = stopping_;
    }
    if (stopping) {
      next.done(error{errc::unavailable, "the node is stopping"});
    } else if (next.refused) {
      next.done(error{errc::limited, "too many names are being looked up"});
    } else {
      next.done(look_up(next.names));
    }
  }
}

}  // namespace latham::net
