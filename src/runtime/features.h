/*
 * What the host offers of what containers need: for `monopod check`, before the first pod finds out.
 *
 * Probing changes nothing: no module is loaded, nothing is mounted, no process stays. Run as root; without rights much looks missing.
 */
#ifndef MONOPOD_RUNTIME_FEATURES_H
#define MONOPOD_RUNTIME_FEATURES_H

#include <stdbool.h>
#include <stddef.h>

struct feature_result {
	const char *name;
	bool present;
	bool required;    /* no pod runs without it */
	char detail[160]; /* what was found, or why not; may be empty */
	const char *needed_for;
	const char *how_to_mend;
};

/* Fills at most `max` rows and returns how many there are. Constant texts; the order is that of the report. */
size_t features_probe(struct feature_result *results, size_t max);

#endif
