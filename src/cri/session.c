#include "cri/session.h"

#include <stdlib.h>

#include <utlist.h>

#include "base/mem.h"
#include "cri/session_state.h"

/* Flow control: a CRI request fits in the first, a handful at once in the second; larger ones cost a WINDOW_UPDATE now and then. */
#define STREAM_WINDOW_BYTES (256 * 1024)
#define CONNECTION_WINDOW_BYTES (1024 * 1024)

/* nghttp2's own limits. A client acknowledges our SETTINGS once and pings now and then; its resets are cancelled calls (Kubernetes cancels
 * probes by the dozen, not by the hundred per second); its SETTINGS have six entries; headers of 16 KiB fit one frame. */
#define MAX_UNSENT_ACKS 256
#define MAX_SETTINGS_ENTRIES 32
#define MAX_CONTINUATIONS 4
#define RESET_BURST 1000
#define RESETS_PER_SECOND 50

/* Frames that cost us work and bring no call: control frames, empty DATA, resets (counted fourfold). gRPC clients ping once per message
 * to measure bandwidth, so what we send gives tokens back (session_frames.c). Above any honest client by an order of magnitude. */
#define NUISANCE_BURST 4000
#define NUISANCE_PER_SECOND 200

/* While a write is blocked: so many frames or bytes waiting are reason enough to stop reading. */
#define BACKED_UP_FRAMES 512
#define BACKED_UP_BYTES ((size_t)4 * 1024 * 1024)

/* The share of the server's budget that one connection may take, and the share of that which its server streams may: a client that
 * does not read its streams still gets answers to its calls. */
#define BYTES_SHARE 2
#define FEED_SHARE 2

int64_t session_now_us(const struct session *session)
{
	return session->config.clock_us();
}

void session_expect_by(struct session *session, int64_t when_us)
{
	if (when_us < session->next_event_us)
		session->next_event_us = when_us;
}

void session_notify(struct session *session)
{
	if (session->busy == 0)
		session->config.on_output(session->config.arg);
}

bool session_take_bytes(struct session *session, size_t bytes)
{
	return byte_budget_take(&session->bytes, bytes);
}

void session_give_bytes(struct session *session, size_t bytes)
{
	byte_budget_give(&session->bytes, bytes);
}

void session_add_ready(struct stream *stream)
{
	DL_APPEND2(stream->session->ready, stream, ready_prev, ready_next);
}

void session_forget_ready(struct stream *stream)
{
	DL_DELETE2(stream->session->ready, stream, ready_prev, ready_next);
}

static int make_options(nghttp2_option **ret_options)
{
	nghttp2_option *options;

	if (nghttp2_option_new(&options) != 0)
		return -1;
	nghttp2_option_set_no_closed_streams(options, 1);
	nghttp2_option_set_max_outbound_ack(options, MAX_UNSENT_ACKS);
	nghttp2_option_set_max_settings(options, MAX_SETTINGS_ENTRIES);
	nghttp2_option_set_max_continuations(options, MAX_CONTINUATIONS);
	nghttp2_option_set_stream_reset_rate_limit(options, RESET_BURST, RESETS_PER_SECOND);
	*ret_options = options;
	return 0;
}

static int make_h2(struct session *session)
{
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_option *options = NULL;
	int result = -1;

	if (session_callbacks_new(&callbacks) == 0 && make_options(&options) == 0)
		result = nghttp2_session_server_new2(&session->h2, callbacks, session, options);
	nghttp2_option_del(options);
	nghttp2_session_callbacks_del(callbacks);
	return result;
}

static int submit_preface(const struct session *session)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, session->config.max_streams },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, REQUEST_HEAD_MAX_BYTES },
	};

	if (nghttp2_submit_settings(session->h2, NGHTTP2_FLAG_NONE, settings, sizeof(settings) / sizeof(settings[0])) != 0)
		return -1;
	return nghttp2_session_set_local_window_size(session->h2, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW_BYTES);
}

static struct session *allocate(const struct session_config *config)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->config = *config;
	session->attached = -1;
	session->bytes.parent = config->bytes;
	session->bytes.max = config->bytes ? config->bytes->max / BYTES_SHARE : SIZE_MAX;
	session->feed_bytes.parent = &session->bytes;
	session->feed_bytes.max = session->bytes.max / FEED_SHARE;
	session->opened_us = session_now_us(session);
	session->active_us = session->opened_us;
	session->next_event_us = session->opened_us + SESSION_HANDSHAKE_US;
	rate_budget_init(&session->nuisance, NUISANCE_BURST, NUISANCE_PER_SECOND, session->opened_us);
	return session;
}

int session_open(const struct session_config *config, struct session **ret_session, struct error *err)
{
	struct session *session = allocate(config);

	if (!session || make_h2(session) != 0 || submit_preface(session) != 0) {
		session_free(session);
		return error_set(err, ERR_EXHAUSTED, "out of memory for a connection");
	}
	*ret_session = session;
	return 0;
}

void session_free(struct session *session)
{
	if (!session)
		return;
	session->busy++;
	while (session->streams)
		stream_close(session->streams);
	nghttp2_session_del(session->h2);
	rpc_cancel_all(session);
	close_fd(&session->attached);
	free(session);
}

void session_attach(struct session *session, int fd)
{
	session->attached = fd;
}

/* Operations run here, where nghttp2 is not on the stack: it may close any stream while it reads or writes. */
static void settle(struct session *session)
{
	rpc_run_due(session);
	while (session->ready) {
		struct stream *stream = session->ready;

		session_forget_ready(stream);
		stream_run(stream);
	}
	rpc_run_due(session);
}

int session_receive(struct session *session, const uint8_t *data, size_t len, struct error *err)
{
	ssize_t used;

	session->busy++;
	session->active_us = session_now_us(session);
	used = nghttp2_session_mem_recv(session->h2, data, len);
	settle(session);
	session->busy--;
	if (session->is_nuisance)
		return error_set(err, ERR_EXHAUSTED, "too many control frames and resets");
	if (used < 0)
		return error_set(err, ERR_INVALID, "HTTP/2: %s", nghttp2_strerror((int)used));
	return 0;
}

ssize_t session_pull(struct session *session, const uint8_t **ret_data)
{
	ssize_t len;

	session->busy++;
	len = nghttp2_session_mem_send(session->h2, ret_data);
	rpc_run_due(session);
	session->busy--;
	return len < 0 ? -1 : len;
}

void session_tell(struct session *session)
{
	session->busy++;
	rpc_run_due(session);
	session->busy--;
}

void session_note_written(struct session *session)
{
	session->active_us = session_now_us(session);
}

int64_t session_next_event_us(const struct session *session)
{
	return session->next_event_us;
}

static int64_t ping_due_us(const struct session *session)
{
	int64_t since_us = session->active_us;

	if (session->pinged_us == 0)
		return since_us + SESSION_PING_AFTER_US;
	return (since_us > session->pinged_us ? since_us : session->pinged_us) + SESSION_PING_WAIT_US;
}

static int check_life(struct session *session, int64_t now_us, struct error *err)
{
	if (!session->has_settings) {
		if (now_us >= session->opened_us + SESSION_HANDSHAKE_US)
			return error_set(err, ERR_DEADLINE, "no HTTP/2 preface in %d s", (int)(SESSION_HANDSHAKE_US / 1000000));
		return 0;
	}
	if (now_us < ping_due_us(session))
		return 0;
	if (session->pinged_us != 0)
		return error_set(err, ERR_DEADLINE, "no sign of life in %d s", (int)(SESSION_PING_WAIT_US / 1000000));
	session->pinged_us = now_us;
	if (nghttp2_submit_ping(session->h2, NGHTTP2_FLAG_NONE, NULL) != 0)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a ping");
	return 0;
}

static void expire_streams(struct session *session, int64_t now_us)
{
	struct stream *stream;

	DL_FOREACH (session->streams, stream)
		stream_expire(stream, now_us);
}

static void plan_next_event(struct session *session)
{
	struct stream *stream;

	session->next_event_us = session->has_settings ? ping_due_us(session) : session->opened_us + SESSION_HANDSHAKE_US;
	DL_FOREACH (session->streams, stream)
		session_expect_by(session, stream_due_us(stream));
}

int session_tick(struct session *session, struct error *err)
{
	int64_t now_us = session_now_us(session);
	int result;

	session->busy++;
	expire_streams(session, now_us);
	result = check_life(session, now_us, err);
	settle(session);
	plan_next_event(session);
	session->busy--;
	return result;
}

void session_shutdown(struct session *session)
{
	int32_t last = nghttp2_session_get_last_proc_stream_id(session->h2);

	(void)nghttp2_submit_goaway(session->h2, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
	session->is_leaving = true;
	rpc_end_streams(session);
	session_notify(session);
}

bool session_is_over(const struct session *session)
{
	return !nghttp2_session_want_read(session->h2) && !nghttp2_session_want_write(session->h2);
}

bool session_is_backed_up(const struct session *session)
{
	return session->bytes.used > BACKED_UP_BYTES || nghttp2_session_get_outbound_queue_size(session->h2) > BACKED_UP_FRAMES;
}

struct session_load session_load(const struct session *session)
{
	return (struct session_load){ .streams = session->n_streams, .calls = session->n_rpcs, .active_us = session->active_us };
}
