// Tokens and key files, read anew at each use because they are rotated under us.
#pragma once

#include "core/expected.hpp"

#include <string>

namespace latham::ports {

class secrets {
public:
  virtual ~secrets() = default;
  /// The secret called `name` ("api-token"). Fails with not_found.
  [[nodiscard]] virtual expected<std::string> read(const std::string& name) = 0;
};

}  // namespace latham::ports
