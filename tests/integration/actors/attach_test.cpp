// Pins what actors/cluster/attach relies on: two messages of CAF 0.17.6's broker that CAF does not document. Two systems
// in one process, joined by a socketpair, as net would join them across hosts.
#include "actors/cluster/attach.hpp"
#include "actors/cluster/connector.hpp"
#include "actors/cluster/directory.hpp"
#include "actors/node.hpp"

#include <caf/all.hpp>
#include <gtest/gtest.h>

#include <future>
#include <sys/socket.h>
#include <unistd.h>

namespace caf::detail {
// The systems of this process must not take each other for themselves.
std::string get_root_uuid() { return latham::fresh_uuid(); }
}  // namespace caf::detail

namespace latham {

namespace {

constexpr seconds patience{10};

class Attach : public ::testing::Test {
protected:
  void SetUp() override {
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends_), 0);
    server_env_.config.name = "scheduler-0";
    server_env_.config.incarnation = 42;
    directory_ = spawn_directory(server_, server_env_);
    root_ = spawn_node_root(server_, server_env_, directory_);
  }

  void TearDown() override {
    caf::anon_send_exit(root_, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(directory_, caf::exit_reason::user_shutdown);
  }

  expected<caf::strong_actor_ptr> join() {
    attach_accepted(server_, {1, "worker-0", ends_[0]}, caf::actor_cast<caf::strong_actor_ptr>(root_));
    auto answer = std::make_shared<std::promise<expected<caf::strong_actor_ptr>>>();
    auto result = answer->get_future();
    attach_dialed(client_, {2, "scheduler-0", ends_[1]}, [answer](expected<caf::strong_actor_ptr> root) { answer->set_value(std::move(root)); });
    if (result.wait_for(patience) != std::future_status::ready) return {errc::timeout, "no answer"};
    return result.get();
  }

  int ends_[2] = {-1, -1};
  env server_env_;
  caf_config server_config_{2};
  caf_config client_config_{2};
  caf::actor_system server_{server_config_};
  caf::actor_system client_{client_config_};
  directory_actor directory_;
  node_root_actor root_;
};

}  // namespace

TEST_F(Attach, APeerAnswersHelloThroughADescriptor) {
  auto root = join();
  ASSERT_TRUE(root) << root.error().message;
  caf::scoped_actor self{client_};
  bool heard = false;
  self->request(caf::actor_cast<node_root_actor>(*root), patience, hello{"worker-0", 7, protocol_version, "", 0})
    .receive(
      [&](const hello& reply) {
        heard = true;
        EXPECT_EQ(reply.node, "scheduler-0");
        EXPECT_EQ(reply.incarnation, 42u);
        EXPECT_EQ(reply.protocol, protocol_version);
      },
      [&](caf::error& e) { ADD_FAILURE() << client_.render(e); });
  EXPECT_TRUE(heard);
}

TEST_F(Attach, AServiceThatThePeerDoesNotRunResolvesToNothing) {
  auto root = join();
  ASSERT_TRUE(root);
  caf::scoped_actor self{client_};
  self->request(caf::actor_cast<node_root_actor>(*root), patience, resolve_atom::value, std::string{service_storage}, protocol_version)
    .receive([&](const caf::strong_actor_ptr& handle) { EXPECT_FALSE(handle); }, [&](caf::error& e) { ADD_FAILURE() << client_.render(e); });
}

TEST_F(Attach, TheEndOfTheStreamIsADownMessage) {
  auto root = join();
  ASSERT_TRUE(root);
  caf::scoped_actor self{client_};
  self->monitor(caf::actor_cast<caf::actor>(*root));
  ASSERT_EQ(::shutdown(ends_[1], SHUT_RDWR), 0);
  bool down = false;
  self->receive([&](caf::down_msg&) { down = true; }, caf::after(patience) >> [] {});
  EXPECT_TRUE(down);
}

TEST_F(Attach, ADialedStreamThatSaysNothingFailsWithinItsDeadline) {
  auto answer = std::make_shared<std::promise<expected<caf::strong_actor_ptr>>>();
  auto result = answer->get_future();
  attach_dialed(client_, {2, "scheduler-0", ends_[1]}, [answer](expected<caf::strong_actor_ptr> root) { answer->set_value(std::move(root)); });
  ASSERT_EQ(result.wait_for(patience), std::future_status::ready);
  EXPECT_EQ(result.get().error().code, errc::unavailable);
  ::close(ends_[0]);
}

TEST_F(Attach, ANodeIsToldOfALaterProcessOfItsName) {
  std::promise<std::string> told;
  auto why = told.get_future();
  caf::anon_send_exit(root_, caf::exit_reason::user_shutdown);
  root_ = spawn_node_root(server_, server_env_, directory_, [&](std::string words) { told.set_value(std::move(words)); });
  auto root = join();
  ASSERT_TRUE(root);
  caf::scoped_actor self{client_};
  self->request(caf::actor_cast<node_root_actor>(*root), patience, hello{"scheduler-0", 43, protocol_version, "", 0})
    .receive([&](const hello&) { ADD_FAILURE() << "it goes on"; }, [&](caf::error& e) { EXPECT_EQ(from_caf(e).code, errc::fenced); });
  ASSERT_EQ(why.wait_for(patience), std::future_status::ready);
  EXPECT_NE(why.get().find("later process named scheduler-0"), std::string::npos);
}

TEST_F(Attach, APeerThatIsTooOldIsToldSo) {
  auto root = join();
  ASSERT_TRUE(root);
  caf::scoped_actor self{client_};
  self->request(caf::actor_cast<node_root_actor>(*root), patience, hello{"worker-0", 7, protocol_oldest - 1, "", 0})
    .receive([&](const hello&) { ADD_FAILURE() << "it is let in"; },
             [&](caf::error& e) {
               EXPECT_EQ(from_caf(e).code, errc::unsupported);
               EXPECT_NE(from_caf(e).message.find("upgrade worker-0"), std::string::npos) << from_caf(e).message;
             });
}

TEST_F(Attach, APeerThatIsNewerIsAnswered) {
  auto root = join();
  ASSERT_TRUE(root);
  caf::scoped_actor self{client_};
  self->request(caf::actor_cast<node_root_actor>(*root), patience, hello{"worker-0", 7, protocol_version + 1, "", 0})
    .receive([&](const hello& reply) { EXPECT_EQ(reply.protocol, protocol_version) << "which it speaks as well"; }, [&](caf::error& e) { ADD_FAILURE() << client_.render(e); });
}

TEST(Uuid, IsFreshEachTime) { EXPECT_NE(fresh_uuid(), fresh_uuid()); }

}  // namespace latham
