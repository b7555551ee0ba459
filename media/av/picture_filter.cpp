#include "media/av/picture_filter.hpp"

extern "C" {
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavutil/mem.h>
}

#include <new>

namespace latham::media {

namespace {

struct parameters_deleter {
  void operator()(AVBufferSrcParameters* x) const noexcept { av_free(x); }
};
struct ends_deleter {
  void operator()(AVFilterInOut* x) const noexcept { avfilter_inout_free(&x); }
};
using filter_ends = std::unique_ptr<AVFilterInOut, ends_deleter>;

filter_ends make_end(AVFilterContext* filter, const char* name) {
  auto end = checked(filter_ends{avfilter_inout_alloc()});
  end->name = av_strdup(name);
  end->filter_ctx = filter;
  if (!end->name) throw std::bad_alloc{};
  return end;
}

}  // namespace

expected<std::unique_ptr<picture_filter>> picture_filter::open(const std::string& chain, const AVFrame& like) {
  std::unique_ptr<picture_filter> out{new picture_filter};
  out->graph_.reset(avfilter_graph_alloc());
  auto* graph = out->graph_.get();
  if (!graph) throw std::bad_alloc{};
  graph->nb_threads = 1;

  out->source_ = avfilter_graph_alloc_filter(graph, avfilter_get_by_name("buffer"), "in");
  const std::unique_ptr<AVBufferSrcParameters, parameters_deleter> parameters{av_buffersrc_parameters_alloc()};
  if (!out->source_ || !parameters) throw std::bad_alloc{};
  parameters->format = like.format;
  parameters->width = like.width;
  parameters->height = like.height;
  parameters->time_base = {1, 1};
#if LIBAVFILTER_VERSION_MAJOR >= 10
  parameters->color_space = like.colorspace;
  parameters->color_range = like.color_range;
#endif
  int r = av_buffersrc_parameters_set(out->source_, parameters.get());
  if (r >= 0) r = avfilter_init_dict(out->source_, nullptr);
  if (r < 0) return av_error("open a filter's source", r);
  r = avfilter_graph_create_filter(&out->sink_, avfilter_get_by_name("buffersink"), "out", nullptr, nullptr, graph);
  if (r < 0) return av_error("open a filter's sink", r);

  // The chain's inputs hang on the outputs of what stands before it, and the other way round.
  auto* before = make_end(out->source_, "in").release();
  auto* after = make_end(out->sink_, "out").release();
  r = avfilter_graph_parse_ptr(graph, chain.c_str(), &after, &before, nullptr);
  const filter_ends left_before{before}, left_after{after};
  if (r < 0) return av_error("make a filter", r);
  if (r = avfilter_graph_config(graph, nullptr); r < 0) return av_error("set up a filter", r);
  if (r = av_frame_copy_props(out->like_.get(), &like); r < 0) return av_error("describe a picture", r);
  out->like_->width = like.width;
  out->like_->height = like.height;
  out->like_->format = like.format;
  return out;
}

bool picture_filter::fits(const AVFrame& picture) const {
  return picture.width == like_->width && picture.height == like_->height && picture.format == like_->format &&
         picture.color_range == like_->color_range && picture.colorspace == like_->colorspace && picture.color_trc == like_->color_trc &&
         picture.color_primaries == like_->color_primaries;
}

expected<void> picture_filter::put(const AVFrame& picture) {
  if (const int r = av_frame_ref(given_.get(), &picture); r < 0) return av_error("hold a picture", r);
  given_->pts = count_++;
  // The sender's reference goes with it.
  const int r = av_buffersrc_add_frame_flags(source_, given_.get(), 0);
  av_frame_unref(given_.get());
  if (r < 0) return av_error("filter a picture", r);
  return {};
}

expected<void> picture_filter::end() {
  if (const int r = av_buffersrc_add_frame_flags(source_, nullptr, 0); r < 0) return av_error("end a filter", r);
  return {};
}

expected<bool> picture_filter::take(AVFrame& into) {
  av_frame_unref(&into);
  const int r = av_buffersink_get_frame(sink_, &into);
  if (r == AVERROR(EAGAIN) || r == AVERROR_EOF) return false;
  if (r < 0) return av_error("filter a picture", r);
  return true;
}

}  // namespace latham::media
