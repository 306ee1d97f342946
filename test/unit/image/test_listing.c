/* What is listed while a tar is unpacked, against what then lies on the disk. */
#include "image_fixture.h"

#include <sys/mman.h>

#include "image/listing.h"
#include "image/untar.h"
#include "image/verify.h"

struct place {
	char *dir;
	int fd, listing;
	unsigned n_found;
	char found[8][128];
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->dir = fixture_dir();
	p->fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p->listing = memfd_create("listing", MFD_CLOEXEC);
	assert_true(p->fd >= 0 && p->listing >= 0);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	(void)close(p->fd);
	(void)close(p->listing);
	fixture_remove(p->dir);
	free(p);
	return 0;
}

static int on_opaque(void *arg, const char *path, struct error *err)
{
	(void)arg;
	(void)path;
	(void)err;
	return 0;
}

static int unpack(struct place *p, const struct item *items, size_t n, struct error *err)
{
	const struct untar_options options = {
		.is_layer = true,
		.max_bytes = 1 << 20,
		.max_inodes = 1000,
		.lists = true,
		.listing_fd = p->listing,
		.on_opaque = on_opaque,
	};
	struct bytes tar = fixture_tar(items, n);
	int fd = memfd_create("tar", MFD_CLOEXEC);
	struct untar_usage usage;
	int result;

	assert_true(fd >= 0);
	assert_ok(io_write_all(fd, tar.data, tar.len, "tar", err), err);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	result = untar(fd, p->fd, &options, &usage, err);
	(void)close(fd);
	free(tar.data);
	return result;
}

static void on_found(void *arg, const char *path, const char *what)
{
	struct place *p = arg;

	if (p->n_found < ARRAY_SIZE(p->found))
		(void)snprintf(p->found[p->n_found], sizeof(p->found[0]), "%.60s: %.60s", path, what);
	p->n_found++;
}

static int read_listing(struct place *p, struct listing *ret, struct error *err)
{
	assert_int_equal(lseek(p->listing, 0, SEEK_SET), 0);
	return listing_read(p->listing, ret, err);
}

static void verify(struct place *p)
{
	const struct verify_options options = { .found = on_found, .arg = p };
	_cleanup_listing_ struct listing listing = { 0 };
	struct verify_usage usage;
	struct error err = ERROR_INIT;

	p->n_found = 0;
	assert_ok(read_listing(p, &listing, &err), &err);
	assert_ok(layer_verify(p->fd, &listing, &options, &usage, &err), &err);
}

#define UNPACK(p, items)                                                                                                           \
	do {                                                                                                                       \
		struct error _err = ERROR_INIT;                                                                                    \
		assert_ok(unpack((p), (items), ARRAY_SIZE(items), &_err), &_err);                                                  \
	} while (0)

static void assert_clean(struct place *p)
{
	verify(p);
	if (p->n_found > 0)
		fail_msg("%u findings, the first: %s", p->n_found, p->found[0]);
}

static void assert_found(struct place *p, const char *text)
{
	verify(p);
	for (unsigned i = 0; i < p->n_found && i < ARRAY_SIZE(p->found); i++) {
		if (!strcmp(p->found[i], text))
			return;
	}
	fail_msg("'%s' is not among %u findings; the first: %s", text, p->n_found, p->n_found ? p->found[0] : "none");
}

static const struct item every_kind[] = {
	{ .name = "./", .type = 'd', .mode = 0755 },
	{ .name = "etc/", .type = 'd', .mode = 0750, .gid = 5 },
	{ .name = "etc/passwd", .type = 'f', .data = "root:x:0:0\n", .mode = 0644 },
	{ .name = "etc/shadow", .type = 'f', .data = "secret\n", .mode = 0640, .uid = 1, .gid = 42 },
	{ .name = "etc/empty", .type = 'f' },
	{ .name = "etc/again", .type = 'h', .data = "etc/passwd" },
	{ .name = "bin", .type = 'l', .data = "usr/bin" },
	{ .name = "usr/bin/su", .type = 'f', .data = "program", .mode = 04755 },
	{ .name = "dev/null", .type = 'c', .rdev = 0x103 },
	{ .name = "dev/fifo", .type = 'p' },
	{ .name = "etc/.wh.gone", .type = 'f' },
	{ .name = "var/.wh..wh..opq", .type = 'f' },
	{ .name = "var/holes", .type = 'f', .data = "start", .size = 500000 },
	{ .name = "\xff\xfe bytes\n", .type = 'f', .data = "x" },
};

static void what_was_unpacked_is_there(void **state)
{
	struct place *p = *state;

	need_root();
	UNPACK(p, every_kind);
	assert_clean(p);
}

/* Paths of a tar that replace each other: only what is left in the end counts. */
static void what_was_replaced_is_not_missed(void **state)
{
	static const struct item twice[] = {
		{ .name = "f", .type = 'f', .data = "first" },
		{ .name = "link", .type = 'h', .data = "f" },
		{ .name = "f", .type = 'f', .data = "second one" },
		{ .name = "other", .type = 'h', .data = "f" },
		{ .name = "symlink", .type = 'l', .data = "f" },
		{ .name = "hard-symlink", .type = 'h', .data = "symlink" },
		{ .name = "d/", .type = 'd', .mode = 0700 },
		{ .name = "d/inside", .type = 'f', .data = "x" },
		{ .name = "d-beside", .type = 'f', .data = "x" },
		{ .name = "d", .type = 'f', .data = "a file now" },
		{ .name = "e/", .type = 'd' },
		{ .name = "e/inside", .type = 'f', .data = "x" },
		{ .name = "e", .type = 'f', .data = "a file" },
		{ .name = "e/", .type = 'd', .mode = 0711 },
		{ .name = "e/later", .type = 'f', .data = "x" },
		{ .name = ".wh.w", .type = 'f' },
		{ .name = "w/below", .type = 'f', .data = "x" },
		{ .name = ".wh.v", .type = 'f' },
		{ .name = "v", .type = 'd' },
		{ .name = "x", .type = 'f', .data = "x" },
		{ .name = ".wh.x", .type = 'f' },
		{ .name = "implied/deeply/f", .type = 'f', .data = "x" },
	};
	struct place *p = *state;

	need_root();
	UNPACK(p, twice);
	assert_clean(p);
	assert_false(fixture_exists(p->dir, "e/inside"));
	assert_true(fixture_exists(p->dir, "w/below"));
}

static void every_damage_is_found(void **state)
{
	static const struct {
		const char *damage, *found;
	} cases[] = {
		{ "rm etc/passwd", "etc/passwd: is missing" },
		{ "rm -r usr", "usr/bin/su: is missing" },
		{ "rm dev/fifo", "dev/fifo: is missing" },
		{ "rm etc/gone", "etc/gone: is missing" },
		{ "truncate -s 3 etc/passwd", "etc/passwd: has 3 bytes instead of 11" },
		{ "truncate -s 3 etc/passwd", "etc/again: has 3 bytes instead of 11" },
		{ "echo >> etc/empty", "etc/empty: has 1 bytes instead of 0" },
		{ "printf X | dd of=etc/shadow conv=notrunc", "etc/shadow: holds something else than was unpacked" },
		{ "truncate -s 4 var/holes", "var/holes: has 4 bytes instead of 500000" },
		{ "rm etc/again; printf 'root:x:0:1\\n' > etc/again", "etc/again: holds something else than was unpacked" },
		{ "chmod 755 usr/bin/su", "usr/bin/su: has mode 0755 and not 4755" },
		{ "chmod 700 .", "the root: has mode 0700 and not 0755" },
		{ "chown 3:4 etc/shadow; chmod 640 etc/shadow", "etc/shadow: belongs to 3:4 and not to 1:42" },
		{ "chgrp 6 etc", "etc: belongs to 0:6 and not to 0:5" },
		{ "chown -h 9 bin", "bin: belongs to 9:0 and not to 0:0" },
		{ "ln -sfn sbin bin", "bin: points to 'sbin' and not to 'usr/bin'" },
		{ "rm bin; mkdir bin", "bin: is a directory and not a symbolic link" },
		{ "rm etc/passwd; ln -s shadow etc/passwd", "etc/passwd: is a symbolic link and not a file" },
		{ "rm -r etc; echo > etc", "etc: is a file and not a directory" },
		{ "rm dev/null; mknod -m 644 dev/null c 1 5", "dev/null: is another device" },
		{ "rm etc/gone; echo > etc/gone", "etc/gone: is a file and not a device node" },
		{ "echo > usr/new", "usr/new: is no part of the layer" },
		{ "mkdir usr/new", "usr/new: is no part of the layer" },
	};

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct place *p = *state;
		_cleanup_free_
		char *command = NULL;

		UNPACK(p, every_kind);
		assert_true(asprintf(&command, "cd %s && %s", p->dir, cases[i].damage) > 0);
		assert_int_equal(fixture_run(NULL, (const char *const[]){ "sh", "-ec", command, NULL }), 0);
		assert_found(p, cases[i].found);
		(void)tear_down(state);
		(void)set_up(state);
	}
}

/* Whatever order entries come in, and whatever they replace. */
static void any_tar_that_unpacks_is_clean(void **state)
{
	static const char *const names[] = { "a",     "a/b",     "a/b/c",          "a-b",  "a.c", "b", "b/a",
					     ".wh.a", "a/.wh.b", "b/.wh..wh..opq", ".wh.b" };
	unsigned seed = 12345, unpacked = 0;

	need_root();
	for (unsigned round = 0; round < 400; round++) {
		struct place *p = *state;
		struct item items[8] = { 0 };
		struct error err = ERROR_INIT;

		for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
			const char *name = names[(unsigned)rand_r(&seed) % ARRAY_SIZE(names)];
			char type = "ffdddlh"[(unsigned)rand_r(&seed) % 7];

			items[i] = (struct item){ .name = name, .type = strstr(name, ".wh.") ? 'f' : type, .data = "a" };
			items[i].mode = type == 'd' ? 0700 + (unsigned)i : 0600 + (unsigned)i;
		}
		if (unpack(p, items, ARRAY_SIZE(items), &err) == 0) {
			unpacked++;
			assert_clean(p);
		}
		(void)tear_down(state);
		(void)set_up(state);
	}
	assert_true(unpacked > 50);
}

static void damaged_listings_are_noticed(void **state)
{
	struct place *p = *state;
	struct error err = ERROR_INIT;
	struct stat st;

	need_root();
	UNPACK(p, every_kind);
	assert_int_equal(fstat(p->listing, &st), 0);
	for (off_t i = 0; i < st.st_size; i += 7) {
		struct listing listing = { 0 };
		char byte, other;

		assert_int_equal(pread(p->listing, &byte, 1, i), 1);
		other = (char)(byte ^ 0x40);
		assert_int_equal(pwrite(p->listing, &other, 1, i), 1);
		err = (struct error)ERROR_INIT;
		if (read_listing(p, &listing, &err) == 0) {
			/* Only fields of the last record that nothing depends on. */
			assert_true(i >= st.st_size - (off_t)sizeof(struct listing_record));
			listing_free(&listing);
		} else {
			assert_failed(-1, &err, ERR_DATA_LOSS, "the listing is damaged");
		}
		assert_int_equal(pwrite(p->listing, &byte, 1, i), 1);
	}
	for (off_t len = st.st_size - 1; len >= 0; len -= 11) {
		struct listing listing = { 0 };

		assert_int_equal(ftruncate(p->listing, len), 0);
		assert_failed(read_listing(p, &listing, &err), &err, ERR_DATA_LOSS, "the listing is damaged");
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	CASE(what_was_unpacked_is_there),    CASE(what_was_replaced_is_not_missed), CASE(every_damage_is_found),
	CASE(any_tar_that_unpacks_is_clean), CASE(damaged_listings_are_noticed),
};

FIXTURE_MAIN(tests)
