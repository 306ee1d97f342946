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

/* What the kernel alone needs for the same pod, from bench/floor --json. */
struct floor_result {
	bool known;
	struct percentiles total;
};

struct report {
	const char *title;
	struct series *series;
	size_t n_series;
	struct floor_result floor;
	bool host_network;
	bool hold;
	unsigned parallel;
	unsigned rounds;
};

void report_compute(struct report *report);
void report_print(const struct report *report, FILE *out);
int report_write_json(const struct report *report, const char *path, struct error *err);

/* Reads {"p10_us":...,"p50_us":...,"p90_us":...,"p99_us":...,"max_us":...}. */
int floor_read(const char *path, struct floor_result *ret_floor, struct error *err);

#endif
