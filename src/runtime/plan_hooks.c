/* What a plan has when it is not only for itself: names and settings of new namespaces, stops, and programs of others. */
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "runtime/namespaces.h"
#include "runtime/plan_lay.h"
#include "runtime/sysctl.h"

static void lay_text(struct plan_build *build, enum plan_kind kind, const char *text)
{
	plan_add(build, kind)->text = plan_add_text(build, text);
}

static int lay_name(struct plan_build *build, const struct container_spec *spec, enum plan_kind kind, const char *name,
		    struct error *err)
{
	if (!name || !*name)
		return 0;
	if (spec->uts_ns == NS_HOST)
		return error_set(err, ERR_INVALID, "host or domain name '%.64s' needs a UTS namespace other than the host's", name);
	/* __NEW_UTS_LEN of the kernel */
	if (strlen(name) > 64)
		return error_set(err, ERR_INVALID, "host or domain name '%.64s...' is longer than 64 bytes", name);
	lay_text(build, kind, name);
	return 0;
}

static int lay_sysctl(struct plan_build *build, const struct container_spec *spec, const struct sysctl_spec *sysctl,
		      struct error *err)
{
	const struct sysctl_scope own = { spec->net_ns != NS_HOST, spec->ipc_ns != NS_HOST, spec->uts_ns != NS_HOST };
	char path[sizeof("sys/") + SYSCTL_PATH_SIZE] = "sys/";
	uint32_t value;
	struct plan_op *op;

	if (sysctl_check(sysctl, &own, err) < 0)
		return -1;
	(void)sysctl_path(sysctl->name, path + strlen("sys/"));
	value = plan_add_text(build, sysctl->value);
	op = plan_add(build, PLAN_SYSCTL);
	op->text = plan_add_text(build, path);
	op->list = plan_add_list(build, &value, 1, sizeof(value));
	op->n_list = 1;
	return 0;
}

int lay_settings(struct plan_build *build, const struct container_spec *spec, struct error *err)
{
	if (lay_name(build, spec, PLAN_HOSTNAME, spec->hostname, err) < 0 ||
	    lay_name(build, spec, PLAN_DOMAINNAME, spec->domainname, err) < 0)
		return -1;
	if (spec->net_ns == NS_NEW)
		(void)plan_add(build, PLAN_LOOPBACK);
	if (spec->n_sysctls > SYSCTLS_MAX)
		return error_set(err, ERR_INVALID, "sysctls: %zu of them, more than %d", spec->n_sysctls, SYSCTLS_MAX);
	for (size_t i = 0; i < spec->n_sysctls; i++) {
		if (lay_sysctl(build, spec, &spec->sysctls[i], err) < 0)
			return -1;
	}
	return 0;
}

static bool sees_host(const struct hooks_spec *hooks)
{
	return hooks && (hooks->outside || hooks->n_create_container > 0);
}

int lay_root(struct plan_build *build, const struct container_spec *spec, struct error *err)
{
	const struct hooks_spec *hooks = spec->hooks;
	struct plan_op *op;

	if (spec->rootfs < 0)
		return error_set(err, ERR_INVALID, "no root file system");
	if (sees_host(hooks) && (hooks->host_tree < 0 || !hooks->rootfs_path || hooks->rootfs_path[0] != '/'))
		return error_set(err, ERR_INVALID, "hooks need the host's files and the root's place among them");
	if (sees_host(hooks))
		plan_add(build, PLAN_HOST_ROOT)->fd = plan_add_fd(build, hooks->host_tree);
	op = plan_add(build, PLAN_ROOT);
	op->fd = plan_add_fd(build, spec->rootfs);
	op->text = plan_add_text(build, sees_host(hooks) ? hooks->rootfs_path : "/");
	op->flags |= sees_host(hooks) ? PLAN_LATER : 0;
	op->value[0] = spec->root_propagation == MS_SLAVE ? MS_SLAVE : 0;
	return 0;
}

static size_t count_strings(const char *const *strings)
{
	size_t n = 0;

	while (strings && strings[n])
		n++;
	return n;
}

static size_t add_strings(struct plan_build *build, const char *const *strings, uint32_t *list, size_t n)
{
	for (; strings && *strings; strings++)
		list[n++] = plan_add_text(build, *strings);
	return n;
}

static int check_hook(const struct hook_spec *hook, struct error *err)
{
	if (!hook->path || hook->path[0] != '/')
		return error_set(err, ERR_INVALID, "hook '%.200s': the path is not absolute", hook->path ? hook->path : "");
	if (hook->argv && !hook->argv[0])
		return error_set(err, ERR_INVALID, "hook %.200s: the argument list is empty", hook->path);
	if (count_strings(hook->argv) > PLAN_HOOK_STRINGS - 1 || count_strings(hook->envp) > PLAN_HOOK_STRINGS - 1)
		return error_set(err, ERR_EXHAUSTED, "hook %.200s: more than %u arguments or variables", hook->path,
				 PLAN_HOOK_STRINGS - 1);
	return 0;
}

/* An output of -1 is the container's own. */
static int lay_hook(struct plan_build *build, const struct hook_spec *hook, int state, int output, struct error *err)
{
	const char *const path_alone[] = { hook->path, NULL };
	uint32_t list[2 * PLAN_HOOK_STRINGS];
	struct plan_op *op;
	size_t n;

	if (check_hook(hook, err) < 0)
		return -1;
	n = add_strings(build, hook->argv ? hook->argv : path_alone, list, 0);
	list[n++] = 0;
	n = add_strings(build, hook->envp, list, n);
	op = plan_add(build, PLAN_HOOK);
	op->text = plan_add_text(build, hook->path);
	op->list = plan_add_list(build, list, n, sizeof(list[0]));
	op->n_list = (uint32_t)n;
	op->fd = plan_add_fd(build, state);
	op->value[0] = hook->timeout_ms ? hook->timeout_ms : HOOK_TIMEOUT_MS;
	op->value[1] = output < 0 ? 0 : (uint64_t)plan_add_fd(build, output) + 1;
	return 0;
}

int lay_create_hooks(struct plan_build *build, const struct hooks_spec *hooks, struct error *err)
{
	if (!hooks)
		return 0;
	plan_add(build, PLAN_SYNC)->value[0] = SYNC_WORLD;
	for (size_t i = 0; i < hooks->n_create_container; i++) {
		if (lay_hook(build, &hooks->create_container[i], hooks->state, hooks->output, err) < 0)
			return -1;
	}
	if (sees_host(hooks))
		(void)plan_add(build, PLAN_PIVOT);
	return 0;
}

int lay_wait(struct plan_build *build, const struct command *command, struct error *err)
{
	const struct hooks_spec *hooks = command->hooks;

	/* the answers to their stop and to this one would be one and the same byte */
	if (hooks && command->recorded == SYNC_BORN)
		return error_set(err, ERR_INVALID, "a process with hooks is recorded when it is ready");
	if (command->recorded) {
		struct plan_op *op = plan_add(build, PLAN_SYNC);

		op->value[0] = command->recorded;
		op->flags |= command->recorded == SYNC_BORN ? PLAN_LATER : 0;
	}
	if (command->waits)
		plan_add(build, PLAN_WAIT)->fd = plan_add_fd(build, command->start_socket);
	for (size_t i = 0; hooks && i < hooks->n_start_container; i++) {
		if (lay_hook(build, &hooks->start_container[i], hooks->state, -1, err) < 0)
			return -1;
	}
	return 0;
}
