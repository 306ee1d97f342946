/*
 * exec: one more process in a container.
 *
 * What it is comes from --process, or from the container's own configuration with the command and what options change. It enters the
 * container's cgroup and namespaces with the seccomp filter that the container has.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "oci/container.h"
#include "oci/descriptors.h"
#include "oci/seccomp.h"
#include "oci/world.h"
#include "runtime/caps.h"
#include "runtime/userns.h"

struct exec_options {
	struct start_options start;
	const char *process, *cwd, *user, *apparmor, *label;
	struct text_list env, caps, groups;
	bool tty, no_new_privs, ignore_paused;
};

static const struct option_row rows[] = {
	{ 'p', "process", "FILE", OPTION_TEXT, offsetof(struct exec_options, process), "the whole process as JSON", 0, 0 },
	{ 't', "tty", NULL, OPTION_FLAG, offsetof(struct exec_options, tty), "with a terminal", 0, 0 },
	{ 0, "cwd", "DIR", OPTION_TEXT, offsetof(struct exec_options, cwd), "its working directory", 0, 0 },
	{ 'e', "env", "NAME=VALUE", OPTION_LIST, offsetof(struct exec_options, env), "one more variable; may be given again", 0,
	  0 },
	{ 'u', "user", "UID[:GID]", OPTION_TEXT, offsetof(struct exec_options, user), "who it is, by number", 0, 0 },
	{ 'g', "additional-gids", "GID", OPTION_LIST, offsetof(struct exec_options, groups), "one more group; may be given again",
	  0, 0 },
	{ 'c', "cap", "NAME", OPTION_LIST, offsetof(struct exec_options, caps), "one more capability; may be given again", 0, 0 },
	{ 0, "no-new-privs", NULL, OPTION_FLAG, offsetof(struct exec_options, no_new_privs), "with no_new_privs", 0, 0 },
	{ 0, "apparmor", "PROFILE", OPTION_TEXT, offsetof(struct exec_options, apparmor), "its AppArmor profile", 0, 0 },
	{ 0, "process-label", "LABEL", OPTION_TEXT, offsetof(struct exec_options, label), "its SELinux label", 0, 0 },
	{ 0, "ignore-paused", NULL, OPTION_FLAG, offsetof(struct exec_options, ignore_paused), "in a paused container, too", 0, 0 },
	{ 'd', "detach", NULL, OPTION_FLAG, offsetof(struct exec_options, start.detach), "do not wait for its end", 0, 0 },
	{ 0, "pid-file", "FILE", OPTION_TEXT, offsetof(struct exec_options, start.pid_file), "write its pid into this file", 0, 0 },
	{ 0, "console-socket", "PATH", OPTION_TEXT, offsetof(struct exec_options, start.console_socket),
	  "send its terminal to who listens on this unix socket", 0, 0 },
	{ 0, "preserve-fds", "N", OPTION_NUMBER, offsetof(struct exec_options, start.preserve_fds),
	  "hand on descriptors 3 to 3+N-1", 0, 400 },
	NO_MORE_OPTIONS,
};

struct execution {
	struct container *c;
	const struct exec_options *options;
	struct process_config process;
	struct user_ns_spec user_ns;
	cJSON *json; /* of --process, which the process points into */
};

/* --- who and what ------------------------------------------------------------------------------------------------------ */

static int read_process(struct execution *e, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(CONFIG_BYTES_MAX);
	struct place place = { .name = "process", .arena = &e->c->oci->arena };

	if (io_read_file(AT_FDCWD, e->options->process, &text, err) < 0)
		return -1;
	if (json_parse_object(text.data, text.len, e->options->process, &e->json, err) < 0)
		return -1;
	place.object = e->json;
	return process_parse(&place, &e->process, err);
}

static size_t count(const char *const *texts)
{
	size_t n = 0;

	while (texts && texts[n])
		n++;
	return n;
}

static int add_env(struct execution *e, struct error *err)
{
	const struct text_list *more = &e->options->env;
	size_t n = count(e->process.env);
	const char **env = arena_new_array(&e->c->oci->arena, const char *, n + more->n + 1);

	if (!env)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	memcpy(env, e->process.env, n * sizeof(*env));
	for (size_t i = 0; i < more->n; i++)
		env[n + i] = more->items[i];
	e->process.env = env;
	return 0;
}

static int parse_id(const char *text, size_t length, uint32_t *ret_id, struct error *err)
{
	char copy[16];
	int64_t number = 0;

	if (length == 0 || length >= sizeof(copy))
		return error_set(err, ERR_INVALID, "--user is UID[:GID], by number");
	memcpy(copy, text, length);
	copy[length] = '\0';
	if (parse_number(copy, 0, UINT32_MAX - 1, &number, err) < 0)
		return error_prefix(err, "--user");
	*ret_id = (uint32_t)number;
	return 0;
}

static int set_user(struct execution *e, struct error *err)
{
	const char *user = e->options->user;
	size_t length = user ? strcspn(user, ":") : 0;

	if (!user)
		return 0;
	if (parse_id(user, length, &e->process.identity.uid, err) < 0)
		return -1;
	return user[length] ? parse_id(user + length + 1, strlen(user + length + 1), &e->process.identity.gid, err) : 0;
}

static int add_groups(struct execution *e, struct error *err)
{
	const struct text_list *more = &e->options->groups;
	struct identity *who = &e->process.identity;
	gid_t *groups = arena_new_array(&e->c->oci->arena, gid_t, who->n_groups + more->n + 1);

	if (!groups)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (who->n_groups > 0)
		memcpy(groups, who->groups, who->n_groups * sizeof(*groups));
	for (size_t i = 0; i < more->n; i++) {
		if (parse_id(more->items[i], strlen(more->items[i]), &groups[who->n_groups + i], err) < 0)
			return -1;
	}
	who->groups = groups;
	who->n_groups += more->n;
	return 0;
}

static int add_caps(struct execution *e, struct error *err)
{
	struct identity *who = &e->process.identity;

	for (size_t i = 0; i < e->options->caps.n; i++) {
		int cap = caps_parse(e->options->caps.items[i]);

		if (cap < 0)
			return error_set(err, ERR_INVALID, "--cap: unknown capability '%s'", e->options->caps.items[i]);
		who->bounding |= UINT64_C(1) << cap;
		who->permitted |= UINT64_C(1) << cap;
	}
	return 0;
}

/* The container's own, changed. */
static int derive_process(struct execution *e, char **args, int n_args, struct error *err)
{
	const char **argv = arena_new_array(&e->c->oci->arena, const char *, (size_t)n_args + 1);

	if (n_args == 0)
		return error_set(err, ERR_INVALID, "a command is missing");
	if (!argv)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	for (int i = 0; i < n_args; i++)
		argv[i] = args[i];
	e->process = e->c->config.process;
	e->process.args = argv;
	e->process.terminal = e->options->tty;
	e->process.has_console_size = false;
	if (e->options->cwd)
		e->process.cwd = e->options->cwd;
	if (e->options->no_new_privs)
		e->process.identity.no_new_privs = true;
	if (e->options->apparmor)
		e->process.apparmor_profile = e->options->apparmor;
	if (e->options->label)
		e->process.selinux_label = e->options->label;
	return set_user(e, err) < 0 || add_groups(e, err) < 0 || add_caps(e, err) < 0 || add_env(e, err) < 0 ? -1 : 0;
}

static int decide(struct execution *e, char **args, int n_args, struct error *err)
{
	const struct start_options *start = &e->options->start;

	if (e->options->process ? read_process(e, err) < 0 : derive_process(e, args, n_args, err) < 0)
		return -1;
	if (e->options->tty)
		e->process.terminal = true;
	if (start->console_socket && !e->process.terminal)
		return error_set(err, ERR_INVALID, "--console-socket needs a terminal");
	if (e->process.terminal && start->detach && !start->console_socket)
		return error_set(err, ERR_INVALID, "a detached process with a terminal needs --console-socket");
	return world_identity(&e->process, err);
}

/* --- running it -------------------------------------------------------------------------------------------------------- */

static int fill(struct execution *e, int pidfd, struct exec_spec *spec, struct error *err)
{
	const struct process_config *p = &e->process;

	e->user_ns = (struct user_ns_spec){ .fd = -1, .maps = e->c->config.id_maps };
	if (e->c->config.namespaces[OCI_NS_USER].path &&
	    userns_maps_of(e->c->store.state.pid, &e->c->oci->arena, &e->user_ns.maps, err) < 0)
		return -1;
	*spec = (struct exec_spec){
		.name = e->c->store.id,
		.target_pidfd = pidfd,
		.joins_pid_ns = e->c->config.namespaces[OCI_NS_PID].wanted,
		.joins_time_ns = e->c->config.namespaces[OCI_NS_TIME].wanted,
		.cgroup = e->c->cgroup,
		.argv = p->args,
		.envp = p->env,
		.cwd = p->cwd,
		.identity = p->identity,
		.rlimits = p->rlimits,
		.n_rlimits = p->n_rlimits,
		.set_oom_score_adj = p->set_oom_score_adj,
		.oom_score_adj = p->oom_score_adj,
		.tty = p->terminal,
		.extras = p->extras,
		.apparmor = p->apparmor_profile,
		.selinux = p->selinux_label,
		.user_ns = e->c->config.namespaces[OCI_NS_USER].wanted ? &e->user_ns : NULL,
	};
	return descriptors_list(&e->c->oci->handed, &spec->extras, &e->c->oci->arena, err) < 0
		       ? -1
		       : seccomp_of(&e->c->config, &e->c->oci->arena, &spec->seccomp, err);
}

static int spawn(struct execution *e, struct spawn_result *ret_result, struct error *err)
{
	const int terminal_stdio[] = { -1, -1, -1 }, our_stdio[] = { 0, 1, 2 };
	_cleanup_fd_ int pidfd = state_open_process(&e->c->store.state, err);
	_cleanup_plan_ struct plan *plan = NULL;
	struct spawner *spawner;
	struct exec_spec spec;
	int result;

	if (pidfd < 0 || fill(e, pidfd, &spec, err) < 0 || plan_compile_exec(&spec, &plan, err) < 0 ||
	    spawner_open_once(0, &spawner, err) < 0)
		return -1;
	result = spawner_run(spawner, plan, spec.tty ? terminal_stdio : our_stdio, START_TIMEOUT_MS, ret_result, err);
	spawner_close(spawner);
	return result;
}

static int finish(struct execution *e, struct spawn_result *spawned, struct error *err)
{
	const struct start_options *start = &e->options->start;

	if (start->pid_file && write_pid_file(start->pid_file, spawned->pid, err) < 0)
		return -1;
	if (spawned->console_fd >= 0) {
		console_resize(spawned->console_fd, &e->process);
		if (start->console_socket && console_send(start->console_socket, spawned->console_fd, err) < 0)
			return -1;
		if (start->console_socket)
			close_fd(&spawned->console_fd);
	}
	if (start->detach)
		return 0;
	return foreground_wait(spawned->pid, spawned->pidfd, steal_fd(&spawned->console_fd), err);
}

static int exec_in(struct execution *e, char **args, int n_args, struct error *err)
{
	enum container_status status = container_status(e->c);
	struct spawn_result spawned = { .pidfd = -1, .console_fd = -1 };
	struct error ignored = ERROR_INIT;
	int code;

	if (status != STATUS_RUNNING && status != STATUS_CREATED && !(status == STATUS_PAUSED && e->options->ignore_paused))
		return error_set(err, ERR_STATE, "it is %s", status_name(status));
	if (decide(e, args, n_args, err) < 0 || spawn(e, &spawned, err) < 0)
		return -1;
	code = finish(e, &spawned, err);
	if (code < 0)
		(void)process_signal(spawned.pidfd, SIGKILL, &ignored);
	close_fd(&spawned.pidfd);
	close_fd(&spawned.console_fd);
	free(spawned.times);
	return code;
}

/*
 * Without the lock: an exec may last for days, and a poststart hook may want one. But while the process is still our interpreter `run` may
 * be making its world, so then we wait for whoever does.
 */
static int open_made(struct container *c, struct oci *oci, const char *id, struct error *err)
{
	if (container_open(c, id, false, err) < 0)
		return -1;
	if (state_status(&c->store.state) != STATUS_CREATED)
		return 0;
	container_close(c);
	container_init(c, oci);
	if (container_open(c, id, true, err) < 0)
		return -1;
	store_unlock(&c->store);
	return 0;
}

static int run_exec(struct oci *oci, const void *opts, char **args, int n_args, struct error *err)
{
	_cleanup_container_ struct container c;
	struct execution e = { .c = &c, .options = opts };
	int code;

	container_init(&c, oci);
	if (descriptors_check(oci, e.options->start.preserve_fds, false, err) < 0)
		return error_prefix(err, "exec in container %s", args[0]);
	if (open_made(&c, oci, args[0], err) < 0)
		return -1;
	code = exec_in(&e, args + 1, n_args - 1, err);
	cJSON_Delete(e.json);
	return code < 0 ? error_prefix(err, "exec in container %s", args[0]) : code;
}

const struct oci_command oci_exec = {
	.name = "exec",
	.arguments = "ID [COMMAND [ARGUMENT...]]",
	.summary = "run one more process in a container",
	.options = rows,
	.options_size = sizeof(struct exec_options),
	.min_args = 1,
	.max_args = -1,
	.stop_at_argument = true,
	.run = run_exec,
};
