#include "cri/grpc_timeout.h"

#include "base/mem.h"

#define MAX_DIGITS 8

static const struct {
	char letter;
	int64_t multiply, divide; /* to microseconds */
} units[] = {
	{ 'H', INT64_C(3600000000), 1 },
	{ 'M', 60000000, 1 },
	{ 'S', 1000000, 1 },
	{ 'm', 1000, 1 },
	{ 'u', 1, 1 },
	{ 'n', 1, 1000 },
};

static int apply_unit(int64_t value, char letter, int64_t *ret_timeout_us)
{
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (units[i].letter != letter)
			continue;
		*ret_timeout_us = (value * units[i].multiply + units[i].divide - 1) / units[i].divide;
		return 0;
	}
	return -1;
}

int grpc_timeout_parse(const char *text, size_t len, int64_t *ret_timeout_us)
{
	int64_t value = 0;

	if (len < 2 || len > MAX_DIGITS + 1)
		return -1;
	for (size_t i = 0; i < len - 1; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = value * 10 + (text[i] - '0');
	}
	return apply_unit(value, text[len - 1], ret_timeout_us);
}
