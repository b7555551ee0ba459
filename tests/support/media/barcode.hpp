// Videos whose every frame says its number, made and read back by the ffmpeg command (a tool of the tests only).
//
// A number is twelve bits in a 4 x 3 grid of black and white blocks over the frame's upper half, and the same bits inverted
// over its lower half: a block that scaling and encoding damaged does not read as another number but as none.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <unistd.h>
#include <vector>

namespace latham::testing {

inline constexpr int barcode_columns = 4;
inline constexpr int barcode_rows = 6;
inline constexpr int barcode_bits = 12;

inline std::string draw_barcode(int number, int width, int height) {
  std::string out(static_cast<std::size_t>(width) * static_cast<std::size_t>(height), '\0');
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const int row = y * barcode_rows / height;
      const int bit = row % 3 * barcode_columns + x * barcode_columns / width;
      const bool white = ((number >> bit & 1) != 0) != (row >= 3);
      out[static_cast<std::size_t>(y * width + x)] = static_cast<char>(white ? 225 : 30);
    }
  return out;
}

inline std::optional<int> read_barcode(const std::string& grey, int width, int height) {
  int number = 0;
  for (int bit = 0; bit < barcode_bits; ++bit) {
    const auto mean = [&](int row) {
      const int column = bit % barcode_columns;
      // The middle of the block: its borders are blurred.
      const int x0 = (4 * column + 1) * width / (4 * barcode_columns), x1 = (4 * column + 3) * width / (4 * barcode_columns);
      const int y0 = (4 * row + 1) * height / (4 * barcode_rows), y1 = (4 * row + 3) * height / (4 * barcode_rows);
      int sum = 0, count = 0;
      for (int y = y0; y < y1; ++y)
        for (int x = x0; x < x1; ++x, ++count) sum += static_cast<unsigned char>(grey[static_cast<std::size_t>(y * width + x)]);
      return count == 0 ? 128 : sum / count;
    };
    const int upper = mean(bit / barcode_columns), lower = mean(bit / barcode_columns + 3);
    if (std::abs(upper - lower) < 80) return std::nullopt;
    if (upper > lower) number |= 1 << bit;
  }
  return number;
}

/// A directory that goes away with its owner.
class scratch_directory {
public:
  scratch_directory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "latham-media-XXXXXX").string();
    if (!::mkdtemp(pattern.data())) std::abort();
    path_ = pattern;
  }
  ~scratch_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  scratch_directory(const scratch_directory&) = delete;
  scratch_directory& operator=(const scratch_directory&) = delete;
  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }

private:
  std::filesystem::path path_;
};

struct close_pipe {
  void operator()(FILE* f) const noexcept { ::pclose(f); }
};

/// Runs a shell command, feeding it `count` pieces; true when it ended well.
inline bool run_command(const std::string& command, int count = 0, const std::function<std::string(int)>& piece = {}) {
  FILE* pipe = ::popen(command.c_str(), "w");
  if (!pipe) return false;
  for (int i = 0; i < count; ++i) {
    const auto bytes = piece(i);
    if (std::fwrite(bytes.data(), 1, bytes.size(), pipe) != bytes.size()) break;
  }
  return ::pclose(pipe) == 0;
}

inline std::string output_of(const std::string& command) {
  const std::unique_ptr<FILE, close_pipe> pipe{::popen(command.c_str(), "r")};
  std::string out;
  if (!pipe) return out;
  std::string some(1 << 16, '\0');
  for (std::size_t got = 0; (got = std::fread(some.data(), 1, some.size(), pipe.get())) > 0;) out.append(some, 0, got);
  return out;
}

inline std::string file_bytes(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}
inline void write_file(const std::string& path, const std::string& bytes) { std::ofstream{path, std::ios::binary} << bytes; }

inline const std::string ffmpeg = "ffmpeg -hide_banner -nostdin -loglevel error -y ";
inline const std::string ffmpeg_stdin = "ffmpeg -hide_banner -loglevel error -y ";

/// Numbers of all frames of a file in the order shown; -1 where none can be read. `filter` must keep the size.
inline std::vector<int> barcodes_of(const std::string& path, int width, int height, const std::string& filter = {}) {
  const auto raw = output_of(ffmpeg + "-i " + path + " -map 0:v:0 " + (filter.empty() ? "" : "-vf \"" + filter + "\" ") +
                             "-vsync passthrough -f rawvideo -pix_fmt gray -");
  const auto size = static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
  std::vector<int> out;
  for (std::size_t at = 0; at + size <= raw.size(); at += size)
    out.push_back(read_barcode(raw.substr(at, size), width, height).value_or(-1));
  return out;
}

/// A beep of 50 ms at each full second.
inline std::string beeps(double seconds, int rate, const std::string& layout) {
  return "-f lavfi -i \"aevalsrc=exprs='" + std::string{"0.6*sin(2*PI*1000*t)*lt(mod(t,1),0.05)"} +
         (layout == "stereo" ? "|0.6*sin(2*PI*1000*t)*lt(mod(t,1),0.05)" : "") + "':s=" + std::to_string(rate) + ":c=" + layout +
         ":d=" + std::to_string(seconds) + "\" ";
}

/// The first channel at 48 kHz, full scale is 1.
inline std::vector<double> samples_of(const std::string& path) {
  const auto raw = output_of(ffmpeg + "-i " + path + " -map 0:a:0 -af \"pan=mono|c0=c0\" -f s16le -ar 48000 -");
  std::vector<double> out;
  for (std::size_t i = 0; i + 1 < raw.size(); i += 2)
    out.push_back(static_cast<std::int16_t>(static_cast<unsigned char>(raw[i]) | static_cast<unsigned char>(raw[i + 1]) << 8) / 32768.0);
  return out;
}

/// Sample positions (48 kHz) where a beep begins after at least a quarter second of quiet, and the track's length.
struct heard {
  std::vector<std::int64_t> beeps;
  std::int64_t samples = 0;
};
inline heard listen(const std::string& path) {
  const auto raw = output_of(ffmpeg + "-i " + path + " -map 0:a:0 -f s16le -ac 1 -ar 48000 -");
  heard out;
  out.samples = static_cast<std::int64_t>(raw.size() / 2);
  std::int64_t last_loud = -48000;
  for (std::int64_t i = 0; i < out.samples; ++i) {
    const auto low = static_cast<unsigned char>(raw[static_cast<std::size_t>(2 * i)]);
    const auto value = static_cast<std::int16_t>(low | raw[static_cast<std::size_t>(2 * i + 1)] << 8);
    if (std::abs(int{value}) < 4000) continue;
    if (i - last_loud > 12000) out.beeps.push_back(i);
    last_loud = i;
  }
  return out;
}

}  // namespace latham::testing
