#include "runtime/seccomp_code.h"

#include <endian.h>
#include <linux/seccomp.h>

_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "the low half of an argument stands first");

/* A conditional jump reaches 255 instructions. */
#define REACH 255

static size_t emit(struct seccomp_code *code, unsigned op, uint32_t k, size_t jt, size_t jf)
{
	if (code->n == SECCOMP_INSNS_MAX || jt > REACH || jf > REACH) {
		code->overflow = true;
		return 0;
	}
	code->insns[code->n] = (struct sock_filter){ (unsigned short)op, (unsigned char)jt, (unsigned char)jf, k };
	return code->n++;
}

size_t code_load(struct seccomp_code *code, size_t offset)
{
	return emit(code, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

size_t code_return(struct seccomp_code *code, uint32_t action)
{
	return emit(code, BPF_RET | BPF_K, action, 0, 0);
}

static size_t emit_jump(struct seccomp_code *code, size_t place)
{
	return emit(code, BPF_JMP | BPF_JA, (uint32_t)code_distance(code, place), 0, 0);
}

void code_fall_to(struct seccomp_code *code, size_t place)
{
	if (code_distance(code, place) > 0)
		(void)emit_jump(code, place);
}

/* When `place` is out of reach, a jump to it that is in reach. */
static size_t bring_near(struct seccomp_code *code, size_t place)
{
	/* One less: the other branch may need such a jump too, between this one and the comparison. */
	return code_distance(code, place) < REACH ? place : emit_jump(code, place);
}

size_t code_compare(struct seccomp_code *code, unsigned op, uint32_t k, size_t if_true, size_t if_false)
{
	if_true = bring_near(code, if_true);
	if_false = bring_near(code, if_false);
	return emit(code, BPF_JMP | op | BPF_K, k, code_distance(code, if_true), code_distance(code, if_false));
}

/* One half of an argument, masked if need be; the comparison stands behind it already. */
static size_t load_half(struct seccomp_code *code, const struct seccomp_arg *arg, unsigned half)
{
	size_t offset = offsetof(struct seccomp_data, args) + arg->index * sizeof(uint64_t) + half * sizeof(uint32_t);

	if (arg->op == SECCOMP_OP_MASKED_EQ)
		(void)emit(code, BPF_ALU | BPF_AND | BPF_K, (uint32_t)(arg->value >> (32 * half)), 0, 0);
	return code_load(code, offset);
}

static size_t test_equal(struct seccomp_code *code, const struct seccomp_arg *arg, uint64_t value, bool wide, size_t if_true,
			 size_t if_false)
{
	size_t low;

	(void)code_compare(code, BPF_JEQ, (uint32_t)value, if_true, if_false);
	low = load_half(code, arg, 0);
	if (!wide)
		return low;
	(void)code_compare(code, BPF_JEQ, (uint32_t)(value >> 32), low, if_false);
	return load_half(code, arg, 1);
}

/* `op` is BPF_JGT or BPF_JGE: the high half decides unless it is equal. */
static size_t test_greater(struct seccomp_code *code, const struct seccomp_arg *arg, unsigned op, bool wide, size_t if_true,
			   size_t if_false)
{
	size_t low, equal;

	(void)code_compare(code, op, (uint32_t)arg->value, if_true, if_false);
	low = load_half(code, arg, 0);
	if (!wide)
		return low;
	equal = code_compare(code, BPF_JEQ, (uint32_t)(arg->value >> 32), low, if_false);
	(void)code_compare(code, BPF_JGT, (uint32_t)(arg->value >> 32), if_true, equal);
	return load_half(code, arg, 1);
}

size_t code_test(struct seccomp_code *code, const struct seccomp_arg *arg, bool wide, size_t if_true, size_t if_false)
{
	wide = wide && !arg->is_int;
	switch (arg->op) {
	case SECCOMP_OP_NE:
		return test_equal(code, arg, arg->value, wide, if_false, if_true);
	case SECCOMP_OP_LT:
		return test_greater(code, arg, BPF_JGE, wide, if_false, if_true);
	case SECCOMP_OP_LE:
		return test_greater(code, arg, BPF_JGT, wide, if_false, if_true);
	case SECCOMP_OP_GE:
		return test_greater(code, arg, BPF_JGE, wide, if_true, if_false);
	case SECCOMP_OP_GT:
		return test_greater(code, arg, BPF_JGT, wide, if_true, if_false);
	case SECCOMP_OP_MASKED_EQ:
		return test_equal(code, arg, arg->datum, wide, if_true, if_false);
	case SECCOMP_OP_EQ:
	default:
		return test_equal(code, arg, arg->value, wide, if_true, if_false);
	}
}

void code_finish(struct seccomp_code *code)
{
	for (size_t i = 0; i < code->n / 2; i++) {
		struct sock_filter swap = code->insns[i];

		code->insns[i] = code->insns[code->n - 1 - i];
		code->insns[code->n - 1 - i] = swap;
	}
}
