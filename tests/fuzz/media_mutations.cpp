// Damaged files of every format through real codec children: plan, first chunk and sound of each, in two slots.
//
//   media_mutations --latham build/latham [--files 20000] [--seed 1] [--keep DIR] [--only N]
//   media_mutations --write-seeds DIR       the undamaged files, for the fuzzers
//
// File n of a seed is always the same bytes, so a line of the report is enough to make it again (--only n). What is not an
// ordinary answer is a finding: a child that crashed, hung, broke its protocol, or answered with a code that is our fault.
// Findings, and files that took long, are listed and written to --keep. Exit codes: 0; 3 with findings, all of which the
// engine survived; 1 when it did not: a child was left behind.
#include "core/digest.hpp"
#include "media/av/engine_identity.hpp"
#include "media/engine_client.hpp"
#include "net/child_process.hpp"
#include "net/loop.hpp"
#include "tests/support/media/all_formats.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <thread>

namespace latham::testing {

namespace {

using steady = std::chrono::steady_clock;

constexpr std::chrono::seconds task_deadline{60};  // by the clock, on a busy machine
constexpr std::uint32_t task_cpu_s = 20;
constexpr double slow_s = 5;
constexpr std::uint64_t sound_frames_max = 60 * 60;  // a minute: more is silence that a damaged time asks for

struct options {
  std::string latham;
  std::string keep;
  std::string write_seeds;
  std::uint64_t files = 20'000;
  std::uint64_t seed = 1;
  std::optional<std::uint64_t> only;
};

// ---- Damage ----------------------------------------------------------------------------------------------------------

using seeds = std::vector<std::pair<std::string, std::string>>;  // name, bytes

class mutator {
public:
  mutator(const seeds& from, std::uint64_t seed, std::uint64_t file) : from_{from}, random_{seed * 0x9e3779b97f4a7c15ull + file} {}

  /// Name of the seed and the damaged bytes.
  std::pair<std::string, std::string> make() {
    const auto& [name, whole] = from_[below(from_.size())];
    bytes_ = whole;
    for (auto rounds = 1 + below(4); rounds > 0 && !bytes_.empty(); --rounds) damage();
    return {name, std::move(bytes_)};
  }

private:
  std::uint64_t below(std::uint64_t end) { return end == 0 ? 0 : random_() % end; }

  /// Half of the time where headers and indexes are: near either end.
  std::size_t place() {
    const auto size = bytes_.size();
    switch (below(4)) {
      case 0: return below(std::min<std::size_t>(size, 2000));
      case 1: return size - 1 - below(std::min<std::size_t>(size, 2000));
      default: return below(size);
    }
  }

  std::uint64_t odd_value() {
    static constexpr std::uint64_t values[] = {0,      1,      2,          0x7f,       0x80,       0xff,       0x100,
                                               0x7fff, 0x8000, 0xffff,     0x10000,    0xffffff,   0x7fffffff, 0x80000000,
                                               0xfffffffe, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff};
    return below(3) == 0 ? random_() : values[below(std::size(values))];
  }

  void put(std::size_t at, std::size_t width, std::uint64_t value, bool big) {
    for (std::size_t i = 0; i < width && at + i < bytes_.size(); ++i)
      bytes_[at + i] = static_cast<char>(value >> (8 * (big ? width - 1 - i : i)));
  }

  void damage() {
    switch (below(9)) {
      case 0: {  // bits
        for (auto n = 1 + below(64); n > 0; --n) bytes_[place()] ^= static_cast<char>(1 << below(8));
        return;
      }
      case 1: {  // bytes
        for (auto n = 1 + below(16); n > 0; --n) bytes_[place()] = static_cast<char>(random_());
        return;
      }
      case 2: {  // a number of any kind
        put(place(), std::size_t{1} << below(4), odd_value(), below(2) == 0);
        return;
      }
      case 3: {  // the length, or a field, of a box or chunk: near four letters
        for (int tries = 0; tries < 200; ++tries) {
          const auto at = place();
          if (at < 4 || at + 4 > bytes_.size()) continue;
          const auto letter = [&](std::size_t i) { return std::isalpha(static_cast<unsigned char>(bytes_[i])) != 0; };
          if (!letter(at) || !letter(at + 1) || !letter(at + 2) || !letter(at + 3)) continue;
          if (below(2) == 0) put(at - 4, 4, odd_value(), true);        // MP4: before the name
          else put(at + 4 * (1 + below(8)), 4, odd_value(), below(2) == 0);  // AVI: behind it; or any of its fields
          return;
        }
        return;
      }
      case 4: {  // a length that grew or shrank a little
        const auto at = place();
        bytes_[at] = static_cast<char>(bytes_[at] + static_cast<int>(below(9)) - 4);
        return;
      }
      case 5: {  // a piece copied over another
        const auto from = below(bytes_.size()), to = below(bytes_.size());
        const auto count = std::min({1 + below(2000), bytes_.size() - from, bytes_.size() - to});
        std::memmove(bytes_.data() + to, bytes_.data() + from, count);
        return;
      }
      case 6: {  // a piece said twice, or left out
        const auto from = below(bytes_.size());
        const auto count = std::min<std::size_t>(1 + below(3000), bytes_.size() - from);
        if (below(2) == 0) bytes_.insert(place(), bytes_.substr(from, count));
        else bytes_.erase(from, count);
        return;
      }
      case 7: {  // cut off
        bytes_.resize(below(bytes_.size()) + 1);
        return;
      }
      default: {  // the beginning of one, the end of another
        const auto& other = from_[below(from_.size())].second;
        const auto at = below(std::min(bytes_.size(), other.size()));
        bytes_ = bytes_.substr(0, at) + other.substr(at);
        return;
      }
    }
  }

  const seeds& from_;
  std::mt19937_64 random_;
  std::string bytes_;
};

// ---- One task --------------------------------------------------------------------------------------------------------

/// What a session says, to be waited for with a deadline.
class ear final : public ports::engine_listener {
public:
  void on_read(std::uint64_t read, std::uint64_t offset, std::uint32_t bytes) override {
    tell([&] { open_ = asked{read, offset, bytes}; });
  }
  void on_plan(source_plan p, std::uint32_t, std::vector<chunk_plan> page, bool) override {
    tell([&] {
      plan = std::move(p);
      chunks.insert(chunks.end(), page.begin(), page.end());
    });
  }
  void on_piece(std::uint32_t, output_piece piece) override {
    tell([&] {
      if (piece.kind == track_kind::video && piece.rendition == 0) duration += piece.duration;
    });
  }
  void on_chunk_done(std::uint32_t, const findings&) override {}
  void on_progress(std::uint64_t) override {}
  void on_end(expected<void> r) override {
    tell([&] {
      ended_ = true;
      if (!r) result = r.error();
    });
  }

  struct asked {
    std::uint64_t read = 0, offset = 0;
    std::uint32_t bytes = 0;
  };
  /// The next question, or nothing at the end. `late` when neither came in time.
  std::optional<asked> next(steady::time_point deadline, bool& late) {
    std::unique_lock lock{mutex_};
    late = !changed_.wait_until(lock, deadline, [this] { return ended_ || open_; });
    return late || ended_ ? std::nullopt : std::exchange(open_, std::nullopt);
  }

  source_plan plan;
  std::vector<chunk_plan> chunks;
  std::uint64_t duration = 0;
  error result;

private:
  template <class F>
  void tell(F f) {
    const std::lock_guard lock{mutex_};
    f();
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<asked> open_;
  bool ended_ = false;
};

std::shared_ptr<ear> run(media::child_engine& engine, std::uint32_t slot, const ports::engine_task& task, const std::string& bytes) {
  auto heard = std::make_shared<ear>();
  auto session = engine.start(slot, task, heard);
  const auto deadline = steady::now() + task_deadline;
  bool late = false;
  while (const auto question = heard->next(deadline, late))
    session->supply(question->read, buffer{bytes.substr(question->offset, question->bytes)});
  session.reset();
  if (late) heard->result = {errc::timeout, "no end within a minute by the clock"};
  return heard;
}

// ---- All of them -----------------------------------------------------------------------------------------------------

class report {
public:
  void count(const std::string& stage, const std::string& outcome) {
    const std::lock_guard lock{mutex_};
    ++outcomes_[stage][outcome];
  }
  void finding(const options& o, std::uint64_t file, const std::string& name, const std::string& what, const std::string& bytes) {
    note(o, file, name, what, bytes);
    ++findings_;
  }
  void note(const options& o, std::uint64_t file, const std::string& name, const std::string& what, const std::string& bytes) {
    const std::lock_guard lock{mutex_};
    std::printf("file %llu of seed %llu, from %s: %s\n", static_cast<unsigned long long>(file), static_cast<unsigned long long>(o.seed), name.c_str(), what.c_str());
    std::fflush(stdout);
    if (!o.keep.empty()) write_file(o.keep + "/" + std::to_string(o.seed) + "-" + std::to_string(file) + "-" + name, bytes);
  }
  void print() const {
    for (const auto& [stage, outcomes] : outcomes_) {
      std::printf("%-6s", stage.c_str());
      for (const auto& [outcome, n] : outcomes) std::printf(" %s=%llu", outcome.c_str(), static_cast<unsigned long long>(n));
      std::printf("\n");
    }
    std::printf("findings=%llu\n", static_cast<unsigned long long>(findings()));
  }
  [[nodiscard]] std::uint64_t findings() const noexcept { return findings_; }

private:
  std::mutex mutex_;
  std::map<std::string, std::map<std::string, std::uint64_t>> outcomes_;
  std::atomic<std::uint64_t> findings_{0};
};

/// The code, and for those that tell several stories, which.
std::string outcome_of(const error& e) {
  std::string out{to_string(e.code)};
  if (e.code == errc::too_large && e.message.find("memory") != std::string::npos) out += "(memory)";
  return out;
}

bool is_ordinary(errc code) { return code == errc::none || code == errc::unsupported || code == errc::unprocessable || code == errc::too_large; }

class mutation_run {
public:
  mutation_run(const options& o, const seeds& from, media::child_engine& engine) : options_{o}, from_{from}, engine_{engine} {}

  void slot(std::uint32_t number) {
    if (options_.only && number > 0) return;
    for (;;) {
      const auto file = next_++;
      if (file >= options_.files) return;
      one(number, options_.only ? *options_.only : file);
      if (options_.only) return;
      if ((file + 1) % 1000 == 0) std::fprintf(stderr, "%llu files\n", static_cast<unsigned long long>(file + 1));
    }
  }
  [[nodiscard]] const report& result() const noexcept { return report_; }

private:
  void one(std::uint32_t number, std::uint64_t file) {
    const auto [name, bytes] = mutator{from_, options_.seed, file}.make();
    if (options_.only && !options_.keep.empty()) write_file(options_.keep + "/only-" + name, bytes);
    ports::engine_task task;
    task.source_bytes = bytes.size();
    task.how.rungs = {{64, 48, 100}};
    task.how.segment_ms = 500;
    task.how.chunk_segments = 2;
    const auto tell = [&, &name = name, &bytes = bytes](const char* stage, const ear& heard, double took_s) {
      report_.count(stage, outcome_of(heard.result));
      if (!is_ordinary(heard.result.code))
        report_.finding(options_, file, name, std::string{stage} + ": " + std::string{to_string(heard.result.code)} + ": " + heard.result.message, bytes);
      else if (took_s > slow_s)
        report_.note(options_, file, name, std::string{stage} + ": took " + std::to_string(took_s) + " s", bytes);
      return heard.result.code == errc::none;
    };
    const auto timed = [&, &bytes = bytes](double& took_s) {
      const auto start = steady::now();
      auto heard = run(engine_, number, task, bytes);
      took_s = std::chrono::duration<double>(steady::now() - start).count();
      return heard;
    };
    double took_s = 0;
    const auto planned = timed(took_s);
    if (!tell("plan", *planned, took_s)) return;
    task.plan = planned->plan;
    if (!planned->chunks.empty()) {
      task.kind = ports::engine_task_kind::video;
      task.chunks = {planned->chunks.front()};
      const auto video = timed(took_s);
      if (tell("video", *video, took_s) && video->duration != task.chunks[0].frames)
        report_.finding(options_, file, name, "video: " + std::to_string(video->duration) + " frames of " + std::to_string(task.chunks[0].frames), bytes);
      task.chunks.clear();
    }
    if (!task.plan.text.empty()) {
      task.kind = ports::engine_task_kind::text;
      const auto text = timed(took_s);
      (void)tell("text", *text, took_s);
    }
    if (task.plan.audio.empty()) return report_.count("audio", "absent");
    if (task.plan.frames > sound_frames_max) return report_.count("audio", "long");
    task.kind = ports::engine_task_kind::audio;
    const auto audio = timed(took_s);
    (void)tell("audio", *audio, took_s);
  }

  const options& options_;
  const seeds& from_;
  media::child_engine& engine_;
  report report_;
  std::atomic<std::uint64_t> next_{0};
};

seeds make_seeds() {
  const scratch_directory dir;
  seeds out;
  for (const auto& format : all_formats) {
    const bool is_3gp = std::string_view{format.file}.ends_with(".3gp");
    auto bytes = make_format(format, dir, is_3gp ? "128x96" : "64x48", 1);
    if (bytes.empty()) std::fprintf(stderr, "no seed for %s\n", format.file);
    else out.emplace_back(format.file, std::move(bytes));
  }
  // And one for every kind of words.
  write_file(dir.file("words.srt"), "1\n00:00:00,100 --> 00:00:00,600\n<i>Hello</i> {\\an8}& <b>goodbye</b>\n\n2\n00:00:00,700 --> 00:00:00,900\nagain\n");
  for (const std::string format : {"srt words.mkv", "ass words_ass.mkv", "mov_text words.mp4", "webvtt words.webm"}) {
    const auto space = format.find(' ');
    const auto name = format.substr(space + 1);
    const bool made = run_command(ffmpeg + "-f lavfi -i testsrc2=s=64x48:r=25:d=1 -i " + dir.file("words.srt") + " -c:v " +
                                  (name.ends_with("webm") ? "libvpx -deadline realtime" : "libx264 -preset ultrafast") + " -c:s " + format.substr(0, space) + " " + dir.file(name));
    if (made) out.emplace_back(name, file_bytes(dir.file(name)));
    else std::fprintf(stderr, "no seed for %s\n", name.c_str());
  }
  return out;
}

std::optional<options> parse(int argc, char** argv) {
  options o;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--latham") o.latham = value;
    else if (name == "--keep") o.keep = value;
    else if (name == "--write-seeds") o.write_seeds = value;
    else if (name == "--files") o.files = std::strtoull(value, nullptr, 10);
    else if (name == "--seed") o.seed = std::strtoull(value, nullptr, 10);
    else if (name == "--only") o.only = std::strtoull(value, nullptr, 10);
    else return std::nullopt;
  }
  if (argc % 2 == 0 || (o.latham.empty() && o.write_seeds.empty())) return std::nullopt;
  return o;
}

int run_all(const options& o) {
  const auto from = make_seeds();
  if (from.empty()) return 2;
  if (!o.write_seeds.empty()) {
    for (const auto& [name, bytes] : from) write_file(o.write_seeds + "/" + name, bytes);
    return 0;
  }
  const auto start = steady::now();
  std::uint64_t findings = 0;
  net::loop where{"mutations"};
  where.start();
  net::child_process_spawner spawner{where, net::child_process_options{.program = o.latham}};
  {
    media::child_engine_options limits;
    limits.task_cpu_seconds_max = task_cpu_s;
#ifdef LATHAM_SANITIZED
    limits.limits = {};
    limits.unsafe_codecs = true;
#endif
    media::child_engine engine{spawner, media::engine_identity(), limits};
    mutation_run all{o, from, engine};
    std::thread second{[&] { all.slot(1); }};
    all.slot(0);
    second.join();
    all.result().print();
    findings = all.result().findings();
  }
  std::printf("files=%llu seconds=%.0f\n", static_cast<unsigned long long>(o.files), std::chrono::duration<double>(steady::now() - start).count());
  const auto deadline = steady::now() + std::chrono::seconds{10};
  while (spawner.children() > 0 && steady::now() < deadline) std::this_thread::yield();
  if (spawner.children() > 0) std::printf("children left behind: %zu\n", spawner.children());
  if (spawner.children() > 0) return 1;
  return findings > 0 ? 3 : 0;
}

}  // namespace

}  // namespace latham::testing

int main(int argc, char** argv) {
  const auto o = latham::testing::parse(argc, argv);
  if (!o) {
    std::fprintf(stderr, "usage: media_mutations --latham build/latham [--files N] [--seed S] [--keep DIR] [--only N] | --write-seeds DIR\n");
    return 2;
  }
  return latham::testing::run_all(*o);
}
