#!/bin/sh
# Runs inside a clean room: clones what is committed, once, and runs make in the clone.
#   enter.sh USER make TARGET...      until it ends
#   enter.sh USER serve ARGUMENTS     make run ARGS=ARGUMENTS, until /srv/stop appears; then SIGTERM to make
# It is the first process of its namespace: when it ends, the kernel ends all others.
set -eu

user=$1
what=$2
shift 2
clone=/work/latham
rm -f /srv/stop
install -d -m 777 /srv/ccache

as_user() {
  if [ "$user" = root ]; then
    HOME=/root CCACHE_DIR=/srv/ccache exec "$@"
  else
    exec setpriv --reuid "$user" --regid "$user" --init-groups env HOME="/home/$user" USER="$user" CCACHE_DIR=/srv/ccache CCACHE_UMASK=000 "$@"
  fi
}

[ -d $clone ] || (as_user git clone -q /srv/latham.git $clone)
cd $clone

if [ "$what" = make ]; then
  status=0
  (as_user make "$@") || status=$?
  exit $status
fi

(as_user make run ARGS="$*") &
make=$!
while kill -0 $make 2>/dev/null; do
  if [ -e /srv/stop ]; then
    kill -TERM $make
    wait $make || true
    # make waits for what it started; nothing may be left behind it.
    if grep -qx latham /proc/[0-9]*/comm 2>/dev/null; then echo "latham outlived make" >&2; exit 1; fi
    exit 0
  fi
  sleep 0.2
done
wait $make
