/* The three files that a pod gets from us: resolv.conf, hosts, hostname (CRI DNSConfig; the kubelet mounts its own hosts file). */
#ifndef MONOPOD_NET_FILES_H
#define MONOPOD_NET_FILES_H

#include <stddef.h>

#include "base/error.h"

struct dns_config {
	char *const *servers;
	size_t n_servers;
	char *const *searches;
	size_t n_searches;
	char *const *options;
	size_t n_options;
};

/* Servers must be addresses, searches and options free of white space and control characters; at most 32 each, 2 KiB in all. */
int dns_config_check(const struct dns_config *dns, struct error *err);

/* Writes dir/resolv.conf; with `dns` NULL or empty a copy of the host's /etc/resolv.conf. */
int write_resolv_conf(const char *dir, const struct dns_config *dns, struct error *err);

/* Writes dir/hosts with localhost and, when address is not NULL, "address hostname"; dir/hostname with the name. */
int write_hosts(const char *dir, const char *hostname, const char *address, struct error *err);
int write_hostname(const char *dir, const char *hostname, struct error *err);

#endif
