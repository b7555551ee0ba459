// The base of our actors: one owner of state, its own clock, and the way back from asynchronous ports into the mailbox.
//
// `here(f)` makes a completion that runs `f` inside this actor, whichever thread the port calls it from; if the actor is
// gone by then, nothing runs. `later` is a timer on the actor's clock, so the same code runs in virtual time.
//
// Answers that are owed when the actor ends are given by `answer_all`, which an actor that persists before it answers calls
// in `on_exit`: what waited for its store would wait for ever, and its caller until a deadline.
#pragma once

#include "actors/cluster/directory.hpp"
#include "actors/env.hpp"
#include "actors/promise.hpp"
#include "actors/protocol.hpp"

#include <fmt/format.h>

#include <memory>
#include <utility>

namespace latham {

/// A response handler that takes back the deadline of its request first. Its parameters are those of `F`: CAF looks at them.
template <class F, class... Ts>
struct answered {
  F handle;
  caf::local_actor* self;
  caf::message_id request;
  void operator()(Ts... xs) {
    self->clock().cancel_request_timeout(self, request);
    handle(std::forward<Ts>(xs)...);
  }
};
template <class F, class... Ts>
answered<F, Ts...> make_answered(F& f, void (F::*)(Ts...), caf::local_actor* self, caf::message_id request) {
  return {std::move(f), self, request};
}
template <class F, class... Ts>
answered<F, Ts...> make_answered(F& f, void (F::*)(Ts...) const, caf::local_actor* self, caf::message_id request) {
  return {std::move(f), self, request};
}

/// `Interface` is a typed_actor; the actor itself understands local_call as well, which is not part of what it publishes.
template <class Interface>
class role_actor : public Interface::template extend<caf::reacts_to<local_call>>::base {
public:
  using base = typename Interface::template extend<caf::reacts_to<local_call>>::base;
  using behavior_type = typename base::behavior_type;

  role_actor(caf::actor_config& config, const env& e) : base(config), env_{e} {}

protected:
  [[nodiscard]] instant now() {
    return {std::chrono::duration_cast<nanoseconds>(this->clock().now().time_since_epoch()).count()};
  }

  template <class T, class F>
  [[nodiscard]] ports::completion<T> here(F f) {
    // A weak reference would let a completion die silently while its caller waits; the address keeps the actor's control
    // block only, and a message to a dead actor is dropped by CAF.
    auto self = caf::actor_cast<caf::actor_addr>(this);
    auto shared = std::make_shared<F>(std::move(f));
    return [self, shared](expected<T> result) {
      if (auto alive = caf::actor_cast<caf::actor>(self)) {
        auto boxed = std::make_shared<expected<T>>(std::move(result));
        caf::anon_send(alive, local_call{[shared, boxed] { (*shared)(std::move(*boxed)); }});
      }
    };
  }

  /// As CAF's, but an answered request leaves no deadline behind: CAF would wake the actor for it, for nothing.
  template <class Handle, class Deadline, class... Ts>
  [[nodiscard]] auto request(const Handle& to, const Deadline& deadline, Ts&&... xs) {
    auto open = base::request(to, deadline, std::forward<Ts>(xs)...);
    return open_request<decltype(open)>{open, this};
  }

  template <class Response>
  struct open_request {
    Response response;
    caf::local_actor* self;
    template <class F, class G>
    void then(F answer, G failed) {
      response.then(make_answered(answer, &F::operator(), self, response.id()), make_answered(failed, &G::operator(), self, response.id()));
    }
  };

  /// Runs `f` in this actor's next turn.
  void soon(std::function<void()> f) { caf::anon_send(caf::actor_cast<caf::actor>(this), local_call{std::move(f)}); }

  void later(milliseconds wait, std::function<void()> f) {
    caf::delayed_anon_send(caf::actor_cast<caf::actor>(this), wait, local_call{std::move(f)});
  }

  /// Hears of every change of a service, the present state first. Through a small untyped ear, because a typed actor
  /// takes only what its interface lists; the ear is linked and ends with us.
  void listen(const directory_actor& directory, const char* service, std::function<void(const service_change&)> changed) {
    auto self = caf::actor_cast<caf::actor_addr>(this);
    auto ear = this->spawn([self, changed = std::move(changed)](caf::event_based_actor*) -> caf::behavior {
      return {[self, changed](const service_change& change) {
        if (auto alive = caf::actor_cast<caf::actor>(self)) caf::anon_send(alive, local_call{[changed, change] { changed(change); }});
      }};
    });
    this->link_to(ear);
    caf::anon_send(directory, listen_atom::value, std::string{service}, ear);
  }

  /// Instead of CAF's, whose copies could each answer.
  template <class T>
  [[nodiscard]] promise<T> make_response_promise() {
    return owed_.add(promise<T>{base::template make_response_promise<T>()});
  }

  template <class T>
  static void deny(const promise<T>& answer, const error& e) {
    answer.deliver(to_caf(e));
  }

  /// Before anything that holds promises is dropped: one that is gone answers nobody.
  void answer_all(const error& why) { owed_.answer_all(to_caf(why)); }

  template <class... Ts>
  void log(ports::log_level level, fmt::format_string<Ts...> format, Ts&&... xs) const {
    if (env_.log != nullptr && env_.log->enabled(level)) env_.log->write(level, fmt::format(format, std::forward<Ts>(xs)...));
  }

  void count(std::string_view counter, double amount = 1, const ports::labels& by = {}) const {
    if (env_.metrics != nullptr) env_.metrics->add(counter, amount, by);
  }

  const env& env_;

private:
  owed_answers owed_;
};

}  // namespace latham
