#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/config.h"
#include "base/mem.h"

struct fixture {
	char path[32];
	struct config config;
	struct error err;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	if (!f)
		return -1;
	(void)snprintf(f->path, sizeof(f->path), "/tmp/loop-config-XXXXXX");
	fd = mkstemp(f->path);
	if (fd < 0)
		return -1;
	(void)close(fd);
	*state = f;
	return config_init(&f->config, &f->err);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	config_release(&f->config);
	(void)unlink(f->path);
	free(f);
	return 0;
}

static int read_text(struct fixture *f, const char *text)
{
	FILE *file = fopen(f->path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	f->err = (struct error)ERROR_INIT;
	return config_read(&f->config, f->path, &f->err);
}

static char *printed(const struct config *config)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	assert_int_equal(config_print(config, out), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void assert_rejected(struct fixture *f, const char *text, int line, const char *reason)
{
	char expected[ERROR_TEXT_SIZE];

	assert_int_equal(read_text(f, text), -1);
	assert_int_equal(f->err.code, ERR_INVALID);
	(void)snprintf(expected, sizeof(expected), "%s line %d: %s", f->path, line, reason);
	assert_string_equal(f->err.text, expected);
}

static void test_defaults(void **state)
{
	const struct config *config = &((struct fixture *)*state)->config;

	assert_string_equal(config->socket, "/run/monopod/monopod.sock");
	assert_string_equal(config->root_dir, "/var/lib/monopod");
	assert_string_equal(config->state_dir, "/run/monopod");
	assert_string_equal(config->log_level, "info");
	assert_int_equal(config->max_message_bytes, 16777216);
	assert_int_equal(config->max_connections, 1024);
	assert_int_equal(config->max_streams, 1024);
	assert_string_equal(config->cgroup_root, "auto");
	assert_string_equal(config->cgroup_parent, "/monopod");
	assert_string_equal(config->seccomp_default, "builtin");
	assert_true(config->clamp_oom_score_adj);
	assert_string_equal(config->certs_dir, "/etc/monopod/certs.d");
	assert_string_equal(config->insecure_registries, "");
	assert_string_equal(config->auth_file, "");
	assert_int_equal(config->max_layer_bytes, INT64_C(17179869184));
	assert_int_equal(config->pull_progress_timeout_ms, 60000);
	assert_string_equal(config->bridge, "monopod0");
	assert_string_equal(config->pod_cidr, "10.88.0.0/16");
	assert_string_equal(config->mtu, "auto");
}

static void test_reads_a_file(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(read_text(f, "# comment\n; comment\n\n[server]\nmax_streams = 5\nlog_level=debug ; inline\n"
				      "[runtime]\nclamp_oom_score_adj = false\n[image]\ninsecure_registries =\n[net]\nmtu : 1400"),
			 0);
	assert_int_equal(f->config.max_streams, 5);
	assert_string_equal(f->config.log_level, "debug");
	assert_false(f->config.clamp_oom_score_adj);
	assert_string_equal(f->config.insecure_registries, "");
	assert_string_equal(f->config.mtu, "1400");
	assert_int_equal(f->config.max_connections, 1024); /* the rest is as it was */
}

static void test_errors_name_file_and_line(void **state)
{
	struct fixture *f = *state;
	char line[400];

	assert_rejected(f, "[server]\n\nmax_streams = many\n", 3, "server.max_streams = many: must be a number");
	assert_rejected(f, "[server]\nspeed = 1\n", 2, "there is no option server.speed");
	assert_rejected(f, "[server]\nmtu = 1400\n", 2, "there is no option server.mtu");
	assert_rejected(f, "mtu = 1400\n", 1, "there is no option .mtu");
	assert_rejected(f, "[net]\nmtu = 1400\n[nets]\n", 3, "there is no section [nets]");
	assert_rejected(f, "[ne]\nmtu = 1400\n", 1, "there is no section [ne]");
	assert_rejected(f, "[]\n", 1, "there is no section []");
	assert_rejected(f, "[net]\nmtu\n[server]\nmax_streams = many\n", 2, "neither 'key = value' nor '[section]' nor a comment");
	assert_rejected(f, "[net]\nmtu = 1400\nmtu = 1500\n", 3, "net.mtu is set again, or goes on from the line before");
	assert_rejected(f, "[image]\ninsecure_registries = a,\n  b\n", 3,
			"image.insecure_registries is set again, or goes on from the line before");
	assert_rejected(f, "[net]\nmtu = \n", 2, "net.mtu = : must be a number");
	memset(line, 'x', sizeof(line));
	memcpy(line, "[net]\nbridge = ", 15);
	(void)snprintf(line + sizeof(line) - 2, 2, "\n");
	assert_rejected(f, line, 2, "the line is longer than 198 bytes");
}

static void test_first_error_wins(void **state)
{
	struct fixture *f = *state;

	assert_rejected(f, "[net]\nmtu = 1\nbridge = /\npod_cidr = x\n", 2, "net.mtu = 1: must be 576 to 65535");
	assert_string_equal(f->config.bridge, "monopod0");
}

static void test_missing_file(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(config_read(&f->config, "/nonexistent/monopod.conf", &f->err), -1);
	assert_int_equal(f->err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(f->err.text, "/nonexistent/monopod.conf"));
	assert_int_equal(config_read(&f->config, "/tmp", &f->err), -1);
	assert_non_null(strstr(f->err.text, "read /tmp"));
}

/* The table of what is right and wrong for each check. */
static void test_set_checks_values(void **state)
{
	static const struct {
		const char *name, *value;
		bool good;
	} cases[] = {
		{ "server.max_streams", "1", true },
		{ "server.max_streams", "65536", true },
		{ "server.max_streams", "0", false },
		{ "server.max_streams", "65537", false },
		{ "server.max_streams", "-1", false },
		{ "server.max_streams", "0x10", false },
		{ "server.max_streams", " 5", false },
		{ "server.max_streams", "5 ", false },
		{ "server.max_streams", "", false },
		{ "server.max_streams", "99999999999999999999", false },
		{ "image.max_layer_bytes", "1125899906842624", true },
		{ "image.certs_dir", "/etc/containerd/certs.d:/etc/docker/certs.d", true },
		{ "image.certs_dir", "/a:b", false },
		{ "image.auth_file", "/root/.docker/config.json", true },
		{ "image.auth_file", "", true },
		{ "image.auth_file", "config.json", false },
		{ "server.socket", "/a", true },
		{ "server.socket", "a", false },
		{ "server.socket", "", false },
		{ "server.log_level", "warn", true },
		{ "server.log_level", "loud", false },
		{ "runtime.cgroup_root", "/sys/fs/cgroup", true },
		{ "runtime.cgroup_root", "sys", false },
		{ "runtime.cgroup_parent", "/a/b", true },
		{ "runtime.cgroup_parent", "/", false },
		{ "runtime.cgroup_parent", "/a/../b", false },
		{ "runtime.seccomp_default", "unconfined", true },
		{ "runtime.seccomp_default", "none", false },
		{ "runtime.clamp_oom_score_adj", "true", true },
		{ "runtime.clamp_oom_score_adj", "yes", false },
		{ "net.bridge", "br0", true },
		{ "net.bridge", "a/b", false },
		{ "net.bridge", "..", false },
		{ "net.bridge", "fifteen-letters", true },
		{ "net.bridge", "sixteen-letters-", false },
		{ "net.pod_cidr", "10.0.0.0/8", true },
		{ "net.pod_cidr", "192.168.3.0/29", true },
		{ "net.pod_cidr", "192.168.3.1/24", false },
		{ "net.pod_cidr", "10.0.0.0/7", false },
		{ "net.pod_cidr", "10.0.0.0/30", false },
		{ "net.pod_cidr", "10.0.0.0", false },
		{ "net.pod_cidr", "10.0.0/8", false },
		{ "net.pod_cidr", "/8", false },
		{ "net.pod_cidr", "fd00::/64", false },
		{ "net.pod_cidr", "1000000000000000000000.0.0.0/8", false },
		{ "net.mtu", "1500", true },
		{ "net.mtu", "575", false },
		{ "net.mtu", "big", false },
		{ "image.insecure_registries", "a:5000,b", true },
		{ "image.insecure_registries", "a ;b", false },
		{ "image.insecure_registries", ";b", false },
		{ "image.insecure_registries", " b", false },
		{ "image.insecure_registries", "b\nc", false },
		{ "image", "x", false },
		{ "image.", "x", false },
		{ ".bridge", "x", false },
		{ "", "x", false },
		{ "net.bridges", "x", false },
		{ "nets.bridge", "x", false },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int rc = config_set(&f->config, cases[i].name, cases[i].value, &f->err);

		if (rc != (cases[i].good ? 0 : -1))
			fail_msg("%s = '%s' gave %d", cases[i].name, cases[i].value, rc);
		if (rc < 0) {
			assert_int_equal(f->err.code, ERR_INVALID);
			assert_non_null(strstr(f->err.text, cases[i].name));
		}
	}
	assert_string_equal(f->config.pod_cidr, "192.168.3.0/29"); /* the last good one */
}

static void test_long_values(void **state)
{
	struct fixture *f = *state;
	char value[2000];

	memset(value, 'x', sizeof(value));
	value[0] = '/';
	value[160] = '\0';
	assert_int_equal(config_set(&f->config, "server.root_dir", value, &f->err), 0);
	assert_int_equal(config_set(&f->config, "image.insecure_registries", value, &f->err), 0);
	assert_int_equal(config_set(&f->config, "server.socket", value, &f->err), -1);
	value[160] = 'x';
	value[sizeof(value) - 1] = '\0';
	assert_int_equal(config_set(&f->config, "server.root_dir", value, &f->err), -1);
	assert_non_null(strstr(f->err.text, "has more than 160 bytes")); /* the cause is not cut off */
}

static void assert_reads_back(struct fixture *f)
{
	_cleanup_free_
	char *text = printed(&f->config);
	_cleanup_free_
	char *again = NULL;

	config_release(&f->config);
	assert_int_equal(config_init(&f->config, &f->err), 0);
	assert_int_equal(read_text(f, text), 0);
	again = printed(&f->config);
	assert_string_equal(again, text);
}

static void test_print_reads_back(void **state)
{
	struct fixture *f = *state;
	char longest[161];

	assert_reads_back(f);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[160] = '\0';
	assert_int_equal(config_set(&f->config, "image.insecure_registries", longest, &f->err), 0);
	assert_int_equal(config_set(&f->config, "server.max_streams", "77", &f->err), 0);
	assert_int_equal(config_set(&f->config, "runtime.clamp_oom_score_adj", "false", &f->err), 0);
	assert_int_equal(config_set(&f->config, "net.bridge", "a=b#c;d", &f->err), 0);
	assert_int_equal(config_set(&f->config, "server.root_dir", "/with spaces/and = signs", &f->err), 0);
	assert_reads_back(f);
	assert_string_equal(f->config.insecure_registries, longest);
	assert_int_equal(f->config.max_streams, 77);
	assert_false(f->config.clamp_oom_score_adj);
	assert_string_equal(f->config.bridge, "a=b#c;d");
	assert_string_equal(f->config.root_dir, "/with spaces/and = signs");
}

/* Each option stands there with a comment right above it. */
static void test_print_explains(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_
	char *text = printed(&f->config);
	bool explained = false;
	unsigned n_options = 0;
	char *rest = text;

	for (char *line; (line = strsep(&rest, "\n"));) {
		if (strchr(line, '=') && line[0] != '#') {
			assert_true(explained);
			n_options++;
		}
		explained = line[0] == '#';
	}
	assert_int_equal(n_options, 32);
}

static void test_print_to_a_full_disk(void **state)
{
	struct fixture *f = *state;
	FILE *full = fopen("/dev/full", "we");

	assert_non_null(full);
	assert_int_equal(config_print(&f->config, full), -1);
	(void)fclose(full);
}

/* [runtime.NAME]: named sets of options, read, printed and read back. */
static void test_runtime_handlers(void **state)
{
	static const char *const wrong[][2] = {
		{ "runtime.a.seccomp_default", "relative" },
		{ "runtime.a.apparmor_default", "a b" },
		{ "runtime.a.privileged_without_host_devices", "perhaps" },
		{ "runtime.a.nothing", "x" },
		{ "runtime.A.seccomp_default", "builtin" },
		{ "runtime.-a.seccomp_default", "builtin" },
	};
	struct config config, again;
	struct error err = ERROR_INIT;
	char path[] = "/tmp/config-test-XXXXXX";
	FILE *file = fdopen(mkstemp(path), "w");

	(void)state;
	assert_non_null(file);
	(void)fputs("[runtime]\nseccomp_default = unconfined\n[runtime.plain]\n[runtime.careful-2]\nseccomp_default = /p.json\n"
		    "privileged_without_host_devices = true\n",
		    file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(config_init(&config, &err), 0);
	assert_int_equal(config_read(&config, path, &err), 0);
	assert_non_null(config_find_handler(&config, "plain"));
	assert_null(config_find_handler(&config, "careful"));
	assert_string_equal(config_find_handler(&config, "careful-2")->seccomp_default, "/p.json");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(config_set(&config, wrong[i][0], wrong[i][1], &err), -1);
	file = fopen(path, "w");
	assert_int_equal(config_print(&config, file), 0);
	(void)fclose(file);
	assert_int_equal(config_init(&again, &err), 0);
	assert_int_equal(config_read(&again, path, &err), 0);
	assert_string_equal(again.handlers->name, config.handlers->name);
	assert_true(config_find_handler(&again, "careful-2")->privileged_without_host_devices);
	assert_string_equal(config_find_handler(&again, "careful-2")->apparmor_default, "");
	config_release(&again);
	file = fopen(path, "w");
	(void)fputs("[runtime.bad_name]\n", file);
	(void)fclose(file);
	assert_int_equal(config_init(&again, &err), 0);
	err = (struct error)ERROR_INIT;
	assert_int_equal(config_read(&again, path, &err), -1);
	assert_non_null(strstr(err.text, "line 1"));
	config_release(&again);
	config_release(&config);
	(void)unlink(path);
}

static void test_no_more_handlers_than(void **state)
{
	struct config config;
	struct error err = ERROR_INIT;
	char name[64];
	int made = 0;

	(void)state;
	assert_int_equal(config_init(&config, &err), 0);
	do {
		(void)snprintf(name, sizeof(name), "runtime.h%d.seccomp_default", made);
	} while (config_set(&config, name, "builtin", &err) == 0 && ++made < 1000);
	assert_int_equal(made, 32);
	config_release(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runtime_handlers),
		cmocka_unit_test(test_no_more_handlers_than),
		cmocka_unit_test_setup_teardown(test_defaults, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reads_a_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_errors_name_file_and_line, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_first_error_wins, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_missing_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_set_checks_values, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_values, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_print_reads_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_print_explains, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_print_to_a_full_disk, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
