#include "image/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/mem.h"
#include "image/auth_file.h"
#include "image/registry_impl.h"
#include "image/token.h"

/* ---- credentials ---- */

/* The request's credentials without an address are for the registry of the reference. As with containerd its mirrors get them too,
 * but only those that the operator trusts to say what a tag means, and not over plain HTTP when the server has TLS. */
static bool is_trusted(const struct endpoint *e, const struct image_auth *auth)
{
	const struct host *server = &e->registry->hosts.items[e->registry->hosts.n - 1];

	if (e->host->is_server || (auth->server_address && *auth->server_address))
		return true;
	return (e->host->can & HOST_RESOLVE) &&
	       (e->host->origin.is_https || !server->origin.is_https || reference_host_is_loopback(e->host->origin.host));
}

/* How the auth file names what is at this host: the path of its API without the version, and the repository. */
static int find_in_file(struct endpoint *e, struct error *err)
{
	const char *root = e->host->root;
	size_t len = strlen(root);
	char *repository;
	int result;

	if (len >= 3 && !strcmp(root + len - 3, "/v2"))
		len -= 3;
	if (asprintf(&repository, "%.*s%s%s", len > 0 ? (int)len - 1 : 0, len > 0 ? root + 1 : "", len > 0 ? "/" : "",
		     e->registry->path) < 0)
		return error_set(err, ERR_EXHAUSTED, "out of memory for credentials");
	result = auth_file_find(e->registry->options.auth_file, &e->host->origin, repository, &e->credentials, err);
	free(repository);
	return result;
}

static int find_credentials(struct endpoint *e, const struct image_auth *auth, struct error *err)
{
	if (is_trusted(e, auth) && credentials_init(&e->credentials, auth, &e->host->origin, err) < 0)
		return -1;
	if (credentials_are_set(&e->credentials) || !*e->registry->options.auth_file)
		return 0;
	return find_in_file(e, err);
}

/* What is sent without being asked for: a token of the registry's own, or what the operator has put into hosts.toml. */
static int set_authorization(struct endpoint *e, struct error *err)
{
	const char *value = NULL;

	for (size_t i = 0; i < e->host->n_headers; i++) {
		if (!strcasecmp(e->host->headers[i].name, "Authorization"))
			value = e->host->headers[i].value;
	}
	if (!e->credentials.registry_token && !value)
		return 0;
	e->authorization = e->credentials.registry_token ? token_header(e->credentials.registry_token) : strdup(value);
	return e->authorization ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory for a token");
}

/* ---- life ---- */

static void set_label(struct endpoint *e)
{
	char name[ORIGIN_NAME_SIZE];

	origin_name(&e->host->origin, name);
	if (e->host->is_server)
		(void)snprintf(e->label, sizeof(e->label), "registry %s", e->registry->name);
	else
		(void)snprintf(e->label, sizeof(e->label), "mirror %s://%s", e->host->origin.is_https ? "https" : "http", name);
}

static int open_endpoint(struct endpoint *e, const struct image_auth *auth, struct error *err)
{
	e->origin = e->host->origin;
	e->may_fall_back = e->host->may_be_http;
	set_label(e);
	if (tls_load(e->host, &e->tls, err) < 0 || find_credentials(e, auth, err) < 0 || set_authorization(e, err) < 0)
		return error_prefix(err, "%s", e->label);
	return 0;
}

static int open_all(struct registry *r, const struct reference *ref, const struct image_auth *auth, struct error *err)
{
	const struct hosts_options options = { r->options.certs_dir, r->options.insecure_registries };

	(void)snprintf(r->name, sizeof(r->name), "%s", ref->host);
	(void)snprintf(r->path, sizeof(r->path), "%s", ref->path);
	if (hosts_read(&options, r->name, &r->hosts, err) < 0)
		return -1;
	r->endpoints = calloc(r->hosts.n, sizeof(*r->endpoints));
	if (!r->endpoints)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	for (; r->n_endpoints < r->hosts.n; r->n_endpoints++) {
		struct endpoint *e = &r->endpoints[r->n_endpoints];

		e->registry = r;
		e->host = &r->hosts.items[r->n_endpoints];
		(void)pthread_mutex_init(&e->auth_lock, NULL);
		(void)pthread_mutex_init(&e->lock, NULL);
		if (open_endpoint(e, auth, err) < 0) {
			r->n_endpoints++;
			return -1;
		}
	}
	return 0;
}

int registry_open(const struct registry_options *options, const struct reference *ref, const struct image_auth *auth,
		  struct registry **ret_registry, struct error *err)
{
	struct registry *r = calloc(1, sizeof(*r));

	if (!r)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	r->options = *options;
	if (open_all(r, ref, auth, err) < 0) {
		registry_close(r);
		return -1;
	}
	*ret_registry = r;
	return 0;
}

static void close_endpoint(struct endpoint *e)
{
	for (size_t i = 0; i < e->n_idle; i++)
		http_free(e->idle[i]);
	tls_free(e->tls); /* the connections use it */
	secret_free(e->authorization);
	credentials_release(&e->credentials);
	(void)pthread_mutex_destroy(&e->lock);
	(void)pthread_mutex_destroy(&e->auth_lock);
}

void registry_close(struct registry *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n_endpoints; i++)
		close_endpoint(&r->endpoints[i]);
	free(r->endpoints);
	hosts_release(&r->hosts);
	free(r);
}

/* ---- from host to host ---- */

/* Half of an error's text: what the mirrors said, when the server fails as well. */
#define MAX_HISTORY (ERROR_TEXT_SIZE / 2)

static bool is_able(const struct endpoint *e, const struct wish *w)
{
	return (e->host->can & w->can) == w->can;
}

static struct endpoint *next_able(struct registry *r, size_t from, const struct wish *w)
{
	while (from < r->n_endpoints && !is_able(&r->endpoints[from], w))
		from++;
	return from < r->n_endpoints ? &r->endpoints[from] : NULL;
}

static int fail_for_all(const struct wish *w, const char *history, struct error *err)
{
	struct error last = *err;

	if (!*history || w->sink_failed || last.code == ERR_CANCELLED)
		return -1;
	return error_set(err, last.code, "%s; before that, %s", last.text, history);
}

static int request(struct registry *r, struct wish *w, struct error *err)
{
	struct endpoint *e = next_able(r, 0, w);
	char history[MAX_HISTORY] = "";

	if (!e)
		return error_set(err, ERR_NOT_FOUND, "no host that hosts.toml has for registry %s may %s", r->name,
				 w->can & HOST_RESOLVE ? "resolve tags" : "be pulled from");
	for (;;) {
		struct endpoint *next = next_able(r, (size_t)(e - r->endpoints) + 1, w);
		size_t len = strlen(history);
		struct error failure = ERROR_INIT;

		if (endpoint_request(e, w, !next, &failure) == 0)
			return 0;
		if (!next || w->sink_failed || failure.code == ERR_CANCELLED) {
			*err = failure;
			return fail_for_all(w, history, err);
		}
		log_info("image", "%s; next is %s", failure.text, next->label);
		(void)snprintf(history + len, sizeof(history) - len, "%s%.200s", len > 0 ? ", " : "", failure.text);
		e = next;
	}
}

static int append(void *arg, const void *data, size_t len, struct error *err)
{
	return buffer_append(arg, data, len, err);
}

int registry_get_manifest(struct registry *r, const char *reference, const atomic_bool *stop, struct buffer *b,
			  char content_type[128], struct error *err)
{
	char path[sizeof("manifests/") + REFERENCE_MAX_TAG];
	bool is_digest = strchr(reference, ':');
	struct wish w = {
		.path = path,
		.digest = is_digest ? reference : "",
		.accept = MANIFEST_ACCEPT,
		.can = is_digest ? HOST_PULL : HOST_PULL | HOST_RESOLVE,
		.stop = stop,
		.max_bytes = b->max,
		.sink = append,
		.sink_arg = b,
		.whole = b,
		.content_type = content_type,
	};

	(void)snprintf(path, sizeof(path), "manifests/%s", reference);
	return request(r, &w, err);
}

static struct wish blob_wish(const struct descriptor *what, const atomic_bool *stop, char path[sizeof("blobs/") + DIGEST_TEXT_SIZE])
{
	(void)snprintf(path, sizeof("blobs/") + DIGEST_TEXT_SIZE, "blobs/%s", what->digest);
	return (struct wish){
		.path = path,
		.digest = what->digest,
		.can = HOST_PULL,
		.stop = stop,
		.max_bytes = what->size_bytes,
		.is_promise = true,
	};
}

int registry_get_blob(struct registry *r, const struct descriptor *what, const atomic_bool *stop, struct buffer *b,
		      struct error *err)
{
	char path[sizeof("blobs/") + DIGEST_TEXT_SIZE];
	struct wish w = blob_wish(what, stop, path);

	w.sink = append;
	w.sink_arg = w.whole = b;
	return request(r, &w, err);
}

int registry_fetch_blob(struct registry *r, const struct descriptor *what, const atomic_bool *stop, blob_sink sink, void *sink_arg,
			struct error *err)
{
	char path[sizeof("blobs/") + DIGEST_TEXT_SIZE];
	struct wish w = blob_wish(what, stop, path);

	w.sink = sink;
	w.sink_arg = sink_arg;
	return request(r, &w, err);
}
