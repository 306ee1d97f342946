#include "net/ipv4.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ipv4_parse(const char *text, uint32_t *ret_address)
{
	struct in_addr address;

	if (inet_pton(AF_INET, text, &address) != 1)
		return false;
	*ret_address = ntohl(address.s_addr);
	return true;
}

void ipv4_format(char text[IPV4_TEXT_SIZE], uint32_t address)
{
	(void)snprintf(text, IPV4_TEXT_SIZE, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}

/* "/8" to "/30"; one or two digits without a leading zero. */
static bool parse_length(const char *text, uint8_t *ret_length)
{
	char *end;
	unsigned long length;

	if (text[0] != '/' || text[1] < '1' || text[1] > '9')
		return false;
	length = strtoul(text + 1, &end, 10);
	if (*end != '\0' || length < 8 || length > 30)
		return false;
	*ret_length = (uint8_t)length;
	return true;
}

static bool is_usable(uint32_t base)
{
	uint32_t first = base >> 24;

	return first != 0 && first != 127 && first < 224;
}

int ipv4_prefix_parse(const char *what, const char *text, struct ipv4_prefix *ret_prefix, struct error *err)
{
	char address[IPV4_TEXT_SIZE];
	size_t len = strcspn(text, "/");
	struct ipv4_prefix p = { 0 };

	if (len >= sizeof(address))
		return error_set(err, ERR_INVALID, "%s '%.64s': not an IPv4 prefix", what, text);
	memcpy(address, text, len);
	address[len] = '\0';
	if (!ipv4_parse(address, &p.base) || !parse_length(text + len, &p.length))
		return error_set(err, ERR_INVALID, "%s '%.64s': not an IPv4 prefix of length 8 to 30", what, text);
	if ((p.base & ~ipv4_mask(p.length)) != 0)
		return error_set(err, ERR_INVALID, "%s '%s': bits are set behind the prefix", what, text);
	if (!is_usable(p.base))
		return error_set(err, ERR_INVALID, "%s '%s': not a range for hosts", what, text);
	*ret_prefix = p;
	return 0;
}

uint32_t ipv4_mask(uint8_t length)
{
	return length == 0 ? 0 : ~(uint32_t)0 << (32 - length);
}

bool ipv4_contains(const struct ipv4_prefix *prefix, uint32_t address)
{
	return (address & ipv4_mask(prefix->length)) == prefix->base;
}

bool ipv4_overlap(const struct ipv4_prefix *a, const struct ipv4_prefix *b)
{
	return ipv4_contains(a, b->base) || ipv4_contains(b, a->base);
}

uint32_t ipv4_broadcast(const struct ipv4_prefix *prefix)
{
	return prefix->base | ~ipv4_mask(prefix->length);
}

void ipv4_mac(unsigned char mac[MAC_SIZE], uint32_t address)
{
	mac[0] = 0x02; /* locally administered, unicast */
	mac[1] = 0x6d; /* arbitrary: 'm' */
	mac[2] = (unsigned char)(address >> 24);
	mac[3] = (unsigned char)(address >> 16);
	mac[4] = (unsigned char)(address >> 8);
	mac[5] = (unsigned char)address;
}
