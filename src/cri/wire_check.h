/*
 * The form of a protobuf message, checked against its descriptor before anything is unpacked: protobuf-c copies what it finds, without
 * asking whether a string is text, and allocates for every item that a few bytes announce.
 *
 * Refused with ERR_INVALID and the path of the field: truncated or malformed encodings, wire types that do not fit the field, groups,
 * strings that are not UTF-8 or hold a NUL (fields of type bytes are exempt: environment values are bytes since CRI v0.36.3), enum values
 * that the contract does not have, a field that may occur once and occurs twice (no encoder writes that; which one counts would be
 * anybody's guess), more nesting or more fields than below. Unknown fields are skipped, as protobuf demands.
 */
#ifndef MONOPOD_CRI_WIRE_CHECK_H
#define MONOPOD_CRI_WIRE_CHECK_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* The contract's deepest request nests seven messages (RestorePod, ID mappings of a mount); the rest is room for its growth. */
#define WIRE_MAX_DEPTH 16

/*
 * Fields and packed values of one message, nested ones included. Two bytes on the wire can become a hundred in memory, so a message of
 * 16 MiB could unpack to 800 MiB. A pod object has at most 1.5 MiB in etcd and an environment variable takes three fields here: 100,000
 * are more than any real request has (tens of thousands are unheard of), and unpack to 20 MiB at most.
 */
#define WIRE_MAX_FIELDS 100000

int wire_check(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len, struct error *err);

#endif
