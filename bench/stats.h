/* Samples of durations and their percentiles. */
#ifndef MONOPOD_BENCH_STATS_H
#define MONOPOD_BENCH_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct samples {
	uint32_t *us;
	size_t n;
	size_t capacity;
};

int samples_add(struct samples *samples, int64_t us, struct error *err);
int samples_append(struct samples *to, const struct samples *from, struct error *err);
void samples_release(struct samples *samples);

struct percentiles {
	uint32_t p10, p50, p90, p99, max; /* microseconds */
};

/* Nearest rank; sorts the samples. All zero when there are none. */
struct percentiles samples_percentiles(struct samples *samples);

#endif
