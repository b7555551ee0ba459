#include "actors/upload/upload_actor.hpp"

#include "actors/role_actor.hpp"
#include "core/reach.hpp"

namespace latham {

namespace {

constexpr std::uint32_t finish_attempts_max = 4;
constexpr backoff_policy finish_backoff{milliseconds{100}, milliseconds{1'000}};

class upload_session : public role_actor<upload_actor> {
public:
  upload_session(caf::actor_config& config, const env* e, video_id video, storage_actor storage) : role_actor(config, *e), video_{video}, storage_{std::move(storage)} {}

  behavior_type make_behavior() override {
    return {
      [this](finish_atom, std::uint64_t bytes) -> caf::result<video_view> {
        auto answer = make_response_promise<video_view>();
        finish(bytes, answer, 1);
        return answer;
      },
      [this](abort_atom) -> caf::result<bool> {
        auto answer = make_response_promise<bool>();
        drop(answer);
        return answer;
      },
      [this](storage_up_atom, const node_name&, const caf::strong_actor_ptr& storage) {
        if (storage) storage_ = caf::actor_cast<storage_actor>(storage);
      },
      [](local_call& call) { call.run(); },
    };
  }

private:
  /// Sealing is idempotent, so a lost answer is asked for again.
  void finish(std::uint64_t bytes, promise<video_view> answer, std::uint32_t attempt) {
    request(storage_, env_.config.request_timeout * 2, finish_atom::value, video_, bytes)
      .then(
        [this, answer](video_view& view) mutable {
          answer.deliver(std::move(view));
          quit();
        },
        [this, bytes, answer, attempt](caf::error& e) mutable {
          const auto why = from_caf(e);
          if (is_transient(why.code) && attempt < finish_attempts_max) {
            LATHAM_REACHED("finish_said_again");
            later(backoff(finish_backoff, attempt, env_.random->next()), [this, bytes, answer, attempt] { finish(bytes, answer, attempt + 1); });
            return;
          }
          answer.deliver(e);
          if (!is_transient(why.code)) request(storage_, env_.config.request_timeout, abort_atom::value, video_).then([this](bool) { quit(); }, [this](caf::error&) { quit(); });
        });
  }

  void drop(promise<bool> answer) {
    request(storage_, env_.config.request_timeout, abort_atom::value, video_)
      .then(
        [this, answer](bool gone) mutable {
          answer.deliver(gone);
          quit();
        },
        [this, answer](caf::error& e) mutable {
          // Storage expires what nobody finishes.
          answer.deliver(e);
          quit();
        });
  }

  const video_id video_;
  storage_actor storage_;
};

}  // namespace

upload_actor spawn_upload(caf::local_actor* parent, const env& e, video_id video, storage_actor storage) {
  return caf::actor_cast<upload_actor>(parent->spawn<upload_session>(&e, video, std::move(storage)));
}

}  // namespace latham
