// cpp-httplib, and the only place that extends it. It reads the request line, decodes the query and writes responses; we
// keep from it everything that goes wrong in it: sockets, threads, bodies, ranges, compression, multipart.
//
// It gets a head of our own making with a method, a target and nothing else, so that no field of a client can make it do
// anything (its Range, Expect, Content-Length, REMOTE_ADDR and Accept-Encoding are all traps). Responses are gathered so
// that head and body leave in one send.
//
// Built for the versions of Debian 12 (0.11) and Debian 13 (0.18), whose protected interfaces differ; front.cpp has both.
#pragma once

#include "http/exchange.hpp"

#include <functional>
#include <memory>

namespace latham::http {

struct front_options {
  body_pace pace;
  milliseconds write_timeout{30'000};  // without any progress of a response
};

class front {
public:
  /// `answer` fills exchange::answer. Whatever it throws becomes a 500 that says nothing.
  front(std::function<void(exchange&)> answer, front_options options);
  ~front();
  front(const front&) = delete;
  front& operator=(const front&) = delete;

  /// Runs the one request at the start of the connection's inbox. False: the connection must be closed. Any thread.
  [[nodiscard]] bool serve(net::connection& c);

private:
  class server;
  std::unique_ptr<server> server_;
};

}  // namespace latham::http
