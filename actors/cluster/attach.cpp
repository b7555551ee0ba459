#include "actors/cluster/attach.hpp"

#include "actors/protocol.hpp"
#include "core/assert.hpp"

#include <caf/io/all.hpp>
#include <caf/io/basp_broker.hpp>
#include <caf/io/network/default_multiplexer.hpp>
#include <caf/io/network/stream_impl.hpp>
#include <caf/policy/tcp.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#include <fmt/format.h>
#include <unistd.h>

namespace latham {

namespace {

using multiplexer = caf::io::network::default_multiplexer;
using caf::io::network::rw_state;

constexpr std::uint16_t root_port = 1;  // a key in the broker's table of published actors; no TCP port
constexpr seconds connect_deadline{2};

/// One recv serves many reads: CAF reads header and payload apart, which would be two system calls for each message.
struct buffered_reads : caf::policy::tcp {
  std::vector<char> bytes = std::vector<char>(64 * 1024);
  std::size_t begin = 0;
  std::size_t end = 0;

  rw_state read_some(std::size_t& result, caf::io::network::native_socket fd, void* into, std::size_t length) {
    result = 0;
    if (length == 0) return rw_state::success;
    if (begin == end) {
      begin = end = 0;
      std::size_t got = 0;
      const auto state = caf::policy::tcp::read_some(got, fd, bytes.data(), bytes.size());
      if (state != rw_state::success || got == 0) return state;
      end = got;
    }
    result = std::min(length, end - begin);
    std::memcpy(into, bytes.data() + begin, result);
    begin += result;
    return rw_state::success;
  }

  /// Without this, bytes that we hold would wait for the next event of the descriptor.
  bool must_read_more(caf::io::network::native_socket, std::size_t) const { return begin < end; }
};

/// CAF's stock scribe asks the descriptor for its port, which ends the process for a socketpair, and uses the descriptor
/// as its handle, which the kernel gives out again. Ours has a number of its own and the peer's verified name.
class stream_scribe final : public caf::io::scribe {
public:
  stream_scribe(multiplexer& m, int fd, std::string peer)
    : caf::io::scribe(caf::io::connection_handle::from_int(next_handle())), peer_{std::move(peer)}, stream_(m, fd) {}

  void configure_read(caf::io::receive_policy::config config) override {
    stream_.configure_read(config);
    if (launched_) return;
    launched_ = true;
    stream_.start(this);
  }
  void ack_writes(bool enable) override { stream_.ack_writes(enable); }
  std::vector<char>& wr_buf() override { return stream_.wr_buf(); }
  std::vector<char>& rd_buf() override { return stream_.rd_buf(); }
  void graceful_shutdown() override {
    stream_.graceful_shutdown();
    detach(&stream_.backend(), false);
  }
  void flush() override { stream_.flush(this); }
  std::string addr() const override { return peer_; }
  std::uint16_t port() const override { return 0; }
  void add_to_loop() override { stream_.activate(this); }
  void remove_from_loop() override { stream_.passivate(); }

private:
  static std::int64_t next_handle() {
    static std::atomic<std::int64_t> next{std::int64_t{1} << 32};  // above every descriptor
    return next++;
  }

  bool launched_ = false;
  std::string peer_;
  caf::io::network::stream_impl<buffered_reads> stream_;
};

caf::io::scribe_ptr make_scribe(caf::actor_system& system, const ports::control_stream& stream) {
  auto& backend = dynamic_cast<multiplexer&>(system.middleman().backend());
  return caf::make_counted<stream_scribe>(backend, static_cast<int>(stream.handle), stream.peer);
}

caf::actor broker(caf::actor_system& system) { return system.middleman().named_broker<caf::io::basp_broker>(caf::atom("BASP")); }

}  // namespace

void attach_accepted(caf::actor_system& system, const ports::control_stream& stream, const caf::strong_actor_ptr& root) {
  caf::anon_send(broker(system), caf::publish_atom::value, make_scribe(system, stream), root_port, root, system.message_types<node_root_actor>());
}

void attach_dialed(caf::actor_system& system, const ports::control_stream& stream, ports::completion<caf::strong_actor_ptr> done) {
  auto scribe = make_scribe(system, stream);
  system.spawn([scribe, done = std::move(done)](caf::event_based_actor* self) {
    self->request(broker(self->system()), connect_deadline, caf::connect_atom::value, scribe, root_port)
      .then(
        [self, done](caf::node_id&, caf::strong_actor_ptr& root, std::set<std::string>& offered) {
          if (!root || !self->system().assignable(offered, self->system().message_types<node_root_actor>()))
            return done(error{errc::invalid_argument, "the peer does not speak our protocol"});
          done(std::move(root));
        },
        [done](caf::error& e) { done(error{errc::unavailable, "the peer did not answer: " + std::to_string(e.code())}); });
  });
}

std::string fresh_uuid() {
  std::array<std::uint64_t, 2> bits{};
  // The kernel's generator; before main and before any port exists.
  LATHAM_ASSERT(::getentropy(bits.data(), sizeof bits) == 0);
  return fmt::format("{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}", bits[0] >> 32, bits[0] >> 16 & 0xffff, bits[0] & 0xfff, 0x8000 | (bits[1] >> 48 & 0x3fff), bits[1] & 0xffffffffffff);
}

}  // namespace latham
