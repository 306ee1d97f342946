#include "cri/request_head.h"

#include <string.h>

#include "base/mem.h"
#include "cri/grpc_timeout.h"

/* RFC 9113 section 6.5.2, SETTINGS_MAX_HEADER_LIST_SIZE. */
#define FIELD_OVERHEAD 32

struct slice {
	const char *text;
	size_t len;
};

static bool equals(struct slice s, const char *text)
{
	return s.len == strlen(text) && !memcmp(s.text, text, s.len);
}

static void take_method(struct request_head *head, struct slice value)
{
	head->is_post = equals(value, "POST");
}

static void take_path(struct request_head *head, struct slice value)
{
	if (value.len >= sizeof(head->path) || memchr(value.text, '\0', value.len))
		return;
	memcpy(head->path, value.text, value.len);
	head->path[value.len] = '\0';
}

/* "application/grpc" and "application/grpc+proto", with parameters or without; other messages than protobuf we cannot read. */
static void take_content_type(struct request_head *head, struct slice value)
{
	const char *semicolon = memchr(value.text, ';', value.len);

	if (semicolon)
		value.len = (size_t)(semicolon - value.text);
	while (value.len > 0 && value.text[value.len - 1] == ' ')
		value.len--;
	head->is_grpc = equals(value, "application/grpc") || equals(value, "application/grpc+proto");
}

static void take_timeout(struct request_head *head, struct slice value)
{
	head->bad_timeout = grpc_timeout_parse(value.text, value.len, &head->timeout_us) < 0;
}

static void take_encoding(struct request_head *head, struct slice value)
{
	head->bad_encoding = !equals(value, "identity");
}

static const struct {
	const char *name;
	void (*take)(struct request_head *head, struct slice value);
} known[] = {
	{ ":method", take_method },
	{ ":path", take_path },
	{ "content-type", take_content_type },
	{ "grpc-timeout", take_timeout },
	{ "grpc-encoding", take_encoding },
};

void request_head_init(struct request_head *head)
{
	*head = (struct request_head){ .timeout_us = -1 };
}

void request_head_add(struct request_head *head, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct slice title = { name, name_len }, content = { value, value_len };

	if (head->bytes <= REQUEST_HEAD_MAX_BYTES)
		head->bytes += name_len + value_len + FIELD_OVERHEAD;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (equals(title, known[i].name))
			known[i].take(head, content);
	}
}

int request_head_http_status(const struct request_head *head)
{
	if (head->bytes > REQUEST_HEAD_MAX_BYTES)
		return 431;
	if (!head->is_post)
		return 405;
	return head->is_grpc ? 200 : 415;
}

int request_head_check(const struct request_head *head, struct error *err)
{
	if (head->bad_timeout)
		return error_set(err, ERR_INVALID, "malformed grpc-timeout header");
	if (head->bad_encoding)
		return error_set(err, ERR_UNIMPLEMENTED, "compressed messages are not supported: use grpc-encoding identity");
	return 0;
}
