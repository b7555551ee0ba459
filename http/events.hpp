// The event stream (server-sent events): what changed, to everybody who looks.
//
// A client gets a snapshot of the newest videos, then changes only. It may say Last-Event-ID when it comes back; if that is
// recent it gets just what it missed, otherwise a new snapshot. The whole state of a video is in each event, so an event
// may always be replaced by a later one of the same video: that is what happens for a client that reads slowly, and for
// changes that come faster than ten times a second. Memory per client is bounded; one that does not read at all is dropped
// by the connection layer and finds a snapshot when it returns.
//
// Everything but `on_change` happens on the loop's thread, so there is no lock but around the changes that wait.
#pragma once

#include "core/buffer.hpp"
#include "core/ports/service.hpp"
#include "http/site.hpp"

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

namespace latham::http {

/// What the hub needs of the connection layer; net::connection_server has exactly these.
class stream_sink {
public:
  virtual ~stream_sink() = default;
  virtual bool post(std::function<void()> work) = 0;
  virtual void wake_after(milliseconds delay) = 0;
  virtual bool send(net::stream_id id, buffer bytes) = 0;
  [[nodiscard]] virtual std::size_t backlog(net::stream_id id) const = 0;
  virtual void close_stream(net::stream_id id) = 0;
};

struct event_options {
  milliseconds flush_interval{100};       // changes of one video are joined for so long
  milliseconds heartbeat{15'000};
  milliseconds snapshot_age_max{1'000};   // clients that come together share one
  std::uint32_t snapshot_videos = 100;
  std::size_t recent_max = 1'024;         // events kept for clients that come back
  std::size_t waiting_max = 4'096;        // videos with changes that one client, or the hub, has not taken yet
  std::size_t backlog_bytes_high = 64 * kib;  // beyond this a client is slow and its events are joined
};

class events_hub final : public stream_owner, public std::enable_shared_from_this<events_hub> {
public:
  /// `epoch` tells this start of the server from others in event ids.
  events_hub(ports::service& service, stream_sink& sink, std::string epoch, event_options options = {});

  /// Any thread.
  void on_change(const video_view& v);
  /// Changes were missed before they came here: every client comes back for a new snapshot. Any thread.
  void on_changes_missed();
  /// From now on late answers of the service no longer reach for the sink. Any thread; before the sink goes away.
  void detach();

  void on_open(net::stream_id id, const request_head& head) override;
  void on_drained(net::stream_id id) override;
  void on_closed(net::stream_id id) override;
  void on_wake() override;

private:
  using clock = std::chrono::steady_clock;
  struct event {
    std::uint64_t sequence = 0;
    buffer frame;
  };
  struct client {
    bool wants_snapshot = true;
    std::map<video_id, event> waiting;  // changes it was too slow for: the last of each video
  };

  bool post(std::function<void()> work);
  void flush_soon();
  void arm();
  void flush();
  void request_snapshot();
  void take_snapshot(std::uint64_t sequence, expected<ports::video_page> page);
  bool give(net::stream_id id, client& c, video_id video, const event& e);
  /// Everything since `sequence`; false when that is no longer known, or the client is gone.
  bool replay(net::stream_id id, client& c, std::uint64_t sequence);
  [[nodiscard]] std::string id_of(std::uint64_t sequence) const { return epoch_ + '-' + std::to_string(sequence); }

  ports::service& service_;
  stream_sink& sink_;
  std::string epoch_;
  event_options options_;

  std::mutex gate_;  // between the service's threads and detach()
  bool detached_ = false;

  std::mutex mutex_;
  std::map<video_id, video_view> changed_;
  bool posted_ = false;
  bool overflowed_ = false;

  std::unordered_map<net::stream_id, client> clients_;
  std::uint64_t sequence_ = 0;
  std::uint64_t missed_ = 0;  // how often changes were lost before they had a number
  std::deque<std::pair<video_id, event>> recent_;
  bool flush_due_ = false;
  clock::time_point last_flush_;
  clock::time_point next_beat_;
  bool snapshot_under_way_ = false;
  clock::time_point snapshot_at_;
  std::optional<event> snapshot_;
};

}  // namespace latham::http
