// The question that a node asks its machine when it starts: what a child may answer, and what is made of it.
#include "media/child_probe.hpp"

#include <gtest/gtest.h>

namespace latham::media {

namespace {

/// Says `words` at once and then ends, if it is to.
struct saying_spawner final : ports::child_spawner {
  struct handle final : ports::child {
    void write(buffer) override {}
    void pause_reading(bool) override {}
    void allow_cpu_seconds(std::uint32_t) override {}
    void kill() override {}
    [[nodiscard]] int pid() const noexcept override { return 1; }
  };
  expected<std::unique_ptr<ports::child>> spawn(std::vector<std::string>, ports::child_limits, ports::child_events events) override {
    if (refuse) return {errc::limited, "no more processes"};
    if (!words.empty()) events.on_bytes(buffer{words});
    if (ends) events.on_exit({3, 0});
    return std::unique_ptr<ports::child>{std::make_unique<handle>()};
  }
  std::string words;
  bool ends = false;
  bool refuse = false;
};

std::string hello(std::uint16_t version = child_protocol_version, const char* engine = "engine") {
  return make_frame(frame_type::hello, hello_message{version, engine, {true, false}});
}

errc code_of(saying_spawner& spawner) {
  const auto held = probe_child(spawner, "engine", {});
  return held ? errc::none : held.error().code;
}

}  // namespace

TEST(ChildProbe, SaysWhatContainsTheChild) {
  saying_spawner spawner;
  spawner.words = hello();
  const auto held = probe_child(spawner, "engine", {});
  ASSERT_TRUE(held);
  EXPECT_EQ(*held, (containment{true, false}));
  EXPECT_TRUE(held->holds());
}

TEST(ChildProbe, OnlySeccompHolds) {
  EXPECT_FALSE(containment{}.holds());
  EXPECT_FALSE((containment{false, true}.holds()));
  EXPECT_TRUE((containment{true, false}.holds()));
}

TEST(ChildProbe, ChildThatEndsOrTalksNonsenseIsAnError) {
  saying_spawner spawner;
  spawner.ends = true;
  const auto held = probe_child(spawner, "engine", {});
  ASSERT_FALSE(held);
  EXPECT_NE(held.error().message.find("status 3"), std::string::npos) << held.error().message;
  for (const auto& words : {std::string{"GET / HTTP/1.1\r\n\r\n"}, hello(99), hello(child_protocol_version, "another"),
                            make_frame(frame_type::progress, progress_message{1})}) {
    spawner.words = words;
    EXPECT_EQ(code_of(spawner), errc::crashed) << words;
  }
}

TEST(ChildProbe, SpawnersErrorIsPassedOn) {
  saying_spawner spawner;
  spawner.refuse = true;
  EXPECT_EQ(code_of(spawner), errc::limited);
}

}  // namespace latham::media
