#include "http/assets.hpp"

#include "http/ranges.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace latham::http {

const asset* find_asset(std::string_view path) noexcept {
  const auto all = embedded_assets();
  const auto at = std::lower_bound(all.begin(), all.end(), path, [](const asset& a, std::string_view p) { return a.path < p; });
  return at != all.end() && at->path == path ? &*at : nullptr;
}

std::string_view content_type_of(std::string_view path) noexcept {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 10> types = {{{".html", "text/html; charset=utf-8"},
                                                                                           {".js", "text/javascript; charset=utf-8"},
                                                                                           {".css", "text/css; charset=utf-8"},
                                                                                           {".svg", "image/svg+xml"},
                                                                                           {".json", "application/json"},
                                                                                           {".png", "image/png"},
                                                                                           {".ico", "image/x-icon"},
                                                                                           {".txt", "text/plain; charset=utf-8"},
                                                                                           {".yaml", "application/yaml"},
                                                                                           {".webmanifest", "application/manifest+json"}}};
  for (const auto& [ending, type] : types)
    if (path.size() >= ending.size() && path.substr(path.size() - ending.size()) == ending) return type;
  return "application/octet-stream";
}

bool answer_asset(exchange& x) {
  if (x.head.method != "GET" && x.head.method != "HEAD") return false;
  const auto* found = find_asset(x.path == "/" ? std::string_view{"/index.html"} : std::string_view{x.path});
  if (found == nullptr) return false;
  auto& answer = x.answer;
  // Files below /assets/ have a digest in their name; a new page names new ones.
  const bool hashed = found->path.rfind("/assets/", 0) == 0;
  answer.fields.emplace_back("Cache-Control", hashed ? "public, max-age=31536000, immutable" : "no-cache");
  answer.fields.emplace_back("ETag", '"' + std::string{found->etag} + '"');
  answer.fields.emplace_back("Vary", "Accept-Encoding");
  const auto* seen = x.head.field("if-none-match");
  if (seen != nullptr && answer_range({std::nullopt, std::nullopt, *seen}, found->etag, found->bytes.size()).status == 304) {
    answer.status = 304;
    return true;
  }
  answer.content_type = content_type_of(found->path);
  if (answer.content_type.rfind("text/html", 0) == 0) {
    answer.fields.emplace_back("Content-Security-Policy",
                               "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob: data:; connect-src 'self'; "
                               "worker-src 'self' blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'");
    answer.fields.emplace_back("Referrer-Policy", "no-referrer");
  }
  const auto* encodings = x.head.field("accept-encoding");
  const bool gzip = !found->gzip.empty() && encodings != nullptr && encodings->find("gzip") != std::string::npos;
  if (gzip) answer.fields.emplace_back("Content-Encoding", "gzip");
  answer.body = std::string{gzip ? found->gzip : found->bytes};
  return true;
}

}  // namespace latham::http
