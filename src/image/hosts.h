/*
 * Where the images of a registry come from: the mirrors and the server that the operator has put into a directory for it, in the
 * meaning that containerd gives it (docs/hosts.md there; docs/images.md here says where we differ).
 *
 *     ROOT/HOST_PORT_/    the first of these that there is, in each root of image.certs_dir in turn
 *     ROOT/HOST:PORT/
 *     ROOT/_default/
 *
 * In it: hosts.toml; or, when that is absent or empty, Docker's files: *.crt authorities, *.cert and the *.key of the same name.
 *
 * Read for each pull, so that a change needs no restart. What cannot be read is an error and no pull: to go on without it could ask
 * a server that the operator wanted to keep out, or trust one that he did not.
 */
#ifndef MONOPOD_IMAGE_HOSTS_H
#define MONOPOD_IMAGE_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "image/origin.h"

/* What a host is trusted with. Resolving is to say which digest a tag means. */
enum host_can { HOST_PULL = 1, HOST_RESOLVE = 2, HOST_PUSH = 4, HOST_REFERRERS = 8, HOST_ALL = 15 };

struct host_client {
	const char *cert, *key; /* files in PEM; the same when one holds both */
};

struct host_header {
	const char *name, *value;
};

struct host {
	struct origin origin;
	struct origin http; /* where to go when `origin` does not speak TLS, and may_be_http */
	bool may_be_http;
	const char *root;     /* path of its API: "/v2", "/us/v2", "" */
	unsigned can;         /* enum host_can */
	bool is_server;       /* the last one: no mirror */
	bool wants_namespace; /* it is not the registry itself, and so is told which one is meant */
	bool skip_verify;
	const char **authorities; /* files in PEM, trusted besides the system's */
	size_t n_authorities;
	struct host_client *clients;
	size_t n_clients;
	struct host_header *headers; /* sent with each request to it */
	size_t n_headers;
	int64_t dial_timeout_ms; /* 0: as always */
};

struct hosts {
	struct host *items; /* in the order in which they are asked; the server is the last */
	size_t n;
	struct arena arena; /* where all of it is */
};

struct hosts_options {
	const char *certs_dir;           /* directories, separated by colons; "": none */
	const char *insecure_registries; /* comma-separated HOST[:PORT] that are spoken to over plain HTTP */
};

/* For the registry of a reference, "docker.io" or "localhost:5000". Nothing is asked over the network. */
int hosts_read(const struct hosts_options *options, const char *registry, struct hosts *ret_hosts, struct error *err);
void hosts_release(struct hosts *hosts);
#define _cleanup_hosts_ __attribute__((cleanup(hosts_release)))

/* The directory of `name` itself, without _default; *ret_path is NULL when there is none. The caller frees. */
int hosts_find_own(const char *certs_dir, const char *name, char **ret_path, struct error *err);

/* The authorities and client certificates of a directory in Docker's form, whatever else is in it. */
int hosts_read_certificates(const char *dir, struct arena *arena, struct host *host, struct error *err);

/* hosts_file.c: reads `text`, the content of DIR/hosts.toml, into hosts->items. The server comes last, and without a place (origin.host
 * is "") when the file names none. Unknown settings are logged. */
int hosts_parse(const char *dir, const char *text, size_t len, struct hosts *hosts, struct error *err);

/* Whether HOST[:PORT] is in a comma-separated list. */
bool hosts_in_list(const char *list, const char *host);

#endif
