/* Runs a fuzz target over files or folders given on the command line: how the ordinary tests replay a corpus. */
#include "accept.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int fuzz_accepted;

static int replay(const char *path)
{
    struct stat sb;
    if (stat(path, &sb) != 0) {
        fprintf(stderr, "replay: cannot open %s\n", path);
        exit(1);
    }
    int n = 0;
    if (S_ISDIR(sb.st_mode)) {
        DIR *d = opendir(path);
        for (struct dirent *e; d && (e = readdir(d));) {
            if (e->d_name[0] == '.') continue;
            char child[4096];
            snprintf(child, sizeof child, "%s/%s", path, e->d_name);
            n += replay(child);
        }
        if (d) closedir(d);
        return n;
    }
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc((size_t)sb.st_size + 1);
    if (!f || !data || fread(data, 1, (size_t)sb.st_size, f) != (size_t)sb.st_size) {
        fprintf(stderr, "replay: cannot read %s\n", path);
        exit(1);
    }
    fclose(f);
    fuzz_accepted = 0;
    LLVMFuzzerTestOneInput(data, (size_t)sb.st_size);
    free(data);
    const char *slash = strrchr(path, '/');
    if (strncmp(slash ? slash + 1 : path, "good", 4) == 0 && !fuzz_accepted) {
        fprintf(stderr, "replay: %s is not accepted any more: a file of this corpus needs what the format has gained since\n", path);
        exit(1);
    }
    return 1;
}

int main(int argc, char **argv)
{
    int n = 0;
    for (int i = 1; i < argc; i++) n += replay(argv[i]);
    printf("replayed %d inputs\n", n);
    return n > 0 ? 0 : 1; /* an empty corpus is a test that cannot fail */
}
