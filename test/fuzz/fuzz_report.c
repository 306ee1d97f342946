/* What an unpacking process that was taken over might say to the daemon. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "image/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer b = BUFFER_INIT(size + 1);
	struct error err = ERROR_INIT;
	struct report_header header;
	const char *payload;
	size_t offset = 0;

	if (buffer_append(&b, data, size, &err) < 0)
		abort();
	while (report_next(&b, &offset, &header, &payload, &err) > 0) {
		if (payload < b.data || payload + header.len > b.data + b.len)
			abort();
		if (header.type != REPORT_ERROR)
			continue;
		(void)report_to_error(payload, header.len, &err);
		for (const char *p = err.text; *p; p++) {
			if (*p < ' ' || *p > '~')
				abort();
		}
		if (err.code <= ERR_NONE || err.code >= ERR_CODE_COUNT)
			abort();
	}
	buffer_release(&b);
	return 0;
}
