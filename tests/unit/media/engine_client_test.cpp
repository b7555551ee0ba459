// The engine's client against children that the test plays by hand: order, crashes, breaches, cancelling, re-use.
#include "media/engine_client.hpp"

#include "core/task_budget.hpp"
#include "media/child_protocol.hpp"
#include "media/text_cues.hpp"
#include "tests/support/media/recording_listener.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace latham::media {

namespace {

using testing::recording_listener;

/// A child with no process: the test says what it sends and looks at what it got.
struct scripted_child {
  ports::child_events events;
  std::string written;
  frame_parser parser;
  std::vector<frame> received;
  bool killed = false;
  bool destroyed = false;
  ports::child_limits limits;
  std::vector<std::string> arguments;
  std::vector<std::pair<std::uint32_t, std::size_t>> allowed;  // processor seconds, and how many frames it had got by then

  void say(std::string bytes) { events.on_bytes(buffer{std::move(bytes)}); }
  void hello(containment in_force = {true, true}) { say(make_frame(frame_type::hello, hello_message{child_protocol_version, "engine", in_force})); }
  void exit(int status, int signal, std::string words = {}) { events.on_exit({status, signal, std::move(words)}); }
  void end(errc code = errc::none, std::string message = {}) { say(make_frame(frame_type::end, end_message{code, std::move(message)})); }
};

class scripted_handle final : public ports::child {
public:
  explicit scripted_handle(std::shared_ptr<scripted_child> script) : child_{std::move(script)} {}
  ~scripted_handle() override { child_->destroyed = true; }
  void write(buffer bytes) override { EXPECT_TRUE(child_->parser.feed(bytes.view(), child_->received)); }
  void pause_reading(bool) override {}
  void allow_cpu_seconds(std::uint32_t seconds) override { child_->allowed.emplace_back(seconds, child_->received.size()); }
  void kill() override { child_->killed = true; }
  [[nodiscard]] int pid() const noexcept override { return 1; }

private:
  std::shared_ptr<scripted_child> child_;
};

class scripted_spawner final : public ports::child_spawner {
public:
  expected<std::unique_ptr<ports::child>> spawn(std::vector<std::string> arguments, ports::child_limits limits,
                                                ports::child_events events) override {
    if (refuse) return {errc::limited, "no more processes"};
    auto made = std::make_shared<scripted_child>();
    made->events = std::move(events);
    made->arguments = std::move(arguments);
    made->limits = limits;
    children.push_back(made);
    if (hello_at_once) made->hello();
    return std::unique_ptr<ports::child>{std::make_unique<scripted_handle>(made)};
  }
  std::vector<std::shared_ptr<scripted_child>> children;
  bool refuse = false;
  bool hello_at_once = false;
};

ports::engine_task plan_task() {
  ports::engine_task task;
  task.source_bytes = 1000;
  task.how.rungs = {{640, 360, 800}};
  return task;
}

source_plan small_plan() {
  source_plan plan;
  plan.time_base = {1, 12288};
  plan.fps = {24, 1};
  plan.frames = 96;
  plan.segment_frames = 48;
  plan.width = 640;
  plan.height = 360;
  plan.rungs = {{640, 360, 800}};
  return plan;
}

source_plan sound_plan() {
  source_plan plan;
  plan.time_base = {1, 44100};
  plan.fps = {375, 8};
  plan.frames = 141;
  plan.segment_frames = 94;
  plan.audio = {{0, "eng", 64}, {0, "eng", 128}};
  return plan;
}

ports::engine_task video_task() {
  auto task = plan_task();
  task.kind = ports::engine_task_kind::video;
  task.how.version = 1;  // without pictures
  task.plan = small_plan();
  task.chunks = {{0, 0, 48, 0, 0}, {1, 48, 48, 0, 0}};
  return task;
}

std::string piece(std::uint32_t chunk, std::uint32_t segment, std::uint8_t rendition = 0) {
  const std::string bytes = "bytes";
  return make_bulk_frame_head(frame_type::piece, piece_head{chunk, track_kind::video, rendition, segment, 48}, bytes) + bytes;
}
std::string image(std::uint8_t what) {
  return make_bulk_frame_head(frame_type::piece, piece_head{0, track_kind::image, what, 0, 1}, "jpeg") + "jpeg";
}
std::string text(std::uint8_t track, std::uint32_t segment = 0) {
  return make_bulk_frame_head(frame_type::piece, piece_head{0, track_kind::text, track, segment, 1}, "WEBVTT\n") + "WEBVTT\n";
}
std::string chunk_done(std::uint32_t chunk, const findings& found = {}) {
  return make_frame(frame_type::chunk_done, chunk_done_message{chunk, found});
}
std::string plan_page(std::uint32_t first, bool complete) {
  return make_frame(frame_type::plan, plan_message{small_plan(), first, {{first, 0, 48, 0, 0}}, complete});
}

struct EngineClient : ::testing::Test {
  scripted_spawner spawner;
  child_engine_options options;
  std::shared_ptr<recording_listener> listener = std::make_shared<recording_listener>();

  scripted_child& child(std::size_t i = 0) { return *spawner.children.at(i); }
};

}  // namespace

TEST_F(EngineClient, TaskIsSentOnceTheChildSaidHello) {
  child_engine engine{spawner, "engine"};
  EXPECT_TRUE(spawner.children.empty()) << "spawned before there was work";
  auto session = engine.start(0, plan_task(), listener);
  ASSERT_EQ(spawner.children.size(), 1u);
  EXPECT_EQ(child().arguments, std::vector<std::string>{"codec-child"});
  EXPECT_TRUE(child().received.empty());
  child().hello();
  ASSERT_EQ(child().received.size(), 1u);
  EXPECT_EQ(*decode_message<ports::engine_task>(child().received[0]), plan_task());
  child().say(plan_page(0, false) + plan_page(1, true));
  child().end();
  EXPECT_EQ(listener->ends, 1);
  EXPECT_EQ(listener->result.code, errc::none);
  EXPECT_EQ(listener->plan_pages, (std::vector<std::uint32_t>{0, 1}));
  EXPECT_TRUE(listener->plan_complete);
}

TEST_F(EngineClient, TextsComeInOrderAndOnce) {
  auto task = video_task();
  task.kind = ports::engine_task_kind::text;
  task.chunks.clear();
  task.plan.text = {{2, "eng", "", false}, {3, "deu", "", false}, {4, "fra", "", false}};
  {
    child_engine engine{spawner, "engine"};
    auto session = engine.start(0, task, listener);
    child().hello();
    child().say(text(0) + text(2) + chunk_done(0));  // nothing is said in track 1
    child().end();
    EXPECT_EQ(listener->result.code, errc::none);
    ASSERT_EQ(listener->pieces.size(), 2u);
    EXPECT_EQ(listener->pieces[1].second.kind, track_kind::text);
  }
  {
    // Without any words there is no piece at all.
    auto heard = std::make_shared<recording_listener>();
    child_engine engine{spawner, "engine"};
    auto session = engine.start(0, task, heard);
    spawner.children.back()->hello();
    spawner.children.back()->say(chunk_done(0));
    spawner.children.back()->end();
    EXPECT_EQ(heard->result.code, errc::none);
  }
  const std::string long_one(text_file_bytes_max + 1, 'x');
  const std::string bad[] = {text(0) + text(0),
                             chunk_done(0, {1, 0, false}),  // nothing is decoded that could be lost
                             text(1) + text(0),
                             text(3),
                             text(0, 1),
                             text(0, output_entry::init_segment),
                             piece(0, 0),
                             make_bulk_frame_head(frame_type::piece, piece_head{0, track_kind::text, 0, 0, 1}, long_one) + long_one,
                             std::string{}};
  for (const auto& words : bad) {
    auto heard = std::make_shared<recording_listener>();
    child_engine engine{spawner, "engine"};
    auto session = engine.start(0, task, heard);
    spawner.children.back()->hello();
    if (words.empty()) spawner.children.back()->end();  // before it was done
    else spawner.children.back()->say(words);
    EXPECT_EQ(heard->result.code, errc::crashed);
  }
}

TEST_F(EngineClient, PlanOfSoundAloneHasOnePageWithoutChunks) {
  child_engine engine{spawner, "engine"};
  auto session = engine.start(0, plan_task(), listener);
  child().hello();
  child().say(make_frame(frame_type::plan, plan_message{sound_plan(), 0, {}, true}));
  child().end();
  EXPECT_EQ(listener->result.code, errc::none);
  EXPECT_TRUE(listener->plan_complete);
}

TEST_F(EngineClient, ChunksThatDoNotGoWithThePictureAreABreach) {
  const plan_message bad[] = {{sound_plan(), 0, {{0, 0, 48, 0, 0}}, true}, {sound_plan(), 0, {}, false}, {small_plan(), 0, {}, true}};
  for (const auto& page : bad) {
    auto heard = std::make_shared<recording_listener>();
    child_engine engine{spawner, "engine"};
    auto session = engine.start(0, plan_task(), heard);
    spawner.children.back()->hello();
    spawner.children.back()->say(make_frame(frame_type::plan, page));
    EXPECT_EQ(heard->result.code, errc::crashed);
  }
  // Nor may a picture that was planned be gone on the last page.
  child_engine engine{spawner, "engine"};
  auto session = engine.start(0, plan_task(), listener);
  spawner.children.back()->hello();
  spawner.children.back()->say(plan_page(0, false) + make_frame(frame_type::plan, plan_message{sound_plan(), 1, {}, true}));
  EXPECT_EQ(listener->result.code, errc::crashed);
}

TEST_F(EngineClient, HelloMayComeBeforeSpawnReturns) {
  spawner.hello_at_once = true;
  child_engine engine{spawner, "engine"};
  auto session = engine.start(0, plan_task(), listener);
  EXPECT_EQ(child().received.size(), 1u);
}

TEST_F(EngineClient, ReadIsAnsweredWithWhatTheCallerSupplies) {
  child_engine engine{spawner, "engine"};
  auto session = engine.start(0, plan_task(), listener);
  child().hello();
  child().say(make_frame(frame_type::read, read_message{1, 990, 10}));
  ASSERT_EQ(listener->reads.size(), 1u);
  EXPECT_EQ(listener->reads[0].offset, 990u);
  session->supply(2, buffer{std::string{"stale"}});
  session->supply(1, buffer{std::string{"0123456789"}});
  session->supply(1, buffer{std::string{"again"}});
  ASSERT_EQ(child().received.size(), 2u);
  EXPECT_EQ(decode_bulk<supply_head>(child().received[1])->second.view(), "0123456789");
  child().say(make_frame(frame_type::read, read_message{2, 0, 10}));
  session->supply(2, error{errc::unavailable, "storage is away"});
  ASSERT_EQ(child().received.size(), 3u);
  EXPECT_EQ(decode_message<supply_error_message>(child().received[2])->code, errc::unavailable);
  child().end(errc::unavailable, "storage is away");
  EXPECT_EQ(listener->result, (error{errc::unavailable, "storage is away"}));
}

TEST_F(EngineClient, SupplyFromInsideOnReadWorks) {
  child_engine engine{spawner, "engine"};
  auto session = engine.start(0, plan_task(), listener);
  listener->answer_reads([&](const auto& r) { session->supply(r.read, buffer{std::string(r.bytes, 'x')}); });
  child().hello();
  child().say(make_frame(frame_type::read, read_message{1, 0, 10}) + make_frame(frame_type::read, read_message{2, 10, 10}));
  EXPECT_EQ(child().received.size(), 3u);
}

TEST_F(EngineClient, PiecesArriveWithTheirChunk) {
  child_engine engine{spawner, "engine"};
  auto session = engine.start(0, video_task(), listener);
  child().hello();
  child().say(piece(0, output_entry::init_segment) + piece(0, 0) + chunk_done(0, {2, 46, true}) + piece(1, output_entry::init_segment) + piece(1, 1));
  child().say(make_frame(frame_type::progress, progress_message{96}) + chunk_done(1));
  child().end();
  EXPECT_EQ(listener->result.code, errc::none);
  EXPECT_EQ(listener->pieces.size(), 4u);
  EXPECT_EQ(listener->pieces[3].first, 1u);
  EXPECT_EQ(listener->pieces[3].second.bytes.view(), "bytes");
  EXPECT_EQ(listener->pieces[3].second.duration, 48u);
  EXPECT_EQ(listener->done, (std::vector<std::uint32_t>{0, 1}));
  EXPECT_EQ(listener->found, (std::vector<findings>{{2, 46, true}, {}}));
  EXPECT_EQ(listener->progress, std::vector<std::uint64_t>{96});
}

TEST_F(EngineClient, ChildIsKeptForTheNextTaskAndReplacedAfterItsShare) {
  options.tasks_per_child_max = 2;
  child_engine engine{spawner, "engine", options};
  for (int i = 0; i < 3; ++i) {
    auto session = engine.start(0, plan_task(), listener);
    auto& now = *spawner.children.back();
    if (i == 0 || i == 2) now.hello();
    now.end(errc::unsupported, "no");
  }
  EXPECT_EQ(listener->ends, 3);
  ASSERT_EQ(spawner.children.size(), 2u);
  EXPECT_TRUE(child(0).killed);
  EXPECT_FALSE(child(1).killed);
}

TEST_F(EngineClient, EachSlotHasItsOwnChild) {
  child_engine engine{spawner, "engine"};
  auto first = engine.start(0, plan_task(), listener);
  auto second = engine.start(1, plan_task(), std::make_shared<recording_listener>());
  EXPECT_EQ(spawner.children.size(), 2u);
}

TEST_F(EngineClient, DeathInTheMiddleOfATaskIsACrash) {
  child_engine engine{spawner, "engine"};
  auto session = engine.start(0, video_task(), listener);
  child().hello();
  child().say(piece(0, 0));
  child().exit(0, 11);
  EXPECT_EQ(listener->ends, 1);
  EXPECT_EQ(listener->result.code, errc::crashed);
  EXPECT_NE(listener->result.message.find("signal 11"), std::string::npos);
  session.reset();
  auto again = std::make_shared<recording_listener>();
  session = engine.start(0, plan_task(), again);
  ASSERT_EQ(spawner.children.size(), 2u);
  EXPECT_TRUE(child(0).destroyed);
}

TEST_F(EngineClient, LastWordsGoToTheLogAndNotToTheTask) {
  struct kept_log final : ports::log_sink {
    [[nodiscard]] bool enabled(ports::log_level) const noexcept override { return true; }
    void write(ports::log_level, std::string line) override { lines.push_back(std::move(line)); }
    std::vector<std::string> lines;
  } log;
  options.log = &log;
  child_engine engine{spawner, "engine", options};
  auto session = engine.start(0, plan_task(), listener);
  child().hello();
  child().exit(0, 6, "bug: x == \"y\" does not hold");
  EXPECT_EQ(log.lines, std::vector<std::string>{"codec child ended status=0 signal=6 said=\"bug: x == 'y' does not hold\""});
  EXPECT_EQ(listener->result.message, "the codec process ended by signal 6 in the middle of a task");
  session = engine.start(0, plan_task(), std::make_shared<recording_listener>());
  spawner.children.back()->exit(3, 0);
  EXPECT_EQ(log.lines.size(), 1u) << "nothing was said";
}

TEST_F(EngineClient, DeathBeforeHelloIsACrash) {
  child_engine engine{spawner, "engine"};
  auto session = engine.start(0, plan_task(), listener);
  child().exit(127, 0);
  EXPECT_EQ(listener->result.code, errc::crashed);
}

TEST_F(EngineClient, CpuLimitIsATimeout) {
  child_engine engine{spawner, "engine"};
  auto session = engine.start(0, plan_task(), listener);
  child().hello();
  child().exit(0, 24);
  EXPECT_EQ(listener->result.code, errc::timeout);
}

TEST_F(EngineClient, DeathBetweenTasksIsNobodysNews) {
  child_engine engine{spawner, "engine"};
  auto session = engine.start(0, plan_task(), listener);
  child().hello();
  child().end(errc::unsupported, "no");
  child().exit(0, 9);
  EXPECT_EQ(listener->ends, 1);
  session = engine.start(0, plan_task(), std::make_shared<recording_listener>());
  EXPECT_EQ(spawner.children.size(), 2u);
}

TEST_F(EngineClient, DestroyingTheSessionKillsAtOnceAndSilencesTheChild) {
  child_engine engine{spawner, "engine"};
  auto session = engine.start(0, video_task(), listener);
  child().hello();
  session.reset();
  EXPECT_TRUE(child().killed);
  child().say(piece(0, 0));
  child().exit(0, 9);
  EXPECT_EQ(listener->ends, 0);
  EXPECT_TRUE(listener->pieces.empty());
  session = engine.start(0, plan_task(), listener);
  EXPECT_EQ(spawner.children.size(), 2u);
}

TEST_F(EngineClient, DestroyingAnEndedSessionKeepsTheChild) {
  child_engine engine{spawner, "engine"};
  auto session = engine.start(0, plan_task(), listener);
  child().hello();
  child().end(errc::unsupported, "no");
  session.reset();
  EXPECT_FALSE(child().killed);
}

TEST_F(EngineClient, SessionMayBeDestroyedFromInsideOnEnd) {
  child_engine engine{spawner, "engine"};
  std::unique_ptr<ports::engine_session> session;
  listener->at_end = [&] { session.reset(); };
  session = engine.start(0, plan_task(), listener);
  child().hello();
  child().end(errc::unsupported, "no");
  EXPECT_EQ(session, nullptr);
  EXPECT_FALSE(child().killed);
}

TEST_F(EngineClient, NextTaskMayStartFromInsideOnEndOfACrash) {
  child_engine engine{spawner, "engine"};
  std::unique_ptr<ports::engine_session> session;
  auto next = std::make_shared<recording_listener>();
  listener->at_end = [&] { session = engine.start(0, plan_task(), next); };
  session = engine.start(0, plan_task(), listener);
  child().exit(0, 11);
  ASSERT_EQ(spawner.children.size(), 2u);
  EXPECT_FALSE(child(0).destroyed) << "a child must outlive its own callback";
  child(1).hello();
  child(1).end(errc::unsupported, "no");
  EXPECT_EQ(next->ends, 1);
}

TEST_F(EngineClient, SpawnFailureEndsTheTask) {
  spawner.refuse = true;
  child_engine engine{spawner, "engine"};
  auto session = engine.start(0, plan_task(), listener);
  EXPECT_EQ(listener->ends, 1);
  EXPECT_EQ(listener->result.code, errc::limited);
  session.reset();
  spawner.refuse = false;
  session = engine.start(0, plan_task(), std::make_shared<recording_listener>());
  EXPECT_EQ(spawner.children.size(), 1u);
}

TEST_F(EngineClient, TaskThatCannotBeIsRefusedWithoutAChild) {
  child_engine engine{spawner, "engine"};
  auto task = plan_task();
  task.how.rungs.clear();
  auto session = engine.start(0, task, listener);
  EXPECT_EQ(listener->result.code, errc::invalid_argument);
  EXPECT_TRUE(spawner.children.empty());
}

TEST_F(EngineClient, CancelWaitsForAListenerCallThatIsRunning) {
  child_engine engine{spawner, "engine"};
  std::mutex gate;
  std::condition_variable moved;
  bool inside = false;
  bool leave = false;
  std::atomic<bool> left{false};
  auto session = engine.start(0, plan_task(), listener);
  listener->answer_reads([&](const auto&) {
    std::unique_lock lock{gate};
    inside = true;
    moved.notify_all();
    moved.wait(lock, [&] { return leave; });
    left = true;
  });
  child().hello();
  std::thread loop{[&] { child().say(make_frame(frame_type::read, read_message{1, 0, 10})); }};
  {
    std::unique_lock lock{gate};
    moved.wait(lock, [&] { return inside; });
  }
  std::thread canceller{[&] {
    session.reset();
    EXPECT_TRUE(left) << "the session's destructor returned while its listener was being called";
  }};
  {
    const std::lock_guard lock{gate};
    leave = true;
    moved.notify_all();
  }
  canceller.join();
  loop.join();
}

// ---- Breaches: each kills the child and ends the task as a crash.

struct breach {
  const char* name;
  bool video;
  std::string said;
};

class EngineClientBreach : public ::testing::TestWithParam<breach> {};

TEST_P(EngineClientBreach, KillsTheChildAndEndsTheTaskOnce) {
  scripted_spawner spawner;
  child_engine engine{spawner, "engine"};
  auto listener = std::make_shared<recording_listener>();
  auto session = engine.start(0, GetParam().video ? video_task() : plan_task(), listener);
  auto& child = *spawner.children.at(0);
  child.say(GetParam().said);
  EXPECT_TRUE(child.killed);
  EXPECT_EQ(listener->ends, 1);
  EXPECT_EQ(listener->result.code, errc::crashed);
  child.say(GetParam().said);
  child.exit(0, 9);
  EXPECT_EQ(listener->ends, 1);
  auto next = engine.start(0, plan_task(), std::make_shared<recording_listener>());
  EXPECT_EQ(spawner.children.size(), 2u);
}

namespace {
const std::string hello_bytes = make_frame(frame_type::hello, hello_message{child_protocol_version, "engine", {true, true}});

source_plan huge_plan() {
  auto plan = small_plan();
  plan.rungs.assign(100, {640, 360, 800});
  return plan;
}
}  // namespace

INSTANTIATE_TEST_SUITE_P(
  All, EngineClientBreach,
  ::testing::Values(
    breach{"garbage", false, "GET / HTTP/1.1\r\n\r\n"}, breach{"no_hello", false, plan_page(0, true)},
    breach{"other_version", false, make_frame(frame_type::hello, hello_message{99, "engine", {true, true}})},
    breach{"not_contained", false, make_frame(frame_type::hello, hello_message{child_protocol_version, "engine", {false, true}})},
    breach{"other_engine", false, make_frame(frame_type::hello, hello_message{child_protocol_version, "another", {true, true}})},
    breach{"hello_twice", false, hello_bytes + hello_bytes},
    breach{"parents_frame", false, hello_bytes + make_frame(frame_type::supply_error, supply_error_message{1, errc::io, ""})},
    breach{"read_outside", false, hello_bytes + make_frame(frame_type::read, read_message{1, 999, 2})},
    breach{"read_overflow", false, hello_bytes + make_frame(frame_type::read, read_message{1, ~0ull, 2})},
    breach{"read_nothing", false, hello_bytes + make_frame(frame_type::read, read_message{1, 0, 0})},
    breach{"read_twice", false,
           hello_bytes + make_frame(frame_type::read, read_message{1, 0, 1}) + make_frame(frame_type::read, read_message{2, 0, 1})},
    breach{"piece_in_plan", false, hello_bytes + piece(0, 0)}, breach{"plan_in_video", true, hello_bytes + plan_page(0, true)},
    breach{"pages_out_of_order", false, hello_bytes + plan_page(1, true)},
    breach{"page_after_the_last", false, hello_bytes + plan_page(0, true) + plan_page(1, true)},
    breach{"plan_beyond_limits", false, hello_bytes + make_frame(frame_type::plan, plan_message{huge_plan(), 0, {{0, 0, 48, 0, 0}}, true})},
    breach{"end_before_the_plan", false, hello_bytes + make_frame(frame_type::end, end_message{})},
    breach{"end_before_the_chunks", true, hello_bytes + chunk_done(0) + make_frame(frame_type::end, end_message{})},
    breach{"end_of_unknown_code", true, hello_bytes + make_frame(frame_type::end, end_message{static_cast<errc>(200), ""})},
    breach{"piece_of_another_chunk", true, hello_bytes + piece(1, 0)}, breach{"piece_of_no_rung", true, hello_bytes + piece(0, 0, 1)},
    breach{"too_many_pieces", true, hello_bytes + piece(0, 0) + piece(0, 0) + piece(0, 0)},
    breach{"a_picture_twice", true, hello_bytes + image(0) + image(1) + image(0)}, breach{"a_picture_of_no_kind", true, hello_bytes + image(2)},
    breach{"a_picture_while_planning", false, hello_bytes + image(0)},
    breach{"loss_of_more_than_the_chunk", true, hello_bytes + chunk_done(0, {49, 0, false})},
    breach{"loss_in_another_chunk", true, hello_bytes + chunk_done(0, {1, 48, false})},
    breach{"loss_of_nothing_somewhere", true, hello_bytes + chunk_done(0, {0, 1, false})},
    breach{"chunks_out_of_order", true, hello_bytes + chunk_done(1)},
    breach{"chunk_beyond_the_last", true, hello_bytes + chunk_done(0) + chunk_done(1) + chunk_done(2)}),
  [](const auto& one) { return std::string{one.param.name}; });

TEST_F(EngineClient, ChildThatIsNotContainedWorksForWhoeverSaysSo) {
  options.unsafe_codecs = true;
  child_engine engine{spawner, "engine", options};
  auto session = engine.start(0, plan_task(), listener);
  child().hello({false, false});
  EXPECT_FALSE(child().killed);
  EXPECT_EQ(child().received.size(), 1u);
}

TEST_F(EngineClient, ProgressThatDoesNotGrowIsNotPassedOn) {
  child_engine engine{spawner, "engine"};
  auto session = engine.start(0, video_task(), listener);
  child().hello();
  for (const std::uint64_t done : {0, 5, 5, 3, 6, 6}) child().say(make_frame(frame_type::progress, progress_message{done}));
  EXPECT_EQ(listener->progress, (std::vector<std::uint64_t>{5, 6}));
}

TEST_F(EngineClient, EveryTaskBringsItsProcessorSeconds) {
  child_engine engine{spawner, "engine"};
  auto session = engine.start(0, plan_task(), listener);
  EXPECT_TRUE(child().allowed.empty()) << "it has not applied its own limits yet";
  child().hello();
  child().end(errc::unsupported, "no");
  session = engine.start(0, video_task(), listener);
  const auto plan = budget_of(plan_task()).cpu_s, video = budget_of(video_task()).cpu_s;
  EXPECT_NE(plan, video);
  EXPECT_EQ(child().allowed, (std::vector<std::pair<std::uint32_t, std::size_t>>{{plan, 0}, {video, 1}})) << "each before its task";
}

TEST_F(EngineClient, ProcessorSecondsOfATaskCanBeCapped) {
  options.task_cpu_seconds_max = 7;
  child_engine engine{spawner, "engine", options};
  auto session = engine.start(0, plan_task(), listener);
  child().hello();
  EXPECT_EQ(child().allowed.at(0).first, 7u);
}

TEST_F(EngineClient, ChildWhoseLifeIsTooShortForTheNextTaskIsReplaced) {
  options.limits.cpu_seconds = 2 * budget_of(plan_task()).cpu_s;
  child_engine engine{spawner, "engine", options};
  for (int i = 0; i < 3; ++i) {
    auto session = engine.start(0, plan_task(), std::make_shared<recording_listener>());
    if (i != 1) spawner.children.back()->hello();
    spawner.children.back()->end(errc::unsupported, "no");
  }
  EXPECT_EQ(spawner.children.size(), 2u);
  EXPECT_TRUE(child(0).killed);
}

TEST_F(EngineClient, ChildrenWithoutALimitGetNone) {
  options.limits.cpu_seconds = 0;
  child_engine engine{spawner, "engine", options};
  auto session = engine.start(0, plan_task(), listener);
  child().hello();
  EXPECT_TRUE(child().allowed.empty());
}

TEST_F(EngineClient, AChunkWithoutThePicturesOfItsRecipeIsABreach) {
  for (const bool whole : {true, false}) {
    child_engine engine{spawner, "engine"};
    auto task = video_task();
    task.how.version = 2;
    auto heard = std::make_shared<recording_listener>();
    auto session = engine.start(0, task, heard);
    child().hello();
    child().say(piece(0, 0) + image(0) + (whole ? image(1) : "") + chunk_done(0));
    EXPECT_EQ(heard->done.size(), whole ? 1u : 0u);
    EXPECT_EQ(child().killed, !whole);
    session.reset();
  }
}

TEST_F(EngineClient, MoreBytesThanItsChunkCanHaveAreABreach) {
  const auto task = video_task();
  const auto heavy = [](std::uint32_t chunk, std::uint32_t segment, std::size_t size) {
    const std::string bytes(size, 'x');
    return make_bulk_frame_head(frame_type::piece, piece_head{chunk, track_kind::video, 0, segment, 48}, bytes) + bytes;
  };
  const auto most = chunk_bytes_max(task, 0);
  ASSERT_LT(most, 3'000'000u) << "two seconds at 800 kbit/s";
  for (const bool too_much : {false, true}) {
    child_engine engine{spawner, "engine"};
    auto heard = std::make_shared<recording_listener>();
    auto session = engine.start(0, task, heard);
    auto& now = *spawner.children.back();
    now.hello();
    // What one chunk leaves over is not the next one's.
    now.say(piece(0, output_entry::init_segment) + chunk_done(0));
    now.say(heavy(1, output_entry::init_segment, most / 2) + heavy(1, 1, most / 2 - 100 + (too_much ? 200 : 0)));
    EXPECT_EQ(now.killed, too_much);
    EXPECT_EQ(heard->ends, too_much ? 1 : 0);
    EXPECT_EQ(heard->pieces.size(), too_much ? 2u : 3u);
    EXPECT_EQ(heard->result.message.find("more output") != std::string::npos, too_much) << heard->result.message;
  }
}

TEST_F(EngineClient, PlanOfMorePagesThanADayHasIsABreach) {
  child_engine engine{spawner, "engine"};
  auto task = plan_task();
  task.how.segment_ms = 60'000;
  auto session = engine.start(0, task, listener);
  child().hello();
  auto plan = small_plan();
  plan.notes.assign(16, std::string(error_message_bytes_max, 'x'));
  // Pages of one chunk each, and as long as a page can be: an honest one has 256.
  std::uint32_t pages = 0;
  for (; !child().killed && pages < 10'000; ++pages) child().say(make_frame(frame_type::plan, plan_message{plan, pages, {{pages, 0, 48, 0, 0}}, false}));
  EXPECT_LT(pages, 100u);
  EXPECT_EQ(listener->result.code, errc::crashed);
}

TEST_F(EngineClient, WordsBetweenTasksAreABreach) {
  child_engine engine{spawner, "engine"};
  auto session = engine.start(0, plan_task(), listener);
  child().hello();
  child().end(errc::unsupported, "no");
  child().say(make_frame(frame_type::progress, progress_message{1}));
  EXPECT_TRUE(child().killed);
  EXPECT_EQ(listener->ends, 1);
}

}  // namespace latham::media
