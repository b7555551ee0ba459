#include "tests/integration/store/blob_store_contract.hpp"

#include "store/disk/file_blobs.hpp"
#include "store/disk/rocks_kv.hpp"
#include "store/disk/thread_pool.hpp"
#include "store/memory_blobs.hpp"
#include "store/replicated_blobs.hpp"
#include "tests/support/s3_model_blobs.hpp"
#include "tests/support/scratch_directory.hpp"

#include <fstream>

namespace latham::testing {

namespace {

class file_subject final : public blob_store_subject {
public:
  file_subject() { start(); }
  ports::blob_store& store() override { return *blobs_; }
  void restart() override {
    blobs_.reset();
    index_.reset();
    start();
  }
  bool rot(blob_id blob, std::uint64_t offset) override {
    std::fstream file{directory_ / "blobs/" + store::file_blobs::relative_path(blob), std::ios::in | std::ios::out | std::ios::binary};
    file.seekg(static_cast<std::streamoff>(offset));
    const auto byte = static_cast<char>(file.get() ^ 1);
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(byte);
    return file.good();
  }

private:
  void start() {
    store::rocks_kv_options kv;
    kv.directory = directory_ / "index";
    auto index = store::rocks_kv::open(kv);
    ASSERT_TRUE(index) << index.error().message;
    index_ = std::move(*index);
    store::file_blobs_options options;
    options.directory = directory_ / "blobs";
    options.capacity_bytes = subject_capacity;
    options.free_reserve_bytes = 0;
    auto blobs = store::file_blobs::open(options, *index_, files_);
    ASSERT_TRUE(blobs) << blobs.error().message;
    blobs_ = std::move(*blobs);
  }

  scratch_directory directory_;
  store::posix_file_system files_;
  std::unique_ptr<store::rocks_kv> index_;
  std::unique_ptr<store::file_blobs> blobs_;
};

class memory_subject final : public blob_store_subject {
public:
  ~memory_subject() override { thread_.stop(); }
  ports::blob_store& store() override { return blobs_; }
  void restart() override { blobs_.power_cut(); }
  bool rot(blob_id blob, std::uint64_t offset) override { return blobs_.rot(blob, offset); }

private:
  store::thread_pool thread_{"later", 1, 1'000'000};
  store::memory_blobs blobs_{[this](std::function<void()> work) { thread_.post_always(std::move(work)); }, {subject_capacity, 4096}};
};

class s3_subject final : public blob_store_subject {
public:
  ~s3_subject() override { thread_.stop(); }
  ports::blob_store& store() override { return *blobs_; }
  void restart() override { blobs_ = make(); }

private:
  std::unique_ptr<s3_model_blobs> make() {
    return std::make_unique<s3_model_blobs>(
        service_, [this](std::function<void()> work) { thread_.post_always(std::move(work)); }, subject_capacity);
  }
  object_service service_;
  store::thread_pool thread_{"later", 1, 1'000'000};
  std::unique_ptr<s3_model_blobs> blobs_ = make();
};

/// A storage node with two others beside it.
class replicated_subject final : public blob_store_subject {
public:
  ~replicated_subject() override {
    blobs_.reset();
    thread_.stop();
  }
  ports::blob_store& store() override { return *blobs_; }
  void restart() override {
    blobs_.reset();
    for (auto& [name, disk] : disks_) disk->power_cut();
    blobs_ = make();
  }
  bool rot(blob_id blob, std::uint64_t offset) override {
    bool any = false;
    for (auto& [name, disk] : disks_) any |= disk->rot(blob, offset);
    return any;
  }

private:
  struct steady final : ports::clock {
    [[nodiscard]] instant now() const noexcept override { return {std::chrono::duration_cast<nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count()}; }
    [[nodiscard]] utc_ms wall() const noexcept override { return {}; }
  };
  std::shared_ptr<store::memory_blobs> disk() {
    return std::make_shared<store::memory_blobs>([this](std::function<void()> work) { thread_.post_always(std::move(work)); }, store::memory_blobs_options{subject_capacity, 4096});
  }
  std::unique_ptr<store::replicated_blobs> make() {
    return std::make_unique<store::replicated_blobs>(*disks_.at("a"), [this](const node_name& node) { return disks_.at(node); }, make_copy_rules("a", {"a", "b", "c"}, {}, 2, 2), clock_);
  }
  steady clock_;
  store::thread_pool thread_{"later", 1, 1'000'000};
  std::map<node_name, std::shared_ptr<store::memory_blobs>> disks_{{"a", disk()}, {"b", disk()}, {"c", disk()}};
  std::unique_ptr<store::replicated_blobs> blobs_ = make();
};

}  // namespace

INSTANTIATE_TEST_SUITE_P(Stores, BlobStoreContract,
                         ::testing::Values(named_subject{"Files", [] { return std::make_unique<file_subject>(); }},
                                           named_subject{"Memory", [] { return std::make_unique<memory_subject>(); }},
                                           named_subject{"Replicated", [] { return std::make_unique<replicated_subject>(); }},
                                           named_subject{"S3Model", [] { return std::make_unique<s3_subject>(); }}),
                         [](const auto& about) { return about.param.name; });

}  // namespace latham::testing
