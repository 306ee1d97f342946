#include "image/inflate.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/io.h"
#include "base/mem.h"

#define CHUNK ((size_t)128 * 1024)

struct input {
	int fd;
	unsigned char data[CHUNK];
	size_t len; /* bytes in data */
	bool ended;
};

struct output {
	int fd;
	unsigned char data[CHUNK];
};

struct pipeline {
	struct input in;
	struct output out;
};

static int read_some(struct input *in, struct error *err)
{
	ssize_t n;

	do {
		n = read(in->fd, in->data + in->len, sizeof(in->data) - in->len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_sys(err, errno, "read compressed layer");
	in->ended = n == 0;
	in->len += (size_t)n;
	return 0;
}

static int write_out(struct output *out, size_t len, struct error *err)
{
	return io_write_all(out->fd, out->data, len, "decompressed layer", err);
}

static int copy_plain(struct pipeline *p, struct error *err)
{
	while (p->in.len > 0 || !p->in.ended) {
		if (io_write_all(p->out.fd, p->in.data, p->in.len, "layer", err) < 0)
			return -1;
		p->in.len = 0;
		if (read_some(&p->in, err) < 0)
			return -1;
	}
	return 0;
}

/* Decompresses what is in p->in; *ret_member_ended when it stands between two members. */
static int inflate_chunk(struct pipeline *p, z_stream *z, bool *member_ended, struct error *err)
{
	z->next_in = p->in.data;
	z->avail_in = (unsigned)p->in.len;
	do {
		int result;

		if (*member_ended) {
			/* RFC 1952, 2.2: members follow each other; zeros after the last one are padding of a block device or tape. */
			if (z->avail_in > 0 && *z->next_in == 0) {
				z->next_in++;
				z->avail_in--;
				continue;
			}
			if (z->avail_in == 0)
				break;
			(void)inflateReset(z);
			*member_ended = false;
		}
		z->next_out = p->out.data;
		z->avail_out = sizeof(p->out.data);
		result = inflate(z, Z_NO_FLUSH);
		if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
			return error_set(err, result == Z_MEM_ERROR ? ERR_EXHAUSTED : ERR_INVALID, "gzip: %s",
					 z->msg ? z->msg : zError(result));
		*member_ended = result == Z_STREAM_END;
		if (write_out(&p->out, sizeof(p->out.data) - z->avail_out, err) < 0)
			return -1;
	} while (z->avail_in > 0 || (z->avail_out == 0 && !*member_ended));
	return 0;
}

static int copy_gzip(struct pipeline *p, struct error *err)
{
	z_stream z = { 0 };
	bool member_ended = false;
	int result = 0;

	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return error_set(err, ERR_EXHAUSTED, "gzip: out of memory");
	while (result == 0 && (p->in.len > 0 || !p->in.ended)) {
		result = inflate_chunk(p, &z, &member_ended, err);
		p->in.len = 0;
		if (result == 0)
			result = read_some(&p->in, err);
	}
	if (result == 0 && !member_ended)
		result = error_set(err, ERR_INVALID, "gzip: the stream ends early");
	(void)inflateEnd(&z);
	return result;
}

/* *ret_wanted is 0 between two frames. */
static int unzstd_chunk(struct pipeline *p, ZSTD_DCtx *z, size_t *ret_wanted, struct error *err)
{
	ZSTD_inBuffer in = { p->in.data, p->in.len, 0 };
	ZSTD_outBuffer out;

	do {
		out = (ZSTD_outBuffer){ p->out.data, sizeof(p->out.data), 0 };
		*ret_wanted = ZSTD_decompressStream(z, &out, &in);
		if (ZSTD_isError(*ret_wanted))
			return error_set(err, ERR_INVALID, "zstd: %s", ZSTD_getErrorName(*ret_wanted));
		if (write_out(&p->out, out.pos, err) < 0)
			return -1;
		/* A call with no input after the end of a frame would wait for the next one. */
	} while (in.pos < in.size || (out.pos == out.size && *ret_wanted != 0));
	return 0;
}

/* zstd's default limit of the window, 128 MiB, bounds the memory. */
static int copy_zstd(struct pipeline *p, struct error *err)
{
	ZSTD_DCtx *z = ZSTD_createDCtx();
	size_t wanted = 1;
	int result = 0;

	if (!z)
		return error_set(err, ERR_EXHAUSTED, "zstd: out of memory");
	while (result == 0 && (p->in.len > 0 || !p->in.ended)) {
		if (p->in.len > 0)
			result = unzstd_chunk(p, z, &wanted, err);
		p->in.len = 0;
		if (result == 0)
			result = read_some(&p->in, err);
	}
	if (result == 0 && wanted != 0)
		result = error_set(err, ERR_INVALID, "zstd: the stream ends early");
	(void)ZSTD_freeDCtx(z);
	return result;
}

static bool starts_with(const struct input *in, const char *magic, size_t len)
{
	return in->len >= len && !memcmp(in->data, magic, len);
}

/* A zstd frame or a skippable one (RFC 8878, 3.1). */
static bool is_zstd(const struct input *in)
{
	return starts_with(in, "\x28\xb5\x2f\xfd", 4) ||
	       (in->len >= 4 && (in->data[0] & 0xf0) == 0x50 && !memcmp(in->data + 1, "\x2a\x4d\x18", 3));
}

static int run(struct pipeline *p, struct error *err)
{
	while (p->in.len < 6 && !p->in.ended) {
		if (read_some(&p->in, err) < 0)
			return -1;
	}
	if (starts_with(&p->in, "\x1f\x8b", 2))
		return copy_gzip(p, err);
	if (is_zstd(&p->in))
		return copy_zstd(p, err);
	if (starts_with(&p->in,
			"\xfd"
			"7zXZ",
			5) ||
	    starts_with(&p->in, "BZh", 3))
		return error_set(err, ERR_UNIMPLEMENTED, "layer is compressed with %s; gzip and zstd are supported",
				 p->in.data[0] == 'B' ? "bzip2" : "xz");
	return copy_plain(p, err);
}

int inflate_fd(int in, int out, struct error *err)
{
	_cleanup_free_
	struct pipeline *p = calloc(1, sizeof(*p));

	if (!p)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a decompressor");
	p->in.fd = in;
	p->out.fd = out;
	return run(p, err);
}
