#include "chaos/experiment.hpp"

#include <gtest/gtest.h>

namespace latham::chaos {

namespace {

const std::string good = R"(
apiVersion: chaos-mesh.org/v1alpha1
kind: PodChaos
metadata: {name: kill, namespace: latham}
spec:
  action: pod-kill
  mode: one
  selector:
    namespaces: [latham]
    labelSelectors: {app.kubernetes.io/component: worker}
)";

std::string with(const std::string& from, const std::string& to) {
  auto text = good;
  return text.replace(text.find(from), from.size(), to);
}

const std::vector<local_pod> pods = {{"w0", "latham", {{"app.kubernetes.io/component", "worker"}}, 100},
                                     {"w1", "latham", {{"app.kubernetes.io/component", "worker"}}, 101},
                                     {"w2", "other", {{"app.kubernetes.io/component", "worker"}}, 102},
                                     {"s0", "latham", {{"app.kubernetes.io/component", "storage"}}, 103}};

}  // namespace

TEST(Experiments, AGoodOneIsRead) {
  const auto e = parse_experiment(good);
  ASSERT_TRUE(e);
  EXPECT_EQ(e->name, "kill");
  EXPECT_EQ(e->mode, victim_mode::one);
}

TEST(Experiments, WhatTheWebhookRefusesIsRefusedHere) {
  EXPECT_EQ(parse_experiment("a: [").error().code, errc::invalid_argument);
  EXPECT_EQ(parse_experiment(with("mode: one", "mode: some")).error().code, errc::invalid_argument);
  EXPECT_EQ(parse_experiment(with("mode: one", "mode: fixed")).error().code, errc::invalid_argument);
  EXPECT_EQ(parse_experiment(with("mode: one", "mode: fixed\n  value: '0'")).error().code, errc::invalid_argument);
  EXPECT_EQ(parse_experiment(with("mode: one", "mode: fixed-percent\n  value: '101'")).error().code, errc::invalid_argument);
  EXPECT_EQ(parse_experiment(with("mode: one", "mode: one\n  scheduler: {cron: '@every 1m'}")).error().code, errc::invalid_argument);
  EXPECT_EQ(parse_experiment(with("[latham]", "[kube-system]")).error().code, errc::invalid_argument);
  EXPECT_EQ(parse_experiment(with("{app.kubernetes.io/component: worker}", "{}")).error().code, errc::invalid_argument);
  EXPECT_EQ(parse_experiment(with("PodChaos", "NetworkChaos")).error().code, errc::unsupported);
  EXPECT_EQ(parse_experiment(with("pod-kill", "pod-failure")).error().code, errc::unsupported);
}

TEST(Experiments, OnlyMatchingPodsOfOurNamespaceAreChosen) {
  const auto e = *parse_experiment(with("mode: one", "mode: all"));
  const auto all = choose(e, pods, 1);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->size(), 2u);
  for (const auto& pod : *all) EXPECT_TRUE(pod.pid == 100 || pod.pid == 101);
  EXPECT_EQ(choose(e, {pods[2], pods[3]}, 1).error().code, errc::not_found);
}

TEST(Experiments, TheSeedDecidesAndEveryPodIsHitBySome) {
  const auto e = *parse_experiment(good);
  bool first = false;
  bool second = false;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto hit = choose(e, pods, seed);
    ASSERT_EQ(hit->size(), 1u);
    EXPECT_EQ(hit->front().pid, choose(e, pods, seed)->front().pid);
    (hit->front().pid == 100 ? first : second) = true;
  }
  EXPECT_TRUE(first && second);
}

}  // namespace latham::chaos
