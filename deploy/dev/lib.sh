# Shared by the scripts in this folder; sourced, never run.
#
# Contract of every script here: install what is missing from the package registries and nothing else; start on free
# ports under a temporary directory; print ONE line of JSON on stdout once the service answers (all else goes to
# stderr); run until stdin closes or SIGTERM/SIGINT comes; then stop what was started, by process id, and remove the
# temporary directory. Exit code 75 says that a registry could not be reached.
set -euo pipefail

# Installed tools are kept between runs here; safe to delete at any time.
DEV_CACHE=${TALLYPORT_DEV_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tallyport-dev}
DEV_PIDS=()
DEV_STOP_SIGNAL=TERM
DEV_TMP=
DEV_READER=

log() { printf '[%s] %s\n' "$(basename "$0")" "$*" >&2; }
not_installable() { log "NOT RUN: $*"; exit 75; }

# make_tmp: sets DEV_TMP to a fresh directory that dev_cleanup removes.
make_tmp() { DEV_TMP=$(mktemp -d "${TMPDIR:-/tmp}/tallyport-dev.XXXXXX"); }

dev_cleanup() {
  local status=$? pid
  trap - EXIT
  [ -z "$DEV_READER" ] || kill "$DEV_READER" 2>/dev/null || true
  for pid in ${DEV_PIDS[@]+"${DEV_PIDS[@]}"}; do kill "-$DEV_STOP_SIGNAL" "$pid" 2>/dev/null || true; done
  for pid in ${DEV_PIDS[@]+"${DEV_PIDS[@]}"}; do
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  [ -z "$DEV_TMP" ] || rm -rf "$DEV_TMP"
  exit "$status"
}
trap dev_cleanup EXIT
trap 'exit 0' TERM INT

# free_port: prints a TCP port that is free now, and that no connection to elsewhere takes before a server does: the kernel
# gives those from 32,768 up.
free_port() { python3 -c '
import random, socket
while True:
    try: s = socket.socket(); s.bind(("127.0.0.1", random.randrange(12000, 32000))); break
    except OSError: pass
print(s.getsockname()[1])'; }

# wait_for SECONDS COMMAND...: until COMMAND succeeds; fails after SECONDS.
wait_for() {
  local deadline=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.2
  done
}

# wait_for_process SECONDS PID COMMAND...: until COMMAND succeeds. Fails after SECONDS, or as soon as PID has ended, and says which.
wait_for_process() {
  local patience=$1 pid=$2 began=$SECONDS; shift 2
  answers_or_gone() { "$@" || ! kill -0 "$pid"; }
  if ! wait_for "$patience" answers_or_gone "$@"; then
    log "process $pid does not answer after $patience s: $(tr '\n' ' ' < "/proc/$pid/stat"); in $(cat "/proc/$pid/wchan"); load $(cat /proc/loadavg)"
    return 1
  fi
  kill -0 "$pid" 2>/dev/null || { log "process $pid ended after $((SECONDS - began)) s"; return 1; }
}

# apt_need COMMAND PACKAGE...: installs the Debian packages when COMMAND is missing.
apt_need() {
  local command=$1; shift
  command -v "$command" >/dev/null 2>&1 && return 0
  mkdir -p "$DEV_CACHE"
  (
    flock 9
    command -v "$command" >/dev/null 2>&1 && exit 0
    log "installing $* from Debian"
    sudo=; [ "$(id -u)" = 0 ] || sudo='sudo -n'
    { $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq "$@"; } >&2
  ) 9>"$DEV_CACHE/apt.lock" || not_installable "Debian packages $* could not be installed"
}

# cargo_tool NAME VERSION [FLAG...]: puts `cargo NAME` on the path, installed once; fails where crates.io cannot be reached.
cargo_tool() {
  local name=$1 version=$2; shift 2
  local dir=$DEV_CACHE/cargo-$name
  export PATH=$dir/bin:$PATH
  cargo "$name" --version >/dev/null 2>&1 && return
  mkdir -p "$DEV_CACHE"
  (
    flock 9
    cargo "$name" --version >/dev/null 2>&1 && exit 0
    log "installing cargo-$name from crates.io (a few minutes, once)"
    # A target directory of its own: its dependencies are none of ours.
    env -u RUSTC_WORKSPACE_WRAPPER CARGO_TARGET_DIR="$dir/target" \
      cargo install "cargo-$name" --version "$version" --locked --quiet --root "$dir" "$@" >&2 || exit 1
    rm -rf "$dir/target"
  ) 9>"$dir.lock"
}

# py_venv NAME REQUIREMENT...: prints the python of a cached virtual environment with these packages.
py_venv() {
  local dir=$DEV_CACHE/py-$1; shift
  local want; want=$(printf '%s\n' "$@")
  if [ "$(cat "$dir/.done" 2>/dev/null)" != "$want" ]; then
    # Debian's python3 comes without venv.
    python3 -c 'import ensurepip' 2>/dev/null || apt_need no-such-command python3 python3-venv
    log "installing $* from PyPI"
    mkdir -p "$DEV_CACHE"
    (
      flock 9
      [ "$(cat "$dir/.done" 2>/dev/null)" = "$want" ] && exit 0
      rm -rf "$dir"
      python3 -m venv "$dir" >&2 && "$dir/bin/pip" install -q --disable-pip-version-check "$@" >&2 \
        && printf '%s\n' "$want" > "$dir/.done"
    ) 9>"$dir.lock" || not_installable "PyPI packages $* could not be installed"
  fi
  printf '%s\n' "$dir/bin/python"
}

# npm_dir NAME PACKAGE@VERSION...: prints a cached directory whose node_modules has these packages.
npm_dir() {
  local dir=$DEV_CACHE/npm-$1; shift
  local want; want=$(printf '%s\n' "$@")
  if [ "$(cat "$dir/.done" 2>/dev/null)" != "$want" ]; then
    log "installing $* from npm"
    mkdir -p "$DEV_CACHE"
    (
      flock 9
      [ "$(cat "$dir/.done" 2>/dev/null)" = "$want" ] && exit 0
      rm -rf "$dir"; mkdir -p "$dir"
      npm install --prefix "$dir" --no-audit --no-fund --silent "$@" >&2 && printf '%s\n' "$want" > "$dir/.done"
    ) 9>"$dir.lock" || not_installable "npm packages $* could not be installed"
  fi
  printf '%s\n' "$dir"
}

# ready JSON: says that the service answers, then waits for the end of stdin, or for a signal. Bash holds a signal back while a
# command runs in the foreground, and not while it waits for one in the background.
ready() {
  printf '%s\n' "$1"
  cat <&0 >/dev/null &
  DEV_READER=$!
  wait "$DEV_READER" || true
  DEV_READER=
}
