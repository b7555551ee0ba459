#include "media/av/source_io.hpp"

#include "core/ports/media_engine.hpp"

#include <algorithm>
#include <cstring>

namespace latham::media {

namespace {
constexpr int io_buffer_bytes = 64 * 1024;
constexpr std::uint64_t first_range_bytes = 128 * 1024;
}  // namespace

source_io::source_io(task_host& host, std::uint64_t source_bytes) : host_{host}, size_{source_bytes} {
  auto* buffer = static_cast<unsigned char*>(av_malloc(io_buffer_bytes));
  if (!buffer) throw std::bad_alloc{};
  context_.reset(avio_alloc_context(buffer, io_buffer_bytes, 0, this, &source_io::read_packet, nullptr, &source_io::seek));
  if (!context_) {
    av_free(buffer);
    throw std::bad_alloc{};
  }
}

int source_io::read_packet(void* self, std::uint8_t* into, int size) {
  // An exception must not pass through FFmpeg's C frames.
  try {
    return static_cast<source_io*>(self)->read(into, size);
  } catch (const std::bad_alloc&) {
    return AVERROR(ENOMEM);
  }
}

std::int64_t source_io::seek(void* self, std::int64_t offset, int whence) {
  auto& io = *static_cast<source_io*>(self);
  if ((whence & AVSEEK_SIZE) != 0) return static_cast<std::int64_t>(io.size_);
  switch (whence & ~AVSEEK_FORCE) {
    case SEEK_SET: break;
    case SEEK_CUR: offset += static_cast<std::int64_t>(io.position_); break;
    case SEEK_END: offset += static_cast<std::int64_t>(io.size_); break;
    default: return AVERROR(EINVAL);
  }
  if (offset < 0) return AVERROR(EINVAL);
  io.position_ = static_cast<std::uint64_t>(offset);
  return offset;
}

int source_io::read(std::uint8_t* into, int size) {
  if (failure_.code != errc::none) return AVERROR(EIO);
  if (position_ >= size_ || size <= 0) return AVERROR_EOF;
  if (pretends_) {
    const auto count = std::min<std::uint64_t>(static_cast<std::uint64_t>(size), size_ - position_);
    position_ += count;
    return static_cast<int>(count);
  }
  auto* from = find(position_);
  if (!from) from = fetch(position_);
  if (!from) return failure_.code != errc::none ? AVERROR(EIO) : AVERROR_EOF;
  from->last_use = ++uses_;
  const auto skip = static_cast<std::size_t>(position_ - from->offset);
  const auto count = std::min<std::size_t>(static_cast<std::size_t>(size), from->bytes.size() - skip);
  std::memcpy(into, from->bytes.data() + skip, count);
  position_ += count;
  return static_cast<int>(count);
}

source_io::window* source_io::find(std::uint64_t offset) {
  for (auto& w : windows_)
    if (offset >= w.offset && offset - w.offset < w.bytes.size()) return &w;
  return nullptr;
}

source_io::window* source_io::fetch(std::uint64_t offset) {
  auto bytes = first_range_bytes;
  window* into = nullptr;
  for (auto& w : windows_) {
    if (w.bytes.empty() || w.offset + w.bytes.size() != offset) continue;
    bytes = std::min<std::uint64_t>(2 * w.bytes.size(), ports::engine_read_bytes_max);
    into = &w;  // read through: what lies behind a forward reader is not wanted again
  }
  if (!into)
    into = &*std::min_element(windows_.begin(), windows_.end(), [](const auto& a, const auto& b) { return a.last_use < b.last_use; });
  bytes = std::min(bytes, size_ - offset);
  into->bytes.resize(static_cast<std::size_t>(bytes));
  into->offset = offset;
  auto got = host_.read(offset, into->bytes);
  if (!got) {
    failure_ = std::move(got).error();
    into->bytes.clear();
    return nullptr;
  }
  into->bytes.resize(std::min<std::size_t>(*got, into->bytes.size()));
  return into->bytes.empty() ? nullptr : into;
}

}  // namespace latham::media
