/* The checks of config_check.h, one per kind of value. */
#include "base/config_check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/log.h"

int config_check_path(const char *value, struct error *err)
{
	return value[0] == '/' ? 0 : error_set(err, ERR_INVALID, "must be an absolute path");
}

int config_check_paths(const char *value, struct error *err)
{
	for (const char *p = value; *p; p += strcspn(p, ","), p += *p == ',') {
		if (*p != '/')
			return error_set(err, ERR_INVALID, "must be absolute paths, separated by commas");
	}
	return 0;
}

int config_check_search_path(const char *value, struct error *err)
{
	for (const char *p = value; *p; p += strcspn(p, ":"), p += *p == ':') {
		if (*p != '/')
			return error_set(err, ERR_INVALID, "must be absolute paths, separated by colons");
	}
	return 0;
}

int config_check_path_or_none(const char *value, struct error *err)
{
	return *value ? config_check_path(value, err) : 0;
}

int config_check_socket(const char *value, struct error *err)
{
	const size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	if (strlen(value) > max)
		return error_set(err, ERR_INVALID, "a socket's path has at most %zu bytes", max);
	return config_check_path(value, err);
}

int config_check_level(const char *value, struct error *err)
{
	return log_parse_level(value) >= 0 ? 0 : error_set(err, ERR_INVALID, "must be error, warn, info or debug");
}

int config_check_auto_or_path(const char *value, struct error *err)
{
	return !strcmp(value, "auto") || value[0] == '/' ? 0 : error_set(err, ERR_INVALID, "must be auto or an absolute path");
}

int config_check_driver(const char *value, struct error *err)
{
	return !strcmp(value, "auto") || !strcmp(value, "cgroupfs") || !strcmp(value, "systemd")
		       ? 0
		       : error_set(err, ERR_INVALID, "must be auto, cgroupfs or systemd");
}

int config_check_engine(const char *value, struct error *err)
{
	return !strcmp(value, "auto") || !strcmp(value, "exec") ? 0 : error_set(err, ERR_INVALID, "must be auto or exec");
}

int config_check_cgroup(const char *value, struct error *err)
{
	if (value[0] != '/' || value[1] == '\0' || strstr(value, ".."))
		return error_set(err, ERR_INVALID, "must be an absolute path below the root, without '..'");
	return 0;
}

int config_check_seccomp(const char *value, struct error *err)
{
	return !strcmp(value, "builtin") || !strcmp(value, "unconfined") || value[0] == '/'
		       ? 0
		       : error_set(err, ERR_INVALID, "must be builtin, unconfined or an absolute path");
}

/* A name's own rules are AppArmor's. */
int config_check_apparmor(const char *value, struct error *err)
{
	return value[0] && !strchr(value, ' ')
		       ? 0
		       : error_set(err, ERR_INVALID, "must be builtin, unconfined or the name of a profile");
}

int config_check_link(const char *value, struct error *err)
{
	size_t len = strlen(value);

	/* As dev_valid_name() of the kernel has it. */
	if (len == 0 || len >= IFNAMSIZ || strpbrk(value, "/: ") || !strcmp(value, ".") || !strcmp(value, ".."))
		return error_set(err, ERR_INVALID, "must be 1 to %d bytes without '/', ':' and spaces", IFNAMSIZ - 1);
	return 0;
}

int config_parse_number(const char *value, int64_t min, int64_t max, int64_t *ret_number, struct error *err)
{
	char *end;
	long long number;

	errno = 0;
	number = strtoll(value, &end, 10);
	if (end == value || *end != '\0' || strspn(value, "-0123456789") != strlen(value))
		return error_set(err, ERR_INVALID, "must be a number");
	if (errno == ERANGE || number < min || number > max)
		return error_set(err, ERR_INVALID, "must be %" PRId64 " to %" PRId64, min, max);
	*ret_number = number;
	return 0;
}

int config_check_mtu(const char *value, struct error *err)
{
	int64_t mtu;

	/* 576: what every IPv4 host must take in one piece (RFC 791); 65535: the most that a veth takes. */
	return !strcmp(value, "auto") ? 0 : config_parse_number(value, 576, 65535, &mtu, err);
}

int config_check_cidr(const char *value, struct error *err)
{
	char address[INET_ADDRSTRLEN] = "";
	const char *slash = strchr(value, '/');
	size_t len = slash ? (size_t)(slash - value) : 0;
	struct in_addr network;
	int64_t prefix;

	if (len == 0 || len >= sizeof(address))
		return error_set(err, ERR_INVALID, "must be an IPv4 prefix such as 10.88.0.0/16");
	memcpy(address, value, len);
	if (inet_pton(AF_INET, address, &network) != 1)
		return error_set(err, ERR_INVALID, "'%s' is not an IPv4 address", address);
	if (config_parse_number(slash + 1, 8, 29, &prefix, err) < 0)
		return error_prefix(err, "prefix length"); /* 29: a gateway and five pods */
	if (ntohl(network.s_addr) & (UINT32_MAX >> prefix))
		return error_set(err, ERR_INVALID, "has bits set behind the prefix of %d", (int)prefix);
	return 0;
}

/* What a line of the file cannot carry back: it ends lines, is stripped, or begins a comment (libinih: ';' after a space). */
int config_check_text(const char *value, struct error *err)
{
	size_t len = strlen(value);

	if (len > CONFIG_MAX_TEXT)
		return error_set(err, ERR_INVALID, "has more than %d bytes", CONFIG_MAX_TEXT);
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f)
			return error_set(err, ERR_INVALID, "has a control character");
	}
	if (len > 0 && (value[0] == ' ' || value[0] == ';' || value[len - 1] == ' ' || strstr(value, " ;")))
		return error_set(err, ERR_INVALID, "has spaces around it or a ';' behind a space");
	return 0;
}
