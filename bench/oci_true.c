/*
 * The container's command in tools/bench-oci.sh: ends at its first instructions. A C library's start would be a tenth of what is measured
 * there (it asks the processor what it is, and on a virtual machine each such question leaves the guest), and it is no runtime's work.
 */
#include "runtime/init/sys.h"

__attribute__((noreturn)) void _start(void);

__attribute__((noreturn)) void _start(void)
{
	for (;;)
		(void)SYS(exit_group, 0);
}
