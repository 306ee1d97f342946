/*
 * What we remember of a container: a directory of its name below --root.
 *
 *   state.json    what follows, replaced as a whole
 *   config.json   the bundle's, as it was at creation: a change of the bundle's file has no effect (runtime.md, "Lifecycle")
 *   start.sock    the socket on which a created container waits for its start
 *
 * The directory is locked (flock(2)) by whoever changes anything, so two commands for one container come one after the other, and a
 * command that was killed holds nothing. What a kill leaves behind is a directory that `delete` removes, whatever is missing in it: the
 * cgroup is written down before it is made, the process before it may run, and a process whose creator is gone before that ends by itself.
 *
 * Whether the container runs is not written down but looked up: a process is known by pid and start time, and one that is still our
 * interpreter has not been started.
 */
#ifndef MONOPOD_OCI_STATE_H
#define MONOPOD_OCI_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "runtime/process.h"

/* As long as a file name with a suffix may be. */
#define OCI_ID_MAX 250

enum container_status {
	STATUS_CREATING, /* not all of it is there, or its creator is gone */
	STATUS_CREATED,
	STATUS_RUNNING,
	STATUS_PAUSED,
	STATUS_STOPPED,
};

struct container_state {
	const char *id, *version, *bundle, *rootfs;
	pid_t pid; /* 0: none yet */
	uint64_t start_ticks;
	char created[CLOCK_TEXT_SIZE];
	char boot_id[BOOT_ID_SIZE];
	const char *cgroup;         /* NULL: none */
	const char *cgroup_topmost; /* of those made for it */
	const char *scope;          /* of the systemd scope that it is in; NULL: none */
	const char *annotations;    /* a JSON object; NULL: none */
	unsigned first_step;        /* of those after the wait: index in the plan, and what each is, for the errors of `start` */
	const char *const *steps;   /* NULL-terminated; NULL: none */
};

struct store {
	struct arena *arena;
	const char *root; /* path */
	const char *id;
	int dir; /* of the container, -1 when it is not open */
	struct container_state state;
};

#define STORE_INIT                                                                                                                 \
	{                                                                                                                          \
		.dir = -1                                                                                                          \
	}

/* Letters, digits, '_', '+', '-', '.', and no more: it becomes a file name, a part of a cgroup's, and a word in messages. */
int id_check(const char *id, struct error *err);

/*
 * Makes the directory of a new container and locks it. ERR_EXISTS when there is one, unless it is what a killed `create` has left: that
 * is for the caller to remove (store->state says what there is), *ret_stale is then true.
 */
int store_create(struct store *store, const char *root, const char *id, bool *ret_stale, struct error *err);

/* Opens and reads; with `lock` waits for other commands, at most a minute. ERR_NOT_FOUND when there is no such container. */
int store_open(struct store *store, const char *root, const char *id, bool lock, struct error *err);

/* Other commands may go on; the directory stays open. */
void store_unlock(struct store *store);
void store_close(struct store *store);

int store_write(struct store *store, struct error *err);

/* Removes the directory; --root stays. */
int store_remove(struct store *store, struct error *err);

/* A process that has the recorded pid and start time: a pidfd. ERR_NOT_FOUND when it has ended. */
int state_open_process(const struct container_state *state, struct error *err);

/* What is true now. `paused` needs a look at the cgroup and is the caller's. */
enum container_status state_status(const struct container_state *state);
const char *status_name(enum container_status status);

/* The state as the specification has it (runtime.md, "State"); a status of "stopped" comes without a pid. Appends. */
int state_print(const struct container_state *state, enum container_status status, bool extended, struct buffer *b,
		struct error *err);

#endif
