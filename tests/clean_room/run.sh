#!/bin/bash
# Does a fresh machine run what is committed? Each stage makes a new Debian, clones HEAD into it and uses nothing else:
#   debian12-run    as root: make run until it answers, an upload until ready, SIGTERM, and make run again within seconds
#   debian12-user   the same as an ordinary user who may use sudo
#   debian12-test   make test
#   debian13-build  make build
# Usage: run.sh [--keep] [STAGE...]        (default: all of them; an hour or two on two cores)
# Needs root, mmdebstrap, git, curl and ffmpeg, on Debian. Takes the package mirror, proxies and npm's registry from this
# machine's apt and npm, so that it works behind a mirror too. Packages are kept in a cache between runs, and so are the
# compiler's results, which the first stage never uses: its time is the one that counts.
# A root is a directory below TMPDIR, entered in namespaces of its own for mounts and processes: when the script ends, for
# whatever reason, the kernel ends and unmounts everything in it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
logs=$repository/build/clean_room
cache=${XDG_CACHE_HOME:-$HOME/.cache}/latham-clean-room
stages_all="debian12-run debian12-user debian12-test debian13-build"
step_s_max=${CLEAN_ROOM_STEP_S_MAX:-5400}   # a step that takes longer has failed
serving_s_target=1200                       # clean clone to serving, on two cores
upload_s_max=300

keep=""
stages=""
for word in "$@"; do
  case $word in
    --keep) keep=1 ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) case " $stages_all " in *" $word "*) stages="$stages $word" ;; *) echo "run.sh: unknown stage $word; it takes: $stages_all" >&2; exit 2 ;; esac ;;
  esac
done
stages=${stages:-$stages_all}

[ "$(id -u)" = 0 ] || { echo "run.sh: making a Debian root needs root" >&2; exit 2; }
for tool in mmdebstrap git curl ffmpeg unshare setsid; do
  command -v $tool >/dev/null || { echo "run.sh: needs $tool" >&2; exit 2; }
done
mkdir -p "$logs" "$cache"

root=""
room_pid=""
log=/dev/null

say() { printf '%s clean-room: %s\n' "$(date +%H:%M:%S)" "$*" | tee -a "$log"; }
fail() {
  say "FAILED $stage: $*; see $log"
  exit 1
}

# The first process of a room is the parent of all others in it, and takes them along.
leave() {
  if [ -n "$room_pid" ]; then kill -KILL "$room_pid" 2>/dev/null || true; wait "$room_pid" 2>/dev/null || true; fi
  room_pid=""
  if [ -n "$root" ]; then
    if [ -n "$keep" ]; then say "kept $root"; else rm -rf --one-file-system "$root"; fi
  fi
  root=""
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- What this machine is configured with ------------------------------------------------------------------------------
# Lines "LABEL URI" of Debian's own archives; without any, Debian's.
archives() {
  local found
  # shellcheck disable=SC2016  # apt expands these
  found=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "Debian" && !seen[$2]++ {print $2, $3}')
  case $found in *"Debian http"*) ;; *) found="Debian http://deb.debian.org/debian/" ;; esac
  printf '%s\n' "$found"
}

sources_for() {
  archives | while read -r label uri; do
    case $label in
      Debian) printf 'deb %s %s main\ndeb %s %s-updates main\n' "$uri" "$1" "$uri" "$1" ;;
      Debian-Security) printf 'deb %s %s-security main\n' "$uri" "$1" ;;
    esac
  done
}

apt_settings() {
  apt-config dump | grep -E '^Acquire::(http|https|Check-Date|Check-Valid-Until|Retries)\b.* "[^"]+";$' || true
  for name in http https; do
    local value
    eval "value=\${${name}_proxy:-}"
    [ -z "$value" ] || echo "Acquire::${name}::Proxy \"$value\";"
  done
}

npm_settings() {
  command -v npm >/dev/null || return 0
  for name in registry proxy https-proxy noproxy strict-ssl; do
    local value
    value=$(npm --prefix / config get $name 2>/dev/null) || value=""
    case $value in '' | null | undefined) ;; *) echo "$name=$value" ;; esac
  done
  echo "cafile=/etc/ssl/certs/ca-certificates.crt"
}

# ---- A room ------------------------------------------------------------------------------------------------------------
# make_room SUITE: a root with the committed HEAD to clone from, at $root.
make_room() {
  local suite=$1 archives_cache="$cache/base-$1"
  mkdir -p "$archives_cache" "$cache/debs-$1/partial"
  root=$(mktemp -d "${TMPDIR:-/var/tmp}/latham-clean-room.XXXXXX")
  chmod 755 "$root"
  apt_settings >"$logs/apt.conf"
  local options=()
  while IFS= read -r line; do options+=(--aptopt="$line"); done <"$logs/apt.conf"
  say "making $suite"
  sources_for "$suite" | timeout -k 10 "$step_s_max" mmdebstrap --quiet --mode=root --variant=minbase --include=make,git,ca-certificates,sudo "${options[@]}" \
    --skip=download/empty --skip=essential/unlink \
    --setup-hook='mkdir -p "$1"/var/cache/apt/archives/' --setup-hook="sync-in $archives_cache /var/cache/apt/archives/" \
    --customize-hook="sync-out /var/cache/apt/archives $archives_cache" \
    "$suite" "$root" - >>"$log" 2>&1 || fail "mmdebstrap $suite"
  # Its own time must be honest; the others may save the disk's.
  [ "$stage" = debian12-run ] || echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
  # Fresh but for the way out: name service, certificates, mirror, registry.
  install -m 644 /etc/hosts /etc/resolv.conf "$root/etc/"
  find /usr/local/share/ca-certificates -name '*.crt' -exec install -m 644 -t "$root/usr/local/share/ca-certificates/" {} + 2>/dev/null || true
  chroot "$root" update-ca-certificates >>"$log" 2>&1
  useradd --root "$root" --create-home --shell /bin/bash builder
  echo 'builder ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/builder"
  npm_settings >"$root/root/.npmrc"
  npm_settings >"$root/home/builder/.npmrc"
  git clone -q --bare "file://$repository" "$root/srv/latham.git"
  git -C "$root/srv/latham.git" rev-parse HEAD >"$root/srv/commit"
  git -C "$repository" rev-parse HEAD >"$logs/head"
  chroot "$root" git config --system --add safe.directory '*'
  install -d -m 777 "$root/work"
  install -m 755 "$here/enter.sh" "$root/srv/enter.sh"
}

# inside USER COMMAND...: runs in the room, the log on its standard output. Mounts and processes go when it ends.
inside() {
  local user=$1
  shift
  local suite_cache
  suite_cache=$(cat "$root/etc/debian_version")
  case $suite_cache in 13* | trixie*) suite_cache=debs-trixie ;; *) suite_cache=debs-bookworm ;; esac
  local passed=()
  for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    [ -z "${!name:-}" ] || passed+=("$name=${!name}")
  done
  exec setsid unshare --mount --propagation private --pid --fork --kill-child=KILL --uts \
    bash -c 'root=$1; debs=$2; shift 2
      mount -t proc proc "$root/proc"
      mount --rbind /dev "$root/dev"
      mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
      mount --rbind -o ro /sys "$root/sys"
      mount --bind "$debs" "$root/var/cache/apt/archives"
      exec chroot "$root" "$@"' room "$root" "$cache/$suite_cache" \
    /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM=dumb \
    NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt "${passed[@]}" /srv/enter.sh "$user" "$@"
}

# start USER COMMAND...: the same in the background.
start() {
  inside "$@" >>"$log" 2>&1 &
  room_pid=$!
}

# step USER COMMAND...: the same, until it ends, with a limit.
step() {
  start "$@"
  local pid=$room_pid begin=$SECONDS
  while kill -0 "$pid" 2>/dev/null; do
    [ $((SECONDS - begin)) -lt "$step_s_max" ] || fail "$* took longer than $step_s_max s"
    sleep 1
  done
  room_pid=""
  wait "$pid"
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# until_serving LIMIT_S: waits until the page answers while the room lives.
until_serving() {
  local begin=$SECONDS
  until curl -fsS -o "$logs/page.html" --max-time 5 "http://127.0.0.1:$port/" 2>/dev/null; do
    kill -0 "$room_pid" 2>/dev/null || fail "make run ended before it served: $(tail -n 3 "$log" | tr '\n' ' ')"
    [ $((SECONDS - begin)) -lt "$1" ] || fail "not serving after $1 s"
    sleep 0.5
  done
}

# SIGTERM to make, as a supervisor would send it.
stop_serving() {
  local begin=$SECONDS
  touch "$root/srv/stop"
  while kill -0 "$room_pid" 2>/dev/null; do
    [ $((SECONDS - begin)) -lt 60 ] || fail "still there 60 s after SIGTERM"
    sleep 0.2
  done
  wait "$room_pid" 2>/dev/null || true
  room_pid=""
  say "stopped $((SECONDS - begin)) s after SIGTERM"
}

video_field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

upload_and_wait() {
  ffmpeg -hide_banner -loglevel error -nostdin -y -f lavfi -i testsrc2=size=640x360:rate=24:duration=6 -f lavfi -i sine=frequency=440:duration=6 \
    -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac "$logs/clip.mp4"
  local begin=$SECONDS state
  id=$(curl -fsS --max-time 60 -F "file=@$logs/clip.mp4" "http://127.0.0.1:$port/api/v1/videos" | video_field id) || fail "upload refused"
  while :; do
    state=$(curl -fsS --max-time 10 "http://127.0.0.1:$port/api/v1/videos/$id" | video_field state) || fail "cannot see the video"
    case $state in
      ready) break ;;
      failed) fail "the video failed" ;;
    esac
    [ $((SECONDS - begin)) -lt $upload_s_max ] || fail "the video is still $state after $upload_s_max s"
    sleep 0.5
  done
  say "6 s clip uploaded and ready in $((SECONDS - begin)) s"
  plays
}

# Every playlist and each first segment is there.
plays() {
  curl -fsS --max-time 10 "http://127.0.0.1:$port/media/$id/master.m3u8" | grep -q '^#EXT-X-STREAM-INF' || fail "no master playlist"
  curl -fsS --max-time 10 "http://127.0.0.1:$port/media/$id/manifest.mpd" | grep -q '<MPD' || fail "no manifest"
}

serve_twice() {
  local user=$1 begin=$SECONDS
  port=$(free_port)
  local admin arguments
  admin=$(free_port)
  arguments="--listen 127.0.0.1:$port --admin 127.0.0.1:$admin"
  start "$user" serve "$arguments"
  until_serving "$step_s_max"
  local took=$((SECONDS - begin))
  if [ "$user" = root ]; then
    if [ $took -le $serving_s_target ]; then verdict=met; else verdict=MISSED; fi
    say "clean clone to serving: $took s on $(nproc) cores, load $(cut -d ' ' -f 1 /proc/loadavg) (target $serving_s_target s: $verdict)"
  else
    say "clean clone to serving as an ordinary user: $took s (compiler's cache warm: $([ -s "$root/srv/warm" ] && echo yes || echo no))"
  fi
  upload_and_wait
  stop_serving
  begin=$SECONDS
  start "$user" serve "$arguments"
  until_serving 60
  say "second make run serves after $((SECONDS - begin)) s"
  [ $((SECONDS - begin)) -le 20 ] || fail "the second make run took too long"
  plays
  stop_serving
}

# The compiler's results, for every stage but the first.
warm() {
  if [ -d "$cache/ccache-$1" ]; then
    cp -a "$cache/ccache-$1" "$root/srv/ccache"
    echo warm >"$root/srv/warm"
    chmod -R a+rwX "$root/srv/ccache"
  fi
}
keep_warm() {
  if [ -d "$root/srv/ccache" ]; then rm -rf "$cache/ccache-$1.new" && cp -a "$root/srv/ccache" "$cache/ccache-$1.new" && rm -rf "$cache/ccache-$1" && mv "$cache/ccache-$1.new" "$cache/ccache-$1"; fi
}

for stage in $stages; do
  log=$logs/$stage.log
  : >"$log"
  begin_stage=$SECONDS
  case $stage in
    debian12-run)
      make_room bookworm
      serve_twice root
      keep_warm bookworm
      ;;
    debian12-user)
      make_room bookworm
      warm bookworm
      serve_twice builder
      ;;
    debian12-test)
      make_room bookworm
      warm bookworm
      step builder make test || fail "make test"
      say "$(grep -E 'tests passed|tests failed' "$log" | tail -n 1)"
      keep_warm bookworm
      ;;
    debian13-build)
      make_room trixie
      warm trixie
      step root make build || { keep_warm trixie; fail "make build: $(grep -cE ' error: ' "$log") errors of the compiler"; }
      keep_warm trixie
      ;;
  esac
  say "passed $stage at $(cut -c1-12 "$root/srv/commit") in $((SECONDS - begin_stage)) s"
  leave
done
