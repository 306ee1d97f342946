/*
 * What version 2 gets to see. The controllers of a hybrid host are all on version 1, so the files here are plain ones in a plain
 * directory; what the kernel itself does with groups, kills and device programs of version 2 is tested in test_cgroup.c.
 */
#include "expect.h"

#include <errno.h>

#include "runtime/cgroup_device.h"
#include "runtime/cgroup_internal.h"

static const char *const files[] = {
	"cpu.max",     "cpu.weight",  "memory.max",      "memory.swap.max", "memory.high", "pids.max",
	"cpuset.cpus", "cpuset.mems", "hugetlb.2MB.max", "memory.events",   "io.max",      "memory.low"
};

struct world {
	struct place *place;
	struct cgroup_roots roots;
	struct cgroup cgroup;
};

static const char *group_file(struct world *world, const char *file)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "pod/c/%s", file);
	return in_place((void **)&world->place, path);
}

static int make_world(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	if (!world || place_make((void **)&world->place) < 0)
		return -1;
	put_dir(in_place((void **)&world->place, "pod/c"));
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		put_file(group_file(world, files[i]), "");
	put_file(in_place((void **)&world->place, "cgroup.subtree_control"), "");
	put_file(in_place((void **)&world->place, "pod/cgroup.subtree_control"), "");
	put_file(group_file(world, "cgroup.controllers"), "cpuset cpu io memory hugetlb pids rdma\n");
	world->roots.n = 1;
	world->roots.hierarchies[0] = (struct hierarchy){
		.version = &cgroup_v2,
		.root = open(world->place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.controllers = CONTROLLER_BIT(CONTROLLER_CPU) | CONTROLLER_BIT(CONTROLLER_MEMORY) |
			       CONTROLLER_BIT(CONTROLLER_PIDS) | CONTROLLER_BIT(CONTROLLER_CPUSET) |
			       CONTROLLER_BIT(CONTROLLER_HUGETLB) | CONTROLLER_BIT(CONTROLLER_IO),
	};
	world->cgroup = (struct cgroup){ .roots = &world->roots, .path = strdup("/pod/c"), .unified_fd = -1, .fresh = true };
	*state = world;
	return 0;
}

static int remove_world(void **state)
{
	struct world *world = *state;
	int r = place_remove((void **)&world->place);

	(void)close(world->roots.hierarchies[0].root);
	free(world->cgroup.path);
	free(world);
	return r;
}

static void expect_file(struct world *world, const char *file, const char *wanted)
{
	assert_string_equal(get_file(group_file(world, file)), wanted);
}

/* Plain files are not truncated by a write as the kernel's are. */
static void empty(struct world *world)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		put_file(group_file(world, files[i]), "");
}

static void limits_in_its_own_units(void **state)
{
	const struct hugepage_limit huge = { "2MB", 4 << 20 };
	const struct unified_entry unified[] = { { "memory.high", "1000" }, { "io.max", "8:16 rbps=2097152 wiops=120" } };
	const struct resources r = { .cpu_shares = 1024,
				     .cpu_quota_us = 20000,
				     .cpu_period_us = 50000,
				     .memory_limit_bytes = 1000000,
				     .memory_swap_limit_bytes = 1500000,
				     .memory_reservation_bytes = 500000,
				     .pids_limit = 9,
				     .cpuset_cpus = "0-3",
				     .cpuset_mems = "0,1",
				     .hugepages = &huge,
				     .n_hugepages = 1,
				     .unified = unified,
				     .n_unified = 2 };
	struct world *world = *state;

	expect_ok(cgroup_apply(&world->cgroup, &r, &err));
	expect_file(world, "cpu.weight", "100");
	expect_file(world, "cpu.max", "20000 50000");
	expect_file(world, "memory.max", "1000000");
	expect_file(world, "memory.swap.max", "500000");
	expect_file(world, "memory.low", "500000");
	expect_file(world, "pids.max", "9");
	expect_file(world, "cpuset.cpus", "0-3");
	expect_file(world, "cpuset.mems", "0,1");
	expect_file(world, "hugetlb.2MB.max", "4194304");
	expect_file(world, "memory.high", "1000");
	expect_file(world, "io.max", "8:16 rbps=2097152 wiops=120");
}

static void unlimited_is_max(void **state)
{
	const struct resources r = {
		.cpu_quota_us = -1, .memory_limit_bytes = -1, .memory_swap_limit_bytes = -1, .pids_limit = -1
	};
	struct world *world = *state;

	expect_ok(cgroup_apply(&world->cgroup, &r, &err));
	expect_file(world, "cpu.max", "max");
	expect_file(world, "memory.max", "max");
	expect_file(world, "memory.swap.max", "max");
	expect_file(world, "pids.max", "max");
	expect_file(world, "cpu.weight", "");
}

/* What would silently not hold is refused. */
static void swappiness_is_of_version_1(void **state)
{
	const struct resources r = { .set_memory_swappiness = true };
	struct world *world = *state;

	expect_error(cgroup_apply(&world->cgroup, &r, &err), ERR_STATE, "memory.swappiness");
}

/* cpu.max holds two things: the one that is not given must survive. */
static void half_of_cpu_max(void **state)
{
	struct world *world = *state;

	expect_ok(cgroup_apply(&world->cgroup, &(struct resources){ .cpu_period_us = 20000 }, &err));
	expect_file(world, "cpu.max", "max 20000");
	empty(world);
	put_file(group_file(world, "cpu.max"), "5000 100000\n");
	expect_ok(cgroup_apply(&world->cgroup, &(struct resources){ .cpu_period_us = 30000 }, &err));
	assert_int_equal(strncmp(get_file(group_file(world, "cpu.max")), "5000 30000", 10), 0);
	empty(world);
	expect_ok(cgroup_apply(&world->cgroup, &(struct resources){ .cpu_quota_us = 7000 }, &err));
	expect_file(world, "cpu.max", "7000");
}

static void swap_without_accounting(void **state)
{
	struct world *world = *state;

	assert_int_equal(unlink(group_file(world, "memory.swap.max")), 0);
	expect_ok(cgroup_apply(&world->cgroup, &(struct resources){ .memory_limit_bytes = 100, .memory_swap_limit_bytes = 100 },
			       &err));
	expect_error(cgroup_apply(&world->cgroup, &(struct resources){ .memory_limit_bytes = 100, .memory_swap_limit_bytes = 200 },
				  &err),
		     ERR_STATE, "swap");
}

/* A controller that is off in the group is turned on from the root down, and only that one. */
static void controllers_are_handed_down(void **state)
{
	struct world *world = *state;

	put_file(group_file(world, "cgroup.controllers"), "cpu pids\n");
	expect_ok(cgroup_apply(&world->cgroup, &(struct resources){ .memory_limit_bytes = 4096, .pids_limit = 2 }, &err));
	assert_string_equal(get_file(in_place((void **)&world->place, "cgroup.subtree_control")), "+memory");
	assert_string_equal(get_file(in_place((void **)&world->place, "pod/cgroup.subtree_control")), "+memory");
	expect_file(world, "pids.max", "2");
}

static void controllers_that_are_on_already(void **state)
{
	struct world *world = *state;

	put_file(group_file(world, "cgroup.controllers"), "");
	put_file(in_place((void **)&world->place, "cgroup.subtree_control"), "cpu memory\n");
	expect_ok(cgroup_apply(&world->cgroup, &(struct resources){ .memory_limit_bytes = 4096 }, &err));
	assert_string_equal(get_file(in_place((void **)&world->place, "cgroup.subtree_control")), "cpu memory\n");
	assert_string_equal(get_file(in_place((void **)&world->place, "pod/cgroup.subtree_control")), "+memory");
}

static void oom_kills_are_read(void **state)
{
	struct world *world = *state;

	put_file(group_file(world, "memory.events"), "low 0\nhigh 5\nmax 6\noom 7\noom_kill 0\noom_group_kill 3\n");
	assert_int_equal(cgroup_oom_kills(&world->cgroup), 0);
	assert_true(cgroup_oom_killed_all(&world->cgroup));
	put_file(group_file(world, "memory.events"), "low 0\nhigh 0\nmax 0\noom 0\noom_kill 2\noom_group_kill 0\n");
	assert_int_equal(cgroup_oom_kills(&world->cgroup), 2);
	assert_false(cgroup_oom_killed_all(&world->cgroup));
	put_file(group_file(world, "memory.events"), "");
	assert_int_equal(cgroup_oom_kills(&world->cgroup), 0);
}

static void weights(void **state)
{
	uint64_t last = 0;

	(void)state;
	assert_int_equal(v2_cpu_weight(0), 1);
	assert_int_equal(v2_cpu_weight(2), 1);
	assert_int_equal(v2_cpu_weight(1024), 100);
	assert_int_equal(v2_cpu_weight(262144), 10000);
	assert_int_equal(v2_cpu_weight(INT64_MAX), 10000);
	for (int64_t shares = 2; shares <= 262144; shares++) {
		uint64_t weight = v2_cpu_weight(shares);

		assert_in_range(weight, 1, 10000);
		assert_true(weight >= last);
		last = weight;
	}
}

/* The kernel's view of a device program: what it returns for one access. Knows the instructions that are emitted, no other. */
static uint64_t run_program(const struct bpf_insn *insns, size_t n, const struct bpf_cgroup_dev_ctx *ctx)
{
	uint64_t r[11] = { 0 };

	for (size_t pc = 0; pc < n; pc++) {
		const struct bpf_insn *f = &insns[pc];
		bool jump = false;

		switch (f->code) {
		case BPF_LDX | BPF_MEM | BPF_W:
			assert_int_equal(f->src_reg, BPF_REG_1);
			memcpy(&r[f->dst_reg], (const char *)ctx + f->off, 4);
			break;
		case BPF_ALU | BPF_MOV | BPF_X:
			r[f->dst_reg] = (uint32_t)r[f->src_reg];
			break;
		case BPF_ALU | BPF_RSH | BPF_K:
			r[f->dst_reg] = (uint32_t)r[f->dst_reg] >> f->imm;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			r[f->dst_reg] = (uint32_t)r[f->dst_reg] & (uint32_t)f->imm;
			break;
		case BPF_ALU64 | BPF_MOV | BPF_K:
			r[f->dst_reg] = (uint64_t)f->imm;
			break;
		case BPF_JMP | BPF_JNE | BPF_K:
			jump = r[f->dst_reg] != (uint64_t)f->imm;
			break;
		case BPF_JMP | BPF_JNE | BPF_X:
			jump = r[f->dst_reg] != r[f->src_reg];
			break;
		case BPF_JMP | BPF_EXIT:
			return r[BPF_REG_0];
		default:
			fail_msg("instruction %zu has code 0x%x", pc, f->code);
		}
		pc += jump ? (size_t)f->off : 0;
	}
	fail_msg("ran over the end");
	return 0;
}

#define ACCESS(what, type) (((uint32_t)(what) << 16) | (uint32_t)(type))

static bool rule_fits(const struct device_rule *rule, unsigned type, unsigned access, unsigned major, unsigned minor)
{
	unsigned given = (strchr(rule->access, 'r') ? BPF_DEVCG_ACC_READ : 0) |
			 (strchr(rule->access, 'w') ? BPF_DEVCG_ACC_WRITE : 0) |
			 (strchr(rule->access, 'm') ? BPF_DEVCG_ACC_MKNOD : 0);

	if ((rule->type == 'c' && type != BPF_DEVCG_DEV_CHAR) || (rule->type == 'b' && type != BPF_DEVCG_DEV_BLOCK))
		return false;
	return !(access & ~given) && (rule->major < 0 || major == (unsigned)rule->major) &&
	       (rule->minor < 0 || minor == (unsigned)rule->minor);
}

/* Every kind of rule against every kind of access, the program against the rules read one by one. */
static void device_program_means_its_rules(void **state)
{
	static const struct device_rule extra[] = {
		{ 'b', 8, 0, "r" }, { 'a', 10, -1, "wm" }, { 'c', -1, 77, "w" }, { 'b', 8, -1, "m" }
	};
	static const unsigned numbers[] = { 0, 1, 3, 5, 8, 10, 77, 136, 200 };
	static struct bpf_insn insns[DEVICE_INSNS_MAX];
	const struct device_rule *lists[] = { NULL, extra };
	size_t counts[] = { device_standard_rules(&lists[0]), ARRAY_SIZE(extra) };
	size_t n = device_program(lists, counts, 2, insns);

	(void)state;
	for (unsigned i = 0; i < 9 * 9 * 2 * 7; i++) {
		unsigned access = 1 + i % 7, type = 1 + i / 7 % 2, major = numbers[i / 14 % 9], minor = numbers[i / 126];
		struct bpf_cgroup_dev_ctx ctx = { ACCESS(access, type), major, minor };
		bool wanted = false;

		for (size_t l = 0; l < 2; l++) {
			for (size_t k = 0; k < counts[l]; k++)
				wanted = wanted || rule_fits(&lists[l][k], type, access, major, minor);
		}
		if (run_program(insns, n, &ctx) != wanted)
			fail_msg("type %u access %u device %u:%u", type, access, major, minor);
	}
}

static void device_program_layout(void **state)
{
	static const struct device_rule all = { 'a', -1, -1, "rwm" }, one = { 'c', 1, 3, "rwm" };
	static struct bpf_insn insns[DEVICE_INSNS_MAX];
	size_t n;

	(void)state;
	n = device_program((const struct device_rule *const[]){ &one }, (const size_t[]){ 1 }, 1, insns);
	assert_int_equal(n, 6 + 3 + 2 + 2);
	/* "not a character device": over two comparisons and the return, to the denial. */
	assert_int_equal(insns[6].code, BPF_JMP | BPF_JNE | BPF_K);
	assert_int_equal(insns[6].imm, BPF_DEVCG_DEV_CHAR);
	assert_int_equal(insns[6].off, 4);
	assert_int_equal(insns[8].off, 2);
	assert_int_equal(insns[11].imm, 0);
	assert_int_equal(insns[12].code, BPF_JMP | BPF_EXIT);
	n = device_program((const struct device_rule *const[]){ &all, &one }, (const size_t[]){ 1, 1 }, 2, insns);
	assert_int_equal(n, 6 + 2);
}

static void the_verifier_takes_the_longest(void **state)
{
	static struct bpf_insn insns[DEVICE_INSNS_MAX];
	static struct device_rule rules[DEVICE_RULES_MAX];
	const struct device_rule *lists[] = { rules };
	const size_t counts[] = { DEVICE_RULES_MAX };
	struct error err = ERROR_INIT;
	size_t n;
	int fd;

	(void)state;
	skip_unless(geteuid() == 0, "not root");
	for (int i = 0; i < DEVICE_RULES_MAX; i++)
		rules[i] = (struct device_rule){ 'c', i, i, "rw" };
	n = device_program(lists, counts, 1, insns);
	assert_true(n <= DEVICE_INSNS_MAX);
	fd = device_program_load(insns, n, &err);
	skip_unless(fd >= 0 || (err.sys_errno != EPERM && err.sys_errno != ENOSYS), "bpf(2) is not permitted here");
	if (fd < 0)
		fail_msg("%s", err.text);
	(void)close(fd);
}

static void rules_as_lines(void **state)
{
	char line[DEVICE_LINE_SIZE];

	(void)state;
	device_format_rule(&(struct device_rule){ 'c', 1, 3, "rwm" }, line);
	assert_string_equal(line, "c 1:3 rwm");
	device_format_rule(&(struct device_rule){ 'b', -1, -1, "m" }, line);
	assert_string_equal(line, "b *:* m");
	device_format_rule(&(struct device_rule){ 'a', INT32_MAX, INT32_MAX, "rwm" }, line);
	assert_string_equal(line, "a 2147483647:2147483647 rwm");
}

#define in_world(test) cmocka_unit_test_setup_teardown(test, make_world, remove_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_world(limits_in_its_own_units),
		in_world(unlimited_is_max),
		in_world(swappiness_is_of_version_1),
		in_world(half_of_cpu_max),
		in_world(swap_without_accounting),
		in_world(controllers_are_handed_down),
		in_world(controllers_that_are_on_already),
		in_world(oom_kills_are_read),
		cmocka_unit_test(weights),
		cmocka_unit_test(device_program_means_its_rules),
		cmocka_unit_test(device_program_layout),
		cmocka_unit_test(the_verifier_takes_the_longest),
		cmocka_unit_test(rules_as_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
