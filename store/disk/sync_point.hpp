// Every place where this room waits for the disk, by name. Each of them is there because without it something that was
// acknowledged can be lost in a power cut; the power-cut test switches them off one by one and must notice each time.
// A new call of fsync gets a name here, or it has no test.
#pragma once

#include <bitset>
#include <cstdint>

namespace latham::store {

enum class sync_point : std::uint8_t {
  kv_parent_directory = 0,   // the name of a new database directory
  kv_log = 1,                // RocksDB's log, once per group of commits
  blob_root_directory = 2,   // the names of the 256 blob directories, when a store is new
  blob_directory = 3,        // the name of a new blob's file, before the first index record that counts on it
  blob_data = 4,             // a blob's bytes, before the index record that counts them
};
inline constexpr std::size_t sync_points = 5;

/// Switched-off sync points: for the test that proves they are needed; empty everywhere else.
using disabled_sync_points = std::bitset<sync_points>;

}  // namespace latham::store
