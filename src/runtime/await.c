/* What happens to a plan after its wait, heard by whoever has ended that wait by connecting. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"
#include "runtime/launch.h"
#include "runtime/spawner.h"

/* The last report of a plan comes with its times, which nobody wants here. */
#define REPORT_BYTES (sizeof(struct plan_report) + PLAN_MAX_OPS * sizeof(struct plan_time))

static int wait_readable(int fd, int64_t deadline_us, struct error *err)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (;;) {
		int64_t left_us = deadline_us - clock_monotonic_us();
		int result = left_us > 0 ? poll(&p, 1, (int)((left_us + 999) / 1000)) : 0;

		if (result > 0)
			return 0;
		if (left_us <= 0)
			return error_set(err, ERR_DEADLINE, "the process has not come to its command in time");
		if (result < 0 && errno != EINTR)
			return error_sys(err, errno, "wait for the process");
	}
}

int plan_await_exec(int fd, unsigned timeout_ms, struct plan_outcome *ret_outcome, struct error *err)
{
	int64_t deadline_us = clock_monotonic_us() + (int64_t)timeout_ms * 1000;
	_cleanup_free_
	char *data = malloc(REPORT_BYTES);
	struct plan_report last = { 0 };
	ssize_t n;

	if (!data)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	do {
		if (wait_readable(fd, deadline_us, err) < 0)
			return -1;
		n = recv(fd, data, REPORT_BYTES, MSG_DONTWAIT);
		if (n >= (ssize_t)sizeof(last))
			memcpy(&last, data, sizeof(last));
	} while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
	if (n < 0 && errno != ECONNRESET)
		return error_sys(err, errno, "hear the process");
	if (last.kind != PLAN_REPORT_DONE && last.kind != PLAN_REPORT_FAILED)
		return error_set(err, ERR_INTERNAL, "the process ended before its command");
	*ret_outcome = (struct plan_outcome){ last.kind == PLAN_REPORT_FAILED, last.op, last.error, last.status };
	return 0;
}
