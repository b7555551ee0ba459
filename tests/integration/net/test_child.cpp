#include "tests/integration/net/test_child.hpp"

#include "net/child_setup.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

namespace latham::testing {

namespace {

constexpr int stream = net::child_stream_descriptor;

void say(std::string_view text) {
  while (!text.empty()) {
    const auto n = ::write(stream, text.data(), text.size());
    if (n <= 0) ::_exit(9);
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

int echo() {
  std::array<char, 65536> bytes{};
  for (;;) {
    const auto n = ::read(stream, bytes.data(), bytes.size());
    if (n <= 0) return 0;
    say({bytes.data(), static_cast<std::size_t>(n)});
  }
}

std::string open_descriptors() {
  std::string out;
  DIR* directory = ::opendir("/proc/self/fd");
  const auto own = std::to_string(::dirfd(directory));
  while (const auto* entry = ::readdir(directory)) {
    const std::string name{entry->d_name};
    if (name != "." && name != ".." && name != own) out += name + " ";
  }
  ::closedir(directory);
  return out;
}

}  // namespace

int test_child(std::string_view behaviour) {
  if (auto ok = net::apply_child_limits(); !ok) return 99;
  if (behaviour == "echo") return echo();
  if (behaviour == "exit-7") return 7;
  if (behaviour == "last-words") {
    say(std::string(3'000'000, 'w'));
    return 5;
  }
  if (behaviour == "abort") std::abort();
  if (behaviour == "complain") {
    std::fprintf(stderr, "bug:\x1b[31m x == y\n\tdoes not\r\n hold \xc3\xa9\n");
    std::abort();
  }
  if (behaviour == "shout") {
    // Until nobody listens, and then a little more.
    std::size_t written = 0;
    const std::string words(10'000, 'z');
    for (;;) {
      const auto n = ::write(2, words.data(), words.size());
      if (n <= 0) break;
      written += static_cast<std::size_t>(n);
    }
    say(std::to_string(written));
    return 4;
  }
  if (behaviour == "wait") {
    say("ready");
    for (;;) ::pause();
  }
  if (behaviour == "descriptors") {
    say(open_descriptors());
    return 0;
  }
  if (behaviour == "environment") {
    say(std::getenv("LATHAM_TEST_SECRET") == nullptr && std::getenv(net::child_limits_variable) == nullptr ? "clean" : "leaked");
    return 0;
  }
  if (behaviour == "memory") {
    void* p = ::malloc(std::size_t{1} << 31);
    say(p == nullptr ? "refused" : "granted");
    ::free(p);
    return 0;
  }
  if (behaviour == "file") {
    const int fd = ::open("/tmp", O_TMPFILE | O_WRONLY, 0600);
    const auto n = ::write(fd, "x", 1);
    say(n < 0 && errno == EFBIG ? "refused" : "granted");
    return 0;
  }
  if (behaviour == "burn") {
    // Half a second of the processor for every byte.
    say("ready");
    char byte = 0;
    while (::read(stream, &byte, 1) == 1) {
      const auto start = std::clock();
      while (std::clock() - start < CLOCKS_PER_SEC / 2) {
      }
      say("x");
    }
    return 0;
  }
  if (behaviour == "spin") {
    for (;;) std::atomic_signal_fence(std::memory_order_seq_cst);
  }
  return 98;
}

}  // namespace latham::testing
