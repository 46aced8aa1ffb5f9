/* base/process.h - what this process takes of the machine, as the Prometheus client libraries tell it: process_*. */
#ifndef SAMPAN_BASE_PROCESS_H
#define SAMPAN_BASE_PROCESS_H

/* Registers the families; they are read from /proc when the metrics are printed. */
void process_metrics_start(void);

#endif
