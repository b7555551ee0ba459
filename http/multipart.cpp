#include "http/multipart.hpp"

#include "http/head.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace latham::http {

namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::size_t find(std::string_view in, std::string_view what) {
  const auto* at = ::memmem(in.data(), in.size(), what.data(), what.size());
  return at == nullptr ? std::string_view::npos : static_cast<std::size_t>(static_cast<const char*>(at) - in.data());
}

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
      out += static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

/// Calls `with(name, value, quoted)` for each parameter after the first ';'.
template <class F>
void for_each_parameter(std::string_view text, F with) {
  std::size_t at = text.find(';');
  while (at != std::string_view::npos && at < text.size()) {
    ++at;
    const auto equals = text.find_first_of("=;", at);
    if (equals == std::string_view::npos) return;
    const auto name = trimmed(text.substr(at, equals - at));
    if (text[equals] == ';') {
      at = equals;
      continue;
    }
    at = equals + 1;
    while (at < text.size() && (text[at] == ' ' || text[at] == '\t')) ++at;
    std::string value;
    bool quoted = false;
    if (at < text.size() && text[at] == '"') {
      quoted = true;
      for (++at; at < text.size() && text[at] != '"'; ++at) {
        // A backslash escapes a quote or itself; before anything else it is a path of an old Windows browser.
        if (text[at] == '\\' && at + 1 < text.size() && (text[at + 1] == '"' || text[at + 1] == '\\')) ++at;
        value += text[at];
      }
      at = text.find(';', std::min(at, text.size()));
    } else {
      const auto end = text.find(';', at);
      value = std::string{trimmed(text.substr(at, end == std::string_view::npos ? end : end - at))};
      at = end;
    }
    with(name, std::move(value), quoted);
  }
}

expected<part_head> parse_part_head(std::string_view raw) {
  part_head head;
  bool has_disposition = false;
  while (!raw.empty()) {
    const auto end = find(raw, "\r\n");
    const auto line = raw.substr(0, end);
    raw.remove_prefix(end == std::string_view::npos ? raw.size() : end + 2);
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) return error{errc::invalid_argument, "A part of the form has a malformed header line."};
    const auto name = trimmed(line.substr(0, colon));
    const auto value = trimmed(line.substr(colon + 1));
    if (equals_ignoring_case(name, "content-disposition")) {
      if (!equals_ignoring_case(trimmed(value.substr(0, value.find(';'))), "form-data"))
        return error{errc::invalid_argument, "A part of the form is not form-data."};
      has_disposition = true;
      head.name = disposition_parameter(value, "name").value_or("");
      head.filename = disposition_parameter(value, "filename");
    } else if (equals_ignoring_case(name, "content-type")) {
      head.content_type = std::string{value};
    }
  }
  if (!has_disposition) return error{errc::invalid_argument, "A part of the form has no Content-Disposition."};
  return head;
}

}  // namespace

std::optional<std::string> multipart_boundary(std::string_view content_type) {
  if (!equals_ignoring_case(trimmed(content_type.substr(0, content_type.find(';'))), "multipart/form-data")) return std::nullopt;
  std::optional<std::string> boundary;
  for_each_parameter(content_type, [&](std::string_view name, std::string value, bool) {
    if (equals_ignoring_case(name, "boundary") && !boundary) boundary = std::move(value);
  });
  if (!boundary || boundary->empty() || boundary->size() > boundary_bytes_max || boundary->find_first_of("\r\n") != std::string::npos)
    return std::nullopt;
  return boundary;
}

std::optional<std::string> disposition_parameter(std::string_view disposition, std::string_view name) {
  std::optional<std::string> plain, extended;
  for_each_parameter(disposition, [&](std::string_view n, std::string value, bool quoted) {
    if (equals_ignoring_case(n, name)) {
      if (!plain) {
        // Browsers write a quote as %22 and line ends as %0D %0A inside the quotes, and nothing else so.
        if (quoted)
          for (const auto& [code, plain_text] : std::array<std::pair<std::string_view, std::string_view>, 3>{
                 {{"%22", "\""}, {"%0D", "\r"}, {"%0A", "\n"}}})
            for (auto at = value.find(code); at != std::string::npos; at = value.find(code, at + 1)) value.replace(at, 3, plain_text);
        plain = std::move(value);
      }
    } else if (n.size() == name.size() + 1 && n.back() == '*' && equals_ignoring_case(n.substr(0, name.size()), name)) {
      const auto first = value.find('\'');
      const auto second = first == std::string::npos ? first : value.find('\'', first + 1);
      if (second != std::string::npos && equals_ignoring_case(std::string_view{value}.substr(0, first), "utf-8"))
        extended = percent_decoded(std::string_view{value}.substr(second + 1));
    }
  });
  return extended ? extended : plain;
}

multipart_parser::multipart_parser(std::string_view boundary, events to)
    : delimiter_{"\r\n--" + std::string{boundary}}, to_{std::move(to)} {
  // The first boundary may be at the very start, where no line end comes before it: pretend that one did.
  kept_ = "\r\n";
}

expected<void> multipart_parser::emit(std::string_view data) {
  if (state_ != state::data || data.empty()) return {};
  return to_.on_data(data);
}

expected<void> multipart_parser::feed(std::string_view bytes) {
  bool again = true;
  while (again) {
    again = false;
    if (auto done = step(bytes, again); !done) return done;
  }
  return {};
}

// Each state takes what it can from kept_ + bytes. `again` is set when it got somewhere and more may follow.
expected<void> multipart_parser::step(std::string_view& bytes, bool& again) {
  switch (state_) {
    case state::epilogue: bytes = {}; return {};

    case state::preamble:
    case state::data: {
      // First what was kept: it is shorter than a delimiter, so a delimiter that starts in it ends in the first bytes of
      // the new ones. Joining just those finds it without copying the rest.
      if (!kept_.empty()) {
        const auto kept = kept_.size();
        const auto borrowed = std::min(bytes.size(), delimiter_.size() - 1);
        std::string joint = std::exchange(kept_, {});
        joint.append(bytes.substr(0, borrowed));
        if (const auto at = find(joint, delimiter_); at != std::string_view::npos && at < kept) {
          if (auto done = emit(std::string_view{joint}.substr(0, at)); !done) return done;
          bytes.remove_prefix(at + delimiter_.size() - kept);
          if (state_ == state::data)
            if (auto done = to_.on_part_end(); !done) return done;
          state_ = state::after_boundary;
          again = true;
          return {};
        }
        if (borrowed == bytes.size()) {
          // All there is: keep the longest end that could begin a delimiter.
          auto keep = std::min(joint.size(), delimiter_.size() - 1);
          while (keep > 0 && std::string_view{joint}.substr(joint.size() - keep) != std::string_view{delimiter_}.substr(0, keep)) --keep;
          const auto sure = joint.size() - keep;
          if (auto done = emit(std::string_view{joint}.substr(0, sure)); !done) return done;
          kept_ = joint.substr(sure);
          bytes = {};
          return {};
        }
        if (auto done = emit(std::string_view{joint}.substr(0, kept)); !done) return done;
      }
      if (const auto at = find(bytes, delimiter_); at != std::string_view::npos) {
        if (auto done = emit(bytes.substr(0, at)); !done) return done;
        bytes.remove_prefix(at + delimiter_.size());
        if (state_ == state::data)
          if (auto done = to_.on_part_end(); !done) return done;
        state_ = state::after_boundary;
        again = true;
        return {};
      }
      auto keep = std::min(bytes.size(), delimiter_.size() - 1);
      while (keep > 0 && bytes.substr(bytes.size() - keep) != std::string_view{delimiter_}.substr(0, keep)) --keep;
      if (auto done = emit(bytes.substr(0, bytes.size() - keep)); !done) return done;
      kept_ = std::string{bytes.substr(bytes.size() - keep)};
      bytes = {};
      return {};
    }

    case state::after_boundary: {
      // "--" ends the form; otherwise optional blanks and a line end.
      while (!bytes.empty() && (kept_.size() < 2 || kept_.compare(kept_.size() - 2, 2, "\r\n") != 0)) {
        kept_ += bytes.front();
        bytes.remove_prefix(1);
        if (kept_ == "--") {
          state_ = state::epilogue;
          kept_.clear();
          again = true;
          return {};
        }
        if (kept_.size() > 64) return {errc::invalid_argument, "A boundary line of the form is malformed."};
      }
      if (kept_.size() < 2 || kept_.compare(kept_.size() - 2, 2, "\r\n") != 0) return {};
      if (kept_.find_first_not_of(" \t") != kept_.size() - 2) return {errc::invalid_argument, "A boundary line of the form is malformed."};
      kept_ = "\r\n";  // so that a part without header lines also ends its head with an empty line
      if (++parts_ > parts_max) return {errc::too_large, "The form has too many parts."};
      state_ = state::head;
      again = true;
      return {};
    }

    case state::head: {
      const auto before = kept_.size();
      kept_.append(bytes.substr(0, part_head_bytes_max + 4 - std::min(before, part_head_bytes_max + 3)));
      const auto from = before >= 3 ? before - 3 : 0;
      const auto at = kept_.find("\r\n\r\n", from);
      if (at == std::string::npos) {
        if (kept_.size() > part_head_bytes_max) return {errc::too_large, "The header of a part of the form is too long."};
        bytes = {};
        return {};
      }
      bytes.remove_prefix(at + 4 - before);
      auto head = parse_part_head(at >= 2 ? std::string_view{kept_}.substr(2, at - 2) : std::string_view{});
      // Empty content is followed by the delimiter at once, whose line end is the head's own.
      kept_ = "";
      if (!head) return std::move(head).error();
      if (auto done = to_.on_part(std::move(*head)); !done) return done;
      state_ = state::data;
      again = true;
      return {};
    }
  }
  return {};
}

}  // namespace latham::http
