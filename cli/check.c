/* isobath check: is this result complete and sane? */
#include "cli.h"

#include <isobath/check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static void print_text(const isobath_check *check, int quiet)
{
    static const char *const labels[] = {"ok   ", "note ", "BAD  "};
    for (size_t i = 0; i < isobath_check_count(check); i++) {
        isobath_check_item item = isobath_check_get(check, i);
        if (!quiet || item.level == ISOBATH_CHECK_BAD) printf("%s%s: %s\n", labels[item.level], item.path, item.text);
    }
}

static void print_json(const isobath_check *check)
{
    static const char *const levels[] = {"good", "note", "bad"};
    json_t *items = json_array();
    for (size_t i = 0; i < isobath_check_count(check); i++) {
        isobath_check_item item = isobath_check_get(check, i);
        json_array_append_new(
            items, json_pack("{s:s, s:s, s:s}", "level", levels[item.level], "path", item.path, "text", item.text));
    }
    json_t *json = json_pack("{s:b, s:o}", "passed", isobath_check_passed(check), "items", items);
    char *text = json_dumps(json, JSON_INDENT(1) | JSON_SORT_KEYS);
    if (text) puts(text);
    free(text);
    json_decref(json);
}

int cmd_check(int argc, char **argv)
{
    isobath_check_options o = {0};
    int json = 0, quiet = 0;
    static const cli_command command = {
        .name = "check",
        .usage = "check PATH [--quick] [--json]",
        .summary = "is this result complete and sane? says what is not",
        .description =
            "PATH is a folder that `isobath run` wrote, a NAME_isobath.json, or one result by itself: a folder of PNG,\n"
            "EXR or npy files, or an .npz, .npy, .exr, .mp4 or .mkv. Checked are: every file the manifest lists is there, with its size\n"
            "and SHA-256; as many frames as the manifest says, at its presentation times, in order; one scale\n"
            "for all 16-bit files; values that are finite, not negative, and not the same all over a frame.\n"
            "Prints one line per finding (ok, note, BAD). Exit code 0: nothing is wrong, 1: something is, 3: PATH is\n"
            "nothing that can be checked.",
        .examples = "  isobath check out\n  isobath check out/clip_depths_png16 --json\n"};
    const cli_option options[] = {
        {CLI_HEADING, .help = "Options"},
        {CLI_FLAG, "--quick", 0, NULL, "counts, sizes and headers only: no hashing, no decoding", &o.quick},
        {CLI_FLAG, "--quiet", 'q', NULL, "print only what is wrong", &quiet},
        {CLI_FLAG, "--json", 0, NULL, "print a JSON object: passed, items (level, path, text)", &json},
        {CLI_THREADS, "--threads", 0, "N", "CPU threads (default: all)", &o.threads},
        {CLI_END}};
    int rest, code = cli_parse(&command, options, argc, argv, &rest);
    if (code >= 0) return code;
    if (rest != 1) return cli_fail("check", ISOBATH_ERR_USAGE, "one PATH expected (see isobath check --help)");
    isobath_check *check;
    isobath_status st = isobath_check_run(argv[1], &o, &check);
    if (!check) return cli_fail("check", st, "out of memory");
    if (st != ISOBATH_OK) {
        code = cli_fail("check", st, isobath_check_error(check));
    } else {
        if (json)
            print_json(check);
        else
            print_text(check, quiet);
        code = isobath_check_passed(check) ? 0 : 1;
    }
    isobath_check_destroy(check);
    return code;
}
