#include "core/cluster/disk_trouble.hpp"

#include <algorithm>
#include <utility>

namespace latham {

disk_trouble::change disk_trouble::on_failed(instant now) {
  if (there_ && now < tried_from_) return change::none;  // known
  wait_ = there_ ? std::min(2 * wait_, wait_max) : wait_first;
  tried_from_ = next_ = now + wait_;
  return std::exchange(there_, true) ? change::goes_on : change::begins;
}

disk_trouble::change disk_trouble::on_written(instant begun) {
  if (!there_ || begun < tried_from_) return change::none;
  there_ = false;
  return change::ends;
}

bool disk_trouble::may_try(instant now) {
  if (!there_ || now < next_) return false;
  next_ = now + wait_;
  return true;
}

}  // namespace latham
