// A sequence chart of the last virtual seconds of a run: a column for each node, an arrow for each message, a mark for
// each fault and each event of a process or lease. As text for the terminal and as SVG for the browser.
#pragma once

#include "sim/world.hpp"

#include <string>

namespace latham::sim {

struct chart_options {
  double last_s = 3;             // before the end
  std::size_t rows_max = 120;    // the newest
  bool pings = false;            // hellos and their answers, which are most of all messages
};

[[nodiscard]] std::string text_chart(const verdict& v, const chart_options& how = {});
[[nodiscard]] std::string svg_chart(const verdict& v, const chart_options& how = {});

}  // namespace latham::sim
