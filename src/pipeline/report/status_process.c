/* Processes; see status_process.h. */
#include "pipeline/report/status_process.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Field 22 of /proc/PID/stat; -1 when there is no such process. The name before it may hold anything, so it is skipped from behind. */
int64_t ib_process_start(int64_t pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    FILE *f = fopen(path, "r");
    if (!f) return -1;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    char *p = strrchr(text, ')');
    long long start = -1;
    char state;
    if (!p || sscanf(p + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %lld", &state, &start) != 2) return -1;
    return state == 'Z' ? -1 : start;
}

void ib_process_place(char boot[64], int64_t *space)
{
    struct stat sb;
    boot[0] = 0;
    *space = stat("/proc/self/ns/pid", &sb) == 0 ? (int64_t)sb.st_ino : 0;
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
    if (f && fgets(boot, 64, f)) boot[strcspn(boot, "\n")] = 0;
    if (f) fclose(f);
}
