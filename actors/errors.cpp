#include "actors/protocol.hpp"

#include <array>

namespace latham {

namespace {
const auto category = caf::atom("latham");

// CAF writes numbers with their highest byte first.
using digest_words = std::array<std::uint64_t, 4>;

digest_words words_of(const sha256_digest& x) {
  digest_words out{};
  for (std::size_t i = 0; i < x.bytes.size(); ++i) out[i / 8] = out[i / 8] << 8 | x.bytes[i];
  return out;
}
}  // namespace

caf::error inspect(caf::serializer& f, sha256_digest& x) {
  auto w = words_of(x);
  return f(w[0], w[1], w[2], w[3]);
}

caf::error inspect(caf::deserializer& f, sha256_digest& x) {
  digest_words w{};
  if (auto failed = f(w[0], w[1], w[2], w[3])) return failed;
  for (std::size_t i = 0; i < x.bytes.size(); ++i) x.bytes[i] = static_cast<std::uint8_t>(w[i / 8] >> (56 - 8 * (i % 8)));
  return caf::none;
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
