/* Compressed layers: any bytes either end well or with a sentence. */
#include "fuzz.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "image/inflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_fd_ int in = memfd_create("layer", MFD_CLOEXEC);
	_cleanup_fd_ int out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct error err = ERROR_INIT;

	if (in < 0 || out < 0 || write(in, data, size) != (ssize_t)size || lseek(in, 0, SEEK_SET) != 0)
		abort();
	if (inflate_fd(in, out, &err) < 0 && (err.code == ERR_NONE || !*err.text))
		abort();
	return 0;
}
