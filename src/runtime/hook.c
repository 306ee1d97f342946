/* Hooks that run outside of the container: in the namespaces of whoever starts it. */
#include "runtime/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "base/io.h"
#include "base/program.h"
#include "runtime/kernel.h"

int hook_state_open(struct error *err)
{
	int fd = memfd_create("monopod-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 ? error_sys(err, errno, "create memory file") : fd;
}

int hook_state_fill(int fd, const char *state, size_t length, struct error *err)
{
	if (io_write_all(fd, state, length, "state for hooks", err) < 0)
		return -1;
	if (lseek(fd, 0, SEEK_SET) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return error_sys(err, errno, "seal state for hooks");
	return 0;
}

int hook_host_tree(struct error *err)
{
	int fd = sys_open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	return fd < 0 ? error_sys(err, errno, "copy the host's mounts") : fd;
}

int hook_run(const struct hook_spec *spec, const char *state, size_t length, struct error *err)
{
	const struct program program = {
		.path = spec->path,
		.argv = spec->argv,
		.envp = spec->envp,
		.input = state,
		.input_len = length,
		.timeout_ms = spec->timeout_ms ? spec->timeout_ms : HOOK_TIMEOUT_MS,
	};
	struct program_end end;

	if (program_run(&program, &end, err) < 0)
		return error_prefix(err, "run hook %s", spec->path);
	if (end.code == 0)
		return 0;
	return error_set(err, ERR_STATE, "run hook %s: %s %d%s%s", spec->path, end.signal ? "killed by signal" : "exit code",
			 end.signal ? end.signal : end.code, *end.words ? ": " : "", end.words);
}

int hook_run_all(const struct hook_spec *hooks, size_t n, const char *state, size_t length, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		if (hook_run(&hooks[i], state, length, err) < 0)
			return -1;
	}
	return 0;
}
