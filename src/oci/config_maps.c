/* "uidMappings" and "gidMappings": of a user namespace, and of a mount. */
#include "oci/config.h"
#include "runtime/userns.h"

static int on_mapping(const struct place *place, size_t index, void *data, struct error *err)
{
	struct id_map *maps = data;
	int64_t inside = -1, outside = -1, length = -1;

	if (member_number(place, "containerID", 0, UINT32_MAX, &inside, err) < 0 ||
	    member_number(place, "hostID", 0, UINT32_MAX, &outside, err) < 0 ||
	    member_number(place, "size", 0, UINT32_MAX, &length, err) < 0)
		return -1;
	if (inside < 0 || outside < 0 || length < 0)
		return error_set(err, ERR_INVALID, "%s: containerID, hostID and size are needed", place->name);
	maps[index] = (struct id_map){ (uint32_t)inside, (uint32_t)outside, (uint32_t)length };
	return 0;
}

static int read_maps(const struct place *place, const char *key, const struct id_map **ret_maps, size_t *ret_n, struct error *err)
{
	size_t n = member_count(place, key);
	struct id_map *maps = arena_new_array(place->arena, struct id_map, n + 1);

	if (n > ID_MAPS_MAX)
		return error_set(err, ERR_INVALID, "%s has %zu entries, limit %d", place_join(place, key), n, ID_MAPS_MAX);
	if (!maps)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	*ret_maps = maps;
	*ret_n = n;
	return member_objects(place, key, on_mapping, maps, err);
}

int id_maps_parse(const struct place *place, struct id_maps *ret_maps, struct error *err)
{
	return read_maps(place, "uidMappings", &ret_maps->uids, &ret_maps->n_uids, err) < 0
		       ? -1
		       : read_maps(place, "gidMappings", &ret_maps->gids, &ret_maps->n_gids, err);
}
