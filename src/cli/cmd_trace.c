#include <string.h>

#include "base/mem.h"
#include "cli/command.h"
#include "cli/find.h"
#include "cli/json.h"
#include "cli/pod_ops.h"
#include "cli/timeline.h"

struct trace_options {
	bool chrome;
};

static const struct option_row trace_rows[] = {
	{ 0, "chrome", NULL, OPTION_FLAG, offsetof(struct trace_options, chrome),
	  "print trace events for chrome://tracing or ui.perfetto.dev", 0, 0 },
	NO_MORE_OPTIONS,
};

/* The pod's timeline and one per container. */
struct trace {
	struct cli *cli;
	struct timeline_view *views;
	size_t n;
};

static int add_view(struct trace *trace, const char *title, const char *json, struct error *err)
{
	struct timeline_view *view = &trace->views[trace->n];
	struct error cause = ERROR_INIT;

	if (timeline_read(&trace->cli->arena, json, view, &cause) < 0) {
		/* One that another daemon started: the others may still have theirs. */
		if (cause.code == ERR_NOT_FOUND)
			return 0;
		return error_set(err, cause.code, "%s: %s", title, cause.text);
	}
	view->title = title;
	trace->n++;
	return 0;
}

static int add_pod(struct trace *trace, const char *id, struct error *err)
{
	_cleanup_message_ Cri__PodSandboxStatusResponse *reply = pod_status(trace->cli, id, true, err);
	const char *title;

	if (!reply)
		return -1;
	title = arena_printf(&trace->cli->arena, "pod %.12s", id);
	for (size_t i = 0; i < reply->n_info; i++) {
		if (strcmp(reply->info[i]->key, "info") == 0 && add_view(trace, title, reply->info[i]->value, err) < 0)
			return -1;
	}
	return cli_check_memory(trace->cli, err);
}

static int add_container(struct trace *trace, const Cri__Container *container, struct error *err)
{
	_cleanup_message_ Cri__ContainerStatusResponse *reply = container_status(trace->cli, container->id, true, err);
	const char *title;

	if (!reply)
		return -1;
	title = arena_printf(&trace->cli->arena, "container %.12s %s", container->id,
			     container->metadata ? container->metadata->name : "");
	for (size_t i = 0; i < reply->n_info; i++) {
		if (strcmp(reply->info[i]->key, "info") == 0 && add_view(trace, title, reply->info[i]->value, err) < 0)
			return -1;
	}
	return cli_check_memory(trace->cli, err);
}

static int collect(struct trace *trace, const char *pod_id, struct error *err)
{
	_cleanup_message_ Cri__ListContainersResponse *list = containers_of_pod(trace->cli, pod_id, err);

	if (!list)
		return -1;
	trace->views = arena_new_array(&trace->cli->arena, struct timeline_view, list->n_containers + 1);
	if (cli_check_memory(trace->cli, err) < 0 || add_pod(trace, pod_id, err) < 0)
		return -1;
	for (size_t i = 0; i < list->n_containers; i++) {
		if (add_container(trace, list->containers[i], err) < 0)
			return -1;
	}
	return trace->n ? 0 : error_set(err, ERR_NOT_FOUND, "this daemon has no timeline of pod %s: it did not start it", pod_id);
}

/* One object with the members that callers of JSON printers know from the status itself. */
static cJSON *step_json(const struct timeline_step *step)
{
	cJSON *json = cJSON_CreateObject();

	if (json && cJSON_AddStringToObject(json, "name", step->name) &&
	    cJSON_AddNumberToObject(json, "startUs", (double)step->start_us) &&
	    cJSON_AddNumberToObject(json, "tookUs", (double)step->took_us))
		return json;
	cJSON_Delete(json);
	return NULL;
}

/* A "complete" event of the Trace Event Format; the timeline is the thread it is drawn on. */
static cJSON *event_json(const struct timeline_step *step, size_t line)
{
	cJSON *json = cJSON_CreateObject();

	if (json && cJSON_AddStringToObject(json, "name", step->name) && cJSON_AddStringToObject(json, "ph", "X") &&
	    cJSON_AddNumberToObject(json, "ts", (double)step->start_us) &&
	    cJSON_AddNumberToObject(json, "dur", (double)step->took_us) && cJSON_AddNumberToObject(json, "pid", 1) &&
	    cJSON_AddNumberToObject(json, "tid", (double)line))
		return json;
	cJSON_Delete(json);
	return NULL;
}

static bool add_item(cJSON *list, cJSON *item)
{
	if (item && cJSON_AddItemToArray(list, item))
		return true;
	cJSON_Delete(item);
	return false;
}

static bool fill_events(cJSON *events, const struct trace *trace)
{
	for (size_t v = 0; v < trace->n; v++) {
		const struct timeline_view *view = &trace->views[v];
		const struct timeline_step whole = { .name = view->title, .took_us = view->total_us };

		if (!add_item(events, event_json(&whole, v + 1)))
			return false;
		for (size_t i = 0; i < view->n_steps; i++) {
			if (!add_item(events, event_json(&view->steps[i], v + 1)))
				return false;
		}
	}
	return true;
}

static bool fill_timelines(cJSON *list, const struct trace *trace)
{
	for (size_t v = 0; v < trace->n; v++) {
		const struct timeline_view *view = &trace->views[v];
		cJSON *one = cJSON_CreateObject();
		cJSON *steps = NULL;

		if (!add_item(list, one) || !cJSON_AddStringToObject(one, "title", view->title) ||
		    !cJSON_AddNumberToObject(one, "totalUs", (double)view->total_us))
			return false;
		steps = cJSON_AddArrayToObject(one, "steps");
		for (size_t i = 0; i < view->n_steps; i++) {
			if (!steps || !add_item(steps, step_json(&view->steps[i])))
				return false;
		}
	}
	return true;
}

static int print_json(struct cli *cli, const struct trace *trace, bool chrome, struct error *err)
{
	cJSON *json = cJSON_CreateArray();

	if (json && !(chrome ? fill_events(json, trace) : fill_timelines(json, trace))) {
		cJSON_Delete(json);
		json = NULL;
	}
	return json_print(json, cli->out, err);
}

static int run_trace(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	const struct trace_options *options = opts;
	struct trace trace = { .cli = cli };
	const char *id = NULL;

	(void)n_args;
	if (find_pod(cli, args[0], &id, err) < 0 || collect(&trace, id, err) < 0)
		return CLI_FAILED;
	if (cli->json || options->chrome)
		return print_json(cli, &trace, options->chrome, err);
	for (size_t i = 0; i < trace.n; i++)
		timeline_print(&trace.views[i], &cli->arena, cli->out);
	return cli_check_memory(cli, err);
}

const struct command subcommand_trace = {
	.name = "trace",
	.arguments = "POD",
	.summary = "show where the time of a pod's start went",
	.text = "Prints the steps of the pod's start and of each container's, in microseconds, with a bar that shows when each "
		"ran.",
	.options = trace_rows,
	.options_size = sizeof(struct trace_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_trace,
};
