#include "runtime/seccomp_json.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <math.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/json.h"
#include "base/mem.h"
#include "runtime/caps.h"
#include "runtime/seccomp.h"
#include "runtime/seccomp_json_parts.h"

struct seccomp_subject seccomp_subject_here(uint64_t caps)
{
	struct seccomp_subject subject = { .caps = caps };
	struct utsname name;

	if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &subject.kernel_major, &subject.kernel_minor) != 2)
		subject.kernel_major = subject.kernel_minor = 0;
	return subject;
}

/* ---- text ---- */

cJSON *seccomp_json_parse(const char *text, size_t len, struct error *err)
{
	cJSON *json = NULL;

	if (len > SECCOMP_PROFILE_MAX) {
		(void)error_set(err, ERR_INVALID, "has %zu bytes, the limit is %zu", len, SECCOMP_PROFILE_MAX);
		return NULL;
	}
	return json_parse_object(text, len, NULL, &json, err) < 0 ? NULL : json;
}

/* ---- conditions of a rule ---- */

struct reading {
	const struct seccomp_subject *subject;
	struct arena *arena;
	uint64_t relevant;
	struct seccomp_rule *rules;
	size_t n_rules;
	char *other_names;
	size_t other_len;
};

/* The names that the kernel's architectures have in Go, which such conditions use. */
#if defined(__x86_64__)
static const char native_name[] = "amd64";
#elif defined(__aarch64__)
static const char native_name[] = "arm64";
#endif

/* How many of the listed capabilities the subject has, and whether that is all of them. */
static int count_caps(struct reading *reading, const cJSON *list, int *ret_held, int *ret_all, struct error *err)
{
	const cJSON *item;

	*ret_held = *ret_all = 0;
	if (json_check_strings(list, err) < 0)
		return error_prefix(err, "caps");
	cJSON_ArrayForEach(item, list)
	{
		int cap = caps_parse(item->valuestring);

		(*ret_all)++;
		if (cap < 0)
			continue;
		reading->relevant |= UINT64_C(1) << cap;
		*ret_held += (int)(reading->subject->caps >> cap & 1);
	}
	return 0;
}

static int has_arch(const cJSON *list, bool *ret_has, struct error *err)
{
	const cJSON *item;

	*ret_has = false;
	if (json_check_strings(list, err) < 0)
		return error_prefix(err, "arches");
	cJSON_ArrayForEach(item, list) *ret_has = *ret_has || !strcmp(item->valuestring, native_name);
	return 0;
}

/* "4.8": true when this kernel is at least that. */
static int kernel_reaches(const struct reading *reading, const cJSON *version, bool *ret_reaches, struct error *err)
{
	unsigned major, minor;
	char rest;

	if (!cJSON_IsString(version) || sscanf(version->valuestring, "%u.%u%c", &major, &minor, &rest) != 2)
		return error_set(err, ERR_INVALID, "minKernel: not a version such as \"4.8\"");
	*ret_reaches = reading->subject->kernel_major > major ||
		       (reading->subject->kernel_major == major && reading->subject->kernel_minor >= minor);
	return 0;
}

struct match {
	int caps_held, caps_all;
	bool asks_arch, is_arch;
	bool asks_kernel, is_kernel;
};

static int match(struct reading *reading, const cJSON *conditions, struct match *ret_match, struct error *err)
{
	const cJSON *caps = json_member(conditions, "caps"), *arches = json_member(conditions, "arches"),
		    *kernel = json_member(conditions, "minKernel");

	*ret_match = (struct match){ .asks_arch = cJSON_GetArraySize(arches) > 0, .asks_kernel = kernel != NULL };
	if (conditions && !cJSON_IsObject(conditions))
		return error_set(err, ERR_INVALID, "not an object");
	if (count_caps(reading, caps, &ret_match->caps_held, &ret_match->caps_all, err) < 0 ||
	    has_arch(arches, &ret_match->is_arch, err) < 0)
		return -1;
	return kernel ? kernel_reaches(reading, kernel, &ret_match->is_kernel, err) : 0;
}

/* Every included thing must be there, no excluded one may be. */
static int applies(struct reading *reading, const cJSON *entry, bool *ret_applies, struct error *err)
{
	struct match in, out;

	if (match(reading, json_member(entry, "includes"), &in, err) < 0)
		return error_prefix(err, "includes");
	if (match(reading, json_member(entry, "excludes"), &out, err) < 0)
		return error_prefix(err, "excludes");
	*ret_applies = in.caps_held == in.caps_all && (!in.asks_arch || in.is_arch) && (!in.asks_kernel || in.is_kernel) &&
		       out.caps_held == 0 && !out.is_arch && !out.is_kernel;
	return 0;
}

/* ---- a rule ---- */

/* With blanks between. What is too long for a system call, or has a blank itself, is none. */
static int join_names(const cJSON *entry, struct arena *arena, char **ret_names, struct error *err)
{
	const cJSON *list = json_member(entry, "names"), *one = json_member(entry, "name"), *item;
	size_t len = 1;
	char *names;

	if ((!list && !one) || (list && one) || (one && !cJSON_IsString(one)))
		return error_set(err, ERR_INVALID, "needs either names or name");
	if (one)
		list = NULL;
	if (json_check_strings(list, err) < 0)
		return error_prefix(err, "names");
	cJSON_ArrayForEach(item, list) len += strlen(item->valuestring) + 1;
	names = arena_alloc(arena, len + (one ? strlen(one->valuestring) + 1 : 0));
	if (!names)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	*ret_names = names;
	item = one ? one : list ? list->child : NULL;
	for (; item; item = one ? NULL : item->next) {
		size_t n = strlen(item->valuestring);

		if (n == 0 || n >= SECCOMP_NAME_SIZE || strpbrk(item->valuestring, " "))
			continue;
		memcpy(names, item->valuestring, n);
		names[n] = ' ';
		names += n + 1;
	}
	return 0;
}

static int read_args(const cJSON *list, struct arena *arena, struct seccomp_arg **ret_args, size_t *ret_n, struct error *err)
{
	size_t n = (size_t)cJSON_GetArraySize(list), i = 0;
	struct seccomp_arg *args = arena_new_array(arena, struct seccomp_arg, n + 1);
	const cJSON *item;

	if (!args)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (list && !cJSON_IsArray(list) && !cJSON_IsNull(list))
		return error_set(err, ERR_INVALID, "args: not a list");
	cJSON_ArrayForEach(item, list)
	{
		if (json_seccomp_arg(item, &args[i], err) < 0)
			return error_prefix(err, "args[%zu]", i);
		i++;
	}
	*ret_args = args;
	*ret_n = n;
	return 0;
}

/* Two conditions on one argument are alternatives, as every engine has it: libseccomp takes one condition per argument and rule. */
static bool are_alternatives(const struct seccomp_arg *args, size_t n)
{
	unsigned seen = 0;

	for (size_t i = 0; i < n; i++) {
		if (seen >> args[i].index & 1)
			return true;
		seen |= 1U << args[i].index;
	}
	return false;
}

static void add_rules(struct reading *reading, const char *names, uint32_t action, const struct seccomp_arg *args, size_t n)
{
	bool alternatives = are_alternatives(args, n);

	for (size_t i = 0; i < (alternatives ? n : 1); i++)
		reading->rules[reading->n_rules++] = (struct seccomp_rule){
			.names = names,
			.action = action,
			.args = args + i,
			.n_args = alternatives ? 1 : n,
		};
}

static void keep_names(struct reading *reading, const char *names)
{
	size_t len = strlen(names);

	memcpy(reading->other_names + reading->other_len, names, len);
	reading->other_len += len;
}

static int read_rule(struct reading *reading, const cJSON *entry, struct error *err)
{
	struct seccomp_arg *args;
	uint32_t action;
	char *names;
	bool chosen;
	size_t n;

	if (!cJSON_IsObject(entry))
		return error_set(err, ERR_INVALID, "not an object");
	if (join_names(entry, reading->arena, &names, err) < 0 || json_seccomp_rule_action(entry, &action, err) < 0 ||
	    read_args(json_member(entry, "args"), reading->arena, &args, &n, err) < 0 || applies(reading, entry, &chosen, err) < 0)
		return -1;
	if (chosen)
		add_rules(reading, names, action, args, n);
	else
		keep_names(reading, names);
	return 0;
}

/* Room for every rule with each of its conditions apart, and for every name. */
static int make_room(struct reading *reading, const cJSON *list, struct error *err)
{
	size_t n_rules = 1, len = 1;
	const cJSON *entry, *name;

	cJSON_ArrayForEach(entry, list)
	{
		n_rules += 1 + (size_t)cJSON_GetArraySize(json_member(entry, "args"));
		cJSON_ArrayForEach(name, json_member(entry, "names")) len += SECCOMP_NAME_SIZE;
		len += SECCOMP_NAME_SIZE;
	}
	reading->rules = arena_new_array(reading->arena, struct seccomp_rule, n_rules);
	reading->other_names = arena_alloc(reading->arena, len);
	return reading->rules && reading->other_names ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

static int read_rules(struct reading *reading, const cJSON *list, struct error *err)
{
	const cJSON *entry;
	size_t i = 0;

	if (list && !cJSON_IsArray(list) && !cJSON_IsNull(list))
		return error_set(err, ERR_INVALID, "syscalls: not a list");
	if (make_room(reading, list, err) < 0)
		return -1;
	cJSON_ArrayForEach(entry, list)
	{
		if (read_rule(reading, entry, err) < 0)
			return error_prefix(err, "syscalls[%zu]", i);
		i++;
	}
	return 0;
}

/* ---- the profile ---- */

static bool lets_pass(uint32_t action)
{
	switch (action & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
	case SECCOMP_RET_TRACE:
		return true;
	default:
		return false;
	}
}

int seccomp_json_policy(const cJSON *profile, const struct seccomp_subject *subject, struct arena *arena,
			struct seccomp_policy *ret_policy, uint64_t *ret_relevant, struct error *err)
{
	struct reading reading = { .subject = subject, .arena = arena };
	struct seccomp_policy policy = { 0 };

	if (json_seccomp_default_action(profile, &policy.default_action, err) < 0 ||
	    json_seccomp_abis(profile, arena, &policy.abis, &policy.n_abis, err) < 0 ||
	    json_seccomp_flags(profile, &policy.flags, err) < 0 || read_rules(&reading, json_member(profile, "syscalls"), err) < 0)
		return -1;
	policy.beyond_action = lets_pass(policy.default_action) ? policy.default_action : SECCOMP_RET_ERRNO | ENOSYS;
	policy.rules = reading.rules;
	policy.n_rules = reading.n_rules;
	policy.other_names = reading.other_names;
	*ret_policy = policy;
	*ret_relevant = reading.relevant;
	return 0;
}
