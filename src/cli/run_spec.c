#include "cli/run_spec.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "runtime/masks.h"

#define CFS_PERIOD_US 100000

struct builder {
	struct arena *arena;
	const struct run_options *options;
	struct error *err;
};

/* An initialised message of the arena. When the arena failed, one that everybody shares: the builder goes on without looking, and
 * says at its end that memory was out. */
static void *new_message(struct builder *b, const ProtobufCMessageDescriptor *type)
{
	static union {
		max_align_t alignment;
		char bytes[1024];
	} spare;
	void *message = arena_alloc(b->arena, type->sizeof_message);

	assert(type->sizeof_message <= sizeof(spare));
	if (!message)
		message = &spare;
	protobuf_c_message_init(type, message);
	return message;
}

static char *text_of(struct builder *b, const char *text)
{
	char *copy = arena_strdup(b->arena, text ? text : "");
	static char empty[1];

	return copy ? copy : empty;
}

static size_t count(const char *const *items)
{
	size_t n = 0;

	while (items[n])
		n++;
	return n;
}

static char **texts_of(struct builder *b, const char *const *items, size_t n)
{
	char **copies = arena_new_array(b->arena, char *, n + 1);

	for (size_t i = 0; copies && i < n; i++)
		copies[i] = text_of(b, items[i]);
	return copies;
}

/* "KEY=VALUE"; the value may be missing or hold more '='. */
static char *cut_value(char *text)
{
	char *equals = strchr(text, '=');

	if (!equals)
		return text + strlen(text);
	*equals = '\0';
	return equals + 1;
}

static int build_map(struct builder *b, const struct text_list *list, void ***ret_entries, size_t *ret_n,
		     void *(*make)(struct builder *b, char *key, char *value))
{
	void **entries = arena_new_array(b->arena, void *, list->n + 1);

	for (size_t i = 0; entries && i < list->n; i++) {
		char *key = text_of(b, list->items[i]);
		char *value = cut_value(key);

		if (key[0] == '\0')
			return error_set(b->err, ERR_INVALID, "'%s' is not KEY=VALUE", list->items[i]);
		entries[i] = make(b, key, value);
	}
	*ret_entries = entries;
	*ret_n = entries ? list->n : 0;
	return 0;
}

static void *make_label(struct builder *b, char *key, char *value)
{
	Cri__PodSandboxConfig__LabelsEntry *entry = new_message(b, &cri__pod_sandbox_config__labels_entry__descriptor);

	entry->key = key;
	entry->value = value;
	return entry;
}

static void *make_annotation(struct builder *b, char *key, char *value)
{
	Cri__PodSandboxConfig__AnnotationsEntry *entry = new_message(b, &cri__pod_sandbox_config__annotations_entry__descriptor);

	entry->key = key;
	entry->value = value;
	return entry;
}

static void *make_env(struct builder *b, char *key, char *value)
{
	Cri__KeyValue *entry = new_message(b, &cri__key_value__descriptor);

	entry->key = key;
	entry->value.data = (uint8_t *)value;
	entry->value.len = strlen(value);
	return entry;
}

static Cri__NamespaceOption *build_namespaces(struct builder *b)
{
	const struct run_options *o = b->options;
	Cri__NamespaceOption *ns = new_message(b, &cri__namespace_option__descriptor);

	ns->network = o->host_network ? CRI__NAMESPACE_MODE__NODE : CRI__NAMESPACE_MODE__POD;
	ns->ipc = o->host_ipc ? CRI__NAMESPACE_MODE__NODE : CRI__NAMESPACE_MODE__POD;
	ns->pid = CRI__NAMESPACE_MODE__CONTAINER;
	if (o->share_pid)
		ns->pid = CRI__NAMESPACE_MODE__POD;
	if (o->host_pid)
		ns->pid = CRI__NAMESPACE_MODE__NODE;
	return ns;
}

static Cri__SecurityProfile *build_seccomp(struct builder *b)
{
	Cri__SecurityProfile *profile = new_message(b, &cri__security_profile__descriptor);

	profile->profile_type = b->options->privileged ? CRI__SECURITY_PROFILE__PROFILE_TYPE__Unconfined
						       : CRI__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault;
	return profile;
}

static Cri__LinuxPodSandboxConfig *build_pod_linux(struct builder *b)
{
	Cri__LinuxPodSandboxConfig *linux_config = new_message(b, &cri__linux_pod_sandbox_config__descriptor);
	Cri__LinuxSandboxSecurityContext *security = new_message(b, &cri__linux_sandbox_security_context__descriptor);

	security->namespace_options = build_namespaces(b);
	security->seccomp = build_seccomp(b);
	security->privileged = b->options->privileged;
	linux_config->security_context = security;
	return linux_config;
}

static int build_ports(struct builder *b, Cri__PodSandboxConfig *pod)
{
	const struct text_list *ports = &b->options->ports;

	pod->port_mappings = arena_new_array(b->arena, Cri__PortMapping *, ports->n + 1);
	for (size_t i = 0; pod->port_mappings && i < ports->n; i++) {
		Cri__PortMapping *mapping = new_message(b, &cri__port_mapping__descriptor);

		if (parse_port(b->arena, ports->items[i], mapping, b->err) < 0)
			return -1;
		pod->port_mappings[pod->n_port_mappings++] = mapping;
	}
	return 0;
}

static Cri__DNSConfig *build_dns(struct builder *b)
{
	const struct text_list *servers = &b->options->dns;
	Cri__DNSConfig *dns;

	if (servers->n == 0)
		return NULL;
	dns = new_message(b, &cri__dnsconfig__descriptor);
	dns->servers = texts_of(b, servers->items, servers->n);
	dns->n_servers = servers->n;
	return dns;
}

static int build_pod(struct builder *b, const char *uid, Cri__PodSandboxConfig *pod)
{
	const struct run_options *o = b->options;

	pod->metadata = new_message(b, &cri__pod_sandbox_metadata__descriptor);
	pod->metadata->name = text_of(b, o->name);
	pod->metadata->namespace_ = text_of(b, o->namespace);
	pod->metadata->uid = text_of(b, uid);
	/* A pod in the host's network has the host's name too; the CRI refuses another. */
	pod->hostname = text_of(b, o->host_network ? "" : o->hostname ? o->hostname : o->name);
	pod->log_directory = text_of(b, o->log_dir);
	pod->linux = build_pod_linux(b);
	pod->dns_config = build_dns(b);
	if (build_ports(b, pod) < 0)
		return -1;
	if (build_map(b, &o->annotations, (void ***)&pod->annotations, &pod->n_annotations, make_annotation) < 0)
		return error_prefix(b->err, "annotation");
	if (build_map(b, &o->labels, (void ***)&pod->labels, &pod->n_labels, make_label) < 0)
		return error_prefix(b->err, "label");
	return 0;
}

static Cri__LinuxContainerResources *build_resources(struct builder *b)
{
	const struct run_options *o = b->options;
	Cri__LinuxContainerResources *r = new_message(b, &cri__linux_container_resources__descriptor);

	r->cpu_shares = o->cpu_shares;
	r->cpu_quota = o->cpu_quota_us;
	r->cpu_period = o->cpu_quota_us ? CFS_PERIOD_US : 0;
	r->memory_limit_in_bytes = o->memory_bytes;
	return r;
}

static Cri__Capability *build_capabilities(struct builder *b)
{
	const struct run_options *o = b->options;
	Cri__Capability *caps = new_message(b, &cri__capability__descriptor);

	caps->add_capabilities = texts_of(b, o->add_caps.items, o->add_caps.n);
	caps->n_add_capabilities = o->add_caps.n;
	caps->drop_capabilities = texts_of(b, o->drop_caps.items, o->drop_caps.n);
	caps->n_drop_capabilities = o->drop_caps.n;
	return caps;
}

static int build_security(struct builder *b, Cri__LinuxContainerSecurityContext *security)
{
	const struct run_options *o = b->options;

	security->namespace_options = build_namespaces(b);
	security->seccomp = build_seccomp(b);
	security->capabilities = build_capabilities(b);
	security->privileged = o->privileged;
	security->readonly_rootfs = o->read_only;
	security->no_new_privs = o->no_new_privs;
	if (!o->privileged) {
		/* as a kubelet does for its default procMount */
		security->n_masked_paths = count(masks_default());
		security->masked_paths = texts_of(b, masks_default(), security->n_masked_paths);
		security->n_readonly_paths = count(readonly_default());
		security->readonly_paths = texts_of(b, readonly_default(), security->n_readonly_paths);
	}
	return o->user ? parse_user(b->arena, o->user, security, b->err) : 0;
}

static int build_mounts(struct builder *b, Cri__ContainerConfig *container)
{
	const struct text_list *mounts = &b->options->mounts;

	container->mounts = arena_new_array(b->arena, Cri__Mount *, mounts->n + 1);
	for (size_t i = 0; container->mounts && i < mounts->n; i++) {
		Cri__Mount *mount = new_message(b, &cri__mount__descriptor);

		if (parse_mount(b->arena, mounts->items[i], mount, b->err) < 0)
			return -1;
		container->mounts[container->n_mounts++] = mount;
	}
	return 0;
}

/* As the CRI wants it: `command` replaces the image's entrypoint, `args` its command. */
static void build_command(struct builder *b, Cri__ContainerConfig *container, char **command, size_t n_command)
{
	const char *entrypoint = b->options->entrypoint;

	container->args = command;
	container->n_args = n_command;
	if (entrypoint) {
		container->command = texts_of(b, &entrypoint, 1);
		container->n_command = 1;
	}
}

static int build_container(struct builder *b, char *image, Cri__ContainerConfig *container)
{
	const struct run_options *o = b->options;

	container->metadata = new_message(b, &cri__container_metadata__descriptor);
	container->metadata->name = text_of(b, o->name);
	container->image = new_message(b, &cri__image_spec__descriptor);
	container->image->image = image;
	container->image->user_specified_image = image;
	container->working_dir = text_of(b, o->workdir);
	container->log_path = text_of(b, "0.log");
	container->tty = o->tty;
	container->linux = new_message(b, &cri__linux_container_config__descriptor);
	container->linux->resources = build_resources(b);
	container->linux->security_context = new_message(b, &cri__linux_container_security_context__descriptor);
	if (build_security(b, container->linux->security_context) < 0 || build_mounts(b, container) < 0)
		return -1;
	if (build_map(b, &o->envs, (void ***)&container->envs, &container->n_envs, make_env) < 0)
		return error_prefix(b->err, "environment");
	return 0;
}

int run_spec_build(struct arena *arena, const struct run_options *options, const char *uid, char *image, char **command,
		   size_t n_command, struct run_spec *ret_spec, struct error *err)
{
	struct builder b = { .arena = arena, .options = options, .err = err };
	struct run_spec spec = {
		.pod = new_message(&b, &cri__pod_sandbox_config__descriptor),
		.container = new_message(&b, &cri__container_config__descriptor),
	};

	if (options->host_pid && options->share_pid)
		return error_set(err, ERR_INVALID, "--host-pid and --share-pid exclude each other");
	if (options->host_network && options->hostname)
		return error_set(err, ERR_INVALID, "--hostname does not go with --host-network");
	if (build_pod(&b, uid, spec.pod) < 0 || build_container(&b, image, spec.container) < 0)
		return -1;
	build_command(&b, spec.container, command, n_command);
	if (arena_failed(arena))
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	*ret_spec = spec;
	return 0;
}
