#include "http/ranges.hpp"

#include <algorithm>
#include <charconv>

namespace latham::http {

namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// Weak comparison: If-None-Match is about the meaning, not the bytes.
bool any_tag_matches(std::string_view list, std::string_view etag) {
  if (trimmed(list) == "*") return true;
  while (!list.empty()) {
    const auto comma = list.find(',');
    auto tag = trimmed(list.substr(0, comma));
    if (tag.substr(0, 2) == "W/") tag.remove_prefix(2);
    if (tag.size() >= 2 && tag.front() == '"' && tag.back() == '"' && tag.substr(1, tag.size() - 2) == etag) return true;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

enum class number : std::uint8_t { absent, good, bad };

number parse(std::string_view text, std::uint64_t& value) {
  if (text.empty()) return number::absent;
  const auto [rest, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (rest != text.data() + text.size()) return number::bad;
  if (failure == std::errc::result_out_of_range) value = ~std::uint64_t{0};
  else if (failure != std::errc{}) return number::bad;
  return number::good;
}

}  // namespace

range_answer answer_range(const range_request& request, std::string_view etag, std::uint64_t size) {
  range_answer whole;
  whole.bytes = size;
  if (request.if_none_match && any_tag_matches(*request.if_none_match, etag)) {
    whole.status = 304;
    whole.bytes = 0;
    return whole;
  }
  if (!request.range) return whole;
  // Strong comparison, and dates never match: we send no Last-Modified.
  if (request.if_range && trimmed(*request.if_range) != '"' + std::string{etag} + '"') return whole;

  std::string_view spec = trimmed(*request.range);
  if (spec.substr(0, 6) != "bytes=") return whole;  // an unknown unit is to be ignored
  spec = trimmed(spec.substr(6));
  if (spec.find(',') != std::string_view::npos) return whole;
  const auto dash = spec.find('-');
  if (dash == std::string_view::npos) return whole;
  std::uint64_t first = 0, last = 0;
  const auto has_first = parse(trimmed(spec.substr(0, dash)), first);
  const auto has_last = parse(trimmed(spec.substr(dash + 1)), last);
  if (has_first == number::bad || has_last == number::bad) return whole;  // malformed: as if it were not there
  if (has_first == number::absent && has_last == number::absent) return whole;
  if (has_first == number::good && has_last == number::good && last < first) return whole;

  range_answer part;
  const auto unsatisfiable = [&] {
    part.status = 416;
    part.content_range = "bytes */" + std::to_string(size);
    return part;
  };
  if (has_first == number::absent) {
    if (last == 0 || size == 0) return unsatisfiable();
    part.bytes = std::min(last, size);
    part.offset = size - part.bytes;
  } else {
    if (first >= size) return unsatisfiable();
    part.offset = first;
    part.bytes = (has_last == number::good ? std::min(last, size - 1) : size - 1) - first + 1;
  }
  part.status = 206;
  part.content_range =
    "bytes " + std::to_string(part.offset) + '-' + std::to_string(part.offset + part.bytes - 1) + '/' + std::to_string(size);
  return part;
}

}  // namespace latham::http
