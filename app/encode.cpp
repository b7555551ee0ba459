#include "app/encode.hpp"

#include "app/codecs.hpp"
#include "app/configuration.hpp"
#include "app/logging.hpp"
#include "core/findings.hpp"
#include "core/manifest/storyboard.hpp"
#include "core/recipes.hpp"
#include "core/task_budget.hpp"
#include "http/commands.hpp"
#include "media/av/engine_identity.hpp"
#include "media/engine_client.hpp"
#include "net/child_process.hpp"
#include "net/loop.hpp"
#include "store/disk/thread_pool.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <deque>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace latham::app {

namespace {

namespace fs = std::filesystem;
using steady = std::chrono::steady_clock;

constexpr int exit_failed = 1;
constexpr int exit_video_failed = 3;
constexpr int exit_interrupted = 130;
constexpr std::uint32_t tries_max = 3;
constexpr auto redraw_interval = std::chrono::milliseconds{200};
constexpr std::size_t reads_waiting_max = 256;

/// Set by SIGINT and SIGTERM; looked at five times a second.
volatile std::sig_atomic_t interrupted = 0;

bool is_videos_fault(errc code) { return code == errc::unsupported || code == errc::unprocessable || code == errc::too_large; }

double cpu_s(int who) {
  rusage used{};
  ::getrusage(who, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/// A regular file, read by many threads at once.
class source_file {
public:
  ~source_file() {
    if (fd_ >= 0) ::close(fd_);
  }
  expected<void> open(const std::string& path) {
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat found {};
    if (fd_ < 0 || ::fstat(fd_, &found) != 0) return {errc::io, path + " cannot be read: " + std::strerror(errno)};
    if (!S_ISREG(found.st_mode)) return {errc::invalid_argument, path + " is not a file"};
    size = static_cast<std::uint64_t>(found.st_size);
    return {};
  }
  [[nodiscard]] expected<buffer> read(std::uint64_t offset, std::uint32_t bytes) const {
    std::string into(bytes, '\0');
    std::size_t have = 0;
    while (have < into.size()) {
      const auto got = ::pread(fd_, into.data() + have, into.size() - have, static_cast<off_t>(offset + have));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return {errc::io, std::string{"the source cannot be read: "} + std::strerror(errno)};
      if (got == 0) break;
      have += static_cast<std::size_t>(got);
    }
    into.resize(have);
    return buffer{std::move(into)};
  }

  std::uint64_t size = 0;

private:
  int fd_ = -1;
};

std::string name_of(const source_plan& plan, track_kind kind, std::uint8_t rendition) {
  if (kind == track_kind::video) return to_string(plan.rungs.at(rendition));
  return (kind == track_kind::text ? "text-" : "audio-") + std::to_string(rendition);
}

/// Below the directory; the same paths as the service's.
std::string path_of(const source_plan& plan, const output_piece& piece, std::uint32_t chunk) {
  if (piece.kind == track_kind::image) return piece.rendition == image_poster ? std::string{"poster.jpg"} : "storyboard/" + std::to_string(chunk + 1) + ".jpg";
  return name_of(plan, piece.kind, piece.rendition) + "/" + (piece.segment == output_entry::init_segment ? std::string{"init.mp4"} : std::to_string(piece.segment + 1) + (piece.kind == track_kind::text ? ".vtt" : ".m4s"));
}

expected<void> write_file(const fs::path& path, std::string_view bytes) {
  std::error_code failed;
  fs::create_directories(path.parent_path(), failed);
  std::ofstream out{path, std::ios::binary | std::ios::trunc};
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  if (!out) return {errc::io, path.string() + " cannot be written; is the disk full?"};
  return {};
}

class local_job {
public:
  local_job(const encode_options& options, recipe how, source_file& file) : options_{options}, how_{std::move(how)}, file_{file} {
    slots_count_ = options.slots == 0 ? usable_processors() : options.slots;
    loop_.start();
  }
  ~local_job() {
    // In this order: no session hears of more reads, the reads that are under way end, and only then goes what they touch.
    for (auto& s : slots_) s->take_session().reset();
    reads_.stop();
    slots_.clear();
  }

  expected<void> run(const fs::path& directory) {
    directory_ = directory;
    const auto held = check_containment(spawner_, codecs_);
    if (!held) return held.error();
    if (!held->holds) std::fprintf(stderr, "latham: %s\n", held->words.c_str());
    work_.push_back({});  // the plan
    for (std::uint32_t i = 0; i < slots_count_; ++i) slots_.push_back(std::make_unique<slot>(*this, i));
    for (;;) {
      if (auto ok = hand_out(); !ok) return ok;
      if (running_ == 0 && work_.empty()) break;
      if (auto ok = take_event(); !ok) return ok;
    }
    return write_manifests();
  }

  [[nodiscard]] const output_table& table() const { return table_; }
  [[nodiscard]] const std::map<std::string, sha256_digest>& files() const { return files_; }
  [[nodiscard]] const std::map<std::string, std::uint64_t>& bytes() const { return bytes_; }
  [[nodiscard]] std::vector<std::string> notes() const { return found_.notes(table_.plan, how_); }
  [[nodiscard]] const ports::engine_usage& usage() const { return usage_; }
  [[nodiscard]] std::uint32_t slots() const { return slots_count_; }
  /// Of all slots, from the end of the plan on.
  [[nodiscard]] double idle_share() const {
    const auto all = std::chrono::duration<double>(encoded_at_ - planned_at_).count() * slots_count_;
    return all > 0 ? std::max(0.0, 1 - busy_s_ / all) : 0;
  }

private:
  struct task_item {
    ports::engine_task_kind kind = ports::engine_task_kind::plan;
    std::uint32_t index = 0;
    std::uint32_t tries = 0;
  };
  struct event {
    std::uint32_t slot = 0;
    std::uint64_t turn = 0;
    expected<void> result;
  };

  struct slot;

  /// Hears one task. It outlives the slot's interest in it: the engine holds it until on_end.
  class ear final : public ports::engine_listener {
  public:
    ear(slot& s, std::uint64_t turn) : slot_{s}, turn_{turn} {}
    void on_read(std::uint64_t read, std::uint64_t offset, std::uint32_t bytes) override {
      // Off the engine's thread, which must not wait for a disk. At most one read of a slot is open.
      slot_.job.reads_.post_always([&s = slot_, turn = turn_, read, offset, bytes] {
        auto got = s.job.file_.read(offset, bytes);
        const std::lock_guard guard{s.mutex};
        // Reads are counted anew in each child: a late answer must not reach the slot's next task.
        if (s.session && s.turn == turn) s.session->supply(read, std::move(got));
      });
    }
    void on_plan(source_plan plan, std::uint32_t, std::vector<chunk_plan> chunks, bool) override {
      slot_.plan = std::move(plan);
      slot_.chunks.insert(slot_.chunks.end(), chunks.begin(), chunks.end());
    }
    void on_piece(std::uint32_t, output_piece piece) override { slot_.pieces.push_back(std::move(piece)); }
    void on_chunk_done(std::uint32_t, const findings& found) override { slot_.found = found; }
    void on_progress(std::uint64_t done) override { slot_.done.store(done, std::memory_order_relaxed); }
    void on_usage(const ports::engine_usage& used) override { slot_.usage = used; }
    void on_end(expected<void> result) override { slot_.job.post({slot_.number, turn_, std::move(result)}); }

  private:
    slot& slot_;
    const std::uint64_t turn_;
  };

  struct slot {
    slot(local_job& j, std::uint32_t n) : job{j}, number{n} {}
    local_job& job;
    const std::uint32_t number;
    task_item task;
    bool busy = false;
    std::uint64_t turn = 0;        // grows with each task
    steady::time_point begin;
    steady::time_point deadline;   // of the task as a whole, by its budget
    // Written by the engine's thread while a task runs, read here after its end.
    source_plan plan;
    std::vector<chunk_plan> chunks;
    std::vector<output_piece> pieces;
    findings found;
    ports::engine_usage usage;
    std::atomic<std::uint64_t> done{0};
    std::mutex mutex;  // of `session` and `turn`: a read may be answered before `start` has returned the session
    std::unique_ptr<ports::engine_session> session;

    /// To be destroyed without the lock: its destructor waits for a listener call that is still returning.
    [[nodiscard]] std::unique_ptr<ports::engine_session> take_session() {
      const std::lock_guard guard{mutex};
      return std::move(session);
    }
  };

  void post(event e) {
    {
      const std::lock_guard guard{events_mutex_};
      events_.push_back(std::move(e));
    }
    events_changed_.notify_one();
  }

  expected<void> hand_out() {
    for (auto& s : slots_) {
      if (s->busy || work_.empty()) continue;
      s->task = work_.front();
      work_.pop_front();
      ports::engine_task task;
      task.kind = s->task.kind;
      task.source_bytes = file_.size;
      task.how = how_;
      if (task.kind != ports::engine_task_kind::plan) task.plan = table_.plan;
      if (task.kind == ports::engine_task_kind::video) task.chunks = {chunks_.at(s->task.index)};
      if (task.kind == ports::engine_task_kind::audio) task.audio_index = s->task.index;
      s->chunks.clear();
      s->pieces.clear();
      s->found = {};
      s->usage = {};
      s->done = 0;
      s->busy = true;
      s->begin = steady::now();
      s->deadline = s->begin + budget_of(task).whole;
      ++running_;
      const std::lock_guard guard{s->mutex};
      ++s->turn;
      s->session = engine_.start(s->number, std::move(task), std::make_shared<ear>(*s, s->turn));
    }
    return {};
  }

  expected<void> take_event() {
    if (interrupted != 0) return {errc::cancelled, "interrupted"};
    event e;
    {
      std::unique_lock lock{events_mutex_};
      while (!events_changed_.wait_for(lock, redraw_interval, [this] { return !events_.empty(); })) {
        lock.unlock();
        if (interrupted != 0) return {errc::cancelled, "interrupted"};
        draw();
        if (auto late = overdue()) {
          e = std::move(*late);
          lock.lock();
          break;
        }
        lock.lock();
      }
      if (e.turn == 0) {
        e = std::move(events_.front());
        events_.pop_front();
      }
    }
    auto& s = *slots_.at(e.slot);
    if (e.turn != s.turn || !s.busy) return {};  // the end of a task that was given up before
    s.take_session().reset();
    s.busy = false;
    --running_;
    if (!e.result) {
      if (is_videos_fault(e.result.error().code) || ++s.task.tries == tries_max) return e.result;
      work_.push_front(s.task);
      return {};
    }
    add(usage_, s.usage);
    if (s.task.kind == ports::engine_task_kind::plan) return on_planned(s);
    busy_s_ += std::chrono::duration<double>(steady::now() - s.begin).count();
    encoded_at_ = steady::now();
    return on_encoded(s);
  }

  /// A task that takes longer than any task of its size may: its child pretends to work, or the disk does not answer.
  std::optional<event> overdue() const {
    for (const auto& s : slots_)
      if (s->busy && steady::now() > s->deadline) return event{s->number, s->turn, error{errc::timeout, "a part of the video took too long; is the disk slow? Try again"}};
    return std::nullopt;
  }

  expected<void> on_planned(slot& s) {
    table_.plan = std::move(s.plan);
    table_.how = how_;
    table_.state = video_state::ready;
    table_.plan_complete = true;
    chunks_ = std::move(s.chunks);
    table_.chunks_total = static_cast<std::uint32_t>(chunks_.size());
    // The longest first and the sound, which is short, last: that is what fills both slots to the end.
    std::vector<task_item> order;
    for (const auto& chunk : chunks_) order.push_back({ports::engine_task_kind::video, chunk.index, 0});
    std::stable_sort(order.begin(), order.end(), [this](const auto& a, const auto& b) { return chunks_[a.index].frames > chunks_[b.index].frames; });
    for (std::uint32_t i = 0; i < table_.plan.audio.size(); ++i) order.push_back({ports::engine_task_kind::audio, i, 0});
    if (!table_.plan.text.empty()) order.push_back({ports::engine_task_kind::text, 0, 0});
    work_.insert(work_.end(), order.begin(), order.end());
    planned_at_ = encoded_at_ = steady::now();
    return {};
  }

  expected<void> on_encoded(slot& s) {
    auto summaries = summarise(s.pieces, table_.plan, how_);
    if (!summaries) return std::move(summaries).error();
    output_ref output;
    output.renditions = std::move(*summaries);
    std::vector<output_entry> entries;
    for (const auto& piece : s.pieces) {
      entries.push_back({piece.kind, piece.rendition, piece.segment, 0, static_cast<std::uint32_t>(piece.bytes.size()), piece.duration, {}});
      const auto name = path_of(table_.plan, piece, s.task.index);
      const auto digest = sha256::of(piece.bytes.view());
      // Every chunk brings the init segment of each rung, all of them alike.
      if (const auto at = files_.find(name); at != files_.end()) {
        if (at->second != digest) return {errc::internal, "two chunks made different files of the name " + name};
        continue;
      }
      if (auto ok = write_file(directory_ / name, piece.bytes.view()); !ok) return ok;
      files_[name] = digest;
      if (piece.kind != track_kind::image) bytes_[name_of(table_.plan, piece.kind, piece.rendition)] += piece.bytes.size();
    }
    if (s.task.kind == ports::engine_task_kind::video) {
      const auto& chunk = chunks_.at(s.task.index);
      table_.chunks[chunk.index] = {chunk, std::move(output)};
      frames_done_ += chunk.frames;
      found_.add_chunk(s.found);
    } else if (s.task.kind == ports::engine_task_kind::text) {
      table_.text = std::move(output);
    } else {
      found_.add_sound(table_.plan.audio.at(s.task.index).stream_index, s.found);
      table_.audio[s.task.index] = std::move(output);
      table_.audio_index[s.task.index] = std::move(entries);
    }
    s.pieces.clear();
    s.done = 0;
    draw();
    return {};
  }

  /// Paths relative to the file that names them, so that the directory can be put anywhere.
  expected<void> write_manifests() {
    auto shown = make_presentation(table_);
    if (!shown) return std::move(shown).error();
    shown->base = ".";
    if (auto ok = write_file(directory_ / "master.m3u8", hls_master(*shown)); !ok) return ok;
    if (auto ok = write_file(directory_ / "manifest.mpd", dash_manifest(*shown)); !ok) return ok;
    if (makes_images(how_) && has_picture(table_.plan))
      if (auto ok = write_file(directory_ / "storyboard.vtt", storyboard_vtt(table_, ".")); !ok) return ok;
    shown->base = "..";
    for (const auto* list : {&shown->video, &shown->audio})
      for (const auto& r : *list)
        if (auto ok = write_file(directory_ / r.name / "playlist.m3u8", hls_media(*shown, r)); !ok) return ok;
    for (const auto& t : shown->text)
      if (auto ok = write_file(directory_ / t.name / "playlist.m3u8", hls_text(*shown, t)); !ok) return ok;
    return {};
  }

  static void add(ports::engine_usage& to, const ports::engine_usage& more) {
    for (const auto field : {&ports::engine_usage::demux_us, &ports::engine_usage::decode_us, &ports::engine_usage::scale_us, &ports::engine_usage::encode_us,
                             &ports::engine_usage::mux_us, &ports::engine_usage::pipe_us, &ports::engine_usage::other_us, &ports::engine_usage::wait_us})
      to.*field += more.*field;
  }

  void draw() {
    if (::isatty(2) == 0) return;
    if (!table_.plan_complete) {
      std::fprintf(stderr, "\r\033[Kplanning");
      return;
    }
    // Of a video its frames; of sound alone the samples of all its tracks.
    const bool pictures = has_picture(table_.plan);
    const auto samples = table_.plan.frames * aac_frame_samples;
    const auto total = pictures ? table_.plan.frames : samples * table_.plan.audio.size();
    auto done = pictures ? frames_done_ : samples * table_.audio.size();
    for (const auto& s : slots_)
      if (s->busy && s->task.kind == (pictures ? ports::engine_task_kind::video : ports::engine_task_kind::audio)) done += s->done.load(std::memory_order_relaxed);
    const auto spent = std::chrono::duration<double>(steady::now() - planned_at_).count();
    const auto share = total == 0 ? 0 : static_cast<double>(done) / static_cast<double>(total);
    const auto fps = spent > 0 && pictures ? fmt::format("  {:.1f} fps", static_cast<double>(done) / spent) : std::string{};
    const auto eta = share > 0 ? fmt::format("  {:.0f} s left", spent * (1 - share) / share) : std::string{};
    std::fprintf(stderr, "\r\033[K%s%s%s", http::draw_bar(share, 40).c_str(), fps.c_str(), eta.c_str());
  }

  const encode_options& options_;
  const recipe how_;
  source_file& file_;
  std::uint32_t slots_count_ = 1;
  fs::path directory_;
  net::loop loop_{"latham-process"};
  net::child_process_spawner spawner_{loop_};
  const std::unique_ptr<ports::log_sink> log_ = make_log("warn", false);
  const media::child_engine_options codecs_ = [this] {
    auto options = codec_options(options_.unsafe_codecs);
    options.log = log_.get();
    return options;
  }();
  media::child_engine engine_{spawner_, media::engine_identity(), codecs_};
  store::thread_pool reads_{"latham-read", 2, reads_waiting_max};
  std::mutex events_mutex_;
  std::condition_variable events_changed_;
  std::deque<event> events_;
  std::deque<task_item> work_;
  std::vector<std::unique_ptr<slot>> slots_;
  std::uint32_t running_ = 0;
  std::vector<chunk_plan> chunks_;
  output_table table_;
  std::map<std::string, sha256_digest> files_;   // by path below the directory
  std::map<std::string, std::uint64_t> bytes_;   // by rendition
  findings_sum found_;
  ports::engine_usage usage_;
  std::uint64_t frames_done_ = 0;
  double busy_s_ = 0;
  steady::time_point planned_at_ = steady::now();
  steady::time_point encoded_at_ = planned_at_;
};

/// One digest of all segments: equal for equal outputs, whatever the slots, the order and the crashes.
std::string digest_of_all(const std::map<std::string, sha256_digest>& files) {
  std::string all;
  for (const auto& [name, digest] : files) all += name + " " + to_string(digest) + "\n";
  return to_string(sha256::of(all));
}

nlohmann::json describe(const local_job& job, const encode_options& o, double wall_s) {
  using nlohmann::json;
  const auto& plan = job.table().plan;
  json rungs = json::array();
  for (const auto& r : plan.rungs) {
    const auto at = job.bytes().find(to_string(r));
    rungs.push_back({{"name", to_string(r)}, {"bytes", at == job.bytes().end() ? 0 : at->second}});
  }
  json audio = json::array();
  for (std::size_t i = 0; i < plan.audio.size(); ++i) {
    const auto name = "audio-" + std::to_string(i);
    const auto at = job.bytes().find(name);
    audio.push_back({{"name", name}, {"language", plan.audio[i].language}, {"bytes", at == job.bytes().end() ? 0 : at->second}});
  }
  json text = json::array();
  for (std::size_t i = 0; i < plan.text.size(); ++i) {
    const auto name = "text-" + std::to_string(i);
    const auto at = job.bytes().find(name);
    if (at != job.bytes().end()) text.push_back({{"name", name}, {"language", plan.text[i].language}, {"title", plan.text[i].title}, {"bytes", at->second}});
  }
  const auto& u = job.usage();
  const auto s = [](std::uint64_t us) { return static_cast<double>(us) / 1e6; };
  return {
    {"file", o.file},
    {"directory", o.directory},
    {"source", plan.container + ", " + plan.video_codec},
    {"width", plan.width},
    {"height", plan.height},
    {"fps", has_picture(plan) ? plan.fps.to_double() : 0},
    {"frames", has_picture(plan) ? plan.frames : 0},
    {"duration_s", static_cast<double>(plan.frames) / plan.fps.to_double()},
    {"chunks", job.table().chunks_total},
    {"rungs", rungs},
    {"audio", audio},
    {"text", text},
    {"notes", job.notes()},
    {"slots", job.slots()},
    {"wall_s", wall_s},
    {"idle_share", job.idle_share()},
    {"stages_s",
     {{"demux", s(u.demux_us)}, {"decode", s(u.decode_us)}, {"scale", s(u.scale_us)}, {"encode", s(u.encode_us)}, {"mux", s(u.mux_us)}, {"pipe", s(u.pipe_us)},
      {"other", s(u.other_us)}, {"wait", s(u.wait_us)}}},
    {"digest", digest_of_all(job.files())},
  };
}

/// Human-readable, for standard output.
void print_summary(const local_job& job, const encode_options& o, double wall_s) {
  const auto& plan = job.table().plan;
  if (has_picture(plan))
    std::printf("%s: %zu rungs, %llu frames in %.1f s (%.1f fps)\n", o.directory.c_str(), plan.rungs.size(), static_cast<unsigned long long>(plan.frames), wall_s,
                static_cast<double>(plan.frames) / wall_s);
  else
    std::printf("%s: sound alone, %zu renditions, %.1f s of it in %.1f s\n", o.directory.c_str(), plan.audio.size(), static_cast<double>(plan.frames) / plan.fps.to_double(), wall_s);
  for (const auto& note : job.notes()) std::printf("  note: %s\n", note.c_str());
  std::printf("  HLS   %s/master.m3u8\n  DASH  %s/manifest.mpd\n", o.directory.c_str(), o.directory.c_str());
}

int fail(const error& e) {
  if (::isatty(2) != 0) std::fprintf(stderr, "\r\033[K");
  std::fprintf(stderr, "latham: %s\n", e.message.c_str());
  return is_videos_fault(e.code) ? exit_video_failed : exit_failed;
}

}  // namespace

int encode(const encode_options& o) {
  const auto begin = steady::now();
  std::vector<rung> rungs;
  for (const auto& text : o.ladder) {
    auto parsed = parse_rung(text);
    if (!parsed) return fail(parsed.error());
    rungs.push_back(*parsed);
  }
  trim part;
  for (const auto& [text, ms] : {std::pair{&o.start, &part.start_ms}, {&o.end, &part.end_ms}}) {
    if (text->empty()) continue;
    auto parsed = parse_seconds_ms(*text);
    if (!parsed) return fail(parsed.error());
    *ms = *parsed;
  }
  if (!o.end.empty() && part.end_ms == 0) return fail({errc::invalid_argument, "the end has to come after the start"});
  auto how = make_recipe(rungs, part);
  if (!how) return fail(how.error());
  source_file file;
  if (auto ok = file.open(o.file); !ok) return fail(ok.error());
  std::error_code failed;
  const fs::path directory{o.directory};
  const bool there = fs::exists(directory, failed);
  if (there && !fs::is_directory(directory, failed)) return fail({errc::invalid_argument, o.directory + " is a file; name a directory"});
  if (there && !fs::is_empty(directory, failed))
    return fail({errc::invalid_argument, o.directory + " is not empty; name a directory that does not exist yet"});

  // Beside its place until it is whole, so that nobody ever sees half a ladder there. A directory that exists may be a mount
  // point, which nothing can take the place of: then inside it.
  const auto mark = ".partial-" + std::to_string(::getpid());
  auto place = directory.has_filename() ? directory : directory.parent_path();
  auto partial = place;
  if (there) partial /= mark;
  else partial += mark;
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { interrupted = 1; });
  const auto drop = [&] { fs::remove_all(partial, failed); };
  nlohmann::json report;
  {
    local_job job{o, std::move(*how), file};
    if (auto done = job.run(partial); !done) {
      drop();
      return done.error().code == errc::cancelled ? exit_interrupted : fail(done.error());
    }
    const auto wall_s = std::chrono::duration<double>(steady::now() - begin).count();
    std::string why;
    if (!there) {
      fs::rename(partial, place, failed);
      if (failed) why = failed.message();
    } else {
      std::vector<fs::path> entries;
      for (const auto& entry : fs::directory_iterator{partial, failed}) entries.push_back(entry.path());
      for (const auto& entry : entries) {
        fs::rename(entry, place / entry.filename(), failed);
        if (failed) why = failed.message();
      }
    }
    if (!why.empty() || there) drop();
    if (!why.empty()) return fail({errc::io, o.directory + " cannot be made (" + why + "); choose another place"});
    if (::isatty(2) != 0) std::fprintf(stderr, "\r\033[K");
    if (!o.json) {
      print_summary(job, o, wall_s);
      return 0;
    }
    report = describe(job, o, wall_s);
  }
  // The children are counted once they are gone.
  report["cpu_s"] = cpu_s(RUSAGE_SELF) + cpu_s(RUSAGE_CHILDREN);
  report["stages_s"]["parent"] = cpu_s(RUSAGE_SELF);
  std::printf("%s\n", report.dump(2).c_str());
  return 0;
}

}  // namespace latham::app
