// The record behind an output token: whose blob it will be, so that one that nobody committed can be found and removed. It
// is kept as long as the blob, because a scheduler that lost its disk refers to none of them any more.
#pragma once

#include "core/ids.hpp"

namespace latham {

struct output_grant {
  static constexpr std::uint8_t record_format = 2;  // 2: kept while the blob lives

  blob_id blob;
  video_id video;          // nil: of a blob whose record was lost, so nobody knows
  bool confirmed = false;  // the scheduler refers to it: not looked at again
  friend bool operator==(const output_grant&, const output_grant&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, output_grant& x) {
  return f(x.blob, x.video, x.confirmed);
}

}  // namespace latham
