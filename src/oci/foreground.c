/* A process in the foreground: its signals, its terminal, its end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>

#include "base/mem.h"
#include "oci/container.h"

/* --- terminals --------------------------------------------------------------------------------------------------------- */

int console_send(const char *socket_path, int console, struct error *err)
{
	_cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	/* the name that other runtimes send along */
	struct iovec vector = { (char *)(uintptr_t) "/dev/ptmx", sizeof("/dev/ptmx") - 1 };
	char buffer[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = buffer, .msg_controllen = sizeof(buffer) };
	struct cmsghdr *control = CMSG_FIRSTHDR(&message);

	if (strlen(socket_path) >= sizeof(address.sun_path))
		return error_sys(err, ENAMETOOLONG, "console socket %s", socket_path);
	memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_sys(err, errno, "console socket %s", socket_path);
	control->cmsg_level = SOL_SOCKET;
	control->cmsg_type = SCM_RIGHTS;
	control->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(control), &console, sizeof(int));
	if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0)
		return error_sys(err, errno, "console socket %s", socket_path);
	return 0;
}

void console_resize(int console, const struct process_config *process)
{
	struct winsize size = { .ws_row = process->console_rows, .ws_col = process->console_columns };

	if (process->has_console_size)
		(void)ioctl(console, TIOCSWINSZ, &size);
}

static void follow_size(int console)
{
	struct winsize size;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
		(void)ioctl(console, TIOCSWINSZ, &size);
}

/* Returns true when there is something to put back. */
static bool make_raw(struct termios *ret_before)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, ret_before) < 0)
		return false;
	raw = *ret_before;
	cfmakeraw(&raw);
	return tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

/* --- the wait ---------------------------------------------------------------------------------------------------------- */

struct foreground {
	pid_t pid;
	int pidfd, signals;
	int console;        /* -1: none, or over */
	bool input_over;    /* our standard input */
	char pending[4096]; /* from our input, not yet taken by the terminal */
	size_t n_pending;
};

/* What is for us or cannot be passed on: a child's end, faults of our own, and what asks for a stop of this terminal's job. */
static bool is_passed_on(int signo)
{
	static const int ours[] = { SIGCHLD, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGURG, SIGPIPE };

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		if (ours[i] == signo)
			return false;
	}
	return true;
}

static int open_signals(struct error *err)
{
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	for (int signo = 1; signo < SIGRTMIN; signo++) {
		if (is_passed_on(signo))
			(void)sigaddset(&set, signo);
	}
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? error_sys(err, errno, "receive signals") : fd;
}

static void pass_signals(const struct foreground *f)
{
	struct signalfd_siginfo info;
	struct error ignored = ERROR_INIT;

	while (read(f->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGWINCH && f->console >= 0)
			follow_size(f->console);
		else
			(void)process_signal(f->pidfd, (int)info.ssi_signo, &ignored);
	}
}

/* Blocks as long as nobody reads our output: the terminal's buffer then holds the container back, as it should. */
static void write_out(const char *data, ssize_t n)
{
	while (n > 0) {
		ssize_t written = write(STDOUT_FILENO, data, (size_t)n);

		if (written < 0 && errno == EAGAIN) {
			(void)poll(&(struct pollfd){ .fd = STDOUT_FILENO, .events = POLLOUT }, 1, 1000);
			continue;
		}
		if (written < 0 && errno != EINTR)
			return;
		data += written > 0 ? written : 0;
		n -= written > 0 ? written : 0;
	}
}

/* Returns false when there is nothing more to come. */
static bool copy_output(struct foreground *f)
{
	char data[4096];
	ssize_t n = read(f->console, data, sizeof(data));

	if (n > 0)
		write_out(data, n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		close_fd(&f->console); /* EIO: nobody has the other side open any more */
	return n > 0;
}

static void copy_input(struct foreground *f)
{
	ssize_t n;

	if (f->n_pending == 0) {
		n = read(STDIN_FILENO, f->pending, sizeof(f->pending));
		f->input_over = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
		f->n_pending = n > 0 ? (size_t)n : 0;
	}
	n = f->n_pending > 0 && f->console >= 0 ? write(f->console, f->pending, f->n_pending) : 0;
	if (n > 0) {
		f->n_pending -= (size_t)n;
		memmove(f->pending, f->pending + n, f->n_pending);
	}
}

static int turn(struct foreground *f, bool *ret_ended, struct error *err)
{
	bool input = f->console >= 0 && !f->input_over;
	struct pollfd p[] = {
		{ .fd = f->pidfd, .events = POLLIN },
		{ .fd = f->signals, .events = POLLIN },
		{ .fd = f->console, .events = (short)(POLLIN | (f->n_pending ? POLLOUT : 0)) },
		{ .fd = input && f->n_pending == 0 ? STDIN_FILENO : -1, .events = POLLIN },
	};

	if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
		return error_sys(err, errno, "wait for process %d", f->pid);
	if (p[1].revents)
		pass_signals(f);
	if (p[2].revents & (POLLIN | POLLHUP | POLLERR))
		(void)copy_output(f);
	if (p[3].revents || (p[2].revents & POLLOUT))
		copy_input(f);
	*ret_ended = p[0].revents != 0;
	return 0;
}

static int reap(const struct foreground *f, struct error *err)
{
	siginfo_t info = { .si_pid = 0 };

	if (waitid(P_PIDFD, (id_t)f->pidfd, &info, WEXITED) < 0)
		return error_sys(err, errno, "wait for process %d", f->pid);
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

int foreground_wait(pid_t pid, int pidfd, int console, struct error *err)
{
	struct foreground f = { .pid = pid, .pidfd = pidfd, .console = console, .signals = open_signals(err) };
	struct termios before;
	bool raw = false, ended = false;
	int result = 0;

	if (f.signals < 0)
		return -1;
	if (console >= 0) {
		(void)fcntl(console, F_SETFL, O_RDWR | O_NONBLOCK);
		raw = make_raw(&before);
		follow_size(console);
	}
	while (!ended && result == 0)
		result = turn(&f, &ended, err);
	/* what it wrote last */
	for (int i = 0; i < 256 && f.console >= 0 && copy_output(&f); i++)
		;
	if (raw)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
	(void)close(f.signals);
	close_fd(&f.console);
	return result < 0 ? -1 : reap(&f, err);
}
