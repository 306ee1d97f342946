/*
 * What the tests of src/image share: a scratch directory, tar streams from tables, OCI layouts from tar streams, processes that end
 * with the test, and the second life of the test program as an unpacking process.
 */
#ifndef MONOPOD_TEST_IMAGE_FIXTURE_H
#define MONOPOD_TEST_IMAGE_FIXTURE_H

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "image/digest.h"
#include "image/image.h"
#include "image/unpack.h"

/* main() of a test whose program is started again to unpack. */
#define FIXTURE_MAIN(tests)                                                                                                        \
	int main(int argc, char **argv)                                                                                            \
	{                                                                                                                          \
		if (argc > 0 && !strcmp(argv[0], IMAGE_UNPACK_NAME))                                                               \
			return image_unpack_main();                                                                                \
		return cmocka_run_group_tests(tests, NULL, NULL);                                                                  \
	}

#define FIXTURE_MAX_LAYER ((int64_t)256 << 20)

static inline void assert_ok(int result, const struct error *err)
{
	if (result < 0)
		fail_msg("%s: %s", error_code_name(err->code), err->text);
}

static inline void assert_failed(int result, const struct error *err, enum error_code code, const char *part)
{
	assert_true(result < 0);
	if (err->code != code || !strstr(err->text, part))
		fail_msg("want %s with '%s', got %s: %s", error_code_name(code), part, error_code_name(err->code), err->text);
}

/* Unpacking makes device nodes and gives files away. */
#define need_root()                                                                                                                \
	do {                                                                                                                       \
		if (geteuid() != 0) {                                                                                              \
			print_message("skipped: needs root\n");                                                                    \
			skip();                                                                                                    \
		}                                                                                                                  \
	} while (0)

/* ---- scratch directory ---- */

static inline char *fixture_dir(void)
{
	char *dir = strdup("/tmp/image-test-XXXXXX");

	assert_non_null(dir);
	assert_non_null(mkdtemp(dir));
	return dir;
}

static inline void fixture_remove(char *dir)
{
	struct error err = ERROR_INIT;

	assert_ok(io_remove_tree(AT_FDCWD, dir, &err), &err);
	free(dir);
}

static inline char *fixture_path(const char *dir, const char *name)
{
	char *path = NULL;

	assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
	return path;
}

static inline void fixture_write(const char *dir, const char *name, const void *data, size_t len)
{
	_cleanup_free_
	char *path = fixture_path(dir, name);
	struct error err = ERROR_INIT;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_ok(io_write_all(fd, data, len, path, &err), &err);
	(void)close(fd);
}

/* NUL-terminated; NULL when there is no such file. */
static inline char *fixture_read(const char *dir, const char *name)
{
	_cleanup_free_
	char *path = fixture_path(dir, name);
	struct buffer b = BUFFER_INIT((size_t)64 << 20);
	struct error err = ERROR_INIT;

	if (io_read_file(AT_FDCWD, path, &b, &err) < 0)
		return NULL;
	return b.data ? buffer_steal(&b) : strdup("");
}

static inline bool fixture_exists(const char *dir, const char *name)
{
	_cleanup_free_
	char *path = fixture_path(dir, name);
	struct stat st;

	return lstat(path, &st) == 0;
}

/* Number of names in a directory. */
static inline int fixture_count(const char *dir, const char *name)
{
	_cleanup_free_
	char *path = fixture_path(dir, name);
	_cleanup_dir_ DIR *d = opendir(path);
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	return n - 2;
}

/* What an empty directory takes on this file system. */
static inline uint64_t fixture_directory_bytes(const char *dir)
{
	_cleanup_free_
	char *path = fixture_path(dir, "image-test-empty");
	struct stat st;

	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(rmdir(path), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* ---- tar ---- */

struct bytes {
	char *data;
	size_t len;
};

struct item {
	const char *name;
	char type;     /* 'f'ile, 'd'irectory, sym'l'ink, 'h'ard link, 'c'har or 'b'lock device, 'p'ipe */
	unsigned mode; /* 0: 0644 or 0755 */
	long long uid, gid;
	const char *data; /* content, or target of a link */
	const char *xattr, *value;
	size_t value_len;
	dev_t rdev;
	time_t mtime;
	long long size; /* of a sparse file that holds `data` at its start and nothing else; 0: the length of `data` */
};

static inline unsigned fixture_type(char type)
{
	switch (type) {
	case 'd':
		return AE_IFDIR;
	case 'l':
		return AE_IFLNK;
	case 'c':
		return AE_IFCHR;
	case 'b':
		return AE_IFBLK;
	case 'p':
		return AE_IFIFO;
	default:
		return AE_IFREG;
	}
}

static inline void fixture_add(struct archive *a, const struct item *item)
{
	struct archive_entry *e = archive_entry_new();
	size_t len = item->data && item->type == 'f' ? strlen(item->data) : 0;

	assert_non_null(e);
	archive_entry_copy_pathname(e, item->name);
	archive_entry_set_filetype(e, fixture_type(item->type));
	archive_entry_set_perm(e, item->mode ? item->mode : item->type == 'd' ? 0755 : 0644);
	archive_entry_set_uid(e, item->uid);
	archive_entry_set_gid(e, item->gid);
	archive_entry_set_mtime(e, item->mtime ? item->mtime : 1000000000, 0);
	archive_entry_set_size(e, item->size ? item->size : (long long)len);
	archive_entry_set_rdev(e, item->rdev);
	if (item->type == 'l')
		archive_entry_copy_symlink(e, item->data);
	if (item->type == 'h')
		archive_entry_copy_hardlink(e, item->data);
	if (item->xattr)
		archive_entry_xattr_add_entry(e, item->xattr, item->value, item->value_len ? item->value_len : strlen(item->value));
	if (item->size)
		archive_entry_sparse_add_entry(e, 0, (long long)len);
	assert_true(archive_write_header(a, e) >= ARCHIVE_WARN);
	if (len > 0)
		assert_int_equal(archive_write_data(a, item->data, len), (int)len);
	archive_entry_free(e);
}

/* A pax archive of the items, in their order. The caller frees. */
static inline struct bytes fixture_tar(const struct item *items, size_t n)
{
	const size_t size = (size_t)16 << 20;
	struct archive *a = archive_write_new();
	struct bytes tar = { malloc(size), 0 };

	assert_non_null(a);
	assert_non_null(tar.data);
	assert_int_equal(archive_write_set_format_pax(a), ARCHIVE_OK);
	assert_int_equal(archive_write_open_memory(a, tar.data, size, &tar.len), ARCHIVE_OK);
	for (size_t i = 0; i < n; i++)
		fixture_add(a, &items[i]);
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	(void)archive_write_free(a);
	return tar;
}

static inline struct bytes fixture_gzip(struct bytes plain)
{
	struct bytes out = { malloc(plain.len + plain.len / 100 + 1024), 0 };
	z_stream z = { 0 };

	assert_non_null(out.data);
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (unsigned char *)plain.data;
	z.avail_in = (unsigned)plain.len;
	z.next_out = (unsigned char *)out.data;
	z.avail_out = (unsigned)(plain.len + plain.len / 100 + 1024);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out.len = z.total_out;
	(void)deflateEnd(&z);
	return out;
}

static inline struct bytes fixture_zstd(struct bytes plain)
{
	size_t size = ZSTD_compressBound(plain.len);
	struct bytes out = { malloc(size), 0 };

	assert_non_null(out.data);
	out.len = ZSTD_compress(out.data, size, plain.data, plain.len, 3);
	assert_false(ZSTD_isError(out.len));
	return out;
}

/* ---- OCI layouts ---- */

struct blob {
	char digest[DIGEST_TEXT_SIZE];
	size_t len;
};

/* DIR/blobs/sha256/HEX */
static inline struct blob fixture_blob(const char *dir, const void *data, size_t len)
{
	struct blob blob = { .len = len };
	struct error err = ERROR_INIT;
	_cleanup_free_
	char *blobs = fixture_path(dir, "blobs/sha256");

	assert_ok(digest_of(data, len, blob.digest, &err), &err);
	assert_ok(io_make_dirs(blobs, 0700, &err), &err);
	fixture_write(blobs, digest_hex(blob.digest), data, len);
	return blob;
}

struct fixture_layer {
	struct bytes tar;
	char compression;       /* 'g'zip, 'z'std, 'p'lain */
	const char *media_type; /* NULL: the one that fits */
};

static inline struct blob fixture_layer_blob(const char *dir, const struct fixture_layer *layer)
{
	struct bytes packed = layer->compression == 'g'   ? fixture_gzip(layer->tar)
			      : layer->compression == 'z' ? fixture_zstd(layer->tar)
							  : layer->tar;
	struct blob blob = fixture_blob(dir, packed.data, packed.len);

	if (packed.data != layer->tar.data)
		free(packed.data);
	return blob;
}

static inline const char *fixture_media_type(const struct fixture_layer *layer)
{
	if (layer->media_type)
		return layer->media_type;
	return layer->compression == 'g'   ? "application/vnd.oci.image.layer.v1.tar+gzip"
	       : layer->compression == 'z' ? "application/vnd.oci.image.layer.v1.tar+zstd"
					   : "application/vnd.oci.image.layer.v1.tar";
}

struct fixture_image {
	struct blob manifest, config;
};

/* Writes layers, configuration and manifest of one image. `run` is the "config" object, `architecture` may be NULL. */
static inline struct fixture_image fixture_image(const char *dir, const struct fixture_layer *layers, size_t n, const char *run,
						 const char *architecture)
{
	struct buffer config = BUFFER_INIT(1 << 20), manifest = BUFFER_INIT(1 << 20), list = BUFFER_INIT(1 << 20);
	struct fixture_image image;
	struct error err = ERROR_INIT;

	assert_ok(buffer_printf(
			  &config, &err,
			  "{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":%s,\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[",
			  architecture ? architecture : "amd64", run ? run : "{}"),
		  &err);
	for (size_t i = 0; i < n; i++) {
		struct blob blob = fixture_layer_blob(dir, &layers[i]);
		char diff_id[DIGEST_TEXT_SIZE];

		assert_ok(digest_of(layers[i].tar.data, layers[i].tar.len, diff_id, &err), &err);
		assert_ok(buffer_printf(&config, &err, "%s\"%s\"", i ? "," : "", diff_id), &err);
		assert_ok(buffer_printf(&list, &err, "%s{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}", i ? "," : "",
					fixture_media_type(&layers[i]), blob.digest, blob.len),
			  &err);
	}
	assert_ok(buffer_append_str(&config, "]}}", &err), &err);
	image.config = fixture_blob(dir, config.data, config.len);
	assert_ok(buffer_printf(&manifest, &err,
				"{\"schemaVersion\":2,\"mediaType\":\"application/"
				"vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":"
				"\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[%s]}",
				image.config.digest, image.config.len, list.data ? list.data : ""),
		  &err);
	image.manifest = fixture_blob(dir, manifest.data, manifest.len);
	buffer_release(&config);
	buffer_release(&manifest);
	buffer_release(&list);
	return image;
}

#define FIXTURE_MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"

/* index.json with one manifest, named `name`; makes the directory an OCI layout. */
static inline void fixture_layout(const char *dir, const struct blob *manifest, const char *name)
{
	static const char version[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	_cleanup_free_
	char *index = NULL;

	assert_true(asprintf(&index,
			     "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" FIXTURE_MANIFEST_TYPE
			     "\",\"digest\":\"%s\",\"size\":%zu,\"annotations\":{\"org.opencontainers.image.ref.name\":\"%s\"}}]}",
			     manifest->digest, manifest->len, name ? name : "") > 0);
	fixture_write(dir, "index.json", index, strlen(index));
	fixture_write(dir, "oci-layout", version, strlen(version));
}

/* ---- processes ---- */

/* Starts a program that dies with this one. Output goes to `log` (NULL: nowhere). */
static inline pid_t fixture_start(const char *log, const char *const argv[])
{
	pid_t parent = getpid();
	pid_t pid = fork();
	int fd;

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	fd = open(log ? log : "/dev/null", O_WRONLY | O_CREAT | O_APPEND, 0600);
	(void)dup2(fd, 1);
	(void)dup2(fd, 2);
	(void)execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

static inline void fixture_stop(pid_t pid)
{
	if (pid <= 0)
		return;
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

/* Runs a program to its end; returns its exit status. */
static inline int fixture_run(const char *log, const char *const argv[])
{
	pid_t pid = fixture_start(log, argv);
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline bool fixture_has_program(const char *name)
{
	_cleanup_free_
	char *command = NULL;

	if (asprintf(&command, "command -v %s", name) < 0)
		return false;
	return fixture_run(NULL, (const char *const[]){ "sh", "-c", command, NULL }) == 0;
}

#define need_program(name)                                                                                                         \
	do {                                                                                                                       \
		if (!fixture_has_program(name)) {                                                                                  \
			print_message("skipped: %s is not installed\n", name);                                                     \
			skip();                                                                                                    \
		}                                                                                                                  \
	} while (0)

/* Packs a directory as an uncompressed tar. */
static inline void fixture_pack(const char *dir, const char *to)
{
	assert_int_equal(fixture_run(NULL, (const char *const[]){ "tar", "-C", dir, "-cf", to, ".", NULL }), 0);
}

/* ---- store ---- */

static inline struct image_store *fixture_store(const char *dir, const char *certs_dir)
{
	const struct image_store_config config = {
		.root = dir,
		.certs_dir = certs_dir ? certs_dir : "/nonexistent",
		.insecure_registries = "",
		.max_layer_bytes = FIXTURE_MAX_LAYER,
		.progress_timeout_ms = 5000,
	};
	struct error err = ERROR_INIT;
	struct image_store *store = NULL;

	assert_ok(image_store_open(&config, &store, &err), &err);
	return store;
}

/* Imports all that the archive holds; the first image. */
static inline int fixture_import(struct image_store *store, int fd, const char *name, struct image **ret_image, struct error *err)
{
	const struct import_request request = { .fd = fd, .name = name };
	struct import_result result;

	if (image_import(store, &request, &result, err) < 0)
		return -1;
	*ret_image = image_ref(result.images[0]);
	image_list_free(result.images);
	return 0;
}

#endif
