// The event hub over a sink without a network: what a client is sent, in which order, and what happens to slow ones.
#include "http/events.hpp"

#include "http/json_views.hpp"
#include "tests/support/fake_service.hpp"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

namespace latham::http {

namespace {

class fake_sink final : public stream_sink {
public:
  bool post(std::function<void()> work) override {
    const std::lock_guard lock{mutex_};
    posted_.push_back(std::move(work));
    changed_.notify_all();
    return true;
  }
  void wake_after(milliseconds) override {}
  bool send(net::stream_id id, buffer bytes) override {
    sent[id] += bytes.view();
    return !gone.contains(id);
  }
  std::size_t backlog(net::stream_id id) const override { return slow.contains(id) ? 1 * mib : 0; }
  void close_stream(net::stream_id id) override { closed.insert(id); }

  /// Runs what was posted; waits for `least` closures first.
  void run(std::size_t least) {
    std::vector<std::function<void()>> work;
    {
      std::unique_lock lock{mutex_};
      ASSERT_TRUE(changed_.wait_for(lock, seconds{10}, [&] { return posted_.size() >= least; }));
      work.swap(posted_);
    }
    for (auto& w : work) w();
  }

  std::map<net::stream_id, std::string> sent;
  std::set<net::stream_id> slow, gone, closed;

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::function<void()>> posted_;
};

video_view make_view(std::uint64_t n, std::uint64_t revision = 1) {
  video_view v;
  v.id = make_id<video_id>({1'714'000'000'000}, 1, n);
  v.title = "v" + std::to_string(n);
  v.revision = revision;
  return v;
}

std::size_t count(const std::string& in, const std::string& what) {
  std::size_t found = 0;
  for (auto at = in.find(what); at != std::string::npos; at = in.find(what, at + 1)) ++found;
  return found;
}

class Events : public ::testing::Test {
protected:
  static event_options options() {
    event_options o;
    o.flush_interval = milliseconds{0};
    o.recent_max = 8;
    o.waiting_max = 6;
    return o;
  }
  void open(net::stream_id id, const std::string& last = {}) {
    request_head head;
    if (!last.empty()) head.fields.emplace_back("last-event-id", last);
    hub->on_open(id, head);
  }
  void change(const video_view& v) {
    hub->on_change(v);
    sink.run(1);
    hub->on_wake();
  }

  testing::fake_service service;
  fake_sink sink;
  std::shared_ptr<events_hub> hub = std::make_shared<events_hub>(service, sink, "e", options());
};

}  // namespace

TEST_F(Events, BeginWithASnapshotAndGoOnWithChanges) {
  service.put(make_view(1));
  open(1);
  sink.run(1);
  EXPECT_EQ(count(sink.sent[1], "event: snapshot\n"), 1u);
  EXPECT_EQ(count(sink.sent[1], "\"title\":\"v1\""), 1u);
  change(make_view(2));
  EXPECT_EQ(count(sink.sent[1], "id: e-1\nevent: video\n"), 1u);
}

TEST_F(Events, ThatHappenWhileTheSnapshotIsMadeAreNotLost) {
  open(1);
  hub->on_change(make_view(7));
  sink.run(2);
  hub->on_wake();
  EXPECT_EQ(count(sink.sent[1], "\"title\":\"v7\""), 1u);
}

TEST_F(Events, OfOneVideoAreJoinedBeforeTheyAreSent) {
  open(1);
  sink.run(1);
  for (std::uint64_t r = 1; r <= 5; ++r) hub->on_change(make_view(1, r));
  hub->on_change(make_view(1, 3));  // an old one that comes late
  sink.run(1);
  hub->on_wake();
  EXPECT_EQ(count(sink.sent[1], "event: video\n"), 1u);
  EXPECT_NE(sink.sent[1].find("\"revision\":5"), std::string::npos);
}

TEST_F(Events, AreOnlyWhatWasMissedForAClientThatComesBack) {
  for (std::uint64_t n = 1; n <= 4; ++n) change(make_view(n));
  open(2, "e-2");
  EXPECT_EQ(count(sink.sent[2], "event: snapshot\n"), 0u);
  EXPECT_EQ(count(sink.sent[2], "event: video\n"), 2u);
  EXPECT_NE(sink.sent[2].find("id: e-4\n"), std::string::npos);
}

TEST_F(Events, BeginAnewForAClientThatWasAwayTooLongOrFromAnotherServer) {
  for (std::uint64_t n = 1; n <= 20; ++n) change(make_view(n));
  for (const auto* last : {"e-2", "x-19", "e-999", "e-", "nonsense"}) {
    const auto id = static_cast<net::stream_id>(100 + sink.sent.size());
    open(id, last);
    if (sink.sent[id].find("event: snapshot") == std::string::npos) sink.run(1);
    EXPECT_EQ(count(sink.sent[id], "event: snapshot\n"), 1u) << last;
  }
}

TEST_F(Events, AreJoinedForASlowClientAndComeInOrder) {
  open(1);
  sink.run(1);
  sink.slow.insert(1);
  change(make_view(2, 1));
  change(make_view(1, 1));
  change(make_view(2, 2));
  EXPECT_EQ(count(sink.sent[1], "event: video\n"), 0u);
  sink.slow.clear();
  hub->on_drained(1);
  EXPECT_EQ(count(sink.sent[1], "event: video\n"), 2u);
  const auto first = sink.sent[1].find("id: e-2\n"), second = sink.sent[1].find("id: e-3\n");
  EXPECT_NE(first, std::string::npos);
  EXPECT_LT(first, second);
}

TEST_F(Events, EndForAClientThatDoesNotReadAtAll) {
  open(1);
  sink.run(1);
  sink.slow.insert(1);
  for (std::uint64_t n = 1; n <= 7; ++n) change(make_view(n));
  EXPECT_TRUE(sink.closed.contains(1));
}

TEST_F(Events, BeginAnewForEverybodyAfterChangesWereMissed) {
  service.put(make_view(1));
  open(1);
  sink.run(1);
  change(make_view(2));
  hub->on_changes_missed();
  sink.run(1);
  hub->on_wake();
  EXPECT_TRUE(sink.closed.contains(1));
  // It saw everything that had a number; what was missed had none.
  open(2, "e-1");
  sink.run(1);
  EXPECT_EQ(count(sink.sent[2], "event: snapshot\n"), 1u);
}

TEST_F(Events, MissedWhileASnapshotIsMadeMakeItWorthless) {
  hub->on_changes_missed();
  sink.run(1);
  open(1);
  hub->on_wake();  // the snapshot was asked for before
  EXPECT_TRUE(sink.closed.contains(1));
  service.put(make_view(3));
  open(2);
  sink.run(1);
  EXPECT_EQ(count(sink.sent[2], "event: snapshot\n"), 0u);
  sink.run(1);
  EXPECT_EQ(count(sink.sent[2], "event: snapshot\n"), 1u);
  EXPECT_EQ(count(sink.sent[2], "\"title\":\"v3\""), 1u);
}

TEST_F(Events, EndWhenThereIsNoSnapshotToBeHad) {
  service.fail("list", {errc::unavailable, "Away."});
  open(1);
  sink.run(1);
  EXPECT_TRUE(sink.closed.contains(1));
}

}  // namespace latham::http
