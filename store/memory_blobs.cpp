#include "store/memory_blobs.hpp"

#include <algorithm>
#include <deque>
#include <mutex>
#include <utility>

namespace latham::store {

namespace {
std::span<const std::uint8_t> as_bytes(const std::string& s) {
  return {reinterpret_cast<const std::uint8_t*>(s.data()), s.size()};
}
}  // namespace

struct memory_blobs::state {
  struct stored {
    blob_record record;
    std::string bytes;
    block_digests digests;  // of what was written, so that rot is found
    bool rotten = false;    // only then is a read worth hashing: nothing else changes bytes behind our back

    [[nodiscard]] bool whole(std::uint64_t offset, std::uint64_t count) const {
      if (!rotten) return true;
      const auto expected_digests = digests.all();
      for (auto block = offset / blob_block_bytes; count > 0 && block <= (offset + count - 1) / blob_block_bytes; ++block) {
        const auto part = as_bytes(bytes).subspan(block * blob_block_bytes);
        if (sha256::of(part.first(std::min<std::size_t>(part.size(), blob_block_bytes))) != expected_digests[block]) return false;
      }
      return true;
    }
  };
  struct operation {
    /// Takes effect under the lock and answers what to call once it is released.
    std::function<std::function<void()>()> run;
    std::uint64_t bytes = 0;                    // of an append
    std::function<bool(std::uint64_t)> tear;    // appends only so many of them; false when it would have failed
  };

  state(run_later l, memory_blobs_options o) : later{std::move(l)}, options{o} {}

  template <class T>
  static void start(const std::shared_ptr<state>& self, blob_id blob, ports::completion<T> done, std::function<expected<T>()> effect, std::uint64_t bytes = 0, std::function<bool(std::uint64_t)> tear = {}) {
    const std::lock_guard guard{self->mutex};
    if (self->waiting >= self->options.operations_waiting_max) {
      self->later([self, life = self->life, done = std::move(done)] {
        if (self->in_life(life)) done(error{errc::limited, "too many operations are under way"});
      });
      return;
    }
    ++self->waiting;
    self->queues[blob].push_back({[effect = std::move(effect), done = std::move(done)]() -> std::function<void()> {
                                    return [done, result = effect()] { done(result); };
                                  },
                                  bytes, std::move(tear)});
    self->later([self, life = self->life, blob] {
      std::function<void()> answer;
      {
        const std::lock_guard inner{self->mutex};
        if (self->life != life) return;
        answer = self->step(blob);
      }
      if (answer) answer();
    });
  }

  bool in_life(std::uint64_t l) {
    const std::lock_guard guard{mutex};
    return life == l;
  }

  std::function<void()> step(blob_id blob) {
    const auto at = queues.find(blob);
    if (at == queues.end()) return nullptr;
    auto next = std::move(at->second.front());
    at->second.pop_front();
    if (at->second.empty()) queues.erase(at);
    --waiting;
    return next.run();
  }

  void put(blob_record& into, const blob_record& record) {
    space.change(into, record);
    into = record;
  }
  void put_length(blob_record& into, std::uint64_t bytes) {
    auto record = into;
    record.bytes = bytes;
    put(into, record);
  }

  blob_record* find(blob_id blob) {
    const auto at = blobs.find(blob);
    return at == blobs.end() ? nullptr : &at->second.record;
  }
  [[nodiscard]] expected<void> writable() const {
    if (failing != errc::none) return {failing, "the store was told to fail"};
    return {};
  }
  const run_later later;
  memory_blobs_options options;
  std::mutex mutex;
  std::map<blob_id, stored> blobs;
  std::map<blob_id, std::deque<operation>> queues;
  space_account space;
  std::size_t waiting = 0;
  std::uint64_t life = 0;
  errc failing = errc::none;
};

memory_blobs::memory_blobs(run_later later, memory_blobs_options options) : state_{std::make_shared<state>(std::move(later), options)} {}
memory_blobs::~memory_blobs() = default;

void memory_blobs::reserve(ports::write_token token, ports::completion<void> done) {
  state::start<void>(state_, token.blob, std::move(done), [s = state_.get(), token]() -> expected<void> {
    if (auto ok = s->writable(); !ok) return ok;
    auto record = reserved_record(s->find(token.blob), token);
    if (!record) return std::move(record).error();
    const auto* before = s->find(token.blob);
    const auto was = before == nullptr ? 0 : space_of(*before).promised, is = space_of(*record).promised;
    const auto taken = s->space.all().held + s->space.all().promised;
    if (is > was && taken + (is - was) > s->options.capacity_bytes)
      return {errc::disk_full, "no space for a blob of this size"};
    s->put(s->blobs[token.blob].record, *record);
    return {};
  });
}

void memory_blobs::open_write(ports::write_token token, ports::completion<std::uint64_t> done) {
  state::start<std::uint64_t>(state_, token.blob, std::move(done), [s = state_.get(), token]() -> expected<std::uint64_t> {
    const auto* record = s->find(token.blob);
    if (auto ok = check_writer(record, token); !ok) return std::move(ok).error();
    return record->bytes;
  });
}

void memory_blobs::append(ports::write_token token, std::uint64_t offset, buffer bytes, std::uint32_t crc,
                          ports::completion<std::uint64_t> done) {
  const auto size = bytes.size();
  // Of the bytes, the first `most`.
  const auto add = [s = state_.get(), token, offset, bytes = std::move(bytes), crc](std::uint64_t most) -> expected<std::uint64_t> {
    if (auto ok = check_append_bytes(bytes, crc); !ok) return std::move(ok).error();
    const auto* record = s->find(token.blob);
    const auto accepted = record == nullptr ? 0 : record->bytes;
    if (auto ok = check_append(record, token, accepted, offset, bytes.size()); !ok) return std::move(ok).error();
    if (auto ok = s->writable(); !ok) return std::move(ok).error();
    auto& blob = s->blobs[token.blob];
    blob.bytes += bytes.view().substr(0, most);
    s->put_length(blob.record, blob.bytes.size());
    blob.digests.update({bytes.data(), std::min<std::size_t>(bytes.size(), most)});
    return blob.record.bytes;
  };
  state::start<std::uint64_t>(state_, token.blob, std::move(done), [add, size] { return add(size); }, size, [add](std::uint64_t most) { return add(most).has_value(); });
}

void memory_blobs::truncate(ports::write_token token, std::uint64_t bytes, ports::completion<void> done) {
  state::start<void>(state_, token.blob, std::move(done), [s = state_.get(), token, bytes]() -> expected<void> {
    if (auto ok = check_writer(s->find(token.blob), token); !ok) return ok;
    auto& blob = s->blobs[token.blob];
    if (bytes > blob.record.bytes) return {errc::bad_range, "a blob cannot be truncated to more than it holds"};
    if (auto ok = s->writable(); !ok) return ok;
    blob.bytes.resize(bytes);
    s->put_length(blob.record, bytes);
    blob.digests = {};
    blob.digests.update(as_bytes(blob.bytes));
    return {};
  });
}

void memory_blobs::seal(ports::write_token token, std::uint64_t bytes, ports::completion<ports::blob_stat> done) {
  state::start<ports::blob_stat>(state_, token.blob, std::move(done), [s = state_.get(), token, bytes]() -> expected<ports::blob_stat> {
    auto* record = s->find(token.blob);
    if (record != nullptr && record->state == blob_state::sealed && record->bytes == bytes) return stat_of(token.blob, *record);
    if (auto ok = check_writer(record, token); !ok) return std::move(ok).error();
    if (record->bytes != bytes) return {errc::conflict, "the blob does not hold that many bytes"};
    if (auto ok = s->writable(); !ok) return std::move(ok).error();
    auto sealed = *record;
    sealed.state = blob_state::sealed;
    sealed.digest = block_digests::root(s->blobs[token.blob].digests.all());
    s->put(*record, sealed);
    return stat_of(token.blob, *record);
  });
}

void memory_blobs::read(blob_id id, std::uint64_t offset, std::uint32_t bytes, ports::completion<buffer> done) {
  state::start<buffer>(state_, id, std::move(done), [s = state_.get(), id, offset, bytes]() -> expected<buffer> {
    const auto at = s->blobs.find(id);
    if (at == s->blobs.end() || at->second.record.state == blob_state::dead) return {errc::not_found, "no such blob"};
    const auto& blob = at->second;
    const auto count = readable_bytes(blob.bytes.size(), offset, bytes);
    if (!count) return count.error();
    if (!blob.whole(offset, *count)) return {errc::corrupt, "a block does not match its digest"};
    return buffer{blob.bytes.substr(offset, *count)};
  });
}

void memory_blobs::stat(blob_id id, ports::completion<ports::blob_stat> done) {
  state::start<ports::blob_stat>(state_, id, std::move(done), [s = state_.get(), id]() -> expected<ports::blob_stat> {
    const auto* record = s->find(id);
    if (record == nullptr || record->state == blob_state::dead) return {errc::not_found, "no such blob"};
    return stat_of(id, *record);
  });
}

void memory_blobs::remove(blob_id id, ports::completion<void> done) {
  state::start<void>(state_, id, std::move(done), [s = state_.get(), id]() -> expected<void> {
    if (auto ok = s->writable(); !ok) return ok;
    auto& blob = s->blobs[id];
    blob_record dead;
    dead.state = blob_state::dead;
    s->put(blob.record, dead);
    std::string{}.swap(blob.bytes);
    blob.digests = {};
    return {};
  });
}

void memory_blobs::list(blob_id after, std::uint32_t limit, ports::completion<std::vector<ports::blob_stat>> done) {
  state::start<std::vector<ports::blob_stat>>(
      state_, blob_id{}, std::move(done), [s = state_.get(), after, limit]() -> expected<std::vector<ports::blob_stat>> {
        if (limit == 0 || limit > 1000) return {errc::invalid_argument, "a list asks for 1 to 1000 blobs"};
        std::vector<ports::blob_stat> found;
        for (auto at = s->blobs.upper_bound(after); at != s->blobs.end() && found.size() < limit; ++at) {
          if (at->second.record.state != blob_state::dead) found.push_back(stat_of(at->first, at->second.record));
        }
        return found;
      });
}

void memory_blobs::look(blob_id id, ports::completion<ports::blob_look> done) {
  state::start<ports::blob_look>(state_, id, std::move(done), [s = state_.get(), id]() -> expected<ports::blob_look> {
    return look_of(id, s->find(id));
  });
}

void memory_blobs::look_all(std::vector<blob_id> blobs, ports::completion<std::vector<ports::blob_look>> done) {
  state::start<std::vector<ports::blob_look>>(state_, blob_id{}, std::move(done), [s = state_.get(), blobs = std::move(blobs)]() -> expected<std::vector<ports::blob_look>> {
    if (blobs.size() > ports::looks_max) return {errc::invalid_argument, "a look is at 1000 blobs at most"};
    std::vector<ports::blob_look> found;
    found.reserve(blobs.size());
    for (const auto id : blobs) found.push_back(look_of(id, s->find(id)));
    return found;
  });
}

void memory_blobs::check_all(std::vector<blob_id> blobs, ports::completion<std::vector<errc>> done) {
  state::start<std::vector<errc>>(state_, blob_id{}, std::move(done), [s = state_.get(), blobs = std::move(blobs)]() -> expected<std::vector<errc>> {
    if (blobs.size() > ports::looks_max) return {errc::invalid_argument, "a check is of 1000 blobs at most"};
    std::vector<errc> found;
    found.reserve(blobs.size());
    for (const auto id : blobs) {
      const auto at = s->blobs.find(id);
      const bool here = at != s->blobs.end() && at->second.record.state != blob_state::dead;
      found.push_back(!here ? errc::not_found : at->second.whole(0, std::min<std::uint64_t>(blob_block_bytes, at->second.bytes.size())) ? errc::none : errc::corrupt);
    }
    return found;
  });
}

void memory_blobs::drop(blob_id id, ports::completion<void> done) {
  state::start<void>(state_, id, std::move(done), [s = state_.get(), id]() -> expected<void> {
    const auto* record = s->find(id);
    if (record == nullptr) return {};
    if (record->state == blob_state::dead) return {errc::conflict, "the blob is deleted, and its tombstone stays"};
    if (auto ok = s->writable(); !ok) return ok;
    s->space.change(*record, {});
    s->blobs.erase(id);
    return {};
  });
}

void memory_blobs::mend(blob_id id, std::uint64_t offset, buffer bytes, ports::completion<void> done) {
  state::start<void>(state_, id, std::move(done), [s = state_.get(), id, offset, bytes = std::move(bytes)]() -> expected<void> {
    if (auto ok = check_mend(s->find(id), offset, bytes.size()); !ok) return ok;
    if (auto ok = s->writable(); !ok) return ok;
    auto& blob = s->blobs[id];
    if (sha256::of(std::span{bytes.data(), bytes.size()}) != blob.digests.all()[offset / blob_block_bytes])
      return {errc::corrupt, "the bytes do not match the block's digest"};
    blob.bytes.replace(offset, bytes.size(), bytes.view());
    blob.rotten = !blob.whole(0, blob.bytes.size());
    return {};
  });
}

std::vector<ports::blob_stat> memory_blobs::contents() const {
  const std::lock_guard guard{state_->mutex};
  std::vector<ports::blob_stat> out;
  for (const auto& [id, blob] : state_->blobs)
    if (blob.record.state != blob_state::dead) out.push_back(stat_of(id, blob.record));
  return out;
}

std::size_t memory_blobs::power_cut(std::size_t survivors, const torn_at& torn) {
  std::size_t appends_torn = 0;
  std::map<blob_id, std::deque<state::operation>> lost;  // destroyed after the lock: completions may own anything
  const std::lock_guard guard{state_->mutex};
  lost.swap(state_->queues);
  for (auto& [id, queue] : lost) {
    for (std::size_t i = 0; i < std::min(survivors, queue.size()); ++i) (void)queue[i].run();
    if (!torn || queue.size() <= survivors || !queue[survivors].tear) continue;
    const auto& cut = queue[survivors];
    if (const auto bytes = torn(cut.bytes); bytes > 0 && bytes < cut.bytes && cut.tear(bytes)) ++appends_torn;
  }
  state_->waiting = 0;
  ++state_->life;
  state_->failing = errc::none;
  return appends_torn;
}

void memory_blobs::set_capacity(std::uint64_t bytes) {
  const std::lock_guard guard{state_->mutex};
  state_->options.capacity_bytes = bytes;
}

blob_space memory_blobs::space() const {
  const std::lock_guard guard{state_->mutex};
  return state_->space.all();
}

blob_space memory_blobs::space_counted() const {
  const std::lock_guard guard{state_->mutex};
  blob_space all;
  for (const auto& [id, blob] : state_->blobs) {
    all.held += blob.bytes.size();
    all.promised += blob.record.state == blob_state::open ? blob.record.bytes_max - blob.bytes.size() : 0;
  }
  return all;
}

void memory_blobs::fail_writes(errc code) {
  const std::lock_guard guard{state_->mutex};
  state_->failing = code;
}

bool memory_blobs::rot(blob_id id, std::uint64_t offset) {
  const std::lock_guard guard{state_->mutex};
  const auto at = state_->blobs.find(id);
  if (at == state_->blobs.end() || offset >= at->second.bytes.size()) return false;
  at->second.bytes[offset] = static_cast<char>(at->second.bytes[offset] ^ 1);
  at->second.rotten = true;
  return true;
}

std::vector<blob_id> memory_blobs::damaged() const {
  const std::lock_guard guard{state_->mutex};
  std::vector<blob_id> out;
  for (const auto& [id, blob] : state_->blobs)
    if (blob.rotten && blob.record.state != blob_state::dead && !blob.whole(0, blob.bytes.size())) out.push_back(id);
  return out;
}

sha256_digest memory_blobs::digest_of_stored(blob_id id) const {
  const std::lock_guard guard{state_->mutex};
  const auto at = state_->blobs.find(id);
  block_digests digests;
  if (at != state_->blobs.end()) digests.update(as_bytes(at->second.bytes));
  return block_digests::root(digests.all());
}

}  // namespace latham::store
