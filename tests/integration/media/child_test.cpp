// The engine as a worker uses it: client, protocol and child's main loop, with real codecs; and the promise that the same
// chunk gives the same bytes wherever and however often it is encoded.
#include "media/av/engine_identity.hpp"
#include "media/av/task_runner.hpp"
#include "media/engine_client.hpp"
#include "tests/support/media/barcode.hpp"
#include "tests/support/media/memory_host.hpp"
#include "tests/support/media/recording_listener.hpp"
#include "tests/support/media/thread_spawner.hpp"

#include <gtest/gtest.h>

namespace latham::media {

namespace {

using namespace latham::testing;

recipe small_recipe() {
  recipe how;
  how.rungs = {{128, 72, 150}, {256, 144, 400}};
  how.segment_ms = 500;
  return how;
}

class Child : public ::testing::Test {
protected:
  static void SetUpTestSuite() {
    const scratch_directory dir;
    const auto path = dir.file("source.mp4");
    ASSERT_TRUE(run_command(ffmpeg +
                            "-f lavfi -i testsrc2=s=320x180:r=25:d=5 -f lavfi -i sine=d=5 -c:v libx264 -preset veryfast -g 40 -bf 2 "
                            "-c:a aac -pix_fmt yuv420p " +
                            path));
    source_ = file_bytes(path);
  }

  /// Runs a task in a child of `engine` and returns what was heard.
  std::shared_ptr<recording_listener> run(child_engine& engine, std::uint32_t slot, const ports::engine_task& task) {
    auto listener = std::make_shared<recording_listener>();
    auto session = engine.start(slot, task, listener);
    for (std::size_t i = 0; listener->wait_for_reads(i + 1); ++i) {
      if (i >= listener->reads.size()) break;
      const auto read = listener->reads[i];
      session->supply(read.read, buffer{source_.substr(read.offset, read.bytes)});
    }
    EXPECT_TRUE(listener->wait_for_end());
    return listener;
  }

  ports::engine_task task(ports::engine_task_kind kind) {
    ports::engine_task t;
    t.kind = kind;
    t.source_bytes = source_.size();
    t.how = small_recipe();
    if (kind == ports::engine_task_kind::plan) return t;
    memory_host host{source_};
    const auto planned = run_task(task(ports::engine_task_kind::plan), host);
    EXPECT_TRUE(planned);
    t.plan = host.planned;
    if (kind == ports::engine_task_kind::video) t.chunks = host.chunks;
    return t;
  }

  static std::vector<std::string> bytes_of(const recording_listener& heard) {
    std::vector<std::string> out;
    for (const auto& [chunk, piece] : heard.pieces)
      out.push_back(std::to_string(chunk) + "/" + std::to_string(piece.rendition) + "/" + std::to_string(piece.segment) + "/" +
                    std::string{piece.bytes.view()});
    std::sort(out.begin(), out.end());
    return out;
  }

  static inline std::string source_;
  thread_spawner spawner_;
};

}  // namespace

TEST_F(Child, PlansEncodesAndIsKeptForTheNextTask) {
  child_engine engine{spawner_, engine_identity()};
  const auto plan = run(engine, 0, task(ports::engine_task_kind::plan));
  EXPECT_EQ(plan->result.code, errc::none) << plan->result.message;
  EXPECT_EQ(plan->plan.frames, 125u);
  EXPECT_TRUE(plan->plan_complete);
  const auto video = run(engine, 0, task(ports::engine_task_kind::video));
  EXPECT_EQ(video->result.code, errc::none) << video->result.message;
  EXPECT_EQ(video->done.size(), plan->chunks.size());
  const auto audio = run(engine, 0, task(ports::engine_task_kind::audio));
  EXPECT_EQ(audio->result.code, errc::none) << audio->result.message;
  EXPECT_EQ(audio->done, std::vector<std::uint32_t>{0});
  EXPECT_EQ(spawner_.spawned, 1);
}

TEST_F(Child, SameChunkGivesTheSameBytesInEveryChild) {
  auto all = task(ports::engine_task_kind::video);
  ASSERT_GE(all.chunks.size(), 2u);
  child_engine engine{spawner_, engine_identity()};
  const auto first = bytes_of(*run(engine, 0, all));
  const auto second = bytes_of(*run(engine, 1, all));
  EXPECT_EQ(spawner_.spawned, 2);
  EXPECT_EQ(first, second);
  // One by one, backwards, in a child that has already worked.
  std::vector<std::string> apart;
  for (auto chunk = all.chunks.rbegin(); chunk != all.chunks.rend(); ++chunk) {
    auto one = all;
    one.chunks = {*chunk};
    const auto some = bytes_of(*run(engine, 0, one));
    apart.insert(apart.end(), some.begin(), some.end());
  }
  std::sort(apart.begin(), apart.end());
  EXPECT_EQ(first, apart);
}

TEST_F(Child, AudioGivesTheSameBytesInEveryChild) {
  child_engine engine{spawner_, engine_identity()};
  const auto audio = task(ports::engine_task_kind::audio);
  EXPECT_EQ(bytes_of(*run(engine, 0, audio)), bytes_of(*run(engine, 1, audio)));
}

TEST_F(Child, RefusalLeavesTheChildFitForMore) {
  child_engine engine{spawner_, engine_identity()};
  const auto good = source_;
  source_ = "not a video at all";
  const auto refused = run(engine, 0, task(ports::engine_task_kind::plan));
  source_ = good;
  EXPECT_EQ(refused->result.code, errc::unsupported);
  EXPECT_EQ(run(engine, 0, task(ports::engine_task_kind::plan))->result.code, errc::none);
  EXPECT_EQ(spawner_.spawned, 1);
}

TEST_F(Child, SupplyErrorEndsTheTaskWithIt) {
  child_engine engine{spawner_, engine_identity()};
  auto listener = std::make_shared<recording_listener>();
  auto session = engine.start(0, task(ports::engine_task_kind::plan), listener);
  ASSERT_TRUE(listener->wait_for_reads(1));
  session->supply(listener->reads[0].read, error{errc::unavailable, "storage is away"});
  ASSERT_TRUE(listener->wait_for_end());
  EXPECT_EQ(listener->result, (error{errc::unavailable, "storage is away"}));
  session.reset();
  EXPECT_EQ(run(engine, 0, task(ports::engine_task_kind::plan))->result.code, errc::none);
  EXPECT_EQ(spawner_.spawned, 1);
}

TEST_F(Child, CancelledTaskIsReplacedByAFreshChild) {
  child_engine engine{spawner_, engine_identity()};
  auto listener = std::make_shared<recording_listener>();
  auto session = engine.start(0, task(ports::engine_task_kind::video), listener);
  ASSERT_TRUE(listener->wait_for_reads(1));
  session.reset();
  EXPECT_EQ(listener->ends, 0);
  EXPECT_EQ(run(engine, 0, task(ports::engine_task_kind::plan))->result.code, errc::none);
  EXPECT_EQ(spawner_.spawned, 2);
}

TEST_F(Child, EngineOfAnotherBuildIsRefused) {
  child_engine engine{spawner_, "another engine"};
  const auto heard = run(engine, 0, task(ports::engine_task_kind::plan));
  EXPECT_EQ(heard->result.code, errc::crashed);
  EXPECT_NE(heard->result.message.find("another engine"), std::string::npos);
}

TEST_F(Child, IdentityNamesArchitectureAndEveryLibrary) {
  const auto id = engine_identity();
  for (const char* part : {"avcodec-", "avformat-", "avfilter-", "swscale-", "swresample-", "x264-1", "latham-"})
    EXPECT_NE(id.find(part), std::string::npos) << id;
  EXPECT_EQ(id.find("unknown"), std::string::npos) << id;
}

}  // namespace latham::media
