// The contract of ports::blob_store, through two sockets and two loops.
#include "tests/integration/store/blob_store_contract.hpp"

#include "store/memory_blobs.hpp"
#include "tests/integration/net/cluster.hpp"

namespace latham::testing {
namespace {

class remote_subject final : public blob_store_subject {
public:
  ~remote_subject() override {
    remote_.reset();
    caller_.reset();
    server_.reset();
    EXPECT_TRUE(disk_.stop());
  }
  remote_subject() {
    disk_.start();
    server_.emplace(blobs_, "storage-0");
    connect();
  }
  ports::blob_store& store() override { return *remote_; }
  void restart() override {
    remote_.reset();
    caller_.reset();
    server_.reset();
    blobs_.power_cut();
    server_.emplace(blobs_, "storage-0");
    connect();
  }
  bool rot(blob_id blob, std::uint64_t offset) override { return blobs_.rot(blob, offset); }

private:
  void connect() {
    caller_.emplace(std::map<node_name, std::vector<ports::endpoint>>{{"storage-0", {{"127.0.0.1", server_->port()}}}});
    remote_.emplace(caller_->context(), "storage-0");
  }

  net::loop disk_{"disk"};
  store::memory_blobs blobs_{[this](std::function<void()> work) { disk_.post(std::move(work)); }, {subject_capacity, 4096}};
  std::optional<serving_node> server_;
  std::optional<calling_node> caller_;
  std::optional<net::blob_client> remote_;
};

}  // namespace

INSTANTIATE_TEST_SUITE_P(Stores, BlobStoreContract,
                         ::testing::Values(named_subject{"Remote", [] { return std::make_unique<remote_subject>(); }}),
                         [](const auto& about) { return about.param.name; });

}  // namespace latham::testing
