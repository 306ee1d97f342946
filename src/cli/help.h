/* Help texts and man pages, both printed from the table of commands. */
#ifndef MONOPOD_CLI_HELP_H
#define MONOPOD_CLI_HELP_H

#include <stdio.h>

#include "base/error.h"

struct command;

/* These return 0, the exit code. */
int help_overview(FILE *out);
int help_command(const struct command *command, FILE *out);

/* One line, and where to read more; NULL is the program itself. */
void help_synopsis(const struct command *command, FILE *out);

/* man(7) sources: the page monopod-NAME(1), the lists of commands and of global options for monopod(8), the options of monopod.conf(5). */
int roff_command(const struct command *command, FILE *out);
int roff_overview(FILE *out);
int roff_config(FILE *out, struct error *err);

#endif
