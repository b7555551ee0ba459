// A small client of our own API, for the command line and for chaos runs: submit a file, look, list, follow. Answers are
// the API's JSON as it came; problems become errors with the server's own sentence.
#pragma once

#include "core/expected.hpp"
#include "core/units.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace latham::http {

struct client_options {
  std::string url = "http://localhost:8000";  // scheme, host and port only
  std::string token;
  milliseconds connect_timeout{5'000};
  milliseconds call_timeout{30'000};
};

struct submit_request {
  std::string path;                 // of a regular file
  std::string title;                // empty: the file's name
  std::vector<std::string> ladder;  // "640x360"
  std::string priority;             // empty: normal
  std::string start{};              // seconds; empty: from the beginning
  std::string end{};                // seconds; empty: to the end
};

class api_client {
public:
  explicit api_client(client_options options);

  /// Streams the file as a form; memory is constant. `progress(sent, total)` is called a few times a second at most and
  /// may answer false to give up (errc::cancelled). Fails with io for a file that cannot be read.
  [[nodiscard]] expected<nlohmann::json> submit(const submit_request& request,
                                                const std::function<bool(std::uint64_t, std::uint64_t)>& progress = {});
  [[nodiscard]] expected<nlohmann::json> get(const std::string& id);
  [[nodiscard]] expected<nlohmann::json> list(std::uint32_t limit = 50, const std::string& cursor = {});
  [[nodiscard]] expected<nlohmann::json> retry(const std::string& id);
  [[nodiscard]] expected<void> remove(const std::string& id);
  [[nodiscard]] expected<nlohmann::json> version();
  /// Of a node's admin port: whether it may be switched off for good.
  [[nodiscard]] expected<nlohmann::json> leave();

  /// Follows events until `on_event(name, data)` answers false (success) or the connection ends (errc::unavailable).
  [[nodiscard]] expected<void> events(const std::function<bool(std::string_view, const nlohmann::json&)>& on_event);

private:
  client_options options_;
};

/// The code that a status stands for; the reverse of status_of.
[[nodiscard]] errc code_of(int status, std::string_view code) noexcept;

}  // namespace latham::http
