#include "actors/gateway/gateway_actor.hpp"
#include "core/assert.hpp"
#include "store/replicated_blobs.hpp"

#include <atomic>

namespace latham {

namespace {

/// Answers for a gateway that cannot: when the last copy of the completion is gone without an answer, because its message
/// met a dead actor or the actor ended with the request under way, the caller is told so at once. From any thread.
template <class T>
class last_word {
public:
  explicit last_word(ports::completion<T> done) : done_{std::move(done)} {}
  ~last_word() { answer(error{errc::unavailable, "the gateway is restarting; whether it was done is not known: look, then try again"}); }
  last_word(const last_word&) = delete;
  last_word& operator=(const last_word&) = delete;

  void answer(expected<T> result) {
    if (!answered_.exchange(true)) done_(std::move(result));
  }

private:
  const ports::completion<T> done_;
  std::atomic<bool> answered_{false};
};

template <class T>
ports::completion<T> surely(ports::completion<T> done) {
  // Shared by the copies that an actor makes of its answer.
  return [word = std::make_shared<last_word<T>>(std::move(done))](expected<T> result) { word->answer(std::move(result)); };
}

class actor_service : public ports::service {
public:
  actor_service(const env& e, std::shared_ptr<gateway_door> door) : env_{e}, door_{std::move(door)} {}

  void create(ports::create_video request, ports::completion<video_view> done) override {
    call(std::move(done), [request = std::move(request)](gateway_shell& g, auto answer) { g.create(request, std::move(answer)); });
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
    call(std::move(done), [id](gateway_shell& g, auto answer) { g.offset(id, std::move(answer)); });
  }

  void finish(video_id id, std::uint64_t bytes, ports::completion<video_view> done) override {
    call(std::move(done), [id, bytes](gateway_shell& g, auto answer) { g.finish(id, bytes, std::move(answer)); });
  }

  void abort(video_id id, ports::completion<void> done) override {
    call(std::move(done), [id](gateway_shell& g, auto answer) { g.abort(id, std::move(answer)); });
  }

  void get(video_id id, ports::completion<video_view> done) override {
    call(std::move(done), [id](gateway_shell& g, auto answer) { g.find(id, std::move(answer)); });
  }

  void list(std::string tenant, std::string cursor, std::uint32_t limit, ports::completion<ports::video_page> done) override {
    call(std::move(done), [tenant = std::move(tenant), cursor = std::move(cursor), limit](gateway_shell& g, auto answer) { g.list(tenant, cursor, limit, std::move(answer)); });
  }

  void remove(video_id id, ports::completion<void> done) override {
    call(std::move(done), [id](gateway_shell& g, auto answer) { g.remove(id, std::move(answer)); });
  }

  void retry(video_id id, ports::completion<video_view> done) override {
    call(std::move(done), [id](gateway_shell& g, auto answer) { g.retry(id, std::move(answer)); });
  }

  void media(video_id id, std::string path, ports::completion<ports::media_resource> done) override {
    call(std::move(done), [id, path = std::move(path)](gateway_shell& g, auto answer) { g.media(id, path, std::move(answer)); });
  }

  void read(const ports::media_range& range, std::uint64_t offset, std::uint32_t bytes, ports::completion<buffer> done) override {
    if (offset >= range.bytes) return done({errc::bad_range, "the range starts behind the end"});
    const auto length = static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes, range.bytes - offset));
    store::read_first(store::stores_of(*env_.transport, range.blob, range.store, rules_), range.blob, range.offset + offset, length, std::move(done));
  }

  [[nodiscard]] std::shared_ptr<void> subscribe(std::function<void(const ports::service_event&)> changed) override {
    auto shared = std::make_shared<std::function<void(const ports::service_event&)>>(std::move(changed));
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
  /// A call that finds no gateway, or is lost with a dying one, fails at once.
  template <class T, class F>
  void call(ports::completion<T> done, F f) {
    const auto gateway = door_->actor.load();
    if (!gateway) return done(error{errc::unavailable, "the gateway is restarting; try again in a second"});
    caf::anon_send(*gateway, gateway_call{[f = std::move(f), answer = surely(std::move(done))](gateway_shell& g) { f(g, answer); }});
  }

  const env& env_;
  const copy_rules rules_ = env_.config.rules_of_copies();
  std::shared_ptr<gateway_door> door_;  // shared with the actor, which may be restarted
};

}  // namespace

std::unique_ptr<ports::service> make_service(const env& e, std::shared_ptr<gateway_door> door) { return std::make_unique<actor_service>(e, std::move(door)); }

}  // namespace latham
