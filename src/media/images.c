/* Image lists: what a folder, pattern or glob stands for; see images.h. */
#include "media/images.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <libavcodec/codec_id.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static const char *const extensions[] = {"png",  "jpg", "jpeg", "jpe", "tif", "tiff", "exr", "bmp",
                                         "webp", "dpx", "ppm",  "pgm", "pbm", "pnm",  "pam", "pfm",
                                         "jp2",  "j2k", "jxl",  "tga", "qoi", "sgi",  "psd"};

static int has_image_extension(const char *name)
{
    const char *dot = strrchr(name, '.');
    if (!dot || name[0] == '.') return 0;
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++)
        if (strcasecmp(dot + 1, extensions[i]) == 0) return 1;
    return 0;
}

int ib_image_codec(const uint8_t *data, size_t size, const char *path)
{
    static const struct {
        int id, offset, length;
        const char *magic;
    } table[] = {
        {AV_CODEC_ID_PNG, 0, 4, "\x89PNG"},
        {AV_CODEC_ID_MJPEG, 0, 3, "\xff\xd8\xff"},
        {AV_CODEC_ID_TIFF, 0, 4, "II*\0"},
        {AV_CODEC_ID_TIFF, 0, 4, "MM\0*"},
        {AV_CODEC_ID_EXR, 0, 4, "\x76\x2f\x31\x01"},
        {AV_CODEC_ID_BMP, 0, 2, "BM"},
        {AV_CODEC_ID_WEBP, 8, 4, "WEBP"},
        {AV_CODEC_ID_DPX, 0, 4, "SDPX"},
        {AV_CODEC_ID_DPX, 0, 4, "XPDS"},
        {AV_CODEC_ID_PBM, 0, 2, "P1"},
        {AV_CODEC_ID_PBM, 0, 2, "P4"},
        {AV_CODEC_ID_PGM, 0, 2, "P2"},
        {AV_CODEC_ID_PGM, 0, 2, "P5"},
        {AV_CODEC_ID_PPM, 0, 2, "P3"},
        {AV_CODEC_ID_PPM, 0, 2, "P6"},
        {AV_CODEC_ID_PAM, 0, 2, "P7"},
        {AV_CODEC_ID_PFM, 0, 2, "PF"},
        {AV_CODEC_ID_PFM, 0, 2, "Pf"},
        {AV_CODEC_ID_JPEG2000, 4, 4, "jP  "},
        {AV_CODEC_ID_JPEG2000, 0, 4, "\xff\x4f\xff\x51"},
        {AV_CODEC_ID_QOI, 0, 4, "qoif"},
        {AV_CODEC_ID_SGI, 0, 2, "\x01\xda"},
        {AV_CODEC_ID_JPEGXL, 4, 4, "JXL "},
        {AV_CODEC_ID_JPEGXL, 0, 2, "\xff\x0a"},
        {AV_CODEC_ID_PSD, 0, 4, "8BPS"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (size >= (size_t)(table[i].offset + table[i].length) &&
            memcmp(data + table[i].offset, table[i].magic, (size_t)table[i].length) == 0)
            return table[i].id;
    const char *dot = strrchr(path, '.');
    return dot && strcasecmp(dot, ".tga") == 0 ? AV_CODEC_ID_TARGA : AV_CODEC_ID_NONE;
}

int ib_natural_compare(const char *a, const char *b)
{
    const char *a0 = a, *b0 = b;
    while (*a && *b) {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            while (*a == '0') a++;
            while (*b == '0') b++;
            size_t na = strspn(a, "0123456789"), nb = strspn(b, "0123456789");
            if (na != nb) return na < nb ? -1 : 1;
            int d = memcmp(a, b, na);
            if (d) return d;
            a += na;
            b += nb;
        } else {
            if (*a != *b) return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
            a++;
            b++;
        }
    }
    if (*a || *b) return *a ? 1 : -1;
    return strcmp(a0, b0); /* 1 and 01: any fixed order */
}

static int compare_paths(const void *a, const void *b)
{
    return ib_natural_compare(*(char *const *)a, *(char *const *)b);
}

void ib_image_list_free(ib_image_list *list)
{
    for (int64_t i = 0; i < list->count; i++) free(list->paths[i]);
    free(list->paths);
    *list = (ib_image_list){0};
}

/* Adds "folder/name"; folder may be empty. */
static isobath_status add_path(ib_image_list *list, const char *folder, const char *name, ib_diag *diag)
{
    if (list->count == list->capacity) {
        int64_t capacity = list->capacity ? list->capacity * 2 : 256;
        char **paths = realloc(list->paths, (size_t)capacity * sizeof *paths);
        if (!paths)
            return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a list of %lld images", (long long)capacity);
        list->paths = paths;
        list->capacity = capacity;
    }
    size_t n = strlen(folder), m = strlen(name);
    char *path = malloc(n + m + 2);
    if (!path) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a list of images");
    memcpy(path, folder, n);
    if (n && folder[n - 1] != '/') path[n++] = '/';
    memcpy(path + n, name, m + 1);
    list->paths[list->count++] = path;
    return ISOBATH_OK;
}

/* A file name pattern: prefix, digits (at least `width`, filled with zeros), suffix. */
typedef struct pattern {
    char prefix[256], suffix[256];
    int width;
} pattern;

/* 1 when `name` has exactly one %d or %0Nd and no other conversion. */
static int parse_pattern(const char *name, pattern *p)
{
    const char *percent = strchr(name, '%');
    if (!percent || strlen(name) >= sizeof p->prefix) return 0;
    char *end = (char *)percent + 1;
    p->width = isdigit((unsigned char)*end) ? (int)strtol(end, &end, 10) : 1;
    if (*end != 'd' || p->width > 18 || strchr(end, '%')) return 0;
    memcpy(p->prefix, name, (size_t)(percent - name));
    p->prefix[percent - name] = '\0';
    strcpy(p->suffix, end + 1);
    return 1;
}

/* The number in `name`, or -1 when it does not follow the pattern. */
static int64_t match_pattern(const pattern *p, const char *name)
{
    size_t n = strlen(name), a = strlen(p->prefix), b = strlen(p->suffix);
    if (n <= a + b || memcmp(name, p->prefix, a) != 0 || strcmp(name + n - b, p->suffix) != 0) return -1;
    int digits = (int)(n - a - b);
    if (digits > 18 || digits < p->width || (digits > p->width && name[a] == '0')) return -1;
    int64_t number = 0;
    for (int i = 0; i < digits; i++) {
        if (!isdigit((unsigned char)name[a + (size_t)i])) return -1;
        number = number * 10 + (name[a + (size_t)i] - '0');
    }
    return number;
}

/* Adds the files of a folder: those of the pattern, or with pat == NULL those with an image's extension. */
static isobath_status scan(const char *folder, const pattern *pat, ib_image_list *list, ib_diag *diag)
{
    DIR *d = opendir(*folder ? folder : ".");
    if (!d)
        return ib_fail(diag, ISOBATH_ERR_INPUT, "cannot open the folder %s: %s", *folder ? folder : ".",
                       strerror(errno));
    isobath_status st = ISOBATH_OK;
    for (struct dirent *e; st == ISOBATH_OK && (e = readdir(d));)
        if (e->d_type != DT_DIR && (pat ? match_pattern(pat, e->d_name) >= 0 : has_image_extension(e->d_name)))
            st = add_path(list, folder, e->d_name, diag);
    closedir(d);
    return st;
}

static isobath_status check_gaps(const ib_image_list *list, const pattern *pat, ib_diag *diag)
{
    int64_t last = -1;
    for (int64_t i = 0; i < list->count; i++) {
        const char *slash = strrchr(list->paths[i], '/');
        int64_t number = match_pattern(pat, slash ? slash + 1 : list->paths[i]);
        if (i > 0 && number != last + 1)
            return ib_fail(diag, ISOBATH_ERR_INPUT,
                           "image %lld is missing before %s; name the folder instead to take what is there",
                           (long long)(last + 1), list->paths[i]);
        last = number;
    }
    return ISOBATH_OK;
}

static isobath_status find_glob(const char *input, ib_image_list *list, ib_diag *diag)
{
    glob_t g = {0};
    int rc = glob(input, GLOB_NOSORT, NULL, &g);
    isobath_status st = ISOBATH_OK;
    if (rc == GLOB_NOSPACE) st = ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the files of %s", input);
    for (size_t i = 0; rc == 0 && st == ISOBATH_OK && i < g.gl_pathc; i++) st = add_path(list, "", g.gl_pathv[i], diag);
    globfree(&g);
    return st;
}

isobath_status ib_image_list_find(const char *input, ib_diag *diag, ib_image_list *list, int *is_list)
{
    *list = (ib_image_list){0};
    *is_list = 0;
    struct stat sb;
    isobath_status st = ISOBATH_OK;
    const char *slash = strrchr(input, '/'), *name = slash ? slash + 1 : input;
    pattern pat;
    if (stat(input, &sb) == 0) {
        if (S_ISDIR(sb.st_mode))
            st = scan(input, NULL, list, diag);
        else if (has_image_extension(name))
            st = add_path(list, "", input, diag);
        else
            return ISOBATH_OK;
    } else if (strstr(input, "://")) {
        return ISOBATH_OK;
    } else if (parse_pattern(name, &pat)) {
        char *folder = strndup(input, (size_t)(name - input));
        if (!folder) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory");
        st = scan(folder, &pat, list, diag);
        free(folder);
        if (st == ISOBATH_OK && list->count)
            qsort(list->paths, (size_t)list->count, sizeof *list->paths, compare_paths);
        if (st == ISOBATH_OK) st = check_gaps(list, &pat, diag);
    } else if (input[strcspn(input, "*?[")]) {
        st = find_glob(input, list, diag);
    } else {
        return ISOBATH_OK;
    }
    *is_list = 1;
    if (st == ISOBATH_OK && list->count == 0)
        st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: %s there (PNG, JPEG, TIFF, EXR ... were looked for)", input,
                     stat(input, &sb) == 0 ? "no videos and no images" : "no images");
    if (st == ISOBATH_OK)
        qsort(list->paths, (size_t)list->count, sizeof *list->paths, compare_paths);
    else
        ib_image_list_free(list);
    return st;
}
