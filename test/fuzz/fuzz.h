/* What every test/fuzz/fuzz_NAME.c defines: feeds one input to a parser. Crashes, sanitizer reports and abort() are findings. */
#ifndef MONOPOD_TEST_FUZZ_H
#define MONOPOD_TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
