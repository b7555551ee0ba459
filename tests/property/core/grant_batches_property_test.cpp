// Nothing is lost, doubled or put out of order on the way into messages, and no message is too big.
#include "core/codec.hpp"
#include "core/scheduler/grant_batches.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <random>
#include <set>

namespace latham {

RC_GTEST_PROP(GrantBatches, HaveEveryGrantOnceInOrderAndFitAMessage, (std::uint64_t seed)) {
  std::mt19937_64 random{seed};
  std::vector<scheduler_effect> effects;
  std::map<node_name, std::vector<work_grant>> expected;
  const auto count = random() % 300;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (random() % 4 == 0) effects.push_back(publish_effect{});
    work_grant grant;
    grant.held = {1, i};
    grant.plan.notes.assign(random() % 3, std::string(random() % 2'000, 'x'));
    const auto worker = "worker-" + std::to_string(random() % 4);
    expected[worker].push_back(grant);
    effects.push_back(grant_effect{worker, grant});
  }
  const auto batches = grants_by_worker(effects);
  std::map<node_name, std::vector<work_grant>> got;
  std::map<node_name, std::size_t> messages;
  for (const auto& b : batches) {
    RC_ASSERT(!b.grants.empty());
    RC_ASSERT(b.grants.size() <= batch_max);
    RC_ASSERT(encode(b.grants).size() <= control_message_bytes_max);
    got[b.worker].insert(got[b.worker].end(), b.grants.begin(), b.grants.end());
    ++messages[b.worker];
  }
  RC_ASSERT(got == expected);
  for (const auto& [worker, grants] : expected) RC_ASSERT(messages.at(worker) <= 1 + grants.size() / batch_max + encode(grants).size() / (control_message_bytes_max / 2));
}

}  // namespace latham
