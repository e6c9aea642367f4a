/* --input-scale: what samples mean; see depth_reader.h. */
#include "depthio/depth_reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

isobath_status ib_depth_scale_parse(const char *text, double full_scale, ib_diag *diag, ib_depth_scale *out)
{
    static const struct {
        const char *name;
        double scale;
    } metres[] = {{"mm", 1e-3}, {"cm", 1e-2}, {"m", 1}};
    *out = (ib_depth_scale){.scale = 1, .metric = -1};
    for (size_t i = 0; i < sizeof metres / sizeof *metres; i++)
        if (strcmp(text, metres[i].name) == 0) {
            *out = (ib_depth_scale){.scale = metres[i].scale, .has_invalid = 1, .metric = 1};
            return ISOBATH_OK;
        }
    if (strcmp(text, "raw") == 0) return ISOBATH_OK;
    if (strcmp(text, "unit") == 0) {
        if (full_scale <= 0)
            return ib_fail(diag, ISOBATH_ERR_USAGE,
                           "--input-scale unit: the samples are no integers with a largest value");
        out->scale = 1 / full_scale;
        return ISOBATH_OK;
    }
    char *end;
    double a = strtod(text, &end), b = 0;
    int share = end != text && *end == '/' && a == 1;
    if (share || (end != text && *end == ',')) {
        const char *second = end + 1;
        b = strtod(second, &end);
        if (end == second) a = NAN;
    }
    if (*end || end == text || !isfinite(a) || !isfinite(b) || !(a > 0) || (share && !(b > 0)))
        return ib_fail(diag, ISOBATH_ERR_USAGE,
                       "--input-scale %.40s: expected mm, cm, m, 1/N, unit, raw, S or S,OFFSET", text);
    if (share)
        *out = (ib_depth_scale){.scale = 1 / b, .has_invalid = 1, .metric = 1};
    else
        *out = (ib_depth_scale){.scale = a, .offset = b, .metric = -1};
    return ISOBATH_OK;
}
