#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "runtime/plan_lay.h"
#include "runtime/seccomp.h"

/* Where commands are looked for when the environment has no PATH: what container engines give images without one. */
static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* The kernel's overflow ids (Documentation/admin-guide/sysctl/fs.rst): nobody. */
#define NOBODY 65534

int command_check(const struct command *command, struct error *err)
{
	const struct identity *who = command->identity;

	if (!command->argv || !command->argv[0] || command->argv[0][0] == '\0')
		return error_set(err, ERR_INVALID, "the command is empty");
	if (who->uid == (uid_t)-1 || who->gid == (gid_t)-1)
		return error_set(err, ERR_INVALID, "user or group 4294967295 is no id");
	if (who->ambient & ~(who->permitted & who->inheritable))
		return error_set(err, ERR_INVALID, "ambient capabilities must be permitted and inheritable");
	if (command->seccomp && command->seccomp->n_insns == 0)
		return error_set(err, ERR_INVALID, "the seccomp filter is empty");
	return 0;
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

void lay_nobody(struct plan_build *build)
{
	const struct identity nobody = { .uid = NOBODY, .gid = NOBODY, .no_new_privs = true };

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

static size_t lay_candidates(struct plan_build *build, const struct command *command, uint32_t list[MAX_CANDIDATES])
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

static void lay_exec(struct plan_build *build, const struct command *command)
{
	uint32_t candidates[MAX_CANDIDATES];
	size_t n = lay_candidates(build, command, candidates);
	struct plan_op *op = plan_add(build, PLAN_EXEC);

	/* no candidate fits into a path: let the kernel say so */
	if (n == 0)
		candidates[n++] = plan_add_text(build, command->argv[0]);
	op->text = plan_add_text(build, command->argv[0]);
	op->list = plan_add_list(build, candidates, n, sizeof(candidates[0]));
	op->n_list = (uint32_t)n;
	plan_set_argv(build, command->argv);
	plan_set_envp(build, command->envp);
}

/*
 * The order, and why:
 *   limits, mode mask, working directory  while root: hard limits may rise, a private directory can be entered
 *   session                               before a filter may forbid it, but in the last process, which the terminal is for
 *   bounding set                          needs CAP_SETPCAP
 *   filter without no_new_privs           needs CAP_SYS_ADMIN; it must let the rest of this list pass, as with every engine
 *   groups, user, capabilities, ambient   in this order or each would forbid the next
 *   working directory again               on a network file system that trusts the user and not root
 *   fork                                  into a PID namespace that has other processes: what they can see, and trace with
 *                                         CAP_SYS_PTRACE, holds no right that they could not have themselves
 *   filter with no_new_privs              as late as possible: it need not allow anything but exec
 */
void lay_command(struct plan_build *build, const struct command *command)
{
	const struct identity *who = command->identity;

	lay_rlimits(build, command);
	plan_add(build, PLAN_UMASK)->mode = 0022; /* as every engine has it */
	lay_chdir(build, command->cwd, PLAN_LATER);
	if (!command->tty)
		plan_add(build, PLAN_STDIO)->uid = who->uid;
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
	if (command->seccomp && who->no_new_privs)
		lay_seccomp(build, command->seccomp);
	lay_exec(build, command);
}
