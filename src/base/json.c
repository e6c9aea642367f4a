/* See json.h. */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

typedef struct text {
    char *data;
    size_t size, room;
    int failed;
} text;

static int append(const char *bytes, size_t size, void *ctx)
{
    text *t = ctx;
    if (!t->failed && t->size + size + 1 > t->room) {
        size_t room = t->room ? t->room : 256;
        while (room < t->size + size + 1) room *= 2;
        char *data = realloc(t->data, room);
        if (data) t->data = data, t->room = room;
        else t->failed = 1;
    }
    if (t->failed) return -1;
    memcpy(t->data + t->size, bytes, size);
    t->size += size;
    t->data[t->size] = '\0';
    return 0;
}

char *ib_json_dump(const json_t *json, size_t flags)
{
    text t = {0};
    if (json_dump_callback(json, append, &t, flags) == 0 && !t.failed) return t.data;
    free(t.data);
    return NULL;
}
