/* What the daemon hears. A write to a daemon that has given up ends this process by SIGPIPE: nothing goes on unobserved. */
#include <linux/errno.h>
#include <linux/socket.h>
#include <linux/time.h>

#include "runtime/init/run.h"
#include "runtime/init/sys.h"

/* The kernel's struct msghdr and cmsghdr (include/linux/socket.h), which its exported headers leave out. */
struct io_vector {
	const void *base;
	size_t length;
};

struct message_header {
	void *name;
	int n_name;
	struct io_vector *vectors;
	size_t n_vectors;
	void *control;
	size_t n_control;
	unsigned flags;
};

struct control_header {
	size_t length;
	int level;
	int type;
};

#define SOL_SOCKET 1
#define SCM_RIGHTS 1

uint64_t now_us(void)
{
	struct {
		int64_t seconds, nanoseconds;
	} t = { 0, 0 };

	/* a filter that forbids it leaves a zero: times are for information */
	(void)SYS(clock_gettime, 1 /* CLOCK_MONOTONIC */, &t);
	return (uint64_t)t.seconds * 1000000 + (uint64_t)t.nanoseconds / 1000;
}

static int send(const struct run *run, const void *data, size_t size)
{
	long n = SYS(write, run->report, data, size);

	return n < 0 ? (int)n : 0;
}

void report_failed(const struct run *run, uint32_t op, int error)
{
	struct plan_report report = {
		.kind = PLAN_REPORT_FAILED, .op = op, .error = error, .status = run->hook_status, .began_us = run->began_us
	};

	(void)send(run, &report, sizeof(report));
}

int report_forked(const struct run *run, int pid)
{
	struct plan_report report = { .kind = PLAN_REPORT_FORKED, .op = run->plan->current, .pid = pid, .began_us = run->began_us };

	return send(run, &report, sizeof(report));
}

int report_sync(const struct run *run)
{
	struct plan_report report = { .kind = PLAN_REPORT_SYNC, .op = run->plan->current, .began_us = run->began_us };

	return send(run, &report, sizeof(report));
}

int report_console(const struct run *run, int master)
{
	struct plan_report report = { .kind = PLAN_REPORT_CONSOLE, .op = run->plan->current, .began_us = run->began_us };
	struct io_vector vector = { &report, sizeof(report) };
	struct {
		struct control_header header;
		int fd;
		int padding;
	} control = { { sizeof(struct control_header) + sizeof(int), SOL_SOCKET, SCM_RIGHTS }, master, 0 };
	struct message_header message = { .vectors = &vector, .n_vectors = 1, .control = &control, .n_control = sizeof(control) };
	long n = SYS(sendmsg, run->report, &message, 0);

	return n < 0 ? (int)n : 0;
}

int report_done(const struct run *run)
{
	struct plan_report *report = (struct plan_report *)(void *)((char *)run->plan + run->plan->report);
	struct plan_time *times = (struct plan_time *)(void *)(report + 1);

	/* the last operation ends elsewhere: only its beginning is known */
	times[run->plan->current].start_us = (uint32_t)(now_us() - run->began_us);
	report->kind = PLAN_REPORT_DONE;
	report->op = run->plan->current;
	report->began_us = run->began_us;
	return send(run, report, sizeof(*report) + run->plan->n_ops * sizeof(struct plan_time));
}
