/*
 * Names: which object a client means by the names that it chose, so that a repeated request finds what the first one made.
 *
 * A sandbox's key is made of (namespace, name, uid, attempt), a container's of (sandbox id, name, attempt). A name is taken from the
 * moment its object is recorded until its record is erased.
 */
#ifndef MONOPOD_TASK_NAMES_H
#define MONOPOD_TASK_NAMES_H

#include "base/error.h"

struct name_entry;

struct name_index {
	struct name_entry *entries; /* uthash */
};

/* `id` must live as long as the entry. A taken name is ERR_EXISTS. */
int name_take(struct name_index *index, const char *key, const char *id, struct error *err);

/* The id behind a name, or NULL. */
const char *name_find(const struct name_index *index, const char *key);

/* Frees the name when it belongs to that id; harmless otherwise. */
void name_drop(struct name_index *index, const char *key, const char *id);
void name_index_release(struct name_index *index);

/* Parts joined so that no two lists of parts give the same key: each is preceded by its length. NULL when memory is out; free(). */
char *name_key(const char *const *parts, unsigned n, unsigned attempt);

#endif
