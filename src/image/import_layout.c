/* OCI layouts, those that `ctr images export` and newer `docker save` write among them. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/strv.h"
#include "image/import_impl.h"

/* The entries of index.json that bear one name: the platforms of one image. */
struct group {
	const char *name; /* "" for those without */
	struct manifest index;
};

static bool index_has_before(const struct manifest *index, size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (!strcmp(index->entries[j].name, index->entries[i].name))
			return true;
	}
	return false;
}

/* Entries are shared with `index`; free group->index.entries alone. */
static int make_group(const struct manifest *index, const char *name, struct group *ret_group, struct error *err)
{
	struct group group = { .name = name, .index = { .kind = MANIFEST_INDEX } };

	group.index.entries = calloc(index->n_entries + 1, sizeof(*group.index.entries));
	if (!group.index.entries)
		return error_set(err, ERR_EXHAUSTED, "out of memory for an index");
	for (size_t i = 0; i < index->n_entries; i++) {
		if (!strcmp(index->entries[i].name, name))
			group.index.entries[group.index.n_entries++] = index->entries[i];
	}
	*ret_group = group;
	return 0;
}

static int names_of(const struct manifest *index, char ***names, struct error *err)
{
	for (size_t i = 0; i < index->n_entries; i++) {
		if (!index_has_before(index, i) && strv_append(names, index->entries[i].name, err) < 0)
			return -1;
	}
	return 0;
}

static int install_entry(struct import *import, const struct descriptor *target, const char *name, struct error *err)
{
	_cleanup_install_ struct install in = { 0 };

	if (install_init(&in, import->store, &import->source, err) < 0)
		return -1;
	in.cancelled = import->request->cancelled;
	if (install_resolve(&in, target, err) < 0 || import_add_name(&in, name, err) < 0)
		return -1;
	return import_finish(import, &in, err);
}

/* Of its platforms the one for this machine. With `may_lack` an image without one is left out. */
static int install_group(struct import *import, const struct manifest *index, const char *group_name, const char *name,
			 bool may_lack, struct error *err)
{
	const struct platform host = platform_host();
	const struct manifest_entry *entry = NULL;
	struct error why = ERROR_INIT;
	struct group group;
	int result = 0;

	if (make_group(index, group_name, &group, err) < 0)
		return -1;
	if (manifest_choose(&group.index, &host, &entry, &why) < 0 && (!may_lack || why.code != ERR_NOT_FOUND)) {
		*err = why;
		result = -1;
	}
	if (entry)
		result = install_entry(import, &entry->target, name, err);
	free(group.index.entries);
	return result < 0 ? error_prefix(err, "%.200s", name) : 0;
}

/* One image gets the name that was given: the only one, or the only one that was asked for. */
static int import_renamed(struct import *import, const struct manifest *index, char *const *names, struct error *err)
{
	const char *chosen = NULL;

	for (; *names; names++) {
		if (!import_wants(import, *names))
			continue;
		if (chosen)
			return error_set(err, ERR_INVALID,
					 "it holds several images, '%.100s' and '%.100s' among them: say which one is "
					 "to be called %.200s",
					 chosen, *names, import->request->name);
		chosen = *names;
	}
	return install_group(import, index, chosen ? chosen : "", import->request->name, false, err);
}

/* Every image that has a name and is for this machine; of those that were asked for by name none may be missing. */
static int import_named(struct import *import, const struct manifest *index, char *const *names, struct error *err)
{
	bool asked = import->request->only && *import->request->only;

	for (; *names; names++) {
		if (!import_wants(import, *names) || (!asked && !import_is_name(*names)))
			continue;
		if (!import_is_name(*names))
			return error_set(err, ERR_INVALID, "'%.200s' is a tag without a name: a name has to be given", *names);
		if (install_group(import, index, *names, *names, !asked, err) < 0)
			return -1;
	}
	if (import->n_images == 0)
		return error_set(err, ERR_INVALID, "the archive names no image for this machine: a name has to be given");
	return 0;
}

int import_layout(struct import *import, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(MANIFEST_MAX_BYTES);
	_cleanup_manifest_ struct manifest index = { 0 };
	_cleanup_strv_ char **names = strv_new();

	if (!names)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (import_read(import, "index.json", &text, err) < 0)
		return -1;
	if (manifest_parse(text.data ? text.data : "", text.len, NULL, &index, err) < 0)
		return error_prefix(err, "index.json");
	if (index.kind != MANIFEST_INDEX)
		return error_set(err, ERR_INVALID, "index.json is not an index");
	if (names_of(&index, &names, err) < 0 || import_check_names(import, names, err) < 0)
		return -1;
	return import->request->name ? import_renamed(import, &index, names, err) : import_named(import, &index, names, err);
}
