#include "task/message.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static uint8_t *pack(const ProtobufCMessage *message, size_t *ret_len)
{
	uint8_t *data;

	*ret_len = protobuf_c_message_get_packed_size(message);
	data = malloc(*ret_len ? *ret_len : 1);
	if (data)
		(void)protobuf_c_message_pack(message, data);
	return data;
}

void *message_copy(const ProtobufCMessage *message, struct error *err)
{
	size_t len;
	_cleanup_free_
	uint8_t *data = pack(message, &len);
	ProtobufCMessage *copy = data ? protobuf_c_message_unpack(message->descriptor, NULL, len, data) : NULL;

	if (!copy)
		(void)error_set(err, ERR_EXHAUSTED, "copy %s: out of memory", message->descriptor->short_name);
	return copy;
}

void message_free(void *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}

bool message_equal(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	size_t a_len, b_len;
	_cleanup_free_
	uint8_t *a_data = pack(a, &a_len);
	_cleanup_free_
	uint8_t *b_data = pack(b, &b_len);

	return a_data && b_data && a_len == b_len && !memcmp(a_data, b_data, a_len);
}

static bool has_entry(struct map_entry *const *there, size_t n_there, const struct map_entry *wanted)
{
	for (size_t i = 0; i < n_there; i++)
		if (!strcmp(there[i]->key, wanted->key) && !strcmp(there[i]->value, wanted->value))
			return true;
	return false;
}

bool map_contains(struct map_entry *const *there, size_t n_there, struct map_entry *const *wanted, size_t n_wanted)
{
	for (size_t i = 0; i < n_wanted; i++)
		if (!has_entry(there, n_there, wanted[i]))
			return false;
	return true;
}

static int compare_keys(const void *a, const void *b)
{
	const struct map_entry *const *x = a, *const *y = b;

	return strcmp((*x)->key, (*y)->key);
}

void map_sort(struct map_entry **entries, size_t n)
{
	if (n > 1)
		qsort(entries, n, sizeof(*entries), compare_keys);
}
