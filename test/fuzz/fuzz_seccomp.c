/* A seccomp profile: whatever is accepted becomes a program that runs to its end for every architecture. */
#include "fuzz.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/seccomp.h"

static void step(const struct sock_filter *f, const struct seccomp_data *data, uint32_t *a, size_t *pc)
{
	switch (f->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		if (f->k % 4 || f->k >= sizeof(*data))
			abort();
		memcpy(a, (const char *)data + f->k, sizeof(*a));
		break;
	case BPF_ALU | BPF_AND | BPF_K:
		*a &= f->k;
		break;
	case BPF_JMP | BPF_JA:
		*pc += f->k;
		break;
	case BPF_JMP | BPF_JEQ | BPF_K:
		*pc += *a == f->k ? f->jt : f->jf;
		break;
	case BPF_JMP | BPF_JGE | BPF_K:
		*pc += *a >= f->k ? f->jt : f->jf;
		break;
	case BPF_JMP | BPF_JGT | BPF_K:
		*pc += *a > f->k ? f->jt : f->jf;
		break;
	default:
		abort();
	}
}

static void run(const struct seccomp_filter *filter, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < filter->n_insns; pc++) {
		if (filter->insns[pc].code == (BPF_RET | BPF_K))
			return;
		step(&filter->insns[pc], data, &a, &pc);
	}
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = ARENA_INIT;
	const struct seccomp_filter *filter;
	struct error err = ERROR_INIT;

	if (seccomp_compile((const char *)data, size, 1U << 21, &arena, &filter, &err) == 0) {
		for (int nr = 0; nr < 600; nr++) {
			run(filter, &(struct seccomp_data){ .nr = nr, .arch = 0xc000003e, .args = { (unsigned)nr } });
			run(filter, &(struct seccomp_data){ .nr = nr, .arch = 0x40000003, .args = { 7, 7, 7, 7, 7, 7 } });
		}
	} else if (err.code == ERR_NONE) {
		abort();
	}
	arena_release(&arena);
	return 0;
}
