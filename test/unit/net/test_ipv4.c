#include "lab.h"

static void test_addresses(void **state)
{
	static const struct {
		const char *text;
		uint32_t address;
	} good[] = { { "0.0.0.0", 0 }, { "10.88.0.1", 0x0a580001 }, { "255.255.255.255", 0xffffffff } };
	static const char *const bad[] = { "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", " 1.2.3.4", "1.2.3.4 ", "01.2.3.4x", "::1" };
	char text[IPV4_TEXT_SIZE];
	uint32_t address;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_true(ipv4_parse(good[i].text, &address));
		assert_int_equal(address, good[i].address);
		ipv4_format(text, address);
		assert_string_equal(text, good[i].text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(ipv4_parse(bad[i], &address));
}

static void test_prefixes(void **state)
{
	static const char *const bad[] = { "",
					   "/",
					   "10.0.0.0",
					   "10.0.0.0/",
					   "10.0.0.0/7",
					   "10.0.0.0/31",
					   "10.0.0.0/8x",
					   "10.0.0.0/+8",
					   "10.0.0.0/08",
					   "10.0.0.1/24",
					   "127.0.0.0/8",
					   "0.0.0.0/8",
					   "240.0.0.0/8",
					   "10.0.0/16",
					   "10.0.0.0/1000000000000",
					   "1111111111111111111111.0.0.0/8" };
	struct ipv4_prefix p;

	(void)state;
	assert_ok(ipv4_prefix_parse("cidr", "10.88.0.0/16", &p, &err));
	assert_int_equal(p.base, 0x0a580000);
	assert_int_equal(p.length, 16);
	assert_int_equal(ipv4_broadcast(&p), 0x0a58ffff);
	assert_ok(ipv4_prefix_parse("cidr", "192.168.1.4/30", &p, &err));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_fails(ipv4_prefix_parse("cidr", bad[i], &p, &err), ERR_INVALID);
}

static void test_overlaps(void **state)
{
	static const struct ipv4_prefix wide = { 0x0a000000, 8 }, narrow = { 0x0a580000, 16 }, other = { 0x0a590000, 16 };
	static const struct ipv4_prefix all = { 0, 0 };

	(void)state;
	assert_true(ipv4_overlap(&wide, &narrow));
	assert_true(ipv4_overlap(&narrow, &wide));
	assert_true(ipv4_overlap(&narrow, &narrow));
	assert_false(ipv4_overlap(&narrow, &other));
	assert_true(ipv4_overlap(&all, &other));
	assert_true(ipv4_contains(&narrow, 0x0a58ffff));
	assert_false(ipv4_contains(&narrow, 0x0a590000));
}

static void test_macs_differ(void **state)
{
	unsigned char a[MAC_SIZE], b[MAC_SIZE];

	(void)state;
	ipv4_mac(a, 0x0a580002);
	ipv4_mac(b, 0x0a580003);
	assert_memory_not_equal(a, b, sizeof(a));
	assert_int_equal(a[0] & 1, 0); /* not a group address */
	assert_int_equal(a[0] & 2, 2); /* locally administered */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_overlaps),
		cmocka_unit_test(test_macs_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
