// The contract of ports::metrics (core/ports/metrics.hpp), held by the implementation that operators scrape.
#include "http/metrics.hpp"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace latham::http {

namespace {
bool has_line(const std::string& text, const std::string& line) { return ("\n" + text).find("\n" + line + "\n") != std::string::npos; }
}  // namespace

TEST(Metrics, AddUpPerNameAndLabels) {
  prometheus_metrics numbers;
  numbers.add("latham_things_total", 2, {{"kind", "a"}});
  numbers.add("latham_things_total", 1, {{"kind", "a"}});
  numbers.add("latham_things_total", 5, {{"kind", "b"}});
  const auto text = numbers.text();
  EXPECT_TRUE(has_line(text, "# TYPE latham_things_total counter")) << text;
  EXPECT_TRUE(has_line(text, "latham_things_total{kind=\"a\"} 3")) << text;
  EXPECT_TRUE(has_line(text, "latham_things_total{kind=\"b\"} 5")) << text;
}

TEST(Metrics, NeverCountDown) {
  prometheus_metrics numbers;
  numbers.add("latham_things_total", 2, {});
  numbers.add("latham_things_total", -1, {});
  EXPECT_TRUE(has_line(numbers.text(), "latham_things_total 2"));
}

TEST(Metrics, KeepTheLastValueOfAGauge) {
  prometheus_metrics numbers;
  numbers.set("latham_level", 4.5, {});
  numbers.set("latham_level", -2, {});
  const auto text = numbers.text();
  EXPECT_TRUE(has_line(text, "# TYPE latham_level gauge"));
  EXPECT_TRUE(has_line(text, "latham_level -2"));
}

TEST(Metrics, SortObservationsIntoCumulativeBuckets) {
  prometheus_metrics numbers;
  for (const double s : {0.02, 0.02, 7.0}) numbers.observe("latham_wait_seconds", s, {});
  const auto text = numbers.text();
  EXPECT_TRUE(has_line(text, "latham_wait_seconds_bucket{le=\"0.01\"} 0")) << text;
  EXPECT_TRUE(has_line(text, "latham_wait_seconds_bucket{le=\"0.025\"} 2"));
  EXPECT_TRUE(has_line(text, "latham_wait_seconds_bucket{le=\"10\"} 3"));
  EXPECT_TRUE(has_line(text, "latham_wait_seconds_bucket{le=\"+Inf\"} 3"));
  EXPECT_TRUE(has_line(text, "latham_wait_seconds_count 3"));
}

TEST(Metrics, IgnoreWhatIsNoNameOrANameOfAnotherKind) {
  prometheus_metrics numbers;
  numbers.add("latham_things_total", 2, {});
  numbers.set("latham_things_total", 1, {});
  numbers.add("not a name", 1, {});
  const auto text = numbers.text();
  EXPECT_TRUE(has_line(text, "latham_things_total 2"));
  EXPECT_EQ(text.find("not a name"), std::string::npos);
}

TEST(Metrics, BoundTheNumberOfSeries) {
  prometheus_metrics numbers;
  for (std::size_t i = 0; i < series_max + 100; ++i) numbers.add("latham_things_total", 1, {{"id", std::to_string(i)}});
  std::size_t series = 0;
  const auto text = numbers.text();
  for (auto at = text.find("latham_things_total{"); at != std::string::npos; at = text.find("latham_things_total{", at + 1)) ++series;
  EXPECT_EQ(series, series_max);
}

TEST(Metrics, LoseNothingWhenManyThreadsCount) {
  prometheus_metrics numbers;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&numbers, t] {
      for (int i = 0; i < 2000; ++i) {
        numbers.add("latham_things_total", 1, {});
        numbers.observe("latham_wait_seconds", 0.1, {{"thread", std::to_string(t % 2)}});
      }
    });
  for (auto& thread : threads) thread.join();
  const auto text = numbers.text();
  EXPECT_TRUE(has_line(text, "latham_things_total 8000")) << text;
  EXPECT_TRUE(has_line(text, "latham_wait_seconds_count{thread=\"1\"} 4000"));
}

}  // namespace latham::http
