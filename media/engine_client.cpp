#include "media/engine_client.hpp"

#include "core/assert.hpp"
#include "core/findings.hpp"
#include "core/manifest/storyboard.hpp"
#include "core/task_budget.hpp"
#include "media/audio_segments.hpp"
#include "media/child_protocol.hpp"
#include "media/text_cues.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace latham::media {

namespace {

constexpr int signal_cpu_limit = 24;  // SIGXCPU; this room's pure part names no system header
constexpr std::uint8_t image_kinds = 2;  // of one chunk: its sheet and the poster
// Of one track: each byte of text may become five, each cue brings its times.
static_assert(cues_bytes_max * 5 + cue_text_bytes_max * 5 + cues_max * 64 <= text_file_bytes_max);

/// The listener of one session and the promise that nothing reaches it after `close`.
class listener_gate {
public:
  explicit listener_gate(std::shared_ptr<ports::engine_listener> listener) : listener_{std::move(listener)} {}

  template <class Call>
  void deliver(Call call) {
    std::shared_ptr<ports::engine_listener> listener;
    {
      const std::lock_guard lock{mutex_};
      if (closed_) return;
      listener = listener_;
      delivering_ = std::this_thread::get_id();
    }
    call(*listener);
    const std::lock_guard lock{mutex_};
    delivering_ = {};
    idle_.notify_all();
  }

  void close() {
    std::unique_lock lock{mutex_};
    closed_ = true;
    // A listener that destroys its own session from inside a call must not wait for itself.
    if (delivering_ == std::this_thread::get_id()) return;
    idle_.wait(lock, [this] { return delivering_ == std::thread::id{}; });
    listener_.reset();
  }

private:
  std::mutex mutex_;
  std::condition_variable idle_;
  std::shared_ptr<ports::engine_listener> listener_;
  std::thread::id delivering_;
  bool closed_ = false;
};

/// One task, and how much of it the child has said so far. Only the child's callbacks touch the progress fields.
struct running_task {
  running_task(ports::engine_task t, std::uint32_t cpu_s, std::shared_ptr<ports::engine_listener> listener)
    : task{std::move(t)}, cpu_seconds{cpu_s}, gate{std::move(listener)} {}

  const ports::engine_task task;
  const std::uint32_t cpu_seconds;  // 0: no limit
  listener_gate gate;

  std::uint32_t plan_chunks = 0;
  bool plan_complete = false;
  std::size_t chunks_done = 0;
  std::uint64_t pieces = 0;  // of the current chunk, but for images
  unsigned images = 0;       // of the current chunk, a bit each
  unsigned texts = 0;        // tracks of text up to the last that came
  std::uint64_t bytes_left = chunk_bytes_max(task, 0);  // of the current chunk, or of the plan
  std::uint64_t progress = 0;
};

std::uint64_t pieces_max(const ports::engine_task& task, std::size_t chunk) {
  const bool is_video = task.kind == ports::engine_task_kind::video;
  const auto segments = is_video ? segment_count(task.plan, task.chunks[chunk]) : segment_count(task.plan, task.plan.frames);
  const auto renditions = is_video ? task.plan.rungs.size() : 1;
  return renditions * (std::uint64_t{segments} + 1);
}

/// A child and what we know of it. Its callbacks hold it weakly; the slot's owner and sessions hold it shared.
class lane {
public:
  lane(engine_id engine, bool unsafe, ports::log_sink* log) : engine_{std::move(engine)}, unsafe_{unsafe}, log_{log} {}

  // ---- From the owner

  /// Gives the lane its next task. The lane must be idle and alive.
  void attach(std::shared_ptr<running_task> task) {
    const std::lock_guard lock{mutex_};
    LATHAM_ASSERT(!task_ && !dead_);
    task_ = std::move(task);
    task_sent_ = false;
    ++tasks_;
    cpu_seconds_ += task_->cpu_seconds;
  }
  void adopt(std::unique_ptr<ports::child> process) {
    {
      const std::lock_guard lock{process_mutex_};
      process_ = std::move(process);
    }
    bool doomed = false;
    {
      const std::lock_guard lock{mutex_};
      adopted_ = true;
      doomed = dead_;
    }
    if (doomed) kill();
  }
  /// Takes the process out, to be destroyed by the caller: its destructor may wait for a callback, so never from inside one.
  [[nodiscard]] std::unique_ptr<ports::child> release() {
    const std::lock_guard lock{process_mutex_};
    return std::move(process_);
  }
  /// Sends the task once there is a process that said hello.
  void send_task() {
    std::string bytes;
    std::uint32_t cpu_seconds = 0;
    {
      const std::lock_guard lock{mutex_};
      if (!adopted_ || !greeted_ || dead_ || !task_ || task_sent_) return;
      task_sent_ = true;
      bytes = make_frame(frame_type::task, task_->task);
      cpu_seconds = task_->cpu_seconds;
    }
    if (cpu_seconds > 0) {
      const std::lock_guard lock{process_mutex_};
      if (process_) process_->allow_cpu_seconds(cpu_seconds);
    }
    write(buffer{std::move(bytes)});
  }
  void supply(const running_task& task, std::uint64_t read, expected<buffer> bytes) {
    std::uint32_t asked = 0;
    {
      const std::lock_guard lock{mutex_};
      // A late answer: the task ended or was cancelled meanwhile.
      if (task_.get() != &task || dead_ || read == 0 || read != open_read_) return;
      asked = std::exchange(open_read_bytes_, 0);
      open_read_ = 0;
    }
    if (!bytes) {
      supply_error_message message{read, bytes.error().code, bytes.error().message.substr(0, error_message_bytes_max)};
      write(buffer{make_frame(frame_type::supply_error, message)});
      return;
    }
    const auto answer = bytes->slice(0, asked);
    write(buffer{make_bulk_frame_head(frame_type::supply, supply_head{read}, answer.view())}, answer);
  }
  void cancel(const running_task& task) {
    {
      const std::lock_guard lock{mutex_};
      if (task_.get() != &task) return;
      task_.reset();
      dead_ = true;
    }
    kill();
  }
  /// Ends a lane that has no task, or one that nobody waits for.
  void retire() {
    {
      const std::lock_guard lock{mutex_};
      dead_ = true;
    }
    kill();
  }
  /// No process came to be: the task ends with `why`.
  void fail(error why) { finish(std::move(why)); }

  [[nodiscard]] bool dead() const {
    const std::lock_guard lock{mutex_};
    return dead_;
  }
  [[nodiscard]] bool busy() const {
    const std::lock_guard lock{mutex_};
    return task_ != nullptr;
  }
  [[nodiscard]] std::uint32_t tasks() const {
    const std::lock_guard lock{mutex_};
    return tasks_;
  }
  /// What all its tasks together were allowed.
  [[nodiscard]] std::uint64_t cpu_seconds() const {
    const std::lock_guard lock{mutex_};
    return cpu_seconds_;
  }
  /// True while one of its child's callbacks runs: then the child must not be destroyed.
  [[nodiscard]] bool in_callback() const noexcept { return in_callback_.load() != 0; }

  // ---- From the child

  void on_bytes(const buffer& bytes) {
    const callback_mark mark{in_callback_};
    std::vector<frame> frames;
    const auto parsed = parser_.feed(bytes.view(), frames);
    for (const auto& f : frames) {
      if (dead()) return;
      if (auto ok = handle(f); !ok) return breach(std::move(ok).error());
    }
    if (!parsed && !dead()) breach(parsed.error());
  }

  void on_exit(const ports::child_exit& how) {
    const callback_mark mark{in_callback_};
    // Not part of the task's error: that is shown to users, and this is for who runs the node. One line for each child.
    if (log_ && !how.last_words.empty()) {
      auto said = how.last_words;
      std::replace(said.begin(), said.end(), '"', '\'');  // nothing that it says is a field of the line
      log_->write(ports::log_level::warn,
                  "codec child ended status=" + std::to_string(how.status) + " signal=" + std::to_string(how.signal) + " said=\"" + said + "\"");
    }
    {
      const std::lock_guard lock{mutex_};
      dead_ = true;
    }
    if (how.signal == signal_cpu_limit) return finish({errc::timeout, "the codec process used up its CPU seconds"});
    auto text = how.signal != 0 ? "by signal " + std::to_string(how.signal) : "with status " + std::to_string(how.status);
    finish({errc::crashed, "the codec process ended " + text + " in the middle of a task"});
  }

private:
  struct callback_mark {
    explicit callback_mark(std::atomic<int>& c) : count{c} { ++count; }
    ~callback_mark() { --count; }
    callback_mark(const callback_mark&) = delete;
    callback_mark& operator=(const callback_mark&) = delete;
    std::atomic<int>& count;
  };

  void write(buffer head, const buffer& bulk = {}) {
    const std::lock_guard lock{process_mutex_};
    if (!process_) return;
    process_->write(std::move(head));
    if (!bulk.empty()) process_->write(bulk);
  }
  void kill() {
    const std::lock_guard lock{process_mutex_};
    if (process_) process_->kill();
  }

  static error broken(const char* what) { return {errc::corrupt, std::string{"the codec process "} + what}; }

  void breach(error why) {
    retire();
    finish({errc::crashed, "the codec process broke its protocol: " + why.message});
  }

  /// Detaches the task, then tells its listener: so that the listener may start the slot's next task from inside on_end.
  void finish(expected<void> result) {
    std::shared_ptr<running_task> task;
    {
      const std::lock_guard lock{mutex_};
      task = std::move(task_);
      task_.reset();
      open_read_ = 0;
    }
    if (task) task->gate.deliver([&](ports::engine_listener& to) { to.on_end(std::move(result)); });
  }

  expected<void> handle(const frame& f) {
    if (!greeted_by_child_) {
      if (f.type != frame_type::hello) return broken("spoke before its hello");
      return on_hello(f);
    }
    std::shared_ptr<running_task> task;
    {
      const std::lock_guard lock{mutex_};
      // Cancelled between two frames: the child is being killed, what it says no longer matters.
      if (dead_) return {};
      if (task_sent_) task = task_;
    }
    if (!task) return broken("spoke without a task");
    switch (f.type) {
      case frame_type::read: return on_read(f, *task);
      case frame_type::plan: return on_plan(f, *task);
      case frame_type::piece: return on_piece(f, *task);
      case frame_type::chunk_done: return on_chunk_done(f, *task);
      case frame_type::progress: return on_progress(f, *task);
      case frame_type::end: return on_end(f, *task);
      default: return broken("sent a frame that only its parent may send");
    }
  }

  expected<void> on_hello(const frame& f) {
    auto hello = decode_message<hello_message>(f);
    if (!hello) return hello.error();
    if (hello->version != child_protocol_version) return broken("speaks another version of the protocol");
    if (hello->engine != engine_) return broken("is of another engine than this node");
    if (!hello->in_force.holds() && !unsafe_) return broken("is not contained");
    greeted_by_child_ = true;
    {
      const std::lock_guard lock{mutex_};
      greeted_ = true;
    }
    send_task();
    return {};
  }

  expected<void> on_read(const frame& f, running_task& task) {
    auto read = decode_message<read_message>(f);
    if (!read) return read.error();
    const auto source = task.task.source_bytes;
    if (read->read == 0 || read->bytes == 0 || read->bytes > ports::engine_read_bytes_max || read->offset > source ||
        read->bytes > source - read->offset)
      return broken("asked for bytes outside the source");
    {
      const std::lock_guard lock{mutex_};
      if (open_read_ != 0) return broken("asked for bytes before its last question was answered");
      open_read_ = read->read;
      open_read_bytes_ = read->bytes;
    }
    task.gate.deliver([&](ports::engine_listener& to) { to.on_read(read->read, read->offset, read->bytes); });
    return {};
  }

  /// Takes what a frame weighs off what is left: whoever listens may keep all of it in memory for a while.
  static expected<void> weigh(const frame& f, running_task& task) {
    if (f.payload.size() > task.bytes_left) return broken("made more output than its task can have");
    task.bytes_left -= f.payload.size();
    return {};
  }

  expected<void> on_plan(const frame& f, running_task& task) {
    auto page = decode_message<plan_message>(f);
    if (!page) return page.error();
    if (task.task.kind != ports::engine_task_kind::plan || task.plan_complete) return broken("sent a plan that was not asked for");
    if (page->first_chunk != task.plan_chunks || page->chunks.size() > ports::plan_page_chunks_max ||
        (page->chunks.empty() && !page->complete) || task.plan_chunks + page->chunks.size() > plan_chunks_max(task.task.how))
      return broken("sent plan pages out of order");
    if (auto ok = weigh(f, task); !ok) return ok;
    if (auto ok = validate(page->plan); !ok) return ok;
    // Without a picture there is nothing to chunk; with one there is.
    if (has_picture(page->plan) ? page->complete && page->chunks.empty() && task.plan_chunks == 0
                                : !page->complete || !page->chunks.empty() || task.plan_chunks > 0)
      return broken("planned chunks that do not go with its picture");
    std::uint32_t index = task.plan_chunks;
    for (const auto& chunk : page->chunks)
      if (chunk.index != index++ || chunk.frames == 0 || chunk.first_frame >= page->plan.frames)
        return broken("planned a chunk that cannot be");
    task.plan_chunks = index;
    task.plan_complete = page->complete;
    task.gate.deliver([&](ports::engine_listener& to) {
      to.on_plan(std::move(page->plan), page->first_chunk, std::move(page->chunks), page->complete);
    });
    return {};
  }

  expected<void> on_piece(const frame& f, running_task& task) {
    auto piece = decode_bulk<piece_head>(f);
    if (!piece) return piece.error();
    const auto& [head, bytes] = *piece;
    const bool is_video = task.task.kind == ports::engine_task_kind::video;
    const bool is_image = is_video && head.kind == track_kind::image;
    const bool is_text = task.task.kind == ports::engine_task_kind::text;
    const auto kind = is_video ? track_kind::video : is_text ? track_kind::text : track_kind::audio;
    if (task.task.kind == ports::engine_task_kind::plan || (head.kind != kind && !is_image) || bytes.empty())
      return broken("sent a piece that was not asked for");
    const auto chunks = is_video ? task.task.chunks.size() : 1;
    if (task.chunks_done >= chunks || head.chunk != (is_video ? task.task.chunks[task.chunks_done].index : 0))
      return broken("sent a piece of another chunk");
    if (is_image   ? head.rendition >= image_kinds
        : is_video ? head.rendition >= task.task.plan.rungs.size()
        : is_text  ? head.rendition >= task.task.plan.text.size()
                   : head.rendition != task.task.audio_index)
      return broken("sent a piece of an unknown rendition");
    if (auto ok = weigh(f, task); !ok) return ok;
    if (is_text) {
      // One file a track, in order: a file has one segment, and there is no telling how long it is.
      if (head.segment != 0 || head.rendition < task.texts) return broken("sent a text twice");
      if (bytes.size() > text_file_bytes_max) return broken("sent a text that is too long");
      task.texts = head.rendition + 1u;
    } else if (is_image) {
      const auto mark = 1u << head.rendition;
      if ((task.images & mark) != 0) return broken("sent a picture twice");
      task.images |= mark;
    } else if (++task.pieces > pieces_max(task.task, task.chunks_done)) {
      return broken("sent more pieces than the chunk has");
    }
    output_piece out{head.kind, head.rendition, head.segment, head.duration, bytes};
    task.gate.deliver([&, chunk = head.chunk](ports::engine_listener& to) { to.on_piece(chunk, std::move(out)); });
    return {};
  }

  expected<void> on_chunk_done(const frame& f, running_task& task) {
    auto done = decode_message<chunk_done_message>(f);
    if (!done) return done.error();
    const bool is_video = task.task.kind == ports::engine_task_kind::video;
    const auto chunks = is_video ? task.task.chunks.size() : 1;
    if (task.task.kind == ports::engine_task_kind::plan || task.chunks_done >= chunks ||
        done->chunk != (is_video ? task.task.chunks[task.chunks_done].index : 0))
      return broken("finished a chunk that it was not working on");
    const bool is_audio = task.task.kind == ports::engine_task_kind::audio;
    if (is_video   ? !is_possible_of_chunk(done->found, task.task.chunks[task.chunks_done])
        : is_audio ? done->found.reshaped || !is_possible(done->found, 0, audio_samples(task.task.plan, task.task.how.audio_rate_hz))
                   : done->found != findings{})
      return broken("lost more of the source than there is");
    if (is_video && makes_images(task.task.how)) {
      const auto& chunk = task.task.chunks[task.chunks_done];
      const auto poster = poster_frame(task.task.plan);
      const bool has_poster = poster >= chunk.first_frame && poster < chunk.first_frame + chunk.frames;
      if (task.images != (1u << image_sheet | (has_poster ? 1u << image_poster : 0u))) return broken("finished a chunk without its pictures");
    } else if (task.images != 0) {
      return broken("sent pictures that the recipe does not ask for");
    }
    ++task.chunks_done;
    task.pieces = 0;
    task.images = 0;
    task.bytes_left = task.chunks_done < chunks ? chunk_bytes_max(task.task, task.chunks_done) : 0;
    task.gate.deliver([&](ports::engine_listener& to) { to.on_chunk_done(done->chunk, done->found); });
    return {};
  }

  expected<void> on_progress(const frame& f, running_task& task) {
    auto progress = decode_message<progress_message>(f);
    if (!progress) return progress.error();
    if (progress->done <= task.progress) return {};  // no news, and so no sign of life
    task.progress = progress->done;
    task.gate.deliver([&](ports::engine_listener& to) { to.on_progress(progress->done); });
    return {};
  }

  expected<void> on_end(const frame& f, running_task& task) {
    auto end = decode_message<end_message>(f);
    if (!end) return end.error();
    if (!is_known(end->code) || end->message.size() > error_message_bytes_max) return broken("ended a task with nonsense");
    task.gate.deliver([&](ports::engine_listener& to) { to.on_usage(end->usage); });
    if (end->code != errc::none) {
      finish({end->code, std::move(end->message)});
      return {};
    }
    const auto kind = task.task.kind;
    const bool whole = kind == ports::engine_task_kind::plan    ? task.plan_complete
                       : kind == ports::engine_task_kind::video ? task.chunks_done == task.task.chunks.size()
                                                                : task.chunks_done == 1;
    if (!whole) return broken("ended a task that is not complete");
    finish({});
    return {};
  }

  const engine_id engine_;
  const bool unsafe_;
  ports::log_sink* const log_;

  // Callbacks only, which come in order.
  frame_parser parser_;
  bool greeted_by_child_ = false;
  std::atomic<int> in_callback_{0};

  std::recursive_mutex process_mutex_;  // recursive: a child may answer a write from inside it; never taken while mutex_ is held
  std::unique_ptr<ports::child> process_;

  mutable std::mutex mutex_;
  std::shared_ptr<running_task> task_;  // shared with its session
  bool adopted_ = false;
  bool greeted_ = false;
  bool task_sent_ = false;
  bool dead_ = false;
  std::uint32_t tasks_ = 0;
  std::uint64_t cpu_seconds_ = 0;
  std::uint64_t open_read_ = 0;
  std::uint32_t open_read_bytes_ = 0;
};

class session final : public ports::engine_session {
public:
  session(std::shared_ptr<lane> where, std::shared_ptr<running_task> task) : lane_{std::move(where)}, task_{std::move(task)} {}
  ~session() override {
    // Kill first: the wait for a running listener call must not delay it.
    lane_->cancel(*task_);
    task_->gate.close();
  }
  session(const session&) = delete;
  session& operator=(const session&) = delete;

  void supply(std::uint64_t read, expected<buffer> bytes) override { lane_->supply(*task_, read, std::move(bytes)); }

private:
  std::shared_ptr<lane> lane_;
  std::shared_ptr<running_task> task_;
};

}  // namespace

class child_engine::core {
public:
  core(ports::child_spawner& spawner, engine_id id, child_engine_options options)
    : spawner_{spawner}, id_{std::move(id)}, options_{std::move(options)} {}

  ~core() {
    for (auto& [slot, where] : lanes_) retired_.push_back(std::move(where));
    // A callback that runs right now may keep its lane for a moment longer, but not the process.
    for (auto& where : retired_) {
      where->retire();
      const auto process = where->release();
    }
  }

  [[nodiscard]] const engine_id& id() const noexcept { return id_; }

  std::unique_ptr<ports::engine_session> start(std::uint32_t slot, ports::engine_task task,
                                               std::shared_ptr<ports::engine_listener> listener) {
    auto valid = validate(task);
    const auto life = options_.limits.cpu_seconds;
    const auto cpu_seconds = life == 0 ? 0 : std::min({budget_of(task).cpu_s, options_.task_cpu_seconds_max, life});
    auto running = std::make_shared<running_task>(std::move(task), cpu_seconds, std::move(listener));
    std::vector<std::unique_ptr<ports::child>> gone;  // destroyed after the lock is released: that may wait for a callback
    std::shared_ptr<lane> where;
    bool fresh = false;
    {
      const std::lock_guard lock{mutex_};
      auto& held = lanes_[slot];
      // Busy: its session is cancelled, but another thread, in the middle of a supply, is the last to let go of it.
      if (held && (held->busy() || held->dead() || held->tasks() >= options_.tasks_per_child_max || !valid ||
                   held->cpu_seconds() + cpu_seconds > life)) {
        held->retire();
        retired_.push_back(std::move(held));
        held.reset();
      }
      if (!held) {
        held = std::make_shared<lane>(id_, options_.unsafe_codecs, options_.log);
        fresh = true;
      }
      where = held;
      where->attach(running);
      const auto finished = std::stable_partition(retired_.begin(), retired_.end(), [](const auto& l) { return l->in_callback(); });
      for (auto it = finished; it != retired_.end(); ++it) gone.push_back((*it)->release());
      retired_.erase(finished, retired_.end());
    }
    gone.clear();
    auto out = std::make_unique<session>(where, running);
    if (!valid) {
      where->retire();
      where->fail(std::move(valid).error());
      return out;
    }
    if (fresh) {
      ports::child_events events;
      events.on_bytes = [weak = std::weak_ptr{where}](buffer bytes) {
        if (auto held = weak.lock()) held->on_bytes(bytes);
      };
      events.on_exit = [weak = std::weak_ptr{where}](const ports::child_exit& how) {
        if (auto held = weak.lock()) held->on_exit(how);
      };
      auto process = spawner_.spawn(options_.arguments, options_.limits, std::move(events));
      if (!process) {
        where->retire();
        where->fail({process.error().code, "no codec process could be started: " + process.error().message});
        return out;
      }
      where->adopt(std::move(process).value());
    }
    where->send_task();
    return out;
  }

private:
  ports::child_spawner& spawner_;
  const engine_id id_;
  const child_engine_options options_;

  std::mutex mutex_;
  std::map<std::uint32_t, std::shared_ptr<lane>> lanes_;
  std::vector<std::shared_ptr<lane>> retired_;  // killed; kept until none of their callbacks runs
};

child_engine::child_engine(ports::child_spawner& spawner, engine_id id, child_engine_options options)
  : core_{std::make_shared<core>(spawner, std::move(id), std::move(options))} {}
child_engine::~child_engine() = default;

engine_id child_engine::id() const { return core_->id(); }

std::unique_ptr<ports::engine_session> child_engine::start(std::uint32_t slot, ports::engine_task task,
                                                           std::shared_ptr<ports::engine_listener> listener) {
  return core_->start(slot, std::move(task), std::move(listener));
}

}  // namespace latham::media
