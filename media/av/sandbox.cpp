#include "media/av/sandbox.hpp"

#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <memory>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <seccomp.h>

namespace latham::media {

namespace {

#ifndef LATHAM_SANITIZED

// ---- Landlock ------------------------------------------------------------------------------------------------------

// The kernel's header may be older than the kernel, so what we use of it is here. Numbers are the same on every architecture.
constexpr long call_create_ruleset = 444;
constexpr long call_restrict_self = 446;
constexpr unsigned create_ruleset_version = 1;

/// What a ruleset handles is forbidden unless a rule allows it, and ours has no rules.
struct ruleset {
  std::uint64_t files = 0;   // since version 1
  std::uint64_t ports = 0;   // since version 4
  std::uint64_t scopes = 0;  // since version 6
};

/// Everything that version `version` of Landlock can forbid, and the size by which it knows its argument.
std::size_t handle_all(long version, ruleset& all) {
  const auto bits = [](int count) { return (std::uint64_t{1} << count) - 1; };
  all.files = version >= 5 ? bits(16) : version >= 3 ? bits(15) : version == 2 ? bits(14) : bits(13);
  if (version >= 4) all.ports = bits(2);
  if (version >= 6) all.scopes = bits(2);
  return version >= 6 ? 24 : version >= 4 ? 16 : 8;
}

bool apply_landlock() {
  const auto version = ::syscall(call_create_ruleset, nullptr, std::size_t{0}, create_ruleset_version);
  if (version < 1) return false;
  ruleset all;
  const auto size = handle_all(version, all);
  const auto made = static_cast<int>(::syscall(call_create_ruleset, &all, size, 0u));
  if (made < 0) return false;
  const bool applied = ::syscall(call_restrict_self, made, 0u) == 0;
  ::close(made);
  if (!applied) return false;
  // Tried, not believed.
  const int root = ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root >= 0) ::close(root);
  return root < 0;
}

// ---- seccomp -------------------------------------------------------------------------------------------------------

struct release_filter {
  void operator()(void* filter) const noexcept { seccomp_release(filter); }
};
using filter_handle = std::unique_ptr<void, release_filter>;

/// Calls that touch nothing but the process's own memory, time and end.
constexpr const char* harmless_calls[] = {
  // memory
  "munmap", "mremap", "brk", "madvise",
  // waiting and time; most of it does not reach the kernel
  "futex", "sched_yield", "clock_gettime", "clock_getres", "gettimeofday", "time", "nanosleep", "clock_nanosleep", "restart_syscall",
  // what am I, where do I run; libraries choose their code and their tables by it
  "getpid", "gettid", "getcpu", "sched_getaffinity", "sysinfo", "getrusage", "times", "getrandom",
  // the end
  "exit", "exit_group",
};

bool allow(const filter_handle& filter, const char* name) {
  const int call = seccomp_syscall_resolve_name(name);
  if (call < 0) return true;  // this architecture does without it
  return seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0) == 0;
}

bool allow_if(const filter_handle& filter, int call, scmp_arg_cmp condition) {
  return seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, call, 1, &condition) == 0;
}

/// For an int: what a caller leaves in the register's upper half the kernel does not look at either.
scmp_arg_cmp argument_is(unsigned index, int value) {
  return {index, SCMP_CMP_MASKED_EQ, 0xffffffffu, static_cast<std::uint64_t>(static_cast<std::uint32_t>(value))};
}
scmp_arg_cmp argument_lacks(unsigned index, std::uint64_t bit) { return {index, SCMP_CMP_MASKED_EQ, bit, 0}; }

/// Some emulators accept a filter and follow none. These would succeed without one.
bool doors_are_shut() {
  const int opened = ::open("/", O_PATH | O_CLOEXEC);
  if (opened >= 0) return false;
  const bool refused = errno == EPERM;
  const int connected = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  return refused && connected < 0 && errno == EPERM;
}

bool apply_seccomp(int stream) {
  const filter_handle filter{seccomp_init(SCMP_ACT_ERRNO(EPERM))};
  if (!filter) return false;
  // A call by another architecture's numbers (32-bit on a 64-bit kernel) is refused like any other.
  bool made = seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM)) == 0;
  for (const char* name : harmless_calls) made = made && allow(filter, name);
  made = made && allow_if(filter, SCMP_SYS(read), argument_is(0, stream));
  made = made && allow_if(filter, SCMP_SYS(write), argument_is(0, stream));
  // What an assertion, the C++ run time (write) or the C library (writev) says before it aborts. The parent bounds it.
  made = made && allow_if(filter, SCMP_SYS(write), argument_is(0, STDERR_FILENO));
  made = made && allow_if(filter, SCMP_SYS(writev), argument_is(0, STDERR_FILENO));
  // Memory is for data: code that an attacker wrote stays data.
  made = made && allow_if(filter, SCMP_SYS(mmap), argument_lacks(2, PROT_EXEC));
  made = made && allow_if(filter, SCMP_SYS(mprotect), argument_lacks(2, PROT_EXEC));
  // abort() signals its own process.
  made = made && allow_if(filter, SCMP_SYS(tgkill), argument_is(0, ::getpid()));
  return made && seccomp_load(filter.get()) == 0 && doors_are_shut();
}

#endif

}  // namespace

containment enter_sandbox([[maybe_unused]] int stream) {
  containment in_force;
#ifndef LATHAM_SANITIZED
  // Without it neither wall may be put up by a process without privileges; with it no program that it runs gains any.
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return in_force;
  in_force.landlock = apply_landlock();
  in_force.seccomp = apply_seccomp(stream);
#endif
  return in_force;
}

}  // namespace latham::media
