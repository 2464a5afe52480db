# Shared by scripts/quickstart, scripts/test and .ci/run; to be sourced by bash.
# Works on Debian 12 and Ubuntu 22.04 or later, as root or with sudo.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build_packages=(cmake ninja-build g++ libfmt-dev libyaml-cpp-dev nlohmann-json3-dev libboost-dev libcli11-dev zlib1g-dev libpugixml-dev libsqlite3-dev)
# Draws the charts of reports; where a release has no such package they have static pictures.
chart_packages=(libjs-chart.js)
mpi_packages=(libopenmpi-dev openmpi-bin)
test_packages=(libgtest-dev libgmock-dev python3)

say() { printf '%s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 3; }

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Runs a long command; its output goes to the log $1 and is shown only where the command fails.
quietly() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  if ! "$@" >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    die "failed: $* (all output in $log)"
  fi
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    env DEBIAN_FRONTEND=noninteractive "$@"
  else
    sudo env DEBIAN_FRONTEND=noninteractive "$@"
  fi
}

# Installs those of the named packages that are missing; says nothing where all are there.
need_packages() {
  command -v dpkg-query >/dev/null || { say "no dpkg here: taking for granted what these packages hold: $*"; return; }
  local missing=() package
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    die "these packages are missing, and there is no sudo to install them: ${missing[*]}"
  fi
  say "installing ${missing[*]}"
  quietly "$root/build/log/apt-update.txt" as_root apt-get -qq update
  quietly "$root/build/log/apt-install.txt" as_root apt-get -qq install --no-install-recommends "${missing[@]}"
}

# The same of packages that one can do without: names what the release does not have.
want_packages() {
  local package
  for package in "$@"; do
    is_installed "$package" && continue
    if command -v apt-cache >/dev/null && [ -n "$(apt-cache madison "$package" 2>/dev/null)" ]; then
      need_packages "$package"
    else
      say "no package $package here: moeplan is built without what it gives"
    fi
  done
}

# The compiler: $CXX where set; else g++, which has to be 12 or later (Ubuntu 22.04 has 11 by default and 12 beside it).
choose_compiler() {
  [ -n "${CXX:-}" ] && return
  export CXX=g++
  if [ "$(g++ -dumpversion | cut -d. -f1)" -lt 12 ]; then
    need_packages g++-12
    export CXX=g++-12
  fi
}

# configure PRESET [CMake argument...]: configures build/PRESET; quick where nothing has changed.
configure() {
  local preset=$1
  shift
  quietly "$root/build/log/configure-$preset.txt" cmake -S "$root" --preset "$preset" "$@"
}

# build PRESET [target...]: ninja's progress line on a terminal, else nothing unless it fails. One compiler may take
# 1.5 GB, so that memory limits how many run at once.
build() {
  local preset=$1 memory_kib jobs
  shift
  memory_kib=$(awk '/MemAvailable/ {print $2}' /proc/meminfo)
  jobs=$((memory_kib / 1500000))
  [ "$jobs" -lt "$(nproc)" ] || jobs=$(nproc)
  [ "$jobs" -ge 1 ] || jobs=1
  if [ -t 1 ]; then
    ninja -C "$root/build/$preset" -j "$jobs" "$@" || die "the build failed"
  else
    quietly "$root/build/log/build-$preset.txt" ninja -C "$root/build/$preset" -j "$jobs" "$@"
  fi
}
