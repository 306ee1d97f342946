/*
 * ExplainContainer: what StartContainer did, or would do, with a container that is here or with a request that is not sent.
 *
 * The same functions run as for a start, up to the plan, which is printed instead of being executed: a descriptor of nothing stands
 * for the mounts and namespaces that a start would open. What is made is a read-only view of the image, to look up its users, and for
 * a profile in a file a directory; both are gone before the answer is given. For a request that is not sent pod and container are
 * objects that nobody else learns of.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "image/image.h"
#include "proto/admin.pb-c.h"
#include "runtime/plan.h"
#include "task/container_cdi.h"
#include "task/machines.h"
#include "task/message.h"
#include "task/node_impl.h"
#include "task/operation.h"
#include "task/sandbox_spec.h"
#include "task/start_container.h"
#include "task/user_ns.h"

struct explain_container {
	struct operation op; /* first */
	struct container *container;
	bool unsent;
	Cri__NamespaceMode pid_mode;
	struct start_container start; /* what start_compile() reads; never begun */
	int nothing;                  /* stands for what is not opened */
	char *prepared, *operations;  /* lines */
};

static step_fn explain;

static const struct step steps[] = {
	/* name        run      undo  deadline_ms */
	{ "explain", explain, NULL, 60000 },
};

const struct machine explain_container_machine = MACHINE("explain_container", steps);

static struct explain_container *explain_container_of(struct task *task)
{
	return container_of(task, struct explain_container, op.task);
}

/* ---- what a start looks up ---- */

/* A container that was started keeps what its user was then; of any other the image is asked. */
static int find_user(struct explain_container *op, struct error *err)
{
	const struct container *container = op->container;
	const struct overlay_spec overlay = {
		.lower_dirs = (const char *const *)container->image->layer_dirs,
		.n_lower_dirs = container->image->n_layers,
	};
	_cleanup_fd_ int rootfs = -1;

	if (container->cwd) {
		op->start.user = container->user;
		op->start.cwd = container->cwd;
		op->start.env = container->env;
		return container_cdi(container, &op->start.scratch, &op->start.cdi, err);
	}
	rootfs = op->start.rootfs = overlay_open(&overlay, err);
	return rootfs < 0 ? -1 : start_find_user(&op->start, err);
}

static int find_mounts(struct explain_container *op, struct error *err)
{
	const struct mount_list *mounts = &op->start.mounts;

	if (start_list_mounts(&op->start, err) < 0)
		return -1;
	for (size_t i = 0; i < mounts->n; i++) {
		struct mount_entry *entry = &mounts->entries[i];
		struct stat st;

		if (entry->spec.kind != MOUNT_BIND)
			continue;
		entry->spec.fd = op->nothing;
		if (entry->is_volume && stat(entry->volume.host_path, &st) == 0)
			entry->spec.target_is_file = !S_ISDIR(st.st_mode);
	}
	return 0;
}

static void choose_namespaces(struct explain_container *op)
{
	struct sandbox *sandbox = op->container->sandbox;

	op->start.pid_ns = op->pid_mode == CRI__NAMESPACE_MODE__NODE        ? NS_HOST
			   : op->pid_mode == CRI__NAMESPACE_MODE__CONTAINER ? NS_NEW
									    : op->nothing;
	if (!op->unsent)
		return;
	if (!sandbox_host_network(sandbox->config))
		sandbox->ns.net = sandbox->ns.uts = op->nothing;
	if (!sandbox_host_ipc(sandbox->config))
		sandbox->ns.ipc = op->nothing;
}

static int choose_user_ns(struct explain_container *op, struct error *err)
{
	const struct sandbox *sandbox = op->container->sandbox;
	int user_ns = sandbox->ns.user >= 0 ? sandbox->ns.user : op->nothing;

	return sandbox_user_ns(sandbox->config, user_ns, &op->start.scratch, &op->start.user_ns, err);
}

/* A profile that lies in a file is read into the container's directory, which a request that is not sent has not. */
static int compile(struct explain_container *op, struct error *err)
{
	const char *dir = op->container->state_dir;
	struct error ignored = ERROR_INIT;
	int result;

	if (start_list_hooks(&op->start, err) < 0)
		return -1;
	op->start.hooks.spec.state = op->start.hooks.spec.output = op->start.hooks.spec.host_tree = op->nothing;
	if (!op->unsent)
		return start_compile(&op->start, err);
	if (io_make_dirs(dir, 0700, err) < 0)
		return -1;
	result = container_keep_seccomp(op->container, err) < 0 ? -1 : start_compile(&op->start, err);
	(void)io_remove_tree(AT_FDCWD, dir, &ignored);
	return result;
}

/* ---- what is told ---- */

static void print_user(const struct explain_container *op, FILE *out)
{
	const struct container_user *user = &op->start.user;

	(void)fprintf(out, "user: %u:%u, groups", user->uid, user->gid);
	for (size_t i = 0; i < user->n_groups; i++)
		(void)fprintf(out, " %u", user->groups[i]);
	(void)fprintf(out, "\n");
}

/* "uids" or "gids"; the first id on either side, and how many. */
static void print_maps(const char *name, const struct id_map *maps, size_t n, FILE *out)
{
	for (size_t i = 0; i < n; i++)
		(void)fprintf(out, "%s: %u to %u are the host's %u to %u\n", name, maps[i].inside,
			      maps[i].inside + maps[i].length - 1, maps[i].outside, maps[i].outside + maps[i].length - 1);
}

static void print_user_ns(const struct explain_container *op, FILE *out)
{
	const struct user_ns_spec *user_ns = op->start.user_ns;

	if (!user_ns)
		return;
	print_maps("uids", user_ns->maps.uids, user_ns->maps.n_uids, out);
	print_maps("gids", user_ns->maps.gids, user_ns->maps.n_gids, out);
}

static void print_volumes(const struct explain_container *op, FILE *out)
{
	static const char *const propagations[] = {
		[PROPAGATION_PRIVATE] = "private",
		[PROPAGATION_HOST_TO_CONTAINER] = "slave",
		[PROPAGATION_BIDIRECTIONAL] = "shared",
	};

	for (size_t i = 0; i < op->start.mounts.n; i++) {
		const struct mount_entry *entry = &op->start.mounts.entries[i];

		if (entry->is_image)
			(void)fprintf(out, "volume: an image for %s, read-only%s\n", entry->spec.target,
				      op->start.user_ns ? ", id-mapped" : "");
		if (entry->is_volume)
			(void)fprintf(out, "volume: %s for %s, %s, %s%s%s\n", entry->volume.host_path, entry->spec.target,
				      entry->volume.readonly ? "read-only" : "writable", propagations[entry->volume.propagation],
				      entry->volume.recursive_readonly ? ", recursively" : "",
				      entry->id_maps.n_uids > 0 ? ", id-mapped" : "");
	}
}

static void print_limits(const struct explain_container *op, FILE *out)
{
	const Cri__LinuxContainerResources *r = container_resources_now(op->container);

	(void)fprintf(out, "cgroup: %s\n", op->container->cgroup_path);
	if (!r)
		return;
	if (r->cpu_shares)
		(void)fprintf(out, "limit: cpu shares %lld\n", (long long)r->cpu_shares);
	if (r->cpu_quota)
		(void)fprintf(out, "limit: cpu quota %lld us of %lld us\n", (long long)r->cpu_quota, (long long)r->cpu_period);
	if (r->memory_limit_in_bytes)
		(void)fprintf(out, "limit: memory %lld bytes\n", (long long)r->memory_limit_in_bytes);
	if (r->memory_swap_limit_in_bytes)
		(void)fprintf(out, "limit: memory and swap %lld bytes\n", (long long)r->memory_swap_limit_in_bytes);
	if (*r->cpuset_cpus || *r->cpuset_mems)
		(void)fprintf(out, "limit: CPUs %s, memory nodes %s\n", r->cpuset_cpus, r->cpuset_mems);
	for (size_t i = 0; i < r->n_hugepage_limits; i++)
		(void)fprintf(out, "limit: pages of %s %llu bytes\n", r->hugepage_limits[i]->page_size,
			      (unsigned long long)r->hugepage_limits[i]->limit);
	for (size_t i = 0; i < r->n_unified; i++)
		(void)fprintf(out, "limit: %s %s\n", r->unified[i]->key, r->unified[i]->value);
}

static void print_devices(const struct explain_container *op, FILE *out)
{
	const struct device_list *devices = &op->start.devices;

	if (!devices->restricted)
		(void)fprintf(out, "devices: all\n");
	for (size_t i = 0; i < devices->n_rules; i++)
		(void)fprintf(out, "device rule: %c %d:%d %s\n", devices->rules[i].type, devices->rules[i].major,
			      devices->rules[i].minor, devices->rules[i].access);
}

static void print_prepared(const struct explain_container *op, FILE *out)
{
	const struct container *container = op->container;

	(void)fprintf(out, "root: %zu layers of image %s\n", container->image->n_layers, container->image->id);
	print_user_ns(op, out);
	print_user(op, out);
	print_volumes(op, out);
	if (container->config->tty)
		(void)fprintf(out, "streams: a terminal\n");
	else
		(void)fprintf(out, "streams: %sstdout stderr\n", container->config->stdin ? "stdin " : "");
	if (container->log_path)
		(void)fprintf(out, "log: %s\n", container->log_path);
	print_limits(op, out);
	print_devices(op, out);
}

/* Everything that is printed, as one text; NULL when memory is out. */
static char *print(const struct explain_container *op, void (*printer)(const struct explain_container *op, FILE *out))
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int failed;

	if (!out)
		return NULL;
	printer(op, out);
	failed = ferror(out);
	if (fclose(out) != 0 || failed) {
		free(text);
		return NULL;
	}
	return text;
}

static void print_operations(const struct explain_container *op, FILE *out)
{
	(void)plan_print(op->start.plan, out);
}

/* ---- the one step ---- */

static int explain_work(struct task *task, struct error *err)
{
	struct explain_container *op = explain_container_of(task);

	op->nothing = open("/dev/null", O_PATH | O_CLOEXEC);
	if (op->nothing < 0)
		return error_sys(err, errno, "open /dev/null");
	choose_namespaces(op);
	if (choose_user_ns(op, err) < 0 || find_user(op, err) < 0 || find_mounts(op, err) < 0 ||
	    start_list_devices(&op->start, err) < 0)
		return -1;
	op->start.rootfs = op->nothing;
	if (start_choose_labels(&op->start, err) < 0 || compile(op, err) < 0)
		return -1;
	op->prepared = print(op, print_prepared);
	op->operations = print(op, print_operations);
	if (!op->prepared || !op->operations)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	return 0;
}

static enum verdict explain(struct task *task, struct error *err)
{
	struct explain_container *op = explain_container_of(task);

	return task_run_in_lane(task, op->container->sandbox->lane, explain_work, err);
}

/* ---- the answer ---- */

static char **split_lines(char *text, struct arena *arena, size_t *ret_n)
{
	size_t n = 0;
	char **lines;

	for (const char *p = text; *p; p++)
		n += *p == '\n';
	lines = arena_new_array(arena, char *, n + 1);
	*ret_n = lines ? n : 0;
	for (size_t i = 0; i < *ret_n; i++)
		lines[i] = strsep(&text, "\n");
	return lines;
}

static void reply(struct operation *base, struct call *call)
{
	struct explain_container *op = container_of(base, struct explain_container, op);
	Admin__ExplainContainerResponse message = ADMIN__EXPLAIN_CONTAINER_RESPONSE__INIT;
	struct error err = ERROR_INIT;

	message.prepared = split_lines(op->prepared, &call->arena, &message.n_prepared);
	message.operations = split_lines(op->operations, &call->arena, &message.n_operations);
	if (!arena_failed(&call->arena)) {
		call_reply(call, &message.base);
		return;
	}
	(void)error_set(&err, ERR_EXHAUSTED, "out of memory");
	call_fail(call, &err);
}

static void release(struct operation *base)
{
	struct explain_container *op = container_of(base, struct explain_container, op);

	plan_free(op->start.plan);
	arena_release(&op->start.scratch);
	arena_release(&op->start.keep);
	free(op->prepared);
	free(op->operations);
	if (op->unsent && op->container)
		op->container->sandbox->ns = (struct pod_namespaces)POD_NAMESPACES_INIT;
	close_fd(&op->nothing);
	container_unref(op->container);
}

static const struct operation_kind kind = {
	.machine = &explain_container_machine,
	.size = sizeof(struct explain_container),
	.reply = reply,
	.release = release,
};

/* ---- whom ---- */

/* Takes the configuration. The sandbox is the container's alone when this returns. */
static struct container *make_container(struct sandbox *sandbox, Cri__ContainerConfig *config, struct image *image,
					struct error *err)
{
	struct container *container = NULL;
	char id[ID_SIZE];

	id_generate(id);
	if (container_check(sandbox, config, image, err) == 0)
		container = container_new(sandbox, id, config, err);
	if (!container) {
		message_free(config);
		return NULL;
	}
	container->image = image_ref(image);
	return container;
}

static struct sandbox *make_sandbox(struct node *node, const Cri__PodSandboxConfig *request, struct error *err)
{
	Cri__PodSandboxConfig *config = message_copy(&request->base, err);
	struct sandbox *sandbox = NULL;
	char id[ID_SIZE];

	if (!config)
		return NULL;
	id_generate(id);
	if (sandbox_check(config, err) == 0)
		sandbox = sandbox_new(node, id, config, "", err);
	if (!sandbox)
		message_free(config);
	else if (sandbox_choose_pair(sandbox, err) < 0) {
		sandbox_unref(sandbox);
		sandbox = NULL;
	}
	return sandbox;
}

static struct container *make_unsent(struct node *node, const Admin__ExplainContainerRequest *request, struct error *err)
{
	struct sandbox *sandbox = make_sandbox(node, request->sandbox_config, err);
	Cri__ContainerConfig *config = sandbox ? message_copy(&request->config->base, err) : NULL;
	struct container *container = NULL;
	struct image *image = NULL;

	if (config && image_find(node->images, config->image->image, &image, err) == 0 && !image)
		(void)error_set(err, ERR_NOT_FOUND, "image %s is not here; pull it first", config->image->image);
	if (image)
		container = make_container(sandbox, steal_ptr(&config), image, err);
	message_free(config);
	image_unref(image);
	sandbox_unref(sandbox);
	return container;
}

static struct container *find_sent(struct node *node, const char *id, struct error *err)
{
	struct container *container = container_find(node, id);

	if (!container || !container_is_public(container))
		(void)error_set(err, ERR_NOT_FOUND, "there is no container %s", id);
	else if (!container->image)
		(void)error_set(err, ERR_NOT_FOUND, "image %s is not here any more", container->image_id);
	else
		return container_ref(container);
	return NULL;
}

static int begin(struct node *node, struct call *call, struct error *err)
{
	const Admin__ExplainContainerRequest *request = (const Admin__ExplainContainerRequest *)call->request;
	struct explain_container *op = operation_new(node, &kind, call, err);

	if (!op)
		return -1;
	op->nothing = -1;
	op->unsent = !*request->container_id;
	op->container = op->unsent ? make_unsent(node, request, err) : find_sent(node, request->container_id, err);
	if (!op->container) {
		operation_discard(&op->op);
		return -1;
	}
	op->pid_mode = container_pid_mode(op->container->config, op->container->sandbox->config);
	op->start.op.node = node;
	op->start.container = op->container;
	op->start.oom_score_adj = oom_score_adj_within(oom_score_adj_wanted(container_resources_now(op->container)),
						       node->own_oom_score_adj, node->may_lower_oom_score);
	operation_title(&op->op, "explain container %s", op->container->config->metadata->name);
	operation_begin(&op->op, NULL);
	return 0;
}

void op_explain_container(struct node *node, struct call *call)
{
	struct error err = ERROR_INIT;

	if (begin(node, call, &err) < 0)
		call_fail(call, &err);
}
