#include "net/child_setup.hpp"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace latham::net {

namespace {

expected<void> set_limit(int resource, std::uint64_t value, const char* what) {
  const rlimit limit{value, value};
  if (::setrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0)
    return {errc::io, std::string{"cannot limit "} + what + ": " + std::strerror(errno)};
  return {};
}

void close_other_descriptors() {
  constexpr auto first = static_cast<unsigned>(child_stream_descriptor) + 1;
#ifdef SYS_close_range
  if (::syscall(SYS_close_range, first, ~0u, 0u) == 0) return;
#endif
  // Before Linux 5.9. Whatever lies above a sane limit was not opened by us.
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const auto end = limit.rlim_cur < 65536 ? static_cast<int>(limit.rlim_cur) : 65536;
  for (auto fd = static_cast<int>(first); fd < end; ++fd) ::close(fd);
}

}  // namespace

std::string child_limits_line(int parent_pid, const ports::child_limits& limits) {
  return "1 " + std::to_string(parent_pid) + " " + std::to_string(limits.address_space_bytes) + " " + std::to_string(limits.cpu_seconds) +
         " " + std::to_string(limits.file_bytes);
}

expected<child_orders> parse_child_limits(std::string_view line) {
  std::array<std::uint64_t, 5> numbers{};
  const char* at = line.data();
  const char* const end = at + line.size();
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto [next, failed] = std::from_chars(at, end, numbers[i]);
    const auto separated = i + 1 == numbers.size() ? next == end : next != end && *next == ' ';
    if (failed != std::errc{} || !separated) return {errc::invalid_argument, "the child's limits are malformed"};
    at = next + 1;
  }
  if (numbers[0] != 1 || numbers[1] == 0 || numbers[1] > INT32_MAX || numbers[3] > UINT32_MAX)
    return {errc::invalid_argument, "the child's limits are of another version or out of range"};
  child_orders orders;
  orders.parent_pid = static_cast<int>(numbers[1]);
  orders.limits.address_space_bytes = numbers[2];
  orders.limits.cpu_seconds = static_cast<std::uint32_t>(numbers[3]);
  orders.limits.file_bytes = numbers[4];
  return orders;
}

expected<void> apply_child_limits() {
  const char* line = std::getenv(child_limits_variable);
  if (line == nullptr) return {errc::invalid_argument, "this command is for latham itself: it runs codecs in children"};
  const auto orders = parse_child_limits(line);
  ::unsetenv(child_limits_variable);
  if (!orders) return orders.error();
  // In this order: were the parent to die between the two, getppid() would show it.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return {errc::io, "cannot tie the child to its parent"};
  if (::getppid() != orders->parent_pid) return {errc::unavailable, "the parent is gone"};
  close_other_descriptors();
  // A write beyond the limit must be an error code, not a signal: standard error may be a file.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  const auto& limits = orders->limits;
  if (auto ok = set_limit(RLIMIT_CORE, 0, "core dumps"); !ok) return ok;  // they would hold a customer's frames
  if (auto ok = set_limit(RLIMIT_FSIZE, limits.file_bytes, "file sizes"); !ok) return ok;
  if (limits.address_space_bytes > 0) {
    if (auto ok = set_limit(RLIMIT_AS, limits.address_space_bytes, "memory"); !ok) return ok;
  }
  if (limits.cpu_seconds > 0) {
    if (auto ok = set_limit(RLIMIT_CPU, limits.cpu_seconds, "processor time"); !ok) return ok;
  }
  return {};
}

}  // namespace latham::net
