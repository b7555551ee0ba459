#include "http/client.hpp"

#include "http/problem.hpp"

#include <httplib.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>

namespace latham::http {

namespace {

using json = nlohmann::json;

constexpr std::size_t read_bytes = 256 * kib;
constexpr auto progress_interval = milliseconds{200};

std::unique_ptr<httplib::Client> connect(const client_options& options) {
  auto client = std::make_unique<httplib::Client>(options.url);
  const auto set = [](milliseconds t, auto&& with) {
    with(static_cast<time_t>(t.count() / 1000), static_cast<time_t>(t.count() % 1000 * 1000));
  };
  set(options.connect_timeout, [&](time_t s, time_t us) { client->set_connection_timeout(s, us); });
  set(options.call_timeout, [&](time_t s, time_t us) { client->set_read_timeout(s, us); });
  set(options.call_timeout, [&](time_t s, time_t us) { client->set_write_timeout(s, us); });
  client->set_tcp_nodelay(true);
  if (!options.token.empty()) client->set_default_headers({{"Authorization", "Bearer " + options.token}});
  return client;
}

error unreachable(const client_options& options, httplib::Error e) {
  return {errc::unavailable, "No answer from " + options.url + " (" + httplib::to_string(e) + "). Is the server running?"};
}

error problem_of(int status, const std::string& body) {
  const auto parsed = json::parse(body, nullptr, false);
  if (parsed.is_object() && parsed.contains("detail") && parsed["detail"].is_string()) {
    const auto code = parsed.value("code", std::string{});
    return {code_of(status, code), parsed["detail"].get<std::string>()};
  }
  return {code_of(status, ""), "The server answered with status " + std::to_string(status) + "."};
}

expected<json> parsed(const client_options& options, const httplib::Result& result) {
  if (!result) return unreachable(options, result.error());
  if (result->status < 200 || result->status > 299) return problem_of(result->status, result->body);
  auto value = json::parse(result->body, nullptr, false);
  if (value.is_discarded()) return error{errc::corrupt, "The server's answer is not JSON. Is this the right address?"};
  return value;
}

std::string form_quoted(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"') out += "%22";
    else if (c == '\r') out += "%0D";
    else if (c == '\n') out += "%0A";
    else out += c;
  }
  return out;
}

std::string percent_encoded(std::string_view text) {
  static constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.') {
      out += c;
    } else {
      out += '%';
      out += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
  return out;
}

std::string field(const std::string& boundary, std::string_view name, std::string_view value) {
  return "--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + std::string{name} + "\"\r\n\r\n" + std::string{value} + "\r\n";
}

}  // namespace

errc code_of(int status, std::string_view code) noexcept {
  for (auto i = static_cast<int>(errc::none) + 1; i <= static_cast<int>(errc::internal); ++i)
    if (to_string(static_cast<errc>(i)) == code) return static_cast<errc>(i);
  switch (status) {
    case 404: return errc::not_found;
    case 408:
    case 504: return errc::timeout;
    case 409: return errc::conflict;
    case 413: return errc::too_large;
    case 415: return errc::unsupported;
    case 416: return errc::bad_range;
    case 422: return errc::unprocessable;
    case 429: return errc::limited;
    case 502:
    case 503: return errc::unavailable;
    case 507: return errc::disk_full;
    default: return status >= 500 ? errc::internal : errc::invalid_argument;
  }
}

api_client::api_client(client_options options) : options_{std::move(options)} {}

expected<json> api_client::submit(const submit_request& request, const std::function<bool(std::uint64_t, std::uint64_t)>& progress) {
  std::error_code failure;
  const std::filesystem::path path{request.path};
  if (!std::filesystem::is_regular_file(path, failure)) return error{errc::io, "There is no such file: " + request.path};
  const auto size = std::filesystem::file_size(path, failure);
  std::ifstream file{path, std::ios::binary};
  if (failure || !file) return error{errc::io, "The file cannot be read: " + request.path};

  std::random_device chance;
  std::array<char, 48> boundary_text{};
  std::snprintf(boundary_text.data(), boundary_text.size(), "latham-%08x%08x%08x", chance(), chance(), chance());
  const std::string boundary{boundary_text.data()};
  std::string head;
  if (!request.title.empty()) head += field(boundary, "title", request.title);
  for (const auto& rung : request.ladder) head += field(boundary, "ladder", rung);
  if (!request.priority.empty()) head += field(boundary, "priority", request.priority);
  if (!request.start.empty()) head += field(boundary, "start", request.start);
  if (!request.end.empty()) head += field(boundary, "end", request.end);
  head += "--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + form_quoted(path.filename().string()) +
          "\"\r\nContent-Type: application/octet-stream\r\n\r\n";
  const std::string tail = "\r\n--" + boundary + "--\r\n";

  bool cancelled = false;
  bool unreadable = false;
  auto told = std::chrono::steady_clock::now() - progress_interval;
  std::vector<char> bytes(read_bytes);
  const auto provider = [&](std::size_t offset, std::size_t, httplib::DataSink& sink) {
    std::string_view piece;
    if (offset < head.size()) {
      piece = std::string_view{head}.substr(offset);
    } else if (offset < head.size() + size) {
      const auto left = head.size() + size - offset;
      file.read(bytes.data(), static_cast<std::streamsize>(std::min<std::uint64_t>(bytes.size(), left)));
      if (file.gcount() == 0) {
        unreadable = true;  // it became shorter while it was sent
        return false;
      }
      piece = {bytes.data(), static_cast<std::size_t>(file.gcount())};
    } else {
      piece = std::string_view{tail}.substr(offset - head.size() - size);
    }
    if (!sink.write(piece.data(), piece.size())) return false;
    const auto sent = std::min<std::uint64_t>(offset + piece.size() < head.size() ? 0 : offset + piece.size() - head.size(), size);
    const auto now = std::chrono::steady_clock::now();
    if (progress && (sent == size || now - told >= progress_interval)) {
      told = now;
      if (!progress(sent, size)) {
        cancelled = true;
        return false;
      }
    }
    return true;
  };
  auto client = connect(options_);
  client->set_read_timeout(180, 0);  // the answer comes when the last byte is durable on all copies
  const auto result =
      client->Post("/api/v1/videos", head.size() + size + tail.size(), provider, ("multipart/form-data; boundary=" + boundary).c_str());
  if (cancelled) return error{errc::cancelled, "Given up."};
  if (unreadable) return error{errc::io, "The file changed while it was sent: " + request.path};
  return parsed(options_, result);
}

expected<json> api_client::get(const std::string& id) { return parsed(options_, connect(options_)->Get(("/api/v1/videos/" + id).c_str())); }

expected<json> api_client::list(std::uint32_t limit, const std::string& cursor) {
  auto path = "/api/v1/videos?limit=" + std::to_string(limit);
  if (!cursor.empty()) path += "&cursor=" + percent_encoded(cursor);
  return parsed(options_, connect(options_)->Get(path.c_str()));
}

expected<json> api_client::retry(const std::string& id) {
  return parsed(options_, connect(options_)->Post(("/api/v1/videos/" + id + "/retry").c_str(), "", "application/json"));
}

expected<void> api_client::remove(const std::string& id) {
  const auto result = connect(options_)->Delete(("/api/v1/videos/" + id).c_str());
  if (!result) return unreachable(options_, result.error());
  if (result->status != 204) return problem_of(result->status, result->body);
  return {};
}

expected<json> api_client::version() { return parsed(options_, connect(options_)->Get("/version")); }
expected<json> api_client::leave() { return parsed(options_, connect(options_)->Get("/leave")); }

expected<void> api_client::events(const std::function<bool(std::string_view, const json&)>& on_event) {
  auto client = connect(options_);
  client->set_read_timeout(45, 0);  // three heartbeats
  std::string text;
  bool enough = false;
  int status = 0;
  const auto result = client->Get(
    "/api/v1/events",
    [&](const httplib::Response& response) {
      status = response.status;
      return true;
    },
    [&](const char* data, std::size_t size) {
      text.append(data, size);
      if (status != 200) return text.size() < 64 * kib;
      for (auto end = text.find("\n\n"); end != std::string::npos; end = text.find("\n\n")) {
        std::string name = "message", payload;
        for (std::size_t at = 0; at < end;) {
          const auto stop = std::min(text.find('\n', at), end);
          const auto line = std::string_view{text}.substr(at, stop - at);
          if (line.rfind("event: ", 0) == 0) name = std::string{line.substr(7)};
          if (line.rfind("data: ", 0) == 0) payload += line.substr(6);
          at = stop + 1;
        }
        text.erase(0, end + 2);
        if (payload.empty()) continue;
        const auto value = json::parse(payload, nullptr, false);
        if (!value.is_discarded() && !on_event(name, value)) {
          enough = true;
          return false;
        }
      }
      return text.size() < 4 * mib;
    });
  if (enough) return {};
  if (status != 0 && status != 200) return problem_of(status, text);
  if (status == 0) return unreachable(options_, result.error());
  return error{errc::unavailable, "The event stream ended. Follow again."};
}

}  // namespace latham::http
