#include "sim/chart.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace latham::sim {

namespace {

using entry = trace::entry;

double second_of(const entry& e) { return static_cast<double>((e.when - nanoseconds{seconds{3600}}).count()) / 1e9; }

/// What is shown: the newest rows, several of one kind in a row as one.
struct row {
  const entry* what;
  std::size_t times = 1;
};

std::vector<row> rows_of(const verdict& v, const chart_options& how) {
  std::vector<row> rows;
  if (v.last.empty()) return rows;
  const auto from = second_of(v.last.back()) - how.last_s;
  for (const auto& e : v.last) {
    if (second_of(e) < from) continue;
    if (!how.pings && e.kind == trace::what::message && (e.text.find("hello") != std::string::npos || e.text.find("bytes") != std::string::npos)) continue;
    if (!rows.empty()) {
      const auto& before = *rows.back().what;
      if (before.kind == e.kind && before.from == e.from && before.to == e.to && before.text == e.text) {
        ++rows.back().times;
        continue;
      }
    }
    rows.push_back({&e});
  }
  if (rows.size() > how.rows_max) rows.erase(rows.begin(), rows.end() - static_cast<std::ptrdiff_t>(how.rows_max));
  return rows;
}

std::string label_of(const row& r) { return r.times > 1 ? fmt::format("{} (x{})", r.what->text, r.times) : r.what->text; }

bool is_arrow(const entry& e, std::size_t nodes) { return e.from < nodes && e.to < nodes && e.from != e.to; }

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '&') out += "&amp;";
    else out += c;
  }
  return out;
}

}  // namespace

std::string text_chart(const verdict& v, const chart_options& how) {
  constexpr std::size_t width = 13;
  std::string out = fmt::format("{:>12} ", "virtual s");
  for (const auto& name : v.nodes) out += fmt::format("{:^{}}", name.substr(0, width - 1), width);
  out += "\n";
  for (const auto& r : rows_of(v, how)) {
    const auto& e = *r.what;
    std::string line;
    for (std::size_t i = 0; i < v.nodes.size(); ++i) line += std::string(width / 2, ' ') + "|" + std::string(width - width / 2 - 1, ' ');
    const auto center = [](std::uint32_t node) { return node * width + width / 2; };
    if (is_arrow(e, v.nodes.size())) {
      const auto left = std::min(center(e.from), center(e.to));
      const auto right = std::max(center(e.from), center(e.to));
      const char shaft = e.kind == trace::what::fault ? 'x' : e.kind == trace::what::data ? '=' : '-';
      for (auto i = left + 1; i < right; ++i) line[i] = shaft;
      line[e.from < e.to ? right - 1 : left + 1] = e.from < e.to ? '>' : '<';
    } else if (e.from < v.nodes.size()) {
      line[center(e.from)] = e.kind == trace::what::fault ? '#' : e.kind == trace::what::process ? '*' : 'o';
    }
    out += fmt::format("{:12.6f} {} {}\n", second_of(e), line, label_of(r));
  }
  return out;
}

std::string svg_chart(const verdict& v, const chart_options& how) {
  const auto rows = rows_of(v, how);
  constexpr int left = 110;
  constexpr int column = 150;
  constexpr int line = 18;
  constexpr int top = 60;
  const auto width = left + column * static_cast<int>(v.nodes.size()) + 520;
  const auto height = top + line * static_cast<int>(rows.size()) + 30;
  const auto x_of = [](std::uint32_t node) { return left + column * static_cast<int>(node) + column / 2; };
  std::string out = fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"monospace\" font-size=\"11\">\n", width, height);
  out += "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<defs><marker id=\"tip\" orient=\"auto\" markerWidth=\"8\" markerHeight=\"8\" refX=\"7\" refY=\"4\"><path d=\"M0,0 L8,4 L0,8 z\"/></marker></defs>\n";
  out += fmt::format("<text x=\"10\" y=\"20\" font-size=\"13\">seed {} {} {}</text>\n", v.seed, escaped(v.checker), escaped(v.what.substr(0, 200)));
  for (std::uint32_t i = 0; i < v.nodes.size(); ++i)
    out += fmt::format("<text x=\"{0}\" y=\"45\" text-anchor=\"middle\" font-weight=\"bold\">{1}</text><line x1=\"{0}\" y1=\"{2}\" x2=\"{0}\" y2=\"{3}\" stroke=\"#bbb\"/>\n", x_of(i), v.nodes[i], top - 8, height);
  int y = top;
  for (const auto& r : rows) {
    const auto& e = *r.what;
    const char* color = e.kind == trace::what::fault ? "#c00" : e.kind == trace::what::data ? "#07a" : e.kind == trace::what::process ? "#a50" : e.kind == trace::what::client ? "#080" : "#444";
    out += fmt::format("<text x=\"5\" y=\"{}\">{:.6f}</text>", y + 4, second_of(e));
    if (is_arrow(e, v.nodes.size())) {
      const auto from = x_of(e.from);
      const auto to = x_of(e.to);
      out += fmt::format("<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"{}\" marker-end=\"url(#tip)\"{}/>", from, y, to, y, color, e.kind == trace::what::fault ? " stroke-dasharray=\"3\"" : "");
    } else if (e.from < v.nodes.size()) {
      out += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"4\" fill=\"{}\"/>", x_of(e.from), y, color);
    }
    out += fmt::format("<text x=\"{}\" y=\"{}\" fill=\"{}\">{}</text>\n", left + column * static_cast<int>(v.nodes.size()) + 10, y + 4, color, escaped(label_of(r).substr(0, 160)));
    y += line;
  }
  return out + "</svg>\n";
}

}  // namespace latham::sim
