// A chain of libavfilter's filters over pictures.
//
// The chain is made for the first picture's size, format and colours; whoever has a picture of another kind (see fits) needs
// another filter. One thread, so that the same pictures in give the same pictures out. Presentation times do not go through
// it: filters scale and invent them, and the caller knows which picture it gave.
#pragma once

#include "core/expected.hpp"
#include "media/av/handles.hpp"

extern "C" {
#include <libavfilter/avfilter.h>
}

#include <cstdint>
#include <memory>
#include <string>

namespace latham::media {

class picture_filter {
public:
  /// `chain` as the ffmpeg command would take it. Fails with errc::internal when this build lacks one of its filters.
  [[nodiscard]] static expected<std::unique_ptr<picture_filter>> open(const std::string& chain, const AVFrame& like);

  [[nodiscard]] bool fits(const AVFrame& picture) const;

  /// Gives a picture that fits; a reference to it is kept as long as the chain needs it. Not after end().
  [[nodiscard]] expected<void> put(const AVFrame& picture);

  /// No more pictures come: what the chain holds can be taken.
  [[nodiscard]] expected<void> end();

  /// The chain's next picture; false when there is none before the next put.
  [[nodiscard]] expected<bool> take(AVFrame& into);

private:
  struct graph_deleter {
    void operator()(AVFilterGraph* x) const noexcept { avfilter_graph_free(&x); }
  };

  picture_filter() = default;

  std::unique_ptr<AVFilterGraph, graph_deleter> graph_;  // owns both ends
  AVFilterContext* source_ = nullptr;
  AVFilterContext* sink_ = nullptr;
  av_frame like_ = make_frame_handle();  // properties only
  av_frame given_ = make_frame_handle();
  std::int64_t count_ = 0;
};

}  // namespace latham::media
