/*
 *     configuration ─► own the socket, the directories and the bridge ─► loop ─► node (adopts what runs) ─► server ─► READY=1 ─► loop_run()
 *
 * SIGTERM or SIGINT: the server stops listening and lets calls end, then the node lets its operations end, then the loop stops. Containers
 * go on running. A second signal ends the daemon at once, which is as safe as SIGKILL.
 */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "base/config.h"
#include "base/error.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "cri/server.h"
#include "cri/socket.h"
#include "loop/loop.h"
#include "task/node.h"

struct daemon {
	const struct config *config;
	struct loop loop;
	struct node *node;
	struct server *server;
	struct server_socket socket;
	int root_lock, state_lock, bridge_lock;
	char bridge_lock_path[64];
	bool is_stopping;
};

/* ---- the process ---- */

static void ignore_signal(int signo)
{
	(void)signo;
}

/* A handler, not SIG_IGN: exec resets the one and keeps the other, and containers want their SIGPIPE. */
static void survive_closed_pipes(void)
{
	struct sigaction action = { .sa_handler = ignore_signal, .sa_flags = SA_RESTART };

	(void)sigaction(SIGPIPE, &action, NULL);
}

/* Nobody but root may look into us or trace us, and no core file holds registry credentials. The leak check of the address sanitizer
 * traces its own process. */
static void forbid_tracing(void)
{
#ifndef __SANITIZE_ADDRESS__
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

static int become_daemon(const struct config *config, struct error *err)
{
	int level = log_parse_level(config->log_level);

	if (geteuid() != 0)
		return error_set(err, ERR_DENIED, "must run as root: it makes namespaces, mounts and cgroups");
	log_set_level(level < 0 ? LOG_LEVEL_INFO : (enum log_level)level);
	(void)umask(0077);
	/* glibc gives each lane thread an arena of its own, and each keeps what one pod left in it: over 1,000 pods 3.4 MB became
	 * 4.0 with one arena and 5.6 with many. Threads here wait for the kernel, not for malloc. */
	(void)mallopt(M_ARENA_MAX, 1);
	survive_closed_pipes();
	forbid_tracing();
	return 0;
}

/* ---- directories ---- */

static int check_private(int fd, const char *path, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "look at %s", path);
	if (st.st_uid != 0)
		return error_set(err, ERR_DENIED, "%s belongs to user %u: must be root's", path, (unsigned)st.st_uid);
	if ((st.st_mode & 0077) != 0)
		return error_set(err, ERR_DENIED, "%s has mode %04o, open to others: must be 0700", path,
				 (unsigned)(st.st_mode & 07777));
	return 0;
}

/* How long a daemon that was killed may live on in copies of its descriptors, which its children hold until they have exec'd. */
#define LOCK_PATIENCE_MS 2000

static int lock_patiently(int fd)
{
	for (int waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited_ms += 10) {
		const struct timespec pause = { .tv_nsec = 10000000 };

		if (errno != EWOULDBLOCK || waited_ms >= LOCK_PATIENCE_MS)
			return -1;
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

/* Ours alone: of root, closed to others, and of one daemon at a time. *ret_lock holds it until the process ends. */
static int own_directory(const char *path, int *ret_lock, struct error *err)
{
	_cleanup_fd_ int dir = -1;
	_cleanup_fd_ int lock = -1;

	if (io_make_dirs(path, 0700, err) < 0)
		return -1;
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_sys(err, errno, "open %s", path);
	if (check_private(dir, path, err) < 0)
		return -1;
	lock = openat(dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (lock < 0)
		return error_sys(err, errno, "open %s/lock", path);
	if (lock_patiently(lock) < 0)
		return error_sys(err, errno, "%s is in use by another daemon", path);
	*ret_lock = steal_fd(&lock);
	return 0;
}

/* True when the locked file is the one that the path still names: a daemon that ended may have taken the name away meanwhile. */
static bool is_current(int fd, const char *path)
{
	struct stat held, named;

	return fstat(fd, &held) == 0 && lstat(path, &named) == 0 && held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

static int lock_file(const char *path, int *ret_lock, struct error *err)
{
	for (;;) {
		_cleanup_fd_ int lock = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

		if (lock < 0)
			return error_sys(err, errno, "open %s", path);
		if (lock_patiently(lock) < 0)
			return error_sys(err, errno, "%s", path);
		if (is_current(lock, path)) {
			*ret_lock = steal_fd(&lock);
			return 0;
		}
	}
}

/* Two daemons on one bridge would take each other's links for leftovers. The lock is outside both directories, since those differ, and
 * names the network namespace, since bridges of two namespaces have nothing to do with each other. */
static int own_bridge(struct daemon *daemon, struct error *err)
{
	struct stat netns;

	if (stat("/proc/self/ns/net", &netns) < 0)
		return error_sys(err, errno, "look at the network namespace");
	(void)snprintf(daemon->bridge_lock_path, sizeof(daemon->bridge_lock_path), "/run/monopod-%lu-%.15s.lock",
		       (unsigned long)netns.st_ino, daemon->config->bridge);
	if (lock_file(daemon->bridge_lock_path, &daemon->bridge_lock, err) < 0)
		return error_prefix(err, "bridge %s (net.bridge) is in use by another daemon", daemon->config->bridge);
	return 0;
}

static void release_bridge(struct daemon *daemon)
{
	if (daemon->bridge_lock >= 0)
		(void)unlink(daemon->bridge_lock_path);
	close_fd(&daemon->bridge_lock);
}

static int own_socket(struct daemon *daemon, struct error *err)
{
	_cleanup_free_
	char *copy = strdup(daemon->config->socket);

	if (!copy)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (io_make_dirs(dirname(copy), 0755, err) < 0)
		return -1;
	return server_socket_open(daemon->config->socket, &daemon->socket, err);
}

static int own_directories(struct daemon *daemon, struct error *err)
{
	if (own_directory(daemon->config->root_dir, &daemon->root_lock, err) < 0)
		return -1;
	if (strcmp(daemon->config->root_dir, daemon->config->state_dir) != 0 &&
	    own_directory(daemon->config->state_dir, &daemon->state_lock, err) < 0)
		return -1;
	return own_bridge(daemon, err);
}

/* ---- systemd ---- */

/* sd_notify(3): one datagram to the address in NOTIFY_SOCKET, where '@' stands for an abstract socket's NUL. */
static void notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;
	_cleanup_fd_ int fd = -1;

	if (len < 2 || len >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, len);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		log_warn("serve", "notify %s: %s", path, strerrordesc_np(errno));
}

/* What systemd told us is not for containers or their hooks. */
static void forget_environment(void)
{
	static const char *const names[] = { "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)unsetenv(names[i]);
}

/* ---- life and end ---- */

static void on_node_closed(void *arg)
{
	struct daemon *daemon = arg;

	loop_stop(&daemon->loop);
}

static void on_server_closed(void *arg)
{
	struct daemon *daemon = arg;

	node_close(daemon->node, on_node_closed, daemon);
}

static void on_signal(void *arg, int signo)
{
	struct daemon *daemon = arg;

	if (signo == SIGHUP) {
		log_info("serve", "SIGHUP: nothing to reload");
		return;
	}
	if (daemon->is_stopping || !daemon->server) {
		log_warn("serve", "second signal %d: ending at once", signo);
		_exit(128 + signo);
	}
	log_info("serve", "signal %d: ending; containers go on running", signo);
	daemon->is_stopping = true;
	notify("STOPPING=1");
	server_close(daemon->server, on_server_closed, daemon);
}

static int serve(struct daemon *daemon, struct error *err)
{
	if (node_open(&daemon->loop, daemon->config, &daemon->node, err) < 0)
		return -1;
	if (server_open(&daemon->loop, daemon->config, &daemon->socket, daemon->node, &daemon->server, err) < 0) {
		on_server_closed(daemon);
		loop_run(&daemon->loop);
		return -1;
	}
	forget_environment();
	log_info("serve", "monopod %s serves on %s", MONOPOD_VERSION, daemon->config->socket);
	notify("READY=1");
	loop_run(&daemon->loop);
	return 0;
}

/* The server's budget is counted down by the last answers, so it goes after the node. */
static void release(struct daemon *daemon)
{
	if (daemon->node)
		node_free(daemon->node);
	loop_release(&daemon->loop);
	server_free(daemon->server);
}

static int serve_with_loop(struct daemon *daemon, struct error *err)
{
	int result;

	if (loop_init(&daemon->loop, on_signal, daemon, err) < 0)
		return -1;
	result = serve(daemon, err);
	release(daemon);
	return result;
}

static void release_locks(struct daemon *daemon)
{
	server_socket_close(&daemon->socket);
	release_bridge(daemon);
	close_fd(&daemon->state_lock);
	close_fd(&daemon->root_lock);
}

/* The socket first: it is what a second daemon by mistake has in common with the first, and it has touched nothing when refused. */
static int run(struct daemon *daemon, struct error *err)
{
	int result = -1;

	if (own_socket(daemon, err) == 0 && own_directories(daemon, err) == 0)
		result = serve_with_loop(daemon, err);
	release_locks(daemon);
	return result;
}

int serve_main(struct config *config, struct error *err)
{
	struct daemon daemon = {
		.config = config, .socket = SERVER_SOCKET_INIT, .root_lock = -1, .state_lock = -1, .bridge_lock = -1
	};

	return become_daemon(config, err) < 0 ? -1 : run(&daemon, err);
}
