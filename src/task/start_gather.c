/* What a start looks up and opens nothing for: ExplainContainer gathers it too, and prints what becomes of it. */
#include "image/image.h"
#include "task/container_cdi.h"
#include "task/handler.h"
#include "task/node_impl.h"
#include "task/sandbox_spec.h"
#include "task/start_container.h"

static int resolve_user(struct start_container *op, struct user *ret_user, struct error *err)
{
	const struct container *container = op->container;
	struct user_request request = container_user_request(container->config, &container->image->config);

	if (user_resolve(op->rootfs, &request, &op->keep, ret_user, err) < 0)
		return -1;
	op->user = (struct container_user){ ret_user->uid, ret_user->gid, ret_user->groups, ret_user->n_groups };
	return 0;
}

int start_find_user(struct start_container *op, struct error *err)
{
	const struct container *container = op->container;
	const struct image_config *image = &container->image->config;
	const char *hostname = sandbox_hostname(container->sandbox->config, &op->scratch);
	struct user user;

	if (resolve_user(op, &user, err) < 0)
		return -1;
	op->cwd = arena_strdup(&op->keep, container_cwd(container->config, image));
	if (!hostname || !op->cwd)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (container_env(container->config, image, hostname, user.home, &op->keep, &op->env, err) < 0 ||
	    container_cdi(container, &op->scratch, &op->cdi, err) < 0 || cdi_add_env(&op->cdi, &op->keep, &op->env, err) < 0)
		return -1;
	return cdi_add_groups(&op->cdi, &op->keep, &op->user, err);
}

int start_list_mounts(struct start_container *op, struct error *err)
{
	const struct container *container = op->container;

	if (container_mounts(container->sandbox, container->config, &op->scratch, &op->mounts, err) < 0)
		return -1;
	return cdi_add_mounts(&op->cdi, &op->scratch, &op->mounts, err);
}

int start_list_devices(struct start_container *op, struct error *err)
{
	const struct container *container = op->container;
	struct handler_options handler;

	if (handler_options(container->node->config, container->sandbox->runtime_handler, &handler, err) < 0 ||
	    container_devices(container->config, handler.host_devices, &op->scratch, &op->devices, err) < 0)
		return -1;
	return cdi_add_devices(&op->cdi, &op->user, &op->scratch, &op->devices, err);
}
