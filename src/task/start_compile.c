#include "task/start_container.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "image/image.h"
#include "runtime/plan.h"
#include "task/container_hooks.h"
#include "task/node_impl.h"

static struct mount_spec *mount_specs(struct start_container *op)
{
	struct mount_spec *specs = arena_new_array(&op->scratch, struct mount_spec, op->mounts.n + 1);

	for (size_t i = 0; specs && i < op->mounts.n; i++)
		specs[i] = op->mounts.entries[i].spec;
	return specs;
}

static int fill_process(struct start_container *op, struct container_spec *spec, struct error *err)
{
	const struct container *container = op->container;
	const Cri__ContainerConfig *config = container->config;
	char **argv;

	if (container_argv(config, &container->image->config, &op->scratch, &argv, err) < 0 ||
	    container_identity(config, &op->user, &spec->identity, err) < 0 ||
	    container_seccomp(container, &spec->identity, &op->scratch, &spec->seccomp, err) < 0 ||
	    container_apparmor(container, &spec->apparmor, err) < 0)
		return -1;
	spec->selinux = op->labels.process;
	spec->mount_label = op->labels.mount;
	spec->name = container->config->metadata->name;
	spec->argv = (const char *const *)argv;
	spec->envp = (const char *const *)op->env;
	spec->cwd = op->cwd;
	spec->tty = config->tty;
	spec->rlimits = op->op.node->rlimits.specs;
	spec->n_rlimits = op->op.node->rlimits.n;
	spec->set_oom_score_adj = true;
	spec->oom_score_adj = op->oom_score_adj;
	return 0;
}

static void fill_world(struct start_container *op, struct container_spec *spec)
{
	const struct container *container = op->container;
	const struct pod_namespaces *ns = &container->sandbox->ns;
	const Cri__LinuxContainerConfig *specific = container->config->linux;

	spec->user_ns = op->user_ns;
	spec->net_ns = ns->net;
	spec->ipc_ns = ns->ipc;
	spec->uts_ns = ns->uts;
	spec->pid_ns = op->pid_ns;
	spec->new_cgroup_ns = true;
	spec->cgroup = op->cgroup;
	spec->cgroup_roots = op->op.node->cgroups;
	spec->rootfs = op->rootfs;
	spec->readonly_rootfs = specific && specific->security_context && specific->security_context->readonly_rootfs;
	spec->mounts = mount_specs(op);
	spec->n_mounts = op->mounts.n;
	spec->devices = op->devices.devices;
	spec->n_devices = op->devices.n_devices;
	spec->masked_paths = container_masked_paths(container->config, &op->scratch);
	spec->readonly_paths = container_readonly_paths(container->config, &op->scratch);
}

int start_compile(struct start_container *op, struct error *err)
{
	struct container_spec spec = { 0 };

	if (fill_process(op, &spec, err) < 0)
		return -1;
	fill_world(op, &spec);
	if (arena_failed(&op->scratch))
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (op->hooks.in_plan)
		spec.hooks = &op->hooks.spec;
	if (op->writes_bundle && op->cdi.n_hooks > 0 && container_write_bundle(op->container, &spec, &op->cdi, err) < 0)
		return -1;
	return plan_compile(&spec, &op->plan, err);
}

/* Clamped here because the one warning about it is the node's. */
int start_choose_oom_score(struct start_container *op, struct error *err)
{
	struct node *node = op->op.node;
	const Cri__LinuxContainerResources *resources = container_resources_now(op->container);
	int64_t wanted = oom_score_adj_wanted(resources);

	op->oom_score_adj = oom_score_adj_within(wanted, node->own_oom_score_adj, node->may_lower_oom_score);
	if (op->oom_score_adj == wanted || !resources)
		return 0;
	if (!node->config->clamp_oom_score_adj)
		return error_set(
			err, ERR_DENIED,
			"oom_score_adj %d needs CAP_SYS_RESOURCE, which the daemon lacks (see runtime.clamp_oom_score_adj)",
			(int)wanted);
	if (!node->warned_oom_score)
		log_warn("task", "without CAP_SYS_RESOURCE oom_score_adj cannot go below %d: containers that ask for less get that",
			 node->own_oom_score_adj);
	node->warned_oom_score = true;
	return 0;
}

/* ---- what it took ---- */

static uint32_t spawn_began_us(const struct timeline *timeline)
{
	for (unsigned i = 0; i < timeline->n_entries; i++)
		if (!strcmp(timeline->entries[i].name, "spawn"))
			return timeline->entries[i].start_us;
	return 0;
}

/* One entry for each kind of operation of the plan: when the first began, and what they took together. */
void start_add_plan_times(const struct start_container *op, struct timeline *timeline)
{
	uint32_t base_us = spawn_began_us(timeline);
	unsigned first = timeline->n_entries;

	for (size_t i = 0; op->spawned.times && i < plan_length(op->plan); i++) {
		const struct op_time *time = &op->spawned.times[i];
		char name[sizeof(timeline->entries[0].name)];
		unsigned at = first;

		(void)snprintf(name, sizeof(name), "plan.%s", plan_op_name(op->plan, i));
		while (at < timeline->n_entries && strcmp(timeline->entries[at].name, name) != 0)
			at++;
		if (at < timeline->n_entries)
			timeline->entries[at].took_us += time->took_us;
		else
			timeline_add(timeline, name, base_us + time->start_us, time->took_us);
	}
}
