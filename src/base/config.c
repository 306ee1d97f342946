#include "base/config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <ini.h>

#include "base/config_check.h"
#include "base/mem.h"

enum kind { TEXT, NUMBER, FLAG };

struct option {
	const char *section, *key;
	enum kind kind;
	size_t offset; /* in struct config */
	const char *initial;
	int64_t min, max;       /* of a NUMBER */
	config_check_fn *check; /* of a TEXT; NULL: any */
	const char *help;       /* lines, each shorter than CONFIG_MAX_TEXT */
};

#define TEXT_OPTION(section, field, initial, check, help)                                                                          \
	{                                                                                                                          \
		section, #field, TEXT, offsetof(struct config, field), initial, 0, 0, check, help                                  \
	}
#define NUMBER_OPTION(section, field, initial, min, max, help)                                                                     \
	{                                                                                                                          \
		section, #field, NUMBER, offsetof(struct config, field), initial, min, max, NULL, help                             \
	}
#define FLAG_OPTION(section, field, initial, help)                                                                                 \
	{                                                                                                                          \
		section, #field, FLAG, offsetof(struct config, field), initial, 0, 0, NULL, help                                   \
	}

static const struct option options[] = {
	TEXT_OPTION("server", socket, "/run/monopod/monopod.sock", config_check_socket,
		    "Unix socket of the CRI; only root may connect."),
	TEXT_OPTION("server", root_dir, "/var/lib/monopod", config_check_path,
		    "What outlives a reboot: images, writable layers, the store."),
	TEXT_OPTION("server", state_dir, "/run/monopod", config_check_path, "What does not: namespaces, sockets. On a tmpfs."),
	TEXT_OPTION("server", log_level, "info", config_check_level, "error, warn, info or debug."),
	NUMBER_OPTION("server", max_message_bytes, "16777216", 65536, 1 << 30, "Longest gRPC message, both ways."),
	NUMBER_OPTION("server", max_connections, "1024", 1, 65536, "Clients at the same time."),
	NUMBER_OPTION("server", max_streams, "1024", 1, 65536, "Calls at the same time on one connection."),

	TEXT_OPTION("runtime", cgroup_root, "auto", config_check_auto_or_path,
		    "auto, or the directory where the cgroup hierarchies are mounted."),
	TEXT_OPTION("runtime", cgroup_driver, "auto", config_check_driver,
		    "Who makes cgroups: cgroupfs (the daemon), systemd (as scopes in slices; needs cgroup version 2), or\n"
		    "auto: systemd where it can. Clients must use the same; newer kubelets ask for it."),
	TEXT_OPTION("runtime", cgroup_parent, "/monopod", config_check_cgroup,
		    "Parent cgroup of pods that name none; systemd's driver makes /a/b the slice a-b.slice."),
	NUMBER_OPTION("runtime", pids_limit, "0", 0, 4194304,
		      "Most processes and threads in a container; 0: as many as its pod may have. On version 2 a pod\n"
		      "overrides it with pids.max among its unified settings."),
	TEXT_OPTION("runtime", seccomp_default, "builtin", config_check_seccomp,
		    "Profile of containers that ask for the runtime's default: builtin, unconfined, or the path of one in JSON."),
	TEXT_OPTION("runtime", rlimits, "", NULL,
		    "Resource limits of containers (setrlimit(2)): NAME=SOFT[:HARD], separated by commas, such as\n"
		    "nofile=1024:524288,core=0. The others are those with which the daemon was started."),
	TEXT_OPTION("runtime", apparmor_default, "builtin", config_check_apparmor,
		    "AppArmor profile of containers that name none, where AppArmor is on: builtin (monopod-default, which is\n"
		    "loaded when the daemon starts), unconfined, or the name of a loaded one."),
	TEXT_OPTION("runtime", cdi_dirs, "/etc/cdi,/var/run/cdi", config_check_paths,
		    "Directories of CDI Specs, separated by commas; of two Specs with the same device the one in the\n"
		    "later directory counts."),
	FLAG_OPTION("runtime", clamp_oom_score_adj, "true",
		    "Without CAP_SYS_RESOURCE the OOM score cannot be lowered: take the lowest that is allowed\n"
		    "(true), or fail the start (false)."),

	TEXT_OPTION("image", certs_dir, "/etc/monopod/certs.d", config_check_search_path,
		    "For each registry a directory HOST[:PORT] with hosts.toml (mirrors, as containerd has them) or Docker's\n"
		    "*.crt, *.cert and *.key; _default serves the others. Several such places are separated by colons."),
	TEXT_OPTION("image", insecure_registries, "", NULL,
		    "Registries that are spoken to over plain HTTP: HOST[:PORT], separated by commas."),
	TEXT_OPTION("image", auth_file, "", config_check_path_or_none,
		    "Credentials of the node for pulls that bring none: a file in the form of Docker's config.json. Empty: none.\n"
		    "Read for each pull; helpers that it names are not run."),
	NUMBER_OPTION("image", max_layer_bytes, "17179869184", 1 << 20, INT64_C(1) << 50, "Largest layer, unpacked."),
	NUMBER_OPTION("image", pull_progress_timeout_ms, "60000", 1000, 3600000,
		      "A pull that receives nothing for this long has failed."),
	NUMBER_OPTION("image", max_parallel_pulls, "16", 1, 32,
		      "Images that are pulled or imported at the same time; the others wait in the order in which they came. A\n"
		      "kubelet asks for one after another (serializeImagePulls), or for as many as maxParallelImagePulls says."),
	NUMBER_OPTION("image", max_parallel_downloads, "12", 1, 64,
		      "Layers that are downloaded and unpacked at the same time, of all images together. The image with the\n"
		      "fewest of them is served next."),
	NUMBER_OPTION("image", max_parallel_downloads_per_image, "3", 1, 16, "And of one image."),
	NUMBER_OPTION("image", keep_partial_pulls_ms, "3600000", 0, INT64_C(30) * 24 * 3600 * 1000,
		      "Layers of a pull that did not come to its end serve the next one for this long; 0: they go at once."),
	TEXT_OPTION("image", pinned_images, "", NULL,
		    "Images that the kubelet's garbage collection leaves alone: names, separated by commas; * stands for any\n"
		    "characters (docker.io/library/*)."),

	{ "net", "engine", TEXT, offsetof(struct config, net_engine), "auto", 0, 0, config_check_engine,
	  "auto: CNI plugins as soon as cni_conf_dir holds a configuration, the embedded bridge while it holds none;\n"
	  "exec: CNI plugins, and no pod before there is a configuration." },
	TEXT_OPTION("net", cni_conf_dir, "/etc/cni/net.d", config_check_path,
		    "Network configurations (*.conflist, *.conf); the first one in the order of names counts."),
	TEXT_OPTION("net", cni_bin_dirs, "/opt/cni/bin,/usr/lib/cni", config_check_paths,
		    "Directories of CNI plugins, separated by commas; the first one that has a plugin counts."),
	TEXT_OPTION("net", bridge, "monopod0", config_check_link,
		    "Bridge of the embedded network, which serves when there is no CNI configuration."),
	TEXT_OPTION("net", pod_cidr, "10.88.0.0/16", config_check_cidr, "IPv4 addresses of its pods."),
	TEXT_OPTION("net", mtu, "auto", config_check_mtu, "auto (that of the default route), or bytes."),
};

/* Of a [runtime.NAME]: offsets are in struct config_handler, and an empty text is that of [runtime]. */
static const struct option handler_options[] = {
	{ "runtime.NAME", "seccomp_default", TEXT, offsetof(struct config_handler, seccomp_default), "", 0, 0, config_check_seccomp,
	  "Instead of runtime.seccomp_default; empty: the same." },
	{ "runtime.NAME", "apparmor_default", TEXT, offsetof(struct config_handler, apparmor_default), "", 0, 0,
	  config_check_apparmor, "Instead of runtime.apparmor_default; empty: the same." },
	{ "runtime.NAME", "privileged_without_host_devices", FLAG, offsetof(struct config_handler, privileged_without_host_devices),
	  "false", 0, 0, NULL, "Privileged containers get no devices but those that they ask for." },
};

/* Names that pods choose from; a node has a handful (arbitrary). */
#define MAX_HANDLERS 32

/* ---- one option ---- */

static const struct option *find_option(const char *section, size_t section_len, const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (!strncmp(options[i].section, section, section_len) && options[i].section[section_len] == '\0' &&
		    !strcmp(options[i].key, key))
			return &options[i];
	}
	return NULL;
}

static void *field_of(struct config *config, const struct option *option)
{
	return (char *)config + option->offset;
}

static int set_text(char **text, const struct option *option, const char *value, struct error *err)
{
	char *copy;

	bool inherits = !strcmp(option->section, "runtime.NAME") && !*value;

	if (config_check_text(value, err) < 0 || (option->check && !inherits && option->check(value, err) < 0))
		return -1;
	copy = strdup(value);
	if (!copy)
		return error_sys(err, ENOMEM, "copy");
	free(*text);
	*text = copy;
	return 0;
}

static int set_flag(bool *flag, const char *value, struct error *err)
{
	if (strcmp(value, "true") && strcmp(value, "false"))
		return error_set(err, ERR_INVALID, "must be true or false");
	*flag = value[0] == 't';
	return 0;
}

static int set_field(void *field, const struct option *option, const char *value, struct error *err)
{
	switch (option->kind) {
	case TEXT:
		return set_text(field, option, value, err);
	case NUMBER:
		return config_parse_number(value, option->min, option->max, field, err);
	case FLAG:
		return set_flag(field, value, err);
	}
	return error_set(err, ERR_INTERNAL, "has an unknown kind");
}

static int set_option(struct config *config, const struct option *option, const char *value, struct error *err)
{
	if (set_field(field_of(config, option), option, value, err) < 0)
		return error_prefix(err, "%s.%s = %.64s", option->section, option->key, value);
	return 0;
}

/* ---- runtime handlers ---- */

/* The part behind "runtime."; NULL when the section is another. */
static const char *handler_name(const char *section)
{
	return !strncmp(section, "runtime.", 8) ? section + 8 : NULL;
}

/* As Kubernetes has the handler of a RuntimeClass: a DNS label (RFC 1123). */
static bool is_handler_name(const char *name, size_t len)
{
	return len > 0 && len <= 63 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") >= len && name[0] != '-' &&
	       name[len - 1] != '-';
}

static struct config_handler *find_handler(const struct config *config, const char *name, size_t len)
{
	struct config_handler *handler = config->handlers;

	while (handler && (strncmp(handler->name, name, len) != 0 || handler->name[len] != '\0'))
		handler = handler->next;
	return handler;
}

const struct config_handler *config_find_handler(const struct config *config, const char *name)
{
	return find_handler(config, name, strlen(name));
}

static void free_handler(struct config_handler *handler)
{
	free(handler->name);
	free(handler->seccomp_default);
	free(handler->apparmor_default);
	free(handler);
}

/* At the end of the list. */
static int add_handler(struct config *config, const char *name, size_t len, struct error *err)
{
	struct config_handler *handler = calloc(1, sizeof(*handler)), **end = &config->handlers;
	unsigned n = 0;

	for (; *end; end = &(*end)->next)
		n++;
	if (handler)
		handler->name = strndup(name, len);
	for (size_t i = 0; handler && handler->name && i < ARRAY_SIZE(handler_options); i++) {
		if (set_field((char *)handler + handler_options[i].offset, &handler_options[i], handler_options[i].initial, err) <
		    0) {
			free_handler(handler);
			return -1;
		}
	}
	if (!handler || !handler->name || n == MAX_HANDLERS) {
		if (handler)
			free_handler(handler);
		return n == MAX_HANDLERS ? error_set(err, ERR_INVALID, "more than %d runtime handlers", MAX_HANDLERS)
					 : error_sys(err, ENOMEM, "copy");
	}
	*end = handler;
	return 0;
}

static int need_handler(struct config *config, const char *name, size_t len, struct error *err)
{
	if (!is_handler_name(name, len))
		return error_set(err, ERR_INVALID,
				 "'%.*s' is no name of a runtime handler: lower-case letters, digits and inner '-'", (int)len,
				 name);
	return find_handler(config, name, len) ? 0 : add_handler(config, name, len, err);
}

/* Index into handler_options; -1 when there is none of that name. */
static int find_handler_option(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(handler_options); i++) {
		if (!strcmp(handler_options[i].key, key))
			return (int)i;
	}
	return -1;
}

static int set_handler(struct config *config, const char *name, size_t len, const char *key, const char *value, struct error *err)
{
	int i = find_handler_option(key);

	if (i < 0)
		return error_set(err, ERR_INVALID, "there is no option runtime.%.*s.%s", (int)len, name, key);
	if (need_handler(config, name, len, err) < 0)
		return -1;
	if (set_field((char *)find_handler(config, name, len) + handler_options[i].offset, &handler_options[i], value, err) < 0)
		return error_prefix(err, "runtime.%.*s.%s = %.64s", (int)len, name, key, value);
	return 0;
}

/* ---- a file ---- */

struct reading {
	struct config *config;
	FILE *file;
	int line;                       /* counted here: libinih's handlers are not told */
	bool seen[ARRAY_SIZE(options)]; /* continuation lines come as the same key again */
	char last_key[INI_MAX_LINE];    /* ... as do those of a runtime handler, right after it */
	bool failed;
	struct error err;
};

static bool is_section(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (!strncmp(options[i].section, name, len) && options[i].section[len] == '\0')
			return true;
	}
	return false;
}

/* libinih cuts what is too long without a word, and tells no one of sections without keys. */
static int check_line(struct config *config, const char *line, bool complete, struct error *err)
{
	const char *start = line + strspn(line, " \t");
	const char *name = *start == '[' ? handler_name(start + 1) : NULL;

	if (!complete)
		return error_set(err, ERR_INVALID, "the line is longer than %d bytes", INI_MAX_LINE - 2);
	if (name)
		return need_handler(config, name, strcspn(name, "]\n"), err);
	if (*start == '[' && !is_section(start + 1, strcspn(start + 1, "]")))
		return error_set(err, ERR_INVALID, "there is no section %.*s]", (int)strcspn(start, "]\n"), start);
	return 0;
}

static char *read_line(char *line, int size, void *arg)
{
	struct reading *reading = arg;

	if (reading->failed || !fgets(line, size, reading->file))
		return NULL;
	reading->line++;
	reading->failed = check_line(reading->config, line, strchr(line, '\n') || feof(reading->file), &reading->err) < 0;
	return reading->failed ? NULL : line;
}

static int read_handler(struct reading *reading, const char *handler, const char *key, const char *value)
{
	char name[INI_MAX_LINE];

	(void)snprintf(name, sizeof(name), "%s.%s", handler, key);
	if (!strcmp(reading->last_key, name))
		return error_set(&reading->err, ERR_INVALID, "runtime.%s is set again, or goes on from the line before", name);
	(void)snprintf(reading->last_key, sizeof(reading->last_key), "%s", name);
	return set_handler(reading->config, handler, strlen(handler), key, value, &reading->err);
}

static int read_option(struct reading *reading, const char *section, const char *key, const char *value)
{
	const struct option *option = find_option(section, strlen(section), key);
	const char *handler = handler_name(section);

	if (handler)
		return read_handler(reading, handler, key, value);
	if (!option)
		return error_set(&reading->err, ERR_INVALID, "there is no option %s.%s", section, key);
	if (reading->seen[option - options])
		return error_set(&reading->err, ERR_INVALID, "%s.%s is set again, or goes on from the line before", section, key);
	reading->seen[option - options] = true;
	return set_option(reading->config, option, value, &reading->err);
}

/* libinih: 0 is failure. */
static int on_option(void *arg, const char *section, const char *key, const char *value)
{
	struct reading *reading = arg;

	reading->failed = reading->failed || read_option(reading, section, key, value) < 0;
	return !reading->failed;
}

static int read_stream(struct config *config, FILE *file, const char *path, struct error *err)
{
	struct reading reading = { .config = config, .file = file, .err = ERROR_INIT };
	int bad_line = ini_parse_stream(read_line, &reading, on_option, &reading);

	if (ferror(file))
		return error_sys(err, EIO, "read %s", path);
	if (bad_line > 0 && (!reading.failed || bad_line < reading.line))
		return error_set(err, ERR_INVALID, "%s line %d: neither 'key = value' nor '[section]' nor a comment", path,
				 bad_line);
	if (reading.failed) {
		*err = reading.err;
		return error_prefix(err, "%s line %d", path, reading.line);
	}
	return bad_line < 0 ? error_sys(err, ENOMEM, "read %s", path) : 0;
}

int config_read(struct config *config, const char *path, struct error *err)
{
	FILE *file = fopen(path, "re");
	int rc;

	if (!file)
		return error_sys(err, errno, "open %s", path);
	rc = read_stream(config, file, path, err);
	(void)fclose(file);
	return rc;
}

/* ---- the rest ---- */

int config_set(struct config *config, const char *name, const char *value, struct error *err)
{
	const char *dot = strchr(name, '.');
	const struct option *option = dot ? find_option(name, (size_t)(dot - name), dot + 1) : NULL;
	const char *handler = handler_name(name), *key = handler ? strchr(handler, '.') : NULL;

	if (key)
		return set_handler(config, handler, (size_t)(key - handler), key + 1, value, err);
	if (!option)
		return error_set(err, ERR_INVALID, "there is no option %s", name);
	return set_option(config, option, value, err);
}

int config_init(struct config *config, struct error *err)
{
	*config = (struct config){ 0 };
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (set_option(config, &options[i], options[i].initial, err) < 0) {
			config_release(config);
			return error_prefix(err, "set defaults");
		}
	}
	return 0;
}

static void print_help(const struct option *option, FILE *out)
{
	for (const char *line = option->help; *line;) {
		size_t len = strcspn(line, "\n");

		fprintf(out, "# %.*s\n", (int)len, line);
		line += len + (line[len] == '\n');
	}
}

static void print_value(const struct option *option, const void *field, FILE *out)
{
	switch (option->kind) {
	case TEXT:
		fprintf(out, "%s =%s%s\n", option->key, **(char *const *)field ? " " : "", *(char *const *)field);
		break;
	case NUMBER:
		fprintf(out, "# %" PRId64 " to %" PRId64 ".\n", option->min, option->max);
		fprintf(out, "%s = %" PRId64 "\n", option->key, *(const int64_t *)field);
		break;
	case FLAG:
		fprintf(out, "%s = %s\n", option->key, *(const bool *)field ? "true" : "false");
		break;
	}
}

static void print_handler(const struct config_handler *handler, FILE *out)
{
	fprintf(out, "\n[runtime.%s]\n", handler->name);
	for (size_t i = 0; i < ARRAY_SIZE(handler_options); i++) {
		print_help(&handler_options[i], out);
		print_value(&handler_options[i], (const char *)handler + handler_options[i].offset, out);
	}
}

int config_print(const struct config *config, FILE *out)
{
	const char *section = "";

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		const struct option *option = &options[i];

		if (strcmp(section, option->section))
			fprintf(out, "%s[%s]\n", i > 0 ? "\n" : "", option->section);
		section = option->section;
		print_help(option, out);
		print_value(option, (const char *)config + option->offset, out);
	}
	for (const struct config_handler *handler = config->handlers; handler; handler = handler->next)
		print_handler(handler, out);
	return fflush(out) == 0 && !ferror(out) ? 0 : -1;
}

void config_release(struct config *config)
{
	while (config->handlers) {
		struct config_handler *handler = config->handlers;

		config->handlers = handler->next;
		free_handler(handler);
	}
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		char **text = field_of(config, &options[i]);

		if (options[i].kind != TEXT)
			continue;
		free(*text);
		*text = NULL;
	}
}
