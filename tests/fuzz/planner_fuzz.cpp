// A file from a stranger, planned: whatever it is, the answer is a plan that the rest of the engine can work with or an
// error with a sentence. FFmpeg's own code is Debian's and not instrumented; what is watched is ours, and both are run.
#include "core/assert.hpp"
#include "media/av/task_runner.hpp"
#include "media/child_protocol.hpp"
#include "tests/support/media/memory_host.hpp"

extern "C" {
#include <libavutil/log.h>
}

#include <cstdint>
#include <string>

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  av_log_set_level(AV_LOG_QUIET);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace latham;
  testing::memory_host host{{reinterpret_cast<const char*>(data), size}};
  ports::engine_task task;
  task.source_bytes = size;
  task.how.rungs = {{64, 36, 100}, {128, 72, 150}};
  task.how.segment_ms = 500;
  const auto planned = media::run_task(task, host);
  if (!planned) {
    LATHAM_ASSERT(!planned.error().message.empty());
    LATHAM_ASSERT(planned.error().code == errc::unsupported || planned.error().code == errc::unprocessable || planned.error().code == errc::too_large);
    return 0;
  }
  LATHAM_ASSERT(host.complete && host.chunks.empty() == !has_picture(host.planned));
  if (host.chunks.empty()) return 0;
  task.kind = ports::engine_task_kind::video;
  task.plan = host.planned;
  task.chunks = host.chunks;
  LATHAM_ASSERT(media::validate(task).has_value());
  LATHAM_ASSERT(host.chunks.front().first_frame == 0);
  LATHAM_ASSERT(host.chunks.back().first_frame + host.chunks.back().frames == host.planned.frames);
  return 0;
}
