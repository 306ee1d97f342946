/* Which decision each system call number gets. */
#include <linux/audit.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "runtime/seccomp_build.h"

#define ORDINARY (SECCOMP_NEWEST_NUMBER + 1)

/* x32 shares the ordinary numbers and goes on here. */
#define X32_OWN 512

#if defined(__x86_64__)
const struct number_range seccomp_ranges[] = {
	{ SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, true, 0, ORDINARY },
	{ SCMP_ARCH_X32, AUDIT_ARCH_X86_64, true, SECCOMP_X32_BIT, SECCOMP_RANGE_MAX },
	{ SCMP_ARCH_X86, AUDIT_ARCH_I386, false, 0, ORDINARY },
};
#elif defined(__aarch64__)
/* The private calls of 32-bit ARM: breakpoint, cacheflush, usr26, usr32, set_tls, get_tls. */
#define ARM_PRIVATE 0x0f0001U
#define ARM_PRIVATE_COUNT 6
const struct number_range seccomp_ranges[] = {
	{ SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64, true, 0, ORDINARY },
	{ SCMP_ARCH_ARM, AUDIT_ARCH_ARM, false, 0, ORDINARY },
	{ SCMP_ARCH_ARM, AUDIT_ARCH_ARM, false, ARM_PRIVATE, ARM_PRIVATE_COUNT },
};
#else
#error "the system calls of this architecture have not been looked at"
#endif
const size_t seccomp_n_ranges = ARRAY_SIZE(seccomp_ranges);

bool seccomp_next_name(const char **rest, char name[SECCOMP_NAME_SIZE])
{
	const char *start = *rest + strspn(*rest, " ");
	size_t len = strcspn(start, " ");

	(void)snprintf(name, SECCOMP_NAME_SIZE, "%.*s", (int)len, start);
	*rest = start + len;
	return len > 0;
}

static uint16_t add_decision(struct seccomp_table *table, struct seccomp_decision decision)
{
	if (table->n == SECCOMP_DECISIONS_MAX) {
		table->overflow = true;
		return 0;
	}
	table->decisions[table->n] = decision;
	return (uint16_t)table->n++;
}

uint16_t seccomp_plain(struct seccomp_table *table, uint32_t action)
{
	for (size_t i = 0; i < table->n; i++) {
		if (table->decisions[i].plain && table->decisions[i].action == action)
			return (uint16_t)i;
	}
	return add_decision(table, (struct seccomp_decision){ .plain = true, .action = action });
}

static uint16_t with_rule(struct seccomp_table *table, uint16_t before, const struct seccomp_rule *rule)
{
	bool decided = table->decisions[before].plain && before != 0;

	if (decided)
		return before;
	if (rule->n_args == 0)
		return seccomp_plain(table, rule->action);
	for (size_t i = 0; i < table->n; i++) {
		if (!table->decisions[i].plain && table->decisions[i].rule == rule && table->decisions[i].before == before)
			return (uint16_t)i;
	}
	return add_decision(table, (struct seccomp_decision){ .rule = rule, .before = before });
}

/* Index of a number in the range; false when it is another range's. */
static bool find_index(const struct number_range *range, uint32_t number, uint32_t *ret_index)
{
	*ret_index = number - range->first;
	return number >= range->first && *ret_index < range->count;
}

/* Calls fn(arg) for each number in the range that one of the names has. */
static void each_index(const struct number_range *range, const char *names, void (*fn)(void *arg, uint32_t index), void *arg)
{
	uint32_t numbers[SECCOMP_NUMBERS_MAX], index;
	char name[SECCOMP_NAME_SIZE];
	const char *rest = names ? names : "";

	while (seccomp_next_name(&rest, name)) {
		size_t n = seccomp_resolve(range->abi, name, numbers);

		for (size_t i = 0; i < n; i++) {
			if (find_index(range, numbers[i], &index))
				fn(arg, index);
		}
	}
}

static void take_newest(void *arg, uint32_t index)
{
	uint32_t *newest = arg;

	if (index + 1 > *newest)
		*newest = index + 1;
}

/* How many numbers of the range the profile has an opinion on. */
static uint32_t known_numbers(const struct number_range *range, const struct seccomp_policy *policy)
{
	uint32_t known = 0;

	for (size_t i = 0; i < policy->n_rules; i++)
		each_index(range, policy->rules[i].names, take_newest, &known);
	each_index(range, policy->other_names, take_newest, &known);
	return known;
}

struct filling {
	struct seccomp_table *table;
	const struct seccomp_rule *rule;
};

static void apply_rule(void *arg, uint32_t index)
{
	struct filling *filling = arg;
	uint16_t *decision = &filling->table->of[index];

	*decision = with_rule(filling->table, *decision, filling->rule);
}

void seccomp_fill_range(struct seccomp_table *table, const struct number_range *range, const struct seccomp_policy *policy)
{
	uint32_t known = known_numbers(range, policy);
	uint16_t beyond;

	if (table->n == 0)
		(void)add_decision(table, (struct seccomp_decision){ .plain = true, .action = policy->default_action });
	beyond = seccomp_plain(table, policy->beyond_action);
	for (uint32_t i = 0; i < range->count; i++) {
		bool gap = range->abi == SCMP_ARCH_X32 && i >= ORDINARY && i < X32_OWN;

		table->of[i] = i >= known || gap ? beyond : 0;
	}
	for (size_t i = 0; i < policy->n_rules; i++) {
		struct filling filling = { table, &policy->rules[i] };

		if (policy->rules[i].action != policy->default_action)
			each_index(range, policy->rules[i].names, apply_rule, &filling);
	}
}
