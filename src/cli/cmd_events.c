/* Events as they come: GetContainerEvents, a line for each. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <utlist.h>

#include "base/mem.h"
#include "cli/command.h"
#include "cli/grpc_client.h"
#include "cli/json.h"
#include "cli/text.h"
#include "proto/cri.pb-c.h"

struct events_options {
	int64_t count;
};

static const struct option_row events_rows[] = {
	{ 'n', "count", "NUMBER", OPTION_NUMBER, offsetof(struct events_options, count), "end after so many events", 1, INT64_MAX },
	NO_MORE_OPTIONS,
};

/* An event about a container that is deleted does not say its name any more. */
struct known {
	char *id, *name;
	struct known *prev, *next;
};

struct events {
	struct cli *cli;
	struct known *known;
	int64_t left; /* 0: no end */
};

static const char *const type_names[] = { "created", "started", "stopped", "deleted" };

/* ---- names of containers ---- */

static struct known *find_known(struct events *events, const char *id)
{
	struct known *known;

	DL_FOREACH (events->known, known) {
		if (strcmp(known->id, id) == 0)
			return known;
	}
	return NULL;
}

static void forget(struct events *events, struct known *known)
{
	if (!known)
		return;
	DL_DELETE(events->known, known);
	free(known->id);
	free(known->name);
	free(known);
}

static void learn(struct events *events, const char *id, const char *name)
{
	struct known *known = find_known(events, id) ? NULL : calloc(1, sizeof(*known));

	if (!known)
		return;
	known->id = strdup(id);
	known->name = strdup(name);
	DL_APPEND(events->known, known);
	if (!known->id || !known->name)
		forget(events, known);
}

/* Those that are there already; a listener that cannot know them prints their ids all the same. */
static int learn_all(struct events *events, struct error *err)
{
	Cri__ListContainersRequest request = CRI__LIST_CONTAINERS_REQUEST__INIT;
	_cleanup_message_ Cri__ListContainersResponse *reply =
		(Cri__ListContainersResponse *)cli_call(events->cli, "ListContainers", &request.base, err);

	for (size_t i = 0; reply && i < reply->n_containers; i++)
		if (reply->containers[i]->metadata)
			learn(events, reply->containers[i]->id, reply->containers[i]->metadata->name);
	return reply ? 0 : -1;
}

/* ---- lines ---- */

static const char line_format[] = "%-24s  %-7s  %-9s  %-12s  %-28s  %-16s  %s\n";

static void print_header(void *arg)
{
	const struct events *events = arg;

	if (!events->cli->json)
		(void)fprintf(events->cli->out, line_format, "TIME", "EVENT", "OF", "ID", "POD", "CONTAINER", "DETAIL");
	(void)fflush(events->cli->out);
}

static void format_time(char text[32], int64_t at_ns)
{
	time_t seconds = (time_t)(at_ns / 1000000000);
	struct tm tm;
	size_t n = gmtime_r(&seconds, &tm) ? strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &tm) : 0;

	(void)snprintf(text + n, 32 - n, ".%03dZ", (int)(at_ns / 1000000 % 1000));
}

static const Cri__ContainerStatus *find_status(const Cri__ContainerEventResponse *event)
{
	for (size_t i = 0; i < event->n_containers_statuses; i++) {
		if (strcmp(event->containers_statuses[i]->id, event->container_id) == 0)
			return event->containers_statuses[i];
	}
	return NULL;
}

static const char *pod_title(struct arena *arena, const Cri__ContainerEventResponse *event)
{
	const Cri__PodSandboxMetadata *metadata = event->pod_sandbox_status ? event->pod_sandbox_status->metadata : NULL;
	const char *title = metadata ? arena_printf(arena, "%s/%s", metadata->namespace_, metadata->name) : NULL;

	return title ? text_clean(arena, title) : "-";
}

static const char *detail_of(struct arena *arena, const Cri__ContainerEventResponse *event, const Cri__ContainerStatus *status)
{
	const char *text = NULL;

	if (status && event->container_event_type == CRI__CONTAINER_EVENT_TYPE__CONTAINER_STOPPED_EVENT)
		text = arena_printf(arena, "exit %d %s", status->exit_code, status->reason);
	return text ? text_clean(arena, text) : "";
}

static void print_line(struct events *events, const Cri__ContainerEventResponse *event)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	const Cri__ContainerStatus *status = find_status(event);
	bool is_pod = event->pod_sandbox_status && strcmp(event->pod_sandbox_status->id, event->container_id) == 0;
	const struct known *known = find_known(events, event->container_id);
	size_t type = (size_t)event->container_event_type;
	char at[32], id[TEXT_SHORT_ID_SIZE];

	format_time(at, event->created_at);
	text_short_id(id, event->container_id);
	(void)fprintf(events->cli->out, line_format, at, type < ARRAY_SIZE(type_names) ? type_names[type] : "?",
		      is_pod ? "pod" : "container", id, pod_title(&arena, event), known ? text_clean(&arena, known->name) : "-",
		      detail_of(&arena, event, status));
}

/* One object per line. */
static int print_json(struct events *events, const ProtobufCMessage *message, struct error *err)
{
	cJSON *json = json_of_message(message);
	char *text = json ? cJSON_PrintUnformatted(json) : NULL;

	cJSON_Delete(json);
	if (!text)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	(void)fprintf(events->cli->out, "%s\n", text);
	cJSON_free(text);
	return 0;
}

static int on_event(void *arg, const ProtobufCMessage *message, struct error *err)
{
	const Cri__ContainerEventResponse *event = (const Cri__ContainerEventResponse *)message;
	struct events *events = arg;
	const Cri__ContainerStatus *status = find_status(event);
	int result = 0;

	if (status && status->metadata)
		learn(events, event->container_id, status->metadata->name);
	if (events->cli->json)
		result = print_json(events, message, err);
	else
		print_line(events, event);
	(void)fflush(events->cli->out);
	if (event->container_event_type == CRI__CONTAINER_EVENT_TYPE__CONTAINER_DELETED_EVENT)
		forget(events, find_known(events, event->container_id));
	if (events->left > 0 && --events->left == 0)
		grpc_client_cancel(events->cli->rpc.client);
	return result;
}

/* ---- the command ---- */

static int run_events(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	const struct events_options *options = opts;
	const Cri__GetEventsRequest request = CRI__GET_EVENTS_REQUEST__INIT;
	struct events events = { .cli = cli, .left = options->count };
	const struct rpc_stream stream = { .on_message = on_event, .on_open = print_header, .arg = &events };
	int result;

	(void)args;
	(void)n_args;
	result = learn_all(&events, err);
	if (result == 0)
		result = cli_stream(cli, "GetContainerEvents", &request.base, &stream, err);
	while (events.known)
		forget(&events, events.known);
	if (result < 0 && options->count && events.left == 0 && err->code == ERR_CANCELLED)
		return 0;
	return result < 0 ? CLI_FAILED : 0;
}

const struct command subcommand_events = {
	.name = "events",
	.arguments = "",
	.summary = "print what happens to pods and containers as it happens",
	.text = "Prints a line for each pod and container that is created, started, stopped or deleted, from when the heading is "
		"there, "
		"until it\n"
		"is interrupted. With --output json each line is one event with the statuses of the pod and of its containers.\n"
		"\n"
		"A reader that is too slow is ended with a message: what it missed is in `monopod ps`.",
	.options = events_rows,
	.options_size = sizeof(struct events_options),
	.min_args = 0,
	.max_args = 0,
	.run = run_events,
};
