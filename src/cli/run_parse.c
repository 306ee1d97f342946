/* The small languages of `run`'s options. */
#include <string.h>

#include "base/mem.h"
#include "cli/run_spec.h"

static int out_of_memory(struct error *err)
{
	return error_set(err, ERR_EXHAUSTED, "out of memory");
}

static int parse_protocol(const char *text, Cri__Protocol *ret_protocol)
{
	static const char *const names[] = { "tcp", "udp", "sctp" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret_protocol = (Cri__Protocol)i;
			return 0;
		}
	}
	return -1;
}

/* Cuts "ADDRESS:" off the front; the address of IPv6 stands in brackets. Returns what follows. */
static char *cut_address(char *text, char **ret_address)
{
	char *colon = strrchr(text, ':');
	char *end = text[0] == '[' ? strchr(text, ']') : NULL;

	*ret_address = NULL;
	if (end && end[1] == ':') {
		*end = '\0';
		*ret_address = text + 1;
		return end + 2;
	}
	if (!colon)
		return text;
	*colon = '\0';
	*ret_address = text;
	return colon + 1;
}

int parse_port(struct arena *arena, const char *text, Cri__PortMapping *mapping, struct error *err)
{
	char *copy = arena_strdup(arena, text);
	char *slash = copy ? strrchr(copy, '/') : NULL;
	char *address = NULL;
	char *container;
	char *host;
	int64_t host_port;
	int64_t container_port;

	if (!copy)
		return out_of_memory(err);
	if (slash) {
		*slash = '\0';
		if (parse_protocol(slash + 1, &mapping->protocol) < 0)
			return error_set(err, ERR_INVALID, "'%s': the protocol is tcp, udp or sctp", text);
	}
	container = strrchr(copy, ':');
	if (!container)
		return error_set(err, ERR_INVALID, "'%s' is not HOSTPORT:PORT", text);
	*container++ = '\0';
	host = cut_address(copy, &address);
	if (parse_number(host, 1, 65535, &host_port, err) < 0 || parse_number(container, 1, 65535, &container_port, err) < 0)
		return error_prefix(err, "port '%s'", text);
	mapping->host_port = (int32_t)host_port;
	mapping->container_port = (int32_t)container_port;
	if (address)
		mapping->host_ip = address;
	return 0;
}

static int apply_mount_option(const char *option, Cri__Mount *mount)
{
	if (strcmp(option, "ro") == 0)
		mount->readonly = true;
	else if (strcmp(option, "rslave") == 0)
		mount->propagation = CRI__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER;
	else if (strcmp(option, "rshared") == 0)
		mount->propagation = CRI__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL;
	else if (strcmp(option, "rw") != 0 && strcmp(option, "rprivate") != 0)
		return -1;
	return 0;
}

int parse_mount(struct arena *arena, const char *text, Cri__Mount *mount, struct error *err)
{
	char *copy = arena_strdup(arena, text);
	char *target = copy ? strchr(copy, ':') : NULL;
	char *options;
	char *rest = NULL;

	if (!copy)
		return out_of_memory(err);
	if (copy[0] != '/' || !target || target[1] != '/')
		return error_set(err, ERR_INVALID, "mount '%s' is not /HOST/PATH:/CONTAINER/PATH", text);
	*target++ = '\0';
	options = strchr(target, ':');
	if (options)
		*options++ = '\0';
	mount->host_path = copy;
	mount->container_path = target;
	for (char *o = options ? strtok_r(options, ",", &rest) : NULL; o; o = strtok_r(NULL, ",", &rest)) {
		if (apply_mount_option(o, mount) < 0)
			return error_set(err, ERR_INVALID, "mount '%s': '%s' is not ro, rw, rprivate, rslave or rshared", text, o);
	}
	return 0;
}

/* Uids are 32 bits wide, the last one means "unchanged" to the kernel. */
#define MAX_UID ((int64_t)UINT32_MAX - 1)

static int parse_id(struct arena *arena, const char *text, Cri__Int64Value **ret_value, struct error *err)
{
	Cri__Int64Value *value = arena_new(arena, Cri__Int64Value);

	if (!value)
		return out_of_memory(err);
	cri__int64_value__init(value);
	*ret_value = value;
	return parse_number(text, 0, MAX_UID, &value->value, err);
}

int parse_user(struct arena *arena, const char *text, Cri__LinuxContainerSecurityContext *security, struct error *err)
{
	char *user = arena_strdup(arena, text);
	char *group = user ? strchr(user, ':') : NULL;

	if (!user)
		return out_of_memory(err);
	if (group)
		*group++ = '\0';
	if (user[0] == '\0')
		return error_set(err, ERR_INVALID, "user '%s' is empty", text);
	if (user[0] >= '0' && user[0] <= '9') {
		if (parse_id(arena, user, &security->run_as_user, err) < 0)
			return error_prefix(err, "user '%s'", text);
	} else {
		security->run_as_username = user;
	}
	if (group && parse_id(arena, group, &security->run_as_group, err) < 0)
		return error_prefix(err, "group of user '%s'", text);
	return 0;
}
