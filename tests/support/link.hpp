// A handle as a link between two nodes gives it: CAF calls all handles of one remote actor equal, and one whose link was cut stays
// dead, while the next link's works.
#pragma once

#include <caf/all.hpp>

#include <memory>
#include <utility>

namespace latham::testing {

class link final : public caf::actor_proxy {
public:
  link(caf::actor_config& config, caf::actor there, std::shared_ptr<const bool> up) : caf::actor_proxy(config), there_{std::move(there)}, up_{std::move(up)} {}
  void enqueue(caf::mailbox_element_ptr what, caf::execution_unit* context) override {
    if (*up_) caf::actor_cast<caf::strong_actor_ptr>(there_)->enqueue(std::move(what), context);
  }
  void kill_proxy(caf::execution_unit*, caf::error) override {}

private:
  const caf::actor there_;
  const std::shared_ptr<const bool> up_;  // shared with the test, which cuts it
};

/// Equal to every other link of that system, dead while `up` is false.
inline caf::strong_actor_ptr make_link(caf::actor_system& system, const caf::actor& there, std::shared_ptr<const bool> up) {
  caf::actor_config config;
  return caf::make_actor<link, caf::strong_actor_ptr>(1'000'000'000, system.node(), &system, config, there, std::move(up));
}

}  // namespace latham::testing
