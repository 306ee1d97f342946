/* The server on a real socket: who may connect, who gives way, what misbehaving clients leave behind. */
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <time.h>

#include "test_server.h"

extern char **environ;

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define SETTINGS "\0\0\0\x04\0\0\0\0\0"

struct fixture {
	struct test_server server;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	test_server_init(&f->server);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	test_server_release(&f->server);
	free(f);
	return 0;
}

static int try_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

static int connect_to(const struct test_server *server)
{
	int fd = try_connect(server->socket);

	assert_true(fd >= 0);
	return fd;
}

static void say(int fd, const char *bytes, size_t len)
{
	(void)!send(fd, bytes, len, MSG_NOSIGNAL);
}

/* A connection that is open to HTTP/2: preface, SETTINGS, and the server's own have come. */
static int open_h2(const struct test_server *server)
{
	char bytes[512];
	int fd = connect_to(server);

	say(fd, PREFACE, strlen(PREFACE));
	say(fd, SETTINGS, 9);
	assert_true(read(fd, bytes, sizeof(bytes)) > 9);
	return fd;
}

/* True when the server closed within the time. */
static bool is_closed_within(int fd, int timeout_ms)
{
	char bytes[4096];
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (poll(&p, 1, timeout_ms) > 0) {
		if (read(fd, bytes, sizeof(bytes)) <= 0)
			return true;
	}
	return false;
}

static void pause_ms(long ms)
{
	const struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

	(void)nanosleep(&time, NULL);
}

static bool is_readable_within(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) > 0;
}

/* HEADERS of a call to /test/NAME (four letters), without a body, as literals. */
static void say_headers(int fd, uint32_t stream, const char *name)
{
	char frame[9 + 64] = { 0, 0, 0, 1, 4, (char)(stream >> 24), (char)(stream >> 16), (char)(stream >> 8), (char)stream };
	int len = snprintf(frame + 9, sizeof(frame) - 9,
			   "\x83\x86\x41\x01x\x44\x0a/test/%.4s\x5f\x10"
			   "application/grpc",
			   name);

	frame[2] = (char)len;
	say(fd, frame, 9 + (size_t)len);
}

/* ---- the python client ---- */

static int run_python(const struct test_server *server, const char *what)
{
	char script[4096];
	const char *arguments[] = { "python3", script, server->socket, what, NULL };
	char *const *argv = (char *const *)(uintptr_t)arguments;
	int status = -1;
	pid_t pid;

	(void)snprintf(script, sizeof(script), "%.*sgrpcio_client.py", (int)(strrchr(__FILE__, '/') + 1 - __FILE__), __FILE__);
	assert_int_equal(posix_spawn(&pid, "/usr/bin/python3", NULL, NULL, argv, environ), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* 77: the client's library is not installed. */
static void expect_python(const struct test_server *server, const char *what)
{
	int code = access("/usr/bin/python3", X_OK) == 0 ? run_python(server, what) : 77;

	if (code == 77) {
		print_message("python3-grpcio is not installed\n");
		skip();
	}
	assert_int_equal(code, 0);
}

static void test_grpcio(void **state)
{
	struct fixture *f = *state;

	assert_true(test_server_start(&f->server, NULL));
	expect_python(&f->server, "all");
	assert_int_equal(test_server_stop(&f->server), 0);
}

/* A server that ends lets a call in progress end, and then the client sees it go. */
static void test_shutdown_in_mid_call(void **state)
{
	struct fixture *f = *state;
	int fd;

	assert_true(test_server_start(&f->server, NULL));
	fd = open_h2(&f->server);
	say_headers(fd, 1, "Wait");
	say(fd, "\0\0\x05\0\x01\0\0\0\x01\0\0\0\0\0", 14);
	pause_ms(200); /* the call is in progress now */
	assert_int_equal(kill(f->server.pid, SIGTERM), 0);
	assert_false(is_closed_within(fd, 1000)); /* GOAWAY, and patience */
	assert_true(is_closed_within(fd, SERVER_GRACE_MS + 5000));
	(void)close(fd);
	assert_int_equal(test_server_stop(&f->server), 0);
	assert_int_equal(access(f->server.socket, F_OK), -1);
}

/* ---- the socket ---- */

static void test_mode_and_removal(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_true(test_server_start(&f->server, NULL));
	assert_int_equal(stat(f->server.socket, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(test_server_stop(&f->server), 0);
	assert_int_equal(lstat(f->server.socket, &st), -1);
}

static void test_second_daemon_is_refused(void **state)
{
	struct fixture *f = *state;
	struct test_server second = f->server;
	int status = 0;

	assert_true(test_server_start(&f->server, NULL));
	assert_false(test_server_start(&second, &status));
	assert_int_equal(status, 3);
	(void)close(connect_to(&f->server)); /* the first one is untouched */
	assert_int_equal(test_server_stop(&f->server), 0);
}

static void test_stale_socket_is_replaced(void **state)
{
	struct fixture *f = *state;

	assert_true(test_server_start(&f->server, NULL));
	assert_int_equal(kill(f->server.pid, SIGKILL), 0);
	assert_int_equal(waitpid(f->server.pid, NULL, 0), f->server.pid);
	assert_int_equal(access(f->server.socket, F_OK), 0);
	assert_true(test_server_start(&f->server, NULL));
	(void)close(connect_to(&f->server));
	assert_int_equal(test_server_stop(&f->server), 0);
}

/* Whoever may open the folder can lock it: that delays a daemon, it does not hang it. */
static void test_a_locked_folder_does_not_hang_the_start(void **state)
{
	struct fixture *f = *state;
	int fd = open(f->server.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), status = 0;

	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_SH), 0);
	assert_false(test_server_start(&f->server, &status));
	assert_int_equal(status, 3);
	(void)close(fd);
	assert_true(test_server_start(&f->server, NULL));
	assert_int_equal(test_server_stop(&f->server), 0);
}

static void test_other_files_are_left_alone(void **state)
{
	struct fixture *f = *state;
	int status = 0;
	int fd = open(f->server.socket, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	(void)close(fd);
	assert_false(test_server_start(&f->server, &status));
	assert_int_equal(status, 3);
	assert_int_equal(access(f->server.socket, F_OK), 0);
	assert_int_equal(unlink(f->server.socket), 0);
	assert_int_equal(symlink("/nonexistent", f->server.socket), 0);
	assert_false(test_server_start(&f->server, &status));
	assert_int_equal(status, 3);
}

static int connect_as_nobody(const struct test_server *server)
{
	int fd;

	if (setgid(65534) < 0 || setuid(65534) < 0)
		return 2;
	fd = try_connect(server->socket);
	if (fd < 0)
		return 3;
	say(fd, PREFACE, strlen(PREFACE));
	return is_closed_within(fd, 5000) ? 0 : 4;
}

/* The mode is opened by hand, as a socket unit may do: credentials still count. */
static void test_peers_that_are_not_root_cve_2020_15257(void **state)
{
	struct fixture *f = *state;
	int status = -1;
	pid_t pid;

	if (geteuid() != 0) {
		print_message("needs root, to become somebody else\n");
		skip();
	}
	assert_true(test_server_start(&f->server, NULL));
	assert_int_equal(chmod(f->server.folder, 0755), 0);
	assert_int_equal(chmod(f->server.socket, 0666), 0);
	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(connect_as_nobody(&f->server));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	(void)close(open_h2(&f->server));
	assert_int_equal(test_server_stop(&f->server), 0);
}

/* LISTEN_FDS: descriptor 3 is something else (of an fd store, say), 4 is our socket. */
static int start_activated(struct fixture *f, int listening)
{
	char pid[16];

	if (dup2(listening, 4) != 4 || dup2(STDIN_FILENO, 3) != 3)
		return 10;
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	(void)setenv("LISTEN_PID", pid, 1);
	(void)setenv("LISTEN_FDS", "2", 1);
	return served_main(&f->server.config, STDERR_FILENO);
}

static void test_socket_activation(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char other[128];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), client;

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/activated", f->server.folder);
	(void)snprintf(other, sizeof(other), "%s", address.sun_path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 10), 0);
	(void)fflush(NULL);
	f->server.pid = fork();
	assert_true(f->server.pid >= 0);
	if (f->server.pid == 0)
		exit(start_activated(f, fd));
	(void)close(fd);
	client = try_connect(other);
	assert_true(client >= 0);
	say(client, PREFACE, strlen(PREFACE));
	say(client, SETTINGS, 9);
	{
		char bytes[64];

		assert_true(read(client, bytes, sizeof(bytes)) > 9);
	}
	(void)close(client);
	assert_int_equal(access(f->server.socket, F_OK), -1); /* the configured path was not bound */
	assert_int_equal(test_server_stop(&f->server), 0);
	assert_int_equal(access(other, F_OK), 0); /* systemd's file is systemd's */
	assert_int_equal(unlink(other), 0);
}

/* ---- misbehaviour ---- */

static long rss_kib(pid_t pid)
{
	char path[64];
	long pages = -1;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*s %ld", &pages), 1);
	(void)fclose(file);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Time on a processor so far, in ticks of 10 ms (proc(5), stat, utime and stime). */
static unsigned long cpu_ticks(pid_t pid)
{
	unsigned long user = 0, system_time = 0;
	char path[64];
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system_time), 2);
	(void)fclose(file);
	return user + system_time;
}

static size_t open_descriptors(pid_t pid)
{
	char path[64];
	size_t n = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n;
}

/* For a while, not for a moment: connections that wait in the backlog come and go. */
static void expect_descriptors(const struct test_server *server, size_t wanted)
{
	int steady = 0;

	for (int tries = 0; tries < 1000 && steady < 20; tries++) {
		steady = open_descriptors(server->pid) == wanted ? steady + 1 : 0;
		pause_ms(10);
	}
	assert_int_equal(steady, 20);
}

static void crowd(const struct test_server *server, void (*behave)(int fd))
{
	static int fds[1000];

	for (int i = 0; i < 1000; i++) {
		fds[i] = connect_to(server);
		behave(fds[i]);
	}
	for (int i = 0; i < 1000; i++)
		(void)close(fds[i]);
}

static void be_idle(int fd)
{
	say(fd, PREFACE, strlen(PREFACE));
	say(fd, SETTINGS, 9);
}

static void be_silent(int fd)
{
	(void)fd;
}

static void send_half_a_frame(int fd)
{
	be_idle(fd);
	say(fd, "\0\1\0\x01\x04\0\0\0\x01\x83", 10);
}

static void die_in_mid_call(int fd)
{
	be_idle(fd);
	say_headers(fd, 1, "Wait");
	say(fd, "\0\0\x05\0\x01\0\0\0\x01\0\0\0\0\0", 14);
	say_headers(fd, 3, "Wait");
	say(fd, "\0\0\x03\0\0\0\0\0\x03\0\0\0", 12);
}

/* Asks for more than the socket holds and reads none of it. */
static void never_read(int fd)
{
	be_idle(fd);
	say(fd, "\0\0\x04\x08\0\0\0\0\0\0\x0f\0\0", 13); /* a window of a megabyte for the connection */
	for (uint32_t stream = 1; stream < 8; stream += 2) {
		char data[] = "\0\0\x0c\0\x01\0\0\0\0\0\0\0\0\x07\x0a\x05"
			      "60000";

		say_headers(fd, stream, "Size");
		data[8] = (char)stream;
		say(fd, data, 9 + 12);
	}
}

/* The address sanitizer keeps freed memory in a quarantine, of 256 MiB unless told otherwise, and gives pages back by the clock; leaks are what
 * it reports at the end. The thread sanitizer keeps a shadow of all that was ever touched. */
#if defined(__SANITIZE_ADDRESS__)
#define ALLOWED_GROWTH_KIB (100 * 1024)

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=8:thread_local_quarantine_size_kb=64:allocator_release_to_os_interval_ms=200";
}
#elif defined(__SANITIZE_THREAD__)
#define ALLOWED_GROWTH_KIB (300 * 1024)
#else
#define ALLOWED_GROWTH_KIB 1024
#endif

static void test_crowds(void **state)
{
	void (*const behaviours[])(int) = { be_silent, be_idle, send_half_a_frame, die_in_mid_call, never_read };
	struct fixture *f = *state;
	size_t descriptors;
	long before;

	assert_true(test_server_start(&f->server, NULL));
	crowd(&f->server, be_idle);
	(void)close(open_h2(&f->server));
	pause_ms(200);
	descriptors = open_descriptors(f->server.pid);
	for (size_t i = 0; i < sizeof(behaviours) / sizeof(behaviours[0]); i++)
		crowd(&f->server, behaviours[i]);
	expect_descriptors(&f->server, descriptors);
	pause_ms(1500); /* the server trims its heap a second after a connection has ended */
	before = rss_kib(f->server.pid);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof(behaviours) / sizeof(behaviours[0]); i++)
			crowd(&f->server, behaviours[i]);
	}
	expect_descriptors(&f->server, descriptors);
	for (int tries = 0; tries < 1000 && rss_kib(f->server.pid) > before + ALLOWED_GROWTH_KIB; tries++)
		pause_ms(10);
	print_message("resident: %ld KiB before, %ld KiB after\n", before, rss_kib(f->server.pid));
	assert_true(rss_kib(f->server.pid) <= before + ALLOWED_GROWTH_KIB);
	expect_python(&f->server, "settled");
	assert_int_equal(test_server_stop(&f->server), 0);
}

/* With all places taken by idle clients a newcomer is served; clients that are busy keep theirs. */
static void test_idle_clients_give_way(void **state)
{
	struct fixture *f = *state;
	int fds[4], newcomer;

	f->server.config.max_connections = 4;
	assert_true(test_server_start(&f->server, NULL));
	for (int i = 0; i < 4; i++)
		fds[i] = open_h2(&f->server);
	say_headers(fds[0], 1, "Wait");
	newcomer = connect_to(&f->server); /* nobody has been idle for long enough */
	assert_true(is_closed_within(newcomer, 2000));
	(void)close(newcomer);
	pause_ms(1100);
	newcomer = open_h2(&f->server);
	assert_false(is_closed_within(newcomer, 50));
	assert_false(is_closed_within(fds[0], 50));
	assert_true(is_closed_within(fds[1], 2000)); /* the one that was idle longest */
	assert_false(is_closed_within(fds[2], 50));
	(void)close(newcomer);
	for (int i = 0; i < 4; i++)
		(void)close(fds[i]);
	assert_int_equal(test_server_stop(&f->server), 0);
}

/* Out of descriptors: clients wait in the backlog instead of making the loop spin, and are served when others leave. */
static void test_out_of_descriptors(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, tight;
	int fds[60];

	assert_true(getrlimit(RLIMIT_NOFILE, &before) == 0 && test_server_start(&f->server, NULL));
	tight = before;
	tight.rlim_cur = open_descriptors(f->server.pid) + 20;
	assert_int_equal(prlimit(f->server.pid, RLIMIT_NOFILE, &tight, NULL), 0);
	for (int i = 0; i < 60; i++)
		fds[i] = connect_to(&f->server);
	say(fds[59], PREFACE, strlen(PREFACE));
	say(fds[59], SETTINGS, 9);
	assert_false(is_readable_within(fds[59], 500));
	assert_true(cpu_ticks(f->server.pid) < 50);
	for (int i = 0; i < 59; i++)
		(void)close(fds[i]);
	assert_true(is_readable_within(fds[59], 10000));
	(void)close(fds[59]);
	assert_int_equal(test_server_stop(&f->server), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_grpcio),
		TEST(test_shutdown_in_mid_call),
		TEST(test_mode_and_removal),
		TEST(test_second_daemon_is_refused),
		TEST(test_stale_socket_is_replaced),
		TEST(test_a_locked_folder_does_not_hang_the_start),
		TEST(test_other_files_are_left_alone),
		TEST(test_peers_that_are_not_root_cve_2020_15257),
		TEST(test_socket_activation),
		TEST(test_crowds),
		TEST(test_idle_clients_give_way),
		TEST(test_out_of_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
