/* Processes that a former daemon started: found again by pid and start time, which together never repeat within one boot. */
#ifndef MONOPOD_RUNTIME_PROCESS_H
#define MONOPOD_RUNTIME_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Field 22 of /proc/PID/stat, in clock ticks since boot; ERR_NOT_FOUND when there is no such process. */
int process_start_time(pid_t pid, uint64_t *ret_ticks, struct error *err);

/* A pidfd for exactly that process; ERR_NOT_FOUND when it has ended (its pid may belong to another now). */
int process_open(pid_t pid, uint64_t start_ticks, struct error *err);

/* ESRCH is success: it has ended. */
int process_signal(int pidfd, int signo, struct error *err);

/* Identifies this boot: /proc/sys/kernel/random/boot_id, 36 characters and a NUL. */
#define BOOT_ID_SIZE 37
int boot_id_read(char id[BOOT_ID_SIZE], struct error *err);

#endif
