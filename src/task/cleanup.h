/* Taking kernel objects away, patiently. Everything blocks: for lanes. Everything accepts that the object is gone already. */
#ifndef MONOPOD_TASK_CLEANUP_H
#define MONOPOD_TASK_CLEANUP_H

#include "base/error.h"

struct cgroup_roots;

/* SIGKILLs the process, waits until it has ended and reaps it when it is our child. */
int end_process(int pidfd, struct error *err);

/* Kills what is left in the group, waits for it to die, and removes the group. */
int remove_cgroup(struct cgroup_roots *roots, const char *path, struct error *err);

/* A pod's directory with all that is mounted in it. */
int remove_pod_dir(const char *dir, struct error *err);

#endif
