#include "cri/text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

/* A DNS subdomain (RFC 1123), which is what Kubernetes names are at most. */
#define MAX_NAME 253

/* Ids have 64 bytes; the rest is for what others may have called theirs. */
#define MAX_ID 256

/* prefix/name of a qualified key: 253 and 63 bytes and the slash; other clients than Kubernetes get some more (arbitrary). */
#define MAX_KEY 512

/* HOST_NAME_MAX of Linux. */
#define MAX_HOSTNAME 64
#define MAX_LABEL 63

/* A repository has up to 255 bytes, a tag 128, a digest 135; with a host less than 1 KiB. */
#define MAX_IMAGE 1024

/* One line of a cgroup or sysctl file is read by the kernel in one page. */
#define MAX_VALUE 4095

/* A bearer token of a registry may carry a list of scopes; HTTP servers take headers of 8 to 64 KiB. */
#define MAX_SECRET 65536

static bool has_control(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	}
	return false;
}

static bool is_plain(const char *text)
{
	return !has_control(text);
}

static bool is_word(const char *text)
{
	return !has_control(text) && !strchr(text, ' ');
}

static bool is_made_of(const char *text, const char *characters)
{
	return strspn(text, characters) == strlen(text);
}

static bool has_dot_dot(const char *path)
{
	for (const char *at = path; at; at = strchr(at, '/')) {
		at += *at == '/';
		if (at[0] == '.' && at[1] == '.' && (at[2] == '/' || at[2] == '\0'))
			return true;
	}
	return false;
}

static bool is_name(const char *text)
{
	return !has_control(text) && !strchr(text, '/') && strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

static bool is_absolute(const char *text)
{
	return text[0] == '/';
}

static bool is_safe_absolute(const char *text)
{
	return is_absolute(text) && !has_dot_dot(text);
}

static bool is_safe_relative(const char *text)
{
	return !is_absolute(text) && !has_dot_dot(text);
}

/* Letters, digits and inner hyphens (RFC 952, RFC 1123 section 2.1). */
static bool is_host_label(const char *text, size_t len)
{
	if (len == 0 || len > MAX_LABEL || text[0] == '-' || text[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isascii((unsigned char)text[i]) || (!isalnum((unsigned char)text[i]) && text[i] != '-'))
			return false;
	}
	return true;
}

static bool is_hostname(const char *text)
{
	size_t len;

	for (;; text += len + 1) {
		len = strcspn(text, ".");
		if (!is_host_label(text, len))
			return false;
		if (text[len] == '\0')
			return true;
	}
}

static bool is_env_key(const char *text)
{
	return !strchr(text, '=');
}

static bool is_capability(const char *text)
{
	return is_made_of(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
}

/* Either spelling of sysctl(8): dots between the parts, or slashes, so that an interface name may hold the other. */
static bool is_sysctl_name(const char *text)
{
	size_t len;

	if (!is_made_of(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789-./"))
		return false;
	for (;; text += len + 1) {
		len = strcspn(text, "./");
		if (len == 0)
			return false;
		if (text[len] == '\0')
			return true;
	}
}

static bool is_cgroup_parent(const char *text)
{
	size_t len = strlen(text);
	bool is_slice = len > 6 && !strcmp(text + len - 6, ".slice");

	return !has_control(text) && !has_dot_dot(text) && (is_absolute(text) || (is_slice && !strchr(text, '/')));
}

static bool is_cpu_list(const char *text)
{
	return is_made_of(text, "0123456789,-");
}

/* The names of /sys/kernel/mm/hugepages as OCI spells them. */
static bool is_page_size(const char *text)
{
	const char *unit = text + strspn(text, "0123456789");

	return unit != text && (!strcmp(unit, "KB") || !strcmp(unit, "MB") || !strcmp(unit, "GB"));
}

static bool is_cgroup_file(const char *text)
{
	return is_made_of(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") &&
	       isalpha((unsigned char)text[0]) && strchr(text, '.') && !strstr(text, "..");
}

/* Settings for several devices stand in lines of one value. */
static bool is_cgroup_value(const char *text)
{
	for (; *text; text++) {
		if (((unsigned char)*text < 0x20 && *text != '\n') || *text == 0x7f)
			return false;
	}
	return true;
}

static bool is_ip(const char *text)
{
	unsigned char bytes[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

/* resolv.conf(5) may name the interface of a link-local server. */
static bool is_address(const char *text)
{
	char bare[INET6_ADDRSTRLEN];
	size_t len = strcspn(text, "%");

	if (len >= sizeof(bare) || !is_word(text) || (text[len] == '%' && text[len + 1] == '\0'))
		return false;
	memcpy(bare, text, len);
	bare[len] = '\0';
	return is_ip(bare);
}

static bool is_permissions(const char *text)
{
	return is_made_of(text, "rwm");
}

/* As Kubernetes has the handler of a RuntimeClass: a DNS label. */
static bool is_handler(const char *text)
{
	return is_made_of(text, "abcdefghijklmnopqrstuvwxyz0123456789-") && is_host_label(text, strlen(text));
}

static bool is_selinux_part(const char *text)
{
	return is_made_of(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
}

/* A letter and a number of up to four digits; returns what follows, NULL when it is something else. */
static const char *skip_numbered(const char *text, char letter)
{
	size_t digits = *text == letter ? strspn(text + 1, "0123456789") : 0;

	return digits >= 1 && digits <= 4 ? text + 1 + digits : NULL;
}

/* "c1", "c1.c3" and lists of them. */
static const char *skip_categories(const char *text)
{
	for (;;) {
		text = skip_numbered(text, 'c');
		if (text && *text == '.')
			text = skip_numbered(text + 1, 'c');
		if (!text || *text != ',')
			return text;
		text++;
	}
}

/* A sensitivity with its categories, or two of them as a range. */
static bool is_selinux_level(const char *text)
{
	for (int i = 0; i < 2; i++) {
		text = skip_numbered(text, 's');
		if (text && *text == ':')
			text = skip_categories(text + 1);
		if (!text || *text != '-')
			break;
		text++;
	}
	return text && *text == '\0';
}

/* The vendor's and the class's names begin with a letter, the device's with one or a digit; the Specs know the rest. */
static bool is_cdi_device(const char *text)
{
	const char *slash = strchr(text, '/'), *equals = strchr(text, '=');

	return slash && equals && slash < equals && isalpha((unsigned char)text[0]) && isalpha((unsigned char)slash[1]) &&
	       isalnum((unsigned char)equals[1]) &&
	       is_made_of(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.:/=");
}

const struct text_rule text_id = { .must = "an id without control characters", .max_bytes = MAX_ID, .valid = is_plain };
const struct text_rule text_optional_id = {
	.must = "an id without control characters", .max_bytes = MAX_ID, .optional = true, .valid = is_plain
};
const struct text_rule text_name = { .must = "a name without '/' and control characters", .max_bytes = MAX_NAME, .valid = is_name };
const struct text_rule text_label_key = { .must = "a key without control characters", .max_bytes = MAX_KEY, .valid = is_plain };
const struct text_rule text_any = { .must = "a text", .max_bytes = SIZE_MAX, .optional = true };
const struct text_rule text_hostname = { .must = "a host name (RFC 1123: letters, digits, '-' and '.')",
					 .max_bytes = MAX_HOSTNAME,
					 .optional = true,
					 .valid = is_hostname };
const struct text_rule text_path = { .must = "an absolute path without \"..\"",
				     .max_bytes = PATH_MAX - 1,
				     .valid = is_safe_absolute };
const struct text_rule text_optional_path = {
	.must = "an absolute path without \"..\"", .max_bytes = PATH_MAX - 1, .optional = true, .valid = is_safe_absolute
};
const struct text_rule text_relative_path = {
	.must = "a relative path without \"..\"", .max_bytes = PATH_MAX - 1, .optional = true, .valid = is_safe_relative
};
const struct text_rule text_working_dir = {
	.must = "an absolute path", .max_bytes = PATH_MAX - 1, .optional = true, .valid = is_absolute
};
const struct text_rule text_image = { .must = "an image reference without blanks", .max_bytes = MAX_IMAGE, .valid = is_word };
const struct text_rule text_optional_image = {
	.must = "an image reference without blanks", .max_bytes = MAX_IMAGE, .optional = true, .valid = is_word
};
const struct text_rule text_command = { .must = "a command", .max_bytes = TEXT_MAX_ARGUMENT };
const struct text_rule text_argument = { .must = "an argument", .max_bytes = TEXT_MAX_ARGUMENT, .optional = true };
const struct text_rule text_env_key = { .must = "a variable's name without '='",
					.max_bytes = TEXT_MAX_ARGUMENT,
					.valid = is_env_key };
const struct text_rule text_user_name = {
	.must = "a user name without blanks", .max_bytes = MAX_NAME, .optional = true, .valid = is_word
};
const struct text_rule text_capability = { .must = "the name of a capability", .max_bytes = MAX_LABEL, .valid = is_capability };
const struct text_rule text_sysctl_name = { .must = "the name of a sysctl", .max_bytes = MAX_NAME, .valid = is_sysctl_name };
const struct text_rule text_sysctl_value = {
	.must = "a value without control characters", .max_bytes = MAX_VALUE, .optional = true, .valid = is_plain
};
const struct text_rule text_cgroup_parent = { .must = "an absolute path without \"..\", or the name of a slice",
					      .max_bytes = PATH_MAX - 1,
					      .optional = true,
					      .valid = is_cgroup_parent };
const struct text_rule text_cpu_list = {
	.must = "a list of numbers and ranges (\"0-3,7\")", .max_bytes = MAX_VALUE, .optional = true, .valid = is_cpu_list
};
const struct text_rule text_page_size = { .must = "a page size (\"2MB\")", .max_bytes = MAX_LABEL, .valid = is_page_size };
const struct text_rule text_cgroup_file = { .must = "the name of a cgroup file (\"memory.high\")",
					    .max_bytes = MAX_LABEL,
					    .valid = is_cgroup_file };
const struct text_rule text_cgroup_value = { .must = "a value without control characters",
					     .max_bytes = MAX_VALUE,
					     .valid = is_cgroup_value };
const struct text_rule text_address = { .must = "an IP address", .max_bytes = MAX_NAME, .valid = is_address };
const struct text_rule text_host_ip = { .must = "an IP address", .max_bytes = MAX_NAME, .optional = true, .valid = is_ip };
const struct text_rule text_dns_word = { .must = "one word", .max_bytes = MAX_NAME, .valid = is_word };
const struct text_rule text_permissions = { .must = "letters of \"rwm\"", .max_bytes = 3, .valid = is_permissions };
const struct text_rule text_handler = { .must = "the name of a runtime handler (lower-case letters, digits and inner '-')",
					.max_bytes = MAX_LABEL,
					.optional = true,
					.valid = is_handler };
const struct text_rule text_apparmor = { .must = "the name of an AppArmor profile, without blanks",
					 .max_bytes = 255,
					 .valid = is_word };
const struct text_rule text_selinux_part = {
	.must = "a name of letters, digits, '_', '.' and '-'", .max_bytes = MAX_NAME, .optional = true, .valid = is_selinux_part
};
const struct text_rule text_selinux_level = {
	.must = "a level (\"s0:c1,c2\")", .max_bytes = MAX_NAME, .optional = true, .valid = is_selinux_level
};
const struct text_rule text_cdi_device = { .must = "a CDI device (\"vendor.com/class=name\")",
					   .max_bytes = MAX_NAME,
					   .valid = is_cdi_device };
const struct text_rule text_secret = {
	.must = "free of control characters", .max_bytes = MAX_SECRET, .optional = true, .secret = true, .valid = is_plain
};

int text_check(const struct field *at, const struct text_rule *rule, const char *text, struct error *err)
{
	char quoted[FIELD_QUOTE_SIZE];
	size_t len = text ? strlen(text) : 0;

	if (len == 0)
		return rule->optional ? 0 : field_error(at, err, ERR_INVALID, "missing");
	if (len > rule->max_bytes)
		return field_error(at, err, ERR_INVALID, "has %zu bytes, the limit is %zu", len, rule->max_bytes);
	if (!rule->valid || rule->valid(text))
		return 0;
	if (rule->secret)
		return field_error(at, err, ERR_INVALID, "must be %s", rule->must);
	return field_error(at, err, ERR_INVALID, "must be %s, not %s", rule->must, field_quote(quoted, text));
}
