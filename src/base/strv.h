/* NULL-terminated lists of strings, as struct image hands them out. A list owns its strings. */
#ifndef MONOPOD_BASE_STRV_H
#define MONOPOD_BASE_STRV_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* An empty list: one NULL. NULL when memory is out. */
char **strv_new(void);

/* NULL is fine. */
void strv_free(char **list);
void strv_cleanup(char ***list);

#define _cleanup_strv_ __attribute__((cleanup(strv_cleanup)))

size_t strv_count(char *const *list);
bool strv_has(char *const *list, const char *s);

/* Appends a copy of `s` when the list lacks it. */
int strv_add(char ***list, const char *s, struct error *err);

/* Appends a copy of `s` whatever the list holds: for environment and arguments. */
int strv_append(char ***list, const char *s, struct error *err);

/* Removes every string equal to `s`. */
void strv_remove(char **list, const char *s);

/* NULL when memory is out. */
char **strv_copy(char *const *list);

#endif
