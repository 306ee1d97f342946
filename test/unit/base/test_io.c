#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"

/* Each test gets an empty directory of its own and its descriptor. */
struct place {
	char path[32];
	int fd;
	struct error err;
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	if (!p)
		return -1;
	(void)snprintf(p->path, sizeof(p->path), "/tmp/loop-io-XXXXXX");
	if (!mkdtemp(p->path))
		return -1;
	p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = p;
	return p->fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	int rc = io_remove_tree(AT_FDCWD, p->path, &p->err);

	if (rc < 0)
		print_error("%s\n", p->err.text);
	(void)close(p->fd);
	free(p);
	return rc;
}

static bool exists(const struct place *p, const char *path)
{
	struct stat st;

	return fstatat(p->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void make_file(const struct place *p, const char *path, const char *content)
{
	_cleanup_fd_ int fd = openat(p->fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
}

static unsigned open_descriptors(void)
{
	_cleanup_dir_ DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	return n;
}

static void test_read_and_write(void **state)
{
	struct place *p = *state;
	_cleanup_buffer_ struct buffer b = BUFFER_INIT(100000);
	char big[50000];

	memset(big, 'x', sizeof(big));
	assert_int_equal(io_replace_file(p->fd, "big", big, sizeof(big), 0600, &p->err), 0);
	assert_int_equal(io_read_file(p->fd, "big", &b, &p->err), 0);
	assert_int_equal(b.len, sizeof(big));
	assert_memory_equal(b.data, big, sizeof(big));
	assert_int_equal(io_read_file(p->fd, "big", &b, &p->err), 0); /* appends */
	assert_int_equal(b.len, 2 * sizeof(big));
	assert_int_equal(io_read_file(p->fd, "big", &b, &p->err), -1);
	assert_int_equal(p->err.code, ERR_EXHAUSTED);
	assert_int_equal(io_read_file(p->fd, "none", &b, &p->err), -1);
	assert_int_equal(p->err.code, ERR_NOT_FOUND);
	assert_string_equal(p->err.text, "open none: No such file or directory");
	assert_int_equal(io_read_file(p->fd, ".", &b, &p->err), -1);
}

static void *drain_slowly(void *arg)
{
	int fd = *(int *)arg;
	char chunk[1000];
	size_t total = 0;
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		total += (size_t)n;
	return (void *)total;
}

static void test_write_all_through_short_writes(void **state)
{
	struct place *p = *state;
	const size_t len = 1 << 20;
	_cleanup_free_
	char *data = calloc(1, len);
	pthread_t reader;
	void *total;
	int ends[2];

	assert_non_null(data);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&reader, NULL, drain_slowly, &ends[0]), 0);
	assert_int_equal(io_write_all(ends[1], data, len, "pipe", &p->err), 0);
	(void)close(ends[1]);
	assert_int_equal(pthread_join(reader, &total), 0);
	assert_int_equal((size_t)total, len);
	(void)close(ends[0]);
	assert_int_equal(io_write_all(-1, "x", 1, "nowhere", &p->err), -1);
	assert_string_equal(p->err.text, "write nowhere: Bad file descriptor");
	assert_int_equal(io_write_all(-1, "", 0, "nowhere", &p->err), 0);
}

static void test_write_value(void **state)
{
	struct place *p = *state;
	_cleanup_buffer_ struct buffer b = BUFFER_INIT(100);

	make_file(p, "limit", "max");
	assert_int_equal(io_write_value(p->fd, "limit", "100", &p->err), 0);
	assert_int_equal(io_read_file(p->fd, "limit", &b, &p->err), 0);
	assert_string_equal(b.data, "100");
	assert_int_equal(io_write_value(p->fd, "none", "1", &p->err), -1);
	assert_int_equal(p->err.code, ERR_NOT_FOUND);
	assert_int_equal(io_write_value(AT_FDCWD, "/dev/full", "1", &p->err), -1);
	assert_string_equal(p->err.text, "write '1' to /dev/full: No space left on device");
}

static void test_replace_keeps_the_old_on_failure(void **state)
{
	struct place *p = *state;
	_cleanup_buffer_ struct buffer b = BUFFER_INIT(100);
	struct stat st;

	assert_int_equal(io_replace_file(p->fd, "f", "one", 3, 0640, &p->err), 0);
	assert_int_equal(fstatat(p->fd, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(io_replace_file(p->fd, "f", "two", 3, 0600, &p->err), 0);
	assert_int_equal(fstatat(p->fd, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(mkdirat(p->fd, "dir", 0755), 0);
	make_file(p, "dir/in", "");
	assert_int_equal(io_replace_file(p->fd, "dir", "x", 1, 0600, &p->err), -1);
	assert_int_equal(io_read_file(p->fd, "f", &b, &p->err), 0);
	assert_string_equal(b.data, "two");
	{
		_cleanup_dir_ DIR *dir = opendir(p->path);
		unsigned n = 0;

		assert_non_null(dir);
		while (readdir(dir))
			n++;
		assert_int_equal(n, 4); /* . .. f dir: no temporary file stays */
	}
}

/* What a daemon that died left behind, even a link that was planted there. */
static void test_replace_over_a_left_temporary(void **state)
{
	struct place *p = *state;
	char temporary[64];

	make_file(p, "victim", "precious");
	(void)snprintf(temporary, sizeof(temporary), "f.tmp-%d", (int)gettid());
	assert_int_equal(symlinkat("victim", p->fd, temporary), 0);
	assert_int_equal(io_replace_file(p->fd, "f", "new", 3, 0600, &p->err), 0);
	{
		_cleanup_buffer_ struct buffer b = BUFFER_INIT(100);

		assert_int_equal(io_read_file(p->fd, "victim", &b, &p->err), 0);
		assert_string_equal(b.data, "precious");
	}
}

static void test_open_in_root(void **state)
{
	struct place *p = *state;
	_cleanup_fd_ int fd = -1;
	struct stat in, out;

	assert_int_equal(mkdirat(p->fd, "etc", 0755), 0);
	make_file(p, "etc/passwd", "inside");
	assert_int_equal(symlinkat("/etc/passwd", p->fd, "absolute"), 0);
	assert_int_equal(symlinkat("../../../../etc/passwd", p->fd, "relative"), 0);
	assert_int_equal(symlinkat("loop", p->fd, "loop"), 0);
	assert_int_equal(fstatat(p->fd, "etc/passwd", &in, 0), 0);
	for (size_t i = 0; i < 3; i++) {
		static const char *const paths[] = { "absolute", "relative", "/../etc/../etc/passwd" };

		fd = io_open_in_root(p->fd, paths[i], O_RDONLY, 0, &p->err);
		assert_true(fd >= 0);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		assert_int_equal(fstat(fd, &out), 0);
		assert_int_equal(out.st_ino, in.st_ino);
		close_fd(&fd);
	}
	assert_int_equal(io_open_in_root(p->fd, "loop", O_RDONLY, 0, &p->err), -1);
	assert_int_equal(p->err.sys_errno, ELOOP);
	assert_int_equal(io_open_in_root(p->fd, "none", O_RDONLY, 0755, &p->err), -1); /* a mode without O_CREAT is no error */
	assert_int_equal(p->err.code, ERR_NOT_FOUND);
	fd = io_open_in_root(p->fd, "/new", O_WRONLY | O_CREAT | O_EXCL, 0640, &p->err);
	assert_true(fd >= 0);
	assert_true(exists(p, "new"));
	close_fd(&fd);
	fd = io_open_in_root(p->fd, "etc", O_PATH, 0, &p->err);
	assert_true(fd >= 0);
}

static void test_magic_links_are_refused(void **state)
{
	struct place *p = *state;
	_cleanup_fd_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", p->fd);
	assert_int_equal(io_open_in_root(root, path, O_RDONLY, 0, &p->err), -1);
	assert_int_equal(p->err.sys_errno, ELOOP);
}

static void test_make_dirs(void **state)
{
	struct place *p = *state;
	char path[5000];

	(void)snprintf(path, sizeof(path), "%s/a//b/c/", p->path);
	assert_int_equal(io_make_dirs(path, 0750, &p->err), 0);
	assert_int_equal(io_make_dirs(path, 0750, &p->err), 0);
	assert_true(exists(p, "a/b/c"));
	make_file(p, "file", "");
	(void)snprintf(path, sizeof(path), "%s/file", p->path);
	assert_int_equal(io_make_dirs(path, 0750, &p->err), -1);
	assert_int_equal(p->err.sys_errno, ENOTDIR);
	(void)snprintf(path, sizeof(path), "%s/file/x", p->path);
	assert_int_equal(io_make_dirs(path, 0750, &p->err), -1);
	assert_int_equal(io_make_dirs("/", 0750, &p->err), 0);
	assert_int_equal(io_make_dirs("", 0750, &p->err), -1);
	assert_int_equal(p->err.code, ERR_INVALID);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(io_make_dirs(path, 0750, &p->err), -1);
}

/* ---- io_remove_tree ---- */

static void test_remove_mixed_tree(void **state)
{
	struct place *p = *state;
	unsigned before = open_descriptors();
	char name[32];

	assert_int_equal(mkdirat(p->fd, "outside", 0755), 0);
	make_file(p, "outside/keep", "");
	assert_int_equal(mkdirat(p->fd, "t", 0755), 0);
	assert_int_equal(mkdirat(p->fd, "t/sub", 0000), 0);
	assert_int_equal(symlinkat("../outside", p->fd, "t/link"), 0);
	assert_int_equal(symlinkat("nowhere", p->fd, "t/sub/dangling"), 0);
	assert_int_equal(mkfifoat(p->fd, "t/fifo", 0600), 0);
	for (int i = 0; i < 500; i++) {
		(void)snprintf(name, sizeof(name), "t/sub/%d", i);
		make_file(p, name, "x");
	}
	assert_int_equal(io_remove_tree(p->fd, "t", &p->err), 0);
	assert_false(exists(p, "t"));
	assert_true(exists(p, "outside/keep"));
	assert_int_equal(io_remove_tree(p->fd, "t", &p->err), 0); /* missing is success */
	assert_int_equal(io_remove_tree(p->fd, "none/t", &p->err), 0);
	assert_int_equal(open_descriptors(), before);
}

static void test_remove_single_entries(void **state)
{
	struct place *p = *state;
	char path[64];

	assert_int_equal(mkdirat(p->fd, "d", 0755), 0);
	make_file(p, "d/f", "");
	assert_int_equal(symlinkat("d", p->fd, "link"), 0);
	assert_int_equal(io_remove_tree(p->fd, "link", &p->err), 0);
	assert_false(exists(p, "link"));
	assert_true(exists(p, "d/f"));
	assert_int_equal(io_remove_tree(p->fd, "d/f", &p->err), 0);
	assert_false(exists(p, "d/f"));
	(void)snprintf(path, sizeof(path), "%s/d//", p->path);
	assert_int_equal(io_remove_tree(AT_FDCWD, path, &p->err), 0);
	assert_false(exists(p, "d"));
	assert_int_equal(io_remove_tree(p->fd, "", &p->err), -1);
	assert_int_equal(io_remove_tree(p->fd, ".", &p->err), -1);
	assert_int_equal(io_remove_tree(p->fd, "x/..", &p->err), -1);
	assert_int_equal(io_remove_tree(AT_FDCWD, "/", &p->err), -1);
	assert_int_equal(p->err.code, ERR_INVALID);
}

/* Deeper than descriptors may be open, and than a path can name; beside each directory lies a file. */
static void test_remove_deep_tree(void **state)
{
	struct place *p = *state;
	int at = dup(p->fd);

	for (int depth = 0; depth < 3000; depth++) {
		int next;

		assert_int_equal(mkdirat(at, "directory", 0755), 0);
		assert_int_equal(mknodat(at, "file", S_IFREG | 0600, 0), 0);
		next = openat(at, "directory", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		(void)close(at);
		at = next;
	}
	(void)close(at);
	assert_int_equal(io_remove_tree(p->fd, "directory", &p->err), 0);
	assert_false(exists(p, "directory"));
}

static bool bind_mount(const struct place *p, const char *source, const char *target)
{
	char from[64], to[64];

	(void)snprintf(from, sizeof(from), "%s/%s", p->path, source);
	(void)snprintf(to, sizeof(to), "%s/%s", p->path, target);
	return mount(from, to, NULL, MS_BIND, NULL) == 0;
}

static void unmount(const struct place *p, const char *target)
{
	char to[64];

	(void)snprintf(to, sizeof(to), "%s/%s", p->path, target);
	assert_int_equal(umount2(to, MNT_DETACH), 0);
}

/* A bind mount of the same file system, whose st_dev is the same: what it shows belongs to somebody else. */
static void test_remove_stops_at_mounts(void **state)
{
	struct place *p = *state;
	int below, itself;
	struct error below_err = ERROR_INIT, itself_err = ERROR_INIT;
	bool kept;

	assert_int_equal(mkdirat(p->fd, "host", 0755), 0);
	make_file(p, "host/precious", "");
	assert_int_equal(mkdirat(p->fd, "t", 0755), 0);
	assert_int_equal(mkdirat(p->fd, "t/volume", 0755), 0);
	if (!bind_mount(p, "host", "t/volume")) {
		print_message("SKIP: no right to mount: %s\n", strerror(errno));
		skip();
	}
	below = io_remove_tree(p->fd, "t", &below_err);
	itself = io_remove_tree(p->fd, "t/volume", &itself_err);
	kept = exists(p, "host/precious");
	unmount(p, "t/volume");
	assert_int_equal(below, -1);
	assert_int_equal(below_err.code, ERR_STATE);
	assert_non_null(strstr(below_err.text, "/t/volume: a file system is mounted there"));
	assert_int_equal(itself, -1);
	assert_int_equal(itself_err.code, ERR_STATE);
	assert_true(kept);
	assert_int_equal(io_remove_tree(p->fd, "t", &p->err), 0);
}

static bool set_immutable(const struct place *p, const char *path, bool immutable)
{
	_cleanup_fd_ int fd = openat(p->fd, path, O_RDONLY | O_CLOEXEC);
	int flags;

	if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return false;
	flags = immutable ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
}

/* What the kernel refuses is named with its whole path. */
static void test_remove_names_what_stays(void **state)
{
	struct place *p = *state;
	char expected[128];
	int rc;

	assert_int_equal(mkdirat(p->fd, "t", 0755), 0);
	assert_int_equal(mkdirat(p->fd, "t/a", 0755), 0);
	make_file(p, "t/a/kept", "");
	if (!set_immutable(p, "t/a/kept", true)) {
		print_message("SKIP: no immutable files here: %s\n", strerror(errno));
		skip();
	}
	rc = io_remove_tree(p->fd, "t", &p->err);
	assert_true(set_immutable(p, "t/a/kept", false));
	assert_int_equal(rc, -1);
	(void)snprintf(expected, sizeof(expected), "remove %s/t/a/kept: Operation not permitted", p->path);
	assert_string_equal(p->err.text, expected);
}

static void test_remove_without_descriptors(void **state)
{
	struct place *p = *state;
	struct rlimit all, few;
	int rc;

	assert_int_equal(mkdirat(p->fd, "t", 0755), 0);
	assert_int_equal(mkdirat(p->fd, "t/a", 0755), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
	few = (struct rlimit){ .rlim_cur = (rlim_t)p->fd + 2, .rlim_max = all.rlim_max }; /* the parent's, and none for the tree */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	rc = io_remove_tree(p->fd, "t", &p->err);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
	assert_int_equal(rc, -1);
	assert_int_equal(p->err.code, ERR_EXHAUSTED);
	assert_int_equal(io_remove_tree(p->fd, "t", &p->err), 0);
}

static atomic_bool stop_making;

static void *keep_making(void *arg)
{
	const struct place *p = arg;
	char name[32];

	for (unsigned i = 0; !atomic_load(&stop_making); i++) {
		(void)snprintf(name, sizeof(name), "t/sub/%u", i % 50);
		(void)mkdirat(p->fd, name, 0755);
		(void)snprintf(name, sizeof(name), "t/%u", i % 50);
		(void)mknodat(p->fd, name, S_IFREG | 0600, 0);
	}
	return NULL;
}

/* Somebody still writes there: it ends, one way or the other, and succeeds once they stop. */
static void test_remove_while_entries_appear(void **state)
{
	struct place *p = *state;
	pthread_t maker;
	unsigned before = open_descriptors();

	atomic_store(&stop_making, false);
	assert_int_equal(mkdirat(p->fd, "t", 0755), 0);
	assert_int_equal(mkdirat(p->fd, "t/sub", 0755), 0);
	assert_int_equal(pthread_create(&maker, NULL, keep_making, p), 0);
	for (int i = 0; i < 20; i++) {
		if (io_remove_tree(p->fd, "t", &p->err) < 0)
			assert_int_equal(p->err.sys_errno, ENOTEMPTY);
		(void)mkdirat(p->fd, "t", 0755);
		(void)mkdirat(p->fd, "t/sub", 0755);
	}
	atomic_store(&stop_making, true);
	assert_int_equal(pthread_join(maker, NULL), 0);
	assert_int_equal(io_remove_tree(p->fd, "t", &p->err), 0);
	assert_false(exists(p, "t"));
	assert_int_equal(open_descriptors(), before);
}

static void *remove_t(void *arg)
{
	const struct place *p = arg;
	struct error err = ERROR_INIT;

	return io_remove_tree(p->fd, "t", &err) < 0 && err.sys_errno != ENOTEMPTY ? (void *)1 : NULL;
}

static void test_two_removals_of_one_tree(void **state)
{
	struct place *p = *state;
	char name[32];

	assert_int_equal(mkdirat(p->fd, "t", 0755), 0);
	for (int i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof(name), "t/%d", i);
		assert_int_equal(mkdirat(p->fd, name, 0755), 0);
		(void)snprintf(name, sizeof(name), "t/%d/f", i);
		make_file(p, name, "");
	}
	{
		pthread_t first, second;
		void *one, *two;

		assert_int_equal(pthread_create(&first, NULL, remove_t, p), 0);
		assert_int_equal(pthread_create(&second, NULL, remove_t, p), 0);
		assert_int_equal(pthread_join(first, &one), 0);
		assert_int_equal(pthread_join(second, &two), 0);
		assert_null(one);
		assert_null(two);
	}
	assert_false(exists(p, "t"));
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(test_read_and_write),
		IN_PLACE(test_write_all_through_short_writes),
		IN_PLACE(test_write_value),
		IN_PLACE(test_replace_keeps_the_old_on_failure),
		IN_PLACE(test_replace_over_a_left_temporary),
		IN_PLACE(test_open_in_root),
		IN_PLACE(test_magic_links_are_refused),
		IN_PLACE(test_make_dirs),
		IN_PLACE(test_remove_mixed_tree),
		IN_PLACE(test_remove_single_entries),
		IN_PLACE(test_remove_deep_tree),
		IN_PLACE(test_remove_stops_at_mounts),
		IN_PLACE(test_remove_names_what_stays),
		IN_PLACE(test_remove_without_descriptors),
		IN_PLACE(test_remove_while_entries_appear),
		IN_PLACE(test_two_removals_of_one_tree),
	};

	/* Mounts of ours end with this process, whatever happens. */
	if (unshare(CLONE_NEWNS) == 0)
		(void)mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
