#include "sim/checkers.hpp"

#include "core/codec.hpp"
#include "store/schema.hpp"

namespace latham::sim {

void states_follow_edges::on_video(const video_record& r) {
  auto [at, fresh] = last_.try_emplace(r.request.video, r.state);
  if (fresh) return;
  const auto from = std::exchange(at->second, r.state);
  if (from == r.state || is_edge(from, r.state)) return;
  // One durable write may stand for several steps (queued, planning, encoding): each of them must be an edge.
  using enum video_state;
  constexpr video_state all[] = {receiving, queued, planning, encoding, finishing, ready, failed, deleting};
  std::set<video_state> reached{from};
  for (int step = 0; step < 8; ++step)
    for (auto a : all)
      for (auto b : all)
        if (reached.contains(a) && is_edge(a, b)) reached.insert(b);
  if (!reached.contains(r.state))
    throw violation{"states_follow_edges", to_string(r.request.video) + " went from " + std::string{to_string(from)} + " to " + std::string{to_string(r.state)}};
}

void one_commit_per_task::on_task(const task_record& r) {
  auto at = committed_.find(r.id);
  if (at != committed_.end() && !(at->second == r)) throw violation{"one_commit_per_task", to_string(r.id) + " changed after its commit"};
  if (r.state == task_state::committed) committed_.emplace(r.id, r);
}

void epochs_only_grow::on_lease(const lease_record& r) {
  if (!(newest_ < r.held)) throw violation{"epochs_only_grow", "epoch " + to_string(r.held) + " was granted after " + to_string(newest_)};
  newest_ = r.held;
}

void epochs_only_grow::on_task(const task_record& r) {
  auto& held = held_[r.id];
  if (r.held < held) throw violation{"epochs_only_grow", to_string(r.id) + " went back to epoch " + to_string(r.held)};
  held = r.held;
}

void attempts_are_bounded::on_task(const task_record& r) {
  if (r.attempts > attempts_max) throw violation{"attempts_are_bounded", to_string(r.id) + " was granted " + std::to_string(r.attempts) + " times"};
}

void outputs_equal_a_calm_run::on_task(const task_record& r) {
  if (r.state != task_state::committed || r.id.kind == task_kind::plan) return;
  auto video = videos_.find(r.id.video);
  if (video == videos_.end()) return;  // the acknowledgement is still on its way to the client
  auto& digest = expected_[r.id];
  if (digest == sha256_digest{}) digest = build_output_blob(model_pieces(video->second.model, video->second.seed, r.id.kind, r.id.index)).digest;
  if (r.output.digest != digest) throw violation{"outputs_equal_a_calm_run", to_string(r.id) + " has other bytes"};
  if (r.found != model_findings(video->second.model, video->second.seed, r.id.kind, r.id.index)) throw violation{"outputs_equal_a_calm_run", to_string(r.id) + " found something else"};
}

void watched_kv::commit(ports::kv_batch batch, ports::completion<void> done) {
  auto seen = std::make_shared<ports::kv_batch>(batch);
  inner_.commit(std::move(batch), [this, seen, done = std::move(done)](expected<void> result) {
    if (result) {
      for (const auto& write : *seen) {
        if (!write.value) continue;
        const auto look = [&]<class T>(const char* prefix, void (record_checker::*f)(const T&)) {
          if (!write.key.starts_with(prefix)) return;
          auto record = from_record<T>(*write.value);
          if (!record) throw violation{"records_decode", write.key + ": " + record.error().message};
          for (auto* checker : checkers_) (checker->*f)(*record);
        };
        look.template operator()<video_record>(store::prefix_videos, &record_checker::on_video);
        look.template operator()<task_record>(store::prefix_tasks, &record_checker::on_task);
        look.template operator()<lease_record>(store::prefix_leases, &record_checker::on_lease);
      }
    }
    done(std::move(result));
  });
}

}  // namespace latham::sim
