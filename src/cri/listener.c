#include "cri/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/mem.h"
#include "cri/peer.h"

/* sd_listen_fds(3): SD_LISTEN_FDS_START. */
#define FIRST_INHERITED_FD 3

/* Whoever starts while the node is busy waits here; the kernel cuts it at net.core.somaxconn. */
#define BACKLOG 1024

/* Descriptors come back when connections end. */
#define PAUSE_MS 100

struct listener {
	uv_poll_t poll;
	uv_timer_t pause;
	unsigned n_handles;
	int fd;
	listener_cb *on_connection;
	void *arg;
	char *path; /* NULL: not ours to remove */
	dev_t dev;
	ino_t ino;
};

static int make_address(const char *path, struct sockaddr_un *ret_address, struct error *err)
{
	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (path[0] != '/' || strlen(path) >= sizeof(ret_address->sun_path))
		return error_set(err, ERR_INVALID, "socket path %s: must be absolute and shorter than %zu bytes", path,
				 sizeof(ret_address->sun_path));
	memcpy(ret_address->sun_path, path, strlen(path) + 1);
	return 0;
}

static int new_socket(struct error *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return error_sys(err, errno, "make a socket");
	return fd;
}

/* 0 when nobody listens on the socket at `address`. EAGAIN is a full backlog: somebody does. */
static int probe(const struct sockaddr_un *address, struct error *err)
{
	_cleanup_fd_ int fd = new_socket(err);

	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
		return error_set(err, ERR_EXISTS, "%s: another daemon answers on this socket", address->sun_path);
	if (errno != ECONNREFUSED)
		return error_sys(err, errno, "%s: probe the socket that is there", address->sun_path);
	return 0;
}

static int remove_stale(const struct sockaddr_un *address, struct error *err)
{
	const char *path = address->sun_path;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : error_sys(err, errno, "look at %s", path);
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, ERR_STATE, "%s: there is something that is not a socket", path);
	if (probe(address, err) < 0)
		return -1;
	if (unlink(path) < 0)
		return error_sys(err, errno, "remove the stale socket %s", path);
	return 0;
}

/* The umask belongs to the process: this runs before the loop does, and lane threads have their own (unshare(CLONE_FS)). */
static int bind_private(int fd, const struct sockaddr_un *address, struct error *err)
{
	mode_t before = umask(0177);
	int result = bind(fd, (const struct sockaddr *)address, sizeof(*address));
	int bind_errno = errno;

	(void)umask(before);
	if (result < 0)
		return error_sys(err, bind_errno, "bind %s", address->sun_path);
	if (listen(fd, BACKLOG) < 0)
		return error_sys(err, errno, "listen on %s", address->sun_path);
	return 0;
}

static int lock_folder(const char *path, struct error *err)
{
	_cleanup_free_
	char *copy = strdup(path);
	_cleanup_fd_ int fd = -1;

	if (!copy)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, errno, "open the folder of %s", path);
	if (flock(fd, LOCK_EX) < 0)
		return error_sys(err, errno, "lock the folder of %s", path);
	return steal_fd(&fd);
}

static int bind_path(const char *path, struct error *err)
{
	_cleanup_fd_ int lock = -1;
	_cleanup_fd_ int fd = -1;
	struct sockaddr_un address;

	if (make_address(path, &address, err) < 0)
		return -1;
	lock = lock_folder(path, err);
	if (lock < 0 || remove_stale(&address, err) < 0)
		return -1;
	fd = new_socket(err);
	if (fd < 0 || bind_private(fd, &address, err) < 0)
		return -1;
	return steal_fd(&fd);
}

/* At most so many at once, for the sake of those who are connected; the rest is accepted at the next turn. */
#define ACCEPTS_PER_TURN 64

static void on_readable(uv_poll_t *poll, int status, int events);

static void resume(uv_timer_t *timer)
{
	struct listener *listener = timer->data;

	(void)uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

static void pause_accepting(struct listener *listener, int sys_errno)
{
	log_warn("cri", "accept a connection: %s; trying again in %d ms", strerrordesc_np(sys_errno), PAUSE_MS);
	(void)uv_poll_stop(&listener->poll);
	(void)uv_timer_start(&listener->pause, resume, PAUSE_MS, 0);
}

static void hand_over(const struct listener *listener, int fd)
{
	struct error err = ERROR_INIT;

	if (peer_check_root(fd, &err) < 0) {
		log_warn("cri", "%s", err.text);
		close_fd(&fd);
		return;
	}
	listener->on_connection(fd, listener->arg);
}

/* Errors that belong to the connection (ECONNABORTED) or to nobody (EINTR) concern us no further than the next attempt. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct listener *listener = poll->data;

	(void)status;
	(void)events;
	for (int n = 0; n < ACCEPTS_PER_TURN; n++) {
		int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0)
			hand_over(listener, fd);
		else if (errno == EAGAIN)
			return;
		else if (errno != ECONNABORTED && errno != EINTR)
			return pause_accepting(listener, errno);
	}
}

static void on_closed(uv_handle_t *handle)
{
	struct listener *listener = handle->data;

	if (--listener->n_handles > 0)
		return;
	close_fd(&listener->fd);
	free(listener->path);
	free(listener);
}

static void close_handles(struct listener *listener)
{
	uv_close((uv_handle_t *)&listener->poll, on_closed);
	uv_close((uv_handle_t *)&listener->pause, on_closed);
}

/* uv_poll_init() also makes the descriptor non-blocking, which an inherited one may not be. */
static int init_handles(struct listener *listener, uv_loop_t *loop, int fd, struct error *err)
{
	int result = uv_poll_init(loop, &listener->poll, fd);

	if (result != 0)
		return error_sys(err, -result, "watch the listening socket");
	/* Cannot fail (libuv 1.44). */
	(void)uv_timer_init(loop, &listener->pause);
	listener->poll.data = listener->pause.data = listener;
	listener->n_handles = 2;
	return 0;
}

int listener_adopt(uv_loop_t *loop, int fd, listener_cb *on_connection, void *arg, struct listener **ret_listener,
		   struct error *err)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (!listener)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a listener");
	if (init_handles(listener, loop, fd, err) < 0) {
		free(listener);
		return -1;
	}
	listener->fd = fd;
	listener->on_connection = on_connection;
	listener->arg = arg;
	resume(&listener->pause);
	*ret_listener = listener;
	return 0;
}

/* Remembers which file it is, so that only that one is removed. */
static int own_path(struct listener *listener, const char *path, struct error *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return error_sys(err, errno, "look at %s", path);
	listener->path = strdup(path);
	if (!listener->path)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	listener->dev = st.st_dev;
	listener->ino = st.st_ino;
	return 0;
}

int listener_open(uv_loop_t *loop, const char *path, listener_cb *on_connection, void *arg, struct listener **ret_listener,
		  struct error *err)
{
	_cleanup_fd_ int fd = bind_path(path, err);
	struct listener *listener;

	if (fd < 0)
		return -1;
	if (listener_adopt(loop, fd, on_connection, arg, &listener, err) < 0)
		return -1;
	(void)steal_fd(&fd); /* the listener's now */
	if (own_path(listener, path, err) < 0) {
		listener_close(listener);
		return -1;
	}
	*ret_listener = listener;
	return 0;
}

static int option_of(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -1 : value;
}

static bool listens(int fd)
{
	return option_of(fd, SO_DOMAIN) == AF_UNIX && option_of(fd, SO_TYPE) == SOCK_STREAM && option_of(fd, SO_ACCEPTCONN) == 1;
}

static long number_in(const char *variable)
{
	const char *text = getenv(variable);
	char *end;
	long value;

	if (!text || !*text)
		return -1;
	value = strtol(text, &end, 10);
	return *end ? -1 : value;
}

int listener_inherited_fd(void)
{
	long count = number_in("LISTEN_FDS");

	if (number_in("LISTEN_PID") != (long)getpid() || count <= 0 || count > 65536)
		return -1;
	for (int fd = FIRST_INHERITED_FD; fd < FIRST_INHERITED_FD + (int)count; fd++) {
		if (listens(fd) && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
			return fd;
	}
	return -1;
}

static void remove_own(const struct listener *listener)
{
	struct stat st;

	if (lstat(listener->path, &st) == 0 && st.st_dev == listener->dev && st.st_ino == listener->ino)
		(void)unlink(listener->path);
}

void listener_close(struct listener *listener)
{
	if (listener->path)
		remove_own(listener);
	close_handles(listener);
}
