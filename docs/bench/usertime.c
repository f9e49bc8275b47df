/* How much CPU time a server takes outside of its system calls: to be loaded before it.
 *
 *   gcc -O2 -shared -fPIC docs/bench/usertime.c -o /tmp/usertime.so
 *   LD_PRELOAD=/tmp/usertime.so target/release/roomcast dev
 *
 * The kernel's own split into user and system is guessed at each timer tick. Here each send, receive and wait is
 * measured by its thread's CPU clock, and the rest is what the program itself took. Once a second a line says so on
 * stderr. System calls that aren't listed below (locks, timers) count as the program's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static _Atomic uint64_t inside_ns, calls;
static double clock_ns; /* What reading the clock takes. */

static uint64_t now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

#define TIMED(type, name, params, args)                                                  \
    type name params {                                                                   \
        static type(*real) params;                                                       \
        if (!real) real = dlsym(RTLD_NEXT, #name);                                       \
        uint64_t from = now(CLOCK_THREAD_CPUTIME_ID);                                    \
        type result = real args;                                                         \
        inside_ns += now(CLOCK_THREAD_CPUTIME_ID) - from;                                \
        calls++;                                                                         \
        return result;                                                                   \
    }

TIMED(ssize_t, send, (int fd, const void *bytes, size_t n, int flags), (fd, bytes, n, flags))
TIMED(ssize_t, recv, (int fd, void *bytes, size_t n, int flags), (fd, bytes, n, flags))
TIMED(ssize_t, write, (int fd, const void *bytes, size_t n), (fd, bytes, n))
TIMED(ssize_t, read, (int fd, void *bytes, size_t n), (fd, bytes, n))
TIMED(ssize_t, writev, (int fd, const struct iovec *parts, int n), (fd, parts, n))
TIMED(int, epoll_wait, (int fd, struct epoll_event *events, int n, int ms), (fd, events, n, ms))

static void *tell(void *unused) {
    uint64_t cpu = 0, inside = 0, count = 0;
    for (;; sleep(1)) {
        uint64_t cpu_now = now(CLOCK_PROCESS_CPUTIME_ID), inside_now = inside_ns, count_now = calls;
        /* The clock is read twice for each call: once within what is measured, once beside it. */
        double clock = (count_now - count) * clock_ns;
        double kernel = inside_now - inside - clock, user = cpu_now - cpu - kernel - 2 * clock;
        fprintf(stderr, "usertime: %lu calls, %.1f ms in them, %.1f ms outside\n", count_now - count, kernel / 1e6, user / 1e6);
        cpu = cpu_now, inside = inside_now, count = count_now;
    }
    return unused;
}

__attribute__((constructor)) static void begin(void) {
    uint64_t from = now(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < 100000; i++) now(CLOCK_THREAD_CPUTIME_ID);
    clock_ns = (now(CLOCK_THREAD_CPUTIME_ID) - from) / 1e5;
    pthread_t thread;
    pthread_create(&thread, 0, tell, 0);
}
