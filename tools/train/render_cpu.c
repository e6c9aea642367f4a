/* The renderer's plain C build: gcc -O3 -march=native -ffast-math -fopenmp -shared -fPIC (render.py does it). */
#include "render_core.h"

/* frames F, samples S: prims (F,S,P,20), groups (F,S,G,6), mats (F,M,20), views (F,S,52) -> rgb (F,3,H,W), z and
 * id (F,H,W). */
void render(const float *prims, const float *groups, const float *mats, const float *views, int F, int S, int P, int G,
            int M, int H, int W, float *rgb, float *z, float *id)
{
#pragma omp parallel for schedule(dynamic, 4)
    for (int row = 0; row < F * H; row++) {
        long f = row / H;
        int y = row % H;
        for (int x = 0; x < W; x++) {
            float c[3];
            long at = (f * H + y) * W + x;
            pixel(prims + f * S * P * PRIM, groups + f * S * G * GROUP, mats + f * M * MAT, views + f * S * VIEW, P, G, S,
                  x, y, c, z + at, id + at);
            for (int k = 0; k < 3; k++) rgb[((f * 3 + k) * H + y) * W + x] = c[k];
        }
    }
}
