/* A tar stream, unpacked as a layer, without the cage around the reader: what it makes lies below the directory that it was given. */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "image/listing.h"
#include "image/untar.h"
#include "image/verify.h"

static char outer[] = "/dev/shm/monopod-fuzz-XXXXXX";

static void remove_outer(void)
{
	struct error err;

	(void)io_remove_tree(AT_FDCWD, outer, &err);
}

static int open_outer(void)
{
	static int fd = -1;

	if (fd >= 0)
		return fd;
	if (!mkdtemp(outer) || atexit(remove_outer) != 0)
		abort();
	fd = open(outer, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd;
}

/* Nothing but the one directory has appeared beside it. */
static void check_neighbours(void)
{
	_cleanup_dir_ DIR *dir = opendir(outer);
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (n != 3)
		abort();
}

static int ignore_opaque(void *arg, const char *path, struct error *err)
{
	(void)arg;
	(void)path;
	(void)err;
	return 0;
}

static void on_found(void *arg, const char *path, const char *what)
{
	(void)arg;
	(void)fprintf(stderr, "%s: %s\n", path, what);
	abort();
}

/* What was listed is what lies there. */
static void check_listing(int fd, int root)
{
	const struct verify_options options = { .found = on_found };
	_cleanup_listing_ struct listing listing = { 0 };
	struct verify_usage usage;
	struct error err = ERROR_INIT;

	if (lseek(fd, 0, SEEK_SET) != 0 || listing_read(fd, &listing, &err) < 0 ||
	    layer_verify(root, &listing, &options, &usage, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		abort();
	}
}

#define BLOCK 512
#define CHECKSUM_AT 148
#define MAGIC_AT 257

/* POSIX.1-1988: the sum of a header's bytes, with its own eight taken as spaces. */
static void mend_checksum(uint8_t *header)
{
	char text[8];
	unsigned sum = 0;

	memset(header + CHECKSUM_AT, ' ', sizeof(text));
	for (size_t i = 0; i < BLOCK; i++)
		sum += header[i];
	(void)snprintf(text, sizeof(text), "%06o", sum);
	memcpy(header + CHECKSUM_AT, text, sizeof(text));
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* A change in a header is refused for its checksum, and nothing behind that is ever tried: so the sums are made to fit again. One time in
 * eight they are not, since that is a case too. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	size_t len = LLVMFuzzerMutate(data, size, max_size);

	for (size_t at = 0; seed % 8 != 0 && at + BLOCK <= len; at += BLOCK) {
		if (!memcmp(data + at + MAGIC_AT, "ustar", 5))
			mend_checksum(data + at);
	}
	return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_fd_ int listing = memfd_create("listing", MFD_CLOEXEC);
	const struct untar_options options = {
		.is_layer = true,
		.max_bytes = 1 << 20,
		.max_inodes = 100,
		.lists = true,
		.listing_fd = listing,
		.on_opaque = ignore_opaque,
	};
	_cleanup_fd_ int tar = memfd_create("tar", MFD_CLOEXEC);
	_cleanup_fd_ int root = -1;
	struct error err = ERROR_INIT;
	struct untar_usage usage;

	if (tar < 0 || write(tar, data, size) != (ssize_t)size || lseek(tar, 0, SEEK_SET) != 0)
		abort();
	if (mkdirat(open_outer(), "layer", 0700) < 0)
		abort();
	root = openat(open_outer(), "layer", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (untar(tar, root, &options, &usage, &err) == 0) {
		if (usage.inodes > 100 || usage.bytes > (1 << 20) + 100 * 4096)
			abort();
		check_listing(listing, root);
	}
	check_neighbours();
	if (io_remove_tree(open_outer(), "layer", &err) < 0)
		abort();
	return 0;
}
