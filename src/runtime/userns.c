#include "runtime/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/io.h"
#include "base/mem.h"
#include "runtime/launch.h"
#include "runtime/plan.h"
#include "runtime/spawner.h"

/* Making one takes under a millisecond; this is for a machine that swaps (arbitrary). */
#define HOLDER_TIMEOUT_MS 10000

/* Three numbers of ten digits, two blanks and a newline. */
#define LINE_SIZE 33

static bool overlap(uint32_t a, uint32_t n_a, uint32_t b, uint32_t n_b)
{
	return (uint64_t)a < (uint64_t)b + n_b && (uint64_t)b < (uint64_t)a + n_a;
}

static int check_map(const struct id_map *map, const char *what, size_t i, struct error *err)
{
	/* 4294967295 is no id */
	if (map->length == 0)
		return error_set(err, ERR_INVALID, "%s[%zu]: its length is 0", what, i);
	if ((uint64_t)map->inside + map->length > UINT32_MAX || (uint64_t)map->outside + map->length > UINT32_MAX)
		return error_set(err, ERR_INVALID, "%s[%zu]: ids end at 4294967294", what, i);
	return 0;
}

static int check_list(const struct id_map *maps, size_t n, const char *what, struct error *err)
{
	if (n == 0 || n > ID_MAPS_MAX)
		return error_set(err, ERR_INVALID, "%s: %zu mappings, not 1 to %d", what, n, ID_MAPS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (check_map(&maps[i], what, i, err) < 0)
			return -1;
		for (size_t k = 0; k < i; k++) {
			if (overlap(maps[i].inside, maps[i].length, maps[k].inside, maps[k].length) ||
			    overlap(maps[i].outside, maps[i].length, maps[k].outside, maps[k].length))
				return error_set(err, ERR_INVALID, "%s[%zu] and %s[%zu] overlap", what, k, what, i);
		}
	}
	return 0;
}

int id_maps_check(const struct id_maps *maps, struct error *err)
{
	return check_list(maps->uids, maps->n_uids, "uids", err) < 0 ? -1 : check_list(maps->gids, maps->n_gids, "gids", err);
}

bool id_map_find(const struct id_map *maps, size_t n, uint32_t inside, uint32_t *ret_outside)
{
	for (size_t i = 0; i < n; i++) {
		if (inside < maps[i].inside || inside - maps[i].inside >= maps[i].length)
			continue;
		*ret_outside = maps[i].outside + (inside - maps[i].inside);
		return true;
	}
	return false;
}

static bool lists_equal(const struct id_map *a, size_t n_a, const struct id_map *b, size_t n_b)
{
	bool equal = n_a == n_b;

	for (size_t i = 0; equal && i < n_a; i++)
		equal = a[i].inside == b[i].inside && a[i].outside == b[i].outside && a[i].length == b[i].length;
	return equal;
}

bool id_maps_equal(const struct id_maps *a, const struct id_maps *b)
{
	return lists_equal(a->uids, a->n_uids, b->uids, b->n_uids) && lists_equal(a->gids, a->n_gids, b->gids, b->n_gids);
}

/* The kernel takes a map by one write. */
static int write_map(pid_t pid, const char *file, const struct id_map *maps, size_t n, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(ID_MAPS_MAX * LINE_SIZE);
	_cleanup_fd_ int fd = -1;
	char path[64];

	for (size_t i = 0; i < n; i++) {
		if (buffer_printf(&text, err, "%u %u %u\n", maps[i].inside, maps[i].outside, maps[i].length) < 0)
			return -1;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len)
		return error_sys(err, errno, "write %s of a new user namespace", file);
	return 0;
}

static int spawn_holder(struct spawner *spawner, unsigned flags, struct spawn_result *ret_spawned, struct error *err)
{
	static const int no_stdio[3] = { -1, -1, -1 };
	_cleanup_plan_ struct plan *plan = NULL;

	if (plan_compile_holder("namespaces", flags, &plan, err) < 0)
		return -1;
	return spawner_run(spawner, plan, no_stdio, HOLDER_TIMEOUT_MS, ret_spawned, err);
}

int ns_holder_start(struct spawner *spawner, const struct id_maps *maps, unsigned flags, struct ns_holder *ret_holder,
		    struct error *err)
{
	struct spawn_result spawned;
	struct ns_holder holder;

	if (id_maps_check(maps, err) < 0)
		return -1;
	if (spawn_holder(spawner, flags | CLONE_NEWUSER, &spawned, err) < 0)
		return error_prefix(err, "make user namespace");
	free(spawned.times);
	holder = (struct ns_holder){ .pid = spawned.pid, .pidfd = spawned.pidfd };
	if (write_map(holder.pid, "uid_map", maps->uids, maps->n_uids, err) < 0 ||
	    write_map(holder.pid, "gid_map", maps->gids, maps->n_gids, err) < 0) {
		ns_holder_end(spawner, &holder);
		return -1;
	}
	*ret_holder = holder;
	return 0;
}

int ns_holder_open(const struct ns_holder *holder, const char *kind, struct error *err)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)holder->pid, kind);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? error_sys(err, errno, "open a new %s namespace", kind) : fd;
}

void ns_holder_end(struct spawner *spawner, struct ns_holder *holder)
{
	if (holder->pidfd >= 0)
		child_end(spawner, holder->pid, steal_fd(&holder->pidfd));
}

int userns_create(struct spawner *spawner, const struct id_maps *maps, struct error *err)
{
	struct ns_holder holder;
	int fd;

	if (ns_holder_start(spawner, maps, 0, &holder, err) < 0)
		return -1;
	fd = ns_holder_open(&holder, "user", err);
	ns_holder_end(spawner, &holder);
	return fd;
}

/* Lines of three numbers; those of a map that nobody has written yet are none. */
static int read_map(pid_t pid, const char *file, struct arena *arena, const struct id_map **ret_maps, size_t *ret_n,
		    struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(ID_MAPS_MAX * 2 * LINE_SIZE);
	struct id_map *maps = arena_new_array(arena, struct id_map, ID_MAPS_MAX);
	char path[64], *rest, *line;
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	if (!maps)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (io_read_file(AT_FDCWD, path, &text, err) < 0)
		return -1;
	rest = text.data;
	while (n < ID_MAPS_MAX && (line = strsep(&rest, "\n"))) {
		if (sscanf(line, "%u %u %u", &maps[n].inside, &maps[n].outside, &maps[n].length) == 3)
			n++;
	}
	*ret_maps = maps;
	*ret_n = n;
	return n > 0 ? 0 : error_set(err, ERR_STATE, "%s: the user namespace has no map", path);
}

int userns_maps_of(pid_t pid, struct arena *arena, struct id_maps *ret_maps, struct error *err)
{
	if (read_map(pid, "uid_map", arena, &ret_maps->uids, &ret_maps->n_uids, err) < 0)
		return -1;
	return read_map(pid, "gid_map", arena, &ret_maps->gids, &ret_maps->n_gids, err);
}

int userns_find_maps(struct spawner *spawner, int user_ns, struct arena *arena, struct id_maps *ret_maps, struct error *err)
{
	static const int no_stdio[3] = { -1, -1, -1 };
	_cleanup_plan_ struct plan *plan = NULL;
	struct spawn_result spawned;
	int result;

	if (plan_compile_guest("maps", user_ns, &plan, err) < 0 ||
	    spawner_run(spawner, plan, no_stdio, HOLDER_TIMEOUT_MS, &spawned, err) < 0)
		return error_prefix(err, "read the maps of a user namespace");
	free(spawned.times);
	result = userns_maps_of(spawned.pid, arena, ret_maps, err);
	child_end(spawner, spawned.pid, spawned.pidfd);
	return result;
}
