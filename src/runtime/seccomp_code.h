/*
 * Writing classic BPF for seccomp. Internal to src/runtime.
 *
 * The program grows from its end to its beginning, in reverse, so that whatever is jumped to is there already and its distance known.
 * A place is an index into this reversed program.
 */
#ifndef MONOPOD_RUNTIME_SECCOMP_CODE_H
#define MONOPOD_RUNTIME_SECCOMP_CODE_H

#include <linux/filter.h>

#include "runtime/seccomp_policy.h"

/* BPF_MAXINSNS of the kernel. */
#define SECCOMP_INSNS_MAX 4096

struct seccomp_code {
	struct sock_filter *insns; /* SECCOMP_INSNS_MAX of them */
	size_t n;
	bool overflow;
};

size_t code_load(struct seccomp_code *code, size_t offset);
size_t code_return(struct seccomp_code *code, uint32_t action);

/* `op` is one of BPF_JEQ, JGT, JGE, JSET. */
size_t code_compare(struct seccomp_code *code, unsigned op, uint32_t k, size_t if_true, size_t if_false);

/* Loads the argument and compares it; `wide` says that the ABI's registers have 64 bits. Returns where it begins. */
size_t code_test(struct seccomp_code *code, const struct seccomp_arg *arg, bool wide, size_t if_true, size_t if_false);

/* Makes what is written next go on at `place`. */
void code_fall_to(struct seccomp_code *code, size_t place);

/* How far the instruction that is written next has to jump to get there. */
static inline size_t code_distance(const struct seccomp_code *code, size_t place)
{
	return code->n - place - 1;
}

/* Turns the program around; it is complete then. */
void code_finish(struct seccomp_code *code);

#endif
