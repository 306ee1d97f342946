#include "image/tls.h"

#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/io.h"
#include "base/mem.h"

/* All authorities of one registry: hundreds of them. */
#define MAX_AUTHORITIES ((size_t)1 << 20)

bool tls_find(const char *certs_dir, const char *name, char ret_path[PATH_MAX])
{
	if (!*certs_dir || snprintf(ret_path, PATH_MAX, "%s/%s", certs_dir, name) >= PATH_MAX)
		return false;
	return access(ret_path, F_OK) == 0;
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return n > m && !strcmp(name + n - m, suffix);
}

static int read_authorities(DIR *dir, struct buffer *pem, struct error *err)
{
	struct dirent *d;

	while ((d = readdir(dir))) {
		if (!has_suffix(d->d_name, ".crt"))
			continue;
		if (io_read_file(dirfd(dir), d->d_name, pem, err) < 0 || buffer_append(pem, "\n", 1, err) < 0)
			return -1;
	}
	return 0;
}

/* curl keeps the system's directory of authorities when it is given others as a blob. */
static int set_authorities(CURL *curl, DIR *dir, struct error *err)
{
	_cleanup_buffer_ struct buffer pem = BUFFER_INIT(MAX_AUTHORITIES);
	struct curl_blob blob;

	if (read_authorities(dir, &pem, err) < 0)
		return -1;
	if (pem.len == 0)
		return 0;
	blob = (struct curl_blob){ pem.data, pem.len, CURL_BLOB_COPY };
	if (curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob) != CURLE_OK)
		return error_set(err, ERR_EXHAUSTED, "out of memory for certificates");
	return 0;
}

static int set_client(CURL *curl, DIR *dir, const char *path, struct error *err)
{
	char cert[PATH_MAX], key[PATH_MAX];

	if (faccessat(dirfd(dir), "client.cert", F_OK, 0) < 0 || faccessat(dirfd(dir), "client.key", F_OK, 0) < 0)
		return 0;
	if (snprintf(cert, sizeof(cert), "%s/client.cert", path) >= (int)sizeof(cert) ||
	    snprintf(key, sizeof(key), "%s/client.key", path) >= (int)sizeof(key))
		return error_sys(err, ENAMETOOLONG, "client certificate");
	if (curl_easy_setopt(curl, CURLOPT_SSLCERT, cert) != CURLE_OK || curl_easy_setopt(curl, CURLOPT_SSLKEY, key) != CURLE_OK)
		return error_set(err, ERR_EXHAUSTED, "out of memory for certificates");
	return 0;
}

int tls_set(void *curl, const char *path, struct error *err)
{
	_cleanup_dir_ DIR *dir = opendir(path);

	if (!dir)
		return errno == ENOENT ? 0 : error_sys(err, errno, "open %s", path);
	if (set_authorities(curl, dir, err) < 0 || set_client(curl, dir, path, err) < 0)
		return error_prefix(err, "certificates in %s", path);
	return 0;
}
