/* Archives as real tools write them, and as nobody should. */
#include "image_fixture.h"

#include <pthread.h>

#include "base/strv.h"
#include "image/manifest.h"

struct place {
	char *dir, *root, *layout;
	struct image_store *store;
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->dir = fixture_dir();
	p->root = fixture_path(p->dir, "store");
	p->layout = fixture_path(p->dir, "layout");
	assert_int_equal(mkdir(p->layout, 0700), 0);
	p->store = fixture_store(p->root, NULL);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	image_store_close(p->store);
	fixture_remove(p->dir);
	free(p->root);
	free(p->layout);
	free(p);
	return 0;
}

/* Runs a shell command in the scratch directory. */
static void shell(struct place *p, const char *command)
{
	_cleanup_free_
	char *line = NULL;
	_cleanup_free_
	char *log = fixture_path(p->dir, "shell.log");

	assert_true(asprintf(&line, "cd %s && %s", p->dir, command) > 0);
	if (fixture_run(log, (const char *const[]){ "sh", "-ec", line, NULL }) != 0) {
		_cleanup_free_
		char *text = fixture_read(p->dir, "shell.log");

		fail_msg("%s: %s", command, text);
	}
}

static int import(struct place *p, const char *archive, const char *name, struct image **ret, struct error *err)
{
	_cleanup_free_
	char *path = fixture_path(p->dir, archive);
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fixture_import(p->store, fd, name, ret, err);
}

static struct image *assert_imports(struct place *p, const char *archive, const char *name)
{
	struct image *image = NULL;
	struct error err = ERROR_INIT;

	assert_ok(import(p, archive, name, &image, &err), &err);
	assert_int_equal(fixture_count(p->root, "ingest"), 0);
	return image;
}

/* What the tools make of two layers, the second of which removes a file of the first. */
static void make_with_umoci(struct place *p)
{
	shell(p, "mkdir root && echo one > root/one && echo two > root/two && chmod 4711 root/one && ln -s one root/link && "
		 "umoci init --layout oci && umoci new --image oci:1 && umoci insert --image oci:1 root / && "
		 "umoci unpack --image oci:1 bundle && rm bundle/rootfs/two && echo three > bundle/rootfs/three && umoci repack "
		 "--image oci:1 bundle && "
		 "umoci config --image oci:1 --config.cmd /bin/x --config.env A=b --config.user 7:8 --config.workingdir /w");
}

static void assert_umoci_image(const struct image *image)
{
	_cleanup_free_
	char *three = fixture_read(image->layer_dirs[0], "three");
	_cleanup_free_
	char *one = fixture_path(image->layer_dirs[1], "one");
	_cleanup_free_
	char *two = fixture_path(image->layer_dirs[0], "two");
	struct stat st;

	assert_int_equal(image->n_layers, 2);
	assert_string_equal(three, "three\n");
	assert_int_equal(lstat(one, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 04711);
	assert_int_equal(lstat(two, &st), 0);
	assert_true(S_ISCHR(st.st_mode) && st.st_rdev == 0);
	assert_string_equal(image->config.cmd[0], "/bin/x");
	assert_true(strv_has(image->config.env, "A=b"));
	assert_string_equal(image->config.user, "7:8");
	assert_string_equal(image->config.working_dir, "/w");
}

static void archives_of_real_tools(void **state)
{
	static const struct {
		const char *copy, *name, *tag;
	} cases[] = {
		{ "skopeo --insecure-policy copy oci:oci:1 oci-archive:a.tar:quay.io/me/app:3", NULL, "quay.io/me/app:3" },
		{ "skopeo --insecure-policy copy oci:oci:1 oci-archive:a.tar:quay.io/me/app:3", "other:4",
		  "docker.io/library/other:4" },
		{ "skopeo --insecure-policy copy oci:oci:1 docker-archive:a.tar:quay.io/me/app:5", NULL, "quay.io/me/app:5" },
		{ "skopeo --insecure-policy copy oci:oci:1 docker-archive:a.tar", "named:6", "docker.io/library/named:6" },
		{ "tar -C oci -cf a.tar .", "bare:7", "docker.io/library/bare:7" },
		{ "tar -C oci -czf a.tar index.json oci-layout blobs", "packed", "docker.io/library/packed:latest" },
		{ "tar -C oci -cf - . | zstd -q > a.tar", "zstd:1", "docker.io/library/zstd:1" },
	};
	struct place *p = *state;
	char *id = NULL;

	need_root();
	need_program("umoci");
	need_program("skopeo");
	need_program("zstd");
	make_with_umoci(p);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct image *image;

		shell(p, "rm -f a.tar");
		shell(p, cases[i].copy);
		image = assert_imports(p, "a.tar", cases[i].name);
		assert_umoci_image(image);
		assert_true(strv_has(image->repo_tags, cases[i].tag));
		assert_true(!id || !strcmp(id, image->id)); /* the same image by whatever way it came */
		if (!id)
			id = strdup(image->id);
		image_unref(image);
	}
	free(id);
}

static void a_pipe_will_do(void **state)
{
	struct place *p = *state;
	struct image *image;
	struct error err = ERROR_INIT;
	int ends[2];
	pid_t pid;

	need_root();
	need_program("umoci");
	make_with_umoci(p);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		(void)dup2(ends[1], 1);
		(void)chdir(p->dir);
		(void)execlp("tar", "tar", "-C", "oci", "-cf", "-", ".", NULL);
		_exit(127);
	}
	(void)close(ends[1]);
	assert_ok(fixture_import(p->store, ends[0], "piped", &image, &err), &err);
	(void)close(ends[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_umoci_image(image);
	image_unref(image);
}

static void several_images_in_one_archive(void **state)
{
	struct place *p = *state;
	struct image *image, *other = NULL;
	struct error err = ERROR_INIT;

	need_root();
	need_program("umoci");
	need_program("skopeo");
	make_with_umoci(p);
	shell(p, "umoci config --image oci:1 --tag 2 --config.cmd /bin/y && "
		 "skopeo --insecure-policy copy oci:oci:1 oci:both:a.b/app:1 && skopeo --insecure-policy copy oci:oci:2 "
		 "oci:both:a.b/app:2 && "
		 "tar -C both -cf both.tar .");
	image = assert_imports(p, "both.tar", NULL);
	assert_ok(image_find(p->store, "a.b/app:2", &other, &err), &err);
	assert_non_null(other);
	assert_string_equal(other->config.cmd[0], "/bin/y");
	image_unref(other);
	assert_ok(image_find(p->store, "a.b/app:1", &other, &err), &err);
	assert_ptr_equal(other, image);
	image_unref(other);
	image_unref(image);
	assert_failed(import(p, "both.tar", "one:1", &image, &err), &err, ERR_INVALID, "say which one is to be called one:1");
}

/* ---- several images, names, directories ---- */

/* The tags of all images that were taken, in the order of the archive; "!" and the error when it fails. */
static void assert_takes(struct place *p, const char *archive, const char *name, const char *const *only, const char *tags)
{
	_cleanup_free_
	char *path = fixture_path(p->dir, archive);
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	const struct import_request request = { .fd = fd, .name = name, .only = (char *const *)(uintptr_t)only };
	struct import_result result = { 0 };
	struct error err = ERROR_INIT;
	char text[1024] = "";

	if (image_import(p->store, &request, &result, &err) < 0) {
		if (*tags != '!' || !strstr(err.text, tags + 1))
			fail_msg("want '%s', got '%s'", tags, err.text);
		return;
	}
	assert_null(result.images[result.n_images]);
	for (size_t i = 0; i < result.n_images; i++) {
		for (char **tag = result.images[i]->repo_tags; *tag; tag++) {
			size_t len = strlen(text);

			(void)snprintf(text + len, sizeof(text) - len, "%s%s", len ? " " : "", *tag);
		}
	}
	assert_string_equal(text, tags);
	image_list_free(result.images);
	assert_int_equal(fixture_count(p->root, "ingest"), 0);
}

static void forget_all(struct place *p)
{
	struct image **images;
	struct error err = ERROR_INIT;
	size_t n;

	assert_ok(image_list(p->store, &images, &n, &err), &err);
	for (size_t i = 0; i < n; i++)
		assert_ok(image_remove(p->store, images[i]->id, &err), &err);
	image_list_free(images);
}

#define ONLY(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void images_are_chosen_by_name(void **state)
{
	struct place *p = *state;

	need_root();
	need_program("umoci");
	need_program("skopeo");
	make_with_umoci(p);
	shell(p, "umoci config --image oci:1 --tag 2 --config.cmd /bin/y && "
		 "skopeo --insecure-policy copy oci:oci:1 oci:both:a.b/app:1 && skopeo --insecure-policy copy oci:oci:2 "
		 "oci:both:docker.io/library/app:2 && tar -C oci -cf tags.tar .");
	assert_takes(p, "both", NULL, NULL, "a.b/app:1 docker.io/library/app:2");
	forget_all(p);
	assert_takes(p, "both", NULL, ONLY("app:2"), "docker.io/library/app:2");
	forget_all(p);
	assert_takes(p, "both", "new:7", ONLY("a.b/app:1"), "docker.io/library/new:7");
	forget_all(p);
	assert_takes(p, "both", NULL, ONLY("app:2", "a.b/app:3"),
		     "!there is no image 'a.b/app:3' in it; there is: a.b/app:1, docker.io");
	assert_takes(p, "tags.tar", NULL, NULL, "!a name has to be given");
	assert_takes(p, "tags.tar", NULL, ONLY("2"), "!'2' is a tag without a name");
	assert_takes(p, "tags.tar", "mine:2", ONLY("2"), "docker.io/library/mine:2");
	assert_takes(p, "tags.tar", "mine", NULL, "!say which one is to be called mine");
}

static void a_docker_archive_holds_several(void **state)
{
	struct place *p = *state;

	need_root();
	shell(p, "for i in 1 2; do mkdir -p saved/$i root; echo $i > root/f; tar -C root -cf saved/$i/layer.tar .; "
		 "id=sha256:$(sha256sum < saved/$i/layer.tar | cut -d' ' -f1); "
		 "echo \"{\\\"os\\\":\\\"linux\\\",\\\"rootfs\\\":{\\\"diff_ids\\\":[\\\"$id\\\"]}}\" > saved/$i.json; done; "
		 "echo '[{\"Config\":\"1.json\",\"RepoTags\":[\"one:1\",\"x.y/one:2\"],\"Layers\":[\"1/layer.tar\"]},"
		 "{\"Config\":\"2.json\",\"RepoTags\":[\"two:1\"],\"Layers\":[\"2/layer.tar\"]}]' > saved/manifest.json; "
		 "tar -C saved -czf a.tar .");
	assert_takes(p, "a.tar", NULL, NULL, "docker.io/library/one:1 x.y/one:2 docker.io/library/two:1");
	forget_all(p);
	assert_takes(p, "saved", NULL, ONLY("two:1"), "docker.io/library/two:1");
	forget_all(p);
	assert_takes(p, "a.tar", NULL, ONLY("x.y/one:2"), "x.y/one:2");
	forget_all(p);
	assert_takes(p, "a.tar", "mine", ONLY("two:1"), "docker.io/library/mine:latest");
	assert_takes(p, "a.tar", "mine", NULL, "!say which one is to be called mine");
	assert_takes(p, "a.tar", NULL, ONLY("three"), "!there is no image 'three' in it; there is: one:1, x.y/one:2, two:1");
	shell(p, "rm saved/manifest.json; echo '{}' > saved/repositories");
	assert_takes(p, "saved", NULL, NULL, "!Docker before 1.10");
}

/* As `ctr images export` and newer `docker save` write it: the name in two annotations, an index with platforms behind it. */
static void exports_of_several_platforms(void **state)
{
	static const char *const host_names[] = { "amd64", "arm64" };
	const struct platform host = platform_host();
	struct place *p = *state;
	_cleanup_free_
	char *index = NULL;
	_cleanup_free_
	char *top = NULL;
	struct fixture_image made[2];
	struct image *image;
	struct blob blob;

	need_root();
	for (size_t i = 0; i < 2; i++) {
		const struct item items[] = { { .name = host_names[i], .type = 'f', .data = "x" } };
		struct fixture_layer layer = { fixture_tar(items, 1), 'g', NULL };

		made[i] = fixture_image(p->layout, &layer, 1, NULL, host_names[i]);
		free(layer.tar.data);
	}
	assert_true(asprintf(&index,
			     "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\","
			     "\"architecture\":\"amd64\"}},{\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\","
			     "\"architecture\":\"arm64\"}}]}",
			     made[0].manifest.digest, made[0].manifest.len, made[1].manifest.digest, made[1].manifest.len) > 0);
	blob = fixture_blob(p->layout, index, strlen(index));
	assert_true(asprintf(&top,
			     "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.index.v1+json\","
			     "\"digest\":\"%s\",\"size\":%zu,\"annotations\":{\"io.containerd.image.name\":\"x.y/multi:3\","
			     "\"org.opencontainers.image.ref.name\":\"3\"}}]}",
			     blob.digest, blob.len) > 0);
	fixture_write(p->layout, "index.json", top, strlen(top));
	shell(p, "tar -C layout -cf - . | zstd -q > a.tar");
	image = assert_imports(p, "a.tar", NULL);
	assert_string_equal(image->repo_tags[0], "x.y/multi:3");
	assert_true(strstr(image->repo_digests[0], blob.digest) != NULL);
	assert_true(fixture_exists(image->layer_dirs[0], host.architecture));
	image_unref(image);
}

static void archives_of_buildah(void **state)
{
	struct place *p = *state;

	need_root();
	need_program("buildah");
	shell(p,
	      "b='buildah --root '$PWD'/b/root --runroot '$PWD'/b/run --storage-driver vfs'; c=$($b from scratch); echo text > f; "
	      "$b copy $c f /f; $b config --cmd /f $c; $b commit $c localhost/made:1; "
	      "$b push localhost/made:1 oci-archive:$PWD/oci.tar:localhost/made:1; "
	      "$b push localhost/made:1 docker-archive:$PWD/docker.tar:localhost/made:2; $b push localhost/made:1 "
	      "oci:$PWD/oci:localhost/made:3; "
	      "$b rm -a; $b rmi -a; rm -rf b");
	assert_takes(p, "oci.tar", NULL, NULL, "localhost/made:1");
	forget_all(p);
	assert_takes(p, "docker.tar", NULL, NULL, "localhost/made:2 localhost/made:1"); /* it writes all names of the image */
	forget_all(p);
	assert_takes(p, "oci", NULL, NULL, "localhost/made:3");
}

static void *cancel_soon(void *arg)
{
	(void)usleep(300000);
	atomic_store((atomic_bool *)arg, true);
	return NULL;
}

/* A pipe that says nothing more, and blocks whoever reads it. */
static void an_import_can_be_cancelled(void **state)
{
	struct place *p = *state;
	atomic_bool cancelled = false;
	struct import_request request = { .name = "x", .cancelled = &cancelled };
	struct import_result result;
	struct error err = ERROR_INIT;
	pthread_t thread;
	int ends[2];

	need_root();
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	request.fd = ends[0];
	assert_int_equal(write(ends[1], "index.json", 10), 10);
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancelled), 0);
	assert_failed(image_import(p->store, &request, &result, &err), &err, ERR_CANCELLED, "cancelled");
	(void)pthread_join(thread, NULL);
	(void)close(ends[0]);
	(void)close(ends[1]);
	assert_int_equal(fixture_count(p->root, "ingest"), 0);
}

/* ---- archives that somebody made by hand ---- */

static struct fixture_image make_layout(struct place *p, const char *text)
{
	const struct item items[] = { { .name = "f", .type = 'f', .data = text } };
	struct fixture_layer layer = { fixture_tar(items, 1), 'g', NULL };
	struct fixture_image image = fixture_image(p->layout, &layer, 1, NULL, NULL);

	fixture_layout(p->layout, &image.manifest, "x.y/app:1");
	free(layer.tar.data);
	return image;
}

static void hostile_archives(void **state)
{
	static const struct {
		const char *damage, *name;
		enum error_code code;
		const char *why;
	} cases[] = {
		{ "rm layout/index.json", NULL, ERR_INVALID, "neither an OCI layout" },
		{ "echo '{}' > layout/index.json", NULL, ERR_INVALID, "index.json: manifest" },
		{ ": > layout/index.json", NULL, ERR_INVALID, "not JSON" },
		{ "rm layout/index.json; mkdir layout/index.json", NULL, ERR_INVALID, "not a file" },
		{ "rm layout/index.json; ln -s /etc/passwd layout/index.json", NULL, ERR_NOT_FOUND, "index.json" },
		{ "rm layout/index.json; ln -s blobs/none layout/manifest.json", NULL, ERR_NOT_FOUND, "manifest.json" },
		{ "sed -i 's/x.y.app:1/latest/' layout/index.json", NULL, ERR_INVALID, "a name has to be given" },
		{ "true", "Bad", ERR_INVALID, "lower case" },
		{ "rm $manifest", NULL, ERR_NOT_FOUND, "manifest" },
		{ "echo >> $manifest", NULL, ERR_DATA_LOSS, "manifest: " },
		{ "rm $config", NULL, ERR_NOT_FOUND, "configuration" },
		{ "echo >> $config", NULL, ERR_DATA_LOSS, "configuration" },
		{ "rm $layer", NULL, ERR_NOT_FOUND, "layer sha256:" },
		{ "printf x | dd of=$layer bs=1 seek=40 conv=notrunc", NULL, ERR_DATA_LOSS, "turned out to be" },
		{ "truncate -s -3 $layer", NULL, ERR_DATA_LOSS, "turned out to be" },
		{ "rm $layer; ln -s /etc/passwd $layer", NULL, ERR_NOT_FOUND, "layer" },
		{ "rm layout/index.json; echo '[]' > layout/manifest.json", NULL, ERR_INVALID, "does not list an image" },
		{ "rm layout/index.json; echo '[{}]' > layout/manifest.json", NULL, ERR_INVALID, "without 'Config'" },
		{ "rm layout/index.json; echo '[{\"Config\":\"../../../../etc/hostname\",\"Layers\":[]}]' > layout/manifest.json",
		  NULL, ERR_NOT_FOUND, "hostname" },
		{ "rm layout/index.json; echo '[{\"Config\":\"/etc/hostname\",\"Layers\":[\"/etc/passwd\"]}]' > "
		  "layout/manifest.json",
		  NULL, ERR_NOT_FOUND, "passwd" },
		{ "rm layout/index.json; echo '{}' > layout/c; echo '[{\"Config\":\"c\",\"Layers\":[]}]' > layout/manifest.json",
		  NULL, ERR_INVALID, "does not name" },
		{ "rm layout/index.json; echo '{}' > layout/c; echo '[{\"Config\":\"c\",\"Layers\":[\"c\"]}]' > "
		  "layout/manifest.json",
		  "x", ERR_INVALID, "0 diff ids for 1 layers" },
		{ "mknod layout/device c 1 3", NULL, ERR_INVALID, "no place" },
		{ "head -c 5000000 /dev/zero | tr '\\0' ' ' > layout/index.json", NULL, ERR_EXHAUSTED, "over the limit" },
		{ "yes '[' | head -c 100000 > layout/index.json", NULL, ERR_INVALID, "not JSON" },
		{ "rm layout/index.json; yes '\"x\",' | head -c 3000000 > layout/m; (echo '[{\"RepoTags\":['; cat layout/m; echo "
		  "'\"y\"]}]') > layout/manifest.json; rm layout/m",
		  NULL, ERR_EXHAUSTED, "manifest.json" },
		{ "tar -C layout -cf inner.tar .; rm -r layout/*; mv inner.tar layout/", NULL, ERR_INVALID,
		  "neither an OCI layout" },
		{ "mv layout/blobs layout/b; ln -s /etc layout/blobs", NULL, ERR_NOT_FOUND, "is missing" },
		{ "sed -i 's/sha256:....../sha256:..\\/..\\//' layout/index.json", NULL, ERR_INVALID, "not a digest" },
	};

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct place *p = *state;
		struct image *image = NULL;
		struct error err = ERROR_INIT;
		struct fixture_image made = make_layout(p, "text");
		_cleanup_free_
		char *command = NULL;

		assert_true(asprintf(&command,
				     "cd layout/blobs/sha256 && manifest=$PWD/%s config=$PWD/%s layer=$(ls | grep -v -e %s -e %s) "
				     "&& layer=$PWD/$layer && "
				     "cd ../../.. && %s; tar -C layout -cf a.tar .",
				     digest_hex(made.manifest.digest), digest_hex(made.config.digest),
				     digest_hex(made.manifest.digest), digest_hex(made.config.digest), cases[i].damage) > 0);
		shell(p, command);
		if (import(p, "a.tar", cases[i].name, &image, &err) == 0)
			fail_msg("case %zu was taken: %s", i, cases[i].damage);
		assert_failed(-1, &err, cases[i].code, cases[i].why);
		assert_null(image);
		assert_int_equal(fixture_count(p->root, "ingest"), 0);
		assert_int_equal(fixture_count(p->root, "images"), 0);
		(void)tear_down(state);
		(void)set_up(state);
	}
}

/* What a copy that broke off, or a file that is none, looks like. */
static void damaged_archives(void **state)
{
	static const struct {
		const char *damage;
		enum error_code code;
		const char *why;
	} cases[] = {
		{ ": > a.tar", ERR_INVALID, "neither an OCI layout" },
		{ "truncate -s 3000 a.tar", ERR_INVALID, "runcated" },
		{ "gzip a.tar; truncate -s -20 a.tar.gz; mv a.tar.gz a.tar", ERR_INVALID, "ends early" },
		{ "zstd -q --rm a.tar; truncate -s -5 a.tar.zst; mv a.tar.zst a.tar", ERR_INVALID, "ends early" },
		{ "xz a.tar; mv a.tar.xz a.tar", ERR_UNIMPLEMENTED, "compressed with xz" },
		{ "gzip a.tar; printf '\\377\\377\\377' | dd of=a.tar.gz bs=1 seek=600 conv=notrunc; mv a.tar.gz a.tar",
		  ERR_INVALID, "" },
		{ "head -c 20000 /dev/urandom > a.tar", ERR_INVALID, "" },
	};
	struct place *p = *state;

	need_root();
	(void)make_layout(p, "text");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct image *image = NULL;
		struct error err = ERROR_INIT;

		shell(p, "rm -f a.tar*; tar -C layout -cf a.tar .");
		shell(p, cases[i].damage);
		if (import(p, "a.tar", NULL, &image, &err) == 0)
			fail_msg("case %zu was taken: %s", i, cases[i].damage);
		assert_failed(-1, &err, cases[i].code, cases[i].why);
		assert_int_equal(fixture_count(p->root, "ingest"), 0);
		assert_int_equal(fixture_count(p->root, "images"), 0);
	}
}

/* docker save writes links for layers that repeat. */
static void links_inside_the_archive(void **state)
{
	struct place *p = *state;
	struct image *image;

	need_root();
	(void)make_layout(p, "text");
	shell(p,
	      "mkdir -p saved/a saved/b && cd saved && layer=$(ls -S ../layout/blobs/sha256/* | head -n 3 | while read f; do "
	      "gzip -t $f 2>/dev/null && echo $f; done) && gzip -dc < $layer > a/layer.tar && ln -s ../a/layer.tar b/layer.tar && "
	      "id=sha256:$(sha256sum a/layer.tar | cut -d' ' -f1) && "
	      "echo \"{\\\"os\\\":\\\"linux\\\",\\\"rootfs\\\":{\\\"diff_ids\\\":[\\\"$id\\\",\\\"$id\\\"]}}\" > c.json && "
	      "echo '[{\"Config\":\"c.json\",\"RepoTags\":[\"app:1\",\"app:2\"],\"Layers\":[\"a/layer.tar\",\"b/layer.tar\"]}]' > "
	      "manifest.json && "
	      "tar -cf ../a.tar .");
	image = assert_imports(p, "a.tar", NULL);
	assert_int_equal(strv_count(image->repo_tags), 2);
	assert_int_equal(strv_count(image->repo_digests), 0);
	assert_int_equal(image->n_layers, 1);
	assert_true(fixture_exists(image->layer_dirs[0], "f"));
	image_unref(image);
}

/* An archive of one file larger than any layer may be. */
static void archives_have_a_limit(void **state)
{
	struct place *p = *state;
	struct image *image;
	struct error err = ERROR_INIT;

	need_root();
	shell(p, "mkdir big && truncate -s 300M big/index.json && tar -C big -czf a.tar .");
	assert_failed(import(p, "a.tar", NULL, &image, &err), &err, ERR_EXHAUSTED, "268435456");
	shell(p, "rm a.tar && tar -C big -cSf a.tar .");
	assert_failed(import(p, "a.tar", NULL, &image, &err), &err, ERR_EXHAUSTED, "268435456");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	CASE(archives_of_real_tools),
	CASE(a_pipe_will_do),
	CASE(several_images_in_one_archive),
	CASE(images_are_chosen_by_name),
	CASE(a_docker_archive_holds_several),
	CASE(exports_of_several_platforms),
	CASE(archives_of_buildah),
	CASE(an_import_can_be_cancelled),
	CASE(hostile_archives),
	CASE(damaged_archives),
	CASE(links_inside_the_archive),
	CASE(archives_have_a_limit),
};

FIXTURE_MAIN(tests)
