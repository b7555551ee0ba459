// The table of the public API: which path is answered by what. openapi.yaml describes the same table for others, and a test
// keeps the two equal.
#include "http/assets.hpp"
#include "http/await.hpp"
#include "http/json_views.hpp"
#include "http/server.hpp"

#include <nlohmann/json.hpp>

#include <charconv>

namespace latham::http {

namespace {

constexpr std::uint32_t list_default = 50;
constexpr std::uint32_t list_max = 200;

/// The id in the path; answers 404 when it is none, because nothing can be there.
std::optional<video_id> id_of(exchange& x) {
  auto id = parse_id<video_id>(x.parameters.at(0));
  if (!id) x.answer = problem_reply(to_problem(404, "There is no such video."));
  return id;
}

void answer_view(exchange& x, expected<video_view> view) {
  x.answer = view ? json_reply(200, to_json(*view)) : problem_reply(view.error());
}

}  // namespace

router make_routes(ports::service& service, const server_options& options) {
  router table;
  const auto deadline = options.call_deadline;
  const auto post = std::make_shared<uploads>(service, options.upload);    // shared by the handlers, which are copied
  const auto files = std::make_shared<media>(service, options.media);

  for (const auto* path : {"/api/video/upload", "/api/v1/videos"})
    table.add({"POST", path, "upload", lane::upload, false, [post](exchange& x) { post->post(x); }});

  table.add({"GET", "/api/v1/videos", "list", lane::api, false, [&service, deadline](exchange& x) {
               std::uint32_t limit = list_default;
               if (const auto text = x.query_value("limit")) {
                 const auto [rest, failure] = std::from_chars(text->data(), text->data() + text->size(), limit);
                 if (failure != std::errc{} || rest != text->data() + text->size() || limit < 1 || limit > list_max) {
                   x.answer = problem_reply(to_problem(400, "The limit must be a number from 1 to 200."));
                   return;
                 }
               }
               auto page = await<ports::video_page>(deadline, [&](auto done) {
                 service.list("default", x.query_value("cursor").value_or(""), limit, std::move(done));
               });
               x.answer = page ? json_reply(200, to_json(*page)) : problem_reply(page.error());
             }});

  table.add({"GET", "/api/v1/videos/{id}", "get", lane::api, false, [&service, deadline](exchange& x) {
               if (const auto id = id_of(x))
                 answer_view(x, await<video_view>(deadline, [&](auto done) { service.get(*id, std::move(done)); }));
             }});

  table.add({"DELETE", "/api/v1/videos/{id}", "delete", lane::api, false, [&service, deadline](exchange& x) {
               const auto id = id_of(x);
               if (!id) return;
               auto removed = await<void>(deadline, [&](auto done) { service.remove(*id, std::move(done)); });
               if (removed)
                 x.answer.status = 204;
               else
                 x.answer = problem_reply(removed.error());
             }});

  table.add({"POST", "/api/v1/videos/{id}/retry", "retry", lane::api, false, [&service, deadline](exchange& x) {
               if (const auto id = id_of(x))
                 answer_view(x, await<video_view>(deadline, [&](auto done) { service.retry(*id, std::move(done)); }));
             }});

  table.add({"GET", "/api/v1/events", "events", lane::api, true, nullptr});

  table.add({"GET", "/media/{id}/{path...}", "media", lane::media, false, [files](exchange& x) { files->get(x); }});
  table.add({"OPTIONS", "/media/{id}/{path...}", "media_preflight", lane::api, false, [](exchange& x) { media::preflight(x); }});

  table.add({"GET", "/version", "version", lane::api, false, [version = options.version](exchange& x) {
               x.answer = json_reply(200, nlohmann::ordered_json{{"name", "latham"}, {"version", version}, {"api", "v1"}}.dump());
             }});
  for (const auto* path : {"/openapi.yaml", "/"})
    table.add({"GET", path, "page", lane::api, false, [](exchange& x) {
                 if (!answer_asset(x)) x.answer = problem_reply(to_problem(404, "There is nothing at this address."));
               }});
  table.add({"GET", "/assets/{file}", "page", lane::media, false, [](exchange& x) {
               if (!answer_asset(x)) x.answer = problem_reply(to_problem(404, "There is no such file."));
             }});
  return table;
}

}  // namespace latham::http
