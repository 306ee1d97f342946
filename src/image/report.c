#include "image/report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

int report_read_order(int fd, struct unpack_order *ret_order, struct error *err)
{
	char *next = (char *)ret_order;
	size_t left = sizeof(*ret_order);

	while (left > 0) {
		ssize_t n = read(fd, next, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_sys(err, n < 0 ? errno : EPIPE, "read the order to unpack");
		next += n;
		left -= (size_t)n;
	}
	return 0;
}

int report_send(int fd, enum report_type type, const void *data, size_t len, struct error *err)
{
	struct report_header header = { type, (uint32_t)len };
	char frame[sizeof(header) + REPORT_MAX_LEN];

	if (len > REPORT_MAX_LEN)
		return error_set(err, ERR_INTERNAL, "report of %zu bytes", len);
	memcpy(frame, &header, sizeof(header));
	if (len > 0)
		memcpy(frame + sizeof(header), data, len);
	return io_write_all(fd, frame, sizeof(header) + len, "report", err);
}

void report_send_error(int fd, const struct error *error)
{
	char data[sizeof(uint32_t) + ERROR_TEXT_SIZE];
	uint32_t code = error->code;
	size_t len = strlen(error->text);
	struct error ignored;

	memcpy(data, &code, sizeof(code));
	memcpy(data + sizeof(code), error->text, len);
	(void)report_send(fd, REPORT_ERROR, data, sizeof(code) + len, &ignored);
}

int report_next(const struct buffer *b, size_t *offset, struct report_header *ret_header, const char **ret_data, struct error *err)
{
	size_t left = b->len - *offset;
	struct report_header header;

	if (left == 0)
		return 0;
	if (left < sizeof(header))
		return error_set(err, ERR_INTERNAL, "unpacking process sent half a report");
	memcpy(&header, b->data + *offset, sizeof(header));
	if (header.type < REPORT_OPAQUE || header.type > REPORT_DONE || header.len > REPORT_MAX_LEN ||
	    header.len > left - sizeof(header))
		return error_set(err, ERR_INTERNAL, "unpacking process sent a malformed report");
	*ret_header = header;
	*ret_data = b->data + *offset + sizeof(header);
	*offset += sizeof(header) + header.len;
	return 1;
}

int report_to_error(const char *data, size_t len, struct error *err)
{
	char text[ERROR_TEXT_SIZE];
	uint32_t code = ERR_INTERNAL;
	size_t n = 0;

	if (len >= sizeof(code)) {
		memcpy(&code, data, sizeof(code));
		for (size_t i = sizeof(code); i < len && n < sizeof(text) - 1; i++)
			text[n++] = data[i] >= 0x20 && data[i] < 0x7f ? data[i] : '?';
	}
	text[n] = '\0';
	if (code == ERR_NONE || code >= ERR_CODE_COUNT)
		code = ERR_INTERNAL;
	return error_set(err, (enum error_code)code, "%s", text);
}
