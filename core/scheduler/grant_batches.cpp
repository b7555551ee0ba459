#include "core/scheduler/grant_batches.hpp"

#include "core/codec.hpp"

#include <map>

namespace latham {

namespace {
// CAF's encoding is no longer than ours, but for the message around it.
constexpr std::size_t batch_bytes_max = control_message_bytes_max - 4 * kib;
}  // namespace

std::vector<grant_batch> grants_by_worker(const std::vector<scheduler_effect>& effects) {
  struct open_batch {
    std::size_t at = 0;     // in `out`
    std::size_t bytes = 0;
  };
  std::vector<grant_batch> out;
  std::map<node_name, open_batch> open;
  for (const auto& effect : effects) {
    const auto* e = std::get_if<grant_effect>(&effect);
    if (e == nullptr) continue;
    const auto bytes = encode(e->grant).size();
    auto [mine, fresh] = open.try_emplace(e->worker);
    if (fresh || out[mine->second.at].grants.size() == batch_max || mine->second.bytes + bytes > batch_bytes_max) {
      mine->second = {out.size(), 0};
      out.push_back({e->worker, {}});
    }
    out[mine->second.at].grants.push_back(e->grant);
    mine->second.bytes += bytes;
  }
  return out;
}

}  // namespace latham
