// ports::metrics on prometheus-cpp, and its text for scrapers. Families are made at first use; the number of time series is
// bounded, because one label with an id in it would otherwise eat the memory of the node and of the scraper.
#pragma once

#include "core/ports/metrics.hpp"

#include <memory>
#include <string>

namespace latham::http {

inline constexpr std::size_t series_max = 10'000;

class prometheus_metrics final : public ports::metrics {
public:
  prometheus_metrics();
  ~prometheus_metrics() override;
  prometheus_metrics(const prometheus_metrics&) = delete;
  prometheus_metrics& operator=(const prometheus_metrics&) = delete;

  void add(std::string_view counter, double amount, const ports::labels& by) override;
  void set(std::string_view gauge, double value, const ports::labels& by) override;
  void observe(std::string_view histogram_seconds, double seconds, const ports::labels& by) override;

  /// All of it in the text exposition format 0.0.4.
  [[nodiscard]] std::string text() const;

private:
  struct implementation;
  std::unique_ptr<implementation> self_;
};

}  // namespace latham::http
