#include "store/schema.hpp"

#include <fmt/format.h>

namespace latham::store {

std::string video_key(video_id video) { return prefix_videos + to_string(video); }

std::string task_key(const task_id& task) {
  return fmt::format("{}{}/{:02x}/{:08x}", prefix_tasks, to_string(task.video), static_cast<unsigned>(task.kind), task.index);
}

std::string lease_key(epoch held) { return fmt::format("{}{:08x}{:08x}", prefix_leases, held.generation, held.counter); }

std::string upload_key(video_id video) { return prefix_uploads + to_string(video); }

std::string output_key(blob_id blob) { return prefix_outputs + to_string(blob); }

std::string claim_key(std::uint16_t shard) { return fmt::format("{}{:04x}", prefix_claims, shard); }

std::string storage_known_key(const node_name& storage) { return prefix_storages_known + storage; }

std::string storage_disk_key(const node_name& storage) { return prefix_storage_disks + storage; }

std::string adoption_key(std::uint16_t shard) { return fmt::format("{}{:04x}", prefix_adoptions, shard); }

std::optional<std::uint16_t> shard_of_key(const std::string& key) {
  const std::string_view prefix = key.starts_with(prefix_videos) ? prefix_videos : key.starts_with(prefix_tasks) ? prefix_tasks : "";
  if (prefix.empty()) return std::nullopt;
  const auto rest = std::string_view{key}.substr(prefix.size());
  const auto video = parse_id<video_id>(rest.substr(0, rest.find('/')));
  return video ? std::optional{video->shard()} : std::nullopt;
}

}  // namespace latham::store
