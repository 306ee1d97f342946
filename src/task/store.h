/*
 * The store: one record per sandbox and container, on disk, so that a restarted daemon knows what a former one made.
 *
 * SQLite in WAL mode with synchronous=NORMAL: a put costs about 25 us (limits.md, durable commits), survives a crash of the daemon,
 * and is not synced: after a power cut the last records may be missing, which recovery treats as pods that never were (their kernel
 * objects are gone too). Records are packed messages of proto/store.proto.
 *
 * One connection, used by the loop thread alone, writes; a second one, used by one lane job at a time, moves the log into the
 * database file (store_checkpoint()), because that syncs. The log stays near 16 MiB at most.
 */
#ifndef MONOPOD_TASK_STORE_H
#define MONOPOD_TASK_STORE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct store;

/* Numbers on disk: never renumber. */
enum store_kind { STORE_SANDBOX = 1, STORE_CONTAINER = 2 };

/* ERR_DATA_LOSS when the file is damaged, ERR_STATE when a newer monopod wrote it. */
int store_open(const char *path, struct store **ret_store, struct error *err);
void store_close(struct store *store); /* NULL is fine */

int store_put(struct store *store, enum store_kind kind, const char *id, const ProtobufCMessage *record, struct error *err);

/* A record that is not there is success. */
int store_erase(struct store *store, enum store_kind kind, const char *id, struct error *err);

/* Visits every record of the kind in the order of ids; a visit that fails ends it. Visits must not write to the store. */
typedef int store_visit_fn(void *arg, const char *id, const uint8_t *record, size_t len, struct error *err);
int store_each(struct store *store, enum store_kind kind, store_visit_fn *visit, void *arg, struct error *err);

/* True once enough was written since the last store_checkpoint(). */
bool store_wants_checkpoint(const struct store *store);

/* The loop thread notes that a checkpoint is being made; the lane makes it. Blocks (fsync). */
void store_begin_checkpoint(struct store *store);
int store_checkpoint(struct store *store, struct error *err);

#endif
