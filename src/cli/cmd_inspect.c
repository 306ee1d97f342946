#include <string.h>

#include "base/mem.h"
#include "cli/command.h"
#include "cli/find.h"
#include "cli/json.h"
#include "cli/pod_ops.h"
#include "proto/cri.pb-c.h"

struct inspect_options {
	const char *type;
};

static const struct option_row inspect_rows[] = {
	{ 't', "type", "TYPE", OPTION_TEXT, offsetof(struct inspect_options, type),
	  "container, pod or image; without it the first of these that REFERENCE names", 0, 0 },
	NO_MORE_OPTIONS,
};

typedef ProtobufCMessage *lookup_fn(struct cli *cli, const char *reference, struct error *err);

static ProtobufCMessage *lookup_container(struct cli *cli, const char *reference, struct error *err)
{
	Cri__ContainerStatusResponse *reply = NULL;
	const char *id = NULL;

	if (find_container(cli, reference, &id, err) == 0)
		reply = container_status(cli, id, true, err);
	return reply ? &reply->base : NULL;
}

static ProtobufCMessage *lookup_pod(struct cli *cli, const char *reference, struct error *err)
{
	Cri__PodSandboxStatusResponse *reply = NULL;
	const char *id = NULL;

	if (find_pod(cli, reference, &id, err) == 0)
		reply = pod_status(cli, id, true, err);
	return reply ? &reply->base : NULL;
}

static ProtobufCMessage *lookup_image(struct cli *cli, const char *reference, struct error *err)
{
	Cri__ImageStatusRequest request = CRI__IMAGE_STATUS_REQUEST__INIT;
	Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
	Cri__ImageStatusResponse *reply;

	spec.image = arena_strdup(&cli->arena, reference);
	request.image = &spec;
	request.verbose = true;
	if (cli_check_memory(cli, err) < 0)
		return NULL;
	reply = (Cri__ImageStatusResponse *)cli_call(cli, "ImageStatus", &request.base, err);
	if (!reply)
		return NULL;
	if (reply->image)
		return &reply->base;
	(void)error_set(err, ERR_NOT_FOUND, "there is no image '%s'", reference);
	protobuf_c_message_free_unpacked(&reply->base, NULL);
	return NULL;
}

static const struct {
	const char *type;
	lookup_fn *lookup;
} kinds[] = {
	{ "container", lookup_container },
	{ "pod", lookup_pod },
	{ "image", lookup_image },
};

static ProtobufCMessage *lookup_any(struct cli *cli, const char *reference, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct error miss = ERROR_INIT;
		ProtobufCMessage *found = kinds[i].lookup(cli, reference, &miss);

		if (found)
			return found;
		/* An image reference that is no image's spelling is just another miss. */
		if (miss.code != ERR_NOT_FOUND && !(kinds[i].lookup == lookup_image && miss.code == ERR_INVALID)) {
			*err = miss;
			return NULL;
		}
	}
	(void)error_set(err, ERR_NOT_FOUND, "there is no container, pod or image '%s'", reference);
	return NULL;
}

/* The values of `info` are JSON documents in strings: shown as what they are, when they parse. */
static void unfold_info(cJSON *json)
{
	cJSON *info = cJSON_GetObjectItemCaseSensitive(json, "info");
	cJSON *item = info ? info->child : NULL;

	while (item) {
		cJSON *next = item->next;
		cJSON *inner = cJSON_IsString(item) ? cJSON_Parse(item->valuestring) : NULL;

		if (inner && !cJSON_ReplaceItemInObjectCaseSensitive(info, item->string, inner))
			cJSON_Delete(inner);
		item = next;
	}
}

static int run_inspect(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	const struct inspect_options *options = opts;
	ProtobufCMessage *found = NULL;
	bool known = !options->type;
	cJSON *json;

	(void)n_args;
	for (size_t i = 0; i < ARRAY_SIZE(kinds) && options->type; i++) {
		if (strcmp(kinds[i].type, options->type) != 0)
			continue;
		known = true;
		found = kinds[i].lookup(cli, args[0], err);
	}
	if (!known)
		return cli_usage(err, "--type is container, pod or image, not '%s'", options->type);
	if (!options->type)
		found = lookup_any(cli, args[0], err);
	if (!found)
		return CLI_FAILED;
	json = json_of_message(found);
	protobuf_c_message_free_unpacked(found, NULL);
	if (json)
		unfold_info(json);
	return json_print(json, cli->out, err);
}

const struct command subcommand_inspect = {
	.name = "inspect",
	.arguments = "REFERENCE",
	.summary = "print all that is known about a container, pod or image",
	.text = "Prints the verbose status as JSON, whatever --output says.",
	.options = inspect_rows,
	.options_size = sizeof(struct inspect_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_inspect,
};
