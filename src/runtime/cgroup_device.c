#include "runtime/cgroup_device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "runtime/cgroup_internal.h"

static const struct device_rule standard[] = {
	{ 'c', -1, -1, "m" },   { 'b', -1, -1, "m" }, { 'c', 1, 3, "rwm" }, /* null */
	{ 'c', 1, 5, "rwm" },                                               /* zero */
	{ 'c', 1, 7, "rwm" },                                               /* full */
	{ 'c', 1, 8, "rwm" },                                               /* random */
	{ 'c', 1, 9, "rwm" },                                               /* urandom */
	{ 'c', 5, 0, "rwm" },                                               /* tty */
	{ 'c', 5, 2, "rwm" },                                               /* ptmx */
	{ 'c', 136, -1, "rwm" }                                             /* pts/N */
};

size_t device_standard_rules(const struct device_rule **ret_rules)
{
	*ret_rules = standard;
	return ARRAY_SIZE(standard);
}

int device_check_rule(const struct device_rule *rule, struct error *err)
{
	const char *access = rule->access ? rule->access : "";

	if (rule->type != 'c' && rule->type != 'b' && rule->type != 'a')
		return error_set(err, ERR_INVALID, "device rule: type 0x%02x is none of a, b, c", (unsigned char)rule->type);
	if (!*access || strlen(access) > 3 || access[strspn(access, "rwm")])
		return error_set(err, ERR_INVALID, "device rule: access '%.8s' is not made of r, w, m", access);
	if (rule->major < -1 || rule->minor < -1)
		return error_set(err, ERR_INVALID, "device rule: %d:%d is not a device number", rule->major, rule->minor);
	return 0;
}

static void format_number(int number, char text[16])
{
	if (number < 0)
		(void)snprintf(text, 16, "*");
	else
		(void)snprintf(text, 16, "%d", number);
}

void device_format_rule(const struct device_rule *rule, char line[DEVICE_LINE_SIZE])
{
	char major[16], minor[16];

	format_number(rule->major, major);
	format_number(rule->minor, minor);
	(void)snprintf(line, DEVICE_LINE_SIZE, "%c %s:%s %s", rule->type, major, minor, rule->access);
}

/* Version 1: the kernel takes an 'a' for everything, whatever numbers follow, so one with numbers is said twice. */
static int v1_allow(int fd, const struct device_rule *rule, struct error *err)
{
	bool both = rule->type == 'a' && (rule->major >= 0 || rule->minor >= 0);
	struct device_rule one = *rule;
	char line[DEVICE_LINE_SIZE];

	for (int i = 0; i < (both ? 2 : 1); i++) {
		if (both)
			one.type = i ? 'b' : 'c';
		device_format_rule(&one, line);
		if (write(fd, line, strlen(line)) < 0)
			return error_sys(err, errno, "write '%s' to devices.allow", line);
	}
	return 0;
}

static int v1_restrict(const struct cgroup *cgroup, const struct hierarchy *h, const struct device_rule *const lists[],
		       const size_t counts[], size_t n_lists, struct error *err)
{
	_cleanup_fd_ int deny = group_open(cgroup, h, "devices.deny", O_WRONLY, err), allow = -1;

	if (deny < 0)
		return -1;
	if (write(deny, "a", 1) < 0)
		return error_sys(err, errno, "write 'a' to devices.deny");
	allow = group_open(cgroup, h, "devices.allow", O_WRONLY, err);
	if (allow < 0)
		return -1;
	for (size_t i = 0; i < n_lists; i++) {
		for (size_t j = 0; j < counts[i]; j++) {
			if (v1_allow(allow, &lists[i][j], err) < 0)
				return -1;
		}
	}
	return 0;
}

/*
 * Version 2: the program. It gets a struct bpf_cgroup_dev_ctx in R1 and returns 1 to allow. The head spreads the context over
 * registers; each rule jumps over itself where it does not fit and returns 1 where it does; the end returns 0.
 */
enum {
	REG_TYPE = BPF_REG_2,
	REG_ACCESS = BPF_REG_3,
	REG_MAJOR = BPF_REG_4,
	REG_MINOR = BPF_REG_5,
	REG_SCRATCH = BPF_REG_6,
};

struct program {
	struct bpf_insn *insns;
	size_t n;
};

static void emit(struct program *p, unsigned code, unsigned dst, unsigned src, int off, int imm)
{
	p->insns[p->n++] = (struct bpf_insn){
		.code = (unsigned char)code,
		.dst_reg = dst & 0xf,
		.src_reg = src & 0xf,
		.off = (short)off,
		.imm = imm,
	};
}

static void emit_load(struct program *p, unsigned dst, size_t offset)
{
	emit(p, BPF_LDX | BPF_MEM | BPF_W, dst, BPF_REG_1, (int)offset, 0);
}

static void emit_head(struct program *p)
{
	emit_load(p, REG_TYPE, offsetof(struct bpf_cgroup_dev_ctx, access_type));
	emit(p, BPF_ALU | BPF_MOV | BPF_X, REG_ACCESS, REG_TYPE, 0, 0);
	emit(p, BPF_ALU | BPF_RSH | BPF_K, REG_ACCESS, 0, 0, 16);
	emit(p, BPF_ALU | BPF_AND | BPF_K, REG_TYPE, 0, 0, 0xffff);
	emit_load(p, REG_MAJOR, offsetof(struct bpf_cgroup_dev_ctx, major));
	emit_load(p, REG_MINOR, offsetof(struct bpf_cgroup_dev_ctx, minor));
}

static void emit_return(struct program *p, int value)
{
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, value);
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static int access_bits(const char *access)
{
	int bits = 0;

	for (const char *p = access; *p; p++)
		bits |= *p == 'r' ? BPF_DEVCG_ACC_READ : *p == 'w' ? BPF_DEVCG_ACC_WRITE : BPF_DEVCG_ACC_MKNOD;
	return bits;
}

/* False when the rule fits everything: nothing may follow it then, since the verifier refuses what cannot be reached. */
static bool emit_rule(struct program *p, const struct device_rule *rule)
{
	int bits = access_bits(rule->access);
	size_t first = p->n;
	bool conditional;

	if (rule->type != 'a')
		emit(p, BPF_JMP | BPF_JNE | BPF_K, REG_TYPE, 0, 0, rule->type == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK);
	if (bits != (BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD)) {
		/* Every access asked for has to be one that the rule gives. */
		emit(p, BPF_ALU | BPF_MOV | BPF_X, REG_SCRATCH, REG_ACCESS, 0, 0);
		emit(p, BPF_ALU | BPF_AND | BPF_K, REG_SCRATCH, 0, 0, bits);
		emit(p, BPF_JMP | BPF_JNE | BPF_X, REG_SCRATCH, REG_ACCESS, 0, 0);
	}
	if (rule->major >= 0)
		emit(p, BPF_JMP | BPF_JNE | BPF_K, REG_MAJOR, 0, 0, rule->major);
	if (rule->minor >= 0)
		emit(p, BPF_JMP | BPF_JNE | BPF_K, REG_MINOR, 0, 0, rule->minor);
	conditional = p->n > first;
	emit_return(p, 1);
	for (size_t i = first; i < p->n; i++) {
		if (BPF_CLASS(p->insns[i].code) == BPF_JMP && BPF_OP(p->insns[i].code) == BPF_JNE)
			p->insns[i].off = (short)(p->n - i - 1);
	}
	return conditional;
}

size_t device_program(const struct device_rule *const lists[], const size_t counts[], size_t n_lists,
		      struct bpf_insn insns[DEVICE_INSNS_MAX])
{
	struct program p = { insns, 0 };

	emit_head(&p);
	for (size_t i = 0; i < n_lists; i++) {
		for (size_t j = 0; j < counts[i]; j++) {
			if (!emit_rule(&p, &lists[i][j]))
				return p.n;
		}
	}
	emit_return(&p, 0);
	return p.n;
}

static int sys_bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

int device_program_load(const struct bpf_insn *insns, size_t n, struct error *err)
{
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
		.insn_cnt = (unsigned)n,
		.insns = (uintptr_t)insns,
		/* Any licence: the program calls no helper. */
		.license = (uintptr_t) "Apache-2.0",
		.prog_name = "monopod_devices",
	};
	int fd = sys_bpf(BPF_PROG_LOAD, &attr);

	return fd < 0 ? error_sys(err, errno, "load the device program") : fd;
}

/* Programs of ours and others' that decide about devices of this very group. */
#define ATTACHED_MAX 64

static int query_attached(int group, unsigned ids[ATTACHED_MAX], unsigned *ret_n, struct error *err)
{
	union bpf_attr attr = {
		.query.target_fd = (unsigned)group,
		.query.attach_type = BPF_CGROUP_DEVICE,
		.query.prog_ids = (uintptr_t)ids,
		.query.prog_cnt = ATTACHED_MAX,
	};

	if (sys_bpf(BPF_PROG_QUERY, &attr) < 0)
		return error_sys(err, errno, "ask for the device programs of the cgroup");
	*ret_n = attr.query.prog_cnt;
	return 0;
}

static int attach(int group, int program, struct error *err)
{
	union bpf_attr attr = {
		.target_fd = (unsigned)group,
		.attach_bpf_fd = (unsigned)program,
		.attach_type = BPF_CGROUP_DEVICE,
		.attach_flags = BPF_F_ALLOW_MULTI,
	};

	return sys_bpf(BPF_PROG_ATTACH, &attr) < 0 ? error_sys(err, errno, "attach the device program") : 0;
}

static int detach(int group, unsigned id, struct error *err)
{
	union bpf_attr get = { .prog_id = id }, attr = { .target_fd = (unsigned)group, .attach_type = BPF_CGROUP_DEVICE };
	_cleanup_fd_ int program = sys_bpf(BPF_PROG_GET_FD_BY_ID, &get);

	attr.attach_bpf_fd = (unsigned)program;
	if (program < 0 || sys_bpf(BPF_PROG_DETACH, &attr) < 0)
		return error_sys(err, errno, "detach the former device program");
	return 0;
}

/* All programs of a group must agree, so the new one is attached before the old ones go: never is more allowed than by either. */
static int v2_restrict(const struct cgroup *cgroup, const struct device_rule *const lists[], const size_t counts[], size_t n_lists,
		       struct error *err)
{
	_cleanup_free_
	struct bpf_insn *insns = calloc(DEVICE_INSNS_MAX, sizeof(*insns));
	_cleanup_fd_ int program = -1;
	unsigned old[ATTACHED_MAX] = { 0 }, n_old = 0;

	if (!insns)
		return error_sys(err, ENOMEM, "device program");
	program = device_program_load(insns, device_program(lists, counts, n_lists, insns), err);
	if (program < 0 || query_attached(cgroup->unified_fd, old, &n_old, err) < 0)
		return -1;
	if (attach(cgroup->unified_fd, program, err) < 0)
		return -1;
	for (unsigned i = 0; i < n_old; i++) {
		if (detach(cgroup->unified_fd, old[i], err) < 0)
			return -1;
	}
	return 0;
}

int cgroup_restrict_devices(struct cgroup *cgroup, const struct device_rule *rules, size_t n, struct error *err)
{
	const struct hierarchy *h = roots_find(cgroup->roots, CONTROLLER_DEVICES);
	/* all of them allow, so their order is only what others see: theirs first, as it was given */
	const struct device_rule *lists[] = { rules, NULL };
	size_t counts[] = { n, device_standard_rules(&lists[1]) };

	if (n > DEVICE_RULES_MAX - ARRAY_SIZE(standard))
		return error_set(err, ERR_INVALID, "device rules: %zu of them, more than %zu", n,
				 DEVICE_RULES_MAX - ARRAY_SIZE(standard));
	for (size_t i = 0; i < n; i++) {
		if (device_check_rule(&rules[i], err) < 0)
			return -1;
	}
	if (h)
		return v1_restrict(cgroup, h, lists, counts, ARRAY_SIZE(lists), err);
	if (cgroup->unified_fd < 0)
		return error_set(err, ERR_STATE, "device rules: this host has no devices controller");
	return v2_restrict(cgroup, lists, counts, ARRAY_SIZE(lists), err);
}
