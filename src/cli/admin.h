/* cli/admin.h - commands that ask the running server something, with the administrator's credentials in its directory.
 *
 * One question at a time; the loop runs until the answer is there. */
#ifndef SAMPAN_CLI_ADMIN_H
#define SAMPAN_CLI_ADMIN_H

#include "base/loop.h"
#include "doc/doc.h"
#include "http/client.h"

struct admin {
    struct arena *mem;
    struct loop *loop;
    struct tls_context *tls;
    struct http_client *client;
    struct str server, ca_pem; /* "192.0.2.1:6443"; of the kubeconfig */
    int code, error;           /* of the last answer: HTTP code, or 0 and -errno */
    struct str body;
};
/* DIR/admin.kubeconfig. 0, or 1 after a line that says why. admin_close also after a failure. */
int admin_open(struct admin *a, struct arena *mem, const char *dir);
void admin_close(struct admin *a);
/* The parsed answer where the code is 2xx and it is JSON; else NULL. body: JSON, NULL for none. */
const struct doc *admin_ask(struct admin *a, const char *method, const char *path, const struct doc *body);
struct str admin_why(struct admin *a); /* why the last answer was none, as the server or the system put it */

#endif
