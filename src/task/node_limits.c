/* Resource limits: what containers get, and what the daemon takes for itself. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"
#include "task/node_impl.h"

/* A few descriptors per container and one per client: the soft limit of a login shell (1024) is a small node. It is ours alone: there
 * are programs that close every descriptor up to theirs. */
static void raise_open_files(struct node *node)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	rlimits_add_default(&node->rlimits, RLIMIT_NOFILE, limit.rlim_cur, limit.rlim_max);
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warn("node", "raise the limit of open files: %s", strerrordesc_np(errno));
}

int node_set_limits(struct node *node, struct error *err)
{
	if (rlimits_parse(node->config->rlimits, &node->rlimits, err) < 0)
		return error_prefix(err, "runtime.rlimits");
	/* CAP_SYS_RESOURCE raises hard limits */
	if (!node->may_lower_oom_score && rlimits_check_allowed(&node->rlimits, err) < 0)
		return error_prefix(err, "runtime.rlimits");
	raise_open_files(node);
	return 0;
}
