/* What happens when the process of a container has ended. */
#ifndef MONOPOD_TASK_EXIT_CONTAINER_H
#define MONOPOD_TASK_EXIT_CONTAINER_H

#include <stdbool.h>

struct cgroup;
struct container;

/* The container is EXITING and its exit_status is set; it will be EXITED when the log is complete. */
void exit_container(struct container *container);

/*
 * Whether the OOM killer ended the container: its process died of SIGKILL, or exited with the code by which a shell passes that on, the
 * signal was not ours, and the cgroup counts a kill that was not of a process executed inside. A child that was killed while the
 * process went on is not that: the counter never falls, but the process ends in another way (kubernetes issues 104454, 140716). An
 * exit that nobody saw is one when the whole group was killed in one go. Reads files of the cgroup: for lanes.
 */
bool exit_was_oom(const struct container *container, const struct cgroup *cgroup);

#endif
