/* Contract 6: memory does not grow with the length of the video, stays under its limit, and is printed in advance.
 * Runs the command as a child and reads the peak of its resident memory.
 *
 * usage: e2e_memory ISOBATH length    200 and 2,000 frames of 1280x720, nothing computed: within 5%
 *        e2e_memory ISOBATH vits      vits at 518 in fp32: under 2.5 GiB, and within 10% of what was printed */
#include "support/clips.h"
#include "support/synth.h"

#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Peak resident bytes of `isobath run clip ...`, and what its plan event said; -1 on failure. */
static double run(const char *isobath, const char *dir, const char *clip_path, const char *model, const char *devices,
                  const char *input_size, double *planned)
{
    char events[512], out[512];
    snprintf(events, sizeof events, "%s/events.jsonl", dir);
    snprintf(out, sizeof out, "%s/out", dir);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(events, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        dup2(fd, STDOUT_FILENO);
        execl(isobath, isobath, "run", clip_path, "-o", out, "--model", model, "--devices", devices, "--precision", "fp32",
              "--input-size", input_size, "--format", "png16,npz", "--overwrite", "--json", (char *)NULL);
        _exit(127);
    }
    int status;
    struct rusage usage;
    if (wait4(pid, &status, 0, &usage) != pid || status != 0) return fprintf(stderr, "the run failed: %d\n", status), -1;
    FILE *f = fopen(events, "r");
    char line[4096];
    *planned = 0;
    if (f && fgets(line, sizeof line, f)) {
        json_t *o = json_loads(line, 0, NULL);
        *planned = json_number_value(json_object_get(o, "host_bytes"));
        json_decref(o);
    }
    if (f) fclose(f);
    return (double)usage.ru_maxrss * 1024;
}

static int make_clip(const char *path, int frames, int width, int height)
{
    clip c = {.encoder = "mpeg4", .frames = frames, .width = width, .height = height};
    return clip_write(path, &c);
}

static int check_length(const char *isobath, const char *dir, const char *model, const char *path)
{
    double planned, peak[2];
    static const int frames[2] = {200, 2000};
    for (int i = 0; i < 2; i++) {
        if (make_clip(path, frames[i], 1280, 720) != 0 || (peak[i] = run(isobath, dir, path, model, "null", "518", &planned)) < 0) return 1;
        printf("%d frames of 1280x720: peak %.0f MiB (printed %.0f MiB)\n", frames[i], peak[i] / 1048576, planned / 1048576);
    }
    int ok = fabs(peak[1] - peak[0]) <= 0.05 * peak[0];
    printf("difference %.1f%%: %s\n", 100 * (peak[1] / peak[0] - 1), ok ? "ok" : "GROWS");
    return !ok;
}

static int check_vits(const char *isobath, const char *dir, const char *model, const char *path)
{
    double planned, peak;
    if (make_clip(path, 24, 960, 540) != 0 || (peak = run(isobath, dir, path, model, "cpu", "518", &planned)) < 0) return 1;
    int ok = peak < 2.5 * 1073741824.0 && fabs(peak - planned) <= 0.1 * peak;
    printf("vits at 518 in fp32, 24 frames of 960x540: peak %.0f MiB, printed in advance %.0f MiB (%+.1f%%): %s\n", peak / 1048576,
           planned / 1048576, 100 * (planned / peak - 1), ok ? "ok" : "FALLS SHORT");
    return !ok;
}

int main(int argc, char **argv)
{
    if (argc < 3) return fprintf(stderr, "usage: e2e_memory ISOBATH length|vits\n"), 2;
    char dir[256], model[512], path[512];
    int vits = strcmp(argv[2], "vits") == 0;
    if (clip_make_dir(dir, sizeof dir) != 0) return 1;
    snprintf(model, sizeof model, "%s/model.safetensors", dir);
    snprintf(path, sizeof path, "%s/clip.mkv", dir);
    int bad = synth_checkpoint_write(vits ? "vits" : "tiny", 1, model) != 0 ||
              (vits ? check_vits(argv[1], dir, model, path) : check_length(argv[1], dir, model, path));
    clip_remove_dir(dir);
    return bad;
}
