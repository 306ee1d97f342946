#include "stats.h"

#include <stdlib.h>
#include <string.h>

static int reserve(struct samples *s, size_t n, struct error *err)
{
	size_t capacity = s->capacity ? s->capacity : 64;
	uint32_t *us;

	if (n <= s->capacity)
		return 0;
	while (capacity < n)
		capacity *= 2;
	us = reallocarray(s->us, capacity, sizeof(*us));
	if (!us)
		return error_set(err, ERR_EXHAUSTED, "out of memory for samples");
	s->us = us;
	s->capacity = capacity;
	return 0;
}

int samples_add(struct samples *samples, int64_t us, struct error *err)
{
	if (reserve(samples, samples->n + 1, err) < 0)
		return -1;
	samples->us[samples->n++] = us < 0 ? 0 : us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
	return 0;
}

int samples_append(struct samples *to, const struct samples *from, struct error *err)
{
	if (reserve(to, to->n + from->n, err) < 0)
		return -1;
	if (from->n)
		memcpy(to->us + to->n, from->us, from->n * sizeof(*from->us));
	to->n += from->n;
	return 0;
}

void samples_release(struct samples *samples)
{
	free(samples->us);
	*samples = (struct samples){ 0 };
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint32_t rank(const struct samples *s, unsigned percent)
{
	size_t index = (s->n * percent + 99) / 100;

	return s->us[index ? index - 1 : 0];
}

struct percentiles samples_percentiles(struct samples *samples)
{
	if (samples->n == 0)
		return (struct percentiles){ 0 };
	qsort(samples->us, samples->n, sizeof(*samples->us), compare);
	return (struct percentiles){ .p10 = rank(samples, 10),
				     .p50 = rank(samples, 50),
				     .p90 = rank(samples, 90),
				     .p99 = rank(samples, 99),
				     .max = samples->us[samples->n - 1] };
}
