/* A layer between a program and the ledgers below one directory (LAYER_DIR), for LD_PRELOAD.
 *
 * It keeps a log of everything that changes those files, in the order in which it happened
 * (LAYER_LOG, left out: no log), and it can let chosen operations fail (layer_fail). One lock
 * around each operation and its log entry makes the order in the log the order on the disk.
 *
 * An entry is a line, for `write` and `mark` followed by as many bytes as its last number says:
 *   create INODE NAME | write INODE OFFSET LENGTH | size INODE LENGTH | sync INODE
 *   syncfailed INODE | syncdir | syncdirfailed | unlink NAME | mark LENGTH
 * The system is called directly, so that nothing here depends on the functions it stands for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SYNC = 1, WRITE = 2, TRUNCATE = 4, OPEN = 8, UNLINK = 16, SYNCDIR = 32, READ = 64 };
enum { FDS = 65536, SHORT = -1 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char place[4096];
static size_t place_length;
static int log_fd = -1;
static unsigned char watched[FDS];
static struct { int nth, kinds, error, half, times, seen; } plan;

__attribute__((constructor)) static void begin(void) {
  const char *directory = getenv("LAYER_DIR"), *log = getenv("LAYER_LOG");
  if (directory) place_length = (size_t)snprintf(place, sizeof place, "%s", directory);
  if (log)
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, log,
                          O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The name of a file of the ledger's, "" for a directory; NULL for what is of no interest. */
static const char *inside(const char *path) {
  struct stat facts;
  if (!place_length || strncmp(path, place, place_length)) return NULL;
  const char *name = strrchr(path, '/') + 1;
  if (!strncmp(name, "ledger.", 7)) return name;
  return !stat(path, &facts) && S_ISDIR(facts.st_mode) ? "" : NULL;
}

static int is_watched(int fd) { return fd >= 0 && fd < FDS && watched[fd]; }

static void put_down(const void *bytes, size_t length) {
  for (const char *at = bytes; length;) {
    ssize_t done = syscall(SYS_write, log_fd, at, length);
    if (done <= 0) abort(); /* a log with a gap would prove nothing */
    at += done, length -= (size_t)done;
  }
}

static void entry(const void *bytes, size_t length, const char *format, ...) {
  char line[5000];
  va_list arguments;
  if (log_fd < 0) return;
  va_start(arguments, format);
  int long_ = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  put_down(line, (size_t)long_);
  put_down(bytes, length);
}

static unsigned long inode(int fd) {
  struct stat facts;
  return fstat(fd, &facts) ? 0 : (unsigned long)facts.st_ino;
}

/* Whether the plan wants this operation to fail: 0, an errno, or SHORT. */
static int due(int kind) {
  if (!(plan.kinds & kind)) return 0;
  int number = ++plan.seen;
  if (!plan.nth || number < plan.nth || number - plan.nth >= plan.times) return 0;
  return plan.half && number == plan.nth ? SHORT : plan.error;
}

static long failed(int error) {
  pthread_mutex_unlock(&lock);
  errno = error;
  return -1;
}

/* For the program itself. */

void layer_fail(int nth, int kinds, int error, int half, int times) {
  pthread_mutex_lock(&lock);
  plan.nth = nth, plan.kinds = kinds, plan.error = error;
  plan.half = half, plan.times = times, plan.seen = 0;
  pthread_mutex_unlock(&lock);
}

int layer_seen(void) { return plan.seen; }

void layer_mark(const char *text) {
  pthread_mutex_lock(&lock);
  entry(text, strlen(text), "mark %zu\n", strlen(text));
  pthread_mutex_unlock(&lock);
}

/* What stands between. */

static int open_at(int directory, const char *path, int flags, mode_t mode) {
  const char *name = inside(path);
  if (!name) return (int)syscall(SYS_openat, directory, path, flags, mode);
  pthread_mutex_lock(&lock);
  int error = due(OPEN);
  if (error) return (int)failed(error);
  int is_new = (flags & O_CREAT) && faccessat(directory, path, F_OK, 0);
  int fd = (int)syscall(SYS_openat, directory, path, flags, mode);
  if (fd >= 0 && fd < FDS) watched[fd] = 1;
  if (fd >= 0 && is_new) entry("", 0, "create %lu %s\n", inode(fd), name);
  pthread_mutex_unlock(&lock);
  return fd;
}

static mode_t mode_of(int flags, va_list arguments) {
  return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_at(AT_FDCWD, path, flags, mode);
}
int open64(const char *, int, ...) __attribute__((alias("open")));

int openat(int directory, const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_at(directory, path, flags, mode);
}
int openat64(int, const char *, int, ...) __attribute__((alias("openat")));

int close(int fd) {
  if (is_watched(fd)) watched[fd] = 0;
  return (int)syscall(SYS_close, fd);
}

static int unreadable(int fd) {
  if (!is_watched(fd)) return 0;
  pthread_mutex_lock(&lock);
  int error = due(READ);
  pthread_mutex_unlock(&lock);
  return error;
}

ssize_t read(int fd, void *bytes, size_t length) {
  int error = unreadable(fd);
  return error ? (errno = error, -1) : syscall(SYS_read, fd, bytes, length);
}

ssize_t pread(int fd, void *bytes, size_t length, off_t at) {
  int error = unreadable(fd);
  return error ? (errno = error, -1) : syscall(SYS_pread64, fd, bytes, length, at);
}
ssize_t pread64(int, void *, size_t, off64_t) __attribute__((alias("pread")));

static ssize_t write_at(int fd, const void *bytes, size_t length, off_t at) {
  pthread_mutex_lock(&lock);
  int error = due(WRITE);
  if (error > 0) return failed(error);
  ssize_t done = syscall(SYS_pwrite64, fd, bytes, error == SHORT ? length / 2 : length, at);
  if (done > 0) entry(bytes, (size_t)done, "write %lu %lld %zd\n", inode(fd), (long long)at, done);
  pthread_mutex_unlock(&lock);
  return done;
}

ssize_t write(int fd, const void *bytes, size_t length) {
  if (!is_watched(fd)) return syscall(SYS_write, fd, bytes, length);
  ssize_t done = write_at(fd, bytes, length, lseek(fd, 0, SEEK_CUR));
  if (done > 0) lseek(fd, done, SEEK_CUR);
  return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
  return is_watched(fd) ? write_at(fd, bytes, length, at)
                        : syscall(SYS_pwrite64, fd, bytes, length, at);
}
ssize_t pwrite64(int, const void *, size_t, off64_t) __attribute__((alias("pwrite")));

int ftruncate(int fd, off_t length) {
  if (!is_watched(fd)) return (int)syscall(SYS_ftruncate, fd, length);
  pthread_mutex_lock(&lock);
  int error = due(TRUNCATE);
  if (error) return (int)failed(error);
  int done = (int)syscall(SYS_ftruncate, fd, length);
  if (!done) entry("", 0, "size %lu %lld\n", inode(fd), (long long)length);
  pthread_mutex_unlock(&lock);
  return done;
}
int ftruncate64(int, off64_t) __attribute__((alias("ftruncate")));

static int sync_with(long number, int fd) {
  struct stat facts;
  if (!is_watched(fd) || fstat(fd, &facts)) return (int)syscall(number, fd);
  int is_directory = S_ISDIR(facts.st_mode);
  pthread_mutex_lock(&lock);
  int error = due(is_directory ? SYNCDIR : SYNC);
  int done = error ? -1 : (int)syscall(number, fd);
  if (is_directory)
    entry("", 0, "syncdir%s\n", done ? "failed" : "");
  else
    entry("", 0, "sync%s %lu\n", done ? "failed" : "", (unsigned long)facts.st_ino);
  if (error) return (int)failed(error);
  pthread_mutex_unlock(&lock);
  return done;
}

int fsync(int fd) { return sync_with(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_with(SYS_fdatasync, fd); }

int unlink(const char *path) {
  const char *name = inside(path);
  if (!name) return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
  pthread_mutex_lock(&lock);
  int error = due(UNLINK);
  if (error) return (int)failed(error);
  int done = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
  if (!done) entry("", 0, "unlink %s\n", name);
  pthread_mutex_unlock(&lock);
  return done;
}

/* Nothing here renames a file or writes by vector; who begins to must teach the layer first. */
int rename(const char *from, const char *to) {
  if (inside(from) || inside(to)) abort();
  return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}
