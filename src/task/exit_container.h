/* What happens when the process of a container has ended. */
#ifndef MONOPOD_TASK_EXIT_CONTAINER_H
#define MONOPOD_TASK_EXIT_CONTAINER_H

#include <stdbool.h>

struct container;

/* The container is EXITING and its exit_status is set; it will be EXITED when the log is complete. */
void exit_container(struct container *container);

/* Publishes the exit from exit_status at once: for recovery, where no log is left to wait for. */
void exit_container_now(struct container *container, bool oom_killed);

#endif
