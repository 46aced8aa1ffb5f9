/* node/agent/identity.h - the certificates of this node: got by a bootstrap token, kept, renewed while all runs.
 *
 * Three pairs in one directory (that of opts.cert_file; for a node that joined: STATE/identity):
 *   node     client, system:node:NAME; the agent's own
 *   kubelet  server; of the endpoint on 10250
 *   tunnel   client, sampan:tunnel:NAME; all that the unprivileged helper holds
 * and ca.crt. Each is asked for by a CertificateSigningRequest (the signers are in control/csr_rules.h), with the key
 * that is there, so that a node stays the same one over renewals, and in the last part of its life asked for again.
 *
 * Joining: the CA is read from kube-public/cluster-info of whoever answers and believed only if its key has the hash
 * that the operator gave; the token goes only to a server under that CA. Source: kubeadm's token discovery, KEP-43
 * (kubelet TLS bootstrap). May use http/, doc/, base/. */
#ifndef SAMPAN_NODE_AGENT_IDENTITY_H
#define SAMPAN_NODE_AGENT_IDENTITY_H

#include "node/node.h"

/* Get what api_connect needs, where opts.join_token was given and it isn't kept yet; fills opts.ca_file, cert_file and
 * key_file. Runs the loop; waits for a server that does not answer. NULL: done, or not asked for; else why not. */
const char *identity_join(struct node *n);
/* Once the Node is registered: what is missing or grows old is asked for, now and later. */
void identity_start(struct node *n);
void identity_stop(struct node *n);

#endif
