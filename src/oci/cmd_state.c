/* state, kill, delete, pause, resume. */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "oci/container.h"

static int run_state(struct oci *oci, const void *opts, char **args, int n_args, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT((size_t)1 << 20);
	_cleanup_container_ struct container c;

	(void)opts, (void)n_args;
	container_init(&c, oci);
	if (container_open(&c, args[0], false, err) < 0 || state_print(&c.store.state, container_status(&c), true, &text, err) < 0)
		return -1;
	(void)puts(text.data);
	return 0;
}

const struct oci_command oci_state = {
	.name = "state",
	.arguments = "ID",
	.summary = "print a container's state as JSON",
	.min_args = 1,
	.max_args = 1,
	.run = run_state,
};

/* --- kill -------------------------------------------------------------------------------------------------------------- */

struct kill_options {
	bool all;
};

static const struct option_row kill_rows[] = {
	{ 'a', "all", NULL, OPTION_FLAG, offsetof(struct kill_options, all), "to every process in the container's cgroup", 0, 0 },
	NO_MORE_OPTIONS,
};

/* "TERM", "SIGTERM", "15", "RTMIN+3"; 0 when it is none. */
static int parse_signal(const char *text)
{
	int64_t number = 0;
	struct error ignored = ERROR_INIT;

	if (isdigit((unsigned char)*text))
		return parse_number(text, 0, 64, &number, &ignored) < 0 || number == 0 ? 0 : (int)number;
	if (!strncasecmp(text, "SIG", 3))
		text += 3;
	for (int signo = 1; signo < 32; signo++) {
		const char *name = sigabbrev_np(signo);

		if (name && !strcasecmp(name, text))
			return signo;
	}
	if (!strncasecmp(text, "RTMIN+", 6) && parse_number(text + 6, 0, 30, &number, &ignored) == 0)
		return 34 + (int)number;
	if (!strncasecmp(text, "RTMAX-", 6) && parse_number(text + 6, 0, 30, &number, &ignored) == 0)
		return 64 - (int)number;
	return !strcasecmp(text, "RTMIN") ? 34 : !strcasecmp(text, "RTMAX") ? 64 : 0;
}

static int signal_all(struct container *c, int signo, struct error *err)
{
	struct arena *arena = &c->oci->arena;
	pid_t *pids = NULL;
	size_t n = 0;

	if (!c->cgroup)
		return 0;
	if (signo == SIGKILL)
		return cgroup_kill(c->roots, c->store.state.cgroup, err) < 0 ? -1 : 0;
	if (cgroup_list_processes(c->cgroup, arena, &pids, &n, err) < 0)
		return -1;
	/* a pid that has ended since belongs to nobody for as long as this takes */
	for (size_t i = 0; i < n; i++) {
		if (kill(pids[i], signo) < 0 && errno != ESRCH)
			return error_sys(err, errno, "send signal %d to process %d", signo, pids[i]);
	}
	return 0;
}

static int signal_first(struct container *c, int signo, struct error *err)
{
	_cleanup_fd_ int pidfd = state_open_process(&c->store.state, err);

	return pidfd < 0 ? -1 : process_signal(pidfd, signo, err);
}

static int run_kill(struct oci *oci, const void *opts, char **args, int n_args, struct error *err)
{
	const struct kill_options *options = opts;
	_cleanup_container_ struct container c;
	enum container_status status;
	int signo = n_args > 1 ? parse_signal(args[1]) : SIGTERM;

	container_init(&c, oci);
	if (signo == 0)
		return error_set(err, ERR_INVALID, "'%s' is not a signal", args[1]);
	if (container_open(&c, args[0], false, err) < 0)
		return -1;
	status = container_status(&c);
	/* with --all: what is left of one whose first process has ended */
	if (status == STATUS_CREATING || (status == STATUS_STOPPED && !options->all))
		return error_set(err, ERR_STATE, "container '%s' is not running", args[0]);
	if (options->all ? signal_all(&c, signo, err) < 0 : signal_first(&c, signo, err) < 0)
		return error_prefix(err, "kill container %s", args[0]);
	return 0;
}

const struct oci_command oci_kill = {
	.name = "kill",
	.arguments = "ID [SIGNAL]",
	.summary = "send a signal to the container's process; TERM unless given",
	.options = kill_rows,
	.options_size = sizeof(struct kill_options),
	.min_args = 1,
	.max_args = 2,
	.run = run_kill,
};

/* --- delete ------------------------------------------------------------------------------------------------------------ */

struct delete_options {
	bool force;
};

static const struct option_row delete_rows[] = {
	{ 'f', "force", NULL, OPTION_FLAG, offsetof(struct delete_options, force), "kill it first; be content when there is none",
	  0, 0 },
	NO_MORE_OPTIONS,
};

static int run_delete(struct oci *oci, const void *opts, char **args, int n_args, struct error *err)
{
	const struct delete_options *options = opts;
	_cleanup_container_ struct container c;
	enum container_status status;

	(void)n_args;
	container_init(&c, oci);
	if (container_open(&c, args[0], true, err) < 0)
		return options->force && err->code == ERR_NOT_FOUND ? 0 : -1;
	status = container_status(&c);
	/* with the lock in our hands, one that is still being made has lost its maker */
	if (!options->force && status != STATUS_STOPPED && status != STATUS_CREATING)
		return error_set(err, ERR_STATE, "container '%s' is %s: only a stopped one can be deleted (or with --force)",
				 args[0], status_name(status));
	return container_destroy(&c, err);
}

const struct oci_command oci_delete = {
	.name = "delete",
	.arguments = "ID",
	.summary = "remove a stopped container",
	.options = delete_rows,
	.options_size = sizeof(struct delete_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_delete,
};

/* --- pause and resume -------------------------------------------------------------------------------------------------- */

static int set_paused(struct oci *oci, const char *id, bool paused, struct error *err)
{
	_cleanup_container_ struct container c;
	enum container_status status;

	container_init(&c, oci);
	if (container_open(&c, id, true, err) < 0)
		return -1;
	status = container_status(&c);
	if (paused ? status != STATUS_RUNNING && status != STATUS_CREATED : status != STATUS_PAUSED)
		return error_set(err, ERR_STATE, "container '%s' is %s", id, status_name(status));
	if (!c.cgroup)
		return error_set(err, ERR_STATE, "container '%s' has no cgroup", id);
	return cgroup_freeze(c.cgroup, paused, err) < 0 ? error_prefix(err, "%s container %s", paused ? "pause" : "resume", id) : 0;
}

static int run_pause(struct oci *oci, const void *opts, char **args, int n_args, struct error *err)
{
	(void)opts, (void)n_args;
	return set_paused(oci, args[0], true, err);
}

const struct oci_command oci_pause = {
	.name = "pause",
	.arguments = "ID",
	.summary = "freeze all processes of a container",
	.min_args = 1,
	.max_args = 1,
	.run = run_pause,
};

static int run_resume(struct oci *oci, const void *opts, char **args, int n_args, struct error *err)
{
	(void)opts, (void)n_args;
	return set_paused(oci, args[0], false, err);
}

const struct oci_command oci_resume = {
	.name = "resume",
	.arguments = "ID",
	.summary = "let a paused container go on",
	.min_args = 1,
	.max_args = 1,
	.run = run_resume,
};
