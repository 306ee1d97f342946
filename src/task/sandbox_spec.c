#include "task/sandbox_spec.h"

#include <string.h>
#include <unistd.h>

#include "task/user_ns.h"

/* Kubelet's are about 70 bytes; an id and a file name follow, and PATH_MAX is 4096 (arbitrary). */
#define MAX_CGROUP_PARENT 1024

/* More host ports than a node has pods; each becomes one element of an nft map. */
#define MAX_PORTS 1024

static const Cri__NamespaceOption *namespaces_of(const Cri__PodSandboxConfig *config)
{
	static const Cri__NamespaceOption defaults = CRI__NAMESPACE_OPTION__INIT;
	const Cri__LinuxSandboxSecurityContext *context = config->linux ? config->linux->security_context : NULL;

	return context && context->namespace_options ? context->namespace_options : &defaults;
}

Cri__NamespaceMode sandbox_pid_mode(const Cri__PodSandboxConfig *config)
{
	return namespaces_of(config)->pid;
}

bool sandbox_host_network(const Cri__PodSandboxConfig *config)
{
	return namespaces_of(config)->network == CRI__NAMESPACE_MODE__NODE;
}

bool sandbox_host_ipc(const Cri__PodSandboxConfig *config)
{
	return namespaces_of(config)->ipc == CRI__NAMESPACE_MODE__NODE;
}

Cri__UserNamespace *sandbox_user_options(const Cri__PodSandboxConfig *config)
{
	return namespaces_of(config)->userns_options;
}

const char *sandbox_hostname(const Cri__PodSandboxConfig *config, struct arena *arena)
{
	char node_name[HOST_NAME_MAX + 1] = "localhost";

	if (*config->hostname && !sandbox_host_network(config))
		return arena_strdup(arena, config->hostname);
	(void)gethostname(node_name, sizeof(node_name) - 1);
	return arena_strdup(arena, node_name);
}

int sandbox_ns_spec(const Cri__PodSandboxConfig *config, struct arena *arena, struct pod_ns_spec *ret_spec, struct error *err)
{
	const Cri__LinuxPodSandboxConfig *specific = config->linux;
	size_t n = specific ? specific->n_sysctls : 0;
	struct sysctl_spec *sysctls = arena_new_array(arena, struct sysctl_spec, n + 1);
	const char *hostname = sandbox_hostname(config, arena);

	if (!sysctls || !hostname)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	for (size_t i = 0; i < n; i++)
		sysctls[i] = (struct sysctl_spec){ specific->sysctls[i]->key, specific->sysctls[i]->value };
	*ret_spec = (struct pod_ns_spec){
		.new_user = user_ns_wanted(sandbox_user_options(config)),
		.new_net = !sandbox_host_network(config),
		.new_ipc = !sandbox_host_ipc(config),
		.new_uts = !sandbox_host_network(config),
		.hostname = sandbox_host_network(config) ? NULL : hostname,
		.sysctls = sysctls,
		.n_sysctls = n,
	};
	return sandbox_id_maps(config, arena, &ret_spec->id_maps, err);
}

struct dns_config sandbox_dns(const Cri__PodSandboxConfig *config)
{
	const Cri__DNSConfig *dns = config->dns_config;

	if (!dns)
		return (struct dns_config){ 0 };
	return (struct dns_config){
		.servers = dns->servers,
		.n_servers = dns->n_servers,
		.searches = dns->searches,
		.n_searches = dns->n_searches,
		.options = dns->options,
		.n_options = dns->n_options,
	};
}

static int convert_port(const Cri__PortMapping *from, struct port_mapping *to, struct error *err)
{
	static const enum net_protocol protocols[] = {
		[CRI__PROTOCOL__TCP] = NET_TCP,
		[CRI__PROTOCOL__UDP] = NET_UDP,
		[CRI__PROTOCOL__SCTP] = NET_SCTP,
	};

	if (from->protocol > CRI__PROTOCOL__SCTP)
		return error_set(err, ERR_INVALID, "port_mappings: unknown protocol %d", (int)from->protocol);
	if (from->container_port < 0 || from->container_port > 65535 || from->host_port < 0 || from->host_port > 65535)
		return error_set(err, ERR_INVALID, "port_mappings: %d to %d is not between ports", from->host_port,
				 from->container_port);
	if (from->host_port > 0 && from->container_port == 0)
		return error_set(err, ERR_INVALID, "port_mappings: host_port %d has no container_port", from->host_port);
	*to = (struct port_mapping){
		.protocol = protocols[from->protocol],
		.container_port = (uint16_t)from->container_port,
		.host_port = (uint16_t)from->host_port,
		.host_ip = from->host_ip,
	};
	return 0;
}

int sandbox_ports(const Cri__PodSandboxConfig *config, struct arena *arena, struct net_request *ret_request, struct error *err)
{
	struct port_mapping *ports;

	if (config->n_port_mappings > MAX_PORTS)
		return error_set(err, ERR_INVALID, "port_mappings: more than %d", MAX_PORTS);
	ports = arena_new_array(arena, struct port_mapping, config->n_port_mappings + 1);
	if (!ports)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	for (size_t i = 0; i < config->n_port_mappings; i++)
		if (convert_port(config->port_mappings[i], &ports[i], err) < 0)
			return -1;
	ret_request->ports = ports;
	ret_request->n_ports = config->n_port_mappings;
	return 0;
}

static int check_namespaces(const Cri__PodSandboxConfig *config, struct error *err)
{
	const Cri__NamespaceOption *options = namespaces_of(config);

	if (options->pid == CRI__NAMESPACE_MODE__TARGET)
		return error_set(err, ERR_INVALID, "namespace_options.pid: TARGET is for containers");
	if (options->network != CRI__NAMESPACE_MODE__POD && options->network != CRI__NAMESPACE_MODE__NODE)
		return error_set(err, ERR_INVALID, "namespace_options.network: neither POD nor NODE");
	if (options->ipc != CRI__NAMESPACE_MODE__POD && options->ipc != CRI__NAMESPACE_MODE__NODE)
		return error_set(err, ERR_INVALID, "namespace_options.ipc: neither POD nor NODE");
	return 0;
}

static int check_cgroup_parent(const Cri__PodSandboxConfig *config, struct error *err)
{
	const char *parent = config->linux ? config->linux->cgroup_parent : "";
	size_t len = strlen(parent);

	if (len == 0)
		return 0;
	if (len > MAX_CGROUP_PARENT)
		return error_set(err, ERR_INVALID, "linux.cgroup_parent: longer than %d bytes", MAX_CGROUP_PARENT);
	if (len > 6 && !strcmp(parent + len - 6, ".slice"))
		return 0; /* whether the driver is systemd is the node's to say (group.h) */
	if (parent[0] != '/' || strstr(parent, "/../") || (len >= 3 && !strcmp(parent + len - 3, "/..")))
		return error_set(err, ERR_INVALID, "linux.cgroup_parent: '%s' is not an absolute path without '..'", parent);
	return 0;
}

static int check_dns(const Cri__PodSandboxConfig *config, struct error *err)
{
	struct dns_config dns = sandbox_dns(config);

	return dns_config_check(&dns, err) < 0 ? error_prefix(err, "dns_config") : 0;
}

int sandbox_check(const Cri__PodSandboxConfig *config, struct error *err)
{
	_cleanup_arena_ struct arena scratch = ARENA_INIT;
	struct net_request ports = { 0 };
	struct pod_ns_spec ns;

	if (*config->log_directory && config->log_directory[0] != '/')
		return error_set(err, ERR_INVALID, "log_directory: '%s' is not absolute", config->log_directory);
	if (check_namespaces(config, err) < 0 || check_cgroup_parent(config, err) < 0 || check_dns(config, err) < 0 ||
	    sandbox_ports(config, &scratch, &ports, err) < 0 || sandbox_ns_spec(config, &scratch, &ns, err) < 0)
		return -1;
	return pod_namespaces_check(&ns, err) < 0 ? error_prefix(err, "linux.sysctls") : 0;
}
