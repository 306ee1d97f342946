#include "cli/find.h"

#include <string.h>

#include "base/mem.h"
#include "cli/command.h"
#include "cli/text.h"

/* How well a candidate fits; a better fit beats any number of worse ones. */
enum fit { FIT_NONE, FIT_PREFIX, FIT_NAME, FIT_RUNNING_NAME, FIT_ID };

struct choice {
	const char *what; /* "pod" or "container" */
	const char *reference;
	enum fit best;
	size_t n_best;
	const char *id;    /* of the first best */
	const char *other; /* of another one as good */
};

static void consider(struct choice *c, enum fit fit, const char *id)
{
	if (fit == FIT_NONE || fit < c->best)
		return;
	if (fit > c->best) {
		c->best = fit;
		c->n_best = 1;
		c->id = id;
		return;
	}
	c->n_best++;
	c->other = id;
}

static int decide(const struct choice *c, const char **ret_id, struct error *err)
{
	char first[TEXT_SHORT_ID_SIZE];
	char second[TEXT_SHORT_ID_SIZE];

	if (c->best == FIT_NONE)
		return error_set(err, ERR_NOT_FOUND, "there is no %s '%s'", c->what, c->reference);
	if (c->n_best == 1) {
		*ret_id = c->id;
		return 0;
	}
	text_short_id(first, c->id);
	text_short_id(second, c->other);
	return error_set(err, ERR_INVALID, "'%s' fits %zu %ss (%s, %s%s): give an id", c->reference, c->n_best, c->what, first,
			 second, c->n_best > 2 ? ", ..." : "");
}

static enum fit fit_id(const char *reference, const char *id)
{
	if (strcmp(id, reference) == 0)
		return FIT_ID;
	return reference[0] && strncmp(id, reference, strlen(reference)) == 0 ? FIT_PREFIX : FIT_NONE;
}

/* True when `reference` is "first/second". */
static bool is_pair(const char *reference, const char *first, const char *second)
{
	size_t len = strlen(first);

	return strncmp(reference, first, len) == 0 && reference[len] == '/' && strcmp(reference + len + 1, second) == 0;
}

static enum fit fit_pod(const char *reference, const Cri__PodSandbox *pod)
{
	const Cri__PodSandboxMetadata *m = pod->metadata;

	if (!m || (strcmp(m->name, reference) != 0 && !is_pair(reference, m->namespace_, m->name)))
		return fit_id(reference, pod->id);
	return pod->state == CRI__POD_SANDBOX_STATE__SANDBOX_READY ? FIT_RUNNING_NAME : FIT_NAME;
}

int choose_pod(const Cri__ListPodSandboxResponse *pods, const char *reference, const char **ret_id, struct error *err)
{
	struct choice c = { .what = "pod", .reference = reference };

	for (size_t i = 0; i < pods->n_items; i++)
		consider(&c, fit_pod(reference, pods->items[i]), pods->items[i]->id);
	return decide(&c, ret_id, err);
}

static const char *pod_name(const Cri__ListPodSandboxResponse *pods, const char *id)
{
	for (size_t i = 0; i < pods->n_items; i++) {
		if (strcmp(pods->items[i]->id, id) == 0 && pods->items[i]->metadata)
			return pods->items[i]->metadata->name;
	}
	return "";
}

static enum fit fit_container(const char *reference, const Cri__Container *container, const Cri__ListPodSandboxResponse *pods)
{
	const char *name = container->metadata ? container->metadata->name : "";

	if (strcmp(name, reference) != 0 && !is_pair(reference, pod_name(pods, container->pod_sandbox_id), name))
		return fit_id(reference, container->id);
	return container->state == CRI__CONTAINER_STATE__CONTAINER_RUNNING ? FIT_RUNNING_NAME : FIT_NAME;
}

int choose_container(const Cri__ListContainersResponse *containers, const Cri__ListPodSandboxResponse *pods, const char *reference,
		     const char **ret_id, struct error *err)
{
	struct choice c = { .what = "container", .reference = reference };

	for (size_t i = 0; i < containers->n_containers; i++)
		consider(&c, fit_container(reference, containers->containers[i], pods), containers->containers[i]->id);
	return decide(&c, ret_id, err);
}

static Cri__ListPodSandboxResponse *list_pods(struct cli *cli, struct error *err)
{
	Cri__ListPodSandboxRequest request = CRI__LIST_POD_SANDBOX_REQUEST__INIT;

	return (Cri__ListPodSandboxResponse *)cli_call(cli, "ListPodSandbox", &request.base, err);
}

static int keep(struct cli *cli, const char *id, const char **ret_id, struct error *err)
{
	*ret_id = arena_strdup(&cli->arena, id);
	return cli_check_memory(cli, err);
}

int find_pod(struct cli *cli, const char *reference, const char **ret_id, struct error *err)
{
	_cleanup_message_ Cri__ListPodSandboxResponse *pods = list_pods(cli, err);
	const char *id = NULL;

	if (!pods || choose_pod(pods, reference, &id, err) < 0)
		return -1;
	return keep(cli, id, ret_id, err);
}

int find_container(struct cli *cli, const char *reference, const char **ret_id, struct error *err)
{
	Cri__ListContainersRequest request = CRI__LIST_CONTAINERS_REQUEST__INIT;
	_cleanup_message_ Cri__ListPodSandboxResponse *pods = list_pods(cli, err);
	_cleanup_message_ Cri__ListContainersResponse *containers = NULL;
	const char *id = NULL;

	if (!pods)
		return -1;
	containers = (Cri__ListContainersResponse *)cli_call(cli, "ListContainers", &request.base, err);
	if (!containers || choose_container(containers, pods, reference, &id, err) < 0)
		return -1;
	return keep(cli, id, ret_id, err);
}
