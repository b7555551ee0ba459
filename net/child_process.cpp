#include "net/child_process.hpp"

#include "net/child_setup.hpp"
#include "net/stream.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <future>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

namespace latham::net {

namespace {

/// What a child may see of our environment. Tokens and passwords travel there too, and it reads hostile input.
constexpr std::array inherited_variables = {"PATH",
                                            "LANG",
                                            "LC_ALL",
                                            "TZ",
                                            "LD_LIBRARY_PATH",
                                            "ASAN_OPTIONS",
                                            "UBSAN_OPTIONS",
                                            "TSAN_OPTIONS",
                                            "LLVM_PROFILE_FILE",
                                            "MALLOC_ARENA_MAX"};

constexpr std::size_t error_bytes_max = 64 * 1024;  // in a child's life

/// After the child's death its streams end too, unless something it started holds the other end.
constexpr milliseconds stream_end_grace{1000};

struct running_child;

}  // namespace

struct child_process_spawner::family {
  family(loop& l, child_process_options o) : where{l}, options{std::move(o)} {}
  loop& where;
  const child_process_options options;
  mutable std::mutex mutex;
  std::condition_variable reaped;
  std::set<std::shared_ptr<running_child>> alive;  // until the kernel has forgotten them
};

namespace {

/// The end of `said` as one line that no terminal and no reader of logs takes for anything else.
std::string printable_end(const std::string& said) {
  std::string out;
  for (const char c : said) {
    const bool blank = c == '\n' || c == '\r' || c == '\t' || c == ' ';
    if (blank && (out.empty() || out.back() == ' ')) continue;
    out += blank ? ' ' : c > ' ' && c <= '~' ? c : '?';
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  if (out.size() > ports::last_words_bytes_max) out.erase(0, out.size() - ports::last_words_bytes_max);
  return out;
}

struct running_child : std::enable_shared_from_this<running_child> {
  running_child(std::shared_ptr<child_process_spawner::family> f, ports::child_events e)
    : parents{std::move(f)}, grace{parents->where}, events{std::move(e)} {}

  // On the loop's thread.
  expected<void> start(const std::vector<std::string>& arguments, const ports::child_limits& limits);
  void listen_to_errors(std::unique_ptr<stream> from);
  void on_process_exit(ports::child_exit how);
  void maybe_report_exit();
  void write(const buffer& bytes);
  void allow_cpu_seconds(std::uint32_t seconds);
  void kill();
  void drop();

  const std::shared_ptr<child_process_spawner::family> parents;
  process_handle process;
  std::unique_ptr<stream> channel;
  std::unique_ptr<stream> errors;
  std::size_t error_bytes = 0;
  std::string said;  // the end of it
  timer grace;
  int pid = 0;
  bool stream_ended = false;
  bool errors_ended = true;
  bool killed = false;
  std::optional<ports::child_exit> ended;
  bool reported = false;

  // Held while a callback runs, so that a destructor on another thread can promise that none runs after it. Recursive,
  // because the owner may destroy the child inside a callback.
  std::recursive_mutex callback_mutex;
  bool dropped = false;
  ports::child_events events;
};

expected<void> running_child::start(const std::vector<std::string>& arguments, const ports::child_limits& limits) {
  auto pair = make_socket_pair(true);
  if (!pair) return std::move(pair).error();
  auto opened = open_pipe_stream(parents->where, pair->ours.release());
  if (!opened) return std::move(opened).error();

  std::optional<socket_pair> error_pair;
  std::unique_ptr<stream> error_stream;
  if (!parents->options.inherit_errors) {
    auto made_pair = make_socket_pair(true);
    if (!made_pair) return std::move(made_pair).error();
    error_pair = std::move(*made_pair);
    auto opened_errors = open_pipe_stream(parents->where, error_pair->ours.release());
    if (!opened_errors) return std::move(opened_errors).error();
    error_stream = std::move(*opened_errors);
  }

  std::vector<std::string> words{"latham"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  std::vector<std::string> variables{std::string{child_limits_variable} + "=" + child_limits_line(::getpid(), limits)};
  for (const char* name : inherited_variables) {
    if (const char* value = std::getenv(name)) variables.push_back(std::string{name} + "=" + value);
  }
  std::vector<char*> environment;
  for (auto& variable : variables) environment.push_back(variable.data());
  environment.push_back(nullptr);

  std::array<uv_stdio_container_t, 4> descriptors{};
  descriptors[0].flags = UV_IGNORE;
  descriptors[1].flags = UV_IGNORE;
  descriptors[2].flags = UV_INHERIT_FD;
  descriptors[2].data.fd = error_pair ? error_pair->theirs.get() : 2;
  descriptors[child_stream_descriptor].flags = UV_INHERIT_FD;
  descriptors[child_stream_descriptor].data.fd = pair->theirs.get();

  uv_process_options_t how{};
  how.file = parents->options.program.c_str();
  how.args = argv.data();
  how.env = environment.data();
  how.stdio = descriptors.data();
  how.stdio_count = static_cast<int>(descriptors.size());
  how.exit_cb = [](uv_process_t* p, std::int64_t status, int signal) {
    const auto self = static_cast<running_child*>(p->data)->shared_from_this();
    self->on_process_exit({static_cast<int>(status), signal, {}});
  };
  auto made = process_handle::make([&](uv_process_t* p) {
    p->data = this;
    // Also when it fails libuv has seen the handle and wants to close it.
    const int rc = uv_spawn(parents->where.raw(), p, &how);
    pid = rc < 0 ? rc : p->pid;
    return 0;
  });
  if (!made) return std::move(made).error();
  if (pid < 0) return uv_error(pid, "start a child process");
  process = std::move(*made);
  channel = std::move(*opened);
  stream_events on;
  on.on_bytes = [this](std::span<const std::uint8_t> bytes) {
    const auto self = shared_from_this();
    const std::lock_guard guard{callback_mutex};
    if (!dropped && !killed && events.on_bytes) events.on_bytes(buffer{std::vector<std::uint8_t>{bytes.begin(), bytes.end()}});
  };
  on.on_end = [this](const error&) {
    const auto self = shared_from_this();
    stream_ended = true;
    maybe_report_exit();
  };
  channel->start(std::move(on));
  if (error_stream) listen_to_errors(std::move(error_stream));
  return {};
}

void running_child::listen_to_errors(std::unique_ptr<stream> from) {
  errors = std::move(from);
  errors_ended = false;
  stream_events on;
  on.on_bytes = [this](std::span<const std::uint8_t> bytes) {
    const auto self = shared_from_this();
    error_bytes += bytes.size();
    said.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (said.size() > 4 * ports::last_words_bytes_max) said.erase(0, said.size() - 2 * ports::last_words_bytes_max);
    if (error_bytes <= error_bytes_max) return;
    self->errors_ended = true;
    self->errors.reset();  // its next write fails; this closure goes with it
    self->maybe_report_exit();
  };
  on.on_end = [this](const error&) {
    const auto self = shared_from_this();
    errors_ended = true;
    maybe_report_exit();
  };
  errors->start(std::move(on));
}

void running_child::on_process_exit(ports::child_exit how) {
  ended = how;
  process.reset();
  {
    const std::lock_guard guard{parents->mutex};
    parents->alive.erase(shared_from_this());
    parents->reaped.notify_all();
  }
  if (killed) stream_ended = errors_ended = true;  // nobody wants its last words
  if (!stream_ended || !errors_ended) {
    grace.start(stream_end_grace, [self = weak_from_this()] {
      if (const auto child = self.lock()) {
        child->stream_ended = child->errors_ended = true;
        child->maybe_report_exit();
      }
    });
  }
  maybe_report_exit();
}

void running_child::maybe_report_exit() {
  if (!ended || !stream_ended || !errors_ended || reported) return;
  reported = true;
  grace.stop();
  ended->last_words = printable_end(said);
  const std::lock_guard guard{callback_mutex};
  if (!dropped && events.on_exit) events.on_exit(*ended);
}

void running_child::write(const buffer& bytes) {
  if (!channel || killed) return;
  if (channel->bytes_queued() + bytes.size() > parents->options.bytes_queued_max) return kill();
  channel->write(bytes);
}

void running_child::allow_cpu_seconds(std::uint32_t seconds) {
  if (!process || killed) return;  // reaped: its number may be another's
  clockid_t clock{};
  timespec used{};
  rlimit limit{};
  if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &used) != 0) return kill();
  if (::prlimit(pid, RLIMIT_CPU, nullptr, &limit) != 0) return kill();
  // The kernel counts whole seconds: the one that has begun is a gift.
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, static_cast<rlim_t>(used.tv_sec) + 1 + seconds);
  if (::prlimit(pid, RLIMIT_CPU, &limit, nullptr) != 0) kill();
}

void running_child::kill() {
  killed = true;
  if (process) uv_process_kill(process.get(), SIGKILL);
}

void running_child::drop() {
  kill();
  channel.reset();
  errors.reset();
  grace.stop();
}

class child_handle final : public ports::child {
public:
  child_handle(loop& where, std::shared_ptr<running_child> running) : where_{where}, running_{std::move(running)}, pid_{running_->pid} {}
  ~child_handle() override {
    {
      const std::lock_guard guard{running_->callback_mutex};
      running_->dropped = true;
    }
    // The callbacks are destroyed on the loop's thread; whatever they own may be large, and a callback may be above us.
    where_.post([running = std::move(running_)] { running->drop(); });
  }
  void write(buffer bytes) override {
    where_.post([running = running_, bytes = std::move(bytes)] { running->write(bytes); });
  }
  void pause_reading(bool paused) override {
    where_.post([running = running_, paused] {
      if (running->channel) running->channel->pause_reading(paused);
    });
  }
  void allow_cpu_seconds(std::uint32_t seconds) override {
    where_.post([running = running_, seconds] { running->allow_cpu_seconds(seconds); });
  }
  void kill() override {
    where_.post([running = running_] { running->kill(); });
  }
  int pid() const noexcept override { return pid_; }

private:
  loop& where_;
  std::shared_ptr<running_child> running_;
  const int pid_;
};

}  // namespace

child_process_spawner::child_process_spawner(loop& where, child_process_options options)
  : family_{std::make_shared<family>(where, std::move(options))} {}

child_process_spawner::~child_process_spawner() {
  LATHAM_ASSERT(!family_->where.on_thread());
  const bool posted = family_->where.post([f = family_] {
    std::set<std::shared_ptr<running_child>> left;
    {
      const std::lock_guard guard{f->mutex};
      left = f->alive;
    }
    for (const auto& child : left) child->kill();
  });
  if (!posted) return;  // the loop has ended, and its children with its thread
  std::unique_lock guard{family_->mutex};
  family_->reaped.wait_for(guard, seconds{5}, [this] { return family_->alive.empty(); });
}

std::size_t child_process_spawner::children() const {
  const std::lock_guard guard{family_->mutex};
  return family_->alive.size();
}

expected<std::unique_ptr<ports::child>> child_process_spawner::spawn(std::vector<std::string> arguments, ports::child_limits limits,
                                                                     ports::child_events events) {
  using result = expected<std::unique_ptr<ports::child>>;
  const auto work = [f = family_, arguments = std::move(arguments), limits, events = std::move(events)]() -> result {
    auto running = std::make_shared<running_child>(f, events);
    {
      const std::lock_guard guard{f->mutex};
      if (f->alive.size() >= f->options.children_max) return error{errc::limited, "too many child processes are running"};
      f->alive.insert(running);
    }
    if (auto started = running->start(arguments, limits); !started) {
      const std::lock_guard guard{f->mutex};
      f->alive.erase(running);
      return std::move(started).error();
    }
    return std::unique_ptr<ports::child>{std::make_unique<child_handle>(f->where, std::move(running))};
  };
  if (family_->where.on_thread()) return work();
  auto promise = std::make_shared<std::promise<result>>();
  auto answer = promise->get_future();
  if (!family_->where.post([promise, work] { promise->set_value(work()); }))
    return error{errc::unavailable, "the node is stopping"};
  return answer.get();
}

}  // namespace latham::net
