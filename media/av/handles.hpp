// One owning type per FFmpeg handle, so that no path out of a function can leak one. Nothing else of FFmpeg is wrapped:
// the code that uses it speaks its language.
#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/audio_fifo.h>
#include <libavutil/dict.h>
#include <libavutil/frame.h>
#include <libswresample/swresample.h>
#include <libswscale/swscale.h>
}

#include "core/expected.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <new>
#include <string>

namespace latham::media {

struct av_deleter {
  void operator()(AVFrame* x) const noexcept { av_frame_free(&x); }
  void operator()(AVPacket* x) const noexcept { av_packet_free(&x); }
  void operator()(AVCodecContext* x) const noexcept { avcodec_free_context(&x); }
  void operator()(AVCodecParserContext* x) const noexcept { av_parser_close(x); }
  void operator()(SwsContext* x) const noexcept { sws_freeContext(x); }
  void operator()(SwrContext* x) const noexcept { swr_free(&x); }
  void operator()(AVAudioFifo* x) const noexcept { av_audio_fifo_free(x); }
  void operator()(AVIOContext* x) const noexcept {
    // The buffer may have been replaced since it was handed over, so it is freed through the context.
    av_freep(&x->buffer);
    avio_context_free(&x);
  }
};

using av_frame = std::unique_ptr<AVFrame, av_deleter>;
using av_packet = std::unique_ptr<AVPacket, av_deleter>;
using av_codec_context = std::unique_ptr<AVCodecContext, av_deleter>;
using av_parser = std::unique_ptr<AVCodecParserContext, av_deleter>;
using av_scaler = std::unique_ptr<SwsContext, av_deleter>;
using av_resampler = std::unique_ptr<SwrContext, av_deleter>;
using av_audio_fifo = std::unique_ptr<AVAudioFifo, av_deleter>;
using av_io_context = std::unique_ptr<AVIOContext, av_deleter>;

struct av_input_deleter {
  void operator()(AVFormatContext* x) const noexcept { avformat_close_input(&x); }
};
struct av_output_deleter {
  void operator()(AVFormatContext* x) const noexcept { avformat_free_context(x); }
};
using av_input_context = std::unique_ptr<AVFormatContext, av_input_deleter>;
using av_output_context = std::unique_ptr<AVFormatContext, av_output_deleter>;

/// A dictionary that frees what its user left over.
class av_dictionary {
public:
  av_dictionary() = default;
  ~av_dictionary() { av_dict_free(&dict_); }
  av_dictionary(const av_dictionary&) = delete;
  av_dictionary& operator=(const av_dictionary&) = delete;

  void set(const char* key, const char* value) { av_dict_set(&dict_, key, value, 0); }
  void set(const char* key, std::int64_t value) { av_dict_set_int(&dict_, key, value, 0); }
  [[nodiscard]] AVDictionary** address() noexcept { return &dict_; }
  /// The first key that nobody took, or null: a misspelt option is silent otherwise.
  [[nodiscard]] const char* left_over() const noexcept {
    const auto* entry = av_dict_get(dict_, "", nullptr, AV_DICT_IGNORE_SUFFIX);
    return entry ? entry->key : nullptr;
  }

private:
  AVDictionary* dict_ = nullptr;
};

/// Allocation failures become std::bad_alloc, which the task runner turns into one clear error.
template <class Owner>
Owner checked(Owner owner) {
  if (!owner) throw std::bad_alloc{};
  return owner;
}
[[nodiscard]] inline av_frame make_frame_handle() { return checked(av_frame{av_frame_alloc()}); }
[[nodiscard]] inline av_packet make_packet_handle() { return checked(av_packet{av_packet_alloc()}); }

[[nodiscard]] inline std::string av_text(int code) {
  std::array<char, AV_ERROR_MAX_STRING_SIZE> text{};
  av_strerror(code, text.data(), text.size());
  return text.data();
}

/// An FFmpeg failure that is not the input's fault. Out of memory is: the process's limit is what a task may cost.
[[nodiscard]] inline error av_error(const char* what, int code) {
  if (code == AVERROR(ENOMEM)) throw std::bad_alloc{};
  return {errc::internal, std::string{what} + ": " + av_text(code)};
}

[[nodiscard]] inline AVRational to_av(std::int64_t num, std::int64_t den) { return {static_cast<int>(num), static_cast<int>(den)}; }

}  // namespace latham::media
