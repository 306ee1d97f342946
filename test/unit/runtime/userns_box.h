/* The container of box.h in a user namespace, with its root file system as the id-mapped layer of an overlay. */
#ifndef MONOPOD_TEST_USERNS_BOX_H
#define MONOPOD_TEST_USERNS_BOX_H

#include "box.h"

#include <grp.h>

#include "runtime/rootfs.h"
#include "runtime/userns.h"

static const struct id_map userns_map = { 0, 100000, 65536 };
static const struct id_maps userns_maps = { &userns_map, 1, &userns_map, 1 };

struct userns_box {
	struct user_ns_spec user_ns;
	struct container_spec spec; /* refers to the one above: no copy of this struct */
};

__attribute__((unused)) static uid_t owner_of(const char *path)
{
	struct stat st;

	assert_return_code(lstat(path, &st), errno);
	return st.st_uid;
}

static inline int userns_box_root(void **state, int user_ns)
{
	char root[256], upper[256], work[256];
	const char *layers[] = { root };
	const struct overlay_spec overlay = { .lower_dirs = layers, .n_lower_dirs = 1, .upper_dir = upper, .work_dir = work };
	struct error err = ERROR_INIT;
	int fd;

	(void)snprintf(root, sizeof(root), "%s", box_root(state));
	(void)snprintf(upper, sizeof(upper), "%s", in_place(state, "up"));
	(void)snprintf(work, sizeof(work), "%s", in_place(state, "work"));
	put_dir(upper);
	put_dir(work);
	assert_return_code(chown(upper, userns_map.outside, userns_map.outside), errno);
	fd = overlay_open_id_mapped(&overlay, user_ns, &err);
	if (fd < 0 && err.code == ERR_UNIMPLEMENTED) {
		print_message("skipped: %s\n", err.text);
		skip();
	}
	if (fd < 0)
		fail_msg("%s", err.text);
	return fd;
}

static inline void userns_box_open(void **state, struct userns_box *box)
{
	box->user_ns = (struct user_ns_spec){ expect_ok(userns_create(box_spawner, &userns_maps, &err)), userns_maps };
	box->spec = box_spec(NULL);
	box->spec.user_ns = &box->user_ns;
	box->spec.rootfs = userns_box_root(state, box->user_ns.fd);
}

static inline void userns_box_close(struct userns_box *box)
{
	close_fd(&box->spec.rootfs);
	close_fd(&box->user_ns.fd);
}

#endif
