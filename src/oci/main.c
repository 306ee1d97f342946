/* The command line, and where errors go: to stderr for people, to --log for the engine that called. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "oci/command.h"
#include "oci/config.h"
#include "oci/oci.h"

#define DEFAULT_ROOT "/run/monopod-oci"

static const struct option_row globals[] = {
	{ 0, "root", "DIR", OPTION_TEXT, offsetof(struct oci, root), "where containers are kept; " DEFAULT_ROOT, 0, 0 },
	{ 0, "log", "FILE", OPTION_TEXT, offsetof(struct oci, log), "append errors and warnings to this file, too", 0, 0 },
	{ 0, "log-format", "FORMAT", OPTION_TEXT, offsetof(struct oci, log_format), "text or json", 0, 0 },
	{ 0, "log-level", "LEVEL", OPTION_TEXT, offsetof(struct oci, log_level), "accepted for other runtimes' sake", 0, 0 },
	{ 0, "debug", NULL, OPTION_FLAG, offsetof(struct oci, debug), "accepted for other runtimes' sake", 0, 0 },
	{ 0, "systemd-cgroup", NULL, OPTION_FLAG, offsetof(struct oci, systemd_cgroup), "let systemd make the cgroup", 0, 0 },
	{ 0, "cgroup-manager", "NAME", OPTION_TEXT, offsetof(struct oci, cgroup_manager), "cgroupfs or systemd", 0, 0 },
	{ 0, "rootless", "WORD", OPTION_TEXT, offsetof(struct oci, rootless), "auto or false", 0, 0 },
	{ 'h', "help", NULL, OPTION_FLAG, offsetof(struct oci, help), "show this, or a command's options", 0, 0 },
	{ 'v', "version", NULL, OPTION_FLAG, offsetof(struct oci, version), "show the versions", 0, 0 },
	NO_MORE_OPTIONS,
};

static const struct oci_command *const commands[] = {
	&oci_create, &oci_start,  &oci_state,  &oci_kill,   &oci_delete,   &oci_run,  &oci_exec, &oci_ps,
	&oci_pause,  &oci_resume, &oci_update, &oci_events, &oci_features, &oci_spec, NULL,
};

static const struct oci_command *find(const char *name)
{
	for (const struct oci_command *const *c = commands; *c; c++) {
		if (!strcmp((*c)->name, name))
			return *c;
	}
	return NULL;
}

static void print_options(const struct option_row *rows)
{
	for (; rows && rows->name; rows++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "--%s%s%s", rows->name, rows->argument ? " " : "",
			       rows->argument ? rows->argument : "");
		if (rows->letter)
			(void)printf("  -%c, %-24s %s\n", rows->letter, name, rows->help);
		else
			(void)printf("      %-24s %s\n", name, rows->help);
	}
}

static int print_help(const struct oci_command *command)
{
	if (command) {
		(void)printf("usage: monopod oci %s [OPTION...]%s%s\n%s\n", command->name, *command->arguments ? " " : "",
			     command->arguments, command->summary);
		print_options(command->options);
		return 0;
	}
	(void)puts(
		"usage: monopod oci [OPTION...] COMMAND [OPTION...] [ARGUMENT...]\nAn OCI runtime, as other engines call one.\n");
	for (const struct oci_command *const *c = commands; *c; c++)
		(void)printf("  %-10s %s\n", (*c)->name, (*c)->summary);
	(void)puts("");
	print_options(globals);
	return 0;
}

static int print_version(void)
{
	(void)printf("monopod-oci version %s\nspec: %s\n", MONOPOD_VERSION, OCI_VERSION);
	return 0;
}

/* Bytes that a JSON string cannot hold as they are. */
static void put_json_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			(void)fprintf(out, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			(void)fprintf(out, "\\u%04x", c);
		else
			(void)fputc(c, out);
	}
}

/* One line, in one write. A log that cannot be written is nobody's reason to fail. */
static void write_log(const struct oci *oci, const char *level, const char *text)
{
	char time[CLOCK_TEXT_SIZE];
	int fd = oci->log ? open(oci->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0644) : -1;
	FILE *out = fd >= 0 ? fdopen(fd, "a") : NULL;

	if (!out) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	clock_format_rfc3339(time, clock_realtime_ns());
	if (oci->log_format && !strcmp(oci->log_format, "json")) {
		(void)fprintf(out, "{\"level\":\"%s\",\"msg\":\"", level);
		put_json_text(out, text);
		(void)fprintf(out, "\",\"time\":\"%s\"}\n", time);
	} else {
		(void)fprintf(out, "time=\"%s\" level=%s msg=\"", time, level);
		put_json_text(out, text);
		(void)fputs("\"\n", out);
	}
	(void)fclose(out);
}

void oci_warn(struct oci *oci, const char *fmt, ...)
{
	char text[ERROR_TEXT_SIZE];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	(void)fprintf(stderr, "monopod oci: warning: %s\n", text);
	write_log(oci, "warning", text);
}

static int check_globals(struct oci *oci, struct error *err)
{
	if (oci->log_format && strcmp(oci->log_format, "json") != 0 && strcmp(oci->log_format, "text") != 0)
		return error_set(err, ERR_INVALID, "--log-format is 'text' or 'json', not '%s'", oci->log_format);
	if (oci->root[0] != '/')
		return error_set(err, ERR_INVALID, "--root '%s' is not an absolute path", oci->root);
	if (oci->cgroup_manager && strcmp(oci->cgroup_manager, "cgroupfs") != 0 && strcmp(oci->cgroup_manager, "systemd") != 0)
		return error_set(err, ERR_INVALID, "--cgroup-manager is 'cgroupfs' or 'systemd', not '%.64s'", oci->cgroup_manager);
	oci->systemd_cgroup = oci->systemd_cgroup || (oci->cgroup_manager && !strcmp(oci->cgroup_manager, "systemd"));
	if (oci->rootless && !strcmp(oci->rootless, "true"))
		return error_set(err, ERR_UNIMPLEMENTED, "--rootless is not supported: this runtime needs root");
	return 0;
}

static int run_command(struct oci *oci, const struct oci_command *command, int argc, char **argv, struct error *err)
{
	void *options = arena_alloc(&oci->arena, command->options_size + 1);
	char **args = arena_new_array(&oci->arena, char *, (size_t)argc + 1);
	const struct option_row only_help[] = { globals[8], NO_MORE_OPTIONS };
	const struct option_table tables[] = { { command->options ? command->options : only_help + 1, options },
					       { only_help, oci } };
	const struct option_rules rules = { tables, ARRAY_SIZE(tables), command->stop_at_argument };
	int n_args = 0;

	if (!options || !args)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (options_parse(&rules, argc, argv, &oci->arena, args, &n_args, err) < 0)
		return -1;
	if (oci->help)
		return print_help(command);
	if (n_args < command->min_args || (command->max_args >= 0 && n_args > command->max_args))
		return error_set(err, ERR_INVALID, "usage: monopod oci %s [OPTION...] %s", command->name, command->arguments);
	return command->run(oci, options, args, n_args, err);
}

static int dispatch(struct oci *oci, int argc, char **argv, struct error *err)
{
	const struct option_table table = { globals, oci };
	const struct option_rules rules = { &table, 1, true };
	char **args = arena_new_array(&oci->arena, char *, (size_t)argc + 1);
	const struct oci_command *command;
	int n_args = 0;

	if (!args)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (options_parse(&rules, argc - 1, argv + 1, &oci->arena, args, &n_args, err) < 0)
		return -1;
	if (oci->version)
		return print_version();
	if (n_args == 0)
		return oci->help ? print_help(NULL) : error_set(err, ERR_INVALID, "a command is missing; see --help");
	command = find(args[0]);
	if (!command)
		return error_set(err, ERR_INVALID, "'%s' is not a command; see --help", args[0]);
	if (oci->help)
		return print_help(command);
	if (check_globals(oci, err) < 0)
		return -1;
	return run_command(oci, command, n_args - 1, argv + argc - n_args + 1, err);
}

int oci_main(int argc, char **argv)
{
	struct oci oci = { .root = DEFAULT_ROOT };
	struct error err = ERROR_INIT;
	int code;

	/* hooks and helpers inherit nothing; what is handed on to the container is fetched from this process */
	(void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	/* modes of what is made here are exact */
	(void)umask(022);
	code = dispatch(&oci, argc, argv, &err);
	if (code < 0) {
		(void)fprintf(stderr, "monopod oci: %s\n", err.text);
		write_log(&oci, "error", err.text);
		code = 1;
	}
	if (fflush(stdout) != 0)
		code = code ? code : 1;
	arena_release(&oci.arena);
	return code;
}
