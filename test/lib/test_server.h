/*
 * A server of ours in a process of its own, on a real socket, with a service that needs no node:
 *
 *     Echo     answers with the request's text
 *     Wait     never answers; when cancelled it answers to nobody
 *     Size     answers with as many bytes as the request's number says
 *     Count    a stream: messages "0", "1", ... as many as the number says, then the end
 *     Load     "connections=N streams=N calls=N bytes=N cancelled=N"
 *
 * SIGTERM ends it in the orderly way; its exit status is 0, or what a sanitizer made of it.
 */
#ifndef MONOPOD_TEST_SERVER_H
#define MONOPOD_TEST_SERVER_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/config.h"
#include "base/io.h"
#include "base/log.h"
#include "cri/server.h"
#include "loop/loop.h"
#include "proto/cri.pb-c.h"

#include <cmocka.h>

struct counter {
	struct call *call;
	unsigned long next, end;
};

/* One server per process. */
static struct server *served;
static struct loop served_loop;
static unsigned long served_cancelled;

static inline void served_reply(struct call *call, const char *text)
{
	Cri__VersionResponse response = CRI__VERSION_RESPONSE__INIT;

	response.version = (char *)(uintptr_t)text;
	call_reply(call, &response.base);
}

static inline const char *served_text(const struct call *call)
{
	return ((const Cri__VersionRequest *)call->request)->version;
}

static inline void served_echo(struct node *node, struct call *call)
{
	(void)node;
	served_reply(call, served_text(call));
}

static inline void served_on_cancel(struct call *call, const struct error *why)
{
	served_cancelled++;
	call_fail(call, why);
}

static inline void served_wait(struct node *node, struct call *call)
{
	(void)node;
	call->on_cancel = served_on_cancel;
}

static inline void served_size(struct node *node, struct call *call)
{
	size_t len = (size_t)strtoul(served_text(call), NULL, 10);
	char *text = malloc(len + 1);

	(void)node;
	memset(text, 'x', len);
	text[len] = '\0';
	served_reply(call, text);
	free(text);
}

static inline void served_count_on(struct call *call)
{
	struct counter *counter = call->op;
	Cri__VersionResponse response = CRI__VERSION_RESPONSE__INIT;
	char text[32];

	response.version = text;
	while (counter->next < counter->end) {
		(void)snprintf(text, sizeof(text), "%lu", counter->next++);
		if (!call_send(call, &response.base))
			return;
	}
	free(counter);
	call_finish(call);
}

static inline void served_count_cancelled(struct call *call, const struct error *why)
{
	free(call->op);
	served_on_cancel(call, why);
}

static inline void served_count(struct node *node, struct call *call)
{
	struct counter *counter = calloc(1, sizeof(*counter));

	(void)node;
	counter->call = call;
	counter->end = strtoul(served_text(call), NULL, 10);
	call->op = counter;
	call->on_drain = served_count_on;
	call->on_cancel = served_count_cancelled;
	served_count_on(call);
}

static inline void served_load(struct node *node, struct call *call)
{
	struct server_stats stats;
	char text[200];

	(void)node;
	server_stats(served, &stats);
	(void)snprintf(text, sizeof(text), "connections=%zu streams=%zu calls=%zu bytes=%zu cancelled=%lu", stats.connections,
		       stats.streams, stats.calls, stats.bytes, served_cancelled);
	served_reply(call, text);
}

#define SERVED_ROW(title, operation, is_stream)                                                                                    \
	{                                                                                                                          \
		.name = (title), .request = &cri__version_request__descriptor, .response = &cri__version_response__descriptor,     \
		.run = (operation), .streams = (is_stream)                                                                         \
	}

static inline const struct method *served_find(const char *path, const char **ret_service)
{
	static const struct method rows[] = {
		SERVED_ROW("Echo", served_echo, false), SERVED_ROW("Wait", served_wait, false),
		SERVED_ROW("Size", served_size, false), SERVED_ROW("Count", served_count, true),
		SERVED_ROW("Load", served_load, false),
	};

	*ret_service = "test";
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!strncmp(path, "/test/", 6) && !strcmp(path + 6, rows[i].name))
			return &rows[i];
	}
	return NULL;
}

static inline void served_closed(void *arg)
{
	(void)arg;
	loop_stop(&served_loop);
}

static inline void served_signal(void *arg, int signo)
{
	static bool is_closing;

	(void)arg;
	if (signo != SIGTERM || is_closing)
		return;
	is_closing = true;
	server_close(served, served_closed, NULL);
}

/* In the child. Says "r" on `ready` when it listens, closes it when it cannot. */
static inline int served_main(const struct config *config, int ready)
{
	struct server_socket sock = SERVER_SOCKET_INIT;
	struct error err = ERROR_INIT;

	log_set_level(LOG_LEVEL_ERROR);
	(void)signal(SIGPIPE, SIG_IGN);
	if (loop_init(&served_loop, served_signal, NULL, &err) < 0)
		return 2;
	if (server_socket_open(config->socket, &sock, &err) < 0 ||
	    server_open_with(&served_loop, config, &sock, served_find, NULL, &served, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		server_socket_close(&sock);
		loop_release(&served_loop);
		return 3;
	}
	(void)!write(ready, "r", 1);
	(void)close(ready);
	loop_run(&served_loop);
	loop_release(&served_loop);
	server_free(served);
	return 0;
}

struct test_server {
	pid_t pid;
	char folder[64];
	char socket[96];
	struct config config;
};

static inline void test_server_init(struct test_server *server)
{
	(void)snprintf(server->folder, sizeof(server->folder), "/tmp/cri-test-XXXXXX");
	assert_non_null(mkdtemp(server->folder));
	(void)snprintf(server->socket, sizeof(server->socket), "%s/s", server->folder);
	server->pid = -1;
	server->config = (struct config){
		.socket = server->socket, .max_message_bytes = 1 << 20, .max_connections = 2000, .max_streams = 100
	};
}

/* False when the child could not listen; *ret_status (may be NULL) is its exit code then. */
static inline bool test_server_start(struct test_server *server, int *ret_status)
{
	int ready[2], status = 0;
	char byte;

	assert_int_equal(pipe(ready), 0);
	(void)fflush(NULL);
	server->pid = fork();
	assert_true(server->pid >= 0);
	if (server->pid == 0) {
		(void)close(ready[0]);
		exit(served_main(&server->config, ready[1]));
	}
	(void)close(ready[1]);
	if (read(ready[0], &byte, 1) == 1) {
		(void)close(ready[0]);
		return true;
	}
	(void)close(ready[0]);
	assert_int_equal(waitpid(server->pid, &status, 0), server->pid);
	server->pid = -1;
	if (ret_status)
		*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	return false;
}

/* The exit code of an orderly end; -1 when it was not one. */
static inline int test_server_stop(struct test_server *server)
{
	int status = -1;

	if (server->pid < 0)
		return -1;
	(void)kill(server->pid, SIGTERM);
	(void)waitpid(server->pid, &status, 0);
	server->pid = -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Whatever happened. */
static inline void test_server_release(struct test_server *server)
{
	struct error err = ERROR_INIT;

	if (server->pid > 0) {
		(void)kill(server->pid, SIGKILL);
		(void)waitpid(server->pid, NULL, 0);
	}
	(void)io_remove_tree(AT_FDCWD, server->folder, &err);
}

#endif
