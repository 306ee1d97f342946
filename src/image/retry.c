/* Trying again at one host: with growing pauses, as long as it makes sense. */
#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "image/registry_impl.h"

#define MAX_TRIES 3
#define FIRST_PAUSE_MS 500
#define STOP_POLL_MS 100

/* Who is asked to wait longer gives up: kubelet comes back, and waits by itself. */
#define MAX_RETRY_AFTER_S 30

/* A transfer that breaks is not bound to MAX_TRIES as long as each try brings this much (arbitrary). */
#define PROGRESS_BYTES ((uint64_t)1 << 20)

static struct http *take_http(struct endpoint *e)
{
	struct http *http = NULL;

	(void)pthread_mutex_lock(&e->lock);
	if (e->n_idle > 0)
		http = e->idle[--e->n_idle];
	(void)pthread_mutex_unlock(&e->lock);
	return http ? http : http_new();
}

static void give_back_http(struct endpoint *e, struct http *http)
{
	(void)pthread_mutex_lock(&e->lock);
	if (e->n_idle < ENDPOINT_MAX_IDLE) {
		e->idle[e->n_idle++] = http;
		http = NULL;
	}
	(void)pthread_mutex_unlock(&e->lock);
	http_free(http);
}

/* To http, before the first answer only. True when it makes sense to ask again. */
static bool fall_back(struct endpoint *e, const struct http_reply *reply)
{
	bool falls;

	(void)pthread_mutex_lock(&e->lock);
	falls = e->may_fall_back && reply->status == 0 && reply->not_tls;
	if (falls)
		e->origin = e->host->http;
	if (falls || reply->status != 0)
		e->may_fall_back = false;
	(void)pthread_mutex_unlock(&e->lock);
	return falls;
}

static int pause_ms(const struct wish *w, unsigned ms, struct error *err)
{
	for (unsigned waited = 0; waited < ms; waited += STOP_POLL_MS) {
		const struct timespec step = { 0, STOP_POLL_MS * 1000000L };

		if (w->stop && atomic_load(w->stop))
			return error_set(err, ERR_CANCELLED, "cancelled");
		(void)nanosleep(&step, NULL);
	}
	return 0;
}

static unsigned pause_before(int try, const struct http_reply *reply)
{
	unsigned asked_ms = reply->retry_after_s * 1000, own_ms = (unsigned)FIRST_PAUSE_MS << try;

	return asked_ms > own_ms ? asked_ms : own_ms;
}

static bool is_final(const struct wish *w, const struct http_reply *reply, struct error *err)
{
	if (w->sink_failed || err->code == ERR_CANCELLED || !reply->may_retry)
		return true;
	if (reply->retry_after_s <= MAX_RETRY_AFTER_S)
		return false;
	(void)error_prefix(err, "it asks to wait for %u seconds", reply->retry_after_s);
	return true;
}

static int request_with(struct endpoint *e, struct http *http, struct wish *w, bool is_last, struct http_reply *reply,
			struct error *err)
{
	uint64_t start = w->received, mark = w->received;

	for (int try = 0;; try++) {
		if (endpoint_attempt(e, http, w, reply, err) == 0) {
			(void)fall_back(e, reply);
			return 0;
		}
		if (fall_back(e, reply)) {
			try--;
			continue;
		}
		/* The connection broke behind the last byte. */
		if (!w->whole && w->received > 0 && w->received == w->max_bytes && reply->may_retry)
			return 0;
		if (w->received >= mark + PROGRESS_BYTES) {
			mark = w->received;
			try = 0;
		}
		if (is_final(w, reply, err) || try >= MAX_TRIES - 1 || (!is_last && w->received == start))
			return error_prefix(err, "%s", e->label);
		log_debug("image", "%s, try %d: %s", e->label, try + 1, err->text);
		if (pause_ms(w, pause_before(try, reply), err) < 0)
			return -1;
	}
}

int endpoint_request(struct endpoint *e, struct wish *w, bool is_last, struct error *err)
{
	_cleanup_http_reply_ struct http_reply reply;
	struct http *http = take_http(e);
	int result;

	http_reply_init(&reply);
	if (!http)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a request");
	result = request_with(e, http, w, is_last, &reply, err);
	if (result == 0 && w->content_type)
		(void)snprintf(w->content_type, 128, "%s", reply.content_type.data ? reply.content_type.data : "");
	give_back_http(e, http);
	return result;
}
