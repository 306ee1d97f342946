#include "image/proxy.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "image/reference.h"

/* Small letters last, as Go has it: capital ones win. */
static const char *read_variable(const char *capital, const char *small)
{
	const char *value = getenv(capital);

	if (!value || !*value)
		value = getenv(small);
	return value && *value ? value : NULL;
}

/* ---- addresses ---- */

struct address {
	unsigned char bytes[16];
	unsigned n_bits; /* 32 or 128; 0: none */
};

static struct address address_of(const char *text)
{
	struct address address = { { 0 }, 0 };

	if (inet_pton(AF_INET, text, address.bytes) == 1)
		address.n_bits = 32;
	else if (inet_pton(AF_INET6, text, address.bytes) == 1)
		address.n_bits = 128;
	return address;
}

static bool share_bits(const struct address *a, const struct address *b, unsigned n_bits)
{
	unsigned whole = n_bits / 8, rest = n_bits % 8;

	if (a->n_bits != b->n_bits || n_bits > a->n_bits || memcmp(a->bytes, b->bytes, whole) != 0)
		return false;
	return rest == 0 || (a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest) == 0;
}

static bool is_in_network(char *entry, char *slash, const struct address *address)
{
	struct address network;
	size_t digits = strspn(slash + 1, "0123456789");

	*slash = '\0';
	network = address_of(entry);
	return network.n_bits > 0 && digits > 0 && digits <= 3 && slash[1 + digits] == '\0' &&
	       share_bits(&network, address, (unsigned)strtol(slash + 1, NULL, 10));
}

/* ---- entries ---- */

static bool is_below(const char *host, const char *domain)
{
	size_t n = strlen(host), m = strlen(domain);

	return n > m && host[n - m - 1] == '.' && !strcasecmp(host + n - m, domain);
}

/* Cuts ":PORT" off; false when it is another port. The colons of a bare IPv6 address are none. */
static bool take_port(char *entry, const char *port)
{
	char *colon = strrchr(entry, ':');
	bool is_bare_six = colon && strchr(entry, ':') != colon && *entry != '[';

	if (!colon || is_bare_six || strchr(colon, ']'))
		return true;
	*colon = '\0';
	return !strcmp(colon + 1, port);
}

static bool entry_matches(char *entry, const char *host, const struct address *address, const char *port)
{
	char *slash = strchr(entry, '/');

	if (!strcmp(entry, "*"))
		return true;
	if (slash)
		return is_in_network(entry, slash, address);
	if (!take_port(entry, port))
		return false;
	if (*entry == '[') {
		entry++;
		entry[strcspn(entry, "]")] = '\0';
	}
	if (address->n_bits > 0) {
		struct address wanted = address_of(entry);

		return wanted.n_bits > 0 && share_bits(&wanted, address, wanted.n_bits);
	}
	if (!strncmp(entry, "*.", 2))
		entry++;
	if (*entry == '.')
		return is_below(host, entry + 1);
	return !strcasecmp(host, entry) || is_below(host, entry);
}

bool proxy_is_excluded(const char *list, const struct origin *target)
{
	char host[REFERENCE_MAX_NAME + 1];
	struct address address;

	reference_hostname(target->host, host);
	address = address_of(host);
	for (const char *p = list; *p;) {
		char entry[REFERENCE_MAX_NAME + 16];
		size_t len;

		p += strspn(p, ", \t");
		len = strcspn(p, ", \t");
		if (len > 0 && len < sizeof(entry)) {
			memcpy(entry, p, len);
			entry[len] = '\0';
			if (entry_matches(entry, host, &address, target->port))
				return true;
		}
		p += len;
	}
	return false;
}

const char *proxy_for(const struct origin *target)
{
	const char *proxy =
		target->is_https ? read_variable("HTTPS_PROXY", "https_proxy") : read_variable("HTTP_PROXY", "http_proxy");
	const char *excluded = read_variable("NO_PROXY", "no_proxy");

	if (!proxy || reference_host_is_loopback(target->host))
		return NULL;
	return excluded && proxy_is_excluded(excluded, target) ? NULL : proxy;
}

void proxy_name(const char *proxy, char name[ORIGIN_NAME_SIZE])
{
	const char *start = strstr(proxy, "://"), *at;
	size_t len;

	start = start ? start + 3 : proxy;
	len = strcspn(start, "/?#");
	for (at = start; at < start + len; at++) {
		if (*at == '@') {
			len -= (size_t)(at + 1 - start);
			start = at + 1;
		}
	}
	(void)snprintf(name, ORIGIN_NAME_SIZE, "%.*s", (int)len, start);
}
