/*
 * Notices when a network configuration may have changed: one descriptor that becomes readable when something happens in the directory,
 * or, while it is not there, in the nearest one above it that is; and, if asked for, every now and then.
 */
#ifndef MONOPOD_NET_CNI_WATCH_H
#define MONOPOD_NET_CNI_WATCH_H

#include <stdbool.h>

#include "base/error.h"

struct cni_watch {
	int fd;             /* to be polled; the next two are in it */
	int inotify, timer; /* owned, as is the first */
	unsigned period_s;  /* of the timer; 0: it stands still */
	int directory;      /* inotify's number for it; -1: none */
};

int cni_watch_open(struct cni_watch *watch, struct error *err);
void cni_watch_close(struct cni_watch *watch);

/* Takes what has come, looks for the directory again and sets the clock: `period_s` 0 stops it. To be called before the directory
 * is read, so that no change after the reading is missed. */
void cni_watch_again(struct cni_watch *watch, const char *dir, unsigned period_s);

#endif
