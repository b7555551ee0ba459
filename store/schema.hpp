// Every key in every database, on one page. One RocksDB per node; prefixes keep the roles apart.
//
//   key                                     value                                   who
//   s/meta                                  record scheduler_meta                    scheduler
//   s/claim                                 record shard_claim: its own, newest      scheduler
//   s/n/{storage node}                      record storage_known                     scheduler
//   s/a/{shard}                             record shard_adoption                    scheduler
//   s/v/{video}                             record video_record                      scheduler
//   s/t/{video}/{kind}/{index}              record task_record                       scheduler
//   s/l/{epoch}                             record lease_record                      scheduler
//   u/s/{video}                             record upload_record (also tombstones)   storage
//   u/o/{blob}                              record output_grant                      storage
//   u/g/{shard}                             record shard_claim                       storage
//   u/d/{storage node}                      record storage_disk: its own, the others'  storage
//   b/...                                   see store/blob_record.hpp                blob store
//
// Ids are their 26 characters (they sort by time), numbers are fixed-width hexadecimal, so keys sort as their numbers do
// and can be read in a dump. A prefix is never reused for another type.
#pragma once

#include "core/scheduler/records.hpp"

#include <optional>
#include <string>

namespace latham::store {

inline constexpr const char* key_scheduler_meta = "s/meta";
inline constexpr const char* key_scheduler_claim = "s/claim";
inline constexpr const char* prefix_storages_known = "s/n/";
inline constexpr const char* prefix_adoptions = "s/a/";
inline constexpr const char* prefix_videos = "s/v/";
inline constexpr const char* prefix_tasks = "s/t/";
inline constexpr const char* prefix_leases = "s/l/";
inline constexpr const char* prefix_uploads = "u/s/";
inline constexpr const char* prefix_outputs = "u/o/";
inline constexpr const char* prefix_claims = "u/g/";
inline constexpr const char* prefix_storage_disks = "u/d/";

[[nodiscard]] std::string video_key(video_id video);
[[nodiscard]] std::string task_key(const task_id& task);
[[nodiscard]] std::string lease_key(epoch held);
[[nodiscard]] std::string upload_key(video_id video);
[[nodiscard]] std::string output_key(blob_id blob);
[[nodiscard]] std::string claim_key(std::uint16_t shard);
[[nodiscard]] std::string storage_known_key(const node_name& storage);
[[nodiscard]] std::string storage_disk_key(const node_name& storage);
[[nodiscard]] std::string adoption_key(std::uint16_t shard);
/// The shard that a key of a video or a task belongs to; none for other keys.
[[nodiscard]] std::optional<std::uint16_t> shard_of_key(const std::string& key);

}  // namespace latham::store
