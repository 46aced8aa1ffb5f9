/* base/banned.h - forced into every core module (-include): calls that would hide time, chance or I/O from the loop, or
 * overrun a buffer, do not compile. I/O modules (loop_uv.c, log.c, http/, store/sqlite, node/, cli/) are built without it;
 * the list is in the meson.build files, and tests/lint checks it. */
#ifndef SAMPAN_BASE_BANNED_H
#define SAMPAN_BASE_BANNED_H
/* Headers that declare the banned names come first, so that their own declarations stay untouched. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <fcntl.h>

#pragma GCC poison strcpy strcat sprintf vsprintf gets strtok strncat
#pragma GCC poison rand srand random srandom drand48 getrandom
#pragma GCC poison gettimeofday clock_gettime usleep nanosleep
#pragma GCC poison getenv setenv putenv
#pragma GCC poison fopen open creat openat
#endif
