/*
 * The plan's format: whatever bytes arrive, plan_block_check() refuses them or every reference in them may be followed, which is what
 * the interpreter, plan_print() and plan_describe() do without looking again.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/plan.h"
#include "runtime/plan_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Adds up everything that the interpreter would read, so that a sanitizer sees each byte. */
static unsigned sum;

static void read_bytes(const void *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		sum += ((const unsigned char *)data)[i];
}

static void read_vector(struct plan_header *plan, uint32_t offset, uint32_t n)
{
	uint64_t *slots = (uint64_t *)(void *)((char *)plan + offset);

	for (uint32_t i = 0; i < n; i++)
		sum += (unsigned)strlen(plan_text(plan, (uint32_t)slots[i]));
	if (slots[n] != 0)
		abort();
}

static void read_op(const struct plan_header *plan, const struct plan_op *op)
{
	unsigned refers = plan_kind_refers(op->kind);

	if (refers & PLAN_HAS_TEXT)
		sum += (unsigned)strlen(plan_text(plan, op->text));
	if ((refers & PLAN_HAS_FD) && (op->fd < 0 || (uint32_t)op->fd >= plan->n_fds))
		abort();
	if (refers & PLAN_LISTS_FILTER)
		read_bytes(plan_list(plan, op), (size_t)op->n_list * 8);
	else if (refers & (PLAN_LISTS_NUMBERS | PLAN_LISTS_TEXTS))
		read_bytes(plan_list(plan, op), (size_t)op->n_list * sizeof(uint32_t));
	if (!(refers & PLAN_LISTS_TEXTS))
		return;
	for (uint32_t i = 0; i < op->n_list; i++) {
		if (plan_list(plan, op)[i] != 0)
			sum += (unsigned)strlen(plan_text(plan, plan_list(plan, op)[i]));
	}
}

static void read_all(struct plan_header *block)
{
	struct plan plan = { .block = block };
	char *text = NULL, line[64];
	size_t length;
	FILE *out = open_memstream(&text, &length);

	for (uint32_t i = 0; i < block->n_ops; i++) {
		read_op(block, plan_ops(block) + i);
		plan_describe(&plan, i, line, sizeof(line));
	}
	read_vector(block, block->argv, block->n_argv);
	read_vector(block, block->envp, block->n_envp);
	memset((char *)block + block->report, 1, sizeof(struct plan_report) + block->n_ops * sizeof(struct plan_time));
	if (out) {
		(void)plan_print(&plan, out);
		(void)fclose(out);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	void *block = malloc(size ? size : 1);

	if (!block)
		return 0;
	if (size > 0)
		memcpy(block, data, size);
	if (plan_block_check(block, size))
		read_all(block);
	free(block);
	return 0;
}
