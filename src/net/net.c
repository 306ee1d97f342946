#include "net/net.h"

#include <linux/netlink.h>

#include "net/link.h"
#include "net/netlink.h"
#include "net/netns.h"

static int bring_up_loopback(void *arg, struct error *err)
{
	_cleanup_netlink_ struct netlink *nl = NULL;

	(void)arg;
	if (netlink_open(NETLINK_ROUTE, &nl, err) < 0)
		return -1;
	return link_set_up(nl, "lo", err);
}

int net_loopback_up(int netns, struct error *err)
{
	return netns_call(netns, bring_up_loopback, NULL, err);
}
