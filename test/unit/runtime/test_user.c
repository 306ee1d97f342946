#include "expect.h"

#include <sys/sysmacros.h>

#include "runtime/user.h"
#include "runtime/user_db.h"

#define PASSWD                                                                                                                     \
	"root:x:0:0:root:/root:/bin/sh\n"                                                                                          \
	"daemon:x:1:1::/usr/sbin:/sbin/nologin\n"                                                                                  \
	"web:x:1000:1001:Web Server,,,:/srv/web:/bin/sh\n"                                                                         \
	"1234:x:0:0:a number for a name:/root:/bin/sh\n"                                                                           \
	"short:x:7:8\n"                                                                                                            \
	"# a comment\n"                                                                                                            \
	"\n"                                                                                                                       \
	"broken:x:notanumber:0::/:/bin/sh\n"                                                                                       \
	"minus:x:-1:0::/:/bin/sh\n"                                                                                                \
	"huge:x:4294967296:0::/:/bin/sh\n"                                                                                         \
	"all:x:4294967295:0::/:/bin/sh\n"                                                                                          \
	"relative:x:70:70::home/relative:/bin/sh\n"                                                                                \
	"control:x:71:71::/home/\tx\x01y:/bin/sh\n"                                                                                \
	"last:x:72:72::/home/last:/bin/sh"

#define GROUP                                                                                                                      \
	"root:x:0:\n"                                                                                                              \
	"www:x:1001:web\n"                                                                                                         \
	"disk:x:6:root,web\n"                                                                                                      \
	"tape:x:26:web,daemon\n"                                                                                                   \
	"tape2:x:26:web\n"                                                                                                         \
	"webby:x:99:webb,xweb,we\n"                                                                                                \
	"4321:x:5:\n"                                                                                                              \
	"bad:x:-5:web\n"                                                                                                           \
	"nomembers:x:8\n"

struct root {
	struct place *place;
	int fd;
	struct arena arena;
};

static int make_root(void **state)
{
	struct root *root = calloc(1, sizeof(*root));

	if (!root || place_make((void **)&root->place) < 0)
		return -1;
	put_dir(in_place((void **)&root->place, "etc"));
	put_file(in_place((void **)&root->place, "etc/passwd"), PASSWD);
	put_file(in_place((void **)&root->place, "etc/group"), GROUP);
	root->fd = open(root->place->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	*state = root;
	return root->fd < 0 ? -1 : 0;
}

static int remove_root(void **state)
{
	struct root *root = *state;
	int r = place_remove((void **)&root->place);

	arena_release(&root->arena);
	(void)close(root->fd);
	free(root);
	return r;
}

static const char *file_of(struct root *root, const char *name)
{
	return in_place((void **)&root->place, name);
}

static struct user resolve(struct root *root, const struct user_request *request)
{
	struct user user = { 0 };

	expect_ok(user_resolve(root->fd, request, &root->arena, &user, &err));
	return user;
}

static void spellings_of_the_image_user(void **state)
{
	static const struct {
		const char *text;
		unsigned uid, gid;
		const char *home;
	} rows[] = {
		{ "", 0, 0, "/root" },
		{ "root", 0, 0, "/root" },
		{ "0", 0, 0, "/root" },
		{ "1", 1, 1, "/usr/sbin" }, /* not 0:0 (CVE-2026-30892) */
		{ "web", 1000, 1001, "/srv/web" },
		{ "1000", 1000, 1001, "/srv/web" },
		{ "001000", 1000, 1001, "/srv/web" },
		{ "web:", 1000, 1001, "/srv/web" },
		{ "web:0", 1000, 0, "/srv/web" },
		{ "web:disk", 1000, 6, "/srv/web" },
		{ "1000:tape", 1000, 26, "/srv/web" },
		{ "4000", 4000, 0, "/" },
		{ "4000:4001", 4000, 4001, "/" },
		{ "1234", 1234, 0, "/" }, /* a number, though /etc/passwd has it as a name of uid 0 */
		{ "1:4321", 1, 4321, "/usr/sbin" },
		{ "4294967294", 4294967294, 0, "/" },
		{ "short", 7, 8, "/" },
		{ "relative", 70, 70, "/" },
		{ "control", 71, 71, "/" }, /* CVE-2022-4318 */
		{ "last", 72, 72, "/home/last" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct user user = resolve(*state, &(struct user_request){ .image_user = rows[i].text });

		if (user.uid != rows[i].uid || user.gid != rows[i].gid || strcmp(user.home, rows[i].home) != 0)
			fail_msg("'%s' is %u:%u %s", rows[i].text, user.uid, user.gid, user.home);
	}
}

static void users_that_are_refused(void **state)
{
	static const char *const bad[] = {
		"nobody",
		"root2",
		"Web",
		"-1",
		"+0",
		"0x0",
		" 0",
		"0 ",
		"1.5",
		"web:nogroup",
		"web:-1",
		":0",
		":web",
		"web:4294967295",
		"4294967295",
		"4294967296",
		"18446744073709551616",
		"99999999999999999999999999999999999999",
		"web:4294967296",
		"broken",
		"minus",
		"huge",
		"all",
		"web\n",
		"web:www\n",
		"root\t",
		"web:www:x",
		"a:b:c",
	};
	struct root *root = *state;
	struct user user;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct user_request request = { .image_user = bad[i] };
		struct error err = ERROR_INIT;

		if (user_resolve(root->fd, &request, &root->arena, &user, &err) == 0)
			fail_msg("'%s' became %u:%u", bad[i], user.uid, user.gid);
		assert_int_equal(err.code, ERR_INVALID);
	}
}

static void request_wins_over_the_image(void **state)
{
	struct user user;

	user = resolve(*state, &(struct user_request){ .image_user = "web:disk", .has_uid = true, .uid = 1 });
	assert_int_equal(user.uid, 1);
	assert_int_equal(user.gid, 1);
	user = resolve(*state, &(struct user_request){ .image_user = "web", .has_uid = true, .uid = 0, .has_gid = true, .gid = 9 });
	assert_int_equal(user.uid, 0);
	assert_int_equal(user.gid, 9);
	user = resolve(*state, &(struct user_request){ .image_user = "1", .username = "web" });
	assert_int_equal(user.uid, 1000);
	user = resolve(*state, &(struct user_request){ .username = "web", .has_gid = true, .gid = 77 });
	assert_int_equal(user.gid, 77);
}

static void contradictions_are_refused(void **state)
{
	struct root *root = *state;
	struct user user;
	static const int64_t minus[] = { -1 }, wraps[] = { 4294967296 };
	const struct user_request bad[] = {
		{ .has_uid = true, .uid = 1, .username = "web" },
		{ .image_user = "web", .has_gid = true, .gid = 1 },
		{ .has_uid = true, .uid = -1 },
		{ .has_uid = true, .uid = 4294967295 },
		{ .has_uid = true, .uid = INT64_MAX },
		{ .has_uid = true, .uid = 4294967296 }, /* not 0 (CVE-2024-40635) */
		{ .has_uid = true, .has_gid = true, .gid = -1 },
		{ .username = "0" },
		{ .username = "1000" },
		{ .username = "nobody" },
		{ .username = "web:0" },
		{ .username = "web\nroot" },
		{ .has_uid = true, .supplemental = minus, .n_supplemental = 1 },
		{ .has_uid = true, .supplemental = wraps, .n_supplemental = 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_error(user_resolve(root->fd, &bad[i], &root->arena, &user, &err), ERR_INVALID, "");
}

static void expect_groups(const struct user *user, const gid_t *wanted, size_t n)
{
	assert_int_equal(user->n_groups, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(user->groups[i], wanted[i]);
}

#define GROUPS(...) (const gid_t[]){ __VA_ARGS__ }, ARRAY_SIZE(((const gid_t[]){ __VA_ARGS__ }))

/* CVE-2022-2995, CVE-2023-25173: the primary group is in, memberships come from the files, Strict leaves them out. */
static void supplementary_groups(void **state)
{
	static const int64_t more[] = { 500, 6, 500 };
	struct user user;

	user = resolve(*state, &(struct user_request){ .image_user = "web" });
	expect_groups(&user, GROUPS(1001, 6, 26));
	user = resolve(*state, &(struct user_request){ .image_user = "1000:0" });
	expect_groups(&user, GROUPS(0, 1001, 6, 26));
	user = resolve(*state, &(struct user_request){ .image_user = "web", .supplemental = more, .n_supplemental = 3 });
	expect_groups(&user, GROUPS(1001, 6, 26, 500));
	user = resolve(*state, &(struct user_request){
				       .image_user = "web", .supplemental = more, .n_supplemental = 3, .strict_groups = true });
	expect_groups(&user, GROUPS(1001, 500, 6));
	user = resolve(*state, &(struct user_request){ .image_user = "4000" });
	expect_groups(&user, GROUPS(0));
}

static void image_without_files(void **state)
{
	struct root *root = *state;
	struct user user;

	assert_int_equal(unlink(file_of(root, "etc/passwd")), 0);
	assert_int_equal(unlink(file_of(root, "etc/group")), 0);
	user = resolve(root, &(struct user_request){ .image_user = "" });
	assert_int_equal(user.uid, 0);
	assert_string_equal(user.home, "/");
	user = resolve(root, &(struct user_request){ .image_user = "5:6" });
	assert_int_equal(user.gid, 6);
	expect_error(user_resolve(root->fd, &(struct user_request){ .image_user = "web" }, &root->arena, &user, &err), ERR_INVALID,
		     "web");
	expect_error(user_resolve(root->fd, &(struct user_request){ .image_user = "5:www" }, &root->arena, &user, &err),
		     ERR_INVALID, "www");
}

/* CVE-2024-9676: a link leads to a file inside the root, never to the host's. */
static void links_stay_inside(void **state)
{
	struct root *root = *state;
	char host_file[64];
	struct user user;

	(void)snprintf(host_file, sizeof(host_file), "%.40s.host", root->place->path);
	put_file(host_file, "stranger:x:4711:0::/:/bin/sh\n");
	assert_int_equal(unlink(file_of(root, "etc/passwd")), 0);
	assert_int_equal(symlink(host_file, file_of(root, "etc/passwd")), 0);
	expect_error(user_resolve(root->fd, &(struct user_request){ .image_user = "stranger" }, &root->arena, &user, &err),
		     ERR_INVALID, "stranger");
	assert_int_equal(unlink(file_of(root, "etc/passwd")), 0);
	assert_int_equal(symlink("../../../../../../../../../../usr/lib/passwd", file_of(root, "etc/passwd")), 0);
	put_dir(file_of(root, "usr/lib"));
	put_file(file_of(root, "usr/lib/passwd"), "inside:x:42:43::/in:/bin/sh\n");
	user = resolve(root, &(struct user_request){ .image_user = "inside" });
	assert_int_equal(user.uid, 42);
	(void)unlink(host_file);
}

static void links_in_a_circle(void **state)
{
	struct root *root = *state;

	assert_int_equal(unlink(file_of(root, "etc/passwd")), 0);
	assert_int_equal(symlink("passwd", file_of(root, "etc/passwd")), 0);
	assert_int_equal(resolve(root, &(struct user_request){ .image_user = "12" }).uid, 12);
}

/* A fifo would hang the open, a device would do whatever it does, a directory is none of it: all count as empty. */
static void what_is_no_file_is_not_opened(void **state)
{
	struct root *root = *state;
	const char *path = file_of(root, "etc/passwd");

	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0644), 0);
	assert_int_equal(resolve(root, &(struct user_request){ .image_user = "12" }).uid, 12);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(resolve(root, &(struct user_request){ .image_user = "13" }).uid, 13);
	assert_int_equal(rmdir(path), 0);
	if (mknod(path, S_IFCHR | 0644, makedev(1, 5)) == 0) /* /dev/zero: never ends */
		assert_int_equal(resolve(root, &(struct user_request){ .image_user = "14" }).uid, 14);
}

static void fill_file(const char *path, const char *line, size_t total, const char *tail)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	for (size_t n = 0; n < total; n += strlen(line))
		assert_true(fputs(line, file) >= 0);
	assert_true(fputs(tail, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* CVE-2026-47262: what lies behind the first mebibyte is not read, whatever its size. */
static void giant_files_are_read_to_a_limit(void **state)
{
	struct root *root = *state;
	struct user user;

	fill_file(file_of(root, "etc/passwd"), "x:x:5:5::/:/\n", USER_DB_FILE_BYTES - 100, "near:x:33:33::/:/\n");
	assert_int_equal(resolve(root, &(struct user_request){ .image_user = "near" }).uid, 33);
	fill_file(file_of(root, "etc/passwd"), "x:x:5:5::/:/\n", 8 * USER_DB_FILE_BYTES, "far:x:34:34::/:/\n");
	expect_error(user_resolve(root->fd, &(struct user_request){ .image_user = "far" }, &root->arena, &user, &err), ERR_INVALID,
		     "far");
	assert_int_equal(truncate(file_of(root, "etc/passwd"), (off_t)1 << 40), 0); /* sparse: a tebibyte */
	assert_int_equal(resolve(root, &(struct user_request){ .image_user = "35" }).uid, 35);
}

static void long_lines_and_nul_bytes_are_skipped(void **state)
{
	static const char with_nul[] = "web\0:x:0:0::/:/\nok:x:50:50::/:/\n";
	struct root *root = *state;
	const char *path = file_of(root, "etc/passwd");
	struct user user;

	fill_file(path, "y", 3 * USER_DB_LINE_SIZE, ":x:0:0::/:/\nafter:x:36:36::/:/\n");
	assert_int_equal(resolve(root, &(struct user_request){ .image_user = "after" }).uid, 36);
	fill_file(path, "y", 3 * USER_DB_LINE_SIZE, "\nweb:x:0:0::/:/\n");
	assert_int_equal(resolve(root, &(struct user_request){ .image_user = "web" }).uid, 0);
	/* The tail of a long line must not pass for a line of its own, wherever the buffer cuts it. */
	for (size_t len = USER_DB_LINE_SIZE - 40; len < USER_DB_LINE_SIZE + 40; len++) {
		fill_file(path, "y", len, "root2:x:0:0::/:/\n");
		expect_error(user_resolve(root->fd, &(struct user_request){ .image_user = "root2" }, &root->arena, &user, &err),
			     ERR_INVALID, "root2");
	}
	expect_ok(io_replace_file(AT_FDCWD, path, with_nul, sizeof(with_nul) - 1, 0644, &err));
	assert_int_equal(resolve(root, &(struct user_request){ .image_user = "ok" }).uid, 50);
	expect_error(user_resolve(root->fd, &(struct user_request){ .image_user = "web" }, &root->arena, &user, &err), ERR_INVALID,
		     "web");
}

static void groups_have_a_limit(void **state)
{
	struct root *root = *state;
	struct user user;
	FILE *file = fopen(file_of(root, "etc/group"), "we");

	assert_non_null(file);
	for (int i = 0; i < 5000; i++)
		assert_true(fprintf(file, "g:x:%d:web\n", i + 10) > 0);
	assert_int_equal(fclose(file), 0);
	expect_error(user_resolve(root->fd, &(struct user_request){ .image_user = "web" }, &root->arena, &user, &err), ERR_INVALID,
		     "groups");
}

#define with_root(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_root(spellings_of_the_image_user),
		with_root(users_that_are_refused),
		with_root(request_wins_over_the_image),
		with_root(contradictions_are_refused),
		with_root(supplementary_groups),
		with_root(image_without_files),
		with_root(links_stay_inside),
		with_root(links_in_a_circle),
		with_root(what_is_no_file_is_not_opened),
		with_root(giant_files_are_read_to_a_limit),
		with_root(long_lines_and_nul_bytes_are_skipped),
		with_root(groups_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
