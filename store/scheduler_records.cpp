#include "store/scheduler_records.hpp"

#include "core/codec.hpp"
#include "store/schema.hpp"

namespace latham::store {

namespace {
template <class... Fs>
struct overloaded : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
overloaded(Fs...) -> overloaded<Fs...>;

template <class T>
expected<void> load_as(const std::string& value, scheduler& into) {
  auto record = from_record<T>(value);
  if (!record) return std::move(record).error();
  into.load(std::move(*record));
  return {};
}
}  // namespace

void append_writes(const std::vector<scheduler_write>& writes, ports::kv_batch& batch) {
  for (const auto& write : writes)
    std::visit(overloaded{[&](const video_record& x) { batch.push_back({video_key(x.request.video), to_record(x)}); },
                          [&](const task_record& x) { batch.push_back({task_key(x.id), to_record(x)}); },
                          [&](const lease_record& x) { batch.push_back({lease_key(x.held), to_record(x)}); },
                          [&](const scheduler_meta& x) { batch.push_back({key_scheduler_meta, to_record(x)}); },
                          [&](const erase_lease& x) { batch.push_back({lease_key(x.held), std::nullopt}); },
                          [&](const erase_video& x) {
                            batch.push_back({video_key(x.video), std::nullopt});
                            batch.push_back({task_key({x.video, task_kind::plan, 0}), std::nullopt});
                            for (std::uint32_t i = 0; i < x.chunks; ++i) batch.push_back({task_key({x.video, task_kind::video, i}), std::nullopt});
                            for (std::uint32_t i = 0; i < x.audio; ++i) batch.push_back({task_key({x.video, task_kind::audio, i}), std::nullopt});
                            for (std::uint32_t i = 0; i < x.text; ++i) batch.push_back({task_key({x.video, task_kind::text, i}), std::nullopt});
                          }},
               write);
}

expected<void> load_pair(const std::string& key, const std::string& value, scheduler& into) {
  if (key == key_scheduler_meta) return load_as<scheduler_meta>(value, into);
  if (key.starts_with(prefix_videos)) return load_as<video_record>(value, into);
  if (key.starts_with(prefix_tasks)) return load_as<task_record>(value, into);
  if (key.starts_with(prefix_leases)) return load_as<lease_record>(value, into);
  return {};
}

expected<epoch> read_meta(const std::optional<std::string>& value) {
  if (!value) return epoch{};
  auto record = from_record<scheduler_meta>(*value);
  if (!record) return std::move(record).error();
  return record->last;
}

}  // namespace latham::store
