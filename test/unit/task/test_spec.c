/* From the CRI's words to the runtime's: commands, environment, identity, mounts, limits, filters. Nothing touches the node. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/mem.h"
#include "image/image.h"
#include "runtime/caps.h"
#include "task/container.h"
#include "task/container_spec.h"
#include "task/handler.h"
#include "task/list.h"
#include "task/message.h"
#include "task/sandbox_spec.h"

static char *no_list[] = { NULL };

static struct image_config no_image(void)
{
	static char empty[] = "";

	return (struct image_config){ no_list, no_list, no_list, empty, empty, empty };
}

static void join(char *text, size_t size, char *const *list)
{
	text[0] = '\0';
	for (; *list; list++)
		(void)snprintf(text + strlen(text), size - strlen(text), "%s|", *list);
}

/* ---- argv: Kubernetes' table of command, args, entrypoint and cmd ---- */

static void expect_argv(const Cri__ContainerConfig *config, const struct image_config *image, const char *wanted)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	struct error err = ERROR_INIT;
	char **argv, text[256];

	if (container_argv(config, image, &arena, &argv, &err) < 0)
		fail_msg("%s", err.text);
	join(text, sizeof(text), argv);
	assert_string_equal(text, wanted);
}

static void test_argv(void **state)
{
	char ep[] = "/ep", ep_arg[] = "e1", cmd[] = "c1", own[] = "/own", arg[] = "a1";
	char *entrypoint[] = { ep, ep_arg, NULL }, *image_cmd[] = { cmd, NULL }, *command[] = { own }, *args[] = { arg };
	Cri__ContainerConfig config = CRI__CONTAINER_CONFIG__INIT;
	struct image_config image = no_image();

	(void)state;
	image.entrypoint = entrypoint;
	image.cmd = image_cmd;
	expect_argv(&config, &image, "/ep|e1|c1|");
	config.args = args;
	config.n_args = 1;
	expect_argv(&config, &image, "/ep|e1|a1|");
	config.command = command;
	config.n_command = 1;
	expect_argv(&config, &image, "/own|a1|");
	config.n_args = 0;
	expect_argv(&config, &image, "/own|");
	config.n_command = 0;
	image.entrypoint = no_list;
	expect_argv(&config, &image, "c1|");
}

static void test_nothing_to_run(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	Cri__ContainerConfig config = CRI__CONTAINER_CONFIG__INIT;
	struct image_config image = no_image();
	char empty[] = "", *command[] = { empty };
	struct error err = ERROR_INIT;
	char **argv;

	(void)state;
	assert_int_equal(container_argv(&config, &image, &arena, &argv, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	config.command = command;
	config.n_command = 1;
	assert_int_equal(container_argv(&config, &image, &arena, &argv, &err), -1);
	assert_non_null(strstr(err.text, "config.command"));
}

/* ---- environment ---- */

static void set_key_value(Cri__KeyValue *variable, char *key, const void *value, size_t len)
{
	cri__key_value__init(variable);
	variable->key = key;
	variable->value.data = len ? malloc(len) : NULL;
	if (len)
		memcpy(variable->value.data, value, len);
	variable->value.len = len;
}

static int make_env(Cri__KeyValue **list, size_t n, char **image_env, bool tty, struct arena *arena, char *text, size_t size,
		    struct error *err)
{
	Cri__ContainerConfig config = CRI__CONTAINER_CONFIG__INIT;
	struct image_config image = no_image();
	char **env;

	image.env = image_env;
	config.envs = list;
	config.n_envs = n;
	config.tty = tty;
	if (container_env(&config, &image, "web-1", "/home/user", arena, &env, err) < 0)
		return -1;
	join(text, size, env);
	return 0;
}

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static void test_environment(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	char a[] = "A=image", b[] = "B=image", *image_env[] = { a, b, NULL }, key_b[] = "B", key_c[] = "C", text[512];
	Cri__KeyValue one, two, *list[] = { &one, &two };
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(make_env(NULL, 0, no_list, false, &arena, text, sizeof(text), &err), 0);
	assert_string_equal(text, "HOSTNAME=web-1|" DEFAULT_PATH "|HOME=/home/user|");
	set_key_value(&one, key_b, "request", 7);
	set_key_value(&two, key_c, "x=y", 3);
	assert_int_equal(make_env(list, 2, image_env, true, &arena, text, sizeof(text), &err), 0);
	assert_string_equal(text, "A=image|B=request|HOSTNAME=web-1|C=x=y|" DEFAULT_PATH "|TERM=xterm|HOME=/home/user|");
	free(one.value.data);
	free(two.value.data);
}

static void test_what_was_set_stays(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	char path[] = "PATH=/bin", home[] = "HOME=/x", term[] = "TERM=vt100", bare[] = "BARE", nameless[] = "=x", none[] = "";
	char *image_env[] = { bare, path, nameless, home, none, term, NULL }, text[512];
	char key[] = "HOSTNAME";
	Cri__KeyValue one, *list[] = { &one };
	struct error err = ERROR_INIT;

	(void)state;
	set_key_value(&one, key, "other", 5);
	assert_int_equal(make_env(list, 1, image_env, true, &arena, text, sizeof(text), &err), 0);
	assert_string_equal(text, "PATH=/bin|HOME=/x|TERM=vt100|HOSTNAME=other|");
	free(one.value.data);
}

/* Values are bytes: what is no UTF-8 passes; what the kernel cannot carry does not. */
static void test_bytes_and_bad_names(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	char key[] = "K", empty[] = "", equals[] = "A=B", text[512];
	Cri__KeyValue one, *list[] = { &one };
	struct error err = ERROR_INIT;

	(void)state;
	set_key_value(&one, key, "\xff\xfe\n", 3);
	assert_int_equal(make_env(list, 1, no_list, false, &arena, text, sizeof(text), &err), 0);
	assert_non_null(strstr(text, "K=\xff\xfe\n|"));
	one.value.data[1] = '\0';
	assert_int_equal(make_env(list, 1, no_list, false, &arena, text, sizeof(text), &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	one.value.data[1] = 'x';
	one.key = empty;
	assert_int_equal(make_env(list, 1, no_list, false, &arena, text, sizeof(text), &err), -1);
	one.key = equals;
	assert_int_equal(make_env(list, 1, no_list, false, &arena, text, sizeof(text), &err), -1);
	assert_non_null(strstr(err.text, "config.envs"));
	free(one.value.data);
}

/* ---- identity ---- */

struct context {
	Cri__ContainerConfig config;
	Cri__LinuxContainerConfig linux;
	Cri__LinuxContainerSecurityContext security;
	Cri__Capability capabilities;
	Cri__NamespaceOption namespaces;
};

static void init_context(struct context *c)
{
	cri__container_config__init(&c->config);
	cri__linux_container_config__init(&c->linux);
	cri__linux_container_security_context__init(&c->security);
	cri__capability__init(&c->capabilities);
	cri__namespace_option__init(&c->namespaces);
	c->config.linux = &c->linux;
	c->linux.security_context = &c->security;
	c->security.capabilities = &c->capabilities;
}

static struct identity identity_of(const struct context *c)
{
	const struct container_user user = { .uid = 1000, .gid = 1000 };
	struct identity identity;
	struct error err = ERROR_INIT;

	if (container_identity(&c->config, &user, &identity, &err) < 0)
		fail_msg("%s", err.text);
	return identity;
}

static uint64_t bit(const char *name)
{
	return UINT64_C(1) << caps_parse(name);
}

static void test_capabilities(void **state)
{
	char chown[] = "CHOWN", kill[] = "CAP_KILL", all[] = "ALL", bogus[] = "CAP_BOGUS";
	char *drop_all[] = { all }, *drop_chown[] = { chown }, *add_kill[] = { kill }, *add_bogus[] = { bogus };
	const struct container_user user = { 0 };
	struct identity identity;
	struct error err = ERROR_INIT;
	struct context c;

	(void)state;
	init_context(&c);
	identity = identity_of(&c);
	assert_true(identity.permitted & bit("CHOWN"));
	assert_int_equal(identity.permitted, identity.bounding);
	assert_int_equal(identity.inheritable | identity.ambient, 0);
	c.capabilities.drop_capabilities = drop_chown;
	c.capabilities.n_drop_capabilities = 1;
	assert_false(identity_of(&c).permitted & bit("CHOWN"));
	c.capabilities.drop_capabilities = drop_all;
	c.capabilities.add_capabilities = add_kill;
	c.capabilities.n_add_capabilities = 1;
	assert_int_equal(identity_of(&c).permitted, bit("KILL"));
	c.capabilities.add_capabilities = add_bogus;
	assert_int_equal(container_identity(&c.config, &user, &identity, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
}

static void test_ambient_and_privileged(void **state)
{
	char net[] = "NET_BIND_SERVICE", all[] = "ALL", *drop[] = { all }, *ambient[] = { net };
	struct identity identity;
	struct context c;

	(void)state;
	init_context(&c);
	c.capabilities.drop_capabilities = drop;
	c.capabilities.n_drop_capabilities = 1;
	c.capabilities.add_ambient_capabilities = ambient;
	c.capabilities.n_add_ambient_capabilities = 1;
	c.security.no_new_privs = true;
	identity = identity_of(&c);
	assert_int_equal(identity.ambient, bit("NET_BIND_SERVICE"));
	assert_int_equal(identity.inheritable, identity.ambient);
	assert_int_equal(identity.permitted, identity.ambient);
	assert_true(identity.no_new_privs);
	c.security.privileged = true;
	identity = identity_of(&c);
	assert_int_equal(identity.permitted, caps_all());
	assert_int_equal(identity.inheritable, 0);
}

static struct seccomp_choice seccomp_of(const struct context *c, const char *node_default)
{
	struct seccomp_choice choice;
	struct error err = ERROR_INIT;

	if (seccomp_choose(&c->config, node_default, &choice, &err) < 0)
		fail_msg("%s", err.text);
	return choice;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static void test_seccomp(void **state)
{
	static char old[] = "localhost//p/old.json", docker[] = "docker/default", file[] = "localhost//p/file.json",
		    relative[] = "x";
	Cri__SecurityProfile profile = CRI__SECURITY_PROFILE__INIT;
	struct seccomp_choice choice;
	struct error err = ERROR_INIT;
	struct context c;

	(void)state;
	init_context(&c);
	assert_int_equal(seccomp_of(&c, "builtin").kind, SECCOMP_NONE); /* nobody asked */
	c.security.seccomp_profile_path = docker;
	assert_int_equal(seccomp_of(&c, "builtin").kind, SECCOMP_DEFAULT);
	c.security.seccomp_profile_path = old;
	assert_string_equal(seccomp_of(&c, "builtin").path, "/p/old.json");
	c.security.seccomp = &profile;
	profile.profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault;
	assert_int_equal(seccomp_of(&c, "builtin").kind, SECCOMP_DEFAULT);
	assert_int_equal(seccomp_of(&c, "unconfined").kind, SECCOMP_NONE);
	assert_string_equal(seccomp_of(&c, "/etc/p.json").path, "/etc/p.json");
	profile.profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost;
	profile.localhost_ref = file;
	assert_int_equal(seccomp_of(&c, "unconfined").kind, SECCOMP_FILE);
	assert_string_equal(seccomp_of(&c, "builtin").path, "/p/file.json");
	profile.localhost_ref = relative;
	assert_int_equal(seccomp_choose(&c.config, "builtin", &choice, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	profile.localhost_ref = file;
	c.security.privileged = true;
	assert_int_equal(seccomp_of(&c, "builtin").kind, SECCOMP_NONE);
}

static void expect_apparmor(const struct context *c, int kind, const char *name)
{
	struct apparmor_choice choice = apparmor_choose(&c->config);

	assert_int_equal(choice.kind, kind);
	if (name)
		assert_string_equal(choice.name, name);
}

static void test_apparmor(void **state)
{
	static char unconfined[] = "unconfined", old_default[] = "runtime/default", old_name[] = "localhost/old",
		    name[] = "localhost/new";
	Cri__SecurityProfile profile = CRI__SECURITY_PROFILE__INIT;
	struct context c;

	(void)state;
	init_context(&c);
	expect_apparmor(&c, APPARMOR_UNSAID, NULL);
	c.security.apparmor_profile = unconfined;
	expect_apparmor(&c, APPARMOR_NONE, NULL);
	c.security.apparmor_profile = old_default;
	expect_apparmor(&c, APPARMOR_BY_DEFAULT, NULL);
	c.security.apparmor_profile = old_name;
	expect_apparmor(&c, APPARMOR_BY_NAME, "old");
	c.security.apparmor = &profile;
	profile.profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault;
	expect_apparmor(&c, APPARMOR_BY_DEFAULT, NULL);
	profile.profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Unconfined;
	expect_apparmor(&c, APPARMOR_NONE, NULL);
	profile.profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost;
	profile.localhost_ref = name;
	expect_apparmor(&c, APPARMOR_BY_NAME, "new");
	c.security.privileged = true;
	expect_apparmor(&c, APPARMOR_BY_NAME, "new");
	c.security.apparmor = NULL;
	c.security.apparmor_profile = old_default;
	expect_apparmor(&c, APPARMOR_NONE, NULL);
}
#pragma GCC diagnostic pop

/* ---- mounts ---- */

static char pod_dir[] = "/state/pods/x";

static struct sandbox pod(Cri__PodSandboxConfig *config)
{
	cri__pod_sandbox_config__init(config);
	return (struct sandbox){ .config = config, .dir = pod_dir };
}

static const struct mount_entry *find_mount(const struct mount_list *list, const char *target)
{
	for (size_t i = 0; i < list->n; i++)
		if (!strcmp(list->entries[i].spec.target, target))
			return &list->entries[i];
	return NULL;
}

static void test_standard_mounts(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	Cri__PodSandboxConfig pod_config;
	struct sandbox sandbox = pod(&pod_config);
	struct error err = ERROR_INIT;
	struct mount_list list;
	struct context c;

	(void)state;
	init_context(&c);
	assert_int_equal(container_mounts(&sandbox, &c.config, &arena, &list, &err), 0);
	assert_int_equal(list.n, 10);
	assert_string_equal(list.entries[0].spec.target, "/proc");
	assert_true(find_mount(&list, "/sys")->spec.flags & MS_RDONLY);
	assert_true(find_mount(&list, "/sys/fs/cgroup")->spec.flags & MS_RDONLY);
	assert_string_equal(find_mount(&list, "/dev/shm")->volume.host_path, "/state/pods/x/fs/shm");
	assert_string_equal(find_mount(&list, "/etc/hosts")->volume.host_path, "/state/pods/x/fs/hosts");
	assert_false(find_mount(&list, "/etc/hosts")->volume.readonly);
	c.security.readonly_rootfs = true;
	c.security.privileged = true;
	assert_int_equal(container_mounts(&sandbox, &c.config, &arena, &list, &err), 0);
	assert_false(find_mount(&list, "/sys")->spec.flags & MS_RDONLY);
	assert_true(find_mount(&list, "/etc/hosts")->volume.readonly);
	assert_false(find_mount(&list, "/dev/shm")->volume.readonly);
}

static void set_mount(Cri__Mount *mount, char *target, char *source)
{
	cri__mount__init(mount);
	mount->container_path = target;
	mount->host_path = source;
}

static void test_requested_mounts_replace_and_are_ordered(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	char deep[] = "/data/a/b/", top[] = "//data", hosts[] = "/etc/./hosts", shm[] = "/dev/shm", source[] = "/src";
	Cri__Mount mounts[4], *list_of_mounts[] = { &mounts[0], &mounts[1], &mounts[2], &mounts[3] };
	Cri__PodSandboxConfig pod_config;
	struct sandbox sandbox = pod(&pod_config);
	struct error err = ERROR_INIT;
	struct mount_list list;
	struct context c;

	(void)state;
	init_context(&c);
	set_mount(&mounts[0], deep, source);
	set_mount(&mounts[1], hosts, source);
	set_mount(&mounts[2], top, source);
	set_mount(&mounts[3], shm, source);
	mounts[1].readonly = true;
	c.config.mounts = list_of_mounts;
	c.config.n_mounts = 4;
	assert_int_equal(container_mounts(&sandbox, &c.config, &arena, &list, &err), 0);
	assert_int_equal(list.n, 8 + 4);
	assert_string_equal(list.entries[6].spec.target, "/data");
	assert_string_equal(list.entries[7].spec.target, "/etc/hostname");
	assert_string_equal(list.entries[8].spec.target, "/etc/resolv.conf");
	assert_string_equal(list.entries[9].spec.target, "/etc/hosts");
	assert_string_equal(list.entries[10].spec.target, "/dev/shm");
	assert_string_equal(list.entries[11].spec.target, "/data/a/b");
	assert_string_equal(list.entries[9].volume.host_path, "/src");
	assert_true(list.entries[9].volume.readonly && list.entries[9].volume.create_missing_dir);
}

/* A volume on /etc does not hide the pod's files; of two mounts on one target the later one is on top. */
static void test_nested_and_doubled_targets(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	char etc[] = "/etc", data[] = "/data", first[] = "/first", second[] = "/second";
	Cri__Mount mounts[3], *list_of_mounts[] = { &mounts[0], &mounts[1], &mounts[2] };
	Cri__PodSandboxConfig pod_config;
	struct sandbox sandbox = pod(&pod_config);
	struct error err = ERROR_INIT;
	struct mount_list list;
	struct context c;

	(void)state;
	init_context(&c);
	set_mount(&mounts[0], data, first);
	set_mount(&mounts[1], etc, first);
	set_mount(&mounts[2], data, second);
	c.config.mounts = list_of_mounts;
	c.config.n_mounts = 3;
	assert_int_equal(container_mounts(&sandbox, &c.config, &arena, &list, &err), 0);
	assert_int_equal(list.n, 10 + 3);
	assert_string_equal(list.entries[6].volume.host_path, "/first");
	assert_string_equal(list.entries[7].spec.target, "/etc");
	assert_string_equal(list.entries[8].volume.host_path, "/second");
	assert_string_equal(list.entries[12].spec.target, "/etc/resolv.conf");
}

/* Who mounts what the pods' directories lie in gets a copy that lets them go. */
static void test_a_mount_of_the_host_lets_pods_go(void **state)
{
	static const struct {
		const char *path;
		bool lets_go;
	} table[] = {
		{ "/", true }, { "//state/./pods/", true }, { "/state/pods/x/fs", false }, { "/stat", false }, { "/other", false }
	};
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	char target[] = "/host";
	Cri__PodSandboxConfig pod_config;
	struct sandbox sandbox = pod(&pod_config);
	struct error err = ERROR_INIT;
	struct mount_list list;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		Cri__Mount mount, *mounts[] = { &mount };
		struct context c;

		init_context(&c);
		set_mount(&mount, target, (char *)(uintptr_t)table[i].path);
		c.config.mounts = mounts;
		c.config.n_mounts = 1;
		assert_int_equal(container_mounts(&sandbox, &c.config, &arena, &list, &err), 0);
		assert_int_equal(find_mount(&list, "/host")->volume.lets_go, table[i].lets_go);
	}
}

static void test_mount_options(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	char target[] = "/data", noexec[] = "noexec", rnodev[] = "rnodev", rnosuid[] = "rnosuid", nosuid[] = "nosuid";
	char *options[] = { noexec, rnodev, nosuid, rnosuid };
	Cri__Mount mount, *mounts[] = { &mount };
	Cri__PodSandboxConfig pod_config;
	struct sandbox sandbox = pod(&pod_config);
	struct error err = ERROR_INIT;
	struct mount_list list;
	struct context c;

	(void)state;
	init_context(&c);
	set_mount(&mount, target, target);
	mount.mount_options = options;
	mount.n_mount_options = 4;
	c.config.mounts = mounts;
	c.config.n_mounts = 1;
	assert_int_equal(container_mounts(&sandbox, &c.config, &arena, &list, &err), 0);
	assert_int_equal(find_mount(&list, "/data")->volume.attributes, MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSUID);
	assert_int_equal(find_mount(&list, "/data")->volume.tree_attributes, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID);
}

/* Masks inside a bidirectional mount would reach the host. */
static void test_masks_stay_in_the_container(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	char sys[] = "/sys/", firmware[] = "/sys/firmware", *masked[] = { firmware };
	Cri__Mount mount, *mounts[] = { &mount };
	Cri__PodSandboxConfig pod_config;
	struct sandbox sandbox = pod(&pod_config);
	struct error err = ERROR_INIT;
	struct mount_list list;
	struct context c;

	(void)state;
	init_context(&c);
	c.security.masked_paths = masked;
	c.security.n_masked_paths = 1;
	set_mount(&mount, sys, sys);
	c.config.mounts = mounts;
	c.config.n_mounts = 1;
	assert_int_equal(container_mounts(&sandbox, &c.config, &arena, &list, &err), 0);
	assert_int_equal(container_check_paths(&c.config, &list, &arena, &err), 0);
	assert_null(find_mount(&list, "/sys/fs/cgroup"));
	mount.propagation = CRI__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL;
	assert_int_equal(container_mounts(&sandbox, &c.config, &arena, &list, &err), 0);
	assert_int_equal(container_check_paths(&c.config, &list, &arena, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.text, "masked_paths: '/sys/firmware' lies in the bidirectional mount on /sys"));
	c.security.privileged = true;
	assert_int_equal(container_check_paths(&c.config, &list, &arena, &err), 0);
}

static void test_a_mounted_dev_replaces_all_below(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	char dev[] = "/dev";
	Cri__Mount mount, *mounts[] = { &mount };
	Cri__PodSandboxConfig pod_config;
	struct sandbox sandbox = pod(&pod_config);
	struct error err = ERROR_INIT;
	struct mount_list list;
	struct context c;

	(void)state;
	init_context(&c);
	set_mount(&mount, dev, dev);
	c.config.mounts = mounts;
	c.config.n_mounts = 1;
	assert_int_equal(container_mounts(&sandbox, &c.config, &arena, &list, &err), 0);
	assert_null(find_mount(&list, "/dev/pts"));
	assert_null(find_mount(&list, "/dev/shm"));
	assert_true(find_mount(&list, "/dev")->is_volume);
}

static void test_mounts_that_are_refused(void **state)
{
	static const struct {
		const char *target, *source;
		bool rro, image;
		const char *option;
		enum error_code code;
		const char *part;
	} table[] = {
		{ "data", "/src", false, false, NULL, ERR_INVALID, "container_path" },
		{ "/a/../b", "/src", false, false, NULL, ERR_INVALID, "'..'" },
		{ "/..", "/src", false, false, NULL, ERR_INVALID, "'..'" },
		{ "/", "/src", false, false, NULL, ERR_INVALID, "container_path" },
		{ "/proc/sys", "/src", false, false, NULL, ERR_INVALID, "inside /proc" },
		{ "/proc//./self/attr", "/src", false, false, NULL, ERR_INVALID, "inside /proc" },
		{ "/proc", "", false, true, NULL, ERR_INVALID, "/proc" },
		{ "/data", "src", false, false, NULL, ERR_INVALID, "host_path" },
		{ "/data", "/src", true, false, NULL, ERR_INVALID, "recursive_read_only" },
		{ "/data", "/src", false, false, "suid", ERR_INVALID, "mount_options" },
		{ "/data", "/src", false, false, "ro", ERR_INVALID, "mount_options" },
		{ "/data", "/src", false, false, "", ERR_INVALID, "mount_options" },
		{ "/data", "/src", false, false, "rbind", ERR_INVALID, "mount_options" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		_cleanup_arena_ struct arena arena = ARENA_INIT;
		Cri__ImageSpec image = CRI__IMAGE_SPEC__INIT;
		Cri__Mount mount, *mounts[] = { &mount };
		char *options[] = { arena_strdup(&arena, table[i].option ? table[i].option : "") };
		Cri__PodSandboxConfig pod_config;
		struct sandbox sandbox = pod(&pod_config);
		struct error err = ERROR_INIT;
		struct mount_list list;
		struct context c;

		init_context(&c);
		set_mount(&mount, arena_strdup(&arena, table[i].target), arena_strdup(&arena, table[i].source));
		image.image = arena_strdup(&arena, "busybox");
		mount.image = table[i].image ? &image : NULL;
		mount.recursive_read_only = table[i].rro;
		mount.mount_options = options;
		mount.n_mount_options = table[i].option ? 1 : 0;
		c.config.mounts = mounts;
		c.config.n_mounts = 1;
		assert_int_equal(container_mounts(&sandbox, &c.config, &arena, &list, &err), -1);
		if (err.code != table[i].code || !strstr(err.text, table[i].part) || !strstr(err.text, "config.mounts[0]"))
			fail_msg("%zu: %s: %s", i, error_code_name(err.code), err.text);
	}
}

static bool has(const char *const *list, const char *wanted)
{
	for (; *list; list++)
		if (!strcmp(*list, wanted))
			return true;
	return false;
}

static void test_masks(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	char own[] = "/proc/own", *paths[] = { own };
	struct context c;

	(void)state;
	init_context(&c);
	c.linux.security_context = NULL; /* nobody has thought about it */
	assert_true(has(container_masked_paths(&c.config, &arena), "/proc/kcore"));
	assert_true(has(container_readonly_paths(&c.config, &arena), "/proc/sys"));
	c.linux.security_context = &c.security; /* procMount Unmasked */
	assert_true(has(container_masked_paths(&c.config, &arena), "/sys/devices/virtual/powercap"));
	assert_null(container_masked_paths(&c.config, &arena)[1]);
	assert_null(container_readonly_paths(&c.config, &arena)[0]);
	c.security.masked_paths = c.security.readonly_paths = paths;
	c.security.n_masked_paths = c.security.n_readonly_paths = 1;
	assert_true(has(container_masked_paths(&c.config, &arena), "/proc/own"));
	assert_false(has(container_masked_paths(&c.config, &arena), "/proc/kcore"));
	assert_true(has(container_masked_paths(&c.config, &arena), "/sys/devices/virtual/powercap")); /* whatever was asked */
	assert_false(has(container_readonly_paths(&c.config, &arena), "/proc/sys"));
	c.security.privileged = true;
	assert_null(container_masked_paths(&c.config, &arena)[0]);
	assert_null(container_readonly_paths(&c.config, &arena)[0]);
}

/* ---- devices, limits ---- */

static void test_devices(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	char zero[] = "/dev/zero", mine[] = "/dev/mine", r[] = "r", etc[] = "/etc/passwd";
	Cri__Device device = CRI__DEVICE__INIT, *devices[] = { &device };
	struct error err = ERROR_INIT;
	struct device_list list;
	struct context c;

	(void)state;
	init_context(&c);
	assert_int_equal(container_devices(&c.config, true, &arena, &list, &err), 0);
	assert_int_equal(list.n_devices, 6);
	assert_true(list.restricted);
	device.host_path = zero;
	device.container_path = mine;
	device.permissions = r;
	c.config.devices = devices;
	c.config.n_devices = 1;
	assert_int_equal(container_devices(&c.config, true, &arena, &list, &err), 0);
	assert_int_equal(list.n_devices, 7);
	assert_string_equal(list.devices[0].path, "/dev/mine");
	assert_int_equal(list.devices[0].major, 1);
	assert_int_equal(list.devices[0].minor, 5);
	assert_int_equal(list.n_rules, 1);
	assert_string_equal(list.rules[0].access, "r");
	device.host_path = etc;
	assert_int_equal(container_devices(&c.config, true, &arena, &list, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	c.config.n_devices = 0;
	c.security.privileged = true;
	assert_int_equal(container_devices(&c.config, true, &arena, &list, &err), 0);
	assert_false(list.restricted);
	assert_true(list.n_devices >= 6);
}

static void test_resources(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	char size[] = "2MB", key[] = "memory.high", value[] = "1";
	Cri__LinuxContainerResources from = CRI__LINUX_CONTAINER_RESOURCES__INIT;
	Cri__HugepageLimit hugepage = CRI__HUGEPAGE_LIMIT__INIT, *hugepages[] = { &hugepage };
	Cri__LinuxContainerResources__UnifiedEntry entry = CRI__LINUX_CONTAINER_RESOURCES__UNIFIED_ENTRY__INIT,
						   *entries[] = { &entry };
	struct error err = ERROR_INIT;
	struct resources to;
	struct context c;

	(void)state;
	init_context(&c);
	assert_int_equal(container_resources(c.config.linux ? c.config.linux->resources : NULL, 0, &arena, &to, &err), 0);
	assert_int_equal(to.memory_limit_bytes, 0);
	hugepage.page_size = size;
	hugepage.limit = 4096;
	entry.key = key;
	entry.value = value;
	from.cpu_shares = 512;
	from.memory_limit_in_bytes = 1 << 20;
	from.hugepage_limits = hugepages;
	from.n_hugepage_limits = 1;
	from.unified = entries;
	from.n_unified = 1;
	c.linux.resources = &from;
	assert_int_equal(container_resources(&from, 33, &arena, &to, &err), 0);
	assert_int_equal(to.pids_limit, 33);
	assert_true(to.forbid_swap);
	assert_int_equal(to.cpu_shares, 512);
	assert_int_equal(to.memory_limit_bytes, 1 << 20);
	assert_string_equal(to.hugepages[0].page_size, "2MB");
	assert_string_equal(to.unified[0].file, "memory.high");
}

/* What a change names replaces, the rest stays; lists by page size and by key. */
static void test_merged_resources(void **state)
{
	char two[] = "2MB", one[] = "1GB", high[] = "memory.high", pids[] = "pids.max", a[] = "1", b[] = "2", cpus[] = "0-1";
	Cri__LinuxContainerResources now = CRI__LINUX_CONTAINER_RESOURCES__INIT, change = now, *both;
	Cri__HugepageLimit pages[3] = { CRI__HUGEPAGE_LIMIT__INIT, CRI__HUGEPAGE_LIMIT__INIT, CRI__HUGEPAGE_LIMIT__INIT };
	Cri__HugepageLimit *old_pages[] = { &pages[0] }, *new_pages[] = { &pages[1], &pages[2] };
	Cri__LinuxContainerResources__UnifiedEntry entry = CRI__LINUX_CONTAINER_RESOURCES__UNIFIED_ENTRY__INIT,
						   entries[3] = { entry, entry, entry }, *old_entries[] = { &entries[0] },
						   *new_entries[] = { &entries[1], &entries[2] };
	struct error err = ERROR_INIT;

	(void)state;
	pages[0] = pages[1] = (Cri__HugepageLimit){ pages[0].base, two, 1 };
	pages[2] = (Cri__HugepageLimit){ pages[2].base, one, 3 };
	pages[1].limit = 2;
	entries[0].key = entries[1].key = high;
	entries[2].key = pids;
	entries[0].value = entries[2].value = a;
	entries[1].value = b;
	now.cpu_shares = 5;
	now.cpu_quota = 1000;
	now.cpuset_cpus = cpus;
	now.memory_limit_in_bytes = 100;
	now.memory_swap_limit_in_bytes = 150;
	now.hugepage_limits = old_pages;
	now.unified = old_entries;
	now.n_hugepage_limits = now.n_unified = 1;
	change.cpu_quota = -1;
	change.memory_limit_in_bytes = 120;
	change.hugepage_limits = new_pages;
	change.unified = new_entries;
	change.n_hugepage_limits = change.n_unified = 2;
	both = resources_merge(&now, &change, &err);
	assert_non_null(both);
	assert_int_equal(both->cpu_shares, 5);
	assert_int_equal(both->cpu_quota, -1);
	assert_int_equal(both->memory_limit_in_bytes, 120);
	assert_int_equal(both->memory_swap_limit_in_bytes, 150);
	assert_string_equal(both->cpuset_cpus, "0-1");
	assert_int_equal(both->n_hugepage_limits, 2);
	assert_int_equal(both->hugepage_limits[0]->limit, 2);
	assert_string_equal(both->hugepage_limits[1]->page_size, "1GB");
	assert_int_equal(both->n_unified, 2);
	assert_string_equal(both->unified[0]->value, "2");
	message_free(both);
	change.memory_limit_in_bytes = 151;
	assert_null(resources_merge(&now, &change, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.text, "memory_limit_in_bytes"));
	change.memory_limit_in_bytes = -1;
	assert_null(resources_merge(&now, &change, &err));
	both = resources_merge(NULL, NULL, &err);
	assert_int_equal(both->cpu_shares, 0);
	message_free(both);
}

static void test_oom_score(void **state)
{
	(void)state;
	assert_int_equal(oom_score_adj_within(-997, 0, false), 0);
	assert_int_equal(oom_score_adj_within(-997, -500, false), -500);
	assert_int_equal(oom_score_adj_within(-997, 0, true), -997);
	assert_int_equal(oom_score_adj_within(1000, 0, false), 1000);
	assert_int_equal(oom_score_adj_within(INT64_MAX, 0, false), 1000);
	assert_int_equal(oom_score_adj_within(INT64_MIN, 0, true), -1000);
}

/* ---- namespaces ---- */

static void test_pid_mode_is_inherited(void **state)
{
	Cri__PodSandboxConfig pod_config = CRI__POD_SANDBOX_CONFIG__INIT;
	Cri__LinuxPodSandboxConfig pod_linux = CRI__LINUX_POD_SANDBOX_CONFIG__INIT;
	Cri__LinuxSandboxSecurityContext pod_security = CRI__LINUX_SANDBOX_SECURITY_CONTEXT__INIT;
	Cri__NamespaceOption options = CRI__NAMESPACE_OPTION__INIT;
	struct context c;

	(void)state;
	init_context(&c);
	assert_int_equal(container_pid_mode(&c.config, &pod_config), CRI__NAMESPACE_MODE__POD);
	pod_config.linux = &pod_linux;
	pod_linux.security_context = &pod_security;
	pod_security.namespace_options = &options;
	options.pid = CRI__NAMESPACE_MODE__CONTAINER;
	assert_int_equal(container_pid_mode(&c.config, &pod_config), CRI__NAMESPACE_MODE__CONTAINER);
	c.security.namespace_options = &c.namespaces;
	c.namespaces.pid = CRI__NAMESPACE_MODE__NODE;
	assert_int_equal(container_pid_mode(&c.config, &pod_config), CRI__NAMESPACE_MODE__NODE);
}

/* ---- runtime handlers ---- */

static void test_handlers(void **state)
{
	struct handler_options options;
	struct error err = ERROR_INIT;
	struct config config;

	(void)state;
	assert_int_equal(config_init(&config, &err), 0);
	assert_int_equal(handler_options(&config, "", &options, &err), 0);
	assert_string_equal(options.seccomp_default, "builtin");
	assert_string_equal(options.apparmor_default, "builtin");
	assert_true(options.host_devices);
	assert_int_equal(handler_options(&config, "careful", &options, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	err = (struct error)ERROR_INIT;
	assert_int_equal(config_set(&config, "runtime.careful.privileged_without_host_devices", "true", &err), 0);
	assert_int_equal(config_set(&config, "runtime.careful.seccomp_default", "/p.json", &err), 0);
	assert_int_equal(handler_options(&config, "careful", &options, &err), 0);
	assert_string_equal(options.seccomp_default, "/p.json");
	assert_string_equal(options.apparmor_default, "builtin"); /* as [runtime] says */
	assert_false(options.host_devices);
	assert_int_equal(handler_options(&config, "other", &options, &err), -1);
	assert_non_null(strstr(err.text, "\"careful\""));
	config_release(&config);
}

static void test_privileged_without_host_devices(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	struct device_list list;
	struct error err = ERROR_INIT;
	struct context c;

	(void)state;
	init_context(&c);
	c.security.privileged = true;
	assert_int_equal(container_devices(&c.config, false, &arena, &list, &err), 0);
	assert_int_equal(list.n_devices, 6);
	assert_true(list.restricted);
}

/* ---- sandboxes ---- */

static void test_sandbox_check(void **state)
{
	char slice[] = "/kubepods-burstable.slice", relative[] = "kubepods", up[] = "/a/../b";
	static char long_path[2000];
	Cri__PodSandboxConfig config = CRI__POD_SANDBOX_CONFIG__INIT;
	Cri__LinuxPodSandboxConfig linux_config = CRI__LINUX_POD_SANDBOX_CONFIG__INIT;
	struct error err = ERROR_INIT;

	(void)state;
	memset(long_path, 'a', sizeof(long_path) - 1);
	long_path[0] = '/';
	config.linux = &linux_config;
	assert_int_equal(sandbox_check(&config, &err), 0);
	linux_config.cgroup_parent = slice; /* the driver decides: group_parent_path() */
	assert_int_equal(sandbox_check(&config, &err), 0);
	linux_config.cgroup_parent = relative;
	assert_int_equal(sandbox_check(&config, &err), -1);
	linux_config.cgroup_parent = long_path;
	assert_int_equal(sandbox_check(&config, &err), -1);
	linux_config.cgroup_parent = up;
	assert_int_equal(sandbox_check(&config, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
}

/* ---- filters ---- */

static void test_filters(void **state)
{
	char key[] = "app", value[] = "web", other[] = "db", prefix[] = "aaaa", wrong[] = "ab";
	Cri__PodSandboxConfig config = CRI__POD_SANDBOX_CONFIG__INIT;
	Cri__PodSandboxConfig__LabelsEntry label = CRI__POD_SANDBOX_CONFIG__LABELS_ENTRY__INIT, *labels[] = { &label };
	Cri__PodSandboxFilter filter = CRI__POD_SANDBOX_FILTER__INIT;
	Cri__PodSandboxFilter__LabelSelectorEntry wanted = CRI__POD_SANDBOX_FILTER__LABEL_SELECTOR_ENTRY__INIT,
						  *selector[] = { &wanted };
	Cri__PodSandboxStateValue ready = CRI__POD_SANDBOX_STATE_VALUE__INIT;
	struct sandbox sandbox = { .config = &config, .state = SANDBOX_READY };

	(void)state;
	memset(sandbox.id, 'a', ID_LEN);
	label.key = key;
	label.value = value;
	config.labels = labels;
	config.n_labels = 1;
	assert_true(sandbox_matches(&sandbox, NULL));
	assert_true(sandbox_matches(&sandbox, &filter));
	filter.id = prefix;
	assert_true(sandbox_matches(&sandbox, &filter));
	filter.state = &ready;
	ready.state = CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY;
	assert_false(sandbox_matches(&sandbox, &filter));
	ready.state = CRI__POD_SANDBOX_STATE__SANDBOX_READY;
	wanted.key = key;
	wanted.value = value;
	filter.label_selector = selector;
	filter.n_label_selector = 1;
	assert_true(sandbox_matches(&sandbox, &filter));
	wanted.value = other;
	assert_false(sandbox_matches(&sandbox, &filter));
	wanted.value = value;
	filter.id = wrong;
	assert_false(sandbox_matches(&sandbox, &filter));
	filter.id = prefix;
	sandbox.state = SANDBOX_CREATING; /* nobody's yet */
	assert_false(sandbox_matches(&sandbox, &filter));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_argv),
		cmocka_unit_test(test_nothing_to_run),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_what_was_set_stays),
		cmocka_unit_test(test_bytes_and_bad_names),
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_ambient_and_privileged),
		cmocka_unit_test(test_seccomp),
		cmocka_unit_test(test_handlers),
		cmocka_unit_test(test_privileged_without_host_devices),
		cmocka_unit_test(test_apparmor),
		cmocka_unit_test(test_standard_mounts),
		cmocka_unit_test(test_requested_mounts_replace_and_are_ordered),
		cmocka_unit_test(test_a_mounted_dev_replaces_all_below),
		cmocka_unit_test(test_nested_and_doubled_targets),
		cmocka_unit_test(test_a_mount_of_the_host_lets_pods_go),
		cmocka_unit_test(test_mount_options),
		cmocka_unit_test(test_masks_stay_in_the_container),
		cmocka_unit_test(test_mounts_that_are_refused),
		cmocka_unit_test(test_masks),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_resources),
		cmocka_unit_test(test_merged_resources),
		cmocka_unit_test(test_oom_score),
		cmocka_unit_test(test_pid_mode_is_inherited),
		cmocka_unit_test(test_sandbox_check),
		cmocka_unit_test(test_filters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
