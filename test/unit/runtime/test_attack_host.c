/*
 * The resolver alone. Without hooks three things stand between a path and the host: the resolver, the chroot, and a mount namespace in
 * which the host does not exist. With hooks of the host its whole tree is in reach while mounts are made (op_host_root()), and a path
 * that is followed anywhere but in the container's root ends among the host's files.
 */
#include "canary.h"

#include "runtime/hook.h"
#include "runtime/rootfs.h"

static int go_on(void *data, enum sync_point point, pid_t pid, struct error *err)
{
	(void)data, (void)point, (void)pid, (void)err;
	return 0;
}

/* Starts a script in a container with a hook of the host, by the same rules as box_start(). */
static int start_hooked(void **state, struct container_spec *spec, const struct hook_spec *hook, const char *script,
			struct box_run *run, struct error *err)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	const struct sync_handler handler = { go_on, NULL };
	struct hooks_spec hooks = {
		.create_container = hook,
		.n_create_container = 1,
		.state = hook_state_open(err),
		.host_tree = hook_host_tree(err),
		.output = STDERR_FILENO,
		.rootfs_path = in_place(state, "root"),
	};
	_cleanup_plan_ struct plan *plan = NULL;
	int pair[2], result;

	assert_true(hooks.state >= 0 && hooks.host_tree >= 0);
	spec->hooks = &hooks;
	spec->argv = argv;
	assert_return_code(pipe2(pair, O_CLOEXEC), errno);
	result = plan_compile(spec, &plan, err);
	if (result == 0)
		result = spawner_run_synced(box_spawner, plan, (int[]){ -1, pair[1], pair[1] }, BOX_TIMEOUT_MS, &handler,
					    &run->spawned, err);
	(void)close(pair[1]);
	run->out = pair[0];
	if (result < 0)
		close_fd(&run->out);
	close_fd(&spec->rootfs);
	close_fd(&hooks.state);
	close_fd(&hooks.host_tree);
	return result;
}

static const char *run_hooked(void **state, struct container_spec *spec, const char *script)
{
	static const struct hook_spec hook = { .path = "/bin/true" };
	struct box_run run;
	const char *text;

	expect_ok(start_hooked(state, spec, &hook, script, &run, &err));
	text = box_output(&run);
	assert_int_equal(box_reap(&run), 0);
	return text;
}

/* The box's mounts and two of ours. */
#define N_MOUNTS (ARRAY_SIZE(box_mounts) + 2)

static struct container_spec spec_with(void **state, struct mount_spec mounts[N_MOUNTS], const char *dir, const char *file)
{
	struct container_spec spec = box_spec(in_place(state, "root"));

	memcpy(mounts, box_mounts, sizeof(box_mounts));
	mounts[N_MOUNTS - 2] = (struct mount_spec){ .kind = MOUNT_BIND, .target = dir, .fd = box_tree(in_place(state, "volume")) };
	mounts[N_MOUNTS - 1] = (struct mount_spec){
		.kind = MOUNT_BIND, .target = file, .target_is_file = true, .fd = box_tree(in_place(state, "volume/file"))
	};
	spec.mounts = mounts;
	spec.n_mounts = N_MOUNTS;
	return spec;
}

static void close_mounts(struct mount_spec mounts[N_MOUNTS])
{
	close_fd(&mounts[N_MOUNTS - 2].fd);
	close_fd(&mounts[N_MOUNTS - 1].fd);
}

static void put_volume(void **state)
{
	put_dir(in_place(state, "volume"));
	put_file(in_place(state, "volume/file"), "volume\n");
}

/* CVE-2019-18837: a target that is a link out of the root, to something that is there. */
static void cve_2019_18837_a_target_among_the_hosts_files(void **state)
{
	struct mount_spec mounts[N_MOUNTS];

	(void)box_root(state);
	put_canary(state);
	put_volume(state);
	for (size_t i = 0; spellings[i]; i++) {
		struct container_spec spec;

		plant_link(state, "data", spellings[i]);
		spec = spec_with(state, mounts, "/data", "/etc/file");
		assert_string_equal(run_hooked(state, &spec, "cat /data/file /etc/file"), "volume\nvolume\n");
		close_mounts(mounts);
		expect_canary(state);
	}
}

/* CVE-2024-45310, CVE-2024-5154: what is missing behind such a link is made in the root, and nothing outside. */
static void cve_2024_45310_nothing_is_made_among_the_hosts_files(void **state)
{
	struct mount_spec mounts[N_MOUNTS];

	(void)box_root(state);
	put_canary(state);
	put_volume(state);
	for (size_t i = 0; spellings[i]; i++) {
		struct container_spec spec;
		char missing[64];

		plant_link(state, "data", spellings[i]);
		(void)snprintf(missing, sizeof(missing), "%s/mtab", spellings[i]);
		plant_link(state, "etc/mtab", missing);
		spec = spec_with(state, mounts, "/data/new/dir", "/etc/mtab");
		assert_string_equal(run_hooked(state, &spec, "cat /data/new/dir/file /etc/mtab"), "volume\nvolume\n");
		close_mounts(mounts);
		expect_canary(state);
	}
}

/*
 * CVE-2021-30465: another container that shares a volume swaps a directory of it for a link, all the time. A path that is looked up a
 * second time, to make what is missing or to mount, leads to the host's file; the hook sees when something lies on that.
 */
static void cve_2021_30465_swapped_for_the_hosts_files(void **state)
{
	char script[64], canary[64], mark[64];
	const char *const argv[] = { "hook", canary, mark, NULL };
	const struct hook_spec hook = { .path = script, .argv = argv };
	struct swapper swapper;

	(void)snprintf(script, sizeof(script), "%s", in_place(state, "hook"));
	(void)snprintf(canary, sizeof(canary), "%s", in_place(state, "canary/file"));
	(void)snprintf(mark, sizeof(mark), "%s", in_place(state, "mark"));
	(void)box_root(state);
	put_canary(state);
	put_dir(in_place(state, "volume"));
	put_dir(in_place(state, "shared/dir"));
	put_file(script, "#!/bin/sh\n[ -e \"$1\" ] || echo covered >\"$2\"\n");
	assert_return_code(chmod(script, 0755), errno);
	assert_return_code(symlink(in_place(state, "canary"), in_place(state, "shared/link")), errno);
	swapper_start(&swapper, in_place(state, "shared/dir"), in_place(state, "shared/link"));
	for (int i = 0; i < 120; i++) {
		struct container_spec spec = box_spec(in_place(state, "root"));
		struct mount_spec mounts[N_MOUNTS];
		struct error err = ERROR_INIT;
		struct box_run run;
		char target[32];

		(void)snprintf(target, sizeof(target), "/data/dir");
		if (i % 4) /* one that is still to be made, each time */
			(void)snprintf(target, sizeof(target), "/data/dir/made%d", i);
		memcpy(mounts, box_mounts, sizeof(box_mounts));
		mounts[N_MOUNTS - 2] =
			(struct mount_spec){ .kind = MOUNT_BIND, .target = "/data", .fd = box_tree(in_place(state, "shared")) };
		mounts[N_MOUNTS - 1] =
			(struct mount_spec){ .kind = MOUNT_BIND, .target = target, .fd = box_tree(in_place(state, "volume")) };
		spec.mounts = mounts;
		spec.n_mounts = N_MOUNTS;
		/* it starts or it does not; what counts is what it has touched */
		if (start_hooked(state, &spec, &hook, "true", &run, &err) == 0) {
			(void)box_output(&run);
			(void)box_reap(&run);
		}
		close_mounts(mounts);
		expect_canary(state);
		assert_string_equal(get_file(mark), "");
	}
	swapper_stop(&swapper);
	assert_false(box_has_children());
}

/*
 * CVE-2021-25741: between the look at a host path and its mount somebody swaps it. What is mounted is what was looked at, or nothing;
 * the look is the one for a volume on /proc, since it tells two objects apart.
 */
static void cve_2021_25741_a_host_path_that_is_swapped(void **state)
{
	struct volume_spec volume = { .must_be_procfs = true };
	unsigned n_opened = 0, n_refused = 0;
	struct swapper swapper;

	skip_unless(geteuid() == 0, "not root");
	put_canary(state);
	assert_return_code(symlink("/proc", in_place(state, "path")), errno);
	assert_return_code(symlink("canary", in_place(state, "other")), errno);
	volume.host_path = in_place(state, "path");
	swapper_start(&swapper, volume.host_path, in_place(state, "other"));
	for (int i = 0; i < 20000; i++) {
		struct error err = ERROR_INIT;
		bool is_file;
		int fd = volume_open(&volume, &is_file, &err);

		n_opened += fd >= 0;
		n_refused += fd < 0;
		if (fd < 0)
			continue;
		if (faccessat(fd, "file", F_OK, 0) == 0)
			fail_msg("the canary is mounted after %d tries", i);
		(void)close(fd);
	}
	swapper_stop(&swapper);
	assert_true(n_opened > 0 && n_refused > 0);
}

int main(void)
{
#define box_test(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
	const struct CMUnitTest tests[] = {
		box_test(cve_2019_18837_a_target_among_the_hosts_files),
		box_test(cve_2024_45310_nothing_is_made_among_the_hosts_files),
		box_test(cve_2021_30465_swapped_for_the_hosts_files),
		box_test(cve_2021_25741_a_host_path_that_is_swapped),
	};

	return cmocka_run_group_tests_name("runtime.attack_host", tests, box_open, box_close);
}
