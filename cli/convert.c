/* isobath convert: a checkpoint as .safetensors, in the type that is wanted. */
#include "cli.h"

#include <isobath/convert.h>
#include <stdio.h>

int cmd_convert(int argc, char **argv)
{
    isobath_convert_options o = {0};
    static const cli_command command = {
        .name = "convert",
        .usage = "convert MODEL OUT.safetensors [--dtype f32|f16|bf16]",
        .summary = "a checkpoint as .safetensors, in fp32, fp16 or bf16",
        .description = "Writes a checkpoint (.pth, .safetensors or a known name) as .safetensors with every tensor in one type.\n"
                       "Such a file is mapped, not unpacked, and in f16 or bf16 it is half as large. The network computes in\n"
                       "--precision of isobath run whatever the type of the file.",
        .examples = "  isobath convert video_depth_anything_vits.pth vits.safetensors\n"
                    "  isobath convert vitl vitl_f16.safetensors --dtype f16\n"};
    const cli_option options[] = {
        {CLI_HEADING, .help = "Options"},
        {CLI_STRING, "--dtype", 't', "T", "f32 (default), f16 or bf16", &o.dtype},
        {CLI_FLAG, "--metric", 0, NULL, "the checkpoint gives metres (else as the file says)", &o.metric},
        {CLI_FLAG, "--overwrite", 0, NULL, "replace an existing file", &o.overwrite},
        {CLI_END}};
    int rest, code = cli_parse(&command, options, argc, argv, &rest);
    if (code >= 0) return code;
    if (rest != 2) return cli_fail("convert", ISOBATH_ERR_USAGE, "expected MODEL and OUT.safetensors (see isobath convert --help)");
    char error[1024];
    isobath_status st = isobath_convert(argv[1], argv[2], &o, error, sizeof error);
    if (st != ISOBATH_OK) return cli_fail("convert", st, error);
    printf("%s\n", argv[2]);
    return 0;
}
