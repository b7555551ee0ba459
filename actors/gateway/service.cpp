#include "actors/gateway/gateway_actor.hpp"
#include "core/assert.hpp"

namespace latham {

namespace {

class actor_service : public ports::service {
public:
  actor_service(const env& e, std::shared_ptr<gateway_door> door) : env_{e}, door_{std::move(door)} {}

  void create(ports::create_video request, ports::completion<video_view> done) override {
    call(done, [request = std::move(request), done](gateway_shell& g) { g.create(request, done); });
  }

  void append(video_id id, std::uint64_t offset, buffer bytes, ports::completion<std::uint64_t> done) override {
    const auto table = door_->uploads.load();
    const auto at = table ? table->find(id) : upload_table::const_iterator{};
    if (!table || at == table->end()) return done({errc::not_found, "there is no upload " + to_string(id) + " at this gateway"});
    const auto& upload = at->second;
    const auto crc = crc32c(bytes.view());
    upload.store->append(upload.token, offset, std::move(bytes), crc, [done = std::move(done), durable = upload.durable](expected<std::uint64_t> result) {
      if (result) durable->store(*result, std::memory_order_relaxed);
      done(std::move(result));
    });
  }

  void offset(video_id id, ports::completion<std::uint64_t> done) override {
    call(done, [id, done](gateway_shell& g) { g.offset(id, done); });
  }

  void finish(video_id id, std::uint64_t bytes, ports::completion<video_view> done) override {
    call(done, [id, bytes, done](gateway_shell& g) { g.finish(id, bytes, done); });
  }

  void abort(video_id id, ports::completion<void> done) override {
    call(done, [id, done](gateway_shell& g) { g.abort(id, done); });
  }

  void get(video_id id, ports::completion<video_view> done) override {
    call(done, [id, done](gateway_shell& g) { g.find(id, done); });
  }

  void list(std::string tenant, std::string cursor, std::uint32_t limit, ports::completion<ports::video_page> done) override {
    call(done, [tenant = std::move(tenant), cursor = std::move(cursor), limit, done](gateway_shell& g) { g.list(tenant, cursor, limit, done); });
  }

  void remove(video_id id, ports::completion<void> done) override {
    call(done, [id, done](gateway_shell& g) { g.remove(id, done); });
  }

  void retry(video_id id, ports::completion<video_view> done) override {
    call(done, [id, done](gateway_shell& g) { g.retry(id, done); });
  }

  void media(video_id id, std::string path, ports::completion<ports::media_resource> done) override {
    call(done, [id, path = std::move(path), done](gateway_shell& g) { g.media(id, path, done); });
  }

  void read(const ports::media_range& range, std::uint64_t offset, std::uint32_t bytes, ports::completion<buffer> done) override {
    if (offset >= range.bytes) return done({errc::bad_range, "the range starts behind the end"});
    const auto length = static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes, range.bytes - offset));
    env_.transport->at(range.store)->read(range.blob, range.offset + offset, length, std::move(done));
  }

  [[nodiscard]] std::shared_ptr<void> subscribe(std::function<void(const video_view&)> changed) override {
    auto shared = std::make_shared<std::function<void(const video_view&)>>(std::move(changed));
    auto before = door_->subscribers.load();
    std::shared_ptr<const event_subscribers> after;
    do {
      auto copy = before ? *before : event_subscribers{};
      std::erase_if(copy, [](const auto& weak) { return weak.expired(); });
      LATHAM_ASSERT(copy.size() < subscribers_max);
      copy.push_back(shared);
      after = std::make_shared<const event_subscribers>(std::move(copy));
    } while (!door_->subscribers.compare_exchange_strong(before, after));
    return shared;
  }

  [[nodiscard]] expected<void> ready() const override {
    if (!door_->actor.load()) return {errc::unavailable, "the gateway is starting"};
    if (!door_->joined.load()) return {errc::unavailable, "the gateway does not see a scheduler and a storage node yet"};
    return {};
  }

private:
  /// A call that finds no gateway fails at once; one that is lost with a dying gateway ends by its caller's deadline.
  template <class T>
  void call(const ports::completion<T>& done, std::function<void(gateway_shell&)> f) {
    const auto gateway = door_->actor.load();
    if (!gateway) return done(error{errc::unavailable, "the gateway is restarting; try again in a second"});
    caf::anon_send(*gateway, gateway_call{std::move(f)});
  }

  const env& env_;
  std::shared_ptr<gateway_door> door_;  // shared with the actor, which may be restarted
};

}  // namespace

std::unique_ptr<ports::service> make_service(const env& e, std::shared_ptr<gateway_door> door) { return std::make_unique<actor_service>(e, std::move(door)); }

}  // namespace latham
