/* Depth of a video through libisobath: the plan, the run, the names of the results.
 * cc depth.c $(pkg-config --cflags --libs isobath) -o depth && ./depth clip.mp4 out [model] */
#include <isobath/isobath.h>
#include <stdio.h>

static void print_note(void *ctx, const char *line)
{
    (void)ctx;
    fprintf(stderr, "note: %s\n", line);
}

int main(int argc, char **argv)
{
    isobath_run_options options;
    isobath_session *session;
    isobath_progress progress;
    if (argc < 3) return fprintf(stderr, "usage: depth INPUT OUT [MODEL]\n"), 2;
    isobath_run_options_init(&options);
    options.input = argv[1];
    options.output = argv[2];
    options.model = argc > 3 ? argv[3] : NULL; /* NULL: the model that ships */
    options.formats = "png16,npz";
    options.note = print_note;
    isobath_status status = isobath_session_create(&options, &session);
    if (status == ISOBATH_OK) {
        const isobath_plan *plan = isobath_session_plan(session);
        printf("%s on %s: %d x %d, at most %.0f MiB of memory\n", plan->model, plan->device, plan->output_width,
               plan->output_height, (double)plan->host_bytes / 1048576);
        status = isobath_session_run(session); /* blocks; other threads may ask for progress, or cancel */
    }
    if (status == ISOBATH_OK) {
        isobath_session_progress(session, &progress);
        printf("%lld frames, %.1f frames/s\n", (long long)progress.frames_done, progress.frames_per_s);
        for (int i = 0; isobath_session_output(session, i); i++) printf("%s\n", isobath_session_output(session, i));
    } else fprintf(stderr, "depth: %s\n", session ? isobath_session_error(session) : isobath_status_name(status));
    isobath_session_destroy(session);
    return (int)status;
}
