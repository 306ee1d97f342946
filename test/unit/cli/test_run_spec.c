/* The options of `run` as the two configurations of the CRI. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "cli/pod_ops.h"
#include "cli/run_spec.h"

static char image[] = "busybox:1";

static void test_ports(void **state)
{
	static const struct {
		const char *text, *ip;
		int host, container, protocol;
	} cases[] = {
		{ "8080:80", "", 8080, 80, 0 },
		{ "53:5353/udp", "", 53, 5353, 1 },
		{ "127.0.0.1:8080:80/tcp", "127.0.0.1", 8080, 80, 0 },
		{ "[::1]:65535:1/sctp", "::1", 65535, 1, 2 },
	};
	static const char *const wrong[] = { "",         "80",         "80:", ":80",    "0:80",    "80:0",
					     "65536:80", "80:80/icmp", "a:b", "80:80/", "1:2:3:4x" };
	struct arena arena = ARENA_INIT;
	struct error err = ERROR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		Cri__PortMapping m = CRI__PORT_MAPPING__INIT;

		assert_int_equal(parse_port(&arena, cases[i].text, &m, &err), 0);
		assert_string_equal(m.host_ip, cases[i].ip);
		assert_int_equal(m.host_port, cases[i].host);
		assert_int_equal(m.container_port, cases[i].container);
		assert_int_equal(m.protocol, cases[i].protocol);
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		Cri__PortMapping m = CRI__PORT_MAPPING__INIT;

		assert_int_equal(parse_port(&arena, wrong[i], &m, &err), -1);
	}
	arena_release(&arena);
}

static void test_mounts(void **state)
{
	static const char *const wrong[] = { "", "/a", "/a:b", "a:/b", "/a:/b:xx", ":/b", "/a:/b:ro,zz" };
	struct arena arena = ARENA_INIT;
	struct error err = ERROR_INIT;
	Cri__Mount m = CRI__MOUNT__INIT;

	(void)state;
	assert_int_equal(parse_mount(&arena, "/host:/in/side:ro,rslave", &m, &err), 0);
	assert_string_equal(m.host_path, "/host");
	assert_string_equal(m.container_path, "/in/side");
	assert_true(m.readonly);
	assert_int_equal(m.propagation, CRI__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		Cri__Mount other = CRI__MOUNT__INIT;

		assert_int_equal(parse_mount(&arena, wrong[i], &other, &err), -1);
	}
	arena_release(&arena);
}

/* Digits are a number or an error; they never become a name, nor root. */
static void test_users(void **state)
{
	static const char *const wrong[] = { "", ":5", "4294967295", "99999999999999999999", "1000x", "1000:x", "1:-1", "1:" };
	struct arena arena = ARENA_INIT;
	struct error err = ERROR_INIT;
	Cri__LinuxContainerSecurityContext s = CRI__LINUX_CONTAINER_SECURITY_CONTEXT__INIT;

	(void)state;
	assert_int_equal(parse_user(&arena, "1", &s, &err), 0);
	assert_int_equal(s.run_as_user->value, 1);
	assert_null(s.run_as_group);
	assert_int_equal(parse_user(&arena, "4294967294:7", &s, &err), 0);
	assert_int_equal(s.run_as_user->value, 4294967294);
	assert_int_equal(s.run_as_group->value, 7);
	cri__linux_container_security_context__init(&s);
	assert_int_equal(parse_user(&arena, "www-data:33", &s, &err), 0);
	assert_null(s.run_as_user);
	assert_string_equal(s.run_as_username, "www-data");
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		cri__linux_container_security_context__init(&s);
		assert_int_equal(parse_user(&arena, wrong[i], &s, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
	}
	arena_release(&arena);
}

static void test_defaults(void **state)
{
	struct run_options options = { .name = "web", .namespace = "default", .log_dir = "/logs" };
	struct arena arena = ARENA_INIT;
	struct error err = ERROR_INIT;
	struct run_spec spec;

	(void)state;
	assert_int_equal(run_spec_build(&arena, &options, "0123456789abcdef0123456789abcdef", image, NULL, 0, &spec, &err), 0);
	assert_string_equal(spec.pod->metadata->name, "web");
	assert_string_equal(spec.pod->hostname, "web");
	assert_string_equal(spec.pod->log_directory, "/logs");
	assert_true(is_run_uid(spec.pod->metadata->uid));
	assert_int_equal(spec.pod->linux->security_context->namespace_options->network, CRI__NAMESPACE_MODE__POD);
	assert_int_equal(spec.pod->linux->security_context->namespace_options->pid, CRI__NAMESPACE_MODE__CONTAINER);
	assert_string_equal(spec.container->image->image, "busybox:1");
	assert_string_equal(spec.container->log_path, "0.log");
	assert_int_equal(spec.container->n_command, 0);
	assert_int_equal(spec.container->linux->security_context->seccomp->profile_type,
			 CRI__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault);
	/* What hides the host must be there without being asked for. */
	assert_true(spec.container->linux->security_context->n_masked_paths >= 10);
	assert_true(spec.container->linux->security_context->n_readonly_paths >= 5);
	arena_release(&arena);
}

static const char *const envs[] = { "A=1", "B=x=y", "EMPTY=", "BARE" };
static const char *const labels[] = { "app=web" };

static void test_all_options(void **state)
{
	char *command[] = { image };
	struct run_options options = {
		.name = "web",
		.namespace = "prod",
		.log_dir = "/l",
		.user = "5",
		.workdir = "/w",
		.entrypoint = "/bin/sh",
		.envs = { (const char **)(uintptr_t)envs, 4 },
		.labels = { (const char **)(uintptr_t)labels, 1 },
		.cpu_shares = 512,
		.cpu_quota_us = 50000,
		.memory_bytes = 1 << 20,
		.host_network = true,
		.privileged = true,
		.read_only = true,
		.tty = true,
	};
	struct arena arena = ARENA_INIT;
	struct error err = ERROR_INIT;
	struct run_spec spec;

	(void)state;
	assert_int_equal(run_spec_build(&arena, &options, "u", image, command, 1, &spec, &err), 0);
	assert_string_equal(spec.pod->hostname, "");
	assert_string_equal(spec.pod->labels[0]->key, "app");
	assert_string_equal(spec.pod->labels[0]->value, "web");
	assert_int_equal(spec.container->n_envs, 4);
	assert_memory_equal(spec.container->envs[1]->value.data, "x=y", 3);
	assert_int_equal(spec.container->envs[2]->value.len, 0);
	assert_int_equal(spec.container->envs[3]->value.len, 0);
	assert_string_equal(spec.container->command[0], "/bin/sh");
	assert_ptr_equal(spec.container->args, command);
	assert_int_equal(spec.container->linux->resources->cpu_period, 100000);
	assert_int_equal(spec.container->linux->resources->memory_limit_in_bytes, 1 << 20);
	assert_int_equal(spec.container->linux->security_context->n_masked_paths, 0);
	assert_true(spec.container->linux->security_context->privileged && spec.pod->linux->security_context->privileged);
	assert_int_equal(spec.container->linux->security_context->namespace_options->network, CRI__NAMESPACE_MODE__NODE);
	/* It is a request: it must survive the wire. */
	assert_true(protobuf_c_message_check(&spec.container->base) && protobuf_c_message_check(&spec.pod->base));
	arena_release(&arena);
}

static void test_contradictions(void **state)
{
	struct run_options pids = { .name = "a", .namespace = "b", .log_dir = "/l", .host_pid = true, .share_pid = true };
	struct run_options hostname = { .name = "a", .namespace = "b", .log_dir = "/l", .host_network = true, .hostname = "x" };
	struct arena arena = ARENA_INIT;
	struct error err = ERROR_INIT;
	struct run_spec spec;

	(void)state;
	assert_int_equal(run_spec_build(&arena, &pids, "u", image, NULL, 0, &spec, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(run_spec_build(&arena, &hostname, "u", image, NULL, 0, &spec, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	arena_release(&arena);
}

/* Only a uid that `run` made up leads to a directory that `rm` may remove. */
static void test_run_uids(void **state)
{
	(void)state;
	assert_true(is_run_uid("0123456789abcdef0123456789abcdef"));
	assert_false(is_run_uid("0123456789ABCDEF0123456789abcdef"));
	assert_false(is_run_uid("../../../etc"));
	assert_false(is_run_uid("0123456789abcdef0123456789abcde/"));
	assert_false(is_run_uid("0123456789abcdef0123456789abcdef0"));
	assert_false(is_run_uid("b6c1a54e-9f3a-4d2e-8a51-3a8c0c7be7f1"));
	assert_false(is_run_uid(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ports),    cmocka_unit_test(test_mounts),      cmocka_unit_test(test_users),
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_all_options), cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_run_uids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
