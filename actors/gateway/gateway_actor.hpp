// The gateway actor's inside: what ports::service calls become. Messages carry completions, so they are local only.
#pragma once

#include "actors/gateway/gateway.hpp"
#include "actors/role_actor.hpp"
#include "actors/scheduler/scheduler_map.hpp"
#include "actors/upload/upload_actor.hpp"
#include "core/manifest/presentation.hpp"

namespace latham {

class gateway_shell;

/// One call of the service, run inside the gateway actor.
struct gateway_call {
  std::function<void(gateway_shell&)> run;
};

}  // namespace latham

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(latham::gateway_call)

namespace latham {

using gateway_interface = caf::typed_actor<caf::reacts_to<video_view>, caf::reacts_to<gateway_call>>;

class gateway_shell : public role_actor<gateway_interface> {
public:
  gateway_shell(caf::actor_config& config, const env* e, directory_actor directory, std::shared_ptr<gateway_door> door);
  behavior_type make_behavior() override;
  void on_exit() override;

  void create(const ports::create_video& request, ports::completion<video_view> answer);
  void offset(video_id id, ports::completion<std::uint64_t> answer);
  void finish(video_id id, std::uint64_t bytes, ports::completion<video_view> answer);
  void abort(video_id id, ports::completion<void> answer);
  void find(video_id id, ports::completion<video_view> answer);
  void list(const std::string& tenant, const std::string& cursor, std::uint32_t limit, ports::completion<ports::video_page> answer);
  void list_more(const std::string& tenant, video_id before, std::uint32_t limit, ports::video_page page, ports::completion<ports::video_page> answer);
  void remove(video_id id, ports::completion<void> answer);
  void retry(video_id id, ports::completion<video_view> answer);
  void media(video_id id, const std::string& path, ports::completion<ports::media_resource> answer);

private:
  struct session {
    open_upload bytes;
    node_name store;
    upload_actor actor;
    video_view view;
    instant changed;  // when bytes last arrived
    bool perhaps_accepted = false;  // asked to finish: from then on storage and scheduler know better than `view`
  };
  struct table_entry {
    output_table table;
    std::uint64_t revision = 0;  // of the view it was made from
    bool final = false;          // ready: it never changes
    instant loaded;
    std::uint64_t used = 0;
  };
  struct index_entry {
    std::shared_ptr<const std::vector<output_entry>> index;
    std::uint64_t used = 0;
  };
  using table_done = std::function<void(expected<std::shared_ptr<const output_table>>)>;
  using index_done = std::function<void(expected<std::shared_ptr<const std::vector<output_entry>>>)>;

  void on_scheduler(const service_change& change);
  void look_joined();
  [[nodiscard]] expected<scheduler_actor> scheduler_of(video_id id) const;
  [[nodiscard]] std::vector<storage_actor> pick_storages();
  [[nodiscard]] bool enough_storages(std::size_t asked) const;
  [[nodiscard]] static error no_storage();
  [[nodiscard]] error known_nowhere(const error& why, std::size_t asked) const;
  void begin(std::vector<storage_actor> candidates, const upload_request& message, const error& last, ports::completion<video_view> answer);
  template <class T, class Ask>
  void ask_storages(std::vector<storage_actor> candidates, Ask ask, const error& last, std::size_t asked, std::function<void(expected<T>)> answer);
  template <class Actor>
  void gather(const std::vector<Actor>& asked, const std::string& tenant, video_id before, std::uint32_t wanted, std::function<void(expected<view_list>)> answer);
  void publish_uploads();
  void emit(const ports::service_event& event);
  void with_table(video_id id, table_done answer);
  void load_table(std::shared_ptr<output_table> table, std::uint32_t from, table_done answer);
  void load_audio(std::shared_ptr<output_table> table, table_done answer);
  void with_index(const output_ref& output, index_done answer);
  static void answer_text_playlist(const presentation& shown, std::uint8_t rendition, const ports::completion<ports::media_resource>& answer);
  void answer_media(const output_table& table, const media_path& path, ports::completion<ports::media_resource> answer);
  void tick();

  directory_actor directory_;
  std::shared_ptr<gateway_door> door_;
  scheduler_map schedulers_;
  std::map<node_name, storage_actor> storages_;
  std::map<video_id, session> sessions_;
  std::map<video_id, std::shared_ptr<table_entry>> tables_;
  std::map<blob_id, index_entry> indexes_;
  std::uint64_t uses_ = 0;
  std::uint64_t ends_announced_ = 0;  // videos that became ready, failed or deleting while this gateway listened
};

}  // namespace latham
