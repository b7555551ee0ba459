// The source as FFmpeg reads it: a seekable stream whose bytes come from the task's host, a range at a time.
//
// Every range costs a round trip, so a reader that goes forward gets ranges that double up to engine_read_bytes_max, and one
// that jumps gets a small one. A few ranges are kept, because files that are not interleaved make the demuxer hop to and
// fro between places. Nothing is opened here and nothing can be: a stream of bytes is all that FFmpeg is given.
#pragma once

#include "core/expected.hpp"
#include "media/av/handles.hpp"
#include "media/av/task_host.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace latham::media {

class source_io {
public:
  /// `host` outlives this.
  source_io(task_host& host, std::uint64_t source_bytes);
  source_io(const source_io&) = delete;
  source_io& operator=(const source_io&) = delete;

  [[nodiscard]] AVIOContext* context() noexcept { return context_.get(); }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  /// The first read that failed; code none if none did. It outranks whatever FFmpeg made of it.
  [[nodiscard]] const error& failure() const noexcept { return failure_; }
  /// From now on reads fetch nothing and leave the reader's memory as it is: for walking an index. Never to be undone, because
  /// FFmpeg buffers what it was given.
  void pretend() noexcept {
    pretends_ = true;
    context_->direct = 1;  // nor is what they did not give copied about
  }

private:
  struct window {
    std::uint64_t offset = 0;
    std::uint64_t last_use = 0;
    std::vector<std::uint8_t> bytes;
  };

  static int read_packet(void* self, std::uint8_t* into, int size);
  static std::int64_t seek(void* self, std::int64_t offset, int whence);
  int read(std::uint8_t* into, int size);
  window* find(std::uint64_t offset);
  window* fetch(std::uint64_t offset);

  task_host& host_;
  const std::uint64_t size_;
  std::uint64_t position_ = 0;
  std::uint64_t uses_ = 0;
  std::array<window, 4> windows_;
  bool pretends_ = false;
  error failure_;
  av_io_context context_;
};

}  // namespace latham::media
