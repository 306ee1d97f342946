/*
 * From what a person types to an identifier. A pod or container is named by its id, by a prefix of it that fits only one, or by its
 * name; NAMESPACE/NAME also names a pod, POD/CONTAINER a container. When a container's name fits several, the one that runs is meant, if it
 * is the only one.
 */
#ifndef MONOPOD_CLI_FIND_H
#define MONOPOD_CLI_FIND_H

#include "base/error.h"
#include "proto/cri.pb-c.h"

struct cli;

/* The id is of the arena. ERR_NOT_FOUND, or ERR_INVALID with the candidates when there are several. */
int find_pod(struct cli *cli, const char *reference, const char **ret_id, struct error *err);
int find_container(struct cli *cli, const char *reference, const char **ret_id, struct error *err);

/* The choice alone, from lists that the caller has; the id belongs to the list. */
int choose_pod(const Cri__ListPodSandboxResponse *pods, const char *reference, const char **ret_id, struct error *err);
int choose_container(const Cri__ListContainersResponse *containers, const Cri__ListPodSandboxResponse *pods, const char *reference,
		     const char **ret_id, struct error *err);

#endif
