/* isobath info: what a checkpoint is, and what it takes to run it. */
#include "cli.h"

#include <isobath/info.h>
#include <stdio.h>
#include <string.h>

static void print_info(const isobath_model_info *i, const isobath_model_cost *c)
{
    char a[32], b[32], d[32], e[32];
    printf("file         %s\nformat       %s, %s, sha256 %s\n", i->path, i->format, cli_bytes((double)i->file_bytes, a, sizeof a),
           i->sha256);
    printf("model        %s: Video Depth Anything, %s\n", i->name, i->metric ? "metric (metres)" : "relative disparity (larger is nearer)");
    printf("encoder      width %d, %d blocks, %d heads, taps %d %d %d %d, position grid %d x %d\n", i->width, i->depth, i->heads,
           i->taps[0], i->taps[1], i->taps[2], i->taps[3], i->position_grid, i->position_grid);
    printf("head         features %d, out channels %d %d %d %d\n", i->features, i->out_channels[0], i->out_channels[1],
           i->out_channels[2], i->out_channels[3]);
    printf("parameters   %.2f million in %lld tensors\n", (double)i->parameters * 1e-6, (long long)i->tensors);
    printf("licence      %s\n", i->noncommercial ? "published weights of this size are CC-BY-NC-4.0: non-commercial use only"
                                                 : "published weights of this size are Apache-2.0");
    printf("network      %d x %d for this source, %.0f GFLOP per output frame\n", c->network_width, c->network_height,
           c->flops_per_frame * 1e-9);
    for (int h = 0; h < 2; h++)
        printf("memory %s  weights %s, features %s, activations %s, together %s\n", h ? "half" : "fp32",
               cli_bytes((double)c->weights_bytes[h], a, sizeof a), cli_bytes((double)c->features_bytes[h], b, sizeof b),
               cli_bytes((double)c->activations_bytes[h], d, sizeof d),
               cli_bytes((double)(c->weights_bytes[h] + c->features_bytes[h] + c->activations_bytes[h]), e, sizeof e));
}

static int set_size(void *target, const char *arg)
{
    int *s = target, end = 0;
    return sscanf(arg, "%dx%d%n", &s[0], &s[1], &end) == 2 && !arg[end] && s[0] > 0 && s[1] > 0 ? 0 : -1;
}

int cmd_info(int argc, char **argv)
{
    int size[2] = {1280, 720}, input_size = 0;
    static const cli_command command = {
        .name = "info",
        .usage = "info [MODEL] [--source WxH] [--input-size N]",
        .summary = "what a checkpoint is, and what it takes to run it",
        .description = "Prints what a checkpoint is (.safetensors or .pth, or a known name), its sizes and licence note, and the\n"
                       "memory and work it takes for a source of the given size, one frame at a time.",
        .examples = "  isobath info video_depth_anything_vits.pth --source 1920x1080\n"};
    const cli_option options[] = {
        {CLI_HEADING, .help = "Options"},
        {CLI_CALL, "--source", 0, "WIDTHxHEIGHT", "source size (default 1280x720)", size, set_size},
        {CLI_INT, "--input-size", 0, "N", "as for isobath run", &input_size},
        {CLI_END}};
    int rest, code = cli_parse(&command, options, argc, argv, &rest);
    if (code >= 0) return code;
    if (rest > 1) return cli_fail("info", ISOBATH_ERR_USAGE, "one MODEL expected");
    isobath_model_info info;
    isobath_model_cost cost;
    char error[1024];
    isobath_status st = isobath_model_inspect(rest ? argv[1] : NULL, &info, error, sizeof error);
    if (st == ISOBATH_OK) st = isobath_model_plan(rest ? argv[1] : NULL, size[0], size[1], input_size, &cost, error, sizeof error);
    if (st != ISOBATH_OK) return cli_fail("info", st, error);
    print_info(&info, &cost);
    return 0;
}
