// What happened, as one running hash, and, when somebody will look, as the last entries in words. Two runs of one seed are
// the same run if and only if the hashes agree. The hash never depends on whether words are kept: lines are made and
// hashed apart, so that a batch runs without them and a failure is run once more to be told.
#pragma once

#include "core/units.hpp"

#include <cstdint>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>

namespace latham::sim {

class trace {
public:
  enum class what : std::uint8_t {
    log,      // a line of a node's own log
    message,  // a control packet, from node to node
    data,     // a request or answer of the data plane, from node to node
    fault,    // a fault is injected, bites or heals
    process,  // a node starts, stops, is killed
    client,   // what the clients see
  };
  static constexpr std::uint32_t nobody = 0xffffffff;

  struct entry {
    nanoseconds when{};
    what kind = what::log;
    std::uint32_t from = nobody;  // index of the node
    std::uint32_t to = nobody;
    std::string text;
  };

  explicit trace(bool keep) : keep_{keep} {}

  /// Whether `say` keeps anything: ask before you format.
  [[nodiscard]] bool keeps() const noexcept { return keep_; }

  void note(std::uint64_t value) noexcept {
    hash_ = (hash_ ^ value) * 0x9fb21c651e98df25ull;
    hash_ ^= hash_ >> 32;
  }
  void note(std::string_view bytes) noexcept {
    while (bytes.size() >= 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data(), 8);
      note(word);
      bytes.remove_prefix(8);
    }
    std::uint64_t rest = bytes.size();
    for (const unsigned char c : bytes) rest = rest << 8 | c;
    note(rest);
  }

  void say(nanoseconds when, what kind, std::uint32_t from, std::uint32_t to, std::string text) {
    if (!keep_) return;
    if (entries_.size() == entries_max) entries_.pop_front();
    entries_.push_back({when, kind, from, to, std::move(text)});
  }

  [[nodiscard]] const std::deque<entry>& entries() const noexcept { return entries_; }
  [[nodiscard]] std::uint64_t hash() const noexcept { return hash_; }

private:
  static constexpr std::size_t entries_max = 400'000;
  bool keep_;
  std::uint64_t hash_ = 1469598103934665603ull;
  std::deque<entry> entries_;
};

}  // namespace latham::sim
