// The data plane when things go wrong: peers that vanish, hang, lie or flood.
#include "core/digest.hpp"
#include "net/blob_protocol.hpp"
#include "net/frame.hpp"
#include "store/memory_blobs.hpp"
#include "tests/integration/net/cluster.hpp"
#include "tests/support/await.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>

namespace latham::net {
namespace {

using latham::testing::await;
using latham::testing::calling_node;
using latham::testing::code_of;
using latham::testing::serving_node;

/// A store behind a queue that the test runs by hand, so that it decides when answers come.
struct manual_store {
  store::closure_queue queue;
  store::memory_blobs blobs{queue.adder()};
};

class BlobClient : public ::testing::Test {
protected:
  std::unique_ptr<blob_client> connect(std::uint16_t port, blob_client_options options = {}) {
    caller.emplace(std::map<node_name, std::vector<ports::endpoint>>{{"storage-0", {{"127.0.0.1", port}}}});
    return std::make_unique<blob_client>(caller->context(), "storage-0", options);
  }
  expected<void> remove(ports::blob_store& s, std::uint64_t n) {
    return await<void>([&](auto done) { s.remove(blob_id{1, n}, done); });
  }
  std::optional<calling_node> caller;
};

struct raw_connection {
  explicit raw_connection(std::uint16_t port, const node_name& expected = "storage-0")
      : fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(port);
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval limit{60, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&where), sizeof where), 0);
    send(encode_preamble({stream_kind::data, "worker-0", expected}));
    char answer = 0;
    EXPECT_EQ(::recv(fd, &answer, 1, 0), 1);
    EXPECT_EQ(answer, 'A');
  }
  ~raw_connection() { ::close(fd); }
  void send(std::string_view bytes) { (void)!::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  bool closed_by_peer() {
    char byte = 0;
    return ::recv(fd, &byte, 1, 0) <= 0;
  }
  std::optional<frame> receive() {
    std::vector<frame> frames;
    while (frames.empty()) {
      std::uint8_t byte = 0;
      if (::recv(fd, &byte, 1, 0) != 1) return std::nullopt;
      if (!parser.feed({&byte, 1}, frames)) return std::nullopt;
    }
    return frames[0];
  }
  int fd;
  frame_parser parser;
};

std::string request(message_type type, std::uint64_t number, const std::string& payload) {
  const buffer part{payload};
  return std::string{frame_header(static_cast<std::uint8_t>(type), number, std::span{&part, 1}).view()} + payload;
}

TEST_F(BlobClient, CallsOnANodeThatIsAwayFailAtOnceAndWorkWhenItIsBack) {
  manual_store behind;
  blob_client_options options;
  options.back_off_first = milliseconds{1};
  options.back_off_max = milliseconds{1};
  std::uint16_t port = 0;
  {
    serving_node once{behind.blobs, "storage-0"};
    port = once.port();
  }
  auto client = connect(port, options);
  EXPECT_EQ(code_of(remove(*client, 1)), errc::unavailable);
  store::closure_queue ignored;
  loop disk{"disk"};
  disk.start();
  store::memory_blobs blobs{[&](std::function<void()> work) { disk.post(std::move(work)); }};
  serving_node back{blobs, "storage-0", port};
  expected<void> result = error{errc::unavailable, ""};
  for (int i = 0; i < 10'000 && !result; ++i) result = remove(*client, 1);
  EXPECT_TRUE(result);
  client.reset();
  caller.reset();
  EXPECT_TRUE(disk.stop());
}

TEST_F(BlobClient, EveryCallFailsWhenTheStreamDies) {
  manual_store behind;
  std::optional<serving_node> server;
  server.emplace(behind.blobs, "storage-0");
  auto client = connect(server->port());
  constexpr int calls = 40;  // more than may be under way: some wait in the client
  std::atomic<int> unavailable{0};
  std::promise<void> all;
  std::atomic<int> answered{0};
  for (int i = 0; i < calls; ++i) {
    client->stat(blob_id{1, static_cast<std::uint64_t>(i)}, [&](expected<ports::blob_stat> r) {
      if (code_of(r) == errc::unavailable) ++unavailable;
      if (++answered == calls) all.set_value();
    });
  }
  // The server has taken as many as the credit allows, and answers none.
  while (behind.queue.size() < 16) std::this_thread::yield();
  EXPECT_EQ(behind.queue.size(), 16u);
  server.reset();
  all.get_future().wait();
  EXPECT_EQ(unavailable.load(), calls);
  behind.queue.run_all();  // late answers of the store go nowhere
}

TEST_F(BlobClient, ANodeThatDoesNotAnswerIsGivenUp) {
  manual_store behind;
  serving_node server{behind.blobs, "storage-0"};
  blob_client_options options;
  options.request_deadline = milliseconds{50};
  auto client = connect(server.port(), options);
  const auto first = await<ports::blob_stat>([&](auto done) { client->stat(blob_id{1, 1}, done); });
  EXPECT_EQ(code_of(first), errc::timeout);
  client.reset();
  caller.reset();
}

TEST_F(BlobClient, TooManyWaitingCallsAreRefused) {
  manual_store behind;
  serving_node server{behind.blobs, "storage-0"};
  blob_client_options options;
  options.requests_waiting_max = 4;
  auto client = connect(server.port(), options);
  std::atomic<int> limited{0};
  std::atomic<int> answered{0};
  constexpr int calls = 100;
  for (int i = 0; i < calls; ++i) {
    client->stat(blob_id{1, 1}, [&](expected<ports::blob_stat> r) {
      if (code_of(r) == errc::limited) ++limited;
      ++answered;
    });
  }
  while (answered.load() < calls) {
    behind.queue.run_one();
    std::this_thread::yield();
  }
  EXPECT_GT(limited.load(), 0);
  client.reset();
}

TEST_F(BlobClient, DestroyingItAnswersWhatIsUnderWay) {
  manual_store behind;
  serving_node server{behind.blobs, "storage-0"};
  auto client = connect(server.port());
  std::promise<errc> answer;
  client->stat(blob_id{1, 1}, [&](expected<ports::blob_stat> r) { answer.set_value(code_of(r)); });
  while (behind.queue.size() == 0) std::this_thread::yield();
  client.reset();
  EXPECT_EQ(answer.get_future().get(), errc::unavailable);
}

TEST_F(BlobClient, TheTransportKnowsItsOwnStoreAndRefusesStrangers) {
  manual_store behind;
  caller.emplace(std::map<node_name, std::vector<ports::endpoint>>{});
  const auto local = std::make_shared<store::memory_blobs>(behind.queue.adder());
  const auto own = std::make_shared<store::memory_blobs>(behind.queue.adder());
  transport subject{"storage-0", local, own, caller->context()};
  EXPECT_EQ(subject.at("storage-0"), local);
  EXPECT_EQ(subject.own_of("storage-0"), own);
  EXPECT_NE(subject.at("storage-9"), subject.own_of("storage-9"));
  EXPECT_EQ(subject.at("storage-9"), subject.at("storage-9"));
  EXPECT_EQ(code_of(remove(*subject.at("storage-9"), 1)), errc::not_found);
}

TEST_F(BlobClient, OwnCopiesAreAskedForApartFromWhatANodeAnswersForWithOthers) {
  loop disk{"disk"};
  disk.start();
  {
    store::memory_blobs shared{[&](std::function<void()> work) { disk.post(std::move(work)); }};
    store::memory_blobs own{[&](std::function<void()> work) { disk.post(std::move(work)); }};
    serving_node server{shared, own, "storage-0"};
    const auto all = connect(server.port());
    blob_client_options options;
    options.own_copies = true;
    const blob_id id{1, 2};
    {
      blob_client alone{caller->context(), "storage-0", options};
      ASSERT_EQ(code_of(await<void>([&](auto done) { alone.reserve({id, 3, 10}, done); })), errc::none);
      EXPECT_EQ(code_of(await<std::uint64_t>([&](auto done) { alone.append({id, 3, 10}, 0, buffer{std::string{"own"}}, crc32c(std::string_view{"own"}), done); })), errc::none);
      EXPECT_EQ(await<buffer>([&](auto done) { alone.read(id, 0, 100, done); })->view(), "own");
    }
    EXPECT_EQ(code_of(await<buffer>([&](auto done) { all->read(id, 0, 100, done); })), errc::not_found);
    EXPECT_EQ(code_of(await<ports::blob_stat>([&](auto done) { shared.stat(id, done); })), errc::not_found);
    EXPECT_EQ(code_of(await<ports::blob_stat>([&](auto done) { own.stat(id, done); })), errc::none);
  }
  caller.reset();
  EXPECT_TRUE(disk.stop());
}

TEST_F(BlobClient, AServerThatLiesIsLeft) {
  // A server by hand: accepts the preamble, then answers nonsense.
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&where), sizeof where), 0);
  ASSERT_EQ(::listen(listener, 4), 0);
  socklen_t size = sizeof where;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&where), &size);
  const std::string answers[] = {request(message_type::ping, 999, ""), std::string(100, '\xff'), request(message_type::read, 1, "x")};
  for (const auto& nonsense : answers) {
    auto client = connect(ntohs(where.sin_port));
    std::thread liar{[&] {
      const int fd = ::accept(listener, nullptr, nullptr);
      char bytes[4096];
      std::size_t have = 0;
      while (have < preamble_bytes) have += static_cast<std::size_t>(::recv(fd, bytes, preamble_bytes - have, 0));
      (void)!::send(fd, "A", 1, MSG_NOSIGNAL);
      (void)!::recv(fd, bytes, sizeof bytes, 0);
      (void)!::send(fd, nonsense.data(), nonsense.size(), MSG_NOSIGNAL);
      while (::recv(fd, bytes, sizeof bytes, 0) > 0) {
      }
      ::close(fd);
    }};
    EXPECT_EQ(code_of(await<ports::blob_stat>([&](auto done) { client->stat(blob_id{1, 1}, done); })), errc::unavailable);
    client.reset();
    liar.join();
    caller.reset();
  }
  ::close(listener);
}

TEST(BlobServer, HostileInputEndsItsStreamAndNoOther) {
  loop disk{"disk"};
  disk.start();
  store::memory_blobs blobs{[&](std::function<void()> work) { disk.post(std::move(work)); }};
  {
    serving_node server{blobs, "storage-0"};
    raw_connection good{server.port()};
    good.send(request(message_type::remove, 5, encode(blob_id{1, 1})));
    auto reply = good.receive();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->request, 5u);
    auto flipped = request(message_type::stat, 1, encode(blob_id{1, 1}));
    flipped.back() = static_cast<char>(flipped.back() ^ 1);
    for (const auto& bad : {
             std::string(64, '\xff'),                                      // a length of 4 GiB
             flipped,                                                       // a wrong checksum
             request(static_cast<message_type>(77), 1, ""),                 // no such request
             request(message_type::stat, 1, "short"),                       // fields that do not decode
             request(message_type::append, 1, "short"),                     //
             request(message_type::failed, 1, ""),                          // an answer, from a client
             request(message_type::ping, 1, "payload"),                     //
             request(message_type::read, 1, std::string(2 * mib, 'x')),     // beyond the limit of requests
         }) {
      raw_connection hostile{server.port()};
      hostile.send(bad);
      EXPECT_TRUE(hostile.closed_by_peer());
    }
    good.send(request(message_type::ping, 6, ""));
    reply = good.receive();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->request, 6u);
    good.send(request(message_type::stat, 7, encode(blob_id{1, 1})));
    reply = good.receive();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->type, static_cast<std::uint8_t>(message_type::failed));
    EXPECT_EQ(error_of(*decode<failed_fields>(reply->payload.view())).code, errc::not_found);
  }
  EXPECT_TRUE(disk.stop());
}

TEST(BlobServer, TakesNoMoreThanItsLimitOfOneStream) {
  store::closure_queue queue;
  store::memory_blobs blobs{queue.adder()};
  blob_server_options options;
  options.requests_max = 4;
  serving_node server{blobs, "storage-0", 0, options};
  raw_connection flood{server.port()};
  constexpr std::uint64_t requests = 500;
  std::string all;
  for (std::uint64_t i = 0; i < requests; ++i) all += request(message_type::remove, i, encode(blob_id{1, i + 1}));
  flood.send(all);
  std::size_t most = 0;
  std::uint64_t replies = 0;
  std::thread answers{[&] {
    while (replies < requests && flood.receive()) ++replies;
  }};
  for (std::uint64_t done = 0; done < requests;) {
    most = std::max(most, queue.size());
    if (queue.run_one()) ++done;
  }
  answers.join();
  EXPECT_EQ(replies, requests);
  EXPECT_LE(most, 4u);
}

TEST(BlobServer, IdleStreamsAreClosedAndTheLongestIdleMakesRoom) {
  store::closure_queue queue;
  store::memory_blobs blobs{queue.adder()};
  blob_server_options options;
  options.streams_max = 2;
  serving_node server{blobs, "storage-0", 0, options};
  const auto alive = [](raw_connection& c) {
    c.send(request(message_type::ping, 1, ""));
    return c.receive().has_value();
  };
  raw_connection first{server.port()};
  EXPECT_TRUE(alive(first));
  raw_connection second{server.port()};
  EXPECT_TRUE(alive(second));
  EXPECT_TRUE(alive(first));  // now the second is the longest idle
  raw_connection third{server.port()};
  EXPECT_TRUE(alive(third));
  EXPECT_TRUE(second.closed_by_peer());
  EXPECT_TRUE(alive(first));

  blob_server_options brief;
  brief.idle_max = milliseconds{20};
  serving_node other{blobs, "storage-0", 0, brief};
  raw_connection silent{other.port()};
  EXPECT_TRUE(silent.closed_by_peer());
  raw_connection dribbling{other.port()};
  dribbling.send("\x10");  // the beginning of a frame does not count
  EXPECT_TRUE(dribbling.closed_by_peer());
}

}  // namespace
}  // namespace latham::net
