/* Every multi-step operation of this folder. */
#ifndef MONOPOD_TASK_MACHINES_H
#define MONOPOD_TASK_MACHINES_H

#include "loop/task.h"

extern const struct machine run_pod_machine;
extern const struct machine stop_pod_machine;
extern const struct machine remove_pod_machine;
extern const struct machine create_container_machine;
extern const struct machine start_container_machine;
extern const struct machine stop_container_machine;
extern const struct machine exit_container_machine;
extern const struct machine remove_container_machine;
extern const struct machine exec_sync_machine;
extern const struct machine reopen_log_machine;
extern const struct machine pull_image_machine;
extern const struct machine import_image_machine;
extern const struct machine prune_images_machine;
extern const struct machine check_images_machine;
extern const struct machine remove_image_machine;
extern const struct machine status_machine;
extern const struct machine explain_container_machine;
extern const struct machine update_container_machine;
extern const struct machine update_pod_machine;
extern const struct machine watch_pull_machine;

/* Makes them known to machine_next(). */
void machines_register(void);

#endif
