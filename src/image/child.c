#include "image/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "image/unpack.h"

/* Reports name opaque directories; a layer has a few of them. This is room for thousands with the longest paths. */
#define MAX_REPORT_BYTES ((size_t)16 << 20)

/* Above the numbers that the child expects its descriptors at, so that placing one never closes another. */
#define FIRST_FREE_FD 8

#define PROGRAM_PATH_SIZE 32

struct placement {
	int from, to;
};

void child_init(struct child *child)
{
	*child = (struct child){ .socket = -1 };
	buffer_init(&child->reports, MAX_REPORT_BYTES);
}

static int add_placements(posix_spawn_file_actions_t *actions, const struct placement *placements, size_t n)
{
	int result = 0;

	for (size_t i = 0; i < n && result == 0; i++) {
		if (placements[i].from >= 0)
			result = posix_spawn_file_actions_adddup2(actions, placements[i].from, placements[i].to);
		else if (placements[i].to <= STDERR_FILENO)
			result = posix_spawn_file_actions_addopen(actions, placements[i].to, "/dev/null", O_WRONLY, 0);
	}
	return result;
}

/* Signals as a program expects them at start, whatever the daemon blocks and ignores. */
static int set_signals(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int result;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	result = posix_spawnattr_setsigmask(attr, &none);
	if (result == 0)
		result = posix_spawnattr_setsigdefault(attr, &all);
	return result ? result : posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int program_fd = -1;

/* The name of this program's file is read once, so what lies beside it is of the same build, even when both are replaced later on. */
static void open_program(void)
{
	char path[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - sizeof(IMAGE_UNPACK_NAME));
	int fd;

	while (len > 0 && path[len - 1] != '/')
		len--;
	if (len <= 0)
		return;
	memcpy(path + len, IMAGE_UNPACK_NAME, sizeof(IMAGE_UNPACK_NAME));
	fd = open(path, O_PATH | O_CLOEXEC);
	program_fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
	close_fd(&fd);
}

void child_find_program(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, open_program);
}

static void name_program(char path[PROGRAM_PATH_SIZE])
{
	child_find_program();
	if (program_fd < 0)
		memcpy(path, "/proc/self/exe", sizeof("/proc/self/exe"));
	else
		(void)snprintf(path, PROGRAM_PATH_SIZE, "/proc/self/fd/%d", program_fd);
}

static int spawn(const struct placement *placements, size_t n, pid_t *ret_pid)
{
	static char name[] = IMAGE_UNPACK_NAME;
	char *const argv[] = { name, NULL };
	char *const no_environment[] = { NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	char program[PROGRAM_PATH_SIZE];
	int result;

	name_program(program);
	result = posix_spawn_file_actions_init(&actions);
	if (result)
		return result;
	result = posix_spawnattr_init(&attr);
	if (result) {
		(void)posix_spawn_file_actions_destroy(&actions);
		return result;
	}
	result = add_placements(&actions, placements, n);
	if (result == 0)
		result = set_signals(&attr);
	if (result == 0)
		result = posix_spawn(ret_pid, program, &actions, &attr, argv, no_environment);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&actions);
	return result;
}

/* Spawns with copies of the descriptors that lie out of each other's way. */
static int spawn_high(struct placement *placements, size_t n, pid_t *ret_pid)
{
	int result = 0;

	for (size_t i = 0; i < n; i++) {
		if (placements[i].from < 0)
			continue;
		placements[i].from = fcntl(placements[i].from, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
		if (placements[i].from < 0 && result == 0)
			result = errno;
	}
	if (result == 0)
		result = spawn(placements, n, ret_pid);
	for (size_t i = 0; i < n; i++)
		close_fd(&placements[i].from);
	return result;
}

int child_start(struct child *child, const struct unpack_order *order, int input, int output, int layer, struct error *err)
{
	_cleanup_fd_ int theirs = -1;
	int pair[2];
	int result;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, errno, "create a socket pair");
	child->socket = pair[0];
	theirs = pair[1];
	result = spawn_high((struct placement[]){ { input, 0 }, { output, 1 }, { layer, 3 }, { theirs, 4 } }, 4, &child->pid);
	if (result) {
		child->pid = 0;
		return error_sys(err, result, "start an unpacking process");
	}
	return io_write_all(child->socket, order, sizeof(*order), "order to unpack", err);
}

int child_read_reports(struct child *child, struct error *err)
{
	char chunk[4096];
	ssize_t n;

	while (child->socket >= 0) {
		n = recv(child->socket, chunk, sizeof(chunk), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0 && errno != ECONNRESET)
			return error_sys(err, errno, "read from an unpacking process");
		if (n <= 0)
			close_fd(&child->socket);
		else if (buffer_append(&child->reports, chunk, (size_t)n, err) < 0)
			return error_prefix(err, "opaque directories");
	}
	return 0;
}

static int read_all_reports(struct child *child, const atomic_bool *cancelled, struct error *err)
{
	int64_t since_us = clock_monotonic_us();

	while (child->socket >= 0) {
		struct pollfd fd = { .fd = child->socket, .events = POLLIN };

		if (cancelled && atomic_load(cancelled))
			return error_set(err, ERR_CANCELLED, "cancelled");
		if (clock_monotonic_us() - since_us > CHILD_STALL_LIMIT_MS * INT64_C(1000))
			return error_set(err, ERR_DEADLINE, "unpacking process does not end");
		if (poll(&fd, 1, CHILD_POLL_MS) < 0 && errno != EINTR)
			return error_sys(err, errno, "wait for an unpacking process");
		if (child_read_reports(child, err) < 0)
			return -1;
	}
	return 0;
}

/* The end of the reports is the end of the process, whose exit status stands by then; one that only closed the socket is killed. */
int child_wait(struct child *child, const atomic_bool *cancelled, struct error *err)
{
	int status = 0;
	pid_t pid;

	if (child->pid == 0)
		return 0;
	if (read_all_reports(child, cancelled, err) < 0)
		return -1;
	(void)kill(child->pid, SIGKILL);
	do {
		pid = waitpid(child->pid, &status, 0);
	} while (pid < 0 && errno == EINTR);
	child->pid = 0;
	if (pid < 0)
		return error_sys(err, errno, "wait for an unpacking process");
	child->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	child->failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	return 0;
}

bool child_error(const struct child *child, struct error *err)
{
	struct report_header header;
	struct error ignored;
	const char *data;
	size_t offset = 0;

	while (report_next(&child->reports, &offset, &header, &data, &ignored) > 0) {
		if (header.type == REPORT_ERROR) {
			(void)report_to_error(data, header.len, err);
			return true;
		}
	}
	if (!child->signal || child->signal == SIGPIPE)
		return false;
	(void)error_set(err, ERR_INTERNAL, "unpacking process ended by signal %d", child->signal);
	return true;
}

void child_release(struct child *child)
{
	if (child->pid > 0) {
		(void)kill(child->pid, SIGKILL);
		while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
			;
		child->pid = 0;
	}
	close_fd(&child->socket);
	buffer_release(&child->reports);
}
