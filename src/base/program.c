#include "base/program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/utf8.h"

/* Of one turn, so that a program which never stops writing does not keep us from looking at the clock. */
#define READS_PER_TURN 16

struct running {
	pid_t pid;
	int pidfd;
	int output, words; /* read ends; -1 when at their end */
	int64_t deadline_us;
	struct buffer *ret_output;
	struct program_end *end;
	size_t n_words;
};

/* ---- start ---- */

/* A file instead of a pipe: nothing has to be fed while the program runs. */
static int make_input(const struct program *program, struct error *err)
{
	_cleanup_fd_ int fd = memfd_create("monopod-input", MFD_CLOEXEC);

	if (fd < 0)
		return error_sys(err, errno, "create memory file");
	if (io_write_all(fd, program->input, program->input_len, "input", err) < 0)
		return -1;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_sys(err, errno, "rewind input");
	return steal_fd(&fd);
}

/* Ours does not block; the program's does. */
static int make_pipe(int *ret_ours, int *ret_theirs, struct error *err)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC) < 0)
		return error_sys(err, errno, "make pipe");
	(void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
	*ret_ours = pair[0];
	*ret_theirs = pair[1];
	return 0;
}

static int prepare_files(posix_spawn_file_actions_t *files, const int fds[3])
{
	int result = 0;

	for (int i = 0; i < 3 && result == 0; i++)
		result = posix_spawn_file_actions_adddup2(files, fds[i], i);
	/* those that we were started with ourselves are not close-on-exec */
	return result ? result : posix_spawn_file_actions_addclosefrom_np(files, 3);
}

static int prepare_attributes(posix_spawnattr_t *attr)
{
	sigset_t all, none;
	int result;

	(void)sigfillset(&all);
	(void)sigemptyset(&none);
	result = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	if (result == 0)
		result = posix_spawnattr_setpgroup(attr, 0);
	if (result == 0)
		result = posix_spawnattr_setsigdefault(attr, &all);
	return result ? result : posix_spawnattr_setsigmask(attr, &none);
}

static int spawn_with(const struct program *program, const posix_spawn_file_actions_t *files, const posix_spawnattr_t *attr,
		      pid_t *ret_pid)
{
	static const char *const nothing[] = { NULL };
	const char *const path_alone[] = { program->path, NULL };
	const char *const *argv = program->argv ? program->argv : path_alone;
	const char *const *envp = program->envp ? program->envp : nothing;

	/* execve(2) does not write to the vectors, its prototype only cannot say so */
	return posix_spawn(ret_pid, program->path, files, attr, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)envp);
}

/* Returns an errno. */
static int spawn(const struct program *program, const int fds[3], pid_t *ret_pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int result = posix_spawn_file_actions_init(&files);

	if (result)
		return result;
	result = posix_spawnattr_init(&attr);
	if (result == 0) {
		result = prepare_files(&files, fds);
		if (result == 0)
			result = prepare_attributes(&attr);
		if (result == 0)
			result = spawn_with(program, &files, &attr, ret_pid);
		(void)posix_spawnattr_destroy(&attr);
	}
	(void)posix_spawn_file_actions_destroy(&files);
	return result;
}

static int start(const struct program *program, struct running *run, struct error *err)
{
	_cleanup_fd_ int input = make_input(program, err);
	_cleanup_fd_ int output = -1, words = -1;
	int result;

	if (input < 0 || make_pipe(&run->words, &words, err) < 0)
		return -1;
	if (program->output && make_pipe(&run->output, &output, err) < 0)
		return -1;
	result = spawn(program, (int[]){ input, program->output ? output : words, words }, &run->pid);
	if (result)
		return error_sys(err, result, "start");
	run->pidfd = (int)syscall(SYS_pidfd_open, run->pid, 0);
	return 0;
}

/* ---- while it runs ---- */

static void keep_words(struct running *run, const char *data, size_t n)
{
	const size_t max = PROGRAM_WORDS_SIZE - 1;
	char *words = run->end->words;

	if (n >= max) {
		data += n - max;
		n = max;
	}
	if (run->n_words + n > max) {
		size_t drop = run->n_words + n - max;

		memmove(words, words + drop, run->n_words - drop);
		run->n_words -= drop;
	}
	memcpy(words + run->n_words, data, n);
	run->n_words += n;
	words[run->n_words] = '\0';
}

static int take(struct running *run, const int *fd, const char *data, size_t n, struct error *err)
{
	if (fd == &run->output)
		return buffer_append(run->ret_output, data, n, err);
	keep_words(run, data, n);
	return 0;
}

static int read_turn(struct running *run, int *fd, struct error *err)
{
	char data[4096];

	for (int i = 0; *fd >= 0 && i < READS_PER_TURN; i++) {
		ssize_t n = read(*fd, data, sizeof(data));

		if (n > 0 && take(run, fd, data, (size_t)n, err) < 0)
			return -1;
		if (n < 0)
			return 0;
		if (n == 0)
			close_fd(fd);
	}
	return 0;
}

/* Returns 1 when it has ended. */
static int wait_turn(struct running *run, struct error *err)
{
	struct pollfd p[3] = { { run->pidfd, POLLIN, 0 }, { run->output, POLLIN, 0 }, { run->words, POLLIN, 0 } };
	int64_t left_us = run->deadline_us - clock_monotonic_us();
	int n;

	if (left_us <= 0)
		return error_set(err, ERR_DEADLINE, "timed out");
	n = poll(p, ARRAY_SIZE(p), (int)((left_us + 999) / 1000));
	if (n < 0 && errno != EINTR)
		return error_sys(err, errno, "wait");
	if (n <= 0)
		return 0;
	if (read_turn(run, &run->output, err) < 0 || read_turn(run, &run->words, err) < 0)
		return -1;
	return p[0].revents != 0;
}

/* One line: a terminal or a log takes nothing else from a stranger. */
static void tidy_words(struct running *run)
{
	char *words = run->end->words;

	while (run->n_words > 0 && (unsigned char)words[run->n_words - 1] <= ' ')
		words[--run->n_words] = '\0';
	utf8_tidy(words);
}

/* What it wrote before it ended is in the pipes; one turn would leave the rest of a long answer there. */
static int read_rest(struct running *run, struct error *err)
{
	struct pollfd p = { .fd = run->output, .events = POLLIN };

	while (run->output >= 0 && poll(&p, 1, 0) > 0) {
		if (read_turn(run, &run->output, err) < 0)
			return -1;
	}
	return read_turn(run, &run->words, err);
}

static int attend(struct running *run, struct error *err)
{
	int result = run->pidfd < 0 ? error_set(err, ERR_EXHAUSTED, "no descriptor left") : 0;

	while (result == 0)
		result = wait_turn(run, err);
	if (result > 0)
		result = read_rest(run, err);
	return result;
}

/* The group dies with it when it failed us; a daemon that it left on purpose after a good end lives on. */
static void reap(struct running *run, bool failed)
{
	siginfo_t info = { .si_code = 0 };

	if (failed)
		(void)kill(-run->pid, SIGKILL);
	while (waitid(P_PID, (id_t)run->pid, &info, WEXITED) < 0 && errno == EINTR)
		;
	run->end->code = info.si_code == CLD_EXITED ? info.si_status : -1;
	run->end->signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
	tidy_words(run);
}

int program_run(const struct program *program, struct program_end *ret_end, struct error *err)
{
	struct running run = { .pidfd = -1,
			       .output = -1,
			       .words = -1,
			       .deadline_us = clock_monotonic_us() + (int64_t)program->timeout_ms * 1000,
			       .ret_output = program->output,
			       .end = ret_end };
	int result;

	*ret_end = (struct program_end){ 0 };
	result = start(program, &run, err);
	if (result == 0) {
		result = attend(&run, err);
		reap(&run, result < 0);
	}
	close_fd(&run.pidfd);
	close_fd(&run.output);
	close_fd(&run.words);
	if (result < 0 && err->code == ERR_DEADLINE && *ret_end->words)
		return error_set(err, ERR_DEADLINE, "timed out; its last words: %s", ret_end->words);
	return result;
}
