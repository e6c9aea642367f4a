/* What the media tests share: a folder of their own for clips. */
#ifndef TEST_MEDIA_HELPER_H
#define TEST_MEDIA_HELPER_H

#include "support/clips.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char dir[64];

/* Group set-up and tear-down: `dir` is there, and removed with all that is in it. */
static inline int make_folder(void **state)
{
    (void)state;
    return clip_make_dir(dir, sizeof dir);
}

static inline int remove_folder(void **state)
{
    (void)state;
    clip_remove_dir(dir);
    return 0;
}

/* dir/NAME, good until the next call. */
static inline const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

#endif
