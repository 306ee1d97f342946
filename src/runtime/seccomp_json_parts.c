#include "runtime/seccomp_json_parts.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>

#include "base/mem.h"

/* Beyond it cJSON's doubles are not exact. */
#define EXACT_MAX 9007199254740992.0 /* 2^53 */

/* MAX_ERRNO of the kernel: a filter cannot return more. */
#define ERRNO_MAX 4095

struct word {
	const char *name;
	uint32_t value;
};

static const struct word *find_word(const struct word *words, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(words[i].name, name))
			return &words[i];
	}
	return NULL;
}

int json_check_strings(const cJSON *list, struct error *err)
{
	const cJSON *item;

	if (!list || cJSON_IsNull(list))
		return 0;
	if (!cJSON_IsArray(list))
		return error_set(err, ERR_INVALID, "not a list");
	cJSON_ArrayForEach(item, list)
	{
		if (!cJSON_IsString(item))
			return error_set(err, ERR_INVALID, "not a list of strings");
	}
	return 0;
}

static int read_number(const cJSON *object, const char *name, double max, uint64_t *ret_number, struct error *err)
{
	const cJSON *item = json_member(object, name);

	*ret_number = 0;
	if (!item || cJSON_IsNull(item))
		return 0;
	if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > max ||
	    (double)(uint64_t)item->valuedouble != item->valuedouble)
		return error_set(err, ERR_INVALID, "%s: not a whole number from 0 to %.0f", name, max);
	*ret_number = (uint64_t)item->valuedouble;
	return 0;
}

/* ---- conditions ---- */

static const struct word operators[] = {
	{ "SCMP_CMP_NE", SECCOMP_OP_NE },
	{ "SCMP_CMP_LT", SECCOMP_OP_LT },
	{ "SCMP_CMP_LE", SECCOMP_OP_LE },
	{ "SCMP_CMP_EQ", SECCOMP_OP_EQ },
	{ "SCMP_CMP_GE", SECCOMP_OP_GE },
	{ "SCMP_CMP_GT", SECCOMP_OP_GT },
	{ "SCMP_CMP_MASKED_EQ", SECCOMP_OP_MASKED_EQ },
};

int json_seccomp_arg(const cJSON *item, struct seccomp_arg *ret_arg, struct error *err)
{
	const cJSON *op = json_member(item, "op");
	const struct word *word;
	uint64_t index;

	if (!cJSON_IsObject(item))
		return error_set(err, ERR_INVALID, "not an object");
	word = cJSON_IsString(op) ? find_word(operators, ARRAY_SIZE(operators), op->valuestring) : NULL;
	if (!word)
		return error_set(err, ERR_INVALID, "op: unknown operator '%.64s'", cJSON_IsString(op) ? op->valuestring : "");
	if (read_number(item, "index", SECCOMP_ARGS - 1, &index, err) < 0 ||
	    read_number(item, "value", EXACT_MAX, &ret_arg->value, err) < 0 ||
	    read_number(item, "valueTwo", EXACT_MAX, &ret_arg->datum, err) < 0)
		return -1;
	ret_arg->index = (unsigned)index;
	ret_arg->op = (enum seccomp_op)word->value;
	return 0;
}

/* ---- actions ---- */

static const struct word actions[] = {
	{ "SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD },
	{ "SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD },
	{ "SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS },
	{ "SCMP_ACT_TRAP", SECCOMP_RET_TRAP },
	{ "SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO },
	{ "SCMP_ACT_TRACE", SECCOMP_RET_TRACE },
	{ "SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW },
	{ "SCMP_ACT_LOG", SECCOMP_RET_LOG },
};

static int errno_of_name(const char *name)
{
	for (int number = 1; number <= ERRNO_MAX; number++) {
		const char *known = strerrorname_np(number);

		if (known && !strcmp(known, name))
			return number;
	}
	return -1;
}

/* A number in one member, or (containers/common) a name in another. EPERM when both are absent. */
static int read_errno(const cJSON *object, const char *number_name, const char *text_name, uint32_t *ret_errno, struct error *err)
{
	const cJSON *text = json_member(object, text_name);
	bool has_number = cJSON_IsNumber(json_member(object, number_name));
	uint64_t number;
	int named = 0;

	if (read_number(object, number_name, ERRNO_MAX, &number, err) < 0)
		return -1;
	if (text && !cJSON_IsNull(text) && (!cJSON_IsString(text) || text->valuestring[0] != '\0')) {
		named = cJSON_IsString(text) ? errno_of_name(text->valuestring) : -1;
		if (named < 0 || (has_number && (uint64_t)named != number))
			return error_set(err, ERR_INVALID, "%s: not the name of an errno%s", text_name,
					 named < 0 ? "" : ", or another one than the number says");
	}
	*ret_errno = has_number ? (uint32_t)number : named ? (uint32_t)named : EPERM;
	return 0;
}

static int read_action(const cJSON *object, const char *member, const char *number_name, const char *text_name,
		       uint32_t *ret_action, struct error *err)
{
	const cJSON *action = json_member(object, member);
	const char *name = cJSON_IsString(action) ? action->valuestring : "";
	const struct word *word = find_word(actions, ARRAY_SIZE(actions), name);
	uint32_t data;

	if (!strcmp(name, "SCMP_ACT_NOTIFY"))
		return error_set(err, ERR_INVALID, "%s: SCMP_ACT_NOTIFY asks for a listener, and listeners are not supported",
				 member);
	if (!word)
		return error_set(err, ERR_INVALID, "%s: %s%.64s%s", member, *name ? "unknown action '" : "missing", name,
				 *name ? "'" : "");
	if (read_errno(object, number_name, text_name, &data, err) < 0)
		return -1;
	*ret_action = word->value;
	if (word->value == SECCOMP_RET_ERRNO || word->value == SECCOMP_RET_TRACE)
		*ret_action |= data;
	return 0;
}

int json_seccomp_rule_action(const cJSON *entry, uint32_t *ret_action, struct error *err)
{
	return read_action(entry, "action", "errnoRet", "errno", ret_action, err);
}

int json_seccomp_default_action(const cJSON *profile, uint32_t *ret_action, struct error *err)
{
	return read_action(profile, "defaultAction", "defaultErrnoRet", "defaultErrno", ret_action, err);
}

/* ---- architectures ---- */

/* Those of other machines are fine: profiles are written for many. */
static const struct word architectures[] = {
	{ "SCMP_ARCH_X86", SCMP_ARCH_X86 },
	{ "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64 },
	{ "SCMP_ARCH_X32", SCMP_ARCH_X32 },
	{ "SCMP_ARCH_ARM", SCMP_ARCH_ARM },
	{ "SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64 },
	{ "SCMP_ARCH_MIPS", SCMP_ARCH_MIPS },
	{ "SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64 },
	{ "SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32 },
	{ "SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL },
	{ "SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64 },
	{ "SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32 },
	{ "SCMP_ARCH_PPC", SCMP_ARCH_PPC },
	{ "SCMP_ARCH_PPC64", SCMP_ARCH_PPC64 },
	{ "SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE },
	{ "SCMP_ARCH_S390", SCMP_ARCH_S390 },
	{ "SCMP_ARCH_S390X", SCMP_ARCH_S390X },
	{ "SCMP_ARCH_PARISC", SCMP_ARCH_PARISC },
	{ "SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64 },
	{ "SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64 },
	{ "SCMP_ARCH_LOONGARCH64", 0 },
	{ "SCMP_ARCH_M68K", 0 },
	{ "SCMP_ARCH_SH", 0 },
	{ "SCMP_ARCH_SHEB", 0 },
};

static int read_abi(const cJSON *item, uint32_t *ret_abi, struct error *err)
{
	const struct word *word =
		cJSON_IsString(item) ? find_word(architectures, ARRAY_SIZE(architectures), item->valuestring) : NULL;

	if (!word)
		return error_set(err, ERR_INVALID, "unknown architecture '%.64s'", cJSON_IsString(item) ? item->valuestring : "");
	*ret_abi = word->value;
	return 0;
}

/* The subarchitectures that the native entry lists; all entries are checked. */
static int choose_entry(const cJSON *map, const cJSON **ret_list, struct error *err)
{
	const cJSON *entry;
	size_t i = 0;

	if (!cJSON_IsArray(map))
		return error_set(err, ERR_INVALID, "archMap: not a list");
	cJSON_ArrayForEach(entry, map)
	{
		uint32_t abi;

		if (read_abi(json_member(entry, "architecture"), &abi, err) < 0)
			return error_prefix(err, "archMap[%zu].architecture", i);
		if (abi == seccomp_arch_native())
			*ret_list = json_member(entry, "subArchitectures");
		i++;
	}
	return 0;
}

int json_seccomp_abis(const cJSON *profile, struct arena *arena, const uint32_t **ret_abis, size_t *ret_n, struct error *err)
{
	const cJSON *list = json_member(profile, "architectures"), *map = json_member(profile, "archMap"), *item;
	uint32_t *abis;
	size_t n = 0;

	if (cJSON_GetArraySize(list) > 0 && cJSON_GetArraySize(map) > 0)
		return error_set(err, ERR_INVALID, "has both architectures and archMap");
	if (map && !cJSON_IsNull(map) && choose_entry(map, &list, err) < 0)
		return -1;
	if (json_check_strings(list, err) < 0)
		return error_prefix(err, "architectures");
	abis = arena_new_array(arena, uint32_t, 1 + (size_t)cJSON_GetArraySize(list));
	if (!abis)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	abis[n++] = seccomp_arch_native();
	cJSON_ArrayForEach(item, list)
	{
		if (read_abi(item, &abis[n++], err) < 0)
			return error_prefix(err, "architectures[%zu]", n - 2);
	}
	*ret_abis = abis;
	*ret_n = n;
	return 0;
}

/* ---- flags ---- */

static const struct word known_flags[] = {
	{ "SECCOMP_FILTER_FLAG_TSYNC", 0 }, /* a new process has no other threads */
	{ "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
	{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
};

static int read_flags(const cJSON *list, unsigned *ret_flags, struct error *err)
{
	const cJSON *item;

	if (json_check_strings(list, err) < 0)
		return -1;
	*ret_flags = 0;
	cJSON_ArrayForEach(item, list)
	{
		const struct word *word = find_word(known_flags, ARRAY_SIZE(known_flags), item->valuestring);

		if (!strcmp(item->valuestring, "SECCOMP_FILTER_FLAG_NEW_LISTENER") ||
		    !strcmp(item->valuestring, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"))
			return error_set(err, ERR_INVALID, "%s is for listeners, which are not supported", item->valuestring);
		if (!word)
			return error_set(err, ERR_INVALID, "unknown flag '%.64s'", item->valuestring);
		*ret_flags |= word->value;
	}
	return 0;
}

int json_seccomp_flags(const cJSON *profile, unsigned *ret_flags, struct error *err)
{
	const cJSON *list = json_member(profile, "flags"), *listener = json_member(profile, "listenerPath");

	if (cJSON_IsString(listener) && listener->valuestring[0] != '\0')
		return error_set(err, ERR_INVALID, "listenerPath: listeners are not supported");
	/* As the OCI's reference runtime does for a profile that does not say. */
	*ret_flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	if (list && !cJSON_IsNull(list) && read_flags(list, ret_flags, err) < 0)
		return error_prefix(err, "flags");
	return 0;
}
