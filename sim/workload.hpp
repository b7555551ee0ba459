// The clients of the world: uploaders with their stories, a viewer, and somebody who tries failed videos again. They use
// ports::service as the HTTP edge does, hold the service to its word (what was acknowledged is theirs), and know nothing of
// nodes beyond which gateways there are.
#pragma once

#include "sim/checkers.hpp"
#include "sim/machine.hpp"

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace latham::sim {

class workload {
public:
  workload(surroundings& around, view& v, std::vector<machine*> gateways, std::vector<std::unique_ptr<checker>>& checkers);

  void begin();
  /// Its videos are made again: what was ready is not.
  void on_shard_lost(std::uint16_t shard) {
    for (auto& [at, told] : told_ready_) std::erase_if(told, [shard](video_id id) { return id.shard() == shard; });
  }
  /// A gateway runs anew: its events are listened to.
  void on_gateway_started(machine& m);

  /// Every story has come to its end.
  [[nodiscard]] bool finished() const noexcept { return open_ == 0; }
  [[nodiscard]] std::string unfinished() const;

  struct counts {
    std::uint64_t acknowledged = 0, given_up = 0, aborted = 0, deleted = 0, resumed = 0, uploads = 0, media_reads = 0, media_compared = 0, lookups = 0, lists = 0, retried = 0, events = 0, failed_calls = 0;
  };
  [[nodiscard]] const counts& count() const noexcept { return counts_; }

private:
  struct uploader;
  using uploader_ptr = std::shared_ptr<uploader>;  // shared by the answers that it waits for

  /// Calls the service of some gateway; answers unavailable when it is down, or dies before it answers, and timeout after
  /// `client_patience`, as a client over HTTP would see it.
  template <class T, class F>
  void call(machine* at, ports::completion<T> done, F f);
  [[nodiscard]] machine* any_gateway();

  void create(const uploader_ptr& u);
  void send(const uploader_ptr& u);
  void resume(const uploader_ptr& u);
  void finish(const uploader_ptr& u);
  void was_it_accepted(const uploader_ptr& u);
  void acknowledged(const uploader_ptr& u);
  void again(const uploader_ptr& u, const error& why);
  void remove(video_id id);
  void end(const uploader_ptr& u);

  void watch_media();
  [[nodiscard]] bool may_watch(video_id id) const;
  /// Any resource of it.
  void watch(machine* at, video_id id);
  void look_up();
  void get_one();
  void list_all();
  struct listing;
  void list_page(const std::shared_ptr<listing>& l, const std::string& cursor);
  void read_media(machine* at, video_id id, const std::string& path);
  void retry_failed();
  void say(const std::string& text);

  surroundings& around_;
  view& view_;
  std::vector<machine*> gateways_;
  std::vector<std::unique_ptr<checker>>& checkers_;
  std::vector<uploader_ptr> uploaders_;
  std::vector<std::shared_ptr<void>> subscriptions_;
  std::size_t open_ = 0;
  std::set<video_id> to_delete_;  // once their client has waited
  std::uint64_t ears_ = 0;
  std::map<const machine*, std::uint64_t> ears_of_;           // the ear at a gateway's present life
  std::map<const machine*, std::set<video_id>> told_ready_;   // by that life
  counts counts_;
};

}  // namespace latham::sim
