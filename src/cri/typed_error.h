/*
 * The few errors of the CRI that have no code of their own: kubelets know them by the word that the text begins with (cri-api
 * pkg/errors: RegistryUnavailable, SignatureValidationFailed, RROUnsupported, ImageVolumeMountFailed).
 */
#ifndef MONOPOD_CRI_TYPED_ERROR_H
#define MONOPOD_CRI_TYPED_ERROR_H

#include "base/error.h"

/* Moves such a word, wherever the clauses of the layers above have pushed it, to the front of the text. */
void typed_error_to_front(struct error *err);

#endif
