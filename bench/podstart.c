/*
 * podstart: how long does a runtime take to start a pod? A client of any CRI endpoint.
 *
 * Each round starts --pods pods on each endpoint, --parallel at a time (one thread and one connection each), and ends them again;
 * endpoints take turns round by round, so that a machine that slows down slows all of them down. Everything that was made is
 * removed, also after a failure or a signal: pods carry a label of this run, which is swept at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/options.h"
#include "floor_run.h"
#include "pod_cycle.h"
#include "report.h"

/* More than anybody's node takes (the kubelet stops at 110 by default); they bound what a slip of the finger does. */
#define MAX_PODS 2000
#define MAX_PARALLEL 64
#define MAX_ROUNDS 100

struct options {
	struct text_list endpoints;
	const char *image;
	const char *api;
	const char *json;
	const char *floor;
	const char *floor_dir;
	const char *title;
	int64_t pods;
	int64_t parallel;
	int64_t rounds;
	int64_t warmup;
	bool host_network;
	bool hold;
	bool no_exec;
	bool help;
};

#define ROW(letter, name, argument, kind, field, help, min, max)                                                                   \
	{                                                                                                                          \
		letter, name, argument, kind, offsetof(struct options, field), help, min, max                                      \
	}

static const struct option_row rows[] = {
	ROW('e', "endpoint", "[NAME=]SOCKET", OPTION_LIST, endpoints, "a CRI socket; may be given again", 0, 0),
	ROW('i', "image", "IMAGE", OPTION_TEXT, image, "image with a shell (pulled when it is not there)", 0, 0),
	ROW('n', "pods", "N", OPTION_NUMBER, pods, "pods per round (20)", 1, MAX_PODS),
	ROW('p', "parallel", "N", OPTION_NUMBER, parallel, "pods at the same time (1)", 1, MAX_PARALLEL),
	ROW('r', "rounds", "N", OPTION_NUMBER, rounds, "rounds (1)", 1, MAX_ROUNDS),
	ROW('w', "warmup", "N", OPTION_NUMBER, warmup, "pods before the first round that do not count (2)", 0, MAX_PODS),
	ROW(0, "host-network", NULL, OPTION_FLAG, host_network, "pods use the host's network", 0, 0),
	ROW(0, "hold", NULL, OPTION_FLAG, hold, "start all pods of a round before ending any", 0, 0),
	ROW(0, "no-exec", NULL, OPTION_FLAG, no_exec, "leave out ExecSync", 0, 0),
	ROW(0, "api", "VERSION", OPTION_TEXT, api, "v1 or v1alpha2 (v1)", 0, 0),
	ROW(0, "floor", "PROGRAM", OPTION_TEXT, floor, "bench/floor: run it once in each round too, and print the distance", 0, 0),
	ROW(0, "floor-dir", "DIRECTORY", OPTION_TEXT, floor_dir, "on the file system that the runtime uses (/var/tmp)", 0, 0),
	ROW(0, "json", "FILE", OPTION_TEXT, json, "write the result here too", 0, 0),
	ROW(0, "title", "TEXT", OPTION_TEXT, title, "heading of the table", 0, 0),
	ROW('h', "help", NULL, OPTION_FLAG, help, "show this", 0, 0),
	{ .name = NULL },
};

struct endpoint {
	const char *name;
	const char *socket;
};

struct bench {
	struct arena arena;
	struct options options;
	struct endpoint *endpoints;
	struct series *series; /* one per endpoint */
	size_t n_endpoints;
	struct samples floor;
	enum rpc_api api;
	struct pod_plan plan;
	char log_root[64];
	char run_label[33];
	unsigned next_number; /* of pods: unique over the run */
};

/* One batch of pods on one endpoint: the work that threads share. */
struct batch {
	struct bench *bench;
	const struct endpoint *endpoint;
	struct bench_pod *pods;
	unsigned n_pods;
	bool starts; /* start and end, in hold mode one of them */
	bool ends;
	atomic_uint next;
	atomic_bool failed;
};

struct worker {
	struct batch *batch;
	pthread_t thread;
	struct samples phases[PHASE_COUNT];
	unsigned done;
	struct error err;
	int status;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signo)
{
	(void)signo;
	interrupted = 1;
}

/* ---- workers ---- */

static int work_on(struct worker *w, struct pod_client *client, struct bench_pod *pod)
{
	const struct pod_plan *plan = &w->batch->bench->plan;

	if (w->batch->starts && pod_start(client, plan, pod, w->phases, &w->err) < 0)
		return -1;
	if (w->batch->ends && pod->pod_id[0] && pod_end(client, pod, w->phases, &w->err) < 0)
		return -1;
	w->done++;
	return 0;
}

static int work_all(struct worker *w, struct pod_client *client)
{
	struct batch *batch = w->batch;

	for (;;) {
		unsigned index = atomic_fetch_add(&batch->next, 1);

		if (index >= batch->n_pods)
			return 0;
		if (interrupted)
			return error_set(&w->err, ERR_CANCELLED, "interrupted");
		/* Pods that are up are ended even when another one failed. */
		if (atomic_load(&batch->failed) && batch->starts)
			return 0;
		if (work_on(w, client, &batch->pods[index]) < 0)
			return error_prefix(&w->err, "%s: pod %u", batch->endpoint->name, batch->pods[index].number);
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct pod_client client = { .notify = -1, .watch = -1 };

	w->status = pod_client_open(&client, w->batch->endpoint->socket, w->batch->bench->api, &w->err);
	if (w->status == 0)
		w->status = work_all(w, &client);
	if (w->status < 0)
		atomic_store(&w->batch->failed, true);
	pod_client_close(&client);
	return NULL;
}

/* Adds what a worker found; keeps the first error. */
static int collect(struct worker *w, struct series *series, struct error *err)
{
	int status = w->status;

	if (status < 0)
		*err = w->err;
	for (int p = 0; p < PHASE_COUNT; p++) {
		if (status == 0 && series && samples_append(&series->phases[p], &w->phases[p], err) < 0)
			status = -1;
		samples_release(&w->phases[p]);
	}
	return status;
}

/* `series` NULL: measured, but not kept (warm-up). */
static int run_batch(struct batch *batch, struct series *series, struct error *err)
{
	unsigned n = (unsigned)batch->bench->options.parallel;
	struct worker *workers = arena_new_array(&batch->bench->arena, struct worker, n);
	unsigned started = 0;
	int status = 0;

	if (!workers)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	atomic_store(&batch->next, 0);
	for (; started < n && status == 0; started++) {
		int code;

		workers[started].batch = batch;
		code = pthread_create(&workers[started].thread, NULL, worker_main, &workers[started]);
		if (code != 0) {
			atomic_store(&batch->failed, true);
			status = error_sys(err, code, "start a thread");
			break;
		}
	}
	for (unsigned i = 0; i < started; i++) {
		struct error other = ERROR_INIT;

		(void)pthread_join(workers[i].thread, NULL);
		if (collect(&workers[i], series, status < 0 ? &other : err) < 0)
			status = -1;
	}
	return status;
}

/* ---- rounds ---- */

static struct bench_pod *number_pods(struct bench *bench, unsigned n)
{
	struct bench_pod *pods = arena_new_array(&bench->arena, struct bench_pod, n);

	for (unsigned i = 0; pods && i < n; i++)
		pods[i].number = bench->next_number++;
	return pods;
}

static int run_round(struct bench *bench, size_t e, unsigned n_pods, bool counts, struct error *err)
{
	bool hold = bench->options.hold && counts;
	struct series *series = counts ? &bench->series[e] : NULL;
	struct batch batch = { .bench = bench,
			       .endpoint = &bench->endpoints[e],
			       .pods = number_pods(bench, n_pods),
			       .n_pods = n_pods,
			       .starts = true,
			       .ends = !hold };
	int64_t began_us = clock_monotonic_us();

	if (!batch.pods)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (run_batch(&batch, series, err) < 0)
		return -1;
	if (series) {
		series->wall_us += clock_monotonic_us() - began_us;
		series->n_pods += n_pods;
	}
	batch.starts = false;
	batch.ends = true;
	return hold ? run_batch(&batch, series, err) : 0;
}

static int prepare_endpoint(struct bench *bench, size_t e, struct error *err)
{
	struct pod_client client = { .notify = -1, .watch = -1 };
	int status = pod_client_open(&client, bench->endpoints[e].socket, bench->api, err);

	if (status == 0)
		status = pod_image_ensure(&client, bench->plan.image, err);
	pod_client_close(&client);
	if (status < 0)
		return error_prefix(err, "%s", bench->endpoints[e].name);
	return bench->options.warmup ? run_round(bench, e, (unsigned)bench->options.warmup, false, err) : 0;
}

/* On every endpoint, whatever happened before. */
static void sweep(struct bench *bench)
{
	struct error err = ERROR_INIT;

	for (size_t e = 0; e < bench->n_endpoints; e++) {
		struct pod_client client = { .notify = -1, .watch = -1 };
		int n = pod_client_open(&client, bench->endpoints[e].socket, bench->api, &err);

		if (n == 0)
			n = pods_sweep(&client, bench->run_label, &err);
		if (n < 0)
			(void)fprintf(stderr, "podstart: %s: clean up: %s\n", bench->endpoints[e].name, err.text);
		else if (n > 0)
			(void)fprintf(stderr, "podstart: %s: removed %d pods that were left\n", bench->endpoints[e].name, n);
		pod_client_close(&client);
	}
	if (io_remove_tree(AT_FDCWD, bench->log_root, &err) < 0)
		(void)fprintf(stderr, "podstart: clean up: %s\n", err.text);
}

static int run_floor(struct bench *bench, struct error *err)
{
	const struct options *o = &bench->options;
	const struct floor_plan plan = { .program = o->floor,
					 .dir = o->floor_dir ? o->floor_dir : "/var/tmp",
					 .pods = (unsigned)o->pods,
					 .parallel = (unsigned)o->parallel,
					 .host_network = o->host_network };

	return floor_run(&plan, &bench->floor, err);
}

static int run_rounds(struct bench *bench, struct error *err)
{
	for (size_t e = 0; e < bench->n_endpoints; e++) {
		if (prepare_endpoint(bench, e, err) < 0)
			return -1;
	}
	for (int64_t r = 0; r < bench->options.rounds; r++) {
		if (bench->options.floor && run_floor(bench, err) < 0)
			return -1;
		for (size_t e = 0; e < bench->n_endpoints; e++) {
			if (run_round(bench, e, (unsigned)bench->options.pods, true, err) < 0)
				return -1;
		}
	}
	return 0;
}

/* ---- setup ---- */

static void parse_endpoint(struct bench *bench, const char *text, struct endpoint *endpoint)
{
	const char *equals = strchr(text, '=');
	const char *socket = equals ? equals + 1 : text;

	endpoint->name = equals ? arena_strndup(&bench->arena, text, (size_t)(equals - text)) : text;
	endpoint->socket = strncmp(socket, "unix://", 7) == 0 ? socket + 7 : socket;
}

static int check_options(struct bench *bench, struct error *err)
{
	struct options *o = &bench->options;

	if (o->endpoints.n == 0 || !o->image)
		return error_set(err, ERR_INVALID, "--endpoint and --image are needed");
	if (o->api && strcmp(o->api, "v1") != 0 && strcmp(o->api, "v1alpha2") != 0)
		return error_set(err, ERR_INVALID, "--api is v1 or v1alpha2, not '%s'", o->api);
	bench->api = o->api && strcmp(o->api, "v1alpha2") == 0 ? RPC_API_V1ALPHA2 : RPC_API_V1;
	return 0;
}

static int setup(struct bench *bench, struct error *err)
{
	struct options *o = &bench->options;
	char id[ID_SIZE];

	id_generate(id);
	(void)snprintf(bench->run_label, sizeof(bench->run_label), "%.32s", id);
	(void)snprintf(bench->log_root, sizeof(bench->log_root), "/tmp/podstart.XXXXXX");
	bench->n_endpoints = o->endpoints.n;
	bench->endpoints = arena_new_array(&bench->arena, struct endpoint, o->endpoints.n);
	bench->series = arena_new_array(&bench->arena, struct series, o->endpoints.n);
	bench->plan = (struct pod_plan){ .image = arena_strdup(&bench->arena, o->image),
					 .command = arena_strdup(&bench->arena, "echo ready; exec sleep 3600"),
					 .host_network = o->host_network,
					 .exec = !o->no_exec,
					 .log_root = bench->log_root,
					 .run_label = bench->run_label };
	if (arena_failed(&bench->arena))
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	for (size_t e = 0; e < bench->n_endpoints; e++) {
		parse_endpoint(bench, o->endpoints.items[e], &bench->endpoints[e]);
		bench->series[e].endpoint = bench->endpoints[e].name;
	}
	if (!mkdtemp(bench->log_root))
		return error_sys(err, errno, "make %s", bench->log_root);
	return 0;
}

static int print_result(struct bench *bench, struct error *err)
{
	const struct options *o = &bench->options;
	struct report report = { .title = o->title ? o->title : "pod start",
				 .series = bench->series,
				 .n_series = bench->n_endpoints,
				 .floor = &bench->floor,
				 .host_network = o->host_network,
				 .hold = o->hold,
				 .parallel = (unsigned)o->parallel,
				 .rounds = (unsigned)o->rounds };

	report_compute(&report);
	report_print(&report, stdout);
	return o->json ? report_write_json(&report, o->json, err) : 0;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
}

static int run(struct bench *bench, struct error *err)
{
	int status;

	if (check_options(bench, err) < 0 || setup(bench, err) < 0)
		return -1;
	catch_signals();
	status = run_rounds(bench, err);
	sweep(bench);
	return status < 0 ? -1 : print_result(bench, err);
}

static int print_help(void)
{
	(void)puts("usage: podstart --endpoint [NAME=]SOCKET --image IMAGE [OPTION...]\n");
	for (const struct option_row *row = rows; row->name; row++)
		(void)printf("  --%s%s%s\n        %s\n", row->name, row->argument ? " " : "", row->argument ? row->argument : "",
			     row->help);
	return 0;
}

int main(int argc, char **argv)
{
	struct bench bench = { .options = { .pods = 20, .parallel = 1, .rounds = 1, .warmup = 2 } };
	const struct option_table table = { rows, &bench.options };
	const struct option_rules rules = { &table, 1, false };
	struct error err = ERROR_INIT;
	char **args = arena_new_array(&bench.arena, char *, (size_t)argc);
	int n_args = 0;
	int status = -1;

	if (args && options_parse(&rules, argc - 1, argv + 1, &bench.arena, args, &n_args, &err) == 0) {
		if (bench.options.help)
			status = print_help();
		else if (n_args > 0)
			status = error_set(&err, ERR_INVALID, "'%s' is one argument too many", args[0]);
		else
			status = run(&bench, &err);
	}
	if (status < 0)
		(void)fprintf(stderr, "podstart: %s\n", err.text);
	for (size_t e = 0; bench.series && e < bench.n_endpoints; e++) {
		for (int p = 0; p < PHASE_COUNT; p++)
			samples_release(&bench.series[e].phases[p]);
	}
	samples_release(&bench.floor);
	arena_release(&bench.arena);
	return status < 0 ? 1 : 0;
}
