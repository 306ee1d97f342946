#include <string.h>

#include "base/clock.h"
#include "cli/command.h"
#include "cli/cri_log.h"
#include "cli/find.h"
#include "cli/log_reader.h"
#include "cli/pod_ops.h"
#include "cli/rotated_logs.h"
#include "proto/cri.pb-c.h"

/* How often a followed container is asked whether it has ended. */
#define ASK_INTERVAL_MS 500

struct logs_options {
	bool follow;
	bool timestamps;
	const char *tail;
	const char *since;
};

static const struct option_row logs_rows[] = {
	{ 'f', "follow", NULL, OPTION_FLAG, offsetof(struct logs_options, follow), "go on until the container ends", 0, 0 },
	{ 'n', "tail", "N", OPTION_TEXT, offsetof(struct logs_options, tail), "begin N lines before the end", 0, 0 },
	{ 't', "timestamps", NULL, OPTION_FLAG, offsetof(struct logs_options, timestamps), "print when each line was written", 0,
	  0 },
	{ 0, "since", "TIME", OPTION_TEXT, offsetof(struct logs_options, since),
	  "leave out older lines: a duration before now (90s, 10m, 2h) or a time (2026-01-31T12:00:00Z)", 0, 0 },
	NO_MORE_OPTIONS,
};

struct followed {
	struct cli *cli;
	const char *id;
};

/* A daemon that does not answer may be restarting: its containers still write. */
static bool has_ended(void *arg)
{
	const struct followed *f = arg;
	struct error err = ERROR_INIT;
	_cleanup_message_ Cri__ContainerStatusResponse *reply = container_status(f->cli, f->id, false, &err);

	if (!reply)
		return err.code == ERR_NOT_FOUND;
	return reply->status && reply->status->state == CRI__CONTAINER_STATE__CONTAINER_EXITED;
}

static int parse_since(const char *text, int64_t *ret_ns, struct error *err)
{
	struct error not_a_duration = ERROR_INIT;
	int64_t ago_ms;

	if (rfc3339_parse(text, strlen(text), ret_ns) == 0)
		return 0;
	if (parse_duration(text, &ago_ms, &not_a_duration) < 0)
		return cli_usage(err, "--since is a duration or a time, not '%s'", text);
	*ret_ns = clock_realtime_ns() - ago_ms * 1000000;
	return 0;
}

static int find_log(struct cli *cli, const char *reference, const char **ret_id, const char **ret_path, struct error *err)
{
	_cleanup_message_ Cri__ContainerStatusResponse *reply = NULL;

	if (find_container(cli, reference, ret_id, err) < 0)
		return -1;
	reply = container_status(cli, *ret_id, false, err);
	if (!reply)
		return -1;
	if (!reply->status || !reply->status->log_path || !reply->status->log_path[0])
		return error_set(err, ERR_STATE, "container %s keeps no log", reference);
	*ret_path = arena_strdup(&cli->arena, reply->status->log_path);
	return cli_check_memory(cli, err);
}

/* After the log itself was opened, so that a rotation in between loses nothing. */
static int show_rotated(struct cli *cli, const char *path, int fd, int64_t lines, struct log_printer *printer, struct error *err)
{
	struct rotated_logs rotated;

	if (rotated_logs_find(path, fd, printer->since_ns, &cli->arena, &rotated, err) < 0)
		return -1;
	return rotated_logs_print(&rotated, lines, printer, err);
}

static int show(struct cli *cli, const struct logs_options *options, const char *reference, struct log_printer *printer,
		int64_t tail, struct error *err)
{
	struct followed followed = { .cli = cli };
	int64_t missing = tail;
	_cleanup_log_reader_ struct log_reader reader = { .fd = -1, .notify = -1 };
	const char *path = NULL;

	if (find_log(cli, reference, &followed.id, &path, err) < 0 ||
	    log_reader_open(&reader, path, options->follow, printer, err) < 0)
		return -1;
	if (options->tail && log_reader_tail(&reader, tail, &missing, err) < 0)
		return -1;
	if (missing >= 0 && show_rotated(cli, path, reader.fd, missing, printer, err) < 0)
		return -1;
	if (options->follow)
		return log_reader_follow(&reader, has_ended, &followed, ASK_INTERVAL_MS, err);
	return log_reader_drain(&reader, err);
}

static int run_logs(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	const struct logs_options *options = opts;
	struct log_printer printer = { .streams = { cli->out, stderr }, .timestamps = options->timestamps };
	int64_t tail = INT64_MAX;
	int status = 0;

	(void)n_args;
	if (options->tail && parse_number(options->tail, 0, INT64_MAX, &tail, err) < 0)
		return CLI_USAGE;
	if (options->since)
		status = parse_since(options->since, &printer.since_ns, err);
	if (status < 0)
		return status;
	return show(cli, options, args[0], &printer, tail, err);
}

const struct command subcommand_logs = {
	.name = "logs",
	.arguments = "CONTAINER",
	.summary = "print what a container wrote",
	.text = "Prints the container's log: what it wrote to its standard output goes to standard output, its standard error to "
		"standard\n"
		"error. Reads the log file itself and those that the kubelet rotated it to (compressed ones too), so it needs the "
		"right "
		"to.\n"
		"With --follow it also follows rotation.",
	.options = logs_rows,
	.options_size = sizeof(struct logs_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_logs,
};
