#include "core/ids.hpp"

#include <algorithm>

namespace latham {

namespace {
constexpr std::string_view alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";  // Crockford: no I, L, O, U

int digit_of(char c) noexcept {
  if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  const auto at = alphabet.find(c);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}
}  // namespace

namespace detail {

std::string id_to_text(std::uint64_t high, std::uint64_t low) {
  std::string text(id_text_size, '0');
  for (std::size_t i = id_text_size; i-- > 0;) {
    text[i] = alphabet[low & 31];
    low = low >> 5 | high << 59;
    high >>= 5;
  }
  return text;
}

bool id_from_text(std::string_view text, std::uint64_t& high, std::uint64_t& low) noexcept {
  if (text.size() != id_text_size) return false;
  std::uint64_t h = 0;
  std::uint64_t l = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto digit = digit_of(text[i]);
    if (digit < 0) return false;
    if (i == 0 && digit > 7) return false;  // 26 * 5 = 130 bits: the first digit carries only three
    h = h << 5 | l >> 59;
    l = l << 5 | static_cast<std::uint64_t>(digit);
  }
  high = h;
  low = l;
  return true;
}

}  // namespace detail

std::string to_string(epoch e) { return std::to_string(e.generation) + "." + std::to_string(e.counter); }

bool is_valid_node_name(std::string_view name) noexcept {
  return !name.empty() && name.size() <= node_name_size_max && name.front() != '-' && name.back() != '-' &&
         std::all_of(name.begin(), name.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

}  // namespace latham
