/* OpenSSL has a type with the name of one of our error codes. */
#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#undef ERR_STATE

#include <string.h>

#include "base/id.h"
#include "image/digest.h"

int digest_begin(struct digest *d, struct error *err)
{
	d->ctx = EVP_MD_CTX_new();
	if (!d->ctx || EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) != 1) {
		digest_release(d);
		return error_set(err, ERR_EXHAUSTED, "start a SHA-256: out of memory");
	}
	return 0;
}

int digest_update(struct digest *d, const void *data, size_t len, struct error *err)
{
	if (EVP_DigestUpdate(d->ctx, data, len) != 1)
		return error_set(err, ERR_INTERNAL, "SHA-256 failed");
	return 0;
}

int digest_end(struct digest *d, char ret_text[DIGEST_TEXT_SIZE], struct error *err)
{
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (EVP_DigestFinal_ex(d->ctx, bytes, &len) != 1 || len != DIGEST_HEX_LEN / 2)
		return error_set(err, ERR_INTERNAL, "SHA-256 failed");
	memcpy(ret_text, DIGEST_PREFIX, sizeof(DIGEST_PREFIX));
	hex_encode(ret_text + sizeof(DIGEST_PREFIX) - 1, bytes, len);
	return 0;
}

void digest_release(struct digest *d)
{
	EVP_MD_CTX_free(d->ctx);
	d->ctx = NULL;
}

int digest_of(const void *data, size_t len, char ret_text[DIGEST_TEXT_SIZE], struct error *err)
{
	_cleanup_digest_ struct digest d = DIGEST_INIT;

	if (digest_begin(&d, err) < 0 || digest_update(&d, data, len, err) < 0)
		return -1;
	return digest_end(&d, ret_text, err);
}

bool digest_is_hex(const char *text, size_t len)
{
	return strspn(text, "0123456789abcdef") >= len;
}

int digest_check(const char *text, struct error *err)
{
	size_t len = strlen(text);

	/* The registered algorithms besides ours (descriptor.md): valid, so the answer is not "malformed". */
	if (!strncmp(text, "sha512:", 7) || !strncmp(text, "blake3:", 7))
		return error_set(err, ERR_UNIMPLEMENTED, "digest algorithm of '%.7s...' is not supported: only sha256 is", text);
	if (len != DIGEST_TEXT_SIZE - 1 || strncmp(text, DIGEST_PREFIX, sizeof(DIGEST_PREFIX) - 1) != 0 ||
	    !digest_is_hex(digest_hex(text), DIGEST_HEX_LEN))
		return error_set(err, ERR_INVALID, "'%.80s' is not a digest: want sha256: and 64 lower-case hexadecimal digits",
				 text);
	return 0;
}

const char *digest_hex(const char *text)
{
	return text + sizeof(DIGEST_PREFIX) - 1;
}
