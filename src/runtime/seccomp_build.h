/*
 * From a policy to classic BPF. Internal to src/runtime.
 *
 * For each architecture the decisions about all system call numbers are laid out in tables, which fall into some seventy runs of equal
 * decisions; a binary search over the runs is the program. Names become numbers by libseccomp. Its own compiler is not used: for the
 * builtin profile it makes 1193 instructions in 17 ms, which take 500 us to load, for every container anew; this makes 232 in 0.3 ms,
 * which take 100 us. Nor can it be given a rule for a call that it has no name for.
 */
#ifndef MONOPOD_RUNTIME_SECCOMP_BUILD_H
#define MONOPOD_RUNTIME_SECCOMP_BUILD_H

#include "base/error.h"
#include "runtime/seccomp_code.h"
#include "runtime/seccomp_numbers.h"
#include "runtime/seccomp_policy.h"

/* A range of numbers of one ABI that get decisions one by one; outside of all ranges there is no such call. */
struct number_range {
	uint32_t abi;        /* for names: SCMP_ARCH_* of libseccomp */
	uint32_t audit_arch; /* as the kernel reports it: AUDIT_ARCH_* */
	bool wide;           /* arguments have 64 bits */
	uint32_t first, count;
};

/* Those of the architecture that this is built for, its 32-bit relative after it. */
extern const struct number_range seccomp_ranges[];
extern const size_t seccomp_n_ranges;

/* The largest count: x32 has 36 calls of its own from 512 on. */
#define SECCOMP_RANGE_MAX 548

/*
 * A decision is a list of rules to try in order, told by its last one and the list before that; what is left then is the default
 * action. Or it is an action alone.
 */
#define SECCOMP_DECISIONS_MAX 2048 /* far more than a program of SECCOMP_INSNS_MAX instructions has room for */

struct seccomp_decision {
	bool plain;
	uint32_t action;                 /* when plain */
	const struct seccomp_rule *rule; /* else */
	uint16_t before;                 /* index of the list in front of it */
};

struct seccomp_table {
	struct seccomp_decision decisions[SECCOMP_DECISIONS_MAX]; /* the first is the default action */
	size_t n;
	uint16_t of[SECCOMP_RANGE_MAX]; /* one decision per number of the range, from its first on */
	bool overflow;
};

/* Index of the decision that is this action alone. */
uint16_t seccomp_plain(struct seccomp_table *table, uint32_t action);

/* Fills table->of; the decisions of earlier ranges stay. */
void seccomp_fill_range(struct seccomp_table *table, const struct number_range *range, const struct seccomp_policy *policy);

/* Writes the program and returns its length; ERR_INVALID when it does not fit. */
int seccomp_build(const struct seccomp_policy *policy, struct sock_filter insns[SECCOMP_INSNS_MAX], struct error *err);

#endif
