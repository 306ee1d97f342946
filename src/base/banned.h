/*
 * Functions that invite overruns or silent truncation do not compile here. Included in front of every file of ours by the build
 * (cmake/warnings.cmake); the libraries' headers come first so that their own declarations are untouched.
 */
#ifndef MONOPOD_BASE_BANNED_H
#define MONOPOD_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BANNED(function, instead) _Static_assert(0, #function " is banned: use " #instead)

#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef sprintf
#undef vsprintf
#undef strtok
#undef atoi
#undef atol
#undef atoll
#undef system
#undef popen
#undef tmpnam
#define strcpy(...) BANNED(strcpy, snprintf)
#define strcat(...) BANNED(strcat, snprintf)
#define strncpy(...) BANNED(strncpy, snprintf)
#define strncat(...) BANNED(strncat, snprintf)
#define sprintf(...) BANNED(sprintf, snprintf)
#define vsprintf(...) BANNED(vsprintf, vsnprintf)
#define strtok(...) BANNED(strtok, strtok_r)
#define atoi(...) BANNED(atoi, strtol)
#define atol(...) BANNED(atol, strtol)
#define atoll(...) BANNED(atoll, strtoll)
#define system(...) BANNED(system, posix_spawn)
#define popen(...) BANNED(popen, posix_spawn)
#define tmpnam(...) BANNED(tmpnam, mkstemp)

#endif
