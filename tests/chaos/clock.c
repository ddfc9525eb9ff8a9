/* A wall clock that jumps by up to ten years, there and back, at every look. Preloaded into the
 * program and its workers; CLOCK_MONOTONIC and the others stay what they are. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define TEN_YEARS (10L * 365 * 24 * 3600)

static long jump(void) {
    static atomic_uint state;
    unsigned value = atomic_load(&state);
    if (value == 0) {
        const char *seed = getenv("CHAOS_CLOCK_SEED");
        value = seed ? (unsigned)strtoul(seed, NULL, 10) : 1u;
    }
    value ^= value << 13; /* xorshift32 */
    value ^= value >> 17;
    value ^= value << 5;
    atomic_store(&state, value);
    return (long)(value % (2 * TEN_YEARS)) - TEN_YEARS;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += jump();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    int result = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return result;
}

time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) *now = precise.tv_sec;
    return precise.tv_sec;
}
