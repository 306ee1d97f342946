/* Man pages in man(7), from the same rows as --help. */
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/help.h"

/* Text between macros: a backslash and a leading control character would be read as commands, a plain hyphen is not what one types. */
static void put_text(FILE *out, const char *text, size_t len)
{
	bool line_start = true;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (line_start && (c == '.' || c == '\''))
			(void)fputs("\\&", out);
		if (c == '\\')
			(void)fputs("\\e", out);
		else if (c == '-')
			(void)fputs("\\-", out);
		else
			(void)fputc(c, out);
		line_start = c == '\n';
	}
}

static void put(FILE *out, const char *text)
{
	put_text(out, text, strlen(text));
}

static void put_upper(FILE *out, const char *text)
{
	for (; *text; text++)
		(void)fputc(toupper((unsigned char)*text), out);
}

/* Rows begin in lower case, sentences of a man page do not. */
static void put_sentence(FILE *out, const char *text)
{
	(void)fputc(toupper((unsigned char)text[0]), out);
	put(out, text + 1);
	(void)fputs(".\n", out);
}

static void put_paragraphs(FILE *out, const char *text)
{
	while (*text) {
		const char *end = strstr(text, "\n\n");
		size_t len = end ? (size_t)(end - text) : strlen(text);

		(void)fputs(".PP\n", out);
		put_text(out, text, len);
		(void)fputc('\n', out);
		text += len + (end ? 2 : 0);
	}
}

static void put_options(FILE *out, const struct option_row *rows)
{
	for (const struct option_row *row = rows; row && row->name; row++) {
		(void)fputs(".TP\n", out);
		if (row->letter)
			(void)fprintf(out, "\\fB\\-%c\\fR, ", row->letter);
		(void)fputs("\\fB\\-\\-", out);
		put(out, row->name);
		(void)fputs("\\fR", out);
		if (row->argument) {
			(void)fputs(" \\fI", out);
			put(out, row->argument);
			(void)fputs("\\fR", out);
		}
		(void)fputc('\n', out);
		put_sentence(out, row->help);
	}
}

int roff_command(const struct command *command, FILE *out)
{
	(void)fputs(".TH MONOPOD\\-", out);
	put_upper(out, command->name);
	(void)fprintf(out, " 1 \"\" \"monopod %s\" \"monopod manual\"\n.SH NAME\nmonopod\\-", MONOPOD_VERSION);
	put(out, command->name);
	(void)fputs(" \\- ", out);
	put(out, command->summary);
	(void)fputs("\n.SH SYNOPSIS\n\\fBmonopod ", out);
	put(out, command->name);
	(void)fprintf(out, "\\fR%s \\fI", command->options ? " [\\fIOPTION\\fR...]" : "");
	put(out, command->arguments);
	(void)fputs("\\fR\n.SH DESCRIPTION\n", out);
	put_paragraphs(out, command->text);
	if (command->options) {
		(void)fputs(".SH OPTIONS\n", out);
		put_options(out, command->options);
	}
	(void)fputs(".PP\nThe options of every command, exit codes and files are in\n.BR monopod (8).\n"
		    ".SH SEE ALSO\n.BR monopod (8),\n.BR monopod.conf (5)\n",
		    out);
	return 0;
}

int roff_overview(FILE *out)
{
	(void)fputs(".SH COMMANDS\n", out);
	for (const struct command *const *c = commands; *c; c++) {
		(void)fputs(".TP\n.BR monopod\\-", out);
		put(out, (*c)->name);
		(void)fputs(" (1)\n", out);
		put_sentence(out, (*c)->summary);
	}
	(void)fputs(".SH OPTIONS\n", out);
	put_options(out, global_options);
	return 0;
}

/* One line of the printed configuration: "[section]", "# comment", "key = value" or nothing. Comments stand above their key and are
 * kept in *comment until it comes. */
static void put_config_line(FILE *out, const char *line, char *comment, size_t comment_size)
{
	size_t used = strlen(comment);
	const char *equals = strchr(line, '=');

	if (line[0] == '[') {
		(void)fputs(".SH \"", out);
		put(out, line);
		(void)fputs("\"\n", out);
		comment[0] = '\0';
	} else if (line[0] == '#' && (line[1] == ' ' || line[1] == '\0')) {
		(void)snprintf(comment + used, comment_size - used, "%s%s", used ? "\n" : "", line + (line[1] ? 2 : 1));
	} else if (equals) {
		(void)fputs(".TP\n\\fB", out);
		put_text(out, line, (size_t)(equals - line));
		(void)fputs("\\fR= \\fI", out);
		put(out, equals + 1 + strspn(equals + 1, " "));
		(void)fputs("\\fR\n", out);
		put(out, comment);
		(void)fputc('\n', out);
		comment[0] = '\0';
	}
}

/* The configuration with every default, as config_print() writes it. */
static char *config_text(struct error *err)
{
	struct config config = { 0 };
	char *text = NULL;
	size_t size = 0;
	FILE *file;

	if (config_init(&config, err) < 0)
		return NULL;
	file = open_memstream(&text, &size);
	if (file && config_print(&config, file) < 0)
		size = 0;
	if (!file || fclose(file) != 0 || !size) {
		(void)error_set(err, ERR_EXHAUSTED, "print the configuration: out of memory");
		free(text);
		text = NULL;
	}
	config_release(&config);
	return text;
}

int roff_config(FILE *out, struct error *err)
{
	_cleanup_free_
	char *text = config_text(err);
	char comment[2048] = "";
	char *rest = NULL;

	if (!text)
		return -1;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		put_config_line(out, line, comment, sizeof(comment));
	return 0;
}
