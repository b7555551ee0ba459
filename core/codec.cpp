#include "core/codec.hpp"

namespace latham {

std::string seal_record(std::uint8_t format, std::string_view payload) {
  byte_writer writer;
  writer(record_magic, format, std::uint16_t{0}, static_cast<std::uint32_t>(payload.size()), crc32c(payload));
  auto bytes = writer.take();
  bytes += payload;
  return bytes;
}

expected<opened_record> open_record(std::string_view bytes) {
  std::uint8_t magic = 0;
  std::uint8_t format = 0;
  std::uint16_t reserved = 0;
  std::uint32_t length = 0;
  std::uint32_t crc = 0;
  byte_reader reader{bytes};
  reader(magic, format, reserved, length, crc);
  if (!reader.ok() || magic != record_magic || reserved != 0 || format == 0) return {errc::corrupt, "not a record"};
  if (reader.rest().size() != length) return {errc::corrupt, "a record is shorter or longer than it says"};
  if (crc32c(reader.rest()) != crc) return {errc::corrupt, "a record does not match its checksum"};
  return opened_record{format, reader.rest()};
}

}  // namespace latham
