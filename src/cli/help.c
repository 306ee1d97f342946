#include "cli/help.h"

#include <string.h>

#include "cli/command.h"

#define OPTION_COLUMN 30
#define PAGE_WIDTH 100

/* One option as it is typed: "-o, --output FORMAT". */
static int format_option(char *text, size_t size, const struct option_row *row)
{
	char letter[5] = "";

	if (row->letter)
		(void)snprintf(letter, sizeof(letter), "-%c, ", row->letter);
	return snprintf(text, size, "%s--%s%s%s", letter, row->name, row->argument ? " " : "", row->argument ? row->argument : "");
}

/* Prints `text` word by word from column `column` on, indented there. */
static void print_wrapped(FILE *out, const char *text, int column)
{
	int at = column;

	while (*text) {
		size_t len = strcspn(text, " \n");

		if (at > column && at + (int)len + 1 > PAGE_WIDTH) {
			(void)fprintf(out, "\n%*s", column, "");
			at = column;
		}
		at += fprintf(out, "%s%.*s", at > column ? " " : "", (int)len, text);
		text += len;
		text += strspn(text, " \n");
	}
	(void)fputc('\n', out);
}

static void print_options(FILE *out, const char *title, const struct option_row *rows)
{
	char text[128];

	if (!rows)
		return;
	(void)fprintf(out, "\n%s:\n", title);
	for (const struct option_row *row = rows; row->name; row++) {
		int len = format_option(text, sizeof(text), row);

		(void)fprintf(out, "  %s", text);
		if (len + 4 > OPTION_COLUMN)
			(void)fprintf(out, "\n%*s", OPTION_COLUMN, "");
		else
			(void)fprintf(out, "%*s", OPTION_COLUMN - 2 - len, "");
		print_wrapped(out, row->help, OPTION_COLUMN);
	}
}

static void print_text(FILE *out, const char *text)
{
	while (*text) {
		const char *end = strstr(text, "\n\n");
		size_t len = end ? (size_t)(end - text) : strlen(text);
		char paragraph[2048];

		(void)snprintf(paragraph, sizeof(paragraph), "%.*s", (int)len, text);
		(void)fputc('\n', out);
		print_wrapped(out, paragraph, 0);
		text += len + (end ? 2 : 0);
	}
}

static void print_usage(const struct command *command, FILE *out)
{
	(void)fprintf(out, "usage: monopod %s%s%s%s\n", command->name, command->options ? " [OPTION...]" : "",
		      command->arguments[0] ? " " : "", command->arguments);
}

void help_synopsis(const struct command *command, FILE *out)
{
	if (command) {
		print_usage(command, out);
		(void)fprintf(out, "`monopod %s --help` says more.\n", command->name);
	} else {
		(void)fputs("usage: monopod [OPTION...] COMMAND ...\n`monopod help` lists the commands.\n", out);
	}
}

int help_command(const struct command *command, FILE *out)
{
	print_usage(command, out);
	print_text(out, command->text);
	print_options(out, "options", command->options);
	print_options(out, "options of every command", global_options);
	return 0;
}

int help_overview(FILE *out)
{
	(void)fputs("usage: monopod [OPTION...] COMMAND ...\n\n"
		    "monopod runs the pods of a Kubernetes node: one process that serves the kubelet.\n\n"
		    "commands:\n",
		    out);
	for (const struct command *const *c = commands; *c; c++)
		(void)fprintf(out, "  %-10s %s\n", (*c)->name, (*c)->summary);
	print_options(out, "options", global_options);
	(void)fputs("\nexit codes: 0 success, 1 failure, 2 wrong usage; exec and run: the command's own, 125 when it could not be "
		    "run.\n"
		    "`monopod COMMAND --help` says more.\n",
		    out);
	return 0;
}
