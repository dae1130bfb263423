#!/usr/bin/env bash
# Backs up an installation to an S3 and an SFTP server, then checks, restores and verifies from each.
# docker-compose.yml sets the variables; any servers will do.
set -euo pipefail

: "${S3_URL:?}" "${SFTP_URL:?}" "${SSH_KEY:?}" "${KNOWN_HOSTS:?}" "${SOURCE:?}"
state="${SEAWALL_STATE_DIR:?}"
targets="$(mktemp -d)"
trap 'rm -rf "$targets"' EXIT

run() {
    printf '\n$ seawall %s\n' "$*"
    seawall "$@"
}

# NAME URL [OPTION…]: a second start of this script finds the repository and adds a snapshot.
try() {
    local name="$1" url="$2"
    shift 2
    local reach=(-r "$url" --state-dir "$state/$name" "$@")
    run backup "$SOURCE" "${reach[@]}" --init --unencrypted
    run check --read-data "${reach[@]}"
    run restore latest "${reach[@]}" --target "$targets/$name"
    run verify "$targets/$name" "${reach[@]}"
}

try s3 "$S3_URL" --plain-http
try sftp "$SFTP_URL" --ssh-key "$SSH_KEY" --ssh-known-hosts "$KNOWN_HOSTS"

printf '\nBoth repositories hold what %s holds: backed up, checked, restored and verified.\n' "$SOURCE"
echo "MariaDB is up too: seawall backs up installations whose databases are there (docs/databases.md)."
