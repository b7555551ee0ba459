#include "http/media.hpp"

#include "http/await.hpp"
#include "http/ranges.hpp"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>

namespace latham::http {

namespace {

/// Reads a range of a blob in order, one piece ahead of what was asked for.
class reader {
public:
  reader(ports::service& service, ports::media_range range, std::uint64_t offset, std::uint64_t bytes, media_options options)
    : service_{service}, range_{std::move(range)}, next_{offset}, end_{offset + bytes}, options_{options} {
    ask();
  }

  expected<buffer> next() {
    ask();
    auto first = std::move(waiting_.front());
    waiting_.pop_front();
    std::unique_lock lock{first.to->mutex};
    if (!first.to->changed.wait_for(lock, options_.call_deadline, [&] { return first.to->result.has_value(); }))
      return error{errc::timeout, "The store did not answer in time. Try again."};
    auto result = std::move(*first.to->result);
    if (result && result->size() != first.bytes) return error{errc::corrupt, "The store gave fewer bytes than it has."};
    return result;
  }
  [[nodiscard]] bool at_end() const noexcept { return waiting_.empty() && next_ == end_; }

private:
  struct answer {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<expected<buffer>> result;
  };
  struct read {
    std::shared_ptr<answer> to;  // shared: a late completion must find it alive
    std::uint32_t bytes = 0;
  };

  void ask() {
    while (waiting_.size() < 2 && next_ < end_) {
      const auto bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(options_.read_bytes, end_ - next_));
      auto to = std::make_shared<answer>();
      waiting_.push_back(read{to, bytes});
      service_.read(range_, next_, bytes, [to](expected<buffer> result) {
        {
          const std::lock_guard lock{to->mutex};
          to->result.emplace(std::move(result));
        }
        to->changed.notify_one();
      });
      next_ += bytes;
    }
  }

  ports::service& service_;
  ports::media_range range_;
  std::uint64_t next_;
  std::uint64_t end_;
  media_options options_;
  std::deque<read> waiting_;
};

bool is_plain_path(std::string_view path) {
  if (path.empty() || path.size() > 256 || path.front() == '/' || path.find("..") != std::string_view::npos) return false;
  return std::all_of(path.begin(), path.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '/';
  });
}

std::optional<std::string> copy(const std::string* text) { return text == nullptr ? std::nullopt : std::optional{*text}; }

}  // namespace

void media::preflight(exchange& x) {
  x.answer.status = 204;
  x.answer.fields = {{"Access-Control-Allow-Origin", "*"},
                     {"Access-Control-Allow-Methods", "GET, HEAD"},
                     {"Access-Control-Allow-Headers", "Range, If-Range, If-None-Match"},
                     {"Access-Control-Max-Age", "86400"}};
}

void media::get(exchange& x) const {
  const auto id = parse_id<video_id>(x.parameters.at(0));
  const auto& path = x.parameters.at(1);
  if (!id || !is_plain_path(path)) {
    x.answer = problem_reply(to_problem(404, "There is no such file."));
    x.answer.fields.emplace_back("Access-Control-Allow-Origin", "*");
    return;
  }
  auto found = await<ports::media_resource>(options_.call_deadline, [&](auto done) { service_.media(*id, path, std::move(done)); });
  if (!found) {
    x.answer = problem_reply(found.error());
    x.answer.fields.emplace_back("Access-Control-Allow-Origin", "*");
    return;
  }
  const bool is_text = found->range.bytes == 0;
  const auto size = is_text ? found->text.size() : found->range.bytes;
  const auto part =
    answer_range({copy(x.head.field("range")), copy(x.head.field("if-range")), copy(x.head.field("if-none-match"))}, found->etag, size);
  auto& answer = x.answer;
  if (part.status == 416) {
    answer = problem_reply(to_problem(416, "The file has " + std::to_string(size) + " bytes; ask for a range inside it."));
  } else {
    answer.status = part.status;
    answer.content_type = found->content_type;
    // A playlist grows while its video is encoded, so it is asked for again; a segment never changes.
    answer.fields.emplace_back("Cache-Control", found->immutable ? "public, max-age=31536000, immutable" : "no-cache");
    if (!found->etag.empty()) answer.fields.emplace_back("ETag", '"' + found->etag + '"');
    answer.fields.emplace_back("Accept-Ranges", "bytes");
  }
  if (!part.content_range.empty()) answer.fields.emplace_back("Content-Range", part.content_range);
  answer.fields.emplace_back("Access-Control-Allow-Origin", "*");
  answer.fields.emplace_back("Access-Control-Expose-Headers", "Content-Length, Content-Range, ETag");
  if (part.status != 200 && part.status != 206) return;
  if (is_text) {
    answer.body = found->text.substr(static_cast<std::size_t>(part.offset), static_cast<std::size_t>(part.bytes));
    return;
  }
  if (x.head.method == "HEAD") {
    answer.stream_bytes = part.bytes;
    answer.stream = [](const reply::writer&) { return false; };  // not called for HEAD
    return;
  }
  // The first piece is fetched before the status is sent: a store that is away is a 503, not a broken connection.
  auto from = std::make_shared<reader>(service_, found->range, part.offset, part.bytes, options_);  // shared: std::function copies
  auto first = from->next();
  if (!first) {
    answer = problem_reply(first.error());
    answer.fields.emplace_back("Access-Control-Allow-Origin", "*");
    return;
  }
  answer.stream_bytes = part.bytes;
  answer.stream = [from, piece = std::move(*first)](const reply::writer& write) mutable {
    if (piece.empty()) {
      auto next = from->next();
      if (!next) return false;
      piece = std::move(*next);
    }
    const auto bytes = std::exchange(piece, {});
    return write(bytes.view());
  };
}

}  // namespace latham::http
