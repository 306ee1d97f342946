#include "cri/server.h"

#include <assert.h>
#include <malloc.h>
#include <stdlib.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cri/connection.h"
#include "cri/listener.h"
#include "loop/loop.h"

/* Bytes of all connections together, as a multiple of the largest message: enough for several at once, little enough for a small node. */
#define BUDGET_MESSAGES 8

/* Connections younger than this are not taken for forgotten ones. */
#define IDLE_BEFORE_EVICTION_US 1000000

/* After the first of some connections that end; at most one trim (some hundred microseconds) in this time. */
#define TRIM_AFTER_MS 1000

struct member {
	struct connection *connection;
	struct member *prev, *next;
	struct server *server;
	bool is_leaving; /* has been sent away, closes soon */
};

struct server {
	struct loop *loop;
	struct listener *listener;
	struct connection_config template;
	struct byte_budget bytes;
	struct member *members;
	size_t n_members;
	size_t n_leaving;
	size_t max_members;
	uv_timer_t grace;
	uv_timer_t trim;
	unsigned n_timers;
	bool is_closing;
	void (*on_closed)(void *arg);
	void *arg;
};

static void finish_closing(struct server *server)
{
	if (server->is_closing && server->n_timers == 0 && server->n_members == 0)
		server->on_closed(server->arg);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct server *server = handle->data;

	server->n_timers--;
	finish_closing(server);
}

/* The last connection has gone, or there was none: the timers are what is left. */
static void close_timers(struct server *server)
{
	if (uv_is_closing((uv_handle_t *)&server->grace))
		return;
	uv_close((uv_handle_t *)&server->grace, on_timer_closed);
	uv_close((uv_handle_t *)&server->trim, on_timer_closed);
}

static void on_trim(uv_timer_t *timer)
{
	(void)timer;
	(void)malloc_trim(0);
}

/* A crowd that has left leaves its memory with malloc, which by itself gives back only what lies at the top of the heap. */
static void trim_soon(struct server *server)
{
	if (!server->is_closing && !uv_is_active((uv_handle_t *)&server->trim))
		(void)uv_timer_start(&server->trim, on_trim, TRIM_AFTER_MS, 0);
}

static void on_connection_closed(struct connection *connection, void *arg)
{
	struct member *member = arg;
	struct server *server = member->server;

	(void)connection;
	DL_DELETE(server->members, member);
	server->n_members--;
	server->n_leaving -= member->is_leaving;
	free(member);
	trim_soon(server);
	if (server->is_closing && server->n_members == 0)
		close_timers(server);
	finish_closing(server);
}

static bool is_evictable(const struct member *member, const struct session_load *load, int64_t now_us)
{
	return !member->is_leaving && load->streams == 0 && now_us - load->active_us >= IDLE_BEFORE_EVICTION_US;
}

static struct member *find_idlest(const struct server *server, int64_t now_us)
{
	struct member *member, *idlest = NULL;
	int64_t idlest_us = INT64_MAX;

	DL_FOREACH (server->members, member) {
		struct session_load load = connection_load(member->connection);

		if (!is_evictable(member, &load, now_us) || load.active_us >= idlest_us)
			continue;
		idlest = member;
		idlest_us = load.active_us;
	}
	return idlest;
}

static void dismiss(struct member *member)
{
	if (member->is_leaving)
		return;
	member->is_leaving = true;
	member->server->n_leaving++;
	connection_shutdown(member->connection);
}

/* GOAWAY to an idle connection harms nobody: gRPC clients connect again when they have something to say. */
static bool make_room(struct server *server)
{
	struct member *idlest;

	if (server->n_members - server->n_leaving < server->max_members)
		return true;
	idlest = find_idlest(server, clock_monotonic_us());
	log_warn("cri", "all %zu connections are taken (server.max_connections): %s", server->max_members,
		 idlest ? "the one that was idle longest gives way" : "turning a client away");
	if (idlest)
		dismiss(idlest);
	return idlest != NULL;
}

static void on_connection(int fd, void *arg)
{
	struct server *server = arg;
	struct connection_config config = server->template;
	struct member *member = make_room(server) ? calloc(1, sizeof(*member)) : NULL;
	struct error err = ERROR_INIT;

	if (!member) {
		close_fd(&fd);
		return;
	}
	member->server = server;
	config.arg = member;
	if (connection_open(fd, &config, &member->connection, &err) < 0) {
		log_warn("cri", "%s", err.text);
		free(member);
		return;
	}
	DL_APPEND(server->members, member);
	server->n_members++;
}

static struct server *allocate(struct loop *loop, const struct config *config, server_find_fn *find, struct node *node)
{
	struct server *server = calloc(1, sizeof(*server));

	if (!server)
		return NULL;
	server->loop = loop;
	server->bytes.max = BUDGET_MESSAGES * (size_t)config->max_message_bytes;
	server->max_members = (size_t)config->max_connections;
	server->template = (struct connection_config){
		.loop = &loop->uv,
		.session = {
			.find = find,
			.node = node,
			.max_message_bytes = (size_t)config->max_message_bytes,
			.max_streams = (uint32_t)config->max_streams,
			.bytes = &server->bytes,
			.clock_us = clock_monotonic_us,
		},
		.on_closed = on_connection_closed,
	};
	return server;
}

/* Neither can fail (libuv 1.44). */
static void init_timers(struct server *server)
{
	(void)uv_timer_init(&server->loop->uv, &server->grace);
	(void)uv_timer_init(&server->loop->uv, &server->trim);
	server->grace.data = server->trim.data = server;
	server->n_timers = 2;
}

int server_open_with(struct loop *loop, const struct config *config, struct server_socket *sock, server_find_fn *find,
		     struct node *node, struct server **ret_server, struct error *err)
{
	struct server *server = allocate(loop, config, find, node);

	if (!server)
		return error_set(err, ERR_EXHAUSTED, "out of memory for the server");
	if (listener_open(&loop->uv, sock, on_connection, server, &server->listener, err) < 0) {
		free(server);
		return -1;
	}
	init_timers(server);
	*ret_server = server;
	return 0;
}

static void on_grace_over(uv_timer_t *timer)
{
	struct server *server = timer->data;
	struct member *member;

	log_warn("cri", "closing %zu connections whose calls did not end in %d ms", server->n_members, SERVER_GRACE_MS);
	DL_FOREACH (server->members, member)
		connection_close(member->connection);
}

void server_close(struct server *server, void (*on_closed)(void *arg), void *arg)
{
	struct member *member;

	assert(!server->is_closing);
	server->is_closing = true;
	server->on_closed = on_closed;
	server->arg = arg;
	listener_close(server->listener);
	(void)uv_timer_start(&server->grace, on_grace_over, SERVER_GRACE_MS, 0);
	DL_FOREACH (server->members, member)
		dismiss(member);
	if (server->n_members == 0)
		close_timers(server);
}

void server_free(struct server *server)
{
	free(server);
}

void server_stats(const struct server *server, struct server_stats *ret_stats)
{
	struct member *member;

	*ret_stats = (struct server_stats){ .connections = server->n_members, .bytes = server->bytes.used };
	DL_FOREACH (server->members, member) {
		struct session_load load = connection_load(member->connection);

		ret_stats->streams += load.streams;
		ret_stats->calls += load.calls;
	}
}
