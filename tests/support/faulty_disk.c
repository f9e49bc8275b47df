/* A disk that fails on request, for one server under test: loaded before the C library, it comes between a process and
 * the files of one directory. It owns nothing and knows nothing of what the files hold.
 *
 * FAULTY_DISK_FOLDER   the directory, and as `..` the one above, whose sync makes it last; files elsewhere are left alone,
 *                      and so is SQLite's shared memory (-shm), which no power cut has to survive
 * FAULTY_DISK_ORDERS   a file that holds one word, looked at with every call:
 *                        full           what makes a file longer fails with ENOSPC
 *                        failing-write  writes fail with EIO
 *                        failing-copy   writes to the database fail with EIO, those to SQLite's log don't
 *                        failing-read   reads fail with EIO, which SQLite takes for damage
 *                        absent-read    reads fail with ESTALE, as of a disk in a network that is away
 *                        failing-sync   syncs fail with EIO
 *                        hanging-sync   syncs wait until the word is another
 *                        hanging-read   reads do
 *                      anything else is a disk in order
 * FAULTY_DISK_JOURNAL  a file that gets every change, before it is made, and every sync, after it is done: from it a
 *                      power cut can be made out of a kill -9 (see disk.py)
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static ssize_t (*real_pread)(int, void *, size_t, off64_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_ftruncate)(int, off64_t);
static int (*real_fsync)(int);
static int (*real_unlink)(const char *);

static const char *folder, *orders;
static int journal = -1;
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_pread = dlsym(RTLD_NEXT, "pread64");
    real_write = dlsym(RTLD_NEXT, "write");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    folder = getenv("FAULTY_DISK_FOLDER");
    orders = getenv("FAULTY_DISK_ORDERS");
    const char *path = getenv("FAULTY_DISK_JOURNAL");
    if (path) journal = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
}

/* Whether a path is of a file that may fail; then `name` is what it is called in its directory. */
static int is_ours(const char *path, const char **name) {
    size_t length = folder ? strlen(folder) : 0;
    size_t above = length ? (size_t)(strrchr(folder, '/') - folder) : 0;
    *name = "..";
    if (above && strlen(path) == above && !strncmp(path, folder, above)) return 1;
    if (!length || strncmp(path, folder, length) || path[length] != '/') return 0;
    *name = path + length + 1;
    size_t rest = strlen(*name);
    return rest < 4 || strcmp(*name + rest - 4, "-shm");
}

/* The same of an open file. */
static int has_name(int fd, char path[4096], const char **name) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, 4095);
    if (length < 0) return 0;
    path[length] = 0;
    return is_ours(path, name);
}

static int is_ordered(const char *word) {
    char now[32] = "";
    int fd = orders ? open(orders, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return 0;
    ssize_t length = read(fd, now, sizeof now - 1);
    close(fd);
    now[length > 0 ? length : 0] = 0;
    return !strcmp(now, word);
}

static int fails(int code) {
    errno = code;
    return -1;
}

struct __attribute__((packed)) record {
    char kind; /* W: written, T: truncated, S: synced, F: a sync failed, U: unlinked */
    uint16_t name_bytes;
    uint64_t offset; /* of the bytes; for S and F the length of the journal when the sync began */
    uint64_t size;   /* of the file before */
    uint32_t old_bytes, new_bytes;
};

static void note(struct record record, const char *name, const void *old, const void *new) {
    if (journal < 0) return;
    record.name_bytes = strlen(name);
    size_t length = sizeof record + record.name_bytes + record.old_bytes + record.new_bytes;
    char *bytes = malloc(length), *end = bytes;
    end = mempcpy(end, &record, sizeof record);
    end = mempcpy(end, name, record.name_bytes);
    end = mempcpy(end, old, record.old_bytes);
    mempcpy(end, new, record.new_bytes);
    if (real_write(journal, bytes, length) != (ssize_t)length) abort();
    free(bytes);
}

static uint64_t size_of(int fd) {
    struct stat64 status;
    return fstat64(fd, &status) ? 0 : (uint64_t)status.st_size;
}

/* Notes that bytes of a file are about to be others: those from `offset` on, `count` of them. */
static void note_change(char kind, int fd, const char *name, uint64_t offset, uint64_t count, const void *new) {
    char *old = malloc(count ? count : 1);
    ssize_t known = count ? real_pread(fd, old, count, (off64_t)offset) : 0;
    struct record record = {kind, 0, offset, size_of(fd), known > 0 ? (uint32_t)known : 0, new ? (uint32_t)count : 0};
    note(record, name, old, new);
    free(old);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    char path[4096];
    const char *name;
    if (!has_name(fd, path, &name)) return real_pwrite(fd, bytes, count, offset);
    if (is_ordered("failing-write")) return fails(EIO);
    if (!strcmp(name, "roomcast.db") && is_ordered("failing-copy")) return fails(EIO);
    if ((uint64_t)offset + count > size_of(fd) && is_ordered("full")) return fails(ENOSPC);
    pthread_mutex_lock(&one_at_a_time);
    note_change('W', fd, name, (uint64_t)offset, count, bytes);
    ssize_t written = real_pwrite(fd, bytes, count, offset);
    pthread_mutex_unlock(&one_at_a_time);
    return written;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    char path[4096];
    const char *name;
    if (!has_name(fd, path, &name)) return real_write(fd, bytes, count);
    off64_t offset = lseek64(fd, 0, SEEK_CUR);
    ssize_t written = pwrite64(fd, bytes, count, offset);
    if (written > 0) lseek64(fd, offset + written, SEEK_SET);
    return written;
}

ssize_t pread64(int fd, void *bytes, size_t count, off64_t offset) {
    char path[4096];
    const char *name;
    if (has_name(fd, path, &name)) {
        while (is_ordered("hanging-read")) usleep(5000);
        if (is_ordered("failing-read")) return fails(EIO);
        if (is_ordered("absent-read")) return fails(ESTALE);
    }
    return real_pread(fd, bytes, count, offset);
}

int ftruncate64(int fd, off64_t length) {
    char path[4096];
    const char *name;
    if (!has_name(fd, path, &name)) return real_ftruncate(fd, length);
    uint64_t size = size_of(fd), kept = (uint64_t)length;
    if (is_ordered("failing-write")) return fails(EIO);
    if (kept > size && is_ordered("full")) return fails(ENOSPC);
    pthread_mutex_lock(&one_at_a_time);
    note_change('T', fd, name, kept, size > kept ? size - kept : 0, NULL);
    int done = real_ftruncate(fd, length);
    pthread_mutex_unlock(&one_at_a_time);
    return done;
}

int fsync(int fd) {
    char path[4096];
    const char *name;
    if (!has_name(fd, path, &name)) return real_fsync(fd);
    while (is_ordered("hanging-sync")) usleep(5000);
    struct record record = {'S', 0, journal < 0 ? 0 : size_of(journal), 0, 0, 0};
    int failed = is_ordered("failing-sync");
    if (failed) record.kind = 'F';
    int done = failed ? fails(EIO) : real_fsync(fd);
    pthread_mutex_lock(&one_at_a_time);
    note(record, name, "", "");
    pthread_mutex_unlock(&one_at_a_time);
    return failed ? fails(EIO) : done;
}

int unlink(const char *path) {
    const char *name;
    if (is_ours(path, &name)) {
        struct record record = {'U', 0, 0, 0, 0, 0};
        pthread_mutex_lock(&one_at_a_time);
        note(record, name, "", "");
        pthread_mutex_unlock(&one_at_a_time);
    }
    return real_unlink(path);
}

/* On a machine of 64 bits these are the same under another name. */
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) { return pwrite64(fd, bytes, count, offset); }
ssize_t pread(int fd, void *bytes, size_t count, off_t offset) { return pread64(fd, bytes, count, offset); }
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }
int fdatasync(int fd) { return fsync(fd); }
