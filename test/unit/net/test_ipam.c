/* The address records: order, restarts, others who know the directory, and directories that are none. */
#include "lab.h"

#include "net/ipam.h"

static const struct ipv4_prefix range = { .base = 0x0ad50100, .length = 29 }; /* 10.213.1.0: pods have .2 to .6 */

struct books {
	char dir[64];
	struct ipam *ipam;
};

static int setup(void **state)
{
	struct books *books = calloc(1, sizeof(*books));

	assert_non_null(books);
	lab_make_dir(books->dir);
	assert_ok(ipam_open(books->dir, &range, &books->ipam, &err));
	*state = books;
	return 0;
}

static int teardown(void **state)
{
	struct error err = ERROR_INIT;
	struct books *books = *state;
	int r = io_remove_tree(AT_FDCWD, books->dir, &err);

	ipam_close(books->ipam);
	free(books);
	return r;
}

static void reopen(struct books *books)
{
	ipam_close(books->ipam);
	books->ipam = NULL;
	assert_ok(ipam_open(books->dir, &range, &books->ipam, &err));
}

static uint32_t reserve(struct books *books, char id[ID_SIZE])
{
	uint32_t address = 0, found = 0;

	id_generate(id);
	assert_false(ipam_find(books->ipam, id, &found));
	assert_ok(ipam_reserve(books->ipam, id, &address, &err));
	assert_true(ipam_find(books->ipam, id, &found));
	assert_int_equal(address, found);
	return address & 0xff;
}

static void test_addresses_rest_before_they_are_used_again(void **state)
{
	struct books *books = *state;
	char ids[8][ID_SIZE];

	assert_int_equal(ipam_size(books->ipam), 5);
	assert_int_equal(reserve(books, ids[0]), 2);
	assert_ok(ipam_release(books->ipam, ids[0], &err));
	assert_ok(ipam_release(books->ipam, ids[0], &err));
	assert_int_equal(reserve(books, ids[1]), 3);
	assert_int_equal(reserve(books, ids[2]), 4);
	reopen(books);
	assert_int_equal(ipam_used(books->ipam), 2);
	assert_int_equal(reserve(books, ids[3]), 5);
	assert_int_equal(reserve(books, ids[4]), 6);
	assert_int_equal(reserve(books, ids[5]), 2);
	id_generate(ids[6]);
	assert_fails(ipam_reserve(books->ipam, ids[6], &(uint32_t){ 0 }, &err), ERR_EXHAUSTED);
	assert_ok(ipam_release(books->ipam, ids[2], &err));
	assert_int_equal(reserve(books, ids[7]), 4);
}

/* What CNI's host-local writes and reads: the id, CR LF, the interface; the cursor is an address. */
static void test_format_of_the_records(void **state)
{
	_cleanup_buffer_ struct buffer record = BUFFER_INIT(256), cursor = BUFFER_INIT(256);
	struct books *books = *state;
	char id[ID_SIZE], path[96], expected[ID_SIZE + 8];
	struct stat st;

	assert_int_equal(reserve(books, id), 2);
	(void)snprintf(path, sizeof(path), "%s/10.213.1.2", books->dir);
	(void)snprintf(expected, sizeof(expected), "%s\r\neth0", id);
	assert_ok(io_read_file(AT_FDCWD, path, &record, &err));
	assert_string_equal(record.data, expected);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	(void)snprintf(path, sizeof(path), "%s/last_reserved_ip.0", books->dir);
	assert_ok(io_read_file(AT_FDCWD, path, &cursor, &err));
	assert_string_equal(cursor.data, "10.213.1.2");
}

/* Somebody else takes an address while we run: it is passed over, and not ours to give back. */
static void test_record_of_somebody_else(void **state)
{
	struct books *books = *state;
	char id[ID_SIZE], path[96];

	(void)snprintf(path, sizeof(path), "%s/10.213.1.2", books->dir);
	assert_ok(io_replace_file(AT_FDCWD, path, "theirs", 6, 0600, &err));
	assert_int_equal(reserve(books, id), 3);
	assert_ok(ipam_release(books->ipam, id, &err));
	assert_int_equal(access(path, F_OK), 0);
}

/* A record that vanished under us is as good as released. */
static void test_record_is_gone(void **state)
{
	struct books *books = *state;
	char id[ID_SIZE], path[96];

	assert_int_equal(reserve(books, id), 2);
	(void)snprintf(path, sizeof(path), "%s/10.213.1.2", books->dir);
	assert_int_equal(unlink(path), 0);
	assert_ok(ipam_release(books->ipam, id, &err));
	assert_int_equal(ipam_used(books->ipam), 0);
}

/* Two records with one id: a pod has one address, the other record waits for the sweep. */
static void test_pod_with_two_records(void **state)
{
	struct books *books = *state;
	char id[ID_SIZE], path[96];
	const char *live[] = { id };
	uint32_t address;

	assert_int_equal(reserve(books, id), 2);
	(void)snprintf(path, sizeof(path), "%s/10.213.1.5", books->dir);
	assert_ok(io_replace_file(AT_FDCWD, path, id, ID_LEN, 0600, &err));
	reopen(books);
	assert_int_equal(ipam_used(books->ipam), 2);
	assert_true(ipam_find(books->ipam, id, &address));
	assert_ok(ipam_sweep(books->ipam, live, 1, &err));
	assert_int_equal(ipam_used(books->ipam), 1);
	assert_true(ipam_find(books->ipam, id, &address));
}

static void test_sweep_keeps_the_living(void **state)
{
	struct books *books = *state;
	char ids[5][ID_SIZE];
	const char *live[2] = { ids[1], ids[4] };
	uint32_t address;

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		(void)reserve(books, ids[i]);
	if (strcmp(live[0], live[1]) > 0) {
		live[0] = ids[4];
		live[1] = ids[1];
	}
	assert_ok(ipam_sweep(books->ipam, live, 2, &err));
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		assert_int_equal(ipam_find(books->ipam, ids[i], &address), i == 1 || i == 4);
	reopen(books);
	assert_int_equal(ipam_used(books->ipam), 2);
}

static void test_destroy(void **state)
{
	struct books *books = *state;
	char id[ID_SIZE], path[96];

	(void)reserve(books, id);
	assert_fails(ipam_destroy(books->ipam, &err), ERR_STATE);
	assert_ok(ipam_release(books->ipam, id, &err));
	(void)snprintf(path, sizeof(path), "%s/lock", books->dir);
	assert_ok(io_replace_file(AT_FDCWD, path, "", 0, 0600, &err));
	assert_ok(ipam_destroy(books->ipam, &err));
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(unlink(path), 0);
	assert_ok(ipam_destroy(books->ipam, &err));
	assert_int_equal(access(books->dir, F_OK), -1);
	assert_ok(ipam_destroy(books->ipam, &err));
}

static void test_directories(void **state)
{
	struct books *books = *state;
	struct ipam *ipam = NULL;
	char path[96];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/a/b", books->dir);
	assert_ok(ipam_open(path, &range, &ipam, &err));
	ipam_close(ipam);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	(void)snprintf(path, sizeof(path), "%s/file", books->dir);
	assert_ok(io_replace_file(AT_FDCWD, path, "", 0, 0600, &err));
	assert_int_equal(ipam_open(path, &range, &ipam, &(struct error)ERROR_INIT), -1);
	/* A cursor that is a link to somewhere is not written through. */
	(void)snprintf(path, sizeof(path), "%s/a/b/last_reserved_ip.0", books->dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/tmp/monopod-net-never", path), 0);
	(void)snprintf(path, sizeof(path), "%s/a/b", books->dir);
	assert_int_equal(ipam_open(path, &range, &ipam, &(struct error)ERROR_INIT), -1);
	assert_int_equal(access("/tmp/monopod-net-never", F_OK), -1);
}

#define ipam_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ipam_test(test_addresses_rest_before_they_are_used_again),
		ipam_test(test_format_of_the_records),
		ipam_test(test_record_of_somebody_else),
		ipam_test(test_record_is_gone),
		ipam_test(test_pod_with_two_records),
		ipam_test(test_sweep_keeps_the_living),
		ipam_test(test_destroy),
		ipam_test(test_directories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
