/*
 * From the profile to classic BPF. Internal to src/runtime.
 *
 * For each architecture the verdicts of all system call numbers are laid out in tables, which fall into some seventy runs of equal
 * verdicts; a binary search over the runs is the program. Names become numbers by libseccomp. Its own compiler is not used: for this
 * profile it makes 1193 instructions in 17 ms, which take 500 us to load, for every container anew; this makes 232 in 0.3 ms, which
 * take 100 us. Nor can it be given a rule for a call that it has no name for.
 */
#ifndef MONOPOD_RUNTIME_SECCOMP_BUILD_H
#define MONOPOD_RUNTIME_SECCOMP_BUILD_H

#include <linux/filter.h>

#include "base/error.h"
#include "runtime/seccomp_profile.h"

/* BPF_MAXINSNS of the kernel. */
#define SECCOMP_INSNS_MAX 4096

/* A range of numbers of one ABI that get verdicts one by one; outside of all ranges there is no such call. */
struct number_range {
	uint32_t abi;        /* for names: SCMP_ARCH_* of libseccomp */
	uint32_t audit_arch; /* as the kernel reports it: AUDIT_ARCH_* */
	uint32_t first, count;
};

/* Those of the architecture that this is built for, its 32-bit relative after it. */
extern const struct number_range seccomp_ranges[];
extern const size_t seccomp_n_ranges;

/* The largest count: ordinary calls, or those of x32, which has 36 of its own from 512 on. */
#define SECCOMP_RANGE_MAX 548

/* One verdict per number of the range, from its first on. */
void seccomp_fill_range(const struct number_range *range, uint64_t caps, unsigned char verdicts[SECCOMP_RANGE_MAX]);

/* Writes the program and returns its length; ERR_INTERNAL when it does not fit. */
int seccomp_build(uint64_t caps, struct sock_filter insns[SECCOMP_INSNS_MAX], struct error *err);

#endif
