/* The store: what was put is there after a reopening, also when nobody closed it. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/io.h"
#include "proto/store.pb-c.h"
#include "task/store.h"

struct fixture {
	char dir[64], path[96];
};

static int setup(void **state)
{
	static struct fixture fixture;

	(void)snprintf(fixture.dir, sizeof(fixture.dir), "/tmp/task-store-XXXXXX");
	if (!mkdtemp(fixture.dir))
		return -1;
	(void)snprintf(fixture.path, sizeof(fixture.path), "%s/store.db", fixture.dir);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	const struct fixture *fixture = *state;
	struct error err = ERROR_INIT;

	return io_remove_tree(AT_FDCWD, fixture->dir, &err);
}

static void put(struct store *store, char *id, uint32_t mark)
{
	Store__Sandbox record = STORE__SANDBOX__INIT;
	struct error err = ERROR_INIT;

	record.id = id;
	record.state = mark;
	if (store_put(store, STORE_SANDBOX, id, &record.base, &err) < 0)
		fail_msg("%s", err.text);
}

static struct store *open_store(const struct fixture *fixture)
{
	struct store *store = NULL;
	struct error err = ERROR_INIT;

	if (store_open(fixture->path, &store, &err) < 0)
		fail_msg("%s", err.text);
	return store;
}

static int list_one(void *arg, const char *id, const uint8_t *record, size_t len, struct error *err)
{
	Store__Sandbox *sandbox = store__sandbox__unpack(NULL, len, record);
	char *text = arg;

	(void)err;
	assert_non_null(sandbox);
	assert_string_equal(sandbox->id, id);
	(void)snprintf(text + strlen(text), 64, "%s=%u ", id, sandbox->state);
	store__sandbox__free_unpacked(sandbox, NULL);
	return 0;
}

static void expect(struct store *store, const char *wanted)
{
	char text[256] = "";
	struct error err = ERROR_INIT;

	assert_int_equal(store_each(store, STORE_SANDBOX, list_one, text, &err), 0);
	assert_string_equal(text, wanted);
}

static void test_records_stay(void **state)
{
	char a[] = "a", b[] = "b";
	struct store *store = open_store(*state);
	struct error err = ERROR_INIT;

	put(store, b, 1);
	put(store, a, 2);
	put(store, b, 3);
	expect(store, "a=2 b=3 ");
	store_close(store);
	store = open_store(*state);
	expect(store, "a=2 b=3 ");
	assert_int_equal(store_erase(store, STORE_SANDBOX, "a", &err), 0);
	assert_int_equal(store_erase(store, STORE_SANDBOX, "a", &err), 0);   /* again: no error */
	assert_int_equal(store_erase(store, STORE_CONTAINER, "b", &err), 0); /* another kind */
	expect(store, "b=3 ");
	store_close(store);
}

static void test_a_killed_writer_loses_nothing(void **state)
{
	pid_t pid = fork();
	struct store *store;
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		char a[] = "a";

		put(open_store(*state), a, 7);
		(void)kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	store = open_store(*state);
	expect(store, "a=7 ");
	store_close(store);
}

static void test_checkpoint_when_enough_was_written(void **state)
{
	struct store *store = open_store(*state);
	struct error err = ERROR_INIT;
	char id[32];

	for (uint32_t i = 0; !store_wants_checkpoint(store); i++) {
		assert_true(i < 10000);
		(void)snprintf(id, sizeof(id), "id%05u", i % 3);
		put(store, id, i);
	}
	store_begin_checkpoint(store);
	assert_false(store_wants_checkpoint(store));
	assert_int_equal(store_checkpoint(store, &err), 0);
	(void)snprintf(id, sizeof(id), "last");
	put(store, id, 1);
	store_close(store);
	store = open_store(*state);
	assert_int_equal(store_erase(store, STORE_SANDBOX, "id00000", &err), 0);
	assert_int_equal(store_erase(store, STORE_SANDBOX, "id00001", &err), 0);
	assert_int_equal(store_erase(store, STORE_SANDBOX, "id00002", &err), 0);
	expect(store, "last=1 ");
	store_close(store);
}

/* ---- a node that never rests ---- */

struct checkpoints {
	struct store *store;
	atomic_bool is_wanted, is_over;
	unsigned n;
};

static void *make_checkpoints(void *arg)
{
	struct checkpoints *c = arg;
	struct error err = ERROR_INIT;

	while (!c->is_over) {
		if (!c->is_wanted) {
			sched_yield();
			continue;
		}
		if (store_checkpoint(c->store, &err) < 0)
			break;
		c->n++;
		c->is_wanted = false;
	}
	return NULL;
}

static off_t log_size(const struct fixture *fixture)
{
	char path[128];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s-wal", fixture->path);
	return stat(path, &st) < 0 ? 0 : st.st_size;
}

/* As the node does it: one thread writes, more often than 200 pods a second do and never at rest for as long as a checkpoint takes; another
 * one makes a checkpoint whenever enough was written. Without a limit the log grows to 60 MiB. */
static off_t churn(const struct fixture *fixture)
{
	enum { WRITES = 15000, PAUSE_US = 100 };
	struct checkpoints c = { .store = open_store(fixture) };
	int64_t slowest_us = 0, total_us = 0;
	off_t largest = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, make_checkpoints, &c), 0);
	for (uint32_t i = 0; i < WRITES; i++) {
		char id[] = "sandbox-000";
		int64_t began_us = clock_monotonic_us(), took_us;

		(void)snprintf(id, sizeof(id), "sandbox-%03u", i % 400);
		put(c.store, id, i);
		took_us = clock_monotonic_us() - began_us;
		slowest_us = took_us > slowest_us ? took_us : slowest_us;
		total_us += took_us;
		if (store_wants_checkpoint(c.store) && !c.is_wanted) {
			store_begin_checkpoint(c.store);
			c.is_wanted = true;
		}
		(void)usleep(PAUSE_US);
		if (i % 100 == 0)
			largest = log_size(fixture) > largest ? log_size(fixture) : largest;
	}
	c.is_over = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	print_message("%u checkpoints; the log grew to %lld KiB; a write took %lld us on average, %lld at most\n", c.n,
		      (long long)largest / 1024, (long long)total_us / WRITES, (long long)slowest_us);
	store_close(c.store);
	return largest;
}

static void test_the_log_stays_small_under_permanent_churn(void **state)
{
	struct fixture fixture = { .dir = "/var/tmp/task-store-XXXXXX" };
	struct error err = ERROR_INIT;

	(void)state;
	if (!mkdtemp(fixture.dir)) {
		print_message("skipped: no room in /var/tmp\n");
		skip();
	}
	(void)snprintf(fixture.path, sizeof(fixture.path), "%s/store.db", fixture.dir);
	assert_true(churn(&fixture) < 40 << 20);
	assert_int_equal(io_remove_tree(AT_FDCWD, fixture.dir, &err), 0);
}

static void expect_refusal(const struct fixture *fixture, enum error_code code, const char *part)
{
	struct store *store = NULL;
	struct error err = ERROR_INIT;

	assert_int_equal(store_open(fixture->path, &store, &err), -1);
	if (err.code != code || !strstr(err.text, part) || !strstr(err.text, fixture->path))
		fail_msg("%s: %s", error_code_name(err.code), err.text);
}

static void test_a_damaged_file_is_refused(void **state)
{
	static char garbage[8192];
	const struct fixture *fixture = *state;
	struct error err = ERROR_INIT;

	memset(garbage, 'x', sizeof(garbage));
	assert_int_equal(io_replace_file(AT_FDCWD, fixture->path, garbage, sizeof(garbage), 0600, &err), 0);
	expect_refusal(fixture, ERR_DATA_LOSS, "not a database");
}

static void test_a_newer_format_is_refused(void **state)
{
	const struct fixture *fixture = *state;
	sqlite3 *db;

	store_close(open_store(fixture));
	assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	expect_refusal(fixture, ERR_STATE, "newer monopod");
}

static int stop_at_once(void *arg, const char *id, const uint8_t *record, size_t len, struct error *err)
{
	(void)id;
	(void)record;
	(void)len;
	++*(int *)arg;
	return error_set(err, ERR_CANCELLED, "enough");
}

static void test_a_failing_visit_ends_the_walk(void **state)
{
	char a[] = "a", b[] = "b";
	struct store *store = open_store(*state);
	struct error err = ERROR_INIT;
	int visits = 0;

	put(store, a, 1);
	put(store, b, 1);
	assert_int_equal(store_each(store, STORE_SANDBOX, stop_at_once, &visits, &err), -1);
	assert_int_equal(visits, 1);
	assert_int_equal(err.code, ERR_CANCELLED);
	expect(store, "a=1 b=1 "); /* and can be begun again */
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_records_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_killed_writer_loses_nothing, setup, teardown),
		cmocka_unit_test(test_the_log_stays_small_under_permanent_churn),
		cmocka_unit_test_setup_teardown(test_checkpoint_when_enough_was_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_damaged_file_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_newer_format_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_failing_visit_ends_the_walk, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
