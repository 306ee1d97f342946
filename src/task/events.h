/*
 * GetContainerEvents: what happens to pods and containers, told as it happens, for kubelet's event-driven loop (KEP-3386, "Evented PLEG")
 * and `monopod events`.
 *
 * An event carries the pod's status and the statuses of all its containers as they are at that moment, stamped: a client that has a
 * younger status already may drop it. Pods are told of too, with their own id as the container's, as containerd and CRI-O do.
 *
 *     container   created, started, stopped (its exit, or a start that failed), deleted
 *     pod         created and started when it is ready, stopped when it is not any more, deleted
 *
 * Order: events of one subscriber come in the order in which they happened. A subscription begins when its headers are sent; who lists
 * after that has missed nothing. A subscriber that does not read is ended with RESOURCE_EXHAUSTED (task/call.h): it subscribes again and
 * lists. With nobody subscribed an event costs a comparison.
 */
#ifndef MONOPOD_TASK_EVENTS_H
#define MONOPOD_TASK_EVENTS_H

#include <stdint.h>

#include "proto/cri.pb-c.h"

struct container;
struct node;
struct sandbox;
struct subscriber;

/* A kubelet is one; each may have CALL_SEND_MAX_BYTES waiting (arbitrary). */
#define MAX_SUBSCRIBERS 64

void event_of_container(struct container *container, Cri__ContainerEventType type);
void event_of_sandbox(struct sandbox *sandbox, Cri__ContainerEventType type);

/* CLOCK_REALTIME in nanoseconds, but later than any stamp before: kubelet compares those of events with those of PodSandboxStatus, and
 * the clock may be set back. */
int64_t event_stamp_ns(struct node *node);

#endif
