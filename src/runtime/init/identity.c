/* Who the process becomes. One order for containers and exec alike: it is the compiler's (lay_identity()). */
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

#include "runtime/init/run.h"
#include "runtime/init/sys.h"

int op_bounding(struct run *run, const struct plan_op *op)
{
	(void)run;
	/* EINVAL at the first capability that this kernel does not know */
	for (unsigned cap = 0; cap < 64; cap++) {
		long result = SYS(prctl, PR_CAPBSET_READ, cap);

		if (result == -EINVAL)
			break;
		if (op->value[0] >> cap & 1 || result == 0)
			continue;
		result = SYS(prctl, PR_CAPBSET_DROP, cap);
		if (result < 0)
			return (int)result;
	}
	return 0;
}

int op_groups(struct run *run, const struct plan_op *op)
{
	return (int)SYS(setgroups, op->n_list, plan_list(run->plan, op));
}

int op_user(struct run *run, const struct plan_op *op)
{
	long result = SYS(setresgid, op->gid, op->gid, op->gid);

	(void)run;
	/* permitted capabilities outlive the change of user until capset says which stay */
	if (result == 0)
		result = SYS(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
	if (result == 0)
		result = SYS(setresuid, op->uid, op->uid, op->uid);
	return (int)result;
}

int op_capabilities(struct run *run, const struct plan_op *op)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };
	struct __user_cap_data_struct data[2];

	(void)run;
	for (unsigned i = 0; i < 2; i++) {
		data[i].permitted = (uint32_t)(op->value[0] >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = (uint32_t)(op->value[1] >> (32 * i));
	}
	return (int)SYS(capset, &header, data);
}

int op_ambient(struct run *run, const struct plan_op *op)
{
	long result = SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);

	(void)run;
	for (unsigned cap = 0; cap < 64 && result == 0; cap++) {
		if (op->value[0] >> cap & 1)
			result = SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
	}
	return (int)result;
}

int op_no_new_privs(struct run *run, const struct plan_op *op)
{
	(void)run, (void)op;
	return (int)SYS(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int op_seccomp(struct run *run, const struct plan_op *op)
{
	/* struct sock_fprog of linux/filter.h with the pointer as a number */
	struct {
		uint16_t length;
		const void *filter;
	} program = { (uint16_t)op->n_list, plan_list(run->plan, op) };

	return (int)SYS(seccomp, SECCOMP_SET_MODE_FILTER, op->value[0], &program);
}
