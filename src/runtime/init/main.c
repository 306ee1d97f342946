/*
 * The interpreter: executes one plan and becomes the container's process.
 *
 * It starts from a sealed memfd with nothing but the descriptors of format.h, makes itself unreadable for everybody without
 * CAP_SYS_PTRACE, maps the plan and goes through it. A failure is one message and the end.
 */
#include <linux/close_range.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/prctl.h>

#include "runtime/init/run.h"
#include "runtime/init/sys.h"

static op_fn *const functions[PLAN_KIND_COUNT] = {
	[PLAN_OOM_SCORE] = op_oom_score, [PLAN_CGROUP] = op_cgroup,
	[PLAN_FORK] = op_fork,           [PLAN_SIGNALS] = op_signals,
	[PLAN_SESSION] = op_session,     [PLAN_JOIN] = op_join,
	[PLAN_UNSHARE] = op_unshare,     [PLAN_ROOT] = op_root,
	[PLAN_MOUNT] = op_mount,         [PLAN_BIND] = op_bind,
	[PLAN_MKDIR] = op_mkdir,         [PLAN_SYMLINK] = op_symlink,
	[PLAN_DEVICE] = op_device,       [PLAN_ATTRIBUTES] = op_attributes,
	[PLAN_MASK] = op_mask,           [PLAN_READONLY] = op_readonly,
	[PLAN_CONSOLE] = op_console,     [PLAN_STDIO] = op_stdio,
	[PLAN_RLIMIT] = op_rlimit,       [PLAN_UMASK] = op_umask,
	[PLAN_CHDIR] = op_chdir,         [PLAN_CLOSE_ON_EXEC] = op_close_on_exec,
	[PLAN_BOUNDING] = op_bounding,   [PLAN_GROUPS] = op_groups,
	[PLAN_USER] = op_user,           [PLAN_CAPABILITIES] = op_capabilities,
	[PLAN_AMBIENT] = op_ambient,     [PLAN_NO_NEW_PRIVS] = op_no_new_privs,
	[PLAN_SECCOMP] = op_seccomp,     [PLAN_EXEC] = op_exec,
	[PLAN_STAY] = op_stay,           [PLAN_HOST_ROOT] = op_host_root,
	[PLAN_PIVOT] = op_pivot,         [PLAN_PROPAGATION] = op_propagation,
	[PLAN_HOSTNAME] = op_hostname,   [PLAN_DOMAINNAME] = op_domainname,
	[PLAN_SYSCTL] = op_sysctl,       [PLAN_LOOPBACK] = op_loopback,
	[PLAN_SYNC] = op_sync,           [PLAN_WAIT] = op_wait,
	[PLAN_HOOK] = op_hook,           [PLAN_LOOKUP] = op_lookup,
	[PLAN_KEEP] = op_keep,           [PLAN_PERSONALITY] = op_personality,
	[PLAN_SCHEDULER] = op_scheduler, [PLAN_IO_PRIORITY] = op_io_priority,
	[PLAN_OWNER] = op_owner,         [PLAN_LABEL] = op_label,
	[PLAN_AFFINITY] = op_affinity,   [PLAN_TIME] = op_time,
};

_Noreturn void leave(int status)
{
	for (;;)
		(void)SYS(exit_group, status);
}

/* Keeps the compiler from seeing a known function in a loop and calling that, which would be the loop itself. */
#define PLAIN_LOOP() __asm__ volatile("" ::: "memory")

size_t text_length(const char *text)
{
	size_t n = 0;

	for (; text[n] != '\0'; n++)
		PLAIN_LOOP();
	return n;
}

void text_copy(char *to, const char *from, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		PLAIN_LOOP();
		to[i] = from[i];
	}
}

/* The compiler may call these for what it takes to be a copy or a clearing. Forwards: see path.c. */
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);

void *memcpy(void *to, const void *from, size_t n)
{
	text_copy(to, from, n);
	return to;
}

void *memset(void *to, int byte, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		PLAIN_LOOP();
		((char *)to)[i] = (char)byte;
	}
	return to;
}

static void make_pointers(struct plan_header *plan, uint32_t vector, uint32_t n)
{
	uint64_t *slots = (uint64_t *)(void *)((char *)plan + vector);

	for (uint32_t i = 0; i < n; i++)
		slots[i] += (uint64_t)(uintptr_t)plan;
}

/* Private: what is written here is seen by nobody else, and a copy is made of written pages only. */
static struct plan_header *map_plan(void)
{
	long size = SYS(lseek, PLAN_FD_PLAN, 0, SEEK_END);
	long at;

	if (size <= 0)
		return NULL;
	at = SYS(mmap, PLAN_ADDRESS, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED_NOREPLACE, PLAN_FD_PLAN, 0);
	if (at != (long)PLAN_ADDRESS || !plan_block_check((const void *)PLAN_ADDRESS, (size_t)size))
		return NULL;
	return (struct plan_header *)PLAN_ADDRESS;
}

static void execute(struct run *run)
{
	struct plan_header *plan = run->plan;
	struct plan_time *times = (struct plan_time *)(void *)((char *)plan + plan->report + sizeof(struct plan_report));
	uint64_t start_us = run->began_us;

	for (uint32_t i = 0; i < plan->n_ops; i++) {
		const struct plan_op *op = plan_ops(plan) + i;
		uint64_t end_us;
		int result;

		plan->current = i;
		result = op->flags & PLAN_FAULT ? -EIO : functions[op->kind](run, op);
		if (result < 0) {
			report_failed(run, i, -result);
			leave(1);
		}
		end_us = now_us() - run->shift_us;
		times[i].start_us = (uint32_t)(start_us - run->began_us);
		times[i].took_us = (uint32_t)(end_us - start_us);
		start_us = end_us;
	}
}

_Noreturn void interpret(void);

_Noreturn void interpret(void)
{
	struct run run = { .report = PLAN_FD_REPORT, .root = -1, .dev = -1, .below = -1, .empty = -1, .null = -1, .proc = -1 };

	/* first of all: no other process looks into this one, and nothing here survives an exec by accident */
	(void)SYS(prctl, PR_SET_DUMPABLE, 0);
	if (SYS(close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		leave(1);
	(void)SYS(umask, 0); /* modes of what the plan makes are exact */
	run.began_us = now_us();
	run.plan = map_plan();
	if (!run.plan) {
		report_failed(&run, PLAN_MAX_OPS, EINVAL);
		leave(1);
	}
	make_pointers(run.plan, run.plan->argv, run.plan->n_argv);
	make_pointers(run.plan, run.plan->envp, run.plan->n_envp);
	execute(&run);
	/* a plan that ends with neither exec nor stay is no plan */
	report_failed(&run, run.plan->n_ops - 1, EINVAL);
	leave(1);
}

#if defined(__x86_64__)
__asm__(".globl _start\n"
	"_start:\n"
	"	xorl %ebp, %ebp\n"
	"	andq $-16, %rsp\n"
	"	call interpret\n");
#else
__asm__(".globl _start\n"
	"_start:\n"
	"	mov x29, xzr\n"
	"	mov x30, xzr\n"
	"	b interpret\n");
#endif
