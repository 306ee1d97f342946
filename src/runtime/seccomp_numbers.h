/*
 * The numbers of system calls by name: libseccomp's, and those that its version does not give. Internal to src/runtime.
 */
#ifndef MONOPOD_RUNTIME_SECCOMP_NUMBERS_H
#define MONOPOD_RUNTIME_SECCOMP_NUMBERS_H

#include <stddef.h>
#include <stdint.h>

/*
 * System calls that are newer than the library, and those of i386 that it only knows as a subcall of socketcall(2) and ipc(2).
 */
struct seccomp_number {
	uint32_t abi; /* SCMP_ARCH_* of libseccomp; 0: the number is the same on every architecture */
	const char *name;
	unsigned number;
};
extern const struct seccomp_number seccomp_numbers[];
extern const size_t seccomp_n_numbers;

/* The highest number in that table (Linux 6.19). */
#define SECCOMP_NEWEST_NUMBER 470

/* x32 has the numbers of x86_64 with this bit. */
#define SECCOMP_X32_BIT 0x40000000U

/* A name may have several numbers: on i386 socket(2) is both a call and a subcall. */
#define SECCOMP_NUMBERS_MAX 4

/* Writes the numbers that `name` has in the ABI; returns how many, 0 when there is no such call. */
size_t seccomp_resolve(uint32_t abi, const char *name, uint32_t numbers[SECCOMP_NUMBERS_MAX]);

#endif
