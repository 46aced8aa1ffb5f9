/* node/stream/usage_text.h - what node, pods and containers use, in the forms that the kubelet's endpoint gives: the
 * Summary (JSON) and Prometheus' text, under the names of kubelet and cadvisor. Everything is read when it is asked
 * for.
 *
 * Counters only: rates (usageNanoCores) are left to whoever asks twice. Source: kubelet apis/stats/v1alpha1/types.go,
 * pkg/kubelet/metrics/collectors/resource_metrics.go, cadvisor metrics/prometheus.go. */
#ifndef SAMPAN_NODE_STREAM_USAGE_TEXT_H
#define SAMPAN_NODE_STREAM_USAGE_TEXT_H

#include "node/node.h"

/* X(NAME, path of the endpoint) */
#define USAGE_FORMS(X)                                                                                                 \
    X(SUMMARY, "/stats/summary") X(RESOURCE, "/metrics/resource") X(CADVISOR, "/metrics/cadvisor") X(OWN, "/metrics")
enum usage_form {
#define X(name, path) USAGE_##name,
    USAGE_FORMS(X)
#undef X
        USAGE_FORM_COUNT
};
struct str usage_text(struct node *n, struct arena *mem, enum usage_form form);

#endif
