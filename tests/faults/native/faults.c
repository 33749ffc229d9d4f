// Preloaded into Python: makes the n-th call that changes a file below a folder fail with an error of choice.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static char folder[PATH_MAX];
static long countdown = 0, met = 0;
static int failure = EIO, lasting = 0;

// n: which call fails, 0 none; on: whether all later ones fail too.
void faults_arm(const char *below, long n, int error, int on) {
    snprintf(folder, sizeof folder, "%s", below);
    countdown = n;
    met = 0;
    failure = error;
    lasting = on;
}

// How many calls there were since it was armed.
long faults_met(void) { return met; }

static int strikes(const char *path) {
    if (!folder[0] || strncmp(path, folder, strlen(folder)) != 0) return 0;
    long now = __sync_add_and_fetch(&met, 1);
    if (!countdown || !(now == countdown || (lasting && now > countdown))) return 0;
    errno = failure;
    return 1;
}

static int strikes_at(int at, const char *path) {
    if (path[0] == '/' || at == AT_FDCWD) return strikes(path);
    char link[64], whole[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    ssize_t length = readlink(link, whole, sizeof whole - 1);
    if (length < 0) return 0;
    whole[length] = 0;
    return strikes(whole);
}

static int strikes_open(int descriptor) { return strikes_at(descriptor, ""); }

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPENS(name)                                                                                                    \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = va_arg(rest, mode_t);                                                                            \
        va_end(rest);                                                                                                  \
        if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && strikes(path)) return -1;                                       \
        return REAL(name)(path, flags, mode);                                                                          \
    }
OPENS(open)
OPENS(open64)

#define OPENS_AT(name)                                                                                                 \
    int name(int at, const char *path, int flags, ...) {                                                               \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = va_arg(rest, mode_t);                                                                            \
        va_end(rest);                                                                                                  \
        if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && strikes_at(at, path)) return -1;                                \
        return REAL(name)(at, path, flags, mode);                                                                      \
    }
OPENS_AT(openat)
OPENS_AT(openat64)

ssize_t write(int descriptor, const void *data, size_t size) {
    return strikes_open(descriptor) ? -1 : REAL(write)(descriptor, data, size);
}
ssize_t pwrite(int descriptor, const void *data, size_t size, off_t at) {
    return strikes_open(descriptor) ? -1 : REAL(pwrite)(descriptor, data, size, at);
}
ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t at) {
    return strikes_open(descriptor) ? -1 : REAL(pwrite64)(descriptor, data, size, at);
}
int fsync(int descriptor) { return strikes_open(descriptor) ? -1 : REAL(fsync)(descriptor); }
int fdatasync(int descriptor) { return strikes_open(descriptor) ? -1 : REAL(fdatasync)(descriptor); }
int ftruncate64(int descriptor, off64_t size) {
    return strikes_open(descriptor) ? -1 : REAL(ftruncate64)(descriptor, size);
}
int rename(const char *from, const char *to) { return strikes(from) ? -1 : REAL(rename)(from, to); }
int renameat(int at, const char *from, int to_at, const char *to) {
    return strikes_at(at, from) ? -1 : REAL(renameat)(at, from, to_at, to);
}
int unlink(const char *path) { return strikes(path) ? -1 : REAL(unlink)(path); }
int unlinkat(int at, const char *path, int flags) {
    return strikes_at(at, path) ? -1 : REAL(unlinkat)(at, path, flags);
}
