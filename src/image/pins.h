/*
 * Pinned images: those that the operator does not want to lose (image.pinned_images). Image.pinned of the CRI tells the kubelet, whose
 * garbage collection then leaves them alone. A RemoveImage is carried out all the same, as the contract asks: the field is a recommendation.
 */
#ifndef MONOPOD_IMAGE_PINS_H
#define MONOPOD_IMAGE_PINS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct pins {
	char **patterns; /* full spellings; those with a '*' as they were written */
	size_t n;
};

/* `text`: names separated by commas and blanks. ERR_INVALID for one that is no name. */
int pins_parse(const char *text, struct pins *ret_pins, struct error *err);
void pins_release(struct pins *pins);

/* True when one of the names (NULL-terminated, full spellings) is pinned. */
bool pins_have(const struct pins *pins, char *const *names);

#endif
