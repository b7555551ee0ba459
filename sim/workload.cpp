#include "sim/workload.hpp"

#include <fmt/format.h>

#include <set>

namespace latham::sim {

namespace {

constexpr nanoseconds client_patience{seconds{20}};
constexpr nanoseconds looks_every{milliseconds{500}};   // whether the gateway of a call still lives
constexpr nanoseconds retry_every{seconds{4}};
constexpr nanoseconds look_up_every{milliseconds{1'500}};
constexpr std::size_t list_limit_max = 60;
constexpr std::uint32_t resumes_max = 8;                // of one upload, before it is begun anew

priority_class priority_of(const std::string& word) { return word == "low" ? priority_class::low : word == "high" ? priority_class::high : priority_class::normal; }

}  // namespace

struct workload::uploader {
  work_item story;
  known_video video;
  std::size_t number = 0;
  machine* at = nullptr;       // the gateway that has the session
  video_id id;
  std::uint64_t sent = 0;
  std::uint32_t resumes = 0;
  bool stalled = false;
  bool over = false;
};

workload::workload(surroundings& around, view& v, std::vector<machine*> gateways, std::vector<std::unique_ptr<checker>>& checkers)
  : around_{around}, view_{v}, gateways_{std::move(gateways)}, checkers_{checkers} {}

void workload::begin() {
  for (std::size_t i = 0; i < around_.what.items.size(); ++i) {
    auto u = std::make_shared<uploader>();
    u->story = around_.what.items[i];
    u->number = i;
    auto& m = u->video.model;
    m.chunks = static_cast<std::uint32_t>(u->story.chunks);
    m.rungs = static_cast<std::uint32_t>(u->story.rungs);
    m.audio_tracks = static_cast<std::uint32_t>(u->story.audio);
    m.text_tracks = static_cast<std::uint32_t>(u->story.text);
    m.poison = u->story.story == "poison" ? 1 : 0;
    u->video.seed = around_.what.seed * 1000 + i;
    u->video.poison = u->story.story == "poison" || u->story.story == "garbage";
    uploaders_.push_back(u);
    ++open_;
    around_.time.after(milliseconds{u->story.at_ms}, [this, u] { create(u); });
  }
  around_.time.after(milliseconds{around_.what.knobs.media_read_every_ms}, [this] { watch_media(); });
  around_.time.after(retry_every, [this] { retry_failed(); });
  around_.time.after(look_up_every, [this] { look_up(); });
}

std::string workload::unfinished() const {
  std::string out;
  for (const auto& u : uploaders_)
    if (!u->over) out += fmt::format(" item {} ({}) sent {} of {};", u->number, u->story.story, u->sent, u->video.source.size());
  for (const auto& id : to_delete_) out += " " + to_string(id) + " is yet to be deleted;";
  for (const auto& [id, video] : view_.known)
    if (video.delete_asked && !video.deleted) out += " the delete of " + to_string(id) + " was not answered;";
  return out;
}

void workload::say(const std::string& text) {
  around_.log.say(around_.time.now(), trace::what::client, trace::nobody, trace::nobody, text);
}

// ---- Calls -----------------------------------------------------------------------------------------------------------

machine* workload::any_gateway() {
  std::vector<machine*> up;
  for (auto* g : gateways_)
    if (g->runs() && !g->stopping()) up.push_back(g);
  return up.empty() ? nullptr : up[around_.time.draw(up.size())];
}

template <class T, class F>
void workload::call(machine* at, ports::completion<T> done, F f) {
  if (at == nullptr || !at->runs() || at->stopping()) {  // its listener is the first to go
    ++counts_.failed_calls;
    around_.time.after(milliseconds{5}, [done = std::move(done)] { done(error{errc::unavailable, "the connection is refused"}); });
    return;
  }
  struct open_call {
    ports::completion<T> done;
    machine* at;
    std::uint64_t life;
    void answer(expected<T> result) {
      auto tell = std::exchange(done, nullptr);
      if (!tell) return;
      at->call_ended(life);
      tell(std::move(result));
    }
  };
  at->call_began();
  auto c = std::make_shared<open_call>(open_call{std::move(done), at, at->life()});  // shared by the answer and the client's patience
  f(at->service(), ports::completion<T>{[this, c](expected<T> result) {
      // From within an actor's turn: the client hears of it over a connection, a moment later.
      around_.time.after(around_.net.latency, [c, result = std::move(result)] { c->answer(result); });
    }});
  around_.net.touched(at->index());
  struct watch {
    static void look(workload& w, machine* at, std::uint64_t life, std::shared_ptr<open_call> c, nanoseconds until) {
      w.around_.time.after(looks_every, [&w, at, life, c = std::move(c), until] {
        if (!c->done) return;
        if (!at->runs() || at->life() != life) {
          ++w.counts_.failed_calls;
          return c->answer(error{errc::unavailable, "the connection ended"});
        }
        if (w.around_.time.now() >= until) {
          ++w.counts_.failed_calls;
          return c->answer(error{errc::timeout, "the client lost patience"});
        }
        look(w, at, life, c, until);
      });
    }
  };
  watch::look(*this, at, at->life(), c, around_.time.now() + client_patience);
}

// ---- Uploads ---------------------------------------------------------------------------------------------------------

void workload::end(const uploader_ptr& u) {
  if (std::exchange(u->over, true)) return;
  --open_;
}

/// Whatever went wrong: after a while a new upload, perhaps through another gateway.
void workload::again(const uploader_ptr& u, const error& why) {
  const bool expected = is_transient(why.code) || why.code == errc::not_found || why.code == errc::conflict || why.code == errc::offset_mismatch || why.code == errc::fenced || why.code == errc::cancelled;
  if (!expected) throw violation{"uploads_are_accepted", fmt::format("item {}: {} {}", u->number, to_string(why.code), why.message)};
  if (around_.log.keeps()) say(fmt::format("upload {} begins anew: {} {}", u->number, to_string(why.code), why.message));
  around_.time.after(milliseconds{500 + static_cast<std::int64_t>(around_.time.draw(1'000))}, [this, u] { create(u); });
}

void workload::create(const uploader_ptr& u) {
  auto& source = u->video.source;
  if (source.empty()) {
    source = make_source(u->video.model, u->video.seed, static_cast<std::size_t>(u->story.bytes));
    if (u->story.story == "garbage") source[0] = static_cast<char>(source[0] ^ 0x55);
  }
  u->at = any_gateway();
  u->sent = 0;
  u->resumes = 0;
  ++counts_.uploads;
  ports::create_video request;
  request.tenant = u->story.tenant;
  request.title = "video " + std::to_string(u->number);
  request.bytes_expected = u->video.source.size();
  request.priority = priority_of(u->story.priority);
  call<video_view>(
    u->at,
    [this, u](expected<video_view> created) {
      if (!created) return again(u, created.error());
      u->id = created->id;
      send(u);
    },
    [request](ports::service& s, auto done) { s.create(request, std::move(done)); });
}

void workload::send(const uploader_ptr& u) {
  const auto& source = u->video.source;
  if (u->sent == source.size()) return finish(u);
  const bool halfway = u->sent >= source.size() / 2;
  if (halfway && u->story.story == "abandon") {
    ++counts_.given_up;
    if (around_.log.keeps()) say(fmt::format("upload {} is abandoned", u->number));
    return end(u);
  }
  if (halfway && u->story.story == "abort") {
    call<void>(
      u->at,
      [this, u](expected<void>) {
        ++counts_.aborted;
        end(u);  // one that failed is as good as abandoned
      },
      [id = u->id](ports::service& s, auto done) { s.abort(id, std::move(done)); });
    return;
  }
  if (halfway && u->story.story == "stall" && !std::exchange(u->stalled, true)) {
    around_.time.after(milliseconds{u->story.wait_ms}, [this, u] { send(u); });
    return;
  }
  const auto piece = std::min<std::uint64_t>(static_cast<std::uint64_t>(around_.what.knobs.piece_bytes), source.size() - u->sent);
  call<std::uint64_t>(
    u->at,
    [this, u](expected<std::uint64_t> durable) {
      if (!durable) return resume(u);
      u->sent = *durable;
      send(u);
    },
    [id = u->id, at = u->sent, bytes = buffer{source.substr(u->sent, piece)}](ports::service& s, auto done) { s.append(id, at, bytes, std::move(done)); });
}

/// An append failed or was not answered: the offset is asked for, and sending goes on from there.
void workload::resume(const uploader_ptr& u) {
  if (++u->resumes > resumes_max) return again(u, {errc::unavailable, "resumed too often"});
  around_.time.after(milliseconds{300 * u->resumes}, [this, u] {
    call<std::uint64_t>(
      u->at,
      [this, u](expected<std::uint64_t> offset) {
        if (!offset && is_transient(offset.error().code)) return resume(u);
        if (!offset) return again(u, offset.error());
        if (*offset > u->video.source.size()) throw violation{"offsets_are_true", fmt::format("item {}: storage holds {} of {} bytes", u->number, *offset, u->video.source.size())};
        ++counts_.resumed;
        u->sent = *offset;
        send(u);
      },
      [id = u->id](ports::service& s, auto done) { s.offset(id, std::move(done)); });
  });
}

void workload::finish(const uploader_ptr& u) {
  // From now on it may be accepted, whether we hear of it or not.
  view_.known.emplace(u->id, u->video);
  call<video_view>(
    u->at,
    [this, u](expected<video_view> done) {
      if (done) {
        for (auto& c : checkers_) c->on_accepted(u->id);
        return acknowledged(u);
      }
      if (is_transient(done.error().code)) return was_it_accepted(u);
      again(u, done.error());
    },
    [id = u->id, bytes = u->sent](ports::service& s, auto done) { s.finish(id, bytes, std::move(done)); });
}

void workload::was_it_accepted(const uploader_ptr& u) {
  around_.time.after(seconds{1}, [this, u] {
    call<video_view>(
      any_gateway(),
      [this, u](expected<video_view> seen) {
        if (!seen && is_transient(seen.error().code)) return was_it_accepted(u);
        if (!seen) return again(u, seen.error());
        if (seen->state == video_state::receiving) {
          // Not sealed. Say it once more where the session is, or give it up.
          if (++u->resumes > resumes_max || u->at == nullptr || !u->at->runs()) return again(u, {errc::unavailable, "it was never accepted"});
          return finish(u);
        }
        acknowledged(u);
      },
      [id = u->id](ports::service& s, auto done) { s.get(id, std::move(done)); });
  });
}

void workload::acknowledged(const uploader_ptr& u) {
  ++counts_.acknowledged;
  view_.known.at(u->id).acknowledged = true;
  around_.log.note(u->id.low);
  say("acknowledged " + to_string(u->id));
  if (u->story.story == "delete") {
    ++open_;  // else the run could end in the middle of it
    to_delete_.insert(u->id);
    around_.time.after(milliseconds{u->story.wait_ms}, [this, id = u->id] {
      --open_;
      to_delete_.erase(id);
      remove(id);
    });
  }
  end(u);
}

void workload::remove(video_id id) {
  ++open_;
  view_.known.at(id).delete_asked = true;
  call<void>(
    any_gateway(),
    [this, id](expected<void> gone) {
      --open_;
      if (gone || gone.error().code == errc::not_found) {
        ++counts_.deleted;
        view_.known.at(id).deleted = true;
        around_.log.note(id.low + 1);
        say("deleted " + to_string(id));
        return;
      }
      if (!is_transient(gone.error().code)) throw violation{"deletes_are_accepted", to_string(id) + ": " + gone.error().message};
      ++open_;
      around_.time.after(seconds{1}, [this, id] {
        --open_;
        remove(id);
      });
    },
    [id](ports::service& s, auto done) { s.remove(id, std::move(done)); });
}

// ---- Everybody else --------------------------------------------------------------------------------------------------

void workload::on_gateway_started(machine& m) {
  const auto ear = ++ears_;
  ears_of_[&m] = ear;
  told_ready_[&m].clear();
  subscriptions_.push_back(m.service().subscribe([this, ear, at = &m](const ports::service_event& event) {
    const auto* seen = std::get_if<video_view>(&event);
    if (seen == nullptr) return;
    ++counts_.events;
    // Not inside the actor that tells us: a violation must end the run, not the actor.
    around_.time.after(nanoseconds{0}, [this, ear, at, v = *seen] {
      for (auto& c : checkers_) c->on_event(ear, v);
      // Who waits for it opens it at once.
      if (v.state == video_state::ready && ear == ears_of_.at(at) && told_ready_[at].insert(v.id).second && may_watch(v.id)) watch(at, v.id);
    });
  }));
}

/// Viewers. One opens what may not be ready yet, as a player does that waits; whatever it is told, it must not spoil what the
/// next is told: some resource of some video that this gateway has called ready must be what a calm run serves. One whose
/// readiness is still on its way there may be shown as it was a moment ago.
void workload::watch_media() {
  around_.time.after(milliseconds{around_.what.knobs.media_read_every_ms}, [this] { watch_media(); });
  std::vector<video_id> ready;
  for (const auto& [id, record] : view_.videos)
    if (record.state == video_state::encoding || record.state == video_state::finishing)
      call<ports::media_resource>(any_gateway(), [](expected<ports::media_resource>) {}, [id = id](ports::service& s, auto done) { s.media(id, "master.m3u8", std::move(done)); });
  auto* at = any_gateway();
  if (at == nullptr) return;
  for (const auto& id : told_ready_[at])
    if (may_watch(id)) ready.push_back(id);
  if (!ready.empty()) watch(at, ready[around_.time.draw(ready.size())]);
}

bool workload::may_watch(video_id id) const {
  const auto record = view_.videos.find(id);
  if (record == view_.videos.end() || record->second.state != video_state::ready) return false;
  const auto known = view_.known.find(id);
  return known != view_.known.end() && !known->second.delete_asked;
}

void workload::watch(machine* at, video_id id) {
  const auto paths = media_paths(view_.known.at(id));
  read_media(at, id, paths[around_.time.draw(paths.size())]);
}

void workload::read_media(machine* at, video_id id, const std::string& path) {
  ++counts_.media_reads;
  const auto engine = view_.videos.contains(id) ? view_.videos.at(id).engine : engine_id{};
  const auto compare = [this, id, path, engine](std::string_view bytes) {
    const auto record = view_.videos.find(id);
    if (record == view_.videos.end() || view_.known.at(id).delete_asked) return;
    if (record->second.engine != engine) return;  // its scheduler lost its disk meanwhile, and another worker was the first
    const auto calm = calm_media(id, view_.known.at(id), record->second.engine, record->second.request.how, path);
    if (!calm) throw violation{"media_equals_a_calm_run", path + " of " + to_string(id) + " has no model: " + calm.error().message};
    if (*calm != bytes) throw violation{"media_equals_a_calm_run", path + " of " + to_string(id) + " has other bytes than in a calm run"};
    ++counts_.media_compared;
  };
  const auto failed = [this, id, path](const error& why) {
    // A disk that returns other bytes is found out by their checksum: corrupt is an honest answer.
    if (is_transient(why.code) || why.code == errc::corrupt || view_.known.at(id).delete_asked) return;
    throw violation{"media_is_served", path + " of " + to_string(id) + ", which is ready: " + std::string{to_string(why.code)} + " " + why.message};
  };
  call<ports::media_resource>(
    at,
    [this, at, compare, failed](expected<ports::media_resource> what) {
      if (!what) return failed(what.error());
      if (what->range.bytes == 0) return compare(what->text);
      call<buffer>(
        at,
        [compare, failed](expected<buffer> bytes) {
          if (!bytes) return failed(bytes.error());
          compare(bytes->view());
        },
        [range = what->range](ports::service& s, auto done) { s.read(range, 0, static_cast<std::uint32_t>(range.bytes), std::move(done)); });
    },
    [id, path](ports::service& s, auto done) { s.media(id, path, std::move(done)); });
}

/// Somebody keeps an eye on what was accepted: it is known at all times, by its id and in the list of its tenant.
void workload::look_up() {
  around_.time.after(look_up_every, [this] { look_up(); });
  if (view_.known.empty()) return;
  if (around_.time.draw(3) == 0)
    list_all();
  else
    get_one();
}

void workload::get_one() {
  const auto at = std::next(view_.known.begin(), static_cast<std::ptrdiff_t>(around_.time.draw(view_.known.size())));
  const auto id = at->first;
  if (!at->second.acknowledged || at->second.delete_asked) return;
  ++counts_.lookups;
  auto* asked = any_gateway();
  const auto life = asked == nullptr ? 0 : ears_of_[asked];
  call<video_view>(
    asked,
    [this, id, asked, life](expected<video_view> seen) {
      if (view_.known.at(id).delete_asked || (!seen && is_transient(seen.error().code)) || view_.old_volume_lately()) return;
      if (!seen) throw violation{"accepted_is_known", to_string(id) + ": " + std::string{to_string(seen.error().code)} + " " + seen.error().message};
      if (seen->state == video_state::receiving || seen->state == video_state::deleting)
        throw violation{"accepted_is_known", to_string(id) + " was accepted, and is shown as " + std::string{to_string(seen->state)}};
      if (seen->state == video_state::ready && asked != nullptr && ears_of_[asked] == life) told_ready_[asked].insert(id);
    },
    [id](ports::service& s, auto done) { s.get(id, std::move(done)); });
}

struct workload::listing {
  std::string tenant;
  std::uint32_t limit = 1;
  machine* at = nullptr;
  std::set<video_id> wanted;   // accepted before it began
  std::set<video_id> found;
};

void workload::list_all() {
  auto l = std::make_shared<listing>();  // shared by its pages
  l->tenant = around_.what.items[around_.time.draw(around_.what.items.size())].tenant;
  l->limit = static_cast<std::uint32_t>(1 + around_.time.draw(4));
  l->at = any_gateway();
  for (const auto& u : uploaders_)
    if (u->story.tenant == l->tenant && view_.known.contains(u->id) && view_.known.at(u->id).acknowledged) l->wanted.insert(u->id);
  // Thousands of videos are not for paging by ones.
  l->limit += static_cast<std::uint32_t>(std::min<std::size_t>(l->wanted.size() / 16, list_limit_max));
  ++counts_.lists;
  list_page(l, {});
}

void workload::list_page(const std::shared_ptr<listing>& l, const std::string& cursor) {
  call<ports::video_page>(
    l->at,
    [this, l](expected<ports::video_page> page) {
      if (!page) {
        if (!is_transient(page.error().code)) throw violation{"lists_are_whole", "a page of " + l->tenant + ": " + page.error().message};
        return;
      }
      for (const auto& v : page->videos)
        if (!l->found.insert(v.id).second) throw violation{"lists_are_whole", to_string(v.id) + " is listed twice"};
      if (!page->next.empty()) return list_page(l, page->next);
      for (const auto& id : l->wanted)
        if (!l->found.contains(id) && !view_.known.at(id).delete_asked && !view_.old_volume_lately()) throw violation{"lists_are_whole", to_string(id) + " was accepted, and is not listed"};
    },
    [l, cursor](ports::service& s, auto done) { s.list(l->tenant, cursor, l->limit, std::move(done)); });
}

/// Somebody looks at failed videos and tries again those that are not to blame.
void workload::retry_failed() {
  around_.time.after(retry_every, [this] { retry_failed(); });
  for (const auto& [id, record] : view_.videos) {
    if (record.state != video_state::failed || !view_.known.contains(id)) continue;
    const auto& video = view_.known.at(id);
    // Once, the poisoned are tried again as well: it must not hurt.
    if (video.delete_asked || (video.poison && record.job > 1)) continue;
    ++counts_.retried;
    call<video_view>(
      any_gateway(),
      [id = id](expected<video_view> queued) {
        if (!queued && !is_transient(queued.error().code) && queued.error().code != errc::conflict && queued.error().code != errc::not_found)
          throw violation{"retries_are_accepted", to_string(id) + ": " + queued.error().message};
      },
      [id = id](ports::service& s, auto done) { s.retry(id, std::move(done)); });
  }
}

}  // namespace latham::sim
