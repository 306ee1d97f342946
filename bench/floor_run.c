#include "floor_run.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"

/* A thousand pods of seven digits each, ten times over. */
#define MAX_SAMPLES_BYTES 80000

static int wait_for(pid_t pid, const char *program, struct error *err)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return error_sys(err, errno, "wait for %s", program);
	}
	return status == 0 ? 0 : error_set(err, ERR_INTERNAL, "%s failed (wait status 0x%x)", program, (unsigned)status);
}

static int spawn(const struct floor_plan *plan, const char *samples_path, struct error *err)
{
	char pods[16];
	char parallel[16];
	const char *argv[] = { plan->program, "--iterations", pods,    "--parallel", parallel,
			       "--samples",   samples_path,   "--dir", plan->dir,    plan->host_network ? "--host-network" : NULL,
			       NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid = -1;
	int code;

	(void)snprintf(pods, sizeof(pods), "%u", plan->pods);
	(void)snprintf(parallel, sizeof(parallel), "%u", plan->parallel);
	(void)posix_spawn_file_actions_init(&actions);
	/* Its table has its own place; here it would tear ours apart. */
	(void)posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	code = posix_spawn(&pid, plan->program, &actions, NULL, (char *const *)(uintptr_t)argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	return code ? error_sys(err, code, "run %s", plan->program) : wait_for(pid, plan->program, err);
}

static int parse(char *text, struct samples *samples, struct error *err)
{
	char *rest = NULL;

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *end = NULL;
		unsigned long us = strtoul(line, &end, 10);

		if (*end || end == line)
			return error_set(err, ERR_INTERNAL, "the floor's sample '%s' is not a number", line);
		if (samples_add(samples, (int64_t)us, err) < 0)
			return -1;
	}
	return 0;
}

int floor_run(const struct floor_plan *plan, struct samples *samples, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(MAX_SAMPLES_BYTES);
	char path[] = "/tmp/floor-samples.XXXXXX";
	_cleanup_fd_ int fd = mkstemp(path);
	int status;

	if (fd < 0)
		return error_sys(err, errno, "make %s", path);
	status = spawn(plan, path, err);
	if (status == 0)
		status = io_read_file(AT_FDCWD, path, &text, err);
	(void)unlink(path);
	return status < 0 || text.len == 0 ? status : parse(text.data, samples, err);
}
