/* schema/gates.h - the one table of feature gates: name, stage and default in Kubernetes 1.36.
 *
 * Set once at start from --feature-gates; constant after. */
#ifndef SAMPAN_SCHEMA_GATES_H
#define SAMPAN_SCHEMA_GATES_H

#include "base/err.h"

enum gate_stage { GATE_ALPHA, GATE_BETA, GATE_GA, GATE_DEPRECATED };
struct feature_gate {
    const char *name;
    uint8_t stage;
    bool on_by_default, locked; /* locked: can't be changed (GA) */
    bool *on;                   /* where the present state is kept */
};
extern const struct feature_gate schema_gates[]; /* sorted by name */
extern const int schema_gate_count;
bool gate_on(const struct feature_gate *g); /* NULL is open */
const struct feature_gate *gate_find(struct str name);
/* "A=true,B=false,AllAlpha=true"; -1 with BAD_REQUEST and Kubernetes' text on an unknown gate, a bad value or a locked
 * one. */
int gates_set(struct str list, struct err *err);

#endif
