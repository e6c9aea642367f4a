/* Numbers of the options that no later step looks at; see setup.h. */
#include "pipeline/setup.h"

#include "sink/exr_encode.h"
#include <math.h>

isobath_status ib_setup_check_options(const isobath_run_options *o, ib_diag *diag)
{
    if (!o->input || !*o->input) return ib_fail(diag, ISOBATH_ERR_USAGE, "no input named");
    if (!o->output || !*o->output) return ib_fail(diag, ISOBATH_ERR_USAGE, "no output folder named (-o OUT)");
    if (o->threads < 0 || o->threads > IB_POOL_MOST)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--threads %d: expected 1 to %d, or 0 for all", o->threads, IB_POOL_MOST);
    if (o->segment_windows < 0) return ib_fail(diag, ISOBATH_ERR_USAGE, "--segment-windows %d: expected 1 or more", o->segment_windows);
    if (!(o->exec_timeout_s >= 0 && o->exec_timeout_s < 1e9))
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--exec-timeout %g: expected seconds above 0", o->exec_timeout_s);
    if (!(o->max_depth >= 0 && isfinite(o->max_depth)))
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--max-depth %g: expected metres above 0", o->max_depth);
    if (!isfinite(o->range_min) || !isfinite(o->range_max))
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--range %g:%g: expected numbers that are finite", o->range_min, o->range_max);
    if (o->npz_level < -1 || o->npz_level > 9)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--npz-level %d: expected 0 to 9", o->npz_level);
    if (o->exr_compression) IB_TRY(ib_exr_check_compression(o->exr_compression, diag));
    return ISOBATH_OK;
}
