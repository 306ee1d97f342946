/*
 * Any protobuf-c message as JSON, by its descriptor, in the proto3 mapping that other tools of the ecosystem print: lowerCamelCase
 * names, 64-bit integers as strings, bytes as base64, enum values by name, maps as objects. Scalars and lists are always there, also
 * with their default value; messages that are not set are left out.
 */
#ifndef MONOPOD_CLI_JSON_H
#define MONOPOD_CLI_JSON_H

#include <cjson/cJSON.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>

#include "base/error.h"

/* NULL when memory is out. The caller frees it with cJSON_Delete(). */
cJSON *json_of_message(const ProtobufCMessage *message);

/* One document and a newline. Takes `json` and deletes it; NULL is reported as out of memory. */
int json_print(cJSON *json, FILE *out, struct error *err);
int json_print_message(const ProtobufCMessage *message, FILE *out, struct error *err);

#endif
