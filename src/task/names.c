#include "task/names.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/buffer.h"

/* Names are at most a few hundred bytes by Kubernetes' rules; requests are bounded by the server's message limit. */
#define MAX_KEY_BYTES ((size_t)16 << 20)

struct name_entry {
	char *key;
	const char *id;
	UT_hash_handle hh;
};

static struct name_entry *find(const struct name_index *index, const char *key)
{
	struct name_entry *entry;

	HASH_FIND_STR(index->entries, key, entry);
	return entry;
}

int name_take(struct name_index *index, const char *key, const char *id, struct error *err)
{
	struct name_entry *entry = find(index, key);

	if (entry)
		return error_set(err, ERR_EXISTS, "the name is taken by %s", entry->id);
	entry = calloc(1, sizeof(*entry));
	if (entry && (entry->key = strdup(key))) {
		entry->id = id;
		HASH_ADD_KEYPTR(hh, index->entries, entry->key, strlen(entry->key), entry);
		if (entry->hh.tbl)
			return 0;
	}
	if (entry)
		free(entry->key);
	free(entry);
	return error_set(err, ERR_EXHAUSTED, "take name: out of memory");
}

const char *name_find(const struct name_index *index, const char *key)
{
	const struct name_entry *entry = find(index, key);

	return entry ? entry->id : NULL;
}

static void drop(struct name_index *index, struct name_entry *entry)
{
	HASH_DEL(index->entries, entry);
	free(entry->key);
	free(entry);
}

void name_drop(struct name_index *index, const char *key, const char *id)
{
	struct name_entry *entry = key ? find(index, key) : NULL;

	if (entry && !strcmp(entry->id, id))
		drop(index, entry);
}

void name_index_release(struct name_index *index)
{
	struct name_entry *entry, *next;

	HASH_ITER (hh, index->entries, entry, next)
		drop(index, entry);
}

char *name_key(const char *const *parts, unsigned n, unsigned attempt)
{
	_cleanup_buffer_ struct buffer key = BUFFER_INIT(MAX_KEY_BYTES);
	struct error ignored = ERROR_INIT;

	for (unsigned i = 0; i < n; i++)
		if (buffer_printf(&key, &ignored, "%zu:%s", strlen(parts[i]), parts[i]) < 0)
			return NULL;
	return buffer_printf(&key, &ignored, "%u", attempt) < 0 ? NULL : buffer_steal(&key);
}
