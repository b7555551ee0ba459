#include "app/logging.hpp"

#include <nlohmann/json.hpp>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace latham::app {

namespace {

spdlog::level::level_enum translate(ports::log_level level) {
  switch (level) {
    case ports::log_level::debug: return spdlog::level::debug;
    case ports::log_level::info: return spdlog::level::info;
    case ports::log_level::warn: return spdlog::level::warn;
    case ports::log_level::error: return spdlog::level::err;
  }
  return spdlog::level::info;
}

class spdlog_sink : public ports::log_sink {
public:
  spdlog_sink(const std::string& level, bool json) : json_{json}, logger_{"latham", std::make_shared<spdlog::sinks::stderr_color_sink_mt>()} {
    logger_.set_level(level == "debug" ? spdlog::level::debug : level == "warn" ? spdlog::level::warn : level == "error" ? spdlog::level::err : spdlog::level::info);
    logger_.set_pattern(json ? "{\"time\":\"%Y-%m-%dT%H:%M:%S.%eZ\",\"level\":\"%l\",\"event\":%v}" : "%Y-%m-%dT%H:%M:%S.%e %^%-5l%$ %v",
                        json ? spdlog::pattern_time_type::utc : spdlog::pattern_time_type::local);
    logger_.flush_on(spdlog::level::debug);
  }

  [[nodiscard]] bool enabled(ports::log_level level) const noexcept override { return logger_.should_log(translate(level)); }

  void write(ports::log_level level, std::string line) override {
    // Lines carry names and messages that came from outside: they must not break the line.
    for (auto& c : line)
      if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    logger_.log(translate(level), "{}", json_ ? nlohmann::json(line).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) : line);
  }

private:
  const bool json_;
  spdlog::logger logger_;
};

}  // namespace

std::unique_ptr<ports::log_sink> make_log(const std::string& level, bool json) { return std::make_unique<spdlog_sink>(level, json); }

}  // namespace latham::app
