#include "net/connection_server.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <future>

namespace latham::net {

namespace {

/// A handler that nobody connects to.
class waiting_handler : public connection_handler {
public:
  std::promise<void> woken;

  connection_decision on_bytes(std::string_view, std::size_t, const peer_address&) override { return {}; }
  std::string refusal(connection_refusal) override { return {}; }
  bool serve(connection&) override { return false; }
  void on_stream(stream_id, std::string) override {}
  void on_stream_drained(stream_id) override {}
  void on_stream_closed(stream_id) override {}
  void on_wake() override { woken.set_value(); }
};

}  // namespace

// What happens while a node starts is posted before its server runs. A wake-up that is lost here is never asked for again.
TEST(ConnectionServer, WakesAHandlerThatAskedBeforeTheStart) {
  waiting_handler handler;
  connection_server subject{handler, {}, {}};
  ASSERT_TRUE(subject.listen("127.0.0.1", 0));
  ASSERT_TRUE(subject.post([&] { subject.wake_after(milliseconds{0}); }));
  ASSERT_TRUE(subject.start());
  EXPECT_EQ(handler.woken.get_future().wait_for(std::chrono::seconds{20}), std::future_status::ready);
  EXPECT_TRUE(subject.drain(milliseconds{100}));
}

}  // namespace latham::net
