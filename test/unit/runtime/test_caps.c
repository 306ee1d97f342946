#include "expect.h"

#include <linux/capability.h>
#include <sys/prctl.h>

#include "runtime/caps.h"

#define BIT(cap) (UINT64_C(1) << (cap))

static void names_and_numbers_agree(void **state)
{
	(void)state;
	assert_int_equal(caps_parse("CHOWN"), 0);
	assert_int_equal(caps_parse("CAP_SYS_ADMIN"), CAP_SYS_ADMIN);
	assert_int_equal(caps_parse("cap_net_raw"), CAP_NET_RAW);
	assert_int_equal(caps_parse("Checkpoint_Restore"), 40);
	for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++)
		assert_int_equal(caps_parse(caps_name(cap)), (int)cap);
	assert_string_equal(caps_name(41), "unknown");
}

static void what_is_no_name_is_refused(void **state)
{
	static const char *const bad[] = { "", "CAP_", "SYS", "SYS_ADMIN ", "CAP_CAP_SYS_ADMIN", "0", "ALL", "SYS-ADMIN" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(caps_parse(bad[i]), -1);
}

static void default_set_is_the_common_one(void **state)
{
	(void)state;
	assert_int_equal(__builtin_popcountll(caps_default()), 14);
	assert_false(caps_default() & (BIT(CAP_SYS_ADMIN) | BIT(CAP_NET_ADMIN) | BIT(CAP_SYS_PTRACE) | BIT(CAP_DAC_READ_SEARCH)));
	/* As `docker run busybox grep CapEff /proc/self/status` shows it. */
	assert_int_equal(caps_default(), 0xa80425fb);
}

static uint64_t adjust(uint64_t base, const char *const *add, size_t n_add, const char *const *drop, size_t n_drop)
{
	char *adds[4], *drops[4];
	uint64_t set = 0;

	for (size_t i = 0; i < n_add; i++)
		adds[i] = strdup(add[i]);
	for (size_t i = 0; i < n_drop; i++)
		drops[i] = strdup(drop[i]);
	expect_ok(caps_adjust(base, adds, n_add, drops, n_drop, &set, &err));
	for (size_t i = 0; i < n_add; i++)
		free(adds[i]);
	for (size_t i = 0; i < n_drop; i++)
		free(drops[i]);
	return set;
}

#define LIST(...) (const char *const[]){ __VA_ARGS__ }, ARRAY_SIZE(((const char *const[]){ __VA_ARGS__ }))
#define NONE NULL, 0

static void lists_are_applied(void **state)
{
	uint64_t all = caps_all(), base = caps_default() & all;

	(void)state;
	assert_int_equal(adjust(base, NONE, NONE), base);
	assert_int_equal(adjust(base, LIST("NET_ADMIN"), NONE), (base | BIT(CAP_NET_ADMIN)) & all);
	assert_int_equal(adjust(base, NONE, LIST("CAP_CHOWN", "kill")), base & ~(BIT(CAP_CHOWN) | BIT(CAP_KILL)));
	assert_int_equal(adjust(base, LIST("ALL"), NONE), all);
	assert_int_equal(adjust(base, NONE, LIST("CAP_ALL")), 0);
	assert_int_equal(adjust(base, LIST("KILL"), LIST("all")), BIT(CAP_KILL) & all);
	assert_int_equal(adjust(base, LIST("ALL"), LIST("SYS_ADMIN")), all & ~BIT(CAP_SYS_ADMIN));
	assert_int_equal(adjust(base, LIST("ALL", "KILL"), LIST("ALL")), BIT(CAP_KILL) & all);
	assert_int_equal(adjust(base, LIST("KILL"), LIST("KILL")), base & ~BIT(CAP_KILL));
}

static void unknown_name_is_an_error(void **state)
{
	char bad[] = "CAP_EVERYTHING", *list[] = { bad };
	uint64_t set = 42;

	(void)state;
	expect_error(caps_adjust(0, list, 1, NULL, 0, &set, &err), ERR_INVALID, "CAP_EVERYTHING");
	expect_error(caps_adjust(0, NULL, 0, list, 1, &set, &err), ERR_INVALID, "drop");
	assert_int_equal(set, 42);
}

/* Nobody can grant what the process lacks; CI's machine lacks CAP_SYS_RESOURCE. */
static void only_what_is_held_is_granted(void **state)
{
	uint64_t all = caps_all();

	(void)state;
	assert_int_equal(adjust(~UINT64_C(0), NONE, NONE), all);
	for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++)
		assert_int_equal(!!(all & BIT(cap)), prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_numbers_agree),       cmocka_unit_test(what_is_no_name_is_refused),
		cmocka_unit_test(default_set_is_the_common_one), cmocka_unit_test(lists_are_applied),
		cmocka_unit_test(unknown_name_is_an_error),      cmocka_unit_test(only_what_is_held_is_granted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
