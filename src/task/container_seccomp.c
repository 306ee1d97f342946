/*
 * Which seccomp filter a container has. A profile that lies in a file is read when the container is created, as everywhere: a copy in
 * the container's state directory serves its start and what is executed inside later, whatever happens to the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/io.h"
#include "base/mem.h"
#include "runtime/seccomp.h"
#include "task/container.h"
#include "task/container_spec.h"
#include "task/handler.h"
#include "task/node_impl.h"
#include "task/path.h"

#define COPY "seccomp.json"

/* The spellings of the field that came before the message. */
static int choose_by_path(const char *path, struct seccomp_choice *ret_choice, struct error *err)
{
	if (!*path || !strcmp(path, "unconfined"))
		ret_choice->kind = SECCOMP_NONE;
	else if (!strcmp(path, "runtime/default") || !strcmp(path, "docker/default"))
		ret_choice->kind = SECCOMP_DEFAULT;
	else if (!strncmp(path, "localhost/", strlen("localhost/")))
		*ret_choice = (struct seccomp_choice){ SECCOMP_FILE, path + strlen("localhost/") };
	else
		return error_set(err, ERR_INVALID, "security_context.seccomp_profile_path: '%s' names no profile", path);
	return 0;
}

static int choose_by_profile(const Cri__SecurityProfile *profile, struct seccomp_choice *ret_choice, struct error *err)
{
	const char *path = profile->localhost_ref;

	switch ((int)profile->profile_type) { /* int: clang counts the generated value that no message has */
	case CRI__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault:
		ret_choice->kind = SECCOMP_DEFAULT;
		return 0;
	case CRI__SECURITY_PROFILE__PROFILE_TYPE__Unconfined:
		ret_choice->kind = SECCOMP_NONE;
		return 0;
	case CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost:
		/* older kubelets left the prefix of the older field in front */
		path += !strncmp(path, "localhost/", strlen("localhost/")) ? strlen("localhost/") : 0;
		*ret_choice = (struct seccomp_choice){ SECCOMP_FILE, path };
		return 0;
	default:
		return error_set(err, ERR_INVALID, "security_context.seccomp.profile_type: unknown value %d",
				 (int)profile->profile_type);
	}
}

int seccomp_choose(const Cri__ContainerConfig *config, const char *node_default, struct seccomp_choice *ret_choice,
		   struct error *err)
{
	const Cri__LinuxContainerSecurityContext *context = container_security(config);
	struct seccomp_choice choice = { 0 };

	if (context->seccomp ? choose_by_profile(context->seccomp, &choice, err) < 0
			     : choose_by_path(container_old_seccomp_field(context), &choice, err) < 0)
		return -1;
	if (choice.kind == SECCOMP_FILE && choice.path[0] != '/')
		return error_set(err, ERR_INVALID, "security_context.seccomp: profile '%s' is not an absolute path", choice.path);
	if (choice.kind == SECCOMP_DEFAULT && strcmp(node_default, "builtin") != 0)
		choice = node_default[0] == '/' ? (struct seccomp_choice){ SECCOMP_FILE, node_default }
						: (struct seccomp_choice){ .kind = SECCOMP_NONE };
	if (context->privileged)
		choice = (struct seccomp_choice){ .kind = SECCOMP_NONE };
	*ret_choice = choice;
	return 0;
}

static int choose(const struct container *container, struct seccomp_choice *ret_choice, struct error *err)
{
	struct handler_options handler;

	if (handler_options(container->node->config, container->sandbox->runtime_handler, &handler, err) < 0)
		return -1;
	return seccomp_choose(container->config, handler.seccomp_default, ret_choice, err);
}

/* Neither a fifo that nobody writes to nor a device that answers slowly shall keep us. */
static int read_profile(const char *path, struct buffer *text, struct error *err)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_sys(err, errno, "open %s", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_INVALID, "%s is not a regular file", path);
	return io_read_fd(fd, path, text, err);
}

static int compile(const char *path, const struct buffer *text, uint64_t caps, struct arena *arena,
		   const struct seccomp_filter **ret_filter, struct error *err)
{
	return seccomp_compile(text->data ? text->data : "", text->len, caps, arena, ret_filter, err) < 0
		       ? error_prefix(err, "%s", path)
		       : 0;
}

static int keep_copy(const struct container *container, const char *profile, struct error *err)
{
	const struct container_user nobody = { 0 };
	_cleanup_arena_ struct arena scratch = ARENA_INIT;
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(SECCOMP_PROFILE_MAX);
	const struct seccomp_filter *filter;
	struct identity identity;
	char path[PATH_MAX];

	if (read_profile(profile, &text, err) < 0 || container_identity(container->config, &nobody, &identity, err) < 0 ||
	    compile(profile, &text, identity.bounding, &scratch, &filter, err) < 0 ||
	    path_format(path, err, "%s/" COPY, container->state_dir) < 0)
		return -1;
	return io_replace_file(AT_FDCWD, path, text.data, text.len, 0600, err);
}

int container_keep_seccomp(const struct container *container, struct error *err)
{
	struct seccomp_choice choice;

	if (choose(container, &choice, err) < 0)
		return -1;
	if (choice.kind != SECCOMP_FILE)
		return 0;
	return keep_copy(container, choice.path, err) < 0 ? error_prefix(err, "security_context.seccomp") : 0;
}

int container_seccomp(const struct container *container, const struct identity *identity, struct arena *arena,
		      const struct seccomp_filter **ret_filter, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(SECCOMP_PROFILE_MAX);
	struct seccomp_choice choice;
	char path[PATH_MAX];

	*ret_filter = NULL;
	if (choose(container, &choice, err) < 0)
		return -1;
	if (choice.kind == SECCOMP_NONE)
		return 0;
	if (choice.kind == SECCOMP_DEFAULT)
		return seccomp_builtin(identity->bounding, ret_filter, err);
	if (path_format(path, err, "%s/" COPY, container->state_dir) < 0 || io_read_file(AT_FDCWD, path, &text, err) < 0)
		return -1;
	return compile(choice.path, &text, identity->bounding, arena, ret_filter, err);
}
