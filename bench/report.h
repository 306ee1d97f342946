/* What a run found, as a table for people and as JSON for programs. */
#ifndef MONOPOD_BENCH_REPORT_H
#define MONOPOD_BENCH_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"
#include "pod_cycle.h"

struct series {
	const char *endpoint; /* its name */
	struct samples phases[PHASE_COUNT];
	struct percentiles found[PHASE_COUNT]; /* by report_compute() */
	unsigned n_pods;
	int64_t wall_us; /* of all rounds; in hold mode of the starts alone */
};

struct report {
	const char *title;
	struct series *series;
	size_t n_series;
	struct samples *floor; /* what the kernel alone needs for the same pod, from bench/floor; empty: not measured */
	struct percentiles floor_found;
	bool host_network;
	bool hold;
	unsigned parallel;
	unsigned rounds;
};

void report_compute(struct report *report);
void report_print(const struct report *report, FILE *out);
int report_write_json(const struct report *report, const char *path, struct error *err);

#endif
