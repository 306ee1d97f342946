#include "expect.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "runtime/kernel.h"
#include "runtime/relabel.h"
#include "runtime/rootfs_internal.h"

/* Layers "l0" (topmost) to "l9", each with a file of its own name and with "who", upper and work directory "up" and "work". */
#define LAYERS 10

static char layer_paths[LAYERS][64];
static const char *layers[LAYERS];

static int make_layers(void **state)
{
	if (place_make(state) < 0)
		return -1;
	for (int i = 0; i < LAYERS; i++) {
		char file[96];

		(void)snprintf(layer_paths[i], sizeof(layer_paths[i]), "%s/l%d", ((struct place *)*state)->path, i);
		layers[i] = layer_paths[i];
		put_dir(layers[i]);
		(void)snprintf(file, sizeof(file), "%s/l%d", layers[i], i);
		put_file(file, "");
		(void)snprintf(file, sizeof(file), "%s/who", layers[i]);
		put_file(file, layers[i]);
	}
	put_dir(in_place(state, "up"));
	put_dir(in_place(state, "work"));
	return 0;
}

static struct overlay_spec writable(void **state, size_t n)
{
	return (struct overlay_spec){ layers, n, in_place(state, "up"), in_place(state, "work"), NULL };
}

static bool has(int mount, const char *name)
{
	return faccessat(mount, name, F_OK, 0) == 0;
}

static const char *content(int mount, const char *name)
{
	static char text[512];
	_cleanup_fd_ int fd = openat(mount, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

/* 0 or the errno of making a file there. */
static int try_write(int mount, const char *name)
{
	_cleanup_fd_ int fd = openat(mount, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	return fd < 0 ? errno : 0;
}

static size_t count_mounts(void)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	size_t lines = 0;
	int c;

	assert_non_null(file);
	while ((c = fgetc(file)) != EOF)
		lines += c == '\n';
	(void)fclose(file);
	return lines;
}

static void check_writable(void **state, int mount, size_t n)
{
	char name[8];

	for (size_t i = 0; i < LAYERS; i++) {
		(void)snprintf(name, sizeof(name), "l%zu", i);
		assert_int_equal(has(mount, name), i < n);
	}
	assert_string_equal(content(mount, "who"), layers[0]);
	assert_int_equal(try_write(mount, "new"), 0);
	assert_int_equal(access(in_place(state, "up/new"), F_OK), 0);
	assert_int_equal(unlinkat(mount, "l0", 0), 0);
	assert_false(has(mount, "l0"));
	assert_int_equal(access(in_place(state, "l0/l0"), F_OK), 0);
}

static void each_way_makes_the_same_overlay(void **state)
{
	static const enum overlay_way ways[] = { OVERLAY_BY_LAYER, OVERLAY_BY_LIST, OVERLAY_BY_MOUNT };

	skip_unless(geteuid() == 0, "not root");
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		struct overlay_spec spec = writable(state, 3);
		size_t before = count_mounts();
		int mount;

		if (ways[i] == OVERLAY_BY_LAYER && !overlay_takes_layers())
			continue;
		mount = expect_ok(overlay_open_by(ways[i], &spec, &err));
		assert_int_equal(count_mounts(), before);
		check_writable(state, mount, 3);
		(void)close(mount);
		expect_ok(io_remove_tree(AT_FDCWD, spec.upper_dir, &err));
		expect_ok(io_remove_tree(AT_FDCWD, spec.work_dir, &err));
		put_dir(spec.upper_dir);
		put_dir(spec.work_dir);
	}
}

static void overlay_of_one_and_of_many(void **state)
{
	static const size_t counts[] = { 1, 2, LAYERS };

	skip_unless(geteuid() == 0, "not root");
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		struct overlay_spec spec = writable(state, counts[i]);
		int mount = expect_ok(overlay_open(&spec, &err));

		assert_string_equal(content(mount, "who"), layers[0]);
		assert_int_equal(has(mount, "l9"), counts[i] == LAYERS);
		(void)close(mount);
	}
}

static void without_an_upper_it_is_read_only(void **state)
{
	static const size_t counts[] = { 1, 2, LAYERS };

	(void)state;
	skip_unless(geteuid() == 0, "not root");
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		struct overlay_spec spec = { layers, counts[i], NULL, NULL, NULL };
		int mount = expect_ok(overlay_open(&spec, &err));

		assert_string_equal(content(mount, "who"), layers[0]);
		assert_int_equal(try_write(mount, "new"), EROFS);
		(void)close(mount);
	}
	for (int way = OVERLAY_BY_LIST; way <= OVERLAY_BY_MOUNT; way++) {
		struct overlay_spec spec = { layers, 2, NULL, NULL, NULL };
		int mount = expect_ok(overlay_open_by((enum overlay_way)way, &spec, &err));

		assert_int_equal(try_write(mount, "new"), EROFS);
		(void)close(mount);
	}
}

static const char *below(const char *dir, const char *name)
{
	static char path[600];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* The bytes that overlay's own option syntax would split or unquote, and more than an fsconfig value holds. */
static void awkward_paths(void **state)
{
	static const char *const awkward[] = {
		"a:b",
		"a,b",
		"a\\b",
		"a b",
		"a\\:b",
		"a%b",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaa",
	};

	skip_unless(geteuid() == 0, "not root");
	for (size_t i = 0; i < ARRAY_SIZE(awkward); i++) {
		char lower[512], upper[512], work[512];
		const char *two[] = { lower, layers[1] };
		struct overlay_spec spec = { two, 2, upper, work, NULL };

		(void)snprintf(lower, sizeof(lower), "%s", in_place(state, awkward[i]));
		(void)snprintf(upper, sizeof(upper), "%s/u%s", ((struct place *)*state)->path, awkward[i] + 1);
		(void)snprintf(work, sizeof(work), "%s/w%s", ((struct place *)*state)->path, awkward[i] + 1);
		put_dir(lower);
		put_dir(upper);
		put_dir(work);
		for (int way = overlay_takes_layers() ? OVERLAY_BY_LAYER : OVERLAY_BY_LIST; way <= OVERLAY_BY_MOUNT; way++) {
			int mount = expect_ok(overlay_open_by((enum overlay_way)way, &spec, &err));

			assert_true(has(mount, "l1"));
			assert_int_equal(try_write(mount, "new"), 0);
			(void)close(mount);
			assert_int_equal(unlink(below(upper, "new")), 0);
		}
	}
}

static void many_layers(void **state)
{
	static char paths[200][96];
	const char *many[200];
	struct overlay_spec spec = { many, 200, in_place(state, "up"), in_place(state, "work"), NULL };

	skip_unless(geteuid() == 0, "not root");
	for (size_t i = 0; i < 200; i++) {
		(void)snprintf(paths[i], sizeof(paths[i]), "%s/a-rather-long-name-of-a-layer/%zu", ((struct place *)*state)->path,
			       i);
		put_dir(paths[i]);
		many[i] = paths[i];
	}
	put_file(in_place(state, "a-rather-long-name-of-a-layer/199/deepest"), "x");
	for (int way = overlay_takes_layers() ? OVERLAY_BY_LAYER : OVERLAY_BY_MOUNT; way <= OVERLAY_BY_MOUNT; way += 2) {
		int mount = expect_ok(overlay_open_by((enum overlay_way)way, &spec, &err));

		assert_true(has(mount, "deepest"));
		(void)close(mount);
	}
	expect_error(overlay_open_by(OVERLAY_BY_LIST, &spec, &err), ERR_EXHAUSTED, "layers");
}

static void overlays_that_cannot_be(void **state)
{
	const char *missing[] = { "/nonexistent/kern", layers[0] };
	struct overlay_spec spec = writable(state, 1);

	skip_unless(geteuid() == 0, "not root");
	expect_error(overlay_open(&(struct overlay_spec){ missing, 2, NULL, NULL, NULL }, &err), ERR_NOT_FOUND,
		     "/nonexistent/kern");
	expect_error(overlay_open(&(struct overlay_spec){ missing, 1, NULL, NULL, NULL }, &err), ERR_NOT_FOUND,
		     "/nonexistent/kern");
	expect_error(overlay_open(&(struct overlay_spec){ layers, 0, NULL, NULL, NULL }, &err), ERR_INVALID, "layers");
	expect_error(overlay_open(&(struct overlay_spec){ layers, 501, NULL, NULL, NULL }, &err), ERR_INVALID, "501");
	spec.work_dir = NULL;
	expect_error(overlay_open(&spec, &err), ERR_INVALID, "together");
	spec = writable(state, 1);
	spec.upper_dir = "/nonexistent/kern-up";
	expect_error(overlay_open(&spec, &err), ERR_NOT_FOUND, "kern-up");
	for (int way = OVERLAY_BY_LIST; way <= OVERLAY_BY_MOUNT; way++)
		expect_error(overlay_open_by((enum overlay_way)way, &spec, &err), ERR_NOT_FOUND, "");
}

static int open_volume(const char *path, bool readonly, enum propagation propagation, bool *ret_is_file)
{
	struct volume_spec spec = { .host_path = path, .readonly = readonly, .propagation = propagation };

	return expect_ok(volume_open(&spec, ret_is_file, &err));
}

static void a_directory_and_a_file(void **state)
{
	bool is_file = true;
	int fd;

	skip_unless(geteuid() == 0, "not root");
	fd = open_volume(layers[0], false, PROPAGATION_PRIVATE, &is_file);
	assert_false(is_file);
	assert_int_equal(try_write(fd, "new"), 0);
	(void)close(fd);
	fd = open_volume(layers[0], true, PROPAGATION_PRIVATE, &is_file);
	assert_true(has(fd, "new"));
	assert_int_equal(try_write(fd, "other"), EROFS);
	(void)close(fd);
	fd = open_volume(in_place(state, "l0/who"), true, PROPAGATION_PRIVATE, &is_file);
	assert_true(is_file);
	(void)close(fd);
}

static void links_in_host_paths_are_followed(void **state)
{
	bool is_file;
	int fd;

	skip_unless(geteuid() == 0, "not root");
	assert_int_equal(symlink("l3", in_place(state, "link")), 0);
	fd = open_volume(in_place(state, "link"), false, PROPAGATION_PRIVATE, &is_file);
	assert_true(has(fd, "l3"));
	(void)close(fd);
}

static void missing_directories_are_made_on_demand(void **state)
{
	struct volume_spec spec = { .host_path = in_place(state, "a/b/c"), .create_missing_dir = true };
	struct stat st;
	bool is_file;
	int fd;

	skip_unless(geteuid() == 0, "not root");
	fd = expect_ok(volume_open(&spec, &is_file, &err));
	assert_false(is_file);
	assert_int_equal(stat(spec.host_path, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	(void)close(fd);
	spec.host_path = in_place(state, "a/x");
	spec.create_missing_dir = false;
	expect_error(volume_open(&spec, &is_file, &err), ERR_NOT_FOUND, "a/x");
	assert_int_not_equal(access(spec.host_path, F_OK), 0);
}

static void volumes_that_are_refused(void **state)
{
	static char endless[5000];
	bool is_file;

	(void)state;
	endless[0] = '/';
	memset(endless + 1, 'a', sizeof(endless) - 2);
	expect_error(volume_open(&(struct volume_spec){ .host_path = "relative" }, &is_file, &err), ERR_INVALID, "absolute");
	expect_error(volume_open(&(struct volume_spec){ .host_path = "" }, &is_file, &err), ERR_INVALID, "absolute");
	expect_error(volume_open(&(struct volume_spec){ .host_path = NULL }, &is_file, &err), ERR_INVALID, "absolute");
	expect_error(volume_open(&(struct volume_spec){ .host_path = endless }, &is_file, &err), ERR_INVALID, "longer");
	expect_error(volume_open(&(struct volume_spec){ .host_path = "/tmp", .recursive_readonly = true }, &is_file, &err),
		     ERR_INVALID, "recursive");
	expect_error(volume_open(&(struct volume_spec){ .host_path = "/tmp",
							.readonly = true,
							.recursive_readonly = true,
							.propagation = PROPAGATION_HOST_TO_CONTAINER },
				 &is_file, &err),
		     ERR_INVALID, "private");
}

/* The rest mounts things on the host's side, so it runs in a child with a mount namespace of its own. */
static int in_own_namespace(void **state, int (*body)(void **state))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
			_exit(99);
		_exit(body(state));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A tmpfs on l0 with another one on l0/sub, `flags` being the propagation of both. */
static int mount_nested(void **state, unsigned long flags)
{
	if (mount("kern", layers[0], "tmpfs", 0, NULL) < 0 || mount(NULL, layers[0], NULL, flags, NULL) < 0)
		return -1;
	put_dir(in_place(state, "l0/sub"));
	put_dir(in_place(state, "l0/later"));
	return mount("kern", in_place(state, "l0/sub"), "tmpfs", 0, NULL);
}

static int try_volume(const struct volume_spec *spec)
{
	struct error err = ERROR_INIT;
	bool is_file;
	int fd = volume_open(spec, &is_file, &err);

	if (fd < 0)
		print_error("%s\n", err.text);
	return fd;
}

/* Read-only reaches the top mount alone, or all of them. */
static int readonly_body(void **state)
{
	struct volume_spec spec = { .host_path = layers[0], .readonly = true };
	int fd;

	if (mount_nested(state, MS_PRIVATE) < 0)
		return 1;
	fd = try_volume(&spec);
	if (fd < 0 || try_write(fd, "x") != EROFS || try_write(fd, "sub/x") != 0)
		return 2;
	spec.recursive_readonly = true;
	fd = try_volume(&spec);
	if (fd < 0 || try_write(fd, "x") != EROFS || try_write(fd, "sub/y") != EROFS)
		return 3;
	/* The host's own mount is as it was. */
	return try_write(AT_FDCWD, in_place(state, "l0/sub/z")) != 0 ? 4 : 0;
}

static void readonly_and_recursively_readonly(void **state)
{
	skip_unless(geteuid() == 0, "not root");
	assert_int_equal(in_own_namespace(state, readonly_body), 0);
}

static bool is_mount_of(const char *path, const char *other)
{
	struct statx here, there;

	return statx(AT_FDCWD, path, 0, STATX_MNT_ID, &here) == 0 && statx(AT_FDCWD, other, 0, STATX_MNT_ID, &there) == 0 &&
	       here.stx_mnt_id != there.stx_mnt_id;
}

static int attach(int fd, const char *path)
{
	return (int)syscall(SYS_move_mount, fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
}

/* What is mounted later on one side, and whether the other side sees it. */
static int propagate(void **state, enum propagation propagation, bool *ret_host_to_container, bool *ret_container_to_host)
{
	struct volume_spec spec = { .host_path = layers[0], .propagation = propagation };
	int fd = try_volume(&spec);

	put_dir(in_place(state, "container"));
	if (fd < 0 || attach(fd, in_place(state, "container")) < 0)
		return -1;
	if (mount("kern", in_place(state, "l0/later"), "tmpfs", 0, NULL) < 0)
		return -1;
	*ret_host_to_container = is_mount_of(in_place(state, "container/later"), in_place(state, "container"));
	if (umount2(in_place(state, "l0/later"), 0) < 0 || mount("kern", in_place(state, "container/later"), "tmpfs", 0, NULL) < 0)
		return -1;
	*ret_container_to_host = is_mount_of(in_place(state, "l0/later"), layers[0]);
	return 0;
}

static int private_body(void **state)
{
	bool in = true, out = true;

	return mount_nested(state, MS_SHARED) < 0 || propagate(state, PROPAGATION_PRIVATE, &in, &out) < 0 || in || out;
}

static int host_to_container_body(void **state)
{
	bool in = false, out = true;

	return mount_nested(state, MS_SHARED) < 0 || propagate(state, PROPAGATION_HOST_TO_CONTAINER, &in, &out) < 0 || !in || out;
}

static int bidirectional_body(void **state)
{
	bool in = false, out = false;

	return mount_nested(state, MS_SHARED) < 0 || propagate(state, PROPAGATION_BIDIRECTIONAL, &in, &out) < 0 || !in || !out;
}

static int not_shared_body(void **state)
{
	struct volume_spec spec = { .host_path = in_place(state, "l0"), .propagation = PROPAGATION_BIDIRECTIONAL };
	struct error err = ERROR_INIT;
	bool is_file;

	if (mount_nested(state, MS_PRIVATE) < 0)
		return 1;
	if (volume_open(&spec, &is_file, &err) >= 0 || err.code != ERR_STATE || !strstr(err.text, "not a shared mount"))
		return 2;
	err = (struct error)ERROR_INIT;
	spec.propagation = PROPAGATION_HOST_TO_CONTAINER;
	return volume_open(&spec, &is_file, &err) >= 0 || err.code != ERR_STATE || !strstr(err.text, "not a shared or slave mount");
}

/* A slave of another mount will do for one direction. */
static int slave_body(void **state)
{
	struct volume_spec spec = { .host_path = in_place(state, "peer"), .propagation = PROPAGATION_HOST_TO_CONTAINER };
	struct error err = ERROR_INIT;
	bool is_file;

	put_dir(in_place(state, "peer"));
	if (mount_nested(state, MS_SHARED) < 0 || mount(layers[0], in_place(state, "peer"), NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, in_place(state, "peer"), NULL, MS_SLAVE, NULL) < 0 || try_volume(&spec) < 0)
		return 1;
	spec.propagation = PROPAGATION_BIDIRECTIONAL;
	return volume_open(&spec, &is_file, &err) >= 0 || err.code != ERR_STATE;
}

/* What the host lets go is let go here, too, but only where asked for. */
static int lets_go_body(void **state)
{
	struct volume_spec spec = { .host_path = layers[0] };

	if (mount_nested(state, MS_SHARED) < 0)
		return 1;
	for (int i = 0; i < 2; i++) {
		int fd;

		spec.lets_go = i == 1;
		fd = try_volume(&spec);
		put_dir(in_place(state, "container"));
		if (fd < 0 || attach(fd, in_place(state, "container")) < 0)
			return 2;
		if (umount2(in_place(state, "l0/sub"), 0) < 0)
			return 3;
		if (is_mount_of(in_place(state, "container/sub"), in_place(state, "container")) != (i == 0))
			return 4 + i;
		if (umount2(in_place(state, "container"), MNT_DETACH) < 0 ||
		    mount("kern", in_place(state, "l0/sub"), "tmpfs", 0, NULL) < 0)
			return 6;
	}
	return 0;
}

static unsigned long flags_of(int fd, const char *name)
{
	_cleanup_fd_ int sub = openat(fd, name, O_PATH | O_CLOEXEC);
	struct statvfs st;

	assert_return_code(fstatvfs(sub, &st), errno);
	return st.f_flag;
}

static int attributes_body(void **state)
{
	struct volume_spec spec = { .host_path = layers[0],
				    .readonly = true,
				    .attributes = MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOATIME,
				    .tree_attributes = MOUNT_ATTR_NOSUID };
	int fd;

	if (mount_nested(state, MS_PRIVATE) < 0)
		return 1;
	fd = try_volume(&spec);
	if (fd < 0 || (flags_of(fd, ".") & (ST_NOEXEC | ST_NOATIME | ST_RDONLY | ST_NOSUID | ST_NODEV)) !=
			      (ST_NOEXEC | ST_NOATIME | ST_RDONLY | ST_NOSUID))
		return 2;
	return (flags_of(fd, "sub") & (ST_NOEXEC | ST_NOATIME | ST_RDONLY | ST_NOSUID)) != ST_NOSUID ? 3 : 0;
}

static void propagation(void **state)
{
	skip_unless(geteuid() == 0, "not root");
	assert_int_equal(in_own_namespace(state, private_body), 0);
	assert_int_equal(in_own_namespace(state, host_to_container_body), 0);
	assert_int_equal(in_own_namespace(state, bidirectional_body), 0);
	assert_int_equal(in_own_namespace(state, not_shared_body), 0);
	assert_int_equal(in_own_namespace(state, slave_body), 0);
	assert_int_equal(in_own_namespace(state, lets_go_body), 0);
}

static void attributes(void **state)
{
	skip_unless(geteuid() == 0, "not root");
	assert_int_equal(in_own_namespace(state, attributes_body), 0);
	assert_true(volume_takes_recursive_readonly());
}

/* Every kind of object, none of which is opened: a pipe without a writer would block, a device might do anything. */
static void every_kind_of_host_path(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_fd_ int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static const char *const names[] = { "pipe", "socket", "device", "link", "l0/who" };
	bool is_file;

	skip_unless(geteuid() == 0, "not root");
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", in_place(state, "socket"));
	assert_return_code(bind(listener, (struct sockaddr *)&address, sizeof(address)), errno);
	assert_return_code(mkfifo(in_place(state, "pipe"), 0600), errno);
	assert_return_code(mknod(in_place(state, "device"), S_IFCHR | 0600, makedev(1, 3)), errno);
	assert_return_code(symlink("pipe", in_place(state, "link")), errno);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct stat there, here;
		int fd = open_volume(in_place(state, names[i]), false, PROPAGATION_PRIVATE, &is_file);

		assert_true(is_file);
		assert_return_code(stat(in_place(state, names[i]), &there), errno);
		assert_return_code(fstat(fd, &here), errno);
		assert_true(here.st_ino == there.st_ino && here.st_dev == there.st_dev && here.st_mode == there.st_mode);
		(void)close(fd);
	}
}

static void host_paths_that_cannot_be(void **state)
{
	struct volume_spec spec = { .host_path = in_place(state, "loop"), .create_missing_dir = true };
	bool is_file;

	skip_unless(geteuid() == 0, "not root");
	assert_return_code(symlink("loop", in_place(state, "loop")), errno);
	assert_return_code(symlink("nowhere", in_place(state, "dangling")), errno);
	expect_error(volume_open(&spec, &is_file, &err), ERR_STATE, "/loop: Too many levels of symbolic links");
	spec.host_path = in_place(state, "l0/who/below");
	expect_error(volume_open(&spec, &is_file, &err), ERR_STATE, "/l0/who/below: Not a directory");
	spec.host_path = in_place(state, "dangling");
	expect_error(volume_open(&spec, &is_file, &err), ERR_STATE, "/dangling: it is a symbolic link to nothing");
	assert_int_not_equal(access(in_place(state, "nowhere"), F_OK), 0);
}

/* CVE-2019-16884, CVE-2019-19921: on /proc goes a procfs, whole. */
static void cve_2019_16884_only_procfs_on_proc(void **state)
{
	struct volume_spec spec = { .host_path = "/proc", .must_be_procfs = true };
	bool is_file;
	int fd;

	skip_unless(geteuid() == 0, "not root");
	fd = expect_ok(volume_open(&spec, &is_file, &err));
	assert_true(has(fd, "self/attr"));
	(void)close(fd);
	spec.host_path = "/proc/sys";
	expect_error(volume_open(&spec, &is_file, &err), ERR_INVALID, "only a procfs");
	spec.host_path = "/sys";
	expect_error(volume_open(&spec, &is_file, &err), ERR_INVALID, "only a procfs");
	spec.host_path = in_place(state, "l0");
	expect_error(volume_open(&spec, &is_file, &err), ERR_INVALID, "only a procfs");
}

/* --- labels --- */

#define LABEL "system_u:object_r:container_file_t:s0:c1,c2"

static bool has_label(const char *path)
{
	char label[64] = "";

	return lgetxattr(path, "trusted.kern", label, sizeof(label)) == sizeof(LABEL) && !strcmp(label, LABEL);
}

static int relabel_as(const char *name, const char *path, struct error *err)
{
	_cleanup_fd_ int fd = open(path, O_PATH | O_CLOEXEC);

	assert_return_code(fd, errno);
	return relabel_tree(fd, name, LABEL, err);
}

static int relabel(const char *path, struct error *err)
{
	return relabel_as("trusted.kern", path, err);
}

/* Links get a label and lead nowhere; other mounts are left alone; pipes are not opened. */
static int labels_body(void **state)
{
	struct stat before, after;

	put_dir(in_place(state, "l0/a/b/c"));
	put_file(in_place(state, "l0/a/b/c/file"), "");
	put_file(in_place(state, "outside"), "");
	put_dir(in_place(state, "outside-dir")); /* nothing of the machine's: somebody may take the defence out */
	if (symlink("../../outside", in_place(state, "l0/a/link")) < 0 ||
	    symlink(in_place(state, "outside-dir"), in_place(state, "l0/a/absolute")) < 0 ||
	    mkfifo(in_place(state, "l0/a/pipe"), 0600) < 0)
		return 1;
	put_dir(in_place(state, "l0/a/mounted"));
	if (mount("kern", in_place(state, "l0/a/mounted"), "tmpfs", 0, NULL) < 0)
		return 2;
	put_file(in_place(state, "l0/a/mounted/file"), "");
	expect_ok(relabel(layers[0], &err));
	if (!has_label(layers[0]) || !has_label(in_place(state, "l0/a/b/c/file")) || !has_label(in_place(state, "l0/a/link")) ||
	    !has_label(in_place(state, "l0/a/pipe")))
		return 3;
	if (has_label(in_place(state, "outside")) || has_label(in_place(state, "outside-dir")) ||
	    has_label(in_place(state, "l0/a/mounted")) || has_label(in_place(state, "l0/a/mounted/file")))
		return 4;
	/* what is right is not written again */
	if (stat(in_place(state, "l0/a/b/c/file"), &before) < 0)
		return 5;
	(void)usleep(20000);
	expect_ok(relabel(layers[0], &err));
	if (stat(in_place(state, "l0/a/b/c/file"), &after) < 0 || before.st_ctim.tv_nsec != after.st_ctim.tv_nsec)
		return 6;
	/* a single file */
	expect_ok(relabel(in_place(state, "outside"), &err));
	return has_label(in_place(state, "outside")) ? 0 : 7;
}

static void labels(void **state)
{
	skip_unless(geteuid() == 0, "not root");
	assert_int_equal(in_own_namespace(state, labels_body), 0);
}

/* CVE-2021-43816: the host's own files keep their labels, by whatever path. */
static void cve_2021_43816_the_hosts_files_keep_their_labels(void **state)
{
	static const char *const paths[] = { "/",    "/etc",     "/etc/passwd", "/usr", "/usr/bin",
					     "/var", "/var/lib", "/proc/self",  "/tmp" };

	/* an attribute that no file system takes: without the defence nothing happens to the machine either */
	skip_unless(geteuid() == 0, "not root");
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		expect_error(relabel_as("no.such", paths[i], &err), ERR_INVALID, "is the host's own");
	assert_return_code(symlink("/etc/passwd", in_place(state, "link")), errno);
	expect_error(relabel_as("no.such", in_place(state, "link"), &err), ERR_INVALID, "/etc/passwd is the host's own");
}

static void trees_that_are_too_deep(void **state)
{
	char path[2048];
	size_t n;

	(void)state;
	n = (size_t)snprintf(path, sizeof(path), "%s", layers[0]);

	skip_unless(geteuid() == 0, "not root");
	for (int i = 0; i < 200; i++) {
		n += (size_t)snprintf(path + n, sizeof(path) - n, "/d");
		assert_return_code(mkdir(path, 0755), errno);
	}
	expect_error(relabel(layers[0], &err), ERR_EXHAUSTED, "more than 128 directories deep");
}

/* --- images as volumes --- */

static void an_image_as_a_volume(void **state)
{
	struct image_volume_spec spec = { .layer_dirs = layers, .n_layers = 3, .attributes = MOUNT_ATTR_NOEXEC };
	static const size_t counts[] = { 1, 3 };

	skip_unless(geteuid() == 0, "not root");
	put_dir(in_place(state, "l0/dir/sub"));
	put_file(in_place(state, "l0/dir/sub/file"), "text");
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		int fd;

		spec.n_layers = counts[i];
		spec.sub_path = NULL;
		fd = expect_ok(image_volume_open(&spec, &err));
		assert_string_equal(content(fd, "who"), layers[0]);
		assert_int_equal(try_write(fd, "new"), EROFS);
		assert_true(flags_of(fd, ".") & ST_NOEXEC);
		(void)close(fd);
		spec.sub_path = "dir/./sub";
		fd = expect_ok(image_volume_open(&spec, &err));
		assert_string_equal(content(fd, "file"), "text");
		assert_int_equal(try_write(fd, "new"), EROFS);
		assert_true(flags_of(fd, ".") & ST_NOEXEC);
		(void)close(fd);
	}
	assert_false(has(AT_FDCWD, in_place(state, "l0/new")));
}

/* As kernels before 6.15 need it. */
static void a_sub_path_by_a_detour(void **state)
{
	struct overlay_spec spec = { layers, 2, NULL, NULL, NULL };
	size_t before = count_mounts();
	_cleanup_fd_ int mount_fd = -1;
	_cleanup_fd_ int dir = -1;
	int fd;

	skip_unless(geteuid() == 0, "not root");
	put_dir(in_place(state, "l1/dir"));
	put_file(in_place(state, "l1/dir/file"), "text");
	mount_fd = expect_ok(overlay_open(&spec, &err));
	dir = openat(mount_fd, "dir", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_return_code(dir, errno);
	fd = expect_ok(image_volume_copy_attached(mount_fd, dir, layers[0], &err));
	assert_string_equal(content(fd, "file"), "text");
	assert_int_equal(try_write(fd, "new"), EROFS);
	assert_int_equal(count_mounts(), before);
	/* it is a mount of its own, to be attached like any other */
	assert_return_code(attach(fd, in_place(state, "l9")), errno);
	assert_string_equal(get_file(in_place(state, "l9/file")), "text");
	(void)close(fd);
	assert_int_equal(umount2(in_place(state, "l9"), 0), 0);
}

/* Links of the image lead to where they lead in the image; "/etc" is its own. */
static void sub_paths_stay_in_the_image(void **state)
{
	static const struct {
		const char *path;
		enum error_code code;
		const char *sentence;
	} bad[] = {
		{ "missing", ERR_NOT_FOUND, "sub path missing does not exist in the image" },
		{ "who", ERR_STATE, "sub path who of the image: Not a directory" },
		{ "who/below", ERR_STATE, "Not a directory" },
		{ "loop", ERR_STATE, "Too many levels" },
		{ "magic", ERR_NOT_FOUND, "does not exist" },
	};
	struct image_volume_spec spec = { .layer_dirs = layers, .n_layers = 2, .sub_path = "out/inner" };
	int fd;

	skip_unless(geteuid() == 0, "not root");
	put_dir(in_place(state, "l0/etc/inner"));
	put_file(in_place(state, "l0/etc/inner/file"), "the image's");
	assert_return_code(symlink("../../../../../../../../etc", in_place(state, "l0/out")), errno);
	assert_return_code(symlink("loop", in_place(state, "l0/loop")), errno);
	assert_return_code(symlink("/proc/self/root", in_place(state, "l0/magic")), errno);
	fd = expect_ok(image_volume_open(&spec, &err));
	assert_string_equal(content(fd, "file"), "the image's");
	(void)close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		spec.sub_path = bad[i].path;
		expect_error(image_volume_open(&spec, &err), bad[i].code, bad[i].sentence);
	}
}

#define with_layers(test) cmocka_unit_test_setup_teardown(test, make_layers, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_layers(each_way_makes_the_same_overlay),
		with_layers(overlay_of_one_and_of_many),
		with_layers(without_an_upper_it_is_read_only),
		with_layers(awkward_paths),
		with_layers(many_layers),
		with_layers(overlays_that_cannot_be),
		with_layers(a_directory_and_a_file),
		with_layers(links_in_host_paths_are_followed),
		with_layers(missing_directories_are_made_on_demand),
		with_layers(volumes_that_are_refused),
		with_layers(readonly_and_recursively_readonly),
		with_layers(propagation),
		with_layers(attributes),
		with_layers(every_kind_of_host_path),
		with_layers(host_paths_that_cannot_be),
		with_layers(cve_2019_16884_only_procfs_on_proc),
		with_layers(labels),
		with_layers(cve_2021_43816_the_hosts_files_keep_their_labels),
		with_layers(trees_that_are_too_deep),
		with_layers(an_image_as_a_volume),
		with_layers(a_sub_path_by_a_detour),
		with_layers(sub_paths_stay_in_the_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
