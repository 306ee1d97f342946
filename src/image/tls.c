#include "image/tls.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <limits.h>
/* OpenSSL has a type with the name of one of our error codes. */
#define ERR_STATE openssl_err_state
#include <openssl/pem.h>
#include <openssl/ssl.h>
#undef ERR_STATE
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/io.h"
#include "base/mem.h"

/* All authorities of one host: hundreds of them. */
#define MAX_AUTHORITIES ((size_t)1 << 20)

/* A certificate, its chain and its key. */
#define MAX_CLIENT ((size_t)256 * 1024)

struct identity {
	X509 *cert;
	STACK_OF(X509) * chain;
	EVP_PKEY *key;
};

struct tls {
	struct buffer authorities; /* PEM */
	bool skip_verify;
	struct identity *identities;
	size_t n_identities;
};

/* ---- files ---- */

/* PEM asks for passwords on the terminal when nobody forbids it. */
static int no_password(char *buf, int size, int is_writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)is_writing;
	(void)arg;
	return 0;
}

static X509 *first_certificate(const struct buffer *pem)
{
	BIO *bio = pem->len > 0 ? BIO_new_mem_buf(pem->data, (int)pem->len) : NULL;
	X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;

	(void)BIO_free(bio);
	return cert;
}

static int add_authorities(struct tls *tls, const char *path, struct error *err)
{
	_cleanup_buffer_ struct buffer pem = BUFFER_INIT(MAX_AUTHORITIES);
	X509 *cert;

	if (io_read_file(AT_FDCWD, path, &pem, err) < 0)
		return -1;
	cert = first_certificate(&pem);
	if (!cert)
		return error_set(err, ERR_INVALID, "%s holds no certificate in PEM", path);
	X509_free(cert);
	if (buffer_append(&tls->authorities, pem.data, pem.len, err) < 0 || buffer_append(&tls->authorities, "\n", 1, err) < 0)
		return error_prefix(err, "%s", path);
	return 0;
}

/* What follows the certificate in its file leads to its authority. */
static int read_chain(struct identity *id, const char *path, struct error *err)
{
	_cleanup_buffer_ struct buffer pem = BUFFER_INIT(MAX_CLIENT);
	X509 *more;
	BIO *bio;

	if (io_read_file(AT_FDCWD, path, &pem, err) < 0)
		return -1;
	bio = BIO_new_mem_buf(pem.data ? pem.data : "", (int)pem.len);
	id->chain = sk_X509_new_null();
	id->cert = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
	while (id->cert && id->chain && (more = PEM_read_bio_X509(bio, NULL, no_password, NULL))) {
		if (sk_X509_push(id->chain, more) == 0)
			X509_free(more);
	}
	(void)BIO_free(bio);
	return id->cert && id->chain ? 0 : error_set(err, ERR_INVALID, "%s holds no certificate in PEM", path);
}

static int read_key(struct identity *id, const char *path, struct error *err)
{
	_cleanup_buffer_ struct buffer pem = BUFFER_INIT(MAX_CLIENT);
	BIO *bio;

	if (io_read_file(AT_FDCWD, path, &pem, err) < 0)
		return -1;
	bio = BIO_new_mem_buf(pem.data ? pem.data : "", (int)pem.len);
	id->key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
	(void)BIO_free(bio);
	if (pem.data)
		explicit_bzero(pem.data, pem.len);
	if (!id->key)
		return error_set(err, ERR_INVALID, "%s holds no key in PEM that is not encrypted", path);
	return 0;
}

static int read_identity(struct identity *id, const struct host_client *client, struct error *err)
{
	if (read_chain(id, client->cert, err) < 0 || read_key(id, client->key, err) < 0)
		return -1;
	if (X509_check_private_key(id->cert, id->key) != 1)
		return error_set(err, ERR_INVALID, "%s is not the key of %s", client->key, client->cert);
	return 0;
}

static int load(struct tls *tls, const struct host *host, struct error *err)
{
	tls->skip_verify = host->skip_verify;
	for (size_t i = 0; i < host->n_authorities; i++) {
		if (add_authorities(tls, host->authorities[i], err) < 0)
			return error_prefix(err, "authorities");
	}
	tls->identities = calloc(host->n_clients + 1, sizeof(*tls->identities));
	if (!tls->identities)
		return error_set(err, ERR_EXHAUSTED, "out of memory for certificates");
	for (; tls->n_identities < host->n_clients; tls->n_identities++) {
		if (read_identity(&tls->identities[tls->n_identities], &host->clients[tls->n_identities], err) < 0) {
			tls->n_identities++;
			return error_prefix(err, "client certificate");
		}
	}
	return 0;
}

int tls_load(const struct host *host, struct tls **ret_tls, struct error *err)
{
	struct tls *tls;

	*ret_tls = NULL;
	if (!host->skip_verify && host->n_authorities == 0 && host->n_clients == 0)
		return 0;
	tls = calloc(1, sizeof(*tls));
	if (!tls)
		return error_set(err, ERR_EXHAUSTED, "out of memory for certificates");
	buffer_init(&tls->authorities, MAX_AUTHORITIES);
	if (load(tls, host, err) < 0) {
		tls_free(tls);
		return -1;
	}
	*ret_tls = tls;
	return 0;
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	for (size_t i = 0; i < tls->n_identities; i++) {
		X509_free(tls->identities[i].cert);
		sk_X509_pop_free(tls->identities[i].chain, X509_free);
		EVP_PKEY_free(tls->identities[i].key);
	}
	free(tls->identities);
	buffer_release(&tls->authorities);
	free(tls);
}

/* ---- connections ---- */

static bool is_among(const STACK_OF(X509_NAME) * names, const X509 *cert)
{
	for (int i = 0; i < sk_X509_NAME_num(names); i++) {
		if (X509_NAME_cmp(sk_X509_NAME_value(names, i), X509_get_issuer_name(cert)) == 0)
			return true;
	}
	return false;
}

/* RFC 8446, 4.2.4: the server may say whose certificates it takes. */
static bool is_wanted(const STACK_OF(X509_NAME) * names, const struct identity *id)
{
	if (is_among(names, id->cert))
		return true;
	for (int i = 0; i < sk_X509_num(id->chain); i++) {
		if (is_among(names, sk_X509_value(id->chain, i)))
			return true;
	}
	return false;
}

/* OpenSSL: the server asks for a certificate. 1 goes on. */
static int on_request(SSL *ssl, void *arg)
{
	const struct tls *tls = arg;
	const struct identity *chosen = &tls->identities[0];
	const STACK_OF(X509_NAME) *names = SSL_get0_peer_CA_list(ssl);

	for (size_t i = 0; names && i < tls->n_identities; i++) {
		if (is_wanted(names, &tls->identities[i])) {
			chosen = &tls->identities[i];
			break;
		}
	}
	return SSL_use_cert_and_key(ssl, chosen->cert, chosen->key, chosen->chain, 1);
}

static CURLcode on_context(CURL *curl, void *context, void *arg)
{
	(void)curl;
	SSL_CTX_set_cert_cb(context, on_request, arg);
	return CURLE_OK;
}

/* curl keeps the system's directory of authorities when it is given others as a blob. */
static bool set_authorities(CURL *curl, const struct tls *tls)
{
	struct curl_blob blob = { tls->authorities.data, tls->authorities.len, CURL_BLOB_COPY };

	return tls->authorities.len == 0 || curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob) == CURLE_OK;
}

static bool set_own(CURL *curl, const struct tls *tls)
{
	if (tls->skip_verify && (curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L) != CURLE_OK ||
				 curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L) != CURLE_OK))
		return false;
	if (tls->n_identities == 0)
		return true;
	return curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, on_context) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, tls) == CURLE_OK;
}

int tls_set(void *curl, const struct tls *tls, bool is_own, struct error *err)
{
	if (set_authorities(curl, tls) && (!is_own || set_own(curl, tls)))
		return 0;
	return error_set(err, ERR_EXHAUSTED, "out of memory for certificates");
}
