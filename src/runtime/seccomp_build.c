#include "runtime/seccomp_build.h"

#include <endian.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"

_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "the low half of an argument stands first");

#define X32_BIT 0x40000000U

#define ORDINARY (PROFILE_NEWEST_CALL + 1)

#if defined(__x86_64__)
const struct number_range seccomp_ranges[] = {
	{ SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, 0, ORDINARY },
	{ SCMP_ARCH_X32, AUDIT_ARCH_X86_64, X32_BIT, SECCOMP_RANGE_MAX },
	{ SCMP_ARCH_X86, AUDIT_ARCH_I386, 0, ORDINARY },
};
#elif defined(__aarch64__)
/* The private calls of 32-bit ARM: breakpoint, cacheflush, usr26, usr32, set_tls, get_tls. */
#define ARM_PRIVATE 0x0f0001U
#define ARM_PRIVATE_COUNT 6
const struct number_range seccomp_ranges[] = {
	{ SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64, 0, ORDINARY },
	{ SCMP_ARCH_ARM, AUDIT_ARCH_ARM, 0, ORDINARY },
	{ SCMP_ARCH_ARM, AUDIT_ARCH_ARM, ARM_PRIVATE, ARM_PRIVATE_COUNT },
};
#else
#error "the system calls of this architecture have not been looked at"
#endif
const size_t seccomp_n_ranges = ARRAY_SIZE(seccomp_ranges);

static void set_verdict(const struct number_range *range, uint32_t number, enum verdict verdict,
			unsigned char verdicts[SECCOMP_RANGE_MAX])
{
	if (number >= range->first && number - range->first < range->count)
		verdicts[number - range->first] = (unsigned char)verdict;
}

/* A name may have several numbers: on i386 socket(2) is both a call and a subcall. */
static void set_by_name(const struct number_range *range, const char *name, enum verdict verdict,
			unsigned char verdicts[SECCOMP_RANGE_MAX])
{
	int number = seccomp_syscall_resolve_name_arch(range->abi, name);

	/* The library's negative numbers stand for calls that the architecture does not have. */
	if (number >= 0)
		set_verdict(range, (uint32_t)number, verdict, verdicts);
	for (size_t i = 0; i < profile_n_numbers; i++) {
		const struct profile_number *known = &profile_numbers[i];

		if ((known->abi == 0 || known->abi == range->abi) && !strcmp(known->name, name))
			set_verdict(range, known->number | (range->abi == SCMP_ARCH_X32 ? X32_BIT : 0), verdict, verdicts);
	}
}

static bool applies(const struct profile_set *set, uint64_t caps)
{
	return (set->with_caps == 0 || (set->with_caps & caps)) && !(set->without_caps & caps);
}

void seccomp_fill_range(const struct number_range *range, uint64_t caps, unsigned char verdicts[SECCOMP_RANGE_MAX])
{
	char name[PROFILE_NAME_SIZE];
	const char *rest;

	for (uint32_t i = 0; i < SECCOMP_RANGE_MAX; i++) {
		/* x32 shares the ordinary numbers and goes on at 512. */
		bool gap = range->count > ORDINARY && i >= ORDINARY && i < 512;

		verdicts[i] = gap ? VERDICT_NO_SUCH_CALL : VERDICT_DENY;
	}
	for (size_t i = 0; i < profile_n_sets; i++) {
		if (!applies(&profile_sets[i], caps))
			continue;
		rest = profile_sets[i].names;
		while (profile_next_name(&rest, name))
			set_by_name(range, name, profile_sets[i].verdict, verdicts);
	}
}

/* From this number on, up to the next run's, the verdict is the same. */
struct run {
	uint32_t first;
	enum verdict verdict;
};

/* Every number could be a run of its own, and each range is followed by one of no calls. */
#define RUNS_MAX (2 * (SECCOMP_RANGE_MAX + 1))

struct run_list {
	struct run runs[RUNS_MAX];
	size_t n;
};

static void add_run(struct run_list *list, uint32_t first, enum verdict verdict)
{
	if (list->n > 0 && list->runs[list->n - 1].verdict == verdict)
		return;
	if (list->n > 0 && list->runs[list->n - 1].first == first)
		list->n--;
	list->runs[list->n++] = (struct run){ first, verdict };
}

#if defined(__x86_64__)
/* Few kernels have the x32 ABI, and its share of the program would cost every container a quarter of the loading time. */
static bool exists(const struct number_range *range)
{
	return range->abi != SCMP_ARCH_X32 || syscall((long)(X32_BIT | SYS_getpid)) >= 0 || errno != ENOSYS;
}
#else
static bool exists(const struct number_range *range)
{
	(void)range;
	return true;
}
#endif

/* The ranges of one audit architecture stand in ascending order. */
static void list_runs(uint32_t audit_arch, uint64_t caps, struct run_list *list)
{
	unsigned char verdicts[SECCOMP_RANGE_MAX];

	list->n = 0;
	for (size_t i = 0; i < seccomp_n_ranges; i++) {
		const struct number_range *range = &seccomp_ranges[i];

		if (range->audit_arch != audit_arch || !exists(range))
			continue;
		seccomp_fill_range(range, caps, verdicts);
		for (uint32_t j = 0; j < range->count; j++)
			add_run(list, range->first + j, (enum verdict)verdicts[j]);
		add_run(list, range->first + range->count, VERDICT_NO_SUCH_CALL);
	}
}

/*
 * The program grows from its end to its beginning, in reverse, so that whatever is jumped to is there already and its distance known.
 * A place is an index into this reversed program. Returns are shared as long as they are in reach.
 */
struct program {
	struct sock_filter *insns;
	size_t n;
	size_t returns[VERDICT_COUNT]; /* the latest place of a plain verdict's return, plus one; 0: none yet */
	bool overflow;
};

/* A conditional jump reaches 255 instructions. */
#define REACH 255

/* A return nearer than this is in reach of the comparison that is about to use it, with what else that one may need before. */
#define SHARE_WITHIN 200

static size_t emit(struct program *p, unsigned code, uint32_t k, size_t jt, size_t jf)
{
	if (p->n == SECCOMP_INSNS_MAX || jt > REACH || jf > REACH) {
		p->overflow = true;
		return 0;
	}
	p->insns[p->n] = (struct sock_filter){ (unsigned short)code, (unsigned char)jt, (unsigned char)jf, k };
	return p->n++;
}

/* How far the instruction that is emitted next has to jump to get there. */
static size_t distance_to(const struct program *p, size_t place)
{
	return p->n - place - 1;
}

static size_t emit_load(struct program *p, size_t offset)
{
	return emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static size_t emit_return(struct program *p, uint32_t action)
{
	return emit(p, BPF_RET | BPF_K, action, 0, 0);
}

/* When `place` is out of reach, a jump to it that is in reach. */
static size_t bring_near(struct program *p, size_t place)
{
	/* One less: the other branch may need such a jump too, between this one and the comparison. */
	if (distance_to(p, place) < REACH)
		return place;
	return emit(p, BPF_JMP | BPF_JA, (uint32_t)distance_to(p, place), 0, 0);
}

static size_t emit_compare(struct program *p, unsigned op, uint32_t k, size_t if_true, size_t if_false)
{
	if_true = bring_near(p, if_true);
	if_false = bring_near(p, if_false);
	return emit(p, BPF_JMP | op | BPF_K, k, distance_to(p, if_true), distance_to(p, if_false));
}

static uint32_t action_of(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_ALLOW:
		return SECCOMP_RET_ALLOW;
	case VERDICT_NO_SUCH_CALL:
		return SECCOMP_RET_ERRNO | ENOSYS;
	case VERDICT_DENY:
	case VERDICT_IF_CLONE_PLAIN:
	case VERDICT_IF_PERSONALITY:
	case VERDICT_IF_SOCKET_DOMAIN:
	case VERDICT_COUNT:
	default:
		return SECCOMP_RET_ERRNO | EPERM;
	}
}

/* A place where this verdict, which asks for no argument, is returned. */
static size_t plain(struct program *p, enum verdict verdict)
{
	size_t known = p->returns[verdict];

	if (known == 0 || distance_to(p, known - 1) > SHARE_WITHIN)
		p->returns[verdict] = emit_return(p, action_of(verdict)) + 1;
	return p->returns[verdict] - 1;
}

/* All of the arguments that are looked at are ints to the kernel, so their low halves decide. */
#define FIRST_ARGUMENT offsetof(struct seccomp_data, args[0])

static size_t emit_clone(struct program *p)
{
	size_t allow = plain(p, VERDICT_ALLOW), deny = plain(p, VERDICT_DENY);

	(void)emit_compare(p, BPF_JSET, PROFILE_CLONE_NAMESPACES, deny, allow);
	return emit_load(p, FIRST_ARGUMENT);
}

static size_t emit_personality(struct program *p)
{
	size_t allow = plain(p, VERDICT_ALLOW), next = plain(p, VERDICT_DENY);

	for (size_t i = 0; i < profile_n_personalities; i++)
		next = emit_compare(p, BPF_JEQ, profile_personalities[i], allow, next);
	return emit_load(p, FIRST_ARGUMENT);
}

static size_t emit_socket(struct program *p)
{
	size_t next = plain(p, VERDICT_ALLOW), deny = plain(p, VERDICT_DENY);

	for (size_t i = 0; i < profile_n_denied_domains; i++)
		next = emit_compare(p, BPF_JEQ, profile_denied_domains[i], deny, next);
	(void)emit_compare(p, BPF_JGE, PROFILE_DOMAINS, deny, next);
	return emit_load(p, FIRST_ARGUMENT);
}

static size_t emit_verdict(struct program *p, enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_IF_CLONE_PLAIN:
		return emit_clone(p);
	case VERDICT_IF_PERSONALITY:
		return emit_personality(p);
	case VERDICT_IF_SOCKET_DOMAIN:
		return emit_socket(p);
	case VERDICT_DENY:
	case VERDICT_ALLOW:
	case VERDICT_NO_SUCH_CALL:
	case VERDICT_COUNT:
	default:
		return plain(p, verdict);
	}
}

/* A balanced search: the comparison in front of both halves. */
static size_t emit_search(struct program *p, const struct run *runs, size_t n)
{
	size_t half = n / 2, lower, upper;

	if (n == 1)
		return emit_verdict(p, runs[0].verdict);
	upper = emit_search(p, runs + half, n - half);
	lower = emit_search(p, runs, half);
	return emit_compare(p, BPF_JGE, runs[half].first, upper, lower);
}

/* Goes on with the search when the architecture is this one, else to `other`. */
static size_t emit_architecture(struct program *p, uint32_t audit_arch, uint64_t caps, struct run_list *list, size_t other)
{
	size_t search;

	list_runs(audit_arch, caps, list);
	(void)emit_search(p, list->runs, list->n);
	search = emit_load(p, offsetof(struct seccomp_data, nr));
	return emit_compare(p, BPF_JEQ, audit_arch, search, other);
}

static void reverse(struct sock_filter *insns, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		struct sock_filter swap = insns[i];

		insns[i] = insns[n - 1 - i];
		insns[n - 1 - i] = swap;
	}
}

int seccomp_build(uint64_t caps, struct sock_filter insns[SECCOMP_INSNS_MAX], struct error *err)
{
	struct run_list *list = calloc(1, sizeof(*list));
	struct program p = { .insns = insns };
	size_t entry;

	if (!list)
		return error_sys(err, ENOMEM, "seccomp filter");
	/* An architecture that is not filtered does not exist on this one's kernels. */
	entry = emit_return(&p, SECCOMP_RET_KILL_PROCESS);
	for (size_t i = seccomp_n_ranges; i-- > 0;) {
		/* Ranges of one architecture stand together; the native one comes first and is asked for first. */
		if (i == 0 || seccomp_ranges[i].audit_arch != seccomp_ranges[i - 1].audit_arch)
			entry = emit_architecture(&p, seccomp_ranges[i].audit_arch, caps, list, entry);
	}
	(void)emit_load(&p, offsetof(struct seccomp_data, arch));
	free(list);
	if (p.overflow)
		return error_set(err, ERR_INTERNAL, "seccomp filter: too long");
	reverse(insns, p.n);
	return (int)p.n;
}
