#include "image/reference.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "image/image.h"

#define DEFAULT_HOST "docker.io"
#define DEFAULT_TAG "latest"

/* Longest spelling that is looked at: a host, a path, a tag, a digest and their separators. */
#define MAX_TEXT (2 * REFERENCE_MAX_NAME + REFERENCE_MAX_TAG + 160)

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* Runs that may stand between letters and digits in a path component: ".", "_", "__", or any number of "-". */
static size_t separator_len(const char *s)
{
	if (*s == '-')
		return strspn(s, "-");
	if (*s == '_')
		return s[1] == '_' ? 2 : 1;
	return *s == '.' ? 1 : 0;
}

static bool path_is_valid(const char *path)
{
	const char *p = path;

	while (is_lower_alnum(*p)) {
		while (is_lower_alnum(*p))
			p++;
		if (*p == '\0')
			return true;
		p += *p == '/' ? 1 : separator_len(p);
	}
	return false;
}

static bool port_is_valid(const char *port)
{
	size_t len = strspn(port, "0123456789");

	return len > 0 && len <= 5 && port[len] == '\0' && strtol(port, NULL, 10) > 0 && strtol(port, NULL, 10) <= UINT16_MAX;
}

static bool ipv6_host_is_valid(const char *host)
{
	const char *end = strchr(host, ']');
	struct in6_addr address;
	char text[INET6_ADDRSTRLEN];

	/* No zones and no dotted tails, which the grammar has not. */
	if (!end || (size_t)(end - host) > sizeof(text) || strspn(host + 1, "0123456789abcdefABCDEF:") != (size_t)(end - host) - 1)
		return false;
	memcpy(text, host + 1, (size_t)(end - host) - 1);
	text[end - host - 1] = '\0';
	return inet_pton(AF_INET6, text, &address) == 1 && (end[1] == '\0' || (end[1] == ':' && port_is_valid(end + 2)));
}

/* Labels of letters, digits and inner hyphens, joined by dots; IPv4 addresses are of that form. */
static bool host_is_valid(const char *host)
{
	const char *p = host;

	if (*host == '[')
		return ipv6_host_is_valid(host);
	for (;;) {
		if (!is_alnum(*p))
			return false;
		while (is_alnum(*p) || *p == '-')
			p++;
		if (p[-1] == '-')
			return false;
		if (*p != '.')
			break;
		p++;
	}
	return *p == '\0' || (*p == ':' && port_is_valid(p + 1));
}

static bool tag_is_valid(const char *tag)
{
	size_t len = strlen(tag);

	if (len == 0 || len > REFERENCE_MAX_TAG || *tag == '.' || *tag == '-')
		return false;
	for (const char *p = tag; *p; p++) {
		if (!is_alnum(*p) && *p != '_' && *p != '.' && *p != '-')
			return false;
	}
	return true;
}

static bool has_capitals(const char *s)
{
	for (; *s; s++) {
		if (*s >= 'A' && *s <= 'Z')
			return true;
	}
	return false;
}

/* Whether the text before the first slash is a registry. Capital letters make it one, as everywhere in the field: a repository has
 * none. */
static bool looks_like_host(const char *component)
{
	return strpbrk(component, ".:[") || !strcmp(component, "localhost") || has_capitals(component);
}

/* Splits off and checks the registry; *ret_path is the rest of the name. */
static int take_host(struct reference *ref, char *name, const char **ret_path, struct error *err)
{
	char *slash = strchr(name, '/');

	if (slash)
		*slash = '\0';
	if (!slash || !looks_like_host(name)) {
		if (slash)
			*slash = '/';
		(void)snprintf(ref->host, sizeof(ref->host), "%s", DEFAULT_HOST);
		*ret_path = name;
		return 0;
	}
	if (!host_is_valid(name))
		return error_set(err, ERR_INVALID, "'%.80s' is not a registry host", name);
	if (strlen(name) > REFERENCE_MAX_NAME)
		return error_set(err, ERR_INVALID, "registry host is longer than %d characters", REFERENCE_MAX_NAME);
	(void)snprintf(ref->host, sizeof(ref->host), "%s", strcmp(name, "index.docker.io") ? name : DEFAULT_HOST);
	*ret_path = slash + 1;
	return 0;
}

/* Short names of the default registry are its library's. */
static int set_path(struct reference *ref, const char *path, struct error *err)
{
	bool is_short = !strcmp(ref->host, DEFAULT_HOST) && !strchr(path, '/');

	if (!path_is_valid(path))
		return error_set(err, ERR_INVALID,
				 has_capitals(path) ? "repository name must be lower case" : "bad repository name");
	if (strlen(path) + (is_short ? strlen("library/") : 0) > REFERENCE_MAX_NAME)
		return error_set(err, ERR_INVALID, "repository name is longer than %d characters", REFERENCE_MAX_NAME);
	(void)snprintf(ref->path, sizeof(ref->path), "%s%s", is_short ? "library/" : "", path);
	return 0;
}

/* Cuts "@DIGEST" and ":TAG" off the end of `text`. A colon before the last slash belongs to a port. */
static int take_tail(struct reference *ref, char *text, struct error *err)
{
	char *at = strchr(text, '@');
	char *slash, *colon;

	if (at) {
		*at = '\0';
		if (digest_check(at + 1, err) < 0)
			return -1;
		memcpy(ref->digest, at + 1, DIGEST_TEXT_SIZE);
	}
	slash = strrchr(text, '/');
	colon = strrchr(slash ? slash : text, ':');
	if (colon) {
		*colon = '\0';
		if (!tag_is_valid(colon + 1))
			return error_set(err, ERR_INVALID, "bad tag '%.130s'", colon + 1);
		memcpy(ref->tag, colon + 1, strlen(colon + 1) + 1);
	}
	if (!at && !colon)
		memcpy(ref->tag, DEFAULT_TAG, sizeof(DEFAULT_TAG));
	return 0;
}

static int parse_parts(char *text, struct reference *ref, struct error *err)
{
	const char *path;

	/* 64 digits alone are an image id wherever a user may write either. */
	if (strlen(text) == DIGEST_HEX_LEN && digest_is_hex(text, DIGEST_HEX_LEN))
		return error_set(err, ERR_INVALID, "64 hexadecimal digits are an image id, not a name");
	if (take_tail(ref, text, err) < 0 || take_host(ref, text, &path, err) < 0)
		return -1;
	return set_path(ref, path, err);
}

int reference_parse(const char *text, struct reference *ret_ref, struct error *err)
{
	struct reference ref = { 0 };
	char copy[MAX_TEXT];

	if (*text == '\0')
		return error_set(err, ERR_INVALID, "image reference is empty");
	if (strlen(text) >= sizeof(copy))
		return error_set(err, ERR_INVALID, "image reference of %zu characters is too long", strlen(text));
	memcpy(copy, text, strlen(text) + 1);
	if (parse_parts(copy, &ref, err) < 0)
		return error_prefix(err, "image reference '%.200s'", text);
	*ret_ref = ref;
	return 0;
}

void reference_format_tag(const struct reference *ref, char text[REFERENCE_TEXT_SIZE])
{
	(void)snprintf(text, REFERENCE_TEXT_SIZE, "%s/%s:%s", ref->host, ref->path, ref->tag);
}

void reference_format_digest(const struct reference *ref, const char *digest, char text[REFERENCE_TEXT_SIZE])
{
	(void)snprintf(text, REFERENCE_TEXT_SIZE, "%s/%s@%s", ref->host, ref->path, digest);
}

void reference_format(const struct reference *ref, char text[REFERENCE_TEXT_SIZE])
{
	(void)snprintf(text, REFERENCE_TEXT_SIZE, "%s/%s%s%s%s%s", ref->host, ref->path, *ref->tag ? ":" : "", ref->tag,
		       *ref->digest ? "@" : "", ref->digest);
}

int image_normalize(const char *reference, char **ret_name, struct error *err)
{
	char text[REFERENCE_TEXT_SIZE];
	struct reference ref;

	if (reference_parse(reference, &ref, err) < 0)
		return -1;
	reference_format(&ref, text);
	*ret_name = strdup(text);
	return *ret_name ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory for an image name");
}

void reference_hostname(const char *host, char hostname[REFERENCE_MAX_NAME + 1])
{
	size_t len = *host == '[' ? strcspn(++host, "]") : strcspn(host, ":");

	(void)snprintf(hostname, REFERENCE_MAX_NAME + 1, "%.*s", (int)len, host);
}

bool reference_host_is_loopback(const char *host)
{
	char name[REFERENCE_MAX_NAME + 1];
	struct in6_addr six;
	struct in_addr four;

	reference_hostname(host, name);
	if (!strcmp(name, "localhost"))
		return true;
	if (inet_pton(AF_INET, name, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, name, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}
