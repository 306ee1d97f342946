#include "expect.h"

#include <dirent.h>
#include <errno.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "runtime/features.h"

#define MANY 64

static struct feature_result results[MANY];
static size_t n_results;

static int probe(void **state)
{
	(void)state;
	n_results = features_probe(results, MANY);
	return 0;
}

static const struct feature_result *find(const char *name)
{
	for (size_t i = 0; i < n_results; i++) {
		if (!strcmp(results[i].name, name))
			return &results[i];
	}
	fail_msg("no feature %s", name);
	return NULL;
}

static void every_row_says_what_and_why(void **state)
{
	(void)state;
	assert_in_range(n_results, 10, MANY);
	for (size_t i = 0; i < n_results; i++) {
		assert_true(*results[i].name && *results[i].needed_for && *results[i].how_to_mend);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(results[i].name, results[j].name);
		print_message("%-20s %-8s %s\n", results[i].name, results[i].present ? "ok" : "missing", results[i].detail);
	}
}

/* What can be told in another way agrees with it. */
static void probes_tell_the_truth(void **state)
{
	struct utsname name;

	(void)state;
	assert_int_equal(uname(&name), 0);
	assert_string_equal(find("kernel")->detail, name.release);
	assert_int_equal(find("root")->present, geteuid() == 0);
	assert_int_equal(find("pressure")->present, access("/proc/pressure/cpu", R_OK) == 0);
	skip_unless(geteuid() == 0, "not root");
	/* The other tests of this folder rest on these. */
	assert_true(find("seccomp")->present);
	assert_true(find("mount calls")->present);
	assert_true(find("pidfd")->present);
}

static void a_short_array_is_not_overrun(void **state)
{
	struct feature_result two[3] = { { .name = "untouched" }, { .name = "untouched" }, { .name = "untouched" } };

	(void)state;
	assert_int_equal(features_probe(two, 2), n_results);
	assert_string_equal(two[1].name, results[1].name);
	assert_string_equal(two[2].name, "untouched");
}

static size_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n;
}

static void probing_leaves_nothing(void **state)
{
	static char before[4096];
	struct feature_result some[MANY];
	size_t fds = count_fds();

	(void)state;
	(void)snprintf(before, sizeof(before), "%s", get_file("/proc/modules"));
	(void)features_probe(some, MANY);
	assert_int_equal(count_fds(), fds);
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	assert_int_equal(errno, ECHILD);
	assert_string_equal(get_file("/proc/modules"), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_says_what_and_why),
		cmocka_unit_test(probes_tell_the_truth),
		cmocka_unit_test(a_short_array_is_not_overrun),
		cmocka_unit_test(probing_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, probe, NULL);
}
