/* What stands in headers and trailers: grpc-timeout, the request's head, status codes, grpc-message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "cri/budget.h"
#include "cri/grpc_timeout.h"
#include "cri/request_head.h"
#include "cri/status.h"

#include <cmocka.h>

static void test_timeouts(void **state)
{
	static const struct {
		const char *text;
		int64_t us; /* -1: malformed */
	} cases[] = {
		{ "1H", INT64_C(3600000000) },
		{ "2M", 120000000 },
		{ "3S", 3000000 },
		{ "4m", 4000 },
		{ "5u", 5 },
		{ "1000n", 1 },
		{ "1001n", 2 },
		{ "1n", 1 },
		{ "0n", 0 },
		{ "0S", 0 },
		{ "00000001S", 1000000 },
		{ "99999999H", INT64_C(359999996400000000) },
		{ "", -1 },
		{ "S", -1 },
		{ "1", -1 },
		{ "1s", -1 },
		{ "1h", -1 },
		{ "100000000S", -1 },
		{ "-1S", -1 },
		{ "+1S", -1 },
		{ " 1S", -1 },
		{ "1 S", -1 },
		{ "1.5S", -1 },
		{ "1SS", -1 },
		{ "0x1S", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t us = -1;
		int result = grpc_timeout_parse(cases[i].text, strlen(cases[i].text), &us);

		print_message("%s\n", cases[i].text);
		assert_int_equal(result, cases[i].us < 0 ? -1 : 0);
		assert_true(us == cases[i].us);
	}
}

static void test_statuses(void **state)
{
	static const struct {
		enum error_code code;
		int status;
	} cases[] = {
		{ ERR_NONE, 0 },       { ERR_CANCELLED, 1 },        { ERR_INVALID, 3 },   { ERR_DEADLINE, 4 },
		{ ERR_NOT_FOUND, 5 },  { ERR_EXISTS, 6 },           { ERR_DENIED, 7 },    { ERR_EXHAUSTED, 8 },
		{ ERR_STATE, 9 },      { ERR_UNIMPLEMENTED, 12 },   { ERR_INTERNAL, 13 }, { ERR_UNAVAILABLE, 14 },
		{ ERR_DATA_LOSS, 15 }, { ERR_UNAUTHENTICATED, 16 },
	};

	(void)state;
	assert_int_equal(ARRAY_SIZE(cases), ERR_CODE_COUNT);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(grpc_status_of(cases[i].code), cases[i].status);
	assert_int_equal(grpc_status_of((enum error_code)1000), 13);
}

static void test_message_encoding(void **state)
{
	char out[64], tight[6], whole[GRPC_MESSAGE_SIZE], text[ERROR_TEXT_SIZE];

	(void)state;
	assert_int_equal(grpc_message_encode(out, sizeof(out), "plain text, 100% ~\n\x7f\xc3\xa9"), 32);
	assert_string_equal(out, "plain text, 100%25 ~%0A%7F%C3%A9");
	assert_int_equal(grpc_message_encode(out, sizeof(out), ""), 0);
	/* Cut between escapes, never inside one. */
	assert_int_equal(grpc_message_encode(tight, sizeof(tight), "ab\n\n"), 5);
	assert_string_equal(tight, "ab%0A");
	assert_int_equal(grpc_message_encode(tight, sizeof(tight), "abc\n"), 3);
	memset(text, '\n', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(grpc_message_encode(whole, sizeof(whole), text), 3 * (sizeof(text) - 1));
}

static void add(struct request_head *head, const char *name, const char *value)
{
	request_head_add(head, name, strlen(name), value, strlen(value));
}

static struct request_head good_head(void)
{
	struct request_head head;

	request_head_init(&head);
	add(&head, ":method", "POST");
	add(&head, ":path", "/runtime.v1.RuntimeService/Version");
	add(&head, "content-type", "application/grpc");
	return head;
}

static void test_head(void **state)
{
	struct request_head head = good_head();
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(request_head_http_status(&head), 200);
	assert_int_equal(request_head_check(&head, &err), 0);
	assert_string_equal(head.path, "/runtime.v1.RuntimeService/Version");
	assert_true(head.timeout_us == -1);
	add(&head, "grpc-timeout", "250m");
	assert_true(head.timeout_us == 250000);
	add(&head, "grpc-encoding", "identity");
	assert_int_equal(request_head_check(&head, &err), 0);
	add(&head, "grpc-encoding", "gzip");
	assert_int_equal(request_head_check(&head, &err), -1);
	assert_int_equal(err.code, ERR_UNIMPLEMENTED);
}

static void test_head_refused(void **state)
{
	struct request_head head = good_head();
	struct error err = ERROR_INIT;
	char path[REQUEST_PATH_SIZE + 1];

	(void)state;
	add(&head, "grpc-timeout", "1");
	assert_int_equal(request_head_check(&head, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);

	head = good_head();
	add(&head, "content-type", "text/html");
	assert_int_equal(request_head_http_status(&head), 415);
	add(&head, ":method", "PUT");
	assert_int_equal(request_head_http_status(&head), 405);
	for (int i = 0; i < 500; i++)
		add(&head, "x", "y");
	assert_int_equal(request_head_http_status(&head), 431);

	request_head_init(&head);
	memset(path, '/', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	add(&head, ":path", path);
	assert_string_equal(head.path, ""); /* matches no method */
	add(&head, ":path", path + 1);
	assert_int_equal(strlen(head.path), REQUEST_PATH_SIZE - 1);
}

static void test_byte_budget(void **state)
{
	struct byte_budget all = { .max = 100 };
	struct byte_budget one = { .max = 60, .parent = &all }, other = { .max = 60, .parent = &all };

	(void)state;
	assert_true(byte_budget_take(&one, 60));
	assert_false(byte_budget_take(&one, 1));
	assert_false(byte_budget_take(&other, 41));
	assert_int_equal(other.used, 0);
	assert_true(byte_budget_take(&other, 40));
	byte_budget_give(&one, 60);
	assert_int_equal(all.used, 40);
	assert_true(byte_budget_take(&other, 20));
	assert_false(byte_budget_take(&other, SIZE_MAX));
	assert_true(byte_budget_take(NULL, SIZE_MAX));
}

static void test_rate_budget(void **state)
{
	struct rate_budget budget;

	(void)state;
	rate_budget_init(&budget, 10, 100, 0);
	for (int i = 0; i < 10; i++)
		assert_true(rate_budget_take(&budget, 1, 0));
	assert_false(rate_budget_take(&budget, 1, 9999));
	assert_true(rate_budget_take(&budget, 1, 10000)); /* one per 10 ms */
	assert_false(rate_budget_take(&budget, 1, 10000));
	rate_budget_give(&budget, 3);
	assert_true(rate_budget_take(&budget, 3, 10000));
	assert_true(rate_budget_take(&budget, 10, 3600000000)); /* never more than the burst */
	assert_false(rate_budget_take(&budget, 1, 3600000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timeouts),    cmocka_unit_test(test_statuses),     cmocka_unit_test(test_message_encoding),
		cmocka_unit_test(test_head),        cmocka_unit_test(test_head_refused), cmocka_unit_test(test_byte_budget),
		cmocka_unit_test(test_rate_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
