// Files that take a decoder over: whatever they make the codec child do, the node, its files and its network are unhurt, and
// the next file is worked on. The child is a process of its own with the product's limits and sandbox and a planted hole;
// see attacks/codec_child_attacks.cpp.
#include "core/recipes.hpp"
#include "core/task_budget.hpp"
#include "media/av/engine_identity.hpp"
#include "media/av/task_runner.hpp"
#include "media/child_probe.hpp"
#include "media/engine_client.hpp"
#include "net/child_process.hpp"
#include "net/loop.hpp"
#include "tests/support/media/all_formats.hpp"
#include "tests/support/media/bombs.hpp"
#include "tests/support/media/memory_host.hpp"
#include "tests/support/media/recording_listener.hpp"

extern "C" {
#include <libavutil/log.h>
}

#include <arpa/inet.h>
#include <csignal>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <functional>
#include <map>
#include <sstream>

namespace latham::media {

namespace {

using namespace latham::testing;

/// Of this process, in all its life.
std::int64_t peak_memory_bytes() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return used.ru_maxrss * 1024;
}

/// Processes whose command line holds `word`.
std::vector<std::string> processes_with(const std::string& word) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator{"/proc"}) {
    const auto line = file_bytes(entry.path() / "cmdline");
    if (line.find(word) != std::string::npos) found.push_back(entry.path());
  }
  return found;
}

/// Keeps the lines.
class kept_log final : public ports::log_sink {
public:
  [[nodiscard]] bool enabled(ports::log_level) const noexcept override { return true; }
  void write(ports::log_level, std::string line) override { lines.push_back(std::move(line)); }
  std::vector<std::string> lines;  // from the spawner's thread, before the task that it is about ends
};

class Attacks : public ::testing::Test {
protected:
  static void SetUpTestSuite() {
    const scratch_directory dir;
    const auto path = dir.file("clean.mp4");
    ASSERT_TRUE(run_command(ffmpeg + "-f lavfi -i testsrc2=s=128x72:r=25:d=1 -c:v libx264 -preset ultrafast " + path));
    clean_ = file_bytes(path);
  }
  void SetUp() override {
    where_.start();
    av_log_set_level(AV_LOG_QUIET);
#ifdef LATHAM_SANITIZED
    GTEST_SKIP() << "limits and filters are off under sanitizers";
#endif
    // The last word is nobody's business but marks our children among all processes.
    options_.arguments = {"codec-child", "contained", word_};
    options_.log = &log_;
  }
  void TearDown() override {
    engine_.reset();
    spawner_.reset();  // waits for the kernel to forget them
    EXPECT_EQ(processes_with(word_), std::vector<std::string>{});
    EXPECT_LT(peak_memory_bytes() - peak_before_, 64 * 1024 * 1024) << "the node was made to swallow something";
  }

  static ports::engine_task plan_of(const std::string& source) {
    ports::engine_task task;
    task.source_bytes = source.size();
    task.how.rungs = {{128, 72, 150}};
    return task;
  }

  child_engine& engine() {
    if (!engine_) engine_ = std::make_unique<child_engine>(*spawner_, engine_identity(), options_);
    return *engine_;
  }

  /// What came of a plan of a source, in slot 0.
  error run(const std::string& source) { return hear(source, plan_of(source))->result; }

  std::shared_ptr<recording_listener> hear(const std::string& source, const ports::engine_task& task) {
    auto listener = std::make_shared<recording_listener>();
    auto session = engine().start(0, task, listener);
    for (std::size_t i = 0; listener->wait_for_reads(i + 1); ++i) {
      if (i >= listener->reads.size()) break;
      const auto read = listener->reads[i];
      session->supply(read.read, buffer{source.substr(read.offset, read.bytes)});
    }
    EXPECT_TRUE(listener->wait_for_end());
    return listener;
  }

  /// An attack that outlives its attempts: every door was tried and found shut, and the same child goes on to work.
  void expect_shut(const std::string& attack) {
    const auto result = run("attack " + attack + "\n");
    EXPECT_EQ(to_string(result.code), "unprocessable") << result.message;
    EXPECT_NE(result.message.find("all shut"), std::string::npos) << result.message;
    expect_fit();
  }
  /// Plans `source`, makes all of its pictures and sounds behind the wall and in this process, and compares.
  source_plan expect_the_same_behind_the_wall(const std::string& source) {
    auto task = plan_of(source);
    const auto plan = hear(source, task);
    EXPECT_EQ(to_string(plan->result.code), "none") << plan->result.message;
    task.plan = plan->plan;
    task.chunks = plan->chunks;
    const auto compare = [&] {
      const auto contained = hear(source, task);
      EXPECT_EQ(to_string(contained->result.code), "none") << contained->result.message;
      memory_host host{source};
      EXPECT_TRUE(run_task(task, host));
      std::vector<kept_piece> pieces;
      for (const auto& [chunk, piece] : contained->pieces)
        pieces.push_back({chunk, piece.kind, piece.rendition, piece.segment, piece.duration, std::string{piece.bytes.view()}});
      EXPECT_FALSE(pieces.empty());
      EXPECT_TRUE(pieces == host.pieces) << "the sandbox changed the output";
    };
    task.kind = ports::engine_task_kind::video;
    if (has_picture(task.plan)) compare();
    task.kind = ports::engine_task_kind::audio;
    for (task.audio_index = 0; task.audio_index < task.plan.audio.size(); ++task.audio_index) compare();
    return task.plan;
  }
  void expect_fit() {
    const auto result = run(clean_);
    EXPECT_EQ(to_string(result.code), "none") << result.message;
  }

  /// What the only child has cost so far.
  struct cost {
    double cpu_s = 0;
    std::int64_t peak_bytes = 0;
    std::uint64_t address_space_bytes = 0;
  };
  [[nodiscard]] cost child_cost() const {
    const auto child = processes_with(word_);
    if (child.size() != 1) return {1e9, 1'000'000'000'000, 1'000'000'000'000};
    cost out;
    const auto status = file_bytes(child[0] + "/status");
    out.peak_bytes = std::atol(status.c_str() + status.find("VmHWM:") + 6) * 1024;
    out.address_space_bytes = static_cast<std::uint64_t>(std::atol(status.c_str() + status.find("VmPeak:") + 7)) * 1024;
    // The fields behind the name, which is in brackets: user and system time are the 12th and 13th.
    const auto stat = file_bytes(child[0] + "/stat");
    std::istringstream fields{stat.substr(stat.rfind(')') + 2)};
    std::string skipped;
    for (int i = 0; i < 11; ++i) fields >> skipped;
    double user = 0, system = 0;
    fields >> user >> system;
    out.cpu_s = (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
    return out;
  }

  static inline std::string clean_;
  const std::string word_ = "attacks-test-" + std::to_string(::getpid());
  const std::int64_t peak_before_ = peak_memory_bytes();
  kept_log log_;
  net::loop where_{"attacks"};
  child_engine_options options_;
  std::unique_ptr<net::child_process_spawner> spawner_ =
    std::make_unique<net::child_process_spawner>(where_, net::child_process_options{.program = CODEC_CHILD_ATTACKS});
  std::unique_ptr<child_engine> engine_;
};

}  // namespace

TEST_F(Attacks, SegmentationFaultEndsOnlyItsChild) {
  const auto result = run("attack segv\n");
  EXPECT_EQ(result.code, errc::crashed);
  EXPECT_NE(result.message.find("signal " + std::to_string(SIGSEGV)), std::string::npos) << result.message;
  expect_fit();
}

TEST_F(Attacks, LastWordsOfABugReachTheLog) {
  const std::pair<std::string, std::string> bugs[] = {{"assert", "bug: argument == 'something else' does not hold at "},
                                                      {"throw a decoder", "thrown by a decoder"},
                                                      {"free", "free(): double free"}};
  for (const auto& [attack, words] : bugs) {
    SCOPED_TRACE(attack);
    log_.lines.clear();
    const auto result = run("attack " + attack + "\n");
    EXPECT_EQ(result.code, errc::crashed);
    EXPECT_NE(result.message.find("signal " + std::to_string(SIGABRT)), std::string::npos) << result.message;
    ASSERT_EQ(log_.lines.size(), 1u);
    EXPECT_NE(log_.lines[0].find(words), std::string::npos) << log_.lines[0];
    EXPECT_TRUE(log_.lines[0].starts_with("codec child ended status=0 signal=6 said=")) << log_.lines[0];
  }
  expect_fit();
}

TEST_F(Attacks, LogIsNotFlooded) {
  const auto result = run("attack shout\n");
  EXPECT_EQ(result.code, errc::crashed);
  ASSERT_EQ(log_.lines.size(), 1u);
  EXPECT_LT(log_.lines[0].size(), 1100u);
  for (const char c : log_.lines[0]) ASSERT_TRUE(c >= ' ' && c <= '~') << "a line that is ours alone";
  expect_fit();
}

TEST_F(Attacks, NodeHoldsNoMorePiecesThanTheTaskCanHave) {
  const std::string source = "attack flood\n";
  auto task = plan_of(source);
  task.kind = ports::engine_task_kind::video;
  task.plan.time_base = {1, 12800};
  task.plan.fps = {25, 1};
  task.plan.frames = 25 * 3600;
  task.plan.segment_frames = 2;  // so many pieces that their number is no limit
  task.plan.width = 128;
  task.plan.height = 72;
  task.plan.rungs = task.how.rungs;
  task.chunks = {{0, 0, 25 * 60, 0, 0}};
  const auto heard = hear(source, task);
  EXPECT_EQ(heard->result.code, errc::crashed);
  EXPECT_NE(heard->result.message.find("more output"), std::string::npos) << heard->result.message;
  std::size_t held = 0;
  for (const auto& [chunk, piece] : heard->pieces) held += piece.bytes.size();
  EXPECT_LE(held, chunk_bytes_max(task, 0));
  EXPECT_GT(held, 1'000'000u);
  expect_fit();
}

TEST_F(Attacks, EndlessLoopUsesUpItsProcessorSeconds) {
  options_.task_cpu_seconds_max = 1;
  const auto result = run("attack spin\n");
  EXPECT_EQ(to_string(result.code), "timeout") << result.message;
  expect_fit();
}

TEST_F(Attacks, TenGigabytesAreRefused) {
  options_.limits.address_space_bytes = 1024ull * 1024 * 1024;
  expect_shut("allocate");
}

TEST_F(Attacks, NoProcessAndNoThreadIsStarted) { expect_shut("multiply"); }

TEST_F(Attacks, NoFileIsRead) { expect_shut("read"); }

TEST_F(Attacks, NothingIsWritten) {
  const scratch_directory dir;
  const auto there = dir.file("there");
  write_file(there, "untouched");
  expect_shut("write " + dir.file(""));
  EXPECT_EQ(file_bytes(there), "untouched");
  const auto entries = std::filesystem::directory_iterator{dir.file("")};
  EXPECT_EQ(std::distance(begin(entries), end(entries)), 1);
}

TEST_F(Attacks, NothingIsConnected) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&here), sizeof here), 0);
  ASSERT_EQ(::listen(listener, 4), 0);
  socklen_t size = sizeof here;
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&here), &size), 0);
  expect_shut("connect " + std::to_string(ntohs(here.sin_port)));
  EXPECT_EQ(::accept(listener, nullptr, nullptr), -1);
  EXPECT_EQ(errno, EAGAIN);
  ::close(listener);
}

TEST_F(Attacks, NeitherLimitsNorNeighboursCanBeReached) { expect_shut("escape"); }

TEST_F(Attacks, BytesWithoutProgressAreNoSignOfLife) {
  const std::string source = "attack dribble 1\n";
  auto listener = std::make_shared<recording_listener>();
  auto session = engine().start(0, plan_of(source), listener);
  ASSERT_TRUE(listener->wait_for_reads(1));
  session->supply(listener->reads[0].read, buffer{source});
  // What follows is some hundred frames that say the same; the first is news, the rest is not passed on.
  const auto child = processes_with(word_);
  ASSERT_EQ(child.size(), 1u);
  const auto written = [&] {
    const auto io = file_bytes(child[0] + "/io");
    return std::atol(io.c_str() + io.find("wchar: ") + 7);
  };
  const auto start = written();
  while (written() - start < 1000) std::this_thread::yield();
  EXPECT_LE(listener->progress.size(), 1u);
  EXPECT_EQ(listener->ends, 0);
  // Its caller has the clock and gives up.
  session.reset();
  expect_fit();
}

TEST_F(Attacks, ChildThatIsNotContainedGetsNoWork) {
  options_.arguments[1] = "open";
  const auto held = probe_child(*spawner_, engine_identity(), options_);
  ASSERT_TRUE(held) << held.error().message;
  EXPECT_FALSE(held->holds());
  const auto result = run("attack read\n");
  EXPECT_EQ(result.code, errc::crashed);
  EXPECT_NE(result.message.find("not contained"), std::string::npos) << result.message;
}

TEST_F(Attacks, UnlessItsOwnerSaysSo) {
  options_.arguments[1] = "open";
  options_.unsafe_codecs = true;
  const auto result = run("attack read\n");
  EXPECT_NE(result.message.find("open: "), std::string::npos) << "the attacks prove nothing if they fail in the open: " << result.message;
  expect_fit();
}

TEST_F(Attacks, ProbeFindsWhatContains) {
  const auto held = probe_child(*spawner_, engine_identity(), options_);
  ASSERT_TRUE(held) << held.error().message;
  EXPECT_TRUE(held->holds());
  while (spawner_->children() > 0) std::this_thread::yield();  // its end is under way
}

TEST_F(Attacks, EveryFormatIsWorkedOnBehindTheWall) {
  const scratch_directory dir;
  for (const auto& format : all_formats) {
    SCOPED_TRACE(format.file);
    const auto source = make_format(format, dir, "128x96", 1);
    ASSERT_FALSE(source.empty());
    const auto plan = expect_the_same_behind_the_wall(source);
    ASSERT_EQ(plan.audio.size(), has_picture(plan) ? 1u : 2u) << (plan.notes.empty() ? "" : plan.notes[0]);
  }
}

/// What is done to pictures and sound before they are encoded; each with a sign that it was.
TEST_F(Attacks, EveryTreatmentIsTheSameBehindTheWall) {
  const scratch_directory dir;
  const auto ten_bits = [](const std::string& transfer) {
    return "-pix_fmt yuv420p10le -color_primaries bt2020 -colorspace bt2020nc -color_trc " + transfer +
           " -c:v libx265 -preset ultrafast -x265-params log-level=none:pools=1 -c:a aac";
  };
  const auto is_mapped = [](const source_plan& plan) { return plan.notes == std::vector<std::string>{"HDR was tone-mapped to SDR."}; };
  const auto turned = [](std::uint32_t degrees) { return [degrees](const source_plan& plan) { return plan.rotation == 360 - degrees; }; };
  const struct {
    const char* file;
    std::string arguments;
    std::function<bool(const source_plan&)> is_so;
    std::string after{};  // metadata of a copy
  } treatments[] = {
    {"pq.mp4", ten_bits("smpte2084"), is_mapped},
    {"hlg.mp4", ten_bits("arib-std-b67"), is_mapped},
    // Its pictures say that they are fields, which is what decides; whether they are made whole right is for others to test.
    {"fields.ts", "-vf tinterlace=interleave_top,setfield=tff -c:v libx264 -preset ultrafast -flags +ilme+ildct -x264-params tff=1 -c:a mp2",
     [](const source_plan& plan) { return plan.fps.num * 2 == plan.fps.den * 25; }},
    {"turned.mp4", "-c:v libx264 -preset ultrafast -c:a aac", turned(90), "rotate=90"},
    {"upside.mp4", "-c:v libx264 -preset ultrafast -c:a aac", turned(180), "rotate=180"},
    {"wide.mp4", "-vf setsar=4/3 -c:v libx264 -preset ultrafast -c:a aac", [](const source_plan& plan) { return plan.width > 160; }},
    {"ten_bits_422.mkv", "-pix_fmt yuv422p10le -c:v libx264 -preset ultrafast -c:a aac", [](const source_plan&) { return true; }},
    {"full_range_444.mkv", "-pix_fmt yuvj444p -c:v libx264 -preset ultrafast -c:a aac", [](const source_plan&) { return true; }},
    {"fast.mp4", "-r 100 -c:v libx264 -preset ultrafast -c:a aac", [](const source_plan& plan) { return plan.fps.num == plan.fps.den * 50; }},
    {"sounds.mkv", "-map 0:v -map 1:a -map 1:a -map 1:a -c:v libx264 -preset ultrafast -c:a:0 aac -c:a:1 ac3 -ac:a:1 6 -c:a:2 flac -ar:a:2 44100",
     [](const source_plan& plan) { return plan.audio.size() == 3; }},
  };
  for (const auto& t : treatments) {
    SCOPED_TRACE(t.file);
    auto source = make_format({t.file, t.arguments.c_str()}, dir, "128x96", 1);
    ASSERT_FALSE(source.empty());
    if (!t.after.empty()) {
      const auto copy = dir.file(std::string{"copy_"} + t.file);
      ASSERT_TRUE(run_command(ffmpeg + "-i " + dir.file(t.file) + " -c copy -metadata:s:v " + t.after + " " + copy));
      source = file_bytes(copy);
    }
    const auto plan = expect_the_same_behind_the_wall(source);
    EXPECT_TRUE(t.is_so(plan)) << plan.fps.num << "/" << plan.fps.den << ", turned by " << plan.rotation << ", " << plan.width << "x" << plan.height;
  }
}

/// The largest ladder from the largest pictures that it has a rung for, ten bits deep and to be tone-mapped: 16 of them fill
/// x264's lookahead, so more would take no more memory.
TEST_F(Attacks, UltraHighDefinitionInHighDynamicRangeFitsBehindTheWall) {
  const scratch_directory dir;
  const auto path = dir.file("uhd.mp4");
  ASSERT_TRUE(run_command(ffmpeg + "-f lavfi -i testsrc2=s=3840x2160:r=24,format=yuv420p10le -frames:v 16 -color_primaries bt2020 -colorspace bt2020nc "
                          "-color_trc smpte2084 -c:v libx265 -preset ultrafast -x265-params "
                          "log-level=none:pools=1:ref=6:bframes=8:b-adapt=0:rc-lookahead=9:hdr10=1:max-cll=1000,400 -tag:v hvc1 " + path));
  const auto source = file_bytes(path);
  auto task = plan_of(source);
  task.how.rungs = default_ladder();
  const auto plan = hear(source, task);
  ASSERT_EQ(to_string(plan->result.code), "none") << plan->result.message;
  task.plan = plan->plan;
  task.chunks = plan->chunks;
  task.kind = ports::engine_task_kind::video;
  ASSERT_EQ(task.plan.rungs.size(), default_ladder().size());
  ASSERT_EQ(task.plan.notes, std::vector<std::string>{"HDR was tone-mapped to SDR."});
  const auto made = hear(source, task);
  ASSERT_EQ(to_string(made->result.code), "none") << made->result.message;
  EXPECT_EQ(made->pieces.size(), 2 * default_ladder().size() + 2) << "an init and a segment of each rung, a sheet, a poster";
  EXPECT_LT(child_cost().address_space_bytes, options_.limits.address_space_bytes * 3 / 4) << "and leaves room for worse";
}

/// Noise at 50 pictures a second, at the best quality there is, under caps that it cannot keep or only just.
TEST_F(Attacks, WorstOutputOfAnHonestChildFitsItsBudget) {
  const scratch_directory dir;
  const auto path = dir.file("noise.mkv");
  ASSERT_TRUE(run_command(ffmpeg + "-f lavfi -i nullsrc=s=320x180:r=50:d=4,noise=alls=100:allf=t+u,format=yuv420p -f lavfi -i "
                          "'aevalsrc=random(0)*2-1|random(1)*2-1:s=48000:d=4' -c:v libx264 -preset ultrafast -qp 0 -c:a flac " + path));
  const auto source = file_bytes(path);
  ASSERT_GT(source.size(), 5'000'000u);
  for (const std::uint32_t cap : {1u, 50u, 400u, 20'000u}) {
    SCOPED_TRACE(cap);
    auto task = plan_of(source);
    task.how.rungs = {{160, 90, std::max(1u, cap / 2)}, {320, 180, cap}};
    task.how.crf_tenths = 10;
    task.how.audio_kbit = cap < 400 ? 16 : 128;
    const auto plan = hear(source, task);
    ASSERT_EQ(to_string(plan->result.code), "none") << plan->result.message;
    task.plan = plan->plan;
    task.chunks = plan->chunks;
    for (const auto kind : {ports::engine_task_kind::video, ports::engine_task_kind::audio}) {
      task.kind = kind;
      const auto made = hear(source, task);
      ASSERT_EQ(to_string(made->result.code), "none") << made->result.message;
      std::map<std::uint32_t, std::uint64_t> bytes;
      for (const auto& [chunk, piece] : made->pieces) bytes[chunk] += piece.bytes.size();
      for (std::size_t i = 0; i < (kind == ports::engine_task_kind::video ? task.chunks.size() : 1); ++i)
        EXPECT_LT(bytes[static_cast<std::uint32_t>(i)] * 5, chunk_bytes_max(task, i) * 4) << "a fifth is to spare";
    }
  }
}

TEST_F(Attacks, EveryKindOfTextIsReadBehindTheWall) {
  const scratch_directory dir;
  write_file(dir.file("words.srt"), "1\n00:00:00,100 --> 00:00:00,600\n<i>Hello</i> & <b>goodbye</b>\n");
  for (const std::string format : {"srt mkv", "ass mkv", "mov_text mp4", "webvtt webm"}) {
    SCOPED_TRACE(format);
    const auto space = format.find(' ');
    const auto path = dir.file("words." + format.substr(space + 1));
    ASSERT_TRUE(run_command(ffmpeg + "-f lavfi -i testsrc2=s=128x72:r=25:d=1 -i " + dir.file("words.srt") + " -c:v " +
                            (format.ends_with("webm") ? "libvpx -deadline realtime" : "libx264 -preset ultrafast") + " -c:s " + format.substr(0, space) + " " + path));
    const auto source = file_bytes(path);
    auto task = plan_of(source);
    const auto plan = hear(source, task);
    ASSERT_EQ(to_string(plan->result.code), "none") << plan->result.message;
    task.plan = plan->plan;
    ASSERT_EQ(task.plan.text.size(), 1u);
    task.kind = ports::engine_task_kind::text;
    const auto contained = hear(source, task);
    ASSERT_EQ(to_string(contained->result.code), "none") << contained->result.message;
    ASSERT_EQ(contained->pieces.size(), 1u);
    EXPECT_EQ(contained->pieces[0].second.bytes.view(), "WEBVTT\n\n00:00:00.100 --> 00:00:00.600\nHello &amp; goodbye\n");
  }
}

TEST_F(Attacks, PictureBombsCostLittle) {
  const scratch_directory dir;
  const auto made = [&](const std::string& arguments, const std::string& name) {
    EXPECT_TRUE(run_command(ffmpeg + "-f lavfi -i " + arguments + " " + dir.file(name)));
    return file_bytes(dir.file(name));
  };
  std::map<std::string, std::string> bombs;
  // Named .mp4 or not: a source has no name here.
  enlarge_png(bombs["PNG"] = made("testsrc2=s=160x90:d=1 -frames:v 1 -f image2 -c:v png", "bomb.png"));
  enlarge_png(bombs["PNG in MOV"] = made("testsrc2=s=160x90:r=25:d=1 -c:v png", "png.mov"));
  enlarge_png(bombs["PNG in MKV"] = made("testsrc2=s=160x90:r=25:d=1 -c:v png", "png.mkv"));
  enlarge_jpeg(bombs["JPEG in MOV"] = made("testsrc2=s=160x90:r=25:d=1 -c:v mjpeg -pix_fmt yuvj420p", "jpeg.mov"));
  // The header of FLV names no streams: the one that probing finds on its way has a decoder without max_pixels.
  bombs["H.264 in FLV"] = made("color=black:s=9200x9200:r=1:d=1 -frames:v 1 -c:v libx264 -preset ultrafast -tune zerolatency -threads 1", "h264.flv");
  for (const auto& [name, bytes] : bombs) {
    SCOPED_TRACE(name);
    engine_.reset();  // a fresh child
    const auto result = run(bytes);
    // Its pictures come later than the plan, which knows what the container says: 160 x 90.
    if (name != "JPEG in MOV") {
      EXPECT_NE(to_string(result.code), "none");
    }
    const auto used = child_cost();
    EXPECT_LT(used.cpu_s, 1.0);
    EXPECT_LT(used.peak_bytes, 100'000'000);
  }
}

}  // namespace latham::media
