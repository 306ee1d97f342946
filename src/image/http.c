#include "image/http.h"

#include <ctype.h>
#include <curl/curl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "image/proxy.h"

#define DIAL_TIMEOUT_MS 30000
#define RECEIVE_BYTES (128L * 1024)

/* Of an error's body this much is kept for its message, and this much read before the connection is given up. */
#define MAX_ERROR_BODY ((size_t)8 * 1024)
#define MAX_ERROR_READ ((size_t)1024 * 1024)

struct http {
	CURL *curl;
	char reason[CURL_ERROR_SIZE];
	/* the request in progress */
	const struct http_call *call;
	struct http_reply *reply;
	uint64_t skip; /* bytes before call->offset that the server sends again */
	struct {
		bool is_there, has_total;
		uint64_t first, total;
	} range; /* Content-Range */
	size_t error_body_read;
	int64_t moved_us; /* when the last byte moved */
	curl_off_t seen_bytes;
	bool stalled, cancelled, failed, is_placed;
	struct error failure; /* of the sink, when failed */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode initialised;

static void init(void)
{
	initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int http_init(struct error *err)
{
	(void)pthread_once(&once, init);
	return initialised == CURLE_OK ? 0
				       : error_set(err, ERR_INTERNAL, "initialise libcurl: %s", curl_easy_strerror(initialised));
}

struct http *http_new(void)
{
	struct http *http = calloc(1, sizeof(*http));

	if (!http)
		return NULL;
	http->curl = curl_easy_init();
	if (http->curl)
		return http;
	free(http);
	return NULL;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	curl_easy_cleanup(http->curl);
	free(http);
}

void http_reply_init(struct http_reply *reply)
{
	*reply = (struct http_reply){ 0 };
	buffer_init(&reply->location, HTTP_MAX_HEADER);
	buffer_init(&reply->challenge, HTTP_MAX_HEADER);
	buffer_init(&reply->content_type, HTTP_MAX_HEADER);
	buffer_init(&reply->digest, HTTP_MAX_HEADER);
	buffer_init(&reply->body, MAX_ERROR_BODY);
}

void http_reply_release(struct http_reply *reply)
{
	buffer_release(&reply->location);
	buffer_release(&reply->challenge);
	buffer_release(&reply->content_type);
	buffer_release(&reply->digest);
	buffer_release(&reply->body);
}

static void clear_reply(struct http_reply *reply)
{
	http_reply_release(reply);
	http_reply_init(reply);
}

/* ---- headers ---- */

static bool is_header(const char *line, size_t len, const char *name, const char **ret_value, size_t *ret_len)
{
	size_t n = strlen(name);
	const char *value = line + n + 1;

	if (len <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
		return false;
	len -= n + 1;
	while (len > 0 && (*value == ' ' || *value == '\t')) {
		value++;
		len--;
	}
	while (len > 0 && strchr("\r\n \t", value[len - 1]))
		len--;
	*ret_value = value;
	*ret_len = len;
	return true;
}

/* A value over the limit is as good as none. */
static void keep_value(struct buffer *to, const char *value, size_t len, bool join)
{
	struct error ignored;

	if (!join)
		buffer_clear(to);
	else if (to->len > 0)
		(void)buffer_append(to, ", ", 2, &ignored);
	if (buffer_append(to, value, len, &ignored) < 0)
		buffer_release(to);
}

/* A decimal number at *text, which is moved behind it. The value has no NUL of its own, but curl puts a line end behind it. */
static bool take_number(const char **text, const char *end, uint64_t *ret)
{
	uint64_t number = 0;
	const char *start = *text;

	for (; *text < end && isdigit((unsigned char)**text); (*text)++) {
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(**text - '0'), &number))
			return false;
	}
	*ret = number;
	return *text > start;
}

/* RFC 9110, 14.4: "bytes FIRST-LAST/TOTAL", where TOTAL may be "*". What is not of that form is not there. */
static void note_range(struct http *http, const char *value, size_t len)
{
	const char *p = value + 6, *end = value + len;
	uint64_t last;

	if (len < 6 || strncasecmp(value, "bytes ", 6) != 0 || !take_number(&p, end, &http->range.first) || p == end ||
	    *p++ != '-' || !take_number(&p, end, &last) || p == end || *p++ != '/')
		return;
	http->range.has_total = take_number(&p, end, &http->range.total);
	http->range.is_there = http->range.has_total || (p < end && *p == '*');
}

/* RFC 9110, 10.2.3: seconds, or a date. */
static void note_retry_after(struct http *http, const char *value, size_t len)
{
	const char *p = value;
	char date[64] = "";
	uint64_t seconds;
	time_t when;

	if (take_number(&p, value + len, &seconds)) {
		http->reply->retry_after_s = seconds < UINT_MAX ? (unsigned)seconds : UINT_MAX;
		return;
	}
	memcpy(date, value, len < sizeof(date) ? len : sizeof(date) - 1);
	when = curl_getdate(date, NULL);
	if (when > time(NULL))
		http->reply->retry_after_s = (unsigned)(when - time(NULL));
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
	struct http *http = arg;
	size_t len = size * count;
	const char *value;
	size_t n;

	if (len >= 5 && !strncmp(line, "HTTP/", 5)) {
		clear_reply(http->reply); /* an interim answer came before */
		http->range.is_there = http->range.has_total = false;
	} else if (is_header(line, len, "Location", &value, &n)) {
		keep_value(&http->reply->location, value, n, false);
	} else if (is_header(line, len, "WWW-Authenticate", &value, &n)) {
		keep_value(&http->reply->challenge, value, n, true);
	} else if (is_header(line, len, "Content-Type", &value, &n)) {
		keep_value(&http->reply->content_type, value, n, false);
	} else if (is_header(line, len, "Docker-Content-Digest", &value, &n)) {
		keep_value(&http->reply->digest, value, n, false);
	} else if (is_header(line, len, "Content-Range", &value, &n)) {
		note_range(http, value, n);
	} else if (is_header(line, len, "Retry-After", &value, &n)) {
		note_retry_after(http, value, n);
	}
	return len;
}

/* ---- body ---- */

static size_t keep_error_body(struct http *http, const char *data, size_t len)
{
	struct buffer *body = &http->reply->body;
	size_t room = body->max - body->len;
	struct error ignored;

	(void)buffer_append(body, data, len < room ? len : room, &ignored);
	http->error_body_read += len;
	return http->error_body_read > MAX_ERROR_READ ? 0 : len;
}

/* Where the first byte of a body stands in the whole. The server may ignore what was asked for and begin anew (200), or before it, but
 * it must say so; and the whole must not have become another. */
static int place_body(struct http *http, long status, struct error *err)
{
	const struct http_call *call = http->call;

	http->skip = call->offset;
	if (status == 200)
		return 0;
	if (!http->range.is_there)
		return error_set(err, ERR_DATA_LOSS, "it sent a part without saying which");
	if (http->range.first > call->offset)
		return error_set(err, ERR_DATA_LOSS, "it sent bytes from %llu on instead of from %llu",
				 (unsigned long long)http->range.first, (unsigned long long)call->offset);
	if (http->range.has_total && call->total_bytes > 0 && http->range.total != call->total_bytes)
		return error_set(err, ERR_DATA_LOSS, "the content changed: it has %llu bytes now, not %llu",
				 (unsigned long long)http->range.total, (unsigned long long)call->total_bytes);
	http->skip -= http->range.first;
	return 0;
}

static size_t pass_on(struct http *http, long status, const char *data, size_t len)
{
	uint64_t skipped;

	if (!http->is_placed && place_body(http, status, &http->failure) < 0) {
		http->failed = true;
		return 0;
	}
	http->is_placed = true;
	skipped = http->skip < len ? http->skip : len;
	http->skip -= skipped;
	if (skipped == len)
		return len;
	if (http->call->sink(http->call->sink_arg, data + skipped, len - skipped, &http->failure) == 0)
		return len;
	http->failed = true;
	return 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
	struct http *http = arg;
	size_t len = size * count;
	long status = 0;

	(void)curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200 && status != 206)
		len = keep_error_body(http, data, len);
	else if (http->call->sink)
		len = pass_on(http, status, data, len);
	/* The time that our own disk took is no stall of the other side. */
	http->moved_us = clock_monotonic_us();
	return len;
}

/* Called by libcurl at least once a second. */
static int on_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	struct http *http = arg;

	(void)down_total;
	(void)up_total;
	if (down + up != http->seen_bytes) {
		http->seen_bytes = down + up;
		http->moved_us = clock_monotonic_us();
	}
	http->cancelled = http->call->stop && atomic_load(http->call->stop);
	http->stalled = clock_monotonic_us() - http->moved_us > http->call->progress_timeout_ms * 1000;
	return http->cancelled || http->stalled;
}

/* ---- request ---- */

static int add_header(struct curl_slist **list, const char *name, const char *value, struct error *err)
{
	_cleanup_buffer_ struct buffer line = BUFFER_INIT(2 * HTTP_MAX_HEADER);
	struct curl_slist *grown;

	if (!value)
		return 0;
	/* A header without a value is spelled with a semicolon for libcurl. */
	if (buffer_printf(&line, err, *value ? "%s: %s" : "%s;%s", name, value) < 0)
		return error_prefix(err, "header %s", name);
	grown = curl_slist_append(*list, line.data);
	/* curl copies the line; the original may hold credentials. */
	explicit_bzero(line.data, line.len);
	if (!grown)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a header");
	*list = grown;
	return 0;
}

static int make_headers(const struct http_call *call, struct curl_slist **list, struct error *err)
{
	_cleanup_buffer_ struct buffer range = BUFFER_INIT(64);

	if (call->offset > 0 && buffer_printf(&range, err, "bytes=%llu-", (unsigned long long)call->offset) < 0)
		return -1;
	if (add_header(list, "Accept", call->accept, err) < 0 || add_header(list, "Authorization", call->authorization, err) < 0)
		return -1;
	for (size_t i = 0; i < call->n_headers; i++) {
		if (add_header(list, call->headers[i].name, call->headers[i].value, err) < 0)
			return -1;
	}
	return add_header(list, "Range", range.data, err);
}

/* Options with a constant value cannot fail but for lack of memory, which perform() meets again. */
static void set_options(struct http *http, const struct http_call *call, struct curl_slist *headers)
{
	CURL *curl = http->curl;

	curl_easy_reset(curl);
	(void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(curl, CURLOPT_URL, call->url);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "monopod/" MONOPOD_VERSION);
	(void)curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
			       (long)(call->dial_timeout_ms > 0 ? call->dial_timeout_ms : DIAL_TIMEOUT_MS));
	(void)curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
	(void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, http->reason);
	(void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, http);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, http);
	(void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	(void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, http);
	(void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	(void)curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	/* The environment was looked at by the caller. */
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, call->proxy ? call->proxy : "");
	(void)curl_easy_setopt(curl, CURLOPT_NOPROXY, "");
	if (call->form)
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call->form);
}

static bool is_passing(CURLcode code)
{
	switch ((int)code) { /* an int: of a hundred codes these are the ones that a second try may change */
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		return true;
	default:
		return false;
	}
}

static int explain(struct http *http, CURLcode code, struct http_reply *reply, struct error *err)
{
	const char *reason = *http->reason ? http->reason : curl_easy_strerror(code);
	char proxy[ORIGIN_NAME_SIZE];

	if (http->failed) {
		*err = http->failure;
		return -1;
	}
	if (http->cancelled)
		return error_set(err, ERR_CANCELLED, "cancelled");
	if (code == CURLE_OUT_OF_MEMORY)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	reply->not_tls = code == CURLE_SSL_CONNECT_ERROR || code == CURLE_COULDNT_CONNECT;
	reply->may_retry = http->stalled || is_passing(code);
	if (http->stalled)
		return error_set(err, ERR_UNAVAILABLE, "no byte moved for %lld ms", (long long)http->call->progress_timeout_ms);
	(void)error_set(err, ERR_UNAVAILABLE, "%s", reason);
	if (http->call->proxy) {
		proxy_name(http->call->proxy, proxy);
		(void)error_prefix(err, "through proxy %.200s", proxy);
	}
	return -1;
}

static int perform(struct http *http, const struct http_call *call, struct curl_slist *headers, struct http_reply *reply,
		   struct error *err)
{
	CURLcode code;

	set_options(http, call, headers);
	if (call->tls && tls_set(http->curl, call->tls, call->tls_is_own, err) < 0)
		return -1;
	http->call = call;
	http->reply = reply;
	http->range.is_there = http->range.has_total = http->is_placed = false;
	http->error_body_read = 0;
	http->seen_bytes = 0;
	http->moved_us = clock_monotonic_us();
	http->stalled = http->cancelled = http->failed = false;
	http->reason[0] = '\0';
	code = curl_easy_perform(http->curl);
	if (code != CURLE_OK)
		return explain(http, code, reply, err);
	(void)curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &reply->status);
	return 0;
}

int http_perform(struct http *http, const struct http_call *call, struct http_reply *reply, struct error *err)
{
	struct curl_slist *headers = NULL;
	int result = -1;

	clear_reply(reply);
	if (make_headers(call, &headers, err) == 0)
		result = perform(http, call, headers, reply, err);
	/* Nothing of this request, and no pointer into it, stays in the handle. */
	curl_easy_reset(http->curl);
	curl_slist_free_all(headers);
	return result;
}
