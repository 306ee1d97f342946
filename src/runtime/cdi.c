/* The cache of Specs, and what devices ask for. */
#include "runtime/cdi.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/io.h"
#include "base/mem.h"
#include "runtime/cdi_spec.h"

/* A node has a handful. */
#define MAX_FILES 256

/* What tells that a file is still the same. */
struct stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

struct spec_file {
	char path[PATH_MAX];
	size_t priority; /* of its directory: the higher one wins */
	struct stamp stamp;
	cJSON *spec; /* NULL when it is wrong */
	struct error error;
	bool keep; /* while the directories are listed */
};

struct file_list {
	struct spec_file *files[MAX_FILES];
	size_t n;
	bool overflow;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct file_list cache;

/* ---- reading ---- */

static bool is_yaml(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && !strcmp(dot, ".yaml");
}

static cJSON *parse(const char *path, const struct buffer *text, struct error *err)
{
	const char *data = text->data ? text->data : "";
	cJSON *spec = is_yaml(path) ? cdi_parse_yaml(data, text->len, err) : cdi_parse_json(data, text->len, err);

	if (spec && cdi_check_spec(spec, err) == 0)
		return spec;
	cJSON_Delete(spec);
	return NULL;
}

/* A file that is wrong is kept with the reason: the devices of others do not suffer. */
static void read_file(struct spec_file *file)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(CDI_FILE_MAX);

	file->error = (struct error)ERROR_INIT;
	cJSON_Delete(file->spec);
	file->spec = NULL;
	if (io_read_file(AT_FDCWD, file->path, &text, &file->error) == 0) {
		file->spec = parse(file->path, &text, &file->error);
		if (!file->spec)
			(void)error_prefix(&file->error, "%s", file->path);
	}
}

static struct stamp stamp_of(const struct stat *st)
{
	struct stamp stamp;

	/* padding is compared too */
	memset(&stamp, 0, sizeof(stamp));
	stamp.dev = st->st_dev;
	stamp.ino = st->st_ino;
	stamp.size = st->st_size;
	stamp.mtime = st->st_mtim;
	stamp.ctime = st->st_ctim;
	return stamp;
}

static struct spec_file *find_file(const char *path, size_t priority)
{
	for (size_t i = 0; i < cache.n; i++) {
		if (cache.files[i]->priority == priority && !strcmp(cache.files[i]->path, path))
			return cache.files[i];
	}
	return NULL;
}

static struct spec_file *add_file(const char *path, size_t priority)
{
	struct spec_file *file = cache.n < MAX_FILES ? calloc(1, sizeof(*file)) : NULL;

	if (!file) {
		cache.overflow = true;
		return NULL;
	}
	(void)snprintf(file->path, sizeof(file->path), "%s", path);
	file->priority = priority;
	cache.files[cache.n++] = file;
	return file;
}

static void see_file(const char *path, size_t priority)
{
	struct spec_file *file = find_file(path, priority);
	bool known = file != NULL;
	struct stamp stamp;
	struct stat st;

	/* links are followed, as everywhere; what is neither cannot be read without a risk */
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	stamp = stamp_of(&st);
	file = known ? file : add_file(path, priority);
	if (!file)
		return;
	file->keep = true;
	if (known && !memcmp(&file->stamp, &stamp, sizeof(stamp)))
		return;
	file->stamp = stamp;
	read_file(file);
}

static bool is_spec_name(const char *name)
{
	const char *dot = strrchr(name, '.');

	return name[0] != '.' && dot && (!strcmp(dot, ".json") || !strcmp(dot, ".yaml"));
}

static void see_dir(const char *path, size_t priority)
{
	_cleanup_dir_ DIR *dir = opendir(path);
	const struct dirent *entry;
	char file[PATH_MAX];

	while (dir && (entry = readdir(dir))) {
		if (is_spec_name(entry->d_name) && snprintf(file, sizeof(file), "%s/%s", path, entry->d_name) < (int)sizeof(file))
			see_file(file, priority);
	}
}

static void free_file(struct spec_file *file)
{
	cJSON_Delete(file->spec);
	free(file);
}

static void drop_gone(void)
{
	size_t n = 0;

	for (size_t i = 0; i < cache.n; i++) {
		if (cache.files[i]->keep)
			cache.files[n++] = cache.files[i];
		else
			free_file(cache.files[i]);
	}
	cache.n = n;
}

static int refresh(const char *dirs, struct error *err)
{
	char path[PATH_MAX];
	size_t priority = 0;

	cache.overflow = false;
	for (size_t i = 0; i < cache.n; i++)
		cache.files[i]->keep = false;
	for (const char *p = dirs; *p; p += *p == ',') {
		size_t len = strcspn(p, ",");

		if (len > 0 && snprintf(path, sizeof(path), "%.*s", (int)len, p) < (int)sizeof(path))
			see_dir(path, priority++);
		p += len;
	}
	drop_gone();
	return cache.overflow ? error_set(err, ERR_EXHAUSTED, "CDI: more than %d Spec files in %s", MAX_FILES, dirs) : 0;
}

/* ---- devices ---- */

static bool has_kind(const struct spec_file *file, const char *kind, size_t len)
{
	struct error ignored = ERROR_INIT;
	const char *own;

	return file->spec && cdi_text(file->spec, "kind", &own, &ignored) == 0 && !strncmp(own, kind, len) && own[len] == '\0';
}

/* Of the highest priority that has it; NULL when there is none. Two of the same are a conflict. */
static struct spec_file *find_spec(const char *name, const struct spec_file **ret_conflict)
{
	size_t kind_len = strcspn(name, "=");
	struct spec_file *best = NULL;

	*ret_conflict = NULL;
	for (size_t i = 0; i < cache.n; i++) {
		struct spec_file *file = cache.files[i];

		if (!has_kind(file, name, kind_len) || !cdi_find_device(file->spec, name + kind_len + 1))
			continue;
		if (!best || file->priority > best->priority) {
			best = file;
			*ret_conflict = NULL;
		} else if (file->priority == best->priority) {
			*ret_conflict = file;
		}
	}
	return best;
}

static const struct error *first_bad_file(void)
{
	for (size_t i = 0; i < cache.n; i++) {
		if (!cache.files[i]->spec)
			return &cache.files[i]->error;
	}
	return NULL;
}

static int not_found(const char *name, const char *dirs, struct error *err)
{
	const struct error *bad = first_bad_file();

	return error_set(err, ERR_NOT_FOUND, "CDI device %s: no Spec in %s has it%s%s", name, dirs,
			 bad ? "; a Spec cannot be used: " : "", bad ? bad->text : "");
}

static int append_device(const struct spec_file *file, const char *name, bool first, struct arena *arena, struct cdi_edits *edits,
			 struct error *err)
{
	const char *device = strchr(name, '=') + 1;

	if ((first && cdi_append_edits(file->spec, arena, edits, err) < 0) ||
	    cdi_append_edits(cdi_find_device(file->spec, device), arena, edits, err) < 0)
		return error_prefix(err, "CDI device %s: %s", name, file->path);
	if (edits->unsupported)
		return error_set(err, ERR_UNIMPLEMENTED, "CDI device %s: %s: containerEdits.%s is not supported", name, file->path,
				 edits->unsupported);
	return 0;
}

static bool is_among(struct spec_file *const *files, size_t n, const struct spec_file *file)
{
	for (size_t i = 0; i < n; i++) {
		if (files[i] == file)
			return true;
	}
	return false;
}

static int resolve_one(const char *dirs, const char *name, struct spec_file **used, size_t n_used, struct arena *arena,
		       struct cdi_edits *edits, struct error *err)
{
	const struct spec_file *conflict;
	struct spec_file *file;

	if (!cdi_is_qualified(name))
		return error_set(err, ERR_INVALID, "CDI device '%.128s': not VENDOR/CLASS=NAME", name);
	file = find_spec(name, &conflict);
	if (!file)
		return not_found(name, dirs, err);
	if (conflict)
		return error_set(err, ERR_STATE, "CDI device %s: both %s and %s have it", name, file->path, conflict->path);
	used[n_used] = file;
	return append_device(file, name, !is_among(used, n_used, file), arena, edits, err);
}

int cdi_resolve(const char *dirs, char *const *names, size_t n, struct arena *arena, struct cdi_edits *ret_edits, struct error *err)
{
	struct spec_file **used = arena_new_array(arena, struct spec_file *, n + 1);
	struct cdi_edits edits = { 0 };
	int result = 0;

	if (!used)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (n == 0) {
		*ret_edits = edits;
		return 0;
	}
	(void)pthread_mutex_lock(&mutex);
	result = refresh(dirs, err);
	for (size_t i = 0; i < n && result == 0; i++)
		result = resolve_one(dirs, names[i], used, i, arena, &edits, err);
	(void)pthread_mutex_unlock(&mutex);
	if (result == 0)
		*ret_edits = edits;
	return result;
}

int cdi_read_all(const char *text, size_t len, bool yaml, struct arena *arena, struct cdi_edits *ret_edits, struct error *err)
{
	cJSON *spec = yaml ? cdi_parse_yaml(text, len, err) : cdi_parse_json(text, len, err);
	struct cdi_edits edits = { 0 };
	const cJSON *device;
	int result = spec ? cdi_check_spec(spec, err) : -1;

	if (result == 0)
		result = cdi_append_edits(spec, arena, &edits, err);
	cJSON_ArrayForEach(device, cdi_member(spec, "devices"))
	{
		if (result == 0)
			result = cdi_append_edits(device, arena, &edits, err);
	}
	cJSON_Delete(spec);
	if (result == 0)
		*ret_edits = edits;
	return result;
}
