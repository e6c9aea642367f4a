/* Homographies; see homography.h. */
#include "track/homography.h"

#include "base/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double largest_error = 0.05; /* of the entries of R R^T - 1 */
static const char *const keys[] = {"reference_from_image", "ground_from_image"};

static double det3(const double m[9])
{
    return m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) + m[2] * (m[3] * m[7] - m[4] * m[6]);
}

/* Transpose of the inverse. */
static void cofactors(const double m[9], double out[9])
{
    double d = det3(m);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            int a = (i + 1) % 3, b = (i + 2) % 3, c = (j + 1) % 3, e = (j + 2) % 3;
            out[3 * i + j] = (m[3 * a + c] * m[3 * b + e] - m[3 * a + e] * m[3 * b + c]) / d;
        }
}

static int get_matrix(const json_t *value, double m[9])
{
    size_t n = json_array_size(value);
    double largest = 0;
    for (size_t i = 0; i < 9; i++) {
        const json_t *number = n == 9   ? json_array_get(value, i)
                               : n == 3 ? json_array_get(json_array_get(value, i / 3), i % 3)
                                        : NULL;
        m[i] = json_number_value(number);
        if (!json_is_number(number) || !isfinite(m[i]) || fabs(m[i]) > 1e12) return 0;
        largest = fmax(largest, fabs(m[i]));
    }
    for (int i = 0; i < 9 && largest > 0; i++) m[i] /= largest;
    double d = det3(m);
    return largest > 0 && isfinite(1 / d) && fabs(d) > 1e-20;
}

/* The key that an object has, -1: none, or both. */
static int key_of(const json_t *object)
{
    int a = json_object_get(object, keys[0]) != NULL, b = json_object_get(object, keys[1]) != NULL;
    return a + b == 1 ? b : -1;
}

/* The next line that is not empty; NULL: none. *p moves behind it. */
static const char *next_line(const char **p, const char *end, size_t *size, int *number)
{
    while (*p < end) {
        const char *first = *p, *stop = memchr(first, '\n', (size_t)(end - first));
        if (!stop) stop = end;
        *p = stop + (stop < end);
        ++*number;
        while (first < stop && (*first == ' ' || *first == '\t' || *first == '\r')) first++;
        *size = (size_t)(stop - first);
        if (*size) return first;
    }
    return NULL;
}

int ib_homographies_are(const char *text, size_t size)
{
    size_t n;
    int number = 0;
    json_error_t error;
    const char *line = next_line(&text, text + size, &n, &number);
    json_t *json = line ? json_loadb(line, n, 0, &error) : NULL;
    int are = json && (json_object_get(json, keys[0]) || json_object_get(json, keys[1]));
    json_decref(json);
    return are;
}

static int add(ib_homographies *h, int64_t frame, int line, const double m[9])
{
    if (h->count == h->room) {
        int64_t room = h->room ? 2 * h->room : 64;
        ib_homography *of = realloc(h->of, (size_t)room * sizeof *of);
        if (!of) return 0;
        h->of = of;
        h->room = room;
    }
    ib_homography *place = &h->of[h->count++];
    place->frame = frame;
    place->line = line;
    memcpy(place->matrix, m, sizeof place->matrix);
    return 1;
}

static isobath_status parse_line(const char *line, size_t size, const char *name, int number, ib_diag *diag,
                                 ib_homographies *h, int *kind)
{
    json_error_t error;
    json_t *json = json_loadb(line, size, 0, &error);
    if (!json) return ib_fail(diag, ib_json_status(&error, ISOBATH_ERR_INPUT), "%s: line %d: not JSON: %s", name, number, ib_json_reason(&error));
    const json_t *frame = json_object_get(json, "frame");
    json_int_t index = json_integer_value(frame);
    int key = key_of(json);
    double m[9];
    int ok = json_is_integer(frame) && index >= 0 && key >= 0 && (*kind < 0 || key == *kind) &&
             get_matrix(json_object_get(json, keys[key]), m);
    json_decref(json);
    if (!ok)
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: line %d: expected frame and %s of 9 numbers, not singular", name,
                       number, *kind >= 0 ? keys[*kind] : "reference_from_image or ground_from_image");
    *kind = key;
    return add(h, index, number, m) ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", name);
}

static int by_frame(const void *a, const void *b)
{
    int64_t f = ((const ib_homography *)a)->frame, g = ((const ib_homography *)b)->frame;
    return (f > g) - (f < g);
}

isobath_status ib_homographies_parse(const char *text, size_t size, const char *name, ib_diag *diag,
                                     ib_homographies *out)
{
    *out = (ib_homographies){0};
    int number = 0, kind = -1;
    size_t n;
    const char *end = text + size;
    for (const char *line; (line = next_line(&text, end, &n, &number));)
        IB_TRY(parse_line(line, n, name, number, diag, out, &kind));
    if (kind < 0) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: no homographies in this file", name);
    out->ground = kind;
    qsort(out->of, (size_t)out->count, sizeof *out->of, by_frame);
    for (int64_t i = 1; i < out->count; i++)
        if (out->of[i].frame == out->of[i - 1].frame)
            return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: line %d: frame %" PRId64 " comes twice", name,
                           out->of[i].line > out->of[i - 1].line ? out->of[i].line : out->of[i - 1].line, out->of[i].frame);
    return ISOBATH_OK;
}

void ib_homographies_free(ib_homographies *h)
{
    free(h->of);
    *h = (ib_homographies){0};
}

const double *ib_homography_of(const ib_homographies *h, int64_t frame)
{
    ib_homography key = {.frame = frame};
    ib_homography *found = h->count ? bsearch(&key, h->of, (size_t)h->count, sizeof key, by_frame) : NULL;
    return found ? found->matrix : NULL;
}

int ib_homography_ground(const double h[9], double u, double v, int width, int height, double ground[2])
{
    double x = u - 0.5, y = v - 0.5; /* to OpenCV's convention */
    double w = h[6] * x + h[7] * y + h[8], below = h[6] * (width - 1) / 2 + h[7] * (height - 1) + h[8];
    if (!(w * below > 1e-6 * below * below)) return 0;
    ground[0] = (h[0] * x + h[1] * y + h[2]) / w;
    ground[1] = (h[3] * x + h[4] * y + h[5]) / w;
    return isfinite(ground[0]) && isfinite(ground[1]);
}

int ib_homography_rotation(const double h[9], const ib_lens *lens, double r[9])
{
    double a[9], inverse[9];
    for (int i = 0; i < 3; i++) { /* H K */
        a[3 * i] = h[3 * i] * lens->fx;
        a[3 * i + 1] = h[3 * i + 1] * lens->fy;
        a[3 * i + 2] = h[3 * i] * lens->cx + h[3 * i + 1] * lens->cy + h[3 * i + 2];
    }
    for (int j = 0; j < 3; j++) { /* K^-1 of it */
        r[j] = (a[j] - lens->cx * a[6 + j]) / lens->fx;
        r[3 + j] = (a[3 + j] - lens->cy * a[6 + j]) / lens->fy;
        r[6 + j] = a[6 + j];
    }
    double scale = cbrt(det3(r));
    if (!isfinite(1 / scale)) return 0;
    for (int i = 0; i < 9; i++) r[i] /= scale;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            double dot = r[3 * i] * r[3 * j] + r[3 * i + 1] * r[3 * j + 1] + r[3 * i + 2] * r[3 * j + 2];
            if (!(fabs(dot - (i == j)) <= largest_error)) return 0;
        }
    for (int k = 0; k < 6; k++) { /* the nearest rotation, by Newton's iteration */
        cofactors(r, inverse);
        for (int i = 0; i < 9; i++) r[i] = (r[i] + inverse[i]) / 2;
    }
    return 1;
}
