/*
 * The timeline of a start, as the verbose status carries it in the JSON under the key "info" of its info map:
 *
 *     {"timeline":{"totalUs":3120,"steps":[{"name":"netns","startUs":12,"tookUs":310}, ...]}, ...}
 *
 * Times count from the beginning of the operation. Steps may overlap and nest.
 */
#ifndef MONOPOD_CLI_TIMELINE_H
#define MONOPOD_CLI_TIMELINE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/error.h"

struct timeline_step {
	const char *name;
	uint64_t start_us;
	uint64_t took_us;
};

struct timeline_view {
	const char *title; /* the caller's: whose timeline it is */
	uint64_t total_us;
	struct timeline_step *steps;
	size_t n_steps;
};

/* A longer timeline than a daemon of ours makes is refused (its own limit is 48). */
#define TIMELINE_MAX_STEPS 1000

/* Steps are sorted by their beginning; they and their names are of the arena. ERR_NOT_FOUND when `info` holds no timeline, ERR_INVALID when it has another shape. */
int timeline_read(struct arena *arena, const char *info, struct timeline_view *ret_view, struct error *err);

/* One line per step: its time, and a bar that shows when. */
void timeline_print(const struct timeline_view *view, struct arena *arena, FILE *out);

#endif
