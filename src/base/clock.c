#include "base/clock.h"

#include <stdio.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)

int64_t clock_realtime_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t clock_monotonic_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void clock_format_rfc3339(char text[CLOCK_TEXT_SIZE], int64_t realtime_ns)
{
	int64_t ns = (realtime_ns % NS_PER_S + NS_PER_S) % NS_PER_S; /* the fraction counts upwards before 1970 too */
	time_t seconds = (time_t)(realtime_ns / NS_PER_S - (realtime_ns % NS_PER_S < 0));
	char date[sizeof("2006-01-02T15:04:05")];
	struct tm utc;

	(void)gmtime_r(&seconds, &utc);
	(void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
	(void)snprintf(text, CLOCK_TEXT_SIZE, "%s.%09uZ", date, (unsigned)ns);
}
