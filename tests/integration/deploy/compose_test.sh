#!/bin/bash
# Builds the image with podman and runs deploy/compose/compose.yaml: four containers, a clip, ready, gone again.
#   compose_test.sh          the image's last stage from build/latham of this Debian 12 (a minute)
#   compose_test.sh --full   the whole Dockerfile, compiling in a container (the mirror must be reachable there)
# Bases are made by mmdebstrap, so no registry is needed. Needs root, podman, runc, netavark, iptables, mmdebstrap,
# python3-yaml, ffmpeg, curl. Not one of `make test`: run by `make image-test`, which fails where it cannot run.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
full=""
[ "${1:-}" != --full ] || full=1
for tool in podman runc iptables mmdebstrap ffmpeg curl python3; do
  command -v $tool >/dev/null || { echo "compose_test.sh: needs $tool" >&2; exit 2; }
done
python3 -c 'import yaml' || { echo "compose_test.sh: needs python3-yaml" >&2; exit 2; }

work=$(mktemp -d "${TMPDIR:-/var/tmp}/latham-compose.XXXXXX")
export LATHAM_TOKEN=compose-test LATHAM_IMAGE=localhost/latham-test:latest
project=latham-test
# What runs on any kernel: runc knows the older cgroups, and limits stay below what a container of ours may have itself.
cat >"$work/containers.conf" <<'CONF'
[containers]
default_ulimits = ["nofile=8192:8192", "nproc=8192:8192"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
CONF
export CONTAINERS_CONF=$work/containers.conf

say() { printf '%s compose-test: %s\n' "$(date +%H:%M:%S)" "$*"; }
compose() { python3 "$root/tests/integration/deploy/compose_up.py" "$project" "$root/deploy/compose/compose.yaml" "$@"; }
names() { podman ps "$@" --filter "label=latham.project=$project" --format '{{.Names}}'; }
finish() {
  local code=$?
  if [ $code != 0 ]; then for name in $(names -a); do echo "--- $name"; podman logs --tail 15 "$name" 2>&1 || true; done; fi
  # Those that live in another's network first.
  for name in $(names -a | grep -v scheduler) $(names -a); do podman rm -f -t 0 "$name" >/dev/null 2>&1 || true; done
  podman volume rm -f "${project}_scheduler" "${project}_storage" >/dev/null 2>&1 || true
  rm -rf "$work"
  exit $code
}
trap finish EXIT
fail() { say "FAILED: $*"; exit 1; }

# base NAME PACKAGES: a Debian 12 from this machine's mirror, kept as an image between runs.
base() {
  podman image exists "$1" && return
  say "making $1"
  mmdebstrap --quiet --mode=root --variant="$2" --include="$3" bookworm "$work/base.tar" "/etc/apt/sources.list.d/debian.sources" >"$work/base.log" 2>&1 ||
    mmdebstrap --quiet --mode=root --variant="$2" --include="$3" bookworm "$work/base.tar" >"$work/base.log" 2>&1 || { cat "$work/base.log"; fail "mmdebstrap"; }
  podman import "$work/base.tar" "$1" >/dev/null
  rm "$work/base.tar"
}
base localhost/latham-base-runtime:bookworm essential libstdc++6,ca-certificates,tzdata

say "building the image"
begin=$SECONDS
revision=$(git -C "$root" rev-parse HEAD)
if [ -n "$full" ]; then
  base localhost/latham-base-build:bookworm minbase make,ca-certificates
  podman build -q --network host --build-arg BUILD_BASE=localhost/latham-base-build:bookworm --build-arg RUNTIME_BASE=localhost/latham-base-runtime:bookworm \
    --build-arg REVISION="$revision" --ignorefile "$root/deploy/image/Dockerfile.dockerignore" -f "$root/deploy/image/Dockerfile" -t "$LATHAM_IMAGE" "$root" >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log"; fail "podman build"; }
else
  "$root/deploy/image/collect.sh" "${LATHAM_BINARY:-$root/build/latham}" "$work/out"
  { sed -n '/^ARG RUNTIME_BASE/p' "$root/deploy/image/Dockerfile"; sed -n '/^FROM ${RUNTIME_BASE}/,$p' "$root/deploy/image/Dockerfile" | sed '/^COPY/{s|--from=build ||;s|/out/|out/|}'; } >"$work/Dockerfile"
  podman build -q --build-arg RUNTIME_BASE=localhost/latham-base-runtime:bookworm --build-arg REVISION="$revision" -f "$work/Dockerfile" -t "$LATHAM_IMAGE" "$work" >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log"; fail "podman build"; }
fi
say "built in $((SECONDS - begin)) s, $(podman image inspect --format '{{.Size}}' "$LATHAM_IMAGE" | awk '{printf "%.0f MB", $1 / 1e6}')"
[ "$(podman image inspect --format '{{.Config.User}}' "$LATHAM_IMAGE")" = 10001:10001 ] || fail "the image runs as root"
podman run --rm --network none "$LATHAM_IMAGE" --version || fail "the image does not start"

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
admin=$(free_port)
export LATHAM_PUBLISH=127.0.0.1:$port LATHAM_PUBLISH_ADMIN=127.0.0.1:$admin
say "starting four containers"
begin=$SECONDS
compose up >"$work/up.log" 2>&1 || { cat "$work/up.log"; fail "compose up"; }
until curl -fsS --max-time 3 "http://127.0.0.1:$admin/ready" >/dev/null 2>&1; do
  [ $((SECONDS - begin)) -lt 60 ] || { cat "$work/up.log"; fail "the gateway is not ready after 60 s"; }
  sleep 0.5
done
[ "$(names | wc -l)" = 4 ] || { podman ps -a; fail "not four containers"; }
say "ready after $((SECONDS - begin)) s"
compose health || fail "a health check says no"
say "all four are healthy"

code=$(curl -sS -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/api/v1/videos")
[ "$code" = 401 ] || fail "without the token the API answers $code, not 401"
ffmpeg -hide_banner -loglevel error -nostdin -y -f lavfi -i testsrc2=size=640x360:rate=24:duration=6 -f lavfi -i sine=duration=6 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac "$work/clip.mp4"
begin=$SECONDS
ask() { curl -fsS --max-time 30 -H "Authorization: Bearer $LATHAM_TOKEN" "$@"; }
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
id=$(ask -F "file=@$work/clip.mp4" "http://127.0.0.1:$port/api/v1/videos" | field id)
until [ "$(ask "http://127.0.0.1:$port/api/v1/videos/$id" | tee "$work/video.json" | field state)" = ready ]; do
  grep -q '"state":"failed"' "$work/video.json" && { cat "$work/video.json"; fail "the video failed"; }
  [ $((SECONDS - begin)) -lt 180 ] || { cat "$work/video.json"; fail "not ready after 180 s"; }
  sleep 0.5
done
ask "http://127.0.0.1:$port/media/$id/master.m3u8" | grep -q '^#EXT-X-STREAM-INF' || fail "no master playlist"
say "6 s clip ready after $((SECONDS - begin)) s"

begin=$SECONDS
compose down >"$work/down.log" 2>&1 || { cat "$work/down.log"; fail "compose down"; }
say "down after $((SECONDS - begin)) s; passed"
