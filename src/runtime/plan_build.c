#include "runtime/plan_build.h"

#include <string.h>

#include "base/fault.h"
#include "base/mem.h"

/* Written to when there is no room for a real operation, so that callers need no check. */
static _Thread_local struct plan_op nowhere;

const char *plan_kind_name(unsigned kind)
{
#define KIND_NAME(id, name, refers) name,
	static const char *const names[] = { PLAN_KINDS(KIND_NAME) };
#undef KIND_NAME

	return kind < PLAN_KIND_COUNT ? names[kind] : NULL;
}

void plan_build_init(struct plan_build *build)
{
	memset(build, 0, sizeof(*build));
	buffer_init(&build->ops, PLAN_MAX_OPS * sizeof(struct plan_op));
	buffer_init(&build->argv, PLAN_MAX_BYTES);
	buffer_init(&build->envp, PLAN_MAX_BYTES);
	buffer_init(&build->lists, PLAN_MAX_BYTES);
	buffer_init(&build->texts, PLAN_MAX_BYTES);
	buffer_init(&build->fds, PLAN_MAX_FDS * sizeof(int));
	/* reference 0 means "none" */
	(void)plan_add_text(build, "");
}

void plan_build_release(struct plan_build *build)
{
	buffer_release(&build->ops);
	buffer_release(&build->argv);
	buffer_release(&build->envp);
	buffer_release(&build->lists);
	buffer_release(&build->texts);
	buffer_release(&build->fds);
}

/* Returns where the data begins in the buffer. */
static uint32_t append(struct plan_build *build, struct buffer *b, const void *data, size_t size)
{
	size_t at = b->len;

	if (!build->failed && buffer_append(b, data, size, &build->error) < 0)
		build->failed = true;
	return build->failed ? 0 : (uint32_t)at;
}

struct plan_op *plan_add(struct plan_build *build, enum plan_kind kind)
{
	struct plan_op op = { .kind = (uint16_t)kind, .fd = -1 };
	uint32_t at;

	if (fault_here("plan", plan_kind_name(kind)))
		op.flags = PLAN_FAULT;
	at = append(build, &build->ops, &op, sizeof(op));
	return build->failed ? &nowhere : (struct plan_op *)(void *)(build->ops.data + at);
}

uint32_t plan_add_text(struct plan_build *build, const char *text)
{
	return append(build, &build->texts, text, strlen(text) + 1);
}

uint32_t plan_add_text_n(struct plan_build *build, const char *text, size_t length)
{
	uint32_t at = append(build, &build->texts, text, length);

	(void)append(build, &build->texts, "", 1);
	return at;
}

static void align_lists(struct plan_build *build)
{
	static const char zeroes[8];

	if (build->lists.len % 8 != 0)
		(void)append(build, &build->lists, zeroes, 8 - build->lists.len % 8);
}

uint32_t plan_add_list(struct plan_build *build, const void *items, size_t n, size_t item_size)
{
	uint32_t at;

	if (n > PLAN_MAX_BYTES) {
		build->failed = true;
		(void)error_set(&build->error, ERR_EXHAUSTED, "list of %zu entries is too long", n);
		return 0;
	}
	align_lists(build);
	at = (uint32_t)build->lists.len;
	if (n > 0)
		(void)append(build, &build->lists, items, n * item_size);
	return at;
}

int plan_add_fd(struct plan_build *build, int fd)
{
	return (int)(append(build, &build->fds, &fd, sizeof(fd)) / sizeof(fd));
}

/* 64-bit references, ended by 0. */
static void add_vector(struct plan_build *build, struct buffer *vector, const char *const *texts)
{
	for (; texts && *texts; texts++) {
		uint64_t reference = plan_add_text(build, *texts);

		(void)append(build, vector, &reference, sizeof(reference));
	}
	(void)append(build, vector, &(uint64_t){ 0 }, sizeof(uint64_t));
}

void plan_set_argv(struct plan_build *build, const char *const *argv)
{
	add_vector(build, &build->argv, argv);
}

void plan_set_envp(struct plan_build *build, const char *const *envp)
{
	add_vector(build, &build->envp, envp);
}

static void fix_vector(struct plan_header *plan, uint32_t offset, uint32_t n)
{
	uint64_t *slots = (uint64_t *)(void *)((char *)plan + offset);

	for (uint32_t i = 0; i < n; i++)
		slots[i] += plan->texts;
}

static void fix_list(struct plan_header *plan, const struct plan_op *op)
{
	uint32_t *list = (uint32_t *)(void *)((char *)plan + op->list);

	for (uint32_t i = 0; i < op->n_list; i++) {
		if (list[i] != 0)
			list[i] += plan->texts;
	}
}

static void fix_op(struct plan_header *plan, struct plan_op *op)
{
	unsigned refers = plan_kind_refers(op->kind);

	if (refers & PLAN_HAS_TEXT)
		op->text += plan->texts;
	if (op->kind == PLAN_MOUNT && op->mode)
		op->mode += plan->texts;
	if (op->kind == PLAN_OOM_SCORE)
		op->fd = (int32_t)plan->n_fds - 1;
	if (!(refers & (PLAN_LISTS_TEXTS | PLAN_LISTS_NUMBERS | PLAN_LISTS_FILTER)))
		return;
	op->list += plan->lists;
	if (refers & PLAN_LISTS_TEXTS)
		fix_list(plan, op);
}

static size_t report_size(size_t n_ops)
{
	return sizeof(struct plan_report) + n_ops * sizeof(struct plan_time);
}

/* The areas of the block, in the order of format.h. */
static struct plan_header header_of(const struct plan_build *build)
{
	size_t n_ops = build->ops.len / sizeof(struct plan_op);
	struct plan_header h = {
		.magic = PLAN_MAGIC,
		.ops = sizeof(h),
		.n_ops = (uint32_t)n_ops,
		.n_argv = (uint32_t)(build->argv.len / sizeof(uint64_t)) - 1,
		.n_envp = (uint32_t)(build->envp.len / sizeof(uint64_t)) - 1,
		.n_fds = (uint32_t)(build->fds.len / sizeof(int)) + build->own_oom_file,
		.own_oom_file = build->own_oom_file,
		.clone_flags = build->clone_flags,
	};

	h.report = h.ops + (uint32_t)build->ops.len;
	h.argv = h.report + (uint32_t)report_size(n_ops);
	h.envp = h.argv + (uint32_t)build->argv.len;
	h.lists = h.envp + (uint32_t)build->envp.len;
	h.texts = h.lists + (uint32_t)build->lists.len;
	h.size = h.texts + (uint32_t)build->texts.len;
	return h;
}

/* A buffer may be empty and have no memory. */
static void put(struct plan_header *plan, uint32_t offset, const struct buffer *b)
{
	if (b->len > 0)
		memcpy((char *)plan + offset, b->data, b->len);
}

static struct plan_header *join(const struct plan_build *build)
{
	struct plan_header header = header_of(build);
	struct plan_header *plan = calloc(1, header.size);

	if (!plan)
		return NULL;
	*plan = header;
	put(plan, plan->ops, &build->ops);
	put(plan, plan->argv, &build->argv);
	put(plan, plan->envp, &build->envp);
	put(plan, plan->lists, &build->lists);
	put(plan, plan->texts, &build->texts);
	for (size_t i = 0; i < plan->n_ops; i++)
		fix_op(plan, (struct plan_op *)(void *)((char *)plan + plan->ops) + i);
	fix_vector(plan, plan->argv, plan->n_argv);
	fix_vector(plan, plan->envp, plan->n_envp);
	return plan;
}

int plan_build_finish(struct plan_build *build, struct plan **ret_plan, struct error *err)
{
	struct plan *plan;

	align_lists(build);
	if (build->failed) {
		*err = build->error;
		return -1;
	}
	plan = calloc(1, sizeof(*plan));
	if (!plan)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	plan->block = join(build);
	plan->n_fds = (unsigned)(build->fds.len / sizeof(int));
	plan->fds = (int *)(void *)buffer_steal(&build->fds);
	*ret_plan = plan;
	if (plan->block && plan_block_check(plan->block, plan->block->size))
		return 0;
	*ret_plan = NULL;
	if (plan->block)
		(void)error_set(err, ERR_EXHAUSTED, "plan of %u bytes, limit %u", plan->block->size, PLAN_MAX_BYTES);
	else
		(void)error_set(err, ERR_EXHAUSTED, "out of memory");
	free(plan->block);
	free(plan->fds);
	free(plan);
	return -1;
}
