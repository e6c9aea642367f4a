/* The plan; see plan.h. */
#include "pipeline/plan.h"

#include <math.h>

int64_t ib_plan_windows(int64_t n) { return (n + IB_PLAN_STEP - 1) / IB_PLAN_STEP; }

void ib_plan_window_frames(int64_t k, int64_t n, int64_t frames[IB_PLAN_WINDOW])
{
    for (int slot = 0; slot < IB_PLAN_WINDOW; slot++) {
        int64_t f;
        if (k == 0) f = slot;
        else if (slot == 0) f = 0;
        else if (slot == 1) f = IB_PLAN_STEP * k - 10;
        else f = IB_PLAN_STEP * k + slot;
        frames[slot] = f < n - 1 ? f : n - 1;
    }
}

void ib_plan_final_frames(int64_t k, int64_t n, int64_t *first, int64_t *end)
{
    *first = k == 0 ? 0 : IB_PLAN_STEP * k + 2;
    *end = IB_PLAN_STEP * k + 24;
    if (n < 0) return;
    if (k == ib_plan_windows(n) - 1) *end = IB_PLAN_STEP * k + IB_PLAN_WINDOW;
    if (*end > n) *end = n;
    if (*first > n) *first = n;
}

void ib_plan_new_frames(int64_t k, int64_t n, int64_t *first, int64_t *end)
{
    *first = k ? IB_PLAN_STEP * k + IB_PLAN_OVERLAP : 0;
    *end = IB_PLAN_STEP * k + IB_PLAN_WINDOW;
    if (n >= 0 && *end > n) *end = n;
    if (*first > *end) *first = *end;
}

ib_plan_render ib_plan_frame(int64_t i, int64_t n)
{
    ib_plan_render r = {0};
    /* Window k >= 1 finishes frames from 22k+2 on; window 0 all before 24. */
    int64_t k = i < 24 ? 0 : (i - 2) / IB_PLAN_STEP, last = ib_plan_windows(n) - 1;
    if (k > last) k = last;
    r.window = k;
    r.slot = (int)(i - IB_PLAN_STEP * k);
    if (k > 0 && r.slot < IB_PLAN_OVERLAP) { /* slots 2..9 fade from the previous window's 24..31 */
        r.fade = 1;
        r.fade_slot = r.slot + IB_PLAN_STEP;
        r.weight = r.slot == 9 ? 1.0 : (r.slot - 2) * (1.0 / 7); /* as the reference computes them */
    }
    return r;
}

/* Python's round(): half to even. */
static double round_even(double x) { return nearbyint(x); }

static int side(double scaled, int size)
{
    int y = 14 * (int)round_even(scaled / 14);
    return y < size ? 14 * (int)ceil(scaled / 14) : y;
}

void ib_plan_network_size(int width, int height, int input_size, int temporal, int *net_width, int *net_height)
{
    int longer = width > height ? width : height, shorter = width > height ? height : width;
    double ratio = (double)longer / shorter;
    if (temporal && ratio > 1.78) input_size = 14 * (int)round_even((double)(int)(input_size * 1.777 / ratio) / 14);
    if (input_size < 14) input_size = 14;
    double sw = (double)input_size / width, sh = (double)input_size / height, s = sw > sh ? sw : sh;
    *net_width = side(s * width, input_size);
    *net_height = side(s * height, input_size);
}
