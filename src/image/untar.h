/*
 * A tar stream becomes a directory tree (OCI image-spec, layer.md). This is the code that parses what strangers wrote, so it runs
 * in a child that confine_unpacker() has shut in; it works as well outside of one, which is what the fuzzer does.
 *
 * - White-outs become what overlayfs understands: `.wh.NAME` a character device 0:0, `.wh..wh..opq` a call of `on_opaque`. They
 *   hide what lower layers have, never what this layer brings, whichever comes first in the archive.
 * - Extended attributes: user.* and security.capability. Everything else, trusted.* above all, would configure the host's overlay
 *   or its security modules, and is dropped; so are ACLs and inode flags.
 * - Names are bytes: they are stored as they came, whatever their encoding.
 * - A later entry of the same name replaces the earlier one; two directories merge.
 */
#ifndef MONOPOD_IMAGE_UNTAR_H
#define MONOPOD_IMAGE_UNTAR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct untar_options {
	bool is_layer; /* false: an archive of files; no white-outs, owners, modes, attributes or device nodes */
	uint64_t max_bytes;
	uint64_t max_inodes;
	bool lists; /* writes what it made to listing_fd: see listing.h */
	int listing_fd;
	int (*on_opaque)(void *arg, const char *path, struct error *err); /* "" is the root */
	void *arg;
};

struct untar_usage {
	uint64_t bytes; /* data in whole 4 KiB blocks, as file systems store it, and directories as small as they come */
	uint64_t inodes;
};

/* Reads `tarfd` to its end. ERR_INVALID for what is not a tar or must not be unpacked, ERR_EXHAUSTED over a limit or a full disk. */
int untar(int tarfd, int rootfd, const struct untar_options *options, struct untar_usage *ret_usage, struct error *err);

#endif
