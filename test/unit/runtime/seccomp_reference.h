/*
 * Two things to compare filters with: what the kernel does with one, and what libseccomp's own compiler makes of the same policy. For
 * test_seccomp*.c.
 */
#ifndef MONOPOD_TEST_RUNTIME_SECCOMP_REFERENCE_H
#define MONOPOD_TEST_RUNTIME_SECCOMP_REFERENCE_H

#include "expect.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "runtime/seccomp.h"
#include "runtime/seccomp_build.h"

/* What the kernel does with a filter, for the instructions that filters here have. Fails the test where the kernel would refuse it. */
static uint32_t run_filter(const struct sock_filter *insns, size_t n, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < n; pc++) {
		const struct sock_filter *f = &insns[pc];

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(f->k % 4 == 0 && f->k < sizeof(*data));
			memcpy(&a, (const char *)data + f->k, sizeof(a));
			break;
		case BPF_JMP | BPF_JA:
			pc += f->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += a >= f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			pc += a > f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			pc += a & f->k ? f->jt : f->jf;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= f->k;
			break;
		case BPF_RET | BPF_K:
			return f->k;
		default:
			fail_msg("instruction %zu has code 0x%x", pc, f->code);
		}
	}
	fail_msg("ran over the end");
	return 0;
}

/* The same policy through the library's own compiler, as the reference. */
static struct sock_filter reference[SECCOMP_INSNS_MAX];

static uint32_t library_action(uint32_t action)
{
	switch (action & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ERRNO:
		return SCMP_ACT_ERRNO(action & SECCOMP_RET_DATA);
	case SECCOMP_RET_TRACE:
		return SCMP_ACT_TRACE(action & SECCOMP_RET_DATA);
	case SECCOMP_RET_TRAP:
		return SCMP_ACT_TRAP;
	case SECCOMP_RET_LOG:
		return SCMP_ACT_LOG;
	case SECCOMP_RET_KILL_PROCESS:
		return SCMP_ACT_KILL_PROCESS;
	case SECCOMP_RET_KILL_THREAD:
		return SCMP_ACT_KILL_THREAD;
	default:
		assert_int_equal(action, SECCOMP_RET_ALLOW);
		return SCMP_ACT_ALLOW;
	}
}

static void add_rule(scmp_filter_ctx ctx, uint32_t action, int nr, const struct seccomp_arg *args, size_t n)
{
	static const enum scmp_compare ops[] = {
		[SECCOMP_OP_NE] = SCMP_CMP_NE,
		[SECCOMP_OP_LT] = SCMP_CMP_LT,
		[SECCOMP_OP_LE] = SCMP_CMP_LE,
		[SECCOMP_OP_EQ] = SCMP_CMP_EQ,
		[SECCOMP_OP_GE] = SCMP_CMP_GE,
		[SECCOMP_OP_GT] = SCMP_CMP_GT,
		[SECCOMP_OP_MASKED_EQ] = SCMP_CMP_MASKED_EQ,
	};
	struct scmp_arg_cmp conditions[SECCOMP_ARGS];

	assert_true(n <= SECCOMP_ARGS);
	for (size_t i = 0; i < n; i++)
		conditions[i] = (struct scmp_arg_cmp){ args[i].index, ops[args[i].op], args[i].value, args[i].datum };
	(void)seccomp_rule_add_array(ctx, library_action(action), nr, (unsigned)n, conditions);
}

/* The library takes one condition per argument: what the builtin profile says about domains has to be said one by one. */
static void add_rules(scmp_filter_ctx ctx, const struct seccomp_rule *rule, int nr)
{
	if (rule->n_args <= SECCOMP_ARGS) {
		add_rule(ctx, rule->action, nr, rule->args, rule->n_args);
		return;
	}
	assert_int_equal(rule->args[0].op, SECCOMP_OP_LT);
	for (unsigned domain = 0; domain < rule->args[0].value; domain++) {
		struct seccomp_arg one = { .op = SECCOMP_OP_EQ, .value = domain };
		bool denied = false;

		for (size_t i = 1; i < rule->n_args; i++)
			denied = denied || rule->args[i].value == domain;
		if (!denied)
			add_rule(ctx, rule->action, nr, &one, 1);
	}
}

static size_t export_reference(scmp_filter_ctx ctx)
{
	FILE *file = tmpfile();
	size_t n;

	assert_non_null(file);
	assert_int_equal(seccomp_export_bpf(ctx, fileno(file)), 0);
	rewind(file);
	n = fread(reference, sizeof(reference[0]), SECCOMP_INSNS_MAX, file);
	(void)fclose(file);
	seccomp_release(ctx);
	return n;
}

static size_t build_reference(uint32_t abi, const struct seccomp_policy *policy)
{
	scmp_filter_ctx ctx = seccomp_init(library_action(policy->default_action));
	char name[SECCOMP_NAME_SIZE];

	assert_non_null(ctx);
	if (abi != seccomp_arch_native()) {
		assert_int_equal(seccomp_arch_add(ctx, abi), 0);
		assert_int_equal(seccomp_arch_remove(ctx, SCMP_ARCH_NATIVE), 0);
	}
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct seccomp_rule *rule = &policy->rules[i];
		const char *rest = rule->names;

		while (rule->action != policy->default_action && seccomp_next_name(&rest, name)) {
			int nr = seccomp_syscall_resolve_name(name);

			if (nr != __NR_SCMP_ERROR)
				add_rules(ctx, rule, nr);
		}
	}
	return export_reference(ctx);
}

/* Whether the number is given by our own table, since the library cannot. */
static bool is_extra(uint32_t abi, uint32_t nr)
{
	for (size_t i = 0; i < seccomp_n_numbers; i++) {
		if (seccomp_numbers[i].number == nr && (seccomp_numbers[i].abi == 0 || seccomp_numbers[i].abi == abi))
			return true;
	}
	return false;
}

static const uint64_t arguments[] = { 0,  1,  2,  8,       12,      16,         17,         38,       40,
				      41, 45, 46, 0x20000, 0x20008, 0x40000000, 0x10000000, 0x3d0f00, 0xffffffff };

/* The highest number that the policy names, plus one. */
static uint32_t known_numbers(const struct number_range *range, const struct seccomp_policy *policy)
{
	uint32_t numbers[SECCOMP_NUMBERS_MAX], known = 0;
	char name[SECCOMP_NAME_SIZE];

	for (size_t i = 0; i <= policy->n_rules; i++) {
		const char *rest = i < policy->n_rules ? policy->rules[i].names : policy->other_names;

		while (rest && seccomp_next_name(&rest, name)) {
			size_t n = seccomp_resolve(range->abi, name, numbers);

			for (size_t j = 0; j < n; j++) {
				if (numbers[j] < SECCOMP_RANGE_MAX && numbers[j] >= known)
					known = numbers[j] + 1;
			}
		}
	}
	return known;
}

static void compare_call(const struct seccomp_filter *filter, const struct number_range *range, uint32_t nr, uint64_t a, uint64_t b,
			 size_t n)
{
	struct seccomp_data data = { .nr = (int)nr, .arch = range->audit_arch, .args = { a, b, a, b } };
	uint32_t ours = run_filter(filter->insns, filter->n_insns, &data), theirs = run_filter(reference, n, &data);

	if (ours != theirs)
		fail_msg("arch %#x, call %u (%s), arguments %#llx, %#llx: %#x instead of %#x", range->abi, nr,
			 seccomp_syscall_resolve_num_arch(range->abi, (int)nr), (unsigned long long)a, (unsigned long long)b, ours,
			 theirs);
}

/* Every number of the ABI that both know. */
static void compare_abi(const struct number_range *range, const struct seccomp_policy *policy, const struct seccomp_filter *filter)
{
	size_t n = build_reference(range->abi, policy);
	uint32_t known = known_numbers(range, policy);

	for (uint32_t nr = range->first; nr < range->first + range->count; nr++) {
		if (is_extra(range->abi, nr) || (policy->beyond_action != policy->default_action && nr - range->first >= known))
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(arguments); i++)
			compare_call(filter, range, nr, arguments[i], arguments[(i * 7 + 3) % ARRAY_SIZE(arguments)], n);
	}
}

static bool has_abi(const struct seccomp_policy *policy, uint32_t abi)
{
	for (size_t i = 0; i < policy->n_abis; i++) {
		if (policy->abis[i] == abi)
			return true;
	}
	return false;
}

static void compare_policy(const struct seccomp_policy *policy, const struct seccomp_filter *filter)
{
	for (size_t i = 0; i < seccomp_n_ranges; i++) {
		/* the library's filter for x32 alone is none for x86_64 */
		if (seccomp_ranges[i].abi != SCMP_ARCH_X32 && has_abi(policy, seccomp_ranges[i].abi))
			compare_abi(&seccomp_ranges[i], policy, filter);
	}
}

#endif
