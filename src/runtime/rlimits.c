#include "runtime/rlimits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

static const char *const names[RLIM_NLIMITS] = {
	[RLIMIT_CPU] = "cpu",           [RLIMIT_FSIZE] = "fsize", [RLIMIT_DATA] = "data",     [RLIMIT_STACK] = "stack",
	[RLIMIT_CORE] = "core",         [RLIMIT_RSS] = "rss",     [RLIMIT_NPROC] = "nproc",   [RLIMIT_NOFILE] = "nofile",
	[RLIMIT_MEMLOCK] = "memlock",   [RLIMIT_AS] = "as",       [RLIMIT_LOCKS] = "locks",   [RLIMIT_SIGPENDING] = "sigpending",
	[RLIMIT_MSGQUEUE] = "msgqueue", [RLIMIT_NICE] = "nice",   [RLIMIT_RTPRIO] = "rtprio", [RLIMIT_RTTIME] = "rttime",
};

/* The longest entry: "sigpending=" and two 64-bit numbers. */
#define ENTRY_SIZE 64

const char *rlimit_name(int resource)
{
	return resource >= 0 && resource < (int)RLIM_NLIMITS ? names[resource] : NULL;
}

int rlimit_parse_name(const char *name)
{
	if (!strncasecmp(name, "RLIMIT_", 7))
		name += 7;
	for (int i = 0; i < (int)ARRAY_SIZE(names); i++) {
		if (names[i] && !strcasecmp(names[i], name))
			return i;
	}
	return -1;
}

static int parse_value(const char *text, uint64_t *ret_value)
{
	char *end;

	if (!strcmp(text, "unlimited") || !strcmp(text, "-1")) {
		*ret_value = RLIM_INFINITY;
		return 0;
	}
	if (!*text || text[strspn(text, "0123456789")] != '\0')
		return -1;
	errno = 0;
	*ret_value = strtoull(text, &end, 10);
	return errno ? -1 : 0;
}

static bool has(const struct rlimit_set *set, int resource)
{
	for (size_t i = 0; i < set->n; i++) {
		if (set->specs[i].resource == resource)
			return true;
	}
	return false;
}

static int parse_entry(char *entry, struct rlimit_set *set, struct error *err)
{
	char *value = entry, *hard, *name = strsep(&value, "=");
	struct rlimit_spec limit = { .resource = rlimit_parse_name(name) };

	if (limit.resource < 0)
		return error_set(err, ERR_INVALID, "there is no limit '%s'", name);
	if (has(set, limit.resource))
		return error_set(err, ERR_INVALID, "%s stands there twice", name);
	if (!value)
		return error_set(err, ERR_INVALID, "%s has no value: write %s=SOFT[:HARD]", name, name);
	hard = value;
	(void)strsep(&hard, ":");
	if (parse_value(value, &limit.soft) < 0 || parse_value(hard ? hard : value, &limit.hard) < 0)
		return error_set(err, ERR_INVALID, "%s: neither a number nor 'unlimited'", name);
	if (limit.soft > limit.hard)
		return error_set(err, ERR_INVALID, "%s: the soft limit is above the hard one", name);
	set->specs[set->n++] = limit;
	return 0;
}

int rlimits_parse(const char *text, struct rlimit_set *ret_set, struct error *err)
{
	struct rlimit_set set = { .n = 0 };

	while (*text) {
		char entry[ENTRY_SIZE];
		size_t len = strcspn(text, ",");

		if (len >= sizeof(entry))
			return error_set(err, ERR_INVALID, "'%.32s...' is too long", text);
		memcpy(entry, text, len);
		entry[len] = '\0';
		if (parse_entry(entry, &set, err) < 0)
			return -1;
		text += len + (text[len] == ',');
	}
	*ret_set = set;
	return 0;
}

int rlimits_check_allowed(const struct rlimit_set *set, struct error *err)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct rlimit_spec *limit = &set->specs[i];
		struct rlimit own;

		if (getrlimit((__rlimit_resource_t)limit->resource, &own) < 0)
			return error_sys(err, errno, "get limit %s", names[limit->resource]);
		if (limit->hard > own.rlim_max)
			return error_set(err, ERR_DENIED,
					 "%s: hard limit %" PRIu64 " is above the daemon's own, %" PRIu64
					 ", and it has no CAP_SYS_RESOURCE to raise it",
					 names[limit->resource], limit->hard, (uint64_t)own.rlim_max);
	}
	return 0;
}

void rlimits_add_default(struct rlimit_set *set, int resource, uint64_t soft, uint64_t hard)
{
	if (!has(set, resource))
		set->specs[set->n++] = (struct rlimit_spec){ .resource = resource, .soft = soft, .hard = hard };
}
