/* Reports of runs as text, JSON and Prometheus' exposition format, on stdout. */
#ifndef ISOBATH_CLI_REPORT_H
#define ISOBATH_CLI_REPORT_H

#include <isobath/report.h>

void cli_report_text(const isobath_report *list, size_t count);
void cli_report_json(const isobath_report *list, size_t count);
void cli_report_prometheus(const isobath_report *list, size_t count);

#endif
