/* A registry's host file: refused with a sentence, or read into settings that can do no harm in a header, path or URL. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "image/hosts.h"

static void check(const struct host *host)
{
	if (*host->origin.host && (!*host->origin.port || !host->root))
		abort();
	if (!*host->origin.host && !host->is_server)
		abort();
	if (host->root && strpbrk(host->root, "?#"))
		abort();
	for (size_t i = 0; i < host->n_authorities; i++) {
		if (*host->authorities[i] != '/')
			abort();
	}
	for (size_t i = 0; i < host->n_clients; i++) {
		if (*host->clients[i].cert != '/' || *host->clients[i].key != '/')
			abort();
	}
	for (size_t i = 0; i < host->n_headers; i++) {
		if (!*host->headers[i].name || strpbrk(host->headers[i].name, ": \r\n") || strpbrk(host->headers[i].value, "\r\n"))
			abort();
	}
	if (host->dial_timeout_ms < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_hosts_ struct hosts hosts = { 0 };
	struct error err = ERROR_INIT;

	log_set_level(LOG_LEVEL_ERROR);
	if (hosts_parse("/certs.d/x", (const char *)data, size, &hosts, &err) < 0) {
		if (err.code == ERR_NONE || strncmp(err.text, "/certs.d/x/hosts.toml: ", 23) != 0)
			abort();
		return 0;
	}
	if (hosts.n == 0 || !hosts.items[hosts.n - 1].is_server)
		abort();
	for (size_t i = 0; i < hosts.n; i++)
		check(&hosts.items[i]);
	return 0;
}
