#include "net/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>

#include "base/buffer.h"
#include "base/io.h"

#define FORWARDING_PATH "/proc/sys/net/ipv4/ip_forward"

#define PATH_SIZE (64 + IFNAMSIZ)

int sysctl_allow_forwarding(bool *ret_changed, struct error *err)
{
	_cleanup_buffer_ struct buffer value = BUFFER_INIT(16);

	if (io_read_file(AT_FDCWD, FORWARDING_PATH, &value, err) < 0)
		return -1;
	*ret_changed = value.len == 0 || value.data[0] != '1';
	return *ret_changed ? io_write_value(AT_FDCWD, FORWARDING_PATH, "1", err) : 0;
}

int sysctl_disable_ipv6(const char *link, struct error *err)
{
	struct error failure = ERROR_INIT;
	char path[PATH_SIZE];

	(void)snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", link);
	if (io_write_value(AT_FDCWD, path, "1", &failure) == 0 || failure.sys_errno == ENOENT)
		return 0;
	*err = failure;
	return -1;
}

int sysctl_route_loopback(const char *link, struct error *err)
{
	char path[PATH_SIZE];

	(void)snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/route_localnet", link);
	return io_write_value(AT_FDCWD, path, "1", err);
}
