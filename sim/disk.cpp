#include "sim/disk.hpp"

#include "core/reach.hpp"
#include "store/schema.hpp"

#include <algorithm>

namespace latham::sim {

/// Records: in front of the twin stands what can go wrong before it.
class disk::kv final : public ports::kv_store {
public:
  explicit kv(disk& d) : disk_{d} {}

  void commit(ports::kv_batch batch, ports::completion<void> done) override {
    auto& d = disk_;
    if (d.broken_) return fail<void>(std::move(done), errc::io, "an earlier write failed");
    if (const auto* full = d.find(ill::full); full != nullptr) {
      d.bites(full->fault);
      return fail<void>(std::move(done), errc::disk_full, "no space left");
    }
    if (d.strikes(ill::write_error)) {
      d.broken_ = d.failed_ = true;
      return fail<void>(std::move(done), errc::io, "a write failed");
    }
    auto seen = std::make_shared<const ports::kv_batch>(std::move(batch));  // shared with the list of what is not durable yet
    const auto before = d.twin_records_->commits_waiting();
    d.twin_records_->commit(*seen, [&d, seen, done = std::move(done)](expected<void> result) {
      if (result) {
        d.pending_.pop_front();  // commits become durable in call order
        d.watch_(*seen);
      }
      done(std::move(result));
    });
    // What was refused becomes durable at no power cut either.
    if (d.twin_records_->commits_waiting() > before) d.pending_.push_back(seen);
  }
  void barrier(ports::completion<void> done) override { disk_.twin_records_->barrier(std::move(done)); }
  void get(std::string key, ports::completion<std::optional<std::string>> done) override {
    if (disk_.strikes(ill::read_error)) return fail<std::optional<std::string>>(std::move(done), errc::io, "a read failed");
    disk_.twin_records_->get(std::move(key), std::move(done));
  }
  void scan(std::string prefix, std::string after, std::uint32_t limit, ports::completion<ports::kv_pairs> done) override {
    if (disk_.strikes(ill::read_error)) return fail<ports::kv_pairs>(std::move(done), errc::io, "a read failed");
    disk_.twin_records_->scan(std::move(prefix), std::move(after), limit, std::move(done));
  }

private:
  template <class T>
  void fail(ports::completion<T> done, errc code, const char* why) {
    if (code == errc::io) disk_.failed_ = true;
    disk_.later([life = disk_.life_, &d = disk_, done = std::move(done), code, why] {
      if (d.life_ == life) done(error{code, why});
    });
  }
  disk& disk_;
};

class disk::blob_files final : public ports::own_blobs {
public:
  explicit blob_files(disk& d) : disk_{d} {}

  void reserve(ports::write_token token, ports::completion<void> done) override {
    if (refuse(done)) return;
    disk_.twin_blobs_->reserve(token, [&d = disk_, done = std::move(done)](expected<void> reserved) {
      if (LATHAM_REACHED_IF("sim_disk_had_no_space", !reserved && reserved.error().code == errc::disk_full)) ++d.had_no_space_;
      done(std::move(reserved));
    });
  }
  void open_write(ports::write_token token, ports::completion<std::uint64_t> done) override { disk_.twin_blobs_->open_write(token, std::move(done)); }
  void append(ports::write_token token, std::uint64_t offset, buffer bytes, std::uint32_t crc, ports::completion<std::uint64_t> done) override {
    if (refuse(done)) return;
    // An operation takes half of the latency at least.
    if (auto then = std::exchange(disk_.when_appending_, {})) disk_.time_.after(disk_.time_.draw(nanoseconds{0}, disk_.latency_ / 2), [&d = disk_, then = std::move(then)] {
        d.tearing_ = true;
        then();
        d.tearing_ = false;
      });
    disk_.twin_blobs_->append(token, offset, std::move(bytes), crc, std::move(done));
  }
  void truncate(ports::write_token token, std::uint64_t bytes, ports::completion<void> done) override {
    if (!refuse(done)) disk_.twin_blobs_->truncate(token, bytes, std::move(done));
  }
  void seal(ports::write_token token, std::uint64_t bytes, ports::completion<ports::blob_stat> done) override {
    if (!refuse(done)) disk_.twin_blobs_->seal(token, bytes, std::move(done));
  }
  void read(blob_id blob, std::uint64_t offset, std::uint32_t bytes, ports::completion<buffer> done) override {
    if (disk_.strikes(ill::read_error)) return fail(std::move(done), errc::io, "a read failed");
    if (disk_.strikes(ill::corrupt_read)) return fail(std::move(done), errc::corrupt, "a block does not match its digest");
    if (disk_.rotten_.empty()) return disk_.twin_blobs_->read(blob, offset, bytes, std::move(done));
    disk_.twin_blobs_->read(blob, offset, bytes, [&d = disk_, blob, done = std::move(done)](expected<buffer> found) {
      if (!found && found.error().code == errc::corrupt) d.found_damaged(blob);
      done(std::move(found));
    });
  }
  void stat(blob_id blob, ports::completion<ports::blob_stat> done) override {
    if (disk_.strikes(ill::read_error)) return fail(std::move(done), errc::io, "a read failed");
    disk_.twin_blobs_->stat(blob, std::move(done));
  }
  void remove(blob_id blob, ports::completion<void> done) override {
    if (!refuse(done, false)) disk_.twin_blobs_->remove(blob, std::move(done));
  }
  void list(blob_id after, std::uint32_t limit, ports::completion<std::vector<ports::blob_stat>> done) override { disk_.twin_blobs_->list(after, limit, std::move(done)); }
  void look(blob_id blob, ports::completion<ports::blob_look> done) override {
    if (disk_.strikes(ill::read_error)) return fail(std::move(done), errc::io, "a read failed");
    disk_.twin_blobs_->look(blob, std::move(done));
  }
  void look_all(std::vector<blob_id> blobs, ports::completion<std::vector<ports::blob_look>> done) override {
    // Each of them is a read.
    if (std::any_of(blobs.begin(), blobs.end(), [this](blob_id) { return disk_.strikes(ill::read_error); })) return fail(std::move(done), errc::io, "a read failed");
    disk_.twin_blobs_->look_all(std::move(blobs), std::move(done));
  }
  void check_all(std::vector<blob_id> blobs, ports::completion<std::vector<errc>> done) override {
    // Each of them is a read.
    std::vector<errc> struck;
    for (std::size_t i = 0; i < blobs.size(); ++i) struck.push_back(disk_.strikes(ill::read_error) ? errc::io : disk_.strikes(ill::corrupt_read) ? errc::corrupt : errc::none);
    disk_.twin_blobs_->check_all(blobs, [&d = disk_, blobs, struck = std::move(struck), done = std::move(done)](expected<std::vector<errc>> found) {
      if (found)
        for (std::size_t i = 0; i < struck.size(); ++i) {
          if ((*found)[i] == errc::corrupt) d.found_damaged(blobs[i]);
          if (struck[i] != errc::none) (*found)[i] = struck[i];
        }
      done(std::move(found));
    });
  }
  void drop(blob_id blob, ports::completion<void> done) override {
    if (!refuse(done, false)) disk_.twin_blobs_->drop(blob, std::move(done));
  }
  void mend(blob_id blob, std::uint64_t offset, buffer bytes, ports::completion<void> done) override {
    if (!refuse(done)) disk_.twin_blobs_->mend(blob, offset, std::move(bytes), std::move(done));
  }

private:
  template <class T>
  bool refuse(ports::completion<T>& done, bool needs_space = true) {
    if (const auto* full = disk_.find(ill::full); needs_space && full != nullptr) {
      disk_.bites(full->fault);
      fail(std::move(done), errc::disk_full, "no space left");
      return true;
    }
    if (!disk_.strikes(ill::write_error) && !disk_.strikes(ill::blob_write_error)) return false;
    fail(std::move(done), errc::io, "a write failed");
    return true;
  }
  template <class T>
  void fail(ports::completion<T> done, errc code, const char* why) {
    disk_.later([life = disk_.life_, &d = disk_, done = std::move(done), code, why] {
      if (d.life_ == life) done(error{code, why});
    });
  }
  disk& disk_;
};

disk::disk(events& time, trace& log, ledger& faults, std::uint32_t node, nanoseconds latency, std::uint64_t capacity_bytes, watcher watch, std::function<void()> lost)
  : time_{time}, trace_{log}, ledger_{faults}, node_{node}, latency_{latency}, capacity_bytes_{capacity_bytes}, watch_{std::move(watch)}, lost_{std::move(lost)} {
  make();
  records_ = std::make_unique<kv>(*this);
  blobs_ = std::make_unique<blob_files>(*this);
}

void disk::make() {
  const auto defer = [this](std::function<void()> work) { later(std::move(work)); };
  twin_records_ = std::make_unique<store::memory_kv>(defer, store::kv_queue{commits_waiting_max, commit_bytes_waiting_max});
  twin_blobs_ = std::make_unique<store::memory_blobs>(defer, store::memory_blobs_options{.capacity_bytes = capacity_bytes_});
}

void disk::later(std::function<void()> work) {
  auto wait = time_.draw(latency_ / 2, latency_ * 3 / 2);
  if (const auto* slow = find(ill::slow)) {
    wait += time_.draw(nanoseconds{0}, milliseconds{slow->amount});
    bites(slow->fault);
  }
  time_.after(wait, [work = std::move(work)] { work(); });
}

bool disk::strikes(ill what) {
  const auto* a = find(what);
  if (a == nullptr || !time_.chance(a->amount)) return false;
  bites(a->fault);
  return true;
}

void disk::bites(std::size_t fault) {
  if (ledger_.bites(fault) && trace_.keeps()) trace_.say(time_.now(), trace::what::fault, node_, node_, ledger_.kind(fault) + " bites");
}

void disk::grow() {
  capacity_bytes_ = endless;
  for (auto* blobs : {twin_blobs_.get(), blobs_aside_.get()})
    if (blobs != nullptr) blobs->set_capacity(endless);
}

bool disk::rot(std::size_t fault, blob_id blob, std::uint64_t offset) {
  if (!twin_blobs_->rot(blob, offset)) return false;
  rotten_[blob] = fault;
  return true;
}

void disk::found_damaged(blob_id blob) {
  if (const auto at = rotten_.find(blob); at != rotten_.end()) bites(at->second);
}

void disk::cut() {
  ++life_;
  // What reached the platter before the lights went out: of the records a prefix, of each blob's operations likewise.
  const auto survivors = pending_.empty() ? 0 : time_.draw(pending_.size() + 1);
  twin_records_->power_cut(survivors);
  for (std::size_t i = 0; i < survivors; ++i) watch_(*pending_[i]);
  pending_.clear();
  // And of the next append some of its bytes: an upload, an output or a copy goes on from the middle of what was sent.
  const auto blob_survivors = tearing_ ? 0 : time_.draw(3);
  const auto torn = twin_blobs_->power_cut(blob_survivors, [this](std::uint64_t bytes) { return time_.draw(bytes + 1); });
  if (torn > 0) LATHAM_REACHED("sim_append_torn");
  appends_torn_ += torn;
}

void disk::unplug() {
  ++life_;
  pending_.clear();
  // The old twins' closures may still be in the queue: they own their state.
  twin_records_->power_cut(0);
  twin_blobs_->power_cut(0);
}

void disk::lose() {
  unplug();
  make();
  lost_();
}

void disk::put_aside() {
  unplug();
  records_aside_ = std::move(twin_records_);
  blobs_aside_ = std::move(twin_blobs_);
  make();
  lost_();
}

bool disk::bring_back() {
  if (!records_aside_) return false;
  unplug();
  twin_records_ = std::move(records_aside_);
  twin_blobs_ = std::move(blobs_aside_);
  lost_();
  // Not its claims: what was granted since is the word of this node, too.
  ports::kv_batch uploads;
  for (auto& [key, value] : twin_records_->contents())
    if (key.starts_with(store::prefix_uploads)) uploads.push_back({key, value});
  watch_(uploads);
  return true;
}

}  // namespace latham::sim
