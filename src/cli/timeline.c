#include "cli/timeline.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "cli/text.h"

/* Columns of the bar chart. */
#define BAR_WIDTH 50

/* Whole microseconds; a day bounds what a start can take. */
#define MAX_US 86400e6

static int read_us(const cJSON *object, const char *name, uint64_t *ret_us, struct error *err)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > MAX_US)
		return error_set(err, ERR_INVALID, "timeline: %s is not a number of microseconds", name);
	*ret_us = (uint64_t)item->valuedouble;
	return 0;
}

static int read_step(struct arena *arena, const cJSON *json, struct timeline_step *step, struct error *err)
{
	const cJSON *name = cJSON_GetObjectItemCaseSensitive(json, "name");

	if (!cJSON_IsString(name))
		return error_set(err, ERR_INVALID, "timeline: a step has no name");
	step->name = text_clean(arena, name->valuestring);
	if (read_us(json, "startUs", &step->start_us, err) < 0)
		return -1;
	return read_us(json, "tookUs", &step->took_us, err);
}

static int read_steps(struct arena *arena, const cJSON *json, struct timeline_view *view, struct error *err)
{
	const cJSON *steps = cJSON_GetObjectItemCaseSensitive(json, "steps");
	int n = cJSON_GetArraySize(steps);
	const cJSON *step;

	if (!cJSON_IsArray(steps) || n > TIMELINE_MAX_STEPS)
		return error_set(err, ERR_INVALID, "timeline: no list of steps, or one of more than %d", TIMELINE_MAX_STEPS);
	view->steps = arena_new_array(arena, struct timeline_step, (size_t)n + 1);
	if (!view->steps)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	cJSON_ArrayForEach(step, steps)
	{
		if (read_step(arena, step, &view->steps[view->n_steps++], err) < 0)
			return -1;
	}
	return read_us(json, "totalUs", &view->total_us, err);
}

/* In the order in which they began; of two that began together the longer one encloses the other. */
static int compare_steps(const void *a, const void *b)
{
	const struct timeline_step *x = a;
	const struct timeline_step *y = b;

	if (x->start_us != y->start_us)
		return x->start_us < y->start_us ? -1 : 1;
	return (x->took_us < y->took_us) - (x->took_us > y->took_us);
}

int timeline_read(struct arena *arena, const char *info, struct timeline_view *ret_view, struct error *err)
{
	struct timeline_view view = { 0 };
	cJSON *parsed = cJSON_Parse(info);
	const cJSON *timeline = cJSON_GetObjectItemCaseSensitive(parsed, "timeline");
	int status = -1;

	if (!parsed)
		(void)error_set(err, ERR_INVALID, "timeline: not JSON");
	else if (!timeline)
		(void)error_set(err, ERR_NOT_FOUND, "no timeline");
	else
		status = read_steps(arena, timeline, &view, err);
	cJSON_Delete(parsed);
	if (status < 0)
		return -1;
	qsort(view.steps, view.n_steps, sizeof(*view.steps), compare_steps);
	*ret_view = view;
	return 0;
}

static uint64_t end_of(const struct timeline_view *view)
{
	uint64_t end = view->total_us ? view->total_us : 1;

	for (size_t i = 0; i < view->n_steps; i++) {
		uint64_t step_end = view->steps[i].start_us + view->steps[i].took_us;

		end = step_end > end ? step_end : end;
	}
	return end;
}

/* Dots up to where the step begins, then at least one '#'. */
static void print_bar(const struct timeline_step *step, uint64_t end, FILE *out)
{
	uint64_t first = step->start_us * BAR_WIDTH / end;
	uint64_t last = (step->start_us + step->took_us) * BAR_WIDTH / end;

	first = first < BAR_WIDTH ? first : BAR_WIDTH - 1;
	last = last > first ? last : first + 1;
	for (uint64_t i = 0; i < BAR_WIDTH; i++)
		(void)fputc(i < first || i >= last ? (i % 10 == 0 ? '.' : ' ') : '#', out);
}

/* "plan.mount" is a part of what stands above it. */
static int indent_of(const struct timeline_step *step)
{
	return strchr(step->name, '.') ? 2 : 0;
}

static int name_width(const struct timeline_view *view)
{
	int width = 10;

	for (size_t i = 0; i < view->n_steps; i++) {
		int name = indent_of(&view->steps[i]) + (int)text_width(view->steps[i].name);

		width = name > width ? name : width;
	}
	return width;
}

void timeline_print(const struct timeline_view *view, struct arena *arena, FILE *out)
{
	uint64_t end = end_of(view);
	int width = name_width(view);

	(void)fprintf(out, "%s: %llu us\n", text_clean(arena, view->title), (unsigned long long)view->total_us);
	for (size_t i = 0; i < view->n_steps; i++) {
		const struct timeline_step *step = &view->steps[i];

		int indent = indent_of(step);

		(void)fprintf(out, "  %*s%s%*s %8llu us  |", indent, "", step->name, width - indent - (int)text_width(step->name),
			      "", (unsigned long long)step->took_us);
		print_bar(step, end, out);
		(void)fputs("|\n", out);
	}
}
