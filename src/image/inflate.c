#include "image/inflate.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/io.h"
#include "base/mem.h"

#define CHUNK ((size_t)128 * 1024)

struct input {
	int fd;
	unsigned char room[sizeof(uint64_t)]; /* see give_back() */
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

static const char *gzip_error(int code)
{
	switch (code) {
	case ISAL_INVALID_WRAPPER:
		return "incorrect header check";
	case ISAL_UNSUPPORTED_METHOD:
		return "unknown compression method";
	case ISAL_INCORRECT_CHECKSUM:
		return "incorrect data check";
	default:
		return "invalid data";
	}
}

/* RFC 1952, 2.2: members follow each other; zeros after the last one are padding of a block device or tape. Returns false when there is
 * nothing but those. */
static bool next_member(struct inflate_state *z)
{
	uint8_t *next = z->next_in;
	uint32_t left = z->avail_in;

	for (; left > 0 && *next == 0; left--)
		next++;
	if (left > 0) {
		isal_inflate_init(z);
		z->crc_flag = ISAL_GZIP;
	}
	z->next_in = next;
	z->avail_in = left;
	return left > 0;
}

/* The decoder takes eight bytes at a time, so at the end of a member it may hold some of the next one. They may be of the chunk before:
 * hence the room in front of the data. */
static void give_back(struct inflate_state *z)
{
	uint32_t n = (uint32_t)z->read_in_length / 8;

	z->next_in -= n;
	z->avail_in += n;
	memcpy(z->next_in, &z->read_in, n);
}

/* Decompresses what is in p->in; *member_ended when it stands between two members. */
static int inflate_chunk(struct pipeline *p, struct inflate_state *z, bool *member_ended, struct error *err)
{
	z->next_in = p->in.data;
	z->avail_in = (uint32_t)p->in.len;
	do {
		int result;

		if (*member_ended && !next_member(z))
			break;
		z->next_out = p->out.data;
		z->avail_out = sizeof(p->out.data);
		result = isal_inflate(z);
		if (result < 0)
			return error_set(err, ERR_INVALID, "gzip: %s", gzip_error(result));
		*member_ended = z->block_state == ISAL_BLOCK_FINISH;
		if (*member_ended)
			give_back(z);
		if (write_out(&p->out, sizeof(p->out.data) - z->avail_out, err) < 0)
			return -1;
	} while (z->avail_in > 0 || (z->avail_out == 0 && !*member_ended));
	return 0;
}

static int inflate_all(struct pipeline *p, struct inflate_state *z, struct error *err)
{
	bool member_ended = false;

	isal_inflate_init(z);
	z->crc_flag = ISAL_GZIP;
	while (p->in.len > 0 || !p->in.ended) {
		if (inflate_chunk(p, z, &member_ended, err) < 0)
			return -1;
		p->in.len = 0;
		if (read_some(&p->in, err) < 0)
			return -1;
	}
	return member_ended ? 0 : error_set(err, ERR_INVALID, "gzip: the stream ends early");
}

static int copy_gzip(struct pipeline *p, struct error *err)
{
	_cleanup_free_
	struct inflate_state *z = calloc(1, sizeof(*z));

	return z ? inflate_all(p, z, err) : error_set(err, ERR_EXHAUSTED, "gzip: out of memory");
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
