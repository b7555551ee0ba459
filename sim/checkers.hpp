// One class per invariant, named after it. Safety checkers look at every durable write of the scheduler and at every
// acknowledgement as it happens; liveness checkers look at the end, after the faults have healed. A checker that finds
// something throws `violation`, which ends the run with its seed.
#pragma once

#include "core/ports/kv_store.hpp"
#include "core/scheduler/records.hpp"
#include "sim/model_engine.hpp"
#include "store/memory_blobs.hpp"
#include "store/memory_kv.hpp"

#include <map>
#include <set>
#include <stdexcept>
#include <string>

namespace latham::sim {

struct violation : std::runtime_error {
  violation(std::string checker_name, const std::string& what) : std::runtime_error{what}, checker{std::move(checker_name)} {}
  std::string checker;
};

/// What the client of the run knows of a video whose upload was acknowledged.
struct accepted_video {
  model_video model;
  std::uint64_t seed = 0;
  std::string source;
};
using accepted_videos = std::map<video_id, accepted_video>;

/// Sees every durable write of the scheduler.
class record_checker {
public:
  virtual ~record_checker() = default;
  virtual void on_video(const video_record&) {}
  virtual void on_task(const task_record&) {}
  virtual void on_lease(const lease_record&) {}
};

/// States of a video move only along the drawn edges.
class states_follow_edges : public record_checker {
public:
  void on_video(const video_record& r) override;

private:
  std::map<video_id, video_state> last_;
};

/// Each task commits once: what was committed stays as it was.
class one_commit_per_task : public record_checker {
public:
  void on_task(const task_record& r) override;

private:
  std::map<task_id, task_record> committed_;
};

/// No epoch is granted twice, and a task's epochs only grow: at most one lease on it is valid.
class epochs_only_grow : public record_checker {
public:
  void on_lease(const lease_record& r) override;
  void on_task(const task_record& r) override;

private:
  epoch newest_;
  std::map<task_id, epoch> held_;
};

/// A task is granted at most attempts_max times.
class attempts_are_bounded : public record_checker {
public:
  void on_task(const task_record& r) override;
};

/// A committed output is the one that a calm run makes, and so is what was found in the source on the way.
class outputs_equal_a_calm_run : public record_checker {
public:
  explicit outputs_equal_a_calm_run(const accepted_videos& videos) : videos_{videos} {}
  void on_task(const task_record& r) override;

private:
  const accepted_videos& videos_;
  std::map<task_id, sha256_digest> expected_;
};

/// The scheduler's key-value store, with checkers looking on. A write counts when it is durable.
class watched_kv final : public ports::kv_store {
public:
  watched_kv(ports::kv_store& inner, std::vector<record_checker*> checkers) : inner_{inner}, checkers_{std::move(checkers)} {}
  void commit(ports::kv_batch batch, ports::completion<void> done) override;
  void get(std::string key, ports::completion<std::optional<std::string>> done) override { inner_.get(std::move(key), std::move(done)); }
  void scan(std::string prefix, std::string after, std::uint32_t limit, ports::completion<ports::kv_pairs> done) override {
    inner_.scan(std::move(prefix), std::move(after), limit, std::move(done));
  }

private:
  ports::kv_store& inner_;
  std::vector<record_checker*> checkers_;
};

}  // namespace latham::sim
