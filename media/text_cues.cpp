#include "media/text_cues.hpp"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <tuple>

namespace latham::media {

namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd";
constexpr char32_t no_character = 0xffffffff;

/// Takes the first character off `text`; no_character, and one byte taken, where there is none.
char32_t take_character(std::string_view& text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto first = byte(0);
  const std::size_t length = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
  char32_t point = length == 1 ? first : length == 0 ? no_character : first & (0x7f >> length);
  bool valid = length > 0 && length <= text.size();
  for (std::size_t i = 1; i < length && valid; ++i) {
    valid = byte(i) >> 6 == 2;
    point = point << 6 | (byte(i) & 0x3f);
  }
  constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  valid = valid && point >= least[length] && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
  text.remove_prefix(valid ? length : 1);
  return valid ? point : no_character;
}

bool is_control(char32_t c) { return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff; }

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  for (const char c : text) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else out += c;
  }
  return out;
}

std::string time_text(std::int64_t ms) { return fmt::format("{:02}:{:02}:{:02}.{:03}", ms / 3'600'000, ms / 60'000 % 60, ms / 1000 % 60, ms % 1000); }

std::string cleaned(std::string_view text, std::size_t lines_max, std::size_t bytes_max) {
  std::string out, line;
  std::size_t lines = 0;
  const auto end_line = [&] {
    while (!line.empty() && line.back() == ' ') line.pop_back();
    if (!line.empty() && lines < lines_max) {
      if (lines++ > 0) out += '\n';
      out += line;
    }
    line.clear();
  };
  while (!text.empty() && lines < lines_max) {
    const auto whole = text;
    const auto c = take_character(text);
    const auto bytes = whole.substr(0, whole.size() - text.size());
    if (c == '\n' || c == '\r') {
      end_line();
      continue;
    }
    const bool is_blank = c == ' ' || c == '\t' || c == 0xa0;
    if (is_blank ? line.empty() : c != no_character && is_control(c)) continue;
    const auto piece = is_blank ? std::string_view{" "} : c == no_character ? replacement : bytes;
    if (out.size() + line.size() + piece.size() + 1 > bytes_max) break;
    line += piece;
  }
  end_line();
  return out;
}

}  // namespace

std::string words_of_ass(std::string_view text) {
  std::string out;
  bool is_drawing = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    if (c == '{') {
      const auto end = text.find('}', i);
      if (end != std::string_view::npos) {
        const auto block = text.substr(i, end - i);
        // "\p1" starts a drawing, whose text is a list of points; "\pos(...)" and "\pbo1" do not.
        for (auto at = block.find("\\p"); at != std::string_view::npos; at = block.find("\\p", at + 1))
          if (at + 2 < block.size() && std::isdigit(static_cast<unsigned char>(block[at + 2])) != 0) is_drawing = block[at + 2] != '0';
        i = end;
        continue;
      }
    }
    if (c == '\\' && (next == 'N' || next == 'n' || next == 'h' || next == '{' || next == '}')) {
      ++i;
      if (!is_drawing) out += next == 'h' ? ' ' : next == 'N' || next == 'n' ? '\n' : next;
      continue;
    }
    if (!is_drawing) out += c;
  }
  return out;
}

std::string clean_cue(std::string_view text) { return cleaned(text, cue_lines_max, cue_text_bytes_max); }

std::string clean_title(std::string_view text) { return cleaned(text, 1, track_title_bytes_max); }

std::string webvtt(std::vector<text_cue> cues, std::int64_t total_ms, std::uint32_t* written) {
  for (auto& cue : cues) {
    cue.start_ms = std::max<std::int64_t>(cue.start_ms, 0);
    cue.end_ms = std::min(cue.end_ms, total_ms);
  }
  std::erase_if(cues, [](const auto& cue) { return cue.end_ms <= cue.start_ms || cue.text.empty(); });
  // What is said at the same time keeps the order of the file.
  std::stable_sort(cues.begin(), cues.end(), [](const auto& a, const auto& b) { return std::tie(a.start_ms, a.end_ms) < std::tie(b.start_ms, b.end_ms); });
  // Layers of one effect say the same thing at the same time.
  cues.erase(std::unique(cues.begin(), cues.end()), cues.end());
  // No X-TIMESTAMP-MAP: without one, 0 here is 0 of the media (RFC 8216, 3.5), and ours starts there.
  std::string out = "WEBVTT\n";
  for (const auto& cue : cues) {
    out += '\n' + time_text(cue.start_ms) + " --> " + time_text(cue.end_ms) + '\n';
    out += escaped(cue.text);
    out += '\n';
  }
  if (written) *written = static_cast<std::uint32_t>(cues.size());
  return out;
}

}  // namespace latham::media
