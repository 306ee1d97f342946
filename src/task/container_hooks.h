/*
 * Hooks that the Specs of CDI devices bring (runtime-spec config.md, "POSIX-platform Hooks").
 *
 * They find what they expect of an OCI runtime: the container's state on standard input, and in it the path of a bundle, a directory
 * with a config.json that says what is true of the container: root, process, mounts, namespaces, hooks. It lies in the container's state
 * directory:
 *
 *     state_dir/containers/ID/bundle/config.json
 *     state_dir/containers/ID/bundle/rootfs       where createContainer's hooks, and they alone, see the container's root
 *
 * Annotations are not handed on: what a pod's author writes configures nothing. Everything blocks.
 */
#ifndef MONOPOD_TASK_CONTAINER_HOOKS_H
#define MONOPOD_TASK_CONTAINER_HOOKS_H

#include <stddef.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"
#include "runtime/cdi.h"
#include "runtime/spec.h"

struct container;
struct container_spec;

/* How long those that do not say may take, and at most those that do: kubelet waits two minutes for a start. */
#define START_HOOK_MS 60000U
#define START_HOOKS_MAX_MS 110000U

/* The same behind an exit, which the removal waits for. */
#define END_HOOKS_MS 10000U

/* The hooks of one moment in order, in the arena; *ret_n may be 0. ERR_EXHAUSTED. */
int hooks_of_moment(const struct cdi_edits *edits, enum cdi_moment moment, struct arena *arena, struct hook_spec **ret_hooks,
		    size_t *ret_n, struct error *err);

/* The path of the bundle's root; in the arena, NULL when memory is out. */
const char *container_bundle_root(const struct container *container, struct arena *arena);

/* Makes the bundle of what is going to be started. */
int container_write_bundle(const struct container *container, const struct container_spec *spec, const struct cdi_edits *edits,
			   struct error *err);

/* The state as JSON, with pid 0 for a stopped one; in the arena. */
int container_hook_state(const struct container *container, const char *status, pid_t pid, struct arena *arena,
			 const char **ret_state, struct error *err);

/* Runs the poststop hooks that the bundle lists, when there is one. What fails is logged: the container is over anyhow. */
void container_run_poststop(const struct container *container);

#endif
