// ports::log_sink on spdlog: one event, one line, to standard error; text for people, JSON for machines.
#pragma once

#include "core/ports/log_sink.hpp"

#include <memory>
#include <string>

namespace latham::app {

/// `level` is debug, info, warn or error.
[[nodiscard]] std::unique_ptr<ports::log_sink> make_log(const std::string& level, bool json);

}  // namespace latham::app
