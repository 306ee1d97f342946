/*
 * Errors: a code for programs, a sentence for people.
 *
 * Every function that can fail takes a `struct error *err` as its last argument, returns a negative int (or NULL) on failure
 * and sets *err exactly once; on success *err is untouched. Each boundary on the way up adds one clause in front, so that the
 * text reads outermost first:
 *
 *     run pod web-1: attach network: create veth mp1a2b3c4d: Device or resource busy
 *
 * A function returns an error or logs it, never both. Codes become gRPC statuses in one table, src/cri/status.c.
 */
#ifndef MONOPOD_BASE_ERROR_H
#define MONOPOD_BASE_ERROR_H

#include <stdarg.h>

enum error_code {
	ERR_NONE = 0,
	ERR_INVALID,         /* the request is wrong, whatever the state of the node */
	ERR_NOT_FOUND,       /* no such object */
	ERR_EXISTS,          /* an object of that name is there already */
	ERR_STATE,           /* the object is not in a state that allows this */
	ERR_DENIED,          /* the kernel or a registry refused for lack of rights */
	ERR_UNAUTHENTICATED, /* credentials are missing or wrong */
	ERR_EXHAUSTED,       /* out of memory, descriptors, disk, addresses, or over a limit of ours */
	ERR_DEADLINE,        /* a deadline passed */
	ERR_CANCELLED,       /* the caller went away */
	ERR_UNAVAILABLE,     /* try again: something outside does not answer */
	ERR_UNIMPLEMENTED,   /* the contract has it, we do not */
	ERR_DATA_LOSS,       /* stored data is damaged */
	ERR_INTERNAL,        /* everything else */
	ERR_CODE_COUNT
};

/* Long texts are cut with an ellipsis; 1 KiB holds eight clauses with an absolute path each (arbitrary). */
#define ERROR_TEXT_SIZE 1024

struct error {
	enum error_code code;
	int sys_errno; /* the errno behind it, 0 when there is none */
	char text[ERROR_TEXT_SIZE];
};

#define ERROR_INIT                                                                                                                 \
	{                                                                                                                          \
		.code = ERR_NONE                                                                                                   \
	}

/* Sets code and text; returns -1, so that `return error_set(err, ...)` reads well. */
#define error_set(err, ...) (error_record((err), __VA_ARGS__), -1)

/* As error_set() with the code that fits `sys_errno`, and ": strerror" appended to the text. Returns -1. */
#define error_sys(err, ...) (error_record_sys((err), __VA_ARGS__), -1)

/* Puts "clause: " in front of the text that is already there. Returns -1. */
#define error_prefix(err, ...) (error_put_in_front((err), __VA_ARGS__), -1)

/* Behind the macros above, which let compilers and analysers see that the result is always -1. */
void error_record(struct error *err, enum error_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void error_record_sys(struct error *err, int sys_errno, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void error_put_in_front(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The code that an errno maps to: ENOENT is ERR_NOT_FOUND, ENOSPC ERR_EXHAUSTED, ... */
enum error_code error_code_of_errno(int sys_errno);

/* "INVALID", "NOT_FOUND", ...: for logs and tests. */
const char *error_code_name(enum error_code code);

#endif
