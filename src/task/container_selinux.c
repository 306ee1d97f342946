/* Which SELinux labels a container's processes and files have. */
#include "runtime/selinux.h"

#include <stdlib.h>
#include <string.h>

#include "task/container.h"
#include "task/container_spec.h"
#include "task/node_impl.h"

static const Cri__SELinuxOption nothing = CRI__SELINUX_OPTION__INIT;

static const Cri__SELinuxOption *options_of_pod(const Cri__PodSandboxConfig *config)
{
	const Cri__LinuxSandboxSecurityContext *context = config->linux ? config->linux->security_context : NULL;

	return context && context->selinux_options ? context->selinux_options : &nothing;
}

static const char *prefer(const char *first, const char *second)
{
	return *first ? first : second;
}

static struct selinux_parts wanted_parts(const struct sandbox *sandbox, const Cri__ContainerConfig *config)
{
	const Cri__SELinuxOption *pod = options_of_pod(sandbox->config), *own = &nothing;

	if (config && container_security(config)->selinux_options)
		own = container_security(config)->selinux_options;
	return (struct selinux_parts){
		.user = prefer(own->user, pod->user),
		.role = prefer(own->role, pod->role),
		.type = prefer(own->type, pod->type),
		.level = prefer(own->level, pod->level),
	};
}

static bool asks(const struct selinux_parts *parts)
{
	return *parts->user || *parts->role || *parts->type || *parts->level;
}

static int make_label(const struct node *node, const char *base, const struct selinux_parts *parts, struct arena *arena,
		      const char **ret_label, struct error *err)
{
	char label[SELINUX_LABEL_SIZE];

	if (selinux_make_label(base, parts, label, err) < 0 || selinux_check_label(node->selinux_fs, label, err) < 0)
		return error_prefix(err, "security_context.selinux_options");
	*ret_label = arena_strdup(arena, label);
	return *ret_label ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

/*
 * A policy that knows no containers labels those that ask. A privileged process is kept by no category from the other pods' files, and
 * has no label of its own where the policy has no type for it.
 */
static int process_label(const struct node *node, const struct selinux_parts *wanted, bool privileged, const char *level,
			 struct arena *arena, const char **ret_label, struct error *err)
{
	const char *base = *node->selinux.process ? node->selinux.process : SELINUX_BASE;
	struct selinux_parts parts = *wanted;

	if (!asks(wanted) && !*(privileged ? (node->has_selinux_spc ? "spc_t" : "") : node->selinux.process))
		return 0;
	if (privileged && !*parts.type && node->has_selinux_spc)
		parts.type = "spc_t";
	if (!privileged && !*parts.level && selinux_has_level(base))
		parts.level = level;
	return make_label(node, base, &parts, arena, ret_label, err);
}

/* Files have the user and the level of the processes that are to use them; a role means nothing to them. */
static int mount_label(const struct node *node, const struct selinux_parts *wanted, const char *level, struct arena *arena,
		       const char **ret_label, struct error *err)
{
	struct selinux_parts parts = { .user = wanted->user, .level = wanted->level };

	if (!*node->selinux.file)
		return 0;
	if (!*parts.level && selinux_has_level(node->selinux.file))
		parts.level = level;
	return make_label(node, node->selinux.file, &parts, arena, ret_label, err);
}

int container_selinux(const struct sandbox *sandbox, const Cri__ContainerConfig *config, struct arena *arena,
		      struct selinux_labels *ret_labels, struct error *err)
{
	const struct node *node = sandbox->node;
	struct selinux_parts wanted = wanted_parts(sandbox, config);
	struct selinux_labels labels = { 0 };
	char level[SELINUX_LEVEL_SIZE] = "";

	*ret_labels = labels;
	if (!node->selinux_fs)
		return 0;
	if (sandbox->selinux_pair > 0)
		selinux_pair_level(sandbox->selinux_pair - 1, level);
	if (process_label(node, &wanted, config && container_is_privileged(config), level, arena, &labels.process, err) < 0 ||
	    mount_label(node, &wanted, level, arena, &labels.mount, err) < 0)
		return -1;
	*ret_labels = labels;
	return 0;
}

static bool has_pair(const struct node *node, uint32_t pair)
{
	const struct sandbox *other, *next;

	HASH_ITER (hh, node->sandboxes, other, next) {
		if (other->selinux_pair == pair)
			return true;
	}
	return false;
}

/* The first try is as random as the pod's id; of so few pods (MAX_SANDBOXES) at most each other one stands in the way once. */
int sandbox_choose_pair(struct sandbox *sandbox, struct error *err)
{
	const struct node *node = sandbox->node;
	char digits[8] = "";
	uint32_t number;

	if (!node->selinux_fs || *options_of_pod(sandbox->config)->level)
		return 0;
	memcpy(digits, sandbox->id, sizeof(digits) - 1);
	number = (uint32_t)strtoul(digits, NULL, 16) % SELINUX_PAIRS;
	for (uint32_t tries = 0; tries <= MAX_SANDBOXES; tries++) {
		uint32_t pair = (number + tries) % SELINUX_PAIRS + 1;

		if (!has_pair(node, pair)) {
			sandbox->selinux_pair = pair;
			return 0;
		}
	}
	return error_set(err, ERR_EXHAUSTED, "SELinux: every pair of categories that was tried belongs to a pod");
}
