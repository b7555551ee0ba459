// Plans made from a container's index: what they cost, and when the index is not to be trusted. That they are the plans that a
// pass would make is checked for every source of exactness_test.cpp.
#include "media/av/planner.hpp"
#include "tests/support/media/exactness.hpp"
#include "tests/support/media/sparse_movie.hpp"
#include "tests/support/media/two_headers.hpp"

#include <ctime>

namespace latham::media {

namespace {

using namespace latham::testing;

class sparse_host final : public task_host {
public:
  explicit sparse_host(const sparse_file& file) : file_{file} {}
  expected<std::size_t> read(std::uint64_t offset, std::span<std::uint8_t> into) override {
    read_bytes += into.size();
    ++reads;
    return file_.read(offset, into);
  }
  expected<void> plan(const source_plan&, std::uint32_t, std::vector<chunk_plan>, bool) override { return {}; }
  expected<void> piece(std::uint32_t, track_kind, std::uint8_t, std::uint32_t, std::uint32_t, std::string_view) override { return {}; }
  expected<void> chunk_done(std::uint32_t, const findings&) override { return {}; }
  expected<void> progress(std::uint64_t) override { return {}; }

  std::uint64_t read_bytes = 0;
  std::uint64_t reads = 0;

private:
  const sparse_file& file_;
};

class Index : public exactness_test {
protected:
  /// 20 seconds of 25 pictures a second with B pictures, a key picture every 2 seconds, and sound.
  std::string small_file() {
    source s;
    s.num = 25;
    s.frames = 500;
    s.video = "-c:v libx264 -preset veryfast -crf 30 -bf 2 -g 50 -sc_threshold 0 -pix_fmt yuv420p";
    return make_source(dir_, s);
  }
};

}  // namespace

// 10 GB, 67 minutes, 100,000 pictures. The time is for docs/performance.md; it is no condition.
TEST_F(Index, TenGigabytesArePlannedFromSixteenMegabytes) {
  const auto path = small_file();
  for (const char* format : {"mp4", "matroska"}) {
    SCOPED_TRACE(format);
    const auto movie = make_sparse_movie(path, format, 200, 20, 102'000);
    ASSERT_GT(movie.size(), 10'000'000'000u);
    sparse_host host{movie};
    const auto began = std::clock();
    const auto planned = plan_source(host, movie.size(), small_recipe());
    const auto spent_ms = 1000.0 * static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC;
    ASSERT_TRUE(planned) << planned.error().message;
    EXPECT_EQ(planned->plan.frames, 100'000u);
    EXPECT_EQ(planned->plan.fps, (rational{25, 1}));
    EXPECT_TRUE(planned->plan.notes.empty());
    // Every chunk but the first begins at most one GOP behind the key picture that its decoder begins with.
    for (const auto& chunk : planned->chunks) {
      const auto frame = first_frame_showing(chunk.seek_pts, planned->plan.origin_pts, planned->plan.time_base, planned->plan.fps);
      EXPECT_EQ(frame % 50, 0);
      EXPECT_LT(static_cast<std::int64_t>(chunk.first_frame) - frame, 50);
    }
    EXPECT_LE(host.read_bytes, 16u * 1024 * 1024);
    std::printf("%s: %.1f GB planned from %.2f MB in %llu reads, %.0f ms of processor\n", format, static_cast<double>(movie.size()) / 1e9,
                static_cast<double>(host.read_bytes) / 1e6, static_cast<unsigned long long>(host.reads), spent_ms);
  }
}

// A cue that names a time where no key picture is: none of them is believed, and the file is read.
TEST_F(Index, CuesThatLieAreNotBelieved) {
  source s;
  s.num = 25;
  s.frames = 150;
  s.container = "mkv";
  s.video = "-c:v libx264 -preset veryfast -crf 30 -g 50 -sc_threshold 0 -pix_fmt yuv420p";
  auto bytes = file_bytes(make_source(dir_, s));
  memory_host pass{bytes};
  const auto planned = plan_source(pass, bytes.size(), small_recipe(), {false, 0});
  ASSERT_TRUE(planned);
  const auto cues = bytes.rfind("\x1c\x53\xbb\x6b");
  ASSERT_NE(cues, std::string::npos);
  // CueTime, EBML id 0xb3 of two bytes, of the last CuePoint.
  const auto last = bytes.rfind("\xb3\x82");
  ASSERT_GT(last, cues);
  bytes[last + 3] = static_cast<char>(bytes[last + 3] ^ 0x40);  // 4.021 s becomes 4.085 s
  memory_host lied{bytes};
  const auto again = plan_source(lied, bytes.size(), small_recipe(), {true, 0});
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(again->plan == planned->plan);
  EXPECT_TRUE(again->chunks == planned->chunks);
}

// The index may promise what the file does not hold any more.
TEST_F(Index, CutOffFilesArePlannedAsFarAsTheyGo) {
  source s;
  s.num = 25;
  s.frames = 150;
  s.video = "-c:v libx264 -preset veryfast -crf 18 -g 50 -sc_threshold 0 -pix_fmt yuv420p";
  s.more = "-movflags +faststart";
  for (const std::string container : {"mp4", "mkv"}) {
    SCOPED_TRACE(container);
    s.container = container;
    auto bytes = file_bytes(make_source(dir_, s));
    bytes.resize(bytes.size() / 2);
    memory_host by_pass{bytes};
    memory_host by_index{bytes};
    const auto pass = plan_source(by_pass, bytes.size(), small_recipe(), {false, 0});
    const auto index = plan_source(by_index, bytes.size(), small_recipe(), {true, 0});
    ASSERT_TRUE(pass && index);
    EXPECT_TRUE(index->plan.truncated);
    EXPECT_LT(index->plan.frames, 150u);
    EXPECT_TRUE(index->plan == pass->plan);
    ASSERT_EQ(index->chunks.size(), pass->chunks.size());
    for (std::size_t i = 0; i < pass->chunks.size(); ++i) EXPECT_EQ(index->chunks[i].seek_pts, pass->chunks[i].seek_pts);
  }
}

// Two sample descriptions, as edited and appended recordings have: from some sample on the decoder needs other headers.
TEST_F(Index, HeadersThatChangeInTheMiddleAreReadByThePass) {
  source s;
  s.num = 25;
  s.frames = 100;
  s.audio = "";
  s.video = "-c:v libx264 -preset veryfast -profile:v baseline -crf 18 -g 30 -sc_threshold 0 -pix_fmt yuv420p";
  const auto first = make_source(dir_, s, "first");
  auto other = s;
  other.drawn = [](int n) { return n + 100; };
  other.video = "-c:v libx264 -preset veryfast -profile:v high -x264-params cabac=1:8x8dct=1:ref=4:bframes=0 -crf 18 -g 30 -sc_threshold 0 -pix_fmt yuv420p";
  for (const bool resized : {false, true}) {
    SCOPED_TRACE(resized);
    if (resized) {
      other.width = 480;
      other.height = 270;
    }
    const auto second = make_source(dir_, other, "second");
    const auto joined = join_with_two_headers(file_bytes(first), file_bytes(second));
    ASSERT_FALSE(joined.empty());
    const auto path = dir_.file("two.mp4");
    write_file(path, joined);
    ASSERT_EQ(barcodes_of(path, 320, 180).size(), 200u) << "the test's own file";
    // The index alone is not enough: what the headers say is found by the pass.
    memory_host by_pass{joined};
    const auto pass = plan_source(by_pass, joined.size(), small_recipe(), {false, 0});
    memory_host by_index{joined};
    const auto index = plan_source(by_index, joined.size(), small_recipe(), {true, 0});
    ASSERT_TRUE(pass && index);
    EXPECT_TRUE(index->plan == pass->plan);
    EXPECT_TRUE(index->chunks == pass->chunks);
    auto both = s;
    both.frames = 200;
    both.chunks_min = 4;
    // A reader that cannot search and goes through the file from its start meets the new headers on packets that it passes over.
    ports::engine_task task;
    task.kind = ports::engine_task_kind::video;
    task.source_bytes = joined.size();
    task.how = small_recipe();
    task.plan = index->plan;
    task.chunks = {index->chunks.back()};
    ASSERT_TRUE(run_task(task, by_pass));
    task.plan.shifts = {{joined.size(), 0}};
    ASSERT_TRUE(run_task(task, by_index));
    EXPECT_TRUE(by_pass.pieces == by_index.pieces);
    if (resized) both.notes = {"size changes"};
    expect_exact(both, path, dir_);
  }
}

TEST_F(Index, EndsWithTheHostsErrorWhicheverReadFails) {
  source s;
  s.num = 25;
  s.frames = 100;
  for (const std::string container : {"mp4", "mkv"}) {
    s.container = container;
    const auto bytes = file_bytes(make_source(dir_, s));
    memory_host whole{bytes};
    ASSERT_TRUE(plan_source(whole, bytes.size(), small_recipe(), {true, 0}));
    for (std::uint64_t n = 1; n <= whole.reads; ++n) {
      memory_host host{bytes};
      host.fail_read = n;
      const auto planned = plan_source(host, bytes.size(), small_recipe(), {true, 0});
      ASSERT_FALSE(planned) << "read " << n << " of " << whole.reads;
      EXPECT_EQ(planned.error().code, errc::unavailable);
    }
  }
}

}  // namespace latham::media
