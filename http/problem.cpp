#include "http/problem.hpp"

#include <nlohmann/json.hpp>

namespace latham::http {

int status_of(errc code) noexcept {
  switch (code) {
    case errc::none: return 200;
    case errc::invalid_argument: return 400;
    case errc::not_found: return 404;
    case errc::conflict:
    case errc::offset_mismatch: return 409;
    case errc::too_large: return 413;
    case errc::unsupported: return 415;
    case errc::unprocessable: return 422;
    case errc::limited: return 429;
    case errc::disk_full: return 507;
    case errc::unavailable: return 503;
    case errc::timeout: return 504;
    case errc::cancelled: return 499;
    case errc::bad_range: return 416;
    case errc::fenced:
    case errc::corrupt:
    case errc::io:
    case errc::newer_format:
    case errc::crashed:
    case errc::internal: return 500;
  }
  return 500;
}

std::string_view reason_phrase(int status) noexcept {
  switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    default: return status < 400 ? "OK" : "Error";
  }
}

std::string to_sentence(std::string message) {
  if (message.empty()) return message;
  if (message.front() >= 'a' && message.front() <= 'z') message.front() = static_cast<char>(message.front() - 'a' + 'A');
  if (const auto last = message.back(); last != '.' && last != '!' && last != '?') message += '.';
  return message;
}

problem to_problem(const error& e) {
  problem p;
  p.status = status_of(e.code);
  p.code = std::string{to_string(e.code)};
  p.detail = to_sentence(e.message);
  if (e.code == errc::limited || e.code == errc::unavailable) p.retry_after_s = 5;
  if (e.code == errc::disk_full) p.retry_after_s = 60;
  return p;
}

problem to_problem(int status, std::string detail) {
  problem p;
  p.status = status;
  p.detail = std::move(detail);
  switch (status) {
    case 401: p.code = "unauthorized"; break;
    case 404: p.code = to_string(errc::not_found); break;
    case 405: p.code = "method_not_allowed"; break;
    case 408: p.code = "too_slow"; break;
    case 413: p.code = to_string(errc::too_large); break;
    case 415: p.code = to_string(errc::unsupported); break;
    case 416: p.code = to_string(errc::bad_range); break;
    case 422: p.code = to_string(errc::unprocessable); break;
    case 429: p.code = to_string(errc::limited); p.retry_after_s = 5; break;
    case 503: p.code = to_string(errc::unavailable); p.retry_after_s = 2; break;
    case 504: p.code = to_string(errc::timeout); break;
    case 507: p.code = to_string(errc::disk_full); break;
    default: p.code = to_string(status >= 500 ? errc::internal : errc::invalid_argument); break;
  }
  return p;
}

std::string to_json(const problem& p) {
  const nlohmann::ordered_json json = {{"type", "about:blank"},
                                       {"title", reason_phrase(p.status)},
                                       {"status", p.status},
                                       {"detail", p.detail},
                                       {"code", p.code}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string to_closing_response(const problem& p) {
  const auto body = to_json(p);
  std::string response = "HTTP/1.1 " + std::to_string(p.status) + ' ' + std::string{reason_phrase(p.status)} +
                         "\r\nContent-Type: " + std::string{problem_content_type} + "\r\nCache-Control: no-store\r\n";
  if (p.retry_after_s > 0) response += "Retry-After: " + std::to_string(p.retry_after_s) + "\r\n";
  if (p.status == 401) response += "WWW-Authenticate: Bearer\r\n";
  response += "Connection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  return response;
}

}  // namespace latham::http
