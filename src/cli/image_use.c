#include "cli/image_use.h"

#include <string.h>

size_t image_users(const Cri__ListContainersResponse *containers, const char *image_id, const Cri__Container **ret_first)
{
	size_t n = 0;

	for (size_t i = 0; i < containers->n_containers; i++) {
		const Cri__Container *container = containers->containers[i];

		if (strcmp(container->image_ref, image_id) != 0 && strcmp(container->image_id, image_id) != 0)
			continue;
		if (n++ == 0 && ret_first)
			*ret_first = container;
	}
	return n;
}
