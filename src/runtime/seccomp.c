/* The cache of filters: one per set of capabilities that makes a difference, built on first use, kept for ever. */
#include "runtime/seccomp.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "runtime/seccomp_build.h"

/*
 * The capabilities in question make 2^13 combinations, real containers use a handful. A request chooses them freely, so the cache has
 * an end (arbitrary; some 3 KiB each): what does not fit is an error rather than memory that grows.
 */
#define CACHE_MAX 512

struct entry {
	uint64_t caps;
	struct seccomp_filter filter;
	struct entry *next;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct entry *entries;
static size_t n_entries;

static const struct entry *find(uint64_t caps)
{
	for (const struct entry *e = entries; e; e = e->next) {
		if (e->caps == caps)
			return e;
	}
	return NULL;
}

static struct entry *build(uint64_t caps, struct error *err)
{
	_cleanup_free_
	struct sock_filter *insns = calloc(SECCOMP_INSNS_MAX, sizeof(*insns));
	_cleanup_free_
	struct entry *e = calloc(1, sizeof(*e));
	int n;

	if (!insns || !e) {
		(void)error_sys(err, ENOMEM, "seccomp filter");
		return NULL;
	}
	n = seccomp_build(caps, insns, err);
	if (n < 0)
		return NULL;
	e->filter.insns = malloc((size_t)n * sizeof(*insns));
	if (!e->filter.insns) {
		(void)error_sys(err, ENOMEM, "seccomp filter");
		return NULL;
	}
	memcpy(e->filter.insns, insns, (size_t)n * sizeof(*insns));
	e->filter.n_insns = (unsigned short)n;
	/* Without it kernels before 5.16 turn speculative store bypass off for the process, which costs it dear; later ones never do. */
	e->filter.flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	e->caps = caps;
	return steal_ptr(&e);
}

/* With the mutex held. */
static const struct entry *find_or_build(uint64_t caps, struct error *err)
{
	const struct entry *known = find(caps);
	struct entry *fresh;

	if (known)
		return known;
	if (n_entries == CACHE_MAX) {
		(void)error_set(err, ERR_EXHAUSTED, "seccomp filter: more than %d different sets of capabilities", CACHE_MAX);
		return NULL;
	}
	fresh = build(caps, err);
	if (!fresh)
		return NULL;
	fresh->next = entries;
	entries = fresh;
	n_entries++;
	return fresh;
}

int seccomp_builtin(uint64_t caps, const struct seccomp_filter **ret_filter, struct error *err)
{
	const struct entry *e;

	(void)pthread_mutex_lock(&mutex);
	e = find_or_build(caps & profile_relevant_caps(), err);
	(void)pthread_mutex_unlock(&mutex);
	if (!e)
		return -1;
	*ret_filter = &e->filter;
	return 0;
}
