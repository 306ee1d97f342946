/* `monopod serve`: the daemon's life from its configuration to its last signal. */
#ifndef MONOPOD_SERVE_H
#define MONOPOD_SERVE_H

#include "base/config.h"
#include "base/error.h"

/* 0 after SIGTERM or SIGINT. `config` is the caller's and must outlive the call. */
int serve_main(struct config *config, struct error *err);

#endif
