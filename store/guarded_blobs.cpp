#include "store/guarded_blobs.hpp"

#include "core/cluster/disk_trouble.hpp"
#include "core/reach.hpp"

#include <algorithm>
#include <mutex>
#include <string>
#include <utility>

namespace latham::store {

namespace {

error refusal() { return {errc::unavailable, "the disk of this storage node fails writes, so it takes nothing new for now; try again at another"}; }

constexpr std::size_t trial_bytes = 4096;

/// What its success says of the disk. Records alone, of a promise or a seal, say nothing of the files.
enum class writes : std::uint8_t { records, bytes };

}  // namespace

struct guarded_blobs::state : std::enable_shared_from_this<state> {
  state(ports::own_blobs& d, const ports::clock& c, guarded_blobs_options o) : disk{d}, clock{c}, options{o} { show(false); }

  template <class T>
  ports::completion<T> watched(writes what, ports::completion<T> done) {
    return [self = shared_from_this(), what, begun = clock.now(), done = std::move(done)](expected<T> result) {
      if (result) {
        if (what == writes::bytes) self->on_written(begun);
      } else if (result.error().code == errc::io) {
        self->on_failed(result.error());
      }
      done(std::move(result));
    };
  }

  void on_failed(const error& why) {
    auto change = disk_trouble::change::none;
    milliseconds wait{};
    {
      const std::lock_guard guard{mutex};
      change = trouble.on_failed(clock.now());
      wait = trouble.wait();
    }
    if (options.metrics != nullptr) options.metrics->add("latham_disk_writes_failed_total");
    if (change == disk_trouble::change::none) return;
    if (LATHAM_REACHED_IF("disk_trouble_goes_on", change == disk_trouble::change::goes_on)) {
      say(ports::log_level::warn, "the disk still fails writes, storage takes no new blobs wait_s=" + in_seconds(wait) + " detail=\"" + why.message + "\"");
      return;
    }
    LATHAM_REACHED("disk_trouble_begins");
    show(true);
    say(ports::log_level::error, "the disk fails writes, storage takes no new blobs for now; look after the disk wait_s=" + in_seconds(wait) + " detail=\"" + why.message + "\"");
  }

  void on_written(instant begun) {
    {
      const std::lock_guard guard{mutex};
      if (trouble.on_written(begun) != disk_trouble::change::ends) return;
    }
    LATHAM_REACHED("disk_trouble_ends");
    show(false);
    say(ports::log_level::info, "the disk takes writes again, and storage new blobs");
  }

  [[nodiscard]] bool in_trouble() const {
    const std::lock_guard guard{mutex};
    return trouble.is_there();
  }

  /// Who asks is refused all the same: it goes to another node sooner than the disk has answered.
  void try_if_due() {
    const auto now = clock.now();
    {
      const std::lock_guard guard{mutex};
      if (!trouble.may_try(now)) return;
    }
    // What an earlier trial could not take away is in the way.
    disk.drop(trial_blob, [self = shared_from_this(), now](const expected<void>& gone) {
      if (!gone) return self->tried(gone.error());
      const ports::write_token token{trial_blob, static_cast<std::uint64_t>(now.ns), trial_bytes};
      self->disk.reserve(token, [self, now, token](const expected<void>& reserved) {
        if (!reserved) return self->tried(reserved.error());
        const buffer bytes{std::string(trial_bytes, '\0')};
        self->disk.append(token, 0, bytes, crc32c(bytes.view()), [self, now](const expected<std::uint64_t>& durable) {
          if (durable) self->on_written(now);
          else self->tried(durable.error());
          self->give_up_trial();
        });
      });
    });
  }

  /// Whatever else it fails with, a full disk say, tells nothing.
  void tried(const error& why) {
    if (why.code == errc::io) on_failed(why);
  }

  void give_up_trial() {
    disk.drop(trial_blob, [self = shared_from_this()](const expected<void>& gone) {
      if (!gone) self->tried(gone.error());
    });
  }

  [[nodiscard]] static std::string in_seconds(milliseconds wait) { return std::to_string(std::chrono::duration_cast<seconds>(wait).count()); }
  void show(bool read_only) const {
    if (options.metrics != nullptr) options.metrics->set("latham_storage_read_only", read_only ? 1 : 0);
  }
  void say(ports::log_level level, std::string line) const {
    if (options.log != nullptr && options.log->enabled(level)) options.log->write(level, std::move(line));
  }

  ports::own_blobs& disk;
  const ports::clock& clock;
  const guarded_blobs_options options;
  mutable std::mutex mutex;
  disk_trouble trouble;
};

guarded_blobs::guarded_blobs(ports::own_blobs& disk, const ports::clock& clock, guarded_blobs_options options)
  : state_{std::make_shared<state>(disk, clock, options)} {
  state_->give_up_trial();
}

expected<void> guarded_blobs::takes_new() {
  if (!state_->in_trouble()) return {};
  state_->try_if_due();
  return refusal();
}

void guarded_blobs::reserve(ports::write_token token, ports::completion<void> done) {
  auto s = state_;
  if (!s->in_trouble()) return s->disk.reserve(token, s->watched(writes::records, std::move(done)));
  s->try_if_due();
  s->disk.look(token.blob, [s, token, done = std::move(done)](const expected<ports::blob_look>& before) {
    if (!before) return done(before.error());
    if (LATHAM_REACHED_IF("new_blob_refused_by_a_bad_disk", before->presence == ports::blob_presence::missing)) return done(refusal());
    s->disk.reserve(token, s->watched(writes::records, done));
  });
}

void guarded_blobs::open_write(ports::write_token token, ports::completion<std::uint64_t> done) { state_->disk.open_write(token, std::move(done)); }

void guarded_blobs::append(ports::write_token token, std::uint64_t offset, buffer bytes, std::uint32_t crc, ports::completion<std::uint64_t> done) {
  state_->disk.append(token, offset, std::move(bytes), crc, state_->watched(writes::bytes, std::move(done)));
}

void guarded_blobs::truncate(ports::write_token token, std::uint64_t bytes, ports::completion<void> done) {
  state_->disk.truncate(token, bytes, state_->watched(writes::records, std::move(done)));
}

void guarded_blobs::seal(ports::write_token token, std::uint64_t bytes, ports::completion<ports::blob_stat> done) {
  state_->disk.seal(token, bytes, state_->watched(writes::records, std::move(done)));
}

void guarded_blobs::read(blob_id blob, std::uint64_t offset, std::uint32_t bytes, ports::completion<buffer> done) { state_->disk.read(blob, offset, bytes, std::move(done)); }

void guarded_blobs::stat(blob_id blob, ports::completion<ports::blob_stat> done) { state_->disk.stat(blob, std::move(done)); }

void guarded_blobs::remove(blob_id blob, ports::completion<void> done) { state_->disk.remove(blob, state_->watched(writes::records, std::move(done))); }

void guarded_blobs::list(blob_id after, std::uint32_t limit, ports::completion<std::vector<ports::blob_stat>> done) { state_->disk.list(std::max(after, trial_blob), limit, std::move(done)); }

void guarded_blobs::look(blob_id blob, ports::completion<ports::blob_look> done) { state_->disk.look(blob, std::move(done)); }

void guarded_blobs::look_all(std::vector<blob_id> blobs, ports::completion<std::vector<ports::blob_look>> done) { state_->disk.look_all(std::move(blobs), std::move(done)); }

void guarded_blobs::check_all(std::vector<blob_id> blobs, ports::completion<std::vector<errc>> done) { state_->disk.check_all(std::move(blobs), std::move(done)); }

void guarded_blobs::drop(blob_id blob, ports::completion<void> done) { state_->disk.drop(blob, state_->watched(writes::records, std::move(done))); }

void guarded_blobs::mend(blob_id blob, std::uint64_t offset, buffer bytes, ports::completion<void> done) {
  state_->disk.mend(blob, offset, std::move(bytes), state_->watched(writes::bytes, std::move(done)));
}

}  // namespace latham::store
