/* From the bytes of a request to the struct that an operation reads. */
#ifndef MONOPOD_CRI_DECODE_H
#define MONOPOD_CRI_DECODE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

/*
 * wire_check(), then unpacked into the arena, which owns all of it: there is nothing to free one by one. The arena gets at most
 * DECODE_MAX_GROWTH bytes plus four times the message (strings once, plus what protobuf-c needs to sort the fields while it unpacks);
 * *ret_bytes is what it took.
 */
#define DECODE_MAX_GROWTH ((size_t)32 * 1024 * 1024)

int decode_message(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len, struct arena *arena,
		   const ProtobufCMessage **ret_message, size_t *ret_bytes, struct error *err);

#endif
