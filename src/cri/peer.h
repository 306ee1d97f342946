/* Who is at the other end of a unix socket. */
#ifndef MONOPOD_CRI_PEER_H
#define MONOPOD_CRI_PEER_H

#include "base/error.h"

/* ERR_DENIED unless the process that connected ran as root then (SO_PEERCRED, unix(7)): the socket's mode already says so, but a
 * socket-activated one has the mode of its unit, and whoever may connect owns the node. */
int peer_check_root(int fd, struct error *err);

/* The descriptor that came with the bytes which are about to be read (SCM_RIGHTS, unix(7)), close-on-exec; -1 when none did. The bytes
 * stay. Of several it is the first. */
int peer_take_descriptor(int fd);

#endif
