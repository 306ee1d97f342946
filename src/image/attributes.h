/* What an archive says of a file besides its content, and how much of it reaches the disk. */
#ifndef MONOPOD_IMAGE_ATTRIBUTES_H
#define MONOPOD_IMAGE_ATTRIBUTES_H

#include <time.h>

#include "base/error.h"

struct archive_entry;

/* The time of the last change; nanoseconds that are none count as 0. */
struct timespec attributes_mtime(struct archive_entry *entry);

/* ERR_INVALID for owners that chown(2) cannot express. */
int attributes_check(struct archive_entry *entry, struct error *err);

/* Owner, mode and the extended attributes that untar.h promises, of an open file or directory. */
int attributes_set(int fd, struct archive_entry *entry, struct error *err);

/* Owner and time of what cannot be opened: links, devices, fifos. */
int attributes_set_at(int dirfd, const char *name, struct archive_entry *entry, struct error *err);

#endif
