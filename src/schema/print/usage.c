/* What nodes and pods use (metrics.k8s.io). Source: kubernetes-sigs/metrics-server pkg/api/table.go. */
#include "schema/print/print.h"
#include "schema/quantity.h"

void print_node_metrics(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_str(&r, doc_str(doc_get(obj, "usage"), "cpu"));
    row_str(&r, doc_str(doc_get(obj, "usage"), "memory"));
    row_str(&r, doc_str(obj, "window"));
}

static struct str sum(struct arena *mem, const struct doc *containers, const char *what)
{
    struct quantity all = QUANTITY_ZERO;
    doc_each (c, containers)
        all = quantity_add(all, quantity_of_str(doc_str(doc_get(c, "usage"), what)));
    return quantity_str(mem, all);
}

void print_pod_metrics(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_str(&r, sum(mem, doc_get(obj, "containers"), "cpu"));
    row_str(&r, sum(mem, doc_get(obj, "containers"), "memory"));
    row_str(&r, doc_str(obj, "window"));
}
