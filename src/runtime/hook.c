/* Hooks that run outside of the container: in the namespaces of whoever starts it. */
#include "runtime/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "runtime/kernel.h"

/* The end of what a hook says, for its error (arbitrary: a sentence or two). */
#define TAIL_SIZE 256

struct running {
	pid_t pid;
	int pidfd;
	int output; /* read end */
	int64_t deadline_us;
	char tail[TAIL_SIZE + 1];
	size_t n_tail;
};

int hook_state_open(struct error *err)
{
	int fd = memfd_create("monopod-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 ? error_sys(err, errno, "create memory file") : fd;
}

int hook_state_fill(int fd, const char *state, size_t length, struct error *err)
{
	if (io_write_all(fd, state, length, "state for hooks", err) < 0)
		return -1;
	if (lseek(fd, 0, SEEK_SET) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return error_sys(err, errno, "seal state for hooks");
	return 0;
}

int hook_host_tree(struct error *err)
{
	int fd = sys_open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	return fd < 0 ? error_sys(err, errno, "copy the host's mounts") : fd;
}

static int prepare_files(posix_spawn_file_actions_t *files, int state, int output)
{
	int result = posix_spawn_file_actions_adddup2(files, state, 0);

	if (result == 0)
		result = posix_spawn_file_actions_adddup2(files, output, 1);
	return result ? result : posix_spawn_file_actions_adddup2(files, output, 2);
}

/* A group of its own, to be killed as one; signals as a program expects them. */
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

/* Returns an errno. */
static int spawn(const struct hook_spec *hook, int state, int output, pid_t *ret_pid)
{
	static const char *const no_environment[] = { NULL };
	const char *const path_alone[] = { hook->path, NULL };
	const char *const *argv = hook->argv ? hook->argv : path_alone, *const *envp = hook->envp ? hook->envp : no_environment;
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int result = posix_spawn_file_actions_init(&files);

	if (result)
		return result;
	result = posix_spawnattr_init(&attr);
	if (result == 0) {
		result = prepare_files(&files, state, output);
		if (result == 0)
			result = prepare_attributes(&attr);
		/* execve(2) does not write to the vectors, its prototype only cannot say so */
		if (result == 0)
			result = posix_spawn(ret_pid, hook->path, &files, &attr, (char *const *)(uintptr_t)argv,
					     (char *const *)(uintptr_t)envp);
		(void)posix_spawnattr_destroy(&attr);
	}
	(void)posix_spawn_file_actions_destroy(&files);
	return result;
}

static void keep_tail(struct running *hook, const char *data, size_t n)
{
	if (n >= TAIL_SIZE) {
		data += n - TAIL_SIZE;
		n = TAIL_SIZE;
	}
	if (hook->n_tail + n > TAIL_SIZE) {
		size_t drop = hook->n_tail + n - TAIL_SIZE;

		memmove(hook->tail, hook->tail + drop, hook->n_tail - drop);
		hook->n_tail -= drop;
	}
	memcpy(hook->tail + hook->n_tail, data, n);
	hook->n_tail += n;
	hook->tail[hook->n_tail] = '\0';
}

/* Takes what there is. A helper that a hook leaves behind may hold the pipe for ever: its end is not waited for. */
static void read_output(struct running *hook)
{
	char data[4096];
	ssize_t n;

	for (int i = 0; i < 16; i++) {
		n = read(hook->output, data, sizeof(data));
		if (n > 0)
			keep_tail(hook, data, (size_t)n);
		else if (n == 0)
			close_fd(&hook->output);
		if (n <= 0)
			return;
	}
}

/* True when it has ended in time. */
static bool await_end(struct running *hook)
{
	for (;;) {
		struct pollfd p[2] = { { .fd = hook->pidfd, .events = POLLIN }, { .fd = hook->output, .events = POLLIN } };
		int64_t left_us = hook->deadline_us - clock_monotonic_us();
		int result = left_us > 0 ? poll(p, 2, (int)((left_us + 999) / 1000)) : 0;

		if (left_us <= 0 || (result < 0 && errno != EINTR))
			return false;
		if (result > 0 && p[1].revents)
			read_output(hook);
		if (result > 0 && p[0].revents)
			return true;
	}
}

/* One line: a terminal or a log takes nothing else from a hook. */
static const char *last_words(struct running *hook)
{
	if (hook->output >= 0)
		read_output(hook);
	while (hook->n_tail > 0 && (unsigned char)hook->tail[hook->n_tail - 1] <= ' ')
		hook->tail[--hook->n_tail] = '\0';
	for (size_t i = 0; i < hook->n_tail; i++) {
		if ((unsigned char)hook->tail[i] < ' ' || hook->tail[i] == 0x7f)
			hook->tail[i] = ' ';
	}
	return hook->tail;
}

static int judge(const struct hook_spec *spec, struct running *hook, const siginfo_t *info, struct error *err)
{
	const char *words = last_words(hook);

	if (info->si_code == CLD_EXITED && info->si_status == 0)
		return 0;
	return error_set(err, ERR_STATE, "run hook %s: %s %d%s%s", spec->path,
			 info->si_code == CLD_EXITED ? "exit code" : "killed by signal", info->si_status, *words ? ": " : "",
			 words);
}

static int attend(const struct hook_spec *spec, struct running *hook, struct error *err)
{
	siginfo_t info = { .si_code = 0 };
	bool ended;

	hook->pidfd = sys_pidfd_open(hook->pid, 0);
	ended = hook->pidfd >= 0 && await_end(hook);
	if (!ended)
		(void)kill(-hook->pid, SIGKILL);
	while (waitid(P_PID, (id_t)hook->pid, &info, WEXITED) < 0 && errno == EINTR)
		;
	if (!ended && hook->pidfd >= 0)
		return error_set(err, ERR_DEADLINE, "run hook %s: timed out", spec->path);
	return ended ? judge(spec, hook, &info, err) : error_set(err, ERR_EXHAUSTED, "run hook %s: no descriptor", spec->path);
}

int hook_run(const struct hook_spec *spec, const char *state, size_t length, struct error *err)
{
	unsigned timeout_ms = spec->timeout_ms ? spec->timeout_ms : HOOK_TIMEOUT_MS;
	struct running hook = { .pidfd = -1, .output = -1, .deadline_us = clock_monotonic_us() + (int64_t)timeout_ms * 1000 };
	_cleanup_fd_ int file = hook_state_open(err);
	int pair[2], result;

	if (file < 0 || hook_state_fill(file, state, length, err) < 0)
		return -1;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return error_sys(err, errno, "run hook %s: make pipe", spec->path);
	(void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
	hook.output = pair[0];
	result = spawn(spec, file, pair[1], &hook.pid);
	(void)close(pair[1]);
	result = result ? error_sys(err, result, "run hook %s", spec->path) : attend(spec, &hook, err);
	close_fd(&hook.pidfd);
	close_fd(&hook.output);
	return result;
}

int hook_run_all(const struct hook_spec *hooks, size_t n, const char *state, size_t length, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		if (hook_run(&hooks[i], state, length, err) < 0)
			return -1;
	}
	return 0;
}
