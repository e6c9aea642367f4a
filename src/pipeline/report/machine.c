/* Facts about the machine; see machine.h. Linux: /proc, and version 2 control groups. */
#include "pipeline/report/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

/* The value behind "key : " in a line, NULL when the line is about something else. Ends at the newline. */
static char *value_of(char *line, const char *key)
{
    size_t n = strlen(key);
    if (strncmp(line, key, n) != 0) return NULL;
    line += n + strspn(line + n, "\t ");
    if (*line++ != ':') return NULL;
    line += strspn(line, " ");
    line[strcspn(line, "\n")] = 0;
    return line;
}

static void pick_features(const char *flags, char *out, size_t size)
{
    static const char *const wanted[] = {"sse4_1", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_vnni",
                                         "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8", "asimd", "bf16", "sve"};
    size_t at = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        size_t n = strlen(wanted[i]);
        for (const char *p = flags; (p = strstr(p, wanted[i])); p += n) {
            if ((p != flags && p[-1] != ' ') || (p[n] && p[n] != ' ')) continue;
            if (at + n + 2 <= size) at += (size_t)snprintf(out + at, size - at, "%s%s", at ? " " : "", wanted[i]);
            break;
        }
    }
}

void ib_machine_cpu(char *name, size_t name_size, char *features, size_t features_size)
{
    char *line = NULL;
    size_t capacity = 0;
    snprintf(name, name_size, "unknown processor");
    features[0] = 0;
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && getline(&line, &capacity, f) > 0) {
        char *v;
        if ((v = value_of(line, "model name"))) snprintf(name, name_size, "%s", v);
        if ((v = value_of(line, "flags")) || (v = value_of(line, "Features"))) {
            pick_features(v, features, features_size);
            break; /* all cores of this file look alike to us */
        }
    }
    free(line);
    if (f) fclose(f);
}

/* A file that holds one number; -1 when it is not there or says "max". */
static double read_number(const char *path)
{
    double v = -1;
    FILE *f = fopen(path, "r");
    if (!f) return -1;
    if (fscanf(f, "%lf", &v) != 1) v = -1;
    fclose(f);
    return v;
}

/* The control group's limit and use, -1 without one. In a container the group is mounted as the root. */
static void group_memory(double *limit, double *used)
{
    char line[1024], path[1200], own[1024] = "";
    FILE *f = fopen("/proc/self/cgroup", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "0::", 3) == 0) snprintf(own, sizeof own, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
    if (f) fclose(f);
    const char *const folders[] = {own, ""};
    *limit = *used = -1;
    for (int i = 0; i < 2 && *limit < 0; i++) {
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", folders[i]);
        *limit = read_number(path);
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.current", folders[i]);
        *used = read_number(path);
    }
}

void ib_machine_memory(size_t *bytes, size_t *available)
{
    char *line = NULL;
    size_t capacity = 0;
    *bytes = *available = 0;
    FILE *f = fopen("/proc/meminfo", "r");
    while (f && getline(&line, &capacity, f) > 0) {
        char *v;
        if ((v = value_of(line, "MemTotal"))) *bytes = (size_t)strtoull(v, NULL, 10) * 1024;
        if ((v = value_of(line, "MemAvailable"))) *available = (size_t)strtoull(v, NULL, 10) * 1024;
    }
    free(line);
    if (f) fclose(f);
    double limit, used;
    group_memory(&limit, &used);
    if (limit > 0 && limit < (double)*bytes) {
        *bytes = (size_t)limit;
        if (used >= 0 && limit - used < (double)*available) *available = limit > used ? (size_t)(limit - used) : 0;
    }
}

double ib_machine_disk(const char *folder)
{
    char path[4096];
    struct statvfs sb;
    snprintf(path, sizeof path, "%s", folder);
    while (statvfs(path, &sb) != 0) {
        char *slash = strrchr(path, '/');
        if (!slash) snprintf(path, sizeof path, ".");
        else if (slash == path) return -1;
        else *slash = 0;
        if (!slash) return statvfs(path, &sb) == 0 ? (double)sb.f_bavail * (double)sb.f_frsize : -1;
    }
    return (double)sb.f_bavail * (double)sb.f_frsize;
}
