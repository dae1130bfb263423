#!/usr/bin/env bash
# Makes the keys of the demonstration at the first start, then runs sshd.
set -euo pipefail

user=backup-demo
keys=/keys
# The user of seawall's image.
client=10001

if [ ! -s "$keys/known_hosts" ]; then
    ssh-keygen -q -t ed25519 -N '' -C sftp -f "$keys/host_ed25519"
    ssh-keygen -q -t ed25519 -N '' -C seawall -f "$keys/id_ed25519"
    chown "$client" "$keys/id_ed25519" "$keys/id_ed25519.pub"
    read -r type key _ < "$keys/host_ed25519.pub"
    echo "sftp $type $key" > "$keys/known_hosts.new"
    mv "$keys/known_hosts.new" "$keys/known_hosts"
fi
chown "$user" /srv/sftp/backup

cat > /etc/ssh/sshd_config <<CONFIG
HostKey $keys/host_ed25519
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile $keys/id_ed25519.pub
# The one key of the volume belongs to seawall, not to root or the user who logs in.
StrictModes no
AllowUsers $user
ChrootDirectory /srv/sftp
ForceCommand internal-sftp
Subsystem sftp internal-sftp
AllowTcpForwarding no
X11Forwarding no
CONFIG
exec /usr/sbin/sshd -D -e
