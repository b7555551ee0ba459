#include "net/loop.hpp"

#include <gtest/gtest.h>

#include <future>

namespace latham::net {

TEST(Loop, RunsPostedWorkInOrderOnItsOwnThread) {
  loop subject{"test"};
  subject.start();
  std::promise<std::vector<int>> seen;
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(subject.post([&, i] {
      EXPECT_TRUE(subject.on_thread());
      order.push_back(i);
      if (i == 99) seen.set_value(order);
    }));
  }
  const auto result = seen.get_future().get();
  ASSERT_EQ(result.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(result[static_cast<std::size_t>(i)], i);
}

TEST(Loop, RunsWhatWasPostedBeforeStopAndRefusesTheRest) {
  loop subject{"test"};
  bool ran = false;
  ASSERT_TRUE(subject.post([&] { ran = true; }));
  subject.start();
  EXPECT_TRUE(subject.stop());
  EXPECT_TRUE(ran);
  EXPECT_FALSE(subject.post([] {}));
  EXPECT_TRUE(subject.stop());
}

TEST(Loop, StopsWithoutEverBeingStarted) {
  loop subject{"test"};
  EXPECT_TRUE(subject.post([] { ADD_FAILURE(); }));
  EXPECT_TRUE(subject.stop());
}

TEST(Loop, ClosesHandlesThatTheirOwnersKept) {
  loop subject{"test"};
  subject.start();
  tcp_handle kept;
  std::promise<void> made;
  subject.post([&] {
    auto tcp = tcp_handle::make([&](uv_tcp_t* t) { return uv_tcp_init(subject.raw(), t); });
    ASSERT_TRUE(tcp);
    kept = std::move(*tcp);
    sockaddr_in any{};
    uv_ip4_addr("127.0.0.1", 0, &any);
    ASSERT_EQ(uv_tcp_bind(kept.get(), reinterpret_cast<sockaddr*>(&any), 0), 0);
    ASSERT_EQ(uv_listen(kept.stream(), 1, [](uv_stream_t*, int) {}), 0);
    made.set_value();
  });
  made.get_future().wait();
  EXPECT_TRUE(subject.stop(milliseconds{1}));
  kept.reset();
}

TEST(Timer, FiresOnceAndMayBeDestroyedInItsOwnCallback) {
  loop subject{"test"};
  subject.start();
  std::promise<void> fired;
  subject.post([&] {
    auto owner = std::make_shared<std::unique_ptr<timer>>(std::make_unique<timer>(subject));
    (*owner)->start(milliseconds{1}, [owner, &fired] {
      owner->reset();
      fired.set_value();
    });
  });
  fired.get_future().wait();
}

}  // namespace latham::net
