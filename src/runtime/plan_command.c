#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "runtime/plan_lay.h"
#include "runtime/seccomp.h"
#include "runtime/userns.h"

/* Where commands are looked for when the environment has no PATH: what container engines give images without one. */
static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* The kernel's overflow ids (Documentation/admin-guide/sysctl/fs.rst): nobody. */
#define NOBODY 65534

int outside_uid(const struct user_ns_spec *user_ns, uid_t inside, uid_t *ret_outside, struct error *err)
{
	*ret_outside = inside;
	if (!user_ns || id_map_find(user_ns->maps.uids, user_ns->maps.n_uids, inside, ret_outside))
		return 0;
	return error_set(err, ERR_INVALID, "user %u is not mapped in the user namespace", inside);
}

int outside_gid(const struct user_ns_spec *user_ns, gid_t inside, gid_t *ret_outside, struct error *err)
{
	*ret_outside = inside;
	if (!user_ns || id_map_find(user_ns->maps.gids, user_ns->maps.n_gids, inside, ret_outside))
		return 0;
	return error_set(err, ERR_INVALID, "group %u is not mapped in the user namespace", inside);
}

static int check_mapped(const struct user_ns_spec *user_ns, const struct identity *who, struct error *err)
{
	uint32_t ignored;

	if (outside_uid(user_ns, who->uid, &ignored, err) < 0 || outside_gid(user_ns, who->gid, &ignored, err) < 0)
		return -1;
	for (size_t i = 0; i < who->n_groups; i++) {
		if (outside_gid(user_ns, who->groups[i], &ignored, err) < 0)
			return -1;
	}
	return 0;
}

int command_check(const struct command *command, struct error *err)
{
	const struct identity *who = command->identity;

	if (!command->argv || !command->argv[0] || command->argv[0][0] == '\0')
		return error_set(err, ERR_INVALID, "the command is empty");
	if (who->uid == (uid_t)-1 || who->gid == (gid_t)-1)
		return error_set(err, ERR_INVALID, "user or group 4294967295 is no id");
	if (who->ambient & ~(who->permitted & who->inheritable))
		return error_set(err, ERR_INVALID, "ambient capabilities must be permitted and inheritable");
	if (command->extras->n_preserved_fds > PLAN_MAX_FDS / 2)
		return error_set(err, ERR_EXHAUSTED, "%zu descriptors to hand on, limit %u", command->extras->n_preserved_fds,
				 PLAN_MAX_FDS / 2);
	if (command->seccomp && command->seccomp->n_insns == 0)
		return error_set(err, ERR_INVALID, "the seccomp filter is empty");
	return check_mapped(command->user_ns, who, err);
}

static void lay_value(struct plan_build *build, enum plan_kind kind, uint64_t value)
{
	plan_add(build, kind)->value[0] = value;
}

static void lay_rlimits(struct plan_build *build, const struct command *command)
{
	for (size_t i = 0; i < command->n_rlimits; i++) {
		struct plan_op *op = plan_add(build, PLAN_RLIMIT);

		op->mode = (uint32_t)command->rlimits[i].resource;
		op->value[0] = command->rlimits[i].soft;
		op->value[1] = command->rlimits[i].hard;
	}
}

static void lay_chdir(struct plan_build *build, const char *cwd, unsigned flag)
{
	struct plan_op *op = plan_add(build, PLAN_CHDIR);

	op->flags |= (uint16_t)flag;
	op->text = plan_add_text(build, cwd);
}

static void lay_session(struct plan_build *build, bool tty)
{
	struct plan_op *op = plan_add(build, PLAN_SESSION);

	op->flags |= tty ? PLAN_TTY : 0;
}

static void lay_seccomp(struct plan_build *build, const struct seccomp_filter *filter)
{
	struct plan_op *op = plan_add(build, PLAN_SECCOMP);

	op->list = plan_add_list(build, filter->insns, filter->n_insns, 8);
	op->n_list = filter->n_insns;
	op->value[0] = filter->flags;
}

/* The ids and what is left of the capabilities: one function for every process that we start, containers and exec alike. */
static void lay_identity(struct plan_build *build, const struct identity *who)
{
	struct plan_op *op = plan_add(build, PLAN_GROUPS);

	op->list = plan_add_list(build, who->groups, who->n_groups, sizeof(gid_t));
	op->n_list = (uint32_t)who->n_groups;
	op = plan_add(build, PLAN_USER);
	op->uid = who->uid;
	op->gid = who->gid;
	op = plan_add(build, PLAN_CAPABILITIES);
	op->value[0] = who->permitted;
	op->value[1] = who->inheritable;
	lay_value(build, PLAN_AMBIENT, who->ambient);
	if (who->no_new_privs)
		(void)plan_add(build, PLAN_NO_NEW_PRIVS);
}

static uint32_t root_of(const struct id_map *maps, size_t n)
{
	uint32_t ignored;

	return n == 0 || id_map_find(maps, n, 0, &ignored) ? 0 : maps[0].inside;
}

void lay_inside(struct plan_build *build, const struct user_ns_spec *user_ns)
{
	struct plan_op *op;

	if (!user_ns)
		return;
	op = plan_add(build, PLAN_GROUPS);
	op->list = plan_add_list(build, NULL, 0, sizeof(gid_t));
	op = plan_add(build, PLAN_USER);
	op->uid = root_of(user_ns->maps.uids, user_ns->maps.n_uids);
	op->gid = root_of(user_ns->maps.gids, user_ns->maps.n_gids);
}

/* The last id that a map has, where that is less than the usual one. */
static uint32_t nobody_of(const struct id_map *maps, size_t n)
{
	uint32_t found = n > 0 ? maps[0].inside + maps[0].length - 1 : NOBODY, ignored;

	return id_map_find(maps, n, NOBODY, &ignored) ? NOBODY : found;
}

void lay_nobody(struct plan_build *build, const struct user_ns_spec *user_ns)
{
	struct identity nobody = { .uid = NOBODY, .gid = NOBODY, .no_new_privs = true };

	if (user_ns) {
		nobody.uid = nobody_of(user_ns->maps.uids, user_ns->maps.n_uids);
		nobody.gid = nobody_of(user_ns->maps.gids, user_ns->maps.n_gids);
	}
	lay_value(build, PLAN_BOUNDING, nobody.bounding);
	lay_identity(build, &nobody);
}

static const char *search_path(const char *const *envp)
{
	for (; envp && *envp; envp++) {
		if (!strncmp(*envp, "PATH=", 5))
			return *envp + 5;
	}
	return default_path;
}

/* More places than this are not searched (arbitrary; shells' own tables stop earlier). */
#define MAX_CANDIDATES 64

static size_t list_candidates(struct plan_build *build, const struct command *command, uint32_t list[MAX_CANDIDATES])
{
	const char *name = command->argv[0];
	char path[PATH_MAX];
	size_t n = 0;

	if (strchr(name, '/')) {
		list[n++] = plan_add_text(build, name);
		return n;
	}
	for (const char *p = search_path(command->envp); n < MAX_CANDIDATES; p++) {
		size_t length = strcspn(p, ":");

		/* an empty element is the working directory, as in a shell */
		if (snprintf(path, sizeof(path), "%.*s/%s", length ? (int)length : 1, length ? p : ".", name) < (int)sizeof(path))
			list[n++] = plan_add_text(build, path);
		p += length;
		if (*p == '\0')
			break;
	}
	return n;
}

/* PLAN_LOOKUP or PLAN_EXEC. */
static void lay_candidates(struct plan_build *build, const struct command *command, enum plan_kind kind)
{
	uint32_t candidates[MAX_CANDIDATES];
	size_t n = list_candidates(build, command, candidates);
	struct plan_op *op = plan_add(build, kind);

	/* no candidate fits into a path: let the kernel say so */
	if (n == 0)
		candidates[n++] = plan_add_text(build, command->argv[0]);
	op->text = plan_add_text(build, command->argv[0]);
	op->list = plan_add_list(build, candidates, n, sizeof(candidates[0]));
	op->n_list = (uint32_t)n;
}

void lay_affinity(struct plan_build *build, const struct cpu_mask *cpus)
{
	struct plan_op *op;

	if (cpus->n == 0)
		return;
	op = plan_add(build, PLAN_AFFINITY);
	op->list = plan_add_list(build, cpus->bits, cpus->n, sizeof(cpus->bits[0]));
	op->n_list = (uint32_t)cpus->n;
}

static void lay_extras(struct plan_build *build, const struct process_extras *extras)
{
	lay_affinity(build, &extras->cpus);
	plan_add(build, PLAN_UMASK)->mode = extras->set_umask ? extras->umask : 0022; /* as every engine has it */
	if (extras->set_personality)
		lay_value(build, PLAN_PERSONALITY, extras->personality);
	if (extras->set_io_priority)
		lay_value(build, PLAN_IO_PRIORITY, (uint64_t)extras->io_priority);
	if (extras->scheduler) {
		struct plan_op *op = plan_add(build, PLAN_SCHEDULER);

		op->list = plan_add_list(build, extras->scheduler, sizeof(*extras->scheduler) / sizeof(uint32_t), sizeof(uint32_t));
		op->n_list = sizeof(*extras->scheduler) / sizeof(uint32_t);
	}
}

static void lay_preserved(struct plan_build *build, const struct process_extras *extras)
{
	uint32_t slots[PLAN_MAX_FDS];
	struct plan_op *op;

	for (size_t i = 0; i < extras->n_preserved_fds && i < PLAN_MAX_FDS; i++)
		slots[i] = (uint32_t)plan_add_fd(build, extras->preserved_fds[i]);
	if (extras->n_preserved_fds == 0)
		return;
	op = plan_add(build, PLAN_KEEP);
	op->list = plan_add_list(build, slots, extras->n_preserved_fds, sizeof(slots[0]));
	op->n_list = (uint32_t)extras->n_preserved_fds;
}

/* Ids were checked by command_check(). */
static void lay_stdio(struct plan_build *build, const struct command *command, unsigned flags)
{
	struct plan_op *op = plan_add(build, PLAN_STDIO);
	struct error ignored;
	uid_t uid = 0;

	(void)outside_uid(command->user_ns, command->identity->uid, &uid, &ignored);
	op->uid = uid;
	op->flags |= (uint16_t)flags;
}

void lay_limits(struct plan_build *build, const struct command *command)
{
	lay_rlimits(build, command);
	lay_extras(build, command->extras);
	if (command->user_ns && !command->tty)
		lay_stdio(build, command, PLAN_LATER);
}

/*
 * The order, and why:
 *   limits                                while the host's root: hard limits may rise (lay_limits())
 *   mode mask, working directory          while root: a private directory can be entered
 *   session                               before a filter may forbid it, but in the last process, which the terminal is for
 *   bounding set                          needs CAP_SETPCAP
 *   filter without no_new_privs           needs CAP_SYS_ADMIN; it must let the rest of this list pass, as with every engine
 *   groups, user, capabilities, ambient   in this order or each would forbid the next
 *   working directory again               on a network file system that trusts the user and not root
 *   fork                                  into a PID namespace that has other processes: what they can see, and trace with
 *                                         CAP_SYS_PTRACE, holds no right that they could not have themselves
 *   wait, startContainer's hooks          when all that can fail has not; with the identity of the container
 *   filter with no_new_privs              as late as possible: it need not allow anything but exec
 */
int lay_command(struct plan_build *build, const struct command *command, struct error *err)
{
	const struct identity *who = command->identity;

	lay_chdir(build, command->cwd, PLAN_LATER);
	if (!command->tty)
		lay_stdio(build, command, command->user_ns ? PLAN_RETRY : 0);
	(void)plan_add(build, PLAN_CLOSE_ON_EXEC);
	if (!command->forks_last)
		lay_session(build, command->tty);
	lay_value(build, PLAN_BOUNDING, who->bounding);
	if (command->seccomp && !who->no_new_privs)
		lay_seccomp(build, command->seccomp);
	lay_identity(build, who);
	lay_chdir(build, command->cwd, PLAN_RETRY);
	if (command->forks_last) {
		plan_add(build, PLAN_FORK)->text = plan_add_text(build, "enter PID namespace");
		lay_session(build, command->tty);
	}
	if (command->waits && !command->no_command)
		lay_candidates(build, command, PLAN_LOOKUP);
	if (lay_wait(build, command, err) < 0)
		return -1;
	lay_preserved(build, command->extras);
	if (command->seccomp && who->no_new_privs)
		lay_seccomp(build, command->seccomp);
	lay_candidates(build, command, PLAN_EXEC);
	plan_set_argv(build, command->argv);
	plan_set_envp(build, command->envp);
	return 0;
}
