#include "store/disk/file_blobs.hpp"

#include "core/assert.hpp"
#include "core/codec.hpp"
#include "store/blob_record.hpp"
#include "store/disk/thread_pool.hpp"
#include "store/memory_kv.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <future>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

namespace latham::store {

namespace {

/// Waits for an asynchronous answer; on this room's threads and at start-up only.
template <class T, class Start>
expected<T> wait_for(Start start) {
  auto promise = std::make_shared<std::promise<expected<T>>>();  // shared: the answering thread may still be inside it
  auto answer = promise->get_future();
  start([promise](expected<T> result) { promise->set_value(std::move(result)); });
  return answer.get();
}

/// Remembers the most recent `max` values.
template <class Key, class Value>
class recent {
public:
  explicit recent(std::size_t max) : max_{max} {}
  std::optional<Value> find(const Key& key) {
    const std::lock_guard guard{mutex_};
    const auto at = where_.find(key);
    if (at == where_.end()) return std::nullopt;
    order_.splice(order_.begin(), order_, at->second);
    return at->second->second;
  }
  void put(const Key& key, Value value) {
    const std::lock_guard guard{mutex_};
    erase_locked(key);
    order_.emplace_front(key, std::move(value));
    where_[key] = order_.begin();
    if (order_.size() > max_) erase_locked(Key{order_.back().first});
  }
  template <class Predicate>
  void erase_if(Predicate matches) {
    const std::lock_guard guard{mutex_};
    for (auto at = order_.begin(); at != order_.end();) {
      const auto next = std::next(at);
      if (matches(at->first)) {
        where_.erase(at->first);
        order_.erase(at);
      }
      at = next;
    }
  }

private:
  void erase_locked(const Key& key) {
    const auto at = where_.find(key);
    if (at == where_.end()) return;
    order_.erase(at->second);
    where_.erase(at);
  }
  const std::size_t max_;
  std::mutex mutex_;
  std::list<std::pair<Key, Value>> order_;
  std::map<Key, typename std::list<std::pair<Key, Value>>::iterator> where_;
};

enum class operation_kind : std::uint8_t { reserve, open_write, append, truncate, seal, remove, drop, mend };

struct operation {
  operation_kind kind = operation_kind::reserve;
  ports::write_token token;
  std::uint64_t number = 0;  // offset or length
  buffer bytes;
  std::uint32_t crc = 0;
  // One of these, by kind.
  ports::completion<void> done;
  ports::completion<std::uint64_t> done_length;
  ports::completion<ports::blob_stat> done_stat;

  void fail(const error& e) const {
    if (done) done(e);
    if (done_length) done_length(e);
    if (done_stat) done_stat(e);
  }
};

/// One blob with work, and what is known of it. `queue` and `running` are under the store's mutex; the rest belongs to the
/// step that is running.
struct strand {
  explicit strand(blob_id b) : blob{b} {}
  const blob_id blob;
  std::deque<operation> queue;
  std::size_t appends = 0;
  bool running = false;
  std::optional<std::list<blob_id>::iterator> idle;

  bool loaded = false;
  std::optional<blob_record> record;  // as it is in the index
  block_digests digests;              // of record->bytes bytes, while open for writing
  std::unique_ptr<disk_file> file;
  bool writable = false;              // digests and file are ready

  void forget() {
    loaded = writable = false;
    record.reset();
    digests = {};
    file.reset();
  }
};
using strand_ptr = std::shared_ptr<strand>;  // shared: the table and the step that is running

/// The pages that hold blocks [from, blocks.size()), as writes.
void put_pages(ports::kv_batch& batch, blob_id blob, const std::vector<sha256_digest>& blocks, std::uint64_t from) {
  for (auto page = from / page_blocks; page * page_blocks < blocks.size(); ++page) {
    const auto first = page * page_blocks;
    const auto last = std::min<std::uint64_t>(first + page_blocks, blocks.size());
    block_page value;
    value.blocks.assign(blocks.begin() + static_cast<std::ptrdiff_t>(first), blocks.begin() + static_cast<std::ptrdiff_t>(last));
    batch.push_back({block_page_key(blob, page), to_record(value)});
  }
}

std::uint64_t blocks_of(std::uint64_t bytes) {
  return (bytes + blob_block_bytes - 1) / blob_block_bytes;
}

}  // namespace

struct file_blobs::core {
  core(file_blobs_options o, ports::kv_store& i, file_system& f)
      : options{std::move(o)},
        index{i},
        files{f},
        records{4096},
        pages{4096},
        writers{"blob-write", options.write_threads, options.operations_max},
        readers{"blob-read", options.read_threads, options.reads_waiting_max} {}

  ~core() {
    std::unique_lock guard{mutex};
    closing = true;
    idle_changed.wait(guard, [this] { return operations == 0; });
    guard.unlock();
    writers.stop();
    readers.stop();
  }

  // ---- start-up --------------------------------------------------------------------------------------------------
  expected<void> recover();
  expected<std::vector<blob_id>> files_there();
  expected<void> recover_blob(blob_id blob, const blob_record& record, bool there);

  // ---- queues ----------------------------------------------------------------------------------------------------
  void submit(blob_id blob, operation op);
  void step(const strand_ptr& s);
  void step_done(const strand_ptr& s);
  void resume_later(const strand_ptr& s, ports::kv_batch batch, std::function<void(expected<void>)> then);
  void answered(std::size_t count, std::size_t bytes);

  // ---- work on one blob, on a writer thread ----------------------------------------------------------------------
  expected<void> load(strand& s);
  expected<void> load_for_writing(strand& s);
  void reserve(const strand_ptr& s, operation op);
  void append(const strand_ptr& s, std::vector<operation> ops);
  expected<void> write(strand& s, const std::vector<std::span<const std::uint8_t>>& parts);
  void truncate(const strand_ptr& s, operation op);
  void seal(const strand_ptr& s, operation op);
  void remove(const strand_ptr& s, operation op);
  void drop(const strand_ptr& s, operation op);
  void bury(const strand_ptr& s, operation op, std::optional<blob_record> grave);
  void mend(const strand_ptr& s, operation op);
  expected<void> write_block(strand& s, const operation& op);

  // ---- reads -----------------------------------------------------------------------------------------------------
  expected<blob_record> find_record(blob_id blob);
  expected<ports::blob_look> look(blob_id blob);
  expected<block_page> find_page(blob_id blob, std::uint64_t page, bool sealed);
  expected<buffer> read(blob_id blob, std::uint64_t offset, std::uint32_t bytes);
  expected<buffer> read_twice(blob_id blob, std::uint64_t offset, std::uint32_t bytes) {
    auto result = read(blob, offset, bytes);
    if (result || result.error().code != errc::corrupt) return result;
    // The blob may have been cut, or deleted, between our looks at index and file; a second, fresh look settles it.
    forget_cached(blob);
    return read(blob, offset, bytes);
  }
  expected<std::vector<ports::blob_stat>> list(blob_id after, std::uint32_t limit);
  void forget_cached(blob_id blob) {
    records.erase_if([&](const blob_id& id) { return id == blob; });
    pages.erase_if([&](const auto& key) { return key.first == blob; });
  }

  [[nodiscard]] std::string path(blob_id blob) const { return options.directory + "/" + relative_path(blob); }
  [[nodiscard]] std::string parent(blob_id blob) const { return std::filesystem::path{path(blob)}.parent_path().string(); }
  [[nodiscard]] bool syncs(sync_point p) const { return !options.no_sync[static_cast<std::size_t>(p)]; }

  const file_blobs_options options;
  ports::kv_store& index;
  file_system& files;
  recovery_report report;
  recent<blob_id, blob_record> records;                                     // of sealed blobs
  recent<std::pair<blob_id, std::uint64_t>, block_page> pages;              // of sealed blobs

  mutable std::mutex mutex;
  std::condition_variable idle_changed;
  std::map<blob_id, strand_ptr> strands;
  std::list<blob_id> idle;  // loaded and without work, the longest idle first
  std::size_t operations = 0;
  std::size_t append_bytes = 0;
  space_account space;
  bool closing = false;
  // Set by an i/o error of the index: its memory and its disk may now differ, so even an answer that needs no new record
  // could be wrong after a restart. Nothing is written any more; reads go on.
  std::atomic<bool> index_failed{false};

  // Last: their threads use everything above.
  thread_pool writers;
  thread_pool readers;
};

// ---- start-up ------------------------------------------------------------------------------------------------------

std::string file_blobs::relative_path(blob_id blob) {
  char digits[3];
  std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(blob.low & 0xff));
  return std::string{digits} + "/" + to_string(blob);
}

expected<std::vector<blob_id>> file_blobs::core::files_there() {
  std::vector<blob_id> found;
  for (unsigned i = 0; i < 256; ++i) {
    const auto directory = options.directory + "/" + relative_path(blob_id{0, i}).substr(0, 2);
    auto names = files.list(directory);
    if (!names) return std::move(names).error();
    for (const auto& name : *names) {
      const auto id = parse_id<blob_id>(name);
      if (id && (id->low & 0xff) == i && to_string(*id) == name) {
        found.push_back(*id);
        continue;
      }
      if (auto ok = files.unlink(directory + "/" + name); !ok) return std::move(ok).error();
      ++report.files_removed;
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

expected<void> file_blobs::core::recover_blob(blob_id blob, const blob_record& record, bool there) {
  if (record.state == blob_state::dead || (record.bytes == 0 && there)) {
    // Dead, or made and never acknowledged: the next append makes it anew.
    if (there) {
      if (auto ok = files.unlink(path(blob)); !ok) return ok;
      ++report.files_removed;
    }
  } else if (record.bytes > 0) {
    auto damaged = !there;
    if (there) {
      const auto mode = record.state == blob_state::open ? open_mode::create : open_mode::read;
      auto file = files.open(path(blob), mode);
      if (!file) return std::move(file).error();
      const auto size = (*file)->size();
      if (!size) return size.error();
      damaged = *size < record.bytes;
      if (*size > record.bytes && record.state == blob_state::open) {
        if (auto cut = (*file)->truncate(record.bytes); !cut) return cut;
        report.bytes_cut += *size - record.bytes;
      }
    }
    if (damaged) {
      ++report.blobs_damaged;
      if (report.damaged.size() < 1000) report.damaged.push_back(blob);
    }
  }
  if (record.state == blob_state::dead) return {};
  ++report.blobs;
  if (record.state == blob_state::open) ++report.blobs_open;
  report.bytes += record.bytes;
  space.change({}, record);
  return {};
}

expected<void> file_blobs::core::recover() {
  if (auto ok = files.make_directory(options.directory); !ok) return ok;
  for (unsigned i = 0; i < 256; ++i) {
    if (auto ok = files.make_directory(options.directory + "/" + relative_path(blob_id{0, i}).substr(0, 2)); !ok) return ok;
  }
  // Every time, not only for a new store: an earlier start may have made them and died before this line.
  if (syncs(sync_point::blob_root_directory)) {
    if (auto ok = files.sync_directory(options.directory); !ok) return ok;
    const auto above = std::filesystem::path{options.directory}.parent_path().string();
    if (auto ok = files.sync_directory(above.empty() ? "." : above); !ok) return ok;
  }
  auto there = files_there();
  if (!there) return std::move(there).error();
  auto file = there->begin();
  const auto remove_unknown = [&]() -> expected<void> {
    ++report.files_removed;
    return files.unlink(path(*file++));
  };
  for (std::string after;;) {
    auto page =
        wait_for<ports::kv_pairs>([&](auto done) { index.scan(std::string{blob_key_prefix}, after, kv_scan_max, std::move(done)); });
    if (!page) return std::move(page).error();
    for (const auto& [key, value] : *page) {
      const auto blob = blob_of_key(key);
      if (!blob) return blob.error();
      const auto record = read_blob_record(value);
      if (!record) return record.error();
      while (file != there->end() && *file < *blob) {
        if (auto ok = remove_unknown(); !ok) return ok;
      }
      const auto exists = file != there->end() && *file == *blob;
      if (exists) ++file;
      if (auto ok = recover_blob(*blob, *record, exists); !ok) return ok;
    }
    if (page->size() < kv_scan_max) break;
    after = page->back().first;
  }
  while (file != there->end()) {
    if (auto ok = remove_unknown(); !ok) return ok;
  }
  return {};
}

expected<std::unique_ptr<file_blobs>> file_blobs::open(file_blobs_options options, ports::kv_store& index, file_system& files) {
  auto made = std::make_unique<core>(std::move(options), index, files);
  if (auto ok = made->recover(); !ok) return std::move(ok).error();
  return std::unique_ptr<file_blobs>{new file_blobs{std::move(made)}};
}

file_blobs::file_blobs(std::unique_ptr<core> c) : core_{std::move(c)} {}
file_blobs::~file_blobs() = default;

const recovery_report& file_blobs::recovered() const noexcept {
  return core_->report;
}

file_blobs::usage file_blobs::used() const {
  const std::lock_guard guard{core_->mutex};
  return {core_->space.all().held, core_->space.all().promised, core_->operations};
}

// ---- queues --------------------------------------------------------------------------------------------------------

void file_blobs::core::submit(blob_id blob, operation op) {
  const auto is_append = op.kind == operation_kind::append;
  bool refused = false;
  bool start = false;
  strand_ptr s;
  {
    const std::lock_guard guard{mutex};
    auto& slot = strands[blob];
    if (!slot) slot = std::make_shared<strand>(blob);
    s = slot;
    refused =
        closing || operations >= options.operations_max ||
        (is_append && s->appends >= options.appends_per_blob_max) || append_bytes + op.bytes.size() > options.append_bytes_waiting_max;
    ++operations;  // also a refused one, until its answer has left
    if (!refused) {
      if (is_append) {
        ++s->appends;
      }
      append_bytes += op.bytes.size();
      s->queue.push_back(std::move(op));
      start = !s->running;
      s->running = true;
      if (s->idle) {
        idle.erase(*s->idle);
        s->idle.reset();
      }
    } else if (!s->running && !s->idle) {
      strands.erase(blob);
    }
  }
  if (refused) {
    writers.post_always([this, op = std::move(op)] {
      op.fail({errc::limited, "too much is under way: wait for an answer before the next call"});
      answered(1, 0);
    });
  } else if (start) {
    writers.post_always([this, s] { step(s); });
  }
}

void file_blobs::core::answered(std::size_t count, std::size_t bytes) {
  const std::lock_guard guard{mutex};
  operations -= count;
  append_bytes -= bytes;
  if (operations == 0) idle_changed.notify_all();
}

void file_blobs::core::step(const strand_ptr& s) {
  std::vector<operation> ops;
  {
    const std::lock_guard guard{mutex};
    std::size_t bytes = 0;
    do {
      bytes += s->queue.front().bytes.size();
      if (s->queue.front().kind == operation_kind::append) --s->appends;
      ops.push_back(std::move(s->queue.front()));
      s->queue.pop_front();
    } while (ops.front().kind == operation_kind::append && !s->queue.empty() && s->queue.front().kind == operation_kind::append &&
             bytes + s->queue.front().bytes.size() <= options.write_bytes_max);
  }
  if (index_failed.load(std::memory_order_acquire)) {
    std::size_t bytes = 0;
    for (const auto& refused : ops) {
      bytes += refused.bytes.size();
      refused.fail({errc::io, "the index of blobs failed and must be restarted"});
    }
    answered(ops.size(), bytes);
    s->forget();
    return step_done(s);
  }
  auto& op = ops.front();
  // Each of these ends, now or when the index has answered, in step_done.
  switch (op.kind) {
    case operation_kind::reserve: return reserve(s, std::move(op));
    case operation_kind::append: return append(s, std::move(ops));
    case operation_kind::truncate: return truncate(s, std::move(op));
    case operation_kind::seal: return seal(s, std::move(op));
    case operation_kind::remove: return remove(s, std::move(op));
    case operation_kind::drop: return drop(s, std::move(op));
    case operation_kind::mend: return mend(s, std::move(op));
    case operation_kind::open_write: break;
  }
  auto ready = load_for_writing(*s);
  if (ready) ready = check_writer(s->record ? &*s->record : nullptr, op.token);
  if (ready) {
    op.done_length(s->record->bytes);
  } else {
    op.fail(ready.error());
  }
  answered(1, 0);
  step_done(s);
}

void file_blobs::core::step_done(const strand_ptr& s) {
  std::vector<strand_ptr> dropped;  // their files are closed without the lock
  {
    const std::lock_guard guard{mutex};
    if (!s->queue.empty()) {
      writers.post_always([this, s] { step(s); });
      return;
    }
    s->running = false;
    if (s->writable) {
      idle.push_back(s->blob);
      s->idle = std::prev(idle.end());
    } else {
      dropped.push_back(std::move(strands[s->blob]));
      strands.erase(s->blob);
    }
    while (idle.size() > options.open_blobs_max) {
      const auto at = strands.find(idle.front());
      dropped.push_back(std::move(at->second));
      strands.erase(at);
      idle.pop_front();
    }
  }
}

void file_blobs::core::resume_later(const strand_ptr& s, ports::kv_batch batch, std::function<void(expected<void>)> then) {
  // The index answers on its own thread, which must not wait for our disk.
  index.commit(std::move(batch), [this, s, then = std::move(then)](expected<void> result) {
    if (!result && result.error().code == errc::io) index_failed.store(true, std::memory_order_release);
    writers.post_always([this, s, then, result = std::move(result)] {
      if (!result) s->forget();  // what is in the index now is its business: ask again before the next write
      then(result);
      step_done(s);
    });
  });
}

// ---- work on one blob ----------------------------------------------------------------------------------------------

expected<void> file_blobs::core::load(strand& s) {
  if (s.loaded) return {};
  auto value = wait_for<std::optional<std::string>>([&](auto done) { index.get(blob_key(s.blob), std::move(done)); });
  if (!value) return std::move(value).error();
  s.record.reset();
  if (*value) {
    auto record = read_blob_record(**value);
    if (!record) return std::move(record).error();
    s.record = *record;
  }
  s.loaded = true;
  return {};
}

expected<void> file_blobs::core::load_for_writing(strand& s) {
  if (auto ok = load(s); !ok) return ok;
  if (s.writable || !s.record || s.record->state != blob_state::open) return {};
  const auto complete = s.record->bytes / blob_block_bytes;
  std::vector<sha256_digest> blocks;
  for (std::uint64_t page = 0; blocks.size() < complete; ++page) {
    auto found = find_page(s.blob, page, false);
    if (!found) return std::move(found).error();
    if (found->blocks.empty() || (found->blocks.size() < page_blocks && blocks.size() + found->blocks.size() < complete))
      return {errc::corrupt, "the block digests of a blob are incomplete"};
    blocks.insert(blocks.end(), found->blocks.begin(), found->blocks.end());
  }
  if (blocks.size() != complete) return {errc::corrupt, "a blob has more block digests than blocks"};
  s.digests = block_digests{std::move(blocks)};
  if (s.record->bytes > 0) {
    auto file = files.open(path(s.blob), open_mode::create);
    if (!file) return std::move(file).error();
    const auto size = (*file)->size();
    if (!size) return size.error();
    if (*size < s.record->bytes) return {errc::corrupt, "a blob's file is shorter than its record"};
    if (*size > s.record->bytes) {
      if (auto cut = (*file)->truncate(s.record->bytes); !cut) return cut;
    }
    const auto tail_from = complete * blob_block_bytes;
    std::vector<std::uint8_t> tail(s.record->bytes - tail_from);
    const auto have = (*file)->read_at(tail_from, tail);
    if (!have) return have.error();
    if (*have != tail.size()) return {errc::corrupt, "a blob's file is shorter than its record"};
    s.digests.update(tail);
    s.file = std::move(*file);
  }
  s.writable = true;
  return {};
}

void file_blobs::core::reserve(const strand_ptr& s, operation op) {
  expected<blob_record> next = error{};
  if (auto ok = load(*s); !ok) {
    next = std::move(ok).error();
  } else {
    next = reserved_record(s->record ? &*s->record : nullptr, op.token);
  }
  const auto before = s->record.value_or(blob_record{});
  if (next && s->record && *next == *s->record) {  // the same promise again
    op.done({});
    answered(1, 0);
    return step_done(s);
  }
  if (next) {
    const auto promised = space_of(before).promised, wanted = space_of(*next).promised;
    const auto available = files.free_bytes(options.directory);
    const std::lock_guard guard{mutex};
    if (!available) {
      next = available.error();
    } else if (wanted > promised) {
      const auto more = wanted - promised;
      // The promises made so far are not on the disk yet, so they count against what is free.
      const auto committed = space.all().promised + options.free_reserve_bytes;
      const auto beyond_disk = *available < committed || *available - committed < more;
      const auto held = space.all().held + space.all().promised;
      const auto beyond_capacity = options.capacity_bytes > 0 && (held > options.capacity_bytes || options.capacity_bytes - held < more);
      if (beyond_disk || beyond_capacity) next = error{errc::disk_full, "no space for a blob of this size: delete something or add a disk"};
    }
    if (next) space.change(before, *next);
  }
  if (!next) {
    op.fail(next.error());
    answered(1, 0);
    return step_done(s);
  }
  ports::kv_batch batch{{blob_key(s->blob), to_record(*next)}};
  resume_later(s, std::move(batch), [this, s, op = std::move(op), record = *next, before](expected<void> result) {
    if (result) {
      s->record = record;
    } else {
      const std::lock_guard guard{mutex};
      space.change(record, before);
    }
    op.done(result);
    answered(1, 0);
  });
}

expected<void> file_blobs::core::write(strand& s, const std::vector<std::span<const std::uint8_t>>& parts) {
  const auto first = s.record->bytes == 0;
  if (!s.file) {
    auto file = files.open(path(s.blob), open_mode::create);
    if (!file) return std::move(file).error();
    s.file = std::move(*file);
    // A write that was never acknowledged may have left bytes in the file of a blob that has none.
    if (first) {
      if (auto cut = s.file->truncate(0); !cut) return cut;
    }
  }
  if (auto written = s.file->write_at(s.record->bytes, parts); !written) {
    // A full disk is survivable: give back what was taken. If that fails too, recovery cuts it off.
    if (written.error().code == errc::disk_full) (void)s.file->truncate(s.record->bytes);
    return written;
  }
  if (syncs(sync_point::blob_data)) {
    if (auto synced = s.file->sync_data(); !synced) return synced;
  }
  if (first && syncs(sync_point::blob_directory)) {
    if (auto synced = files.sync_directory(parent(s.blob)); !synced) return synced;
  }
  return {};
}

void file_blobs::core::append(const strand_ptr& s, std::vector<operation> ops) {
  std::size_t bytes = 0;
  for (const auto& op : ops) bytes += op.bytes.size();
  const auto count = ops.size();
  const auto ready = load_for_writing(*s);
  auto accepted = s->record ? s->record->bytes : 0;
  std::vector<std::span<const std::uint8_t>> parts;
  std::vector<std::pair<operation, std::uint64_t>> taken;  // with the durable length that it will answer
  std::vector<std::pair<operation, error>> refused;
  for (auto& op : ops) {
    auto ok = ready;
    if (ok) ok = check_append_bytes(op.bytes, op.crc);
    if (ok) ok = check_append(s->record ? &*s->record : nullptr, op.token, accepted, op.number, op.bytes.size());
    if (!ok) {
      refused.emplace_back(std::move(op), ok.error());
      continue;
    }
    accepted += op.bytes.size();
    parts.emplace_back(op.bytes.data(), op.bytes.size());
    taken.emplace_back(std::move(op), accepted);
  }
  if (!taken.empty()) {
    if (auto written = write(*s, parts); !written) {
      s->forget();
      for (auto& [op, length] : taken) refused.emplace_back(std::move(op), written.error());
      taken.clear();
    }
  }
  if (taken.empty()) {
    for (const auto& [op, why] : refused) op.fail(why);
    answered(count, bytes);
    return step_done(s);
  }
  const auto complete_before = s->digests.complete().size();
  for (const auto& part : parts) s->digests.update(part);
  auto record = *s->record;
  const auto before = record;
  record.bytes = accepted;
  ports::kv_batch batch{{blob_key(s->blob), to_record(record)}};
  if (s->digests.complete().size() > complete_before) put_pages(batch, s->blob, s->digests.complete(), complete_before);
  resume_later(s, std::move(batch),
               [this, s, taken = std::move(taken), refused = std::move(refused), record, before, count, bytes](expected<void> result) {
                 if (result) {
                   s->record = record;
                   const std::lock_guard guard{mutex};
                   space.change(before, record);
                 }
                 for (const auto& [op, length] : taken) {
                   if (result) {
                     op.done_length(length);
                   } else {
                     op.fail(result.error());
                   }
                 }
                 for (const auto& [op, why] : refused) op.fail(why);
                 answered(count, bytes);
               });
}

void file_blobs::core::truncate(const strand_ptr& s, operation op) {
  auto ready = load(*s);
  if (ready) ready = check_writer(s->record ? &*s->record : nullptr, op.token);
  if (ready && op.number > s->record->bytes) ready = error{errc::bad_range, "a blob cannot be truncated to more than it holds"};
  if (ready) ready = load_for_writing(*s);
  if (!ready || op.number == s->record->bytes) {
    op.done(ready);
    answered(1, 0);
    return step_done(s);
  }
  auto record = *s->record;
  const auto before = record;
  record.bytes = op.number;
  ports::kv_batch batch{{blob_key(s->blob), to_record(record)}};
  const auto& complete = s->digests.complete();
  const std::vector<sha256_digest> kept(complete.begin(), complete.begin() + static_cast<std::ptrdiff_t>(op.number / blob_block_bytes));
  if (kept.size() % page_blocks != 0) put_pages(batch, s->blob, kept, kept.size() - 1);
  for (auto page = (kept.size() + page_blocks - 1) / page_blocks; page * page_blocks < complete.size(); ++page)
    batch.push_back({block_page_key(s->blob, page), std::nullopt});
  // The index first: a file that is longer than its record is cut when it is next opened for writing, which is at once.
  resume_later(s, std::move(batch), [this, s, op = std::move(op), record, before](expected<void> result) {
    if (result) {
      s->forget();
      const std::lock_guard guard{mutex};
      space.change(before, record);
    }
    if (result) result = load_for_writing(*s);
    op.done(result);
    answered(1, 0);
  });
}

void file_blobs::core::seal(const strand_ptr& s, operation op) {
  auto ready = load(*s);
  if (ready && s->record && s->record->state == blob_state::sealed && s->record->bytes == op.number) {
    op.done_stat(stat_of(s->blob, *s->record));
    answered(1, 0);
    return step_done(s);
  }
  if (ready) ready = check_writer(s->record ? &*s->record : nullptr, op.token);
  if (ready && s->record->bytes != op.number) ready = error{errc::conflict, "the blob does not hold that many bytes"};
  if (ready) ready = load_for_writing(*s);
  if (!ready) {
    op.fail(ready.error());
    answered(1, 0);
    return step_done(s);
  }
  auto record = *s->record;
  const auto before = record;
  const auto blocks = s->digests.all();
  record.state = blob_state::sealed;
  record.bytes_max = record.bytes;
  record.digest = block_digests::root(blocks);
  ports::kv_batch batch{{blob_key(s->blob), to_record(record)}};
  if (blocks.size() > s->digests.complete().size()) put_pages(batch, s->blob, blocks, blocks.size() - 1);
  resume_later(s, std::move(batch), [this, s, op = std::move(op), record, before](expected<void> result) {
    s->forget();  // nobody writes to it any more
    if (result) {
      {
        const std::lock_guard guard{mutex};
        space.change(before, record);
      }
      op.done_stat(stat_of(s->blob, record));
    } else {
      op.fail(result.error());
    }
    answered(1, 0);
  });
}

void file_blobs::core::remove(const strand_ptr& s, operation op) {
  auto ready = load(*s);
  if (!ready || (s->record && s->record->state == blob_state::dead)) {
    op.done(ready);
    answered(1, 0);
    return step_done(s);
  }
  blob_record dead;
  dead.state = blob_state::dead;
  bury(s, std::move(op), dead);
}

void file_blobs::core::drop(const strand_ptr& s, operation op) {
  auto ready = load(*s);
  if (ready && s->record && s->record->state == blob_state::dead) ready = error{errc::conflict, "the blob is deleted, and its tombstone stays"};
  if (!ready || !s->record) {
    op.done(ready);
    answered(1, 0);
    return step_done(s);
  }
  bury(s, std::move(op), std::nullopt);
}

/// The record first: a file that no living record names is removed at the next start, should it outlive this.
void file_blobs::core::bury(const strand_ptr& s, operation op, std::optional<blob_record> grave) {
  const auto before = s->record ? *s->record : blob_record{};
  ports::kv_batch batch{{blob_key(s->blob), grave ? std::optional{to_record(*grave)} : std::nullopt}};
  for (std::uint64_t page = 0; page * page_blocks < blocks_of(before.bytes); ++page)
    batch.push_back({block_page_key(s->blob, page), std::nullopt});
  resume_later(s, std::move(batch), [this, s, op = std::move(op), before](expected<void> result) {
    s->forget();
    if (result) {
      forget_cached(s->blob);
      (void)files.unlink(path(s->blob));  // it is dead already; what stays behind goes at the next start
      const std::lock_guard guard{mutex};
      space.change(before, {});
    }
    op.done(result);
    answered(1, 0);
  });
}

expected<void> file_blobs::core::write_block(strand& s, const operation& op) {
  if (auto ok = load(s); !ok) return ok;
  if (auto ok = check_mend(s.record ? &*s.record : nullptr, op.number, op.bytes.size()); !ok) return ok;
  const auto block = op.number / blob_block_bytes;
  const auto page = find_page(s.blob, block / page_blocks, true);
  if (!page) return page.error();
  const std::span<const std::uint8_t> bytes{op.bytes.data(), op.bytes.size()};
  if (block % page_blocks >= page->blocks.size() || sha256::of(bytes) != page->blocks[block % page_blocks])
    return {errc::corrupt, "the bytes do not match the block's digest"};
  auto file = files.open(path(s.blob), open_mode::create);
  if (!file) return std::move(file).error();
  if (auto written = (*file)->write_at(op.number, std::span{&bytes, 1}); !written) return written;
  if (syncs(sync_point::blob_data)) {
    if (auto synced = (*file)->sync_data(); !synced) return synced;
  }
  // The file may have been gone altogether.
  if (syncs(sync_point::blob_directory)) return files.sync_directory(parent(s.blob));
  return {};
}

void file_blobs::core::mend(const strand_ptr& s, operation op) {
  const auto bytes = op.bytes.size();
  const auto result = write_block(*s, op);
  s->forget();
  op.done(result);
  answered(1, bytes);
  step_done(s);
}

// ---- reads ---------------------------------------------------------------------------------------------------------

expected<ports::blob_look> file_blobs::core::look(blob_id blob) {
  auto value = wait_for<std::optional<std::string>>([&](auto answer) { index.get(blob_key(blob), std::move(answer)); });
  if (!value) return std::move(value).error();
  if (!*value) return look_of(blob, nullptr);
  const auto record = read_blob_record(**value);
  if (!record) return record.error();
  return look_of(blob, &*record);
}

expected<blob_record> file_blobs::core::find_record(blob_id blob) {
  if (auto known = records.find(blob)) return *known;
  auto value = wait_for<std::optional<std::string>>([&](auto done) { index.get(blob_key(blob), std::move(done)); });
  if (!value) return std::move(value).error();
  if (!*value) return {errc::not_found, "no such blob"};
  auto record = read_blob_record(**value);
  if (!record) return record;
  if (record->state == blob_state::dead) return {errc::not_found, "no such blob"};
  if (record->state == blob_state::sealed) records.put(blob, *record);
  return record;
}

expected<block_page> file_blobs::core::find_page(blob_id blob, std::uint64_t page, bool sealed) {
  if (sealed) {
    if (auto known = pages.find({blob, page})) return *known;
  }
  auto value = wait_for<std::optional<std::string>>([&](auto done) { index.get(block_page_key(blob, page), std::move(done)); });
  if (!value) return std::move(value).error();
  if (!*value) return {errc::corrupt, "the block digests of a blob are missing"};
  auto found = from_record<block_page>(**value);
  if (found && found->blocks.size() > page_blocks) return {errc::corrupt, "a page of block digests is too long"};
  if (found && sealed) pages.put({blob, page}, *found);
  return found;
}

expected<buffer> file_blobs::core::read(blob_id blob, std::uint64_t offset, std::uint32_t bytes) {
  auto record = find_record(blob);
  if (!record) return std::move(record).error();
  const auto sealed = record->state == blob_state::sealed;
  const auto count = readable_bytes(record->bytes, offset, bytes);
  if (!count) return count.error();
  if (*count == 0) return buffer{};
  // Whole blocks, because a digest covers a whole block; the caller gets a slice.
  const auto from = offset / blob_block_bytes * blob_block_bytes;
  const auto to = std::min(blocks_of(offset + *count) * blob_block_bytes, record->bytes);
  const auto size = static_cast<std::size_t>(to - from);
  const std::shared_ptr<std::uint8_t[]> memory{new std::uint8_t[size]};
  {
    const auto file = files.open(path(blob), open_mode::read);
    if (!file)
      return {file.error().code == errc::not_found ? errc::corrupt : file.error().code,
              "a blob's file cannot be opened: " + file.error().message};
    const auto have = (*file)->read_at(from, {memory.get(), size});
    if (!have) return have.error();
    if (*have != size) return {errc::corrupt, "a blob's file is shorter than its record"};
  }
  std::optional<std::uint64_t> page_number;
  block_page page;
  for (auto block = from / blob_block_bytes; block * blob_block_bytes < to; ++block) {
    const auto start = block * blob_block_bytes;
    const auto end = std::min(start + blob_block_bytes, to);
    if (!sealed && end - start < blob_block_bytes) break;  // the last block of an open blob has no digest yet
    if (page_number != block / page_blocks) {
      page_number = block / page_blocks;
      auto found = find_page(blob, *page_number, sealed);
      if (!found) return std::move(found).error();
      page = std::move(*found);
    }
    const auto within = block % page_blocks;
    if (within >= page.blocks.size()) return {errc::corrupt, "a block has no digest"};
    if (sha256::of(std::span<const std::uint8_t>{memory.get() + (start - from), static_cast<std::size_t>(end - start)}) !=
        page.blocks[within])
      return {errc::corrupt, "block " + std::to_string(block) + " of a blob does not match its digest"};
  }
  return buffer{memory, memory.get() + (offset - from), *count};
}

expected<std::vector<ports::blob_stat>> file_blobs::core::list(blob_id after, std::uint32_t limit) {
  if (limit == 0 || limit > 1000) return {errc::invalid_argument, "a list asks for 1 to 1000 blobs"};
  std::vector<ports::blob_stat> found;
  for (auto key = blob_key(after); found.size() < limit;) {
    auto page = wait_for<ports::kv_pairs>([&](auto done) { index.scan(std::string{blob_key_prefix}, key, kv_scan_max, std::move(done)); });
    if (!page) return std::move(page).error();
    for (const auto& [k, value] : *page) {
      const auto blob = blob_of_key(k);
      if (!blob) return blob.error();
      const auto record = read_blob_record(value);
      if (!record) return record.error();
      if (record->state != blob_state::dead && found.size() < limit) found.push_back(stat_of(*blob, *record));
    }
    if (page->size() < kv_scan_max) break;
    key = page->back().first;
  }
  return found;
}

// ---- the port ------------------------------------------------------------------------------------------------------

void file_blobs::reserve(ports::write_token token, ports::completion<void> done) {
  operation op;
  op.kind = operation_kind::reserve;
  op.token = token;
  op.done = std::move(done);
  core_->submit(token.blob, std::move(op));
}

void file_blobs::open_write(ports::write_token token, ports::completion<std::uint64_t> done) {
  operation op;
  op.kind = operation_kind::open_write;
  op.token = token;
  op.done_length = std::move(done);
  core_->submit(token.blob, std::move(op));
}

void file_blobs::append(ports::write_token token, std::uint64_t offset, buffer bytes, std::uint32_t crc,
                        ports::completion<std::uint64_t> done) {
  operation op;
  op.kind = operation_kind::append;
  op.token = token;
  op.number = offset;
  op.bytes = std::move(bytes);
  op.crc = crc;
  op.done_length = std::move(done);
  core_->submit(token.blob, std::move(op));
}

void file_blobs::truncate(ports::write_token token, std::uint64_t bytes, ports::completion<void> done) {
  operation op;
  op.kind = operation_kind::truncate;
  op.token = token;
  op.number = bytes;
  op.done = std::move(done);
  core_->submit(token.blob, std::move(op));
}

void file_blobs::seal(ports::write_token token, std::uint64_t bytes, ports::completion<ports::blob_stat> done) {
  operation op;
  op.kind = operation_kind::seal;
  op.token = token;
  op.number = bytes;
  op.done_stat = std::move(done);
  core_->submit(token.blob, std::move(op));
}

void file_blobs::remove(blob_id blob, ports::completion<void> done) {
  operation op;
  op.kind = operation_kind::remove;
  op.token.blob = blob;
  op.done = std::move(done);
  core_->submit(blob, std::move(op));
}

void file_blobs::drop(blob_id blob, ports::completion<void> done) {
  operation op;
  op.kind = operation_kind::drop;
  op.token.blob = blob;
  op.done = std::move(done);
  core_->submit(blob, std::move(op));
}

void file_blobs::mend(blob_id blob, std::uint64_t offset, buffer bytes, ports::completion<void> done) {
  operation op;
  op.kind = operation_kind::mend;
  op.token.blob = blob;
  op.number = offset;
  op.bytes = std::move(bytes);
  op.done = std::move(done);
  core_->submit(blob, std::move(op));
}

namespace {
/// Runs a read on the reading threads, or answers that there are too many.
template <class T>
void on_readers(thread_pool& readers, ports::completion<T> done, std::function<expected<T>()> work) {
  if (readers.post([work = std::move(work), done] { done(work()); })) return;
  readers.post_always([done = std::move(done)] { done(error{errc::limited, "too many reads are waiting for the disk"}); });
}
}  // namespace

void file_blobs::read(blob_id blob, std::uint64_t offset, std::uint32_t bytes, ports::completion<buffer> done) {
  on_readers<buffer>(core_->readers, std::move(done), [c = core_.get(), blob, offset, bytes] { return c->read_twice(blob, offset, bytes); });
}

void file_blobs::check_all(std::vector<blob_id> blobs, ports::completion<std::vector<errc>> done) {
  on_readers<std::vector<errc>>(core_->readers, std::move(done), [c = core_.get(), blobs = std::move(blobs)]() -> expected<std::vector<errc>> {
    if (blobs.size() > ports::looks_max) return {errc::invalid_argument, "a check is of 1000 blobs at most"};
    std::vector<errc> found;
    found.reserve(blobs.size());
    for (const auto blob : blobs) {
      const auto block = c->read_twice(blob, 0, static_cast<std::uint32_t>(blob_block_bytes));
      found.push_back(block ? errc::none : block.error().code);
    }
    return found;
  });
}

void file_blobs::stat(blob_id blob, ports::completion<ports::blob_stat> done) {
  on_readers<ports::blob_stat>(core_->readers, std::move(done), [c = core_.get(), blob]() -> expected<ports::blob_stat> {
    auto record = c->find_record(blob);
    if (!record) return std::move(record).error();
    return stat_of(blob, *record);
  });
}

void file_blobs::look(blob_id blob, ports::completion<ports::blob_look> done) {
  on_readers<ports::blob_look>(core_->readers, std::move(done), [c = core_.get(), blob] { return c->look(blob); });
}

void file_blobs::look_all(std::vector<blob_id> blobs, ports::completion<std::vector<ports::blob_look>> done) {
  on_readers<std::vector<ports::blob_look>>(core_->readers, std::move(done), [c = core_.get(), blobs = std::move(blobs)]() -> expected<std::vector<ports::blob_look>> {
    if (blobs.size() > ports::looks_max) return {errc::invalid_argument, "a look is at 1000 blobs at most"};
    std::vector<ports::blob_look> found;
    found.reserve(blobs.size());
    for (const auto blob : blobs) {
      auto look = c->look(blob);
      if (!look) return std::move(look).error();
      found.push_back(*look);
    }
    return found;
  });
}

void file_blobs::list(blob_id after, std::uint32_t limit, ports::completion<std::vector<ports::blob_stat>> done) {
  on_readers<std::vector<ports::blob_stat>>(core_->readers, std::move(done),
                                            [c = core_.get(), after, limit] { return c->list(after, limit); });
}

}  // namespace latham::store
