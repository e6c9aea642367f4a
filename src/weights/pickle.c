/* The stack machine of the restricted pickle reader; see pickle.h. Opcodes: Python's pickletools documents them. */
#include "weights/pickle.h"

#include "weights/checkpoint_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 65536

/* Values live in blocks that are freed together. */
typedef struct block {
    struct block *next;
    size_t used, size;
    _Alignas(16) uint8_t bytes[];
} block;

struct ib_pickle {
    const uint8_t *data;
    size_t size, at; /* at: of the opcode in work, for error texts */
    size_t next;     /* first byte not yet read */
    const char *where;
    ib_diag *diag;
    block *blocks;
    ib_pickle_value **stack;
    size_t depth, stack_capacity;
    ib_pickle_value **memo; /* NULL: not set */
    size_t memo_count, memo_capacity;
    ib_pickle_value *root;
};

/* ---- values and errors ---- */

isobath_status ib_pickle_fail(ib_pickle *p, const char *format, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return ib_fail(p->diag, ISOBATH_ERR_MODEL, "%s, byte %zu: %s", p->where, p->at, text);
}

static isobath_status no_memory(ib_pickle *p)
{
    return ib_fail(p->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", p->where);
}

static void *take(ib_pickle *p, size_t bytes)
{
    bytes = (bytes + 15) & ~(size_t)15;
    if (!p->blocks || p->blocks->size - p->blocks->used < bytes) {
        size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        block *b = malloc(sizeof *b + size);
        if (!b) return NULL;
        b->next = p->blocks;
        b->used = 0;
        b->size = size;
        p->blocks = b;
    }
    void *out = p->blocks->bytes + p->blocks->used;
    p->blocks->used += bytes;
    return memset(out, 0, bytes);
}

ib_pickle_value *ib_pickle_new(ib_pickle *p, ib_pickle_kind kind)
{
    ib_pickle_value *v = take(p, sizeof *v);
    if (v)
        v->kind = kind;
    else
        no_memory(p);
    return v;
}

const char *ib_pickle_kind_name(ib_pickle_kind kind)
{
    static const char *const names[] = {"None", "bool", "int",    "float",   "string", "tuple",
                                        "list", "dict", "global", "storage", "tensor", "mark"};
    return names[kind];
}

static isobath_status push(ib_pickle *p, ib_pickle_value *v)
{
    if (p->depth == p->stack_capacity) {
        size_t capacity = p->stack_capacity ? 2 * p->stack_capacity : 256;
        ib_pickle_value **grown = realloc(p->stack, capacity * sizeof *grown);
        if (!grown) return no_memory(p);
        p->stack = grown;
        p->stack_capacity = capacity;
    }
    p->stack[p->depth++] = v;
    return ISOBATH_OK;
}

static isobath_status push_new(ib_pickle *p, ib_pickle_kind kind, int64_t integer)
{
    ib_pickle_value *v = ib_pickle_new(p, kind);
    if (!v) return ISOBATH_ERR_MEMORY;
    v->as.integer = integer;
    return push(p, v);
}

static isobath_status push_empty(ib_pickle *p, ib_pickle_kind kind)
{
    ib_pickle_value *v = ib_pickle_new(p, kind);
    return v ? push(p, v) : ISOBATH_ERR_MEMORY;
}

/* The top `count` values are there and none of them is a mark. */
static isobath_status need(ib_pickle *p, size_t count)
{
    int ok = p->depth >= count;
    for (size_t i = 0; ok && i < count; i++) ok = p->stack[p->depth - 1 - i]->kind != IB_PICKLE_MARK;
    return ok ? ISOBATH_OK : ib_pickle_fail(p, "the stack holds fewer values than the opcode takes");
}

/* Index of the first value above the last mark. */
static isobath_status find_mark(ib_pickle *p, size_t *first)
{
    for (size_t i = p->depth; i-- > 0;) {
        if (p->stack[i]->kind == IB_PICKLE_MARK) {
            *first = i + 1;
            return ISOBATH_OK;
        }
    }
    return ib_pickle_fail(p, "no mark on the stack");
}

/* Appends to a list or dict. */
static isobath_status extend(ib_pickle *p, ib_pickle_value *seq, ib_pickle_value **items, size_t count)
{
    size_t wanted = seq->as.seq.count + count;
    if (wanted > seq->as.seq.capacity) {
        size_t capacity = 2 * seq->as.seq.capacity > wanted ? 2 * seq->as.seq.capacity : wanted;
        ib_pickle_value **grown = take(p, capacity * sizeof *grown);
        if (!grown) return no_memory(p);
        if (seq->as.seq.count) memcpy(grown, seq->as.seq.items, seq->as.seq.count * sizeof *grown);
        seq->as.seq.items = grown;
        seq->as.seq.capacity = capacity;
    }
    if (count) memcpy(seq->as.seq.items + seq->as.seq.count, items, count * sizeof *items);
    seq->as.seq.count = wanted;
    return ISOBATH_OK;
}

/* ---- reading ---- */

static isobath_status read_bytes(ib_pickle *p, uint64_t count, const uint8_t **bytes)
{
    if (count > p->size - p->next)
        return ib_pickle_fail(p, "the opcode needs %llu bytes, but only %zu follow", (unsigned long long)count,
                              p->size - p->next);
    *bytes = p->data + p->next;
    p->next += (size_t)count;
    return ISOBATH_OK;
}

/* A little-endian number of up to 8 bytes. */
static isobath_status read_number(ib_pickle *p, size_t bytes, uint64_t *value)
{
    const uint8_t *b = NULL;
    IB_TRY(read_bytes(p, bytes, &b));
    *value = 0;
    for (size_t i = bytes; i-- > 0;) *value = *value << 8 | b[i];
    return ISOBATH_OK;
}

static isobath_status read_line(ib_pickle *p, const char **text, size_t *length)
{
    const uint8_t *start = p->data + p->next, *end = memchr(start, '\n', p->size - p->next);
    if (!end) return ib_pickle_fail(p, "a name without an end of line");
    *text = (const char *)start;
    *length = (size_t)(end - start);
    p->next += *length + 1;
    return ISOBATH_OK;
}

/* ---- opcodes ---- */

static isobath_status op_string(ib_pickle *p, size_t length_bytes)
{
    uint64_t length = 0;
    const uint8_t *text = NULL;
    IB_TRY(read_number(p, length_bytes, &length));
    IB_TRY(read_bytes(p, length, &text));
    ib_pickle_value *v = ib_pickle_new(p, IB_PICKLE_STRING);
    if (!v) return ISOBATH_ERR_MEMORY;
    v->as.string.text = (const char *)text;
    v->as.string.length = (size_t)length;
    return push(p, v);
}

static isobath_status op_long1(ib_pickle *p)
{
    uint64_t bytes = 0, value = 0;
    IB_TRY(read_number(p, 1, &bytes));
    if (bytes > 8) return ib_pickle_fail(p, "opcode LONG1: an integer of %d bytes, expected at most 8", (int)bytes);
    IB_TRY(read_number(p, (size_t)bytes, &value));
    if (bytes > 0 && bytes < 8 && value >> (8 * bytes - 1)) value |= UINT64_MAX << 8 * bytes; /* the sign */
    return push_new(p, IB_PICKLE_INT, (int64_t)value);
}

static isobath_status op_float(ib_pickle *p)
{
    const uint8_t *b = NULL;
    uint64_t bits = 0;
    IB_TRY(read_bytes(p, 8, &b));
    for (int i = 0; i < 8; i++) bits = bits << 8 | b[i]; /* big-endian, the only one */
    ib_pickle_value *v = ib_pickle_new(p, IB_PICKLE_FLOAT);
    if (!v) return ISOBATH_ERR_MEMORY;
    memcpy(&v->as.real, &bits, 8);
    return push(p, v);
}

static isobath_status push_global(ib_pickle *p, const char *module, size_t module_length, const char *name,
                                  size_t name_length)
{
    const ib_pickle_global *g = ib_pickle_global_find(module, module_length, name, name_length);
    if (!g)
        return ib_pickle_fail(p, "global %s.%s is refused: a checkpoint may hold nothing but tensors",
                              ib_quote(module, module_length).text, ib_quote(name, name_length).text);
    ib_pickle_value *v = ib_pickle_new(p, IB_PICKLE_GLOBAL);
    if (!v) return ISOBATH_ERR_MEMORY;
    v->as.global = g;
    return push(p, v);
}

static isobath_status op_global(ib_pickle *p)
{
    const char *module = NULL, *name = NULL;
    size_t module_length = 0, name_length = 0;
    IB_TRY(read_line(p, &module, &module_length));
    IB_TRY(read_line(p, &name, &name_length));
    return push_global(p, module, module_length, name, name_length);
}

static isobath_status op_stack_global(ib_pickle *p)
{
    IB_TRY(need(p, 2));
    const ib_pickle_value *name = p->stack[--p->depth], *module = p->stack[--p->depth];
    if (name->kind != IB_PICKLE_STRING || module->kind != IB_PICKLE_STRING)
        return ib_pickle_fail(p, "opcode STACK_GLOBAL without two strings");
    return push_global(p, module->as.string.text, module->as.string.length, name->as.string.text,
                       name->as.string.length);
}

/* A tuple of the values from stack index `first` up; `marked`: the mark below them goes too. */
static isobath_status make_tuple(ib_pickle *p, size_t first, int marked)
{
    ib_pickle_value *t = ib_pickle_new(p, IB_PICKLE_TUPLE);
    if (!t) return ISOBATH_ERR_MEMORY;
    IB_TRY(extend(p, t, p->stack + first, p->depth - first));
    p->depth = first - (size_t)marked;
    return push(p, t);
}

static isobath_status op_tuple_of(ib_pickle *p, size_t count)
{
    IB_TRY(need(p, count));
    return make_tuple(p, p->depth - count, 0);
}

/* APPENDS, SETITEMS (marked) and APPEND, SETITEM (`count` values). */
static isobath_status op_extend(ib_pickle *p, ib_pickle_kind kind, int marked, size_t count)
{
    size_t first = 0;
    if (marked) {
        IB_TRY(find_mark(p, &first));
        count = p->depth - first;
    } else {
        IB_TRY(need(p, count + 1));
        first = p->depth - count;
    }
    size_t below = first - (size_t)marked;
    if (below == 0 || p->stack[below - 1]->kind != kind)
        return ib_pickle_fail(p, "items for a %s, but no %s is under them", ib_pickle_kind_name(kind),
                              ib_pickle_kind_name(kind));
    if (kind == IB_PICKLE_DICT && count % 2) return ib_pickle_fail(p, "a dict key without its value");
    IB_TRY(extend(p, p->stack[below - 1], p->stack + first, count));
    p->depth = below;
    return ISOBATH_OK;
}

/* Memo indices are counted up by every pickler, so none can reach the length of the pickle. */
static isobath_status memo_put(ib_pickle *p, uint64_t index)
{
    IB_TRY(need(p, 1));
    if (index >= p->size)
        return ib_pickle_fail(p, "memo index %llu in a pickle of %zu bytes", (unsigned long long)index, p->size);
    if (index >= p->memo_capacity) {
        size_t capacity = 2 * p->memo_capacity > index + 256 ? 2 * p->memo_capacity : (size_t)index + 256;
        ib_pickle_value **grown = realloc(p->memo, capacity * sizeof *grown);
        if (!grown) return no_memory(p);
        memset(grown + p->memo_capacity, 0, (capacity - p->memo_capacity) * sizeof *grown);
        p->memo = grown;
        p->memo_capacity = capacity;
    }
    if (!p->memo[index]) p->memo_count++;
    p->memo[index] = p->stack[p->depth - 1];
    return ISOBATH_OK;
}

static isobath_status op_put(ib_pickle *p, size_t bytes)
{
    uint64_t index = 0;
    IB_TRY(read_number(p, bytes, &index));
    return memo_put(p, index);
}

static isobath_status op_get(ib_pickle *p, size_t bytes)
{
    uint64_t index = 0;
    IB_TRY(read_number(p, bytes, &index));
    if (index >= p->memo_capacity || !p->memo[index])
        return ib_pickle_fail(p, "memo index %llu was never set", (unsigned long long)index);
    return push(p, p->memo[index]);
}

static isobath_status op_reduce(ib_pickle *p)
{
    IB_TRY(need(p, 2));
    ib_pickle_value *args = p->stack[--p->depth], *callable = p->stack[--p->depth], *result = NULL;
    IB_TRY(ib_pickle_call(p, callable, args, &result));
    return push(p, result);
}

static isobath_status op_persistent(ib_pickle *p)
{
    IB_TRY(need(p, 1));
    ib_pickle_value *id = p->stack[--p->depth], *result = NULL;
    IB_TRY(ib_pickle_persistent(p, id, &result));
    return push(p, result);
}

/* torch gives a state dict the attribute _metadata by BUILD: dropped. On anything else BUILD is refused. */
static isobath_status op_build(ib_pickle *p)
{
    IB_TRY(need(p, 2));
    const ib_pickle_value *state = p->stack[--p->depth], *object = p->stack[p->depth - 1];
    if (object->kind != IB_PICKLE_DICT || !object->as.seq.ordered || state->kind != IB_PICKLE_DICT)
        return ib_pickle_fail(p, "opcode BUILD on a %s is refused: only an OrderedDict may have attributes",
                              ib_pickle_kind_name(object->kind));
    return ISOBATH_OK;
}

/* Names of the opcodes that are refused, by their byte. */
static const char *refused_name(uint8_t op)
{
    switch (op) {
    case 'F': return "FLOAT";
    case 'I': return "INT";
    case 'L': return "LONG";
    case 'P': return "PERSID";
    case 'S': return "STRING";
    case 'V': return "UNICODE";
    case 'g': return "GET";
    case 'i': return "INST";
    case 'o': return "OBJ";
    case 'p': return "PUT";
    case '1': return "POP_MARK";
    case '2': return "DUP";
    case 'T': return "BINSTRING";
    case 'U': return "SHORT_BINSTRING";
    case 'B': return "BINBYTES";
    case 'C': return "SHORT_BINBYTES";
    case 0x81: return "NEWOBJ";
    case 0x82: return "EXT1";
    case 0x83: return "EXT2";
    case 0x84: return "EXT4";
    case 0x8b: return "LONG4";
    case 0x8e: return "BINBYTES8";
    case 0x8f: return "EMPTY_SET";
    case 0x90: return "ADDITEMS";
    case 0x91: return "FROZENSET";
    case 0x92: return "NEWOBJ_EX";
    case 0x96: return "BYTEARRAY8";
    case 0x97: return "NEXT_BUFFER";
    case 0x98: return "READONLY_BUFFER";
    default: return NULL;
    }
}

static isobath_status step(ib_pickle *p, uint8_t op)
{
    uint64_t n = 0;
    size_t first = 0;
    switch (op) {
    case 0x80: /* PROTO */
        IB_TRY(read_number(p, 1, &n));
        return n <= 5 ? ISOBATH_OK : ib_pickle_fail(p, "pickle protocol %d, expected at most 5", (int)n);
    case 0x95: return read_number(p, 8, &n); /* FRAME: a hint for streams */
    case '(': return push_new(p, IB_PICKLE_MARK, 0);
    case '0': /* POP */
        IB_TRY(need(p, 1));
        p->depth--;
        return ISOBATH_OK;
    case 'N': return push_new(p, IB_PICKLE_NONE, 0);
    case 0x88: return push_new(p, IB_PICKLE_BOOL, 1); /* NEWTRUE */
    case 0x89: return push_new(p, IB_PICKLE_BOOL, 0); /* NEWFALSE */
    case 'J': /* BININT */ IB_TRY(read_number(p, 4, &n)); return push_new(p, IB_PICKLE_INT, (int32_t)(uint32_t)n);
    case 'K': /* BININT1 */ IB_TRY(read_number(p, 1, &n)); return push_new(p, IB_PICKLE_INT, (int64_t)n);
    case 'M': /* BININT2 */ IB_TRY(read_number(p, 2, &n)); return push_new(p, IB_PICKLE_INT, (int64_t)n);
    case 0x8a: return op_long1(p);
    case 'G': return op_float(p);      /* BINFLOAT */
    case 'X': return op_string(p, 4);  /* BINUNICODE */
    case 0x8c: return op_string(p, 1); /* SHORT_BINUNICODE */
    case 0x8d: return op_string(p, 8); /* BINUNICODE8 */
    case ')': return push_empty(p, IB_PICKLE_TUPLE);
    case ']': return push_empty(p, IB_PICKLE_LIST);
    case '}': return push_empty(p, IB_PICKLE_DICT);
    case 't': /* TUPLE */ IB_TRY(find_mark(p, &first)); return make_tuple(p, first, 1);
    case 0x85: return op_tuple_of(p, 1);
    case 0x86: return op_tuple_of(p, 2);
    case 0x87: return op_tuple_of(p, 3);
    case 'a': return op_extend(p, IB_PICKLE_LIST, 0, 1); /* APPEND */
    case 'e': return op_extend(p, IB_PICKLE_LIST, 1, 0); /* APPENDS */
    case 's': return op_extend(p, IB_PICKLE_DICT, 0, 2); /* SETITEM */
    case 'u': return op_extend(p, IB_PICKLE_DICT, 1, 0); /* SETITEMS */
    case 'q': return op_put(p, 1);                       /* BINPUT */
    case 'r': return op_put(p, 4);                       /* LONG_BINPUT */
    case 0x94: return memo_put(p, p->memo_count);        /* MEMOIZE */
    case 'h': return op_get(p, 1);                       /* BINGET */
    case 'j': return op_get(p, 4);                       /* LONG_BINGET */
    case 'c': return op_global(p);
    case 0x93: return op_stack_global(p);
    case 'R': return op_reduce(p);
    case 'Q': return op_persistent(p);
    case 'b': return op_build(p);
    }
    const char *name = refused_name(op);
    if (name) return ib_pickle_fail(p, "opcode %s is refused: tensors do not need it", name);
    return ib_pickle_fail(p, "opcode 0x%02x is unknown", op);
}

isobath_status ib_pickle_run(const void *data, size_t size, const char *where, ib_diag *diag, ib_pickle **out)
{
    *out = NULL;
    ib_pickle *p = calloc(1, sizeof *p);
    if (!p) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", where);
    p->data = data;
    p->size = size;
    p->where = where;
    p->diag = diag;
    isobath_status st = ISOBATH_OK;
    while (st == ISOBATH_OK) {
        p->at = p->next;
        const uint8_t *op = NULL;
        if (p->next == size) {
            st = ib_pickle_fail(p, "the pickle ends without opcode STOP: truncated");
        } else if (*(op = p->data + p->next++) != '.') {
            st = step(p, *op);
        } else {
            st = need(p, 1);
            if (st == ISOBATH_OK && p->depth != 1)
                st = ib_pickle_fail(p, "%zu values are left at the end, expected one", p->depth);
            break;
        }
    }
    if (st != ISOBATH_OK) {
        ib_pickle_free(p);
        return st;
    }
    p->root = p->stack[0];
    *out = p;
    return ISOBATH_OK;
}

const ib_pickle_value *ib_pickle_root(const ib_pickle *p) { return p->root; }

void ib_pickle_free(ib_pickle *p)
{
    if (!p) return;
    while (p->blocks) {
        block *next = p->blocks->next;
        free(p->blocks);
        p->blocks = next;
    }
    free(p->stack);
    free(p->memo);
    free(p);
}
