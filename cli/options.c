/* Option tables: parsing, --help; see cli.h. */
#include "cli.h"
#include "manpage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_double(const char *s, double *out)
{
    char *end;
    errno = 0;
    *out = strtod(s, &end);
    return end == s || *end || errno == ERANGE || *out != *out ? -1 : 0;
}

/* 12.5, 1:30 or 1:02:03.5 in seconds. */
static int parse_time(const char *s, double *out)
{
    double total = 0;
    char text[64];
    if (snprintf(text, sizeof text, "%s", s) >= (int)sizeof text) return -1;
    int parts = 0;
    for (char *p = text, *next; p; p = next) {
        double v;
        if ((next = strchr(p, ':'))) *next++ = '\0';
        if (parse_double(p, &v) != 0 || !(v >= 0 && v < 1e9) || ++parts > 3 || (parts > 1 && v >= 60)) return -1;
        total = total * 60 + v;
    }
    *out = total;
    return 0;
}

static int parse_int64(const char *s, int64_t *out)
{
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    *out = v;
    return end == s || *end || errno == ERANGE ? -1 : 0;
}

static int parse_range(const char *s, double *out)
{
    const char *colon = strchr(s, ':');
    char first[64];
    if (!colon || (size_t)(colon - s) >= sizeof first) return -1;
    memcpy(first, s, (size_t)(colon - s));
    first[colon - s] = 0;
    return parse_double(first, &out[0]) || parse_double(colon + 1, &out[1]) || !(out[0] < out[1]) ? -1 : 0;
}

/* Stores the argument; returns what was expected on failure, NULL on success. */
static const char *store(const cli_option *o, const char *arg)
{
    int64_t v;
    switch (o->kind) {
    case CLI_FLAG: *(int *)o->target = 1; return NULL;
    case CLI_UNFLAG: *(int *)o->target = 0; return NULL;
    case CLI_INT:
        if (parse_int64(arg, &v) != 0 || v < INT32_MIN || v > INT32_MAX) return "a whole number";
        *(int *)o->target = (int)v;
        return NULL;
    case CLI_THREADS:
        if (parse_int64(arg, &v) != 0 || v < 0 || v > 1024) return "0 (all) to 1024";
        *(int *)o->target = (int)v;
        return NULL;
    case CLI_INT64: return parse_int64(arg, o->target) ? "a whole number" : NULL;
    case CLI_DOUBLE: return parse_double(arg, o->target) ? "a number" : NULL;
    case CLI_TIME: return parse_time(arg, o->target) ? "a time (seconds, M:SS or H:MM:SS)" : NULL;
    case CLI_RANGE: return parse_range(arg, o->target) ? "A:B with A < B" : NULL;
    case CLI_STRING: *(const char **)o->target = arg; return NULL;
    case CLI_CALL: return o->call(o->target, arg) ? o->argument : NULL;
    default: return "nothing";
    }
}

/* Help text: name and argument to the left, lines of help in a column. */
static void print_help(const cli_command *c, const cli_option *options)
{
    printf("usage: isobath %s\n\n%s\n", c->usage, c->description);
    for (const cli_option *o = options; o->kind != CLI_END; o++) {
        if (o->kind == CLI_HEADING) printf("\n%s\n", o->help);
        if (o->kind == CLI_HEADING || !o->help) continue;
        char left[64];
        snprintf(left, sizeof left, "  %s%c%s%s%s%s", o->letter ? "-" : " ", o->letter ? o->letter : ' ', o->letter ? ", " : "  ",
                 o->name, o->argument ? " " : "", o->argument ? o->argument : "");
        const char *line = o->help;
        printf(strlen(left) > 29 ? "%s\n%31s" : "%-30s %s", left, "");
        while (line) {
            const char *end = strchr(line, '\n');
            printf("%.*s\n", end ? (int)(end - line) : (int)strlen(line), line);
            line = end ? end + 1 : NULL;
            if (line) printf("%31s", "");
        }
    }
    if (c->examples) printf("\nExamples\n%s", c->examples);
}

static const cli_option *find(const cli_option *options, const char *name, size_t length, char letter)
{
    for (const cli_option *o = options; o->kind != CLI_END; o++) {
        if (o->kind == CLI_HEADING) continue;
        if (letter ? o->letter == letter : strlen(o->name) == length && strncmp(o->name, name, length) == 0) return o;
    }
    return NULL;
}

static int usage_error(const cli_command *c, const char *text, const char *option)
{
    fprintf(stderr, "isobath %s: %s %s (see isobath %s --help)\n", c->name, text, option, c->name);
    return ISOBATH_ERR_USAGE;
}

int cli_parse(const cli_command *c, const cli_option *options, int argc, char **argv, int *rest)
{
    int only_rest = 0;
    *rest = 0;
    for (int i = 1; i < argc; i++) {
        char *a = argv[i];
        if (only_rest || a[0] != '-' || !a[1]) {
            argv[1 + (*rest)++] = a;
            continue;
        }
        if (strcmp(a, "--") == 0) {
            only_rest = 1;
            continue;
        }
        if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) {
            print_help(c, options);
            return 0;
        }
        if (strcmp(a, "--help-man") == 0 || strcmp(a, "--help-bash") == 0) return cli_describe(a + 7, c, options);
        const char *equals = a[1] == '-' ? strchr(a, '=') : NULL;
        size_t length = equals ? (size_t)(equals - a) : strlen(a);
        const cli_option *o = a[1] == '-' ? find(options, a, length, 0) : find(options, NULL, 0, a[1]);
        const char *arg = equals ? equals + 1 : NULL;
        if (o && a[1] != '-' && a[2]) { /* -j4 */
            arg = a + 2;
            if (!o->argument) o = NULL;
        }
        if (!o) return usage_error(c, "unknown option", a);
        if (o->argument && !arg) {
            if (i + 1 >= argc) return usage_error(c, "an argument is missing after", a);
            arg = argv[++i];
        }
        if (!o->argument && arg) return usage_error(c, "no argument is expected in", a);
        const char *expected = store(o, arg);
        if (expected) {
            fprintf(stderr, "isobath %s: %s %s: expected %s\n", c->name, o->name, arg, expected);
            return ISOBATH_ERR_USAGE;
        }
    }
    return -1;
}

int cli_fail(const char *command, isobath_status status, const char *text)
{
    fprintf(stderr, "isobath %s: %s\n", command, text && *text ? text : isobath_status_name(status));
    return (int)status;
}

char *cli_bytes(double bytes, char *buf, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    int u = 0;
    while (bytes >= 1024 && u < 4) {
        bytes /= 1024;
        u++;
    }
    snprintf(buf, size, bytes < 10 && u ? "%.2f %s" : bytes < 100 && u ? "%.1f %s" : "%.0f %s", bytes, units[u]);
    return buf;
}

char *cli_duration(double seconds, char *buf, size_t size)
{
    long s = seconds < 0 ? 0 : (long)(seconds + 0.5);
    if (s >= 3600) snprintf(buf, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else snprintf(buf, size, "%ld:%02ld", s / 60, s % 60);
    return buf;
}
