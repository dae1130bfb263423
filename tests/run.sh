#!/usr/bin/env bash
# Installs what the tests need and runs all of them. Works on a new Debian machine with a Rust
# toolchain; run as root, or with the tools below installed.
# Takes a quarter of an hour on two cores, and as long again to compile on a new machine.
set -euo pipefail
cd "$(dirname "$0")/.."

# Tools that tests call: what an administrator would restore with by hand.
packages=()
need() { command -v "$1" >/dev/null || packages+=("$2"); }
need zstd zstd
need sqlite3 sqlite3
need tar tar
need sha256sum coreutils
need openssl openssl
need age age
need setpriv util-linux
need cc gcc
need strace strace
# Users and groups of a directory, as LDAP has them.
[ -e "/usr/lib/$(uname -m)-linux-gnu/libnss_wrapper.so" ] || packages+=(libnss-wrapper)
if ((${#packages[@]})); then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

tests/servers.sh

echo "== format and lints"
cargo fmt --all --check
cargo clippy --quiet --locked --workspace --all-targets --all-features -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --workspace --no-deps --document-private-items

echo "== tests"
# Servers that many tests share are dropped by nobody: what they leave is removed here.
TMPDIR=$(mktemp -d)
SEAWALL_TEST_MEMORY=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
# What a user is to see as `/` must be below root's folders alone.
SEAWALL_TEST_CHROOT=$(mktemp -d -p /var/lib seawall-tests.XXXXXX 2>/dev/null || mktemp -d)
export TMPDIR SEAWALL_TEST_MEMORY SEAWALL_TEST_CHROOT
trap 'rm -rf "$TMPDIR" "$SEAWALL_TEST_MEMORY" "$SEAWALL_TEST_CHROOT"' EXIT
chmod 1777 "$TMPDIR"
chmod 755 "$SEAWALL_TEST_MEMORY" "$SEAWALL_TEST_CHROOT"
# A test that hangs has to fail, and what a log that was cut has to say comes last.
log=target/tests.log
if ! timeout "${SEAWALL_TEST_LIMIT:-60m}" \
    cargo test --locked --workspace --all-features --no-fail-fast 2>&1 | tee "$log"; then
    echo "== failed, or not over after ${SEAWALL_TEST_LIMIT:-60m}"
    grep -E '^test .* (FAILED|has been running)|panicked at|^conformance: |^error' "$log" || true
    exit 1
fi
