# An SFTP server for the demonstration: Debian's OpenSSH, one user in a chroot, keys only.
FROM debian:12.11-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends openssh-server \
    && rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_* \
    && useradd --no-create-home --home-dir /backup --shell /usr/sbin/nologin --password '*' backup-demo \
    && install -d -m 0755 /srv/sftp /run/sshd
COPY sftp.sh /sftp.sh
ENTRYPOINT ["/bin/bash", "/sftp.sh"]
