/* An image reference: refused with a sentence, or brought to a form that stays the same and can do no harm in a path or URL. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "image/image.h"
#include "image/reference.h"

static void check(const struct reference *ref)
{
	char text[REFERENCE_TEXT_SIZE], again[REFERENCE_TEXT_SIZE];
	struct error err = ERROR_INIT;
	struct reference parsed;

	if (strstr(ref->path, "..") || strpbrk(ref->path, " ?#%\\@:") || *ref->path == '/' || strpbrk(ref->host, "/ ?#%\\@"))
		abort();
	if (!*ref->tag && !*ref->digest)
		abort();
	reference_format(ref, text);
	if (reference_parse(text, &parsed, &err) < 0)
		abort();
	reference_format(&parsed, again);
	if (strcmp(text, again) != 0)
		abort();
	(void)reference_host_is_loopback(ref->host);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_
	char *text = strndup((const char *)data, size);
	struct error err = ERROR_INIT;
	struct reference ref;

	if (!text)
		abort();
	if (reference_parse(text, &ref, &err) == 0)
		check(&ref);
	else if (err.code == ERR_NONE || !*err.text)
		abort();
	return 0;
}
