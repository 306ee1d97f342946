/* CreateContainer: what is refused, by field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cri/check.h"
#include "proto/cri.pb-c.h"

#include "expect_check.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

struct fixture {
	Cri__CreateContainerRequest request;
	Cri__ContainerConfig config;
	Cri__ContainerMetadata metadata;
	Cri__ImageSpec image;
	Cri__KeyValue env, *envs[1];
	Cri__Mount mount, *mounts[1];
	Cri__Device device, *devices[1];
	Cri__CDIDevice cdi, *cdis[1];
	Cri__IDMapping mapping, second, *mappings[2];
	Cri__LinuxContainerConfig linux_config;
	Cri__LinuxContainerResources resources;
	Cri__HugepageLimit hugepage, *hugepages[1];
	Cri__LinuxContainerResources__UnifiedEntry unified, *unifieds[1];
	Cri__LinuxContainerSecurityContext security;
	Cri__Capability capabilities;
	Cri__NamespaceOption namespaces;
	Cri__Int64Value user, group;
	Cri__SecurityProfile profile;
	Cri__SELinuxOption selinux;
	Cri__WindowsContainerConfig windows;
	Cri__PodSandboxConfig pod;
	char *words[4];
	int64_t groups[1];
};

static void fill_lists(struct fixture *f)
{
	f->env = (Cri__KeyValue)CRI__KEY_VALUE__INIT;
	f->env.key = TEXT("PATH");
	f->env.value = (ProtobufCBinaryData){ 4, (uint8_t *)TEXT("/bin") };
	f->envs[0] = &f->env;
	f->mount = (Cri__Mount)CRI__MOUNT__INIT;
	f->mount.container_path = TEXT("/data");
	f->mount.host_path = TEXT("/srv/data");
	f->mounts[0] = &f->mount;
	f->device = (Cri__Device)CRI__DEVICE__INIT;
	f->device.container_path = f->device.host_path = TEXT("/dev/fuse");
	f->device.permissions = TEXT("mrw");
	f->devices[0] = &f->device;
	f->cdi = (Cri__CDIDevice)CRI__CDIDEVICE__INIT;
	f->cdis[0] = &f->cdi;
	f->mapping = (Cri__IDMapping)CRI__IDMAPPING__INIT;
	f->mapping.host_id = 65536;
	f->mapping.length = 10;
	f->second = (Cri__IDMapping){ .base = f->mapping.base, .host_id = 65546, .container_id = 10, .length = 10 };
	f->mappings[0] = &f->mapping;
	f->mappings[1] = &f->second;
	f->hugepage = (Cri__HugepageLimit)CRI__HUGEPAGE_LIMIT__INIT;
	f->hugepage.page_size = TEXT("2MB");
	f->hugepages[0] = &f->hugepage;
	f->unified = (Cri__LinuxContainerResources__UnifiedEntry)CRI__LINUX_CONTAINER_RESOURCES__UNIFIED_ENTRY__INIT;
	f->unified.key = TEXT("memory.high");
	f->unified.value = TEXT("1000");
	f->unifieds[0] = &f->unified;
	for (int i = 0; i < 4; i++)
		f->words[i] = TEXT("word");
}

static void fill_linux(struct fixture *f)
{
	f->linux_config = (Cri__LinuxContainerConfig)CRI__LINUX_CONTAINER_CONFIG__INIT;
	f->resources = (Cri__LinuxContainerResources)CRI__LINUX_CONTAINER_RESOURCES__INIT;
	f->security = (Cri__LinuxContainerSecurityContext)CRI__LINUX_CONTAINER_SECURITY_CONTEXT__INIT;
	f->capabilities = (Cri__Capability)CRI__CAPABILITY__INIT;
	f->namespaces = (Cri__NamespaceOption)CRI__NAMESPACE_OPTION__INIT;
	f->user = f->group = (Cri__Int64Value)CRI__INT64_VALUE__INIT;
	f->profile = (Cri__SecurityProfile)CRI__SECURITY_PROFILE__INIT;
	f->selinux = (Cri__SELinuxOption)CRI__SELINUX_OPTION__INIT;
	f->linux_config.resources = &f->resources;
	f->linux_config.security_context = &f->security;
	f->resources.hugepage_limits = f->hugepages;
	f->resources.n_hugepage_limits = 1;
	f->resources.unified = f->unifieds;
	f->resources.n_unified = 1;
	f->security.capabilities = &f->capabilities;
	f->security.namespace_options = &f->namespaces;
	f->security.run_as_user = &f->user;
	f->security.run_as_group = &f->group;
	f->security.seccomp = f->security.apparmor = &f->profile;
	f->security.selinux_options = &f->selinux;
	f->security.supplemental_groups = f->groups;
	f->security.n_supplemental_groups = 1;
}

static void fill(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->request = (Cri__CreateContainerRequest)CRI__CREATE_CONTAINER_REQUEST__INIT;
	f->config = (Cri__ContainerConfig)CRI__CONTAINER_CONFIG__INIT;
	f->metadata = (Cri__ContainerMetadata)CRI__CONTAINER_METADATA__INIT;
	f->image = (Cri__ImageSpec)CRI__IMAGE_SPEC__INIT;
	f->windows = (Cri__WindowsContainerConfig)CRI__WINDOWS_CONTAINER_CONFIG__INIT;
	f->pod = (Cri__PodSandboxConfig)CRI__POD_SANDBOX_CONFIG__INIT;
	fill_lists(f);
	fill_linux(f);
	f->request.pod_sandbox_id = TEXT("1234");
	f->request.config = &f->config;
	f->config.metadata = &f->metadata;
	f->metadata.name = TEXT("main");
	f->config.image = &f->image;
	f->image.image = TEXT("sha256:0123");
	f->config.command = f->config.args = f->words;
	f->config.n_command = f->config.n_args = 4;
	f->config.working_dir = TEXT("/srv");
	f->config.envs = f->envs;
	f->config.mounts = f->mounts;
	f->config.devices = f->devices;
	f->config.n_envs = f->config.n_mounts = f->config.n_devices = 1;
	f->config.log_path = TEXT("main/0.log");
	f->config.linux = &f->linux_config;
}

#define CASE(wanted, field, ...)                                                                                                   \
	do {                                                                                                                       \
		fill(&f);                                                                                                          \
		__VA_ARGS__;                                                                                                       \
		expect_verdict(check_create_container, &f.request.base, wanted, field, #__VA_ARGS__);                              \
	} while (0)
#define INVALID(field, ...) CASE(ERR_INVALID, field, __VA_ARGS__)
#define LATER(field, ...) CASE(ERR_UNIMPLEMENTED, field, __VA_ARGS__)
#define FINE(...) CASE(ERR_NONE, "", __VA_ARGS__)

static void test_config(void **state)
{
	struct fixture f;

	(void)state;
	FINE((void)0);
	INVALID("pod_sandbox_id: missing", f.request.pod_sandbox_id = TEXT(""));
	INVALID("config: missing", f.request.config = NULL);
	INVALID("config.metadata: missing", f.config.metadata = NULL);
	INVALID("config.metadata.name: missing", f.metadata.name = TEXT(""));
	INVALID("config.metadata.name:", f.metadata.name = TEXT("../x"));
	INVALID("config.image: missing", f.config.image = NULL);
	INVALID("config.image.image: missing", f.image.image = TEXT(""));
	INVALID("config.working_dir:", f.config.working_dir = TEXT("relative"));
	FINE(f.config.working_dir = TEXT(""));
	INVALID("config.log_path:", f.config.log_path = TEXT("../../etc/passwd"));
	INVALID("config.log_path:", f.config.log_path = TEXT("/absolute"));
	FINE(f.config.log_path = TEXT(""));
	INVALID("config.windows:", f.config.windows = &f.windows);
	INVALID("config.CDI_devices[0].name: missing", f.config.cdi_devices = f.cdis, f.config.n_cdi_devices = 1);
	INVALID("config.CDI_devices[0].name: must be", f.config.cdi_devices = f.cdis, f.config.n_cdi_devices = 1,
		f.cdi.name = TEXT("/dev/x"));
	FINE(f.config.cdi_devices = f.cdis, f.config.n_cdi_devices = 1, f.cdi.name = TEXT("v.com/class=0"));
	INVALID("sandbox_config.metadata: missing", f.request.sandbox_config = &f.pod);
	FINE(f.config.linux = NULL);
}

static void test_process(void **state)
{
	static uint8_t bytes[131072];
	struct fixture f;

	(void)state;
	INVALID("config.command[0]: missing", f.words[0] = TEXT(""));
	FINE(f.words[1] = TEXT(""));
	FINE(f.config.n_command = 0, f.words[0] = TEXT(""));
	INVALID("config.command[3]: has 131072", f.words[3] = filler(131072));
	INVALID("config.args[0]: has 131072", f.config.n_command = 0, f.words[0] = filler(131072));
	INVALID("config.envs[0].key: missing", f.env.key = TEXT(""));
	INVALID("config.envs[0].key:", f.env.key = TEXT("A=B"));
	INVALID("config.envs[0].value: must not hold a NUL", f.env.value.data = (uint8_t *)TEXT("x\0y"), f.env.value.len = 3);
	FINE(f.env.value.data = (uint8_t *)TEXT("\xff\xfe"), f.env.value.len = 2);
	FINE(f.env.value.data = NULL, f.env.value.len = 0);
	memset(bytes, 'x', sizeof(bytes));
	INVALID("config.envs[0].value: has 131067", f.env.value.data = bytes, f.env.value.len = 131067);
	FINE(f.env.value.data = bytes, f.env.value.len = 131066);
}

#define ID_MAPPED f.mount.uidmappings = f.mount.gidmappings = f.mappings, f.mount.n_uidmappings = f.mount.n_gidmappings = 2

static void test_mounts(void **state)
{
	static Cri__Mount *many_mounts[801];
	struct fixture f;

	(void)state;
	INVALID("config.mounts[0].container_path: missing", f.mount.container_path = TEXT(""));
	INVALID("config.mounts[0].container_path:", f.mount.container_path = TEXT("relative"));
	INVALID("config.mounts[0].container_path:", f.mount.container_path = TEXT("/a/../../b"));
	INVALID("config.mounts[0].container_path:", f.mount.container_path = TEXT("/"));
	INVALID("config.mounts[0].container_path:", f.mount.container_path = TEXT("//./"));
	FINE(f.mount.container_path = TEXT("/..."));
	INVALID("config.mounts[0].host_path: missing", f.mount.host_path = TEXT(""));
	INVALID("config.mounts[0].host_path:", f.mount.host_path = TEXT("relative"));
	INVALID("config.mounts[0].host_path:", f.mount.host_path = TEXT("/a/.."));
	FINE(f.mount.host_path = TEXT("/"));
	FINE(f.mount.selinux_relabel = true);
	INVALID("ImageVolumeMountFailed: config.mounts[0].image:", f.mount.image = &f.image);
	FINE(f.mount.image = &f.image, f.mount.host_path = TEXT(""), f.mount.image_sub_path = TEXT("a/b"));
	INVALID("ImageVolumeMountFailed: config.mounts[0].propagation:", f.mount.image = &f.image, f.mount.host_path = TEXT(""),
		f.mount.propagation = CRI__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL);
	INVALID("config.mounts[0].image_sub_path:", f.mount.image = &f.image, f.mount.host_path = TEXT(""),
		f.mount.image_sub_path = TEXT("a/../../b"));
	INVALID("config.mounts[0].image_sub_path:", f.mount.image = &f.image, f.mount.host_path = TEXT(""),
		f.mount.image_sub_path = TEXT("/a"));
	INVALID("config.mounts[0].image_sub_path:", f.mount.image_sub_path = TEXT("sub"));
	FINE(ID_MAPPED);
	INVALID("config.mounts[0].gidMappings: missing", ID_MAPPED, f.mount.n_gidmappings = 0);
	INVALID("config.mounts[0].uidMappings: missing", ID_MAPPED, f.mount.n_uidmappings = 0);
	INVALID("config.mounts[0].uidMappings[1]: overlaps", ID_MAPPED, f.second.host_id--);
	INVALID("config.mounts[0].uidMappings[1]: overlaps", ID_MAPPED, f.second.container_id = 9);
	INVALID("config.mounts[0].uidMappings[1].length: must not", ID_MAPPED, f.second.length = 0);
	INVALID("config.mounts[0].uidMappings[0].length: leads", ID_MAPPED, f.mapping.host_id = UINT32_MAX - 5);
	INVALID("config.mounts[0].uidMappings: has 341", ID_MAPPED, f.mount.n_uidmappings = 341);
	INVALID("config.mounts: has 801 items, the limit is 800", f.config.mounts = many_mounts, f.config.n_mounts = 801);
	INVALID("config.mounts[0].recursive_read_only: needs readonly", f.mount.recursive_read_only = true);
	INVALID("config.mounts[0].recursive_read_only: needs private", f.mount.recursive_read_only = f.mount.readonly = true,
		f.mount.propagation = CRI__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL);
	FINE(f.mount.recursive_read_only = f.mount.readonly = true);
	INVALID("config.devices[0].container_path:", f.device.container_path = TEXT("dev/x"));
	INVALID("config.devices[0].host_path: missing", f.device.host_path = TEXT(""));
	INVALID("config.devices[0].permissions:", f.device.permissions = TEXT("rwx"));
	INVALID("config.devices[0].permissions: missing", f.device.permissions = TEXT(""));
}

static void test_resources(void **state)
{
	struct fixture f;

	(void)state;
	INVALID("config.linux.resources.cpu_period:", f.resources.cpu_period = 999);
	INVALID("config.linux.resources.cpu_period:", f.resources.cpu_period = 1000001);
	INVALID("config.linux.resources.cpu_period:", f.resources.cpu_period = -1);
	FINE(f.resources.cpu_period = 1000, f.resources.cpu_quota = 1000);
	FINE(f.resources.cpu_quota = -1);
	INVALID("config.linux.resources.cpu_quota:", f.resources.cpu_quota = -2);
	INVALID("config.linux.resources.cpu_quota:", f.resources.cpu_quota = 999);
	INVALID("config.linux.resources.cpu_shares:", f.resources.cpu_shares = -5);
	INVALID("config.linux.resources.cpu_shares:", f.resources.cpu_shares = INT64_MAX);
	INVALID("config.linux.resources.memory_limit_in_bytes:", f.resources.memory_limit_in_bytes = -5);
	INVALID("config.linux.resources.memory_swap_limit_in_bytes: needs", f.resources.memory_swap_limit_in_bytes = 1);
	INVALID("config.linux.resources.memory_swap_limit_in_bytes: is memory plus swap",
		f.resources.memory_swap_limit_in_bytes = 1, f.resources.memory_limit_in_bytes = 2);
	FINE(f.resources.memory_swap_limit_in_bytes = 2, f.resources.memory_limit_in_bytes = 2);
	INVALID("config.linux.resources.oom_score_adj:", f.resources.oom_score_adj = 1001);
	FINE(f.resources.oom_score_adj = -1000);
	FINE(f.resources.cpuset_cpus = TEXT("0-3,7"));
	INVALID("config.linux.resources.cpuset_cpus:", f.resources.cpuset_cpus = TEXT("0 1"));
	INVALID("config.linux.resources.cpuset_mems:", f.resources.cpuset_mems = TEXT("all"));
	INVALID("config.linux.resources.hugepage_limits[0].page_size:", f.hugepage.page_size = TEXT("2MB/../x"));
	INVALID("config.linux.resources.hugepage_limits[0].page_size:", f.hugepage.page_size = TEXT("MB"));
	INVALID("config.linux.resources.unified[0].key:", f.unified.key = TEXT("../memory.high"));
	INVALID("config.linux.resources.unified[0].key:", f.unified.key = TEXT("memory"));
	INVALID("config.linux.resources.unified[0].key:", f.unified.key = TEXT("memory..high"));
	INVALID("config.linux.resources.unified[0].value: missing", f.unified.value = TEXT(""));
}

static void test_changed_resources(void **state)
{
	Cri__UpdateContainerResourcesRequest update = CRI__UPDATE_CONTAINER_RESOURCES_REQUEST__INIT;
	Cri__UpdatePodSandboxResourcesRequest pod = CRI__UPDATE_POD_SANDBOX_RESOURCES_REQUEST__INIT;
	Cri__WindowsContainerResources windows = CRI__WINDOWS_CONTAINER_RESOURCES__INIT;
	Cri__LinuxContainerResources resources = CRI__LINUX_CONTAINER_RESOURCES__INIT;
	check_fn *of_container = check_update_container_resources, *of_pod = check_update_pod_sandbox_resources;

	(void)state;
	expect_verdict(of_container, &update.base, ERR_INVALID, "container_id: missing", "no id");
	expect_verdict(of_pod, &pod.base, ERR_INVALID, "pod_sandbox_id: missing", "no id");
	update.container_id = pod.pod_sandbox_id = TEXT("c1");
	expect_verdict(of_container, &update.base, ERR_NONE, "", "nothing to change");
	expect_verdict(of_pod, &pod.base, ERR_NONE, "", "nothing to change");
	update.linux = &resources;
	resources.memory_swap_limit_in_bytes = 4096;
	expect_verdict(of_container, &update.base, ERR_NONE, "", "the memory limit stays what it is");
	resources.memory_limit_in_bytes = 8192;
	expect_verdict(of_container, &update.base, ERR_INVALID, "linux.memory_swap_limit_in_bytes: is memory plus swap",
		       "less swap");
	resources.memory_swap_limit_in_bytes = resources.memory_limit_in_bytes = 0;
	resources.cpu_period = 1;
	expect_verdict(of_container, &update.base, ERR_INVALID, "linux.cpu_period:", "a short period");
	pod.overhead = &resources;
	expect_verdict(of_pod, &pod.base, ERR_INVALID, "overhead.cpu_period:", "a short period");
	pod.overhead = NULL;
	pod.resources = &resources;
	expect_verdict(of_pod, &pod.base, ERR_INVALID, "resources.cpu_period:", "a short period");
	resources.cpu_period = 0;
	update.windows = &windows;
	expect_verdict(of_container, &update.base, ERR_INVALID, "windows:", "Windows");
}

static void test_security_cve_2024_40635(void **state)
{
	static char bad_levels[][24] = { "s",        "c1",       "s0:",   "s0:c",   "s0:c1,",   "s0:c1.", "s0-", "s0:c1-",
					 "s0-s1-s2", "s0:c1:c2", "s0,c1", "s12345", "s0:c1,s0", "s0 ",    "s0\"" };

	struct fixture f;

	(void)state;
	FINE(f.security.run_as_user = NULL, f.security.run_as_username = TEXT("www"));
	INVALID("config.linux.security_context.run_as_username: contradicts", f.security.run_as_username = TEXT("www"));
	INVALID("config.linux.security_context.run_as_username:", f.security.run_as_user = NULL,
		f.security.run_as_username = TEXT("a b"));
	INVALID("config.linux.security_context.run_as_group: needs a user", f.security.run_as_user = NULL);
	INVALID("config.linux.security_context.run_as_user:", f.user.value = INT64_C(1) << 32);
	INVALID("config.linux.security_context.supplemental_groups[0]:", f.groups[0] = INT64_C(1) << 33);
	INVALID("config.linux.security_context.masked_paths[3]:", f.words[0] = f.words[1] = f.words[2] = TEXT("/proc/kcore"),
		f.security.masked_paths = f.words, f.security.n_masked_paths = 4);
	INVALID("config.linux.security_context.readonly_paths[0]:", f.words[0] = TEXT("/a/../b"),
		f.security.readonly_paths = f.words, f.security.n_readonly_paths = 1);
	INVALID("config.linux.security_context.capabilities.add_capabilities[0]:", f.words[0] = TEXT("NET ADMIN"),
		f.capabilities.add_capabilities = f.words, f.capabilities.n_add_capabilities = 1);
	INVALID("config.linux.security_context.capabilities.drop_capabilities[1]: missing", f.words[1] = TEXT(""),
		f.capabilities.drop_capabilities = f.words, f.capabilities.n_drop_capabilities = 2);
	FINE(f.words[0] = TEXT("CAP_NET_ADMIN"), f.capabilities.add_ambient_capabilities = f.words,
	     f.capabilities.n_add_ambient_capabilities = 1);
	FINE(f.namespaces.pid = CRI__NAMESPACE_MODE__TARGET, f.namespaces.target_id = TEXT("abc"));
	INVALID("config.linux.security_context.namespace_options.target_id: missing",
		f.namespaces.pid = CRI__NAMESPACE_MODE__TARGET);
	INVALID("config.linux.security_context.seccomp.localhost_ref: must be an absolute path", f.security.apparmor = NULL,
		f.profile.profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost, f.profile.localhost_ref = TEXT("x.json"));
	INVALID("config.linux.security_context.seccomp.localhost_ref: must be an absolute path", f.security.apparmor = NULL,
		f.profile.profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost,
		f.profile.localhost_ref = TEXT("/a/../x.json"));
	FINE(f.security.apparmor = NULL, f.profile.profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost,
	     f.profile.localhost_ref = TEXT("localhost//a/x.json"));
	FINE(f.selinux.user = TEXT("system_u"), f.selinux.role = TEXT("system_r"), f.selinux.type = TEXT("container_t"));
	FINE(f.selinux.level = TEXT("s0"));
	FINE(f.selinux.level = TEXT("s0:c1.c3,c7-s15:c0.c1023"));
	INVALID("config.linux.security_context.selinux_options.user:", f.selinux.user = TEXT("a:b"));
	INVALID("config.linux.security_context.selinux_options.role:", f.selinux.role = TEXT("a,context=b"));
	INVALID("config.linux.security_context.selinux_options.type:", f.selinux.type = TEXT("a\"b"));
	INVALID("config.linux.security_context.selinux_options.type:", f.selinux.type = TEXT("a b"));
	for (size_t i = 0; i < ARRAY_SIZE(bad_levels); i++)
		INVALID("config.linux.security_context.selinux_options.level:", f.selinux.level = bad_levels[i]);
	FINE(f.security.apparmor_profile = TEXT("localhost/p"));
	INVALID("config.linux.security_context.apparmor_profile: must be the name",
		f.security.apparmor_profile = TEXT("localhost/p q"));
	INVALID("config.linux.security_context.apparmor_profile: missing", f.security.apparmor_profile = TEXT("localhost/"));
	INVALID("config.linux.security_context.apparmor_profile:", f.security.apparmor_profile = TEXT("p"));
	FINE(f.security.apparmor_profile = TEXT("runtime/default"), f.security.seccomp_profile_path = TEXT("unconfined"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_process),
		cmocka_unit_test(test_mounts),
		cmocka_unit_test(test_resources),
		cmocka_unit_test(test_changed_resources),
		cmocka_unit_test(test_security_cve_2024_40635),
	};

	return cmocka_run_group_tests(tests, NULL, free_fillers);
}
