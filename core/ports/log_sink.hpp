// Where log lines go. One event, one line, fields not prose: `lease granted task=.. epoch=.. worker=..`.
#pragma once

#include <cstdint>
#include <string>

namespace latham::ports {

enum class log_level : std::uint8_t { debug, info, warn, error };

class log_sink {
public:
  virtual ~log_sink() = default;
  [[nodiscard]] virtual bool enabled(log_level level) const noexcept = 0;
  virtual void write(log_level level, std::string line) = 0;
};

}  // namespace latham::ports
