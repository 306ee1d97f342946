/* The interpreter, as the bytes of an executable: built by init/CMakeLists.txt. */
#ifndef MONOPOD_RUNTIME_INIT_IMAGE_H
#define MONOPOD_RUNTIME_INIT_IMAGE_H

extern const char init_image_start[];
extern const char init_image_end[];

#endif
