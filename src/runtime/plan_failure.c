/* What a failed operation means: the code, and for mounts and paths of an image what is wrong with them. */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "runtime/launch.h"
#include "runtime/plan.h"
#include "runtime/plan_build.h"
#include "runtime/spawner.h"

#define KIND(kind) (UINT64_C(1) << (kind))
#define PATHS                                                                                                                      \
	(KIND(PLAN_MOUNT) | KIND(PLAN_BIND) | KIND(PLAN_MKDIR) | KIND(PLAN_CHDIR) | KIND(PLAN_SYMLINK) | KIND(PLAN_DEVICE) |       \
	 KIND(PLAN_ATTRIBUTES) | KIND(PLAN_MASK) | KIND(PLAN_READONLY))

/* The first row that fits. The image, or what was mounted before, is not as the request needs it: neither the request by itself is
 * wrong (ERR_INVALID) nor the runtime (ERR_INTERNAL). */
static const struct {
	uint64_t kinds;
	uint16_t flags; /* all of them */
	int sys_errno;
	enum error_code code;
	const char *why;
} failures[] = {
	{ KIND(PLAN_BIND), 0, EISDIR, ERR_STATE, "a directory stands there, and what is to be mounted is none" },
	{ KIND(PLAN_BIND), PLAN_FILE, ENOTDIR, ERR_STATE, "a part of the path is no directory" },
	{ KIND(PLAN_BIND), 0, ENOTDIR, ERR_STATE,
	  "what is to be mounted is a directory, and what stands there, or a part of the path, is none" },
	{ KIND(PLAN_BIND), PLAN_NO_LINKS, ELOOP, ERR_STATE, "the image has a symbolic link there" },
	{ KIND(PLAN_MOUNT), PLAN_NO_LINKS, ELOOP, ERR_STATE, "the image has a symbolic link there" },
	{ KIND(PLAN_BIND) | KIND(PLAN_MOUNT), 0, EPERM, ERR_DENIED,
	  "nothing is mounted inside a procfs, and nothing is created in one or in a sysfs" },
	{ KIND(PLAN_BIND) | KIND(PLAN_MOUNT), 0, EROFS, ERR_STATE, "nothing stands there, and the file system is read-only" },
	{ KIND(PLAN_MOUNT), 0, EINVAL, ERR_INVALID, NULL },
	{ PATHS, 0, ELOOP, ERR_STATE, NULL },
	{ PATHS, 0, ENOTDIR, ERR_STATE, NULL },
	{ PATHS, 0, EISDIR, ERR_STATE, NULL },
};

static int explain(const struct plan_op *op, const char *what, int sys_errno, struct error *err)
{
	(void)error_sys(err, sys_errno, "%s", what);
	for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
		if (!(failures[i].kinds & KIND(op->kind)) || failures[i].sys_errno != sys_errno ||
		    (op->flags & failures[i].flags) != failures[i].flags)
			continue;
		if (failures[i].why)
			(void)error_set(err, ERR_STATE, "%s: %s (%s)", what, strerrordesc_np(sys_errno), failures[i].why);
		err->code = failures[i].code;
		err->sys_errno = sys_errno;
		break;
	}
	return -1;
}

static int hook_failure(const char *what, int status, struct error *err)
{
	return WIFSIGNALED(status) ? error_set(err, ERR_STATE, "%s: killed by signal %d", what, WTERMSIG(status))
				   : error_set(err, ERR_STATE, "%s: exit code %d", what, WEXITSTATUS(status));
}

int plan_outcome_error(const struct plan_outcome *outcome, const char *what, struct error *err)
{
	return outcome->status ? hook_failure(what, outcome->status, err) : error_sys(err, outcome->error, "%s", what);
}

int plan_failure(const struct plan *plan, const struct plan_report *report, struct error *err)
{
	char what[256];

	plan_describe(plan, report->op, what, sizeof(what));
	if (report->status)
		return hook_failure(what, report->status, err);
	if (report->op >= plan_length(plan))
		return error_sys(err, report->error, "%s", what);
	return explain(plan_ops(plan->block) + report->op, what, report->error, err);
}
