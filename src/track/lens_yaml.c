/* The part of YAML that OpenCV and ROS write for a camera; anything else is refused. See lens.h. */
#include "track/lens.h"
#include "track/tracks.h"

#include <ctype.h>
#include <string.h>

enum { MOST = 16 }; /* numbers in a matrix that is wanted */

typedef struct yaml {
    const char *p, *end, *name;
    int line;
    ib_diag *diag;
} yaml;

static isobath_status fail(const yaml *y, const char *text)
{
    return ib_fail(y->diag, ISOBATH_ERR_INPUT, "%s: line %d: %s", y->name, y->line, text);
}

/* The next line without its comment and blanks at its end; the length of its indentation in *indent. 0: the end. */
static int next_line(yaml *y, const char **first, size_t *size, size_t *indent)
{
    if (y->p >= y->end) return 0;
    const char *stop = memchr(y->p, '\n', (size_t)(y->end - y->p));
    if (!stop) stop = y->end;
    const char *p = y->p, *last = stop;
    for (const char *q = p; q < last; q++)
        if (*q == '#' && (q == p || q[-1] == ' ')) last = q;
    while (last > p && isspace((unsigned char)last[-1])) last--;
    *indent = 0;
    while (p < last && *p == ' ') p++, (*indent)++;
    *first = p;
    *size = (size_t)(last - p);
    y->p = stop + 1;
    y->line++;
    return 1;
}

/* "key: value" apart; 0: not of that form. The value may be empty. */
static int key_value(const char *line, size_t size, const char **value, size_t *key_size)
{
    const char *colon = memchr(line, ':', size);
    if (!colon || colon == line) return 0;
    *key_size = (size_t)(colon - line);
    *value = colon + 1;
    while (*value < line + size && **value == ' ') (*value)++;
    return 1;
}

static int is(const char *key, size_t size, const char *word)
{
    return strlen(word) == size && memcmp(key, word, size) == 0;
}

/* A list in brackets that may go on for lines; count becomes -1 when it has more than MOST numbers. */
static isobath_status read_list(yaml *y, const char *p, const char *stop, double *out, int *count)
{
    *count = 0;
    if (p >= stop || *p != '[') return fail(y, "expected a list in brackets");
    char word[64];
    size_t n = 0, indent, size;
    for (p++;; p++) {
        if (p >= stop) {
            const char *first;
            if (n && n < sizeof word) return fail(y, "expected a comma at the end of the line");
            if (!next_line(y, &first, &size, &indent)) return fail(y, "the list has no end");
            p = first - 1;
            stop = first + size;
            continue;
        }
        if (*p == ',' || *p == ']') {
            word[n] = 0;
            if (n) {
                double v;
                if (!ib_word_number(word, &v)) return fail(y, "expected a list of numbers");
                if (*count < MOST) out[*count] = v;
                (*count)++;
                n = 0;
            }
            if (*p == ']') return ISOBATH_OK;
        } else if (*p != ' ' && *p != '\t') {
            if (n + 1 >= sizeof word) return fail(y, "expected a list of numbers");
            word[n++] = *p;
        }
    }
}

static isobath_status take(yaml *y, ib_lens *l, const char *matrix, size_t size, const double *v, int count)
{
    if (is(matrix, size, "camera_matrix") || is(matrix, size, "Camera_Matrix") || is(matrix, size, "K")) {
        if (count != 9 || v[8] != 1 || v[3] != 0 || v[6] != 0 || v[7] != 0)
            return fail(y, "camera_matrix: expected [fx, 0, cx, 0, fy, cy, 0, 0, 1]");
        if (v[1] != 0) return fail(y, "camera_matrix: a skew is not handled");
        l->fx = v[0], l->cx = v[2], l->fy = v[4], l->cy = v[5];
        if (!(l->fx > 0) || !(l->fy > 0)) return fail(y, "camera_matrix: the focal lengths must be more than 0");
    } else if (is(matrix, size, "distortion_coefficients") || is(matrix, size, "Distortion_Coefficients") ||
               is(matrix, size, "dist_coeffs") || is(matrix, size, "D")) {
        if (count != 0 && count != 4 && count != 5 && count != 8) {
            for (int i = 8; i < count; i++)
                if (i >= MOST || v[i] != 0)
                    return fail(
                        y,
                        "distortion_coefficients: expected 4, 5 or 8 numbers (thin prisms and tilt are not handled)");
            count = count > 8 ? 8 : -1;
            if (count < 0) return fail(y, "distortion_coefficients: expected 4, 5 or 8 numbers");
        }
        for (int i = 0; i < count; i++) {
            l->distortion[i] = v[i];
            l->distorted |= v[i] != 0;
        }
    }
    return ISOBATH_OK;
}

isobath_status ib_lens_parse_yaml(const char *text, size_t size, const char *name, ib_diag *diag, ib_lens *lens)
{
    yaml y = {.p = text, .end = text + size, .name = name, .diag = diag};
    *lens = (ib_lens){0};
    const char *first, *value, *matrix = NULL;
    size_t n, indent, key, matrix_size = 0;
    while (next_line(&y, &first, &n, &indent)) {
        if (n == 0 || *first == '%' || is(first, n, "---") || is(first, n, "...")) continue;
        if (!key_value(first, n, &value, &key))
            return fail(&y, "expected \"key: value\" (OpenCV or ROS YAML of a camera)");
        size_t value_size = (size_t)(first + n - value);
        if (indent == 0) {
            matrix = first;
            matrix_size = key;
        }
        int is_list = indent > 0 ? is(first, key, "data") : value_size > 0 && *value == '[';
        double v[MOST];
        char word[64] = "";
        int count;
        if (is_list && matrix) {
            IB_TRY(read_list(&y, value, first + n, v, &count));
            IB_TRY(take(&y, lens, matrix, matrix_size, v, count));
            continue;
        }
        if (value_size < sizeof word) memcpy(word, value, value_size);
        int64_t whole;
        int wide = is(first, key, "image_width");
        if (indent == 0 && (wide || is(first, key, "image_height"))) {
            if (!ib_word_integer(word, &whole) || whole <= 0 || whole > 65535)
                return fail(&y, "expected a number of pixels");
            *(wide ? &lens->width : &lens->height) = (int)whole;
        }
        if (is(first, key, "distortion_model") && !is(value, value_size, "plumb_bob") &&
            !is(value, value_size, "rational_polynomial"))
            return fail(&y, "only the distortion models plumb_bob and rational_polynomial are handled");
    }
    if (lens->width == 0 || lens->height == 0) lens->width = lens->height = 0;
    if (lens->fx == 0) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: no camera_matrix with a list of data", name);
    return ISOBATH_OK;
}
