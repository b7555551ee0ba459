#include "actors/gateway/gateway_actor.hpp"

#include "core/manifest/storyboard.hpp"
#include "core/reach.hpp"
#include "store/replicated_blobs.hpp"

#include <algorithm>

namespace latham {

namespace {

constexpr milliseconds ask_again{1'000};  // a scheduler that did not say what it is responsible for
constexpr std::size_t tables_max = 256;      // videos whose output tables are kept
constexpr std::size_t indexes_max = 4096;    // output blobs whose indexes are kept
constexpr milliseconds table_fresh{500};     // while encoding, a manifest is at most this stale
constexpr milliseconds progress_period{250}; // of the bytes of an upload
constexpr seconds upload_deadline{60};       // of an upload actor's answer: longer than all of its attempts
constexpr std::size_t list_page_max = 50;

template <class Map>
void evict_oldest(Map& map, std::size_t most, std::uint64_t (*used)(const typename Map::mapped_type&)) {
  if (map.size() <= most) return;
  auto oldest = std::min_element(map.begin(), map.end(), [&](const auto& a, const auto& b) { return used(a.second) < used(b.second); });
  map.erase(oldest);
}

}  // namespace

gateway_shell::gateway_shell(caf::actor_config& config, const env* e, directory_actor directory, std::shared_ptr<gateway_door> door)
  : role_actor(config, *e), directory_{std::move(directory)}, door_{std::move(door)} {}

gateway_shell::behavior_type gateway_shell::make_behavior() {
  listen(directory_, service_scheduler, [this](const service_change& change) {
    on_scheduler(change);
  });
  listen(directory_, service_storage, [this](const service_change& change) {
    if (change.handle) {
      storages_[change.node] = caf::actor_cast<storage_actor>(change.handle);
      // A handle whose link was cut stays dead: uploads under way finish with the new one.
      for (const auto& [id, s] : sessions_)
        if (s.store == change.node) caf::anon_send(s.actor, storage_up_atom::value, change.node, change.handle);
    } else {
      storages_.erase(change.node);
    }
    look_joined();
  });
  door_->uploads.store(std::make_shared<const upload_table>());
  door_->actor.store(std::make_shared<const caf::actor>(caf::actor_cast<caf::actor>(this)));
  tick();
  return {
    [this](const video_view& view) {
      // Who hears of the end of a job asks for its manifest at once: no older table may answer then.
      if (view.state == video_state::ready || view.state == video_state::failed || view.state == video_state::deleting) {
        tables_.erase(view.id);
        ++ends_announced_;
      }
      emit(view);
    },
    [this](gateway_call& call) { call.run(*this); },
    [](local_call& call) { call.run(); },
  };
}

void gateway_shell::on_exit() {
  door_->joined.store(false);
  door_->actor.store(nullptr);
  for (auto& [id, s] : sessions_) caf::anon_send_exit(s.actor, caf::exit_reason::user_shutdown);
  sessions_.clear();
  storages_.clear();
  schedulers_.clear();
}

void gateway_shell::on_scheduler(const service_change& change) {
  schedulers_.on_change(change);
  look_joined();
  if (!change.handle) return;
  auto handle = caf::actor_cast<scheduler_actor>(change.handle);
  request(handle, env_.config.request_timeout, shards_atom::value)
    .then(
      [this, node = change.node, handle](const shard_info& info) {
        if (!schedulers_.on_info(node, handle, info)) return;
        caf::anon_send(handle, listen_atom::value, caf::actor_cast<caf::strong_actor_ptr>(this));
        // What changed while it was away is not known; even a ready video may have been deleted. Whoever asks again now asks
        // behind our `listen`, so nothing falls between the answer and the next event.
        tables_.clear();
        look_joined();
        emit(ports::changes_missed{});
      },
      [this, change](caf::error&) {
        later(ask_again, [this, change] {
          if (schedulers_.is(change.node, change.handle)) on_scheduler(change);
        });
      });
}

void gateway_shell::look_joined() { door_->joined.store(schedulers_.knows_any() && !storages_.empty()); }

expected<scheduler_actor> gateway_shell::scheduler_of(video_id id) const {
  if (auto found = schedulers_.of(id.shard())) return found;
  // Until all were heard nobody knows which shards there are; then an id of none of them was made elsewhere.
  if (schedulers_.is_foreign(id.shard(), env_.config.schedulers.size())) return {errc::not_found, "there is no video " + to_string(id)};
  return {errc::unavailable, "the scheduler of this video is not reachable; try again in a few seconds"};
}

/// Those that are up, in an order by chance: each is as good a first home for a new video as any.
std::vector<storage_actor> gateway_shell::pick_storages() {
  std::vector<storage_actor> all;
  for (const auto& [node, handle] : storages_) all.push_back(handle);
  for (std::size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[env_.random->next() % i]);
  return all;
}

void gateway_shell::publish_uploads() {
  auto table = std::make_shared<upload_table>();
  for (const auto& [id, s] : sessions_) table->emplace(id, s.bytes);
  door_->uploads.store(std::move(table));
}

void gateway_shell::emit(const ports::service_event& event) {
  const auto subscribers = door_->subscribers.load();
  if (!subscribers) return;
  for (const auto& weak : *subscribers)
    if (auto alive = weak.lock()) (*alive)(event);
}

void gateway_shell::tick() {
  // Bytes of running uploads are shown from here: storage and scheduler know nothing of them yet.
  std::vector<video_id> silent;
  for (auto& [id, s] : sessions_) {
    const auto bytes = s.bytes.durable->load(std::memory_order_relaxed);
    if (bytes == s.view.bytes) {
      if (now() - s.changed > env_.config.uploading.idle) silent.push_back(id);
      continue;
    }
    s.changed = now();
    s.view.bytes = bytes;
    ++s.view.revision;
    emit(s.view);
  }
  // Its caller never came back; storage expires it by the same measure.
  if (!silent.empty()) LATHAM_REACHED("upload_went_silent");
  for (const auto id : silent) {
    auto& s = sessions_.at(id);
    if (!LATHAM_REACHED_IF("session_of_unknown_outcome_dropped", s.perhaps_accepted)) {
      abort(id, [](expected<void>) {});
      continue;
    }
    caf::anon_send_exit(s.actor, caf::exit_reason::user_shutdown);
    sessions_.erase(id);
    publish_uploads();
  }
  later(progress_period, [this] { tick(); });
}

// ---- Uploads ---------------------------------------------------------------------------------------------------------

void gateway_shell::create(const ports::create_video& what, ports::completion<video_view> answer) {
  begin(pick_storages(), {what.tenant, what.title, what.bytes_expected, what.ladder, what.priority, what.part}, no_storage(), std::move(answer));
}

/// What was accepted is on so many storage nodes that one of the `asked` ones has it.
bool gateway_shell::enough_storages(std::size_t asked) const {
  const auto rules = env_.config.rules_of_copies();
  return asked > 0 && asked + rules.acks > env_.config.storages.size();
}

/// Asks one storage node after the other until one takes it: the first may be full, or about to be emptied.
void gateway_shell::begin(std::vector<storage_actor> candidates, const upload_request& message, const error& last, ports::completion<video_view> answer) {
  if (candidates.empty()) return answer(last);
  const auto storage = candidates.back();
  candidates.pop_back();
  request(storage, env_.config.request_timeout, begin_atom::value, message)
    .then(
      [this, answer, storage](upload_ticket& ticket) {
        const auto id = ticket.view.id;
        auto& s = sessions_[id];
        s.bytes = {ticket.token, env_.transport->at(ticket.store), std::make_shared<std::atomic<std::uint64_t>>(ticket.offset)};
        s.store = ticket.store;
        s.actor = spawn_upload(this, env_, id, storage);
        s.view = ticket.view;
        s.changed = now();
        publish_uploads();
        emit(s.view);
        answer(ticket.view);
      },
      [this, candidates = std::move(candidates), message, answer](caf::error& e) mutable {
        const auto why = from_caf(e);
        // Not after a timeout: the first one may have begun it, and three of that kind are longer than a client waits.
        if (!is_transient(why.code) || why.code == errc::timeout) return answer(why);
        begin(std::move(candidates), message, why, std::move(answer));
      });
}

error gateway_shell::no_storage() { return {errc::unavailable, "no storage node is reachable; try again in a few seconds"}; }

/// Asks one storage node after the other: an upload that is not complete is known to its first home alone. `asked`: how many
/// there were to begin with; one that has come since was not asked, and may be the one that knows.
template <class T, class Ask>
void gateway_shell::ask_storages(std::vector<storage_actor> candidates, Ask ask, const error& last, std::size_t asked, std::function<void(expected<T>)> answer) {
  if (candidates.empty()) {
    // While as many are away as there are copies, nobody knows that it does not exist.
    if (last.code == errc::not_found && !enough_storages(asked)) return answer(error{errc::unavailable, "too few storage nodes are reachable; try again in a few seconds"});
    return answer(last);
  }
  const auto storage = candidates.back();
  candidates.pop_back();
  ask(storage).then([answer](T& value) { answer(std::move(value)); },
                    [this, candidates = std::move(candidates), ask, last, asked, answer](caf::error& e) mutable {
                      const auto why = from_caf(e);
                      const bool elsewhere = why.code == errc::not_found || is_transient(why.code);
                      if (!elsewhere) return answer(why);
                      // One that could not be asked may be the one that knows it.
                      const bool keep = is_transient(last.code) && last != no_storage();
                      ask_storages<T>(std::move(candidates), ask, keep ? last : why, asked, std::move(answer));
                    });
}

/// Of an upload that may not be complete, "not found" says nothing while its first home may be away.
error gateway_shell::known_nowhere(const error& why, std::size_t asked) const {
  if (why.code != errc::not_found || asked >= env_.config.storages.size()) return why;
  return {errc::unavailable, "not every storage node is reachable; try again in a few seconds"};
}

void gateway_shell::offset(video_id id, ports::completion<std::uint64_t> answer) {
  ask_storages<upload_ticket>(
    pick_storages(), [this, id](const storage_actor& storage) { return request(storage, env_.config.request_timeout, resume_atom::value, id); }, no_storage(), storages_.size(),
    [this, answer, asked = storages_.size()](const expected<upload_ticket>& ticket) {
      if (!ticket) return answer(known_nowhere(ticket.error(), asked));
      answer(ticket->offset);
    });
}

void gateway_shell::finish(video_id id, std::uint64_t bytes, ports::completion<video_view> answer) {
  auto at = sessions_.find(id);
  if (at == sessions_.end()) return answer({errc::not_found, "there is no upload " + to_string(id) + " at this gateway"});
  at->second.perhaps_accepted = true;
  request(at->second.actor, upload_deadline, finish_atom::value, bytes)
    .then(
      [this, id, answer](video_view& view) {
        // After what was shown while the bytes came in; the scheduler's revisions are far beyond either.
        if (auto sent = sessions_.find(id); sent != sessions_.end()) view.revision = std::max(view.revision, sent->second.view.revision + 1);
        sessions_.erase(id);
        publish_uploads();
        emit(view);
        answer(std::move(view));
      },
      [this, id, answer](caf::error& e) {
        auto why = from_caf(e);
        if (why.code == errc::timeout) {
          LATHAM_REACHED("finish_outcome_unknown");
          // Nobody here knows whether it was accepted: from now on storage and scheduler are asked.
          if (auto unknown = sessions_.find(id); unknown != sessions_.end()) {
            caf::anon_send_exit(unknown->second.actor, caf::exit_reason::user_shutdown);
            sessions_.erase(unknown);
            publish_uploads();
          }
        } else if (!is_transient(why.code)) {
          if (auto gone = sessions_.find(id); gone != sessions_.end()) {
            gone->second.view.state = video_state::deleting;
            ++gone->second.view.revision;
            emit(gone->second.view);
            sessions_.erase(gone);
          }
          publish_uploads();
        }
        answer(std::move(why));
      });
}

void gateway_shell::abort(video_id id, ports::completion<void> answer) {
  auto at = sessions_.find(id);
  if (at == sessions_.end()) return answer({errc::not_found, "there is no upload " + to_string(id) + " at this gateway"});
  auto view = at->second.view;
  auto actor = at->second.actor;
  if (LATHAM_REACHED_IF("abort_of_what_may_be_accepted", at->second.perhaps_accepted)) {
    // Nobody may be told that it goes before storage has said so.
    const auto storage = storages_.find(at->second.store);
    if (storage == storages_.end()) return answer({errc::unavailable, "the storage node of this upload is not reachable; try again in a few seconds"});
    request(storage->second, env_.config.request_timeout, abort_atom::value, id)
      .then(
        [this, view, answer](bool) mutable {
          if (auto gone = sessions_.find(view.id); gone != sessions_.end()) {
            caf::anon_send_exit(gone->second.actor, caf::exit_reason::user_shutdown);
            sessions_.erase(gone);
            publish_uploads();
          }
          view.state = video_state::deleting;
          ++view.revision;
          emit(view);
          answer({});
        },
        [answer](caf::error& e) { answer(from_caf(e)); });
    return;
  }
  sessions_.erase(at);
  publish_uploads();
  view.state = video_state::deleting;
  ++view.revision;
  emit(view);
  request(actor, upload_deadline, abort_atom::value).then([answer](bool) { answer({}); }, [answer](caf::error& e) { answer(from_caf(e)); });
}

// ---- Views -----------------------------------------------------------------------------------------------------------

void gateway_shell::find(video_id id, ports::completion<video_view> answer) {
  if (auto at = sessions_.find(id); at != sessions_.end() && !at->second.perhaps_accepted) {
    auto view = at->second.view;
    view.bytes = at->second.bytes.durable->load(std::memory_order_relaxed);
    return answer(std::move(view));
  }
  const auto scheduler = scheduler_of(id);
  if (!scheduler) return answer(scheduler.error());
  request(*scheduler, env_.config.request_timeout, find_atom::value, id)
    .then([answer](video_view& view) { answer(std::move(view)); },
          [this, id, answer](caf::error& e) {
            auto why = from_caf(e);
            if (why.code != errc::not_found) return answer(std::move(why));
            LATHAM_REACHED("video_found_at_storage");
            // Not yet announced: storage has it.
            ask_storages<video_view>(
              pick_storages(), [this, id](const storage_actor& storage) { return request(storage, env_.config.request_timeout, find_atom::value, id); }, no_storage(), storages_.size(), answer);
          });
}

void gateway_shell::list(const std::string& tenant, const std::string& cursor, std::uint32_t limit, ports::completion<ports::video_page> answer) {
  video_id before;
  if (!cursor.empty()) {
    auto parsed = parse_id<video_id>(cursor);
    if (!parsed) return answer({errc::invalid_argument, "the cursor is not one that this service gave out; start without it"});
    before = *parsed;
  }
  list_more(tenant, before, limit, {}, std::move(answer));
}

/// The views of all whom `asked` names, together, or an error when one does not answer.
template <class Actor>
void gateway_shell::gather(const std::vector<Actor>& asked, const std::string& tenant, video_id before, std::uint32_t wanted, std::function<void(expected<view_list>)> answer) {
  struct all {
    std::size_t left = 0;
    view_list views;
    error last;
  };
  auto shared = std::make_shared<all>(all{asked.size(), {}, {}});
  const auto step = [shared, answer] {
    if (--shared->left > 0) return;
    if (shared->last.code != errc::none) return answer(shared->last);
    answer(std::move(shared->views));
  };
  for (const auto& actor : asked)
    request(actor, env_.config.request_timeout, list_atom::value, tenant, before, wanted)
      .then(
        [shared, step](view_list& some) {
          for (auto& view : some) shared->views.push_back(std::move(view));
          step();
        },
        [shared, step](caf::error& e) {
          shared->last = from_caf(e);
          step();
        });
}

/// A message holds list_page_max views, so a longer page is put together from several.
void gateway_shell::list_more(const std::string& tenant, video_id before, std::uint32_t limit, ports::video_page page, ports::completion<ports::video_page> answer) {
  // A list with holes would say of videos that they are gone.
  if (!enough_storages(storages_.size())) return answer({errc::unavailable, "too few storage nodes are reachable; try again in a few seconds"});
  std::vector<storage_actor> storages;
  for (const auto& [node, handle] : storages_) storages.push_back(handle);
  std::vector<scheduler_actor> schedulers;
  for (const auto& [node, e] : schedulers_.all())
    if (e.told) schedulers.push_back(e.handle);
  if (schedulers.empty() || schedulers.size() < env_.config.schedulers.size())
    return answer({errc::unavailable, "not every scheduler is reachable; try again in a few seconds"});
  const auto wanted = static_cast<std::uint32_t>(std::min<std::size_t>(limit - page.videos.size(), list_page_max));
  // Storage first: what is announced between the two questions is then in both answers, not in neither.
  gather(storages, tenant, before, wanted, [this, schedulers, tenant, before, wanted, limit, page = std::move(page), answer](expected<view_list> received) mutable {
    if (!received) return answer(received.error());
    gather(schedulers, tenant, before, wanted,
           [this, tenant, wanted, limit, answer, page = std::move(page), waiting = std::move(*received)](expected<view_list> scheduled) mutable {
             if (!scheduled) return answer(scheduled.error());
             // Newest first; a video in both (just announced) is the scheduler's.
             std::map<video_id, video_view, std::greater<>> merged;
             for (auto& view : waiting) {
               if (auto at = sessions_.find(view.id); at != sessions_.end() && !at->second.perhaps_accepted) view = at->second.view;
               merged[view.id] = view;
             }
             for (const auto& view : *scheduled) merged[view.id] = view;
             std::size_t taken = 0;
             for (auto& [id, view] : merged) {
               if (taken == wanted) break;
               page.videos.push_back(std::move(view));
               ++taken;
             }
             page.next.clear();
             if (taken == wanted) {
               const auto last = page.videos.back().id;
               if (page.videos.size() < limit) return list_more(tenant, last, limit, std::move(page), answer);
               page.next = to_string(last);
             }
             answer(std::move(page));
           });
  });
}

void gateway_shell::remove(video_id id, ports::completion<void> answer) {
  if (auto at = sessions_.find(id); at != sessions_.end() && !at->second.perhaps_accepted) return abort(id, std::move(answer));
  const auto scheduler = scheduler_of(id);
  if (!scheduler) return answer(scheduler.error());
  tables_.erase(id);
  request(*scheduler, env_.config.request_timeout, remove_atom::value, id)
    .then([answer](bool) { answer({}); },
          [this, id, answer](caf::error& e) {
            auto why = from_caf(e);
            if (why.code != errc::not_found) return answer(std::move(why));
            ask_storages<bool>(
              pick_storages(), [this, id](const storage_actor& storage) { return request(storage, env_.config.request_timeout, abort_atom::value, id); }, no_storage(), storages_.size(),
              [this, answer, asked = storages_.size()](const expected<bool>& gone) {
                if (!gone) return answer(known_nowhere(gone.error(), asked));
                answer({});
              });
          });
}

void gateway_shell::retry(video_id id, ports::completion<video_view> answer) {
  const auto scheduler = scheduler_of(id);
  if (!scheduler) return answer(scheduler.error());
  request(*scheduler, env_.config.request_timeout, retry_atom::value, id)
    .then([answer](video_view& view) { answer(std::move(view)); }, [answer](caf::error& e) { answer(from_caf(e)); });
}

// ---- Media -----------------------------------------------------------------------------------------------------------

void gateway_shell::with_table(video_id id, table_done answer) {
  if (auto at = tables_.find(id); at != tables_.end() && (at->second->final || now() - at->second->loaded < table_fresh)) {
    at->second->used = ++uses_;
    return answer(std::shared_ptr<const output_table>{at->second, &at->second->table});
  }
  if (auto scheduler = scheduler_of(id); !scheduler) return answer(scheduler.error());
  auto table = std::make_shared<output_table>();
  table->video = id;
  table->created_ms = id.created().value;
  load_table(std::move(table), 0, [this, id, before = ends_announced_, answer = std::move(answer)](auto loaded) {
    if (LATHAM_REACHED_IF("table_outdated_on_its_way", ends_announced_ != before)) tables_.erase(id);  // perhaps it was this one that ended while its table was on its way
    answer(std::move(loaded));
  });
}

void gateway_shell::load_table(std::shared_ptr<output_table> table, std::uint32_t from, table_done answer) {
  const auto scheduler = scheduler_of(table->video);
  if (!scheduler) return answer(scheduler.error());
  request(*scheduler, env_.config.request_timeout, outputs_atom::value, table->video, from)
    .then(
      [this, table, from, answer](output_page& page) {
        if (from == 0) {
          table->plan = page.plan;
          table->how = page.how;
          table->state = page.state;
          for (auto& [track, output] : page.audio) table->audio[track] = output;
          if (!page.text.empty()) table->text = page.text.front();
        }
        table->plan_complete = page.plan_complete;
        table->chunks_total = page.chunks_total;
        for (auto& entry : page.video) table->chunks[entry.first.index] = std::move(entry);
        if (page.more && !page.video.empty()) return load_table(table, table->chunks.rbegin()->first + 1, answer);
        load_audio(table, answer);
      },
      [answer](caf::error& e) { answer(from_caf(e)); });
}

void gateway_shell::load_audio(std::shared_ptr<output_table> table, table_done answer) {
  for (const auto& [track, output] : table->audio) {
    if (table->audio_index.contains(track)) continue;
    return with_index(output, [this, table, track = track, answer](expected<std::shared_ptr<const std::vector<output_entry>>> index) {
      if (!index) return answer(index.error());
      table->audio_index[track] = **index;
      load_audio(table, answer);
    });
  }
  auto entry = std::make_shared<table_entry>();
  entry->table = std::move(*table);
  entry->final = entry->table.state == video_state::ready;
  entry->loaded = now();
  entry->used = ++uses_;
  tables_[entry->table.video] = entry;
  evict_oldest(tables_, tables_max, +[](const std::shared_ptr<table_entry>& t) { return t->used; });
  answer(std::shared_ptr<const output_table>{entry, &entry->table});
}

void gateway_shell::with_index(const output_ref& output, index_done answer) {
  if (auto at = indexes_.find(output.blob); at != indexes_.end()) {
    at->second.used = ++uses_;
    return answer(at->second.index);
  }
  if (output.index_bytes > ports::read_bytes_max) return answer({errc::corrupt, "the index of an output is too long"});
  store::read_first(store::stores_of(*env_.transport, output.blob, output.store, env_.config.rules_of_copies()), output.blob, 0, output.index_bytes, here<buffer>([this, blob = output.blob, answer](expected<buffer> head) {
    if (!head) return answer(head.error());
    auto index = parse_output_index(head->view());
    if (!index) return answer(index.error());
    auto shared = std::make_shared<const std::vector<output_entry>>(std::move(*index));
    indexes_[blob] = {shared, ++uses_};
    evict_oldest(indexes_, indexes_max, +[](const index_entry& i) { return i.used; });
    answer(shared);
  }));
}

void gateway_shell::media(video_id id, const std::string& path, ports::completion<ports::media_resource> answer) {
  with_table(id, [this, path, answer](expected<std::shared_ptr<const output_table>> table) {
    if (!table) return answer(table.error());
    auto parsed = parse_media_path(path, (*table)->plan);
    if (!parsed) return answer(parsed.error());
    answer_media(**table, *parsed, answer);
  });
}

void gateway_shell::answer_text_playlist(const presentation& shown, std::uint8_t rendition, const ports::completion<ports::media_resource>& answer) {
  if (!shown.finished) return answer({errc::conflict, "subtitles are offered once the video is ready; try again later"});
  for (const auto& t : shown.text) {
    if (t.rendition != rendition) continue;
    ports::media_resource out;
    out.text = hls_text(shown, t);
    out.content_type = "application/vnd.apple.mpegurl";
    out.etag = to_string(sha256::of(out.text)).substr(0, 32);
    return answer(std::move(out));
  }
  answer({errc::not_found, "nothing is said in these subtitles"});
}

void gateway_shell::answer_media(const output_table& table, const media_path& path, ports::completion<ports::media_resource> answer) {
  using what = media_path::what;
  if (path.kind == what::hls_master || path.kind == what::dash || path.kind == what::playlist) {
    auto shown = make_presentation(table);
    if (!shown) return answer(shown.error());
    ports::media_resource out;
    if (path.kind == what::hls_master) {
      out.text = hls_master(*shown);
    } else if (path.kind == what::dash) {
      out.text = dash_manifest(*shown);
    } else {
      if (path.track == track_kind::text) return answer_text_playlist(*shown, path.rendition, answer);
      const auto& renditions = path.track == track_kind::audio ? shown->audio : shown->video;
      if (path.rendition >= renditions.size()) return answer({errc::not_found, "there is no such rendition"});
      out.text = hls_media(*shown, renditions[path.rendition]);
    }
    out.content_type = path.kind == what::dash ? "application/dash+xml" : "application/vnd.apple.mpegurl";
    out.etag = to_string(sha256::of(out.text)).substr(0, 32);
    return answer(std::move(out));
  }
  const bool is_image = path.track == track_kind::image;
  if (is_image && !makes_images(table.how)) return answer({errc::not_found, "this video was made without pictures; upload it again to have them"});
  if (path.kind == what::storyboard) {
    if (table.chunks.empty()) return answer({errc::conflict, "nothing is encoded yet; try again in a few seconds"});
    ports::media_resource out;
    out.text = storyboard_vtt(table, "/media/" + to_string(table.video));
    out.content_type = "text/vtt";
    out.etag = to_string(sha256::of(out.text)).substr(0, 32);
    return answer(std::move(out));
  }
  const output_ref* output = nullptr;
  if (path.kind == what::sheet) {
    if (table.plan_complete && path.segment >= table.chunks_total) return answer({errc::not_found, "the storyboard has fewer sheets"});
    if (auto at = table.chunks.find(path.segment); at != table.chunks.end()) output = &at->second.second;
  } else if (path.kind == what::poster) {
    output = output_of_segment(table, static_cast<std::uint32_t>(poster_frame(table.plan) / std::max(1u, table.plan.segment_frames)));
  } else if (path.track == track_kind::text) {
    if (table.text) output = &*table.text;
  } else if (path.track == track_kind::audio) {
    if (auto at = table.audio.find(path.rendition); at != table.audio.end()) output = &at->second;
  } else {
    output = output_of_segment(table, path.kind == what::init ? 0 : path.segment);
  }
  if (output == nullptr) {
    const bool never = path.kind == what::segment && path.track != track_kind::text && table.plan_complete && path.segment >= segment_count(table.plan, table.plan.frames);
    if (never) return answer({errc::not_found, "the video has fewer segments"});
    return answer({errc::conflict, "this part is not encoded yet; try again in a few seconds"});
  }
  with_index(*output, [path, is_image, ref = *output, answer](expected<std::shared_ptr<const std::vector<output_entry>>> index) {
    if (!index) return answer(index.error());
    const auto segment = path.kind == what::init ? output_entry::init_segment : path.segment;
    const auto rendition = path.kind == what::poster ? image_poster : path.rendition;
    for (const auto& entry : **index) {
      if (entry.kind != path.track || entry.rendition != rendition || (!is_image && entry.segment != segment)) continue;
      ports::media_resource out;
      out.content_type = is_image                            ? "image/jpeg"
                         : path.track == track_kind::audio ? "audio/mp4"
                         : path.track == track_kind::text  ? "text/vtt"
                                                           : "video/mp4";
      out.etag = to_string(entry.digest).substr(0, 32);
      out.immutable = true;
      out.range = {ref.store, ref.blob, entry.offset, entry.bytes};
      return answer(std::move(out));
    }
    answer({errc::not_found, "there is no such segment"});
  });
}

caf::actor spawn_gateway(caf::event_based_actor* parent, const env& e, directory_actor directory, std::shared_ptr<gateway_door> door) {
  return caf::actor_cast<caf::actor>(parent->spawn<gateway_shell>(&e, std::move(directory), std::move(door)));
}

}  // namespace latham
