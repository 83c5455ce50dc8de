#!/usr/bin/env bash
# Brings the Java SDKs of FISCO BCOS from Maven Central into interop/.cache/sdk/ and compiles the clients
# here against them. Safe to run again: what is there in the pinned version is left alone.
#
#   interop/sdk/setup.sh              all of them
#   interop/sdk/setup.sh java-2       the one for 2.x; java-3: for 3.x
#
# The versions are in <client>/pom.xml; <client>/jars.sha256 says what came when that file was made.
#   interop/sdk/setup.sh --pin java-2      makes that file anew
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="$here/../.cache/sdk"
# The plugin that copies jars; pinned as everything else.
PLUGIN=org.apache.maven.plugins:maven-dependency-plugin:3.6.1

say() { printf 'interop/sdk/setup: %s\n' "$*" >&2; }

need() {
  command -v "$1" >/dev/null 2>&1 || {
    say "missing: $1 (apt-get install $2)"
    exit 1
  }
}

# The jars of a client, exactly those of its list.
jars() {
  local name="$1" lib="$cache/$1/lib"
  if [ -d "$lib" ] && (cd "$lib" && sha256sum --quiet --check "$here/$name/jars.sha256") >/dev/null 2>&1; then
    say "the jars of $name are there"
    return
  fi
  need mvn maven
  say "bringing the jars of $name"
  rm -rf "$lib"
  mkdir -p "$lib"
  mvn --batch-mode --quiet --file "$here/$name/pom.xml" "$PLUGIN:copy-dependencies" \
    -DincludeScope=runtime "-DoutputDirectory=$lib" >&2
  if [ "$pin" = yes ]; then
    (cd "$lib" && sha256sum -- *.jar) >"$here/$name/jars.sha256"
  fi
  (cd "$lib" && sha256sum --quiet --check "$here/$name/jars.sha256") >&2 || {
    say "these are not the jars that $name/jars.sha256 lists"
    rm -rf "$lib"
    exit 1
  }
  local came listed
  came="$(find "$lib" -name '*.jar' | wc -l)" listed="$(wc -l <"$here/$name/jars.sha256")"
  if [ "$came" -ne "$listed" ]; then
    say "$came jars came for $name, its list has $listed"
    rm -rf "$lib"
    exit 1
  fi
}

# The client itself; a second or two, so always.
compile() {
  local name="$1"
  rm -rf "$cache/$name/classes"
  mkdir -p "$cache/$name/classes"
  # No annotation processors: an old one of the SDK's dependencies breaks today's compiler.
  javac -proc:none -Werror -Xlint:all,-path,-classfile,-processing -d "$cache/$name/classes" \
    -cp "$cache/$name/lib/*" "$here/common"/*.java "$here/$name"/*.java
}

pin=no
if [ "${1:-}" = --pin ]; then
  pin=yes
  shift
fi
need javac openjdk-17-jdk-headless
[ $# -gt 0 ] || set -- java-2 java-3
for name in "$@"; do
  [ -f "$here/$name/pom.xml" ] || {
    say "unknown client: $name"
    exit 2
  }
  if [ "$pin" = yes ]; then rm -rf "$cache/$name/lib"; fi
  jars "$name"
  compile "$name"
done
