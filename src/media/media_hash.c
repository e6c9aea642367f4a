/* SHA-256 of an input: of a file, or of all files of an image sequence one after the other. */
#include "base/hash.h"
#include "media/images.h"
#include "media/media.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

isobath_status ib_media_hash(const char *input, ib_diag *diag, char out[65])
{
    out[0] = '\0';
    ib_image_list list;
    int is_list = 0;
    struct stat sb;
    if (strcmp(input, "-") == 0) return ISOBATH_OK;
    IB_TRY(ib_image_list_find(input, diag, &list, &is_list));
    if (!is_list) {
        if (stat(input, &sb) != 0 || !S_ISREG(sb.st_mode)) return ISOBATH_OK; /* a URL or a pipe */
        return ib_sha256_file(input, diag, out);
    }
    isobath_status st = ISOBATH_OK;
    ib_sha256 *hash = ib_sha256_create();
    size_t size = 1 << 16;
    uint8_t *buf = malloc(size);
    if (!hash || !buf) st = ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the hash of %s", input);
    for (int64_t i = 0; st == ISOBATH_OK && i < list.count; i++) {
        FILE *f = fopen(list.paths[i], "rb");
        size_t n;
        while (f && (n = fread(buf, 1, size, f)) > 0) ib_sha256_update(hash, buf, n);
        if (!f || ferror(f)) st = ib_fail(diag, ISOBATH_ERR_IO, "cannot read %s", list.paths[i]);
        if (f) fclose(f);
    }
    free(buf);
    ib_sha256_finish(hash, out);
    if (st != ISOBATH_OK) out[0] = '\0';
    ib_image_list_free(&list);
    return st;
}
