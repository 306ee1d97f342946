/*
 * Fault points: the one seam through which tests make a named step fail.
 *
 * With -DMONOPOD_FAULTS=ON (debug and sanitizer builds) fault_here("run_pod", "network") is true when the file named by
 * MONOPOD_FAULT_FILE holds "run_pod/network"; otherwise it is a constant false that the compiler removes. The step engine asks
 * before each step, the plan interpreter before each operation, so that no production code mentions a test.
 */
#ifndef MONOPOD_BASE_FAULT_H
#define MONOPOD_BASE_FAULT_H

#include <stdbool.h>

#ifdef MONOPOD_FAULTS
bool fault_here(const char *machine, const char *step);
#else
static inline bool fault_here(const char *machine, const char *step)
{
	(void)machine;
	(void)step;
	return false;
}
#endif

#endif
