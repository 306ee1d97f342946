/*
 * The layers of a pull as people watch them: a picture of a line for each that is drawn again in place, or lines that stay.
 *
 * The picture is as wide and as high as the terminal at most: with more layers than lines it shows those that move. The cursor rests below
 * it and nothing of the terminal is switched, so there is nothing to put back whatever ends the program. It asks for ANSI's cursor movement
 * (ECMA-48: CUU, EL, ED) and nothing else.
 */
#ifndef MONOPOD_CLI_PROGRESS_H
#define MONOPOD_CLI_PROGRESS_H

#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "proto/admin.pb-c.h"

struct progress;

/* Zero columns: no terminal, so lines that stay. */
struct progress_screen {
	unsigned columns, rows;
};

/* Of the terminal that `out` is, if it is one that can move its cursor (TERM is not "dumb"). */
struct progress_screen progress_screen_of(FILE *out);

/* `out` must outlive it. NULL when memory is out. */
struct progress *progress_new(FILE *out, struct progress_screen screen);
void progress_free(struct progress *progress); /* NULL is fine */

/* What the daemon tells, at `now_us` (CLOCK_MONOTONIC). Draws, or prints. A message that makes no sense is ignored. */
void progress_take(struct progress *progress, const Admin__PullImageResponse *message, int64_t now_us);

/* Now and then while nothing is told: the rates go down. */
void progress_tick(struct progress *progress, int64_t now_us);

/* The terminal has another size. */
void progress_resize(struct progress *progress, struct progress_screen screen, int64_t now_us);

/* Somebody else wrote to the terminal: the next picture is a new one. */
void progress_restart(struct progress *progress);

#endif
