/* A disk that gets full, for one process: after FULL_BYTES bytes were written to files below the
 * folder FULL_BELOW, every write there fails with ENOSPC. Loaded with LD_PRELOAD, so that tests need
 * no right to mount. Bytes count when they are written; removing a file gives nothing back. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long used;

static int is_below(int fd)
{
    const char *below = getenv("FULL_BELOW");
    char link[64], path[PATH_MAX];
    if (!below)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    size_t prefix = strlen(below);
    return len > (ssize_t)prefix && !strncmp(path, below, prefix) && path[prefix] == '/';
}

/* How many of `wanted` bytes still fit: a full disk takes the beginning of a write. */
static ssize_t take(int fd, size_t wanted)
{
    const char *bytes = getenv("FULL_BYTES");
    if (!wanted || !bytes || !is_below(fd))
        return wanted;
    long left = atol(bytes) - atomic_fetch_add(&used, (long)wanted);
    if (left <= 0) {
        errno = ENOSPC;
        return -1;
    }
    return left < (long)wanted ? left : (ssize_t)wanted;
}

ssize_t write(int fd, const void *from, size_t len)
{
    ssize_t taken = take(fd, len);
    return taken < 0 ? -1 : syscall(SYS_write, fd, from, (size_t)taken);
}

ssize_t pwrite64(int fd, const void *from, size_t len, off64_t at)
{
    ssize_t taken = take(fd, len);
    return taken < 0 ? -1 : syscall(SYS_pwrite64, fd, from, (size_t)taken, at);
}

ssize_t pwrite(int fd, const void *from, size_t len, off_t at)
{
    return pwrite64(fd, from, len, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    /* Callers go on after a short write. */
    return count < 1 ? 0 : write(fd, parts[0].iov_base, parts[0].iov_len);
}

/* Kernel copies would pass by the count: say that there are none, and callers read and write. */
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t len, unsigned flags)
{
    (void)from, (void)from_at, (void)to, (void)to_at, (void)len, (void)flags;
    errno = ENOSYS;
    return -1;
}

ssize_t sendfile64(int to, int from, off64_t *at, size_t len)
{
    (void)to, (void)from, (void)at, (void)len;
    errno = ENOSYS;
    return -1;
}

int fallocate64(int fd, int mode, off64_t at, off64_t len)
{
    (void)fd, (void)mode, (void)at, (void)len;
    errno = EOPNOTSUPP;
    return -1;
}
