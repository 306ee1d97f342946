/*
 * What a seccomp profile says for one container, wherever it came from: the builtin profile (seccomp_profile.h) or a file
 * (seccomp_json.h). The compiler (seccomp_build.h) knows nothing else. Internal to src/runtime.
 */
#ifndef MONOPOD_RUNTIME_SECCOMP_POLICY_H
#define MONOPOD_RUNTIME_SECCOMP_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* seccomp_data has six arguments. */
#define SECCOMP_ARGS 6

enum seccomp_op {
	SECCOMP_OP_NE,
	SECCOMP_OP_LT,
	SECCOMP_OP_LE,
	SECCOMP_OP_EQ,
	SECCOMP_OP_GE,
	SECCOMP_OP_GT,
	SECCOMP_OP_MASKED_EQ, /* (argument & value) == datum */
};

struct seccomp_arg {
	unsigned index;
	enum seccomp_op op;
	bool is_int; /* the kernel looks at 32 bits, so the filter does; files compare what the ABI's registers hold */
	uint64_t value, datum;
};

/*
 * Of a call's rules, one without conditions decides alone, the first of them when there are several; else the first whose conditions all
 * hold; else the default action. A rule with the default action says nothing and is left out. This is how engines use libseccomp.
 */
struct seccomp_rule {
	const char *names; /* with blanks between; those that an architecture does not have are skipped */
	uint32_t action;   /* SECCOMP_RET_* with its data */
	const struct seccomp_arg *args;
	size_t n_args;
};

struct seccomp_policy {
	uint32_t default_action;
	/* For calls with a higher number than every call that the profile names, in any rule: a libc that is newer than the profile must
	 * see "not there" rather than "not allowed", or it does not fall back. */
	uint32_t beyond_action;
	unsigned flags;       /* SECCOMP_FILTER_FLAG_* */
	const uint32_t *abis; /* SCMP_ARCH_* that are filtered; the calls of others kill */
	size_t n_abis;
	const struct seccomp_rule *rules;
	size_t n_rules;
	const char *other_names; /* what the profile names without a rule for this container; NULL: nothing */
};

/* The longest name and its NUL fit with room to spare. */
#define SECCOMP_NAME_SIZE 40

/* Copies the next name out of a list; false at its end. */
bool seccomp_next_name(const char **rest, char name[SECCOMP_NAME_SIZE]);

#endif
