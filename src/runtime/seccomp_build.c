#include "runtime/seccomp_build.h"

#include <endian.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>

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
	for (uint32_t i = 0; i < SECCOMP_RANGE_MAX; i++) {
		/* x32 shares the ordinary numbers and goes on at 512. */
		bool gap = range->count > ORDINARY && i >= ORDINARY && i < 512;

		verdicts[i] = gap ? VERDICT_NO_SUCH_CALL : VERDICT_DENY;
	}
	for (size_t i = 0; i < profile_n_sets; i++) {
		if (!applies(&profile_sets[i], caps))
			continue;
		for (const char *const *name = profile_sets[i].names; *name; name++)
			set_by_name(range, *name, profile_sets[i].verdict, verdicts);
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

/* The ranges of one audit architecture stand in ascending order. */
static void list_runs(uint32_t audit_arch, uint64_t caps, struct run_list *list)
{
	unsigned char verdicts[SECCOMP_RANGE_MAX];

	list->n = 0;
	for (size_t i = 0; i < seccomp_n_ranges; i++) {
		const struct number_range *range = &seccomp_ranges[i];

		if (range->audit_arch != audit_arch)
			continue;
		seccomp_fill_range(range, caps, verdicts);
		for (uint32_t j = 0; j < range->count; j++)
			add_run(list, range->first + j, (enum verdict)verdicts[j]);
		add_run(list, range->first + range->count, VERDICT_NO_SUCH_CALL);
	}
}

struct program {
	struct sock_filter *insns;
	size_t n;
	bool overflow;
};

static void emit(struct program *p, unsigned code, uint32_t k, size_t jt, size_t jf)
{
	if (p->n == SECCOMP_INSNS_MAX || jt > 255 || jf > 255) {
		p->overflow = true;
		return;
	}
	p->insns[p->n++] = (struct sock_filter){ (unsigned short)code, (unsigned char)jt, (unsigned char)jf, k };
}

static void emit_load(struct program *p, size_t offset)
{
	emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void emit_return(struct program *p, uint32_t action)
{
	emit(p, BPF_RET | BPF_K, action, 0, 0);
}

#define RETURN_DENY (SECCOMP_RET_ERRNO | EPERM)
#define RETURN_NO_SUCH_CALL (SECCOMP_RET_ERRNO | ENOSYS)

/* All of these arguments are ints to the kernel, so their low halves decide. */
#define FIRST_ARGUMENT offsetof(struct seccomp_data, args[0])

static void emit_clone(struct program *p)
{
	emit_load(p, FIRST_ARGUMENT);
	emit(p, BPF_JMP | BPF_JSET | BPF_K, PROFILE_CLONE_NAMESPACES, 0, 1);
	emit_return(p, RETURN_DENY);
	emit_return(p, SECCOMP_RET_ALLOW);
}

/* Jumps over the first return when the argument is one of the values. */
static void emit_personality(struct program *p)
{
	emit_load(p, FIRST_ARGUMENT);
	for (size_t i = 0; i < profile_n_personalities; i++)
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, profile_personalities[i], profile_n_personalities - i, 0);
	emit_return(p, RETURN_DENY);
	emit_return(p, SECCOMP_RET_ALLOW);
}

static void emit_socket(struct program *p)
{
	emit_load(p, FIRST_ARGUMENT);
	emit(p, BPF_JMP | BPF_JGE | BPF_K, PROFILE_DOMAINS, profile_n_denied_domains + 1, 0);
	for (size_t i = 0; i < profile_n_denied_domains; i++)
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, profile_denied_domains[i], profile_n_denied_domains - i, 0);
	emit_return(p, SECCOMP_RET_ALLOW);
	emit_return(p, RETURN_DENY);
}

static void emit_verdict(struct program *p, enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_ALLOW:
		emit_return(p, SECCOMP_RET_ALLOW);
		break;
	case VERDICT_NO_SUCH_CALL:
		emit_return(p, RETURN_NO_SUCH_CALL);
		break;
	case VERDICT_IF_CLONE_PLAIN:
		emit_clone(p);
		break;
	case VERDICT_IF_PERSONALITY:
		emit_personality(p);
		break;
	case VERDICT_IF_SOCKET_DOMAIN:
		emit_socket(p);
		break;
	case VERDICT_DENY:
	default:
		emit_return(p, RETURN_DENY);
		break;
	}
}

/* Makes the instruction at `at` jump to the end of the program when its condition holds: a jump reaches 255 instructions, a farther
 * one needs a second instruction between. */
static void jump_to_end(struct program *p, size_t at)
{
	size_t distance = p->n - at - 1;

	if (p->overflow)
		return;
	if (distance <= 255) {
		p->insns[at].jt = (unsigned char)distance;
		return;
	}
	emit_return(p, 0); /* makes room at the end */
	if (p->overflow)
		return;
	memmove(&p->insns[at + 2], &p->insns[at + 1], distance * sizeof(*p->insns));
	p->insns[at].jf = 1;
	p->insns[at + 1] = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, (uint32_t)distance);
}

static void emit_search(struct program *p, const struct run *runs, size_t n)
{
	size_t half = n / 2, at = p->n;

	if (n == 1) {
		emit_verdict(p, runs[0].verdict);
		return;
	}
	emit(p, BPF_JMP | BPF_JGE | BPF_K, runs[half].first, 0, 0);
	emit_search(p, runs, half);
	jump_to_end(p, at);
	emit_search(p, runs + half, n - half);
}

/* "Not this architecture" jumps over the whole search; the false branch of the comparison is the next instruction. */
static void emit_architecture(struct program *p, uint32_t audit_arch, uint64_t caps, struct run_list *list)
{
	size_t at = p->n + 1;

	list_runs(audit_arch, caps, list);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, audit_arch, 1, 0);
	emit(p, BPF_JMP | BPF_JA, 0, 0, 0);
	emit_load(p, offsetof(struct seccomp_data, nr));
	emit_search(p, list->runs, list->n);
	if (!p->overflow)
		p->insns[at].k = (uint32_t)(p->n - at - 1);
}

int seccomp_build(uint64_t caps, struct sock_filter insns[SECCOMP_INSNS_MAX], struct error *err)
{
	struct run_list *list = malloc(sizeof(*list));
	struct program p = { insns, 0, false };

	if (!list)
		return error_sys(err, ENOMEM, "seccomp filter");
	emit_load(&p, offsetof(struct seccomp_data, arch));
	for (size_t i = 0; i < seccomp_n_ranges; i++) {
		/* Ranges of one architecture stand together. */
		if (i == 0 || seccomp_ranges[i].audit_arch != seccomp_ranges[i - 1].audit_arch)
			emit_architecture(&p, seccomp_ranges[i].audit_arch, caps, list);
	}
	/* An architecture that was not filtered does not exist on this one's kernels. */
	emit_return(&p, SECCOMP_RET_KILL_PROCESS);
	free(list);
	return p.overflow ? error_set(err, ERR_INTERNAL, "seccomp filter: too long") : (int)p.n;
}
