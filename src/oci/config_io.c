/* "blockIO", "network" and "rdma" of "linux.resources". */
#include <string.h>

#include "base/mem.h"
#include "oci/config.h"

/* Of one kind, for one container (arbitrary). */
#define ENTRIES_MAX 64

static int check_count(const struct place *place, const char *key, size_t *ret_n, struct error *err)
{
	size_t n = member_count(place, key);

	if (n > ENTRIES_MAX)
		return error_set(err, ERR_EXHAUSTED, "%s has %zu entries, limit %d", place_join(place, key), n, ENTRIES_MAX);
	*ret_n = n;
	return 0;
}

/* --- blockIO ----------------------------------------------------------------------------------------------------------- */

/* config-linux.md: "from 10 to 1000". */
static int parse_weight(const struct place *place, const char *key, uint64_t *ret_weight, struct error *err)
{
	int64_t weight = 0;

	if (member_number(place, key, 0, 1000, &weight, err) < 0)
		return -1;
	if (weight > 0 && weight < 10)
		return error_set(err, ERR_INVALID, "%s is %d, not within 10 and 1000", place_join(place, key), (int)weight);
	*ret_weight = (uint64_t)weight;
	return 0;
}

static int parse_device(const struct place *place, unsigned *ret_major, unsigned *ret_minor, struct error *err)
{
	int64_t major = -1, minor = -1;

	if (member_number(place, "major", 0, 0xfff, &major, err) < 0 || member_number(place, "minor", 0, 0xfffff, &minor, err) < 0)
		return -1;
	if (major < 0 || minor < 0)
		return error_set(err, ERR_INVALID, "%s: major and minor are needed", place->name);
	*ret_major = (unsigned)major;
	*ret_minor = (unsigned)minor;
	return 0;
}

static int on_weight(const struct place *place, size_t index, void *data, struct error *err)
{
	struct block_weight *w = (struct block_weight *)data + index;

	return parse_device(place, &w->major, &w->minor, err) < 0 || parse_weight(place, "weight", &w->weight, err) < 0 ||
			       parse_weight(place, "leafWeight", &w->leaf_weight, err) < 0
		       ? -1
		       : 0;
}

static int parse_weights(const struct place *block, struct more_resources *more, struct error *err)
{
	struct block_weight *weights;

	if (check_count(block, "weightDevice", &more->n_block_weights, err) < 0)
		return -1;
	weights = arena_new_array(block->arena, struct block_weight, more->n_block_weights + 1);
	if (!weights)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	more->block_weights = weights;
	return member_objects(block, "weightDevice", on_weight, weights, err);
}

struct throttles {
	struct block_throttle *list;
	size_t n;
	enum block_rate what;
};

static int on_throttle(const struct place *place, size_t index, void *data, struct error *err)
{
	struct throttles *throttles = data;
	struct block_throttle *t = &throttles->list[throttles->n++];

	(void)index;
	t->what = throttles->what;
	return parse_device(place, &t->major, &t->minor, err) < 0 || member_unsigned(place, "rate", &t->rate, err) < 0 ? -1 : 0;
}

static const char *const throttle_keys[] = {
	[BLOCK_READ_BYTES] = "throttleReadBpsDevice",
	[BLOCK_WRITE_BYTES] = "throttleWriteBpsDevice",
	[BLOCK_READ_OPS] = "throttleReadIOPSDevice",
	[BLOCK_WRITE_OPS] = "throttleWriteIOPSDevice",
};

static int parse_throttles(const struct place *block, struct more_resources *more, struct error *err)
{
	struct throttles throttles = { .list = arena_new_array(block->arena, struct block_throttle,
							       ARRAY_SIZE(throttle_keys) * ENTRIES_MAX) };
	size_t n;

	if (!throttles.list)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	for (size_t i = 0; i < ARRAY_SIZE(throttle_keys); i++) {
		throttles.what = (enum block_rate)i;
		if (check_count(block, throttle_keys[i], &n, err) < 0 ||
		    member_objects(block, throttle_keys[i], on_throttle, &throttles, err) < 0)
			return -1;
	}
	more->block_throttles = throttles.list;
	more->n_block_throttles = throttles.n;
	return 0;
}

static int parse_block(const struct place *resources, struct more_resources *more, struct error *err)
{
	struct place block;

	if (member_object(resources, "blockIO", &block, err) < 0)
		return -1;
	if (!block.object)
		return 0;
	if (parse_weight(&block, "weight", &more->block_weight, err) < 0 ||
	    parse_weight(&block, "leafWeight", &more->block_leaf_weight, err) < 0 || parse_weights(&block, more, err) < 0)
		return -1;
	return parse_throttles(&block, more, err);
}

/* --- network ----------------------------------------------------------------------------------------------------------- */

static int on_priority(const struct place *place, size_t index, void *data, struct error *err)
{
	struct net_priority *p = (struct net_priority *)data + index;
	int64_t priority = 0;

	if (member_text(place, "name", &p->interface, err) < 0 ||
	    member_number(place, "priority", 0, UINT32_MAX, &priority, err) < 0)
		return -1;
	p->priority = (uint32_t)priority;
	return p->interface ? 0 : error_set(err, ERR_INVALID, "%s.name is missing", place->name);
}

static int parse_network(const struct place *resources, struct more_resources *more, struct error *err)
{
	struct net_priority *priorities;
	struct place network;
	int64_t class = 0;
	int has_class;

	if (member_object(resources, "network", &network, err) < 0 ||
	    check_count(&network, "priorities", &more->n_net_priorities, err) < 0)
		return -1;
	has_class = member_number(&network, "classID", 0, UINT32_MAX, &class, err);
	priorities = arena_new_array(resources->arena, struct net_priority, more->n_net_priorities + 1);
	if (has_class < 0)
		return -1;
	if (!priorities)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	/* 0 is what every group has */
	more->set_net_class = class != 0;
	more->net_class = (uint32_t) class;
	more->net_priorities = priorities;
	return member_objects(&network, "priorities", on_priority, priorities, err);
}

/* --- rdma -------------------------------------------------------------------------------------------------------------- */

static int parse_rdma_device(const struct place *rdma, const char *device, struct rdma_limit *limit, struct error *err)
{
	int64_t handles = 0, objects = 0;
	struct place place;
	int has_handles, has_objects;

	if (member_object(rdma, device, &place, err) < 0)
		return -1;
	has_handles = member_number(&place, "hcaHandles", 0, UINT32_MAX, &handles, err);
	has_objects = has_handles < 0 ? -1 : member_number(&place, "hcaObjects", 0, UINT32_MAX, &objects, err);
	*limit = (struct rdma_limit){ device, has_handles > 0, has_objects > 0, (uint32_t)handles, (uint32_t)objects };
	if (has_objects < 0)
		return -1;
	return has_handles + has_objects > 0 ? 0 : error_set(err, ERR_INVALID, "%s has no limit", place.name);
}

static int parse_rdma(const struct place *resources, struct more_resources *more, struct error *err)
{
	struct rdma_limit *limits;
	struct place rdma;
	const cJSON *item;
	size_t n = 0;

	if (member_object(resources, "rdma", &rdma, err) < 0 || check_count(resources, "rdma", &n, err) < 0)
		return -1;
	limits = arena_new_array(resources->arena, struct rdma_limit, n + 1);
	if (!limits)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	more->rdma = limits;
	cJSON_ArrayForEach(item, rdma.object)
	{
		if (parse_rdma_device(&rdma, item->string, &limits[more->n_rdma++], err) < 0)
			return -1;
	}
	return 0;
}

int io_parse(const struct place *resources, struct more_resources *more, struct error *err)
{
	if (parse_block(resources, more, err) < 0 || parse_network(resources, more, err) < 0)
		return -1;
	return parse_rdma(resources, more, err);
}
