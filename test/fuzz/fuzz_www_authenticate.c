/* What a registry says about the credentials that it wants. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "image/auth.h"
#include "image/origin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_
	char *text = strndup((const char *)data, size);
	struct challenge challenge = { 0 };
	struct error err = ERROR_INIT;
	struct origin origin;

	if (!text || challenge_parse(text, &challenge, &err) < 0)
		abort();
	if (!challenge.realm || !challenge.service || !challenge.scope)
		abort();
	if (strlen(challenge.realm) > size)
		abort();
	if (origin_of(challenge.realm, &origin, &err) == 0 && (!*origin.host || !*origin.port))
		abort();
	challenge_release(&challenge);
	return 0;
}
