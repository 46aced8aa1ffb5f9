/* tests/sim/sim_priv.h - between the files of the simulator. */
#ifndef SAMPAN_TESTS_SIM_SIM_PRIV_H
#define SAMPAN_TESTS_SIM_SIM_PRIV_H

#include "sim.h"

void sim_nodes_start(struct sim *s);
void sim_nodes_stop(struct sim *s);
struct doc *sim_json(struct arena *mem, const char *json); /* ' stands for " */

#endif
