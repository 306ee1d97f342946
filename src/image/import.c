/*
 * Images out of archives, in one pass over a stream that may be a pipe.
 *
 * The archive itself is unpacked into ingest/ by the same confined processes that unpack layers; then its parts are installed like a
 * registry's, each verified. Two forms:
 *     OCI layout (image-layout.md):  oci-layout, index.json, blobs/sha256/HEX
 *     docker save:                   manifest.json: [ { "Config": PATH, "RepoTags": [...], "Layers": [ PATH, ... ] } ]
 * An archive that is both, as newer ones are, is taken as the first.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "image/install.h"
#include "base/json.h"
#include "image/reference.h"
#include "base/strv.h"
#include "image/unpack.h"

#define READ_STEP ((size_t)128 * 1024)

/* How often a silent pipe is left to see whether the import was cancelled. */
#define POLL_MS 200

struct archive_source {
	struct blob_source source;
	int rootfd;         /* the unpacked archive */
	char **layer_paths; /* docker: by index; NULL: blobs by digest */
	const atomic_bool *cancelled;
};

/* Links inside the archive are fine (docker save has them for layers that repeat); nothing leads out of it. */
static int open_part(int rootfd, const char *path, uint64_t *ret_size, struct error *err)
{
	_cleanup_fd_ int fd = io_open_in_root(rootfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, err);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "look at '%.200s'", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_INVALID, "'%.200s' is not a file", path);
	*ret_size = (uint64_t)st.st_size;
	return steal_fd(&fd);
}

static int read_part(int rootfd, const char *path, struct buffer *b, struct error *err)
{
	uint64_t size = 0;
	_cleanup_fd_ int fd = open_part(rootfd, path, &size, err);
	ssize_t n;

	if (fd < 0)
		return -1;
	if (size > b->max)
		return error_set(err, ERR_EXHAUSTED, "'%.200s' of %llu bytes is over the limit of %zu", path,
				 (unsigned long long)size, b->max);
	if (buffer_reserve(b, size, err) < 0)
		return -1;
	while (b->len < size && (n = read(fd, b->data + b->len, size - b->len)) > 0)
		b->len += (size_t)n;
	if (b->len < size)
		return error_set(err, ERR_DATA_LOSS, "'%.200s' cannot be read", path);
	b->data[b->len] = '\0';
	return 0;
}

static struct archive_source *source_of(struct blob_source *source)
{
	return container_of(source, struct archive_source, source);
}

static void blob_path(const char *digest, char path[sizeof("blobs/sha256/") + DIGEST_HEX_LEN])
{
	(void)snprintf(path, sizeof("blobs/sha256/") + DIGEST_HEX_LEN, "blobs/sha256/%s", digest_hex(digest));
}

static int get_part(struct blob_source *source, enum blob_kind kind, const struct descriptor *what, struct buffer *b,
		    char content_type[128], struct error *err)
{
	char path[sizeof("blobs/sha256/") + DIGEST_HEX_LEN];

	(void)kind; /* an archive keeps all blobs in one place */
	content_type[0] = '\0';
	blob_path(what->digest, path);
	return read_part(source_of(source)->rootfd, path, b, err);
}

/* A pipe may stay silent: what would wait is EAGAIN after POLL_MS at the latest, so that the caller can look whether it was cancelled. */
static ssize_t read_patiently(int fd, char *chunk)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n = read(fd, chunk, READ_STEP);

	if (n < 0 && errno == EAGAIN) {
		(void)poll(&p, 1, POLL_MS);
		errno = EAGAIN;
	}
	return n;
}

static int stream_fd(int fd, const atomic_bool *stop, blob_sink sink, void *sink_arg, struct error *err)
{
	_cleanup_free_
	char *chunk = malloc(READ_STEP);
	ssize_t n;

	if (!chunk)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	while ((n = read_patiently(fd, chunk)) != 0) {
		if (stop && atomic_load(stop))
			return error_set(err, ERR_CANCELLED, "cancelled");
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return error_sys(err, errno, "read archive");
		if (sink(sink_arg, chunk, (size_t)n, err) < 0)
			return -1;
	}
	return 0;
}

static int fetch_part(struct blob_source *source, const struct descriptor *what, size_t index, const atomic_bool *stop,
		      blob_sink sink, void *sink_arg, struct error *err)
{
	struct archive_source *s = source_of(source);
	char path[sizeof("blobs/sha256/") + DIGEST_HEX_LEN];
	_cleanup_fd_ int fd = -1;
	uint64_t size;

	if (!s->layer_paths)
		blob_path(what->digest, path);
	fd = open_part(s->rootfd, s->layer_paths ? s->layer_paths[index] : path, &size, err);
	if (fd < 0)
		return -1;
	return stream_fd(fd, stop, sink, sink_arg, err);
}

/* ---- names ---- */

static int add_name(struct install *in, const char *name, struct error *err)
{
	char text[REFERENCE_TEXT_SIZE];
	struct reference ref;

	if (reference_parse(name, &ref, err) < 0)
		return -1;
	if (*ref.tag) {
		reference_format_tag(&ref, text);
		if (strv_add(&in->tags, text, err) < 0)
			return -1;
	}
	if (in->n_manifests == 0)
		return 0;
	reference_format_digest(&ref, in->manifests[0].digest, text);
	return strv_add(&in->digests, text, err);
}

/* The layout's annotation may hold a bare tag, which names nothing. */
static bool is_name(const char *annotation)
{
	return strpbrk(annotation, "/:") != NULL;
}

/* ---- OCI layout ---- */

static int install_entry(struct image_store *store, struct archive_source *source, const struct descriptor *target,
			 const char *name, struct image **ret_image, struct error *err)
{
	_cleanup_install_ struct install in = { 0 };

	if (install_init(&in, store, &source->source, err) < 0)
		return -1;
	in.cancelled = source->cancelled;
	if (install_resolve(&in, target, err) < 0 || add_name(&in, name, err) < 0 || install_layers(&in, err) < 0)
		return -1;
	return install_commit(&in, ret_image, err);
}

static bool entry_is_for(const struct manifest_entry *entry, const struct platform *host)
{
	return !*entry->os || (!strcmp(entry->os, host->os) && !strcmp(entry->architecture, host->architecture));
}

/* Every image of the archive that has a name and is for this machine; the first one is the result. */
static int install_named(struct image_store *store, struct archive_source *source, const struct manifest *index,
			 struct image **ret_image, struct error *err)
{
	const struct platform host = platform_host();
	struct image *first = NULL;

	for (size_t i = 0; i < index->n_entries; i++) {
		const struct manifest_entry *entry = &index->entries[i];
		struct image *image = NULL;

		if (!is_name(entry->name) || !entry_is_for(entry, &host))
			continue;
		if (install_entry(store, source, &entry->target, entry->name, &image, err) < 0) {
			image_unref(first);
			return -1;
		}
		if (first)
			image_unref(image);
		else
			first = image;
	}
	if (!first)
		return error_set(err, ERR_INVALID, "the archive names no image for this machine: a name has to be given");
	*ret_image = first;
	return 0;
}

static int import_layout(struct image_store *store, struct archive_source *source, const char *name, struct image **ret_image,
			 struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(MANIFEST_MAX_BYTES);
	_cleanup_manifest_ struct manifest index = { 0 };
	const struct platform host = platform_host();
	const struct manifest_entry *entry;

	if (read_part(source->rootfd, "index.json", &text, err) < 0)
		return -1;
	if (manifest_parse(text.data ? text.data : "", text.len, NULL, &index, err) < 0)
		return error_prefix(err, "index.json");
	if (index.kind != MANIFEST_INDEX)
		return error_set(err, ERR_INVALID, "index.json is not an index");
	if (!name)
		return install_named(store, source, &index, ret_image, err);
	if (manifest_choose(&index, &host, &entry, err) < 0)
		return error_prefix(err, "index.json");
	return install_entry(store, source, &entry->target, name, ret_image, err);
}

/* ---- docker save ---- */

/* The layers of such an archive have no digests of their own: the diff ids of the configuration verify them. */
static int measure_layers(struct install *in, struct archive_source *source, struct error *err)
{
	size_t n = strv_count(source->layer_paths);

	if (n > MANIFEST_MAX_LAYERS)
		return error_set(err, ERR_EXHAUSTED, "%zu layers, more than the limit of %d", n, MANIFEST_MAX_LAYERS);
	in->manifest.layers = calloc(n + 1, sizeof(struct descriptor));
	if (!in->manifest.layers)
		return error_set(err, ERR_EXHAUSTED, "out of memory for %zu layers", n);
	in->manifest.n_layers = n;
	for (size_t i = 0; i < n; i++) {
		uint64_t size = 0;
		_cleanup_fd_ int fd = open_part(source->rootfd, source->layer_paths[i], &size, err);

		if (fd < 0)
			return -1;
		in->manifest.layers[i].size_bytes = size;
		in->size_bytes += size;
	}
	return 0;
}

static int read_saved_config(struct install *in, struct archive_source *source, const char *path, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(CONFIG_MAX_BYTES);

	if (!path)
		return error_set(err, ERR_INVALID, "image without 'Config'");
	if (read_part(source->rootfd, path, &text, err) < 0)
		return -1;
	if (text.len == 0 || digest_of(text.data, text.len, in->id, err) < 0)
		return error_set(err, ERR_INVALID, "configuration is empty");
	memcpy(in->config_text.digest, in->id, sizeof(in->id));
	in->config_text.len = text.len;
	in->config_text.data = buffer_steal(&text);
	in->size_bytes += in->config_text.len;
	return install_set_config(in, in->config_text.data, in->config_text.len, err);
}

static int add_saved_names(struct install *in, const cJSON *item, const char *name, struct error *err)
{
	_cleanup_strv_ char **tags = NULL;

	if (name)
		return add_name(in, name, err);
	if (json_strings(item, "RepoTags", &tags, err) < 0)
		return -1;
	if (!*tags)
		return error_set(err, ERR_INVALID, "the archive does not name the image: a name has to be given");
	for (char **tag = tags; *tag; tag++) {
		if (add_name(in, *tag, err) < 0)
			return -1;
	}
	return 0;
}

static int install_saved(struct image_store *store, struct archive_source *source, const cJSON *item, const char *name,
			 struct image **ret_image, struct error *err)
{
	_cleanup_install_ struct install in = { 0 };
	_cleanup_strv_ char **paths = NULL;

	if (json_strings(item, "Layers", &paths, err) < 0 || install_init(&in, store, &source->source, err) < 0)
		return -1;
	in.cancelled = source->cancelled;
	source->layer_paths = paths;
	if (measure_layers(&in, source, err) < 0 || read_saved_config(&in, source, json_string(item, "Config"), err) < 0)
		return -1;
	if (add_saved_names(&in, item, name, err) < 0 || install_layers(&in, err) < 0)
		return -1;
	return install_commit(&in, ret_image, err);
}

static int import_saved(struct image_store *store, struct archive_source *source, const char *name, struct image **ret_image,
			struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(MANIFEST_MAX_BYTES);
	_cleanup_json_ cJSON *list = NULL;
	struct image *first = NULL;

	if (read_part(source->rootfd, "manifest.json", &text, err) < 0)
		return -1;
	if (json_parse(text.data ? text.data : "", text.len, "manifest.json", &list, err) < 0)
		return -1;
	if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) < 1 || (name && cJSON_GetArraySize(list) > 1))
		return error_set(err, ERR_INVALID, "manifest.json does not list %s", name ? "exactly one image" : "an image");
	for (const cJSON *item = list->child; item; item = item->next) {
		struct image *image = NULL;

		if (install_saved(store, source, item, name, &image, err) < 0) {
			image_unref(first);
			return -1;
		}
		if (first)
			image_unref(image);
		else
			first = image;
	}
	*ret_image = first;
	return 0;
}

/* ---- both ---- */

static int write_to_unpack(void *arg, const void *data, size_t len, struct error *err)
{
	return unpack_write(arg, data, len, err);
}

static int unpack_archive(struct image_store *store, int fd, int dirfd, const atomic_bool *cancelled, struct error *err)
{
	const struct unpack_options options = {
		.dirfd = dirfd,
		.is_layer = false,
		.max_bytes = (uint64_t)store->max_layer_bytes,
		.cancelled = cancelled,
	};
	struct unpack_result result;
	struct unpack *unpack;
	int done;

	if (unpack_begin(&options, &unpack, err) < 0)
		return -1;
	done = stream_fd(fd, cancelled, write_to_unpack, unpack, err);
	if (done == 0)
		done = unpack_finish(unpack, &result, err);
	unpack_free(unpack);
	return done;
}

static int import_unpacked(struct image_store *store, int dirfd, const char *name, const atomic_bool *cancelled,
			   struct image **ret_image, struct error *err)
{
	struct archive_source source = {
		.source = { .get = get_part, .fetch = fetch_part },
		.rootfd = dirfd,
		.cancelled = cancelled,
	};

	if (faccessat(dirfd, "index.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return import_layout(store, &source, name, ret_image, err);
	if (faccessat(dirfd, "manifest.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return import_saved(store, &source, name, ret_image, err);
	return error_set(err, ERR_INVALID, "neither an OCI layout (index.json) nor a docker archive (manifest.json)");
}

int image_import(struct image_store *store, int fd, const char *name, const atomic_bool *cancelled, struct image **ret_image,
		 struct error *err)
{
	char ingest[INGEST_NAME_SIZE];
	struct reference ref;
	int dirfd = -1;
	int result = -1;

	/* Before gigabytes are read for nothing. */
	if (name && reference_parse(name, &ref, err) < 0)
		return error_prefix(err, "import image");
	if (ingest_make(store, ingest, &dirfd, err) == 0 && unpack_archive(store, fd, dirfd, cancelled, err) == 0)
		result = import_unpacked(store, dirfd, name, cancelled, ret_image, err);
	close_fd(&dirfd);
	ingest_drop(store, ingest);
	return result < 0 ? error_prefix(err, "import image") : 0;
}
