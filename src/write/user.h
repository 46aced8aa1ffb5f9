/* write/user.h - who asks: the identity that gate/ established, or one of the server's own parts. May use base/. */
#ifndef SAMPAN_WRITE_USER_H
#define SAMPAN_WRITE_USER_H

#include "base/str.h"

struct user_extra {
    struct str key;
    struct str *values;
    int count;
};
struct user {        /* lives in the request's arena, or for ever */
    struct str name; /* "system:serviceaccount:kube-system:deployment-controller" */
    struct str uid;
    struct str *groups; /* "system:authenticated" and so on included */
    int group_count;
    struct user_extra *extra;
    int extra_count;
};
bool user_in_group(const struct user *u, const char *group);

#endif
