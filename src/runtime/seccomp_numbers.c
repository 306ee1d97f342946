#include "runtime/seccomp_numbers.h"

#include <seccomp.h>
#include <string.h>

#include "base/mem.h"

const struct seccomp_number seccomp_numbers[] = {
	{ 0, "cachestat", 451 },
	{ 0, "fchmodat2", 452 },
	{ 0, "map_shadow_stack", 453 },
	{ 0, "futex_wake", 454 },
	{ 0, "futex_wait", 455 },
	{ 0, "futex_requeue", 456 },
	{ 0, "statmount", 457 },
	{ 0, "listmount", 458 },
	{ 0, "lsm_get_self_attr", 459 },
	{ 0, "lsm_set_self_attr", 460 },
	{ 0, "lsm_list_modules", 461 },
	{ 0, "mseal", 462 },
	{ 0, "setxattrat", 463 },
	{ 0, "getxattrat", 464 },
	{ 0, "listxattrat", 465 },
	{ 0, "removexattrat", 466 },
	{ 0, "open_tree_attr", 467 },
	{ 0, "file_getattr", 468 },
	{ 0, "file_setattr", 469 },
	{ 0, "listns", SECCOMP_NEWEST_NUMBER },
	{ SCMP_ARCH_X86_64, "uretprobe", 335 },
	{ SCMP_ARCH_X86, "recvmmsg", 337 },
	{ SCMP_ARCH_X86, "sendmmsg", 345 },
	{ SCMP_ARCH_X86, "socket", 359 },
	{ SCMP_ARCH_X86, "socketpair", 360 },
	{ SCMP_ARCH_X86, "bind", 361 },
	{ SCMP_ARCH_X86, "connect", 362 },
	{ SCMP_ARCH_X86, "listen", 363 },
	{ SCMP_ARCH_X86, "accept4", 364 },
	{ SCMP_ARCH_X86, "getsockopt", 365 },
	{ SCMP_ARCH_X86, "setsockopt", 366 },
	{ SCMP_ARCH_X86, "getsockname", 367 },
	{ SCMP_ARCH_X86, "getpeername", 368 },
	{ SCMP_ARCH_X86, "sendto", 369 },
	{ SCMP_ARCH_X86, "sendmsg", 370 },
	{ SCMP_ARCH_X86, "recvfrom", 371 },
	{ SCMP_ARCH_X86, "recvmsg", 372 },
	{ SCMP_ARCH_X86, "shutdown", 373 },
	{ SCMP_ARCH_X86, "semget", 393 },
	{ SCMP_ARCH_X86, "semctl", 394 },
	{ SCMP_ARCH_X86, "shmget", 395 },
	{ SCMP_ARCH_X86, "shmctl", 396 },
	{ SCMP_ARCH_X86, "shmat", 397 },
	{ SCMP_ARCH_X86, "shmdt", 398 },
	{ SCMP_ARCH_X86, "msgget", 399 },
	{ SCMP_ARCH_X86, "msgsnd", 400 },
	{ SCMP_ARCH_X86, "msgrcv", 401 },
	{ SCMP_ARCH_X86, "msgctl", 402 },
};
const size_t seccomp_n_numbers = ARRAY_SIZE(seccomp_numbers);

size_t seccomp_resolve(uint32_t abi, const char *name, uint32_t numbers[SECCOMP_NUMBERS_MAX])
{
	int number = seccomp_syscall_resolve_name_arch(abi, name);
	size_t n = 0;

	/* The library's negative numbers stand for calls that the architecture does not have. */
	if (number >= 0)
		numbers[n++] = (uint32_t)number;
	for (size_t i = 0; i < seccomp_n_numbers && n < SECCOMP_NUMBERS_MAX; i++) {
		const struct seccomp_number *known = &seccomp_numbers[i];

		if ((known->abi == 0 || known->abi == abi) && !strcmp(known->name, name))
			numbers[n++] = known->number | (abi == SCMP_ARCH_X32 ? SECCOMP_X32_BIT : 0);
	}
	return n;
}
