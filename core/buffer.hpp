// Shared, immutable bytes: what is handed between ports without a copy. Thread-safe like a shared_ptr.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace latham {

class buffer {
public:
  buffer() = default;
  explicit buffer(std::string bytes) {
    auto owned = std::make_shared<const std::string>(std::move(bytes));
    data_ = reinterpret_cast<const std::uint8_t*>(owned->data());
    size_ = owned->size();
    owner_ = std::move(owned);
  }
  explicit buffer(std::vector<std::uint8_t> bytes) {
    auto owned = std::make_shared<const std::vector<std::uint8_t>>(std::move(bytes));
    data_ = owned->data();
    size_ = owned->size();
    owner_ = std::move(owned);
  }
  /// Bytes that live as long as `owner`.
  buffer(std::shared_ptr<const void> owner, const std::uint8_t* data, std::size_t size)
    : owner_{std::move(owner)}, data_{data}, size_{size} {}

  [[nodiscard]] const std::uint8_t* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::string_view view() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }

  /// The bytes from `offset`, `length` at most, sharing ownership. Offsets past the end give an empty buffer.
  [[nodiscard]] buffer slice(std::size_t offset, std::size_t length) const {
    if (offset >= size_) return {};
    return {owner_, data_ + offset, std::min(length, size_ - offset)};
  }

private:
  std::shared_ptr<const void> owner_;
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace latham
