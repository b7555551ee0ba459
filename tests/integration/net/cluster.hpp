// Two loops, a data plane and a control plane on loopback, for the tests of this room.
#pragma once

#include "net/blob_client.hpp"
#include "net/blob_server.hpp"
#include "net/peer_streams.hpp"
#include "net/static_resolver.hpp"
#include "net/system_random.hpp"
#include "net/transport.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <optional>

namespace latham::testing {

/// A node that serves `store` on a free port.
class serving_node {
public:
  serving_node(ports::blob_store& store, node_name name, std::uint16_t port = 0, net::blob_server_options options = {})
    : serving_node(store, store, std::move(name), port, options) {}
  /// `own`: the copies of this node alone.
  serving_node(ports::blob_store& store, ports::blob_store& own, node_name name, std::uint16_t port = 0, net::blob_server_options options = {})
    : name_{std::move(name)} {
    control.start();
    data.start();
    server.emplace(data, store, own, options);
    net::peer_streams_options streams;
    streams.self = name_;
    streams.listen = ports::endpoint{"127.0.0.1", port};
    streams.on_data = [this](node_name peer, net::descriptor connection) { server->adopt(std::move(connection), std::move(peer)); };
    peers.emplace(control, lookup, std::move(streams));
    auto listening = peers->start();
    EXPECT_TRUE(listening) << listening.error().message;
    port_ = listening ? *listening : std::uint16_t{0};
  }
  ~serving_node() {
    peers.reset();
    server.reset();
    EXPECT_TRUE(control.stop());
    EXPECT_TRUE(data.stop());
  }
  [[nodiscard]] std::uint16_t port() const { return port_; }

  const node_name name_;
  net::loop control{"control"};
  net::loop data{"data"};
  net::address_lookup lookup;
  std::optional<net::blob_server> server;
  std::optional<net::peer_streams> peers;
  std::uint16_t port_ = 0;
};

/// A node that calls others.
class calling_node {
public:
  explicit calling_node(std::map<node_name, std::vector<ports::endpoint>> members) : resolver{std::move(members), lookup} { data.start(); }
  ~calling_node() { EXPECT_TRUE(data.stop()); }
  [[nodiscard]] net::blob_client_context context() {
    net::dialer_options dialing;
    dialing.self = "caller";
    return {data, resolver, lookup, chance, dialing};
  }
  net::loop data{"calls"};
  net::address_lookup lookup;
  net::static_resolver resolver;
  net::system_random chance;
};

}  // namespace latham::testing
