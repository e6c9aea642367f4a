/* The renderer of the synthetic clips: analytic ray tracing of a few kinds of primitive, one thread per pixel. One
 * source for two builds: a CUDA kernel (run-time compiled) and plain C (render_cpu.c). Units: metres; axes: x right,
 * y down, z forward (OpenCV), in the world as in the camera. Records are rows of floats, laid out as below. */
#ifndef RENDER_CORE_H
#define RENDER_CORE_H

#ifdef __CUDACC__
#define FN static __device__ __forceinline__
#else
#include <math.h>
#define FN static inline
#endif

/* A primitive: 0 kind, 1 material, 2-4 p0 (centre, first end or point), 5-7 p1 (half size, second end, radii or
 * normal), 8 radius, 9-17 rotation rows (local = R (world - p0)), 18 object id (0 none), 19 no shadow when 1. */
#define PRIM 20
enum { PLANE, BOX, ROOM, ELLIPSOID, CAPSULE, CYLINDER };
/* A group: 0-2 centre and 3 radius of the bounding sphere (negative: unbounded), 4 first primitive, 5 count. */
#define GROUP 6
/* A material: 0 texture, 1-3 colour A, 4-6 colour B, 7-9 colour C, 10 cells per metre along u and 11 along v, 12 amount
 * and 13 frequency of noise, 14 seed, 15 shine, 16 amount and 17 frequency of bumps, 18 glow, 19 shape parameter. */
#define MAT 20
enum { PLAIN, CLOUDY, STRIPES, CHECKER, BRICKS, GRADIENT, TILES, TEXT, MARBLE, WINDOWS, DOTS, GRASS, ROAD, POSTER };
/* A view (one per sub-frame): 0-2 position, 3-11 world_from_camera rotation, 12-15 fx fy cx cy, 16-18 direction to the
 * sun, 19-21 its colour, 22-24 ambient from above, 25-27 from below, 28-30 fog colour, 31 fog per metre, 32-34 point
 * light, 35-37 its colour, 38-40 zenith, 41-43 horizon, 44 cloud amount, 45 cloud scale, 46 seed, 47 shadows from: 0
 * none, 1 the sun, 2 the point light, 48-49 the offset of the ray in the pixel, 50 groups. */
#define VIEW 52

typedef struct { float x, y, z; } v3;
FN v3 V(float x, float y, float z) { v3 r = {x, y, z}; return r; }
FN v3 ld(const float *p) { return V(p[0], p[1], p[2]); }
FN v3 add(v3 a, v3 b) { return V(a.x + b.x, a.y + b.y, a.z + b.z); }
FN v3 sub(v3 a, v3 b) { return V(a.x - b.x, a.y - b.y, a.z - b.z); }
FN v3 mul(v3 a, v3 b) { return V(a.x * b.x, a.y * b.y, a.z * b.z); }
FN v3 sc(v3 a, float s) { return V(a.x * s, a.y * s, a.z * s); }
FN float dot(v3 a, v3 b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
FN v3 cross(v3 a, v3 b) { return V(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x); }
FN v3 unit(v3 a) { return sc(a, 1.0f / sqrtf(dot(a, a) + 1e-20f)); }
FN v3 lerp3(v3 a, v3 b, float t) { return add(a, sc(sub(b, a), t)); }
FN v3 rot(const float *R, v3 a) { return V(dot(ld(R), a), dot(ld(R + 3), a), dot(ld(R + 6), a)); }
FN v3 rot_t(const float *R, v3 a) { return add(add(sc(ld(R), a.x), sc(ld(R + 3), a.y)), sc(ld(R + 6), a.z)); }
FN float clamp01(float x) { return x < 0 ? 0 : x > 1 ? 1 : x; }
FN float smooth(float x) { x = clamp01(x); return x * x * (3 - 2 * x); }
FN float frac(float x) { return x - floorf(x); }

FN unsigned mix(unsigned h)
{
    h ^= h >> 16; h *= 0x7feb352du; h ^= h >> 15; h *= 0x846ca68bu;
    return h ^ (h >> 16);
}
FN float hash3(int x, int y, int z, unsigned seed)
{
    return (float)(mix((unsigned)x * 0x9e3779b1u ^ mix((unsigned)y * 0x85ebca77u ^ mix((unsigned)z + seed))) >> 8) *
           (1.0f / 16777216.0f);
}
/* Value noise in [0, 1]. */
FN float noise(v3 p, unsigned seed)
{
    float fx = floorf(p.x), fy = floorf(p.y), fz = floorf(p.z);
    int x = (int)fx, y = (int)fy, z = (int)fz;
    float u = smooth(p.x - fx), v = smooth(p.y - fy), w = smooth(p.z - fz), c[2];
    for (int k = 0; k < 2; k++) {
        float a = hash3(x, y, z + k, seed), b = hash3(x + 1, y, z + k, seed);
        float d = hash3(x, y + 1, z + k, seed), e = hash3(x + 1, y + 1, z + k, seed);
        a += (b - a) * u;
        d += (e - d) * u;
        c[k] = a + (d - a) * v;
    }
    return c[0] + (c[1] - c[0]) * w;
}
/* Three octaves; `blur` is the size of a pixel in units of p: octaves finer than it fade to their mean. */
FN float fbm(v3 p, unsigned seed, float blur)
{
    float s = 0, a = 0.5714f;
    for (int i = 0; i < 3; i++) {
        float k = clamp01(1.6f - 2 * blur);
        if (k <= 0) { s += 0.5f * a * (i == 0 ? 1.75f : i == 1 ? 1.5f : 1.0f); break; }
        s += a * (0.5f + k * (noise(p, seed + 77u * (unsigned)i) - 0.5f));
        p = sc(p, 2.07f);
        blur *= 2.07f;
        a *= 0.5f;
    }
    return s;
}

/* Distance along the ray to the primitive, beyond tmin, or a huge number. */
#define FAR 1e9f
FN float hit(const float *q, v3 o, v3 d, float tmin)
{
    int kind = (int)q[0];
    v3 p0 = ld(q + 2), p1 = ld(q + 5);
    if (kind == BOX || kind == ROOM) {
        v3 lo = rot(q + 9, sub(o, p0)), ldir = rot(q + 9, d);
        float ix = 1 / (fabsf(ldir.x) < 1e-9f ? 1e-9f : ldir.x), iy = 1 / (fabsf(ldir.y) < 1e-9f ? 1e-9f : ldir.y);
        float iz = 1 / (fabsf(ldir.z) < 1e-9f ? 1e-9f : ldir.z);
        float ax = -lo.x * ix, bx = fabsf(ix) * p1.x, ay = -lo.y * iy, by = fabsf(iy) * p1.y;
        float az = -lo.z * iz, bz = fabsf(iz) * p1.z;
        float near = fmaxf(fmaxf(ax - bx, ay - by), az - bz), far = fminf(fminf(ax + bx, ay + by), az + bz);
        if (near > far) return FAR;
        if (kind == ROOM) return far > tmin ? far : FAR;
        return near > tmin ? near : FAR;
    }
    if (kind == PLANE) {
        float den = dot(d, p1);
        if (den > -1e-6f) return FAR;
        float t = dot(sub(p0, o), p1) / den;
        return t > tmin ? t : FAR;
    }
    if (kind == ELLIPSOID) {
        v3 lo = rot(q + 9, sub(o, p0)), l = rot(q + 9, d);
        lo = V(lo.x / p1.x, lo.y / p1.y, lo.z / p1.z);
        l = V(l.x / p1.x, l.y / p1.y, l.z / p1.z);
        float a = dot(l, l), b = dot(lo, l);
        v3 e = sub(lo, sc(l, b / a)); /* the closest approach: no cancellation far away */
        float disc = 1 - dot(e, e);
        if (disc < 0) return FAR;
        float t = -b / a - sqrtf(disc / a);
        return t > tmin ? t : FAR;
    }
    v3 ba = sub(p1, p0), oa = sub(o, p0);
    float r = q[8], baba = dot(ba, ba), bard = dot(ba, d), baoa = dot(ba, oa), rdoa = dot(d, oa), oaoa = dot(oa, oa);
    float a = baba - bard * bard, b = baba * rdoa - baoa * bard, c = baba * (oaoa - r * r) - baoa * baoa;
    float h = b * b - a * c;
    if (h < 0) return FAR;
    float t = (-b - sqrtf(h)) / (a + 1e-12f), y = baoa + t * bard;
    if (y > 0 && y < baba) return t > tmin ? t : FAR;
    if (kind == CYLINDER) {
        t = ((y < 0 ? 0 : baba) - baoa) / bard;
        return fabsf(b + a * t) < sqrtf(h) && t > tmin ? t : FAR;
    }
    v3 oc = y <= 0 ? oa : sub(o, p1);
    b = dot(d, oc);
    v3 e = sub(oc, sc(d, b));
    h = r * r - dot(e, e);
    if (h < 0) return FAR;
    t = -b - sqrtf(h);
    return t > tmin ? t : FAR;
}

FN int misses_group(const float *g, v3 o, v3 d, float tmax)
{
    if (g[3] < 0) return 0;
    v3 oc = sub(ld(g), o);
    float b = dot(oc, d), r = g[3];
    if (b < -r || b - r > tmax) return 1;
    v3 e = sub(oc, sc(d, b));
    return dot(e, e) > r * r;
}

FN float closest(const float *prims, const float *groups, int n, v3 o, v3 d, int *which)
{
    float best = FAR;
    *which = -1;
    for (int g = 0; g < n; g++) {
        const float *G = groups + g * GROUP;
        if (misses_group(G, o, d, best)) continue;
        int first = (int)G[4], end = first + (int)G[5];
        for (int i = first; i < end; i++) {
            float t = hit(prims + i * PRIM, o, d, 0.02f);
            if (t < best) best = t, *which = i;
        }
    }
    return best;
}
FN int shadowed(const float *prims, const float *groups, int n, v3 o, v3 d, float tmax)
{
    for (int g = 0; g < n; g++) {
        const float *G = groups + g * GROUP;
        if (misses_group(G, o, d, tmax)) continue;
        int first = (int)G[4], end = first + (int)G[5];
        for (int i = first; i < end; i++) {
            const float *q = prims + i * PRIM;
            if (q[19] == 0 && hit(q, o, d, 2e-3f) < tmax) return 1;
        }
    }
    return 0;
}

/* Normal, texture coordinates (u, v) in metres and the local point of a hit. */
FN v3 surface(const float *q, v3 p, v3 *local, float *u, float *v)
{
    int kind = (int)q[0];
    v3 p0 = ld(q + 2), p1 = ld(q + 5), l;
    if (kind == PLANE) {
        *local = sub(p, p0);
        *u = local->x;
        *v = local->z;
        return p1;
    }
    if (kind == BOX || kind == ROOM) {
        l = rot(q + 9, sub(p, p0));
        *local = l;
        float ax = fabsf(fabsf(l.x) - p1.x), ay = fabsf(fabsf(l.y) - p1.y), az = fabsf(fabsf(l.z) - p1.z);
        v3 n;
        if (ax <= ay && ax <= az) n = V(l.x > 0 ? 1.f : -1.f, 0, 0), *u = l.z, *v = l.y;
        else if (ay <= az) n = V(0, l.y > 0 ? 1.f : -1.f, 0), *u = l.x, *v = l.z;
        else n = V(0, 0, l.z > 0 ? 1.f : -1.f), *u = l.x, *v = l.y;
        if (kind == ROOM) n = sc(n, -1);
        return rot_t(q + 9, n);
    }
    if (kind == ELLIPSOID) {
        l = rot(q + 9, sub(p, p0));
        *local = l;
        *u = atan2f(l.x, l.z) * p1.x;
        *v = l.y;
        return unit(rot_t(q + 9, V(l.x / (p1.x * p1.x), l.y / (p1.y * p1.y), l.z / (p1.z * p1.z))));
    }
    v3 ba = sub(p1, p0), ax = unit(ba), pa = sub(p, p0);
    float len = sqrtf(dot(ba, ba)), y = dot(pa, ax);
    v3 side = unit(cross(ax, fabsf(ax.x) < 0.8f ? V(1, 0, 0) : V(0, 0, 1))), fwd = cross(side, ax);
    *local = V(dot(pa, side), y, dot(pa, fwd));
    *u = atan2f(local->x, local->z) * q[8];
    *v = y;
    if (kind == CYLINDER && (y < 1e-4f * len || y > len * (1 - 1e-4f))) return y < 0.5f * len ? sc(ax, -1) : ax;
    float c = y < 0 ? 0 : y > len ? len : y;
    return unit(sub(pa, sc(ax, c)));
}

/* Colour of a material. `blur`: metres per pixel on the surface. */
FN v3 albedo(const float *m, v3 l, float u, float v, float blur)
{
    int kind = (int)m[0];
    v3 A = ld(m + 1), B = ld(m + 4), C = ld(m + 7), c = A;
    float su = m[10], sv = m[11], par = m[19];
    unsigned seed = (unsigned)m[14];
    float U = u * su, W = v * sv, s = fmaxf(su, sv);
    float keep = clamp01(1.8f - 2.2f * blur * s); /* patterns finer than a pixel fade */
    if (kind == CLOUDY) c = lerp3(A, B, smooth(1.6f * fbm(sc(l, s), seed, blur * s) - 0.3f));
    else if (kind == STRIPES) c = lerp3(A, B, keep * (frac(U) < par ? 1.0f : 0.0f) + (1 - keep) * par);
    else if (kind == CHECKER)
        c = lerp3(A, B, keep * (float)(((int)floorf(U) + (int)floorf(W)) & 1) + (1 - keep) * 0.5f);
    else if (kind == BRICKS || kind == TILES) {
        float row = floorf(W), x = U + (kind == BRICKS ? 0.5f * (float)((int)row & 1) : 0);
        float fu = frac(x), fv = frac(W), h = hash3((int)floorf(x), (int)row, 5, seed);
        v3 b = kind == BRICKS ? lerp3(A, C, h) : h < 0.45f ? A : h < 0.8f ? lerp3(A, C, 0.5f) : C;
        c = lerp3(lerp3(A, C, 0.5f), fu < par || fv < par * sv / su * 0.8f ? B : b, keep);
    } else if (kind == GRADIENT) c = lerp3(A, B, clamp01(0.5f + W));
    else if (kind == TEXT) {
        int line = (int)floorf(W), gx = (int)floorf(U);
        float fv = frac(W), fu = frac(U);
        int ink = fv > 0.25f && fv < 0.8f && hash3(gx / 5, line, 1, seed) > 0.2f && fu < 0.8f &&
                  hash3((int)floorf(U * 3), (int)floorf(W * 4), line, seed) > 0.45f;
        c = lerp3(A, B, keep * (float)ink + (1 - keep) * 0.22f);
    } else if (kind == MARBLE)
        c = lerp3(A, B, 0.5f + 0.5f * keep * sinf(6.28f * (U + 2.5f * par * fbm(sc(l, s * 0.7f), seed, blur * s))));
    else if (kind == WINDOWS) {
        float fu = frac(U), fv = frac(W);
        int in = fu > par && fu < 1 - par && fv > par * 0.8f && fv < 1 - par * 0.8f;
        v3 w = hash3((int)floorf(U), (int)floorf(W), 9, seed) < 0.7f ? B : C;
        c = lerp3(lerp3(A, B, 0.35f), in ? w : A, keep);
    } else if (kind == DOTS) {
        float x = frac(U) - 0.5f, y = frac(W) - 0.5f;
        c = lerp3(A, B, keep * (x * x + y * y < par * par ? 1.0f : 0.0f) + (1 - keep) * 0.3f);
    } else if (kind == GRASS) {
        float f = 0.6f * fbm(V(u * su, 0, v * su), seed, blur * su) + 0.4f * fbm(V(u * su * 9, 3, v * su * 5), seed, blur * su * 9);
        c = lerp3(A, B, smooth(2.2f * f - 0.6f));
    } else if (kind == ROAD) {
        float e = fabsf(fabsf(u) - par), w = 0.07f + blur;
        float line = fabsf(u) < w && frac(v * sv) < 0.55f ? 1.0f : e < w ? 1.0f : 0.0f;
        c = lerp3(A, B, line * 0.07f / w * 1.2f > 1 ? 1 : line * 0.07f / w * 1.2f);
    } else if (kind == POSTER) {
        float f = fbm(V(U, W, 7), seed, blur * s), g = fbm(V(U + 9, W - 4, 2), seed + 5u, blur * s);
        c = f > 0.55f ? B : g > 0.52f ? C : A;
    }
    if (m[12] > 0) c = sc(c, 1 + m[12] * 2 * (fbm(sc(l, m[13]), seed + 311u, blur * m[13]) - 0.5f));
    return c;
}

FN v3 sky(const float *w, v3 d)
{
    float up = clamp01(-d.y);
    v3 c = lerp3(ld(w + 41), ld(w + 38), sqrtf(up));
    if (w[44] > 0 && d.y < -0.02f) {
        v3 p = sc(V(d.x / (0.15f - d.y), 0, d.z / (0.15f - d.y)), w[45]);
        float f = smooth(3 * (fbm(p, (unsigned)w[46], 0.02f) - 0.62f + 0.35f * w[44]));
        c = lerp3(c, V(0.92f, 0.93f, 0.95f), f * smooth(up * 6) * w[44]);
    }
    return c;
}

/* Linear colour along one ray; *z gets the depth along the optical axis (0: sky), *id the object hit. */
FN v3 trace(const float *prims, const float *groups, const float *mats, const float *w, v3 o, v3 d, float ahead, float *z,
            float *id)
{
    int which, n = (int)w[50];
    float t = closest(prims, groups, n, o, d, &which);
    *z = 0;
    *id = 0;
    if (which < 0) {
        float f = w[31] > 0 ? clamp01(1 - expf(-w[31] * 400)) * smooth(1 - 3 * clamp01(-d.y)) : 0;
        return lerp3(sky(w, d), ld(w + 28), f);
    }
    const float *q = prims + which * PRIM, *m = mats + (int)q[1] * MAT;
    v3 p = add(o, sc(d, t)), l;
    float u, v;
    v3 nrm = surface(q, p, &l, &u, &v);
    float facing = fabsf(dot(nrm, d)), blur = t / w[12] / (facing + 0.12f);
    *z = t * ahead;
    *id = q[18];
    v3 a = albedo(m, l, u, v, blur);
    if (m[16] > 0) {
        float f = m[17], k = clamp01(1.5f - 1.5f * blur * f);
        if (k > 0) {
            v3 s = sc(l, f);
            unsigned seed = (unsigned)m[14] + 99u;
            v3 b = V(noise(s, seed) - 0.5f, noise(s, seed + 1) - 0.5f, noise(s, seed + 2) - 0.5f);
            nrm = unit(add(nrm, sc(b, m[16] * k)));
        }
    }
    v3 light = lerp3(ld(w + 25), ld(w + 22), 0.5f - 0.5f * nrm.y), view = sc(d, -1);
    float spec = 0;
    v3 sun = ld(w + 16);
    float c = dot(nrm, sun);
    if (c > 0 && w[19] + w[20] + w[21] > 0 &&
        !(w[47] == 1 && shadowed(prims, groups, n, add(p, sc(nrm, 4e-3f)), sun, FAR * 0.5f))) {
        light = add(light, sc(ld(w + 19), c));
        spec += powf(fmaxf(dot(unit(add(sun, view)), nrm), 0), 30);
    }
    if (w[35] + w[36] + w[37] > 0) {
        v3 L = sub(ld(w + 32), p);
        float r2 = dot(L, L), r = sqrtf(r2);
        L = sc(L, 1 / (r + 1e-6f));
        c = dot(nrm, L);
        if (c > 0 && !(w[47] == 2 && shadowed(prims, groups, n, add(p, sc(nrm, 4e-3f)), L, r - 0.05f))) {
            light = add(light, sc(ld(w + 35), c / (0.6f + r2)));
            spec += powf(fmaxf(dot(unit(add(L, view)), nrm), 0), 30) / (0.6f + r2);
        }
    }
    v3 col = add(mul(a, light), sc(V(1, 1, 1), spec * m[15]));
    col = add(col, sc(a, m[18]));
    if (w[31] > 0) col = lerp3(ld(w + 28), col, expf(-w[31] * t));
    return col;
}

/* One pixel of one frame: `samples` rays, each with its own view, and with its own prims and groups when `own` is 1 (they
 * follow one another; 0: one set for all); ray 0 goes through the pixel's centre at the frame's time and gives depth and
 * id. rgb: 3 floats, gamma-coded 0..1. */
FN void pixel(const float *prims, const float *groups, const float *mats, const float *views, int n_prims, int n_groups,
              int samples, int own, int x, int y, float *rgb, float *z, float *id)
{
    v3 sum = V(0, 0, 0);
    for (int s = 0; s < samples; s++) {
        const float *w = views + s * VIEW;
        v3 c = V((x + w[48] - w[14]) / w[12], (y + w[49] - w[15]) / w[13], 1);
        float ahead = 1 / sqrtf(dot(c, c)), zs, ids;
        v3 d = sc(c, ahead), o = ld(w);
        d = V(w[3] * d.x + w[4] * d.y + w[5] * d.z, w[6] * d.x + w[7] * d.y + w[8] * d.z,
              w[9] * d.x + w[10] * d.y + w[11] * d.z);
        long at = own ? s : 0;
        v3 col = trace(prims + at * n_prims * PRIM, groups + at * n_groups * GROUP, mats, w, o, d, ahead, &zs, &ids);
        sum = add(sum, V(fminf(col.x, 4), fminf(col.y, 4), fminf(col.z, 4)));
        if (s == 0) *z = zs, *id = ids;
    }
    sum = sc(sum, 1.0f / samples);
    rgb[0] = powf(clamp01(sum.x), 1 / 2.2f);
    rgb[1] = powf(clamp01(sum.y), 1 / 2.2f);
    rgb[2] = powf(clamp01(sum.z), 1 / 2.2f);
}
#endif
