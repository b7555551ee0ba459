#include "media/av/task_runner.hpp"

#include "media/av/audio_task.hpp"
#include "media/av/planner.hpp"
#include "media/av/text_task.hpp"
#include "media/av/video_task.hpp"
#include "media/child_protocol.hpp"

#include <algorithm>
#include <exception>
#include <new>

namespace latham::media {

namespace {

expected<void> run_plan(const ports::engine_task& task, task_host& host) {
  auto planned = plan_source(host, task.source_bytes, task.how);
  if (!planned) return std::move(planned).error();
  const auto& chunks = planned->chunks;
  if (chunks.empty()) return host.plan(planned->plan, 0, {}, true);  // sound alone
  for (std::size_t at = 0; at < chunks.size();) {
    const auto count = std::min<std::size_t>(chunks.size() - at, ports::plan_page_chunks_max);
    const auto first = chunks.begin() + static_cast<std::ptrdiff_t>(at);
    const bool complete = at + count == chunks.size();
    auto sent = host.plan(planned->plan, static_cast<std::uint32_t>(at), {first, first + static_cast<std::ptrdiff_t>(count)}, complete);
    if (!sent) return sent;
    at += count;
  }
  return {};
}

expected<void> run_valid(const ports::engine_task& task, task_host& host) {
  switch (task.kind) {
    case ports::engine_task_kind::plan: return run_plan(task, host);
    case ports::engine_task_kind::video: return run_video_task(task, host);
    case ports::engine_task_kind::audio: return run_audio_task(task, host);
    case ports::engine_task_kind::text: return run_text_task(task, host);
  }
  return {errc::invalid_argument, "codec task: of an unknown kind"};
}

}  // namespace

expected<void> run_task(const ports::engine_task& task, task_host& host) {
  if (auto ok = validate(task); !ok) return ok;
  try {
    return run_valid(task, host);
  } catch (const std::bad_alloc&) {
    return {errc::too_large, "The video needs more memory than a codec process may use: scale it down first."};
  } catch (const std::exception& e) {
    return {errc::internal, std::string{"codec task: "} + e.what()};
  }
}

}  // namespace latham::media
