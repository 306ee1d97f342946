/* A document as a ContainerConfig: read without complaint, it is a message that can be packed; otherwise there is a sentence. */
#include "fuzz.h"

#include <stdlib.h>

#include "cli/json_read.h"
#include "proto/cri.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cJSON *json = cJSON_ParseWithLength((const char *)data, size);
	Cri__ContainerConfig config = CRI__CONTAINER_CONFIG__INIT;
	struct arena arena = ARENA_INIT;
	struct error err = ERROR_INIT;

	if (!json)
		return 0;
	if (json_read_message(json, &config.base, &arena, &err) < 0) {
		if (err.code == ERR_NONE)
			abort();
	} else {
		uint8_t *packed = malloc(protobuf_c_message_get_packed_size(&config.base) + 1);

		if (packed)
			(void)protobuf_c_message_pack(&config.base, packed);
		free(packed);
	}
	cJSON_Delete(json);
	arena_release(&arena);
	return 0;
}
