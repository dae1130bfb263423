#!/usr/bin/env bash
# The longer version of the tests: every crash point, hundreds of kills, more rounds of whatever
# takes rounds. `tests/long.sh [FACTOR] [TEST…]`; tests read SEAWALL_LONG through support::rounds.
set -euo pipefail
cd "$(dirname "$0")/.."
export SEAWALL_LONG="${1:-1}"
shift || true
exec cargo test --locked --workspace --all-features -- "$@"
