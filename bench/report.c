#include "report.h"

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"

void report_compute(struct report *report)
{
	for (size_t s = 0; s < report->n_series; s++) {
		for (int p = 0; p < PHASE_COUNT; p++)
			report->series[s].found[p] = samples_percentiles(&report->series[s].phases[p]);
	}
	report->floor_found = samples_percentiles(report->floor);
}

static double pods_per_second(const struct series *s)
{
	return s->wall_us > 0 ? s->n_pods * 1e6 / (double)s->wall_us : 0;
}

static void print_row(FILE *out, const char *name, const struct percentiles *p, const char *tail)
{
	(void)fprintf(out, "  %-20s %9.3f %9.3f %9.3f %9.3f %9.3f%s\n", name, p->p10 / 1e3, p->p50 / 1e3, p->p90 / 1e3,
		      p->p99 / 1e3, p->max / 1e3, tail);
}

/* How much slower than the first endpoint, by the median. */
static void ratio_text(char *text, size_t size, const struct report *report, size_t s, int phase)
{
	uint32_t first = report->series[0].found[phase].p50;

	text[0] = '\0';
	if (s > 0 && first > 0)
		(void)snprintf(text, size, "   %.2fx %s", report->series[s].found[phase].p50 / (double)first,
			       report->series[0].endpoint);
}

static void print_series(const struct report *report, size_t s, FILE *out)
{
	const struct series *series = &report->series[s];
	char tail[128];

	(void)fprintf(out, "%s: %s, %s network, %u at a time, %u pods in %u rounds\n", report->title, series->endpoint,
		      report->host_network ? "host" : "pod", report->parallel, series->n_pods, report->rounds);
	(void)fprintf(out, "  %-20s %9s %9s %9s %9s %9s\n", "milliseconds", "p10", "p50", "p90", "p99", "max");
	for (int p = 0; p < PHASE_COUNT; p++) {
		if (series->phases[p].n == 0)
			continue;
		ratio_text(tail, sizeof(tail), report, s, p);
		print_row(out, phase_names[p], &series->found[p], tail);
	}
	(void)fprintf(out, "  %.1f pods/s, %s\n", pods_per_second(series),
		      report->hold ? "starts alone, all held until the last was up" : "teardown included");
}

static void print_floor(const struct report *report, FILE *out)
{
	const struct percentiles *floor = &report->floor_found;

	print_row(out, "the kernel's floor", floor, "");
	for (size_t s = 0; s < report->n_series; s++) {
		const struct percentiles *total = &report->series[s].found[PHASE_TOTAL];

		if (floor->p10 && floor->p50 && floor->p90)
			(void)fprintf(out, "  %-20s %8.2fx %8.2fx %8.2fx\n", "pod to first line is",
				      total->p10 / (double)floor->p10, total->p50 / (double)floor->p50,
				      total->p90 / (double)floor->p90);
	}
}

void report_print(const struct report *report, FILE *out)
{
	for (size_t s = 0; s < report->n_series; s++)
		print_series(report, s, out);
	if (report->floor->n)
		print_floor(report, out);
	(void)fputc('\n', out);
}

static bool add_percentiles(cJSON *object, const struct percentiles *p)
{
	return object && cJSON_AddNumberToObject(object, "p10_us", p->p10) && cJSON_AddNumberToObject(object, "p50_us", p->p50) &&
	       cJSON_AddNumberToObject(object, "p90_us", p->p90) && cJSON_AddNumberToObject(object, "p99_us", p->p99) &&
	       cJSON_AddNumberToObject(object, "max_us", p->max);
}

static bool add_series(cJSON *list, const struct series *s)
{
	cJSON *object = cJSON_CreateObject();
	cJSON *phases;

	if (!object || !cJSON_AddItemToArray(list, object)) {
		cJSON_Delete(object);
		return false;
	}
	if (!cJSON_AddStringToObject(object, "endpoint", s->endpoint) || !cJSON_AddNumberToObject(object, "pods", s->n_pods) ||
	    !cJSON_AddNumberToObject(object, "pods_per_second", pods_per_second(s)))
		return false;
	phases = cJSON_AddObjectToObject(object, "phases");
	for (int p = 0; p < PHASE_COUNT; p++) {
		if (s->phases[p].n && (!phases || !add_percentiles(cJSON_AddObjectToObject(phases, phase_names[p]), &s->found[p])))
			return false;
	}
	return true;
}

static bool fill_report(cJSON *json, const struct report *report)
{
	cJSON *list;

	if (!cJSON_AddStringToObject(json, "title", report->title) ||
	    !cJSON_AddStringToObject(json, "network", report->host_network ? "host" : "pod") ||
	    !cJSON_AddNumberToObject(json, "parallel", report->parallel) ||
	    !cJSON_AddNumberToObject(json, "rounds", report->rounds) || !cJSON_AddBoolToObject(json, "hold", report->hold))
		return false;
	if (report->floor->n && !add_percentiles(cJSON_AddObjectToObject(json, "floor"), &report->floor_found))
		return false;
	list = cJSON_AddArrayToObject(json, "series");
	for (size_t s = 0; list && s < report->n_series; s++) {
		if (!add_series(list, &report->series[s]))
			return false;
	}
	return list;
}

int report_write_json(const struct report *report, const char *path, struct error *err)
{
	cJSON *json = cJSON_CreateObject();
	char *text = json && fill_report(json, report) ? cJSON_Print(json) : NULL;
	int status;

	cJSON_Delete(json);
	if (!text)
		return error_set(err, ERR_EXHAUSTED, "write %s: out of memory", path);
	status = io_replace_file(AT_FDCWD, path, text, strlen(text), 0644, err);
	cJSON_free(text);
	return status;
}
