// The composition root of `latham serve`: makes every port, gives them to a node, and takes all of it down again in
// order. This is the one place that knows all rooms.
#pragma once

#include "app/configuration.hpp"

namespace latham::app {

/// Runs until SIGTERM or SIGINT, then drains. Answers the exit code: 0 after a drain, 1 when it could not start (the
/// reason is on standard error), 70 when the supervision tree gave up and the process should be restarted.
[[nodiscard]] int serve(const serve_options& o);

}  // namespace latham::app
