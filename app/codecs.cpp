#include "app/codecs.hpp"

#include "media/av/engine_identity.hpp"
#include "media/child_probe.hpp"

#include <fmt/format.h>

namespace latham::app {

namespace {

#ifdef LATHAM_SANITIZED
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

}  // namespace

media::child_engine_options codec_options(bool unsafe) {
  media::child_engine_options options;
  options.unsafe_codecs = unsafe || sanitized;
  if (sanitized) options.limits = {};
  return options;
}

expected<codec_containment> check_containment(ports::child_spawner& spawner, const media::child_engine_options& options) {
  const auto held = media::probe_child(spawner, media::engine_identity(), options);
  if (!held) return {held.error().code, "codecs cannot be run: " + held.error().message};
  const auto word = [](bool yes) { return yes ? "yes" : "no"; };
  const auto walls = fmt::format("seccomp={} landlock={}", word(held->seccomp), word(held->landlock));
  if (held->holds()) return codec_containment{true, "codecs contained " + walls};
  if (options.unsafe_codecs)
    return codec_containment{false, fmt::format("codecs not contained {} cause={}", walls, sanitized ? "built-with-sanitizers" : "unsafe-codecs")};
  return {errc::unavailable, "codec processes cannot be contained on this machine (" + walls +
                               "): run on a Linux kernel with seccomp, and in a container allow the calls seccomp and prctl; or say "
                               "--unsafe-codecs, and a hostile file that takes over a decoder can do all that this user can"};
}

}  // namespace latham::app
