#include "image/hosts.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"
#include "image/reference.h"
#include "image/toml.h"

#define DEFAULT_DIR "_default"

bool hosts_in_list(const char *list, const char *host)
{
	size_t len = strlen(host);

	for (const char *p = list; *p;) {
		size_t n;

		p += strspn(p, ", \t");
		n = strcspn(p, ", \t");
		if (n > 0 && n == len && !strncasecmp(p, host, n))
			return true;
		p += n;
	}
	return false;
}

/* ---- the directory ---- */

/* The colon of a port, not one of an IPv6 address. */
static const char *port_of(const char *name)
{
	const char *colon = strrchr(name, ':');

	return colon && !strchr(colon, ']') ? colon : NULL;
}

/* *ret_path when ROOT/NAME is there. `root` ends at a colon or NUL. */
static int find_one(const char *root, const char *name, size_t name_len, const char *tail, char **ret_path, struct error *err)
{
	_cleanup_free_
	char *path = NULL;
	struct stat st;

	if (asprintf(&path, "%.*s/%.*s%s", (int)strcspn(root, ":"), root, (int)name_len, name, tail) < 0) {
		path = NULL;
		return error_set(err, ERR_EXHAUSTED, "out of memory for a path");
	}
	if (stat(path, &st) == 0)
		*ret_path = steal_ptr(&path);
	else if (errno != ENOENT && errno != ENAMETOOLONG)
		return error_sys(err, errno, "look for %s", path);
	return 0;
}

static int find_own(const char *root, const char *name, char **ret_path, struct error *err)
{
	const char *port = port_of(name);
	char tail[16];

	if (port && strlen(port) < sizeof(tail) - 1) {
		(void)snprintf(tail, sizeof(tail), "_%s_", port + 1);
		if (find_one(root, name, (size_t)(port - name), tail, ret_path, err) < 0)
			return -1;
	}
	return *ret_path ? 0 : find_one(root, name, strlen(name), "", ret_path, err);
}

static const char *next_root(const char *roots)
{
	roots += strcspn(roots, ":");
	return roots + (*roots == ':');
}

int hosts_find_own(const char *certs_dir, const char *name, char **ret_path, struct error *err)
{
	*ret_path = NULL;
	for (const char *root = certs_dir; *root && !*ret_path; root = next_root(root)) {
		if (find_own(root, name, ret_path, err) < 0)
			return -1;
	}
	return 0;
}

static int find_dir(const char *certs_dir, const char *name, char **ret_path, bool *ret_is_own, struct error *err)
{
	*ret_path = NULL;
	*ret_is_own = false;
	for (const char *root = certs_dir; *root && !*ret_path; root = next_root(root)) {
		if (find_own(root, name, ret_path, err) < 0)
			return -1;
		*ret_is_own = *ret_path != NULL;
		if (!*ret_path && find_one(root, DEFAULT_DIR, strlen(DEFAULT_DIR), "", ret_path, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- Docker's files ---- */

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return n > m && !strcmp(name + n - m, suffix);
}

static int add_authority(struct arena *arena, struct host *host, const char *path)
{
	const char **grown = arena_new_array(arena, const char *, host->n_authorities + 1);

	if (!grown || !path)
		return -1;
	if (host->n_authorities > 0)
		memcpy(grown, host->authorities, host->n_authorities * sizeof(*grown));
	grown[host->n_authorities++] = path;
	host->authorities = grown;
	return 0;
}

/* A missing key is in the certificate's file. */
static int add_client(struct arena *arena, struct host *host, const char *cert)
{
	struct host_client *grown = arena_new_array(arena, struct host_client, host->n_clients + 1);
	const char *key = cert ? arena_printf(arena, "%.*s.key", (int)(strlen(cert) - strlen(".cert")), cert) : NULL;

	if (!grown || !key)
		return -1;
	if (host->n_clients > 0)
		memcpy(grown, host->clients, host->n_clients * sizeof(*grown));
	grown[host->n_clients++] = (struct host_client){ cert, access(key, F_OK) == 0 ? key : cert };
	host->clients = grown;
	return 0;
}

static int take_file(const char *dir, const char *name, struct arena *arena, struct host *host, struct error *err)
{
	int result = 0;

	if (has_suffix(name, ".crt"))
		result = add_authority(arena, host, arena_printf(arena, "%s/%s", dir, name));
	else if (has_suffix(name, ".cert"))
		result = add_client(arena, host, arena_printf(arena, "%s/%s", dir, name));
	return result < 0 ? error_set(err, ERR_EXHAUSTED, "out of memory for certificates") : 0;
}

int hosts_read_certificates(const char *dir, struct arena *arena, struct host *host, struct error *err)
{
	struct dirent **names;
	int n = scandir(dir, &names, NULL, alphasort);
	int result = 0;

	if (n < 0)
		return errno == ENOENT ? 0 : error_sys(err, errno, "read directory %s", dir);
	for (int i = 0; i < n; i++) {
		if (result == 0)
			result = take_file(dir, names[i]->d_name, arena, host, err);
		free(names[i]);
	}
	free((void *)names);
	return result;
}

/* ---- all of it ---- */

static int read_file(const char *dir, struct buffer *text, struct error *err)
{
	_cleanup_dir_ DIR *d = opendir(dir);
	struct stat st;

	if (!d)
		return error_sys(err, errno, "open %s", dir);
	if (fstatat(dirfd(d), "hosts.toml", &st, 0) < 0)
		return errno == ENOENT ? 0 : error_sys(err, errno, "look for %s/hosts.toml", dir);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_INVALID, "%s/hosts.toml is no file", dir);
	if (io_read_file(dirfd(d), "hosts.toml", text, err) < 0)
		return error_prefix(err, "%s", dir);
	return 0;
}

static int add_server(struct hosts *hosts, struct error *err)
{
	hosts->items = arena_new(&hosts->arena, struct host);
	if (!hosts->items)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a registry");
	hosts->n = 1;
	hosts->items[0].is_server = true;
	return 0;
}

static int read_dir(const char *dir, struct hosts *hosts, bool *ret_is_docker, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(TOML_MAX_BYTES);

	if (read_file(dir, &text, err) < 0)
		return -1;
	*ret_is_docker = text.len == 0;
	if (text.len > 0)
		return hosts_parse(dir, text.data, text.len, hosts, err);
	if (add_server(hosts, err) < 0)
		return -1;
	return hosts_read_certificates(dir, &hosts->arena, &hosts->items[0], err);
}

/* What a registry is when nobody says otherwise: itself, over https. */
static int complete_server(const struct hosts_options *options, const char *registry, bool may_be_http, struct host *server,
			   struct error *err)
{
	const char *place = strcasecmp(registry, "docker.io") ? registry : "registry-1.docker.io";
	bool insecure = hosts_in_list(options->insecure_registries, registry);
	char url[REFERENCE_MAX_NAME + 16];

	(void)snprintf(url, sizeof(url), "http://%s/", place);
	if (origin_of(url, &server->http, err) < 0)
		return -1;
	(void)snprintf(url, sizeof(url), "%s://%s/", insecure ? "http" : "https", place);
	if (origin_of(url, &server->origin, err) < 0)
		return -1;
	server->may_be_http = may_be_http && !insecure && reference_host_is_loopback(registry);
	server->root = "/v2";
	server->can = HOST_ALL;
	return 0;
}

/* As containerd decides it, by the spelling: HOST[:PORT] against that of the reference. */
static void note_namespaces(const char *registry, struct hosts *hosts)
{
	for (size_t i = 0; i < hosts->n; i++) {
		struct host *host = &hosts->items[i];
		char name[ORIGIN_NAME_SIZE], full[ORIGIN_NAME_SIZE];

		if (!*host->origin.host)
			continue; /* the registry itself */
		origin_name(&host->http, name);
		(void)snprintf(full, sizeof(full), "%s:%s", host->http.host, host->http.port);
		host->wants_namespace = strcasecmp(registry, name) != 0 && strcasecmp(registry, full) != 0 &&
					(strcmp(registry, "docker.io") != 0 || strcmp(name, "registry-1.docker.io") != 0);
	}
}

static int read_all(const struct hosts_options *options, const char *registry, struct hosts *hosts, struct error *err)
{
	_cleanup_free_
	char *dir = NULL;
	bool is_own, is_docker = true;

	if (find_dir(options->certs_dir, registry, &dir, &is_own, err) < 0)
		return -1;
	if ((dir ? read_dir(dir, hosts, &is_docker, err) : add_server(hosts, err)) < 0)
		return -1;
	note_namespaces(registry, hosts);
	if (*hosts->items[hosts->n - 1].origin.host)
		return 0;
	/* Who has certificates for a registry means https, also on loopback. */
	return complete_server(options, registry, !is_own || !is_docker, &hosts->items[hosts->n - 1], err);
}

int hosts_read(const struct hosts_options *options, const char *registry, struct hosts *ret_hosts, struct error *err)
{
	struct hosts hosts = { 0 };

	if (read_all(options, registry, &hosts, err) < 0) {
		hosts_release(&hosts);
		return error_prefix(err, "configuration of registry %s", registry);
	}
	*ret_hosts = hosts;
	return 0;
}

void hosts_release(struct hosts *hosts)
{
	arena_release(&hosts->arena);
	*hosts = (struct hosts){ 0 };
}
