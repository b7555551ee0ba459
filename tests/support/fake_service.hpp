// ports::service in memory, for tests of the HTTP edge. Completions come from a thread of its own, as in production; what
// it is asked is kept for the test to look at, and it can be told to fail, to hold its answers back, or to be away.
#pragma once

#include "core/digest.hpp"
#include "core/ports/service.hpp"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace latham::testing {

class fake_service final : public ports::service {
public:
  struct upload {
    video_view view;
    std::string bytes;            // when `keep_bytes`
    std::uint64_t length = 0;
    std::uint32_t crc = 0;
    std::size_t appends = 0;
    ports::create_video request;
  };

  explicit fake_service(bool keep_bytes = true) : keep_bytes_{keep_bytes}, thread_{[this] { run(); }} {}
  ~fake_service() override {
    {
      const std::lock_guard lock{mutex_};
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  // ---- What the test says ----

  /// The next call of `what` ("create", "append", "finish", "get", "list", "read", ...) fails with `e`; `always`: all of them.
  void fail(const std::string& what, error e, bool always = false) {
    const std::lock_guard lock{mutex_};
    failures_[what] = {std::move(e), always};
  }
  /// Appends are not answered until `release`.
  void hold_appends() {
    const std::lock_guard lock{mutex_};
    holding_ = true;
  }
  void release() {
    const std::lock_guard lock{mutex_};
    holding_ = false;
    for (auto& work : held_) queue_.push_back(std::move(work));
    held_.clear();
    changed_.notify_all();
  }
  /// Adds or replaces a video and tells subscribers.
  void put(video_view v) {
    std::vector<std::function<void(const ports::service_event&)>> tell;
    {
      const std::lock_guard lock{mutex_};
      auto& u = uploads_[v.id];
      v.revision = u.view.revision + 1;
      u.view = v;
      for (const auto& [key, f] : subscribers_) tell.push_back(f);
    }
    for (const auto& f : tell) f(v);
  }
  void put_media(video_id id, const std::string& path, ports::media_resource resource, std::string blob = {}) {
    const std::lock_guard lock{mutex_};
    if (!blob.empty()) {
      resource.range.blob = blob_id{next_id_++, 1};
      resource.range.bytes = blob.size();
      blobs_[resource.range.blob] = std::move(blob);
    }
    media_[{id, path}] = std::move(resource);
  }

  // ---- What the test asks ----

  [[nodiscard]] std::vector<upload> uploads() const {
    const std::lock_guard lock{mutex_};
    std::vector<upload> all;
    for (const auto& [id, u] : uploads_) all.push_back(u);
    return all;
  }
  [[nodiscard]] std::size_t aborts() const {
    const std::lock_guard lock{mutex_};
    return aborts_;
  }
  /// Waits until `count` uploads were aborted; false after ten seconds.
  [[nodiscard]] bool wait_for_aborts(std::size_t count) {
    std::unique_lock lock{mutex_};
    return told_.wait_for(lock, seconds{10}, [&] { return aborts_ >= count; });
  }
  /// Waits until `count` uploads were created; false after ten seconds.
  [[nodiscard]] bool wait_for_uploads(std::size_t count) {
    std::unique_lock lock{mutex_};
    return told_.wait_for(lock, seconds{10}, [&] { return creates_ >= count; });
  }
  [[nodiscard]] std::size_t subscribers() const {
    const std::lock_guard lock{mutex_};
    return subscribers_.size();
  }
  [[nodiscard]] std::size_t in_flight_max() const {
    const std::lock_guard lock{mutex_};
    return in_flight_max_;
  }
  [[nodiscard]] bool wait_for_held(std::size_t count) {
    std::unique_lock lock{mutex_};
    return told_.wait_for(lock, seconds{10}, [&] { return held_.size() >= count; });
  }

  // ---- ports::service ----

  void create(ports::create_video request, ports::completion<video_view> done) override {
    post("create", done, [this, request = std::move(request), done]() mutable {
      video_view v;
      v.id = make_id<video_id>({1'714'000'000'000 + static_cast<std::int64_t>(next_id_)}, 1, 0x1234567 + next_id_);
      ++next_id_;
      v.title = request.title;
      v.created_ms = v.id.created().value;
      v.bytes_total = request.bytes_expected;
      v.revision = 1;
      auto& u = uploads_[v.id];
      u.view = v;
      u.request = std::move(request);
      ++creates_;
      told_.notify_all();
      return later(done, v);
    });
  }
  void append(video_id id, std::uint64_t offset, buffer bytes, ports::completion<std::uint64_t> done) override {
    {
      const std::lock_guard lock{mutex_};
      in_flight_max_ = std::max(in_flight_max_, ++in_flight_);
    }
    ports::completion<std::uint64_t> counted = [this, done = std::move(done)](expected<std::uint64_t> r) {
      {
        const std::lock_guard lock{mutex_};
        --in_flight_;
      }
      done(std::move(r));
    };
    post("append", counted, [this, id, offset, bytes = std::move(bytes), counted] {
      auto* u = find(id);
      if (u == nullptr) return later(counted, expected<std::uint64_t>{errc::not_found, "There is no such upload."});
      if (offset != u->length) return later(counted, expected<std::uint64_t>{errc::offset_mismatch, "The bytes do not follow."});
      u->crc = crc32c(bytes.view(), u->crc);
      u->length += bytes.size();
      ++u->appends;
      if (keep_bytes_) u->bytes += bytes.view();
      u->view.bytes = u->length;
      return later(counted, u->length);
    }, true);
  }
  void offset(video_id id, ports::completion<std::uint64_t> done) override {
    post("offset", done, [this, id, done] {
      const auto* u = find(id);
      return u == nullptr ? later(done, expected<std::uint64_t>{errc::not_found, "There is no such upload."}) : later(done, u->length);
    });
  }
  void finish(video_id id, std::uint64_t bytes, ports::completion<video_view> done) override {
    post("finish", done, [this, id, bytes, done] {
      auto* u = find(id);
      if (u == nullptr) return later(done, expected<video_view>{errc::not_found, "There is no such upload."});
      if (bytes != u->length) return later(done, expected<video_view>{errc::conflict, "Bytes are missing."});
      u->view.state = video_state::queued;
      u->view.bytes_total = bytes;
      ++u->view.revision;
      return later(done, u->view);
    });
  }
  void abort(video_id id, ports::completion<void> done) override {
    post("abort", done, [this, id, done] {
      uploads_.erase(id);
      ++aborts_;
      told_.notify_all();
      return later(done, expected<void>{});
    });
  }
  void get(video_id id, ports::completion<video_view> done) override {
    post("get", done, [this, id, done] {
      const auto* u = find(id);
      return u == nullptr ? later(done, expected<video_view>{errc::not_found, "There is no such video."}) : later(done, u->view);
    });
  }
  void list(std::string, std::string cursor, std::uint32_t limit, ports::completion<ports::video_page> done) override {
    post("list", done, [this, cursor = std::move(cursor), limit, done] {
      ports::video_page page;
      for (auto it = uploads_.rbegin(); it != uploads_.rend(); ++it) {
        if (!cursor.empty() && to_string(it->first) >= cursor) continue;
        if (page.videos.size() == limit) {
          page.next = to_string(page.videos.back().id);
          break;
        }
        page.videos.push_back(it->second.view);
      }
      return later(done, page);
    });
  }
  void remove(video_id id, ports::completion<void> done) override {
    post("remove", done, [this, id, done]() -> std::function<void()> {
      auto* u = find(id);
      if (u == nullptr) return later(done, expected<void>{errc::not_found, "There is no such video."});
      auto v = u->view;
      v.state = video_state::deleting;
      ++v.revision;
      uploads_.erase(id);
      std::vector<std::function<void(const ports::service_event&)>> tell;
      for (const auto& [key, f] : subscribers_) tell.push_back(f);
      return [v, done, tell] {
        done({});
        for (const auto& f : tell) f(v);
      };
    });
  }
  void retry(video_id id, ports::completion<video_view> done) override {
    post("retry", done, [this, id, done] {
      auto* u = find(id);
      if (u == nullptr) return later(done, expected<video_view>{errc::not_found, "There is no such video."});
      if (u->view.state != video_state::failed) return later(done, expected<video_view>{errc::conflict, "Only a failed video can be tried again."});
      u->view.state = video_state::queued;
      u->view.error_code.clear();
      u->view.error_message.clear();
      ++u->view.revision;
      return later(done, u->view);
    });
  }
  void media(video_id id, std::string path, ports::completion<ports::media_resource> done) override {
    post("media", done, [this, id, path = std::move(path), done] {
      const auto it = media_.find({id, path});
      return it == media_.end() ? later(done, expected<ports::media_resource>{errc::not_found, "There is no such file."}) : later(done, it->second);
    });
  }
  void read(const ports::media_range& range, std::uint64_t offset, std::uint32_t bytes, ports::completion<buffer> done) override {
    post("read", done, [this, range, offset, bytes, done] {
      return later(done, buffer{blobs_[range.blob].substr(static_cast<std::size_t>(range.offset + offset), bytes)});
    });
  }
  std::shared_ptr<void> subscribe(std::function<void(const ports::service_event&)> changed) override {
    const std::lock_guard lock{mutex_};
    const auto key = next_subscriber_++;
    subscribers_[key] = std::move(changed);
    return {this, [key](fake_service* self) {
              const std::lock_guard again{self->mutex_};
              self->subscribers_.erase(key);
            }};
  }
  expected<void> ready() const override { return {}; }

private:
  /// What is to be done without the lock.
  template <class Done, class Value>
  static std::function<void()> later(const Done& done, Value value) {
    return [done, value = std::move(value)] { done(value); };
  }
  upload* find(video_id id) {
    const auto it = uploads_.find(id);
    return it == uploads_.end() ? nullptr : &it->second;
  }
  template <class Done>
  void post(const std::string& what, Done done, std::function<std::function<void()>()> work, bool can_hold = false) {
    const std::lock_guard lock{mutex_};
    if (const auto it = failures_.find(what); it != failures_.end()) {
      work = [done, e = it->second.first] { return std::function<void()>{[done, e] { done(e); }}; };
      if (!it->second.second) failures_.erase(it);
    }
    (can_hold && holding_ ? held_ : queue_).push_back(std::move(work));
    changed_.notify_all();
    told_.notify_all();
  }
  void run() {
    std::unique_lock lock{mutex_};
    for (;;) {
      changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      auto work = std::move(queue_.front());
      queue_.pop_front();
      auto answer = work();
      lock.unlock();
      answer();
      answer = nullptr;
      lock.lock();
    }
  }

  bool keep_bytes_;
  mutable std::mutex mutex_;
  std::condition_variable changed_, told_;
  std::deque<std::function<std::function<void()>()>> queue_, held_;
  bool stopping_ = false, holding_ = false;
  std::uint64_t next_id_ = 1;
  std::map<video_id, upload> uploads_;
  std::map<std::pair<video_id, std::string>, ports::media_resource> media_;
  std::map<blob_id, std::string> blobs_;
  std::map<std::string, std::pair<error, bool>> failures_;
  std::size_t aborts_ = 0, creates_ = 0, in_flight_ = 0, in_flight_max_ = 0;
  std::map<int, std::function<void(const ports::service_event&)>> subscribers_;
  int next_subscriber_ = 0;
  std::thread thread_;
};

}  // namespace latham::testing
