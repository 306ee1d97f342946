#include "image/auth.h"

#include <limits.h>
/* OpenSSL has a type with the name of one of our error codes. */
#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#undef ERR_STATE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "image/http.h"
#include "image/reference.h"

/* ---- credentials ---- */

void secret_free(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

void credentials_release(struct credentials *credentials)
{
	secret_free(credentials->username);
	secret_free(credentials->password);
	secret_free(credentials->identity_token);
	secret_free(credentials->registry_token);
	*credentials = (struct credentials){ 0 };
}

bool token_is_valid(const char *token)
{
	size_t len = strlen(token);

	for (const char *p = token; *p; p++) {
		if (*p <= ' ' || *p > '~')
			return false;
	}
	return len > 0 && len <= HTTP_MAX_HEADER;
}

static bool is_set(const char *s)
{
	return s && *s;
}

/* The addresses under which configurations know the default registry. */
static bool is_default_registry(const char *host)
{
	static const char *const names[] = { "docker.io", "index.docker.io", "registry-1.docker.io" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcasecmp(host, names[i]))
			return true;
	}
	return false;
}

static bool is_default_port(const struct origin *target)
{
	return target->is_https && !strcmp(target->port, "443");
}

bool auth_address_is(const char *address, const struct origin *target)
{
	const char *scheme_end = strstr(address, "://");
	const char *start = scheme_end ? scheme_end + 3 : address;
	int len = (int)strcspn(start, "/");
	char url[ORIGIN_NAME_SIZE + 16], name[ORIGIN_NAME_SIZE];
	struct origin named = *target;
	struct error ignored;

	if (len >= (int)sizeof(name) ||
	    (!strncasecmp(address, "https://", 8) && !target->is_https && !reference_host_is_loopback(target->host)))
		return false;
	(void)snprintf(name, sizeof(name), "%.*s", len, start);
	if (is_default_registry(name) && is_default_registry(target->host) && is_default_port(target))
		return true;
	(void)snprintf(url, sizeof(url), "%s://%s/", target->is_https ? "https" : "http", name);
	return origin_of(url, &named, &ignored) == 0 && origin_equal(&named, target);
}

static int copy(char **to, const char *from, struct error *err)
{
	*to = strdup(from);
	return *to ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory for credentials");
}

static int split_basic(struct credentials *c, char *text, struct error *err)
{
	char *colon = strchr(text, ':');

	if (!colon)
		return error_set(err, ERR_INVALID, "'auth' of the credentials is not base64 of USER:PASSWORD");
	*colon = '\0';
	return copy(&c->username, text, err) < 0 || copy(&c->password, colon + 1, err) < 0 ? -1 : 0;
}

/* EVP_DecodeBlock() takes padded base64 and writes a zero byte for each padding character. */
static int decode_auth(struct credentials *c, const char *auth, struct error *err)
{
	size_t len = strlen(auth);
	char *text;
	int result;
	int n;

	if (len > HTTP_MAX_HEADER)
		return error_set(err, ERR_INVALID, "'auth' of the credentials is too long");
	text = calloc(1, len + 4);
	if (!text)
		return error_set(err, ERR_EXHAUSTED, "out of memory for credentials");
	n = EVP_DecodeBlock((unsigned char *)text, (const unsigned char *)auth, (int)len);
	result = n < 0 ? error_set(err, ERR_INVALID, "'auth' of the credentials is not base64") : split_basic(c, text, err);
	explicit_bzero(text, len);
	free(text);
	return result;
}

static int take_token(char **to, const char *token, const char *what, struct error *err)
{
	if (!is_set(token))
		return 0;
	if (!token_is_valid(token))
		return error_set(err, ERR_INVALID, "%s of the credentials holds what no token does", what);
	return copy(to, token, err);
}

static int take_all(struct credentials *c, const struct image_auth *auth, struct error *err)
{
	if (take_token(&c->identity_token, auth->identity_token, "identity token", err) < 0 ||
	    take_token(&c->registry_token, auth->registry_token, "registry token", err) < 0)
		return -1;
	if (is_set(auth->username))
		return copy(&c->username, auth->username, err) < 0 ||
				       copy(&c->password, auth->password ? auth->password : "", err) < 0
			       ? -1
			       : 0;
	return is_set(auth->auth) ? decode_auth(c, auth->auth, err) : 0;
}

bool credentials_are_set(const struct credentials *credentials)
{
	return credentials->username || credentials->identity_token || credentials->registry_token;
}

int credentials_init(struct credentials *credentials, const struct image_auth *auth, const struct origin *target, struct error *err)
{
	*credentials = (struct credentials){ 0 };
	if (is_set(auth->server_address) && !auth_address_is(auth->server_address, target))
		return 0;
	if (take_all(credentials, auth, err) == 0)
		return 0;
	credentials_release(credentials);
	return -1;
}

char *credentials_basic(const struct credentials *credentials)
{
	static const char scheme[] = "Basic ";
	char *plain, *header = NULL;
	int len = asprintf(&plain, "%s:%s", credentials->username, credentials->password);

	if (len < 0)
		return NULL;
	if ((size_t)len <= HTTP_MAX_HEADER)
		header = malloc(sizeof(scheme) + ((size_t)len + 2) / 3 * 4 + 1);
	if (header) {
		memcpy(header, scheme, sizeof(scheme));
		(void)EVP_EncodeBlock((unsigned char *)header + sizeof(scheme) - 1, (const unsigned char *)plain, len);
	}
	secret_free(plain);
	return header;
}

/* ---- challenges ---- */

void challenge_release(struct challenge *challenge)
{
	free(challenge->realm);
	free(challenge->service);
	free(challenge->scope);
	*challenge = (struct challenge){ 0 };
}

/* RFC 9110, 5.6.2 */
static size_t token_len(const char *s)
{
	static const char token_chars[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	return strspn(s, token_chars);
}

static const char *skip_space(const char *s)
{
	return s + strspn(s, " \t");
}

/* A token or quoted string (RFC 9110, 5.6.4) to *ret_value. Returns what follows it, or NULL when it does not end or memory is out. */
static const char *read_value(const char *s, char **ret_value)
{
	char *value = malloc(strlen(s) + 1);
	size_t n = 0;

	if (!value)
		return NULL;
	if (*s != '"') {
		n = token_len(s);
		memcpy(value, s, n);
		s += n;
	} else {
		for (s++; *s && *s != '"'; s++) {
			if (*s == '\\' && s[1])
				s++;
			value[n++] = *s;
		}
		s = *s == '"' ? s + 1 : NULL;
	}
	value[n] = '\0';
	if (!s || n == 0) {
		free(value);
		value = NULL;
	}
	*ret_value = value;
	return s;
}

static void take_parameter(struct challenge *c, const char *name, size_t len, char **value)
{
	const struct {
		const char *name;
		char **slot;
	} known[] = { { "realm", &c->realm }, { "service", &c->service }, { "scope", &c->scope } };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		/* Of a parameter that comes twice the first one counts, whoever put the second there. */
		if (strlen(known[i].name) == len && !strncasecmp(known[i].name, name, len) && !*known[i].slot)
			*known[i].slot = steal_ptr(value);
	}
}

static enum challenge_scheme scheme_of(const char *name, size_t len)
{
	if (len == 6 && !strncasecmp(name, "Bearer", len))
		return CHALLENGE_BEARER;
	return len == 5 && !strncasecmp(name, "Basic", len) ? CHALLENGE_BASIC : CHALLENGE_NONE;
}

/* Bearer is better than basic: it does not show the password to the registry. */
static void prefer(struct challenge *best, struct challenge *c)
{
	if (c->scheme > best->scheme) {
		challenge_release(best);
		*best = *c;
		*c = (struct challenge){ 0 };
	}
	challenge_release(c);
}

/* One "scheme" or "name=value". Returns what follows it; NULL ends the list. */
static const char *parse_item(const char *s, struct challenge *c, struct challenge *best)
{
	size_t len = token_len(s);
	const char *after = skip_space(s + len);
	_cleanup_free_
	char *value = NULL;

	if (len == 0) /* credentials of a scheme that we do not know: the next challenge follows a comma */
		return strchr(s, ',');
	if (*after != '=') {
		prefer(best, c);
		c->scheme = scheme_of(s, len);
		return after;
	}
	after = read_value(skip_space(after + 1), &value);
	if (value)
		take_parameter(c, s, len, &value);
	return after;
}

static void parse_list(const char *s, struct challenge *best)
{
	struct challenge c = { 0 };

	while (s && *s) {
		s += strspn(s, ", \t");
		if (*s)
			s = parse_item(s, &c, best);
	}
	prefer(best, &c);
}

static int complete(char **slot, struct error *err)
{
	if (!*slot)
		*slot = strdup("");
	return *slot ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory for a challenge");
}

int challenge_parse(const char *header, struct challenge *ret_challenge, struct error *err)
{
	_cleanup_challenge_ struct challenge c = { 0 };

	parse_list(header, &c);
	if (complete(&c.realm, err) < 0 || complete(&c.service, err) < 0 || complete(&c.scope, err) < 0)
		return -1;
	*ret_challenge = c;
	c = (struct challenge){ 0 };
	return 0;
}
