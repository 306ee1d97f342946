#include "expect.h"

#include "runtime/masks.h"
#include "runtime/rlimits.h"

static void names_both_ways(void **state)
{
	(void)state;
	for (int i = 0; i < (int)RLIM_NLIMITS; i++)
		assert_int_equal(rlimit_parse_name(rlimit_name(i)), i);
	assert_int_equal(rlimit_parse_name("RLIMIT_NOFILE"), RLIMIT_NOFILE);
	assert_int_equal(rlimit_parse_name("rlimit_rtprio"), RLIMIT_RTPRIO);
	assert_int_equal(rlimit_parse_name("files"), -1);
	assert_null(rlimit_name(RLIM_NLIMITS));
	assert_null(rlimit_name(-1));
}

static void lists_are_read(void **state)
{
	struct rlimit_set set;

	(void)state;
	expect_ok(rlimits_parse("", &set, &err));
	assert_int_equal(set.n, 0);
	expect_ok(rlimits_parse("nofile=1024:524288,core=0,memlock=unlimited", &set, &err));
	assert_int_equal(set.n, 3);
	assert_int_equal(set.specs[0].resource, RLIMIT_NOFILE);
	assert_int_equal(set.specs[0].soft, 1024);
	assert_int_equal(set.specs[0].hard, 524288);
	assert_int_equal(set.specs[1].soft | set.specs[1].hard, 0);
	assert_true(set.specs[2].soft == RLIM_INFINITY && set.specs[2].hard == RLIM_INFINITY);
}

static void what_is_wrong_is_said(void **state)
{
	static const struct {
		const char *text, *part;
	} table[] = {
		{ "files=1", "no limit 'files'" },
		{ "nofile", "nofile has no value" },
		{ "nofile=", "neither a number" },
		{ "nofile=1k", "neither a number" },
		{ "nofile=-2", "neither a number" },
		{ "nofile=1:", "neither a number" },
		{ "nofile=99999999999999999999", "neither a number" },
		{ "nofile=2:1", "above the hard" },
		{ "nofile=unlimited:1", "above the hard" },
		{ "core=0,core=1", "core stands there twice" },
		{ ",", "no limit ''" },
		{ "nofile=1111111111111111111111111111111111111111111111111111111111111111111", "too long" },
	};
	struct rlimit_set set;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		expect_error(rlimits_parse(table[i].text, &set, &err), ERR_INVALID, table[i].part);
}

static void nobody_gets_more_than_the_daemon_may(void **state)
{
	struct rlimit_set set = { .n = 0 };
	struct rlimit own;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &own), 0);
	rlimits_add_default(&set, RLIMIT_NOFILE, 10, own.rlim_max);
	rlimits_add_default(&set, RLIMIT_NOFILE, 20, 20);
	assert_int_equal(set.n, 1);
	assert_int_equal(set.specs[0].soft, 10);
	expect_ok(rlimits_check_allowed(&set, &err));
	set.specs[0].hard = own.rlim_max + 1;
	expect_error(rlimits_check_allowed(&set, &err), ERR_DENIED, "nofile: hard limit");
}

/* ---- masks ---- */

static bool has(const char *const *list, const char *path)
{
	for (; *list; list++) {
		if (!strcmp(*list, path))
			return true;
	}
	return false;
}

static void default_masks(void **state)
{
	(void)state;
	assert_true(has(masks_default(), "/proc/kcore"));
	assert_true(has(masks_default(), MASK_POWERCAP));
	assert_true(has(readonly_default(), "/proc/sys"));
	assert_int_equal(access("/sys/devices/system/cpu/cpu0/thermal_throttle", F_OK) == 0,
			 has(masks_default(), "/sys/devices/system/cpu/cpu0/thermal_throttle"));
	assert_ptr_equal(masks_default(), masks_default());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_both_ways),       cmocka_unit_test(lists_are_read),
		cmocka_unit_test(what_is_wrong_is_said), cmocka_unit_test(nobody_gets_more_than_the_daemon_may),
		cmocka_unit_test(default_masks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
