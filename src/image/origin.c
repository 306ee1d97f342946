#include "image/origin.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Copies one part of the URL; false when it is absent or too long. */
static bool get_part(CURLU *url, CURLUPart part, unsigned flags, char *to, size_t size)
{
	char *text = NULL;
	bool ok = curl_url_get(url, part, &text, flags) == CURLUE_OK && strlen(text) < size;

	for (size_t i = 0; ok && i <= strlen(text); i++)
		to[i] = (char)tolower((unsigned char)text[i]);
	curl_free(text);
	return ok;
}

static bool has_user(CURLU *url)
{
	char *text = NULL;
	bool has = curl_url_get(url, CURLUPART_USER, &text, 0) == CURLUE_OK;

	curl_free(text);
	return has;
}

static bool read_origin(CURLU *url, const char *text, struct origin *origin)
{
	char scheme[16];

	if (curl_url_set(url, CURLUPART_URL, text, CURLU_PATH_AS_IS) != CURLUE_OK || has_user(url))
		return false;
	if (!get_part(url, CURLUPART_SCHEME, 0, scheme, sizeof(scheme)) ||
	    (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
		return false;
	origin->is_https = !strcmp(scheme, "https");
	return get_part(url, CURLUPART_HOST, 0, origin->host, sizeof(origin->host)) &&
	       get_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT, origin->port, sizeof(origin->port));
}

int origin_of(const char *text, struct origin *ret_origin, struct error *err)
{
	CURLU *url = curl_url();
	bool ok;

	if (!url)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a URL");
	ok = read_origin(url, text, ret_origin);
	curl_url_cleanup(url);
	return ok ? 0 : error_set(err, ERR_INVALID, "'%.200s' is not a URL of http or https", text);
}

bool origin_equal(const struct origin *a, const struct origin *b)
{
	return a->is_https == b->is_https && !strcmp(a->host, b->host) && !strcmp(a->port, b->port);
}

void origin_name(const struct origin *origin, char name[ORIGIN_NAME_SIZE])
{
	bool own = !strcmp(origin->port, origin->is_https ? "443" : "80");

	(void)snprintf(name, ORIGIN_NAME_SIZE, "%s%s%s", origin->host, own ? "" : ":", own ? "" : origin->port);
}

int origin_resolve(const char *base, const char *location, char **ret_url, struct error *err)
{
	CURLU *url = curl_url();
	char *text = NULL;
	bool ok;

	if (!url)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a URL");
	ok = curl_url_set(url, CURLUPART_URL, base, CURLU_PATH_AS_IS) == CURLUE_OK &&
	     curl_url_set(url, CURLUPART_URL, location, CURLU_PATH_AS_IS) == CURLUE_OK &&
	     curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK && curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK;
	*ret_url = ok ? strdup(text) : NULL;
	curl_free(text);
	curl_url_cleanup(url);
	return *ret_url ? 0 : error_set(err, ERR_INVALID, "redirected to '%.200s', which is no URL", location);
}
