// A codec child whose decoder has a hole: a source that begins with "attack NAME ARGUMENT\n" takes it over and runs the
// attack of that name with the child's rights; any other source is worked on as always. Limits, sandbox and main loop are
// the product's.
//
// An attack tries many doors and goes no further than one step through any that opens: its answer lists those. So a run
// where nothing holds does no harm either.
//   codec_child_attacks codec-child            contained, as the product's
//   codec_child_attacks codec-child open       not contained, and saying so
#include "core/assert.hpp"
#include "media/av/codec_child_main.hpp"
#include "net/child_setup.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace latham {

namespace {

/// What an attack tried, and which of it worked.
class doors {
public:
  /// `result` of a call that answers -1 where it is refused.
  void tried(const char* what, long result) {
    ++tried_;
    if (result >= 0) open_ += std::string{open_.empty() ? "" : ", "} + what;
  }
  [[nodiscard]] expected<void> answer() const {
    if (open_.empty()) return {errc::unprocessable, "tried " + std::to_string(tried_) + ", all shut"};
    return {errc::internal, "open: " + open_};
  }

private:
  int tried_ = 0;
  std::string open_;
};

expected<void> read_files() {
  doors d;
  constexpr auto passwd = "/etc/passwd";
  d.tried("open", ::syscall(SYS_openat, AT_FDCWD, passwd, O_RDONLY));
  d.tried("open as a path", ::open(passwd, O_PATH));
  const std::uint64_t how[3] = {};
  d.tried("openat2", ::syscall(SYS_openat2, AT_FDCWD, passwd, how, sizeof how));
#ifdef SYS_open
  d.tried("old open", ::syscall(SYS_open, passwd, O_RDONLY));
#endif
  d.tried("fopen", std::fopen(passwd, "r") != nullptr ? 0 : -1);
  d.tried("opendir", ::opendir("/etc") != nullptr ? 0 : -1);
  d.tried("own memory", ::open("/proc/self/mem", O_RDWR));
  d.tried("own descriptors", ::open("/proc/self/fd/2", O_WRONLY));
  struct stat status{};
  d.tried("stat", ::stat(passwd, &status));
  d.tried("access", ::access(passwd, R_OK));
  char link[8];
  d.tried("readlink", ::readlink("/proc/self/exe", link, sizeof link));
  d.tried("chdir", ::chdir("/etc"));
  d.tried("chroot", ::chroot("/etc"));
  d.tried("inotify", ::inotify_init1(0));
  d.tried("io_uring", ::syscall(SYS_io_uring_setup, 1, std::vector<char>(256).data()));
  char byte = 0;
  d.tried("read of descriptor 0", ::read(0, &byte, 1));
  return d.answer();
}

/// `directory` holds one file, "there".
expected<void> write_files(const std::string& directory) {
  doors d;
  const auto at = [&](const char* name) { return directory + "/" + name; };
  const auto there = at("there");
  d.tried("create", ::open(at("new").c_str(), O_CREAT | O_WRONLY, 0600));
  d.tried("creat", ::creat(at("new").c_str(), 0600));
  d.tried("temporary file", ::open(directory.c_str(), O_TMPFILE | O_WRONLY, 0600));
  d.tried("open to write", ::open(there.c_str(), O_WRONLY | O_TRUNC));
  d.tried("truncate", ::truncate(there.c_str(), 0));
  d.tried("mkdir", ::mkdir(at("folder").c_str(), 0700));
  d.tried("mknod", ::mknod(at("pipe").c_str(), S_IFIFO | 0600, 0));
  d.tried("symlink", ::symlink("/etc/passwd", at("link").c_str()));
  d.tried("link", ::link(there.c_str(), at("hard").c_str()));
  d.tried("rename", ::rename(there.c_str(), at("moved").c_str()));
  d.tried("chmod", ::chmod(there.c_str(), 0777));
  d.tried("unlink", ::unlink(there.c_str()));
  d.tried("memfd", ::syscall(SYS_memfd_create, "m", 0u));
  const int shared = ::shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
  d.tried("shared memory", shared);
  if (shared >= 0) ::shmctl(shared, IPC_RMID, nullptr);
  // Standard error is a stream to the parent, which keeps little of it; standard output may be the parent's own.
  d.tried("standard output", ::write(1, "", 0));
  return d.answer();
}

expected<void> connect_out(std::uint16_t port) {
  doors d;
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto* address = reinterpret_cast<const sockaddr*>(&to);
  const int out = ::socket(AF_INET, SOCK_STREAM, 0);
  d.tried("TCP socket", out);
  d.tried("connect", ::connect(out, address, sizeof to));
  const int datagrams = ::socket(AF_INET, SOCK_DGRAM, 0);
  d.tried("UDP socket", datagrams);
  d.tried("sendto", ::sendto(datagrams, "x", 1, 0, address, sizeof to));
  d.tried("IPv6 socket", ::socket(AF_INET6, SOCK_STREAM, 0));
  d.tried("UNIX socket", ::socket(AF_UNIX, SOCK_STREAM, 0));
  d.tried("netlink socket", ::socket(AF_NETLINK, SOCK_RAW, 0));
  int pair[2];
  d.tried("socketpair", ::socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  d.tried("pipe", ::pipe(pair));
  d.tried("bind", ::bind(net::child_stream_descriptor, address, sizeof to));
  // A descriptor smuggled to the parent.
  char control[CMSG_SPACE(sizeof(int))] = {};
  char byte = 0;
  iovec one{&byte, 1};
  msghdr message{};
  message.msg_iov = &one;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  auto* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  d.tried("sendmsg", ::sendmsg(net::child_stream_descriptor, &message, 0));
  d.tried("dup", ::dup(net::child_stream_descriptor));
  return d.answer();
}

/// A process made by the call before ends here.
long ended_if_child(long pid) {
  if (pid == 0) ::_exit(0);
  return pid;
}

expected<void> multiply() {
  doors d;
  for (int i = 0; i < 1000; ++i) d.tried("fork", ended_if_child(::fork()));
  d.tried("clone", ended_if_child(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)));
  const std::uint64_t how[11] = {0, 0, 0, 0, SIGCHLD};
  d.tried("clone3", ended_if_child(::syscall(SYS_clone3, how, sizeof how)));
#ifdef SYS_fork
  d.tried("old fork", ended_if_child(::syscall(SYS_fork)));
#endif
  char name[] = "true";
  char* const arguments[] = {name, nullptr};
  pid_t pid = 0;
  d.tried("posix_spawn", ::posix_spawn(&pid, "/bin/true", nullptr, nullptr, arguments, arguments + 1) == 0 ? 0 : -1);
  d.tried("exec", ::execve("/nowhere", arguments, arguments + 1) == 0 || errno != EPERM ? 0 : -1);
  for (int i = 0; i < 100; ++i) {
    pthread_t thread{};
    d.tried("thread", ::pthread_create(&thread, nullptr, [](void*) -> void* { return nullptr; }, nullptr) == 0 ? 0 : -1);
  }
  return d.answer();
}

expected<void> escape() {
  doors d;
  d.tried("signal to the parent", ::kill(::getppid(), 0));
  d.tried("signal to all", ::kill(-1, 0));
  d.tried("signal to a thread of another", ::syscall(SYS_tgkill, 1, 1, 0));
  d.tried("ptrace", ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr));
  char byte = 0;
  iovec here{&byte, 1};
  d.tried("the parent's memory", ::process_vm_readv(::getppid(), &here, 1, &here, 1, 0));
  rlimit none{RLIM_INFINITY, RLIM_INFINITY};
  rlimit now{};
  d.tried("look at limits", ::getrlimit(RLIMIT_CPU, &now));
  d.tried("raise limits", ::setrlimit(RLIMIT_CPU, &none));
  d.tried("raise the parent's limits", ::prlimit(::getppid(), RLIMIT_CPU, &none, nullptr));
  d.tried("outlive the parent", ::prctl(PR_SET_PDEATHSIG, 0));
  // Were SIGXCPU caught or blocked, the limit of processor seconds would be a request.
  d.tried("catch SIGXCPU", ::signal(SIGXCPU, SIG_IGN) == SIG_ERR ? -1 : 0);
  sigset_t all;
  ::sigfillset(&all);
  d.tried("block signals", ::sigprocmask(SIG_BLOCK, &all, nullptr));
  d.tried("executable memory", ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
  void* data = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  d.tried("memory made executable", ::mprotect(data, 4096, PROT_READ | PROT_EXEC));
  d.tried("namespaces", ::unshare(CLONE_NEWUSER));
  d.tried("mount", ::mount("none", "/nowhere", "tmpfs", 0, nullptr) == 0 || errno != EPERM ? 0 : -1);
  d.tried("bpf", ::syscall(SYS_bpf, 5, std::vector<char>(128).data(), 128));
  d.tried("perf", ::syscall(SYS_perf_event_open, std::vector<char>(128).data(), 0, -1, -1, 0));
  d.tried("keys", ::syscall(SYS_keyctl, 0, -3, 1));
  d.tried("user faults", ::syscall(SYS_userfaultfd, 0));
  d.tried("personality", ::syscall(SYS_personality, 0xffffffffu));
  d.tried("another user", ::setresuid(::getuid(), ::getuid(), ::getuid()));
  d.tried("scheduling", ::nice(0));
  return d.answer();
}

expected<void> allocate() {
  constexpr std::size_t ten_gb = 10'000'000'000;
  doors d;
  d.tried("malloc of 10 GB", std::malloc(ten_gb) != nullptr ? 0 : -1);
  d.tried("map of 10 GB", ::mmap(nullptr, ten_gb, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED ? -1 : 0);
  // The same in small pieces, each touched.
  constexpr std::size_t piece_bytes = 8'000'000;
  std::vector<void*> pieces;
  while (pieces.size() * piece_bytes < ten_gb) {
    void* piece = std::malloc(piece_bytes);
    if (piece == nullptr) break;
    std::memset(piece, 1, piece_bytes);
    pieces.push_back(piece);
  }
  d.tried("10 GB in pieces", pieces.size() * piece_bytes >= ten_gb ? 0 : -1);
  for (void* piece : pieces) std::free(piece);
  return d.answer();
}

/// Frames that say nothing new, a byte at a time, for ever.
expected<void> dribble(long pause_ms) {
  const auto said = make_frame(media::frame_type::progress, media::progress_message{1});
  for (std::size_t i = 0;; ++i) {
    if (::write(net::child_stream_descriptor, &said[i % said.size()], 1) != 1) ::_exit(1);
    const timespec pause{pause_ms / 1000, pause_ms % 1000 * 1'000'000};
    ::nanosleep(&pause, nullptr);
  }
}

/// Pieces of the chunk's first rendition, as fast as they go.
expected<void> flood(const ports::engine_task& task) {
  const std::string bytes(100'000, 'x');
  for (std::uint32_t segment = 0;; ++segment) {
    const media::piece_head head{task.chunks.at(0).index, track_kind::video, 0, segment, 25};
    const auto frame = media::make_bulk_frame_head(media::frame_type::piece, head, bytes) + bytes;
    for (std::size_t sent = 0; sent < frame.size();) {
      const auto n = ::write(net::child_stream_descriptor, frame.data() + sent, frame.size() - sent);
      if (n <= 0) ::_exit(1);
      sent += static_cast<std::size_t>(n);
    }
  }
}

/// Lines for the parent's log, as many as it takes, and a crash.
[[noreturn]] void shout() {
  const std::string words = "\x1b[2J2026-01-01 error all is lost\n";
  for (long i = 0; i < 1'000'000; ++i)
    if (::write(2, words.data(), words.size()) < 0) break;
  ::_exit(1);
}

expected<void> work(const ports::engine_task& task, media::task_host& host) {
  std::vector<std::uint8_t> head(std::min<std::uint64_t>(task.source_bytes, 4096));
  const auto got = host.read(0, head);
  if (!got) return got.error();
  const std::string text{head.begin(), head.begin() + static_cast<std::ptrdiff_t>(*got)};
  if (!text.starts_with("attack ")) return media::run_task(task, host);
  const auto line = text.substr(7, text.find('\n') - 7);
  const auto space = std::min(line.find(' '), line.size());
  const auto name = line.substr(0, space);
  const auto argument = line.substr(std::min(space + 1, line.size()));
  if (name == "segv") {
    *reinterpret_cast<volatile int*>(std::getenv("NOT_SET")) = 1;
    return {};
  }
  if (name == "assert") LATHAM_ASSERT(argument == "something else");
  if (name == "throw") throw std::runtime_error{"thrown by " + argument};
  if (name == "free") {
    void* once = std::malloc(64);
    void* twice = once;
    asm volatile("" : "+r"(twice));  // or the compiler would see what we are up to
    std::free(once);
    std::free(twice);
  }
  if (name == "shout") shout();
  if (name == "flood") return flood(task);
  if (name == "spin")
    for (;;) asm volatile("");
  if (name == "allocate") return allocate();
  if (name == "multiply") return multiply();
  if (name == "read") return read_files();
  if (name == "write") return write_files(argument);
  if (name == "connect") return connect_out(static_cast<std::uint16_t>(std::atoi(argument.c_str())));
  if (name == "dribble") return dribble(std::atol(argument.c_str()));
  if (name == "escape") return escape();
  return {errc::invalid_argument, "no such attack"};
}

}  // namespace

}  // namespace latham

int main(int argc, char** argv) {
  using namespace latham;
  if (auto ok = net::apply_child_limits(); !ok) {
    std::fprintf(stderr, "%s\n", ok.error().message.c_str());
    return 1;
  }
  if (argc > 2 && std::string_view{argv[2]} == "open") return media::run_codec_child(net::child_stream_descriptor, {}, work);
  return media::run_contained_codec_child(net::child_stream_descriptor, work);
}
