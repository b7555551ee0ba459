#include "sim/model_engine.hpp"

#include "core/codec.hpp"

#include <cstring>
#include <map>

namespace latham::sim {

namespace {

constexpr std::uint32_t model_magic = 0x4c4d4f44;
constexpr std::uint32_t read_bytes = 64 * 1024;
constexpr nanoseconds sign_of_life{seconds{2}};

struct header {
  std::uint32_t magic = 0;
  std::uint64_t seed = 0;
  model_video video;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, header& x) {
  return f(x.magic, x.seed, x.video.chunks, x.video.segments_per_chunk, x.video.segment_frames, x.video.rungs, x.video.audio_tracks, x.video.text_tracks, x.video.poison);
}

expected<header> parse_header(std::string_view head) {
  header h;
  byte_reader reader{head};
  reader(h);
  if (!reader.ok() || h.magic != model_magic) return {errc::unsupported, "this is not a video that the model reads"};
  return h;
}

std::string filler(std::uint64_t seed, std::size_t bytes) {
  std::string out((bytes + 7) / 8 * 8, '\0');
  for (std::size_t i = 0; i < out.size(); i += 8) {
    // SplitMix64: a generator whose state is one word, because there is a new one for every piece.
    auto x = seed += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    x ^= x >> 31;
    std::memcpy(out.data() + i, &x, 8);
  }
  out.resize(bytes);
  return out;
}

/// How hard a chunk is: a half to one and a half, a function of the source alone.
std::uint64_t complexity_mille(std::uint64_t seed, std::uint32_t index) {
  auto x = (seed + index + 1) * 0x9e3779b97f4a7c15ull;
  x ^= x >> 29;
  return 500 + x % 1001;
}

/// A rung costs about as much as it has pixels.
std::uint64_t rungs_cost(std::uint32_t rungs) {
  std::uint64_t cost = 0;
  for (std::uint32_t r = 1; r <= rungs; ++r) cost += r * r;
  return cost;
}

/// One task under way. Shared by the session, which may be destroyed at any time, and the events that carry it on.
class run : public std::enable_shared_from_this<run> {
public:
  run(engine_world world, ports::engine_task task, std::shared_ptr<ports::engine_listener> listener) : world_{std::move(world)}, task_{std::move(task)}, listener_{std::move(listener)} {}

  void start() { soon([](run& r) { r.read(0, std::min<std::uint64_t>(read_bytes, r.task_.source_bytes)); }); }
  void cancel() { listener_.reset(); }

  void supply(std::uint64_t read_id, expected<buffer> bytes) {
    // Supplied from other calls: act in an event of our own.
    soon([read_id, bytes = std::move(bytes)](run& r) {
      if (read_id != r.read_) return;
      if (!bytes) return r.end(bytes.error());
      r.on_bytes(*bytes);
    });
  }

private:
  void soon(std::function<void(run&)> f, nanoseconds wait = nanoseconds{50'000}) {
    world_.later(wait, [self = shared_from_this(), f = std::move(f)] {
      if (self->listener_) f(*self);
    });
  }

  void read(std::uint64_t offset, std::uint64_t bytes) { listener_->on_read(++read_, offset, static_cast<std::uint32_t>(bytes)); }

  void end(expected<void> result) {
    auto listener = std::exchange(listener_, nullptr);
    listener->on_end(std::move(result));
  }

  void on_bytes(const buffer& bytes) {
    if (!header_) {
      auto parsed = parse_header(bytes.view());
      if (!parsed) return end(parsed.error());
      header_ = *parsed;
      if (task_.kind == ports::engine_task_kind::plan) return plan();
      return next();
    }
    work();
  }

  void plan() {
    const auto chunks = model_chunks(header_->video);
    const auto half = chunks.size() / 2;
    // Two pages, so that chunks are granted before the plan is complete.
    soon(
      [chunks, half](run& r) {
        r.listener_->on_plan(model_plan(r.header_->video), 0, {chunks.begin(), chunks.begin() + static_cast<std::ptrdiff_t>(half)}, false);
        r.soon(
          [chunks, half](run& q) {
            q.listener_->on_plan(model_plan(q.header_->video), static_cast<std::uint32_t>(half), {chunks.begin() + static_cast<std::ptrdiff_t>(half), chunks.end()}, true);
            q.end({});
          },
          nanoseconds{20'000'000});
      },
      nanoseconds{30'000'000});
  }

  /// Reads some range of the source for the next chunk, then works on it.
  void next() {
    const bool whole = is_of_whole_source();
    if (done_ == (whole ? 1 : task_.chunks.size())) return end({});
    const auto index = whole ? 0 : task_.chunks[done_].index;
    const auto span = std::max<std::uint64_t>(1, task_.source_bytes / std::max(1u, header_->video.chunks));
    const auto offset = std::min(task_.source_bytes - 1, index * span);
    read(offset, std::min<std::uint64_t>(read_bytes, task_.source_bytes - offset));
  }

  /// Sound and text: one task, and no chunks of it.
  [[nodiscard]] bool is_of_whole_source() const { return task_.kind != ports::engine_task_kind::video; }

  void work() {
    const bool is_whole = is_of_whole_source();
    const auto index = is_whole ? task_.audio_index : task_.chunks[done_].index;
    auto time = is_whole ? world_.per_chunk : world_.per_chunk * static_cast<std::int64_t>(rungs_cost(header_->video.rungs) * complexity_mille(header_->seed, index)) / 4000;
    time += world_.time->draw(nanoseconds{0}, time / 4);
    const auto& trouble = *world_.trouble;
    if (trouble.slower > 1) {
      time *= trouble.slower;
      world_.bites(trouble.slow_fault);
    }
    if (world_.time->chance(trouble.hang_mille)) return world_.bites(trouble.hang_fault);
    const bool crashes = world_.time->chance(trouble.crash_mille);
    if (crashes) world_.bites(trouble.crash_fault);
    if (crashes || header_->video.poison != 0) return soon([](run& r) { r.end(error{errc::crashed, "the codec child died"}); }, time / 2);
    const auto steps = std::max<std::int64_t>(4, time / sign_of_life);
    for (std::int64_t step = 1; step < steps; ++step) {
      soon(
        [part = static_cast<std::uint64_t>(step), all = static_cast<std::uint64_t>(steps)](run& r) {
          const auto frames = r.task_.kind == ports::engine_task_kind::video ? r.task_.chunks[r.done_].frames : 1000;
          r.listener_->on_progress(r.frames_ + frames * part / all);
        },
        time * step / steps);
    }
    soon(
      [](run& r) {
        const bool whole = r.is_of_whole_source();
        const auto which = whole ? r.task_.audio_index : r.task_.chunks[r.done_].index;
        for (auto& piece : model_pieces(r.header_->video, r.header_->seed, r.world_.engine, r.task_.kind, which)) r.listener_->on_piece(whole ? 0 : which, std::move(piece));
        r.listener_->on_chunk_done(whole ? 0 : which, model_findings(r.header_->video, r.header_->seed, r.task_.kind, which));
        if (!whole) r.frames_ += r.task_.chunks[r.done_].frames;
        ++r.done_;
        r.next();
      },
      time);
  }

  engine_world world_;
  ports::engine_task task_;
  std::shared_ptr<ports::engine_listener> listener_;
  std::optional<header> header_;
  std::uint64_t read_ = 0;
  std::size_t done_ = 0;
  std::uint64_t frames_ = 0;
};

class session : public ports::engine_session {
public:
  explicit session(std::shared_ptr<run> r) : run_{std::move(r)} {}
  ~session() override { run_->cancel(); }
  void supply(std::uint64_t read_id, expected<buffer> bytes) override { run_->supply(read_id, std::move(bytes)); }

private:
  std::shared_ptr<run> run_;
};

class engine : public ports::media_engine {
public:
  explicit engine(engine_world world) : world_{std::move(world)} {}
  [[nodiscard]] engine_id id() const override { return world_.engine; }
  [[nodiscard]] std::unique_ptr<ports::engine_session> start(std::uint32_t, ports::engine_task task, std::shared_ptr<ports::engine_listener> listener) override {
    auto r = std::make_shared<run>(world_, std::move(task), std::move(listener));
    r->start();
    return std::make_unique<session>(std::move(r));
  }

private:
  engine_world world_;
};

}  // namespace

source_plan model_plan(const model_video& video) {
  source_plan plan;
  plan.container = "model";
  plan.video_codec = "model";
  plan.time_base = {1, 24};
  plan.fps = {24, 1};
  plan.segment_frames = video.segment_frames;
  plan.frames = std::uint64_t{video.chunks} * video.segments_per_chunk * video.segment_frames;
  plan.width = 1280;
  plan.height = 720;
  for (std::uint32_t i = 0; i < video.rungs; ++i) plan.rungs.push_back({256 * (i + 1), 144 * (i + 1), 200 * (i + 1)});
  for (std::uint32_t i = 0; i < video.audio_tracks; ++i) plan.audio.push_back({i + 1, "und"});
  for (std::uint32_t i = 0; i < video.text_tracks; ++i) plan.text.push_back({video.audio_tracks + i + 1, "und", "subtitles " + std::to_string(i + 1), i == 1});
  return plan;
}

std::vector<chunk_plan> model_chunks(const model_video& video) {
  std::vector<chunk_plan> chunks;
  const auto frames = video.segments_per_chunk * video.segment_frames;
  for (std::uint32_t i = 0; i < video.chunks; ++i) chunks.push_back({i, std::uint64_t{i} * frames, frames, std::int64_t{i} * frames, 0});
  return chunks;
}

std::string make_source(const model_video& video, std::uint64_t seed, std::size_t bytes) {
  auto out = encode(header{model_magic, seed, video});
  out += filler(seed, std::max(bytes, model_source_bytes_min) - out.size());
  return out;
}

std::vector<output_piece> model_pieces(const model_video& video, std::uint64_t seed, const engine_id& engine, ports::engine_task_kind kind, std::uint32_t index) {
  const auto source_seed = seed;
  if (engine != model_engine_before) seed = ~seed;
  std::vector<output_piece> out;
  if (kind == ports::engine_task_kind::text) {
    for (std::uint32_t t = 0; t < video.text_tracks; ++t)
      if (model_text_has_words(source_seed, t))
        out.push_back({track_kind::text, static_cast<std::uint8_t>(t), 0, video.chunks, buffer{"WEBVTT\n\n" + filler(seed ^ (t + 1) * 0x2545f4914f6cdd1dull, 150)}});
    return out;
  }
  const bool audio = kind == ports::engine_task_kind::audio;
  const auto renditions = audio ? 1 : video.rungs;
  for (std::uint32_t r = 0; r < renditions; ++r) {
    const auto rendition = static_cast<std::uint8_t>(audio ? index : r);
    // A real init segment has a codec box; the model's has its name.
    out.push_back({audio ? track_kind::audio : track_kind::video, rendition, output_entry::init_segment, 0, buffer{std::string{audio ? "esds" : "avcC\1\x64\0\x1f"} + "init"}});
    const auto first = audio ? 0 : index * video.segments_per_chunk;
    const auto count = audio ? video.chunks * video.segments_per_chunk : video.segments_per_chunk;
    for (std::uint32_t s = 0; s < count; ++s)
      out.push_back({audio ? track_kind::audio : track_kind::video, rendition, first + s, audio ? 96'000u : video.segment_frames,
                     buffer{filler(seed ^ (first + s) * 0x9e3779b97f4a7c15ull ^ (rendition + 1) * 0x517cc1b727220a95ull ^ (audio ? 1 : 0), 200 + 100 * r)}});
  }
  return out;
}

bool model_text_has_words(std::uint64_t seed, std::uint32_t track) { return (seed / 7 + track) % 4 != 0; }

findings model_findings(const model_video& video, std::uint64_t seed, ports::engine_task_kind kind, std::uint32_t index) {
  if (kind == ports::engine_task_kind::text) return {};
  const bool audio = kind == ports::engine_task_kind::audio;
  const auto drawn = (seed ^ (index + 1) * 0x9e3779b97f4a7c15ull ^ (audio ? 1 : 0)) >> 7;
  if (drawn % 4 != 0) return {};
  const auto frames = std::uint64_t{video.segments_per_chunk} * video.segment_frames;
  const auto lost = 1 + drawn / 4 % (frames / 2);
  if (audio) return {lost, lost, false};
  return {lost, index * frames + frames / 2 - 1, drawn % 8 == 0};
}

std::unique_ptr<ports::media_engine> make_model_engine(engine_world world) { return std::make_unique<engine>(std::move(world)); }

}  // namespace latham::sim
