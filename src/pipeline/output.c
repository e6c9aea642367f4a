/* Before a run writes: the folder, an existing result, room on the disk. */
#include "pipeline/setup.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

isobath_status ib_make_folders(const char *path, ib_diag *diag)
{
    char part[4096];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "output path is longer than %zu bytes", sizeof part - 1);
    for (char *c = part + 1;; c++) {
        if (*c && *c != '/') continue;
        char was = *c;
        *c = 0;
        struct stat sb;
        if (mkdir(part, 0777) != 0 && (errno != EEXIST || stat(part, &sb) != 0 || !S_ISDIR(sb.st_mode)))
            return ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot create the folder: %s", part,
                           errno == EEXIST ? "a file is in the way" : strerror(errno));
        *c = was;
        if (!was) break;
    }
    if (access(path, W_OK | X_OK) != 0) return ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot write there: %s", path, strerror(errno));
    return ISOBATH_OK;
}

/* Removes an old output: a file, or the numbered files and the sidecar of a folder; foreign files stay. */
static isobath_status remove_output(const char *path, ib_diag *diag)
{
    struct stat sb;
    if (lstat(path, &sb) != 0) return ISOBATH_OK;
    if (!S_ISDIR(sb.st_mode)) {
        if (unlink(path) == 0) return ISOBATH_OK;
        return ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot remove the old result: %s", path, strerror(errno));
    }
    DIR *d = opendir(path);
    if (!d) return ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot open the old result: %s", path, strerror(errno));
    isobath_status st = ISOBATH_OK;
    for (struct dirent *e; st == ISOBATH_OK && (e = readdir(d));) {
        if (fnmatch("frame_*", e->d_name, 0) && fnmatch("point*.ply*", e->d_name, 0) && strcmp(e->d_name, "depth.json")) continue;
        if (unlinkat(dirfd(d), e->d_name, 0) != 0)
            st = ib_fail(diag, ISOBATH_ERR_IO, "%s/%s: cannot remove the old result: %s", path, e->d_name, strerror(errno));
    }
    closedir(d);
    return st;
}

typedef struct output_check {
    int replace;
    ib_diag *diag;
    isobath_status status;
} output_check;

static void check_output(void *ctx, const char *path)
{
    output_check *c = ctx;
    struct stat sb;
    if (c->status != ISOBATH_OK || lstat(path, &sb) != 0) return;
    c->status = c->replace ? remove_output(path, c->diag)
                           : ib_fail(c->diag, ISOBATH_ERR_EXISTS, "%s exists already: use --overwrite, or another -o or --name", path);
}

isobath_status ib_setup_make_folder(const ib_setup *s, ib_diag *diag) { return ib_make_folders(s->options.output, diag); }

isobath_status ib_setup_check_outputs(const ib_setup *s, int replace, ib_diag *diag)
{
    output_check c = {replace, diag, ISOBATH_OK};
    char manifest[8192];
    snprintf(manifest, sizeof manifest, "%s/%s_isobath.json", s->options.output, s->name);
    if (replace) check_output(&c, manifest); /* first, so that it never tells of files that are gone */
    for (int i = 0; i < s->format_count; i++) s->formats[i]->outputs(&s->sink, check_output, &c);
    check_output(&c, manifest);
    return c.status;
}

isobath_status ib_setup_check_room(const ib_setup *s, double part, ib_diag *diag)
{
    struct statvfs v;
    double bytes = s->plan.disk_bytes * part;
    if (!(bytes > 0) || statvfs(s->options.output, &v) != 0) return ISOBATH_OK;
    double room = (double)v.f_bavail * (double)v.f_frsize;
    if (room >= bytes) return ISOBATH_OK;
    int large = bytes >= 1e9;
    double unit = large ? 1e9 : 1e6;
    return ib_fail(diag, ISOBATH_ERR_IO, "%s: the result may take %.1f %s, but the disk has %.1f left: free some, or "
                   "choose fewer formats or a smaller --output-size", s->options.output, bytes / unit, large ? "GB" : "MB", room / unit);
}

isobath_status ib_setup_prepare_output(const ib_setup *s, ib_diag *diag)
{
    IB_TRY(ib_setup_make_folder(s, diag));
    IB_TRY(ib_setup_check_outputs(s, s->options.overwrite, diag));
    return ib_setup_check_room(s, 1, diag);
}
