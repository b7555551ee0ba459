// A task host over bytes in memory that keeps all it is given, for running the engine's tasks in the test's own thread.
#pragma once

#include "media/av/task_host.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace latham::testing {

struct kept_piece {
  std::uint32_t chunk = 0;
  track_kind kind = track_kind::video;
  std::uint8_t rendition = 0;
  std::uint32_t segment = 0;
  std::uint32_t duration = 0;
  std::string bytes;
  friend bool operator==(const kept_piece&, const kept_piece&) = default;
};

class memory_host final : public media::task_host {
public:
  explicit memory_host(std::string source) : source_{std::move(source)} {}

  expected<std::size_t> read(std::uint64_t offset, std::span<std::uint8_t> into) override {
    ++reads;
    if (fail_read == reads) return {errc::unavailable, "storage is away"};
    const auto from = std::min<std::uint64_t>(offset, source_.size());
    const auto count = std::min<std::size_t>(into.size(), source_.size() - from);
    std::memcpy(into.data(), source_.data() + from, count);
    read_bytes += count;
    return count;
  }
  expected<void> plan(const source_plan& p, std::uint32_t, std::vector<chunk_plan> page, bool is_complete) override {
    planned = p;
    chunks.insert(chunks.end(), page.begin(), page.end());
    complete = is_complete;
    return {};
  }
  expected<void> piece(std::uint32_t chunk, track_kind kind, std::uint8_t rendition, std::uint32_t segment, std::uint32_t duration,
                       std::string_view bytes) override {
    pieces.push_back({chunk, kind, rendition, segment, duration, std::string{bytes}});
    return {};
  }
  expected<void> chunk_done(std::uint32_t chunk, const findings& f) override {
    done.push_back(chunk);
    found.push_back(f);
    return {};
  }
  expected<void> progress(std::uint64_t p) override {
    last_progress = p;
    return {};
  }

  [[nodiscard]] const std::string& source() const noexcept { return source_; }

  std::uint64_t reads = 0;
  std::uint64_t read_bytes = 0;
  std::uint64_t fail_read = 0;  // the read of this number, counted from 1, fails
  source_plan planned;
  std::vector<chunk_plan> chunks;
  bool complete = false;
  std::vector<kept_piece> pieces;
  std::vector<std::uint32_t> done;
  std::vector<findings> found;  // of each that is done
  std::uint64_t last_progress = 0;

private:
  std::string source_;
};

}  // namespace latham::testing
