// Files that say more than they hold.
#pragma once

#include <cstdint>
#include <string>

namespace latham::testing {

/// Big-endian, as in MP4 and PNG.
inline void put_u32(std::string& bytes, std::size_t at, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) bytes[at + static_cast<std::size_t>(i)] = static_cast<char>(value >> (24 - 8 * i));
}

/// Says 16000 x 16000 in the header of every PNG picture. Their checksums are wrong then, which nobody looks at.
inline void enlarge_png(std::string& bytes) {
  for (auto at = bytes.find("IHDR"); at != std::string::npos; at = bytes.find("IHDR", at + 4)) {
    put_u32(bytes, at + 4, 16000);
    put_u32(bytes, at + 8, 16000);
  }
}

/// Says 16000 x 16000 in every JPEG frame header.
inline void enlarge_jpeg(std::string& bytes) {
  for (auto at = bytes.find("\xff\xc0", 0, 2); at != std::string::npos; at = bytes.find("\xff\xc0", at + 2, 2))
    bytes.replace(at + 5, 4, "\x3e\x80\x3e\x80", 4);
}

}  // namespace latham::testing
