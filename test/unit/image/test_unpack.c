/* The two processes around the tar reader: digests, budgets, failures of either, and what the cage keeps them from. */
#include "image_fixture.h"

#include <dirent.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "image/confine.h"
#include "image/inflate.h"

struct place {
	char *dir;
	int fd;
	atomic_bool cancelled;
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->dir = fixture_dir();
	p->fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->fd >= 0);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	(void)close(p->fd);
	fixture_remove(p->dir);
	free(p);
	return 0;
}

/* Feeds `data` in pieces of `step` bytes. */
static int unpack_bytes(struct place *p, struct bytes data, size_t step, uint64_t max_bytes, struct unpack_result *result,
			struct error *err)
{
	const struct unpack_options options = {
		.dirfd = p->fd, .is_layer = true, .max_bytes = max_bytes, .cancelled = &p->cancelled
	};
	struct unpack *unpack = NULL;
	int done = 0;

	if (unpack_begin(&options, &unpack, err) < 0)
		return -1;
	for (size_t i = 0; done == 0 && i < data.len; i += step)
		done = unpack_write(unpack, data.data + i, data.len - i < step ? data.len - i : step, err);
	if (done == 0)
		done = unpack_finish(unpack, result, err);
	unpack_free(unpack);
	return done;
}

static const struct item some_items[] = {
	{ .name = "bin/", .type = 'd', .mode = 0711, .uid = 1 },
	{ .name = "bin/tool", .type = 'f', .mode = 04755, .uid = 2, .data = "content" },
	{ .name = "bin/link", .type = 'l', .data = "/etc/passwd" },
	{ .name = "dev/null", .type = 'c', .mode = 0666, .rdev = 0x103 },
	{ .name = "other/place/hard", .type = 'h', .data = "bin/tool" },
	{ .name = ".wh.gone", .type = 'f' },
	{ .name = "opaque/.wh..wh..opq", .type = 'f' },
	{ .name = "note", .type = 'f', .data = "x", .xattr = "user.note", .value = "hi" },
};

static void assert_unpacked(const struct place *p)
{
	_cleanup_free_
	char *opaque = fixture_path(p->dir, "opaque");
	_cleanup_free_
	char *text = fixture_read(p->dir, "bin/tool");
	char value;
	struct stat st;

	assert_string_equal(text, "content");
	assert_int_equal(fstatat(p->fd, "bin/tool", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 04755);
	assert_int_equal(st.st_uid, 2);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(fstatat(p->fd, "dev/null", &st, 0), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(st.st_rdev, makedev(1, 3));
	assert_int_equal(fstatat(p->fd, "gone", &st, 0), 0);
	assert_int_equal(st.st_rdev, 0);
	assert_int_equal(lgetxattr(opaque, "trusted.overlay.opaque", &value, 1), 1);
	assert_int_equal(value, 'y');
}

static void all_compressions(void **state)
{
	struct bytes tar = fixture_tar(some_items, ARRAY_SIZE(some_items));
	struct bytes forms[6] = { tar, fixture_gzip(tar), fixture_zstd(tar), { 0 }, { 0 }, fixture_zstd(tar) };
	char diff_id[DIGEST_TEXT_SIZE], digest[DIGEST_TEXT_SIZE];
	struct error err = ERROR_INIT;

	need_root();
	/* Two members, two frames: cut anywhere, here in the middle. */
	for (int form = 3; form < 5; form++) {
		struct bytes head = { tar.data, 777 }, tail = { tar.data + 777, tar.len - 777 };
		struct bytes a = form == 3 ? fixture_gzip(head) : fixture_zstd(head);
		struct bytes b = form == 3 ? fixture_gzip(tail) : fixture_zstd(tail);

		forms[form] = (struct bytes){ malloc(a.len + b.len), a.len + b.len };
		memcpy(forms[form].data, a.data, a.len);
		memcpy(forms[form].data + a.len, b.data, b.len);
		free(a.data);
		free(b.data);
	}
	/* A skippable frame at the end, where lazy-pulling builders keep their index (RFC 8878, 3.1.2). */
	forms[5].data = realloc(forms[5].data, forms[5].len + 12);
	memcpy(forms[5].data + forms[5].len, "\x50\x2a\x4d\x18\x04\0\0\0toc!", 12);
	forms[5].len += 12;
	assert_ok(digest_of(tar.data, tar.len, diff_id, &err), &err);
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct unpack_result result;
		struct place *p;

		(void)tear_down(state);
		(void)set_up(state);
		p = *state;
		assert_ok(digest_of(forms[i].data, forms[i].len, digest, &err), &err);
		assert_ok(unpack_bytes(p, forms[i], i % 2 ? 1 : 100000, 1 << 20, &result, &err), &err);
		assert_string_equal(result.digest, digest);
		assert_string_equal(result.diff_id, diff_id);
		assert_int_equal(result.inodes, 10);
		assert_int_equal(result.bytes, 2 * 4096 + 5 * fixture_directory_bytes("/tmp"));
		assert_false(result.opaque_root);
		assert_unpacked(p);
	}
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		free(forms[i].data);
}

/* What `inflate_fd` makes of `packed` when each read gives it `step` bytes. The caller closes the result. */
static int inflate_in_steps(struct bytes packed, size_t step)
{
	int pair[2], out = memfd_create("plain", MFD_CLOEXEC), size = 1 << 20;
	struct error err = ERROR_INIT;

	/* Of this kind of socket a read gives what one write has put there. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)), 0);
	for (size_t at = 0; at < packed.len; at += step) {
		size_t n = packed.len - at < step ? packed.len - at : step;

		assert_int_equal(send(pair[1], packed.data + at, n, MSG_DONTWAIT), (ssize_t)n);
	}
	(void)close(pair[1]);
	assert_ok(inflate_fd(pair[0], out, &err), &err);
	(void)close(pair[0]);
	return out;
}

/* Members may begin and end anywhere in what a read gives, and be as short as a decoder looks ahead. */
static void members_at_every_offset(void **state)
{
	static const char *const parts[] = { "", "a", "", "bc", "the third of the members that are not empty", "", "", "d" };
	struct bytes packed = { malloc(4096), 0 };
	char expected[256] = "", plain[256];

	(void)state;
	need_root(); /* for the socket's buffer */
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		struct bytes part = { strdup(parts[i]), strlen(parts[i]) }, member = fixture_gzip(part);

		memcpy(packed.data + packed.len, member.data, member.len);
		packed.len += member.len;
		(void)snprintf(expected + strlen(expected), sizeof(expected) - strlen(expected), "%s", parts[i]);
		free(part.data);
		free(member.data);
	}
	memset(packed.data + packed.len, 0, 20); /* padding */
	packed.len += 20;
	for (size_t step = 1; step <= 80; step++) {
		int fd = inflate_in_steps(packed, step);

		assert_int_equal(pread(fd, plain, sizeof(plain), 0), (ssize_t)strlen(expected));
		assert_memory_equal(plain, expected, strlen(expected));
		(void)close(fd);
	}
	free(packed.data);
}

static void the_root_may_be_opaque(void **state)
{
	static const struct item items[] = { { .name = ".wh..wh..opq", .type = 'f' }, { .name = "x", .type = 'f' } };
	struct bytes tar = fixture_tar(items, ARRAY_SIZE(items));
	struct unpack_result result;
	struct error err = ERROR_INIT;

	need_root();
	assert_ok(unpack_bytes(*state, tar, 512, 1 << 20, &result, &err), &err);
	assert_true(result.opaque_root);
	free(tar.data);
}

/* The marker's directory makes way for a link later on: the mark must not land on what the link names. */
static void opaque_marks_follow_no_links(void **state)
{
	static const struct item items[] = {
		{ .name = "target/", .type = 'd' },
		{ .name = "d/.wh..wh..opq", .type = 'f' },
		{ .name = "d", .type = 'l', .data = "target" },
		{ .name = "e/.wh..wh..opq", .type = 'f' },
		{ .name = "e", .type = 'f' },
	};
	struct bytes tar = fixture_tar(items, ARRAY_SIZE(items));
	_cleanup_free_
	char *target = fixture_path(((struct place *)*state)->dir, "target");
	struct unpack_result result;
	struct error err = ERROR_INIT;
	char value;

	need_root();
	assert_ok(unpack_bytes(*state, tar, 512, 1 << 20, &result, &err), &err);
	assert_int_equal(lgetxattr(target, "trusted.overlay.opaque", &value, 1), -1);
	free(tar.data);
}

static void broken_compression(void **state)
{
	struct bytes tar = fixture_tar(some_items, ARRAY_SIZE(some_items));
	struct bytes gzip = fixture_gzip(tar), zstd = fixture_zstd(tar);
	struct bytes flipped = fixture_gzip(tar), checksum = fixture_gzip(tar),
		     trailing = { malloc(gzip.len + 100), gzip.len + 100 };
	struct {
		struct bytes data;
		enum error_code code;
		const char *why;
	} cases[] = {
		{ { gzip.data, gzip.len / 2 }, ERR_INVALID, "gzip: the stream ends early" },
		{ { gzip.data, gzip.len - 1 }, ERR_INVALID, "gzip: the stream ends early" },
		{ { gzip.data, 6 }, ERR_INVALID, "gzip: the stream ends early" },
		{ { zstd.data, zstd.len - 1 }, ERR_INVALID, "zstd: the stream ends early" },
		{ { zstd.data, 5 }, ERR_INVALID, "zstd: the stream ends early" },
		{ flipped, ERR_INVALID, "gzip: " },
		{ checksum, ERR_INVALID, "gzip: incorrect data check" },
		{ trailing, ERR_INVALID, "gzip: incorrect header check" },
		{ { (char[]){ "BZh91AY&SY" }, 10 }, ERR_UNIMPLEMENTED, "bzip2" },
		{ { (char[]){ "\xfd"
			      "7zXZ\0\0" },
		    8 },
		  ERR_UNIMPLEMENTED,
		  "xz" },
		{ { (char[]){ "this is no tar at all, is it?" }, 29 }, ERR_INVALID, "tar" },
	};

	need_root();
	memset(flipped.data + flipped.len / 2, 0xff, 8);
	checksum.data[checksum.len - 6] ^= 1;
	memcpy(trailing.data, gzip.data, gzip.len);
	memset(trailing.data + gzip.len, 'x', 100);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct unpack_result result;
		struct error err = ERROR_INIT;
		int done;

		(void)tear_down(state);
		(void)set_up(state);
		done = unpack_bytes(*state, cases[i].data, 4096, 1 << 20, &result, &err);
		if (done == 0)
			fail_msg("case %zu was taken", i);
		assert_failed(done, &err, cases[i].code, cases[i].why);
	}
	/* Zeros after the last member are padding. */
	memset(trailing.data + gzip.len, 0, 100);
	{
		struct unpack_result result;
		struct error err = ERROR_INIT;

		(void)tear_down(state);
		(void)set_up(state);
		assert_ok(unpack_bytes(*state, trailing, 4096, 1 << 20, &result, &err), &err);
	}
	free(tar.data);
	free(gzip.data);
	free(zstd.data);
	free(flipped.data);
	free(checksum.data);
	free(trailing.data);
}

/* The header of an entry as POSIX.1-1988 has it. */
static void write_header(char block[512], const char *name, char type, size_t size)
{
	unsigned sum = 0;

	memset(block, 0, 512);
	(void)snprintf(block, 100, "%s", name);
	(void)snprintf(block + 100, 8, "0000644");
	(void)snprintf(block + 108, 8, "0000000");
	(void)snprintf(block + 116, 8, "0000000");
	(void)snprintf(block + 124, 12, "%011zo", size);
	(void)snprintf(block + 136, 12, "00000000000");
	memset(block + 148, ' ', 8);
	block[156] = type;
	memcpy(block + 257,
	       "ustar\0"
	       "00",
	       8);
	for (int i = 0; i < 512; i++)
		sum += (unsigned char)block[i];
	(void)snprintf(block + 148, 8, "%06o", sum);
}

/* A compressed file of `n` zeros. */
static struct bytes bomb(size_t n, bool zstd)
{
	struct bytes plain = { calloc(1, 512 + n), 512 + n }, packed;

	assert_non_null(plain.data);
	write_header(plain.data, "zeros", '0', n);
	packed = zstd ? fixture_zstd(plain) : fixture_gzip(plain);
	free(plain.data);
	return packed;
}

/* A sparse file (GNU form 1.0: numbers at the start of its data) of more pieces than a reader can remember. */
static void sparse_maps_are_bounded_cve_2025_58183(void **state)
{
	enum { PIECES = 16000000 };
	static const char records[] =
		"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n21 GNU.sparse.name=s\n27 GNU.sparse.realsize=100\n";
	const size_t map = 512 + 4 * (size_t)PIECES;
	struct bytes plain = { calloc(1, 3 * 512 + map), 3 * 512 + map }, packed;
	struct unpack_result result;
	struct error err = ERROR_INIT;
	char *p = plain.data;

	need_root();
#ifdef __SANITIZE_THREAD__
	print_message("skipped: the thread sanitizer does not survive a memory limit\n");
	skip();
#endif
	assert_non_null(p);
	write_header(p, "pax", 'x', sizeof(records) - 1);
	memcpy(p + 512, records, sizeof(records) - 1);
	write_header(p + 1024, "s", '0', map);
	p += 1536 + snprintf(p + 1536, 16, "%d\n", PIECES);
	for (int i = 0; i < PIECES; i++)
		memcpy(p + 4 * (size_t)i, "0\n0\n", 4);
	packed = fixture_zstd(plain);
	free(plain.data);
	/* The child runs into its memory limit, and this process notices nothing but the end of it. */
	assert_true(unpack_bytes(*state, packed, 4096, (uint64_t)1 << 30, &result, &err) < 0);
	assert_true(err.code == ERR_EXHAUSTED || err.code == ERR_INVALID || err.code == ERR_INTERNAL);
	free(packed.data);
}

static void bombs_meet_the_budget(void **state)
{
	need_root();
	for (int zstd = 0; zstd < 2; zstd++) {
		struct bytes packed = bomb((size_t)64 << 20, zstd);
		struct place *p = *state;
		struct unpack_result result;
		struct error err = ERROR_INIT;
		struct stat st;

		assert_true(packed.len < 100000);
		assert_failed(unpack_bytes(p, packed, 4096, 1 << 20, &result, &err), &err, ERR_EXHAUSTED, "1048576 bytes");
		/* What was written until then is not more than the budget. */
		if (fstatat(p->fd, "zeros", &st, 0) == 0)
			assert_true(st.st_size <= 1 << 20);
		free(packed.data);
	}
}

static void cancellation(void **state)
{
	struct place *p = *state;
	const struct unpack_options options = {
		.dirfd = p->fd, .is_layer = true, .max_bytes = 1 << 30, .cancelled = &p->cancelled
	};
	struct bytes packed = bomb((size_t)16 << 20, true);
	struct unpack *unpack;
	struct unpack_result result;
	struct error err = ERROR_INIT;

	need_root();
	assert_ok(unpack_begin(&options, &unpack, &err), &err);
	assert_ok(unpack_write(unpack, packed.data, packed.len / 2, &err), &err);
	atomic_store(&p->cancelled, true);
	/* The rest may still go into the pipe; the end is what it is. */
	(void)unpack_write(unpack, packed.data + packed.len / 2, packed.len - packed.len / 2, &err);
	assert_failed(unpack_finish(unpack, &result, &err), &err, ERR_CANCELLED, "cancelled");
	unpack_free(unpack);
	/* Given up without a word: nothing hangs, no child stays. */
	atomic_store(&p->cancelled, false);
	assert_ok(unpack_begin(&options, &unpack, &err), &err);
	assert_ok(unpack_write(unpack, packed.data, packed.len / 2, &err), &err);
	unpack_free(unpack);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	free(packed.data);
}

/* The same damage is the transfer's fault or the image's, as the digest says. */
static void damage_is_told_from_nonsense(void **state)
{
	struct place *p = *state;
	struct bytes tar = fixture_tar(some_items, ARRAY_SIZE(some_items)), gzip = fixture_gzip(tar);
	char digest[DIGEST_TEXT_SIZE];
	struct unpack_options options = { .dirfd = p->fd, .is_layer = true, .max_bytes = 1 << 20, .digest = digest };
	struct error err = ERROR_INIT;

	need_root();
	assert_ok(digest_of(gzip.data, gzip.len, digest, &err), &err);
	gzip.data[12] ^= 0x40;
	for (int nonsense = 0; nonsense < 2; nonsense++) {
		struct unpack_result result;
		struct unpack *unpack;

		if (nonsense)
			assert_ok(digest_of(gzip.data, gzip.len, digest, &err), &err);
		assert_ok(unpack_begin(&options, &unpack, &err), &err);
		for (size_t i = 0; i < gzip.len; i++) {
			assert_ok(unpack_write(unpack, gzip.data + i, 1, &err), &err);
			if (i == 100)
				(void)usleep(100000); /* the decompressor has seen the damage by now, and ended */
		}
		assert_failed(unpack_finish(unpack, &result, &err), &err, nonsense ? ERR_INVALID : ERR_DATA_LOSS,
			      nonsense ? "gzip" : "turned out to be");
		unpack_free(unpack);
	}
	free(tar.data);
	free(gzip.data);
}

static unsigned open_descriptors(void)
{
	_cleanup_dir_ DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(dir))
		n++;
	return n;
}

static void no_descriptor_stays(void **state)
{
	struct bytes tar = fixture_tar(some_items, ARRAY_SIZE(some_items));
	unsigned before = open_descriptors();
	struct error err = ERROR_INIT;
	struct unpack_result result;

	need_root();
	assert_ok(unpack_bytes(*state, tar, 4096, 1 << 20, &result, &err), &err);
	assert_true(unpack_bytes(*state, (struct bytes){ tar.data, 700 }, 4096, 1 << 20, &result, &err) < 0);
	assert_int_equal(open_descriptors(), before);
	free(tar.data);
}

/* ---- the cage ---- */

/* Runs `probe` in a child; its result is the exit status. The sanitizers' leak check would ptrace, so it leaves by _exit(). */
static int in_child(int (*probe)(int fd), int fd)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(probe(fd));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status))
		fail_msg("probe ended by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

#define EXPECT(number, condition)                                                                                                  \
	do {                                                                                                                       \
		if (!(condition))                                                                                                  \
			return (number);                                                                                           \
	} while (0)

static int probe_unpacker_files(int fd)
{
	struct error err;

	EXPECT(1, confine_unpacker(fd, 4096, &err) == 0);
	EXPECT(2, openat(AT_FDCWD, "/proc/self/status", O_RDONLY) < 0 && errno == ENOENT);
	EXPECT(3, openat(AT_FDCWD, "/tmp", O_RDONLY) < 0 && errno == ENOENT);
	EXPECT(4, openat(fd, "../../proc/self/status", O_RDONLY) < 0 && errno == ENOENT);
	EXPECT(5, mknodat(fd, "disk", S_IFBLK | 0600, makedev(254, 0)) == 0);
	EXPECT(6, openat(fd, "disk", O_RDONLY) < 0 && errno == EACCES); /* dead on this mount */
	EXPECT(7, mknodat(fd, "null", S_IFCHR | 0600, makedev(1, 3)) == 0);
	EXPECT(8, openat(fd, "null", O_WRONLY) < 0 && errno == EACCES);
	EXPECT(9, symlinkat("file", fd, "link") == 0);
	EXPECT(10, openat(fd, "file", O_WRONLY | O_CREAT, 0600) >= 0);
	EXPECT(11, openat(fd, "link", O_RDONLY) < 0 && errno == ELOOP); /* links are not followed at all */
	EXPECT(12, openat(fd, "exists", O_RDONLY) >= 0);
	EXPECT(13, mkdirat(fd, "d", 0700) == 0);
	return 0;
}

static int probe_unpacker_rights(int fd)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	struct error err;
	int file, stack = 0;
	char *const argv[] = { NULL };

	EXPECT(1, syscall(SYS_capget, &header, data) == 0);
	EXPECT(2, data[0].effective & 1U << CAP_SYS_ADMIN);
	EXPECT(3, confine_unpacker(fd, 4096, &err) == 0);
	file = openat(fd, "new", O_WRONLY | O_CREAT, 0600);
	EXPECT(4, file >= 0);
	EXPECT(5, fchown(file, 12345, 12345) == 0);
	EXPECT(6, fsetxattr(file, "user.x", "y", 1, 0) == 0 || errno == EOPNOTSUPP); /* a tmpfs before Linux 6.6 has none */
	EXPECT(7, fsetxattr(file, "trusted.overlay.opaque", "y", 1, 0) < 0 && errno == EPERM); /* no CAP_SYS_ADMIN */
	EXPECT(8, pwrite(file, "x", 1, 4096) < 0 && errno == EFBIG);
	EXPECT(9, socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == ENOSYS);
	EXPECT(10, socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == ENOSYS);
	EXPECT(11, mount("x", "/d", "tmpfs", 0, NULL) < 0 && errno == ENOSYS);
	EXPECT(12, chroot("/d") < 0 && errno == ENOSYS);
	EXPECT(13, execve("/exists", argv, argv) < 0 && errno == ENOSYS);
	EXPECT(14, syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) < 0 && errno == ENOSYS);
	EXPECT(15, syscall(SYS_bpf, 0, NULL, 0) < 0 && errno == ENOSYS);
	EXPECT(16, syscall(SYS_keyctl, 0, 0) < 0 && errno == ENOSYS);
	EXPECT(17, syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) < 0 && errno == ENOSYS);
	EXPECT(18, syscall(SYS_unshare, 0) < 0 && errno == ENOSYS);
	EXPECT(19, syscall(SYS_kill, getppid(), 0) < 0 && errno == ENOSYS);
	EXPECT(20, syscall(SYS_open_by_handle_at, fd, &stack, 0) < 0 && errno == ENOSYS);
	EXPECT(21, mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOSYS);
	EXPECT(22, syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == ENOSYS);
	return 0;
}

static int probe_inflater(int fd)
{
	struct error err;
	char byte;

	EXPECT(1, confine_inflater(&err) == 0);
	EXPECT(2, read(fd, &byte, 1) < 0); /* a directory, but the call is there */
	EXPECT(3, syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY, 0) < 0 && errno == ENOSYS);
	EXPECT(4, syscall(SYS_openat, fd, "exists", O_RDONLY, 0) < 0 && errno == ENOSYS);
	EXPECT(5, syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0) < 0 && errno == ENOSYS);
	EXPECT(6, syscall(SYS_fchown, fd, 1, 1) < 0 && errno == ENOSYS);
	EXPECT(7, syscall(SYS_execve, "/bin/true", NULL, NULL) < 0 && errno == ENOSYS);
	EXPECT(8, syscall(SYS_mkdirat, fd, "d", 0700) < 0 && errno == ENOSYS);
	return 0;
}

/* By system call: a sanitizer's allocator would end the process instead. */
static bool can_map(size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static int probe_unpacker_limits(int fd)
{
	struct error err;
	int n = 0;

	EXPECT(1, can_map((size_t)1 << 30));
	EXPECT(2, confine_unpacker(fd, 4096, &err) == 0);
	EXPECT(3, !can_map((size_t)1 << 30) && errno == ENOMEM);
	EXPECT(4, can_map((size_t)64 << 20));
	while (n < 2000 && openat(fd, "exists", O_RDONLY) >= 0)
		n++;
	EXPECT(5, n > 300 && n < 600 && errno == EMFILE);
	return 0;
}

static int probe_inflater_limits(int fd)
{
	struct error err;

	EXPECT(1, confine_inflater(&err) == 0);
	EXPECT(2, !can_map((size_t)1 << 30) && errno == ENOMEM);
	EXPECT(3, can_map((size_t)140 << 20)); /* the window of zstd */
	EXPECT(4, write(fd, "x", 1) < 0 && errno == EFBIG);
	return 0;
}

static void the_cage_has_limits(void **state)
{
	struct place *p = *state;
	_cleanup_free_
	char *path = fixture_path(p->dir, "exists");
	int file;

	need_root();
#ifdef __SANITIZE_THREAD__
	print_message("skipped: the thread sanitizer does not survive a memory limit\n");
	skip();
#endif
	fixture_write(p->dir, "exists", "x", 1);
	file = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(file >= 0);
	assert_int_equal(in_child(probe_unpacker_limits, p->fd), 0);
	assert_int_equal(in_child(probe_inflater_limits, file), 0);
	(void)close(file);
}

static void the_cage_holds(void **state)
{
	struct place *p = *state;

	need_root();
	fixture_write(p->dir, "exists", "x", 1);
	assert_int_equal(in_child(probe_unpacker_files, p->fd), 0);
	assert_int_equal(in_child(probe_unpacker_rights, p->fd), 0);
	assert_int_equal(in_child(probe_inflater, p->fd), 0);
	/* Nothing of it reached this process. */
	assert_true(fixture_exists("/proc/self", "status"));
}

/* The value of a line of /proc/PID/status; "" when the process is gone. */
static void status_of(pid_t pid, const char *name, char value[64])
{
	char path[64], line[256], format[32];
	FILE *file;

	*value = '\0';
	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	(void)snprintf(format, sizeof(format), "%s:", name);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, format, strlen(format)))
			(void)snprintf(value, 64, "%.*s", (int)strcspn(line + strlen(format) + 1, "\n"), line + strlen(format) + 1);
	}
	if (file)
		(void)fclose(file);
}

/* Both are there; the first started is the decompressor. Waits until they have shut themselves in. */
static void find_children(pid_t children[2])
{
	char path[64], mode[64];
	int n = 0;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	for (int i = 0; i < 500; i++) {
		_cleanup_free_
		char *text = fixture_read("/", path);

		n = sscanf(text, "%d %d", &children[0], &children[1]);
		mode[0] = '\0';
		for (int k = 0; k < n; k++) {
			status_of(children[k], "Seccomp", mode);
			if (strcmp(mode, "2") != 0)
				break;
		}
		if (n == 2 && !strcmp(mode, "2"))
			return;
		(void)usleep(10000);
	}
	fail_msg("no two confined children");
}

static void assert_descriptors(pid_t pid, int highest)
{
	char path[64];
	_cleanup_dir_ DIR *dir = NULL;
	struct dirent *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	assert_non_null(dir);
	while ((d = readdir(dir)))
		assert_true(*d->d_name == '.' || strtol(d->d_name, NULL, 10) <= highest);
}

/* A child that does nothing any more, for whatever reason, holds up neither a cancellation nor the end. */
static void a_hanging_child_is_no_trap(void **state)
{
	struct place *p = *state;
	const struct unpack_options options = {
		.dirfd = p->fd,
		.is_layer = true,
		.max_bytes = 1 << 30,
		.cancelled = &p->cancelled,
	};
	struct bytes packed = bomb((size_t)16 << 20, true);
	struct unpack *unpack;
	struct unpack_result result;
	struct error err = ERROR_INIT;
	pid_t children[2] = { 0 };

	need_root();
	for (int which = 0; which < 2; which++) {
		atomic_store(&p->cancelled, false);
		assert_ok(unpack_begin(&options, &unpack, &err), &err);
		find_children(children);
		assert_int_equal(kill(children[which], SIGSTOP), 0);
		assert_ok(unpack_write(unpack, packed.data, packed.len, &err), &err);
		(void)usleep(100000);
		atomic_store(&p->cancelled, true);
		assert_failed(unpack_finish(unpack, &result, &err), &err, ERR_CANCELLED, "cancelled");
		unpack_free(unpack);
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	}
	free(packed.data);
}

static void the_real_children_are_in_it(void **state)
{
	struct place *p = *state;
	const struct unpack_options options = { .dirfd = p->fd, .is_layer = true, .max_bytes = 1 << 20 };
	int leaked =
		fcntl(open("/proc/self/status", O_RDONLY | O_CLOEXEC), F_DUPFD, 50); /* not close-on-exec, as a library may do it */
	struct unpack *unpack;
	struct error err = ERROR_INIT;
	char value[64], path[64], link[PATH_MAX], no_new_privs[64];
	pid_t children[2] = { 0 };
	ssize_t n;

	need_root();
	assert_ok(unpack_begin(&options, &unpack, &err), &err);
	find_children(children);
	for (int i = 0; i < 2; i++) {
		status_of(children[i], "CapEff", value);
		/* CAP_CHOWN, DAC_OVERRIDE, FOWNER, FSETID, MKNOD, SETFCAP */
		assert_string_equal(value, i ? "000000008800001b" : "0000000000000000");
		status_of(children[i], "CapPrm", path);
		assert_string_equal(path, value);
		status_of(children[i], "CapBnd", path);
		assert_string_equal(path, "0000000000000000");
		status_of(children[i], "NoNewPrivs", no_new_privs);
		assert_string_equal(no_new_privs, "1");
		assert_descriptors(children[i], 4);
		status_of(children[i], "Name", value);
		assert_string_equal(value, IMAGE_UNPACK_NAME);
		status_of(children[i], "Threads", value);
		assert_string_equal(value, "1");
	}
	/* A detached mount has no path, so its root shows as "/" of nowhere; it is the layer all the same. */
	(void)snprintf(path, sizeof(path), "/proc/%d/root/", children[1]);
	fixture_write(p->dir, "seen", "x", 1);
	assert_true(fixture_exists(path, "seen"));
	assert_false(fixture_exists(path, "tmp"));
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", children[1]);
	n = readlink(path, link, sizeof(link) - 1);
	assert_true(n > 0);
	link[n] = '\0';
	n = readlink("/proc/self/ns/net", value, sizeof(value) - 1);
	value[n] = '\0';
	assert_string_not_equal(link, value);
	unpack_free(unpack);
	(void)close(leaked);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	CASE(all_compressions),
	CASE(members_at_every_offset),
	CASE(the_root_may_be_opaque),
	CASE(opaque_marks_follow_no_links),
	CASE(broken_compression),
	CASE(bombs_meet_the_budget),
	CASE(sparse_maps_are_bounded_cve_2025_58183),
	CASE(cancellation),
	CASE(no_descriptor_stays),
	CASE(damage_is_told_from_nonsense),
	CASE(the_cage_holds),
	CASE(the_cage_has_limits),
	CASE(the_real_children_are_in_it),
	CASE(a_hanging_child_is_no_trap),
};

int main(int argc, char **argv)
{
	if (argc > 0 && !strcmp(argv[0], IMAGE_UNPACK_NAME))
		return image_unpack_main();
	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
