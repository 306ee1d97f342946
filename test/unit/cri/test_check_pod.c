/* RunPodSandbox and the small requests: what is refused, by field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cri/check.h"
#include "proto/admin.pb-c.h"
#include "proto/cri.pb-c.h"

#include "expect_check.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* A request in which all parts are there, so that a test changes one field. */
struct fixture {
	Cri__RunPodSandboxRequest request;
	Cri__PodSandboxConfig config;
	Cri__PodSandboxMetadata metadata;
	Cri__DNSConfig dns;
	Cri__PortMapping ports[3], *port_list[3];
	Cri__PodSandboxConfig__LabelsEntry labels[2], *label_list[2];
	Cri__LinuxPodSandboxConfig linux_config;
	Cri__LinuxPodSandboxConfig__SysctlsEntry sysctl, *sysctl_list[1];
	Cri__LinuxContainerResources resources;
	Cri__LinuxSandboxSecurityContext security;
	Cri__NamespaceOption namespaces;
	Cri__UserNamespace userns;
	Cri__IDMapping mapping, other_mapping, *mapping_list[2];
	Cri__Int64Value user, group;
	Cri__SecurityProfile profile;
	Cri__SELinuxOption selinux;
	Cri__WindowsPodSandboxConfig windows;
	char *texts[40];
	int64_t groups[2];
};

static void fill_lists(struct fixture *f)
{
	for (int i = 0; i < 3; i++) {
		f->ports[i] = (Cri__PortMapping)CRI__PORT_MAPPING__INIT;
		f->ports[i].container_port = 80 + i;
		f->port_list[i] = &f->ports[i];
	}
	for (int i = 0; i < 2; i++) {
		f->labels[i] = (Cri__PodSandboxConfig__LabelsEntry)CRI__POD_SANDBOX_CONFIG__LABELS_ENTRY__INIT;
		f->label_list[i] = &f->labels[i];
	}
	f->labels[0].key = TEXT("app");
	f->labels[1].key = TEXT("tier");
	f->sysctl = (Cri__LinuxPodSandboxConfig__SysctlsEntry)CRI__LINUX_POD_SANDBOX_CONFIG__SYSCTLS_ENTRY__INIT;
	f->sysctl.key = TEXT("net.ipv4.ip_forward");
	f->sysctl.value = TEXT("1");
	f->sysctl_list[0] = &f->sysctl;
	f->mapping = (Cri__IDMapping)CRI__IDMAPPING__INIT;
	f->mapping.host_id = 65536;
	f->mapping.length = 65536;
	f->other_mapping = f->mapping;
	f->mapping_list[0] = &f->mapping;
	f->mapping_list[1] = &f->other_mapping;
	for (int i = 0; i < 40; i++)
		f->texts[i] = TEXT("192.0.2.1");
}

static void fill_security(struct fixture *f)
{
	f->security = (Cri__LinuxSandboxSecurityContext)CRI__LINUX_SANDBOX_SECURITY_CONTEXT__INIT;
	f->namespaces = (Cri__NamespaceOption)CRI__NAMESPACE_OPTION__INIT;
	f->userns = (Cri__UserNamespace)CRI__USER_NAMESPACE__INIT;
	f->userns.mode = CRI__NAMESPACE_MODE__NODE;
	f->user = f->group = (Cri__Int64Value)CRI__INT64_VALUE__INIT;
	f->profile = (Cri__SecurityProfile)CRI__SECURITY_PROFILE__INIT;
	f->selinux = (Cri__SELinuxOption)CRI__SELINUX_OPTION__INIT;
	f->security.namespace_options = &f->namespaces;
	f->security.run_as_user = &f->user;
	f->security.run_as_group = &f->group;
	f->security.seccomp = f->security.apparmor = &f->profile;
	f->security.selinux_options = &f->selinux;
	f->security.supplemental_groups = f->groups;
	f->security.n_supplemental_groups = 2;
	f->namespaces.userns_options = &f->userns;
}

static void fill(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->request = (Cri__RunPodSandboxRequest)CRI__RUN_POD_SANDBOX_REQUEST__INIT;
	f->config = (Cri__PodSandboxConfig)CRI__POD_SANDBOX_CONFIG__INIT;
	f->metadata = (Cri__PodSandboxMetadata)CRI__POD_SANDBOX_METADATA__INIT;
	f->dns = (Cri__DNSConfig)CRI__DNSCONFIG__INIT;
	f->linux_config = (Cri__LinuxPodSandboxConfig)CRI__LINUX_POD_SANDBOX_CONFIG__INIT;
	f->resources = (Cri__LinuxContainerResources)CRI__LINUX_CONTAINER_RESOURCES__INIT;
	f->windows = (Cri__WindowsPodSandboxConfig)CRI__WINDOWS_POD_SANDBOX_CONFIG__INIT;
	fill_lists(f);
	fill_security(f);
	f->request.config = &f->config;
	f->config.metadata = &f->metadata;
	f->metadata.name = TEXT("web-1");
	f->metadata.uid = TEXT("0d1c");
	f->metadata.namespace_ = TEXT("default");
	f->config.hostname = TEXT("web-1.example");
	f->config.log_directory = TEXT("/var/log/pods/x");
	f->config.dns_config = &f->dns;
	f->config.port_mappings = f->port_list;
	f->config.n_port_mappings = 3;
	f->config.labels = f->label_list;
	f->config.n_labels = 2;
	f->config.linux = &f->linux_config;
	f->linux_config.cgroup_parent = TEXT("/kubepods/pod1");
	f->linux_config.sysctls = f->sysctl_list;
	f->linux_config.n_sysctls = 1;
	f->linux_config.resources = f->linux_config.overhead = &f->resources;
	f->linux_config.security_context = &f->security;
}

#define CASE(wanted, field, ...)                                                                                                   \
	do {                                                                                                                       \
		fill(&f);                                                                                                          \
		__VA_ARGS__;                                                                                                       \
		expect_verdict(check_run_pod_sandbox, &f.request.base, wanted, field, #__VA_ARGS__);                               \
	} while (0)
#define INVALID(field, ...) CASE(ERR_INVALID, field, __VA_ARGS__)
#define LATER(field, ...) CASE(ERR_UNIMPLEMENTED, field, __VA_ARGS__)
#define FINE(...) CASE(ERR_NONE, "", __VA_ARGS__)

static void test_metadata(void **state)
{
	struct fixture f;

	(void)state;
	FINE((void)0);
	INVALID("config: missing", f.request.config = NULL);
	INVALID("config.metadata: missing", f.config.metadata = NULL);
	INVALID("config.metadata.name: missing", f.metadata.name = TEXT(""));
	INVALID("config.metadata.uid: missing", f.metadata.uid = TEXT(""));
	INVALID("config.metadata.namespace: missing", f.metadata.namespace_ = TEXT(""));
	INVALID("config.metadata.name:", f.metadata.name = TEXT("a/b"));
	INVALID("config.metadata.name:", f.metadata.name = TEXT(".."));
	INVALID("config.metadata.name:", f.metadata.name = TEXT("a\nb"));
	INVALID("config.metadata.uid:", f.metadata.uid = TEXT("a\x7f"));
	INVALID("config.metadata.name: has 254 bytes", f.metadata.name = filler(254));
	FINE(f.metadata.name = filler(253));
	FINE(f.request.runtime_handler = TEXT("kata-2"));
	INVALID("runtime_handler: must be", f.request.runtime_handler = TEXT("Kata"));
	INVALID("runtime_handler: must be", f.request.runtime_handler = TEXT("a/b"));
	INVALID("config.windows:", f.config.windows = &f.windows);
	FINE(f.config.linux = NULL);
	FINE(f.config.dns_config = NULL);
}

static void test_names_and_paths(void **state)
{
	struct fixture f;

	(void)state;
	FINE(f.config.hostname = TEXT(""));
	FINE(f.config.hostname = TEXT("Node-1"));
	FINE(f.config.hostname = TEXT("1.2.a"));
	INVALID("config.hostname:", f.config.hostname = TEXT("-bad-"));
	INVALID("config.hostname:", f.config.hostname = TEXT("bad-"));
	INVALID("config.hostname:", f.config.hostname = TEXT("a..b"));
	INVALID("config.hostname:", f.config.hostname = TEXT("a."));
	INVALID("config.hostname:", f.config.hostname = TEXT("a b"));
	INVALID("config.hostname:", f.config.hostname = TEXT("a_b"));
	INVALID("config.hostname:", f.config.hostname = TEXT("caf\xc3\xa9"));
	INVALID("config.hostname:", f.config.hostname = filler(64)); /* a label of over 63 */
	INVALID("config.hostname: has 65", f.config.hostname = filler(65));
	FINE(f.config.log_directory = TEXT(""));
	INVALID("config.log_directory:", f.config.log_directory = TEXT("relative"));
	INVALID("config.log_directory:", f.config.log_directory = TEXT("/a/../b"));
	INVALID("config.log_directory:", f.config.log_directory = TEXT("/.."));
	FINE(f.config.log_directory = TEXT("/a/..b/c.."));
	FINE(f.linux_config.cgroup_parent = TEXT(""));
	FINE(f.linux_config.cgroup_parent = TEXT("kubepods-pod1.slice"));
	INVALID("config.linux.cgroup_parent:", f.linux_config.cgroup_parent = TEXT("kubepods"));
	INVALID("config.linux.cgroup_parent:", f.linux_config.cgroup_parent = TEXT("../x.slice"));
	INVALID("config.linux.cgroup_parent:", f.linux_config.cgroup_parent = TEXT("a/x.slice"));
	INVALID("config.linux.cgroup_parent:", f.linux_config.cgroup_parent = TEXT("/a/../../b"));
	INVALID("config.linux.cgroup_parent:", f.linux_config.cgroup_parent = TEXT(".slice"));
}

static void test_dns(void **state)
{
	struct fixture f;

	(void)state;
	FINE(f.dns.servers = f.texts, f.dns.n_servers = 3);
	FINE(f.texts[0] = TEXT("2001:db8::1"), f.dns.servers = f.texts, f.dns.n_servers = 1);
	FINE(f.texts[0] = TEXT("fe80::1%eth0"), f.dns.servers = f.texts, f.dns.n_servers = 1);
	INVALID("config.dns_config.servers[1]:", f.texts[1] = TEXT("dns.example"), f.dns.servers = f.texts, f.dns.n_servers = 2);
	INVALID("config.dns_config.servers[0]:", f.texts[0] = TEXT(""), f.dns.servers = f.texts, f.dns.n_servers = 2);
	INVALID("config.dns_config.servers[0]:", f.texts[0] = TEXT("192.0.2.1%"), f.dns.servers = f.texts, f.dns.n_servers = 1);
	INVALID("config.dns_config.servers: has 33 items", f.dns.servers = f.texts, f.dns.n_servers = 33);
	INVALID("config.dns_config.searches[0]:", f.texts[0] = TEXT("x\nnameserver 192.0.2.9"), f.dns.searches = f.texts,
		f.dns.n_searches = 1);
	INVALID("config.dns_config.options[0]:", f.texts[0] = TEXT("ndots:5 use-vc"), f.dns.options = f.texts, f.dns.n_options = 1);
	FINE(f.texts[0] = TEXT("ndots:5"), f.dns.options = f.texts, f.dns.n_options = 1);
	INVALID("config.dns_config: has", for (int i = 0; i < 20; i++) f.texts[i] = filler(200);
		f.dns.searches = f.texts, f.dns.n_searches = 20);
}

static void test_ports(void **state)
{
	struct fixture f;

	(void)state;
	INVALID("config.port_mappings[1].container_port:", f.ports[1].container_port = 0);
	INVALID("config.port_mappings[1].container_port:", f.ports[1].container_port = 65536);
	INVALID("config.port_mappings[2].host_port:", f.ports[2].host_port = -1);
	INVALID("config.port_mappings[2].host_port:", f.ports[2].host_port = 65536);
	INVALID("config.port_mappings[0].host_ip:", f.ports[0].host_ip = TEXT("localhost"));
	INVALID("config.port_mappings[0].host_ip:", f.ports[0].host_ip = TEXT("192.0.2.1/24"));
	INVALID("config.port_mappings[1].host_port: 80 is taken by port_mappings[0]",
		f.ports[0].host_port = f.ports[1].host_port = 80);
	INVALID("config.port_mappings[2].host_port: 80 is taken by port_mappings[0]",
		f.ports[0].host_port = f.ports[2].host_port = 80, f.ports[0].host_ip = TEXT("192.0.2.1"));
	INVALID("config.port_mappings[1].host_port:", f.ports[0].host_port = f.ports[1].host_port = 80,
		f.ports[0].host_ip = TEXT("0.0.0.0"), f.ports[1].host_ip = TEXT("192.0.2.1"));
	INVALID("config.port_mappings[1].host_port:", f.ports[0].host_port = f.ports[1].host_port = 80,
		f.ports[0].host_ip = TEXT("::1"), f.ports[1].host_ip = TEXT("0::0:1"));
	FINE(f.ports[0].host_port = f.ports[1].host_port = 80, f.ports[0].protocol = CRI__PROTOCOL__UDP);
	FINE(f.ports[0].host_port = f.ports[1].host_port = 80, f.ports[0].host_ip = TEXT("192.0.2.1"),
	     f.ports[1].host_ip = TEXT("192.0.2.2"));
	FINE(f.ports[0].host_port = f.ports[1].host_port = 80, f.ports[0].host_ip = TEXT("0.0.0.0"),
	     f.ports[1].host_ip = TEXT("::"));
	INVALID("config.port_mappings[2].host_port:", f.ports[0].host_port = f.ports[1].host_port = f.ports[2].host_port = 80,
		f.ports[0].host_ip = TEXT("0.0.0.0"), f.ports[1].host_ip = TEXT("::"), f.ports[2].host_ip = TEXT("192.0.2.1"));
}

static void test_labels_and_sysctls_cve_2022_0811(void **state)
{
	struct fixture f;

	(void)state;
	INVALID("config.labels[1].key: missing", f.labels[1].key = TEXT(""));
	INVALID("config.labels[0].key:", f.labels[0].key = TEXT("a\nb"));
	INVALID("config.labels: has the key \"tier\" twice", f.labels[0].key = TEXT("tier"));
	INVALID("config.labels: has 524", f.labels[0].value = filler(512 * 1024));
	FINE(f.labels[0].value = filler(256 * 1024));
	FINE(f.labels[0].value = TEXT("{\n\t\"json\": true }"));
	FINE(f.sysctl.key = TEXT("net/ipv4/conf/eth0.1/forwarding"));
	INVALID("config.linux.sysctls[0].key:", f.sysctl.key = TEXT("net.ipv4.ip_forward+kernel.core_pattern"));
	INVALID("config.linux.sysctls[0].key:", f.sysctl.key = TEXT("net/../kernel/core_pattern"));
	INVALID("config.linux.sysctls[0].key:", f.sysctl.key = TEXT("/proc/sys/kernel/hostname"));
	INVALID("config.linux.sysctls[0].key:", f.sysctl.key = TEXT("net."));
	INVALID("config.linux.sysctls[0].key: missing", f.sysctl.key = TEXT(""));
	INVALID("config.linux.sysctls[0].value:", f.sysctl.value = TEXT("1\n2"));
}

#define USERS "config.linux.security_context.namespace_options.userns_options."
#define OWN_USERS                                                                                                                  \
	f.userns.mode = CRI__NAMESPACE_MODE__POD, f.userns.uids = f.mapping_list, f.userns.gids = f.mapping_list,                  \
	f.userns.n_uids = 1, f.userns.n_gids = 1

static void test_user_namespace(void **state)
{
	struct fixture f;

	(void)state;
	FINE(OWN_USERS);
	FINE(OWN_USERS, f.mapping.length = 1, f.mapping.host_id = UINT32_MAX - 1);
	INVALID(USERS "uids: has 0 mappings", OWN_USERS, f.userns.n_uids = 0);
	INVALID(USERS "gids: has 0 mappings", OWN_USERS, f.userns.n_gids = 0);
	INVALID(USERS "gids: has 2 mappings", OWN_USERS, f.userns.n_gids = 2);
	INVALID(USERS "uids[0].length: must not be 0", OWN_USERS, f.mapping.length = 0);
	INVALID(USERS "uids[0].length: leads beyond", OWN_USERS, f.mapping.host_id = 1, f.mapping.length = UINT32_MAX);
	INVALID(USERS "uids[0].length: leads beyond", OWN_USERS, f.mapping.host_id = UINT32_MAX, f.mapping.length = 1);
	INVALID(USERS "uids[0].length: leads beyond", OWN_USERS, f.mapping.container_id = UINT32_MAX - 1, f.mapping.length = 2);
	INVALID(USERS "uids[0].container_id:", OWN_USERS, f.mapping.container_id = 1);
	INVALID(USERS "mode:", OWN_USERS, f.userns.mode = CRI__NAMESPACE_MODE__CONTAINER);
}

static void test_security_cve_2024_40635(void **state)
{
	struct fixture f;

	(void)state;
	INVALID("config.linux.security_context.run_as_user:", f.user.value = -1);
	INVALID("config.linux.security_context.run_as_user:", f.user.value = 4294967295);
	FINE(f.user.value = 4294967294);
	INVALID("config.linux.security_context.run_as_group:", f.group.value = INT64_C(1) << 32);
	INVALID("config.linux.security_context.run_as_group: needs a user", f.security.run_as_user = NULL);
	INVALID("config.linux.security_context.supplemental_groups[1]:", f.groups[1] = INT64_MIN);
	INVALID("config.linux.security_context.namespace_options.network:", f.namespaces.network = CRI__NAMESPACE_MODE__CONTAINER);
	INVALID("config.linux.security_context.namespace_options.ipc:", f.namespaces.ipc = CRI__NAMESPACE_MODE__TARGET);
	INVALID("config.linux.security_context.namespace_options.pid:", f.namespaces.pid = CRI__NAMESPACE_MODE__TARGET);
	INVALID("config.linux.security_context.namespace_options.target_id:", f.namespaces.target_id = TEXT("abc"));
	INVALID("config.linux.security_context.namespace_options.userns_options.mode:",
		f.userns.mode = CRI__NAMESPACE_MODE__TARGET);
	INVALID("config.linux.security_context.namespace_options.userns_options:", f.userns.uids = f.mapping_list,
		f.userns.n_uids = 1);
	INVALID("config.linux.security_context.seccomp.localhost_ref: missing", f.security.apparmor = NULL,
		f.profile.profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost);
	FINE(f.security.apparmor = NULL, f.profile.profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost,
	     f.profile.localhost_ref = TEXT("/x.json"));
	INVALID("config.linux.security_context.seccomp.localhost_ref:", f.profile.localhost_ref = TEXT("/x.json"));
	INVALID("config.linux.security_context.apparmor.localhost_ref: missing", f.security.seccomp = NULL,
		f.profile.profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost);
	FINE(f.security.seccomp = NULL, f.profile.profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost,
	     f.profile.localhost_ref = TEXT("localhost/mine"));
	FINE(f.selinux.level = TEXT("s0:c1"));
	FINE(f.selinux.level = TEXT("s0-s15:c0.c1023"));
	INVALID("config.linux.security_context.selinux_options.level:", f.selinux.level = TEXT("s0:c1:c2"));
	INVALID("config.linux.security_context.selinux_options.type:", f.selinux.type = TEXT("a:b"));
	FINE(f.security.seccomp_profile_path = TEXT("runtime/default"));
	FINE(f.security.seccomp_profile_path = TEXT("docker/default"));
	FINE(f.security.seccomp_profile_path = TEXT("unconfined"));
	INVALID("config.linux.security_context.seccomp_profile_path:", f.security.seccomp_profile_path = TEXT("localhost/x.json"));
	FINE(f.security.seccomp_profile_path = TEXT("localhost//x.json"));
	INVALID("config.linux.security_context.seccomp_profile_path:", f.security.seccomp_profile_path = TEXT("default"));
	INVALID("config.linux.overhead.cpu_shares:", f.resources.cpu_shares = -1);
}

/* ---- the small ones ---- */

#define SMALL(type, init, check, wanted, field, ...)                                                                               \
	do {                                                                                                                       \
		type r = init;                                                                                                     \
		__VA_ARGS__;                                                                                                       \
		expect_verdict(check, &r.base, wanted, field, #check ": " #__VA_ARGS__);                                           \
	} while (0)

static void test_ids(void **state)
{
	(void)state;
	SMALL(Cri__StopPodSandboxRequest, CRI__STOP_POD_SANDBOX_REQUEST__INIT, check_stop_pod_sandbox, ERR_INVALID,
	      "pod_sandbox_id: missing", );
	SMALL(Cri__RemovePodSandboxRequest, CRI__REMOVE_POD_SANDBOX_REQUEST__INIT, check_remove_pod_sandbox, ERR_INVALID,
	      "pod_sandbox_id:", );
	SMALL(Cri__PodSandboxStatusRequest, CRI__POD_SANDBOX_STATUS_REQUEST__INIT, check_pod_sandbox_status, ERR_INVALID,
	      "pod_sandbox_id:", );
	SMALL(Cri__StartContainerRequest, CRI__START_CONTAINER_REQUEST__INIT, check_start_container, ERR_INVALID,
	      "container_id:", );
	SMALL(Cri__RemoveContainerRequest, CRI__REMOVE_CONTAINER_REQUEST__INIT, check_remove_container, ERR_INVALID,
	      "container_id:", );
	SMALL(Cri__ContainerStatusRequest, CRI__CONTAINER_STATUS_REQUEST__INIT, check_container_status, ERR_INVALID,
	      "container_id:", );
	SMALL(Cri__ReopenContainerLogRequest, CRI__REOPEN_CONTAINER_LOG_REQUEST__INIT, check_reopen_container_log, ERR_INVALID,
	      "container_id:", );
	/* Ids that cannot exist are the operation's to answer. */
	SMALL(Cri__StartContainerRequest, CRI__START_CONTAINER_REQUEST__INIT, check_start_container, ERR_NONE, "",
	      r.container_id = TEXT("no such thing"));
	SMALL(Cri__StartContainerRequest, CRI__START_CONTAINER_REQUEST__INIT, check_start_container, ERR_INVALID,
	      "container_id: has 257", r.container_id = filler(257));
	SMALL(Cri__StopContainerRequest, CRI__STOP_CONTAINER_REQUEST__INIT, check_stop_container, ERR_INVALID,
	      "timeout:", r.container_id = TEXT("x"), r.timeout = -1);
	SMALL(Cri__StopContainerRequest, CRI__STOP_CONTAINER_REQUEST__INIT, check_stop_container, ERR_NONE, "",
	      r.container_id = TEXT("x"), r.timeout = INT64_MAX);
}

static void test_lists(void **state)
{
	Cri__PodSandboxFilter pods = CRI__POD_SANDBOX_FILTER__INIT;
	Cri__ContainerFilter containers = CRI__CONTAINER_FILTER__INIT;
	Cri__PodSandboxFilter__LabelSelectorEntry entry = CRI__POD_SANDBOX_FILTER__LABEL_SELECTOR_ENTRY__INIT;
	Cri__PodSandboxFilter__LabelSelectorEntry *entries[] = { &entry };

	(void)state;
	SMALL(Cri__ListPodSandboxRequest, CRI__LIST_POD_SANDBOX_REQUEST__INIT, check_list_pod_sandbox, ERR_NONE, "", );
	SMALL(Cri__ListPodSandboxRequest, CRI__LIST_POD_SANDBOX_REQUEST__INIT, check_list_pod_sandbox, ERR_NONE, "",
	      r.filter = &pods);
	SMALL(Cri__ListPodSandboxRequest, CRI__LIST_POD_SANDBOX_REQUEST__INIT, check_list_pod_sandbox, ERR_INVALID,
	      "filter.label_selector[0].key: missing", r.filter = &pods, pods.label_selector = entries, pods.n_label_selector = 1);
	SMALL(Cri__ListContainersRequest, CRI__LIST_CONTAINERS_REQUEST__INIT, check_list_containers, ERR_INVALID,
	      "filter.pod_sandbox_id:", r.filter = &containers, containers.pod_sandbox_id = filler(300));
}

static void test_exec(void **state)
{
	char *words[] = { TEXT("sh"), TEXT(""), TEXT("-c") };

	(void)state;
#define EXEC(wanted, field, ...)                                                                                                   \
	SMALL(Cri__ExecSyncRequest, CRI__EXEC_SYNC_REQUEST__INIT, check_exec_sync, wanted, field, r.container_id = TEXT("x"),      \
	      r.cmd = words, r.n_cmd = 3, __VA_ARGS__)
	EXEC(ERR_NONE, "", r.timeout = 10);
	EXEC(ERR_INVALID, "cmd: missing", r.n_cmd = 0);
	EXEC(ERR_INVALID, "cmd[0]: missing", words[0] = TEXT(""));
	EXEC(ERR_INVALID, "cmd[2]: has 131072 bytes", words[0] = TEXT("sh"), words[2] = filler(131072));
	EXEC(ERR_NONE, "", words[2] = filler(131071));
	EXEC(ERR_INVALID, "timeout:", r.timeout = -1);
	EXEC(ERR_INVALID, "container_id:", r.container_id = TEXT(""));
}

static void test_images(void **state)
{
	Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
	Cri__AuthConfig auth = CRI__AUTH_CONFIG__INIT;
	Cri__ImageFilter filter = CRI__IMAGE_FILTER__INIT;

	(void)state;
	SMALL(Cri__PullImageRequest, CRI__PULL_IMAGE_REQUEST__INIT, check_pull_image, ERR_INVALID, "image: missing", );
	SMALL(Cri__RemoveImageRequest, CRI__REMOVE_IMAGE_REQUEST__INIT, check_remove_image, ERR_INVALID, "image: missing", );
	SMALL(Cri__ImageStatusRequest, CRI__IMAGE_STATUS_REQUEST__INIT, check_image_status, ERR_INVALID, "image: missing", );
	SMALL(Cri__PullImageRequest, CRI__PULL_IMAGE_REQUEST__INIT, check_pull_image, ERR_INVALID, "image.image: missing",
	      r.image = &spec);
	SMALL(Cri__PullImageRequest, CRI__PULL_IMAGE_REQUEST__INIT, check_pull_image, ERR_INVALID, "image.image:", r.image = &spec,
	      spec.image = TEXT("two words"));
	SMALL(Cri__PullImageRequest, CRI__PULL_IMAGE_REQUEST__INIT, check_pull_image, ERR_INVALID, "image.image: has 2000",
	      r.image = &spec, spec.image = filler(2000));
	SMALL(Cri__PullImageRequest, CRI__PULL_IMAGE_REQUEST__INIT, check_pull_image, ERR_INVALID,
	      "image.runtime_handler:", r.image = &spec, spec.image = TEXT("busybox"), spec.runtime_handler = TEXT("a b"));
	spec.runtime_handler = TEXT("");
	SMALL(Cri__PullImageRequest, CRI__PULL_IMAGE_REQUEST__INIT, check_pull_image, ERR_NONE, "", r.image = &spec, r.auth = &auth,
	      auth.password = TEXT("secret word"));
	SMALL(Cri__ListImagesRequest, CRI__LIST_IMAGES_REQUEST__INIT, check_list_images, ERR_NONE, "", r.filter = &filter);
	SMALL(Cri__ListImagesRequest, CRI__LIST_IMAGES_REQUEST__INIT, check_list_images, ERR_INVALID,
	      "filter.image.image:", r.filter = &filter, filter.image = &spec, spec.image = TEXT("a\nb"));
	SMALL(Admin__ImportImageRequest, ADMIN__IMPORT_IMAGE_REQUEST__INIT, check_import_image, ERR_INVALID, "path: missing", );
	SMALL(Admin__ImportImageRequest, ADMIN__IMPORT_IMAGE_REQUEST__INIT, check_import_image, ERR_INVALID,
	      "path:", r.path = TEXT("image.tar"));
}

/* A token that would forge a header is refused, and no secret is ever in an error's text. */
static void test_secrets_are_not_quoted(void **state)
{
	Cri__PullImageRequest request = CRI__PULL_IMAGE_REQUEST__INIT;
	Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
	Cri__AuthConfig auth = CRI__AUTH_CONFIG__INIT;
	struct error err = ERROR_INIT;

	(void)state;
	spec.image = TEXT("busybox");
	auth.registry_token = TEXT("hunter2\r\nHost: evil");
	request.image = &spec;
	request.auth = &auth;
	assert_int_equal(check_pull_image(&request.base, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.text, "auth.registry_token"));
	assert_null(strstr(err.text, "hunter2"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_names_and_paths),
		cmocka_unit_test(test_dns),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_labels_and_sysctls_cve_2022_0811),
		cmocka_unit_test(test_user_namespace),
		cmocka_unit_test(test_security_cve_2024_40635),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_images),
		cmocka_unit_test(test_secrets_are_not_quoted),
	};

	return cmocka_run_group_tests(tests, NULL, free_fillers);
}
