/* config.json: what is read, what is refused, and by which name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "oci/config.h"
#include "oci/template.h"

#define PROCESS "\"process\":{\"args\":[\"a\"],\"cwd\":\"/\"}"
#define LINUX "\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]}"
#define BEGIN "{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\"}"

static void read_ok(const char *text, struct config *config)
{
	struct error err = ERROR_INIT;

	if (config_parse(text, strlen(text), config, &err) < 0)
		fail_msg("%s: %s", text, err.text);
}

static void read_bad(const char *text, enum error_code code, const char *part)
{
	struct error err = ERROR_INIT;
	struct config config;

	if (config_parse(text, strlen(text), &config, &err) == 0)
		fail_msg("accepted: %s", text);
	config_drop(&config);
	if (err.code != code || !strstr(err.text, part))
		fail_msg("%s: %s: %s, and not '%s'", text, error_code_name(err.code), err.text, part);
}

static void the_template_is_read(void **state)
{
	struct config config;

	(void)state;
	read_ok(spec_template, &config);
	assert_string_equal(config.root, "rootfs");
	assert_true(config.readonly_root);
	assert_string_equal(config.process.args[0], "sh");
	assert_null(config.process.args[1]);
	assert_int_equal(config.process.identity.bounding, config.process.identity.permitted);
	assert_true(config.process.identity.no_new_privs);
	assert_int_equal(config.n_mounts, 7);
	assert_string_equal(config.mounts[1].data, "mode=755,size=65536k");
	assert_int_equal(config.mounts[1].flags, MS_NOSUID | MS_STRICTATIME);
	assert_true(config.namespaces[OCI_NS_PID].wanted);
	assert_null(config.namespaces[OCI_NS_PID].path);
	assert_true(config.resources.restrict_devices);
	assert_int_equal(config.resources.n_devices, 0);
	/* the default devices */
	assert_int_equal(config.n_devices, 6);
	config_drop(&config);
}

static void every_part_of_a_process_is_read(void **state)
{
	struct config config;
	const struct process_config *p = &config.process;

	(void)state;
	read_ok(BEGIN
		",\"process\":{\"terminal\":true,\"consoleSize\":{\"height\":3,\"width\":4},\"user\":{\"uid\":1,\"gid\":2,"
		"\"umask\":63,\"additionalGids\":[5,6]},\"args\":[\"a\",\"b\"],\"env\":[\"X=1\"],\"cwd\":\"/c\",\"oomScoreAdj\":-7,"
		"\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_KILL\"],\"permitted\":[\"CAP_KILL\"],"
		"\"inheritable\":[\"CAP_KILL\"],\"ambient\":[\"CAP_KILL\"],\"effective\":[\"CAP_KILL\"]},"
		"\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":1,\"hard\":18446744073709551615}],"
		"\"scheduler\":{\"policy\":\"SCHED_FIFO\",\"priority\":9,\"flags\":[\"SCHED_FLAG_RESET_ON_FORK\"]},"
		"\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":4}}," LINUX "}",
		&config);
	assert_true(p->terminal && p->has_console_size && p->set_oom_score_adj && p->extras.set_umask);
	assert_int_equal(p->console_rows, 3);
	assert_int_equal(p->console_columns, 4);
	assert_int_equal(p->identity.uid, 1);
	assert_int_equal(p->identity.gid, 2);
	assert_int_equal(p->extras.umask, 077);
	assert_int_equal(p->identity.n_groups, 2);
	assert_int_equal(p->identity.groups[1], 6);
	assert_string_equal(p->env[0], "X=1");
	assert_string_equal(p->cwd, "/c");
	assert_int_equal(p->oom_score_adj, -7);
	assert_int_equal(p->identity.bounding, 1 << 0 | 1 << 5);
	assert_int_equal(p->identity.ambient, 1 << 5);
	assert_int_equal(p->rlimits[0].soft, 1);
	assert_true(p->rlimits[0].hard == UINT64_MAX);
	assert_non_null(p->extras.scheduler);
	assert_int_equal(p->scheduler.policy, 1);
	assert_int_equal(p->scheduler.priority, 9);
	assert_int_equal(p->scheduler.flags, 1);
	assert_int_equal(p->extras.io_priority, 2 << 13 | 4);
	config_drop(&config);
}

static void capabilities_that_cannot_be_ambient_are_not(void **state)
{
	struct config config;

	(void)state;
	read_ok(BEGIN ",\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"capabilities\":{\"ambient\":[\"CAP_CHOWN\"]}}," LINUX "}",
		&config);
	assert_int_equal(config.process.identity.ambient, 0);
	config_drop(&config);
}

static void mount_options_are_told_apart(void **state)
{
	struct config config;

	(void)state;
	read_ok(BEGIN
		"," PROCESS "," LINUX ",\"mounts\":[{\"destination\":\"/a\",\"source\":\"/s\",\"type\":\"none\",\"options\":"
		"[\"rbind\",\"ro\",\"rw\",\"rro\",\"rslave\",\"nodev\"]},{\"destination\":\"/b\",\"type\":\"tmpfs\",\"options\":"
		"[\"size=1k\",\"noexec\",\"mode=1777\"]}]}",
		&config);
	assert_true(config.mounts[0].bind && config.mounts[0].recursive);
	assert_int_equal(config.mounts[0].tree_flags, MS_RDONLY);
	assert_int_equal(config.mounts[0].flags, MS_NODEV);
	assert_int_equal(config.mounts[0].cleared, MS_RDONLY);
	assert_int_equal(config.mounts[0].propagation, MS_SLAVE);
	assert_true(config.mounts[0].propagation_recursive);
	assert_false(config.mounts[1].bind);
	assert_string_equal(config.mounts[1].data, "size=1k,mode=1777");
	config_drop(&config);
}

#define DEVICES(rules)                                                                                                             \
	BEGIN "," PROCESS ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],\"resources\":{\"devices\":[" rules "]}}}"

static void device_rules_take_effect_in_order(void **state)
{
	struct config config;

	(void)state;
	read_ok(DEVICES("{\"allow\":false},{\"allow\":true,\"type\":\"c\",\"major\":1,\"access\":\"wr\"}"), &config);
	assert_true(config.resources.restrict_devices);
	assert_int_equal(config.resources.n_devices, 1);
	assert_string_equal(config.resources.devices[0].access, "rw");
	assert_int_equal(config.resources.devices[0].minor, -1);
	config_drop(&config);
	read_ok(DEVICES("{\"allow\":false},{\"allow\":true}"), &config);
	assert_false(config.resources.restrict_devices);
	config_drop(&config);
	read_ok(DEVICES("{\"allow\":true,\"type\":\"b\",\"major\":8,\"access\":\"r\"},{\"allow\":false}"), &config);
	assert_true(config.resources.restrict_devices);
	assert_int_equal(config.resources.n_devices, 0);
	config_drop(&config);
	read_bad(DEVICES("{\"allow\":true},{\"allow\":false,\"type\":\"c\",\"major\":1,\"access\":\"r\"}"), ERR_UNIMPLEMENTED,
		 "linux.resources.devices[1]: a rule that denies");
}

static void hooks_are_read_by_moment(void **state)
{
	struct config config;

	(void)state;
	read_ok(BEGIN "," PROCESS "," LINUX
		      ",\"hooks\":{\"createContainer\":[{\"path\":\"/h\",\"args\":[\"h\",\"1\"],\"env\":[\"A=b\"],"
		      "\"timeout\":3}],\"poststop\":[{\"path\":\"/p\"},{\"path\":\"/q\"}]}}",
		&config);
	assert_int_equal(config.hooks[HOOK_CREATE_CONTAINER].n, 1);
	assert_int_equal(config.hooks[HOOK_CREATE_CONTAINER].hooks[0].timeout_ms, 3000);
	assert_string_equal(config.hooks[HOOK_CREATE_CONTAINER].hooks[0].argv[1], "1");
	assert_int_equal(config.hooks[HOOK_POSTSTOP].n, 2);
	assert_null(config.hooks[HOOK_POSTSTOP].hooks[1].argv);
	assert_int_equal(config.hooks[HOOK_PRESTART].n, 0);
	config_drop(&config);
}

static void unknown_members_are_ignored_and_known_ones_refused_by_name(void **state)
{
	static const struct {
		const char *text;
		enum error_code code;
		const char *part;
	} rows[] = {
		{ "[]", ERR_INVALID, "not a JSON object" },
		{ "{", ERR_INVALID, "not JSON" },
		{ "{} x", ERR_INVALID, "not JSON" },
		{ "{\"root\":{\"path\":\"r\"}}", ERR_INVALID, "ociVersion" },
		{ "{\"ociVersion\":\"2.0.0\",\"root\":{\"path\":\"r\"}}", ERR_INVALID, "ociVersion 2.0.0" },
		{ "{\"ociVersion\":\"1.0.0\"," LINUX "}", ERR_INVALID, "root.path" },
		{ BEGIN ",\"windows\":{\"x\":1}}", ERR_UNIMPLEMENTED, "windows" },
		{ BEGIN "," PROCESS "}", ERR_UNIMPLEMENTED, "mount namespace" },
		{ BEGIN ",\"process\":{\"args\":[],\"cwd\":\"/\"}," LINUX "}", ERR_INVALID, "process.args is empty" },
		{ BEGIN ",\"process\":{\"args\":[\"a\"],\"cwd\":\"x\"}," LINUX "}", ERR_INVALID, "process.cwd" },
		{ BEGIN ",\"process\":{\"args\":[1],\"cwd\":\"/\"}," LINUX "}", ERR_INVALID,
		  "process.args is not a list of strings" },
		{ BEGIN ",\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"user\":{\"uid\":4294967295}}," LINUX "}", ERR_INVALID,
		  "process.user.uid" },
		{ BEGIN ",\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"user\":{\"uid\":0.5}}," LINUX "}", ERR_INVALID,
		  "process.user.uid" },
		{ BEGIN ",\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"capabilities\":{\"bounding\":[\"CAP_NO\"]}}," LINUX "}",
		  ERR_INVALID, "process.capabilities.bounding: unknown capability 'CAP_NO'" },
		{ BEGIN ",\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"rlimits\":[{\"type\":\"RLIMIT_X\"}]}," LINUX "}",
		  ERR_INVALID, "process.rlimits[0].type" },
		{ BEGIN "," PROCESS ",\"mounts\":[{\"destination\":\"a\"}]," LINUX "}", ERR_INVALID, "mounts[0].destination" },
		{ BEGIN "," PROCESS ",\"mounts\":[{\"destination\":\"/a\",\"type\":\"ramfs\",\"options\":[\"tmpcopyup\"]}]," LINUX
			"}",
		  ERR_INVALID, "mounts[0].options: 'tmpcopyup'" },
		{ BEGIN "," PROCESS ",\"mounts\":[{\"destination\":\"/a\",\"type\":\"tmpfs\",\"options\":[\"remount\"]}]," LINUX
			"}",
		  ERR_UNIMPLEMENTED, "mounts[0].options: 'remount'" },
		{ BEGIN "," PROCESS
			",\"mounts\":[{\"destination\":\"/a\",\"source\":\"/b\",\"options\":[\"bind\",\"idmap\"]}]," LINUX "}",
		  ERR_INVALID, "mounts[0].options: 'idmap' needs mappings" },
		{ BEGIN "," PROCESS ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"mount\"}]}}", ERR_INVALID,
		  "already" },
		{ BEGIN "," PROCESS ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"x\"}]}}", ERR_INVALID,
		  "linux.namespaces[1].type" },
		{ BEGIN "," PROCESS ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],\"intelRdt\":{\"closID\":\"x\"}}}",
		  ERR_UNIMPLEMENTED, "linux.intelRdt" },
		{ BEGIN "," PROCESS
			",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],\"resources\":{\"blockIO\":{\"weight\":1}}}}",
		  ERR_INVALID, "linux.resources.blockIO.weight is 1, not within 10 and 1000" },
		{ BEGIN "," PROCESS ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],\"resources\":{\"blockIO\":{"
			"\"throttleReadBpsDevice\":[{\"rate\":1}]}}}}",
		  ERR_INVALID, "throttleReadBpsDevice[0]: major and minor" },
		{ BEGIN "," PROCESS ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],\"resources\":{\"rdma\":{\"a\":{}}}}}",
		  ERR_INVALID, "linux.resources.rdma.a has no limit" },
		{ BEGIN "," PROCESS ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],\"resources\":{\"cpu\":{\"idle\":2}}}}",
		  ERR_INVALID, "linux.resources.cpu.idle" },
		{ BEGIN "," PROCESS
			",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],\"timeOffsets\":{\"boottime\":{\"secs\":1}}}}",
		  ERR_INVALID, "linux.timeOffsets needs a new time namespace" },
		{ BEGIN ",\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"execCPUAffinity\":{\"initial\":\"1-0\"}}," LINUX "}",
		  ERR_INVALID, "process.execCPUAffinity.initial '1-0'" },
		{ BEGIN ",\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"execCPUAffinity\":{\"final\":\"8192\"}}," LINUX "}",
		  ERR_INVALID, "process.execCPUAffinity.final" },
		{ BEGIN ",\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"execCPUAffinity\":{\"final\":\"1,\"}}," LINUX "}",
		  ERR_INVALID, "process.execCPUAffinity.final" },
		{ BEGIN "," PROCESS ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],\"rootfsPropagation\":\"x\"}}", ERR_INVALID,
		  "linux.rootfsPropagation" },
		{ BEGIN "," PROCESS "," LINUX ",\"hooks\":{\"prestart\":[{\"path\":\"x\"}]}}", ERR_INVALID,
		  "hooks.prestart[0].path" },
		{ BEGIN "," PROCESS "," LINUX ",\"annotations\":{\"a\":1}}", ERR_INVALID, "annotations.a" },
		{ BEGIN "," PROCESS
			",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],\"resources\":{\"memory\":{\"swappiness\":101}}}}",
		  ERR_INVALID, "linux.resources.memory.swappiness" },
		{ BEGIN "," PROCESS ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],\"uidMappings\":[{\"containerID\":0,"
			"\"hostID\":1,\"size\":1}]}}",
		  ERR_INVALID, "need a new user namespace" },
		{ BEGIN "," PROCESS ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"user\"}]}}", ERR_INVALID,
		  "linux mappings: uids: 0 mappings" },
		{ BEGIN
		  "," PROCESS
		  ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"user\"}],\"uidMappings\":[{\"containerID\":0}]}}",
		  ERR_INVALID, "linux.uidMappings[0]: containerID, hostID and size" },
	};
	struct config config;

	(void)state;
	read_ok(BEGIN "," PROCESS "," LINUX ",\"futurePart\":{\"a\":[1]}}", &config);
	config_drop(&config);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		read_bad(rows[i].text, rows[i].code, rows[i].part);
}

static void limits_beside_those_of_kubernetes_are_read(void **state)
{
	const struct more_resources *m;
	struct config config;

	(void)state;
	read_ok(BEGIN "," PROCESS
		      ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],\"resources\":{\"cpu\":{\"burst\":0,\"idle\":1,"
		      "\"realtimeRuntime\":-1,\"realtimePeriod\":5},\"memory\":{\"kernelTCP\":7,\"disableOOMKiller\":false},"
		      "\"blockIO\":{\"weight\":10,\"weightDevice\":[{\"major\":8,\"minor\":1,\"leafWeight\":20}],"
		      "\"throttleWriteIOPSDevice\":[{\"major\":8,\"minor\":2,\"rate\":3}]},"
		      "\"network\":{\"classID\":9,\"priorities\":[{\"name\":\"lo\",\"priority\":4}]},"
		      "\"rdma\":{\"mlx\":{\"hcaObjects\":0}}}}}",
		&config);
	m = config.resources.more;
	assert_true(m->set_cpu_burst && m->set_cpu_idle && m->set_cpu_realtime_runtime && m->set_oom_killer &&
		    !m->disable_oom_killer);
	assert_int_equal(m->cpu_realtime_runtime_us, -1);
	assert_int_equal(m->cpu_realtime_period_us, 5);
	assert_int_equal(m->memory_kernel_tcp_bytes, 7);
	assert_int_equal(m->block_weight, 10);
	assert_int_equal(m->n_block_weights, 1);
	assert_int_equal(m->block_weights[0].leaf_weight, 20);
	assert_int_equal(m->n_block_throttles, 1);
	assert_int_equal(m->block_throttles[0].what, BLOCK_WRITE_OPS);
	assert_int_equal(m->block_throttles[0].rate, 3);
	assert_true(m->set_net_class && m->net_class == 9 && m->n_net_priorities == 1 && m->net_priorities[0].priority == 4);
	assert_true(m->n_rdma == 1 && !m->rdma[0].set_handles && m->rdma[0].set_objects);
	assert_int_equal(resources_hierarchies(&config.resources), CGROUP_ALL);
	config_drop(&config);
	read_ok(BEGIN "," PROCESS "," LINUX "}", &config);
	assert_int_equal(resources_hierarchies(&config.resources), 0);
	config_drop(&config);
}

static void clocks_and_processors_are_read(void **state)
{
	struct config config;

	(void)state;
	read_ok(BEGIN ",\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"execCPUAffinity\":{\"initial\":\"0-2,33\",\"final\":\"64\"}},"
		      "\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"time\"}],\"timeOffsets\":"
		      "{\"monotonic\":{\"secs\":-3,\"nanosecs\":4},\"boottime\":{}}}}",
		&config);
	assert_int_equal(config.process.extras.first_cpus.n, 2);
	assert_int_equal(config.process.extras.first_cpus.bits[0], 7);
	assert_int_equal(config.process.extras.first_cpus.bits[1], 2);
	assert_int_equal(config.process.extras.cpus.n, 4);
	assert_int_equal(config.process.extras.cpus.bits[2], 1);
	assert_string_equal(config.time_offsets, "1 -3 4\n7 0 0\n");
	config_drop(&config);
}

static void maps_and_memory_are_read(void **state)
{
	struct config config;

	(void)state;
	read_ok(BEGIN "," PROCESS ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"user\"}],"
		      "\"uidMappings\":[{\"containerID\":0,\"hostID\":70000,\"size\":1000},"
		      "{\"containerID\":1000,\"hostID\":5,\"size\":1}],"
		      "\"gidMappings\":[{\"containerID\":0,\"hostID\":80000,\"size\":1000}],"
		      "\"resources\":{\"memory\":{\"reservation\":4096,\"swappiness\":0,\"disableOOMKiller\":false}}}}",
		&config);
	assert_int_equal(config.id_maps.n_uids, 2);
	assert_int_equal(config.id_maps.uids[1].inside, 1000);
	assert_int_equal(config.id_maps.uids[1].outside, 5);
	assert_int_equal(config.id_maps.n_gids, 1);
	assert_int_equal(config.id_maps.gids[0].length, 1000);
	assert_int_equal(config.resources.memory_reservation_bytes, 4096);
	assert_true(config.resources.set_memory_swappiness);
	assert_int_equal(config.resources.memory_swappiness, 0);
	config_drop(&config);
}

static void too_many_values_are_refused(void **state)
{
	size_t n = 410001;
	char *text = malloc(n + 16);

	(void)state;
	assert_non_null(text);
	memcpy(text, "{\"a\":[", 6);
	for (size_t i = 6; i < n; i++)
		text[i] = i % 2 ? ',' : '1';
	memcpy(text + n, "1]}", 4);
	read_bad(text, ERR_EXHAUSTED, "JSON values");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_template_is_read),
		cmocka_unit_test(every_part_of_a_process_is_read),
		cmocka_unit_test(capabilities_that_cannot_be_ambient_are_not),
		cmocka_unit_test(mount_options_are_told_apart),
		cmocka_unit_test(device_rules_take_effect_in_order),
		cmocka_unit_test(hooks_are_read_by_moment),
		cmocka_unit_test(unknown_members_are_ignored_and_known_ones_refused_by_name),
		cmocka_unit_test(maps_and_memory_are_read),
		cmocka_unit_test(limits_beside_those_of_kubernetes_are_read),
		cmocka_unit_test(clocks_and_processors_are_read),
		cmocka_unit_test(too_many_values_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
