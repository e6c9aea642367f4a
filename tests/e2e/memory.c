/* Contract 6: memory does not grow with the length of the video, stays under its limit, and is printed in advance.
 * Runs the command as a child and reads the peak of its resident memory.
 *
 * usage: e2e_memory ISOBATH length    600 (queues have been full by then) and 2,000 frames of 1280x720, nothing computed:
 *                                     within 5%
 *        e2e_memory ISOBATH vits      vits at 518 in fp32: under 2.5 GiB, and within 10% of what was printed
 *        e2e_memory ISOBATH fleet [SHORT LONG HEIGHT]  three worker processes that compute nothing, the memory of all processes
 *                                     together: within 5% between SHORT (1,000: every place is used) and LONG (2,000) frames of HEIGHT (180) rows, and no
 *                                     more than was printed */
#include "support/clips.h"
#include "support/synth.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Proportional bytes of one process (code and libraries count once for all that share them) but for shared memory. 0: it is gone. */
static double process_bytes(int pid)
{
    char path[64], line[256];
    long kib, sum = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "Pss_Anon: %ld kB", &kib) == 1 || sscanf(line, "Pss_File: %ld kB", &kib) == 1) sum += kib;
    if (f) fclose(f);
    return (double)sum * 1024;
}

/* Bytes of the shared memory that a process made. */
static double shared_bytes(int pid)
{
    char path[64], name[320], link[64];
    double sum = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *d = opendir(path);
    for (struct dirent *p; d && (p = readdir(d));) {
        struct stat sb;
        snprintf(name, sizeof name, "%s/%s", path, p->d_name);
        ssize_t n = readlink(name, link, sizeof link - 1);
        if (n > 14 && memcmp(link, "/memfd:isobath", 14) == 0 && stat(name, &sb) == 0) sum += (double)sb.st_blocks * 512;
    }
    if (d) closedir(d);
    return sum;
}

/* The same of a process and its children. */
static double tree_bytes(int root)
{
    double sum = process_bytes(root) + shared_bytes(root);
    DIR *d = opendir("/proc");
    for (struct dirent *p; d && (p = readdir(d));) {
        char path[300];
        int pid = atoi(p->d_name), parent = 0;
        if (pid <= 0) continue;
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        FILE *f = fopen(path, "r");
        if (f && fscanf(f, "%*d (%*[^)]) %*c %d", &parent) == 1 && parent == root) sum += process_bytes(pid);
        if (f) fclose(f);
    }
    if (d) closedir(d);
    return sum;
}

/* Waits for a process; with `peak` its tree's memory is looked at all the while. 0 on success. */
static int wait_for(pid_t pid, struct rusage *usage, double *peak)
{
    int status;
    pid_t got;
    while ((got = wait4(pid, &status, peak ? WNOHANG : 0, usage)) == 0) {
        double now = tree_bytes(pid);
        if (now > *peak) *peak = now;
        usleep(20000);
    }
    return got == pid && status == 0 ? 0 : fprintf(stderr, "the run failed: %d\n", status);
}

/* Peak resident bytes of `isobath run clip ...`, and what its plan event said; -1 on failure. */
static double run(const char *isobath, const char *dir, const char *clip_path, const char *model, const char *devices,
                  const char *input_size, const char *segment, double *planned)
{
    char events[512], out[512];
    snprintf(events, sizeof events, "%s/events.jsonl", dir);
    snprintf(out, sizeof out, "%s/out", dir);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(events, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        dup2(fd, STDOUT_FILENO);
        execl(isobath, isobath, "run", clip_path, "-o", out, "--model", model, "--devices", devices, "--precision", "fp32",
              "--input-size", input_size, "--format", "png16,npz", "--overwrite", "--json", "--segment-windows", segment, (char *)NULL);
        _exit(127);
    }
    struct rusage usage;
    double tree = 0;
    int several = strchr(devices, ',') != NULL;
    if (wait_for(pid, &usage, several ? &tree : NULL) != 0) return -1;
    FILE *f = fopen(events, "r");
    char line[4096];
    *planned = 0;
    if (f && fgets(line, sizeof line, f)) {
        json_t *o = json_loads(line, 0, NULL);
        *planned = json_number_value(json_object_get(o, "host_bytes"));
        json_decref(o);
    }
    if (f) fclose(f);
    return several ? tree : (double)usage.ru_maxrss * 1024;
}

static int make_clip(const char *path, int frames, int width, int height)
{
    clip c = {.encoder = "mpeg4", .frames = frames, .width = width, .height = height};
    return clip_write(path, &c);
}

static int check_length(const char *isobath, const char *dir, const char *model, const char *path, const char *devices,
                        const int frames[2], int height)
{
    double planned, peak[2];
    setenv("ISOBATH_WORKER_TEST", "pause_us=40000", 1); /* slower than the decoder: the look-ahead is full */
    for (int i = 0; i < 2; i++) {
        if (make_clip(path, frames[i], height * 16 / 9, height) != 0 ||
            (peak[i] = run(isobath, dir, path, model, devices, height < 518 ? "140" : "518", height < 518 ? "2" : "0", &planned)) < 0)
            return 1;
        printf("%d frames of %dx%d: peak %.0f MiB (printed %.0f MiB)\n", frames[i], height * 16 / 9, height, peak[i] / 1048576, planned / 1048576);
    }
    int ok = fabs(peak[1] - peak[0]) <= 0.05 * peak[0] && (!strchr(devices, ',') || peak[1] <= planned);
    printf("difference %.1f%%: %s\n", 100 * (peak[1] / peak[0] - 1), ok ? "ok" : "GROWS, or is more than was printed");
    return !ok;
}

static int check_vits(const char *isobath, const char *dir, const char *model, const char *path)
{
    double planned, peak;
    if (make_clip(path, 24, 960, 540) != 0 || (peak = run(isobath, dir, path, model, "cpu", "518", "0", &planned)) < 0) return 1;
    int ok = peak < 2.5 * 1073741824.0 && fabs(peak - planned) <= 0.1 * peak;
    printf("vits at 518 in fp32, 24 frames of 960x540: peak %.0f MiB, printed in advance %.0f MiB (%+.1f%%): %s\n", peak / 1048576,
           planned / 1048576, 100 * (planned / peak - 1), ok ? "ok" : "FALLS SHORT");
    return !ok;
}

int main(int argc, char **argv)
{
    if (argc < 3) return fprintf(stderr, "usage: e2e_memory ISOBATH length|vits|fleet\n"), 2;
    char dir[256], model[512], path[512];
    int vits = strcmp(argv[2], "vits") == 0, fleet = strcmp(argv[2], "fleet") == 0;
    const int frames[2] = {argc > 4 ? atoi(argv[3]) : fleet ? 1000 : 600, argc > 4 ? atoi(argv[4]) : 2000};
    int height = argc > 5 ? atoi(argv[5]) : fleet ? 180 : 720;
    if (clip_make_dir(dir, sizeof dir) != 0) return 1;
    snprintf(model, sizeof model, "%s/model.safetensors", dir);
    snprintf(path, sizeof path, "%s/clip.mkv", dir);
    int bad = synth_checkpoint_write(vits ? "vits" : "tiny", 1, model) != 0 ||
              (vits ? check_vits(argv[1], dir, model, path) : check_length(argv[1], dir, model, path, fleet ? "null,null,null" : "null", frames, height));
    clip_remove_dir(dir);
    return bad;
}
