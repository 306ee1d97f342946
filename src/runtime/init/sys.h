/*
 * System calls without a C library: numbers from the kernel's headers, results as the kernel gives them (-errno on failure).
 *
 * Used by the interpreter and by the few instructions that a child of the spawner runs while it still shares the daemon's memory:
 * nothing here touches errno, a thread's storage or any other memory.
 */
#ifndef MONOPOD_RUNTIME_INIT_SYS_H
#define MONOPOD_RUNTIME_INIT_SYS_H

#include <asm/unistd.h>

/* Younger than the oldest kernel headers that we build with (Linux 5.10 has neither number nor struct). */
#ifndef __NR_mount_setattr
#define __NR_mount_setattr 442
#endif

#if defined(__x86_64__)
static inline __attribute__((always_inline)) long sys_call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
static inline __attribute__((always_inline)) long sys_call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
}
#else
#error "the interpreter knows x86_64 and aarch64"
#endif

#define SYS_SIX(nr, a, b, c, d, e, f, ...) sys_call((nr), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* SYS(openat, dirfd, path, flags, mode): up to six arguments of any integer or pointer type; at least one. */
#define SYS(name, ...) SYS_SIX(__NR_##name, __VA_ARGS__, 0, 0, 0, 0, 0, 0)

#endif
