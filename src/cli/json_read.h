/*
 * A protobuf-c message from JSON, by its descriptor: what json.h prints, and what people write for crictl. Names as in the .proto file
 * or in lowerCamelCase; 64-bit integers as numbers or strings; enum values by name or number; maps as objects; null is not there. The
 * text of a bytes field is taken as it is, which is how crictl has the values of environment variables.
 *
 * A name that the message does not have is ERR_INVALID, as is a value of the wrong kind; the sentence begins with the path to it.
 */
#ifndef MONOPOD_CLI_JSON_READ_H
#define MONOPOD_CLI_JSON_READ_H

#include <cjson/cJSON.h>
#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/error.h"

/* Fills `message`, which has been initialised; everything that it points to is of the arena. */
int json_read_message(const cJSON *json, ProtobufCMessage *message, struct arena *arena, struct error *err);

/* One document in a file of at most 4 MiB; "-" is standard input. */
int json_read_file(const char *path, ProtobufCMessage *message, struct arena *arena, struct error *err);

#endif
