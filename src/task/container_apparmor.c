/* Which AppArmor profile a container's processes run under. */
#include <string.h>

#include "runtime/apparmor.h"
#include "task/container.h"
#include "task/container_spec.h"
#include "task/handler.h"
#include "task/node_impl.h"

static const char *without_localhost(const char *ref)
{
	return !strncmp(ref, "localhost/", strlen("localhost/")) ? ref + strlen("localhost/") : ref;
}

static struct apparmor_choice choose_by_profile(const Cri__SecurityProfile *profile)
{
	if (profile->profile_type == CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost)
		return (struct apparmor_choice){ APPARMOR_BY_NAME, without_localhost(profile->localhost_ref) };
	if (profile->profile_type == CRI__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault)
		return (struct apparmor_choice){ .kind = APPARMOR_BY_DEFAULT };
	return (struct apparmor_choice){ .kind = APPARMOR_NONE };
}

/* Who does not say anything gets the default where there is one. */
static struct apparmor_choice choose_by_old_field(const char *profile)
{
	if (!strcmp(profile, "unconfined"))
		return (struct apparmor_choice){ .kind = APPARMOR_NONE };
	if (without_localhost(profile) != profile)
		return (struct apparmor_choice){ APPARMOR_BY_NAME, without_localhost(profile) };
	return (struct apparmor_choice){ .kind = *profile ? APPARMOR_BY_DEFAULT : APPARMOR_UNSAID };
}

struct apparmor_choice apparmor_choose(const Cri__ContainerConfig *config)
{
	const Cri__LinuxContainerSecurityContext *context = container_security(config);
	struct apparmor_choice choice = context->apparmor ? choose_by_profile(context->apparmor)
							  : choose_by_old_field(container_old_apparmor_field(context));

	/* a privileged container has a profile only when one is named */
	if (context->privileged && choice.kind != APPARMOR_BY_NAME)
		choice.kind = APPARMOR_NONE;
	return choice;
}

/* The default of that name: NULL when there is none. */
static int default_profile(const struct node *node, const char *name, bool asked, const char **ret_profile, struct error *err)
{
	*ret_profile = NULL;
	if (!node->has_apparmor || !strcmp(name, "unconfined"))
		return 0;
	if (strcmp(name, "builtin") != 0)
		*ret_profile = name;
	else if (node->has_apparmor_default)
		*ret_profile = APPARMOR_DEFAULT;
	else if (asked)
		return error_set(err, ERR_STATE,
				 "AppArmor profile " APPARMOR_DEFAULT " could not be loaded when the daemon started");
	return *ret_profile ? apparmor_check_profile(*ret_profile, err) : 0;
}

int container_apparmor(const struct container *container, const char **ret_profile, struct error *err)
{
	struct apparmor_choice choice = apparmor_choose(container->config);
	struct handler_options handler;
	int result = 0;

	*ret_profile = NULL;
	if (handler_options(container->node->config, container->sandbox->runtime_handler, &handler, err) < 0)
		return -1;
	if (choice.kind == APPARMOR_BY_NAME) {
		*ret_profile = choice.name;
		result = apparmor_check_profile(choice.name, err);
	} else if (choice.kind != APPARMOR_NONE) {
		result = default_profile(container->node, handler.apparmor_default, choice.kind == APPARMOR_BY_DEFAULT, ret_profile,
					 err);
	}
	return result < 0 ? error_prefix(err, "security_context.apparmor") : 0;
}
