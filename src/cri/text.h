/* What texts of a request must look like: one const rule per kind of text. */
#ifndef MONOPOD_CRI_TEXT_H
#define MONOPOD_CRI_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "cri/field.h"

struct text_rule {
	const char *must; /* completes "must be ..." */
	size_t max_bytes;
	bool optional;                   /* "" is fine */
	bool secret;                     /* never quoted */
	bool (*valid)(const char *text); /* NULL: any; not asked about "" */
};

/* 0, or ERR_INVALID with the field's path. `text` may be NULL, which is "". */
int text_check(const struct field *at, const struct text_rule *rule, const char *text, struct error *err);

/* The largest string that execve(2) takes: MAX_ARG_STRLEN is 32 pages, the NUL included; of 4 KiB each, the smallest that exist. */
#define TEXT_MAX_ARGUMENT (32 * 4096 - 1)

extern const struct text_rule text_id;          /* of a pod or a container: there, and no longer than sense */
extern const struct text_rule text_optional_id; /* in filters */
extern const struct text_rule text_name;        /* metadata: no '/', no control characters, not "." or ".." */
extern const struct text_rule text_label_key;   /* and of annotations */
extern const struct text_rule text_any;         /* values of both */
extern const struct text_rule text_hostname;    /* RFC 1123, optional */
extern const struct text_rule text_path;        /* absolute, without ".." */
extern const struct text_rule text_optional_path;
extern const struct text_rule text_relative_path; /* optional, without ".." */
extern const struct text_rule text_working_dir;   /* optional, absolute */
extern const struct text_rule text_image;         /* a reference in any spelling */
extern const struct text_rule text_optional_image;
extern const struct text_rule text_command; /* the first of an argument list */
extern const struct text_rule text_argument;
extern const struct text_rule text_env_key;
extern const struct text_rule text_user_name; /* optional */
extern const struct text_rule text_capability;
extern const struct text_rule text_sysctl_name;
extern const struct text_rule text_sysctl_value;
extern const struct text_rule text_cgroup_parent; /* optional */
extern const struct text_rule text_cpu_list;      /* "0-3,7", optional */
extern const struct text_rule text_page_size;     /* "2MB" */
extern const struct text_rule text_cgroup_file;   /* "memory.high" */
extern const struct text_rule text_cgroup_value;
extern const struct text_rule text_address;       /* IPv4 or IPv6, perhaps with a zone */
extern const struct text_rule text_host_ip;       /* optional */
extern const struct text_rule text_dns_word;      /* a search domain or an option */
extern const struct text_rule text_permissions;   /* of a device: letters of "rwm" */
extern const struct text_rule text_apparmor;      /* name of a profile */
extern const struct text_rule text_selinux_part;  /* optional: a user, a role or a type */
extern const struct text_rule text_selinux_level; /* "s0:c1,c2", optional */
extern const struct text_rule text_handler;       /* of a runtime, optional */
extern const struct text_rule text_cdi_device;    /* "vendor.com/class=name" */
extern const struct text_rule text_secret;        /* optional; goes into an HTTP header */

#endif
