// The inbound port: what the product does, as its HTTP edge sees it. Implemented by actors/gateway (asynchronous; the
// completions come from an actor's thread) and by a fake in tests. Only http blocks a thread on it.
#pragma once

#include "core/buffer.hpp"
#include "core/ids.hpp"
#include "core/model.hpp"
#include "core/ports/completion.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace latham::ports {

struct create_video {
  std::string tenant = "default";
  std::string title;
  std::uint64_t bytes_expected = 0;  // 0: unknown (a multipart body without a length for its part)
  std::vector<rung> ladder;          // empty: the default ladder. Only width and height are given
  priority_class priority = priority_class::normal;
  trim part{};                       // of the source; empty: all of it
};

struct video_page {
  std::vector<video_view> videos;    // newest first
  std::string next;                  // cursor for the next page; empty at the end. Opaque to callers
};

/// Part of a stored blob that a media resource is made of.
struct media_range {
  node_name store;
  blob_id blob;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

/// One thing under /media/{id}/: either made just now (`text`) or a range of a blob.
struct media_resource {
  std::string content_type;
  std::string etag;                  // without quotes
  bool immutable = false;            // segments: may be cached for ever
  std::string text;
  media_range range;                 // used when range.bytes > 0
};

/// What was known of videos may be out of date from here on: look again.
struct changes_missed {};
using service_event = std::variant<video_view, changes_missed>;

class service {
public:
  virtual ~service() = default;

  /// Opens an upload: space is reserved and the video is visible as `receiving`. Fails with invalid_argument (title,
  /// ladder, part), too_large, disk_full, limited, unavailable.
  virtual void create(create_video request, completion<video_view> done) = 0;

  /// Adds bytes at `offset`; completes with the durable length. Several may be under way for one upload (in order).
  virtual void append(video_id id, std::uint64_t offset, buffer bytes, completion<std::uint64_t> done) = 0;

  /// Durable length and view of an upload.
  virtual void offset(video_id id, completion<std::uint64_t> done) = 0;

  /// All bytes are there: seals. When this completes the video is accepted and nothing can lose it.
  virtual void finish(video_id id, std::uint64_t bytes, completion<video_view> done) = 0;

  /// Forgets an upload that is still receiving.
  virtual void abort(video_id id, completion<void> done) = 0;

  virtual void get(video_id id, completion<video_view> done) = 0;
  /// `limit` 1..200.
  virtual void list(std::string tenant, std::string cursor, std::uint32_t limit, completion<video_page> done) = 0;
  virtual void remove(video_id id, completion<void> done) = 0;
  /// Puts a failed video back into the queue.
  virtual void retry(video_id id, completion<video_view> done) = 0;

  /// What /media/{id}/{path} is now. `path` is percent-decoded and has no leading slash. Fails with not_found, conflict
  /// (not far enough to have that yet).
  virtual void media(video_id id, std::string path, completion<media_resource> done) = 0;
  /// Bytes of a media range; `offset` is relative to it.
  virtual void read(const media_range& range, std::uint64_t offset, std::uint32_t bytes, completion<buffer> done) = 0;

  /// Calls `changed` for every visible change of any video from now on, on the service's thread, until the returned
  /// handle is destroyed. Must not block. A video that is gone is reported in state `deleting` one last time. Between two
  /// lives of the scheduler, or of the link to it, changes may be missed: `changes_missed` says so once it is heard again.
  [[nodiscard]] virtual std::shared_ptr<void> subscribe(std::function<void(const service_event&)> changed) = 0;

  /// Ready to serve: joined to what it needs. The sentence says what is missing.
  [[nodiscard]] virtual expected<void> ready() const = 0;
};

}  // namespace latham::ports
