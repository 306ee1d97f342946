#include "oci/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Sockets of a service manager (arbitrary; the plan has room for 450 with those of --preserve-fds). */
#define SOCKETS_MAX 50

#define FIRST 3

static int count_sockets(struct handed *handed, struct error *err)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	int64_t n = 0;

	/* whoever started our starter meant that one */
	if (!pid || !count || strtol(pid, NULL, 10) != getpid())
		return 0;
	if (parse_number(count, 0, SOCKETS_MAX, &n, err) < 0)
		return error_prefix(err, "LISTEN_FDS");
	handed->n_sockets = (size_t)n;
	return 0;
}

int descriptors_check(struct oci *oci, int64_t preserved, bool sockets, struct error *err)
{
	struct handed *handed = &oci->handed;

	if (sockets && count_sockets(handed, err) < 0)
		return -1;
	handed->n = handed->n_sockets + (size_t)preserved;
	for (size_t i = 0; i < handed->n; i++) {
		if (fcntl(FIRST + (int)i, F_GETFD) < 0)
			return error_set(err, ERR_INVALID, "hand on descriptor %d: it is not open; see --preserve-fds",
					 FIRST + (int)i);
	}
	return 0;
}

int descriptors_list(const struct handed *handed, struct process_extras *extras, struct arena *arena, struct error *err)
{
	int *fds = arena_new_array(arena, int, handed->n + 1);

	if (!fds)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	for (size_t i = 0; i < handed->n; i++)
		fds[i] = FIRST + (int)i;
	extras->preserved_fds = fds;
	extras->n_preserved_fds = handed->n;
	return 0;
}

/* In a PID namespace of its own the process has the pid 1, and is told so everywhere, as by other runtimes. */
static int tell_sockets(const struct handed *handed, struct container_spec *spec, struct arena *arena, struct error *err)
{
	const char *names = getenv("LISTEN_FDNAMES");
	const char **env;
	size_t n = 0;

	while (spec->envp[n])
		n++;
	env = arena_new_array(arena, const char *, n + 4);
	if (!env)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	memcpy(env, spec->envp, n * sizeof(*env));
	env[n++] = arena_printf(arena, "LISTEN_FDS=%zu", handed->n_sockets);
	env[n++] = "LISTEN_PID=1";
	if (names)
		env[n++] = arena_printf(arena, "LISTEN_FDNAMES=%s", names);
	spec->envp = env;
	return arena_failed(arena) ? error_set(err, ERR_EXHAUSTED, "out of memory") : 0;
}

int descriptors_hand_on(const struct handed *handed, struct container_spec *spec, struct arena *arena, struct error *err)
{
	if (handed->n_sockets > 0 && tell_sockets(handed, spec, arena, err) < 0)
		return -1;
	return descriptors_list(handed, &spec->extras, arena, err);
}
