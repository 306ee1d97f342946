/* What the tests of pulls share: an image in a layout, a registry of ills or a real one that serves it, a store that pulls. */
#ifndef MONOPOD_TEST_PULL_FIXTURE_H
#define MONOPOD_TEST_PULL_FIXTURE_H

#include "image_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

struct place {
	char *dir, *root, *layout, *log, *certs;
	struct image_store *store;
	pid_t server;
	unsigned port, other_port;
	struct blob manifest; /* of the image in the layout */
};

/* ---- servers ---- */

static inline void wait_for_file(const char *dir, const char *name)
{
	for (int i = 0; i < 1000 && !fixture_exists(dir, name); i++)
		(void)usleep(10000);
	assert_true(fixture_exists(dir, name));
}

static inline void start_ills(struct place *p, const char *certificate, const char *key)
{
	_cleanup_free_
	char *ports = fixture_path(p->dir, "ports");
	_cleanup_free_
	char *script = strdup(__FILE__); /* of this header: its neighbour is meant */
	_cleanup_free_
	char *path = NULL;
	_cleanup_free_
	char *text = NULL;

	*strrchr(script, '/') = '\0';
	path = fixture_path(script, "registry_of_ills.py");
	p->server = fixture_start(
		p->log, (const char *const[]){ "/usr/bin/python3", path, p->layout, ports, p->log, certificate, key, NULL });
	wait_for_file(p->dir, "ports");
	text = fixture_read(p->dir, "ports");
	assert_int_equal(sscanf(text, "%u %u", &p->port, &p->other_port), 2);
	assert_int_equal(unlink(ports), 0);
}

static inline unsigned free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	(void)close(fd);
	return ntohs(address.sin_port);
}

static inline bool answers(unsigned port)
{
	const struct sockaddr_in address = { .sin_family = AF_INET,
					     .sin_port = htons((uint16_t)port),
					     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;

	(void)close(fd);
	return ok;
}

/* Debian's docker-registry; `extra` are further lines of its configuration. */
static inline void start_registry(struct place *p, const char *tls, const char *auth)
{
	_cleanup_free_
	char *config = NULL;
	_cleanup_free_
	char *path = fixture_path(p->dir, "registry.yml");

	p->port = free_port();
	assert_true(asprintf(&config,
			     "version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s/registry}}\n"
			     "http:\n  addr: 127.0.0.1:%u\n%s%s",
			     p->dir, p->port, tls ? tls : "", auth ? auth : "") > 0);
	fixture_write(p->dir, "registry.yml", config, strlen(config));
	p->server = fixture_start(p->log, (const char *const[]){ "docker-registry", "serve", path, NULL });
	for (int i = 0; i < 500 && !answers(p->port); i++)
		(void)usleep(20000);
	assert_true(answers(p->port));
}

static inline void skopeo(struct place *p, const char *from, const char *repository, const char *options)
{
	_cleanup_free_
	char *command = NULL;
	int status;

	assert_true(asprintf(&command,
			     "skopeo --insecure-policy copy --quiet --dest-tls-verify=false %s '%s' 'docker://127.0.0.1:%u/%s'",
			     options ? options : "", from, p->port, repository) > 0);
	status = fixture_run(p->log, (const char *const[]){ "sh", "-c", command, NULL });
	if (status != 0) {
		_cleanup_free_
		char *log = fixture_read(p->dir, "log");

		fail_msg("%s: %s", command, log);
	}
}

/* ---- the image ---- */

/* Two layers, one with enough noise in it that its transfer takes several packets. */
static inline void make_layout_of(struct place *p, char second_compression, int n_noise)
{
	char *noise = malloc((size_t)n_noise + 1);
	const struct item low[] = { { .name = "low", .type = 'f', .data = "low" },
				    { .name = "noise", .type = 'f', .data = noise } };
	const struct item high[] = { { .name = "high", .type = 'f', .data = "high" }, { .name = ".wh.low", .type = 'f' } };
	struct fixture_layer layers[2];
	struct fixture_image image;
	unsigned seed = 1;

	assert_non_null(noise);
	for (int i = 0; i < n_noise; i++)
		noise[i] = (char)(33 + rand_r(&seed) % 90);
	noise[n_noise] = '\0';
	layers[0] = (struct fixture_layer){ fixture_tar(low, 2), 'g', NULL };
	layers[1] = (struct fixture_layer){ fixture_tar(high, 2), second_compression, NULL };
	image = fixture_image(p->layout, layers, 2, "{\"Cmd\":[\"x\"]}", NULL);
	fixture_layout(p->layout, &image.manifest, NULL);
	p->manifest = image.manifest;
	free(layers[0].tar.data);
	free(layers[1].tar.data);
	free(noise);
}

static inline void make_layout(struct place *p, char second_compression)
{
	make_layout_of(p, second_compression, 300000);
}

static inline int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->dir = fixture_dir();
	p->root = fixture_path(p->dir, "store");
	p->layout = fixture_path(p->dir, "layout");
	p->log = fixture_path(p->dir, "log");
	p->certs = fixture_path(p->dir, "certs.d");
	assert_int_equal(mkdir(p->layout, 0700), 0);
	assert_int_equal(mkdir(p->certs, 0700), 0);
	p->store = fixture_store(p->root, p->certs);
	make_layout(p, 'z');
	*state = p;
	return 0;
}

static inline int tear_down(void **state)
{
	struct place *p = *state;

	fixture_stop(p->server);
	image_store_close(p->store);
	fixture_remove(p->dir);
	free(p->root);
	free(p->layout);
	free(p->log);
	free(p->certs);
	free(p);
	return 0;
}

static inline int set_up_ills(void **state)
{
	(void)set_up(state);
	start_ills(*state, NULL, NULL);
	return 0;
}

static inline int pull_as(struct place *p, const char *what, const struct image_auth *auth, struct image **ret, struct error *err)
{
	struct pull_request request = { 0 };
	_cleanup_free_
	char *reference = NULL;

	assert_true(asprintf(&reference, "127.0.0.1:%u/%s", p->port, what) > 0);
	request.reference = reference;
	if (auth)
		request.auth = *auth;
	return image_pull(p->store, &request, ret, err);
}

static const struct image_auth puller = { .username = "puller", .password = "s3cret" };

static inline void assert_pulls(struct place *p, const char *what, const struct image_auth *auth)
{
	struct image *image = NULL;
	struct error err = ERROR_INIT;
	_cleanup_free_
	char *noise = NULL;

	assert_ok(pull_as(p, what, auth, &image, &err), &err);
	assert_int_equal(image->n_layers, 2);
	assert_true(fixture_exists(image->layer_dirs[0], "high"));
	noise = fixture_read(image->layer_dirs[1], "noise");
	assert_int_equal(strlen(noise), 300000);
	image_unref(image);
	assert_int_equal(fixture_count(p->root, "ingest"), 0);
}

static inline void forget(struct place *p)
{
	struct image **images;
	struct error err = ERROR_INIT;
	size_t n;

	assert_ok(image_list(p->store, &images, &n, &err), &err);
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_
		char *id = strdup(images[i]->id);

		image_unref(images[i]);
		assert_ok(image_remove(p->store, id, &err), &err);
	}
	free(images);
}

/* How many lines of the server's log hold all of the (up to three) parts. */
static inline unsigned logged(struct place *p, const char *a, const char *b, const char *c)
{
	_cleanup_free_
	char *log = fixture_read(p->dir, "log");
	char *save = NULL;
	unsigned n = 0;

	for (char *line = log ? strtok_r(log, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
		n += strstr(line, a) && (!b || strstr(line, b)) && (!c || strstr(line, c));
	return n;
}

static inline void clear_log(struct place *p)
{
	assert_int_equal(truncate(p->log, 0), 0);
}

/* An authority, a certificate of it for 127.0.0.1, and one for clients. */
static inline void make_certificates(struct place *p)
{
	_cleanup_free_
	char *command = NULL;

	assert_true(asprintf(&command,
			     "cd %s && echo subjectAltName=IP:127.0.0.1 > san && "
			     "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.crt && "
			     "for who in server client; do openssl req -newkey rsa:2048 -nodes -subj /CN=$who -keyout $who.key "
			     "-out $who.csr && "
			     "openssl x509 -req -in $who.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile san -out "
			     "$who.crt || exit 1; done",
			     p->dir) > 0);
	assert_int_equal(fixture_run(NULL, (const char *const[]){ "sh", "-c", command, NULL }), 0);
}

static inline void trust(struct place *p, bool with_client)
{
	_cleanup_free_
	char *command = NULL;

	assert_true(asprintf(&command, "mkdir -p '%s/127.0.0.1:%u' && cd '%s/127.0.0.1:%u' && cp %s/ca.crt . && %s", p->certs,
			     p->port, p->certs, p->port, p->dir,
			     with_client ? "cp ../../client.crt client.cert && cp ../../client.key client.key" : "true") > 0);
	assert_int_equal(fixture_run(NULL, (const char *const[]){ "sh", "-c", command, NULL }), 0);
}

#endif
