#include "expect.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "runtime/caps.h"
#include "runtime/seccomp_profile.h"
#include "seccomp_reference.h"

#define BIT(cap) (UINT64_C(1) << (cap))
#define DENY (SECCOMP_RET_ERRNO | EPERM)
#define NO_SUCH_CALL (SECCOMP_RET_ERRNO | ENOSYS)

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

/* Every number of every ABI, against a compiler that we did not write, for each capability and some mixtures. */
static void agrees_with_the_librarys_compiler(void **state)
{
	const uint64_t mixtures[] = { 0, ~UINT64_C(0), caps_default(), BIT(CAP_SYS_ADMIN) | BIT(CAP_BPF), BIT(CAP_SYS_NICE) };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(mixtures); i++) {
		_cleanup_arena_ struct arena arena = ARENA_INIT;
		struct seccomp_policy policy;

		expect_ok(profile_policy(mixtures[i], &arena, &policy, &err));
		compare_policy(&policy, filter_for(mixtures[i]));
	}
}

static void x32_is_as_the_kernel_is(void **state)
{
#if defined(__x86_64__)
	bool has_x32 = syscall(0x40000000L | SYS_getpid) >= 0;
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	struct seccomp_table table = { 0 };
	struct seccomp_policy policy;

	(void)state;
	expect_ok(profile_policy(0, &arena, &policy, &err));
	assert_int_equal(ask_native(0, 0x40000000 | SYS_getpid, 0), has_x32 ? SECCOMP_RET_ALLOW : NO_SUCH_CALL);
	assert_int_equal(ask_native(0, 0x40000000 | SYS_mount, 0), has_x32 ? DENY : NO_SUCH_CALL);
	assert_int_equal(seccomp_ranges[1].abi, SCMP_ARCH_X32);
	seccomp_fill_range(&table, &seccomp_ranges[1], &policy);
	assert_int_equal(table.decisions[table.of[SYS_getpid]].action, SECCOMP_RET_ALLOW);
	assert_int_equal(table.decisions[table.of[SYS_mount]].action, DENY);
	assert_int_equal(table.decisions[table.of[512]].action, SECCOMP_RET_ALLOW); /* rt_sigaction */
	assert_int_equal(table.decisions[table.of[13]].action, DENY);               /* x86_64's rt_sigaction */
	assert_int_equal(table.decisions[table.of[500]].action, NO_SUCH_CALL);
#else
	(void)state;
	skip_unless(false, "no x32 on this architecture");
#endif
}

static void new_calls(void **state)
{
	(void)state;
	for (size_t i = 0; i < seccomp_n_numbers; i++) {
		const struct seccomp_number *known = &seccomp_numbers[i];
		bool admin = !strncmp(known->name, "lsm_", 4);

		if (known->abi != 0 || known->number > PROFILE_NEWEST_CALL)
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
