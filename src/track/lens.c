/* Cameras for tracks; see lens.h. */
#include "track/lens.h"

#include "sink/file.h"
#include "sink/manifest.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int sane(const ib_lens *l)
{
    return isfinite(l->fx) && isfinite(l->fy) && isfinite(l->cx) && isfinite(l->cy) && l->fx > 0 && l->fy > 0;
}

/* To pictures of another size: edges are scaled, not pixel centres. */
static void rescale(ib_lens *l, double sx, double sy)
{
    l->fx *= sx;
    l->fy *= sy;
    l->cx = (l->cx + 0.5) * sx - 0.5;
    l->cy = (l->cy + 0.5) * sy - 0.5;
}

isobath_status ib_lens_parse_json(const char *text, size_t size, const char *name, ib_diag *diag, ib_lens *lens)
{
    json_t *json;
    IB_TRY(ib_json_parse(text, size, name, diag, &json));
    *lens = (ib_lens){0};
    const char *const keys[] = {"fx", "fy", "cx", "cy"};
    double *const values[] = {&lens->fx, &lens->fy, &lens->cx, &lens->cy};
    int ok = 1;
    for (int i = 0; i < 4; i++) {
        const json_t *v = json_object_get(json, keys[i]);
        ok = ok && json_is_number(v);
        *values[i] = json_number_value(v);
    }
    const json_t *d = json_object_get(json, "distortion");
    size_t n = json_array_size(d);
    ok = ok && sane(lens) && (!d || (json_is_array(d) && (n == 0 || n == 4 || n == 5 || n == 8)));
    for (size_t i = 0; ok && i < n; i++) {
        ok = json_is_number(json_array_get(d, i));
        lens->distortion[i] = json_number_value(json_array_get(d, i));
        lens->distorted |= lens->distortion[i] != 0;
    }
    json_int_t w = json_integer_value(json_object_get(json, "width")),
               h = json_integer_value(json_object_get(json, "height"));
    if (w > 0 && h > 0 && w < 65536 && h < 65536) {
        lens->width = (int)w;
        lens->height = (int)h;
    }
    json_decref(json);
    return ok ? ISOBATH_OK
              : ib_fail(diag, ISOBATH_ERR_INPUT,
                        "%s: expected numbers fx, fy, cx, cy (and distortion: 4, 5 or 8 numbers, width, height)", name);
}

static isobath_status open_file(const ib_lens_options *o, ib_diag *diag, ib_lenses *out)
{
    uint8_t *data;
    size_t size;
    IB_TRY(ib_read_file(o->path, (size_t)1 << 30, diag, &data, &size));
    const char *text = (const char *)data, *p = text + strspn(text, " \t\r\n");
    const char *stop = strchr(p, '\n');
    isobath_status st;
    if (*p != '{')
        st = ib_lens_parse_yaml(text, size, o->path, diag, &out->lens);
    else if (memmem(p, stop ? (size_t)(stop - p) : strlen(p), "\"frame\"", 7))
        st = ib_camera_parse(text, size, o->path, 0, diag, &out->frames);
    else
        st = ib_lens_parse_json(text, size, o->path, diag, &out->lens);
    free(data);
    return st;
}

isobath_status ib_lenses_open(const ib_lens_options *o, int width, int height, ib_diag *diag, ib_lenses *out)
{
    memset(out, 0, sizeof *out);
    int numbers = o->fx != 0 || o->fy != 0, ways = numbers + (o->hfov_deg != 0) + (o->path != NULL);
    if (ways != 1)
        return ib_fail(diag, ISOBATH_ERR_USAGE,
                       "%s: give the focal length with --fx (and --fy --cx --cy), or --hfov DEGREES, or --camera FILE",
                       ways ? "more than one camera" : "no camera");
    if (o->path) {
        IB_TRY(open_file(o, diag, out));
    } else {
        ib_lens *l = &out->lens;
        int w = o->width ? o->width : width, h = o->height ? o->height : height;
        if (o->hfov_deg != 0) {
            if (!(o->hfov_deg > 0 && o->hfov_deg < 180))
                return ib_fail(diag, ISOBATH_ERR_USAGE, "--hfov: expected more than 0 and less than 180 degrees");
            l->fx = l->fy = w / 2.0 / tan(o->hfov_deg * acos(-1) / 360);
        } else {
            l->fx = o->fx ? o->fx : o->fy;
            l->fy = o->fy ? o->fy : o->fx;
        }
        l->cx = o->has_cx ? o->cx : (w - 1) / 2.0;
        l->cy = o->has_cy ? o->cy : (h - 1) / 2.0;
        if (!sane(l)) return ib_fail(diag, ISOBATH_ERR_USAGE, "--fx and --fy: expected pixels, more than 0");
        l->width = w;
        l->height = h;
    }
    int w = o->width ? o->width : out->lens.width ? out->lens.width : width;
    int h = o->height ? o->height : out->lens.height ? out->lens.height : height;
    rescale(&out->lens, (double)width / w, (double)height / h);
    for (int64_t i = 0; i < out->frames.count; i++) {
        ib_camera *c = &out->frames.cameras[i];
        ib_lens l = {.fx = c->fx, .fy = c->fy, .cx = c->cx, .cy = c->cy};
        rescale(&l, (double)width / w, (double)height / h);
        c->fx = l.fx, c->fy = l.fy, c->cx = l.cx, c->cy = l.cy;
    }
    return ISOBATH_OK;
}

void ib_lenses_free(ib_lenses *lenses) { ib_camera_free(&lenses->frames); }

int ib_lenses_of(const ib_lenses *lenses, int64_t frame, ib_lens *lens)
{
    *lens = lenses->lens;
    if (lenses->frames.count == 0) return 1;
    const ib_camera *c = ib_camera_of(&lenses->frames, frame);
    if (c) *lens = (ib_lens){.fx = c->fx, .fy = c->fy, .cx = c->cx, .cy = c->cy};
    return c != NULL;
}

void ib_lens_ray(const ib_lens *l, double u, double v, double ray[2])
{
    double x0 = (u - 0.5 - l->cx) / l->fx, y0 = (v - 0.5 - l->cy) / l->fy, x = x0, y = y0;
    const double *k = l->distortion;
    /* OpenCV's model, inverted by fixed-point iteration */
    for (int i = 0; l->distorted && i < 50; i++) {
        double r2 = x * x + y * y;
        double radial = (1 + r2 * (k[5] + r2 * (k[6] + r2 * k[7]))) / (1 + r2 * (k[0] + r2 * (k[1] + r2 * k[4])));
        if (!(radial > 0) || !isfinite(radial)) break; /* beyond what the model describes: keep the last guess */
        double dx = 2 * k[2] * x * y + k[3] * (r2 + 2 * x * x), dy = k[2] * (r2 + 2 * y * y) + 2 * k[3] * x * y;
        double nx = (x0 - dx) * radial, ny = (y0 - dy) * radial, moved = fabs(nx - x) + fabs(ny - y);
        if (!isfinite(moved)) break;
        x = nx;
        y = ny;
        if (moved < 1e-12) break;
    }
    ray[0] = x;
    ray[1] = y;
}
