// A small model of an S3-like object store, and ports::blob_store on top of it: the proof that the port does not quietly
// assume a file system. Objects are put whole and read in ranges; there is no append and no rename. So appends are
// buffered until a part is full, and the durable length moves in steps of a part. Listing is by key order. Good for tests
// only: one lock, everything in memory.
#pragma once

#include "core/codec.hpp"
#include "store/blob_record.hpp"
#include "store/run_later.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace latham::testing {

/// The service: survives the restart of its clients.
class object_service {
public:
  void put(const std::string& key, std::string value) { objects_[key] = std::move(value); }
  [[nodiscard]] std::optional<std::string> get(const std::string& key) const {
    const auto at = objects_.find(key);
    return at == objects_.end() ? std::nullopt : std::optional{at->second};
  }
  void erase(const std::string& key) { objects_.erase(key); }
  [[nodiscard]] const std::map<std::string, std::string>& objects() const { return objects_; }
  std::map<std::string, std::string>& objects() { return objects_; }

private:
  std::map<std::string, std::string> objects_;
};

class s3_model_blobs final : public ports::own_blobs {
public:
  static constexpr std::size_t part_bytes = 512 * 1024;

  s3_model_blobs(object_service& service, store::run_later later, std::uint64_t capacity)
    : service_{service}, later_{std::move(later)}, capacity_{capacity} {}

  void reserve(ports::write_token t, ports::completion<void> done) override {
    defer<void>(std::move(done), [this, t]() -> expected<void> {
      const auto before = record(t.blob);
      auto next = store::reserved_record(before ? &*before : nullptr, t);
      if (!next) return std::move(next).error();
      std::uint64_t held = t.bytes_max;
      for (const auto& [key, value] : service_.objects()) {
        if (key.rfind("blob/", 0) != 0 || key == store::blob_key(t.blob)) continue;
        const auto other = store::read_blob_record(value);
        held += other->state == store::blob_state::open ? other->bytes_max : other->bytes;
      }
      if (held > capacity_) return {errc::disk_full, "over quota"};
      save(t.blob, *next);
      return {};
    });
  }
  void open_write(ports::write_token t, ports::completion<std::uint64_t> done) override {
    defer<std::uint64_t>(std::move(done), [this, t]() -> expected<std::uint64_t> {
      const auto r = record(t.blob);
      if (auto ok = store::check_writer(r ? &*r : nullptr, t); !ok) return std::move(ok).error();
      buffered_.erase(t.blob);  // the old writer's, never acknowledged as durable
      return r->bytes;
    });
  }
  void append(ports::write_token t, std::uint64_t offset, buffer bytes, std::uint32_t crc, ports::completion<std::uint64_t> done) override {
    defer<std::uint64_t>(std::move(done), [this, t, offset, bytes = std::move(bytes), crc]() -> expected<std::uint64_t> {
      if (auto ok = store::check_append_bytes(bytes, crc); !ok) return std::move(ok).error();
      auto r = record(t.blob);
      const auto accepted = (r ? r->bytes : 0) + buffered_[t.blob].size();
      if (auto ok = store::check_append(r ? &*r : nullptr, t, accepted, offset, bytes.size()); !ok) return std::move(ok).error();
      buffered_[t.blob] += bytes.view();
      flush(t.blob, *r, false);
      return r->bytes;
    });
  }
  void truncate(ports::write_token t, std::uint64_t bytes, ports::completion<void> done) override {
    defer<void>(std::move(done), [this, t, bytes]() -> expected<void> {
      auto r = record(t.blob);
      if (auto ok = store::check_writer(r ? &*r : nullptr, t); !ok) return ok;
      auto& tail = buffered_[t.blob];
      if (bytes > r->bytes + tail.size()) return {errc::bad_range, "longer than the blob"};
      if (bytes >= r->bytes) {
        tail.resize(bytes - r->bytes);
        return {};
      }
      // Parts are immutable: the one that is cut is taken back into the buffer.
      const auto whole = bytes / part_bytes * part_bytes;
      tail = range(t.blob, whole, bytes - whole);
      r->bytes = whole;
      save(t.blob, *r);
      return {};
    });
  }
  void seal(ports::write_token t, std::uint64_t bytes, ports::completion<ports::blob_stat> done) override {
    defer<ports::blob_stat>(std::move(done), [this, t, bytes]() -> expected<ports::blob_stat> {
      auto r = record(t.blob);
      if (r && r->state == store::blob_state::sealed && r->bytes == bytes) return store::stat_of(t.blob, *r);
      if (auto ok = store::check_writer(r ? &*r : nullptr, t); !ok) return std::move(ok).error();
      if (bytes != r->bytes + buffered_[t.blob].size()) return {errc::conflict, "not that long"};
      flush(t.blob, *r, true);
      const auto all = range(t.blob, 0, r->bytes);
      r->state = store::blob_state::sealed;
      r->bytes_max = r->bytes;
      r->digest = blob_digest({reinterpret_cast<const std::uint8_t*>(all.data()), all.size()});
      save(t.blob, *r);
      buffered_.erase(t.blob);
      return store::stat_of(t.blob, *r);
    });
  }
  void read(blob_id b, std::uint64_t offset, std::uint32_t bytes, ports::completion<buffer> done) override {
    defer<buffer>(std::move(done), [this, b, offset, bytes]() -> expected<buffer> {
      const auto r = living(b);
      if (!r) return {errc::not_found, "no such blob"};
      const auto count = store::readable_bytes(r->bytes, offset, bytes);
      if (!count) return count.error();
      return buffer{range(b, offset, *count)};
    });
  }
  void stat(blob_id b, ports::completion<ports::blob_stat> done) override {
    defer<ports::blob_stat>(std::move(done), [this, b]() -> expected<ports::blob_stat> {
      const auto r = living(b);
      if (!r) return {errc::not_found, "no such blob"};
      return store::stat_of(b, *r);
    });
  }
  void remove(blob_id b, ports::completion<void> done) override {
    defer<void>(std::move(done), [this, b]() -> expected<void> {
      store::blob_record dead;
      dead.state = store::blob_state::dead;
      save(b, dead);
      buffered_.erase(b);
      for (std::size_t i = 0; service_.get(part_key(b, i)); ++i) service_.erase(part_key(b, i));
      return {};
    });
  }
  void list(blob_id after, std::uint32_t limit, ports::completion<std::vector<ports::blob_stat>> done) override {
    defer<std::vector<ports::blob_stat>>(std::move(done), [this, after, limit]() -> expected<std::vector<ports::blob_stat>> {
      if (limit == 0 || limit > 1000) return {errc::invalid_argument, "1 to 1000"};
      std::vector<ports::blob_stat> found;
      for (auto at = service_.objects().upper_bound(store::blob_key(after)); at != service_.objects().end() && found.size() < limit; ++at) {
        const auto b = store::blob_of_key(at->first);
        if (!b) break;
        const auto r = store::read_blob_record(at->second);
        if (r->state != store::blob_state::dead) found.push_back(store::stat_of(*b, *r));
      }
      return found;
    });
  }

  void look(blob_id b, ports::completion<ports::blob_look> done) override {
    defer<ports::blob_look>(std::move(done), [this, b]() -> expected<ports::blob_look> {
      const auto r = record(b);
      return store::look_of(b, r ? &*r : nullptr);
    });
  }
  void look_all(std::vector<blob_id> blobs, ports::completion<std::vector<ports::blob_look>> done) override {
    defer<std::vector<ports::blob_look>>(std::move(done), [this, blobs = std::move(blobs)]() -> expected<std::vector<ports::blob_look>> {
      std::vector<ports::blob_look> found;
      for (const auto b : blobs) {
        const auto r = record(b);
        found.push_back(store::look_of(b, r ? &*r : nullptr));
      }
      return found;
    });
  }
  void check_all(std::vector<blob_id> blobs, ports::completion<std::vector<errc>> done) override {
    // Such a service keeps no digests of our blocks, and looks after its own bytes.
    defer<std::vector<errc>>(std::move(done), [this, blobs = std::move(blobs)]() -> expected<std::vector<errc>> {
      std::vector<errc> found;
      for (const auto b : blobs) found.push_back(living(b) ? errc::none : errc::not_found);
      return found;
    });
  }
  void drop(blob_id b, ports::completion<void> done) override {
    defer<void>(std::move(done), [this, b]() -> expected<void> {
      const auto r = record(b);
      if (r && r->state == store::blob_state::dead) return {errc::conflict, "dead"};
      service_.erase(store::blob_key(b));
      buffered_.erase(b);
      for (std::size_t i = 0; service_.get(part_key(b, i)); ++i) service_.erase(part_key(b, i));
      return {};
    });
  }
  void mend(blob_id b, std::uint64_t offset, buffer bytes, ports::completion<void> done) override {
    defer<void>(std::move(done), [this, b, offset, bytes = std::move(bytes)]() -> expected<void> {
      const auto r = record(b);
      if (auto ok = store::check_mend(r ? &*r : nullptr, offset, bytes.size()); !ok) return ok;
      // Such a service keeps no digests of our blocks: the whole tells.
      auto all = range(b, 0, r->bytes);
      all.resize(r->bytes);
      all.replace(offset, bytes.size(), bytes.view());
      if (blob_digest({reinterpret_cast<const std::uint8_t*>(all.data()), all.size()}) != r->digest) return {errc::corrupt, "other bytes"};
      for (auto at = offset; at < offset + bytes.size(); at += part_bytes)
        service_.put(part_key(b, at / part_bytes), all.substr(at, std::min<std::uint64_t>(part_bytes, all.size() - at)));
      return {};
    });
  }

private:
  template <class T>
  void defer(ports::completion<T> done, std::function<expected<T>()> work) {
    later_([this, done = std::move(done), work = std::move(work)] {
      auto result = [&] {
        const std::lock_guard guard{mutex_};
        return work();
      }();
      done(std::move(result));
    });
  }
  std::optional<store::blob_record> record(blob_id b) const {
    const auto value = service_.get(store::blob_key(b));
    if (!value) return std::nullopt;
    return *store::read_blob_record(*value);
  }
  std::optional<store::blob_record> living(blob_id b) const {
    auto r = record(b);
    if (r && r->state == store::blob_state::dead) r.reset();
    return r;
  }
  void save(blob_id b, const store::blob_record& r) { service_.put(store::blob_key(b), to_record(r)); }
  static std::string part_key(blob_id b, std::size_t i) { return "part/" + to_string(b) + "/" + std::to_string(i); }
  void flush(blob_id b, store::blob_record& r, bool all) {
    auto& tail = buffered_[b];
    while (tail.size() >= part_bytes || (all && !tail.empty())) {
      auto part = tail.substr(0, part_bytes);
      tail.erase(0, part.size());
      const auto bytes = part.size();
      service_.put(part_key(b, r.bytes / part_bytes), std::move(part));
      r.bytes += bytes;
      save(b, r);
    }
  }
  std::string range(blob_id b, std::uint64_t offset, std::uint64_t bytes) const {
    std::string out;
    while (bytes > 0) {
      const auto part = service_.get(part_key(b, offset / part_bytes)).value_or("");
      const auto piece = part.substr(offset % part_bytes, bytes);
      if (piece.empty()) break;
      out += piece;
      offset += piece.size();
      bytes -= piece.size();
    }
    return out;
  }

  std::mutex mutex_;
  object_service& service_;
  const store::run_later later_;
  const std::uint64_t capacity_;
  std::map<blob_id, std::string> buffered_;
};

}  // namespace latham::testing
