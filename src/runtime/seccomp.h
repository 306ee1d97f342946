/*
 * Seccomp filters: compiled once per profile and set of capabilities, kept for the life of the daemon, loaded in microseconds
 * (limits.md lesson 4). The builtin profile allows what the ecosystem's default profile allows on this architecture, and more with
 * CAP_SYS_ADMIN, CAP_NET_ADMIN, ... as there.
 */
#ifndef MONOPOD_RUNTIME_SECCOMP_H
#define MONOPOD_RUNTIME_SECCOMP_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct sock_filter;

struct seccomp_filter {
	struct sock_filter *insns;
	unsigned short n_insns;
	unsigned flags; /* SECCOMP_FILTER_FLAG_* */
};

/* The builtin profile for a container with these capabilities. Thread-safe; the result belongs to the cache. */
int seccomp_builtin(uint64_t caps, const struct seccomp_filter **ret_filter, struct error *err);

#endif
