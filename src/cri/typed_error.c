#include "cri/typed_error.h"

#include <string.h>

#include "base/mem.h"

static const char *const words[] = { "RegistryUnavailable: ", "SignatureValidationFailed: ", "RROUnsupported: ",
				     "ImageVolumeMountFailed: " };

/* Where `word` begins a clause of the text behind the first one; NULL when it does not. */
static char *find_clause(char *text, const char *word)
{
	char *at = strstr(text, word);

	return at && at >= text + 2 && !strncmp(at - 2, ": ", 2) ? at : NULL;
}

void typed_error_to_front(struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t len = strlen(words[i]);
		char *at = find_clause(err->text, words[i]);

		if (!at)
			continue;
		memmove(err->text + len, err->text, (size_t)(at - err->text));
		memcpy(err->text, words[i], len);
		return;
	}
}
