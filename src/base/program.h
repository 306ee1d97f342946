/*
 * Running a program of the host's to its end: a hook, a network plugin. Everything blocks.
 *
 * The program runs where the calling thread is (namespaces, root), with signals as a program expects them, in a process group of its
 * own that is killed as one, and with no descriptor of ours but the three standard ones.
 */
#ifndef MONOPOD_BASE_PROGRAM_H
#define MONOPOD_BASE_PROGRAM_H

#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"

/* The end of what a program says on its way out, for an error (arbitrary: a sentence or two). */
#define PROGRAM_WORDS_SIZE 257

struct program {
	const char *path;
	const char *const *argv; /* NULL: the path alone */
	const char *const *envp; /* NULL: empty */
	const void *input;       /* what it finds on its standard input; bytes */
	size_t input_len;
	unsigned timeout_ms; /* from the start; then the group is killed */
	struct buffer
		*output; /* gets the standard output; NULL: that is words, like standard error. More than output->max kills. */
};

struct program_end {
	int code;                       /* exit code; -1 when `signal` ended it */
	int signal;                     /* 0: it exited */
	char words[PROGRAM_WORDS_SIZE]; /* one line without control characters: the end of standard error; "" for none */
};

/* 0 when it ran to an end, whatever that is. ERR_NOT_FOUND and the like when it cannot be started, ERR_DEADLINE when it was too slow (its
 * words stand in the error), ERR_EXHAUSTED when it writes too much. A helper that it leaves behind with its output still open is not
 * waited for; what was written before the end has been read. */
int program_run(const struct program *program, struct program_end *ret_end, struct error *err);

#endif
