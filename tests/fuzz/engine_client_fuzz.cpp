// A child that was taken over says what it likes, in good frames: its parent neither crashes nor passes on what the task
// does not allow, and every task ends exactly once.
#include "core/assert.hpp"
#include "core/findings.hpp"
#include "media/child_protocol.hpp"
#include "media/engine_client.hpp"

#include <algorithm>
#include <memory>

namespace latham::media {

namespace {

struct puppet final : ports::child {
  void write(buffer) override {}
  void pause_reading(bool) override {}
  void allow_cpu_seconds(std::uint32_t) override {}
  void kill() override {}
  [[nodiscard]] int pid() const noexcept override { return 1; }
};

struct puppet_spawner final : ports::child_spawner {
  expected<std::unique_ptr<ports::child>> spawn(std::vector<std::string>, ports::child_limits, ports::child_events e) override {
    events = std::move(e);
    return std::unique_ptr<ports::child>{std::make_unique<puppet>()};
  }
  ports::child_events events;
};

ports::engine_task task_of(ports::engine_task_kind kind) {
  ports::engine_task task;
  task.kind = kind;
  task.source_bytes = 1000;
  task.how.rungs = {{640, 360, 800}};
  if (kind == ports::engine_task_kind::plan) return task;
  task.plan.time_base = {1, 12288};
  task.plan.fps = {24, 1};
  task.plan.frames = 96;
  task.plan.segment_frames = 48;
  task.plan.width = 640;
  task.plan.height = 360;
  task.plan.rungs = {{640, 360, 800}};
  task.plan.audio = {{1, "und"}};
  if (kind == ports::engine_task_kind::video) task.chunks = {{0, 0, 48, 0, 0}, {1, 48, 48, 0, 0}};
  return task;
}

struct judge final : ports::engine_listener {
  explicit judge(const ports::engine_task& t) : task{t} {}
  void on_read(std::uint64_t, std::uint64_t offset, std::uint32_t bytes) override { LATHAM_ASSERT(!ended && offset + bytes <= task.source_bytes); }
  void on_plan(source_plan plan, std::uint32_t first, std::vector<chunk_plan> page, bool) override {
    LATHAM_ASSERT(!ended && task.kind == ports::engine_task_kind::plan && validate(plan).has_value() && first == planned);
    planned += static_cast<std::uint32_t>(page.size());
  }
  void on_piece(std::uint32_t chunk, output_piece piece) override {
    LATHAM_ASSERT(!ended && task.kind != ports::engine_task_kind::plan && chunk == done && !piece.bytes.empty() && ++pieces < 10);
  }
  void on_chunk_done(std::uint32_t chunk, const findings& found) override {
    const auto& chunks = task.chunks;
    LATHAM_ASSERT(done >= chunks.size() ? !found.reshaped : is_possible_of_chunk(found, chunks[done]));
    LATHAM_ASSERT(!ended && chunk == done++);
    pieces = 0;
  }
  void on_progress(std::uint64_t p) override { LATHAM_ASSERT(!ended && p > std::exchange(progress, p)); }
  void on_end(expected<void> result) override {
    LATHAM_ASSERT(!std::exchange(ended, true));
    if (result) LATHAM_ASSERT(task.kind == ports::engine_task_kind::plan ? planned > 0 : done == std::max<std::size_t>(1, task.chunks.size()));
  }
  const ports::engine_task& task;
  std::uint32_t planned = 0;
  std::uint32_t done = 0;
  int pieces = 0;
  std::uint64_t progress = 0;
  bool ended = false;
};

void run(std::string_view input) {
  if (input.empty()) return;
  const auto task = task_of(static_cast<ports::engine_task_kind>(static_cast<unsigned char>(input[0]) % 3));
  input.remove_prefix(1);
  puppet_spawner spawner;
  auto heard = std::make_shared<judge>(task);
  {
    child_engine engine{spawner, "engine"};
    auto session = engine.start(0, task, heard);
    spawner.events.on_bytes(buffer{make_frame(frame_type::hello, hello_message{child_protocol_version, "engine", {true, true}})});
    while (input.size() >= 3) {
      const auto type = static_cast<frame_type>(static_cast<unsigned char>(input[0]) % 10 + 1);
      const auto length = std::min({std::size_t{static_cast<unsigned char>(input[1])} << 8 | static_cast<unsigned char>(input[2]),
                                    input.size() - 3, std::size_t{payload_bytes_max(type)}});
      spawner.events.on_bytes(buffer{make_frame(type, input.substr(3, length))});
      input.remove_prefix(3 + length);
    }
    spawner.events.on_exit({1, 0});
    LATHAM_ASSERT(heard->ended);
  }
}

}  // namespace

}  // namespace latham::media

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  latham::media::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
