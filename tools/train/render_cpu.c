/* The renderer's plain C build: gcc -O3 -march=native -ffast-math -fopenmp -shared -fPIC (render.py does it). */
#include "render_core.h"

/* frames F, samples S; frame f shows scene[f] with the materials look[f]: prims (N,s,P,20) and groups (N,s,G,6) with s = S
 * when own is 1 and s = 1 when it is 0, mats (K,M,20), views (F,S,52) -> rgb (F,3,H,W), z and id (F,H,W). */
void render(const float *prims, const float *groups, const float *mats, const float *views, const int *scene,
            const int *look, int F, int S, int own, int P, int G, int M, int H, int W, float *rgb, float *z, float *id)
{
#pragma omp parallel for schedule(dynamic, 4)
    for (int row = 0; row < F * H; row++) {
        long f = row / H, sets = own ? S : 1;
        int y = row % H;
        for (int x = 0; x < W; x++) {
            float c[3];
            long at = (f * H + y) * W + x;
            pixel(prims + scene[f] * sets * P * PRIM, groups + scene[f] * sets * G * GROUP, mats + (long)look[f] * M * MAT,
                  views + f * S * VIEW, P, G, S, own, x, y, c, z + at, id + at);
            for (int k = 0; k < 3; k++) rgb[((f * 3 + k) * H + y) * W + x] = c[k];
        }
    }
}
