// Preloaded into a program: its date is off by the nanoseconds (int64) that the file WRONG_CLOCK holds just now. What
// counts from the boot stays right; libfaketime changes that too, and sleeps with it (time.sleep of Python fails under it).
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *wrong_by;
static int (*kernel)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    kernel = dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("WRONG_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *place = mmap(NULL, sizeof *wrong_by, PROT_READ, MAP_SHARED, file, 0);
    if (place != MAP_FAILED) wrong_by = place;
    close(file);
}

int clock_gettime(clockid_t id, struct timespec *at) {
    if (!kernel) kernel = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = kernel(id, at);
    if (failed || !wrong_by || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)) return failed;
    int64_t whole = (int64_t)at->tv_sec * 1000000000 + at->tv_nsec + *wrong_by;
    at->tv_sec = whole / 1000000000;
    at->tv_nsec = whole % 1000000000;
    return 0;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    (void)zone;
    struct timespec now;
    int failed = clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
