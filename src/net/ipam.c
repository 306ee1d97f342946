#include "net/ipam.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/id.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"

#define CURSOR_NAME "last_reserved_ip.0"

/* host-local writes "ID\r\nINTERFACE"; nothing longer is a record of ours. */
#define RECORD_MAX 128

struct lease {
	uint32_t address;
	char pod_id[ID_SIZE]; /* empty: a damaged record */
};

struct ipam {
	char *dir;
	int dirfd;
	int cursor_fd;
	struct ipv4_prefix range;
	uint32_t cursor; /* the address given last */
	struct lease *leases;
	size_t n_leases, cap_leases;
	unsigned char *busy; /* one bit per address of the range: 2 MiB for a /8, 8 KiB for a /16 */
};

static uint32_t first_pod_address(const struct ipam *ipam)
{
	return ipam->range.base + 2;
}

static uint32_t last_pod_address(const struct ipam *ipam)
{
	return ipv4_broadcast(&ipam->range) - 1;
}

static bool is_pod_address(const struct ipam *ipam, uint32_t address)
{
	return address >= first_pod_address(ipam) && address <= last_pod_address(ipam);
}

static bool is_busy(const struct ipam *ipam, uint32_t address)
{
	uint32_t bit = address - ipam->range.base;

	return ipam->busy[bit / 8] & 1U << bit % 8;
}

static void set_busy(struct ipam *ipam, uint32_t address, bool busy)
{
	uint32_t bit = address - ipam->range.base;

	if (busy)
		ipam->busy[bit / 8] |= (unsigned char)(1U << bit % 8);
	else
		ipam->busy[bit / 8] &= (unsigned char)~(1U << bit % 8);
}

static int make_lease_room(struct ipam *ipam, struct error *err)
{
	size_t cap = ipam->cap_leases * 2 + 64;
	struct lease *leases;

	if (ipam->n_leases < ipam->cap_leases)
		return 0;
	leases = realloc(ipam->leases, cap * sizeof(*leases));
	if (!leases)
		return error_sys(err, ENOMEM, "remember an address");
	ipam->leases = leases;
	ipam->cap_leases = cap;
	return 0;
}

/* After make_lease_room(). */
static void add_lease(struct ipam *ipam, uint32_t address, const char *pod_id)
{
	struct lease *lease = &ipam->leases[ipam->n_leases++];

	lease->address = address;
	(void)snprintf(lease->pod_id, sizeof(lease->pod_id), "%s", pod_id);
	set_busy(ipam, address, true);
}

static void drop_lease(struct ipam *ipam, struct lease *lease)
{
	set_busy(ipam, lease->address, false);
	*lease = ipam->leases[--ipam->n_leases];
}

static struct lease *find_lease(const struct ipam *ipam, const char *pod_id)
{
	for (size_t i = 0; i < ipam->n_leases; i++) {
		if (!strcmp(ipam->leases[i].pod_id, pod_id))
			return &ipam->leases[i];
	}
	return NULL;
}

/* The pod's id that the record holds, or "" when it holds none. */
static void read_owner(const struct ipam *ipam, const char *name, char ret_pod_id[ID_SIZE])
{
	_cleanup_fd_ int fd = openat(ipam->dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char text[RECORD_MAX] = "";
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	text[n > 0 ? (size_t)n : 0] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	if (id_is_valid(text) && !find_lease(ipam, text)) {
		memcpy(ret_pod_id, text, ID_SIZE);
		return;
	}
	log_warn("net", "address record %s/%s is damaged; it stays reserved until the next sweep", ipam->dir, name);
	ret_pod_id[0] = '\0';
}

static int read_record(struct ipam *ipam, const char *name, struct error *err)
{
	char pod_id[ID_SIZE];
	uint32_t address;

	if (!ipv4_parse(name, &address) || !is_pod_address(ipam, address))
		return 0;
	if (make_lease_room(ipam, err) < 0)
		return -1;
	read_owner(ipam, name, pod_id);
	add_lease(ipam, address, pod_id);
	return 0;
}

static int read_records(struct ipam *ipam, struct error *err)
{
	_cleanup_fd_ int fd = openat(ipam->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir)
		return error_sys(err, errno, "list %s", ipam->dir);
	(void)steal_fd(&fd);
	while ((entry = readdir(dir))) {
		if (read_record(ipam, entry->d_name, err) < 0)
			return -1;
	}
	return 0;
}

/* A missing or damaged cursor only means that the search starts at the front. */
static void read_cursor(struct ipam *ipam)
{
	char text[IPV4_TEXT_SIZE + 1] = "";
	ssize_t n = pread(ipam->cursor_fd, text, sizeof(text) - 1, 0);
	uint32_t address;

	text[n > 0 ? (size_t)n : 0] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	ipam->cursor = ipv4_parse(text, &address) && is_pod_address(ipam, address) ? address : last_pod_address(ipam);
}

/* Losing the cursor costs nothing but the order of addresses, so that failures are not reported. */
static void write_cursor(struct ipam *ipam, uint32_t address)
{
	char text[IPV4_TEXT_SIZE];
	size_t len;

	ipam->cursor = address;
	ipv4_format(text, address);
	len = strlen(text);
	if (pwrite(ipam->cursor_fd, text, len, 0) == (ssize_t)len)
		(void)!ftruncate(ipam->cursor_fd, (off_t)len);
}

static int open_files(struct ipam *ipam, struct error *err)
{
	if (io_make_dirs(ipam->dir, 0700, err) < 0)
		return -1;
	ipam->dirfd = open(ipam->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ipam->dirfd < 0)
		return error_sys(err, errno, "open %s", ipam->dir);
	ipam->cursor_fd = openat(ipam->dirfd, CURSOR_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (ipam->cursor_fd < 0)
		return error_sys(err, errno, "open %s/%s", ipam->dir, CURSOR_NAME);
	return 0;
}

static int fill(struct ipam *ipam, const char *dir, const struct ipv4_prefix *range, struct error *err)
{
	ipam->range = *range;
	ipam->dirfd = ipam->cursor_fd = -1;
	ipam->dir = strdup(dir);
	ipam->busy = calloc((~ipv4_mask(range->length) >> 3) + 1, 1);
	if (!ipam->dir || !ipam->busy)
		return error_sys(err, ENOMEM, "open address records");
	if (open_files(ipam, err) < 0)
		return -1;
	read_cursor(ipam);
	return read_records(ipam, err);
}

int ipam_open(const char *dir, const struct ipv4_prefix *range, struct ipam **ret_ipam, struct error *err)
{
	struct ipam *ipam = calloc(1, sizeof(*ipam));

	if (!ipam)
		return error_sys(err, ENOMEM, "open address records");
	if (fill(ipam, dir, range, err) < 0) {
		ipam_close(ipam);
		return -1;
	}
	*ret_ipam = ipam;
	return 0;
}

void ipam_close(struct ipam *ipam)
{
	if (!ipam)
		return;
	close_fd(&ipam->cursor_fd);
	close_fd(&ipam->dirfd);
	free(ipam->busy);
	free(ipam->leases);
	free(ipam->dir);
	free(ipam);
}

bool ipam_find(const struct ipam *ipam, const char *pod_id, uint32_t *ret_address)
{
	const struct lease *lease = find_lease(ipam, pod_id);

	if (lease)
		*ret_address = lease->address;
	return lease != NULL;
}

/* 1 when the record is there already, written by somebody else who knows this directory. */
static int create_record(const struct ipam *ipam, uint32_t address, const char *pod_id, struct error *err)
{
	char name[IPV4_TEXT_SIZE], content[RECORD_MAX];
	_cleanup_fd_ int fd = -1;
	int len = snprintf(content, sizeof(content), "%s\r\neth0", pod_id);

	ipv4_format(name, address);
	fd = openat(ipam->dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno == EEXIST ? 1 : error_sys(err, errno, "create address record %s/%s", ipam->dir, name);
	if (io_write_all(fd, content, (size_t)len, name, err) < 0) {
		(void)unlinkat(ipam->dirfd, name, 0);
		return -1;
	}
	return 0;
}

static int try_address(struct ipam *ipam, uint32_t address, const char *pod_id, struct error *err)
{
	int r;

	if (is_busy(ipam, address))
		return 1;
	r = create_record(ipam, address, pod_id, err);
	if (r == 0) {
		add_lease(ipam, address, pod_id);
		write_cursor(ipam, address);
	}
	return r;
}

int ipam_reserve(struct ipam *ipam, const char *pod_id, uint32_t *ret_address, struct error *err)
{
	size_t n = ipam_size(ipam);
	uint32_t address = ipam->cursor;

	if (make_lease_room(ipam, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		int r;

		address = address == last_pod_address(ipam) ? first_pod_address(ipam) : address + 1;
		r = try_address(ipam, address, pod_id, err);
		if (r < 0)
			return -1;
		if (r == 0) {
			*ret_address = address;
			return 0;
		}
	}
	return error_set(err, ERR_EXHAUSTED, "all %zu addresses of the pod network are in use", n);
}

static int remove_record(const struct ipam *ipam, const struct lease *lease, struct error *err)
{
	char name[IPV4_TEXT_SIZE];

	ipv4_format(name, lease->address);
	if (unlinkat(ipam->dirfd, name, 0) < 0 && errno != ENOENT)
		return error_sys(err, errno, "remove address record %s/%s", ipam->dir, name);
	return 0;
}

int ipam_release(struct ipam *ipam, const char *pod_id, struct error *err)
{
	struct lease *lease = find_lease(ipam, pod_id);

	if (!lease)
		return 0;
	if (remove_record(ipam, lease, err) < 0)
		return -1;
	drop_lease(ipam, lease);
	return 0;
}

static int compare_ids(const void *key, const void *element)
{
	return strcmp(key, *(const char *const *)element);
}

bool pod_id_in(const char *pod_id, const char *const *sorted_ids, size_t n)
{
	return n > 0 && bsearch(pod_id, sorted_ids, n, sizeof(*sorted_ids), compare_ids) != NULL;
}

int ipam_sweep(struct ipam *ipam, const char *const *live_pod_ids, size_t n, struct error *err)
{
	struct error ignored;
	int result = 0;

	for (size_t i = ipam->n_leases; i-- > 0;) {
		struct lease *lease = &ipam->leases[i];

		if (pod_id_in(lease->pod_id, live_pod_ids, n))
			continue;
		if (remove_record(ipam, lease, result == 0 ? err : &ignored) < 0)
			result = -1;
		else
			drop_lease(ipam, lease);
	}
	return result;
}

size_t ipam_used(const struct ipam *ipam)
{
	return ipam->n_leases;
}

size_t ipam_size(const struct ipam *ipam)
{
	return last_pod_address(ipam) - first_pod_address(ipam) + 1;
}

int ipam_destroy(struct ipam *ipam, struct error *err)
{
	if (ipam->n_leases > 0)
		return error_set(err, ERR_STATE, "%zu addresses of the pod network are in use", ipam->n_leases);
	(void)unlinkat(ipam->dirfd, CURSOR_NAME, 0);
	if (rmdir(ipam->dir) < 0 && errno != ENOENT && errno != ENOTEMPTY && errno != EBUSY)
		return error_sys(err, errno, "remove %s", ipam->dir);
	return 0;
}
