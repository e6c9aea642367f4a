/* Devices by name: what --devices says. */
#ifndef IB_PIPELINE_DEVICES_H
#define IB_PIPELINE_DEVICES_H

#include "pipeline/window.h"

#define IB_DEVICE_CPU (-1)
#define IB_DEVICE_NULL (-2) /* computes nothing: for tests of everything around the network */

/* CUDA ordinals, IB_DEVICE_CPU or IB_DEVICE_NULL. */
typedef struct ib_device_list {
    int count;
    int device[IB_MAX_DEVICES];
} ib_device_list;

/* "auto" (NULL): `cuda_count` GPUs, or the CPU where there is none. Else a list: cpu, cuda:N, cuda (all GPUs), null, separated by
 * commas; the CPU may come several times, a GPU once. Errors: ISOBATH_ERR_USAGE. */
isobath_status ib_devices_parse(const char *text, int cuda_count, ib_diag *diag, ib_device_list *out);
/* 1 when that needs to know how many GPUs there are: to ask takes the driver some 0.2 s. */
int ib_devices_want_count(const char *text);
/* "cpu", "cuda:0", "null" into name. */
void ib_device_name(int device, char name[16]);

#endif
