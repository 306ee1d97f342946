/*
 * What the values of options must be. Inside the configuration (config.c) only.
 */
#ifndef MONOPOD_BASE_CONFIG_CHECK_H
#define MONOPOD_BASE_CONFIG_CHECK_H

#include <stdint.h>

#include "base/error.h"

/* libinih reads lines of INI_MAX_LINE bytes (200); the longest key and " = " take up to 28 of them. */
#define CONFIG_MAX_TEXT 160

/* 0, or -1 with ERR_INVALID and the reason alone; the caller names option and value. */
typedef int config_check_fn(const char *value, struct error *err);

config_check_fn config_check_text; /* what every text must be */
config_check_fn config_check_path, config_check_path_or_none, config_check_paths, config_check_search_path, config_check_socket,
	config_check_level, config_check_auto_or_path, config_check_driver, config_check_engine, config_check_cgroup,
	config_check_seccomp, config_check_apparmor, config_check_link, config_check_mtu, config_check_cidr;

/* A decimal number from `min` to `max`. Errors as above. */
int config_parse_number(const char *value, int64_t min, int64_t max, int64_t *ret_number, struct error *err);

#endif
