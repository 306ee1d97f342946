/*
 * `monopod run`: what a kubelet does for a pod with one container, once.
 *
 *     image there? else pull -> log directory -> RunPodSandbox -> CreateContainer -> StartContainer
 *     -> (-d: print ids, end) or follow the log until the container ends -> its exit code -> (--rm: remove all)
 *
 * When a step fails, what the earlier ones made is removed. Ctrl-C stops the container; a second one ends this command at once.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/io.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/command.h"
#include "cli/cri_log.h"
#include "cli/json.h"
#include "cli/log_reader.h"
#include "cli/pod_ops.h"
#include "cli/run_spec.h"

/* How often the container is asked whether it has ended: the delay of a short command's exit code. */
#define ASK_INTERVAL_MS 50

/* Grace of a container that Ctrl-C stops. */
#define INTERRUPT_GRACE_S 10

#define ROW(letter, name, argument, kind, field, help)                                                                             \
	{                                                                                                                          \
		letter, name, argument, kind, offsetof(struct run_options, field), help, 0, 0                                      \
	}

static const struct option_row run_rows[] = {
	ROW('d', "detach", NULL, OPTION_FLAG, detach, "print the ids and leave the container running"),
	ROW(0, "rm", NULL, OPTION_FLAG, remove, "remove the pod and its log when the container has ended"),
	ROW(0, "name", "NAME", OPTION_TEXT, name, "name of pod and container; else a random one"),
	ROW(0, "namespace", "NAME", OPTION_TEXT, namespace, "namespace of the pod (default)"),
	ROW('e', "env", "KEY=VALUE", OPTION_LIST, envs, "set an environment variable; may be given again"),
	ROW('v', "mount", "HOST:PATH[:OPTIONS]", OPTION_LIST, mounts,
	    "mount a file or directory of the host; options are ro, rw, rprivate, rslave, rshared; may be given again"),
	ROW('p', "publish", "[IP:]HOSTPORT:PORT[/PROTOCOL]", OPTION_LIST, ports,
	    "forward a port of the host to the pod; may be given again"),
	ROW('u', "user", "USER[:GROUP]", OPTION_TEXT, user, "run as this user: a number or a name, and the number of a group"),
	ROW('w', "workdir", "PATH", OPTION_TEXT, workdir, "working directory"),
	ROW(0, "entrypoint", "PROGRAM", OPTION_TEXT, entrypoint, "run this program instead of the image's entrypoint"),
	ROW(0, "cpu-shares", "N", OPTION_NUMBER, cpu_shares, "share of the CPU relative to others (1024 is one core's request)"),
	ROW(0, "cpu-quota", "MICROSECONDS", OPTION_NUMBER, cpu_quota_us, "CPU time in each 100 ms (100000 is one core)"),
	ROW('m', "memory", "BYTES", OPTION_SIZE, memory_bytes, "limit of memory: a number with k, m or g"),
	ROW('t', "tty", NULL, OPTION_FLAG, tty, "give the container a terminal"),
	ROW(0, "host-network", NULL, OPTION_FLAG, host_network, "use the host's network"),
	ROW(0, "host-pid", NULL, OPTION_FLAG, host_pid, "see the host's processes"),
	ROW(0, "host-ipc", NULL, OPTION_FLAG, host_ipc, "use the host's System V IPC and POSIX message queues"),
	ROW(0, "share-pid", NULL, OPTION_FLAG, share_pid, "one PID namespace for the pod, with an init of its own"),
	ROW(0, "hostname", "NAME", OPTION_TEXT, hostname, "name of the pod's host; else the pod's name"),
	ROW(0, "dns", "ADDRESS", OPTION_LIST, dns, "name server instead of the host's; may be given again"),
	ROW('l', "label", "KEY=VALUE", OPTION_LIST, labels, "label of the pod; may be given again"),
	ROW(0, "annotation", "KEY=VALUE", OPTION_LIST, annotations, "annotation of the pod; may be given again"),
	ROW(0, "cap-add", "CAPABILITY", OPTION_LIST, add_caps, "add a capability (NET_ADMIN, ALL); may be given again"),
	ROW(0, "cap-drop", "CAPABILITY", OPTION_LIST, drop_caps, "take one away; may be given again"),
	ROW(0, "privileged", NULL, OPTION_FLAG, privileged, "all capabilities and devices, nothing masked, no seccomp filter"),
	ROW(0, "no-new-privileges", NULL, OPTION_FLAG, no_new_privs, "setuid programs gain nothing"),
	ROW(0, "read-only", NULL, OPTION_FLAG, read_only, "the root file system cannot be written to"),
	ROW(0, "log-dir", "DIRECTORY", OPTION_TEXT, log_dir,
	    "where the log goes, as 0.log; else a directory of its own in " RUN_LOG_BASE),
	NO_MORE_OPTIONS,
};

struct run {
	struct cli *cli;
	struct run_options options;
	struct run_spec spec;
	char uid[33]; /* of the pod; 32 hexadecimal digits */
	char *pod_id;
	char *container_id;
	bool own_log_dir;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signo)
{
	(void)signo;
	interrupted = 1;
}

/* One-shot, so that the second signal has its usual effect; no SA_RESTART, so that it wakes the follower. */
static void catch_interrupts(void)
{
	struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND };

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

static void fill_defaults(struct run *run)
{
	struct run_options *o = &run->options;
	struct arena *arena = &run->cli->arena;
	char id[ID_SIZE];

	id_generate(id);
	memcpy(run->uid, id, 32);
	if (!o->name)
		o->name = arena_printf(arena, "run-%.8s", run->uid);
	if (!o->namespace)
		o->namespace = "default";
	run->own_log_dir = !o->log_dir;
	if (!o->log_dir)
		o->log_dir = arena_printf(arena, RUN_LOG_BASE "/%s", run->uid);
}

static int ensure_image(struct cli *cli, char *image, struct error *err)
{
	Cri__ImageStatusRequest lookup = CRI__IMAGE_STATUS_REQUEST__INIT;
	Cri__PullImageRequest pull = CRI__PULL_IMAGE_REQUEST__INIT;
	Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
	_cleanup_message_ Cri__ImageStatusResponse *status = NULL;
	_cleanup_message_ ProtobufCMessage *pulled = NULL;

	spec.image = image;
	lookup.image = pull.image = &spec;
	status = (Cri__ImageStatusResponse *)cli_call(cli, "ImageStatus", &lookup.base, err);
	if (!status)
		return -1;
	if (status->image)
		return 0;
	(void)fprintf(stderr, "pulling %s\n", image);
	pulled = cli_call(cli, "PullImage", &pull.base, err);
	return pulled ? 0 : -1;
}

static int make_pod(struct run *run, struct error *err)
{
	Cri__RunPodSandboxRequest request = CRI__RUN_POD_SANDBOX_REQUEST__INIT;
	_cleanup_message_ Cri__RunPodSandboxResponse *reply = NULL;

	request.config = run->spec.pod;
	reply = (Cri__RunPodSandboxResponse *)cli_call(run->cli, "RunPodSandbox", &request.base, err);
	if (!reply)
		return -1;
	run->pod_id = arena_strdup(&run->cli->arena, reply->pod_sandbox_id);
	return cli_check_memory(run->cli, err);
}

static int make_container(struct run *run, struct error *err)
{
	Cri__CreateContainerRequest create = CRI__CREATE_CONTAINER_REQUEST__INIT;
	Cri__StartContainerRequest start = CRI__START_CONTAINER_REQUEST__INIT;
	_cleanup_message_ Cri__CreateContainerResponse *created = NULL;
	_cleanup_message_ ProtobufCMessage *started = NULL;

	create.pod_sandbox_id = run->pod_id;
	create.config = run->spec.container;
	create.sandbox_config = run->spec.pod;
	created = (Cri__CreateContainerResponse *)cli_call(run->cli, "CreateContainer", &create.base, err);
	if (!created)
		return -1;
	run->container_id = arena_strdup(&run->cli->arena, created->container_id);
	if (cli_check_memory(run->cli, err) < 0)
		return -1;
	start.container_id = run->container_id;
	started = cli_call(run->cli, "StartContainer", &start.base, err);
	return started ? 0 : -1;
}

static int remove_log_dir(const struct run *run, struct error *err)
{
	return run->own_log_dir ? io_remove_tree(AT_FDCWD, run->options.log_dir, err) : 0;
}

/* Everything that was made so far; the first error counts, the rest is tried all the same. */
static int discard(struct run *run, struct error *err)
{
	struct error later = ERROR_INIT;
	int status = 0;

	if (run->pod_id) {
		status = stop_pod(run->cli, run->pod_id, err);
		if (remove_pod(run->cli, run->pod_id, status < 0 ? &later : err) < 0)
			status = -1;
	}
	if (remove_log_dir(run, status < 0 ? &later : err) < 0)
		status = -1;
	return status;
}

static int start_all(struct run *run, struct error *err)
{
	struct error undo = ERROR_INIT;

	if (io_make_dirs(run->options.log_dir, 0755, err) < 0)
		return -1;
	if (make_pod(run, err) == 0 && make_container(run, err) == 0)
		return 0;
	if (discard(run, &undo) < 0)
		(void)fprintf(stderr, "monopod run: while removing what was made: %s\n", undo.text);
	return -1;
}

static int print_ids(struct run *run, FILE *out, struct error *err)
{
	_cleanup_message_ Cri__PodSandboxStatusResponse *reply = pod_status(run->cli, run->pod_id, false, err);
	const char *ip = reply && reply->status && reply->status->network ? reply->status->network->ip : "";
	cJSON *json;

	if (!reply)
		return -1;
	if (!run->cli->json) {
		(void)fprintf(out, "pod        %s\ncontainer  %s\nip         %s\n", run->pod_id, run->container_id,
			      ip[0] ? ip : "-");
		return 0;
	}
	json = cJSON_CreateObject();
	if (!json || !cJSON_AddStringToObject(json, "podSandboxId", run->pod_id) ||
	    !cJSON_AddStringToObject(json, "containerId", run->container_id) || !cJSON_AddStringToObject(json, "ip", ip)) {
		cJSON_Delete(json);
		json = NULL;
	}
	return json_print(json, out, err);
}

/* Nobody reads any more, or somebody pressed Ctrl-C: the container is not wanted longer. */
static bool has_ended(void *arg)
{
	struct run *run = arg;
	struct error err = ERROR_INIT;
	_cleanup_message_ Cri__ContainerStatusResponse *reply = NULL;

	if ((interrupted || ferror(run->cli->out)) &&
	    stop_container(run->cli, run->container_id, ferror(run->cli->out) ? 0 : INTERRUPT_GRACE_S, &err) < 0)
		return true;
	reply = container_status(run->cli, run->container_id, false, &err);
	if (!reply)
		return err.code != ERR_UNAVAILABLE;
	return !reply->status || reply->status->state == CRI__CONTAINER_STATE__CONTAINER_EXITED;
}

static int follow(struct run *run, struct error *err)
{
	struct log_printer printer = { .streams = { run->cli->out, stderr } };
	_cleanup_log_reader_ struct log_reader reader = { .fd = -1, .notify = -1 };
	const char *path = arena_printf(&run->cli->arena, "%s/0.log", run->options.log_dir);

	if (cli_check_memory(run->cli, err) < 0 || log_reader_open(&reader, path, true, &printer, err) < 0)
		return -1;
	return log_reader_follow(&reader, has_ended, run, ASK_INTERVAL_MS, err);
}

static int exit_code(struct run *run, struct error *err)
{
	_cleanup_message_ Cri__ContainerStatusResponse *reply = container_status(run->cli, run->container_id, false, err);

	if (!reply)
		return -1;
	if (!reply->status)
		return error_set(err, ERR_INTERNAL, "the container has no status");
	return reply->status->exit_code & 0xff;
}

static int attend(struct run *run, struct error *err)
{
	struct error undo = ERROR_INIT;
	int code = -1;

	if (print_ids(run, stderr, err) == 0 && follow(run, err) == 0)
		code = exit_code(run, err);
	if (run->options.remove && discard(run, &undo) < 0) {
		if (code >= 0)
			*err = undo;
		return -1;
	}
	return code;
}

static int run_run(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	struct run run = { .cli = cli, .options = *(const struct run_options *)opts };

	if (run.options.detach && run.options.remove)
		return cli_usage(err, "%s", "--rm waits for the container and does not go with --detach");
	fill_defaults(&run);
	if (cli_check_memory(cli, err) < 0)
		return CLI_FAILED;
	if (run_spec_build(&cli->arena, &run.options, run.uid, args[0], args + 1, (size_t)n_args - 1, &run.spec, err) < 0)
		return err->code == ERR_INVALID ? CLI_USAGE : CLI_FAILED;
	catch_interrupts();
	if (ensure_image(cli, args[0], err) < 0 || start_all(&run, err) < 0)
		return CLI_FAILED;
	return run.options.detach ? print_ids(&run, cli->out, err) : attend(&run, err);
}

const struct command subcommand_run = {
	.name = "run",
	.arguments = "IMAGE [ARGUMENT...]",
	.summary = "run a container in a pod of its own",
	.text = "Makes a pod with one container from IMAGE, which is pulled when it is not here, and follows its output until it "
		"ends. The\n"
		"arguments replace the image's command. Ids and the pod's address are printed to standard error, or with --detach "
		"to\n"
		"standard output. Ctrl-C stops the container.\n\n"
		"The exit code is the container's; 128 and the signal's number when a signal ended it; 125 when it could not be "
		"run.",
	.options = run_rows,
	.options_size = sizeof(struct run_options),
	.min_args = 1,
	.max_args = -1,
	.stop_at_argument = true,
	.failure_exit_code = CLI_EXIT_NOT_RUN,
	.run = run_run,
};
