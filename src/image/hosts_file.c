/* hosts.toml: from what TOML says to where images come from. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/mem.h"
#include "image/hosts.h"
#include "image/http.h"
#include "image/toml.h"

struct reading {
	const char *dir;
	struct arena *arena;
};

static int no_memory(struct error *err)
{
	return error_set(err, ERR_EXHAUSTED, "out of memory for a registry");
}

static int wrong(const struct toml *node, const char *wanted, struct error *err)
{
	return error_set(err, ERR_INVALID, "line %d: '%.60s' is %s, not %s", node->line, node->key, toml_type_name(node->type),
			 wanted);
}

static size_t count(const struct toml *list)
{
	size_t n = 0;

	for (const struct toml *item = list->first; item; item = item->next)
		n++;
	return n;
}

static int take_flag(const struct toml *node, bool *ret, struct error *err)
{
	if (node->type != TOML_BOOLEAN)
		return wrong(node, "true or false", err);
	*ret = node->boolean;
	return 0;
}

/* ---- files ---- */

/* As it is written, or below the directory of hosts.toml. */
static int take_path(const struct reading *r, const struct toml *node, const char *key, const char **ret, struct error *err)
{
	if (node->type != TOML_STRING || !*node->text)
		return error_set(err, ERR_INVALID, "line %d: '%s' wants paths of files", node->line, key);
	*ret = *node->text == '/' ? node->text : arena_printf(r->arena, "%s/%s", r->dir, node->text);
	return *ret ? 0 : no_memory(err);
}

static int take_authorities(const struct reading *r, const struct toml *node, struct host *host, struct error *err)
{
	size_t n = node->type == TOML_ARRAY ? count(node) : 1;
	const struct toml *item = node->type == TOML_ARRAY ? node->first : node;

	host->authorities = arena_new_array(r->arena, const char *, n + 1);
	if (!host->authorities)
		return no_memory(err);
	for (; host->n_authorities < n; item = item->next) {
		if (take_path(r, item, node->key, &host->authorities[host->n_authorities], err) < 0)
			return -1;
		host->n_authorities++;
	}
	return 0;
}

/* "FILE" with certificate and key, or ["CERTIFICATE", "KEY"], where an empty key is again in the certificate's file. */
static int take_client(const struct reading *r, const struct toml *item, struct host_client *client, struct error *err)
{
	const struct toml *key;

	if (item->type != TOML_ARRAY) {
		if (take_path(r, item, "client", &client->cert, err) < 0)
			return -1;
		client->key = client->cert;
		return 0;
	}
	if (count(item) != 2)
		return error_set(err, ERR_INVALID, "line %d: 'client' wants pairs of certificate and key", item->line);
	if (take_path(r, item->first, "client", &client->cert, err) < 0)
		return -1;
	key = item->first->next;
	client->key = client->cert;
	return key->type == TOML_STRING && !*key->text ? 0 : take_path(r, key, "client", &client->key, err);
}

static int take_clients(const struct reading *r, const struct toml *node, struct host *host, struct error *err)
{
	size_t n = node->type == TOML_ARRAY ? count(node) : 1;
	const struct toml *item = node->type == TOML_ARRAY ? node->first : node;

	host->clients = arena_new_array(r->arena, struct host_client, n + 1);
	if (!host->clients)
		return no_memory(err);
	for (; host->n_clients < n; item = item->next) {
		if (take_client(r, item, &host->clients[host->n_clients], err) < 0)
			return -1;
		host->n_clients++;
	}
	return 0;
}

/* ---- the other settings ---- */

static int take_capability(const struct toml *item, unsigned *can, struct error *err)
{
	static const struct {
		const char *name;
		unsigned can;
	} known[] = { { "pull", HOST_PULL }, { "resolve", HOST_RESOLVE }, { "push", HOST_PUSH }, { "referrers", HOST_REFERRERS } };

	for (size_t i = 0; item->type == TOML_STRING && i < ARRAY_SIZE(known); i++) {
		if (!strcasecmp(item->text, known[i].name)) {
			*can |= known[i].can;
			return 0;
		}
	}
	return error_set(err, ERR_INVALID, "line %d: '%.40s' is no capability: they are pull, resolve, push and referrers",
			 item->line, item->text);
}

static int take_capabilities(const struct toml *node, struct host *host, struct error *err)
{
	unsigned can = 0;

	if (node->type != TOML_ARRAY)
		return wrong(node, "a list", err);
	for (const struct toml *item = node->first; item; item = item->next) {
		if (take_capability(item, &can, err) < 0)
			return -1;
	}
	host->can = can ? can : HOST_ALL;
	return 0;
}

/* The transport's own headers: a foreign value would break it. */
static bool is_transport_header(const char *name)
{
	static const char *const names[] = {
		"host", "range", "content-length", "transfer-encoding", "connection", "accept-encoding"
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcasecmp(name, names[i]))
			return true;
	}
	return false;
}

static bool header_is_valid(const char *name, const char *value)
{
	static const char chars[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	for (const char *p = value; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return false;
	}
	return *name && name[strspn(name, chars)] == '\0' && strlen(name) + strlen(value) < HTTP_MAX_HEADER;
}

static int take_header(const struct toml *item, const char *name, struct host *host, struct error *err)
{
	if (item->type != TOML_STRING)
		return error_set(err, ERR_INVALID, "line %d: header '%.60s' wants a string or a list of strings", item->line, name);
	if (!header_is_valid(name, item->text))
		return error_set(err, ERR_INVALID, "line %d: header '%.60s' has characters that no header may have", item->line,
				 name);
	host->headers[host->n_headers++] = (struct host_header){ name, item->text };
	return 0;
}

static int take_header_values(const struct toml *node, struct host *host, struct error *err)
{
	if (node->type != TOML_ARRAY)
		return take_header(node, node->key, host, err);
	for (const struct toml *item = node->first; item; item = item->next) {
		if (take_header(item, node->key, host, err) < 0)
			return -1;
	}
	return 0;
}

static int take_headers(const struct reading *r, const struct toml *node, struct host *host, struct error *err)
{
	size_t n = 0;

	if (node->type != TOML_TABLE)
		return wrong(node, "a table", err);
	for (const struct toml *item = node->first; item; item = item->next)
		n += item->type == TOML_ARRAY ? count(item) : 1;
	host->headers = arena_new_array(r->arena, struct host_header, n + 1);
	if (!host->headers)
		return no_memory(err);
	for (const struct toml *item = node->first; item; item = item->next) {
		if (is_transport_header(item->key))
			log_warn("image", "%s/hosts.toml line %d: header '%s' is the transport's own and ignored", r->dir,
				 item->line, item->key);
		else if (take_header_values(item, host, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- durations ---- */

/* In milliseconds; 0 for what is no unit. As Go's time.ParseDuration() has them; the longer of two names first. */
static double unit_of(const char **text)
{
	static const struct {
		const char *name;
		double ms;
	} units[] = {
		{ "ns", 1e-6 }, { "us", 1e-3 }, { "\xc2\xb5s", 1e-3 }, { "\xce\xbcs", 1e-3 },
		{ "ms", 1 },    { "s", 1e3 },   { "m", 6e4 },          { "h", 36e5 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		size_t len = strlen(units[i].name);

		if (!strncmp(*text, units[i].name, len)) {
			*text += len;
			return units[i].ms;
		}
	}
	return 0;
}

/* "1s", "500ms", "1m30s", "1.5h"; "0". A day at most (arbitrary), so that no arithmetic overflows. */
static bool read_duration(const char *text, int64_t *ret_ms)
{
	double sum = 0;

	if (!strcmp(text, "0")) {
		*ret_ms = 0;
		return true;
	}
	if (!*text)
		return false;
	while (*text) {
		size_t len = strspn(text, "0123456789.");
		char *end;
		double number = strtod(text, &end), unit;

		if (len == 0 || len > 12 || end != text + len)
			return false;
		text = end;
		unit = unit_of(&text);
		sum += number * unit;
		if (unit == 0 || sum > 864e5)
			return false;
	}
	*ret_ms = sum > 0 && sum < 1 ? 1 : (int64_t)sum;
	return true;
}

static int take_duration(const struct toml *node, int64_t *ret_ms, struct error *err)
{
	if (node->type == TOML_STRING && read_duration(node->text, ret_ms))
		return 0;
	return error_set(err, ERR_INVALID, "line %d: '%s' wants a duration of at most a day, such as \"5s\" or \"1m30s\"",
			 node->line, node->key);
}

/* ---- hosts ---- */

static bool has_tls(const struct toml *table)
{
	return toml_get(table, "ca") || toml_get(table, "client") || toml_get(table, "skip_verify");
}

static bool names_port_80(const char *url)
{
	const char *place = url + strlen("http://");
	size_t len = strcspn(place, "/");

	return len > 3 && !strncmp(place + len - 3, ":80", 3);
}

/* A host named by http that has TLS settings is tried with https first, unless the port says that it is http. */
static int set_origin(const char *url, const struct toml *table, struct host *host, struct error *err)
{
	char *secure = NULL;
	int result;

	if (origin_of(url, &host->origin, err) < 0)
		return -1;
	host->http = host->origin;
	if (host->origin.is_https || !has_tls(table) || names_port_80(url))
		return 0;
	if (asprintf(&secure, "https%s", url + strlen("http")) < 0)
		return no_memory(err);
	result = origin_of(secure, &host->origin, err);
	free(secure);
	host->may_be_http = true;
	return result;
}

/* The path of the API: what the URL says, and /v2 behind it unless override_path or the URL itself has it. */
static int set_root(const struct reading *r, const char *url, const struct toml *table, struct host *host, struct error *err)
{
	const struct toml *node = toml_get(table, "override_path");
	const char *path;
	bool override = false;
	size_t len;

	if (node && take_flag(node, &override, err) < 0)
		return -1;
	path = strstr(url, "://") + 3;
	path += strcspn(path, "/");
	len = strlen(path);
	while (len > 0 && path[len - 1] == '/')
		len--;
	if (!override && (len < 3 || strncmp(path + len - 3, "/v2", 3) != 0))
		host->root = arena_printf(r->arena, "%.*s/v2", (int)len, path);
	else
		host->root = arena_strndup(r->arena, path, len);
	return host->root ? 0 : no_memory(err);
}

/* Paths are taken as they are, so those that a server would have to tidy up are none of ours. */
static bool is_plain_url(const char *url)
{
	const char *rest = strstr(url, "://");

	if (!rest || (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0))
		return false;
	return !strpbrk(url, "?#") && !strstr(rest + 3, "//") && !strstr(rest, "/..");
}

/* "HOST" means https. */
static int set_place(const struct reading *r, const char *text, const struct toml *table, struct host *host, struct error *err)
{
	_cleanup_free_
	char *url = NULL;

	if (asprintf(&url, "%s%s", strncmp(text, "http", 4) ? "https://" : "", text) < 0) {
		url = NULL;
		return no_memory(err);
	}
	if (!is_plain_url(url))
		return error_set(err, ERR_INVALID, "'%.100s' is not http:// or https:// with a host and a plain path", text);
	if (set_origin(url, table, host, err) < 0)
		return -1;
	return set_root(r, url, table, host, err);
}

enum setting { S_CAPABILITIES, S_CA, S_CLIENT, S_SKIP_VERIFY, S_HEADER, S_OVERRIDE_PATH, S_DIAL_TIMEOUT, S_UNKNOWN };

static enum setting setting_of(const char *key)
{
	static const char *const names[] = { "capabilities",  "ca",          "client", "skip_verify", "header",
					     "override_path", "dial_timeout" };
	size_t i = 0;

	while (i < ARRAY_SIZE(names) && strcmp(names[i], key) != 0)
		i++;
	return (enum setting)i;
}

static int take_setting(const struct reading *r, const struct toml *node, struct host *host, struct error *err)
{
	bool ignored;

	switch (setting_of(node->key)) {
	case S_CAPABILITIES:
		return take_capabilities(node, host, err);
	case S_CA:
		return take_authorities(r, node, host, err);
	case S_CLIENT:
		return take_clients(r, node, host, err);
	case S_SKIP_VERIFY:
		return take_flag(node, &host->skip_verify, err);
	case S_HEADER:
		return take_headers(r, node, host, err);
	case S_OVERRIDE_PATH:
		return take_flag(node, &ignored, err);
	case S_DIAL_TIMEOUT:
		return take_duration(node, &host->dial_timeout_ms, err);
	case S_UNKNOWN:
	default:
		log_warn("image", "%s/hosts.toml line %d: unknown setting '%.60s' is ignored", r->dir, node->line, node->key);
		return 0;
	}
}

static int take_mirror(const struct reading *r, const struct toml *table, struct host *host, struct error *err)
{
	if (table->type != TOML_TABLE)
		return wrong(table, "a table", err);
	host->can = HOST_ALL;
	for (const struct toml *node = table->first; node; node = node->next) {
		if (take_setting(r, node, host, err) < 0)
			return -1;
	}
	if (set_place(r, table->key, table, host, err) < 0)
		return error_prefix(err, "line %d", table->line);
	return 0;
}

/* What stands outside of the mirrors' tables is the server's. */
static int take_server(const struct reading *r, const struct toml *root, struct host *host, struct error *err)
{
	const struct toml *server = toml_get(root, "server");

	host->can = HOST_ALL;
	host->is_server = true;
	for (const struct toml *node = root->first; node; node = node->next) {
		if (strcmp(node->key, "server") != 0 && strcmp(node->key, "host") != 0 && take_setting(r, node, host, err) < 0)
			return -1;
	}
	if (server && server->type != TOML_STRING)
		return wrong(server, "a string", err);
	if (server && *server->text && set_place(r, server->text, root, host, err) < 0)
		return error_prefix(err, "line %d", server->line);
	return 0;
}

static int take_all(const struct reading *r, const struct toml *root, struct hosts *hosts, struct error *err)
{
	const struct toml *mirrors = toml_get(root, "host");

	if (mirrors && mirrors->type != TOML_TABLE)
		return wrong(mirrors, "a table", err);
	hosts->items = arena_new_array(r->arena, struct host, (mirrors ? count(mirrors) : 0) + 1);
	if (!hosts->items)
		return no_memory(err);
	for (const struct toml *table = mirrors ? mirrors->first : NULL; table; table = table->next) {
		if (take_mirror(r, table, &hosts->items[hosts->n], err) < 0)
			return -1;
		hosts->n++;
	}
	return take_server(r, root, &hosts->items[hosts->n++], err);
}

int hosts_parse(const char *dir, const char *text, size_t len, struct hosts *hosts, struct error *err)
{
	const struct reading r = { dir, &hosts->arena };
	const struct toml *root;

	if (toml_parse(text, len, &hosts->arena, &root, err) < 0 || take_all(&r, root, hosts, err) < 0)
		return error_prefix(err, "%s/hosts.toml", dir);
	return 0;
}
