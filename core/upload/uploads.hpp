// Upload sessions as the storage node keeps them. Pure rules: validate a request, open a session, complete it, abandon
// it, and remember the dead. The offset is not here: it *is* the durable length of the blob.
//
// A completed upload joins the outbox in the same batch as its record, so the scheduler hears of it at least once; the
// record stays as a tombstone after a delete, so a scheduler rebuilt from storage does not revive it.
#pragma once

#include "core/ports/blob_store.hpp"
#include "core/scheduler/records.hpp"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace latham {

/// What the gateway asks for. Validated here, at the storage node, whatever the gateway checked before.
struct upload_request {
  std::string tenant = "default";
  std::string title;
  std::uint64_t bytes_expected = 0;  // upper bound; 0: unknown
  std::vector<rung> ladder;
  priority_class priority = priority_class::normal;
  trim part{};
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, upload_request& x) {
  return f(x.tenant, x.title, x.bytes_expected, x.ladder, x.priority, x.part);
}

enum class upload_state : std::uint8_t { receiving = 0, complete = 1, removed = 2 };

struct upload_record {
  static constexpr std::uint8_t record_format = 2;  // 2: a recipe may take a part

  media_ready what;                // source.bytes and .digest are set when complete
  ports::write_token token;
  std::uint64_t bytes_expected = 0;
  upload_state state = upload_state::receiving;
  bool announced = false;          // the scheduler has persisted it
  friend bool operator==(const upload_record&, const upload_record&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, upload_record& x) {
  return f(x.what, x.token, x.bytes_expected, x.state, x.announced);
}

/// An upload in one line, for storage nodes that compare what they know.
struct upload_mark {
  video_id video;
  upload_state state = upload_state::receiving;
  friend bool operator==(const upload_mark&, const upload_mark&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, upload_mark& x) {
  return f(x.video, x.state);
}

struct upload_limits {
  std::uint64_t bytes_max = 64 * gib;          // one upload
  std::uint64_t bytes_unknown = 4 * gib;       // reserved when the length is not known
  std::uint32_t open_max = 1000;               // sessions receiving at once
  milliseconds idle{24 * 3600 * 1000};         // without a byte: abandoned
};

/// Announcements under way, by shard.
using announcements = std::map<std::uint16_t, std::set<video_id>>;

class uploads {
public:
  explicit uploads(upload_limits limits) : limits_{limits} {}

  void load(upload_record record, instant now);

  /// A new session. The caller reserves `token` in the blob store and persists the record before it answers.
  [[nodiscard]] expected<upload_record> begin(const upload_request& request, video_id id, blob_id blob, std::uint64_t nonce, const node_name& store,
                                              utc_ms wall, instant now);
  /// Takes back a `begin` whose reservation failed.
  void forget(video_id id);
  /// All bytes are sealed. Idempotent. The record returned is to be persisted together with its outbox entry.
  [[nodiscard]] expected<upload_record> complete(video_id id, const ports::blob_stat& sealed);
  /// The scheduler has it.
  [[nodiscard]] expected<upload_record> announced(video_id id);
  /// The scheduler of `shard`, or each when it is null, may know nothing any more: its complete uploads are to be announced again. The record
  /// to persist of the first one whose id is greater than `after`; nothing when there are no more.
  [[nodiscard]] std::optional<upload_record> announce_again(std::optional<std::uint16_t> shard, video_id after);
  /// Abandoned or deleted: the record to persist as a tombstone. Idempotent. not_found for unknown ids.
  [[nodiscard]] expected<upload_record> remove(video_id id);

  /// Another storage node's record, to be kept as well: removed wins over complete, complete over receiving. What to persist;
  /// nothing when it is no news. Whether it was announced is each holder's own business.
  [[nodiscard]] std::optional<upload_record> keep(upload_record record, instant now);
  /// A tombstone for an id that may never have been here: what comes late from elsewhere must not live. Nothing: there is one.
  [[nodiscard]] std::optional<upload_record> bury(video_id id, instant now);
  /// All ids greater than `after` and what became of them, ascending.
  [[nodiscard]] std::vector<upload_mark> marks(video_id after, std::uint32_t limit) const;

  /// Its client has been heard; keeps the session from expiring.
  void touch(video_id id, instant now);
  /// Sessions whose client has not been heard for `idle`. Bytes do not come by here: whoever asks looks how many there are.
  [[nodiscard]] std::vector<video_id> expired(instant now) const;
  /// One of those has `bytes`. It has expired if it had as many at the last look, or has none; else that counts as heard. So it
  /// expires one to two times `idle` after its last byte or a restart.
  [[nodiscard]] bool is_abandoned(video_id id, std::uint64_t bytes, instant now);

  [[nodiscard]] const upload_record* find(video_id id) const;
  /// It is the source of an upload that lives.
  [[nodiscard]] bool names(blob_id blob) const { return sources_.contains(blob); }
  /// Not yet with the scheduler, newest first, ids less than `before` (nil: all). Those that `may` refuses are passed over, and
  /// do not count: fewer than `limit` means that there are no more.
  [[nodiscard]] std::vector<upload_record> list(const std::string& tenant, video_id before, std::uint32_t limit, const std::function<bool(const upload_record&)>& may = {}) const;
  /// What is to be announced now: complete, not announced and not under way, of each shard that is `reachable` the oldest, as many as
  /// make `limit` with what is under way. No shard waits for another: one that is away is passed over, and one that answers
  /// nothing has its own places only. Those that `may` refuses are set aside until `reconsider`, so that a look costs what it
  /// finds, however many wait.
  [[nodiscard]] std::vector<media_ready> outbox(std::size_t limit, const announcements& under_way = {}, const std::function<bool(std::uint16_t)>& reachable = {},
                                                const std::function<bool(video_id)>& may = {});
  /// `may` perhaps allows by now what it refused: this one, or all.
  void reconsider(video_id id);
  void reconsider_all();
  [[nodiscard]] std::size_t open() const noexcept { return open_; }

private:
  struct session {
    upload_record record;
    instant touched;
    std::uint64_t bytes_seen = 0;
  };
  struct waiting {
    std::set<video_id> next;
    std::set<video_id> aside;  // refused when they were looked at
  };
  void put_out(video_id id);
  void take_out(video_id id);

  upload_limits limits_;
  std::map<video_id, session> sessions_;
  std::set<blob_id> sources_;       // of those that are not removed
  std::set<video_id> unannounced_;  // receiving or complete: the few that lists are about
  std::map<std::uint16_t, waiting> outbox_;  // of them, those that are complete, by shard
  std::size_t open_ = 0;
};

/// What one page of another node's marks, of ids greater than `after`, means for this one.
struct upload_exchange {
  std::vector<video_id> bury;  // deleted there, and not known to be here
  std::vector<video_id> push;  // complete here and not there
};
/// `last`: theirs ends with this page. `belongs`: whether the other node is to keep that record.
[[nodiscard]] upload_exchange compare_uploads(const uploads& mine, video_id after, const std::vector<upload_mark>& theirs, bool last,
                                              const std::function<bool(const upload_record&)>& belongs);

/// How a video looks before the scheduler knows it. `bytes`: durable so far.
[[nodiscard]] video_view view_of(const upload_record& record, std::uint64_t bytes);

/// 0..title_bytes_max bytes of valid UTF-8 without control characters.
[[nodiscard]] expected<void> check_title(const std::string& title);
/// 1..tenant_bytes_max of [a-z0-9-].
[[nodiscard]] expected<void> check_tenant(const std::string& tenant);
[[nodiscard]] bool is_valid_utf8(std::string_view text) noexcept;

}  // namespace latham
