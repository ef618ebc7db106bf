# What the scripts share: system packages, and a virtual environment of their own. Sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

say() { printf '\n== %s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif sudo -n true 2>/dev/null; then sudo "$@"; else return 1; fi
}

# Installs Debian packages that are missing, where it may; else says which.
need_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return
  say "installing ${missing[*]}"
  if command -v apt-get >/dev/null && as_root true; then
    as_root apt-get update -q >/dev/null || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null && return
  fi
  die "Please install these packages and run this again: apt-get install ${missing[*]}"
}

# The newest python3 of the machine must be 3.10 or later, with venv, pip and headers.
need_python() {
  command -v python3 >/dev/null || need_packages python3
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || die "Python 3.10 or later is needed, found $(python3 --version)"
  python3 -c 'import ensurepip, venv' 2>/dev/null || need_packages python3-venv
  python3 -c 'import os, sysconfig; raise SystemExit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ||
    need_packages python3-dev
  command -v g++ >/dev/null || need_packages g++
}

# make_venv DIR: a fresh or existing virtual environment; $python is its interpreter.
make_venv() {
  [ -x "$1/bin/python" ] || python3 -m venv "$1"
  python="$root/$1/bin/python"
  "$python" -m pip install -q --disable-pip-version-check --upgrade 'pip>=24'
}
