/* cli/notify.h - where a process says that it is ready. */
#ifndef SAMPAN_CLI_NOTIFY_H
#define SAMPAN_CLI_NOTIFY_H

/* The descriptor to write "READY=1\n" to, once, and to close: option as a number (what --ready-fd gave), else a
 * socket connected to systemd's $NOTIFY_SOCKET, which is taken out of the environment.
 * -1: nobody waits. Source: sd_notify(3). */
int notify_fd(const char *option);

#endif
