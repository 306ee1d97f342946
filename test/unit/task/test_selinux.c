/* Which labels containers get, where a file that takes every label stands for the kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "task/container.h"
#include "task/container_spec.h"
#include "task/node_impl.h"

#include <cmocka.h> /* last: its macro `fail` is a member elsewhere */

static char dir[] = "/tmp/monopod-test-selinux.XXXXXX";
static char context_file[sizeof(dir) + 16];

static char level_of_pod[] = "s0:c7", own_type[] = "own_t", other_user[] = "staff_u", pod_type[] = "pod_t", empty[] = "";

struct place {
	struct node node;
	struct sandbox sandbox;
	Cri__PodSandboxConfig pod;
	Cri__LinuxPodSandboxConfig pod_linux;
	Cri__LinuxSandboxSecurityContext pod_security;
	Cri__SELinuxOption pod_options, options;
	Cri__ContainerConfig config;
	Cri__LinuxContainerConfig linux_config;
	Cri__LinuxContainerSecurityContext security;
	struct arena arena;
};

static void init_place(struct place *p)
{
	*p = (struct place){ .arena = ARENA_INIT };
	cri__pod_sandbox_config__init(&p->pod);
	cri__linux_pod_sandbox_config__init(&p->pod_linux);
	cri__linux_sandbox_security_context__init(&p->pod_security);
	cri__selinux_option__init(&p->pod_options);
	cri__selinux_option__init(&p->options);
	cri__container_config__init(&p->config);
	cri__linux_container_config__init(&p->linux_config);
	cri__linux_container_security_context__init(&p->security);
	p->pod.linux = &p->pod_linux;
	p->pod_linux.security_context = &p->pod_security;
	p->pod_security.selinux_options = &p->pod_options;
	p->config.linux = &p->linux_config;
	p->linux_config.security_context = &p->security;
	p->node.selinux_fs = dir;
	(void)snprintf(p->node.selinux.process, SELINUX_LABEL_SIZE, "system_u:system_r:container_t:s0");
	(void)snprintf(p->node.selinux.file, SELINUX_LABEL_SIZE, "system_u:object_r:container_file_t:s0");
	p->sandbox = (struct sandbox){ .node = &p->node, .config = &p->pod, .selinux_pair = 1 };
}

static void expect(struct place *p, const char *process, const char *mount)
{
	struct selinux_labels labels;
	struct error err = ERROR_INIT;

	if (container_selinux(&p->sandbox, &p->config, &p->arena, &labels, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(!labels.process, !process);
	assert_int_equal(!labels.mount, !mount);
	if (process)
		assert_string_equal(labels.process, process);
	if (mount)
		assert_string_equal(labels.mount, mount);
}

static void test_defaults_and_requests(void **state)
{
	struct place p;

	(void)state;
	init_place(&p);
	expect(&p, "system_u:system_r:container_t:s0:c0,c1", "system_u:object_r:container_file_t:s0:c0,c1");
	p.pod_options.type = pod_type;
	p.security.selinux_options = &p.options;
	expect(&p, "system_u:system_r:pod_t:s0:c0,c1", "system_u:object_r:container_file_t:s0:c0,c1");
	p.options.type = own_type;
	p.options.user = other_user;
	p.pod_options.level = level_of_pod;
	expect(&p, "staff_u:system_r:own_t:s0:c7", "staff_u:object_r:container_file_t:s0:c7");
	p.node.selinux_fs = NULL;
	expect(&p, NULL, NULL);
	arena_release(&p.arena);
}

static void test_privileged(void **state)
{
	struct place p;

	(void)state;
	init_place(&p);
	p.security.privileged = true;
	expect(&p, NULL, "system_u:object_r:container_file_t:s0:c0,c1"); /* the policy has no type for it */
	p.node.has_selinux_spc = true;
	expect(&p, "system_u:system_r:spc_t:s0", "system_u:object_r:container_file_t:s0:c0,c1");
	p.pod_options.type = pod_type;
	expect(&p, "system_u:system_r:pod_t:s0", "system_u:object_r:container_file_t:s0:c0,c1");
	arena_release(&p.arena);
}

/* Nobody is refused, and nobody who asks goes without. */
static void test_a_policy_without_containers(void **state)
{
	struct place p;
	struct selinux_labels labels;
	struct error err = ERROR_INIT;

	(void)state;
	init_place(&p);
	p.node.selinux = (struct selinux_defaults){ .process = "" };
	expect(&p, NULL, NULL);
	p.pod_options.type = pod_type;
	expect(&p, "system_u:system_r:pod_t:s0:c0,c1", NULL);
	p.node.selinux_fs = "/nonexistent";
	assert_int_equal(container_selinux(&p.sandbox, &p.config, &p.arena, &labels, &err), -1);
	assert_non_null(strstr(err.text, "security_context.selinux_options"));
	arena_release(&p.arena);
}

static void test_pairs(void **state)
{
	struct place a, b;
	struct error err = ERROR_INIT;

	(void)state;
	init_place(&a);
	init_place(&b);
	b.sandbox.node = &a.node;
	a.sandbox.selinux_pair = b.sandbox.selinux_pair = 0;
	memset(a.sandbox.id, 'a', ID_LEN);
	memset(b.sandbox.id, 'a', ID_LEN);
	b.sandbox.id[ID_LEN - 1] = 'b'; /* the same first try */
	assert_int_equal(sandbox_choose_pair(&a.sandbox, &err), 0);
	assert_int_not_equal(a.sandbox.selinux_pair, 0);
	HASH_ADD_STR(a.node.sandboxes, id, (&a.sandbox));
	assert_int_equal(sandbox_choose_pair(&b.sandbox, &err), 0);
	assert_int_not_equal(b.sandbox.selinux_pair, 0);
	assert_int_not_equal(b.sandbox.selinux_pair, a.sandbox.selinux_pair);
	HASH_CLEAR(hh, a.node.sandboxes);
	b.sandbox.selinux_pair = 0;
	b.pod_options.level = level_of_pod;
	assert_int_equal(sandbox_choose_pair(&b.sandbox, &err), 0);
	assert_int_equal(b.sandbox.selinux_pair, 0);
	b.pod_options.level = empty;
	a.node.selinux_fs = NULL;
	assert_int_equal(sandbox_choose_pair(&b.sandbox, &err), 0);
	assert_int_equal(b.sandbox.selinux_pair, 0);
}

static int make_place(void **state)
{
	FILE *f;

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(context_file, sizeof(context_file), "%s/context", dir);
	f = fopen(context_file, "w");
	return f ? fclose(f) : -1;
}

static int remove_place(void **state)
{
	(void)state;
	return unlink(context_file) < 0 ? -1 : rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults_and_requests),
		cmocka_unit_test(test_privileged),
		cmocka_unit_test(test_a_policy_without_containers),
		cmocka_unit_test(test_pairs),
	};

	return cmocka_run_group_tests(tests, make_place, remove_place);
}
