/*
 * Hooks on the outside, and what those inside a plan need from there (struct hooks_spec of spec.h). Everything blocks.
 */
#ifndef MONOPOD_RUNTIME_HOOK_H
#define MONOPOD_RUNTIME_HOOK_H

#include <stddef.h>

#include "base/error.h"
#include "runtime/spec.h"

/*
 * Runs one program where the caller is, `state` on its standard input, and waits for its end, at most its timeout: then it is killed
 * with its process group. What it writes is read, and its end stands in the error when it fails: "run hook /x: exit code 3: no such GPU".
 */
int hook_run(const struct hook_spec *hook, const char *state, size_t length, struct error *err);

/* The first that fails ends it. */
int hook_run_all(const struct hook_spec *hooks, size_t n, const char *state, size_t length, struct error *err);

/* The file that the hooks of a plan read: made empty, filled once and sealed. A descriptor. */
int hook_state_open(struct error *err);
int hook_state_fill(int fd, const char *state, size_t length, struct error *err);

/* A detached copy of every mount that the calling thread sees, for createContainer's hooks. A descriptor. */
int hook_host_tree(struct error *err);

#endif
