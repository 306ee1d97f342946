#include "runtime/plan.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "runtime/caps.h"
#include "runtime/plan_build.h"
#include "runtime/rlimits.h"

void plan_free(struct plan *plan)
{
	if (!plan)
		return;
	free(plan->block);
	free(plan->fds);
	free(plan);
}

size_t plan_length(const struct plan *plan)
{
	return plan->block->n_ops;
}

size_t plan_after_wait(const struct plan *plan)
{
	for (size_t i = 0; i < plan_length(plan); i++) {
		if (plan_ops(plan->block)[i].kind == PLAN_WAIT)
			return i + 1;
	}
	return 0;
}

const char *plan_op_kind(size_t index)
{
	return index < PLAN_KIND_COUNT ? plan_kind_name((unsigned)index) : NULL;
}

const char *plan_op_name(const struct plan *plan, size_t index)
{
	return index < plan_length(plan) ? plan_kind_name(plan_ops(plan->block)[index].kind) : "plan";
}

static const struct name {
	uint64_t value;
	const char *name;
} namespaces[] = {
	{ CLONE_NEWNS, "mount" }, { CLONE_NEWNET, "network" }, { CLONE_NEWIPC, "IPC" },
	{ CLONE_NEWUTS, "UTS" },  { CLONE_NEWPID, "PID" },     { CLONE_NEWCGROUP, "cgroup" },
	{ CLONE_NEWUSER, "user" },
}, propagations[] = {
	{ MS_SHARED, "shared" }, { MS_SLAVE, "slave" }, { MS_PRIVATE, "private" }, { MS_UNBINDABLE, "unbindable" },
}, attributes[] = {
	{ MOUNT_ATTR_RDONLY, "ro" },	 { MOUNT_ATTR_NOSUID, "nosuid" },   { MOUNT_ATTR_NODEV, "nodev" },
	{ MOUNT_ATTR_NOEXEC, "noexec" }, { MOUNT_ATTR_NOATIME, "noatime" }, { MOUNT_ATTR_STRICTATIME, "strictatime" },
	{ MOUNT_ATTR_NODIRATIME, "nodiratime" },
};

/* "mount network" */
static void print_set(FILE *out, const struct name *names, size_t n, uint64_t set)
{
	for (size_t i = 0; i < n; i++) {
		if (set & names[i].value)
			(void)fprintf(out, " %s", names[i].name);
	}
}

static const char *limit_name(uint32_t resource)
{
	const char *name = rlimit_name((int)resource);

	return name ? name : "of an unknown kind";
}

/* What an operation does; its text, if it has one, is the object and follows. NULL: says more, see describe_special(). */
static const char *const phrases[PLAN_KIND_COUNT] = {
	[PLAN_OOM_SCORE] = "set oom_score_adj to",
	[PLAN_CGROUP] = "join cgroup",
	[PLAN_SIGNALS] = "reset signals",
	[PLAN_LABEL] = "label next exec:",
	[PLAN_SESSION] = "make session",
	[PLAN_HOST_ROOT] = "attach host's files for hooks",
	[PLAN_PIVOT] = "leave host's files",
	[PLAN_PROPAGATION] = "set propagation of",
	[PLAN_HOSTNAME] = "set host name",
	[PLAN_DOMAINNAME] = "set domain name",
	[PLAN_SYSCTL] = "set sysctl",
	[PLAN_LOOPBACK] = "set up loopback",
	[PLAN_PERSONALITY] = "set personality",
	[PLAN_SCHEDULER] = "set scheduler",
	[PLAN_IO_PRIORITY] = "set I/O priority",
	[PLAN_AFFINITY] = "set CPU affinity",
	[PLAN_TIME] = "make time namespace",
	[PLAN_WAIT] = "wait for start",
	[PLAN_HOOK] = "run hook",
	[PLAN_LOOKUP] = "exec", /* people are to read the same as when exec itself fails */
	[PLAN_KEEP] = "hand on descriptors",
	[PLAN_BIND] = "mount volume on",
	[PLAN_MKDIR] = "make directory",
	[PLAN_SYMLINK] = "make link",
	[PLAN_DEVICE] = "make device",
	[PLAN_ATTRIBUTES] = "set attributes of mount",
	[PLAN_MASK] = "mask",
	[PLAN_READONLY] = "make read-only",
	[PLAN_CONSOLE] = "make terminal",
	[PLAN_STDIO] = "set up standard streams",
	[PLAN_UMASK] = "set umask",
	[PLAN_CHDIR] = "enter working directory",
	[PLAN_CLOSE_ON_EXEC] = "mark descriptors close-on-exec",
	[PLAN_BOUNDING] = "reduce bounding set",
	[PLAN_GROUPS] = "set supplementary groups",
	[PLAN_CAPABILITIES] = "set capabilities",
	[PLAN_AMBIENT] = "set ambient capabilities",
	[PLAN_NO_NEW_PRIVS] = "set no_new_privs",
	[PLAN_SECCOMP] = "load seccomp filter",
	[PLAN_EXEC] = "exec",
	[PLAN_STAY] = "stay as",
};

static void describe_special(const struct plan_header *plan, const struct plan_op *op, FILE *out)
{
	if (op->kind == PLAN_MOUNT) {
		(void)fprintf(out, "mount %s on %s", plan_text(plan, plan_list(plan, op)[0]), plan_text(plan, op->text));
	} else if (op->kind == PLAN_ROOT) {
		(void)fputs("attach root file system", out);
		if (op->flags & PLAN_LATER)
			(void)fprintf(out, " at %s", plan_text(plan, op->text));
	} else if (op->kind == PLAN_SYNC) {
		(void)fputs(op->value[0] == SYNC_WORLD ? "stop for hooks outside" : "stop until recorded", out);
	} else if (op->kind == PLAN_FORK) {
		(void)fprintf(out, "%s", plan_text(plan, op->text));
	} else if (op->kind == PLAN_RLIMIT) {
		(void)fprintf(out, "set resource limit %s", limit_name(op->mode));
	} else if (op->kind == PLAN_USER) {
		(void)fprintf(out, "become user %u group %u", op->uid, op->gid);
	} else if (op->kind == PLAN_OWNER) {
		(void)fprintf(out, "make files for %u:%u", op->uid, op->gid);
	} else {
		(void)fputs(op->kind == PLAN_JOIN ? "join namespace" : "make namespace", out);
		print_set(out, namespaces, ARRAY_SIZE(namespaces), op->value[0]);
	}
}

static void describe(const struct plan_header *plan, const struct plan_op *op, FILE *out)
{
	const char *phrase = phrases[op->kind];

	if (!phrase)
		describe_special(plan, op, out);
	else if (plan_kind_refers(op->kind) & PLAN_HAS_TEXT)
		(void)fprintf(out, "%s %s", phrase, plan_text(plan, op->text));
	else
		(void)fputs(phrase, out);
}

void plan_describe(const struct plan *plan, size_t index, char *text, size_t size)
{
	FILE *out;

	if (size == 0)
		return;
	text[0] = '\0';
	out = index < plan_length(plan) ? fmemopen(text, size, "w") : NULL;
	if (!out) {
		(void)snprintf(text, size, "operation %zu", index);
		return;
	}
	describe(plan->block, plan_ops(plan->block) + index, out);
	(void)fclose(out);
	text[size - 1] = '\0';
}

static void print_caps(FILE *out, uint64_t set)
{
	if (set == 0)
		(void)fputs(" none", out);
	for (unsigned cap = 0; cap < 64; cap++) {
		if (!(set >> cap & 1))
			continue;
		if (caps_name(cap))
			(void)fprintf(out, " %s", caps_name(cap));
		else
			(void)fprintf(out, " %u", cap);
	}
}

static void print_list(const struct plan_header *plan, const struct plan_op *op, uint32_t first, FILE *out)
{
	const uint32_t *list = plan_list(plan, op);
	bool texts = plan_kind_refers(op->kind) & PLAN_LISTS_TEXTS;

	for (uint32_t i = first; i < op->n_list; i++) {
		if (!texts)
			(void)fprintf(out, " %u", list[i]);
		else if (list[i] != 0)
			(void)fprintf(out, "%s%s", op->kind == PLAN_MOUNT && i % 2 == 0 ? "=" : " ", plan_text(plan, list[i]));
	}
}

static void print_limit(FILE *out, uint64_t value)
{
	if (value == RLIM_INFINITY)
		(void)fputs(" unlimited", out);
	else
		(void)fprintf(out, " %llu", (unsigned long long)value);
}

static void print_owner(const struct plan_op *op, FILE *out)
{
	(void)fprintf(out, " mode %04o owner %u:%u", op->mode & 07777, op->uid, op->gid);
}

/* --- what describe() leaves out, because an error message has no use for it --- */

static void print_attributes(const struct plan_header *plan, const struct plan_op *op, FILE *out)
{
	(void)plan;
	print_set(out, attributes, ARRAY_SIZE(attributes), op->value[0]);
}

static void print_mount(const struct plan_header *plan, const struct plan_op *op, FILE *out)
{
	print_list(plan, op, 1, out);
	print_attributes(plan, op, out);
}

static void print_arrow(const struct plan_header *plan, const struct plan_op *op, FILE *out)
{
	(void)fputs(" ->", out);
	print_list(plan, op, 0, out);
}

static void print_fork(const struct plan_header *plan, const struct plan_op *op, FILE *out)
{
	(void)plan;
	print_set(out, namespaces, ARRAY_SIZE(namespaces), op->value[0]);
}

static void print_device(const struct plan_header *plan, const struct plan_op *op, FILE *out)
{
	char type = S_ISBLK(op->mode) ? 'b' : S_ISFIFO(op->mode) ? 'p' : 'c';

	(void)plan;
	(void)fprintf(out, " %c %u:%u", type, (unsigned)op->value[0], (unsigned)op->value[1]);
	print_owner(op, out);
}

static void print_directory(const struct plan_header *plan, const struct plan_op *op, FILE *out)
{
	(void)plan;
	print_owner(op, out);
}

static void print_uid(const struct plan_header *plan, const struct plan_op *op, FILE *out)
{
	(void)plan;
	(void)fprintf(out, " owner %u", op->uid);
}

static void print_unshare(const struct plan_header *plan, const struct plan_op *op, FILE *out)
{
	(void)plan;
	(void)fputs(op->fd >= 0 ? " of user namespace" : "", out);
}

static void print_rlimit(const struct plan_header *plan, const struct plan_op *op, FILE *out)
{
	(void)plan;
	print_limit(out, op->value[0]);
	print_limit(out, op->value[1]);
}

static void print_umask(const struct plan_header *plan, const struct plan_op *op, FILE *out)
{
	(void)plan;
	(void)fprintf(out, " %04o", op->mode);
}

static void print_capabilities(const struct plan_header *plan, const struct plan_op *op, FILE *out)
{
	(void)plan;
	print_caps(out, op->value[0]);
	(void)fputs(", inheritable", out);
	print_caps(out, op->value[1]);
}

static void print_bounding(const struct plan_header *plan, const struct plan_op *op, FILE *out)
{
	(void)plan;
	(void)fputs(" to", out);
	print_caps(out, op->value[0]);
}

static void print_ambient(const struct plan_header *plan, const struct plan_op *op, FILE *out)
{
	(void)plan;
	print_caps(out, op->value[0]);
}

static void print_propagation(const struct plan_header *plan, const struct plan_op *op, FILE *out)
{
	(void)plan;
	print_set(out, propagations, ARRAY_SIZE(propagations), op->value[0]);
}

static void print_kept(const struct plan_header *plan, const struct plan_op *op, FILE *out)
{
	(void)plan;
	(void)fprintf(out, " from 3 to %u", op->n_list + 2);
}

static void print_filter(const struct plan_header *plan, const struct plan_op *op, FILE *out)
{
	(void)plan;
	(void)fprintf(out, " of %u instructions flags %llu", op->n_list, (unsigned long long)op->value[0]);
}

typedef void print_operands(const struct plan_header *plan, const struct plan_op *op, FILE *out);

static print_operands *const operands[PLAN_KIND_COUNT] = {
	[PLAN_MOUNT] = print_mount,       [PLAN_BIND] = print_attributes, [PLAN_ATTRIBUTES] = print_attributes,
	[PLAN_SYMLINK] = print_arrow,     [PLAN_GROUPS] = print_arrow,    [PLAN_SYSCTL] = print_arrow,
	[PLAN_HOOK] = print_arrow,        [PLAN_LOOKUP] = print_arrow,    [PLAN_EXEC] = print_arrow,
	[PLAN_FORK] = print_fork,         [PLAN_DEVICE] = print_device,   [PLAN_MKDIR] = print_directory,
	[PLAN_CONSOLE] = print_uid,       [PLAN_STDIO] = print_uid,       [PLAN_UNSHARE] = print_unshare,
	[PLAN_RLIMIT] = print_rlimit,     [PLAN_UMASK] = print_umask,     [PLAN_CAPABILITIES] = print_capabilities,
	[PLAN_BOUNDING] = print_bounding, [PLAN_AMBIENT] = print_ambient, [PLAN_PROPAGATION] = print_propagation,
	[PLAN_KEEP] = print_kept,         [PLAN_SECCOMP] = print_filter,
};

static void print_flags(const struct plan_op *op, FILE *out)
{
	static const struct name flags[] = {
		{ PLAN_FAULT, "[fault]" },         { PLAN_NO_LINKS, "[no links]" },
		{ PLAN_FILE, "[file]" },           { PLAN_TTY, "[tty]" },
		{ PLAN_LATER, "[or later]" },      { PLAN_RETRY, "[if refused before]" },
		{ PLAN_RECURSIVE, "[recursive]" }, { PLAN_OWNED, "[owned]" },
		{ PLAN_LABELLED, "[labelled]" },
	};

	print_set(out, flags, ARRAY_SIZE(flags), op->flags);
}

int plan_print(const struct plan *plan, FILE *out)
{
	const struct plan_header *block = plan->block;

	(void)fputs("clone", out);
	print_set(out, namespaces, ARRAY_SIZE(namespaces), block->clone_flags);
	(void)fputc('\n', out);
	for (uint32_t i = 0; i < block->n_ops; i++) {
		const struct plan_op *op = plan_ops(block) + i;

		(void)fprintf(out, "%2u %-13s ", i, plan_kind_name(op->kind));
		describe(block, op, out);
		if (operands[op->kind])
			operands[op->kind](block, op, out);
		print_flags(op, out);
		(void)fputc('\n', out);
	}
	return ferror(out) ? -1 : 0;
}
