#include "net/peer_streams.hpp"
#include "net/basp_guard.hpp"
#include "net/preamble.hpp"
#include "tests/support/await.hpp"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <optional>

namespace latham::net {
namespace {

using latham::testing::answer_deadline;
using latham::testing::await;
using latham::testing::code_of;

/// A blocking socket or socketpair end in the hands of a test.
class raw_end {
public:
  explicit raw_end(int fd) : fd_{fd} {
    const timeval limit{answer_deadline.count(), 0};
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  }
  static raw_end connect(std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(port);
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&where), sizeof where), 0);
    return raw_end{fd};
  }
  raw_end(raw_end&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
  raw_end& operator=(raw_end&&) = delete;
  ~raw_end() {
    if (fd_ >= 0) ::close(fd_);
  }
  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  /// Up to `bytes`; fewer when the other side closed.
  std::string receive(std::size_t bytes) const {
    std::string out(bytes, '\0');
    std::size_t have = 0;
    while (have < bytes) {
      const auto n = ::recv(fd_, out.data() + have, bytes - have, 0);
      if (n <= 0) break;
      have += static_cast<std::size_t>(n);
    }
    out.resize(have);
    return out;
  }
  bool closed_by_peer() const { return receive(1).empty(); }
  int fd() const { return fd_; }

private:
  int fd_;
};

std::string basp(std::uint8_t operation, const std::string& payload) {
  std::string bytes(basp_header_bytes, '\0');
  bytes[0] = static_cast<char>(operation);
  for (int i = 0; i < 4; ++i) bytes[static_cast<std::size_t>(4 + i)] = static_cast<char>(payload.size() >> (24 - 8 * i));
  return bytes + payload;
}

std::size_t descriptors_open() {
  std::size_t count = 0;
  DIR* directory = ::opendir("/proc/self/fd");
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

/// One node with a listener.
struct node {
  explicit node(node_name name, peer_streams_options options = {}) {
    where.start();
    options.self = std::move(name);
    options.listen = ports::endpoint{"127.0.0.1", 0};
    options.on_data = [this](node_name peer, descriptor connection) {
      const std::lock_guard guard{mutex};
      data.emplace_back(std::move(peer), std::move(connection));
      changed.notify_all();
    };
    peers.emplace(where, lookup, std::move(options));
    peers->on_accept([this](ports::control_stream s) {
      const std::lock_guard guard{mutex};
      accepted.push_back(std::move(s));
      changed.notify_all();
    });
    auto listening = peers->start();
    EXPECT_TRUE(listening) << listening.error().message;
    port = listening ? *listening : std::uint16_t{0};
  }
  ~node() {
    peers.reset();
    EXPECT_TRUE(where.stop());
    for (auto& s : accepted) ::close(static_cast<int>(s.handle));
  }
  std::optional<ports::control_stream> next_accepted() {
    std::unique_lock guard{mutex};
    if (!changed.wait_for(guard, answer_deadline, [this] { return !accepted.empty(); })) return std::nullopt;
    auto s = accepted.front();
    accepted.erase(accepted.begin());
    return s;
  }
  expected<ports::control_stream> dial(std::uint16_t to, const node_name& name) {
    return await<ports::control_stream>([&](auto done) { peers->dial({"127.0.0.1", to}, name, done); });
  }
  template <class Predicate>
  bool eventually(Predicate p) {
    const auto until = std::chrono::steady_clock::now() + answer_deadline;
    while (!p(peers->counted())) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::yield();
    }
    return true;
  }

  loop where{"node"};
  address_lookup lookup;
  std::optional<peer_streams> peers;
  std::uint16_t port = 0;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<ports::control_stream> accepted;
  std::vector<std::pair<node_name, descriptor>> data;
};

TEST(PeerStreams, BytesTravelBothWaysBetweenTwoNodes) {
  node a{"worker-0"};
  node b{"scheduler-0"};
  const auto dialed = a.dial(b.port, "scheduler-0");
  ASSERT_TRUE(dialed) << dialed.error().message;
  EXPECT_EQ(dialed->peer, "scheduler-0");
  const auto accepted = b.next_accepted();
  ASSERT_TRUE(accepted);
  EXPECT_EQ(accepted->peer, "worker-0");
  const raw_end at_a{static_cast<int>(dialed->handle)};
  const raw_end at_b{static_cast<int>(accepted->handle)};
  for (int i = 0; i < 20; ++i) {
    const auto ping = basp(3, "ping " + std::to_string(i));
    const auto pong = basp(0, std::string(static_cast<std::size_t>(5000 * i + 1), 'p'));
    ASSERT_TRUE(at_a.send(ping));
    EXPECT_EQ(at_b.receive(ping.size()), ping);
    ASSERT_TRUE(at_b.send(pong));
    EXPECT_EQ(at_a.receive(pong.size()), pong);
  }
}

TEST(PeerStreams, AFloodIsHeldBackAndArrivesWhole) {
  node a{"worker-0"};
  node b{"scheduler-0"};
  const auto dialed = a.dial(b.port, "scheduler-0");
  ASSERT_TRUE(dialed);
  const auto accepted = b.next_accepted();
  ASSERT_TRUE(accepted);
  const raw_end at_a{static_cast<int>(dialed->handle)};
  const raw_end at_b{static_cast<int>(accepted->handle)};
  const auto message = basp(3, std::string(60'000, 'm'));
  constexpr std::size_t messages = 1000;  // 60 MB: far beyond every buffer on the way
  std::thread sender{[&] {
    for (std::size_t i = 0; i < messages; ++i) {
      if (!at_a.send(message)) return;
    }
  }};
  std::size_t whole = 0;
  for (std::size_t i = 0; i < messages; ++i) whole += at_b.receive(message.size()) == message ? 1 : 0;
  sender.join();
  EXPECT_EQ(whole, messages);
}

TEST(PeerStreams, TheEndOfOneSideIsTheEndOfBoth) {
  node a{"worker-0"};
  node b{"scheduler-0"};
  for (const auto* how : {"dialing side", "accepting side", "close()"}) {
    const auto dialed = a.dial(b.port, "scheduler-0");
    ASSERT_TRUE(dialed);
    const auto accepted = b.next_accepted();
    ASSERT_TRUE(accepted);
    std::optional<raw_end> at_a{raw_end{static_cast<int>(dialed->handle)}};
    std::optional<raw_end> at_b{raw_end{static_cast<int>(accepted->handle)}};
    if (how == std::string_view{"dialing side"}) {
      at_a.reset();
      EXPECT_TRUE(at_b->closed_by_peer());
    } else if (how == std::string_view{"accepting side"}) {
      at_b.reset();
      EXPECT_TRUE(at_a->closed_by_peer());
    } else {
      b.peers->close(accepted->id);
      EXPECT_TRUE(at_a->closed_by_peer());
      EXPECT_TRUE(at_b->closed_by_peer());
    }
    EXPECT_TRUE(a.eventually([](const auto& c) { return c.streams == 0; }));
    EXPECT_TRUE(b.eventually([](const auto& c) { return c.streams == 0; }));
  }
}

TEST(PeerStreams, DialingFailsWithACauseToActOn) {
  node a{"worker-0"};
  node b{"scheduler-0"};
  EXPECT_EQ(code_of(a.dial(b.port, "scheduler-1")), errc::invalid_argument);
  EXPECT_EQ(code_of(a.dial(1, "scheduler-0")), errc::unavailable);
  EXPECT_EQ(code_of(a.dial(b.port, "Not A Name")), errc::invalid_argument);
  const auto far = await<ports::control_stream>([&](auto done) { a.peers->dial({"192.0.2.1", 8020}, "scheduler-0", done); });
  ASSERT_FALSE(far);
  EXPECT_EQ(far.error().code, errc::invalid_argument);
  EXPECT_NE(far.error().message.find("TLS"), std::string::npos);
  const auto nowhere = await<ports::control_stream>([&](auto done) { a.peers->dial({"no-such-host.invalid", 8020}, "scheduler-0", done); });
  EXPECT_TRUE(code_of(nowhere) == errc::unavailable || code_of(nowhere) == errc::timeout);
}

TEST(PeerStreams, ASilentServerIsGivenUp) {
  peer_streams_options hasty;
  hasty.handshake_deadline = milliseconds{50};
  node a{"worker-0", hasty};
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&where), sizeof where), 0);
  ASSERT_EQ(::listen(listener, 4), 0);
  socklen_t size = sizeof where;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&where), &size);
  EXPECT_EQ(code_of(a.dial(ntohs(where.sin_port), "scheduler-0")), errc::timeout);
  ::close(listener);
}

TEST(PeerStreams, BeyondThisHostNothingListensWithoutTls) {
  loop where{"node"};
  where.start();
  address_lookup lookup;
  peer_streams_options options;
  options.self = "gateway-0";
  options.listen = ports::endpoint{"0.0.0.0", 0};
  peer_streams peers{where, lookup, options};
  const auto listening = peers.start();
  ASSERT_FALSE(listening);
  EXPECT_EQ(listening.error().code, errc::invalid_argument);
  EXPECT_NE(listening.error().message.find("TLS"), std::string::npos);
}

TEST(PeerStreams, TheKillerPacketNeverReachesTheOtherSide) {
  node b{"scheduler-0"};
  const auto peer = raw_end::connect(b.port);
  ASSERT_TRUE(peer.send(encode_preamble({stream_kind::control, "worker-0", "scheduler-0"})));
  ASSERT_EQ(peer.receive(1), "A");
  const auto accepted = b.next_accepted();
  ASSERT_TRUE(accepted);
  const raw_end caf{static_cast<int>(accepted->handle)};
  const auto good = basp(0, "handshake");
  ASSERT_TRUE(peer.send(good));
  EXPECT_EQ(caf.receive(good.size()), good);
  ASSERT_TRUE(peer.send(basp(0, "")));
  EXPECT_TRUE(caf.closed_by_peer());
  EXPECT_TRUE(peer.closed_by_peer());
  EXPECT_EQ(b.peers->counted().malformed, 1u);
}

TEST(PeerStreams, WhatIsNoPreambleIsDropped) {
  node b{"scheduler-0"};
  const auto refused = [&](const std::string& bytes) {
    const auto peer = raw_end::connect(b.port);
    (void)peer.send(bytes);
    return peer.receive(10);
  };
  EXPECT_EQ(refused(std::string(preamble_bytes, 'x')), "");
  EXPECT_EQ(refused("GET / HTTP/1.1\r\nHost: " + std::string(200, 'h') + "\r\n\r\n"), "");
  EXPECT_EQ(refused(encode_preamble({stream_kind::control, "a", "scheduler-1"})), "N");
  auto newer = encode_preamble({stream_kind::control, "a", "scheduler-0"});
  newer[4] = 9;
  EXPECT_EQ(refused(newer), "V");
  EXPECT_EQ(refused(encode_preamble({stream_kind::control, "a", "scheduler-0"}) + "early"), "");
  EXPECT_TRUE(b.eventually([](const auto& c) { return c.pending == 0 && c.streams == 0; }));
}

TEST(PeerStreams, SilentConnectionsAreDroppedAndLockNobodyOut) {
  peer_streams_options options;
  options.pending_max = 8;
  node b{"scheduler-0", options};
  node a{"worker-0"};
  std::vector<raw_end> silent;
  for (int i = 0; i < 40; ++i) silent.push_back(raw_end::connect(b.port));
  ASSERT_TRUE(b.eventually([](const auto& c) { return c.pending == 8; }));
  EXPECT_TRUE(a.dial(b.port, "scheduler-0"));
  const auto accepted = b.next_accepted();
  ASSERT_TRUE(accepted);
  ::close(static_cast<int>(accepted->handle));
  // And the deadline of two seconds ends the rest.
  for (const auto& s : silent) EXPECT_TRUE(s.closed_by_peer());
  EXPECT_EQ(b.peers->counted().pending, 0u);
}

TEST(PeerStreams, ControlStreamsHaveALimit) {
  peer_streams_options options;
  options.streams_max = 2;
  node b{"scheduler-0", options};
  node a{"worker-0"};
  const auto first = a.dial(b.port, "scheduler-0");
  const auto second = a.dial(b.port, "scheduler-0");
  ASSERT_TRUE(first && second);
  EXPECT_EQ(code_of(a.dial(b.port, "scheduler-0")), errc::unavailable);
  ::close(static_cast<int>(first->handle));
  ::close(static_cast<int>(second->handle));
}

TEST(PeerStreams, DataConnectionsArePassedOn) {
  node b{"storage-0"};
  const auto peer = raw_end::connect(b.port);
  ASSERT_TRUE(peer.send(encode_preamble({stream_kind::data, "worker-7", "storage-0"})));
  ASSERT_EQ(peer.receive(1), "A");
  std::unique_lock guard{b.mutex};
  ASSERT_TRUE(b.changed.wait_for(guard, answer_deadline, [&] { return !b.data.empty(); }));
  EXPECT_EQ(b.data[0].first, "worker-7");
  const raw_end passed{b.data[0].second.release()};
  ASSERT_TRUE(passed.send("hello"));
  EXPECT_EQ(peer.receive(5), "hello");
}

TEST(PeerStreams, DialsUnderWayFailWhenTheNodeStops) {
  std::optional<node> a;
  a.emplace("worker-0");
  // A listener that never answers.
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&where), sizeof where), 0);
  ASSERT_EQ(::listen(listener, 4), 0);
  socklen_t size = sizeof where;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&where), &size);
  std::promise<errc> answer;
  a->peers->dial({"127.0.0.1", ntohs(where.sin_port)}, "scheduler-0",
                 [&](expected<ports::control_stream> r) { answer.set_value(code_of(r)); });
  a.reset();
  EXPECT_EQ(answer.get_future().get(), errc::unavailable);
  ::close(listener);
}

TEST(PeerStreams, StreamsLeaveNoDescriptorsBehind) {
  node a{"worker-0"};
  node b{"scheduler-0"};
  const auto once = [&] {
    const auto dialed = a.dial(b.port, "scheduler-0");
    ASSERT_TRUE(dialed);
    const auto accepted = b.next_accepted();
    ASSERT_TRUE(accepted);
    ::close(static_cast<int>(dialed->handle));
    ::close(static_cast<int>(accepted->handle));
    EXPECT_TRUE(a.eventually([](const auto& c) { return c.streams == 0; }));
    EXPECT_TRUE(b.eventually([](const auto& c) { return c.streams == 0; }));
  };
  once();
  (void)a.peers->counted();
  (void)b.peers->counted();
  const auto before = descriptors_open();
  for (int i = 0; i < 50; ++i) once();
  (void)a.peers->counted();
  (void)b.peers->counted();
  EXPECT_EQ(descriptors_open(), before);
}

}  // namespace
}  // namespace latham::net
