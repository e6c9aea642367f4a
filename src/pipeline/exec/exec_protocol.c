/* The protocol of depth programs; see exec_protocol.h. */
#include "pipeline/exec/exec_protocol.h"

#include "base/json.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static void put(unsigned char *bytes, uint64_t value, int count)
{
    for (int i = 0; i < count; i++) bytes[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get(const unsigned char *bytes, int count)
{
    uint64_t value = 0;
    for (int i = count - 1; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

void ib_exec_write_header(unsigned char bytes[IB_EXEC_HEADER], ib_exec_type type, uint64_t size)
{
    memcpy(bytes, "IBX1", 4);
    put(bytes + 4, type, 4);
    put(bytes + 8, size, 8);
}

void ib_exec_write_frame_head(unsigned char bytes[IB_EXEC_FRAME_HEAD], int64_t index, int64_t pts_us)
{
    put(bytes, (uint64_t)index, 8);
    put(bytes + 8, (uint64_t)pts_us, 8);
}

int64_t ib_exec_read_index(const unsigned char bytes[8]) { return (int64_t)get(bytes, 8); }

isobath_status ib_exec_read_header(const unsigned char bytes[IB_EXEC_HEADER], const ib_exec_hello *hello, ib_diag *diag,
                                   ib_exec_header *out)
{
    uint64_t type = get(bytes + 4, 4), size = get(bytes + 8, 8);
    if (memcmp(bytes, "IBX1", 4) != 0)
        return ib_fail(diag, ISOBATH_ERR_MODEL, "the program wrote something that is no message (expected \"IBX1\"): does it print "
                                                "to its standard output?");
    if (type == IB_EXEC_ERROR || (type == IB_EXEC_HELLO && !hello)) {
        if (size > IB_EXEC_TEXT_MAX)
            return ib_fail(diag, ISOBATH_ERR_MODEL, "the program's message is %llu bytes long, expected at most %d",
                           (unsigned long long)size, IB_EXEC_TEXT_MAX);
    } else if (type == IB_EXEC_DEPTH && hello) {
        uint64_t want = 8 + 4 * (uint64_t)hello->width * (uint64_t)hello->height;
        if (size != want)
            return ib_fail(diag, ISOBATH_ERR_MODEL, "the program's depth is %llu bytes, expected %llu (an index and %d x %d floats)",
                           (unsigned long long)size, (unsigned long long)want, hello->width, hello->height);
    } else {
        return ib_fail(diag, ISOBATH_ERR_MODEL, "the program sent message type %llu, expected %s", (unsigned long long)type,
                       hello ? "depth (3) or an error (4)" : "a hello (1) or an error (4)");
    }
    *out = (ib_exec_header){(ib_exec_type)type, size};
    return ISOBATH_OK;
}

static isobath_status read_side(const json_t *object, const char *key, ib_diag *diag, int *out)
{
    json_int_t v = json_integer_value(json_object_get(object, key));
    if (v < 1 || v > IB_EXEC_SIDE_MAX)
        return ib_fail(diag, ISOBATH_ERR_MODEL, "the program's hello: %s must be an integer from 1 to %d", key, IB_EXEC_SIDE_MAX);
    *out = (int)v;
    return ISOBATH_OK;
}

static isobath_status read_object(const json_t *object, ib_diag *diag, ib_exec_hello *out)
{
    const char *name = json_string_value(json_object_get(object, "name")), *kind = json_string_value(json_object_get(object, "kind"));
    IB_TRY(read_side(object, "width", diag, &out->width));
    IB_TRY(read_side(object, "height", diag, &out->height));
    if (!kind || (strcmp(kind, "disparity") != 0 && strcmp(kind, "metric") != 0))
        return ib_fail(diag, ISOBATH_ERR_MODEL, "the program's hello: kind must be \"disparity\" (larger is nearer) or \"metric\" (metres)");
    out->metric = strcmp(kind, "metric") == 0;
    snprintf(out->name, sizeof out->name, "%s", name && *name ? name : "exec");
    for (char *c = out->name; *c; c++)
        if ((unsigned char)*c < 32 || *c == 127) *c = '?';
    return ISOBATH_OK;
}

isobath_status ib_exec_read_hello(const char *text, size_t size, ib_diag *diag, ib_exec_hello *out)
{
    json_error_t error;
    memset(out, 0, sizeof *out);
    json_t *object = json_loadb(text, size, 0, &error);
    isobath_status st = ISOBATH_OK;
    if (!object) st = ib_fail(diag, ib_json_status(&error, ISOBATH_ERR_MODEL), "the program's hello is no JSON object: %s", ib_json_reason(&error));
    else if (!json_is_object(object)) st = ib_fail(diag, ISOBATH_ERR_MODEL, "the program's hello is no JSON object");
    else st = read_object(object, diag, out);
    json_decref(object);
    return st;
}
