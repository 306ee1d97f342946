/* Settings below /proc/sys/net, of the network namespace that the calling thread is in. */
#ifndef MONOPOD_NET_SYSCTL_H
#define MONOPOD_NET_SYSCTL_H

#include <stdbool.h>

#include "base/error.h"

/* IPv4 forwarding between links. It stays on: other software of the host may come to need it. *ret_changed tells whether it was off. */
int sysctl_allow_forwarding(bool *ret_changed, struct error *err);

/*
 * No IPv6 on the link: no addresses, no packets of duplicate address detection, and no router advertisements taken from a pod that
 * pretends to be a router (CVE-2020-10749, CVE-2020-13401). A kernel without IPv6 is fine.
 */
int sysctl_disable_ipv6(const char *link, struct error *err);

/* Lets packets with loopback addresses take this link: nft.h says what keeps that safe. */
int sysctl_route_loopback(const char *link, struct error *err);

#endif
