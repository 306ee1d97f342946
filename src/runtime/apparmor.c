#include "runtime/apparmor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/io.h"
#include "base/mem.h"

#define PROFILES "/sys/kernel/security/apparmor/profiles"

/* A host has some hundred profiles, snaps bring thousands of 40 bytes each. */
#define PROFILES_MAX ((size_t)4 << 20)

/*
 * Apparmor.d(5). In words: networks, capabilities (those that the container holds, which is another list) and files without end, but
 * no writes to what controls the host below /proc and /sys, no mounts; signals from the host's side and among each other; tracing
 * among each other alone.
 */
static const char profile_text[] = "profile " APPARMOR_DEFAULT " flags=(attach_disconnected,mediate_deleted) {\n"
				   "  network,\n"
				   "  capability,\n"
				   "  file,\n"
				   "  umount,\n"
				   "  signal (receive) peer=unconfined,\n"
				   "  signal (send,receive) peer=" APPARMOR_DEFAULT ",\n"
				   "  ptrace (trace,read,tracedby,readby) peer=" APPARMOR_DEFAULT ",\n"
				   "  deny mount,\n"
				   "  deny @{PROC}/* w,\n"
				   "  deny @{PROC}/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9]*}/** w,\n"
				   "  deny @{PROC}/sys/[^k]** w,\n"
				   "  deny @{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w,\n"
				   "  deny @{PROC}/sysrq-trigger rwklx,\n"
				   "  deny @{PROC}/kcore rwklx,\n"
				   "  deny /sys/[^f]*/** wklx,\n"
				   "  deny /sys/f[^s]*/** wklx,\n"
				   "  deny /sys/fs/[^c]*/** wklx,\n"
				   "  deny /sys/fs/c[^g]*/** wklx,\n"
				   "  deny /sys/fs/cg[^r]*/** wklx,\n"
				   "  deny /sys/firmware/** rwklx,\n"
				   "  deny /sys/devices/virtual/powercap/** rwklx,\n"
				   "  deny /sys/kernel/security/** rwklx,\n"
				   "}\n";

/* No <tunables/global> is needed: it lies in a package of its own. */
static const char profile_head[] = "@{PROC}=/proc/\n";

bool apparmor_is_on(void)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(64);
	struct error ignored = ERROR_INIT;

	return access("/sys/kernel/security/apparmor", F_OK) == 0 &&
	       io_read_file(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", &text, &ignored) == 0 && text.data &&
	       text.data[0] == 'Y';
}

int apparmor_check_name(const char *name, struct error *err)
{
	size_t length = strlen(name);

	if (length == 0 || length > APPARMOR_NAME_MAX)
		return error_set(err, ERR_INVALID, "AppArmor: a profile's name has 1 to %d bytes, not %zu", APPARMOR_NAME_MAX,
				 length);
	for (const char *p = name; *p; p++) {
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return error_set(err, ERR_INVALID, "AppArmor: '%s' holds a blank or a control character", name);
	}
	return 0;
}

/* Lines of "NAME (MODE)". */
static bool is_listed(const char *list, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = list; line && *line; line = strchr(line, '\n'), line += line != NULL) {
		if (!strncmp(line, name, length) && !strncmp(line + length, " (", 2))
			return true;
	}
	return false;
}

int apparmor_check_profile(const char *name, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(PROFILES_MAX);

	if (apparmor_check_name(name, err) < 0)
		return -1;
	if (!apparmor_is_on())
		return error_set(err, ERR_STATE, "AppArmor profile %s: AppArmor is off on this host", name);
	if (io_read_file(AT_FDCWD, PROFILES, &text, err) < 0)
		return error_prefix(err, "AppArmor profile %s", name);
	if (!is_listed(text.data, name))
		return error_set(err, ERR_NOT_FOUND, "AppArmor profile %s is not loaded: load it by apparmor_parser", name);
	return 0;
}

static int make_input(struct error *err)
{
	int fd = memfd_create("apparmor", MFD_CLOEXEC);

	if (fd < 0)
		return error_sys(err, errno, "make a file for the AppArmor profile");
	if (io_write_all(fd, profile_head, strlen(profile_head), "the AppArmor profile", err) < 0 ||
	    io_write_all(fd, profile_text, strlen(profile_text), "the AppArmor profile", err) < 0 || lseek(fd, 0, SEEK_SET) < 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static int run_parser(posix_spawn_file_actions_t *actions, struct error *err)
{
	char program[] = "apparmor_parser", options[] = "-Kqr";
	char path[] = "PATH=/usr/sbin:/sbin:/usr/bin:/bin";
	char *argv[] = { program, options, NULL }, *envp[] = { path, NULL };
	static const char *const places[] = { "/usr/sbin/apparmor_parser", "/sbin/apparmor_parser" };
	int result = ENOENT, status;
	pid_t pid;

	for (size_t i = 0; i < ARRAY_SIZE(places) && result == ENOENT; i++)
		result = posix_spawn(&pid, places[i], actions, NULL, argv, envp);
	if (result != 0)
		return error_sys(err, result, "run apparmor_parser");
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return error_set(err, ERR_STATE, "apparmor_parser did not load the profile: status %#x", (unsigned)status);
	return 0;
}

int apparmor_load_default(struct error *err)
{
	_cleanup_fd_ int input = make_input(err);
	posix_spawn_file_actions_t actions;
	int result;

	if (input < 0)
		return -1;
	if (posix_spawn_file_actions_init(&actions) != 0)
		return error_sys(err, ENOMEM, "run apparmor_parser");
	if (posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO) != 0)
		result = error_sys(err, ENOMEM, "run apparmor_parser");
	else
		result = run_parser(&actions, err);
	(void)posix_spawn_file_actions_destroy(&actions);
	return result;
}
