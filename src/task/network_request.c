#include "task/network_request.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "task/sandbox_spec.h"

/* ---- rates ---- */

/* What kubelet accepts, too. */
#define RATE_MIN 1e3
#define RATE_MAX 999e12 /* cJSON writes 1e15 as what Go takes for no integer */

static bool scale_of(const char *suffix, double *ret_scale)
{
	static const struct {
		const char *suffix;
		double scale;
	} rows[] = {
		{ "", 1 },     { "m", 1e-3 },    { "k", 1e3 },     { "M", 1e6 },     { "G", 1e9 },     { "T", 1e12 },
		{ "P", 1e15 }, { "Ki", 0x1p10 }, { "Mi", 0x1p20 }, { "Gi", 0x1p30 }, { "Ti", 0x1p40 }, { "Pi", 0x1p50 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (strcmp(rows[i].suffix, suffix) == 0) {
			*ret_scale = rows[i].scale;
			return true;
		}
	}
	return false;
}

/* strtod(3) takes more than a quantity is: hexadecimal numbers, infinities, leading space. */
int network_rate_parse(const char *text, uint64_t *ret_bits, struct error *err)
{
	size_t len = strspn(text, "0123456789.+-eE");
	char *end;
	double scale, value = strtod(text, &end);

	if (len == 0 || end != text + len || !scale_of(end, &scale))
		return error_set(err, ERR_INVALID, "'%.64s' is not a quantity", text);
	value = ceil(value * scale);
	if (!(value >= RATE_MIN && value <= RATE_MAX))
		return error_set(err, ERR_INVALID, "'%.64s' is not between 1k and 999T", text);
	*ret_bits = (uint64_t)value;
	return 0;
}

static int read_rate(const Cri__PodSandboxConfig *config, const char *annotation, uint64_t *ret_bits, struct error *err)
{
	for (size_t i = 0; i < config->n_annotations; i++) {
		if (strcmp(config->annotations[i]->key, annotation) != 0)
			continue;
		return network_rate_parse(config->annotations[i]->value, ret_bits, err) < 0
			       ? error_prefix(err, "annotation %s", annotation)
			       : 0;
	}
	return 0;
}

/* ---- the request ---- */

/* protobuf-c's lists have a length and no NULL. */
static char *const *terminate(char **list, size_t n, struct arena *arena)
{
	char **copy = arena_new_array(arena, char *, n + 1);

	if (copy && n > 0)
		memcpy(copy, list, n * sizeof(*copy));
	return copy;
}

static struct net_dns convert_dns(const Cri__DNSConfig *dns, struct arena *arena)
{
	if (!dns)
		return (struct net_dns){ 0 };
	return (struct net_dns){
		.servers = terminate(dns->servers, dns->n_servers, arena),
		.searches = terminate(dns->searches, dns->n_searches, arena),
		.options = terminate(dns->options, dns->n_options, arena),
	};
}

int network_request_make(const struct sandbox *sandbox, int netns, struct arena *arena, struct net_request *ret_request,
			 struct error *err)
{
	const Cri__PodSandboxConfig *config = sandbox->config;
	char title[SANDBOX_TITLE_SIZE];
	struct net_request request = {
		.pod_id = sandbox->id,
		.pod_name = arena_strdup(arena, sandbox_title(sandbox, title)),
		.netns = netns,
		.netns_path = arena_printf(arena, "%s/net", sandbox->dir),
		.name = config->metadata->name,
		.namespace = config->metadata->namespace_,
		.uid = config->metadata->uid,
		.dns = convert_dns(config->dns_config, arena),
	};

	if (read_rate(config, "kubernetes.io/ingress-bandwidth", &request.ingress_bits, err) < 0 ||
	    read_rate(config, "kubernetes.io/egress-bandwidth", &request.egress_bits, err) < 0 ||
	    sandbox_ports(config, arena, &request, err) < 0)
		return -1;
	if (arena_failed(arena))
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	*ret_request = request;
	return 0;
}
