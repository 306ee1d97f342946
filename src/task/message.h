/* Small tools for protobuf-c messages. */
#ifndef MONOPOD_TASK_MESSAGE_H
#define MONOPOD_TASK_MESSAGE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "base/error.h"

/* A deep copy that lives on the heap; message_free(). NULL and an error when memory is out. */
void *message_copy(const ProtobufCMessage *message, struct error *err);
void message_free(void *message); /* NULL is fine */

#define _cleanup_message_ __attribute__((cleanup(message_cleanup)))
static inline void message_cleanup(void *ptr)
{
	message_free(*(void **)ptr);
}

/* The same content, byte for byte. Maps must be in the same order: see map_sort(). */
bool message_equal(const ProtobufCMessage *a, const ProtobufCMessage *b);

/*
 * Every map<string, string> of the contract is compiled to a message type of its own, all with the same two fields of the same
 * numbers. So entries of one map can stand in another: they pack to the same bytes, and nothing is copied.
 */
struct map_entry {
	ProtobufCMessage base;
	char *key, *value;
};

#define MAP(entries) ((struct map_entry **)(void *)(entries))
#define MAP_AS(type, entries) ((type **)(void *)(entries))

/* True when every wanted entry is among those that are there. */
bool map_contains(struct map_entry *const *there, size_t n_there, struct map_entry *const *wanted, size_t n_wanted);

/* By key, so that equal maps become equal bytes. */
void map_sort(struct map_entry **entries, size_t n);

#endif
