#include "image/pins.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "image/image.h"

static int full_spelling(const char *word, char **ret_pattern, struct error *err)
{
	if (!strchr(word, '*'))
		return image_normalize(word, ret_pattern, err);
	*ret_pattern = strdup(word);
	return *ret_pattern ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

static int add(struct pins *pins, const char *word, struct error *err)
{
	char **grown = reallocarray(pins->patterns, pins->n + 1, sizeof(*grown));

	if (!grown)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	pins->patterns = grown;
	if (full_spelling(word, &pins->patterns[pins->n], err) < 0)
		return -1;
	pins->n++;
	return 0;
}

int pins_parse(const char *text, struct pins *ret_pins, struct error *err)
{
	_cleanup_free_
	char *copy = strdup(text);
	struct pins pins = { 0 };
	char *save = NULL;

	if (!copy)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	for (char *word = strtok_r(copy, ", \t", &save); word; word = strtok_r(NULL, ", \t", &save)) {
		if (add(&pins, word, err) < 0) {
			pins_release(&pins);
			return error_prefix(err, "pinned_images: %.200s", word);
		}
	}
	*ret_pins = pins;
	return 0;
}

void pins_release(struct pins *pins)
{
	for (size_t i = 0; i < pins->n; i++)
		free(pins->patterns[i]);
	free(pins->patterns);
	*pins = (struct pins){ 0 };
}

bool pins_have(const struct pins *pins, char *const *names)
{
	for (; *names; names++) {
		for (size_t i = 0; i < pins->n; i++) {
			const char *pattern = pins->patterns[i];

			/* The brackets of an IPv6 address mean something else to fnmatch(3). */
			if (!strcmp(pattern, *names) || (strchr(pattern, '*') && fnmatch(pattern, *names, FNM_NOESCAPE) == 0))
				return true;
		}
	}
	return false;
}
