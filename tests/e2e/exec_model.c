/* A depth program for the test of --model exec: half-size depth that is a pure function of the pixels, and every way to misbehave.
 *
 * usage: exec_model HOW [FILE]   HOW: well, metric, crash-once FILE, crash, hang-once FILE, nan, garbage, nohello, refuse, order, size */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *how, *mark;

static void must_read(void *to, size_t size)
{
    if (fread(to, 1, size, stdin) != size) exit(0);
}

static uint64_t number(const unsigned char *b, int n) { return n ? b[0] | number(b + 1, n - 1) << 8 : 0; }

static void put(unsigned char *b, uint64_t v, int n)
{
    for (int i = 0; i < n; i++) b[i] = (unsigned char)(v >> (8 * i));
}

static void message(uint32_t type, const void *a, size_t a_size, const void *b, size_t b_size)
{
    unsigned char head[16] = "IBX1";
    put(head + 4, type, 4);
    put(head + 8, a_size + b_size, 8);
    fwrite(head, 1, 16, stdout);
    fwrite(a, 1, a_size, stdout);
    if (b_size) fwrite(b, 1, b_size, stdout);
    fflush(stdout);
}

/* 1 the first time that it is asked, whichever process asks. */
static int first_time(void)
{
    FILE *f = fopen(mark, "wx");
    if (f) fclose(f);
    return f != NULL;
}

int main(int argc, char **argv)
{
    how = argc > 1 ? argv[1] : "well";
    mark = argc > 2 ? argv[2] : "";
    unsigned char head[16], at[16], index[8];
    char text[4096], hello[128];
    must_read(head, 16);
    size_t size = (size_t)number(head + 8, 8);
    if (size >= sizeof text) return 3;
    must_read(text, size);
    text[size] = '\0';
    int width = atoi(strstr(text, "\"width\":") + 8), height = atoi(strstr(text, "\"height\":") + 9), w = width / 2, h = height / 2;
    if (strcmp(how, "nohello") == 0) return fprintf(stderr, "no model here\n"), 7;
    if (strcmp(how, "refuse") == 0) return message(4, "out of luck", 11, NULL, 0), 0;
    if (strcmp(how, "size") == 0) w = 100000;
    snprintf(hello, sizeof hello, "{\"name\": \"test\", \"width\": %d, \"height\": %d, \"kind\": \"%s\"}", w, h,
             strcmp(how, "metric") == 0 ? "metric" : "disparity");
    message(1, hello, strlen(hello), NULL, 0);
    unsigned char *rgb = malloc((size_t)width * (size_t)height * 3);
    float *depth = malloc((size_t)w * (size_t)h * sizeof *depth);
    for (;;) {
        must_read(head, 16);
        if (number(head + 4, 4) == 5) return 0;
        must_read(at, 16);
        must_read(rgb, (size_t)width * (size_t)height * 3);
        uint64_t frame = number(at, 8);
        if (strcmp(how, "crash") == 0 && frame == 40) return fprintf(stderr, "frame 40 is too much\n"), 9;
        if (strcmp(how, "crash-once") == 0 && frame == 40 && first_time()) abort();
        if (strcmp(how, "hang-once") == 0 && frame == 40 && first_time()) pause();
        if (strcmp(how, "garbage") == 0 && frame == 3) printf("hello, I am a print statement\n");
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                const unsigned char *p = rgb + 3 * (2 * y * width + 2 * x);
                depth[y * w + x] = (float)(p[0] + 2 * p[1] + 3 * p[2]) / 64 + (float)(frame % 5);
            }
        if (strcmp(how, "nan") == 0 && frame == 5) {
            const uint32_t bits = 0x7fc00000u;
            memcpy(&depth[7], &bits, 4);
        }
        put(index, strcmp(how, "order") == 0 && frame == 4 ? 9 : frame, 8);
        message(3, index, 8, depth, (size_t)w * (size_t)h * sizeof *depth);
    }
}
