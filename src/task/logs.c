#include "task/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/lane.h"
#include "loop/loop.h"
#include "task/log_lines.h"

/* One read(2), and how many of them one wake-up may do: a pipe holds 64 KiB, so one wake-up can empty it without keeping the loop
 * from others for more than some hundred microseconds. */
#define READ_BYTES ((size_t)16 * 1024)
#define READS_PER_WAKEUP 4

/* Reading pauses when this much waits behind a write (arbitrary; four pipes full). */
#define PAUSE_BYTES ((size_t)256 * 1024)

/* A chunk of nothing but newlines grows by a prefix for each; the held-back line comes on top. */
#define BUFFER_MAX (PAUSE_BYTES + READS_PER_WAKEUP * READ_BYTES * (LOG_PREFIX_MAX + 2) + 4 * LOG_LINE_MAX)

/* A buffer over this is given back when it is empty, so that an idle container costs little. */
#define KEEP_BYTES ((size_t)16 * 1024)

/* A local disk that does not take 256 KiB in this time does not work (arbitrary). */
#define WRITE_DEADLINE_MS 30000

#define MAX_STREAMS 2

struct log_stream {
	struct log_pump *pump;
	uv_poll_t poll;
	int fd;
	bool open; /* may still say something */
	bool reading;
	struct log_lines lines;
};

struct log_pump {
	struct loop *loop;
	struct lane *lane;
	char name[16];
	int file_fd;
	int old_fd; /* replaced while a write to it is out */
	struct log_stream streams[MAX_STREAMS];
	unsigned n_streams;
	struct buffer gathered; /* formatted, waits for the lane */
	struct buffer written;  /* in the lane's hands while `writing` */
	int write_fd;
	struct job write_job;
	bool writing;
	bool stalled; /* the write missed its deadline and goes on; what comes is dropped */
	uint64_t dropped_bytes;
	bool warned;
	uv_timer_t grace;
	bool ending, completed;
	log_finished_cb *on_finished;
	void *arg;
	unsigned handles; /* uv handles and the job, before the memory can go */
};

static void advance(struct log_pump *pump);

/* ---- the file, in a lane ---- */

static int open_log(const char *path, struct error *err)
{
	_cleanup_free_
	char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	int fd;

	if (!slash || slash == dir)
		return error_set(err, dir ? ERR_INVALID : ERR_EXHAUSTED, "open log %s: %s", path,
				 dir ? "no directory" : "out of memory");
	*slash = '\0';
	if (io_make_dirs(dir, 0755, err) < 0)
		return error_prefix(err, "open log %s", path);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW, 0640);
	return fd < 0 ? error_sys(err, errno, "open log %s", path) : fd;
}

int log_file_open(const char *path, struct error *err)
{
	mode_t before = umask(0022); /* a lane's thread has a umask of its own */
	int fd = open_log(path, err);

	(void)umask(before);
	return fd;
}

/* A write that fails half way leaves no torn line behind. */
static int write_log(struct job *job, struct error *err)
{
	struct log_pump *pump = container_of(job, struct log_pump, write_job);
	off_t end = lseek(pump->write_fd, 0, SEEK_END);
	int result = io_write_all(pump->write_fd, pump->written.data, pump->written.len, "log", err);

	if (result < 0 && end >= 0 && ftruncate(pump->write_fd, end) < 0)
		(void)error_prefix(err, "a torn line stays");
	return result;
}

/* ---- memory ---- */

static void drop_handle(struct log_pump *pump)
{
	if (--pump->handles > 0)
		return;
	for (unsigned i = 0; i < pump->n_streams; i++)
		log_lines_release(&pump->streams[i].lines);
	buffer_release(&pump->gathered);
	buffer_release(&pump->written);
	close_fd(&pump->file_fd);
	close_fd(&pump->old_fd);
	free(pump);
}

static void on_timer_closed(uv_handle_t *timer)
{
	struct log_pump *pump = timer->data;

	if (pump->on_finished)
		pump->on_finished(pump->arg);
	drop_handle(pump);
}

static void on_stream_closed(uv_handle_t *poll)
{
	struct log_stream *stream = poll->data;

	close_fd(&stream->fd);
	drop_handle(stream->pump);
}

/* ---- writing ---- */

static void count_drop(struct log_pump *pump, size_t len, const char *why)
{
	pump->dropped_bytes += len;
	if (!pump->warned)
		log_warn("log", "container %s: its log loses data: %s", pump->name, why);
	pump->warned = true;
}

static void trim(struct buffer *buffer)
{
	if (buffer->cap > KEEP_BYTES)
		buffer_release(buffer);
	else
		buffer_clear(buffer);
}

static void on_written(struct job *job, int result, const struct error *err)
{
	struct log_pump *pump = container_of(job, struct log_pump, write_job);

	if (result < 0)
		count_drop(pump, pump->written.len, err->text);
	pump->stalled = result < 0 && err->code == ERR_DEADLINE;
}

static void on_write_released(struct job *job)
{
	struct log_pump *pump = container_of(job, struct log_pump, write_job);

	pump->writing = pump->stalled = false;
	trim(&pump->written);
	close_fd(&pump->old_fd);
	if (!pump->completed)
		advance(pump);
	drop_handle(pump);
}

static void write_gathered(struct log_pump *pump)
{
	struct error err = ERROR_INIT;
	struct buffer empty = pump->written;

	pump->written = pump->gathered;
	pump->gathered = empty;
	pump->write_fd = pump->file_fd;
	pump->write_job = (struct job){
		.name = "log",
		.work = write_log,
		.done = on_written,
		.release = on_write_released,
		.deadline_ms = WRITE_DEADLINE_MS,
		.must_run = true,
	};
	if (lane_submit(pump->lane, &pump->write_job, &err) < 0) {
		count_drop(pump, pump->written.len, err.text);
		trim(&pump->written);
		return;
	}
	pump->writing = true;
	pump->handles++;
}

/* ---- reading ---- */

static void take_bytes(struct log_stream *stream, const char *data, size_t len)
{
	struct log_pump *pump = stream->pump;
	struct error err = ERROR_INIT;

	if (pump->file_fd < 0)
		return;
	if (pump->stalled)
		count_drop(pump, len, "an earlier write hangs");
	else if (log_lines_feed(&stream->lines, data, len, clock_realtime_ns(), &pump->gathered, &err) < 0)
		count_drop(pump, len, err.text);
}

static void end_stream(struct log_stream *stream)
{
	struct log_pump *pump = stream->pump;
	struct error err = ERROR_INIT;

	if (!stream->open)
		return;
	stream->open = stream->reading = false;
	if (pump->file_fd >= 0 && log_lines_end(&stream->lines, clock_realtime_ns(), &pump->gathered, &err) < 0)
		count_drop(pump, stream->lines.held_len, err.text);
	uv_close((uv_handle_t *)&stream->poll, on_stream_closed);
}

/* True while there may be more at once. */
static bool read_some(struct log_stream *stream)
{
	char chunk[READ_BYTES];
	ssize_t n = read(stream->fd, chunk, sizeof(chunk));

	if (n > 0)
		take_bytes(stream, chunk, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR)) /* a pty says EIO when its last user has gone */
		end_stream(stream);
	return n > 0;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct log_stream *stream = poll->data;

	(void)status;
	(void)events;
	for (int i = 0; i < READS_PER_WAKEUP && read_some(stream); i++)
		;
	advance(stream->pump);
}

static void set_reading(struct log_stream *stream, bool reading)
{
	if (!stream->open || stream->reading == reading)
		return;
	stream->reading = reading;
	if (reading)
		(void)uv_poll_start(&stream->poll, UV_READABLE | UV_DISCONNECT, on_readable);
	else
		(void)uv_poll_stop(&stream->poll);
}

/* ---- the pump ---- */

static bool streams_ended(const struct log_pump *pump)
{
	for (unsigned i = 0; i < pump->n_streams; i++)
		if (pump->streams[i].open)
			return false;
	return true;
}

static void complete(struct log_pump *pump)
{
	pump->completed = true;
	uv_close((uv_handle_t *)&pump->grace, on_timer_closed);
}

/* After every event: writes, pauses or goes on reading, and ends. */
static void advance(struct log_pump *pump)
{
	if (pump->stalled && pump->gathered.len > 0) {
		count_drop(pump, pump->gathered.len, "an earlier write hangs");
		buffer_clear(&pump->gathered);
	}
	if (pump->gathered.len > 0 && !pump->writing)
		write_gathered(pump);
	for (unsigned i = 0; i < pump->n_streams; i++)
		set_reading(&pump->streams[i], pump->gathered.len < PAUSE_BYTES);
	if (pump->ending && !pump->completed && streams_ended(pump) && pump->gathered.len == 0 && (!pump->writing || pump->stalled))
		complete(pump);
}

int log_pump_new(struct loop *loop, struct lane *lane, const char *name, int file_fd, struct log_pump **ret_pump, struct error *err)
{
	struct log_pump *pump = calloc(1, sizeof(*pump));

	if (!pump) {
		close_fd(&file_fd);
		return error_set(err, ERR_EXHAUSTED, "log pump: out of memory");
	}
	pump->loop = loop;
	pump->lane = lane;
	(void)snprintf(pump->name, sizeof(pump->name), "%.12s", name);
	pump->file_fd = file_fd;
	pump->old_fd = -1;
	buffer_init(&pump->gathered, BUFFER_MAX);
	buffer_init(&pump->written, BUFFER_MAX);
	(void)uv_timer_init(&loop->uv, &pump->grace);
	pump->grace.data = pump;
	pump->handles = 1;
	*ret_pump = pump;
	return 0;
}

int log_pump_add(struct log_pump *pump, const char *name, int fd, struct error *err)
{
	struct log_stream *stream = &pump->streams[pump->n_streams];
	int rc = uv_poll_init(&pump->loop->uv, &stream->poll, fd);

	if (rc < 0) {
		close_fd(&fd);
		return error_sys(err, -rc, "poll %s", name);
	}
	pump->n_streams++;
	pump->handles++;
	stream->pump = pump;
	stream->fd = fd;
	stream->open = true;
	stream->poll.data = stream;
	log_lines_init(&stream->lines, name);
	advance(pump);
	return 0;
}

void log_pump_set_file(struct log_pump *pump, int file_fd)
{
	/* A reopen waits in the same lane behind the write that was out, so at most one write holds a file that was replaced. */
	if (pump->writing && pump->old_fd < 0 && pump->write_fd == pump->file_fd)
		pump->old_fd = pump->file_fd;
	else
		close_fd(&pump->file_fd);
	pump->file_fd = file_fd;
}

static void on_grace_over(uv_timer_t *grace)
{
	struct log_pump *pump = grace->data;

	for (unsigned i = 0; i < pump->n_streams; i++) {
		struct log_stream *stream = &pump->streams[i];

		/* What is in the pipe now is still taken; who holds it open may write on into the void. */
		for (int reads = 0; reads < READS_PER_WAKEUP && stream->open && read_some(stream); reads++)
			;
		end_stream(stream);
	}
	advance(pump);
}

void log_pump_finish(struct log_pump *pump, unsigned grace_ms, log_finished_cb *on_finished, void *arg)
{
	if (!pump->ending) {
		pump->on_finished = on_finished;
		pump->arg = arg;
	}
	pump->ending = true;
	if (pump->completed)
		return;
	(void)uv_timer_start(&pump->grace, on_grace_over, grace_ms, 0);
	advance(pump);
}

uint64_t log_pump_dropped(const struct log_pump *pump)
{
	return pump->dropped_bytes;
}
