#include "media/av/codec_child_main.hpp"

#include "media/av/engine_identity.hpp"
#include "media/av/handles.hpp"
#include "media/av/sandbox.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <deque>
#include <optional>
#include <unistd.h>

namespace latham::media {

namespace {

constexpr auto progress_interval = std::chrono::milliseconds{200};

void discard_log(void*, int, const char*, va_list) {}

/// The stream to the parent. Any failure is final: a child without its parent has nothing left to do.
class channel {
public:
  explicit channel(int fd) : fd_{fd} {}

  [[nodiscard]] expected<void> send(std::string_view head, std::string_view bulk = {}) {
    if (auto sent = send_all(head); !sent) return sent;
    return send_all(bulk);
  }

  /// The next frame; nothing at the end of the stream. Fails with errc::io or errc::corrupt.
  [[nodiscard]] expected<std::optional<frame>> receive() {
    while (frames_.empty()) {
      const auto got = ::read(fd_, buffer_.data(), buffer_.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return {errc::io, std::string{"read from the parent: "} + std::strerror(errno)};
      if (got == 0) return std::optional<frame>{};
      std::vector<frame> whole;
      auto parsed = parser_.feed({buffer_.data(), static_cast<std::size_t>(got)}, whole);
      for (auto& f : whole) frames_.push_back(std::move(f));
      if (!parsed && frames_.empty()) return std::move(parsed).error();
    }
    auto next = std::move(frames_.front());
    frames_.pop_front();
    return std::optional{std::move(next)};
  }

private:
  expected<void> send_all(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto sent = ::write(fd_, bytes.data(), bytes.size());
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) return {errc::io, std::string{"write to the parent: "} + std::strerror(errno)};
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return {};
  }

  int fd_;
  frame_parser parser_;
  std::deque<frame> frames_;  // at most what one read brought
  std::array<char, 64 * 1024> buffer_{};
};

class parent_host final : public task_host {
public:
  explicit parent_host(channel& to, std::uint64_t& reads) : channel_{to}, reads_{reads} {}

  /// The parent went away or broke the protocol: there is nobody to tell.
  [[nodiscard]] bool lost() const noexcept { return lost_; }

  expected<std::size_t> read(std::uint64_t offset, std::span<std::uint8_t> into) override {
    const stage_clock::scope stage{clock, &ports::engine_usage::pipe_us};
    const auto id = ++reads_;
    const auto asked = static_cast<std::uint32_t>(std::min<std::size_t>(into.size(), ports::engine_read_bytes_max));
    if (auto sent = check(channel_.send(make_frame(frame_type::read, read_message{id, offset, asked}))); !sent) return sent.error();
    auto answer = [&] {
      const stage_clock::waiting wait{clock};
      return channel_.receive();
    }();
    if (!answer) return lose(std::move(answer).error());
    if (!answer->has_value()) return lose({errc::cancelled, "the parent closed the stream"});
    const auto& f = **answer;
    if (f.type == frame_type::supply_error) {
      auto refused = decode_message<supply_error_message>(f);
      if (!refused || refused->read != id || refused->code == errc::none) return lose({errc::corrupt, "an answer to another question"});
      return error{refused->code, std::move(refused->message)};
    }
    if (f.type != frame_type::supply) return lose({errc::corrupt, "the parent answered a read with something else"});
    auto supplied = decode_bulk<supply_head>(f);
    if (!supplied || supplied->first.read != id || supplied->second.size() > asked)
      return lose({errc::corrupt, "an answer to another question"});
    std::copy_n(supplied->second.data(), supplied->second.size(), into.data());
    return supplied->second.size();
  }

  expected<void> plan(const source_plan& plan, std::uint32_t first_chunk, std::vector<chunk_plan> chunks, bool complete) override {
    return check(channel_.send(make_frame(frame_type::plan, plan_message{plan, first_chunk, std::move(chunks), complete})));
  }

  expected<void> piece(std::uint32_t chunk, track_kind kind, std::uint8_t rendition, std::uint32_t segment, std::uint32_t duration,
                       std::string_view bytes) override {
    if (bytes.size() > piece_bytes_max) return {errc::too_large, "A segment came out larger than 64 MiB: lower the rung's bit rate."};
    const stage_clock::scope stage{clock, &ports::engine_usage::pipe_us};
    const piece_head head{chunk, kind, rendition, segment, duration};
    return check(channel_.send(make_bulk_frame_head(frame_type::piece, head, bytes), bytes));
  }

  expected<void> chunk_done(std::uint32_t chunk, const findings& found) override {
    return check(channel_.send(make_frame(frame_type::chunk_done, chunk_done_message{chunk, found})));
  }

  expected<void> progress(std::uint64_t done) override {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_progress_ < progress_interval) return {};
    last_progress_ = now;
    return check(channel_.send(make_frame(frame_type::progress, progress_message{done})));
  }

private:
  error lose(error why) {
    lost_ = true;
    return why;
  }
  expected<void> check(expected<void> sent) {
    if (!sent) lost_ = true;
    return sent;
  }

  channel& channel_;
  std::uint64_t& reads_;
  bool lost_ = false;
  std::chrono::steady_clock::time_point last_progress_{};
};

}  // namespace

int run_codec_child(int fd, containment in_force, task_work work) {
  av_log_set_callback(discard_log);
  std::signal(SIGPIPE, SIG_IGN);
  channel parent{fd};
  std::uint64_t reads = 0;
  if (!parent.send(make_frame(frame_type::hello, hello_message{child_protocol_version, engine_identity(), in_force}))) return 1;
  for (;;) {
    auto next = parent.receive();
    if (!next) return 1;
    if (!next->has_value()) return 0;
    if ((*next)->type != frame_type::task) return 1;
    auto task = decode_message<ports::engine_task>(**next);
    if (!task) return 1;
    parent_host host{parent, reads};
    const auto result = work(*task, host);
    if (host.lost()) return 1;
    end_message end;
    if (!result) {
      end.code = result.error().code;
      end.message = result.error().message.substr(0, error_message_bytes_max);
    }
    end.usage = host.clock.take();
    if (!parent.send(make_frame(frame_type::end, end))) return 1;
  }
}

int run_contained_codec_child(int fd, task_work work) {
  (void)engine_identity();  // made by an encoder at work, and kept
  return run_codec_child(fd, enter_sandbox(fd), work);
}

}  // namespace latham::media
