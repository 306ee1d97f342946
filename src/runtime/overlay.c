/*
 * Overlays as detached mounts.
 *
 * The newest kernels take one layer per call. Older ones take a list, by fsconfig(2) as far as its 256 bytes reach, by mount(2)
 * beyond: that one needs a place to mount on, so it happens in a mount namespace of a thread that lives for the call alone, and the
 * mount is taken out of it by open_tree(2).
 *
 * No option but the layers is given: index, metacopy and redirect_dir stay as the host's kernel has them, as other engines leave
 * them; `volatile` makes mounting slower on ext4 (limits.md lesson 7).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "runtime/kernel.h"
#include "runtime/rootfs_internal.h"

/* fsconfig(2) copies at most 256 bytes of a value, its NUL included; mount(2) one page of options. */
#define VALUE_SIZE 256
#define OPTIONS_SIZE 4096

/* OVL_MAX_STACK of the kernel. */
#define LAYERS_MAX 500

/* Short names of the layers, for the kernel to resolve: a path itself, or one through a descriptor. */
struct short_names {
	int *fds;
	size_t n_fds;
};

static void cleanup_short_names(struct short_names *names)
{
	for (size_t i = 0; i < names->n_fds; i++)
		(void)close(names->fds[i]);
	free(names->fds);
}

#define _cleanup_short_names_ __attribute__((cleanup(cleanup_short_names)))

/* Room for "/proc/self/fd/" and a number. */
#define SHORT_SIZE 40

static int shorten(struct short_names *names, const char *path, char text[SHORT_SIZE], struct error *err)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return error_sys(err, errno, "open layer %s", path);
	names->fds[names->n_fds++] = fd;
	(void)snprintf(text, SHORT_SIZE, "/proc/self/fd/%d", fd);
	return 0;
}

/* The three bytes have a meaning in overlay's own syntax; through a descriptor none of them appears. */
static bool fits_literally(const char *path)
{
	return strlen(path) < VALUE_SIZE && !strpbrk(path, "\\:,");
}

static int set_string(int fs, const char *key, const char *value, struct error *err)
{
	if (sys_fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0) < 0)
		return error_sys(err, errno, "overlay: set %s to %s", key, value);
	return 0;
}

/* Sets a directory, by descriptor when its path would not pass as it is. */
static int set_dir(int fs, const char *key, const char *path, struct short_names *names, struct error *err)
{
	char text[SHORT_SIZE];

	if (fits_literally(path))
		return set_string(fs, key, path, err);
	if (shorten(names, path, text, err) < 0)
		return -1;
	return set_string(fs, key, text, err);
}

/* Kernels before 6.5 look at the directories when the overlay is made, and do not say which of them is missing. */
static const char *missing_dir(const struct overlay_spec *spec)
{
	for (size_t i = 0; i < spec->n_lower_dirs; i++) {
		if (access(spec->lower_dirs[i], F_OK) < 0)
			return spec->lower_dirs[i];
	}
	if (spec->upper_dir && access(spec->upper_dir, F_OK) < 0)
		return spec->upper_dir;
	return spec->work_dir && access(spec->work_dir, F_OK) < 0 ? spec->work_dir : NULL;
}

/* "upperdir=..." is quoted by the kernel's log alone; an error here names the directories instead. */
static int fail_create(const struct overlay_spec *spec, int code, struct error *err)
{
	const char *missing = code == ENOENT ? missing_dir(spec) : NULL;

	if (missing)
		return error_sys(err, code, "overlay: create with %s", missing);
	return error_sys(err, code, "overlay: create from %zu layers, upper %s", spec->n_lower_dirs,
			 spec->upper_dir ? spec->upper_dir : "none");
}

static int finish(int fs, const struct overlay_spec *spec, struct error *err)
{
	int mount;

	if (sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return fail_create(spec, errno, err);
	mount = sys_fsmount(fs, FSMOUNT_CLOEXEC, spec->upper_dir ? 0 : MOUNT_ATTR_RDONLY);
	return mount < 0 ? error_sys(err, errno, "overlay: mount") : mount;
}

static int set_upper(int fs, const struct overlay_spec *spec, struct short_names *names, struct error *err)
{
	if (!spec->upper_dir)
		return 0;
	if (set_dir(fs, "upperdir", spec->upper_dir, names, err) < 0)
		return -1;
	return set_dir(fs, "workdir", spec->work_dir, names, err);
}

static int set_layers(int fs, const struct overlay_spec *spec, struct short_names *names, struct error *err)
{
	for (size_t i = 0; i < spec->n_lower_dirs; i++) {
		if (set_dir(fs, "lowerdir+", spec->lower_dirs[i], names, err) < 0)
			return -1;
	}
	return 0;
}

/* "a:b:c"; literal paths as long as all of them fit, descriptors for all of them otherwise. */
static int list_layers(const struct overlay_spec *spec, struct short_names *names, struct buffer *list, struct error *err)
{
	bool literal = true;
	size_t total = 0;

	for (size_t i = 0; i < spec->n_lower_dirs; i++) {
		literal = literal && fits_literally(spec->lower_dirs[i]);
		total += strlen(spec->lower_dirs[i]) + 1;
	}
	literal = literal && total <= list->max;
	for (size_t i = 0; i < spec->n_lower_dirs; i++) {
		const char *path = spec->lower_dirs[i];
		char text[SHORT_SIZE];

		if (!literal && shorten(names, path, text, err) < 0)
			return -1;
		if (buffer_printf(list, err, "%s%s", i ? ":" : "", literal ? path : text) < 0)
			return error_prefix(err, "overlay: %zu layers", spec->n_lower_dirs);
	}
	return 0;
}

static int set_list(int fs, const struct overlay_spec *spec, struct short_names *names, struct error *err)
{
	_cleanup_buffer_ struct buffer list = BUFFER_INIT(VALUE_SIZE - 1);

	if (list_layers(spec, names, &list, err) < 0)
		return -1;
	return set_string(fs, "lowerdir", list.data, err);
}

static int open_by_fsconfig(enum overlay_way way, const struct overlay_spec *spec, struct short_names *names, struct error *err)
{
	_cleanup_fd_ int fs = sys_fsopen("overlay", FSOPEN_CLOEXEC);
	int r;

	if (fs < 0)
		return error_sys(err, errno, "overlay: open the file system");
	if (spec->context && set_string(fs, "context", spec->context, err) < 0)
		return -1;
	r = way == OVERLAY_BY_LAYER ? set_layers(fs, spec, names, err) : set_list(fs, spec, names, err);
	if (r < 0 || set_upper(fs, spec, names, err) < 0)
		return -1;
	return finish(fs, spec, err);
}

/* What the thread with its own mount namespace is told and tells. */
struct mount_job {
	const struct overlay_spec *spec;
	struct short_names *names;
	int mount;
	struct error *err;
};

static int list_options(const struct mount_job *job, struct buffer *options, struct error *err)
{
	_cleanup_buffer_ struct buffer list = BUFFER_INIT(OPTIONS_SIZE - 1);
	const struct overlay_spec *spec = job->spec;
	char upper[SHORT_SIZE], work[SHORT_SIZE];

	if (list_layers(spec, job->names, &list, err) < 0 || buffer_printf(options, err, "lowerdir=%s", list.data) < 0)
		return -1;
	/* quoted: a level has commas */
	if (spec->context && buffer_printf(options, err, ",context=\"%s\"", spec->context) < 0)
		return -1;
	if (!spec->upper_dir)
		return 0;
	if (shorten(job->names, spec->upper_dir, upper, err) < 0 || shorten(job->names, spec->work_dir, work, err) < 0)
		return -1;
	return buffer_printf(options, err, ",upperdir=%s,workdir=%s", upper, work);
}

/* Any directory serves as the place, since nobody else sees this namespace: the topmost layer is there for certain. */
static int mount_and_take(const struct mount_job *job, struct error *err)
{
	_cleanup_buffer_ struct buffer options = BUFFER_INIT(OPTIONS_SIZE - 1);
	const char *place = job->spec->lower_dirs[0];
	int mount_fd;

	if (unshare(CLONE_FS | CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_sys(err, errno, "overlay: make a mount namespace");
	if (list_options(job, &options, err) < 0)
		return -1;
	if (mount("overlay", place, "overlay", job->spec->upper_dir ? 0 : MS_RDONLY, options.data) < 0)
		return error_sys(err, errno, "overlay: mount %zu layers", job->spec->n_lower_dirs);
	mount_fd = sys_open_tree(AT_FDCWD, place, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	return mount_fd < 0 ? error_sys(err, errno, "overlay: detach the mount") : mount_fd;
}

static void *run_mount_job(void *arg)
{
	struct mount_job *job = arg;

	job->mount = mount_and_take(job, job->err);
	return NULL;
}

static int open_by_mount(const struct overlay_spec *spec, struct short_names *names, struct error *err)
{
	struct mount_job job = { .spec = spec, .names = names, .mount = -1, .err = err };
	pthread_t thread;
	int r = pthread_create(&thread, NULL, run_mount_job, &job);

	if (r != 0)
		return error_sys(err, r, "overlay: start a thread");
	(void)pthread_join(thread, NULL);
	return job.mount;
}

int overlay_open_by(enum overlay_way way, const struct overlay_spec *spec, struct error *err)
{
	_cleanup_short_names_ struct short_names names = { 0 };

	names.fds = calloc(spec->n_lower_dirs + 2, sizeof(*names.fds));
	if (!names.fds)
		return error_sys(err, ENOMEM, "overlay");
	return way == OVERLAY_BY_MOUNT ? open_by_mount(spec, &names, err) : open_by_fsconfig(way, spec, &names, err);
}

/* Overlays before Linux 6.5 collect any option and refuse it when they are made: who takes nonsense says nothing by taking. */
static bool takes_anything(int fs)
{
	return sys_fsconfig(fs, FSCONFIG_SET_STRING, "no-such-option", "/", 0) == 0;
}

/* Whether fsconfig knows "lowerdir+": asked once, of a context that never becomes a mount. */
static bool has_lowerdir_plus(void)
{
	static _Atomic int known; /* 0: not asked yet, 1: no, 2: yes */
	int answer = atomic_load(&known);

	if (answer == 0) {
		_cleanup_fd_ int fs = sys_fsopen("overlay", FSOPEN_CLOEXEC);

		if (fs < 0)
			return false;
		answer = !takes_anything(fs) && sys_fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", "/", 0) == 0 ? 2 : 1;
		atomic_store(&known, answer);
	}
	return answer == 2;
}

bool overlay_takes_layers(void)
{
	return has_lowerdir_plus();
}

/* A single layer without an upper one is no overlay (the kernel wants two): a read-only bind of the directory. */
static int open_single(const char *dir, struct error *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY, .propagation = MS_PRIVATE };
	_cleanup_fd_ int mount_fd = sys_open_tree(AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (mount_fd < 0)
		return error_sys(err, errno, "open layer %s", dir);
	if (sys_mount_setattr(mount_fd, "", AT_EMPTY_PATH, &attr) < 0)
		return error_sys(err, errno, "make layer %s read-only", dir);
	return steal_fd(&mount_fd);
}

static bool list_is_short(const struct overlay_spec *spec)
{
	size_t total = 0;

	for (size_t i = 0; i < spec->n_lower_dirs; i++) {
		if (!fits_literally(spec->lower_dirs[i]))
			return false;
		total += strlen(spec->lower_dirs[i]) + 1;
	}
	return total < VALUE_SIZE;
}

int overlay_open(const struct overlay_spec *spec, struct error *err)
{
	if (spec->n_lower_dirs == 0 || spec->n_lower_dirs > LAYERS_MAX)
		return error_set(err, ERR_INVALID, "overlay: %zu layers, not 1 to %d", spec->n_lower_dirs, LAYERS_MAX);
	if (!spec->upper_dir != !spec->work_dir)
		return error_set(err, ERR_INVALID, "overlay: upper and work directory come together");
	if (spec->n_lower_dirs == 1 && !spec->upper_dir)
		return open_single(spec->lower_dirs[0], err);
	if (has_lowerdir_plus())
		return overlay_open_by(OVERLAY_BY_LAYER, spec, err);
	return overlay_open_by(list_is_short(spec) ? OVERLAY_BY_LIST : OVERLAY_BY_MOUNT, spec, err);
}
