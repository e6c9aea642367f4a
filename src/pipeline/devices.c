/* Devices by name; see devices.h. */
#include "pipeline/devices.h"

#include <stdio.h>
#include <string.h>

static isobath_status add(ib_device_list *l, int device, const char *text, ib_diag *diag)
{
    for (int i = 0; i < l->count; i++)
        if (device >= 0 && l->device[i] == device)
            return ib_fail(diag, ISOBATH_ERR_USAGE, "--devices %s: cuda:%d is named twice", text, device);
    if (l->count == IB_MAX_DEVICES) return ib_fail(diag, ISOBATH_ERR_USAGE, "--devices %s: more than %d devices", text, IB_MAX_DEVICES);
    l->device[l->count++] = device;
    return ISOBATH_OK;
}

isobath_status ib_devices_parse(const char *text, int cuda_count, ib_diag *diag, ib_device_list *out)
{
    char list[256], *save = NULL;
    int n, end;
    *out = (ib_device_list){0};
    if (!text || strcmp(text, "auto") == 0) {
        for (int i = 0; i < cuda_count && i < IB_MAX_DEVICES; i++) IB_TRY(add(out, i, "auto", diag));
        return out->count ? ISOBATH_OK : add(out, IB_DEVICE_CPU, "auto", diag);
    }
    snprintf(list, sizeof list, "%s", text);
    if (strlen(text) < sizeof list)
        for (char *d = strtok_r(list, ",", &save); d; d = strtok_r(NULL, ",", &save)) {
            end = 0;
            if (strcmp(d, "cpu") == 0) IB_TRY(add(out, IB_DEVICE_CPU, text, diag));
            else if (strcmp(d, "null") == 0) IB_TRY(add(out, IB_DEVICE_NULL, text, diag));
            else if (strcmp(d, "cuda") == 0)
                for (int i = 0; i < (cuda_count > 1 ? cuda_count : 1); i++) IB_TRY(add(out, i, text, diag));
            else if (sscanf(d, "cuda:%d%n", &n, &end) == 1 && !d[end] && n >= 0) IB_TRY(add(out, n, text, diag));
            else {
                out->count = 0;
                break;
            }
        }
    if (out->count) return ISOBATH_OK;
    return ib_fail(diag, ISOBATH_ERR_USAGE, "--devices %s: expected auto, or a list of cpu, cuda and cuda:N separated by commas", text);
}

int ib_devices_want_count(const char *text)
{
    for (const char *at = text; at && (at = strstr(at, "cuda")); at++)
        if ((at == text || at[-1] == ',') && (!at[4] || at[4] == ',')) return 1;
    return !text || strcmp(text, "auto") == 0;
}

void ib_device_name(int device, char name[16])
{
    if (device >= 0) snprintf(name, 16, "cuda:%d", device);
    else snprintf(name, 16, "%s", device == IB_DEVICE_CPU ? "cpu" : "null");
}
