/* Drawing on RGB pictures; see canvas.h. */
#include "track/canvas.h"

#include <math.h>
#include <string.h>

enum { COLUMNS = 5, ROWS = 7, ADVANCE = 6 };

/* From the space to the tilde, a byte a row, its lowest five bits from left to right. */
static const uint8_t font[95][ROWS] = {
    {0, 0, 0, 0, 0, 0, 0},        {4, 4, 4, 4, 4, 0, 4},        {10, 10, 10, 0, 0, 0, 0},
    {10, 10, 31, 10, 31, 10, 10}, {4, 15, 20, 14, 5, 30, 4},    {25, 25, 2, 4, 8, 19, 19},
    {12, 18, 20, 8, 21, 18, 13},  {4, 4, 8, 0, 0, 0, 0},        {2, 4, 8, 8, 8, 4, 2},
    {8, 4, 2, 2, 2, 4, 8},        {0, 4, 21, 14, 21, 4, 0},     {0, 4, 4, 31, 4, 4, 0},
    {0, 0, 0, 0, 4, 4, 8},        {0, 0, 0, 31, 0, 0, 0},       {0, 0, 0, 0, 0, 12, 12},
    {1, 1, 2, 4, 8, 16, 16},      {14, 17, 19, 21, 25, 17, 14}, {4, 12, 4, 4, 4, 4, 14},
    {14, 17, 1, 2, 4, 8, 31},     {31, 2, 4, 2, 1, 17, 14},     {2, 6, 10, 18, 31, 2, 2},
    {31, 16, 30, 1, 1, 17, 14},   {6, 8, 16, 30, 17, 17, 14},   {31, 1, 2, 4, 4, 4, 4},
    {14, 17, 17, 14, 17, 17, 14}, {14, 17, 17, 15, 1, 2, 12},   {0, 12, 12, 0, 12, 12, 0},
    {0, 12, 12, 0, 12, 4, 8},     {2, 4, 8, 16, 8, 4, 2},       {0, 0, 31, 0, 31, 0, 0},
    {8, 4, 2, 1, 2, 4, 8},        {14, 17, 1, 2, 4, 0, 4},      {14, 17, 23, 21, 23, 16, 14},
    {4, 10, 17, 17, 31, 17, 17},  {30, 17, 17, 30, 17, 17, 30}, {14, 17, 16, 16, 16, 17, 14},
    {28, 18, 17, 17, 17, 18, 28}, {31, 16, 16, 30, 16, 16, 31}, {31, 16, 16, 30, 16, 16, 16},
    {14, 17, 16, 23, 17, 17, 15}, {17, 17, 17, 31, 17, 17, 17}, {14, 4, 4, 4, 4, 4, 14},
    {7, 2, 2, 2, 2, 18, 12},      {17, 18, 20, 24, 20, 18, 17}, {16, 16, 16, 16, 16, 16, 31},
    {17, 27, 21, 21, 17, 17, 17}, {17, 17, 25, 21, 19, 17, 17}, {14, 17, 17, 17, 17, 17, 14},
    {30, 17, 17, 30, 16, 16, 16}, {14, 17, 17, 17, 21, 18, 13}, {30, 17, 17, 30, 20, 18, 17},
    {15, 16, 16, 14, 1, 1, 30},   {31, 4, 4, 4, 4, 4, 4},       {17, 17, 17, 17, 17, 17, 14},
    {17, 17, 17, 17, 17, 10, 4},  {17, 17, 17, 21, 21, 21, 10}, {17, 17, 10, 4, 10, 17, 17},
    {17, 17, 17, 10, 4, 4, 4},    {31, 1, 2, 4, 8, 16, 31},     {14, 8, 8, 8, 8, 8, 14},
    {16, 16, 8, 4, 2, 1, 1},      {14, 2, 2, 2, 2, 2, 14},      {4, 10, 17, 0, 0, 0, 0},
    {0, 0, 0, 0, 0, 0, 31},       {8, 4, 0, 0, 0, 0, 0},        {0, 0, 14, 1, 15, 17, 15},
    {16, 16, 22, 25, 17, 17, 30}, {0, 0, 14, 16, 16, 17, 14},   {1, 1, 13, 19, 17, 17, 15},
    {0, 0, 14, 17, 31, 16, 14},   {6, 9, 8, 28, 8, 8, 8},       {0, 15, 17, 17, 15, 1, 14},
    {16, 16, 22, 25, 17, 17, 17}, {4, 0, 12, 4, 4, 4, 14},      {2, 0, 6, 2, 2, 18, 12},
    {16, 16, 18, 20, 24, 20, 18}, {12, 4, 4, 4, 4, 4, 14},      {0, 0, 26, 21, 21, 17, 17},
    {0, 0, 22, 25, 17, 17, 17},   {0, 0, 14, 17, 17, 17, 14},   {0, 0, 30, 17, 30, 16, 16},
    {0, 0, 13, 19, 15, 1, 1},     {0, 0, 22, 25, 16, 16, 16},   {0, 0, 14, 16, 14, 1, 30},
    {8, 8, 28, 8, 8, 9, 6},       {0, 0, 17, 17, 17, 19, 13},   {0, 0, 17, 17, 17, 10, 4},
    {0, 0, 17, 17, 21, 21, 10},   {0, 0, 17, 10, 4, 10, 17},    {0, 0, 17, 17, 15, 1, 14},
    {0, 0, 31, 2, 4, 8, 31},      {2, 4, 4, 8, 4, 4, 2},        {4, 4, 4, 4, 4, 4, 4},
    {8, 4, 4, 2, 4, 4, 8},        {0, 0, 9, 21, 18, 0, 0},
};

ib_colour ib_track_colour(int64_t id, double light)
{
    double hue = fmod((double)(id < 0 ? 0 : id % 360) * 137.508, 360) / 60, saturation = id < 0 ? 0 : 0.75;
    double chroma = (1 - fabs(2 * light - 1)) * saturation, x = chroma * (1 - fabs(fmod(hue, 2) - 1)),
           m = light - chroma / 2;
    static const int order[6][3] = {{0, 1, 2}, {1, 0, 2}, {2, 0, 1},
                                    {2, 1, 0}, {1, 2, 0}, {0, 2, 1}}; /* which of chroma, x, 0 is r, g, b */
    double value[3] = {chroma, x, 0};
    const int *o = order[(int)hue % 6];
    return (ib_colour){(uint8_t)lrint(255 * (value[o[0]] + m)), (uint8_t)lrint(255 * (value[o[1]] + m)),
                       (uint8_t)lrint(255 * (value[o[2]] + m))};
}

static void mix(ib_canvas *c, int x, int y, ib_colour colour, double opacity)
{
    if (x < 0 || y < 0 || x >= c->width || y >= c->height) return;
    uint8_t *p = c->rgb + 3 * ((size_t)y * (size_t)c->width + (size_t)x), v[3] = {colour.r, colour.g, colour.b};
    for (int k = 0; k < 3; k++) p[k] = (uint8_t)lrint(p[k] + (v[k] - p[k]) * opacity);
}

/* First pixel whose centre is at or beyond v, within 0..size. */
static int first_pixel(double v, int size) { return v >= size ? size : v > 0.5 ? (int)ceil(v - 0.5) : 0; }

void ib_canvas_fill(ib_canvas *c, double x0, double y0, double x1, double y1, ib_colour colour, double opacity)
{
    int right = first_pixel(x1, c->width), bottom = first_pixel(y1, c->height);
    for (int y = first_pixel(y0, c->height); y < bottom; y++)
        for (int x = first_pixel(x0, c->width); x < right; x++) mix(c, x, y, colour, opacity);
}

/* A bar from a to b along one axis, in dashes where asked for. */
static void bar(ib_canvas *c, double a, double b, double across, int thick, int vertical, ib_colour colour, int dashed)
{
    double step = dashed ? 8 : b - a;
    for (double p = a; p < b && step > 0; p += 2 * step) {
        double end = fmin(p + step, b);
        if (vertical)
            ib_canvas_fill(c, across, p, across + thick, end, colour, 1);
        else
            ib_canvas_fill(c, p, across, end, across + thick, colour, 1);
    }
}

void ib_canvas_box(ib_canvas *c, double x0, double y0, double x1, double y1, int thick, ib_colour colour, int dashed)
{
    double limit = 4.0 * (c->width + c->height); /* far outside is outside */
    x0 = fmax(x0, -limit), y0 = fmax(y0, -limit), x1 = fmin(x1, limit), y1 = fmin(y1, limit);
    bar(c, x0, x1, y0, thick, 0, colour, dashed);
    bar(c, x0, x1, y1 - thick, thick, 0, colour, dashed);
    bar(c, y0, y1, x0, thick, 1, colour, dashed);
    bar(c, y0, y1, x1 - thick, thick, 1, colour, dashed);
}

/* Every pixel in reach of the segment gets the share that its distance says. */
void ib_canvas_line(ib_canvas *c, double x0, double y0, double x1, double y1, double thick, ib_colour colour)
{
    double dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy, reach = thick / 2 + 1;
    int left = first_pixel(fmin(x0, x1) - reach, c->width), right = first_pixel(fmax(x0, x1) + reach, c->width);
    int top = first_pixel(fmin(y0, y1) - reach, c->height), bottom = first_pixel(fmax(y0, y1) + reach, c->height);
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++) {
            double px = x + 0.5 - x0, py = y + 0.5 - y0,
                   t = length > 0 ? fmin(fmax((px * dx + py * dy) / length, 0), 1) : 0;
            double cover = thick / 2 + 0.5 - hypot(px - t * dx, py - t * dy);
            if (cover > 0) mix(c, x, y, colour, fmin(cover, 1));
        }
}

void ib_canvas_disc(ib_canvas *c, double x, double y, double radius, ib_colour colour)
{
    ib_canvas_line(c, x, y, x, y, 2 * radius, colour);
}

int ib_canvas_text_width(const char *text, int scale) { return (int)strlen(text) * ADVANCE * scale; }

void ib_canvas_text(ib_canvas *c, int x, int y, int scale, const char *text, ib_colour colour)
{
    for (; *text; text++, x += ADVANCE * scale) {
        const uint8_t *glyph = font[(*text >= 32 && *text < 127 ? *text : '?') - 32];
        for (int row = 0; row < ROWS; row++)
            for (int column = 0; column < COLUMNS; column++)
                if (glyph[row] >> (COLUMNS - 1 - column) & 1)
                    ib_canvas_fill(c, x + column * scale, y + row * scale, x + (column + 1) * scale,
                                   y + (row + 1) * scale, colour, 1);
    }
}
