/* The builtin profile as data. Internal to src/runtime. */
#ifndef MONOPOD_RUNTIME_SECCOMP_PROFILE_H
#define MONOPOD_RUNTIME_SECCOMP_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What happens to a system call; the rules look at its first argument. */
enum verdict {
	VERDICT_DENY, /* EPERM */
	VERDICT_ALLOW,
	VERDICT_NO_SUCH_CALL,     /* ENOSYS: libc falls back to an older call */
	VERDICT_IF_CLONE_PLAIN,   /* clone(2) without a flag that makes a namespace */
	VERDICT_IF_PERSONALITY,   /* personality(2) with one of the harmless values */
	VERDICT_IF_SOCKET_DOMAIN, /* socket(2) of a domain that is separated by network namespaces or harmless */
	VERDICT_COUNT
};

/* Flags of clone(2) that make a namespace: CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET. */
#define PROFILE_CLONE_NAMESPACES 0x7e020000U

/* The values of personality(2): PER_LINUX, PER_LINUX32, both with UNAME26, and the question what it is. */
extern const uint32_t profile_personalities[];
extern const size_t profile_n_personalities;

/*
 * Domains of socket(2) that are denied, of those below PROFILE_DOMAINS; all from there on are. Some have no namespace (AF_VSOCK reaches the
 * hypervisor's host, AF_ALG the kernel's crypto), the others nobody maintains.
 */
#define PROFILE_DOMAINS 46
extern const uint8_t profile_denied_domains[];
extern const size_t profile_n_denied_domains;

/* A set of system calls with one verdict, given when the container holds one of the capabilities, or always. */
struct profile_set {
	uint64_t with_caps;    /* 0: always */
	uint64_t without_caps; /* not when it holds one of these */
	enum verdict verdict;
	const char *names; /* with blanks between; those that an architecture does not have are skipped */
};

/* The longest name and its NUL fit with room to spare. */
#define PROFILE_NAME_SIZE 40

/* Copies the next name out of a list; false at its end. */
bool profile_next_name(const char **rest, char name[PROFILE_NAME_SIZE]);

/* A later set wins over an earlier one, so that a capability can lift a condition. */
extern const struct profile_set profile_sets[];
extern const size_t profile_n_sets;

/*
 * Numbers that the library does not give: system calls newer than it, and those of i386 that it only knows as a subcall of
 * socketcall(2) and ipc(2).
 */
struct profile_number {
	uint32_t abi; /* SCMP_ARCH_* of libseccomp; 0: the number is the same on every architecture */
	const char *name;
	unsigned number;
};
extern const struct profile_number profile_numbers[];
extern const size_t profile_n_numbers;

/* The newest system call that this profile has an opinion on. Every later one gets VERDICT_NO_SUCH_CALL: a libc that is newer than
 * this list must see "not there" rather than "not allowed", or it does not fall back. */
#define PROFILE_NEWEST_CALL 466

/* The capabilities that make a difference. */
uint64_t profile_relevant_caps(void);

#endif
