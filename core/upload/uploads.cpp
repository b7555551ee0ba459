#include "core/upload/uploads.hpp"

#include "core/reach.hpp"
#include "core/recipes.hpp"

#include <algorithm>

namespace latham {

bool is_valid_utf8(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t more = lead < 0x80 ? 0 : lead >= 0xc2 && lead < 0xe0 ? 1 : lead >= 0xe0 && lead < 0xf0 ? 2 : lead >= 0xf0 && lead < 0xf5 ? 3 : 9;
    if (more == 9 || i + more >= text.size()) return false;
    std::uint32_t point = more == 0 ? lead : lead & (0x3fu >> more);
    for (std::size_t k = 1; k <= more; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xc0) != 0x80) return false;
      point = point << 6 | (next & 0x3fu);
    }
    // Overlong forms, surrogates and what is beyond Unicode (RFC 3629, section 4).
    if ((more == 2 && point < 0x800) || (more == 3 && (point < 0x10000 || point > 0x10ffff)) || (point >= 0xd800 && point < 0xe000)) return false;
    i += more + 1;
  }
  return true;
}

expected<void> check_title(const std::string& title) {
  if (title.size() > title_bytes_max) return {errc::invalid_argument, "the title is longer than 200 bytes; shorten it"};
  if (!is_valid_utf8(title)) return {errc::invalid_argument, "the title is not valid UTF-8"};
  if (std::any_of(title.begin(), title.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
    return {errc::invalid_argument, "the title holds control characters; remove them"};
  return {};
}

expected<void> check_tenant(const std::string& tenant) {
  const auto fine = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (tenant.empty() || tenant.size() > tenant_bytes_max || !std::all_of(tenant.begin(), tenant.end(), fine))
    return {errc::invalid_argument, "a tenant is 1 to 64 characters of a-z, 0-9 and -"};
  return {};
}

void uploads::load(upload_record record, instant now) {
  if (record.state == upload_state::receiving) ++open_;
  const auto id = record.what.video;
  if (record.state != upload_state::removed && !record.announced) unannounced_.insert(id);
  if (record.state == upload_state::complete && !record.announced) put_out(id);
  if (record.state != upload_state::removed) sources_.insert(record.what.source.blob);
  sessions_[id] = {std::move(record), now};
}

expected<upload_record> uploads::begin(const upload_request& request, video_id id, blob_id blob, std::uint64_t nonce, const node_name& store, utc_ms wall,
                                       instant now) {
  if (auto ok = check_tenant(request.tenant); !ok) return std::move(ok).error();
  if (auto ok = check_title(request.title); !ok) return std::move(ok).error();
  if (request.priority > priority_class::high) return {errc::invalid_argument, "priority is low, normal or high"};
  auto how = make_recipe(request.ladder, request.part);
  if (!how) return std::move(how).error();
  if (request.bytes_expected > limits_.bytes_max)
    return {errc::too_large, "the file is larger than the limit of " + std::to_string(limits_.bytes_max / mib) + " MiB"};
  if (open_ >= limits_.open_max) return {errc::limited, "too many uploads are running; try again in a minute"};
  if (sessions_.contains(id)) return {errc::conflict, "this upload exists"};
  upload_record record;
  record.what.video = id;
  record.what.tenant = request.tenant;
  record.what.title = request.title;
  record.what.created_ms = wall.value;
  record.what.priority = request.priority;
  record.what.how = std::move(*how);
  record.what.source.blob = blob;
  record.what.source.store = store;
  record.token = {blob, nonce, request.bytes_expected == 0 ? std::min(limits_.bytes_unknown, limits_.bytes_max) : request.bytes_expected};
  record.bytes_expected = request.bytes_expected;
  sessions_[id] = {record, now};
  sources_.insert(blob);
  unannounced_.insert(id);
  ++open_;
  return record;
}

void uploads::forget(video_id id) {
  auto at = sessions_.find(id);
  if (at == sessions_.end()) return;
  if (at->second.record.state == upload_state::receiving) --open_;
  sources_.erase(at->second.record.what.source.blob);
  sessions_.erase(at);
  take_out(id);
}

expected<upload_record> uploads::complete(video_id id, const ports::blob_stat& sealed) {
  auto at = sessions_.find(id);
  if (at == sessions_.end() || at->second.record.state == upload_state::removed) return {errc::not_found, "there is no upload " + to_string(id)};
  auto& record = at->second.record;
  if (record.state == upload_state::complete) {
    LATHAM_REACHED("upload_completed_again");
    return record;
  }
  if (!sealed.sealed || sealed.bytes == 0) return {errc::unprocessable, "the file is empty; upload a video"};
  record.what.source.bytes = sealed.bytes;
  record.what.source.digest = sealed.digest;
  record.state = upload_state::complete;
  put_out(id);
  --open_;
  return record;
}

expected<upload_record> uploads::announced(video_id id) {
  auto at = sessions_.find(id);
  if (at == sessions_.end() || at->second.record.state != upload_state::complete) return {errc::not_found, "there is no complete upload " + to_string(id)};
  at->second.record.announced = true;
  take_out(id);
  return at->second.record;
}

std::optional<upload_record> uploads::announce_again(std::optional<std::uint16_t> shard, video_id after) {
  for (auto at = sessions_.upper_bound(after); at != sessions_.end(); ++at) {
    auto& [id, s] = *at;
    if ((shard && id.shard() != *shard) || s.record.state != upload_state::complete || !s.record.announced) continue;
    s.record.announced = false;
    put_out(id);
    return s.record;
  }
  return std::nullopt;
}

expected<upload_record> uploads::remove(video_id id) {
  auto at = sessions_.find(id);
  if (at == sessions_.end()) return {errc::not_found, "there is no upload " + to_string(id)};
  if (at->second.record.state == upload_state::receiving) --open_;
  at->second.record.state = upload_state::removed;
  sources_.erase(at->second.record.what.source.blob);
  take_out(id);
  return at->second.record;
}

void uploads::touch(video_id id, instant now) {
  if (auto at = sessions_.find(id); at != sessions_.end()) at->second.touched = now;
}

std::vector<video_id> uploads::expired(instant now) const {
  std::vector<video_id> out;
  for (const auto id : unannounced_) {
    const auto& s = sessions_.at(id);
    if (s.record.state != upload_state::receiving || now - s.touched <= limits_.idle) continue;
    out.push_back(id);
  }
  return out;
}

bool uploads::is_abandoned(video_id id, std::uint64_t bytes, instant now) {
  const auto at = sessions_.find(id);
  if (at == sessions_.end() || at->second.record.state != upload_state::receiving || now - at->second.touched <= limits_.idle) return false;
  if (LATHAM_REACHED_IF("upload_expired", bytes <= at->second.bytes_seen)) return true;
  LATHAM_REACHED("upload_still_written");
  at->second.bytes_seen = bytes;
  at->second.touched = now;
  return false;
}

const upload_record* uploads::find(video_id id) const {
  auto at = sessions_.find(id);
  return at == sessions_.end() ? nullptr : &at->second.record;
}

std::vector<upload_record> uploads::list(const std::string& tenant, video_id before, std::uint32_t limit, const std::function<bool(const upload_record&)>& may) const {
  std::vector<upload_record> out;
  auto at = before.is_nil() ? unannounced_.end() : unannounced_.lower_bound(before);
  while (at != unannounced_.begin() && out.size() < limit) {
    const auto& record = sessions_.at(*--at).record;
    if (record.what.tenant == tenant && (!may || may(record))) out.push_back(record);
  }
  return out;
}

void uploads::put_out(video_id id) {
  unannounced_.insert(id);
  outbox_[id.shard()].next.insert(id);
}

void uploads::take_out(video_id id) {
  unannounced_.erase(id);
  const auto at = outbox_.find(id.shard());
  if (at == outbox_.end()) return;
  at->second.next.erase(id);
  at->second.aside.erase(id);
  if (at->second.next.empty() && at->second.aside.empty()) outbox_.erase(at);
}

std::vector<media_ready> uploads::outbox(std::size_t limit, const announcements& under_way, const std::function<bool(std::uint16_t)>& reachable, const std::function<bool(video_id)>& may) {
  std::vector<media_ready> out;
  for (auto& [shard, waits] : outbox_) {
    if (waits.next.empty() || (reachable && !reachable(shard))) continue;
    const auto begun = under_way.find(shard);
    auto places = begun == under_way.end() ? limit : limit - std::min(limit, begun->second.size());
    for (auto at = waits.next.begin(); at != waits.next.end() && places > 0;) {
      if (begun != under_way.end() && begun->second.contains(*at)) {
        ++at;
      } else if (may && !may(*at)) {
        waits.aside.insert(waits.next.extract(at++));
      } else {
        out.push_back(sessions_.at(*at++).record.what);
        --places;
      }
    }
  }
  return out;
}

void uploads::reconsider(video_id id) {
  const auto at = outbox_.find(id.shard());
  if (at != outbox_.end()) at->second.next.insert(at->second.aside.extract(id));
}

void uploads::reconsider_all() {
  for (auto& [shard, waits] : outbox_) waits.next.merge(waits.aside);
}

std::optional<upload_record> uploads::keep(upload_record record, instant now) {
  const auto id = record.what.video;
  if (id.is_nil() || record.state > upload_state::removed || record.state == upload_state::receiving) return std::nullopt;
  if (record.state == upload_state::removed) return bury(id, now);
  const auto at = sessions_.find(id);
  if (at != sessions_.end() && at->second.record.state != upload_state::receiving) return std::nullopt;
  if (at != sessions_.end()) --open_;
  record.announced = false;
  sessions_[id] = {record, now};
  sources_.insert(record.what.source.blob);
  put_out(id);
  return record;
}

std::optional<upload_record> uploads::bury(video_id id, instant now) {
  if (id.is_nil()) return std::nullopt;
  if (const auto at = sessions_.find(id); at == sessions_.end()) {
    upload_record bare;
    bare.what.video = id;
    bare.state = upload_state::removed;
    sessions_[id] = {bare, now};
    return bare;
  } else if (at->second.record.state == upload_state::removed) {
    return std::nullopt;
  }
  auto tombstone = remove(id);
  if (!tombstone) return std::nullopt;
  return *tombstone;
}

std::vector<upload_mark> uploads::marks(video_id after, std::uint32_t limit) const {
  std::vector<upload_mark> out;
  for (auto at = sessions_.upper_bound(after); at != sessions_.end() && out.size() < limit; ++at) out.push_back({at->first, at->second.record.state});
  return out;
}

upload_exchange compare_uploads(const uploads& mine, video_id after, const std::vector<upload_mark>& theirs, bool last,
                                const std::function<bool(const upload_record&)>& belongs) {
  upload_exchange out;
  std::set<video_id> held;
  for (const auto& mark : theirs) {
    if (mark.state != upload_state::receiving) held.insert(mark.video);
    if (mark.state != upload_state::removed) continue;
    const auto* record = mine.find(mark.video);
    if (record == nullptr || record->state != upload_state::removed) out.bury.push_back(mark.video);
  }
  if (theirs.empty() && !last) return out;
  // Their page says something of all ids up to its last one.
  for (auto from = after;;) {
    const auto some = mine.marks(from, 500);
    for (const auto& mark : some) {
      if (!last && theirs.back().video < mark.video) return out;
      if (mark.state != upload_state::complete || held.contains(mark.video)) continue;
      if (belongs(*mine.find(mark.video))) out.push.push_back(mark.video);
    }
    if (some.size() < 500) return out;
    from = some.back().video;
  }
}

video_view view_of(const upload_record& record, std::uint64_t bytes) {
  video_view out;
  out.id = record.what.video;
  out.tenant = record.what.tenant;
  out.title = record.what.title;
  out.created_ms = record.what.created_ms;
  out.state = record.state == upload_state::receiving ? video_state::receiving
              : record.state == upload_state::complete ? video_state::queued
                                                       : video_state::deleting;
  out.bytes = record.state == upload_state::complete ? record.what.source.bytes : bytes;
  out.bytes_total = record.state == upload_state::complete ? record.what.source.bytes : record.bytes_expected;
  return out;
}

}  // namespace latham
