// The record behind an output token: whose blob it will be, so that one that nobody committed can be found and removed.
#pragma once

#include "core/ids.hpp"

namespace latham {

struct output_grant {
  static constexpr std::uint8_t record_format = 1;

  blob_id blob;
  video_id video;
  friend bool operator==(const output_grant&, const output_grant&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, output_grant& x) {
  return f(x.blob, x.video);
}

}  // namespace latham
