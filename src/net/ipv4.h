/* IPv4 addresses and prefixes. All numbers are in host byte order, so that they can be counted and compared. */
#ifndef MONOPOD_NET_IPV4_H
#define MONOPOD_NET_IPV4_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define IPV4_TEXT_SIZE 16 /* "255.255.255.255" and its NUL */
#define MAC_SIZE 6

struct ipv4_prefix {
	uint32_t base; /* without host bits */
	uint8_t length;
};

/* Four decimal numbers and nothing else. */
bool ipv4_parse(const char *text, uint32_t *ret_address);
void ipv4_format(char text[IPV4_TEXT_SIZE], uint32_t address);

/* "10.88.0.0/16" of length 8 to 30; host bits, loopback and multicast ranges are refused. `what` names the option in errors. */
int ipv4_prefix_parse(const char *what, const char *text, struct ipv4_prefix *ret_prefix, struct error *err);

uint32_t ipv4_mask(uint8_t length);
bool ipv4_contains(const struct ipv4_prefix *prefix, uint32_t address);
bool ipv4_overlap(const struct ipv4_prefix *a, const struct ipv4_prefix *b);
uint32_t ipv4_broadcast(const struct ipv4_prefix *prefix);

/* A locally administered MAC made of the address, so that a neighbour's cached entry for a reused address stays true. */
void ipv4_mac(unsigned char mac[MAC_SIZE], uint32_t address);

#endif
