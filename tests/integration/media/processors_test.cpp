// The same chunk gives the same bytes on every processor from x86-64-v2 up. The codec child runs as it is under an emulator
// of whole processors (qemu-user), so that every library that chooses its code by what the processor can do chooses as it
// would there: FFmpeg's, x264, and the C library with its mathematics. The last processor is this machine's own, which
// may know more than any of the emulated ones.
//
// Without walls (no seccomp can be had under the emulator) and without limits: the files are our own. What is not shown here
// is that two makers' processors round the same approximations alike: the emulator has its own for them.
#include "media/av/engine_identity.hpp"
#include "media/engine_client.hpp"
#include "net/child_process.hpp"
#include "net/loop.hpp"
#include "tests/support/media/all_formats.hpp"
#include "tests/support/media/exactness.hpp"
#include "tests/support/media/recording_listener.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>

namespace latham::media {

namespace {

using namespace latham::testing;

/// By what each adds: v2; AES; AVX; half floats; AVX2 with fused multiply-add; the other maker's.
const std::vector<std::string> models = {"Nehalem", "Westmere", "SandyBridge", "IvyBridge", "Haswell", "EPYC"};

class Processors : public ::testing::Test {
protected:
  void SetUp() override {
    where_.start();
#if defined(LATHAM_SANITIZED) || !defined(__x86_64__)
    GTEST_SKIP() << "the emulator has no room for the sanitizers' memory, and emulates x86-64 only";
#endif
  }

  /// A program that is the codec child on a processor of that model; of this machine's when it is empty.
  std::string child_on(const std::string& model) {
    const auto path = dir_.file("child-" + (model.empty() ? "own" : model));
    const auto emulator = model.empty() ? std::string{} : "qemu-x86_64 -cpu " + model + " ";
    write_file(path, "#!/bin/sh\nexec " + emulator + CODEC_CHILD_ATTACKS + " codec-child open\n");
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path;
  }

  std::shared_ptr<recording_listener> run(child_engine& engine, const std::string& source, const ports::engine_task& task) {
    auto listener = std::make_shared<recording_listener>();
    auto session = engine.start(0, task, listener);
    for (std::size_t i = 0; listener->wait_for_reads(i + 1); ++i) {
      if (i >= listener->reads.size()) break;
      const auto read = listener->reads[i];
      session->supply(read.read, buffer{source.substr(read.offset, read.bytes)});
    }
    EXPECT_TRUE(listener->wait_for_end());
    EXPECT_EQ(listener->result.code, errc::none) << listener->result.message;
    return listener;
  }

  /// All that becomes of `source` on a processor.
  transcoded made_on(const std::string& model, const std::string& source) {
    net::child_process_options program;
    program.program = child_on(model);
    net::child_process_spawner spawner{where_, program};
    child_engine_options options;
    options.limits = {};
    options.unsafe_codecs = true;
    child_engine engine{spawner, engine_identity(), options};

    ports::engine_task task;
    task.source_bytes = source.size();
    task.how.rungs = {{96, 54, 100}, {160, 90, 150}};
    task.how.segment_ms = 400;
    const auto planned = run(engine, source, task);
    transcoded out;
    out.plan = task.plan = planned->plan;
    out.chunks = task.chunks = planned->chunks;
    const auto pieces_of = [&] {
      const auto heard = run(engine, source, task);
      std::vector<kept_piece> pieces;
      for (const auto& [chunk, piece] : heard->pieces)
        pieces.push_back({chunk, piece.kind, piece.rendition, piece.segment, piece.duration, std::string{piece.bytes.view()}});
      EXPECT_FALSE(pieces.empty());
      return pieces;
    };
    task.kind = ports::engine_task_kind::video;
    out.video = pieces_of();
    task.kind = ports::engine_task_kind::audio;
    task.chunks.clear();
    out.audio = pieces_of();
    return out;
  }

  std::string source_of(const format_recipe& format) {
    auto source = make_format(format, dir_, "160x90", 1);
    EXPECT_FALSE(source.empty()) << format.file;
    return source;
  }

  void expect_same_everywhere(const format_recipe& format) {
    const auto source = source_of(format);
    const auto own = made_on("", source);
    for (const auto& model : models) {
      SCOPED_TRACE(std::string{format.file} + " on " + model);
      const auto made = made_on(model, source);
      // Not EXPECT_EQ: nobody wants to read the bytes.
      EXPECT_TRUE(made.plan == own.plan) << "plan";
      EXPECT_TRUE(made.video == own.video) << "pictures";
      EXPECT_TRUE(made.audio == own.audio) << "sound";
    }
  }

  const scratch_directory dir_;
  net::loop where_{"latham-process"};
};

}  // namespace

TEST_F(Processors, GiveTheSameBytes) {
  expect_same_everywhere({"h264_aac.mp4", "-c:v libx264 -preset ultrafast -bf 2 -c:a aac"});
}
TEST_F(Processors, GiveTheSameBytesForInterlacedMpeg2) {
  expect_same_everywhere({"interlaced.ts", "-c:v mpeg2video -flags +ilme+ildct -top 1 -c:a ac3 -ar 44100"});
}
TEST_F(Processors, GiveTheSameBytesForDeepColour) {
  expect_same_everywhere({"deep.mkv", "-pix_fmt yuv422p10le -c:v libx265 -preset ultrafast -x265-params log-level=none:pools=1 -c:a libopus"});
}
TEST_F(Processors, GiveTheSameBytesForVp9) { expect_same_everywhere({"vp9.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libvorbis"}); }
/// Tone mapping is in floating point, and in nothing that a processor may choose (media/tone_curves).
TEST_F(Processors, GiveTheSameBytesForHdr) {
  for (const std::string transfer : {"smpte2084", "arib-std-b67"}) {
    const auto file = "hdr-" + transfer + ".mp4";
    const auto words = "-pix_fmt yuv420p10le -color_primaries bt2020 -color_trc " + transfer +
                       " -colorspace bt2020nc -c:v libx265 -preset ultrafast -x265-params log-level=none:pools=1 -tag:v hvc1 -c:a aac";
    expect_same_everywhere({file.c_str(), words.c_str()});
  }
}

}  // namespace latham::media
