/* Runs bench/floor, which measures what the kernel alone needs for the same pod, and takes its samples in. */
#ifndef MONOPOD_BENCH_FLOOR_RUN_H
#define MONOPOD_BENCH_FLOOR_RUN_H

#include <stdbool.h>

#include "base/error.h"
#include "stats.h"

struct floor_plan {
	const char *program;
	const char *dir; /* where it makes its file systems: the one that the runtime uses */
	unsigned pods;
	unsigned parallel;
	bool host_network;
};

int floor_run(const struct floor_plan *plan, struct samples *samples, struct error *err);

#endif
