/* RunPodSandbox, and the pod configuration that CreateContainer repeats. */
#include <string.h>

#include "cri/check.h"
#include "cri/check_parts.h"
#include "cri/rule.h"

#define MAX_SYSCTL_BYTES ((size_t)64 * 1024)

/* What Kubernetes lets a pod have is less (3 servers, 32 searches, 2048 bytes); resolvers read no more. */
#define MAX_DNS_ITEMS 32
#define MAX_DNS_BYTES 2048

static const struct rule metadata_rules[] = {
	TEXT(Cri__PodSandboxMetadata, name, text_name),
	TEXT(Cri__PodSandboxMetadata, uid, text_name),
	{ .name = "namespace", .kind = RULE_TEXT, .offset = offsetof(Cri__PodSandboxMetadata, namespace_), .text = &text_name },
};

static const struct rule config_rules[] = {
	NEEDED(Cri__PodSandboxConfig, metadata),
	TEXT(Cri__PodSandboxConfig, hostname, text_hostname),
	TEXT(Cri__PodSandboxConfig, log_directory, text_optional_path),
	MAP(Cri__PodSandboxConfig, labels, CHECK_MAX_MAP_BYTES, text_label_key, text_any),
	MAP(Cri__PodSandboxConfig, annotations, CHECK_MAX_MAP_BYTES, text_label_key, text_any),
	REFUSED(Cri__PodSandboxConfig, windows, "this node runs Linux"),
};

static const struct rule linux_rules[] = {
	TEXT(Cri__LinuxPodSandboxConfig, cgroup_parent, text_cgroup_parent),
	MAP(Cri__LinuxPodSandboxConfig, sysctls, MAX_SYSCTL_BYTES, text_sysctl_name, text_sysctl_value),
};

static const struct rule dns_rules[] = {
	TEXTS(Cri__DNSConfig, servers, MAX_DNS_ITEMS, text_address),
	TEXTS(Cri__DNSConfig, searches, MAX_DNS_ITEMS, text_dns_word),
	TEXTS(Cri__DNSConfig, options, MAX_DNS_ITEMS, text_dns_word),
};

static size_t bytes_of(char *const *items, size_t n)
{
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += strlen(items[i]) + 1;
	return bytes;
}

int check_dns(const struct field *at, const Cri__DNSConfig *dns, struct error *err)
{
	size_t bytes;

	if (!dns)
		return 0;
	if (RULES_APPLY(at, dns_rules, dns, err) < 0)
		return -1;
	bytes = bytes_of(dns->servers, dns->n_servers) + bytes_of(dns->searches, dns->n_searches) +
		bytes_of(dns->options, dns->n_options);
	if (bytes > MAX_DNS_BYTES)
		return field_error(at, err, ERR_INVALID, "has %zu bytes in all, the limit is %d", bytes, MAX_DNS_BYTES);
	return 0;
}

static int check_linux(const struct field *at, const Cri__LinuxPodSandboxConfig *config, struct error *err)
{
	if (!config)
		return 0;
	if (RULES_APPLY(at, linux_rules, config, err) < 0)
		return -1;
	if (check_resources(FIELD(at, "overhead"), config->overhead, err) < 0 ||
	    check_resources(FIELD(at, "resources"), config->resources, err) < 0)
		return -1;
	return check_pod_security(FIELD(at, "security_context"), config->security_context, err);
}

int check_pod_config(const struct field *at, const Cri__PodSandboxConfig *config, struct error *err)
{
	if (RULES_APPLY(at, config_rules, config, err) < 0)
		return -1;
	if (RULES_APPLY(FIELD(at, "metadata"), metadata_rules, config->metadata, err) < 0)
		return -1;
	if (check_dns(FIELD(at, "dns_config"), config->dns_config, err) < 0 || check_ports(at, config, err) < 0)
		return -1;
	return check_linux(FIELD(at, "linux"), config->linux, err);
}

int check_run_pod_sandbox(const ProtobufCMessage *request, struct error *err)
{
	const Cri__RunPodSandboxRequest *run = (const Cri__RunPodSandboxRequest *)request;
	const struct field *at = FIELD(NULL, "config");

	if (!run->config)
		return field_error(at, err, ERR_INVALID, "missing");
	if (text_check(FIELD(NULL, "runtime_handler"), &text_handler, run->runtime_handler, err) < 0)
		return -1;
	return check_pod_config(at, run->config, err);
}
