#include "cri/socket.h"

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
#include <time.h>

#include "base/log.h"
#include "base/mem.h"

/* sd_listen_fds(3): SD_LISTEN_FDS_START. */
#define FIRST_INHERITED_FD 3

/* Whoever starts while the node is busy waits here; the kernel cuts it at net.core.somaxconn. */
#define BACKLOG 1024

/* Far longer than a bind (arbitrary). */
#define LOCK_PATIENCE_MS 2000

/* ---- bound by us ---- */

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

/* Another daemon holds it for as long as it takes to bind; anybody who may open the folder could hold it for ever. */
static int await_lock(int fd)
{
	const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };

	for (int tries = LOCK_PATIENCE_MS / 20; flock(fd, LOCK_EX | LOCK_NB) < 0; tries--) {
		if ((errno != EWOULDBLOCK && errno != EINTR) || tries == 0)
			return -1;
		(void)nanosleep(&pause, NULL);
	}
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
	if (await_lock(fd) < 0)
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

/* Remembers which file it is, so that only that one is removed. */
static int own_path(struct server_socket *sock, const char *path, struct error *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return error_sys(err, errno, "look at %s", path);
	sock->path = strdup(path);
	if (!sock->path)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	sock->dev = st.st_dev;
	sock->ino = st.st_ino;
	return 0;
}

static int bind_own(struct server_socket *sock, const char *path, struct error *err)
{
	sock->fd = bind_path(path, err);
	if (sock->fd < 0)
		return -1;
	return own_path(sock, path, err);
}

/* ---- handed over ---- */

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

static int inherited_fd(void)
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

/* ---- either ---- */

int server_socket_open(const char *path, struct server_socket *ret_socket, struct error *err)
{
	struct server_socket sock = SERVER_SOCKET_INIT;

	sock.fd = inherited_fd();
	if (sock.fd >= 0) {
		log_info("cri", "listening on the socket that was handed over as descriptor %d", sock.fd);
	} else if (bind_own(&sock, path, err) < 0) {
		server_socket_close(&sock);
		return -1;
	}
	*ret_socket = sock;
	return 0;
}

static void remove_file(const struct server_socket *sock)
{
	struct stat st;

	if (lstat(sock->path, &st) == 0 && st.st_dev == sock->dev && st.st_ino == sock->ino)
		(void)unlink(sock->path);
}

void server_socket_close(struct server_socket *sock)
{
	if (sock->path)
		remove_file(sock);
	close_fd(&sock->fd);
	free(sock->path);
	*sock = (struct server_socket)SERVER_SOCKET_INIT;
}
