/*
 * Seccomp filters: compiled once per profile and set of capabilities, loaded in microseconds (limits.md lesson 4). The builtin profile
 * allows what the ecosystem's default profile allows on this architecture, and more with CAP_SYS_ADMIN, CAP_NET_ADMIN, ... as there;
 * profiles from files are cached by their content.
 */
#ifndef MONOPOD_RUNTIME_SECCOMP_H
#define MONOPOD_RUNTIME_SECCOMP_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

struct sock_filter;

/* Of a profile's text. Ten times the longest one in use; cJSON takes up to 32 times as much while it reads. */
#define SECCOMP_PROFILE_MAX ((size_t)256 * 1024)

struct seccomp_filter {
	struct sock_filter *insns;
	unsigned short n_insns;
	unsigned flags; /* SECCOMP_FILTER_FLAG_* */
};

/* The builtin profile for a container with these capabilities. Thread-safe; the result belongs to the cache. */
int seccomp_builtin(uint64_t caps, const struct seccomp_filter **ret_filter, struct error *err);

/* A profile in JSON (seccomp_json.h says which) for a container with these capabilities in its bounding set. Thread-safe; the result is
 * in the arena. The caller puts the profile's name in front of the error. */
int seccomp_compile(const char *text, size_t len, uint64_t caps, struct arena *arena, const struct seccomp_filter **ret_filter,
		    struct error *err);

/* How many profiles from files are cached, and how often one was compiled. For tests. */
void seccomp_cache_stats(size_t *ret_profiles, size_t *ret_compiled);

#endif
