#include "net/signals.hpp"

#include <array>
#include <csignal>
#include <future>
#include <utility>

namespace latham::net {

struct signals::state {
  std::array<signal_handle, 2> handles;
  std::shared_ptr<std::function<void(int)>> asked;  // shared: a callback keeps its own copy while it runs
};

signals::signals(loop& where, std::function<void(int)> asked) : where_{where}, state_{std::make_shared<state>()} {
  state_->asked = std::make_shared<std::function<void(int)>>(std::move(asked));
  auto watch = [s = state_, &where] {
    std::size_t slot = 0;
    for (const int number : {SIGTERM, SIGINT}) {
      auto made = signal_handle::make([&](uv_signal_t* h) { return uv_signal_init(where.raw(), h); });
      LATHAM_ASSERT(made);
      made->get()->data = s.get();
      const int rc = uv_signal_start(
          made->get(),
          [](uv_signal_t* h, int n) {
            const auto callback = static_cast<state*>(h->data)->asked;
            if (callback) (*callback)(n);
          },
          number);
      LATHAM_ASSERT(rc == 0);
      s->handles[slot++] = std::move(*made);
    }
  };
  // When the constructor returns, the signals are being watched.
  LATHAM_ASSERT(!where.on_thread());
  std::promise<void> watching;
  if (where.post([&] {
        watch();
        watching.set_value();
      }))
    watching.get_future().wait();
}

signals::~signals() {
  auto forget = [s = state_] {
    s->asked.reset();
    for (auto& handle : s->handles) handle.reset();
  };
  if (!where_.post(forget)) forget();
}

}  // namespace latham::net
