// How long a task may take: enough for the largest honest one, and an end for every other.
#include "core/task_budget.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace latham {

namespace {

/// Four chunks of 8 s of 1080p at 24 fps into six rungs: 50 processor seconds on the machine of docs/performance.md.
ports::engine_task film() {
  ports::engine_task task;
  task.kind = ports::engine_task_kind::video;
  task.source_bytes = 204'000'000;
  task.plan.time_base = {1, 12288};
  task.plan.fps = {24, 1};
  task.plan.frames = 6480;
  task.plan.width = 1920;
  task.plan.height = 1080;
  task.plan.rungs = {{256, 144, 1}, {426, 240, 1}, {640, 360, 1}, {854, 480, 1}, {1280, 720, 1}, {1920, 1080, 1}};
  for (std::uint32_t i = 0; i < 4; ++i) task.chunks.push_back({i, 192 * i, 192, std::int64_t{8} * 12288 * i, 0});
  return task;
}

}  // namespace

TEST(TaskBudget, IsManyTimesWhatWorkCosts) {
  const auto budget = budget_of(film());
  EXPECT_GT(budget.cpu_s, 10 * 50u);
  EXPECT_LT(budget.cpu_s, 100 * 50u);
  EXPECT_GT(budget.whole, 4 * seconds{budget.cpu_s});
  EXPECT_LT(budget.whole, std::chrono::hours{5});
}

TEST(TaskBudget, GrowsWithWhatTheTaskHasToDo) {
  const auto before = budget_of(film()).cpu_s;
  auto task = film();
  task.chunks.pop_back();
  EXPECT_LT(budget_of(task).cpu_s, before);
  task = film();
  task.how.preset = "veryslow";
  EXPECT_GT(budget_of(task).cpu_s, 2 * before);
  task = film();
  task.chunks[0].seek_pts = -600 * 12288;  // its key frame is ten minutes back
  EXPECT_GT(budget_of(task).cpu_s, before + 600);
  task = film();
  task.source_bytes *= 100;
  EXPECT_GT(budget_of(task).cpu_s, before);
}

TEST(TaskBudget, PlanAndSoundGetTheirShare) {
  auto task = film();
  task.kind = ports::engine_task_kind::plan;
  EXPECT_EQ(budget_of(task).cpu_s, 65u) << "79 ms are enough";
  task.kind = ports::engine_task_kind::audio;
  EXPECT_EQ(budget_of(task).cpu_s, 146u) << "270 s of sound";
  task.kind = ports::engine_task_kind::text;
  EXPECT_EQ(budget_of(task).cpu_s, 65u) << "a pass, like the plan";
  ports::engine_task empty;
  EXPECT_EQ(budget_of(empty).cpu_s, 60u);
  EXPECT_EQ(budget_of(empty).whole, seconds{840});
}

TEST(TaskBudget, OutputWeighsLittleMoreThanItsCapsAllow) {
  auto task = film();
  const std::uint32_t caps[] = {200, 400, 800, 1400, 2800, 5000};
  for (std::size_t i = 0; i < 6; ++i) task.plan.rungs[i].maxrate_kbit = caps[i];
  constexpr std::uint64_t honest = 10'600 * 125 * (8 + 2);  // every cap, and every buffer filled before
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_GT(chunk_bytes_max(task, i), honest * 3 / 2);
    EXPECT_LT(chunk_bytes_max(task, i), honest * 3);
  }
  EXPECT_LT(budget_of(task).output_bytes, 140'000'000u);
  EXPECT_GE(budget_of(task).output_bytes, 4 * honest);
  EXPECT_EQ(chunk_bytes_max(task, 4), chunk_bytes_max(task, 5)) << "there is no such chunk";
  EXPECT_LT(chunk_bytes_max(task, 4), 100'000u);
  // The largest there is: eight rungs up to 2160p, sixty pictures a second, a lease of four chunks.
  task.plan.rungs = {{256, 144, 200},   {426, 240, 400},   {640, 360, 800},    {854, 480, 1400},
                     {1280, 720, 2800}, {1920, 1080, 5000}, {2560, 1440, 9000}, {3840, 2160, 18000}};
  EXPECT_LT(budget_of(task).output_bytes, 800'000'000u);
}

TEST(TaskBudget, OutputOfOtherKindsIsBoundedToo) {
  auto task = film();
  task.kind = ports::engine_task_kind::audio;
  task.plan.audio = {{1, "eng", 0}, {2, "deu", 64}};
  EXPECT_GT(budget_of(task).output_bytes, 270u * 128 * 125);
  EXPECT_LT(budget_of(task).output_bytes, 270u * 128 * 125 * 3 / 2 + 500'000);
  const auto first = budget_of(task).output_bytes;
  task.audio_index = 1;
  EXPECT_LT(budget_of(task).output_bytes, first);
  task.plan.fps = {1, 10};  // a show of slides
  task.plan.frames = 27;
  task.plan.segment_frames = 1;
  EXPECT_GT(budget_of(task).output_bytes, 270u * 64 * 125);
  task.kind = ports::engine_task_kind::text;
  task.plan.text = {{2, "eng", "", false}, {3, "deu", "", false}};
  EXPECT_LT(budget_of(task).output_bytes, 2 * text_file_bytes_max + 100'000);
  task.kind = ports::engine_task_kind::plan;
  EXPECT_LT(budget_of(task).output_bytes, 20'000'000u);
  EXPECT_GT(plan_chunks_max(task.how), 24u * 3600 / 2);
}

TEST(TaskBudget, NonsenseHasABudgetToo) {
  auto task = film();
  task.source_bytes = std::numeric_limits<std::uint64_t>::max();
  task.plan.fps = {0, 0};
  task.plan.time_base = {std::numeric_limits<std::int64_t>::max(), 0};
  task.plan.frames = std::numeric_limits<std::uint64_t>::max();
  for (auto& chunk : task.chunks) chunk = {0, ~0ull, ~0u, std::numeric_limits<std::int64_t>::min() / 2, 0};
  for (const auto kind : {ports::engine_task_kind::plan, ports::engine_task_kind::video, ports::engine_task_kind::audio}) {
    task.kind = kind;
    EXPECT_EQ(budget_of(task).cpu_s, 86'400u);
    EXPECT_LE(budget_of(task).whole, std::chrono::hours{24 * 6});
    EXPECT_LE(budget_of(task).output_bytes, 2'684'354'560u);
  }
}

namespace {

/// One chunk of 8 s of a million pixels, made into as many.
ports::engine_task square() {
  ports::engine_task task;
  task.kind = ports::engine_task_kind::video;
  task.how.version = 1;
  task.plan.time_base = {1, 1000};
  task.plan.fps = {24, 1};
  task.plan.frames = 24 * 270;
  task.plan.segment_frames = 48;
  task.plan.width = 1000;
  task.plan.height = 1000;
  task.plan.rungs = {{1000, 1000, 800}};
  task.chunks = {{0, 0, 192, 0, 0}};
  return task;
}

}  // namespace

TEST(TaskBudget, APixelOfOutputIs200NanosecondsAndOneOfTheSource50) {
  // 38.4 s of output; of the source twice 192 pictures and what 162 s of going back are: 408 s; and a minute.
  auto task = square();
  EXPECT_EQ(budget_of(task).cpu_s, 507u);
  task.plan.rungs.push_back({1000, 500, 800});
  EXPECT_EQ(budget_of(task).cpu_s, 526u) << "half a rung more";
  task = square();
  task.how.preset = "medium";
  EXPECT_EQ(budget_of(task).cpu_s, 622u) << "four times the work of its output";
  task.how.preset = "no such thing";
  EXPECT_EQ(budget_of(task).cpu_s, 507u);
  task = square();
  task.chunks.clear();
  EXPECT_EQ(budget_of(task).cpu_s, 60u);
}

TEST(TaskBudget, TheWayFromTheKeyFrameIsCountedInTheSourcesOwnTime) {
  auto task = square();
  task.chunks[0].seek_pts = -10'000;  // 10 s, three times, twice the pictures: 72 s
  EXPECT_EQ(budget_of(task).cpu_s, 579u);
  task.plan.origin_pts = -10'000;
  EXPECT_EQ(budget_of(task).cpu_s, 507u) << "its clock begins there";
  task.chunks[0].seek_pts = 0;
  EXPECT_EQ(budget_of(task).cpu_s, 507u) << "a key frame behind the chunk's start is no way";
  task = square();
  task.plan.time_base = {1, 100};
  task.chunks[0].first_frame = 240;
  task.chunks[0].seek_pts = 500;  // at 5 of 10 s
  EXPECT_EQ(budget_of(task).cpu_s, 543u);
}

TEST(TaskBudget, TheClockGivesAQuarterOfACoreAMegabyteASecondAndTenMinutes) {
  auto task = film();
  task.kind = ports::engine_task_kind::plan;
  EXPECT_EQ(budget_of(task).whole, seconds{600 + 256 + 204});
}

TEST(TaskBudget, SoundWithoutARateOfPicturesIsCountedInSeconds) {
  auto task = square();
  task.kind = ports::engine_task_kind::audio;
  task.plan.frames = 100;
  task.plan.fps = {0, 1};
  EXPECT_EQ(budget_of(task).cpu_s, 90u);
}

TEST(TaskBudget, AChunkWeighsTheSumOfWhatIsInIt) {
  auto task = square();
  // The cap for 8 s and its buffer of 2 s, half as much again; four segments and an init segment; 192 pictures of 256 bytes
  // and one for 64 pixels.
  constexpr std::uint64_t rung_bytes = 1'500'000 + 5 * 2048 + 192 * (256 + 15'625);
  EXPECT_EQ(chunk_bytes_max(task, 0), 65'536 + rung_bytes);
  EXPECT_EQ(chunk_bytes_max(task, 1), 65'536u) << "there is no such chunk";
  task.plan.rungs.push_back(task.plan.rungs[0]);
  EXPECT_EQ(chunk_bytes_max(task, 0), 65'536 + 2 * rung_bytes);
  task.how.version = 2;  // five tiles of 160 x 160 and the poster, three bytes a pixel
  EXPECT_EQ(chunk_bytes_max(task, 0), 65'536 + 2 * rung_bytes + 2 * 16'384 + 3 * (5 * 25'600 + 1'000'000));
  task.plan.rungs.clear();
  EXPECT_EQ(chunk_bytes_max(task, 0), 65'536u);
  task = square();
  task.chunks.push_back({1, 192, 192, 0, 0});
  EXPECT_EQ(budget_of(task).output_bytes, 2 * (65'536 + rung_bytes));
}

TEST(TaskBudget, ATrackOfSoundWeighsItsRateAndItsSegments) {
  auto task = square();
  task.kind = ports::engine_task_kind::audio;
  task.plan.audio = {{1, "eng", 64}};
  task.plan.text = {{2, "eng", "", false}};
  EXPECT_EQ(budget_of(task).output_bytes, 65'536 + 270 * 125 * (80 + 24) + 136 * 2048u);
  task.audio_index = 1;
  EXPECT_EQ(budget_of(task).output_bytes, 65'536 + 270 * 125 * (160 + 24) + 136 * 2048u) << "without a rate of its own the recipe's";
}

TEST(TaskBudget, APlanWeighsItsPagesAndTextItsFiles) {
  auto task = square();
  task.kind = ports::engine_task_kind::plan;
  EXPECT_EQ(plan_chunks_max(task.how), 86'400u + 256);
  EXPECT_EQ(budget_of(task).output_bytes, 65'536 + 86'656 * 64 + 86'656ull * 32'768 / 256 + 2 * 32'768);
  task.how.segment_ms = 0;
  EXPECT_EQ(plan_chunks_max(task.how), 172'800'000u + 256);
  task.kind = ports::engine_task_kind::text;
  task.plan.text = {{2, "eng", "", false}, {3, "deu", "", false}};
  EXPECT_EQ(budget_of(task).output_bytes, 65'536 + 2 * text_file_bytes_max);
}

}  // namespace latham
