/* node/net/test_lab.h - a network of its own for a test, with pods wired by the real code.
 *
 * lab_enter() moves the whole test into new network and mount namespaces with lo up and no other link; all ends with
 * the process. A pod is a namespace with a server in it that answers with the pod's name. Tests only. */
#ifndef SAMPAN_NODE_NET_TEST_LAB_H
#define SAMPAN_NODE_NET_TEST_LAB_H

#include "node/net/network.h"

enum { LAB_SKIP = 77, LAB_PODS = 8 }; /* meson: the test was skipped */

struct lab_pod {
    struct pod pod;
    char netns[64], name[16];
    int server; /* pid; 0: none */
};
struct lab {
    struct node node;
    struct lab_pod pods[LAB_PODS];
    char dir[32];
    void *net;
};

bool lab_enter(struct lab *l); /* false: not root or no namespaces here */
void lab_leave(struct lab *l);
int lab_start(struct lab *l); /* network_routed.start; a simulated loop where the test brings none */
void lab_stop(struct lab *l);
/* Pod i, "pod0" ...: a namespace, wired, serving TCP and UDP on 8080. Its address is in pod.ips[0].text. */
void lab_pod_add(struct lab *l, int i);
void lab_pod_wire(struct lab *l, int i); /* network_routed.setup alone, to its end */
void lab_pod_remove(struct lab *l, int i);
/* Run fn in a pod's namespace (NULL: the node's), in a child; its return value (0..255), or -1. */
int lab_in(struct lab_pod *p, int (*fn)(void *arg), void *arg);

/* Ask address:port from inside p (NULL: the node) and give the answer: "pod1 10.42.0.2" (who answers, whom he sees),
 * "refused", "unreachable", "timeout". udp: by datagram. */
struct lab_ask {
    const char *address, *source; /* source NULL: any */
    int port;
    bool udp;
    int times;         /* 0: once; all answers, the parts of each: for counting */
    int source_port;   /* 0: any */
    char answer[4096]; /* a line each */
};
const char *lab_ask(struct lab_pod *p, struct lab_ask *ask);
/* Output of a command run in the node's namespace; kept until the next call. */
const char *lab_run(const char *command);

#endif
