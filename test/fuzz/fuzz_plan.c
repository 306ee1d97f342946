/*
 * The plan's format: whatever bytes arrive, plan_block_check() refuses them or every reference in them may be followed, which is what
 * the interpreter, plan_print() and plan_describe() do without looking again.
 *
 * The input is edits of a plan that the compiler has just laid out, so that no change of the format leaves a corpus behind that is refused
 * at its first word: a byte picks the plan, then each six bytes are an offset in words and what is written there.
 */
#include <linux/filter.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "runtime/plan.h"
#include "runtime/plan_build.h"
#include "runtime/seccomp.h"
#include "runtime/sysctl.h"

/* Adds up everything that the interpreter would read, so that a sanitizer sees each byte. */
static unsigned sum;

static void read_bytes(const void *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		sum += ((const unsigned char *)data)[i];
}

static void read_vector(struct plan_header *plan, uint32_t offset, uint32_t n)
{
	uint64_t *slots = (uint64_t *)(void *)((char *)plan + offset);

	for (uint32_t i = 0; i < n; i++)
		sum += (unsigned)strlen(plan_text(plan, (uint32_t)slots[i]));
	if (slots[n] != 0)
		abort();
}

static void read_op(const struct plan_header *plan, const struct plan_op *op)
{
	unsigned refers = plan_kind_refers(op->kind);

	if (refers & PLAN_HAS_TEXT)
		sum += (unsigned)strlen(plan_text(plan, op->text));
	if ((refers & PLAN_HAS_FD) && (op->fd < 0 || (uint32_t)op->fd >= plan->n_fds))
		abort();
	if (refers & PLAN_LISTS_FILTER)
		read_bytes(plan_list(plan, op), (size_t)op->n_list * 8);
	else if (refers & (PLAN_LISTS_NUMBERS | PLAN_LISTS_TEXTS))
		read_bytes(plan_list(plan, op), (size_t)op->n_list * sizeof(uint32_t));
	if (!(refers & PLAN_LISTS_TEXTS))
		return;
	for (uint32_t i = 0; i < op->n_list; i++) {
		if (plan_list(plan, op)[i] != 0)
			sum += (unsigned)strlen(plan_text(plan, plan_list(plan, op)[i]));
	}
}

static void read_all(struct plan_header *block)
{
	struct plan plan = { .block = block };
	char *text = NULL, line[64];
	size_t length;
	FILE *out = open_memstream(&text, &length);

	for (uint32_t i = 0; i < block->n_ops; i++) {
		read_op(block, plan_ops(block) + i);
		plan_describe(&plan, i, line, sizeof(line));
	}
	read_vector(block, block->argv, block->n_argv);
	read_vector(block, block->envp, block->n_envp);
	memset((char *)block + block->report, 1, sizeof(struct plan_report) + block->n_ops * sizeof(struct plan_time));
	if (out) {
		(void)plan_print(&plan, out);
		(void)fclose(out);
	}
	free(text);
}

/* ---- plans to start from ---- */

static const char *const argv[] = { "server", "--port", "80", NULL };
static const char *const envp[] = { "PATH=/usr/bin:/bin", "A=b c", NULL };
static const gid_t groups[] = { 1000, 2000 };
static const struct rlimit_spec limits[] = { { RLIMIT_NOFILE, 1024, 4096 } };

static int container(struct plan **ret_plan, struct error *err)
{
	static const char *const masked[] = { "/proc/kcore", NULL }, *const readonly[] = { "/proc/sys", NULL };
	static const struct device_spec devices[] = { { "/dev/null", S_IFCHR, 0666, 1, 3, 5, 6, false } };
	static const struct sysctl_spec sysctls[] = { { "net.ipv4.ip_forward", "1" } };
	static const struct mount_spec mounts[] = {
		{ .kind = MOUNT_PROC, .target = "/proc", .fd = -1 },
		{ .kind = MOUNT_TMPFS, .target = "/dev", .fd = -1, .options = "mode=755,size=64k" },
		{ .kind = MOUNT_DEVPTS, .target = "/dev/pts", .fd = -1, .options = "newinstance" },
		{ .kind = MOUNT_BIND, .target = "/data/file", .target_is_file = true, .fd = 0 },
	};
	static struct sock_filter insns[] = { BPF_STMT(BPF_RET | BPF_K, 0x7fff0000U) };
	static const struct seccomp_filter filter = { .insns = insns, .n_insns = 1 };
	static const struct hook_spec hook = { .path = "/bin/true", .argv = argv, .envp = envp };
	static const struct hooks_spec hooks = { .create_container = &hook, .n_create_container = 1, .rootfs_path = "/mnt" };
	const struct container_spec spec = {
		.name = "fuzz",
		.argv = argv,
		.envp = envp,
		.cwd = "/work",
		.identity = { .uid = 1000, .gid = 1000, .groups = groups, .n_groups = 2, .no_new_privs = true },
		.net_ns = NS_NEW,
		.ipc_ns = NS_NEW,
		.uts_ns = NS_NEW,
		.pid_ns = NS_NEW,
		.hostname = "fuzz",
		.sysctls = sysctls,
		.n_sysctls = 1,
		.mounts = mounts,
		.n_mounts = sizeof(mounts) / sizeof(mounts[0]),
		.devices = devices,
		.n_devices = 1,
		.masked_paths = masked,
		.readonly_paths = readonly,
		.rlimits = limits,
		.n_rlimits = 1,
		.seccomp = &filter,
		.hooks = &hooks,
		.set_oom_score_adj = true,
		.readonly_rootfs = true,
	};

	return plan_compile(&spec, ret_plan, err);
}

static int command(struct plan **ret_plan, struct error *err)
{
	const struct exec_spec spec = {
		.name = "fuzz",
		.argv = argv,
		.envp = envp,
		.cwd = "/work",
		.identity = { .uid = 1000, .gid = 1000, .groups = groups, .n_groups = 2 },
		.rlimits = limits,
		.n_rlimits = 1,
		.joins_pid_ns = true,
	};

	return plan_compile_exec(&spec, ret_plan, err);
}

static int pod_init(struct plan **ret_plan, struct error *err)
{
	const struct pod_init_spec spec = { "fuzz", NULL, NS_HOST, NS_HOST, NS_HOST, NULL };

	return plan_compile_pod_init(&spec, ret_plan, err);
}

static const struct plan *plan_of(uint8_t number)
{
	static int (*const compile[])(struct plan **, struct error *) = { container, command, pod_init };
	static struct plan *plans[sizeof(compile) / sizeof(compile[0])];
	size_t which = number % (sizeof(compile) / sizeof(compile[0]));
	struct error err = ERROR_INIT;

	if (!plans[which] && compile[which](&plans[which], &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		abort();
	}
	return plans[which];
}

static void edit(struct plan_header *block, size_t n_words, const uint8_t *data, size_t size)
{
	uint16_t at;

	for (; size >= sizeof(at) + sizeof(uint32_t);
	     size -= sizeof(at) + sizeof(uint32_t), data += sizeof(at) + sizeof(uint32_t)) {
		memcpy(&at, data, sizeof(at));
		memcpy((uint32_t *)block + at % n_words, data + sizeof(at), sizeof(uint32_t));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct plan *plan = plan_of(size > 0 ? data[0] : 0);
	size_t length = plan->block->size;
	struct plan_header *block = malloc(length);

	if (!block)
		return 0;
	memcpy(block, plan->block, length);
	if (!plan_block_check(block, length))
		abort(); /* or nothing here is tried */
	if (size > 0)
		edit(block, length / sizeof(uint32_t), data + 1, size - 1);
	if (plan_block_check(block, length))
		read_all(block);
	free(block);
	return 0;
}
