#include "task/store.h"

#include <sqlite3.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/mem.h"

/* PRAGMA user_version: raised when an older daemon could misread what is there. */
#define FORMAT_VERSION 1

/* Records between two checkpoints. At about 1.5 KiB each the log stays below 1 MiB (arbitrary). */
#define CHECKPOINT_AFTER 512

/*
 * SQLite begins the log anew only when a writer finds all of it in the database file. A node that never rests always writes while a
 * checkpoint goes on, so past this limit (16 MiB, arbitrary) the last piece is moved with the writer held up: the loop, for two syncs of a
 * few pages, once for some five hundred pods. A node that rests for the time of a sync now and then never comes here.
 */
#define LOG_LIMIT_PAGES (16 * 256)

/* What the log keeps of its length once it was written back: a burst of pods makes it grow, the quiet after it gives the disk back. */
#define LOG_KEPT_BYTES "4194304"

/* A record over this is not ours: requests are bounded by the server's message limit, 16 MiB by default. */
#define MAX_RECORD_BYTES ((size_t)64 << 20)

struct store {
	sqlite3 *db;
	sqlite3 *checkpointer;
	sqlite3_stmt *put, *erase, *list;
	unsigned writes; /* since the last checkpoint */
};

static enum error_code code_of(int status)
{
	switch (status & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ERR_DATA_LOSS;
	case SQLITE_FULL:
	case SQLITE_NOMEM:
		return ERR_EXHAUSTED;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_UNAVAILABLE;
	case SQLITE_PERM:
	case SQLITE_READONLY:
	case SQLITE_AUTH:
		return ERR_DENIED;
	default:
		return ERR_INTERNAL;
	}
}

static int failed(sqlite3 *db, const char *what, struct error *err)
{
	return error_set(err, code_of(sqlite3_extended_errcode(db)), "%s: %s", what, sqlite3_errmsg(db));
}

static int run(sqlite3 *db, const char *sql, struct error *err)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(db, sql, err);
}

static int connect_to(const char *path, sqlite3 **ret_db, struct error *err)
{
	sqlite3 *db = NULL;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
	    sqlite3_busy_timeout(db, 2000) != SQLITE_OK) {
		(void)(db ? failed(db, "open", err) : error_set(err, ERR_EXHAUSTED, "open: out of memory"));
		(void)sqlite3_close(db);
		return -1;
	}
	if (run(db, "PRAGMA journal_mode=WAL", err) < 0 || run(db, "PRAGMA synchronous=NORMAL", err) < 0 ||
	    run(db, "PRAGMA wal_autocheckpoint=0", err) < 0 || run(db, "PRAGMA journal_size_limit=" LOG_KEPT_BYTES, err) < 0) {
		(void)sqlite3_close(db);
		return -1;
	}
	*ret_db = db;
	return 0;
}

static int read_version(sqlite3 *db, int *ret_version, struct error *err)
{
	sqlite3_stmt *stmt;
	int status;

	if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &stmt, NULL) != SQLITE_OK)
		return failed(db, "read version", err);
	status = sqlite3_step(stmt);
	if (status == SQLITE_ROW)
		*ret_version = sqlite3_column_int(stmt, 0);
	(void)sqlite3_finalize(stmt);
	return status == SQLITE_ROW ? 0 : failed(db, "read version", err);
}

static int lay_out(sqlite3 *db, struct error *err)
{
	int version;

	if (read_version(db, &version, err) < 0)
		return -1;
	if (version > FORMAT_VERSION)
		return error_set(err, ERR_STATE, "a newer monopod wrote it (format %d, this one knows %d)", version,
				 FORMAT_VERSION);
	if (version == FORMAT_VERSION)
		return 0;
	return run(db,
		   "BEGIN; CREATE TABLE object(kind INTEGER, id TEXT, record BLOB, PRIMARY KEY(kind, id)) WITHOUT ROWID;"
		   "PRAGMA user_version=1; COMMIT",
		   err);
}

static int prepare(struct store *store, const char *sql, sqlite3_stmt **ret_stmt, struct error *err)
{
	if (sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_stmt, NULL) != SQLITE_OK)
		return failed(store->db, sql, err);
	return 0;
}

static int open_in(struct store *store, const char *path, struct error *err)
{
	if (connect_to(path, &store->db, err) < 0 || lay_out(store->db, err) < 0 || connect_to(path, &store->checkpointer, err) < 0)
		return -1;
	if (prepare(store, "INSERT OR REPLACE INTO object VALUES(?1, ?2, ?3)", &store->put, err) < 0 ||
	    prepare(store, "DELETE FROM object WHERE kind=?1 AND id=?2", &store->erase, err) < 0 ||
	    prepare(store, "SELECT id, record FROM object WHERE kind=?1 ORDER BY id", &store->list, err) < 0)
		return -1;
	return 0;
}

int store_open(const char *path, struct store **ret_store, struct error *err)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store)
		return error_set(err, ERR_EXHAUSTED, "open store %s: out of memory", path);
	if (open_in(store, path, err) < 0) {
		store_close(store);
		return error_prefix(err, "open store %s", path);
	}
	*ret_store = store;
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	(void)sqlite3_finalize(store->put);
	(void)sqlite3_finalize(store->erase);
	(void)sqlite3_finalize(store->list);
	(void)sqlite3_close(store->checkpointer);
	(void)sqlite3_close(store->db);
	free(store);
}

static int step_once(struct store *store, sqlite3_stmt *stmt, const char *what, const char *id, struct error *err)
{
	int status = sqlite3_step(stmt), result = 0;

	if (status != SQLITE_DONE) {
		(void)failed(store->db, what, err);
		result = error_prefix(err, "store %s", id);
	}
	(void)sqlite3_reset(stmt);
	(void)sqlite3_clear_bindings(stmt);
	store->writes++;
	return result;
}

int store_put(struct store *store, enum store_kind kind, const char *id, const ProtobufCMessage *record, struct error *err)
{
	size_t len = protobuf_c_message_get_packed_size(record);
	_cleanup_free_
	uint8_t *data = NULL;

	if (len > MAX_RECORD_BYTES)
		return error_set(err, ERR_EXHAUSTED, "store %s: a record of %zu bytes", id, len);
	data = malloc(len ? len : 1);
	if (!data)
		return error_set(err, ERR_EXHAUSTED, "store %s: out of memory", id);
	(void)protobuf_c_message_pack(record, data);
	if (sqlite3_bind_int(store->put, 1, (int)kind) != SQLITE_OK ||
	    sqlite3_bind_text(store->put, 2, id, -1, SQLITE_STATIC) != SQLITE_OK ||
	    sqlite3_bind_blob64(store->put, 3, data, len, SQLITE_STATIC) != SQLITE_OK)
		return failed(store->db, "bind record", err);
	return step_once(store, store->put, "write record", id, err);
}

int store_erase(struct store *store, enum store_kind kind, const char *id, struct error *err)
{
	if (sqlite3_bind_int(store->erase, 1, (int)kind) != SQLITE_OK ||
	    sqlite3_bind_text(store->erase, 2, id, -1, SQLITE_STATIC) != SQLITE_OK)
		return failed(store->db, "bind record", err);
	return step_once(store, store->erase, "erase record", id, err);
}

static int visit_row(sqlite3_stmt *row, store_visit_fn *visit, void *arg, struct error *err)
{
	const char *id = (const char *)sqlite3_column_text(row, 0);
	const uint8_t *record = sqlite3_column_blob(row, 1);

	return visit(arg, id ? id : "", record, (size_t)sqlite3_column_bytes(row, 1), err);
}

int store_each(struct store *store, enum store_kind kind, store_visit_fn *visit, void *arg, struct error *err)
{
	int status, result = 0;

	if (sqlite3_bind_int(store->list, 1, (int)kind) != SQLITE_OK)
		return failed(store->db, "bind kind", err);
	while (result == 0 && (status = sqlite3_step(store->list)) != SQLITE_DONE)
		result = status == SQLITE_ROW ? visit_row(store->list, visit, arg, err) : failed(store->db, "read records", err);
	(void)sqlite3_reset(store->list);
	return result;
}

bool store_wants_checkpoint(const struct store *store)
{
	return store->writes >= CHECKPOINT_AFTER;
}

void store_begin_checkpoint(struct store *store)
{
	store->writes = 0;
}

/* *ret_pages is the size of the log when it began. */
static int move_log(struct store *store, int mode, int *ret_pages, struct error *err)
{
	int status = sqlite3_wal_checkpoint_v2(store->checkpointer, NULL, mode, ret_pages, NULL);

	if (status != SQLITE_OK && status != SQLITE_BUSY) /* busy: the writer was quicker; what was left is the next one's */
		return failed(store->checkpointer, "checkpoint store", err);
	return 0;
}

int store_checkpoint(struct store *store, struct error *err)
{
	int pages;

	/* PASSIVE never waits for the writer nor makes it wait; what it leaves, the next one takes. */
	if (move_log(store, SQLITE_CHECKPOINT_PASSIVE, &pages, err) < 0)
		return -1;
	if (pages < LOG_LIMIT_PAGES)
		return 0;
	/* What was written during the first is little, and what is written during the second is less. */
	if (move_log(store, SQLITE_CHECKPOINT_PASSIVE, &pages, err) < 0)
		return -1;
	return move_log(store, SQLITE_CHECKPOINT_RESTART, &pages, err);
}
