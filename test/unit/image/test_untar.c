/* The tar reader itself, without its cage: what an archive becomes on the disk. */
#include "image_fixture.h"

#include <sys/mman.h>
#include <sys/xattr.h>

#include "image/tree.h"
#include "image/untar.h"

/* makedev() for constants; numbers below 256. */
#define RDEV(major, minor) ((major) << 8 | (minor))

struct place {
	char *dir;
	int fd;
	char opaque[8][64]; /* paths that were reported */
	unsigned n_opaque;
};

static int on_opaque(void *arg, const char *path, struct error *err)
{
	struct place *p = arg;

	(void)err;
	assert_true(p->n_opaque < ARRAY_SIZE(p->opaque));
	(void)snprintf(p->opaque[p->n_opaque++], sizeof(p->opaque[0]), "%s", path);
	return 0;
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->dir = fixture_dir();
	p->fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->fd >= 0);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	(void)close(p->fd);
	fixture_remove(p->dir);
	free(p);
	return 0;
}

static int untar_bytes(struct place *p, struct bytes tar, const struct untar_options *options, struct untar_usage *usage,
		       struct error *err)
{
	int fd = memfd_create("tar", MFD_CLOEXEC);
	int result;

	assert_true(fd >= 0);
	assert_ok(io_write_all(fd, tar.data, tar.len, "tar", err), err);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	result = untar(fd, p->fd, options, usage, err);
	(void)close(fd);
	return result;
}

static int untar_items(struct place *p, const struct item *items, size_t n, struct untar_usage *usage, struct error *err)
{
	const struct untar_options options = {
		.is_layer = true,
		.max_bytes = 1 << 20,
		.max_inodes = 1000,
		.on_opaque = on_opaque,
		.arg = p,
	};
	struct bytes tar = fixture_tar(items, n);
	int result = untar_bytes(p, tar, &options, usage, err);

	free(tar.data);
	return result;
}

#define UNTAR(p, items)                                                                                                            \
	do {                                                                                                                       \
		struct error _err = ERROR_INIT;                                                                                    \
		struct untar_usage _usage;                                                                                         \
		assert_ok(untar_items((p), (items), ARRAY_SIZE(items), &_usage, &_err), &_err);                                    \
	} while (0)

static struct stat stat_of(const struct place *p, const char *name)
{
	struct stat st;

	if (fstatat(p->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		fail_msg("%s: %s", name, strerror(errno));
	return st;
}

static void assert_content(const struct place *p, const char *name, const char *content)
{
	char *text = fixture_read(p->dir, name);

	assert_non_null(text);
	assert_string_equal(text, content);
	free(text);
}

static void assert_link(const struct place *p, const char *name, const char *target)
{
	char text[256];
	ssize_t n = readlinkat(p->fd, name, text, sizeof(text));

	assert_int_equal(n, strlen(target));
	assert_memory_equal(text, target, (size_t)n);
}

static void every_kind_of_file(void **state)
{
	static const struct item items[] = {
		{ .name = "./", .type = 'd', .mode = 0751, .uid = 3, .mtime = 1100000000 },
		{ .name = "./bin/", .type = 'd', .mode = 01777, .uid = 5, .gid = 6, .mtime = 1200000000 },
		{ .name = "./bin/tool", .type = 'f', .mode = 06755, .uid = 7, .gid = 8, .data = "#!x", .mtime = 1300000000 },
		{ .name = "bin/sh", .type = 'l', .uid = 9, .gid = 10, .data = "/etc/../tool", .mtime = 1400000000 },
		{ .name = "/bin/hard", .type = 'h', .data = "./bin/tool" },
		{ .name = "bin/softhard", .type = 'h', .data = "bin/sh" },
		{ .name = "dev/null", .type = 'c', .mode = 0666, .rdev = RDEV(1, 3) },
		{ .name = "dev/disk", .type = 'b', .mode = 0660, .gid = 6, .rdev = RDEV(254, 0) },
		{ .name = "dev/pipe", .type = 'p', .mode = 0604, .uid = 65534 },
		{ .name = "empty", .type = 'f', .mode = 0400 },
	};
	struct place *p = *state;
	struct stat st;

	need_root();
	UNTAR(p, items);
	st = stat_of(p, ".");
	assert_int_equal(st.st_mode & 07777, 0751);
	assert_int_equal(st.st_uid, 3);
	assert_int_equal(st.st_mtime, 1100000000);
	st = stat_of(p, "bin");
	assert_int_equal(st.st_mode, S_IFDIR | 01777);
	assert_int_equal(st.st_gid, 6);
	assert_int_equal(st.st_mtime, 1200000000);
	st = stat_of(p, "bin/tool");
	assert_int_equal(st.st_mode, S_IFREG | 06755);
	assert_int_equal(st.st_uid, 7);
	assert_int_equal(st.st_gid, 8);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(st.st_mtime, 1300000000);
	assert_int_equal(stat_of(p, "bin/hard").st_ino, st.st_ino);
	assert_content(p, "bin/tool", "#!x");
	st = stat_of(p, "bin/sh");
	assert_int_equal(st.st_uid, 9);
	assert_int_equal(st.st_mtime, 1400000000);
	assert_link(p, "bin/sh", "/etc/../tool");
	assert_int_equal(stat_of(p, "bin/softhard").st_ino, st.st_ino);
	st = stat_of(p, "dev/null");
	assert_int_equal(st.st_mode, S_IFCHR | 0666);
	assert_int_equal(st.st_rdev, makedev(1, 3));
	st = stat_of(p, "dev/disk");
	assert_int_equal(st.st_mode, S_IFBLK | 0660);
	assert_int_equal(st.st_rdev, makedev(254, 0));
	st = stat_of(p, "dev/pipe");
	assert_int_equal(st.st_mode, S_IFIFO | 0604);
	assert_int_equal(st.st_uid, 65534);
	assert_int_equal(stat_of(p, "dev").st_mode, S_IFDIR | 0755); /* nobody said anything about it */
	assert_int_equal(stat_of(p, "empty").st_size, 0);
}

static void names_are_bytes(void **state)
{
	/* Decomposed and composed letters are two names; the third is no UTF-8 at all. */
	static const struct item items[] = {
		{ .name = "e\xcc\x81", .type = 'f', .data = "decomposed" }, { .name = "\xc3\xa9", .type = 'f', .data = "composed" },
		{ .name = "latin\xe9", .type = 'f', .data = "latin" },      { .name = "new\nline", .type = 'f', .data = "line" },
		{ .name = "to", .type = 'l', .data = "e\xcc\x81" },         { .name = "again", .type = 'h', .data = "e\xcc\x81" },
		{ .name = "back\\slash", .type = 'f', .data = "slash" },
	};
	struct place *p = *state;

	need_root();
	UNTAR(p, items);
	assert_content(p, "e\xcc\x81", "decomposed");
	assert_content(p, "\xc3\xa9", "composed");
	assert_content(p, "latin\xe9", "latin");
	assert_content(p, "new\nline", "line");
	assert_content(p, "back\\slash", "slash");
	assert_link(p, "to", "e\xcc\x81");
	assert_content(p, "again", "decomposed");
	assert_int_equal(fixture_count(p->dir, "."), 7);
}

static void long_names(void **state)
{
	char component[256], path[3000] = "", target[3000];
	struct item items[2] = { { .name = path, .type = 'f', .data = "deep" }, { .name = "link", .type = 'l', .data = target } };
	struct place *p = *state;

	need_root();
	memset(component, 'c', 255);
	component[255] = '\0';
	for (int i = 0; i < 10; i++)
		(void)snprintf(path + strlen(path), sizeof(path) - strlen(path), "%s%s", i ? "/" : "", component);
	memset(target, 't', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	UNTAR(p, items);
	assert_content(p, path, "deep");
	assert_int_equal(stat_of(p, "link").st_size, sizeof(target) - 1);
}

static void whiteouts_come_from_markers(void **state)
{
	static const struct item items[] = {
		{ .name = "a/", .type = 'd' },
		{ .name = "a/.wh.gone", .type = 'f' },
		{ .name = ".wh.top", .type = 'f' },
		{ .name = "made/for/.wh.it", .type = 'f' },
		{ .name = ".wh..wh.plnk/", .type = 'd' }, /* aufs's own; nothing comes of it */
		{ .name = "a/.wh..wh.aufs", .type = 'f' },
	};
	struct place *p = *state;
	struct stat st;

	need_root();
	UNTAR(p, items);
	st = stat_of(p, "a/gone");
	assert_true(tree_is_whiteout(&st));
	st = stat_of(p, "top");
	assert_true(tree_is_whiteout(&st));
	st = stat_of(p, "made/for/it");
	assert_true(tree_is_whiteout(&st));
	assert_int_equal(fixture_count(p->dir, "a"), 1);
	assert_int_equal(fixture_count(p->dir, "."), 3);
	assert_int_equal(p->n_opaque, 0);
}

/* A marker hides what lower layers have; what this layer has stays, wherever the marker stands. */
static void whiteouts_spare_their_own_layer(void **state)
{
	static const struct item items[] = {
		{ .name = "before", .type = 'f', .data = "kept" },
		{ .name = ".wh.before", .type = 'f' },
		{ .name = ".wh.after", .type = 'f' },
		{ .name = "after", .type = 'f', .data = "kept too" },
		{ .name = "dir1/", .type = 'd' },
		{ .name = "dir1/x", .type = 'f', .data = "x" },
		{ .name = ".wh.dir1", .type = 'f' },
		{ .name = ".wh.dir2", .type = 'f' },
		{ .name = "dir2/", .type = 'd' },
		{ .name = ".wh.dir3", .type = 'f' },
		{ .name = "dir3/sub/y", .type = 'f', .data = "y" },
		{ .name = "dir4/.wh..wh..opq", .type = 'f' },
		{ .name = "dir4/z", .type = 'f', .data = "z" },
		{ .name = ".wh..wh..opq", .type = 'f' },
	};
	static const char *const opaque[] = { "dir1", "dir2", "dir3", "dir4", "" };
	struct place *p = *state;

	need_root();
	UNTAR(p, items);
	assert_content(p, "before", "kept");
	assert_content(p, "after", "kept too");
	assert_content(p, "dir1/x", "x");
	assert_content(p, "dir3/sub/y", "y");
	assert_content(p, "dir4/z", "z");
	assert_int_equal(p->n_opaque, ARRAY_SIZE(opaque));
	for (size_t i = 0; i < ARRAY_SIZE(opaque); i++)
		assert_string_equal(p->opaque[i], opaque[i]);
}

static void later_entries_replace_earlier_ones(void **state)
{
	static const struct item items[] = {
		{ .name = "f", .type = 'f', .data = "first" },
		{ .name = "f", .type = 'f', .data = "second" },
		{ .name = "d/", .type = 'd', .mode = 0700 },
		{ .name = "d/in", .type = 'f', .data = "in" },
		{ .name = "d/", .type = 'd', .mode = 0711 }, /* merges */
		{ .name = "tree/a/b/c", .type = 'f', .data = "c" },
		{ .name = "tree", .type = 'f', .data = "flat" },
		{ .name = "flat", .type = 'f', .data = "flat" },
		{ .name = "flat/", .type = 'd' },
		{ .name = "flat/x", .type = 'f', .data = "x" },
		{ .name = "link", .type = 'l', .data = "d" },
		{ .name = "link/", .type = 'd' }, /* not through the link */
		{ .name = "link/y", .type = 'f', .data = "y" },
		{ .name = "l2", .type = 'l', .data = "f" },
		{ .name = "l2", .type = 'f', .data = "own" }, /* not through the link */
	};
	struct place *p = *state;

	need_root();
	UNTAR(p, items);
	assert_content(p, "f", "second");
	assert_content(p, "d/in", "in");
	assert_int_equal(stat_of(p, "d").st_mode & 07777, 0711);
	assert_content(p, "tree", "flat");
	assert_content(p, "flat/x", "x");
	assert_true(S_ISDIR(stat_of(p, "link").st_mode));
	assert_content(p, "link/y", "y");
	assert_false(fixture_exists(p->dir, "d/y"));
	assert_content(p, "l2", "own");
}

/* umoci writes such ones: what hides the directory in a lower layer hides what is in it. Nothing is made of them, and nothing is
 * followed. */
static void whiteouts_below_what_is_no_directory(void **state)
{
	static const struct item items[] = {
		{ .name = "target/", .type = 'd' },
		{ .name = "target/kept", .type = 'f' },
		{ .name = "file", .type = 'f' },
		{ .name = "file/.wh.x", .type = 'f' },
		{ .name = "link", .type = 'l', .data = "target" },
		{ .name = "link/.wh.kept", .type = 'f' },
		{ .name = "up", .type = 'l', .data = ".." },
		{ .name = "up/sub/.wh.tmp", .type = 'f' },
		{ .name = ".wh.gone", .type = 'f' },
		{ .name = "gone/.wh.inner", .type = 'f' },
	};
	struct place *p = *state;

	need_root();
	UNTAR(p, items);
	assert_true(S_ISREG(stat_of(p, "file").st_mode));
	assert_true(S_ISREG(stat_of(p, "target/kept").st_mode));
	assert_link(p, "link", "target");
	assert_link(p, "up", "..");
	assert_true(S_ISCHR(stat_of(p, "gone").st_mode));
	assert_int_equal(fixture_count(p->dir, "."), 5);
	assert_int_equal(fixture_count(p->dir, "target"), 1);
	assert_int_equal(p->n_opaque, 0);
}

static void hostile_archives_are_refused_cve_2021_32760_cve_2025_47290(void **state)
{
	static const struct {
		struct item items[3];
		size_t n;
		enum error_code code;
		const char *why;
	} cases[] = {
		{ { { .name = "../escape", .type = 'f' } }, 1, ERR_INVALID, "'..' in a path" },
		{ { { .name = "a/../../escape", .type = 'f' } }, 1, ERR_INVALID, "'..' in a path" },
		{ { { .name = "/../escape", .type = 'f' } }, 1, ERR_INVALID, "'..' in a path" },
		{ { { .name = "..", .type = 'd' } }, 1, ERR_INVALID, "'..' in a path" },
		{ { { .name = "out", .type = 'l', .data = "/tmp" }, { .name = "out/escape", .type = 'f' } },
		  2,
		  ERR_INVALID,
		  "symbolic link" },
		{ { { .name = "out", .type = 'l', .data = ".." }, { .name = "out/x/escape", .type = 'f' } },
		  2,
		  ERR_INVALID,
		  "symbolic link" },
		{ { { .name = "out", .type = 'l', .data = ".." }, { .name = "out/.wh..wh..opq", .type = 'f' } },
		  2,
		  ERR_INVALID,
		  "symbolic link" },
		{ { { .name = "d/", .type = 'd' }, { .name = "d", .type = 'l', .data = "/" }, { .name = "d/escape", .type = 'f' } },
		  3,
		  ERR_INVALID,
		  "symbolic link" },
		{ { { .name = "out", .type = 'l', .data = "/etc" }, { .name = "h", .type = 'h', .data = "out/passwd" } },
		  2,
		  ERR_INVALID,
		  "hard link" },
		{ { { .name = "h", .type = 'h', .data = "../etc/passwd" } }, 1, ERR_INVALID, "'..' in a path" },
		{ { { .name = "h", .type = 'h', .data = "/etc/passwd" } }, 1, ERR_INVALID, "hard link" },
		{ { { .name = "h", .type = 'h', .data = "h" } }, 1, ERR_INVALID, "hard link" },
		{ { { .name = "d/", .type = 'd' }, { .name = "h", .type = 'h', .data = "d" } }, 2, ERR_INVALID, "hard link" },
		{ { { .name = "h", .type = 'h', .data = "/" } }, 1, ERR_INVALID, "hard link" },
		{ { { .name = "f", .type = 'f' }, { .name = "f/x", .type = 'f' } }, 2, ERR_INVALID, "not a directory" },
		{ { { .name = "p", .type = 'p' }, { .name = "p/x", .type = 'f' } }, 2, ERR_INVALID, "not a directory" },
		{ { { .name = ".", .type = 'f', .data = "x" } }, 1, ERR_INVALID, "root is not a directory" },
		{ { { .name = ".", .type = 'l', .data = "x" } }, 1, ERR_INVALID, "root is not a directory" },
		{ { { .name = ".wh.", .type = 'f' } }, 1, ERR_INVALID, "white-out of nothing" },
		{ { { .name = ".wh..", .type = 'f' } }, 1, ERR_INVALID, "white-out of nothing" },
		{ { { .name = "a/.wh...", .type = 'f' } }, 1, ERR_INVALID, "white-out of nothing" },
		{ { { .name = "f", .type = 'f', .uid = 4294967295LL } }, 1, ERR_INVALID, "out of range" },
		{ { { .name = "f", .type = 'f', .gid = 4294967296LL } }, 1, ERR_INVALID, "out of range" },
		{ { { .name = "s", .type = 'f', .data = "x", .size = 1LL << 40 } }, 1, ERR_EXHAUSTED, "files of more than" },
		{ { { .name = "s", .type = 'f', .data = "x", .size = 600000 },
		    { .name = "t", .type = 'f', .data = "x", .size = 600000 } },
		  2,
		  ERR_EXHAUSTED,
		  "files of more than" },
	};

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		struct untar_usage usage;
		struct place *p = *state;
		int result = untar_items(p, cases[i].items, cases[i].n, &usage, &err);

		if (result == 0)
			fail_msg("case %zu was taken", i);
		assert_failed(result, &err, cases[i].code, cases[i].why);
		assert_false(fixture_exists("/tmp", "escape"));
		(void)tear_down(state);
		(void)set_up(state);
	}
}

/* A header block as it is, followed by its data in whole blocks. `size_field` replaces the octal size when it is set. */
struct forged {
	const char *name, *prefix;
	char type;
	const char *size_field; /* 12 bytes */
	const char *data;
	size_t data_len;
	bool wrong_sum;
};

static size_t forge(char *out, const struct forged *f)
{
	size_t blocks = (f->data_len + 511) / 512;
	unsigned sum = 0;

	memset(out, 0, 512 * (1 + blocks));
	(void)snprintf(out, 100, "%s", f->name);
	memcpy(out + 100, "0000644", 8);
	memcpy(out + 108, "0000000", 8);
	memcpy(out + 116, "0000000", 8);
	(void)snprintf(out + 124, 12, "%011zo", f->data_len);
	if (f->size_field)
		memcpy(out + 124, f->size_field, 12);
	memcpy(out + 136, "00000000000", 12);
	memset(out + 148, ' ', 8);
	out[156] = f->type;
	memcpy(out + 257, "ustar\00000", 8);
	(void)snprintf(out + 345, 155, "%s", f->prefix ? f->prefix : "");
	for (int i = 0; i < 512; i++)
		sum += (unsigned char)out[i];
	(void)snprintf(out + 148, 8, "%06o", sum + f->wrong_sum);
	if (f->data_len > 0)
		memcpy(out + 512, f->data, f->data_len);
	return 512 * (1 + blocks);
}

#define PAX(record)                                                                                                                \
	{                                                                                                                          \
		.name = "pax", .type = 'x', .data = (record), .data_len = sizeof(record) - 1                                       \
	}
#define PLAIN                                                                                                                      \
	{                                                                                                                          \
		.name = "f", .type = '0', .data = "x", .data_len = 1                                                               \
	}

/* What no writer of archives makes: each is refused, and leaves nothing but, at most, the files before it. */
static void forged_headers_are_refused(void **state)
{
	static const struct {
		struct forged headers[2];
		const char *why; /* NULL: any sentence */
	} cases[] = {
		{ { { .name = "f", .type = '0', .wrong_sum = true } }, "tar" },
		{ { { .name = "f", .type = '0', .size_field = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" } }, NULL },
		{ { { .name = "f", .type = '0', .size_field = "\x80\0\0\0\x40\0\0\0\0\0\0\0" } }, "files of more than" },
		{ { { .name = "f", .type = '0', .size_field = "77777777777" } }, "files of more than" },
		{ { { .name = "x", .prefix = "a/../..", .type = '0' } }, "'..' in a path" },
		{ { PAX("11 path=..\n"), PLAIN }, "'..' in a path" },
		{ { PAX("10 uid=-5\n"), PLAIN }, NULL },
		{ { PAX("18 uid=4294967295\n"), PLAIN }, "out of range" },
		{ { PAX("26 size=99999999999999999\n"), PLAIN }, "files of more than" },
		{ { { .name = "pax", .type = 'x', .size_field = "77777777777" } }, NULL },
		{ { { .name = "long", .type = 'L', .size_field = "77777777777" } }, NULL },
		{ { { .name = "long", .type = 'K', .size_field = "77777777777" } }, NULL },
	};
	const struct untar_options options = { .is_layer = true, .max_bytes = 1 << 20, .max_inodes = 100, .on_opaque = on_opaque };
	char *tar = calloc(1, 8192);

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		struct untar_usage usage;
		struct place *p = *state;
		size_t len = forge(tar, &cases[i].headers[0]);

		if (cases[i].headers[1].name)
			len += forge(tar + len, &cases[i].headers[1]);
		memset(tar + len, 0, 1024);
		if (untar_bytes(p, (struct bytes){ tar, len + 1024 }, &options, &usage, &err) == 0)
			fail_msg("case %zu was taken", i);
		if (cases[i].why && !strstr(err.text, cases[i].why))
			fail_msg("case %zu: %s", i, err.text);
		assert_true(err.code == ERR_INVALID || err.code == ERR_EXHAUSTED);
		assert_false(fixture_exists("/tmp", "x"));
		(void)tear_down(state);
		(void)set_up(state);
	}
	free(tar);
}

/* A name ends at its first NUL, for the reader as for the kernel: nothing behind it counts. */
static void names_end_at_a_nul(void **state)
{
	static const struct forged headers[] = { PAX("16 path=a\0/../b\n"), PLAIN };
	const struct untar_options options = { .is_layer = true, .max_bytes = 1 << 20, .max_inodes = 100, .on_opaque = on_opaque };
	struct place *p = *state;
	struct error err = ERROR_INIT;
	struct untar_usage usage;
	char *tar = calloc(1, 8192);
	size_t len = forge(tar, &headers[0]);

	need_root();
	len += forge(tar + len, &headers[1]);
	if (untar_bytes(p, (struct bytes){ tar, len + 1024 }, &options, &usage, &err) == 0)
		assert_true(S_ISREG(stat_of(p, "a").st_mode));
	assert_true(fixture_count(p->dir, ".") <= 1);
	assert_false(fixture_exists(p->dir, "b"));
	free(tar);
}

/* An earlier entry lays out something that a write would go through. */
static void devices_fifos_and_links_are_not_written_to(void **state)
{
	static const struct item items[] = {
		{ .name = "kept", .type = 'f', .data = "kept" },
		{ .name = "device", .type = 'c', .rdev = RDEV(1, 3) },
		{ .name = "fifo", .type = 'p' },
		{ .name = "link", .type = 'l', .data = "kept" },
		{ .name = "dangling", .type = 'l', .data = "made-through-a-link" },
		{ .name = "second", .type = 'h', .data = "kept" },
		{ .name = "device", .type = 'f', .data = "new" },
		{ .name = "fifo", .type = 'f', .data = "new" },
		{ .name = "link", .type = 'f', .data = "new" },
		{ .name = "dangling", .type = 'f', .data = "new" },
		{ .name = "second", .type = 'f', .data = "new" },
	};
	static const char *const names[] = { "device", "fifo", "link", "dangling", "second" };
	struct place *p = *state;

	need_root();
	(void)alarm(30); /* opening a fifo for writing would wait for ever */
	UNTAR(p, items);
	(void)alarm(0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_true(S_ISREG(stat_of(p, names[i]).st_mode));
		assert_content(p, names[i], "new");
	}
	assert_content(p, "kept", "kept");
	assert_int_equal(stat_of(p, "kept").st_nlink, 1);
	assert_false(fixture_exists(p->dir, "made-through-a-link"));
}

static void depth_is_limited(void **state)
{
	char path[2 * (TREE_MAX_DEPTH + 1) + 1] = "";
	const struct item item = { .name = path, .type = 'f' };
	struct error err = ERROR_INIT;
	struct untar_usage usage;

	need_root();
	for (int i = 0; i < TREE_MAX_DEPTH; i++)
		memcpy(path + 2 * i, "d/", 3);
	path[2 * TREE_MAX_DEPTH - 1] = '\0';
	assert_ok(untar_items(*state, &item, 1, &usage, &err), &err);
	memcpy(path + 2 * TREE_MAX_DEPTH - 1, "/d", 3);
	assert_failed(untar_items(*state, &item, 1, &usage, &err), &err, ERR_INVALID, "deeper than");
}

static void sparse_files(void **state)
{
	static const struct item items[] = { { .name = "s", .type = 'f', .data = "head", .size = 1000000 } };
	struct error err = ERROR_INIT;
	struct place *p = *state;
	struct untar_usage usage;
	struct stat st;

	need_root();
	assert_ok(untar_items(p, items, 1, &usage, &err), &err);
	st = stat_of(p, "s");
	assert_int_equal(st.st_size, 1000000);
	assert_true(st.st_blocks * 512 < 100000);
	assert_content(p, "s", "head");
	assert_int_equal(usage.bytes, 4096);
	assert_int_equal(usage.inodes, 1);
}

/* A tmpfs before Linux 6.6 has none. */
static bool has_user_attributes(const struct place *p)
{
	return fsetxattr(p->fd, "user.probe", "x", 1, 0) == 0;
}

static void attributes_are_chosen(void **state)
{
	/* VFS_CAP_REVISION_2, effective, cap_net_raw permitted (linux/capability.h) */
	static const char cap[20] = { 1, 0, 0, 2, 0, 0x20 };
	static const struct item items[] = {
		{ .name = "ping",
		  .type = 'f',
		  .uid = 1,
		  .data = "x",
		  .xattr = "security.capability",
		  .value = cap,
		  .value_len = sizeof(cap) },
		{ .name = "user", .type = 'f', .data = "x", .xattr = "user.note", .value = "hello" },
		{ .name = "userdir/", .type = 'd', .xattr = "user.note", .value = "dir" },
		{ .name = "opaque/", .type = 'd', .xattr = "trusted.overlay.opaque", .value = "y" },
		{ .name = "redirect/", .type = 'd', .xattr = "trusted.overlay.redirect", .value = "/etc" },
		{ .name = "userov/", .type = 'd', .xattr = "user.overlay.opaque", .value = "y" },
		{ .name = "selinux", .type = 'f', .data = "x", .xattr = "security.selinux", .value = "u:r:t" },
		{ .name = "ima", .type = 'f', .data = "x", .xattr = "security.ima", .value = "\x01" },
	};
	static const char *const dropped[][2] = {
		{ "opaque", "trusted.overlay.opaque" },
		{ "redirect", "trusted.overlay.redirect" },
		{ "userov", "user.overlay.opaque" },
		{ "selinux", "security.selinux" },
		{ "ima", "security.ima" },
	};
	struct place *p = *state;
	char value[64];

	need_root();
	UNTAR(p, items);
	for (size_t i = 0; i < ARRAY_SIZE(dropped); i++) {
		_cleanup_free_
		char *path = fixture_path(p->dir, dropped[i][0]);

		assert_int_equal(lgetxattr(path, dropped[i][1], value, sizeof(value)), -1);
	}
	{
		_cleanup_free_
		char *ping = fixture_path(p->dir, "ping");
		_cleanup_free_
		char *user = fixture_path(p->dir, "user");
		_cleanup_free_
		char *dir = fixture_path(p->dir, "userdir");

		assert_int_equal(lgetxattr(ping, "security.capability", value, sizeof(value)), sizeof(cap));
		assert_memory_equal(value, cap, sizeof(cap));
		if (has_user_attributes(p)) {
			assert_int_equal(lgetxattr(user, "user.note", value, sizeof(value)), 5);
			assert_int_equal(lgetxattr(dir, "user.note", value, sizeof(value)), 3);
		}
	}
}

static void entries_are_counted(void **state)
{
	static const struct item items[] = {
		{ .name = "a/b/c", .type = 'f', .data = "x" },
		{ .name = "h", .type = 'h', .data = "a/b/c" },
		{ .name = ".wh.w", .type = 'f' },
		{ .name = "e", .type = 'f' },
	};
	struct place *p = *state;
	struct error err = ERROR_INIT;
	struct untar_usage usage;
	struct untar_options options = {
		.is_layer = true,
		.max_bytes = 1 << 20,
		.max_inodes = 4,
		.on_opaque = on_opaque,
		.arg = p,
	};
	struct bytes tar = fixture_tar(items, ARRAY_SIZE(items));

	need_root();
	assert_failed(untar_bytes(p, tar, &options, &usage, &err), &err, ERR_EXHAUSTED, "more than 4 files");
	options.max_inodes = 5;
	(void)tear_down(state);
	(void)set_up(state);
	p = *state;
	options.arg = p;
	assert_ok(untar_bytes(p, tar, &options, &usage, &err), &err);
	assert_int_equal(usage.inodes, 5); /* two directories, two files, one white-out */
	assert_int_equal(usage.bytes, 4096 + 2 * fixture_directory_bytes("/tmp"));
	options.max_inodes = 3;
	assert_failed(untar_bytes(p, tar, &options, &usage, &err), &err, ERR_EXHAUSTED, "more than 3 entries");
	free(tar.data);
}

/* Something that is no tar, and every way of cutting one short: an error or a shorter archive, never anything worse. */
static void broken_streams(void **state)
{
	static const struct item items[] = {
		{ .name = "e\xcc\x81", .type = 'f', .data = "content", .xattr = "user.x", .value = "y" },
		{ .name = "s", .type = 'f', .data = "head", .size = 100000 },
		{ .name = "l", .type = 'l', .data = "t" },
	};
	static char noise[4096];
	struct place *p = *state;
	struct error err = ERROR_INIT;
	struct untar_usage usage;
	const struct untar_options options = {
		.is_layer = true, .max_bytes = 1 << 20, .max_inodes = 100, .on_opaque = on_opaque, .arg = p
	};
	struct bytes tar = fixture_tar(items, ARRAY_SIZE(items));
	unsigned refused = 0;

	need_root();
	memset(noise, 'n', sizeof(noise));
	assert_failed(untar_bytes(p, (struct bytes){ noise, sizeof(noise) }, &options, &usage, &err), &err, ERR_INVALID, "tar");
	assert_failed(untar_bytes(p, (struct bytes){ noise, 7 }, &options, &usage, &err), &err, ERR_INVALID, "tar");
	memset(noise, 0, sizeof(noise));
	assert_ok(untar_bytes(p, (struct bytes){ noise, 1024 }, &options, &usage, &err), &err);
	assert_ok(untar_bytes(p, (struct bytes){ noise, 0 }, &options, &usage, &err), &err);
	assert_int_equal(fixture_count(p->dir, "."), 0);
	for (size_t len = 1; len < tar.len; len += 97) {
		if (untar_bytes(p, (struct bytes){ tar.data, len }, &options, &usage, &err) < 0) {
			assert_int_equal(err.code, ERR_INVALID);
			refused++;
		}
	}
	assert_true(refused > 10);
	free(tar.data);
}

/* What umoci and other users of an unclosed writer produce: the stream ends with the last byte of the last file. */
static void a_missing_end_is_none(void **state)
{
	static const struct item items[] = { { .name = "a", .type = 'f', .data = "a" },
					     { .name = "last", .type = 'f', .data = "content" } };
	struct place *p = *state;
	struct error err = ERROR_INIT;
	struct untar_usage usage;
	const struct untar_options options = {
		.is_layer = true, .max_bytes = 1 << 20, .max_inodes = 100, .on_opaque = on_opaque, .arg = p
	};
	struct bytes tar = fixture_tar(items, ARRAY_SIZE(items));

	need_root();
	/* Two headers and one block of data stand before the last one's. */
	assert_ok(untar_bytes(p, (struct bytes){ tar.data, (size_t)3 * 512 + 7 }, &options, &usage, &err), &err);
	assert_content(p, "last", "content");
	assert_int_equal(usage.inodes, 2);
	assert_failed(untar_bytes(p, (struct bytes){ tar.data, (size_t)3 * 512 + 6 }, &options, &usage, &err), &err, ERR_INVALID,
		      "last");
	free(tar.data);
}

/* As the outer archive of an import: files only, nobody's but ours. */
static void plain_archives(void **state)
{
	static const struct item good[] = {
		{ .name = "blobs/sha256/x", .type = 'f', .uid = 7, .mode = 04777, .data = "blob" },
		{ .name = ".wh.x", .type = 'f', .data = "no marker here" },
		{ .name = "l", .type = 'l', .data = "blobs" },
	};
	static const struct item bad[] = { { .name = "n", .type = 'c', .rdev = RDEV(1, 3) } };
	struct place *p = *state;
	struct error err = ERROR_INIT;
	struct untar_usage usage;
	const struct untar_options options = { .max_bytes = 1 << 20, .max_inodes = 100, .on_opaque = on_opaque, .arg = p };
	struct bytes tar = fixture_tar(good, ARRAY_SIZE(good));
	struct bytes nodes = fixture_tar(bad, ARRAY_SIZE(bad));

	assert_ok(untar_bytes(p, tar, &options, &usage, &err), &err);
	assert_int_equal(stat_of(p, "blobs/sha256/x").st_uid, geteuid());
	assert_int_equal(stat_of(p, "blobs/sha256/x").st_mode & 07777, 0600);
	assert_content(p, ".wh.x", "no marker here");
	assert_failed(untar_bytes(p, nodes, &options, &usage, &err), &err, ERR_INVALID, "no place");
	free(tar.data);
	free(nodes.data);
}

static void paths_are_cleaned(void **state)
{
	static const struct {
		const char *raw, *clean; /* NULL: refused */
	} cases[] = {
		{ "", "" },
		{ ".", "" },
		{ "./", "" },
		{ "/", "" },
		{ "//./", "" },
		{ "a", "a" },
		{ "./a//b/./c/", "a/b/c" },
		{ "/a", "a" },
		{ "...", "..." },
		{ "..a", "..a" },
		{ "a..", "a.." },
		{ "..", NULL },
		{ "a/..", NULL },
		{ "../a", NULL },
		{ "a/../b", NULL },
		{ "/..", NULL },
	};
	char long_name[400], clean[PATH_MAX];
	struct error err = ERROR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int result = tree_clean_path(cases[i].raw, clean, &err);

		assert_int_equal(result, cases[i].clean ? 0 : -1);
		if (cases[i].clean)
			assert_string_equal(clean, cases[i].clean);
	}
	memset(long_name, 'x', sizeof(long_name));
	long_name[NAME_MAX] = '\0';
	assert_ok(tree_clean_path(long_name, clean, &err), &err);
	long_name[NAME_MAX] = 'x';
	long_name[NAME_MAX + 1] = '\0';
	assert_failed(tree_clean_path(long_name, clean, &err), &err, ERR_INVALID, "too long");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(every_kind_of_file),
		CASE(names_are_bytes),
		CASE(long_names),
		CASE(whiteouts_come_from_markers),
		CASE(whiteouts_spare_their_own_layer),
		CASE(whiteouts_below_what_is_no_directory),
		CASE(later_entries_replace_earlier_ones),
		CASE(hostile_archives_are_refused_cve_2021_32760_cve_2025_47290),
		CASE(forged_headers_are_refused),
		CASE(names_end_at_a_nul),
		CASE(devices_fifos_and_links_are_not_written_to),
		CASE(depth_is_limited),
		CASE(sparse_files),
		CASE(attributes_are_chosen),
		CASE(entries_are_counted),
		CASE(broken_streams),
		CASE(a_missing_end_is_none),
		CASE(plain_archives),
		cmocka_unit_test(paths_are_cleaned),
	};

	(void)umask(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
