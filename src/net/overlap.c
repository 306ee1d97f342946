#include "net/overlap.h"

#include <stdio.h>

#include "net/link.h"

struct check {
	struct netlink *nl;
	const struct ipv4_prefix *range;
	int bridge;
	int link; /* of the first overlap; 0: there was none, or a route without a link */
	bool found;
	struct ipv4_prefix with;
};

static void note(struct check *check, int link, const struct ipv4_prefix *with)
{
	if (check->found)
		return;
	check->found = true;
	check->link = link;
	check->with = *with;
}

static int check_address(int link, uint32_t address, uint8_t prefix_length, void *arg, struct error *err)
{
	struct ipv4_prefix network = { .base = address & ipv4_mask(prefix_length), .length = prefix_length };
	struct check *check = arg;

	(void)err;
	if (link != check->bridge && ipv4_overlap(check->range, &network))
		note(check, link, &network);
	return 0;
}

static int check_route(int link, const struct ipv4_prefix *destination, void *arg, struct error *err)
{
	struct check *check = arg;

	(void)err;
	if ((check->bridge == 0 || link != check->bridge) && destination->length >= check->range->length &&
	    ipv4_contains(check->range, destination->base))
		note(check, link, destination);
	return 0;
}

static int report(const struct check *check, const char *what, struct error *err)
{
	char range[IPV4_TEXT_SIZE], with[IPV4_TEXT_SIZE];
	struct link_info info = { .name = "(none)" };
	struct error ignored;

	if (check->link != 0)
		(void)link_find_index(check->nl, check->link, &info, &ignored);
	ipv4_format(range, check->range->base);
	ipv4_format(with, check->with.base);
	return error_set(err, ERR_EXISTS, "pod_cidr %s/%u overlaps the %s %s/%u of link %s", range, check->range->length, what,
			 with, check->with.length, info.name);
}

int check_overlap(struct netlink *nl, const struct ipv4_prefix *range, int bridge, struct error *err)
{
	struct check check = { .nl = nl, .range = range, .bridge = bridge };

	if (address_each(nl, check_address, &check, err) < 0)
		return -1;
	if (check.found)
		return report(&check, "network", err);
	if (route_each(nl, check_route, &check, err) < 0)
		return -1;
	return check.found ? report(&check, "route", err) : 0;
}
