#include "runtime/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"

/* 52 numbers of at most 20 digits and a name of 15 bytes: a longer one is not /proc/PID/stat. */
#define STAT_SIZE 2048

/* The start time is field 22; the name, field 2, stands in brackets and may itself hold blanks and brackets. */
#define FIELDS_AFTER_NAME (22 - 2)

static int parse_start_time(const char *stat, uint64_t *ret_ticks)
{
	const char *p = strrchr(stat, ')');
	char *end;

	for (int i = 0; p && i < FIELDS_AFTER_NAME; i++)
		p = strchr(p + 1, ' ');
	if (!p)
		return -1;
	errno = 0;
	*ret_ticks = strtoull(p + 1, &end, 10);
	return errno || end == p + 1 || *end != ' ' ? -1 : 0;
}

int process_start_time(pid_t pid, uint64_t *ret_ticks, struct error *err)
{
	_cleanup_buffer_ struct buffer stat = BUFFER_INIT(STAT_SIZE);
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (pid <= 0)
		return error_set(err, ERR_NOT_FOUND, "process %d: no such process", pid);
	/* ENOENT before the open, ESRCH between open and read: both map to ERR_NOT_FOUND. */
	if (io_read_file(AT_FDCWD, path, &stat, err) < 0)
		return error_prefix(err, "process %d", pid);
	if (!stat.data || parse_start_time(stat.data, ret_ticks) < 0)
		return error_set(err, ERR_INTERNAL, "process %d: %s is malformed", pid, path);
	return 0;
}

int process_open(pid_t pid, uint64_t start_ticks, struct error *err)
{
	_cleanup_fd_ int pidfd = -1;
	uint64_t ticks = 0;

	if (pid <= 0)
		return error_set(err, ERR_NOT_FOUND, "process %d: no such process", pid);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return error_sys(err, errno, "open process %d", pid);
	/* Read after the open: if the pid changed hands before it, the descriptor and these ticks are the newcomer's. */
	if (process_start_time(pid, &ticks, err) < 0)
		return -1;
	if (ticks != start_ticks)
		return error_set(err, ERR_NOT_FOUND, "process %d: started at tick %" PRIu64 ", not %" PRIu64 ": it is another one",
				 pid, ticks, start_ticks);
	return steal_fd(&pidfd);
}

int process_signal(int pidfd, int signo, struct error *err)
{
	if (syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) < 0 && errno != ESRCH)
		return error_sys(err, errno, "send signal %d", signo);
	return 0;
}

int boot_id_read(char id[BOOT_ID_SIZE], struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(BOOT_ID_SIZE);

	if (io_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &text, err) < 0)
		return -1;
	if (text.len != BOOT_ID_SIZE || text.data[BOOT_ID_SIZE - 1] != '\n')
		return error_set(err, ERR_INTERNAL, "read boot id: '%s' is malformed", text.data ? text.data : "");
	memcpy(id, text.data, BOOT_ID_SIZE - 1);
	id[BOOT_ID_SIZE - 1] = '\0';
	return 0;
}
