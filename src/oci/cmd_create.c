/* create, start, run. */
#include <stdlib.h>

#include "base/mem.h"
#include "oci/container.h"
#include "oci/descriptors.h"

#define COMMON_ROWS                                                                                                                \
	{ 'b', "bundle", "DIR", OPTION_TEXT, offsetof(struct start_options, bundle), "the bundle; the working directory", 0, 0 },  \
		{ 0,                                                                                                               \
		  "pid-file",                                                                                                      \
		  "FILE",                                                                                                          \
		  OPTION_TEXT,                                                                                                     \
		  offsetof(struct start_options, pid_file),                                                                        \
		  "write the process's pid into this file",                                                                        \
		  0,                                                                                                               \
		  0 },                                                                                                             \
		{ 0,                                                                                                               \
		  "console-socket",                                                                                                \
		  "PATH",                                                                                                          \
		  OPTION_TEXT,                                                                                                     \
		  offsetof(struct start_options, console_socket),                                                                  \
		  "send the terminal to who listens on this unix socket",                                                          \
		  0,                                                                                                               \
		  0 },                                                                                                             \
		{ 0,                                                                                                               \
		  "preserve-fds",                                                                                                  \
		  "N",                                                                                                             \
		  OPTION_NUMBER,                                                                                                   \
		  offsetof(struct start_options, preserve_fds),                                                                    \
		  "hand on descriptors 3 to 3+N-1",                                                                                \
		  0,                                                                                                               \
		  400 },                                                                                                           \
		{ 0,                                                                                                               \
		  "no-pivot",                                                                                                      \
		  NULL,                                                                                                            \
		  OPTION_FLAG,                                                                                                     \
		  offsetof(struct start_options, no_pivot),                                                                        \
		  "accepted: roots that cannot be pivoted from work anyhow",                                                       \
		  0,                                                                                                               \
		  0 },                                                                                                             \
	{                                                                                                                          \
		0, "no-new-keyring", NULL, OPTION_FLAG, offsetof(struct start_options, no_new_keyring),                            \
			"accepted: no keyring is made anyhow", 0, 0                                                                \
	}

static const struct option_row create_rows[] = { COMMON_ROWS, NO_MORE_OPTIONS };

static const struct option_row run_rows[] = {
	COMMON_ROWS,
	{ 'd', "detach", NULL, OPTION_FLAG, offsetof(struct start_options, detach), "do not wait for the process's end", 0, 0 },
	{ 0, "keep", NULL, OPTION_FLAG, offsetof(struct start_options, keep), "leave the container when its process has ended", 0,
	  0 },
	NO_MORE_OPTIONS,
};

static int run_create(struct oci *oci, const void *opts, char **args, int n_args, struct error *err)
{
	_cleanup_container_ struct container c;
	struct spawn_result spawned;
	const struct start_options *options = opts;

	(void)n_args;
	container_init(&c, oci);
	if (descriptors_check(oci, options->preserve_fds, true, err) < 0 ||
	    container_create(&c, args[0], opts, true, &spawned, err) < 0)
		return -1;
	close_fd(&spawned.pidfd);
	free(spawned.times);
	return 0;
}

const struct oci_command oci_create = {
	.name = "create",
	.arguments = "ID",
	.summary = "make a container whose process waits for its start",
	.options = create_rows,
	.options_size = sizeof(struct start_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_create,
};

static int run_start(struct oci *oci, const void *opts, char **args, int n_args, struct error *err)
{
	_cleanup_container_ struct container c;
	enum container_status status;

	(void)opts, (void)n_args;
	container_init(&c, oci);
	if (container_open(&c, args[0], true, err) < 0)
		return -1;
	status = container_status(&c);
	if (status != STATUS_CREATED)
		return error_set(err, ERR_STATE, "container '%s' is %s: only a created one can be started", args[0],
				 status_name(status));
	return container_start(&c, err) < 0 ? error_prefix(err, "start container %s", args[0]) : 0;
}

const struct oci_command oci_start = {
	.name = "start",
	.arguments = "ID",
	.summary = "run the command of a created container",
	.min_args = 1,
	.max_args = 1,
	.run = run_start,
};

static int finish_run(struct container *c, const struct start_options *options, struct spawn_result *spawned, struct error *err)
{
	struct error ignored = ERROR_INIT;
	int code;

	/* others may exec, kill and delete meanwhile */
	store_unlock(&c->store);
	code = foreground_wait(spawned->pid, spawned->pidfd, steal_fd(&spawned->console_fd), err);
	if (code < 0 || options->keep)
		return code;
	store_close(&c->store);
	/* somebody else may have deleted it */
	if (store_open(&c->store, c->oci->root, c->store.id, true, &ignored) == 0 && c->store.state.pid == spawned->pid &&
	    container_destroy(c, err) < 0)
		return -1;
	return code;
}

static int run_run(struct oci *oci, const void *opts, char **args, int n_args, struct error *err)
{
	const struct start_options *options = opts;
	_cleanup_container_ struct container c;
	struct spawn_result spawned;
	int code = 0;

	(void)n_args;
	container_init(&c, oci);
	if (descriptors_check(oci, options->preserve_fds, true, err) < 0 ||
	    container_create(&c, args[0], options, false, &spawned, err) < 0)
		return -1;
	container_hooks_warn(&c, HOOK_POSTSTART, STATUS_RUNNING);
	if (!options->detach)
		code = finish_run(&c, options, &spawned, err);
	close_fd(&spawned.pidfd);
	close_fd(&spawned.console_fd);
	free(spawned.times);
	return code;
}

const struct oci_command oci_run = {
	.name = "run",
	.arguments = "ID",
	.summary = "make a container, run its command, and delete it when that has ended",
	.options = run_rows,
	.options_size = sizeof(struct start_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_run,
};
