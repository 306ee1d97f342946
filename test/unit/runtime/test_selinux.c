/* SELinux: labels and the policy's files everywhere, with a made-up selinuxfs; enforcement where the kernel has it on. */
#include "box.h"

#include <sys/xattr.h>

#include "runtime/relabel.h"
#include "runtime/selinux.h"

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void put_contexts(void **state, const char *config, const char *text)
{
	(void)mkdir(in_place(state, "etc-selinux"), 0755);
	(void)mkdir(in_place(state, "etc-selinux/mine"), 0755);
	(void)mkdir(in_place(state, "etc-selinux/mine/contexts"), 0755);
	(void)mkdir(in_place(state, "selinuxfs"), 0755);
	put(in_place(state, "etc-selinux/config"), config);
	put(in_place(state, "etc-selinux/mine/contexts/lxc_contexts"), text);
}

/* A file that takes every label stands for the kernel's. */
static void defaults_come_from_the_policy(void **state)
{
	struct selinux_defaults defaults;
	struct error err = ERROR_INIT;
	char etc[PATH_MAX], fs[PATH_MAX];

	(void)snprintf(etc, sizeof(etc), "%s", in_place(state, "etc-selinux"));
	(void)snprintf(fs, sizeof(fs), "%s", in_place(state, "selinuxfs"));
	put_contexts(state, "# SELINUXTYPE=other\nSELINUX=enforcing\nSELINUXTYPE=mine\n",
		     "# process = \"a:b:c:s0\"\n process = \"sys_u:sys_r:my_t:s0\"\nfile=\"sys_u:obj_r:my_file_t:s0\"\nro_file = "
		     "\"x:y:z\"\n");
	assert_false(selinux_is_on(fs));
	assert_return_code(selinux_read_defaults(etc, fs, &defaults, &err), 0);
	assert_string_equal(defaults.process, ""); /* nobody who knows it */
	put(in_place(state, "selinuxfs/enforce"), "1");
	put(in_place(state, "selinuxfs/context"), "");
	assert_true(selinux_is_on(fs));
	assert_return_code(selinux_read_defaults(etc, fs, &defaults, &err), 0);
	assert_string_equal(defaults.process, "sys_u:sys_r:my_t:s0");
	assert_string_equal(defaults.file, "sys_u:obj_r:my_file_t:s0");
	assert_string_equal(defaults.shared, "x:y:z");
	put_contexts(state, "SELINUXTYPE=../mine\n", "");
	assert_return_code(selinux_read_defaults(etc, fs, &defaults, &err), 0);
	assert_string_equal(defaults.process, SELINUX_BASE);
	assert_string_equal(defaults.file, "system_u:object_r:container_file_t:s0");
	assert_string_equal(defaults.shared, "system_u:object_r:container_ro_file_t:s0");
}

static bool is_labelled(const char *path)
{
	char label[64];

	return lgetxattr(path, RELABEL_SELINUX, label, sizeof(label)) == sizeof("u:r:t:s0") && !strcmp(label, "u:r:t:s0");
}

/* The daemon's directories, at each start: what is labelled as a whole is not walked through again. */
static void a_directory_of_ours_is_labelled_once(void **state)
{
	skip_unless(geteuid() == 0, "not root");
	skip_unless(!selinux_is_on(SELINUX_FS), "a kernel with SELinux takes no label that its policy does not know");
	put_dir(in_place(state, "ours/deep"));
	expect_ok(selinux_label_directory(in_place(state, "ours"), "u:r:t:s0", &err));
	skip_unless(is_labelled(in_place(state, "ours")), "the file system has no labels");
	assert_true(is_labelled(in_place(state, "ours/deep")));
	put(in_place(state, "ours/deep/later"), "");
	expect_ok(selinux_label_directory(in_place(state, "ours"), "u:r:t:s0", &err));
	assert_false(is_labelled(in_place(state, "ours/deep/later")));
	assert_return_code(symlink("ours", in_place(state, "link")), errno);
	expect_error(selinux_label_directory(in_place(state, "link"), "u:r:t:s0", &err), ERR_INTERNAL, "SELinux: open");
}

static void expect_label(const char *base, struct selinux_parts parts, const char *wanted)
{
	char label[SELINUX_LABEL_SIZE];
	struct error err = ERROR_INIT;

	assert_return_code(selinux_make_label(base, &parts, label, &err), 0);
	assert_string_equal(label, wanted);
}

static void labels_are_made_of_parts(void **state)
{
	char label[SELINUX_LABEL_SIZE], big[SELINUX_LABEL_SIZE];

	(void)state;
	expect_label("u:r:t:s0", (struct selinux_parts){ 0 }, "u:r:t:s0");
	expect_label("u:r:t:s0", (struct selinux_parts){ .type = "x", .level = "s0:c1,c2" }, "u:r:x:s0:c1,c2");
	expect_label("u:r:t:s0:c1-s0:c3", (struct selinux_parts){ .user = "v", .role = "" }, "v:r:t:s0:c1-s0:c3");
	expect_label("u:r:t", (struct selinux_parts){ .role = "q" }, "u:q:t");
	assert_true(selinux_has_level("u:r:t:s0"));
	assert_false(selinux_has_level("u:r:t"));
	expect_error(selinux_make_label("u:r", &(struct selinux_parts){ 0 }, label, &err), ERR_INVALID, "not a label");
	memset(big, 'a', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	expect_error(selinux_make_label("u:r:t", &(struct selinux_parts){ .type = big }, label, &err), ERR_INVALID, "longer than");
}

/* All pairs are different, ordered, and within what policies have. */
static void pairs_are_distinct(void **state)
{
	static bool seen[1024][1024];
	char level[SELINUX_LEVEL_SIZE];

	(void)state;
	for (uint32_t pair = 0; pair < SELINUX_PAIRS; pair++) {
		unsigned a, b;

		selinux_pair_level(pair, level);
		assert_int_equal(sscanf(level, "s0:c%u,c%u", &a, &b), 2); /* NOLINT(cert-err34-c): what we have printed */
		assert_true(a < b && b < 1024 && !seen[a][b]);
		seen[a][b] = true;
	}
}

static const char *print(const struct plan *plan)
{
	static char text[64 << 10];
	FILE *out = fmemopen(text, sizeof(text), "w");

	assert_non_null(out);
	assert_int_equal(plan_print(plan, out), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void expect_order(const char *text, const char *first, const char *second)
{
	const char *at = strstr(text, first);

	if (!at || !strstr(at + strlen(first), second))
		fail_msg("'%s' does not stand before '%s' in:\n%s", first, second, text);
}

static int count(const char *text, const char *word)
{
	int n = 0;

	for (const char *p = text; (p = strstr(p, word)); p += strlen(word))
		n++;
	return n;
}

static const char *const command[] = { "sh", NULL };

/* Every file system of the container's own has the label, and the process is told last of what comes before joining anything. */
static void plan_has_the_labels(void **state)
{
	struct container_spec spec = box_spec(box_root(state));
	const struct mount_spec mounts[] = {
		{ .kind = MOUNT_TMPFS, .target = "/a", .fd = -1, .options = "mode=755" },
		{ .kind = MOUNT_DEVPTS, .target = "/b", .fd = -1 },
		{ .kind = MOUNT_MQUEUE, .target = "/c", .fd = -1 },
		{ .kind = MOUNT_PROC, .target = "/proc", .fd = -1 },
	};
	_cleanup_plan_ struct plan *plan = NULL;
	const char *text;

	spec.mounts = mounts;
	spec.n_mounts = ARRAY_SIZE(mounts);
	spec.argv = command;
	spec.selinux = "u:r:t:s0:c1,c2";
	spec.mount_label = "u:r:f:s0:c1,c2";
	spec.apparmor = "p";
	expect_ok(plan_compile(&spec, &plan, &err));
	text = print(plan);
	expect_text(text, "exec p");
	expect_text(text, "u:r:t:s0:c1,c2");
	expect_order(text, "u:r:t:s0:c1,c2", "attach root");
	assert_int_equal(count(text, "context=u:r:f:s0:c1,c2"), 2);
	assert_int_equal(count(text, "security.selinux=u:r:f:s0:c1,c2"), 1);
	assert_int_equal(count(text, "[labelled]"), 1);
}

/* A hook of the host is no process of the container, and what it runs is exec'd too. */
static void hooks_come_before_the_labels(void **state)
{
	const struct hook_spec hook = { .path = "/bin/true" };
	struct container_spec spec = box_spec(box_root(state));
	struct hooks_spec hooks = { .create_container = &hook, .n_create_container = 1, .rootfs_path = "/mnt" };
	_cleanup_plan_ struct plan *plan = NULL;
	_cleanup_fd_ int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

	hooks.state = hooks.output = hooks.host_tree = nothing;
	spec.argv = command;
	spec.hooks = &hooks;
	spec.apparmor = "p";
	spec.selinux = "u:r:t:s0";
	expect_ok(plan_compile(&spec, &plan, &err));
	expect_order(print(plan), "/bin/true", "exec p");
	expect_order(print(plan), "exec p", "u:r:t:s0");
}

/* Where it is off, the start fails and says at which operation: nothing ever runs without the label that it is to have. */
static void no_start_without_the_label(void **state)
{
	struct container_spec spec = box_spec(box_root(state));
	struct error err = ERROR_INIT;
	struct box_run run;

	spec.selinux = "no:such:label";
	assert_int_equal(box_start(&spec, "echo ran", &run, &err), -1);
	expect_text(err.text, "label next exec: no:such:label");
}

/* The policy must know container_t: that of a distribution made for containers, or one that a test VM was given. */
static void need_selinux(void)
{
	struct selinux_defaults defaults;
	struct error err = ERROR_INIT;

	if (!selinux_is_on(SELINUX_FS) || selinux_read_defaults(SELINUX_ETC, SELINUX_FS, &defaults, &err) < 0 ||
	    !*defaults.process) {
		print_message("skipped: SELinux is off on this host, or its policy has no container_t\n");
		skip();
	}
}

/* The start and what is executed later run under the label, and the file systems made for them have theirs. */
static void labels_start_and_exec(void **state)
{
	static const char process[] = "system_u:system_r:container_t:s0:c1,c2",
			  files[] = "system_u:object_r:container_file_t:s0:c1,c2";
	const char *const argv[] = { "sh", "-c", "while ! [ -e /data/done ]; do sleep 0.1; done; cat /proc/self/attr/current",
				     NULL };
	struct container_spec spec;
	struct exec_spec exec;
	struct box_run run, inside;
	_cleanup_plan_ struct plan *plan = NULL;
	_cleanup_fd_ int tree = -1;
	const char *text;

	need_selinux();
	spec = box_spec(box_root(state));
	spec.identity.no_new_privs = false; /* the policy would have to allow the transition for that, too */
	tree = open(in_place(state, "root"), O_PATH | O_CLOEXEC);
	expect_ok(relabel_tree(tree, RELABEL_SELINUX, files, &err));
	spec.selinux = process;
	spec.mount_label = files;
	expect_ok(box_start(&spec,
			    "tr -d '\\000' </proc/self/attr/current; echo; cat /proc/self/mountinfo; echo >/data/done; while :; do "
			    "sleep 100; done",
			    &run, &err));
	exec = (struct exec_spec){
		.name = "box",
		.target_pidfd = run.spawned.pidfd,
		.joins_pid_ns = true,
		.argv = argv,
		.envp = box_env,
		.cwd = "/",
		.identity = { .bounding = caps_default(), .permitted = caps_default() },
		.selinux = process,
	};
	expect_ok(plan_compile_exec(&exec, &plan, &err));
	expect_ok(box_start_plan(plan, &inside, &err));
	expect_text(box_output(&inside), process);
	assert_int_equal(box_reap(&inside), 0);
	assert_return_code(kill(run.spawned.pid, SIGKILL), errno);
	text = box_output(&run); /* the kernel's labels end in a NUL, which the script has taken away */
	expect_text(text, process);
	expect_text(text, "container_file_t:s0:c1,c2");
	(void)box_reap(&run);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(defaults_come_from_the_policy), cmocka_unit_test(labels_are_made_of_parts),
		cmocka_unit_test(pairs_are_distinct),    IN_PLACE(plan_has_the_labels),
		IN_PLACE(hooks_come_before_the_labels),  IN_PLACE(no_start_without_the_label),
		IN_PLACE(labels_start_and_exec),         IN_PLACE(a_directory_of_ours_is_labelled_once),
	};

	return cmocka_run_group_tests(tests, box_open, box_close);
}
