#include "base/strv.h"

#include <stdlib.h>
#include <string.h>

char **strv_new(void)
{
	return calloc(1, sizeof(char *));
}

void strv_free(char **list)
{
	for (char **p = list; p && *p; p++)
		free(*p);
	free(list);
}

void strv_cleanup(char ***list)
{
	strv_free(*list);
}

size_t strv_count(char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

bool strv_has(char *const *list, const char *s)
{
	for (; *list; list++) {
		if (!strcmp(*list, s))
			return true;
	}
	return false;
}

int strv_append(char ***list, const char *s, struct error *err)
{
	size_t n = strv_count(*list);
	char **grown = realloc(*list, (n + 2) * sizeof(char *));

	if (!grown)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a list of %zu strings", n + 1);
	*list = grown;
	grown[n] = strdup(s);
	grown[n + 1] = NULL;
	if (!grown[n])
		return error_set(err, ERR_EXHAUSTED, "out of memory for a string");
	return 0;
}

int strv_add(char ***list, const char *s, struct error *err)
{
	return strv_has(*list, s) ? 0 : strv_append(list, s, err);
}

void strv_remove(char **list, const char *s)
{
	char **kept = list;

	for (char **p = list; *p; p++) {
		if (!strcmp(*p, s))
			free(*p);
		else
			*kept++ = *p;
	}
	*kept = NULL;
}

char **strv_copy(char *const *list)
{
	struct error err;
	char **copy = strv_new();

	for (; copy && *list; list++) {
		if (strv_append(&copy, *list, &err) < 0) {
			strv_free(copy);
			return NULL;
		}
	}
	return copy;
}
