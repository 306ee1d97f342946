/*
 * Lays a plan out. Operations, lists and texts grow in three buffers; plan_build_finish() puts them into one block behind a header
 * and turns every reference into an offset. References to texts and lists are handed out by the functions below and mean nothing
 * before that.
 *
 * The first failure (memory, a limit) sticks: later calls do nothing, and plan_build_finish() returns it.
 */
#ifndef MONOPOD_RUNTIME_PLAN_BUILD_H
#define MONOPOD_RUNTIME_PLAN_BUILD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "runtime/init/format.h"

/* A plan in the daemon's hands. */
struct plan {
	struct plan_header *block; /* as the interpreter will see it */
	int *fds;                  /* the descriptors of the slots, the caller's */
	unsigned n_fds;
	char name[64]; /* argv[0] of the interpreter, what `ps` shows for a pod's init */
};

struct user_ns_spec;

struct plan_build {
	struct buffer ops, argv, envp, lists, texts, fds;
	uint32_t clone_flags;
	const char *mount_label;            /* SELinux label of file systems that are mounted; NULL: none */
	const struct user_ns_spec *user_ns; /* by which ids in mount options are translated; NULL: the host's */
	bool own_oom_file;                  /* PLAN_OOM_SCORE finds its slot by itself */
	bool failed;
	struct error error;
};

void plan_build_init(struct plan_build *build);
void plan_build_release(struct plan_build *build);
#define _cleanup_plan_build_ __attribute__((cleanup(plan_build_release)))

/* Appends an operation. The result may be filled in until the next call of this function; it is never NULL. */
struct plan_op *plan_add(struct plan_build *build, enum plan_kind kind);

uint32_t plan_add_text(struct plan_build *build, const char *text);
uint32_t plan_add_text_n(struct plan_build *build, const char *text, size_t length);
uint32_t plan_add_list(struct plan_build *build, const void *items, size_t n, size_t item_size);

/* A slot for a descriptor of the caller. */
int plan_add_fd(struct plan_build *build, int fd);

/* The command's vectors, NULL-terminated; NULL is an empty one. Once each. */
void plan_set_argv(struct plan_build *build, const char *const *argv);
void plan_set_envp(struct plan_build *build, const char *const *envp);

int plan_build_finish(struct plan_build *build, struct plan **ret_plan, struct error *err);

/* An index into the table of kinds: "mount". */
const char *plan_kind_name(unsigned kind);

#endif
