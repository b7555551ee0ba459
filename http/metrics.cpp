#include "http/metrics.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <map>
#include <mutex>

namespace latham::http {

namespace {

/// 1 ms to two minutes: from an answer out of memory to an upload's last fsync.
const prometheus::Histogram::BucketBoundaries& buckets() {
  static const prometheus::Histogram::BucketBoundaries made{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                            0.5,   1,      2.5,   5,    10,    30,   60,  120};
  return made;
}

std::string help_of(std::string_view name) {
  std::string help{name};
  std::replace(help.begin(), help.end(), '_', ' ');
  return help;
}

std::map<std::string, std::string> labels_of(const ports::labels& by) { return {by.begin(), by.end()}; }

}  // namespace

struct prometheus_metrics::implementation {
  prometheus::Registry registry;
  std::mutex mutex;
  std::size_t series = 0;
  // One series by its name and labels; the library finds one by hashing all of them at each call otherwise.
  using key = std::pair<std::string, ports::labels>;
  std::map<key, prometheus::Counter*> counters;
  std::map<key, prometheus::Gauge*> gauges;
  std::map<key, prometheus::Histogram*> histograms;

  template <class T, class Make>
  T* find(std::map<key, T*>& in, std::string_view name, const ports::labels& by, Make make) {
    const std::lock_guard lock{mutex};
    key k{std::string{name}, by};
    if (const auto it = in.find(k); it != in.end()) return it->second;
    if (series >= series_max) return nullptr;
    T* made = nullptr;
    try {
      made = make(k.first);
    } catch (const std::exception&) {
      // A name that was used for another kind before, or not a name at all: a bug of the caller that must not end the node.
    }
    in.emplace(std::move(k), made);
    ++series;
    return made;
  }
};

prometheus_metrics::prometheus_metrics() : self_{std::make_unique<implementation>()} {}
prometheus_metrics::~prometheus_metrics() = default;

void prometheus_metrics::add(std::string_view counter, double amount, const ports::labels& by) {
  auto& s = *self_;
  auto* found = s.find(s.counters, counter, by, [&](const std::string& name) {
    return &prometheus::BuildCounter().Name(name).Help(help_of(name)).Register(s.registry).Add(labels_of(by));
  });
  if (found != nullptr && amount >= 0) found->Increment(amount);
}

void prometheus_metrics::set(std::string_view gauge, double value, const ports::labels& by) {
  auto& s = *self_;
  auto* found = s.find(s.gauges, gauge, by, [&](const std::string& name) {
    return &prometheus::BuildGauge().Name(name).Help(help_of(name)).Register(s.registry).Add(labels_of(by));
  });
  if (found != nullptr) found->Set(value);
}

void prometheus_metrics::observe(std::string_view histogram_seconds, double seconds, const ports::labels& by) {
  auto& s = *self_;
  auto* found = s.find(s.histograms, histogram_seconds, by, [&](const std::string& name) {
    return &prometheus::BuildHistogram().Name(name).Help(help_of(name)).Register(s.registry).Add(labels_of(by), buckets());
  });
  if (found != nullptr) found->Observe(seconds);
}

std::string prometheus_metrics::text() const { return prometheus::TextSerializer{}.Serialize(self_->registry.Collect()); }

}  // namespace latham::http
