/* base/banned.h - forced into every core module (-include): calls that would hide time, chance or I/O from the loop, or
 * overrun a buffer, do not compile. I/O modules (loop_uv.c, log.c, http/, store/sqlite, node/, cli/) are built without
 * it; the list is in the meson.build files, and tests/lint checks it. */
#ifndef SAMPAN_BASE_BANNED_H
#define SAMPAN_BASE_BANNED_H
/* Headers that declare the banned names come first, so that their own declarations stay untouched. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

/* With fortification clang sees macros of these names. */
#undef strcpy
#undef strcat
#undef strncat
#undef sprintf
#undef vsprintf
#undef gets
#pragma GCC poison strcpy strcat sprintf vsprintf gets strtok strncat
#pragma GCC poison srand srandom drand48 getrandom
#pragma GCC poison gettimeofday clock_gettime usleep nanosleep
#pragma GCC poison getenv setenv putenv
#pragma GCC poison fopen creat openat

/* Words that headers also use for members and parameters: only a call is banned, in whatever is included later too. */
#define rand(...)   banned_use_loop_rand
#define random(...) banned_use_loop_rand
#define time(...)   banned_use_loop_wall_ms
#define sleep(...)  banned_use_loop_timer
#define open(...)   banned_no_files_in_core
#define socket(...) banned_no_sockets_in_core
#endif
