// While one of these lives, FFmpeg's libraries use the instructions that every processor of ours has (x86-64-v2), and not
// what this one may have beyond. They pick their code when a decoder, resampler or encoder is opened.
//
// For sound: its code works in floating point, AVX and fused multiply-add round otherwise than SSE, and then the same track
// has other bytes on another machine. It is two hundredths of the work, so nothing is lost. Pictures are worked on in whole
// numbers, which every processor adds alike; they keep all instructions.
//
// The choice is the process's: one task at a time, as a codec child does.
#pragma once

extern "C" {
#include <libavutil/cpu.h>
}

namespace latham::media {

class same_instructions {
public:
  same_instructions() noexcept {
#if defined(__x86_64__)
    constexpr int common = AV_CPU_FLAG_CMOV | AV_CPU_FLAG_MMX | AV_CPU_FLAG_MMXEXT | AV_CPU_FLAG_SSE | AV_CPU_FLAG_SSE2 | AV_CPU_FLAG_SSE3 |
                           AV_CPU_FLAG_SSSE3 | AV_CPU_FLAG_SSE4 | AV_CPU_FLAG_SSE42;
    av_force_cpu_flags(av_get_cpu_flags() & common);
#endif
  }
  ~same_instructions() {
#if defined(__x86_64__)
    av_force_cpu_flags(-1);  // as they are found again
#endif
  }
  same_instructions(const same_instructions&) = delete;
  same_instructions& operator=(const same_instructions&) = delete;
};

}  // namespace latham::media
