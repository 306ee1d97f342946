/* The hooks of a start: what is opened for them, and what is done when the process has stopped for them. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "runtime/hook.h"
#include "task/container_hooks.h"
#include "task/node_impl.h"
#include "task/start_container.h"

/* What the last words of hooks inside the plan may fill in an error. */
#define WORDS_SIZE 256

int start_list_hooks(struct start_container *op, struct error *err)
{
	struct start_hooks *hooks = &op->hooks;
	struct hooks_spec *spec = &hooks->spec;
	struct hook_spec *create = NULL, *start = NULL;
	struct arena *arena = &op->scratch;

	if (hooks_of_moment(&op->cdi, CDI_PRESTART, arena, &hooks->prestart, &hooks->n_prestart, err) < 0 ||
	    hooks_of_moment(&op->cdi, CDI_CREATE_RUNTIME, arena, &hooks->create_runtime, &hooks->n_create_runtime, err) < 0 ||
	    hooks_of_moment(&op->cdi, CDI_CREATE_CONTAINER, arena, &create, &spec->n_create_container, err) < 0 ||
	    hooks_of_moment(&op->cdi, CDI_START_CONTAINER, arena, &start, &spec->n_start_container, err) < 0 ||
	    hooks_of_moment(&op->cdi, CDI_POSTSTART, arena, &hooks->poststart, &hooks->n_poststart, err) < 0)
		return -1;
	spec->outside = hooks->n_prestart + hooks->n_create_runtime > 0;
	spec->create_container = create;
	spec->start_container = start;
	spec->rootfs_path = container_bundle_root(op->container, arena);
	hooks->in_plan = spec->outside || spec->n_create_container + spec->n_start_container > 0;
	return spec->rootfs_path ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

/* Who writes more than a pipe holds loses the rest: nobody reads before the end. */
static int open_output(struct start_hooks *hooks, struct error *err)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
		return error_sys(err, errno, "make pipe for hooks");
	hooks->words = pair[0];
	hooks->spec.output = pair[1];
	return 0;
}

int start_open_hooks(struct start_container *op, struct error *err)
{
	struct start_hooks *hooks = &op->hooks;

	if (!hooks->in_plan)
		return 0;
	hooks->spec.state = hook_state_open(err);
	if (hooks->spec.state < 0 || open_output(hooks, err) < 0)
		return -1;
	if (!hooks->spec.outside && hooks->spec.n_create_container == 0)
		return 0;
	hooks->spec.host_tree = hook_host_tree(err);
	return hooks->spec.host_tree < 0 ? -1 : 0;
}

void start_init_hooks(struct start_hooks *hooks)
{
	*hooks = (struct start_hooks){ .words = -1, .spec = { .state = -1, .output = -1, .host_tree = -1 } };
}

void start_close_hooks(struct start_hooks *hooks)
{
	close_fd(&hooks->words);
	close_fd(&hooks->spec.state);
	close_fd(&hooks->spec.output);
	close_fd(&hooks->spec.host_tree);
}

/* ---- while it starts ---- */

/* Those outside run here; those inside get their state. */
static int on_sync(void *data, enum sync_point point, pid_t pid, struct error *err)
{
	struct start_container *op = data;
	const struct start_hooks *hooks = &op->hooks;
	const char *state;
	size_t length;

	if (point != SYNC_WORLD)
		return 0;
	op->hooks.began = true;
	/* the moment is said to be "created" (runtime.md, "Lifecycle") */
	if (container_hook_state(op->container, "created", pid, &op->scratch, &state, err) < 0)
		return -1;
	length = strlen(state);
	if (hook_run_all(hooks->prestart, hooks->n_prestart, state, length, err) < 0 ||
	    hook_run_all(hooks->create_runtime, hooks->n_create_runtime, state, length, err) < 0)
		return -1;
	return hook_state_fill(hooks->spec.state, state, length, err);
}

/* What a hook of the plan has said at last stands behind its failure. */
static int add_words(struct start_container *op, struct error *err)
{
	char words[WORDS_SIZE + 1], *text;
	ssize_t n = 0, got;

	while ((got = read(op->hooks.words, words, WORDS_SIZE)) > 0)
		n = got;
	words[n > 0 ? n : 0] = '\0';
	text = words + strspn(words, " \t\r\n");
	for (char *p = text; *p; p++)
		*p = (unsigned char)*p < ' ' || *p == 0x7f ? ' ' : *p;
	while (*text && text[strlen(text) - 1] == ' ')
		text[strlen(text) - 1] = '\0';
	if (*text) {
		struct error cause = *err;

		(void)error_set(err, cause.code, "%s: %s", cause.text, text);
	}
	return -1;
}

int start_spawn(struct start_container *op, unsigned deadline_ms, struct error *err)
{
	const struct sync_handler handler = { on_sync, op };
	struct spawner *spawner = op->op.node->spawner;

	if (!op->hooks.in_plan)
		return spawner_run(spawner, op->plan, op->stdio.inside, deadline_ms, &op->spawned, err);
	if (spawner_run_synced(spawner, op->plan, op->stdio.inside, START_HOOKS_MAX_MS, &handler, &op->spawned, err) < 0)
		return add_words(op, err);
	return 0;
}

/* One that fails is a warning (runtime.md, "Lifecycle", 9). */
void start_run_poststart(struct start_container *op)
{
	struct start_hooks *hooks = &op->hooks;
	struct error err = ERROR_INIT;
	const char *state;

	if (op->cdi.n_hooks > 0)
		hooks->began = true; /* an end has to be told from now on */
	if (hooks->n_poststart == 0)
		return;
	if (container_hook_state(op->container, "running", op->spawned.pid, &op->scratch, &state, &err) < 0)
		log_warn("task", "container %.12s: poststart: %s", op->container->id, err.text);
	for (size_t i = 0; err.code == 0 && i < hooks->n_poststart; i++) {
		struct error why = ERROR_INIT;

		if (hook_run(&hooks->poststart[i], state, strlen(state), &why) < 0)
			log_warn("task", "container %.12s: poststart: %s", op->container->id, why.text);
	}
}
