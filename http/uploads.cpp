#include "http/uploads.hpp"

#include "core/recipes.hpp"
#include "http/await.hpp"
#include "http/json_views.hpp"
#include "http/multipart.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace latham::http {

namespace {

constexpr std::size_t field_bytes_max = 4 * 1024;
constexpr std::size_t read_bytes = 256 * kib;
constexpr std::size_t form_overhead_bytes_max = 1 * mib;  // fields and part heads around a file

/// The bytes of one upload on their way to the service. Used by one thread; completions come from others.
class pipe {
public:
  pipe(ports::service& service, const upload_options& options) : service_{service}, options_{options} {}
  pipe(const pipe&) = delete;
  pipe& operator=(const pipe&) = delete;

  /// Whatever was not finished is aborted: the client left, or was refused half-way.
  ~pipe() {
    if (!id_ || finished_) return;
    (void)settle(options_.call_deadline);  // an abort that overtakes appends would only make noise
    service_.abort(*id_, [](expected<void>) {});  // nobody is left to be told; the service expires what it could not abort
  }

  expected<void> create(ports::create_video request) {
    auto view = await<video_view>(options_.call_deadline, [&](auto done) { service_.create(std::move(request), std::move(done)); });
    if (!view) return std::move(view).error();
    id_ = view->id;
    piece_.reserve(options_.piece_bytes);
    return {};
  }

  expected<void> write(std::string_view bytes) {
    bytes_ += bytes.size();
    if (bytes_ > options_.bytes_max) return too_large();
    while (!bytes.empty()) {
      const auto take = std::min(bytes.size(), options_.piece_bytes - piece_.size());
      piece_.append(bytes.substr(0, take));
      bytes.remove_prefix(take);
      if (piece_.size() == options_.piece_bytes)
        if (auto sent = send(); !sent) return sent;
    }
    return {};
  }

  expected<video_view> finish() {
    if (!piece_.empty())
      if (auto sent = send(); !sent) return std::move(sent).error();
    if (auto settled = settle(options_.call_deadline); !settled) return std::move(settled).error();
    auto view = await<video_view>(options_.finish_deadline, [&](auto done) { service_.finish(*id_, bytes_, std::move(done)); });
    // After a timeout nobody knows whether it was accepted: it must not be aborted then.
    finished_ = view.has_value() || view.error().code == errc::timeout;
    return view;
  }

  [[nodiscard]] bool created() const noexcept { return id_.has_value(); }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] error too_large() const {
    return {errc::too_large, "The file is larger than this server takes (" + std::to_string(options_.bytes_max) + " bytes)."};
  }

private:
  struct progress {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t in_flight = 0;
    error failure;
  };

  expected<void> send() {
    const auto size = piece_.size();
    {
      std::unique_lock lock{progress_->mutex};
      if (!progress_->changed.wait_for(lock, options_.call_deadline, [&] {
            return progress_->failure.code != errc::none || progress_->in_flight < options_.pieces_in_flight_max;
          }))
        return error{errc::timeout, "The store did not take the bytes in time. Try again."};
      if (progress_->failure.code != errc::none) return progress_->failure;
      ++progress_->in_flight;
    }
    std::string piece;
    piece.swap(piece_);
    piece_.reserve(options_.piece_bytes);
    service_.append(*id_, offset_, buffer{std::move(piece)}, [p = progress_](expected<std::uint64_t> durable) {
      {
        const std::lock_guard lock{p->mutex};
        --p->in_flight;
        if (!durable && p->failure.code == errc::none) p->failure = std::move(durable).error();
      }
      p->changed.notify_all();
    });
    offset_ += size;
    return {};
  }

  expected<void> settle(milliseconds deadline) {
    std::unique_lock lock{progress_->mutex};
    // The deadline is for progress: as long as pieces are acknowledged it starts anew.
    while (progress_->in_flight > 0) {
      const auto before = progress_->in_flight;
      if (!progress_->changed.wait_for(lock, deadline, [&] { return progress_->in_flight < before; }))
        return error{errc::timeout, "The store did not take the bytes in time. Try again."};
    }
    if (progress_->failure.code != errc::none) return progress_->failure;
    return {};
  }

  ports::service& service_;
  const upload_options& options_;
  std::shared_ptr<progress> progress_ = std::make_shared<progress>();  // shared: late completions must find it alive
  std::optional<video_id> id_;
  std::string piece_;
  std::uint64_t offset_ = 0;
  std::uint64_t bytes_ = 0;
  bool finished_ = false;
};

/// The fields that a client may send beside the file.
struct fields {
  std::string title;
  std::vector<rung> ladder;
  priority_class priority = priority_class::normal;
  trim part;

  static bool is_one(std::string_view name) {
    return name == "title" || name == "ladder" || name == "priority" || name == "start" || name == "end";
  }

  expected<void> take(std::string_view name, std::string_view value) {
    if (name == "title") {
      title = clean_title(value);
    } else if (name == "ladder") {
      auto parsed = parse_ladder(value);
      if (!parsed) return std::move(parsed).error();
      ladder.insert(ladder.end(), parsed->begin(), parsed->end());
      if (ladder.size() > rungs_max) return {errc::invalid_argument, "The ladder has too many sizes."};
    } else if (name == "priority") {
      auto parsed = parse_priority(value);
      if (!parsed) return std::move(parsed).error();
      priority = *parsed;
    } else if (name == "start" || name == "end") {
      auto parsed = parse_seconds_ms(value);
      if (!parsed) return std::move(parsed).error();
      (name == "start" ? part.start_ms : part.end_ms) = *parsed;
      if (name == "end" && *parsed == 0) return {errc::invalid_argument, "The end has to come after the start."};
    }
    return {};
  }

  expected<ports::create_video> request(std::string_view filename, std::uint64_t bytes_expected) const {
    ports::create_video made;
    made.title = !title.empty() ? title : title_of_file(filename);
    if (made.title.empty()) made.title = "untitled";
    made.bytes_expected = bytes_expected;
    made.priority = priority;
    // The same rule that the storage node will use, asked now so that the sender learns of it before sending gigabytes.
    if (auto recipe = make_recipe(ladder, part); !recipe) return std::move(recipe).error();
    made.ladder = ladder;
    made.part = part;
    return made;
  }
};

error empty_file() { return {errc::unprocessable, "The file is empty. Choose a video file."}; }

/// 499 and 408 cannot be said by errc alone: a slow client is not a slow service.
reply refusal_of_body(const error& e) {
  return e.code == errc::timeout ? problem_reply(to_problem(408, e.message)) : problem_reply(e);
}

void created(exchange& x, const video_view& view) {
  x.answer = json_reply(201, to_json(view));
  x.answer.fields.emplace_back("Location", "/api/v1/videos/" + to_string(view.id));
}

}  // namespace

expected<std::vector<rung>> parse_ladder(std::string_view text) {
  std::vector<rung> rungs;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find_first_of(" ,\t\r\n", at), text.size());
    if (end > at) {
      auto parsed = parse_rung(text.substr(at, end - at));
      if (!parsed) return std::move(parsed).error();
      if (rungs.size() == rungs_max) return error{errc::invalid_argument, "The ladder has too many sizes."};
      rungs.push_back(*parsed);
    }
    at = end + 1;
  }
  return rungs;
}

expected<priority_class> parse_priority(std::string_view text) {
  for (const auto p : {priority_class::low, priority_class::normal, priority_class::high})
    if (to_string(p) == text) return p;
  return error{errc::invalid_argument, "The priority must be low, normal or high."};
}

void uploads::post(exchange& x) const {
  const auto* type = x.head.field("content-type");
  const auto length = x.head.content_length;
  const auto bytes_max = options_.bytes_max;
  if (length && *length > bytes_max && *length - bytes_max > form_overhead_bytes_max) {
    x.answer = problem_reply(pipe{service_, options_}.too_large());
    return;
  }
  if (const auto* coding = x.head.field("content-encoding"); coding != nullptr && !equals_ignoring_case(*coding, "identity")) {
    x.answer = problem_reply(to_problem(415, "Send the file as it is, without a content encoding."));
    return;
  }
  const std::string_view media = type == nullptr ? std::string_view{} : std::string_view{*type}.substr(0, type->find(';'));
  if (equals_ignoring_case(media, "multipart/form-data")) {
    const auto boundary = multipart_boundary(*type);
    if (boundary)
      post_form(x, *boundary);
    else
      x.answer = problem_reply(to_problem(400, "The form's Content-Type has no usable boundary."));
  } else if (equals_ignoring_case(media.substr(0, 6), "video/") || equals_ignoring_case(media, "application/octet-stream")) {
    post_raw(x);
  } else {
    x.answer = problem_reply(
        to_problem(415, "Send a form (multipart/form-data) with a file, or the file itself as video/* or application/octet-stream."));
  }
}

void uploads::post_form(exchange& x, std::string_view boundary) const {
  pipe to{service_, options_};
  fields given;
  enum class part : std::uint8_t { skipped, field, file };
  part current = part::skipped;
  std::string name, value;
  bool had_file = false;

  multipart_parser parser{
    boundary,
    {[&](part_head head) -> expected<void> {
       name = head.name;
       value.clear();
       if (!head.filename) {
         current = part::field;
         if (had_file && fields::is_one(name)) return {errc::invalid_argument, "Send the field \"" + name + "\" before the file."};
         return {};
       }
       if (had_file) return {errc::invalid_argument, "Send one file per request."};
       current = part::file;
       had_file = true;
       // The part's own length is not said anywhere; the request's is a little more and good enough to reserve space.
       auto request = given.request(*head.filename, x.head.content_length.value_or(0));
       if (!request) return std::move(request).error();
       return to.create(std::move(*request));
     },
     [&](std::string_view bytes) -> expected<void> {
       if (current == part::file) return to.write(bytes);
       if (value.size() + bytes.size() > field_bytes_max) return {errc::too_large, "A field of the form is too long."};
       value.append(bytes);
       return {};
     },
     [&]() -> expected<void> {
       if (std::exchange(current, part::skipped) == part::field) return given.take(name, value);
       return {};
     }}};

  std::vector<char> bytes(read_bytes);
  for (;;) {
    auto got = x.body.read(bytes.data(), bytes.size());
    if (!got) {
      x.answer = refusal_of_body(got.error());
      return;
    }
    if (*got == 0) break;
    if (auto fed = parser.feed({bytes.data(), *got}); !fed) {
      x.answer = problem_reply(fed.error());
      return;
    }
  }
  if (!parser.complete()) {
    x.answer = problem_reply(to_problem(400, "The form ends before its last boundary."));
  } else if (!had_file) {
    x.answer = problem_reply(to_problem(400, "The form has no file. Add a part named \"file\" with a filename."));
  } else if (to.bytes() == 0) {
    x.answer = problem_reply(empty_file());
  } else if (auto view = to.finish(); !view) {
    x.answer = problem_reply(view.error());
  } else {
    created(x, *view);
  }
}

void uploads::post_raw(exchange& x) const {
  fields given;
  for (const auto& [name, value] : x.query)
    if (auto taken = given.take(name, value); !taken) {
      x.answer = problem_reply(taken.error());
      return;
    }
  const auto length = x.head.content_length;
  if (!x.head.has_body()) {
    x.answer = problem_reply(empty_file());
    return;
  }
  auto request = given.request(x.query_value("filename").value_or(""), length.value_or(0));
  if (!request) {
    x.answer = problem_reply(request.error());
    return;
  }
  pipe to{service_, options_};
  if (length.value_or(0) > options_.bytes_max) {
    x.answer = problem_reply(to.too_large());
    return;
  }
  if (auto made = to.create(std::move(*request)); !made) {
    x.answer = problem_reply(made.error());
    return;
  }
  std::vector<char> bytes(read_bytes);
  for (;;) {
    auto got = x.body.read(bytes.data(), bytes.size());
    if (!got) {
      x.answer = refusal_of_body(got.error());
      return;
    }
    if (*got == 0) break;
    if (auto written = to.write({bytes.data(), *got}); !written) {
      x.answer = problem_reply(written.error());
      return;
    }
  }
  if (to.bytes() == 0) {
    x.answer = problem_reply(empty_file());
  } else if (auto view = to.finish(); !view) {
    x.answer = problem_reply(view.error());
  } else {
    created(x, *view);
  }
}

}  // namespace latham::http
