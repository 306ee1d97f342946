/*
 * The caches of filters. Of the builtin profile: one filter per set of capabilities that makes a difference, built on first use, kept for
 * ever. Of files: by content, the least recently used one goes.
 */
#include "runtime/seccomp.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/mem.h"
#include "runtime/seccomp_build.h"
#include "runtime/seccomp_json.h"
#include "runtime/seccomp_profile.h"

/*
 * The capabilities in question make 2^13 combinations, real containers use a handful. A request chooses them freely, so the cache has
 * an end (arbitrary; some 3 KiB each): what does not fit is an error rather than memory that grows.
 */
#define BUILTIN_MAX 512

struct entry {
	uint64_t caps;
	struct seccomp_filter filter;
	struct entry *next;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct entry *entries;
static size_t n_entries;

static struct entry *find(struct entry *list, uint64_t caps)
{
	for (struct entry *e = list; e; e = e->next) {
		if (e->caps == caps)
			return e;
	}
	return NULL;
}

static void free_entry(struct entry *e)
{
	free(e->filter.insns);
	free(e);
}

/* NULL and an error when it does not fit or memory is out. */
static struct entry *build(const struct seccomp_policy *policy, uint64_t caps, struct error *err)
{
	_cleanup_free_
	struct sock_filter *insns = calloc(SECCOMP_INSNS_MAX, sizeof(*insns));
	_cleanup_free_
	struct entry *e = calloc(1, sizeof(*e));
	int n = insns && e ? seccomp_build(policy, insns, err) : error_sys(err, ENOMEM, "seccomp filter");

	if (n < 0)
		return NULL;
	e->filter.insns = malloc((size_t)n * sizeof(*insns));
	if (!e->filter.insns) {
		(void)error_sys(err, ENOMEM, "seccomp filter");
		return NULL;
	}
	memcpy(e->filter.insns, insns, (size_t)n * sizeof(*insns));
	e->filter.n_insns = (unsigned short)n;
	e->filter.flags = policy->flags;
	e->caps = caps;
	return steal_ptr(&e);
}

/* ---- the builtin profile ---- */

static struct entry *build_builtin(uint64_t caps, struct error *err)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	struct seccomp_policy policy;

	return profile_policy(caps, &arena, &policy, err) < 0 ? NULL : build(&policy, caps, err);
}

/* With the mutex held. */
static const struct entry *find_or_build(uint64_t caps, struct error *err)
{
	struct entry *known = find(entries, caps), *fresh;

	if (known)
		return known;
	if (n_entries == BUILTIN_MAX) {
		(void)error_set(err, ERR_EXHAUSTED, "seccomp filter: more than %d different sets of capabilities", BUILTIN_MAX);
		return NULL;
	}
	fresh = build_builtin(caps, err);
	if (!fresh)
		return NULL;
	LL_PREPEND(entries, fresh);
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

/* ---- profiles from files ---- */

/* A node's pods share a few profiles (arbitrary). Their texts are kept to tell them apart, up to as many bytes as 16 of the largest. */
#define FILES_MAX 64
#define FILES_BYTES_MAX (16 * SECCOMP_PROFILE_MAX)

/* Of one profile, for different capabilities (arbitrary); up to 32 KiB each. */
#define FILTERS_MAX 16

struct file {
	char *text;
	size_t len;
	uint64_t relevant; /* capabilities that the profile asks for */
	struct entry *filters;
	size_t n_filters;
	struct file *prev, *next;
};

/* utlist, the one that was used last first */
static struct file *files;
static size_t n_files, files_bytes, n_compiled;

static void free_filters(struct file *file)
{
	struct entry *e, *next;

	LL_FOREACH_SAFE(file->filters, e, next)
	free_entry(e);
	file->filters = NULL;
	file->n_filters = 0;
}

static void free_file(struct file *file)
{
	free_filters(file);
	free(file->text);
	free(file);
}

static struct file *find_file(const char *text, size_t len)
{
	struct file *file;

	DL_FOREACH (files, file) {
		if (file->len == len && !memcmp(file->text, text, len))
			return file;
	}
	return NULL;
}

static void drop_oldest(void)
{
	struct file *oldest = files->prev;

	DL_DELETE(files, oldest);
	n_files--;
	files_bytes -= oldest->len;
	free_file(oldest);
}

static struct file *add_file(const char *text, size_t len, struct error *err)
{
	struct file *file = calloc(1, sizeof(*file));

	if (file)
		file->text = malloc(len);
	if (!file || !file->text) {
		free(file);
		(void)error_sys(err, ENOMEM, "keep profile");
		return NULL;
	}
	memcpy(file->text, text, len);
	file->len = len;
	while (files && (n_files == FILES_MAX || files_bytes + len > FILES_BYTES_MAX))
		drop_oldest();
	DL_PREPEND(files, file);
	n_files++;
	files_bytes += len;
	return file;
}

static struct entry *compile(const char *text, size_t len, uint64_t caps, uint64_t *ret_relevant, struct error *err)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	struct seccomp_subject subject = seccomp_subject_here(caps);
	struct seccomp_policy policy;
	struct entry *fresh = NULL;
	cJSON *json = seccomp_json_parse(text, len, err);

	if (json && seccomp_json_policy(json, &subject, &arena, &policy, ret_relevant, err) == 0)
		fresh = build(&policy, caps & *ret_relevant, err);
	cJSON_Delete(json);
	n_compiled++;
	return fresh;
}

/* With the mutex held. */
static const struct entry *file_filter(const char *text, size_t len, uint64_t caps, struct error *err)
{
	struct file *file = find_file(text, len);
	struct entry *e = file ? find(file->filters, caps & file->relevant) : NULL;
	uint64_t relevant;

	if (e) {
		DL_DELETE(files, file);
		DL_PREPEND(files, file);
		return e;
	}
	e = compile(text, len, caps, &relevant, err);
	if (!e)
		return NULL;
	file = file ? file : add_file(text, len, err);
	if (!file) {
		free_entry(e);
		return NULL;
	}
	if (file->n_filters == FILTERS_MAX)
		free_filters(file);
	file->relevant = relevant;
	LL_PREPEND(file->filters, e);
	file->n_filters++;
	return e;
}

static int copy_filter(const struct seccomp_filter *filter, struct arena *arena, const struct seccomp_filter **ret_filter,
		       struct error *err)
{
	struct seccomp_filter *copy = arena_memdup(arena, filter, sizeof(*filter));

	if (copy)
		copy->insns = arena_memdup(arena, filter->insns, filter->n_insns * sizeof(*filter->insns));
	if (!copy || !copy->insns)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	*ret_filter = copy;
	return 0;
}

int seccomp_compile(const char *text, size_t len, uint64_t caps, struct arena *arena, const struct seccomp_filter **ret_filter,
		    struct error *err)
{
	const struct entry *e;
	int result;

	(void)pthread_mutex_lock(&mutex);
	e = file_filter(text, len, caps, err);
	result = e ? copy_filter(&e->filter, arena, ret_filter, err) : -1;
	(void)pthread_mutex_unlock(&mutex);
	return result;
}

void seccomp_cache_stats(size_t *ret_profiles, size_t *ret_compiled)
{
	(void)pthread_mutex_lock(&mutex);
	*ret_profiles = n_files;
	*ret_compiled = n_compiled;
	(void)pthread_mutex_unlock(&mutex);
}
