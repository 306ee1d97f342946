#include "image/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "image/child.h"

#define CHUNK ((size_t)128 * 1024)

/* Two chunks: one is written while the other is read, with fewer changes between the processes than the usual 64 KiB would take. */
#define PIPE_BYTES (2 * (int)CHUNK)

/* Ten times the largest distribution image; overlayfs and the disk would take more. */
#define MAX_INODES 2000000

/* What one compressed byte may become once a layer is larger than FREE_BYTES. deflate cannot exceed 1032 (zlib's technical
 * documentation), so this stops nothing but bombs. */
#define MAX_RATIO 2000
#define FREE_BYTES ((uint64_t)1 << 30)

struct unpack {
	struct unpack_options options;
	struct child inflater, unpacker;
	int input; /* to the inflater */
	int plain; /* from the inflater; the pump's, as is the next */
	int tar;   /* to the unpacker */
	pthread_t pump;
	bool pumping;
	atomic_bool input_ended;
	struct digest compressed_digest, plain_digest;
	_Atomic uint64_t compressed_bytes;
	uint64_t plain_bytes;
	struct error pump_error;
	bool pump_failed;
	struct error failure; /* what ended the children, when failed */
	bool failed;
};

static bool is_cancelled(const struct unpack *u)
{
	return u->options.cancelled && atomic_load(u->options.cancelled);
}

static int check_patience(const struct unpack *u, int64_t since_us, struct error *err)
{
	if (is_cancelled(u))
		return error_set(err, ERR_CANCELLED, "cancelled");
	if (clock_monotonic_us() - since_us > CHILD_STALL_LIMIT_MS * INT64_C(1000))
		return error_set(err, ERR_DEADLINE, "the unpacking processes have not moved for %d s", CHILD_STALL_LIMIT_MS / 1000);
	return 0;
}

/* Waits a while until `fd` can be written, and reads what `reporter` (may be NULL) says meanwhile, lest it block on that. */
static int wait_writable(struct unpack *u, int fd, struct child *reporter, int64_t since_us, struct error *err)
{
	struct pollfd fds[2] = { { .fd = fd, .events = POLLOUT }, { .fd = reporter ? reporter->socket : -1, .events = POLLIN } };

	if (check_patience(u, since_us, err) < 0)
		return -1;
	if (poll(fds, 2, CHILD_POLL_MS) < 0 && errno != EINTR)
		return error_sys(err, errno, "wait for an unpacking process");
	return reporter && fds[1].revents ? child_read_reports(reporter, err) : 0;
}

/* Returns 1 when the reader has gone: why, its end will tell. */
static int feed(struct unpack *u, int fd, struct child *reporter, const char *data, size_t len, struct error *err)
{
	int64_t since_us = clock_monotonic_us();

	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n >= 0) {
			data += n;
			len -= (size_t)n;
			since_us = clock_monotonic_us();
			continue;
		}
		if (errno == EPIPE)
			return 1;
		if (errno != EAGAIN && errno != EINTR)
			return error_sys(err, errno, "write to an unpacking process");
		if (wait_writable(u, fd, reporter, since_us, err) < 0)
			return -1;
	}
	return 0;
}

static int check_budget(const struct unpack *u, struct error *err)
{
	uint64_t compressed = atomic_load(&u->compressed_bytes);

	if (u->plain_bytes > u->options.max_bytes)
		return error_set(err, ERR_EXHAUSTED, "layer is larger than the limit of %llu bytes",
				 (unsigned long long)u->options.max_bytes);
	if (u->plain_bytes > FREE_BYTES && u->plain_bytes / MAX_RATIO > compressed)
		return error_set(err, ERR_EXHAUSTED, "layer grows to more than %d times its compressed size", MAX_RATIO);
	return 0;
}

/* Waits for the decompressor. As long as it may get more input, its silence is the source's, which has a limit of its own. */
static int wait_plain(struct unpack *u, struct error *err)
{
	struct pollfd fd = { .fd = u->plain, .events = POLLIN };
	int64_t since_us = clock_monotonic_us();
	int n;

	while ((n = poll(&fd, 1, CHILD_POLL_MS)) <= 0) {
		if (n < 0 && errno != EINTR)
			return error_sys(err, errno, "wait for the decompressor");
		if (!atomic_load(&u->input_ended))
			since_us = clock_monotonic_us();
		if (check_patience(u, since_us, err) < 0)
			return -1;
	}
	return 0;
}

/* Gives the unpacker what the decompressor wrote, without copying it: what is in a pipe cannot be changed any more, so what is read of it
 * afterwards is the same. Returns how many bytes, 0 when there will be no more. */
static ssize_t pass_on(struct unpack *u, size_t max, struct error *err)
{
	int64_t since_us = clock_monotonic_us();
	ssize_t n;

	while ((n = tee(u->plain, u->tar, max, SPLICE_F_NONBLOCK)) < 0) {
		if (errno == EPIPE) /* why, its end will tell */
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return error_sys(err, errno, "write to an unpacking process");
		if (wait_writable(u, u->tar, &u->unpacker, since_us, err) < 0)
			return -1;
	}
	return n;
}

static int read_exactly(int fd, char *data, size_t len, struct error *err)
{
	while (len > 0) {
		ssize_t n = read(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_sys(err, n < 0 ? errno : EPIPE, "read from the decompressor");
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Returns 1 when there is no more to do. */
static int pump_chunk(struct unpack *u, char *chunk, struct error *err)
{
	uint64_t room = u->options.max_bytes - u->plain_bytes;
	ssize_t n;

	if (wait_plain(u, err) < 0)
		return -1;
	n = pass_on(u, room < CHUNK ? (size_t)room + 1 : CHUNK, err);
	if (n <= 0)
		return n < 0 ? -1 : 1;
	if (read_exactly(u->plain, chunk, (size_t)n, err) < 0)
		return -1;
	u->plain_bytes += (uint64_t)n;
	if (is_cancelled(u))
		return error_set(err, ERR_CANCELLED, "cancelled");
	if (check_budget(u, err) < 0)
		return -1;
	return digest_update(&u->plain_digest, chunk, (size_t)n, err);
}

/* The thread between the two children. It closes its descriptors at the end, so that either of them sees the end of the other. */
static void *run_pump(void *arg)
{
	struct unpack *u = arg;
	char *chunk = malloc(CHUNK);
	int result = chunk ? 0 : error_set(&u->pump_error, ERR_EXHAUSTED, "out of memory");

	while (result == 0)
		result = pump_chunk(u, chunk, &u->pump_error);
	u->pump_failed = result < 0;
	free(chunk);
	close_fd(&u->plain);
	close_fd(&u->tar);
	return NULL;
}

static int make_pipe(int *ret_read, int *ret_write, struct error *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_sys(err, errno, "create a pipe");
	(void)fcntl(ends[0], F_SETPIPE_SZ, PIPE_BYTES); /* a smaller one is slower, no more */
	*ret_read = ends[0];
	*ret_write = ends[1];
	return 0;
}

/* Non-blocking on our side only: the two ends of a pipe have flags of their own. */
static int make_feeding_pipe(int *ret_read, int *ret_write, struct error *err)
{
	if (make_pipe(ret_read, ret_write, err) < 0)
		return -1;
	return fcntl(*ret_write, F_SETFL, O_NONBLOCK) < 0 ? error_sys(err, errno, "set a pipe non-blocking") : 0;
}

static int start_inflater(struct unpack *u, struct error *err)
{
	const struct unpack_order order = { .job = JOB_INFLATE };
	_cleanup_fd_ int in = -1;
	_cleanup_fd_ int out = -1;

	if (make_feeding_pipe(&in, &u->input, err) < 0 || make_pipe(&u->plain, &out, err) < 0)
		return -1;
	return child_start(&u->inflater, &order, in, out, -1, err);
}

static int start_unpacker(struct unpack *u, struct error *err)
{
	const struct unpack_order order = {
		.job = JOB_UNTAR,
		.is_layer = u->options.is_layer,
		.lists = u->options.lists,
		.max_bytes = u->options.max_bytes,
		.max_inodes = MAX_INODES,
	};
	_cleanup_fd_ int in = -1;

	if (make_feeding_pipe(&in, &u->tar, err) < 0)
		return -1;
	return child_start(&u->unpacker, &order, in, u->options.lists ? u->options.listing_fd : -1, u->options.dirfd, err);
}

static int start(struct unpack *u, struct error *err)
{
	int result;

	if (digest_begin(&u->compressed_digest, err) < 0 || digest_begin(&u->plain_digest, err) < 0)
		return -1;
	if (start_inflater(u, err) < 0 || start_unpacker(u, err) < 0)
		return -1;
	result = pthread_create(&u->pump, NULL, run_pump, u);
	if (result)
		return error_sys(err, result, "start a thread");
	u->pumping = true;
	return 0;
}

int unpack_begin(const struct unpack_options *options, struct unpack **ret_unpack, struct error *err)
{
	struct unpack *u = calloc(1, sizeof(*u));

	if (!u)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	u->options = *options;
	u->input = u->plain = u->tar = -1;
	child_init(&u->inflater);
	child_init(&u->unpacker);
	if (start(u, err) < 0) {
		unpack_free(u);
		return -1;
	}
	*ret_unpack = u;
	return 0;
}

static void join_pump(struct unpack *u)
{
	close_fd(&u->input);
	atomic_store(&u->input_ended, true);
	if (u->pumping)
		(void)pthread_join(u->pump, NULL);
	u->pumping = false;
}

/* Which of the failures was first: one stops the others, who then see only a closed pipe. */
static int find_failure(struct unpack *u, struct error *err)
{
	if (u->pump_failed) {
		*err = u->pump_error;
		return -1;
	}
	if ((u->inflater.failed && child_error(&u->inflater, err)) || (u->unpacker.failed && child_error(&u->unpacker, err)))
		return -1;
	if (u->inflater.failed || u->unpacker.failed)
		return error_set(err, ERR_INTERNAL, "unpacking process ended early");
	return 0;
}

static int conclude(struct unpack *u, struct error *err)
{
	join_pump(u);
	if (!u->pump_failed) {
		if (child_wait(&u->inflater, u->options.cancelled, err) < 0 ||
		    child_wait(&u->unpacker, u->options.cancelled, err) < 0)
			return -1;
	}
	return find_failure(u, err);
}

/* The children could not read it. Whether that is the transfer's fault, the digest of the whole tells. */
static bool is_worth_hashing(const struct unpack *u)
{
	return u->failed && u->failure.code == ERR_INVALID && u->options.digest;
}

int unpack_write(struct unpack *u, const void *data, size_t len, struct error *err)
{
	int result;

	if (digest_update(&u->compressed_digest, data, len, err) < 0)
		return -1;
	if (u->failed)
		return 0;
	atomic_fetch_add(&u->compressed_bytes, len);
	result = feed(u, u->input, NULL, data, len, err);
	if (result <= 0)
		return result;
	if (conclude(u, &u->failure) == 0)
		(void)error_set(&u->failure, ERR_INTERNAL, "decompressor ended early");
	u->failed = true;
	if (is_worth_hashing(u))
		return 0;
	*err = u->failure;
	return -1;
}

/* Only a directory of this very layer can be marked, whatever the child said. */
static int mark_opaque(struct unpack *u, const char *path, struct error *err)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	_cleanup_fd_ int fd = (int)syscall(SYS_openat2, u->options.dirfd, *path ? path : ".", &how, sizeof(how));

	/* A later entry of the layer took its place. */
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
		return 0;
	if (fd < 0)
		return error_sys(err, errno, "open an opaque directory");
	if (fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
		return error_sys(err, errno, "mark a directory as opaque");
	return 0;
}

static int take_opaque(struct unpack *u, const char *data, size_t len, struct unpack_result *result, struct error *err)
{
	char path[PATH_MAX];

	if (len >= sizeof(path) || memchr(data, '\0', len))
		return error_set(err, ERR_INTERNAL, "unpacking process sent a bad path");
	memcpy(path, data, len);
	path[len] = '\0';
	if (len == 0)
		result->opaque_root = true;
	return mark_opaque(u, path, err);
}

static int take_reports(struct unpack *u, struct unpack_result *result, struct error *err)
{
	struct report_header header = { 0 };
	struct report_done done = { 0 };
	const char *data;
	size_t offset = 0;
	int more;

	while ((more = report_next(&u->unpacker.reports, &offset, &header, &data, err)) > 0) {
		if (header.type == REPORT_OPAQUE && take_opaque(u, data, header.len, result, err) < 0)
			return -1;
		if (header.type == REPORT_DONE && header.len == sizeof(done))
			memcpy(&done, data, sizeof(done));
	}
	if (more < 0)
		return -1;
	if (header.type != REPORT_DONE)
		return error_set(err, ERR_INTERNAL, "unpacking process reported no result");
	result->bytes = done.bytes;
	result->inodes = done.inodes;
	return 0;
}

int unpack_finish(struct unpack *u, struct unpack_result *ret_result, struct error *err)
{
	struct unpack_result result = { 0 };

	if (!u->failed)
		u->failed = conclude(u, &u->failure) < 0;
	if (u->failed && !is_worth_hashing(u)) {
		*err = u->failure;
		return -1;
	}
	if (digest_end(&u->compressed_digest, result.digest, err) < 0)
		return -1;
	if (u->options.digest && strcmp(u->options.digest, result.digest) != 0)
		return error_set(err, ERR_DATA_LOSS, "it turned out to be %s", result.digest);
	if (u->failed) {
		*err = u->failure;
		return -1;
	}
	if (digest_end(&u->plain_digest, result.diff_id, err) < 0 || take_reports(u, &result, err) < 0)
		return -1;
	*ret_result = result;
	return 0;
}

/* Killing comes first: it is what lets the pump see the end. */
void unpack_free(struct unpack *u)
{
	if (!u)
		return;
	child_release(&u->inflater);
	child_release(&u->unpacker);
	join_pump(u);
	close_fd(&u->plain);
	close_fd(&u->tar);
	digest_release(&u->compressed_digest);
	digest_release(&u->plain_digest);
	free(u);
}
