/* cli/up.h - where `sampan up` leaves word of itself for `sampan down` and `sampan status`. */
#ifndef SAMPAN_CLI_UP_H
#define SAMPAN_CLI_UP_H

#include "base/arena.h"
#include "base/str.h"

#define UP_RUN_DIR  "/run/sampan"
#define UP_PID_FILE UP_RUN_DIR "/up.pid" /* locked (flock) as long as up runs; holds its pid */
#define UP_LOG_FILE UP_RUN_DIR "/up.log" /* of --background */

/* The pid of the running `sampan up`, or 0. */
int up_pid(void);
/* The port of a listening address, 6443 where it has none; and where a client on this machine reaches it. */
struct str up_port(const char *listen);
char *up_local_address(struct arena *mem, const char *listen);

#endif
