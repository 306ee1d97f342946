#include "cli/command.h"
#include "cli/pod_ops.h"
#include "proto/cri.pb-c.h"

struct rm_options {
	bool all;
	bool force;
	bool pod;
	bool container;
};

static const struct option_row rm_rows[] = {
	{ 'a', "all", NULL, OPTION_FLAG, offsetof(struct rm_options, all), "every pod that is not ready; with --force every pod", 0,
	  0 },
	{ 'f', "force", NULL, OPTION_FLAG, offsetof(struct rm_options, force), "stop what still runs first, by SIGKILL", 0, 0 },
	{ 'p', "pod", NULL, OPTION_FLAG, offsetof(struct rm_options, pod), "the arguments are pods", 0, 0 },
	{ 'c', "container", NULL, OPTION_FLAG, offsetof(struct rm_options, container), "the arguments are containers", 0, 0 },
	NO_MORE_OPTIONS,
};

static int remove_pod_checked(struct cli *cli, const char *id, bool force, struct error *err)
{
	_cleanup_message_ Cri__PodSandboxStatusResponse *reply = pod_status(cli, id, false, err);

	if (!reply)
		return -1;
	if (reply->status && reply->status->state == CRI__POD_SANDBOX_STATE__SANDBOX_READY) {
		if (!force)
			return error_set(err, ERR_STATE, "the pod is ready: stop it first, or use --force");
		if (stop_pod(cli, id, err) < 0)
			return -1;
	}
	return remove_pod(cli, id, err);
}

static int remove_container_checked(struct cli *cli, const char *id, bool force, struct error *err)
{
	_cleanup_message_ Cri__ContainerStatusResponse *reply = container_status(cli, id, false, err);

	if (!reply)
		return -1;
	if (reply->status && reply->status->state == CRI__CONTAINER_STATE__CONTAINER_RUNNING) {
		if (!force)
			return error_set(err, ERR_STATE, "the container runs: stop it first, or use --force");
		if (stop_container(cli, id, 0, err) < 0)
			return -1;
	}
	return remove_container(cli, id, err);
}

static int remove_one(struct cli *cli, const struct rm_options *options, const char *reference, struct error *err)
{
	enum target_kind wanted = options->pod ? TARGET_POD : options->container ? TARGET_CONTAINER : TARGET_ANY;
	struct target target;

	if (find_target(cli, reference, wanted, &target, err) < 0)
		return -1;
	if (target.kind == TARGET_POD)
		return remove_pod_checked(cli, target.id, options->force, err);
	return remove_container_checked(cli, target.id, options->force, err);
}

static int remove_all(struct cli *cli, bool force, struct error *err)
{
	Cri__ListPodSandboxRequest request = CRI__LIST_POD_SANDBOX_REQUEST__INIT;
	_cleanup_message_ Cri__ListPodSandboxResponse *list = NULL;

	list = (Cri__ListPodSandboxResponse *)cli_call(cli, "ListPodSandbox", &request.base, err);
	if (!list)
		return -1;
	for (size_t i = 0; i < list->n_items; i++) {
		const Cri__PodSandbox *pod = list->items[i];

		if (pod->state == CRI__POD_SANDBOX_STATE__SANDBOX_READY && !force)
			continue;
		if (remove_pod_checked(cli, pod->id, force, err) < 0)
			return error_prefix(err, "%s", pod->id);
		(void)fprintf(cli->out, "%s\n", pod->id);
	}
	return 0;
}

static int run_rm(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	const struct rm_options *options = opts;

	if (options->pod && options->container)
		return cli_usage(err, "%s", "--pod and --container exclude each other");
	if (options->all != (n_args == 0))
		return cli_usage(err, "%s", "name what to remove, or use --all alone");
	if (options->all)
		return remove_all(cli, options->force, err);
	for (int i = 0; i < n_args; i++) {
		if (remove_one(cli, options, args[i], err) < 0)
			return error_prefix(err, "%s", args[i]);
		(void)fprintf(cli->out, "%s\n", args[i]);
	}
	return 0;
}

const struct command subcommand_rm = {
	.name = "rm",
	.arguments = "POD|CONTAINER...",
	.summary = "remove pods or containers",
	.text = "Removes stopped pods with all their containers, or single stopped containers. A pod goes before a container of "
		"the same name.",
	.options = rm_rows,
	.options_size = sizeof(struct rm_options),
	.max_args = -1,
	.run = run_rm,
};
