#include "media/child_probe.hpp"

#include <chrono>
#include <future>
#include <memory>
#include <utility>
#include <vector>

namespace latham::media {

namespace {

constexpr std::chrono::seconds hello_deadline{10};

/// The child's first frame, or why there was none. Shared with its callbacks.
class first_words {
public:
  void on_bytes(const buffer& bytes) {
    std::vector<frame> frames;
    if (auto parsed = parser_.feed(bytes.view(), frames); !parsed)
      return settle(error{errc::crashed, "the codec process broke its protocol: " + parsed.error().message});
    if (frames.empty()) return;
    if (frames.front().type != frame_type::hello) return settle(error{errc::crashed, "the codec process spoke before its hello"});
    auto hello = decode_message<hello_message>(frames.front());
    // Another build's hello may be laid out in another way.
    if (!hello || hello->version != child_protocol_version)
      return settle(error{errc::crashed, "the codec process speaks another version of the protocol"});
    settle(std::move(hello));
  }
  void on_exit(const ports::child_exit& how) {
    const auto text = how.signal != 0 ? "by signal " + std::to_string(how.signal) : "with status " + std::to_string(how.status);
    // It has not met a stranger's bytes: what it says is ours, and why the node does not start.
    settle(error{errc::crashed, "the codec process ended " + text + " before it said hello" + (how.last_words.empty() ? "" : ": " + how.last_words)});
  }
  [[nodiscard]] expected<hello_message> wait() {
    auto answer = promise_.get_future();
    if (answer.wait_for(hello_deadline) != std::future_status::ready)
      return error{errc::timeout, "the codec process said nothing for ten seconds"};
    return answer.get();
  }

private:
  void settle(expected<hello_message> result) {
    if (!std::exchange(settled_, true)) promise_.set_value(std::move(result));
  }

  frame_parser parser_;  // this and the flag: callbacks only, which come in order
  bool settled_ = false;
  std::promise<expected<hello_message>> promise_;
};

}  // namespace

expected<containment> probe_child(ports::child_spawner& spawner, const engine_id& id, const child_engine_options& options) {
  const auto heard = std::make_shared<first_words>();
  auto child = spawner.spawn(options.arguments, options.limits,
                             {[heard](const buffer& bytes) { heard->on_bytes(bytes); }, [heard](const ports::child_exit& how) { heard->on_exit(how); }});
  if (!child) return std::move(child).error();
  auto hello = heard->wait();
  if (!hello) return std::move(hello).error();
  if (hello->engine != id) return {errc::crashed, "the codec process is of another engine than this node"};
  return hello->in_force;
}

}  // namespace latham::media
