/*
 * Images out of archives and directories.
 *
 * An archive is a stream that may be a pipe, so it is read once, in its order: it is unpacked into ingest/ by the same confined processes
 * that unpack layers. A directory is read where it lies. Then the parts are installed like a registry's, each verified. What is an OCI
 * layout and a docker archive at once, as newer ones of both kinds are, is taken as the first.
 *
 * With several images each is whole or absent by itself: one that fails ends the import, those before it stay.
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
#include "base/strv.h"
#include "image/import_impl.h"
#include "image/reference.h"
#include "image/unpack.h"

#define READ_STEP ((size_t)128 * 1024)

/* How often a silent pipe is left to see whether the import was cancelled. */
#define POLL_MS 200

#define BLOB_PATH_SIZE (sizeof("blobs/sha256/") + DIGEST_HEX_LEN)

/* ---- parts of the archive ---- */

int import_open(const struct import *import, const char *path, uint64_t *ret_size, struct error *err)
{
	_cleanup_fd_ int fd = io_open_in_root(import->rootfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, err);
	struct stat st;

	if (fd < 0)
		return err->code == ERR_NOT_FOUND ? error_set(err, ERR_NOT_FOUND, "'%.200s' is missing", path) : -1;
	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "look at '%.200s'", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_INVALID, "'%.200s' is not a file", path);
	*ret_size = (uint64_t)st.st_size;
	return steal_fd(&fd);
}

int import_read(const struct import *import, const char *path, struct buffer *b, struct error *err)
{
	uint64_t size = 0;
	_cleanup_fd_ int fd = import_open(import, path, &size, err);
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

static struct import *import_of(struct blob_source *source)
{
	return container_of(source, struct import, source);
}

static void blob_path(const char *digest, char path[BLOB_PATH_SIZE])
{
	(void)snprintf(path, BLOB_PATH_SIZE, "blobs/sha256/%s", digest_hex(digest));
}

static int get_part(struct blob_source *source, enum blob_kind kind, const struct descriptor *what, struct buffer *b,
		    char content_type[128], struct error *err)
{
	char path[BLOB_PATH_SIZE];

	(void)kind; /* an archive keeps all blobs in one place */
	content_type[0] = '\0';
	blob_path(what->digest, path);
	return import_read(import_of(source), path, b, err);
}

/* A pipe may stay silent, and a descriptor that was handed over be somebody's who wants it to block: that one is waited for first. What
 * would wait is EAGAIN after POLL_MS at the latest, so that the caller can look whether it was cancelled. */
static ssize_t read_patiently(int fd, char *chunk)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	bool blocks = !(fcntl(fd, F_GETFL) & O_NONBLOCK);
	ssize_t n;

	if (blocks && poll(&p, 1, POLL_MS) == 0) {
		errno = EAGAIN;
		return -1;
	}
	n = read(fd, chunk, READ_STEP);
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
	const struct import *import = import_of(source);
	char path[BLOB_PATH_SIZE];
	_cleanup_fd_ int fd = -1;
	uint64_t size;

	if (!import->layer_paths)
		blob_path(what->digest, path);
	fd = import_open(import, import->layer_paths ? import->layer_paths[index] : path, &size, err);
	if (fd < 0)
		return -1;
	return stream_fd(fd, stop, sink, sink_arg, err);
}

/* ---- names ---- */

static bool is_same_name(const char *a, const char *b)
{
	char left[REFERENCE_TEXT_SIZE], right[REFERENCE_TEXT_SIZE];
	struct reference ref;
	struct error ignored;

	if (!strcmp(a, b))
		return true;
	if (reference_parse(a, &ref, &ignored) < 0)
		return false;
	reference_format(&ref, left);
	if (!import_is_name(b) || reference_parse(b, &ref, &ignored) < 0)
		return false;
	reference_format(&ref, right);
	return !strcmp(left, right);
}

bool import_wants(const struct import *import, const char *name)
{
	char *const *only = import->request->only;

	if (!only || !*only)
		return true;
	for (; *only; only++) {
		if (is_same_name(*only, name))
			return true;
	}
	return false;
}

static bool is_among(char *const *found, const char *wanted)
{
	for (; *found; found++) {
		if (is_same_name(wanted, *found))
			return true;
	}
	return false;
}

/* As much of the names as a sentence can take. */
static void join_names(char *const *names, char text[512])
{
	size_t len = 0;

	text[0] = '\0';
	for (; *names && len < 400; names++)
		len += (size_t)snprintf(text + len, 512 - len, "%s%.100s", len > 0 ? ", " : "", **names ? *names : "(no name)");
	if (*names)
		(void)snprintf(text + len, 512 - len, ", ...");
}

int import_check_names(const struct import *import, char *const *found, struct error *err)
{
	char text[512];

	for (char *const *only = import->request->only; only && *only; only++) {
		if (is_among(found, *only))
			continue;
		join_names(found, text);
		return error_set(err, ERR_NOT_FOUND, "there is no image '%.200s' in it; there is: %s", *only, text);
	}
	return 0;
}

bool import_is_name(const char *text)
{
	return strpbrk(text, "/:") != NULL;
}

int import_add_name(struct install *in, const char *name, struct error *err)
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

/* ---- results ---- */

int import_finish(struct import *import, struct install *in, struct error *err)
{
	struct image *image = NULL;

	if (import->n_images == IMPORT_MAX_IMAGES)
		return error_set(err, ERR_EXHAUSTED, "more than %d images", IMPORT_MAX_IMAGES);
	if (!import->images)
		import->images = calloc(IMPORT_MAX_IMAGES + 1, sizeof(struct image *));
	if (!import->images)
		return error_set(err, ERR_EXHAUSTED, "out of memory for images");
	if (install_layers(in, err) < 0 || install_commit(in, &image, err) < 0)
		return -1;
	import->images[import->n_images++] = image;
	return 0;
}

void image_list_free(struct image **images)
{
	for (struct image **image = images; image && *image; image++)
		image_unref(*image);
	free(images);
}

/* ---- both forms ---- */

static int write_to_unpack(void *arg, const void *data, size_t len, struct error *err)
{
	return unpack_write(arg, data, len, err);
}

static int unpack_archive(const struct import *import, int dirfd, char ret_digest[DIGEST_TEXT_SIZE], struct error *err)
{
	const struct unpack_options options = {
		.dirfd = dirfd,
		.is_layer = false,
		.max_bytes = (uint64_t)import->store->max_layer_bytes,
		.cancelled = import->request->cancelled,
	};
	struct unpack_result result;
	struct unpack *unpack;
	int done;

	if (unpack_begin(&options, &unpack, err) < 0)
		return -1;
	done = stream_fd(import->request->fd, import->request->cancelled, write_to_unpack, unpack, err);
	if (done == 0)
		done = unpack_finish(unpack, &result, err);
	if (done == 0)
		memcpy(ret_digest, result.digest, DIGEST_TEXT_SIZE);
	unpack_free(unpack);
	return done;
}

static bool has_file(const struct import *import, const char *name)
{
	return faccessat(import->rootfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int import_unpacked(struct import *import, struct error *err)
{
	if (has_file(import, "index.json"))
		return import_layout(import, err);
	if (has_file(import, "manifest.json"))
		return import_saved(import, err);
	if (has_file(import, "repositories"))
		return error_set(err, ERR_UNIMPLEMENTED,
				 "it is of a Docker before 1.10 (repositories without manifest.json): load it into a newer one and "
				 "save it again");
	return error_set(err, ERR_INVALID, "neither an OCI layout (index.json) nor a docker archive (manifest.json)");
}

static int import_archive(struct import *import, char ret_digest[DIGEST_TEXT_SIZE], struct error *err)
{
	char ingest[INGEST_NAME_SIZE];
	int dirfd = -1;
	int result = -1;

	if (ingest_make(import->store, ingest, &dirfd, err) == 0 && unpack_archive(import, dirfd, ret_digest, err) == 0) {
		import->rootfd = dirfd;
		result = import_unpacked(import, err);
	}
	close_fd(&dirfd);
	ingest_drop(import->store, ingest);
	return result;
}

static int run(struct import *import, char ret_digest[DIGEST_TEXT_SIZE], struct error *err)
{
	struct reference ref;
	struct stat st;

	/* Before gigabytes are read for nothing. */
	if (import->request->name && reference_parse(import->request->name, &ref, err) < 0)
		return -1;
	if (fstat(import->request->fd, &st) < 0)
		return error_sys(err, errno, "look at the archive");
	ret_digest[0] = '\0';
	if (!S_ISDIR(st.st_mode))
		return import_archive(import, ret_digest, err);
	import->rootfd = import->request->fd;
	return import_unpacked(import, err);
}

int image_import(struct image_store *store, const struct import_request *request, struct import_result *ret_result,
		 struct error *err)
{
	struct import import = {
		.store = store,
		.request = request,
		.source = { .get = get_part, .fetch = fetch_part },
		.rootfd = -1,
	};
	struct import_result result;

	if (run(&import, result.digest, err) < 0) {
		image_list_free(import.images);
		return error_prefix(err, "import image");
	}
	result.images = import.images;
	result.n_images = import.n_images;
	*ret_result = result;
	return 0;
}
