#include "runtime/seccomp_build.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"

/* From this number on, up to the next run's, the decision is the same. */
struct run {
	uint32_t first;
	uint16_t decision;
};

/* Every number could be a run of its own, and each range is followed by one of no calls. */
#define RUNS_MAX (2 * (SECCOMP_RANGE_MAX + 1))

struct build {
	struct seccomp_code code;
	struct seccomp_table table;
	const struct seccomp_policy *policy;
	bool wide; /* of the architecture under way, as is all below */
	struct run runs[RUNS_MAX];
	size_t n_runs;
	size_t places[SECCOMP_DECISIONS_MAX]; /* where a decision was written last, plus one; 0: nowhere yet */
};

static void add_run(struct build *build, uint32_t first, uint16_t decision)
{
	if (build->n_runs > 0 && build->runs[build->n_runs - 1].decision == decision)
		return;
	if (build->n_runs > 0 && build->runs[build->n_runs - 1].first == first)
		build->n_runs--;
	build->runs[build->n_runs++] = (struct run){ first, decision };
}

#if defined(__x86_64__)
/* Few kernels have the x32 ABI, and its share of the program would cost every container a quarter of the loading time. */
static bool exists(const struct number_range *range)
{
	return range->abi != SCMP_ARCH_X32 || syscall((long)(SECCOMP_X32_BIT | SYS_getpid)) >= 0 || errno != ENOSYS;
}
#else
static bool exists(const struct number_range *range)
{
	(void)range;
	return true;
}
#endif

static bool is_filtered(const struct seccomp_policy *policy, uint32_t abi)
{
	for (size_t i = 0; i < policy->n_abis; i++) {
		if (policy->abis[i] == abi)
			return true;
	}
	return false;
}

/* The ranges of one audit architecture stand in ascending order. */
static void list_runs(struct build *build, uint32_t audit_arch)
{
	build->n_runs = 0;
	for (size_t i = 0; i < seccomp_n_ranges; i++) {
		const struct number_range *range = &seccomp_ranges[i];

		if (range->audit_arch != audit_arch || !is_filtered(build->policy, range->abi) || !exists(range))
			continue;
		build->wide = range->wide;
		seccomp_fill_range(&build->table, range, build->policy);
		for (uint32_t j = 0; j < range->count; j++)
			add_run(build, range->first + j, build->table.of[j]);
		add_run(build, range->first + range->count, seccomp_plain(&build->table, build->policy->beyond_action));
	}
}

/* A return nearer than this is in reach of the comparison that is about to use it, with what else that one may need before. */
#define SHARE_WITHIN 200

static size_t place_of(const struct build *build, uint16_t decision)
{
	return build->places[decision] - 1;
}

/* A place where this action is returned: shared while it is in reach, since a jump to it is as long as another one. */
static size_t emit_plain(struct build *build, uint16_t decision)
{
	bool written = build->places[decision] > 0;

	if (!written || code_distance(&build->code, place_of(build, decision)) > SHARE_WITHIN)
		build->places[decision] = code_return(&build->code, build->table.decisions[decision].action) + 1;
	return place_of(build, decision);
}

static size_t emit_rule(struct build *build, const struct seccomp_rule *rule, size_t otherwise)
{
	size_t next = emit_plain(build, seccomp_plain(&build->table, rule->action));

	for (size_t i = rule->n_args; i-- > 0;)
		next = code_test(&build->code, &rule->args[i], build->wide, next, otherwise);
	return next;
}

/* The last rule is written first. */
static size_t emit_decision(struct build *build, uint16_t decision)
{
	const struct seccomp_decision *d = &build->table.decisions[decision];
	size_t next;

	if (d->plain)
		return emit_plain(build, decision);
	if (build->places[decision] > 0)
		return place_of(build, decision);
	next = emit_plain(build, 0);
	for (; !d->plain; d = &build->table.decisions[d->before])
		next = emit_rule(build, d->rule, next);
	build->places[decision] = next + 1;
	return next;
}

/* A balanced search: the comparison in front of both halves. The depth is the logarithm of the number of runs. */
static size_t emit_search(struct build *build, const struct run *runs, size_t n) /* NOLINT(misc-no-recursion) */
{
	size_t half = n / 2, lower, upper;

	if (n == 1)
		return emit_decision(build, runs[0].decision);
	upper = emit_search(build, runs + half, n - half);
	lower = emit_search(build, runs, half);
	return code_compare(&build->code, BPF_JGE, runs[half].first, upper, lower);
}

/* Goes on with the search when the architecture is this one, else to `other`. */
static size_t emit_architecture(struct build *build, uint32_t audit_arch, size_t other)
{
	size_t search;

	list_runs(build, audit_arch);
	if (build->n_runs == 0)
		return other;
	/* Conditions are written for one architecture's arguments. */
	for (size_t i = 0; i < build->table.n; i++) {
		if (!build->table.decisions[i].plain)
			build->places[i] = 0;
	}
	code_fall_to(&build->code, emit_search(build, build->runs, build->n_runs));
	search = code_load(&build->code, offsetof(struct seccomp_data, nr));
	return code_compare(&build->code, BPF_JEQ, audit_arch, search, other);
}

static void emit_program(struct build *build)
{
	/* The calls of an architecture that is not filtered. */
	size_t entry = code_return(&build->code, SECCOMP_RET_KILL_PROCESS);

	for (size_t i = seccomp_n_ranges; i-- > 0;) {
		/* Ranges of one architecture stand together; the native one comes first and is asked for first. */
		if (i == 0 || seccomp_ranges[i].audit_arch != seccomp_ranges[i - 1].audit_arch)
			entry = emit_architecture(build, seccomp_ranges[i].audit_arch, entry);
	}
	code_fall_to(&build->code, entry);
	(void)code_load(&build->code, offsetof(struct seccomp_data, arch));
	code_finish(&build->code);
}

int seccomp_build(const struct seccomp_policy *policy, struct sock_filter insns[SECCOMP_INSNS_MAX], struct error *err)
{
	_cleanup_free_
	struct build *build = calloc(1, sizeof(*build));

	if (!build)
		return error_sys(err, ENOMEM, "seccomp filter");
	build->policy = policy;
	build->code.insns = insns;
	emit_program(build);
	if (build->code.overflow || build->table.overflow)
		return error_set(err, ERR_INVALID, "seccomp filter: more conditions than %d instructions hold", SECCOMP_INSNS_MAX);
	return (int)build->code.n;
}
