#include "net/files.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/io.h"
#include "base/mem.h"

/* The limits of files.h. resolv.conf(5) itself uses 3 servers and 6 searches (32 since glibc 2.26); Kubernetes validates to 3 and
 * 32. */
#define ENTRIES_MAX 32
#define BYTES_MAX 2048

/* A host's resolv.conf longer than this is no resolver configuration (arbitrary). */
#define HOST_FILE_MAX ((size_t)64 * 1024)

/* A host name with its domain: RFC 1035, 2.3.4. */
#define HOSTNAME_MAX 255

/* Readable by every user of the pod, written by us alone. */
#define FILE_MODE 0644

#define HOST_RESOLV_CONF "/etc/resolv.conf"

/* systemd-resolved(8) */
#define STUB_SERVER "nameserver 127.0.0.53"
#define RESOLVED_CONF "/run/systemd/resolve/resolv.conf"

static bool is_word(const char *text)
{
	if (text[0] == '\0')
		return false;
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p <= ' ' || *p == 0x7f)
			return false;
	}
	return true;
}

/* An IPv6 address may carry a zone ("fe80::1%eth0"), which the resolver takes and inet_pton(3) does not. */
static bool is_server(const char *text)
{
	unsigned char address[sizeof(struct in6_addr)];
	char bare[INET6_ADDRSTRLEN];
	size_t len = strcspn(text, "%");

	if (!is_word(text) || len >= sizeof(bare) || (text[len] == '%' && text[len + 1] == '\0'))
		return false;
	memcpy(bare, text, len);
	bare[len] = '\0';
	return inet_pton(AF_INET6, bare, address) == 1 || (text[len] == '\0' && inet_pton(AF_INET, bare, address) == 1);
}

struct list {
	const char *what;
	bool (*is_valid)(const char *text);
	char *const *entries;
	size_t n;
};

static int check_list(const struct list *list, size_t *bytes, struct error *err)
{
	if (list->n > ENTRIES_MAX)
		return error_set(err, ERR_INVALID, "dns_config: %zu %ss; at most %d", list->n, list->what, ENTRIES_MAX);
	for (size_t i = 0; i < list->n; i++) {
		if (!list->entries[i] || !list->is_valid(list->entries[i]))
			return error_set(err, ERR_INVALID, "dns_config: %s %zu is not valid", list->what, i + 1);
		*bytes += strlen(list->entries[i]) + 1;
	}
	return 0;
}

int dns_config_check(const struct dns_config *dns, struct error *err)
{
	const struct list lists[] = {
		{ "server", is_server, dns->servers, dns->n_servers },
		{ "search", is_word, dns->searches, dns->n_searches },
		{ "option", is_word, dns->options, dns->n_options },
	};
	size_t bytes = 0;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		if (check_list(&lists[i], &bytes, err) < 0)
			return -1;
	}
	if (bytes > BYTES_MAX)
		return error_set(err, ERR_INVALID, "dns_config: %zu bytes; at most %d", bytes, BYTES_MAX);
	return 0;
}

/* One line of all entries, or nothing. */
static int put_line(struct buffer *b, const char *keyword, char *const *entries, size_t n, struct error *err)
{
	if (n == 0)
		return 0;
	if (buffer_append_str(b, keyword, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (buffer_printf(b, err, " %s", entries[i]) < 0)
			return -1;
	}
	return buffer_append_str(b, "\n", err);
}

static int format_resolv_conf(struct buffer *b, const struct dns_config *dns, struct error *err)
{
	if (put_line(b, "search", dns->searches, dns->n_searches, err) < 0)
		return -1;
	for (size_t i = 0; i < dns->n_servers; i++) {
		if (buffer_printf(b, err, "nameserver %s\n", dns->servers[i]) < 0)
			return -1;
	}
	return put_line(b, "options", dns->options, dns->n_options, err);
}

/* A host without the file has no resolver: then neither has the pod. A host whose resolver is systemd-resolved on its loopback,
 * which pods cannot reach, names the servers behind it in another file. */
static int read_host_resolv_conf(struct buffer *b, struct error *err)
{
	if (access(HOST_RESOLV_CONF, F_OK) < 0 && errno == ENOENT)
		return 0;
	if (io_read_file(AT_FDCWD, HOST_RESOLV_CONF, b, err) < 0)
		return -1;
	if (b->len == 0 || !strstr(b->data, STUB_SERVER) || access(RESOLVED_CONF, R_OK) < 0)
		return 0;
	buffer_clear(b);
	return io_read_file(AT_FDCWD, RESOLVED_CONF, b, err);
}

static int write_file(const char *dir, const char *name, const struct buffer *b, struct error *err)
{
	_cleanup_fd_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return error_sys(err, errno, "open %s", dir);
	if (io_replace_file(fd, name, b->data ? b->data : "", b->len, FILE_MODE, err) < 0)
		return error_prefix(err, "write %s/%s", dir, name);
	/* Whatever our umask is: programs of the pod run as any user. */
	if (fchmodat(fd, name, FILE_MODE, 0) < 0)
		return error_sys(err, errno, "change the mode of %s/%s", dir, name);
	return 0;
}

int write_resolv_conf(const char *dir, const struct dns_config *dns, struct error *err)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT(HOST_FILE_MAX);
	bool is_empty = !dns || (dns->n_servers == 0 && dns->n_searches == 0 && dns->n_options == 0);

	if (is_empty) {
		if (read_host_resolv_conf(&b, err) < 0)
			return -1;
	} else if (dns_config_check(dns, err) < 0 || format_resolv_conf(&b, dns, err) < 0) {
		return -1;
	}
	return write_file(dir, "resolv.conf", &b, err);
}

/* The name stands in lines of its own format, so that nothing but the letters of names may pass. */
static int check_hostname(const char *hostname, struct error *err)
{
	size_t len = strspn(hostname, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");

	if (len == 0 || len > HOSTNAME_MAX || hostname[len] != '\0')
		return error_set(err, ERR_INVALID, "hostname '%.64s': not 1 to %d letters, digits, '.', '-', '_'", hostname,
				 HOSTNAME_MAX);
	return 0;
}

static int format_hosts(struct buffer *b, const char *hostname, const char *address, struct error *err)
{
	if (buffer_append_str(b, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n", err) < 0)
		return -1;
	return address ? buffer_printf(b, err, "%s\t%s\n", address, hostname) : 0;
}

int write_hosts(const char *dir, const char *hostname, const char *address, struct error *err)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT(1024);

	if (check_hostname(hostname, err) < 0)
		return -1;
	if (address && !is_server(address))
		return error_set(err, ERR_INVALID, "address '%.64s' of host %s: not an address", address, hostname);
	if (format_hosts(&b, hostname, address, err) < 0)
		return -1;
	return write_file(dir, "hosts", &b, err);
}

int write_hostname(const char *dir, const char *hostname, struct error *err)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT(HOSTNAME_MAX + 2);

	if (check_hostname(hostname, err) < 0 || buffer_printf(&b, err, "%s\n", hostname) < 0)
		return -1;
	return write_file(dir, "hostname", &b, err);
}
