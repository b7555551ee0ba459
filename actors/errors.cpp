#include "actors/protocol.hpp"

namespace latham {

namespace {
const auto category = caf::atom("latham");
}

caf::error to_caf(const error& e) { return {static_cast<std::uint8_t>(e.code), category, caf::make_message(e.message)}; }

error from_caf(const caf::error& e) {
  if (e.category() == category) {
    const auto known = e.code() <= static_cast<std::uint8_t>(errc::internal);
    std::string text;
    if (e.context().match_elements<std::string>()) text = e.context().get_as<std::string>(0);
    return {known ? static_cast<errc>(e.code()) : errc::internal, std::move(text)};
  }
  if (e.category() == caf::atom("system")) {
    switch (static_cast<caf::sec>(e.code())) {
      case caf::sec::request_timeout: return {errc::timeout, "a part of the service did not answer in time; try again"};
      case caf::sec::request_receiver_down:
      case caf::sec::cannot_connect_to_node:
      case caf::sec::no_route_to_receiving_node:
      case caf::sec::remote_linking_failed: return {errc::unavailable, "a part of the service is away; try again"};
      default: break;
    }
  }
  if (e.category() == caf::atom("exit")) return {errc::unavailable, "a part of the service is restarting; try again"};
  return {errc::internal, "an actor failed"};
}

}  // namespace latham
