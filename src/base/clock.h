/* Time. Names carry the unit: _ns nanoseconds, _us microseconds, _ms milliseconds. */
#ifndef MONOPOD_BASE_CLOCK_H
#define MONOPOD_BASE_CLOCK_H

#include <stdint.h>

/* CLOCK_REALTIME since 1970: what the CRI calls created_at, started_at, finished_at. */
int64_t clock_realtime_ns(void);

/* CLOCK_MONOTONIC: for durations and deadlines. */
int64_t clock_monotonic_us(void);

/* "2006-01-02T15:04:05.000000000Z" and its NUL; RFC 3339 with nine fractional digits, always UTC. */
#define CLOCK_TEXT_SIZE 31
void clock_format_rfc3339(char text[CLOCK_TEXT_SIZE], int64_t realtime_ns);

#endif
