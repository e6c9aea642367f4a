/* The .pth reader: real files read bit for bit, hand-made archives and pickles of every allowed form, and a line of its
 * own for every kind of damage or attack. Archives are built here, byte by byte. */
#include "base/hash.h"
#include "support/synth.h"
#include "weights/checkpoint.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

/* ---- building archives ---- */

typedef struct archive {
    uint8_t *bytes;
    size_t size;
    uint8_t directory[4096];
    size_t directory_size, entries;
    int zip64; /* all sizes and offsets in zip64 fields */
} archive;

static void put(uint8_t *dst, size_t *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) dst[(*at)++] = i < 8 ? (uint8_t)(value >> 8 * i) : 0;
}

static void reserve(archive *a, size_t more)
{
    uint8_t *grown = realloc(a->bytes, a->size + more);
    assert_non_null(grown);
    a->bytes = grown;
}

static void add_entry(archive *a, const char *name, const void *data, size_t size)
{
    size_t n = strlen(name), offset = a->size, d = a->directory_size;
    uint32_t crc = (uint32_t)crc32(0, data, (uInt)size);
    uint32_t field = a->zip64 ? UINT32_MAX : (uint32_t)size;
    reserve(a, 30 + n + 5 + size);
    memcpy(a->bytes + a->size, "PK\3\4", 4);
    a->size += 4;
    const uint16_t head[5] = {20, 0, 0, 0, 0};
    for (int i = 0; i < 5; i++) put(a->bytes, &a->size, head[i], 2);
    put(a->bytes, &a->size, crc, 4);
    put(a->bytes, &a->size, field, 4);
    put(a->bytes, &a->size, field, 4);
    put(a->bytes, &a->size, n, 2);
    put(a->bytes, &a->size, 5, 2); /* a padding field, as torch aligns its storages */
    memcpy(a->bytes + a->size, name, n);
    a->size += n;
    memcpy(a->bytes + a->size, "FB\1\0Z", 5);
    a->size += 5;
    if (size) memcpy(a->bytes + a->size, data, size);
    a->size += size;

    uint8_t *r = a->directory;
    assert_true(d + 46 + n + 28 <= sizeof a->directory);
    memcpy(r + d, "PK\1\2", 4);
    d += 4;
    const uint16_t record[6] = {20, 20, 0, 0, 0, 0};
    for (int i = 0; i < 6; i++) put(r, &d, record[i], 2);
    put(r, &d, crc, 4);
    put(r, &d, field, 4);
    put(r, &d, field, 4);
    put(r, &d, n, 2);
    put(r, &d, a->zip64 ? 28 : 0, 2);
    put(r, &d, 0, 2 + 2 + 2 + 4);
    put(r, &d, a->zip64 ? UINT32_MAX : offset, 4);
    memcpy(r + d, name, n);
    d += n;
    if (a->zip64) {
        put(r, &d, 1, 2);
        put(r, &d, 24, 2);
        put(r, &d, size, 8);
        put(r, &d, size, 8);
        put(r, &d, offset, 8);
    }
    a->directory_size = d;
    a->entries++;
}

/* Directory and end records; `base` is added to the places (bytes that lie before a->bytes in a file). */
static void finish(archive *a, uint64_t base)
{
    uint64_t offset = base + a->size, end64 = offset + a->directory_size;
    reserve(a, a->directory_size + 56 + 20 + 22);
    memcpy(a->bytes + a->size, a->directory, a->directory_size);
    a->size += a->directory_size;
    if (a->zip64) {
        memcpy(a->bytes + a->size, "PK\6\6", 4);
        a->size += 4;
        put(a->bytes, &a->size, 44, 8);
        put(a->bytes, &a->size, 45, 2);
        put(a->bytes, &a->size, 45, 2);
        put(a->bytes, &a->size, 0, 8);
        put(a->bytes, &a->size, a->entries, 8);
        put(a->bytes, &a->size, a->entries, 8);
        put(a->bytes, &a->size, a->directory_size, 8);
        put(a->bytes, &a->size, offset, 8);
        memcpy(a->bytes + a->size, "PK\6\7", 4);
        a->size += 4;
        put(a->bytes, &a->size, 0, 4);
        put(a->bytes, &a->size, end64, 8);
        put(a->bytes, &a->size, 1, 4);
    }
    memcpy(a->bytes + a->size, "PK\5\6", 4);
    a->size += 4;
    put(a->bytes, &a->size, 0, 4);
    put(a->bytes, &a->size, a->zip64 ? 0xffff : a->entries, 2);
    put(a->bytes, &a->size, a->zip64 ? 0xffff : a->entries, 2);
    put(a->bytes, &a->size, a->directory_size, 4);
    put(a->bytes, &a->size, a->zip64 ? UINT32_MAX : offset, 4);
    put(a->bytes, &a->size, 0, 2);
}

static const float floats[6] = {1, 2, 3, 4, 5, 6};
static const uint16_t halves[4] = {0x3c00, 0x4000, 0x4200, 0x4400}; /* f16 1 2 3 4 */

/* Around a pickle: storages 0 (6 floats), 1 (4 halves), 2 (2 longs). */
static archive make_archive(const void *pickle, size_t size, int zip64)
{
    archive a = {.zip64 = zip64};
    const int64_t longs[2] = {7, 8};
    add_entry(&a, "x/data.pkl", pickle, size);
    add_entry(&a, "x/byteorder", "little", 6);
    add_entry(&a, "x/data/0", floats, sizeof floats);
    add_entry(&a, "x/data/1", halves, sizeof halves);
    add_entry(&a, "x/data/2", longs, sizeof longs);
    add_entry(&a, "x/version", "3\n", 2);
    finish(&a, 0);
    return a;
}

static isobath_status parse(const void *bytes, size_t size, ib_diag *diag, ib_checkpoint **out)
{
    return ib_torch_pth_parse(bytes, size, "m", diag, out);
}

static void expect_refused(const void *bytes, size_t size, const char *line)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_checkpoint *c = (void *)1;
    uint8_t *copy = malloc(size ? size : 1); /* of exactly its size: a sanitizer sees reads beyond */
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    assert_int_equal(parse(copy, size, &diag, &c), ISOBATH_ERR_MODEL);
    assert_null(c);
    assert_string_equal(diag.text, line);
    free(copy);
}

/* ---- pickles, as C strings ---- */

#define P(text) text, sizeof(text) - 1
#define OD "ccollections\nOrderedDict\n)R"
#define STORAGE(module, type, key, numel) \
    "(X\7\0\0\0storage"                   \
    "c" module "\n" type "\nX\1\0\0\0" key "X\3\0\0\0cpuK" numel "tQ"
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n("
#define VIEW(offset, dims, strides) offset "(" dims "t(" strides "t\x89" OD "tR"
#define FLOATS(dims, strides) REBUILD STORAGE("torch", "FloatStorage", "0", "\6") VIEW("K\0", dims, strides)
#define ROOT(items) "\x80\2}(" items "u."
#define NAME1(c) "X\1\0\0\0" c
#define GOOD ROOT(NAME1("a") FLOATS("K\2K\3", "K\3K\1"))

static void expect_values(const void *pickle, size_t size, int zip64, const char *name, int rank, const float *want,
                          int64_t count)
{
    archive a = make_archive(pickle, size, zip64);
    ib_diag diag = IB_DIAG_INIT;
    ib_checkpoint *c = NULL;
    if (parse(a.bytes, a.size, &diag, &c) != ISOBATH_OK) fail_msg("%s", diag.text);
    const ib_checkpoint_tensor *t = ib_checkpoint_find(c, name);
    assert_non_null(t);
    assert_int_equal(t->rank, rank);
    assert_int_equal(t->count, count);
    float got[6];
    ib_checkpoint_read_f32(t, got);
    for (int64_t i = 0; i < count; i++) assert_true(got[i] == want[i]);
    assert_string_equal(ib_checkpoint_format(c), "pytorch");
    ib_checkpoint_close(c);
    free(a.bytes);
}

static void allowed_forms(void **state)
{
    (void)state;
    const float transposed[6] = {1, 4, 2, 5, 3, 6}, middle[2] = {3, 4}, small[4] = {1, 2, 3, 4};
    expect_values(P(GOOD), 0, "a", 2, floats, 6);
    expect_values(P(GOOD), 1, "a", 2, floats, 6);
    expect_values(P(ROOT(NAME1("a") FLOATS("K\3K\2", "K\1K\3"))), 0, "a", 2, transposed, 6);
    expect_values(P(ROOT(NAME1("a") FLOATS("K\3K\2K\1", "K\1K\3K\1"))), 0, "a", 3, transposed, 6);
    expect_values(P(ROOT(NAME1("a") FLOATS("K\1K\2K\3", "J\xff\xff\xff\x7fK\3K\1"))), 0, "a", 3, floats, 6);
    expect_values(P(ROOT(NAME1("a") FLOATS("", ""))), 0, "a", 0, floats, 1);
    expect_values(P(ROOT(NAME1("a") FLOATS("K\0K\3", "K\3K\1"))), 0, "a", 2, NULL, 0);
    /* Two views of one storage; the second at an offset. */
    expect_values(P(ROOT(NAME1("a") FLOATS("K\6", "K\1") NAME1("b") REBUILD STORAGE("torch", "FloatStorage", "0", "\6")
                             VIEW("K\2", "K\2", "K\1"))),
                  0, "b", 1, middle, 2);
    expect_values(P(ROOT(NAME1("a") REBUILD STORAGE("torch", "HalfStorage", "1", "\4") VIEW("K\0", "K\4", "K\1"))), 0,
                  "a", 1, small, 4);
    const float bf16[4] = {0x1.0p-7f, 2, 32, 512}; /* the same bits */
    expect_values(P(ROOT(NAME1("a") REBUILD STORAGE("torch", "BFloat16Storage", "1", "\4") VIEW("K\0", "K\4", "K\1"))),
                  0, "a", 1, bf16, 4);
    /* Untyped storage: its size is in bytes, the offset in elements of the dtype. */
    expect_values(P(ROOT(NAME1("a") "ctorch._utils\n_rebuild_tensor_v3\n(" STORAGE(
                      "torch.storage", "UntypedStorage", "0", "\x18") "K\2(K\2t(K\1t\x89" OD "ctorch\nfloat32\ntR")),
                  0, "a", 1, middle, 2);
    /* torch.nn.Parameter, DataParallel's prefix, torch.Size, things that are no tensors. */
    expect_values(P(ROOT("X\x08\0\0\0module.a"
                         "ctorch._utils\n_rebuild_parameter\n(" FLOATS("K\6", "K\1") "\x88" OD "tR")),
                  0, "a", 1, floats, 6);
    expect_values(
        P(ROOT(NAME1("e") "K\7" NAME1("n") "N" NAME1("f") "G@\t!\xfbTD-\x18" NAME1("l") "]K\1a" NAME1("a")
                   REBUILD STORAGE("torch", "FloatStorage", "0", "\6") "K\0ctorch\nSize\n(K\6t\x85R(K\1t\x89" OD "tR")),
        0, "a", 1, floats, 6);
    /* What Module.state_dict() is: an OrderedDict with the attribute _metadata, set by BUILD. */
    expect_values(P("\x80\2" OD "q\0(" NAME1("a") FLOATS("K\6", "K\1") "u}X\x09\0\0\0_metadata" OD "sb."), 0, "a", 1,
                  floats, 6);
    /* Wrapped by training code, also twice; a tensor beside the wrapped dict is not the state. */
    expect_values(P(ROOT("X\5\0\0\0epoch"
                         "K\3"
                         "X\12\0\0\0state_dict"
                         "}(" NAME1("a") FLOATS("K\6", "K\1") "u")),
                  0, "a", 1, floats, 6);
    expect_values(P(ROOT(NAME1("b") FLOATS("K\1", "K\1") "X\5\0\0\0model"
                                                         "}X\12\0\0\0state_dict"
                                                         "}(" NAME1("a") FLOATS("K\6", "K\1") "us")),
                  0, "a", 1, floats, 6);
    expect_values(P(ROOT("X\x10\0\0\0model_state_dict"
                         "}(" NAME1("a") FLOATS("K\6", "K\1") "u")),
                  0, "a", 1, floats, 6);
    /* Protocol 4: frames, short strings, STACK_GLOBAL, MEMOIZE and BINGET of what was memoized. */
    expect_values(P("\x80\4\x95\0\1\0\0\0\0\0\0}\x94(\x8c\1a\x94\x8c\x0ctorch._utils\x94\x8c\x12_rebuild_tensor_v2\x94"
                    "\x93\x94((\x8c\7storage\x94\x8c\5torch\x94\x8c\x0c"
                    "FloatStorage\x94\x93\x94\x8c\1"
                    "0\x94\x8c\3cpu\x94"
                    "K\6t\x94QK\0K\6\x85\x94K\1\x85\x94\x89\x8c\x0b"
                    "collections\x94\x8c\x0bOrderedDict\x94\x93\x94)R\x94"
                    "t\x94R\x94\x8c\1b\x94h\4((h\5h\x08h\x09h\x0aK\6tQK\0K\3\x85K\1\x85\x89h\x10)RtRu."),
                  0, "b", 1, floats, 3);
}

static void attacks(void **state)
{
    (void)state;
#define IN(where, what) "m: data.pkl, byte " where ": " what
#define NOTHING_BUT " is refused: a checkpoint may hold nothing but tensors"
#define NOT_NEEDED " is refused: tensors do not need it"
    static const struct {
        const char *pickle;
        size_t size;
        const char *line;
    } cases[] = {
        {P("\x80\2cos\nsystem\n(X\2\0\0\0idtR."), IN("2", "global os.system" NOTHING_BUT)},
        {P("\x80\2cposix\nsystem\n(X\2\0\0\0idtR."), IN("2", "global posix.system" NOTHING_BUT)},
        {P("\x80\4\x8c\2os\x8c\6system\x93\x8c\2id\x85R."), IN("14", "global os.system" NOTHING_BUT)},
        {P("\x80\2c__builtin__\neval\n."), IN("2", "global __builtin__.eval" NOTHING_BUT)},
        {P("\x80\2ctorch\nload\n."), IN("2", "global torch.load" NOTHING_BUT)},
        {P("\x80\2ctorch._utils\n_rebuild_tensor_v2.__globals__\n."),
         IN("2", "global torch._utils._rebuild_tensor_v2.__globals__" NOTHING_BUT)},
        {P("\x80\2c\ne\nx\n\x1b[31m\n."), IN("2", "global .e" NOTHING_BUT)},
        {P("\x80\2ca\x1b[31m\nb\n."), IN("2", "global a?[31m.b" NOTHING_BUT)},
        {P("\x80\2ctorch\nFloatStorage\n)R."),
         IN("23", "opcode REDUCE calls torch.FloatStorage: refused, it builds no tensor")},
        {P("\x80\2ctorch\nfloat32\n)R."), IN("18", "opcode REDUCE calls torch.float32: refused, it builds no tensor")},
        {P("\x80\2X\2\0\0\0id)R."), IN("10", "opcode REDUCE calls a string, expected a function that builds tensors")},
        {P("\x80\2ccollections\nOrderedDict\n]R."),
         IN("28", "opcode REDUCE with a list for arguments, expected a tuple")},
        {P("\x80\2ccollections\nOrderedDict\n(K\1tR."),
         IN("31", "collections.OrderedDict with 1 arguments, expected none")},
        {P("\x80\2]}b."), IN("4", "opcode BUILD on a list is refused: only an OrderedDict may have attributes")},
        {P("\x80\2}}b."), IN("4", "opcode BUILD on a dict is refused: only an OrderedDict may have attributes")},
        {P("\x80\2" FLOATS("K\1", "K\1") "}b."),
         IN("128", "opcode BUILD on a tensor is refused: only an OrderedDict may have attributes")},
        {P("\x80\2" OD "]b."), IN("30", "opcode BUILD on a dict is refused: only an OrderedDict may have attributes")},
        {P("(ios\nsystem\n."), IN("1", "opcode INST" NOT_NEEDED)},
        {P("\x80\2)\x81."), IN("3", "opcode NEWOBJ" NOT_NEEDED)},
        {P("\x80\2)\x92."), IN("3", "opcode NEWOBJ_EX" NOT_NEEDED)},
        {P("\x80\2(o."), IN("3", "opcode OBJ" NOT_NEEDED)},
        {P("\x80\2\x82\1."), IN("2", "opcode EXT1" NOT_NEEDED)},
        {P("Pabc\n."), IN("0", "opcode PERSID" NOT_NEEDED)},
        {P("S'abc'\n."), IN("0", "opcode STRING" NOT_NEEDED)},
        {P("\x80\2N2."), IN("3", "opcode DUP" NOT_NEEDED)},
        {P("\x80\2\x8b\xff\xff\xff\x7f"), IN("2", "opcode LONG4" NOT_NEEDED)},
        {P("\x80\2\x96\xff\xff\xff\xff\xff\xff\xff\x7f"), IN("2", "opcode BYTEARRAY8" NOT_NEEDED)},
        {P("\x80\2\x97."), IN("2", "opcode NEXT_BUFFER" NOT_NEEDED)},
        {P("\x80\2\xff."), IN("2", "opcode 0xff is unknown")},
        {P("\x80\6."), IN("0", "pickle protocol 6, expected at most 5")},
        {P("\x80\2X\xff\xff\xff\xff"
           "abc"),
         IN("2", "the opcode needs 4294967295 bytes, but only 3 follow")},
        {P("\x80\2X\5\0\0\0abc."), IN("2", "the opcode needs 5 bytes, but only 4 follow")},
        {P("\x80\4\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
           "abc"),
         IN("2", "the opcode needs 18446744073709551615 bytes, but only 3 follow")},
        {P("\x80\2\x8a\xff"
           "abc"),
         IN("2", "opcode LONG1: an integer of 255 bytes, expected at most 8")},
        {P("\x80\2Nr\xf0\xff\xff\xff."), IN("3", "memo index 4294967280 in a pickle of 9 bytes")},
        {P("\x80\2j\xf0\xff\xff\xff."), IN("2", "memo index 4294967280 was never set")},
        {P("\x80\2h\0."), IN("2", "memo index 0 was never set")},
        {P("\x80\2}q\0X\5\0\0\0modelh\0s."), "m: the dict of tensors is nested more than 4 deep"},
        {P(""), IN("0", "the pickle ends without opcode STOP: truncated")},
        {P("\x80\2."), IN("2", "the stack holds fewer values than the opcode takes")},
        {P("\x80\2NN."), IN("4", "2 values are left at the end, expected one")},
        {P("\x80\2(."), IN("3", "the stack holds fewer values than the opcode takes")},
        {P("\x80\2R."), IN("2", "the stack holds fewer values than the opcode takes")},
        {P("\x80\2N(R."), IN("4", "the stack holds fewer values than the opcode takes")},
        {P("\x80\2t."), IN("2", "no mark on the stack")},
        {P("\x80\2N(NNu."), IN("6", "items for a dict, but no dict is under them")},
        {P("\x80\2(NNu."), IN("5", "items for a dict, but no dict is under them")},
        {P("\x80\2}(NNNu."), IN("7", "a dict key without its value")},
        {P("\x80\2}Na."), IN("4", "items for a list, but no list is under them")},
        {P("\x80\2cab"), IN("2", "a name without an end of line")},
        {P("\x80\2NN\x93."), IN("4", "opcode STACK_GLOBAL without two strings")},
        {P("\x80\2NQ."), IN("3", "a persistent id is not ('storage', type, key, location, size)")},
        {P("\x80\2(X\7\0\0\0storagectorch\nfloat32\nX\1\0\0\0"
           "0X\3\0\0\0cpuK\6tQ."),
         IN("47", "a persistent id names torch.float32, expected a storage type")},
        {P("\x80\2" REBUILD "tR."),
         IN("37", "the arguments of _rebuild_tensor_v2 are not (storage, offset, size, stride, ...)")},
        {P("\x80\2" REBUILD STORAGE("torch", "FloatStorage", "0", "\6") VIEW("K\0", "N", "K\1") "."),
         IN("125", "size and stride of a tensor are not tuples of as many integers")},
        {P("\x80\2" FLOATS("K\1", "K\1K\1") "."),
         IN("128", "size and stride of a tensor are not tuples of as many integers")},
        {P("\x80\2ctorch._utils\n_rebuild_parameter\n(N\x88NtR."),
         IN("40", "the arguments of _rebuild_parameter are not (tensor, requires_grad, hooks)")},
        {P("\x80\2ctorch._utils\n_rebuild_tensor_v3\n(" STORAGE(
             "torch.storage", "UntypedStorage", "0", "\x18") "K\0(K\2t(K\1t\x89" OD "ctorch\nFloatStorage\ntR."),
         IN("156", "argument 6 of _rebuild_tensor_v3 is not a known torch dtype")},
        {P("\x80\2ctorch._utils\n_rebuild_tensor_v3\n(" STORAGE("torch", "FloatStorage", "0",
                                                                "\6") "K\0(K\2t(K\1t\x89" OD "ctorch\nfloat32\ntR."),
         IN("141", "_rebuild_tensor_v3 on torch.FloatStorage, expected torch.storage.UntypedStorage")},
        {P("\x80\2ctorch\nSize\n)R."), IN("15", "the argument of torch.Size is not a tuple")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        archive a = make_archive(cases[i].pickle, cases[i].size, 0);
        expect_refused(a.bytes, a.size, cases[i].line);
        free(a.bytes);
    }
}

/* Depth and repetition cost no more than the pickle is long. */
static void bombs(void **state)
{
    (void)state;
    enum { N = 400000 };
    uint8_t *p = malloc(3 * N + 16);
    assert_non_null(p);
    memset(p, '(', N);
    memset(p + N, 't', N);
    p[2 * N] = '.';
    archive a = make_archive(p, 2 * N + 1, 0);
    expect_refused(a.bytes, a.size, "m: the checkpoint is a tuple, expected a dict of tensors");
    free(a.bytes);
    /* A tuple of two of the one before, again and again: 2^100000 leaves, if anyone walked them. */
    size_t n = 0;
    p[n++] = 'N';
    for (int i = 0; i < 100000; i++) {
        memcpy(p + n, "q\0h\0\x86", 5);
        n += 5;
    }
    p[n++] = '.';
    a = make_archive(p, n, 0);
    expect_refused(a.bytes, a.size, "m: the checkpoint is a tuple, expected a dict of tensors");
    free(a.bytes);
    free(p);
    p = calloc(1, (16 << 20) + 1);
    assert_non_null(p);
    a = make_archive(p, (16 << 20) + 1, 0);
    expect_refused(a.bytes, a.size, "m: data.pkl has 16777217 bytes, expected at most 16777216");
    free(a.bytes);
    free(p);
}

static void unsound_tensors(void **state)
{
    (void)state;
#define FIT "m: tensor 'a': shape, strides and offset do not fit its storage of 6 values"
    static const struct {
        const char *pickle;
        size_t size;
        const char *line;
    } cases[] = {
        {P(ROOT(NAME1("a") FLOATS("K\7", "K\1"))), FIT},
        {P(ROOT(NAME1("a") FLOATS("K\2K\3", "K\4K\1"))), FIT},
        {P(ROOT(NAME1("a") FLOATS("K\2", "J\xff\xff\xff\xff"))), FIT},
        {P(ROOT(NAME1("a") FLOATS("K\7", "K\0"))), FIT},
        {P(ROOT(NAME1("a") FLOATS("K\2K\2", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"
                                            "K\1"))),
         FIT},
        {P(ROOT(NAME1("a") FLOATS("K\3K\2", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"
                                            "K\1"))),
         FIT},
        {P(ROOT(NAME1("a") REBUILD STORAGE("torch", "FloatStorage", "0", "\6") VIEW("K\7", "K\0", "K\1"))), FIT},
        {P(ROOT(NAME1("a") REBUILD STORAGE("torch", "FloatStorage", "0", "\6") VIEW("K\6", "K\1", "K\1"))), FIT},
        {P(ROOT(NAME1("a") REBUILD STORAGE("torch", "FloatStorage", "0", "\6") VIEW("\x8a\1\xff", "K\1", "K\1"))), FIT},
        {P(ROOT(NAME1("a") FLOATS("\x8a\1\xff", "K\1"))),
         "m: tensor 'a': a dimension is negative or the shape has more than 2^60 values"},
        {P(ROOT(NAME1("a") FLOATS("J\xff\xff\xff\xff", "K\1"))),
         "m: tensor 'a': a dimension is negative or the shape has more than 2^60 values"},
        {P(ROOT(NAME1("a") FLOATS("J\xff\xff\xff\x7fJ\xff\xff\xff\x7f", "K\1K\1"))),
         "m: tensor 'a': a dimension is negative or the shape has more than 2^60 values"},
        {P(ROOT(NAME1("a") FLOATS("K\1K\1K\1K\1K\1K\1K\1K\1K\1", "K\1K\1K\1K\1K\1K\1K\1K\1K\1"))),
         "m: tensor 'a': rank 9, expected at most 8"},
        {P(ROOT(NAME1("a") REBUILD STORAGE("torch", "FloatStorage", "9", "\6") VIEW("K\0", "K\6", "K\1"))),
         "m: tensor 'a': its storage data/9 is missing"},
        {P(ROOT(NAME1("a") REBUILD STORAGE("torch", "FloatStorage", "0", "\5") VIEW("K\0", "K\5", "K\1"))),
         "m: tensor 'a': storage data/0 has 24 bytes, expected 5 values of 4 bytes"},
        {P(ROOT(NAME1("a") REBUILD STORAGE("torch", "HalfStorage", "0", "\6") VIEW("K\0", "K\5", "K\1"))),
         "m: tensor 'a': storage data/0 has 24 bytes, expected 6 values of 2 bytes"},
        {P(ROOT(NAME1("a") REBUILD STORAGE("torch", "LongStorage", "2", "\2") VIEW("K\0", "K\2", "K\1"))),
         "m: tensor 'a': type torch.LongStorage, expected Float, Half or BFloat16"},
        {P(ROOT(NAME1("a") REBUILD STORAGE("torch.storage", "UntypedStorage", "0", "\x18") VIEW("K\0", "K\6", "K\1"))),
         "m: tensor 'a': type torch.storage.UntypedStorage, expected Float, Half or BFloat16"},
        {P(ROOT(NAME1("a") FLOATS("K\6", "K\1") NAME1("a") FLOATS("K\6", "K\1"))),
         "m: tensor 'a' is there twice, expected once"},
        {P(ROOT("X\x08\0\0\0module.a" FLOATS("K\6", "K\1") NAME1("a") FLOATS("K\6", "K\1"))),
         "m: tensor 'a' is there twice, expected once"},
        {P(ROOT("K\1" FLOATS("K\6", "K\1"))), "m: the name of a tensor is of type int, expected string"},
        {P(ROOT("X\0\0\0\0" FLOATS("K\6", "K\1"))), "m: '' is not a sane name of a tensor"},
        {P(ROOT("X\3\0\0\0a\0b" FLOATS("K\6", "K\1"))), "m: 'a?b' is not a sane name of a tensor"},
        {P("\x80\2}."), "m: the checkpoint holds no tensors"},
        {P("\x80\2" FLOATS("K\6", "K\1") "."), "m: the checkpoint is a tensor, expected a dict of tensors"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        archive a = make_archive(cases[i].pickle, cases[i].size, 0);
        expect_refused(a.bytes, a.size, cases[i].line);
        free(a.bytes);
    }
}

/* ---- the zip around it ---- */

/* First place of a signature. */
static uint8_t *find(archive *a, const char *signature, size_t nth)
{
    for (size_t i = 0; i + 4 <= a->size; i++)
        if (memcmp(a->bytes + i, signature, 4) == 0 && nth-- == 0) return a->bytes + i;
    fail();
    return NULL;
}

/* A good archive with one byte changed at `offset` from the n-th such signature. */
static void expect_damage(int zip64, const char *signature, size_t nth, size_t offset, uint8_t value, const char *line)
{
    archive a = make_archive(P(GOOD), zip64);
    find(&a, signature, nth)[offset] = value;
    expect_refused(a.bytes, a.size, line);
    free(a.bytes);
}

static void damaged_zip(void **state)
{
    (void)state;
    archive a = make_archive(P(GOOD), 0);
    size_t directory = (size_t)(find(&a, "PK\1\2", 0) - a.bytes), size = a.size;
    free(a.bytes);
    assert_true(directory == 461 && size == 813); /* the figures in the lines below */
    expect_damage(0, "PK\5\6", 0, 0, 'X', "m: a zip archive without its end record (813 bytes): the file is truncated");
    expect_damage(0, "PK\5\6", 0, 20, 1, "m: a zip archive without its end record (813 bytes): the file is truncated");
    expect_damage(0, "PK\5\6", 0, 4, 1, "m: damaged zip archive: an archive in several parts (at byte 791)");
    expect_damage(0, "PK\5\6", 0, 8, 5, "m: damaged zip archive: an archive in several parts (at byte 791)");
    expect_damage(0, "PK\5\6", 0, 15, 1,
                  "m: the zip directory (16777546 bytes at byte 461) reaches beyond byte 791: truncated or damaged");
    expect_damage(0, "PK\5\6", 0, 19, 1,
                  "m: the zip directory (330 bytes at byte 16777677) reaches beyond byte 791: truncated or damaged");
    expect_damage(0, "PK\1\2", 1, 0, 'X',
                  "m: damaged zip archive: a directory record does not start with its signature (at byte 517)");
    expect_damage(0, "PK\1\2", 0, 30, 255,
                  "m: damaged zip archive: a directory record does not start with its signature "
                  "(at byte 772)");
    expect_damage(0, "PK\1\2", 0, 31, 255,
                  "m: damaged zip archive: a directory record reaches beyond the directory "
                  "(at byte 461)");
    expect_damage(0, "PK\1\2", 0, 8, 1, "m: zip entry 'x/data.pkl' is encrypted");
    expect_damage(0, "PK\1\2", 0, 10, 8,
                  "m: zip entry 'x/data.pkl' is compressed (method 8); torch.save stores entries as they are");
    expect_damage(0, "PK\1\2", 2, 20, 25,
                  "m: zip entry 'x/data/0' is compressed (method 0); torch.save stores entries as they are");
    expect_damage(0, "PK\1\2", 0, 42, 1, "m: zip entry 'x/data.pkl' has no local header at byte 1");
    expect_damage(0, "PK\1\2", 0, 45, 1, "m: zip entry 'x/data.pkl' has no local header at byte 16777216");
    expect_damage(0, "PK\3\4", 0, 30, 'y', "m: zip entry 'x/data.pkl' has another name in its local header");
    expect_damage(0, "PK\3\4", 0, 29, 2,
                  "m: zip entry 'x/data.pkl' of 141 bytes at byte 0 reaches into the directory at byte 461");
    expect_damage(0, "PK\3\4", 2, 43, 99, "m: zip entry 'x/data/0' is damaged: CRC-32 992d48c3, expected 1939e524");
    expect_damage(0, "PK\3\4", 0, 100, 0, "m: zip entry 'x/data.pkl' is damaged: CRC-32 2dc0c681, expected 100c78fd");
    expect_damage(1, "PK\6\7", 0, 8, 1,
                  "m: damaged zip archive: the zip64 locator does not lead to a zip64 end record (at byte 1015)");
    expect_damage(1, "PK\6\7", 0, 15, 1,
                  "m: damaged zip archive: the zip64 locator does not lead to a zip64 end record (at byte 1015)");
    expect_damage(1, "PK\6\6", 0, 39, 1, "m: damaged zip archive: an archive in several parts (at byte 959)");
    expect_damage(1, "PK\1\2", 0, 56, 2,
                  "m: damaged zip archive: a directory record lacks its zip64 sizes (at byte 461)");

    /* Two records lead to the same bytes; two records have the same name; more records than the directory has room for.
     */
    a = make_archive(P(GOOD), 0);
    memcpy(find(&a, "PK\1\2", 3), find(&a, "PK\1\2", 2), 46 + 8);
    expect_refused(a.bytes, a.size, "m: zip entries 'x/data/0' and 'x/data/0' overlap");
    free(a.bytes);
    a = make_archive(P(GOOD), 0);
    find(&a, "PK\1\2", 3)[46 + 7] = find(&a, "PK\3\4", 3)[30 + 7] = '0';
    expect_refused(a.bytes, a.size, "m: zip entry 'x/data/0' is there twice, expected once");
    free(a.bytes);
    a = make_archive(P(GOOD), 0);
    memset(find(&a, "PK\5\6", 0) + 8, 200, 4);
    expect_refused(a.bytes, a.size,
                   "m: damaged zip archive: the directory is too small for its number of entries (at byte 461)");
    free(a.bytes);

    /* A size that reaches into the directory; a zip64 record that would reach beyond the file. */
    a = make_archive(P(GOOD), 0);
    find(&a, "PK\1\2", 5)[20] = find(&a, "PK\1\2", 5)[24] = 3;
    expect_refused(a.bytes, a.size,
                   "m: zip entry 'x/version' of 3 bytes at byte 415 reaches into the directory at byte 461");
    free(a.bytes);
    a = make_archive(P(GOOD), 1);
    uint8_t *locator = find(&a, "PK\6\7", 0);
    uint64_t late = (uint64_t)(locator - a.bytes) - 10;
    memcpy(locator - 10, "PK\6\6", 4);
    memcpy(locator + 8, &late, 8);
    expect_refused(a.bytes, a.size,
                   "m: damaged zip archive: the zip64 locator does not lead to a zip64 end record (at byte 1015)");
    free(a.bytes);

    /* Every truncation is refused. */
    a = make_archive(P(GOOD), 1);
    for (size_t n = 0; n < a.size; n++) {
        uint8_t *cut = malloc(n ? n : 1);
        assert_non_null(cut);
        memcpy(cut, a.bytes, n);
        ib_checkpoint *c = NULL;
        assert_int_equal(parse(cut, n, NULL, &c), ISOBATH_ERR_MODEL);
        free(cut);
    }
    free(a.bytes);
}

static void other_archives(void **state)
{
    (void)state;
    archive a = {0};
    finish(&a, 0);
    expect_refused(a.bytes, a.size, "m: a zip archive without data.pkl, not written by torch.save");
    free(a.bytes);
    a = (archive){0};
    add_entry(&a, "x/data.pkl", P(GOOD));
    add_entry(&a, "y/data.pkl", P(GOOD));
    finish(&a, 0);
    expect_refused(a.bytes, a.size, "m: two entries are named data.pkl, expected one");
    free(a.bytes);
    a = (archive){0};
    add_entry(&a, "x/data.pkl", P(GOOD));
    add_entry(&a, "x/constants.pkl", "", 0);
    finish(&a, 0);
    expect_refused(a.bytes, a.size,
                   "m: a TorchScript program, not a checkpoint: save model.state_dict() with torch.save");
    free(a.bytes);
    a = (archive){0};
    add_entry(&a, "x/data.pkl", P(GOOD));
    add_entry(&a, "x/byteorder", "big", 3);
    finish(&a, 0);
    expect_refused(a.bytes, a.size, "m: byte order 'big', expected little");
    free(a.bytes);
}

/* Every truncation of a good pickle is refused. */
static void truncated_pickle(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof GOOD - 1; n++) {
        archive a = make_archive(GOOD, n, 0);
        ib_checkpoint *c = NULL;
        assert_int_equal(parse(a.bytes, a.size, NULL, &c), ISOBATH_ERR_MODEL);
        free(a.bytes);
    }
}

/* An archive whose directory and one storage lie beyond 4 GiB: a sparse file. */
static void beyond_4_gib(void **state)
{
    (void)state;
    const uint64_t base = 4800000000u;
    archive a = {.zip64 = 1};
    add_entry(&a, "x/data.pkl", P(GOOD));
    add_entry(&a, "x/data/0", floats, sizeof floats);
    for (size_t i = 0, at = 0; i < 2; i++) { /* the places in the zip64 fields of the directory */
        at += 46 + (i ? strlen("x/data/0") : strlen("x/data.pkl")) + 28;
        uint64_t offset;
        memcpy(&offset, a.directory + at - 8, 8);
        offset += base;
        memcpy(a.directory + at - 8, &offset, 8);
    }
    finish(&a, base);
    char path[] = "/tmp/isobath-pth-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    int sparse = pwrite(fd, a.bytes, a.size, (off_t)base) == (ssize_t)a.size && pwrite(fd, "PK\3\4", 4, 0) == 4;
    close(fd);
    free(a.bytes);
    if (sparse) {
        ib_diag diag = IB_DIAG_INIT;
        ib_checkpoint *c = NULL;
        if (ib_checkpoint_open(path, &diag, &c) != ISOBATH_OK) fail_msg("%s", diag.text);
        float got[6];
        ib_checkpoint_read_f32(ib_checkpoint_find(c, "a"), got);
        assert_memory_equal(got, floats, sizeof floats);
        ib_checkpoint_close(c);
    }
    unlink(path);
    if (!sparse) skip();
}

/* ---- files that torch.save wrote ---- */

static void real_files(void **state)
{
    (void)state;
    /* The digests are of all tensors' bytes in order, taken from the archive by other means. */
    static const struct {
        uint64_t seed;
        const char *file, *digest;
    } cases[] = {
        {1, "vda_tiny_1.pth", "c546f6f5ae4808b459d78a8d5a8bb38a9928994de9f35cf0ef2dd587672e788a"},
        {6, "vda_tiny_6.pth", "223727795d0d83d78e92443357397a3deb636f85e47864af57780e1f558268ba"},
    };
    synth_tensor *list = NULL;
    size_t n = synth_tensors(synth_config_find("tiny"), &list);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[512], hex[65];
        snprintf(path, sizeof path, "%s/tests/oracle/data/%s", ISOBATH_SOURCE_DIR, cases[i].file);
        ib_diag diag = IB_DIAG_INIT;
        ib_checkpoint *c = NULL;
        if (ib_checkpoint_open(path, &diag, &c) != ISOBATH_OK) fail_msg("%s", diag.text);
        assert_int_equal(ib_checkpoint_count(c), n);
        ib_sha256 *hash = ib_sha256_create();
        for (size_t k = 0; k < n; k++) {
            const ib_checkpoint_tensor *t = ib_checkpoint_at(c, k);
            assert_string_equal(t->name, list[k].name);
            assert_int_equal(t->rank, list[k].rank);
            for (int d = 0; d < t->rank; d++) assert_int_equal(t->dim[d], list[k].dim[d]);
            size_t bytes = (size_t)t->count * 4;
            float *got = malloc(bytes), *want = malloc(bytes);
            assert_true(got && want);
            ib_checkpoint_read_f32(t, got);
            synth_fill(&list[k], cases[i].seed, 0, t->count, want);
            if (strstr(t->name, "pos_encoder.pe")) /* torch computes this table in float, synth in double */
                for (int64_t j = 0; j < t->count; j++) assert_true(fabsf(got[j] - want[j]) <= 1.1e-6f);
            else
                assert_memory_equal(got, want, bytes);
            ib_sha256_update(hash, got, bytes);
            free(got);
            free(want);
        }
        ib_sha256_finish(hash, hex);
        assert_string_equal(hex, cases[i].digest);
        ib_checkpoint_close(c);
    }
    free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_files),     cmocka_unit_test(allowed_forms),    cmocka_unit_test(attacks),
        cmocka_unit_test(bombs),          cmocka_unit_test(unsound_tensors),  cmocka_unit_test(damaged_zip),
        cmocka_unit_test(other_archives), cmocka_unit_test(truncated_pickle), cmocka_unit_test(beyond_4_gib),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
