/* What reading and printing JSON (json_read.c, json.c) know of descriptors alike. */
#ifndef MONOPOD_CLI_JSON_NAMES_H
#define MONOPOD_CLI_JSON_NAMES_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#define JSON_NAME_SIZE 64

/* "pod_sandbox_id" is "podSandboxId". */
void json_camel_case(char out[JSON_NAME_SIZE], const char *name);

/* Bytes of one value in a struct or list. */
size_t json_value_size(ProtobufCType type);

/* map<> travels as repeated messages of a generated type with the fields key = 1 and value = 2. */
bool json_is_map(const ProtobufCFieldDescriptor *field);

#endif
