// A disk whose power can be cut: files and directories in memory, each with what is durable and what only seems to be.
//
//  * Writes and truncations of a file are pending until the file is synced. At a power cut each pending write is lost,
//    kept, or kept in part, by blocks of 4 KiB; its last kept block may be torn: new bytes, then rubbish. Bytes that were
//    synced are never harmed.
//  * Creations, deletions and renames in a directory are pending until the directory is synced. At a power cut a random
//    number of them, from the first on, took effect: file systems keep a journal.
//  * The cut comes at a chosen operation: from there on every call fails and nothing changes, until `reboot`.
//
// Single calls can be made to fail too. One mutex: any thread.
#pragma once

#include "core/expected.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace latham::testing {

enum class disk_call : std::uint8_t { open, read, write, truncate, sync, make_directory, sync_directory, unlink, rename, list, free_bytes };

class simulated_disk {
public:
  struct node;
  using node_ptr = std::shared_ptr<node>;  // shared by directories, open files and what is durable
  struct change {
    bool truncation = false;
    std::uint64_t at = 0;
    std::string bytes;
  };
  struct name_change {
    std::string name;
    node_ptr target;  // empty: the name is gone
    std::string also;  // a rename takes this name away in the same step
  };
  struct node {
    bool directory = false;
    std::string now;
    std::string durable;
    std::vector<change> pending;
    std::map<std::string, node_ptr> names;
    std::map<std::string, node_ptr> durable_names;
    std::vector<name_change> pending_names;
  };

  simulated_disk() {
    root_->directory = true;
    (void)make_directory("/data");
    (void)sync_directory("/");
  }

  /// The power fails at the `operation`th call from now (1: the next); 0: never.
  void cut_at(std::uint64_t operation) {
    const std::lock_guard guard{mutex_};
    cut_at_ = operation == 0 ? 0 : operations_ + operation;
  }
  void cut_now() {
    const std::lock_guard guard{mutex_};
    off_ = true;
  }
  [[nodiscard]] bool off() const {
    const std::lock_guard guard{mutex_};
    return off_;
  }
  [[nodiscard]] std::uint64_t operations() const {
    const std::lock_guard guard{mutex_};
    return operations_;
  }
  /// Calls for which `fault` answers a code fail with it.
  void inject(std::function<errc(disk_call, const std::string& path)> fault) {
    const std::lock_guard guard{mutex_};
    fault_ = std::move(fault);
  }
  void set_free_bytes(std::uint64_t bytes) {
    const std::lock_guard guard{mutex_};
    free_ = bytes;
  }

  /// Power comes back: what was not synced is what chance left of it. Open files of the earlier life must be gone.
  void reboot(std::mt19937_64& chance) {
    const std::lock_guard guard{mutex_};
    settle(root_, chance);
    off_ = false;
    cut_at_ = 0;
  }

  // ---- what the two adapters call --------------------------------------------------------------------------------
  expected<node_ptr> open(const std::string& path, bool create, bool empty) {
    const std::lock_guard guard{mutex_};
    if (auto ok = step(disk_call::open, path); !ok) return std::move(ok).error();
    const auto [parent, name] = locate(path);
    if (!parent) return error{errc::not_found, "no directory for " + path};
    auto& at = parent->names[name];
    if (at && at->directory) return error{errc::io, path + " is a directory"};
    if (at && empty) change_file(*at, {true, 0, {}});
    if (!at && !create) {
      parent->names.erase(name);
      return error{errc::not_found, "no file " + path};
    }
    if (!at) {
      at = std::make_shared<node>();
      parent->pending_names.push_back({name, at, {}});
    }
    return at;
  }
  expected<std::size_t> read(const node& file, std::uint64_t at, std::uint8_t* out, std::size_t bytes) const {
    const std::lock_guard guard{mutex_};
    if (off_) return gone();
    if (fault_) {
      if (const auto code = fault_(disk_call::read, {}); code != errc::none) return error{code, "injected"};
    }
    if (at >= file.now.size()) return std::size_t{0};
    return file.now.copy(reinterpret_cast<char*>(out), bytes, at);
  }
  expected<void> write(node& file, std::uint64_t at, std::string_view bytes) {
    const std::lock_guard guard{mutex_};
    if (auto ok = step(disk_call::write, {}); !ok) return ok;
    change_file(file, {false, at, std::string{bytes}});
    return {};
  }
  expected<void> append(node& file, std::string_view bytes) {
    const std::lock_guard guard{mutex_};
    if (auto ok = step(disk_call::write, {}); !ok) return ok;
    change_file(file, {false, file.now.size(), std::string{bytes}});
    return {};
  }
  expected<void> truncate(node& file, std::uint64_t bytes) {
    const std::lock_guard guard{mutex_};
    if (auto ok = step(disk_call::truncate, {}); !ok) return ok;
    change_file(file, {true, bytes, {}});
    return {};
  }
  expected<void> sync(node& file) {
    const std::lock_guard guard{mutex_};
    if (auto ok = step(disk_call::sync, {}); !ok) return ok;
    file.durable = file.now;
    file.pending.clear();
    return {};
  }
  expected<std::uint64_t> size(const node& file) const {
    const std::lock_guard guard{mutex_};
    if (off_) return gone();
    return file.now.size();
  }
  expected<node_ptr> find(const std::string& path) const {
    const std::lock_guard guard{mutex_};
    if (off_) return gone();
    auto at = walk(path);
    if (!at) return error{errc::not_found, "nothing at " + path};
    return at;
  }
  expected<void> make_directory(const std::string& path) {
    const std::lock_guard guard{mutex_};
    if (auto ok = step(disk_call::make_directory, path); !ok) return ok;
    const auto [parent, name] = locate(path);
    if (!parent) return {errc::not_found, "no directory for " + path};
    auto& at = parent->names[name];
    if (at) return at->directory ? expected<void>{} : expected<void>{errc::io, "not a directory"};
    at = std::make_shared<node>();
    at->directory = true;
    parent->pending_names.push_back({name, at, {}});
    return {};
  }
  expected<void> sync_directory(const std::string& path) {
    const std::lock_guard guard{mutex_};
    if (auto ok = step(disk_call::sync_directory, path); !ok) return ok;
    const auto at = walk(path);
    if (!at || !at->directory) return {errc::not_found, "no directory " + path};
    at->durable_names = at->names;
    at->pending_names.clear();
    return {};
  }
  expected<void> unlink(const std::string& path) {
    const std::lock_guard guard{mutex_};
    if (auto ok = step(disk_call::unlink, path); !ok) return ok;
    const auto [parent, name] = locate(path);
    if (!parent || !parent->names.contains(name)) return {errc::not_found, "nothing at " + path};
    parent->names.erase(name);
    parent->pending_names.push_back({name, nullptr, {}});
    return {};
  }
  expected<void> rename(const std::string& from, const std::string& to) {
    const std::lock_guard guard{mutex_};
    if (auto ok = step(disk_call::rename, to); !ok) return ok;
    const auto [parent, name] = locate(from);
    const auto [target, target_name] = locate(to);
    if (!parent || parent != target || !parent->names.contains(name)) return {errc::not_found, "cannot rename " + from};
    const auto moved = parent->names[name];
    parent->names.erase(name);
    parent->names[target_name] = moved;
    parent->pending_names.push_back({target_name, moved, name});
    return {};
  }
  expected<std::vector<std::string>> list(const std::string& path) {
    const std::lock_guard guard{mutex_};
    if (auto ok = step(disk_call::list, path); !ok) return std::move(ok).error();
    const auto at = walk(path);
    if (!at || !at->directory) return error{errc::not_found, "no directory " + path};
    std::vector<std::string> names;
    for (const auto& [name, target] : at->names) names.push_back(name);
    return names;
  }
  expected<std::uint64_t> free_bytes() {
    const std::lock_guard guard{mutex_};
    if (auto ok = step(disk_call::free_bytes, {}); !ok) return std::move(ok).error();
    return free_;
  }

private:
  static constexpr std::uint64_t block = 4096;

  static error gone() { return {errc::io, "the power is off"}; }
  /// Counts a call, and says whether it happens.
  expected<void> step(disk_call call, const std::string& path) {
    ++operations_;
    if (cut_at_ != 0 && operations_ >= cut_at_) off_ = true;
    if (off_) return gone();
    if (fault_) {
      if (const auto code = fault_(call, path); code != errc::none) return {code, "injected"};
    }
    return {};
  }
  [[nodiscard]] node_ptr walk(std::string_view path) const {
    auto at = root_;
    while (at && !path.empty()) {
      if (path[0] == '/') {
        path.remove_prefix(1);
        continue;
      }
      const auto name = path.substr(0, path.find('/'));
      path.remove_prefix(name.size());
      const auto next = at->names.find(std::string{name});
      at = next == at->names.end() ? nullptr : next->second;
    }
    return at;
  }
  [[nodiscard]] std::pair<node_ptr, std::string> locate(std::string path) const {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    const auto slash = path.rfind('/');
    auto parent = walk(std::string_view{path}.substr(0, slash));
    if (parent && !parent->directory) parent = nullptr;
    return {parent, path.substr(slash + 1)};
  }
  static void apply(std::string& content, const change& c) {
    if (c.truncation) {
      content.resize(c.at);
      return;
    }
    if (content.size() < c.at + c.bytes.size()) content.resize(c.at + c.bytes.size());
    content.replace(c.at, c.bytes.size(), c.bytes);
  }
  static void change_file(node& file, change c) {
    apply(file.now, c);
    file.pending.push_back(std::move(c));
  }
  static void settle_file(node& file, std::mt19937_64& chance) {
    for (const auto& c : file.pending) {
      const auto fate = chance() % 3;
      if (fate == 0) continue;
      if (fate == 1 || c.truncation) {
        apply(file.durable, c);
        continue;
      }
      for (std::uint64_t at = 0; at < c.bytes.size();) {
        const auto step = std::min<std::uint64_t>(c.bytes.size() - at, block - (c.at + at) % block);
        const auto last = at + step == c.bytes.size();
        if (chance() % 2 == 0 || last) {
          change part{false, c.at + at, c.bytes.substr(at, step)};
          if (last) {  // torn
            for (auto i = chance() % (step + 1); i < step; ++i) part.bytes[i] = static_cast<char>(chance());
          }
          apply(file.durable, part);
        }
        at += step;
      }
    }
    file.pending.clear();
    file.now = file.durable;
  }
  static void settle(const node_ptr& at, std::mt19937_64& chance) {
    if (!at->directory) return settle_file(*at, chance);
    const auto kept = at->pending_names.empty() ? 0 : chance() % (at->pending_names.size() + 1);
    for (std::size_t i = 0; i < kept; ++i) {
      const auto& c = at->pending_names[i];
      if (!c.also.empty()) at->durable_names.erase(c.also);
      if (c.target) {
        at->durable_names[c.name] = c.target;
      } else {
        at->durable_names.erase(c.name);
      }
    }
    at->pending_names.clear();
    at->names = at->durable_names;
    for (const auto& [name, target] : at->names) settle(target, chance);
  }

  mutable std::mutex mutex_;
  const node_ptr root_ = std::make_shared<node>();
  std::uint64_t operations_ = 0;
  std::uint64_t cut_at_ = 0;
  bool off_ = false;
  std::uint64_t free_ = 1ull << 40;
  std::function<errc(disk_call, const std::string&)> fault_;
};

}  // namespace latham::testing
