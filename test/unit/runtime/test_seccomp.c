#include "expect.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "runtime/caps.h"
#include "runtime/seccomp.h"
#include "runtime/seccomp_build.h"

#define BIT(cap) (UINT64_C(1) << (cap))
#define DENY (SECCOMP_RET_ERRNO | EPERM)
#define NO_SUCH_CALL (SECCOMP_RET_ERRNO | ENOSYS)

/* What the kernel does with a filter, for the instructions that filters here have. Fails the test where the kernel would refuse it. */
static uint32_t run_filter(const struct sock_filter *insns, size_t n, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < n; pc++) {
		const struct sock_filter *f = &insns[pc];

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(f->k % 4 == 0 && f->k < sizeof(*data));
			memcpy(&a, (const char *)data + f->k, sizeof(a));
			break;
		case BPF_JMP | BPF_JA:
			pc += f->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += a >= f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			pc += a > f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			pc += a & f->k ? f->jt : f->jf;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= f->k;
			break;
		case BPF_RET | BPF_K:
			return f->k;
		default:
			fail_msg("instruction %zu has code 0x%x", pc, f->code);
		}
	}
	fail_msg("ran over the end");
	return 0;
}

static const struct seccomp_filter *filter_for(uint64_t caps)
{
	const struct seccomp_filter *filter = NULL;

	expect_ok(seccomp_builtin(caps, &filter, &err));
	return filter;
}

static uint32_t ask(uint64_t caps, uint32_t arch, uint32_t nr, uint64_t arg0)
{
	const struct seccomp_filter *filter = filter_for(caps);
	struct seccomp_data data = { .nr = (int)nr, .arch = arch, .args = { arg0 } };

	return run_filter(filter->insns, filter->n_insns, &data);
}

static uint32_t ask_native(uint64_t caps, long nr, uint64_t arg0)
{
	return ask(caps, seccomp_ranges[0].audit_arch, (uint32_t)nr, arg0);
}

/* The same profile through the library's own compiler, as the reference. */
static struct sock_filter reference[SECCOMP_INSNS_MAX];

static void add_rules(scmp_filter_ctx ctx, enum verdict verdict, int nr)
{
	switch (verdict) {
	case VERDICT_ALLOW:
		(void)seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
		break;
	case VERDICT_NO_SUCH_CALL:
		(void)seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), nr, 0);
		break;
	case VERDICT_IF_CLONE_PLAIN:
		(void)seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1, SCMP_A0(SCMP_CMP_MASKED_EQ, PROFILE_CLONE_NAMESPACES, 0));
		break;
	case VERDICT_IF_PERSONALITY:
		for (size_t i = 0; i < profile_n_personalities; i++)
			(void)seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1, SCMP_A0(SCMP_CMP_EQ, profile_personalities[i]));
		break;
	case VERDICT_IF_SOCKET_DOMAIN:
		for (unsigned domain = 0; domain < PROFILE_DOMAINS; domain++) {
			if (!memchr(profile_denied_domains, (int)domain, profile_n_denied_domains))
				(void)seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1, SCMP_A0(SCMP_CMP_EQ, domain));
		}
		break;
	case VERDICT_DENY:
	case VERDICT_COUNT:
	default:
		fail_msg("a set with verdict %d", verdict);
	}
}

static size_t build_reference(uint32_t abi, uint64_t caps)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	char name[PROFILE_NAME_SIZE];
	FILE *file = tmpfile();
	const char *rest;
	size_t n;

	assert_non_null(ctx);
	assert_non_null(file);
	if (abi != seccomp_arch_native()) {
		assert_int_equal(seccomp_arch_add(ctx, abi), 0);
		assert_int_equal(seccomp_arch_remove(ctx, SCMP_ARCH_NATIVE), 0);
	}
	for (size_t i = 0; i < profile_n_sets; i++) {
		const struct profile_set *set = &profile_sets[i];

		if ((set->with_caps && !(set->with_caps & caps)) || (set->without_caps & caps))
			continue;
		rest = set->names;
		while (profile_next_name(&rest, name)) {
			int nr = seccomp_syscall_resolve_name(name);

			if (nr != __NR_SCMP_ERROR)
				add_rules(ctx, set->verdict, nr);
		}
	}
	assert_int_equal(seccomp_export_bpf(ctx, fileno(file)), 0);
	rewind(file);
	n = fread(reference, sizeof(reference[0]), SECCOMP_INSNS_MAX, file);
	(void)fclose(file);
	seccomp_release(ctx);
	return n;
}

/* Whether the profile gives this number itself, since the library cannot. */
static bool is_extra(uint32_t abi, uint32_t nr)
{
	for (size_t i = 0; i < profile_n_numbers; i++) {
		if (profile_numbers[i].number == nr && (profile_numbers[i].abi == 0 || profile_numbers[i].abi == abi))
			return true;
	}
	return false;
}

static const uint64_t arguments[] = { 0,  1,  2,  8,       12,      16,         17,         38,       40,
				      41, 45, 46, 0x20000, 0x20008, 0x40000000, 0x10000000, 0x3d0f00, 0xffffffff };

static void compare_abi(const struct number_range *range, uint64_t caps)
{
	size_t n = build_reference(range->abi, caps);
	const struct seccomp_filter *filter = filter_for(caps);

	for (uint32_t nr = range->first; nr < range->first + range->count; nr++) {
		for (size_t i = 0; i < ARRAY_SIZE(arguments); i++) {
			struct seccomp_data data = { .nr = (int)nr, .arch = range->audit_arch, .args = { arguments[i] } };
			uint32_t ours = run_filter(filter->insns, filter->n_insns, &data), theirs;

			if (is_extra(range->abi, nr))
				continue;
			theirs = run_filter(reference, n, &data);
			if (ours != theirs)
				fail_msg("caps %#llx, arch %#x, call %u (%s), argument %#llx: %#x instead of %#x",
					 (unsigned long long)caps, range->abi, nr,
					 seccomp_syscall_resolve_num_arch(range->abi, (int)nr), (unsigned long long)arguments[i],
					 ours, theirs);
		}
	}
}

/* Every number of every ABI, against a compiler that we did not write, for each capability and some mixtures. */
static void agrees_with_the_librarys_compiler(void **state)
{
	const uint64_t mixtures[] = { 0, ~UINT64_C(0), caps_default(), BIT(CAP_SYS_ADMIN) | BIT(CAP_BPF), BIT(CAP_SYS_NICE) };

	(void)state;
	for (size_t i = 0; i < seccomp_n_ranges; i++) {
		if (seccomp_ranges[i].abi == SCMP_ARCH_X32)
			continue;
		for (size_t j = 0; j < ARRAY_SIZE(mixtures); j++)
			compare_abi(&seccomp_ranges[i], mixtures[j]);
	}
}

static void x32_is_as_the_kernel_is(void **state)
{
#if defined(__x86_64__)
	bool has_x32 = syscall(0x40000000L | SYS_getpid) >= 0;
	unsigned char verdicts[SECCOMP_RANGE_MAX];

	(void)state;
	assert_int_equal(ask_native(0, 0x40000000 | SYS_getpid, 0), has_x32 ? SECCOMP_RET_ALLOW : NO_SUCH_CALL);
	assert_int_equal(ask_native(0, 0x40000000 | SYS_mount, 0), has_x32 ? DENY : NO_SUCH_CALL);
	assert_int_equal(seccomp_ranges[1].abi, SCMP_ARCH_X32);
	seccomp_fill_range(&seccomp_ranges[1], 0, verdicts);
	assert_int_equal(verdicts[SYS_getpid], VERDICT_ALLOW);
	assert_int_equal(verdicts[SYS_mount], VERDICT_DENY);
	assert_int_equal(verdicts[512], VERDICT_ALLOW); /* rt_sigaction */
	assert_int_equal(verdicts[13], VERDICT_DENY);   /* x86_64's rt_sigaction */
	assert_int_equal(verdicts[500], VERDICT_NO_SUCH_CALL);
#else
	(void)state;
	skip_unless(false, "no x32 on this architecture");
#endif
}

static void new_calls(void **state)
{
	(void)state;
	for (size_t i = 0; i < profile_n_numbers; i++) {
		const struct profile_number *known = &profile_numbers[i];
		bool admin = !strncmp(known->name, "lsm_", 4);

		if (known->abi != 0)
			continue;
		assert_int_equal(ask_native(~UINT64_C(0), known->number, 0), SECCOMP_RET_ALLOW);
		assert_int_equal(ask_native(0, known->number, 0), admin ? DENY : SECCOMP_RET_ALLOW);
	}
	/* Calls of the future: "not there", so that a libc falls back. */
	assert_int_equal(ask_native(~UINT64_C(0), PROFILE_NEWEST_CALL + 1, 0), NO_SUCH_CALL);
	assert_int_equal(ask_native(0, 511, 0), NO_SUCH_CALL);
	assert_int_equal(ask_native(0, 100000, 0), NO_SUCH_CALL);
	assert_int_equal(ask_native(0, -1, 0), NO_SUCH_CALL);
}

static void foreign_architecture_is_killed(void **state)
{
	(void)state;
	assert_int_equal(ask(~UINT64_C(0), AUDIT_ARCH_S390X, 1, 0), SECCOMP_RET_KILL_PROCESS);
}

static void direct_calls_of_i386(void **state)
{
#if defined(__x86_64__)
	(void)state;
	assert_int_equal(ask(0, AUDIT_ARCH_I386, 359, AF_INET), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(0, AUDIT_ARCH_I386, 359, AF_VSOCK), DENY);
	assert_int_equal(ask(0, AUDIT_ARCH_I386, 362, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(0, AUDIT_ARCH_I386, 393, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(0, AUDIT_ARCH_I386, 21, 0), DENY); /* mount */
#else
	(void)state;
	skip_unless(false, "no i386 on this architecture");
#endif
}

static void dangerous_calls_need_their_capability(void **state)
{
	static const struct {
		long nr;
		int cap;
	} rows[] = {
		{ SYS_mount, CAP_SYS_ADMIN },         { SYS_umount2, CAP_SYS_ADMIN },
		{ SYS_unshare, CAP_SYS_ADMIN },       { SYS_setns, CAP_SYS_ADMIN },
		{ SYS_bpf, CAP_SYS_ADMIN },           { SYS_open_tree, CAP_SYS_ADMIN },
		{ SYS_move_mount, CAP_SYS_ADMIN },    { SYS_fsopen, CAP_SYS_ADMIN },
		{ SYS_clone3, CAP_SYS_ADMIN },        { SYS_open_by_handle_at, CAP_DAC_READ_SEARCH },
		{ SYS_reboot, CAP_SYS_BOOT },         { SYS_chroot, CAP_SYS_CHROOT },
		{ SYS_init_module, CAP_SYS_MODULE },  { SYS_finit_module, CAP_SYS_MODULE },
		{ SYS_acct, CAP_SYS_PACCT },          { SYS_kcmp, CAP_SYS_PTRACE },
		{ SYS_settimeofday, CAP_SYS_TIME },   { SYS_clock_settime, CAP_SYS_TIME },
		{ SYS_vhangup, CAP_SYS_TTY_CONFIG },  { SYS_mbind, CAP_SYS_NICE },
		{ SYS_syslog, CAP_SYSLOG },           { SYS_bpf, CAP_BPF },
		{ SYS_perf_event_open, CAP_PERFMON },
	};
	static const long never[] = { SYS_kexec_load, SYS_swapon,      SYS_swapoff,        SYS_pivot_root,  SYS_keyctl,
				      SYS_add_key,    SYS_request_key, SYS_io_uring_setup, SYS_userfaultfd, SYS_kexec_file_load };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(ask_native(BIT(rows[i].cap), rows[i].nr, 0), SECCOMP_RET_ALLOW);
		assert_int_not_equal(ask_native(0, rows[i].nr, 0), SECCOMP_RET_ALLOW);
		if (rows[i].cap != CAP_SYS_CHROOT)
			assert_int_not_equal(ask_native(caps_default(), rows[i].nr, 0), SECCOMP_RET_ALLOW);
	}
	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		assert_int_equal(ask_native(~UINT64_C(0), never[i], 0), DENY);
}

static void conditions(void **state)
{
	(void)state;
	assert_int_equal(ask_native(0, SYS_clone, 0x3d0f00), SECCOMP_RET_ALLOW); /* a thread */
	assert_int_equal(ask_native(0, SYS_clone, CLONE_NEWUSER), DENY);
	assert_int_equal(ask_native(0, SYS_clone, CLONE_NEWNS | SIGCHLD), DENY);
	assert_int_equal(ask_native(0, SYS_clone, CLONE_NEWCGROUP), DENY);
	assert_int_equal(ask_native(BIT(CAP_SYS_ADMIN), SYS_clone, CLONE_NEWNS), SECCOMP_RET_ALLOW);
	assert_int_equal(ask_native(0, SYS_clone3, 0), NO_SUCH_CALL);
	assert_int_equal(ask_native(0, SYS_personality, 0xffffffff), SECCOMP_RET_ALLOW);
	assert_int_equal(ask_native(0, SYS_personality, ADDR_NO_RANDOMIZE), DENY);
	assert_int_equal(ask_native(~UINT64_C(0), SYS_personality, READ_IMPLIES_EXEC), DENY);
	assert_int_equal(ask_native(0, SYS_socket, AF_UNIX), SECCOMP_RET_ALLOW);
	assert_int_equal(ask_native(0, SYS_socket, AF_INET6), SECCOMP_RET_ALLOW);
	assert_int_equal(ask_native(0, SYS_socket, AF_NETLINK), SECCOMP_RET_ALLOW);
	assert_int_equal(ask_native(0, SYS_socket, AF_VSOCK), DENY);
	assert_int_equal(ask_native(~UINT64_C(0), SYS_socket, AF_VSOCK), DENY);
	assert_int_equal(ask_native(0, SYS_socket, AF_ALG), DENY);
	assert_int_equal(ask_native(0, SYS_socket, 0xffffffff), DENY);
	/* The kernel looks at 32 bits, so must the filter. */
	assert_int_equal(ask_native(0, SYS_socket, 0xff00000000 | AF_VSOCK), DENY);
	assert_int_equal(ask_native(0, SYS_clone, 0xff00000000 | CLONE_NEWUSER), DENY);
}

static void cache_returns_the_same_filter(void **state)
{
	const struct seccomp_filter *first = filter_for(caps_default());

	(void)state;
	assert_ptr_equal(filter_for(caps_default()), first);
	/* CAP_CHOWN makes no difference to the profile. */
	assert_ptr_equal(filter_for(caps_default() & ~BIT(CAP_CHOWN)), first);
	assert_ptr_not_equal(filter_for(caps_default() | BIT(CAP_SYS_ADMIN)), first);
}

static void *ask_for_many(void *arg)
{
	const struct seccomp_filter **found = arg;
	struct error err = ERROR_INIT;

	for (unsigned cap = 0; cap < 41; cap++) {
		if (seccomp_builtin(BIT(cap), &found[cap], &err) < 0)
			found[cap] = NULL;
	}
	return NULL;
}

static void threads_share_the_cache(void **state)
{
	const struct seccomp_filter *found[4][41] = { 0 };
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_for_many, found[i]), 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (size_t i = 0; i < 41; i++) {
		assert_non_null(found[0][i]);
		for (size_t j = 1; j < 4; j++)
			assert_ptr_equal(found[j][i], found[0][i]);
	}
}

/* Capabilities are chosen by requests, so the cache has an end. Runs in a child: the cache is for ever. */
static void cache_has_an_end(void **state)
{
	uint64_t relevant = profile_relevant_caps();
	pid_t pid = fork();
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		const struct seccomp_filter *filter;
		struct error err = ERROR_INIT;
		uint64_t set = 0;
		int made = 0;

		/* All subsets of the relevant capabilities, one after the other. */
		do {
			if (seccomp_builtin(set, &filter, &err) < 0)
				_exit(err.code == ERR_EXHAUSTED && made > 100 ? 0 : 1);
			made++;
			set = (set - relevant) & relevant;
		} while (set);
		_exit(2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Loads the filter as the interpreter does and tries it on the kernel. */
static int inside_the_filter(const struct seccomp_filter *filter)
{
	struct sock_fprog program = { filter->n_insns, filter->insns };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter->flags, &program) < 0)
		return 1;
	if (getpid() <= 0 || access("/", F_OK) < 0)
		return 2;
	if (unshare(CLONE_NEWUSER) == 0 || errno != EPERM)
		return 3;
	if (syscall(SYS_clone3, NULL, 0) == 0 || errno != ENOSYS)
		return 4;
	if (socket(AF_VSOCK, SOCK_STREAM, 0) >= 0 || errno != EPERM)
		return 5;
	if (socket(AF_UNIX, SOCK_STREAM, 0) < 0)
		return 6;
	if (personality(0xffffffff) < 0)
		return 7;
	return syscall(470) == 0 || errno != ENOSYS ? 8 : 0;
}

static void the_kernel_takes_it(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(inside_the_filter(filter_for(caps_default())));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_the_librarys_compiler),
		cmocka_unit_test(x32_is_as_the_kernel_is),
		cmocka_unit_test(new_calls),
		cmocka_unit_test(foreign_architecture_is_killed),
		cmocka_unit_test(direct_calls_of_i386),
		cmocka_unit_test(dangerous_calls_need_their_capability),
		cmocka_unit_test(conditions),
		cmocka_unit_test(cache_returns_the_same_filter),
		cmocka_unit_test(threads_share_the_cache),
		cmocka_unit_test(cache_has_an_end),
		cmocka_unit_test(the_kernel_takes_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
