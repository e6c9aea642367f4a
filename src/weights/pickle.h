/* A pickle reader that can only build what a torch state dict is made of: numbers, strings, tuples, lists, dicts and
 * descriptions of tensors. It imports nothing and calls nothing: a global or an opcode that is not on its lists is
 * refused by name. Work and memory are bounded by the length of the pickle. */
#ifndef IB_WEIGHTS_PICKLE_H
#define IB_WEIGHTS_PICKLE_H

#include "base/diag.h"
#include "weights/checkpoint.h"

typedef enum ib_pickle_kind {
    IB_PICKLE_NONE,
    IB_PICKLE_BOOL,
    IB_PICKLE_INT,
    IB_PICKLE_FLOAT,
    IB_PICKLE_STRING,
    IB_PICKLE_TUPLE,
    IB_PICKLE_LIST,
    IB_PICKLE_DICT,
    IB_PICKLE_GLOBAL,
    IB_PICKLE_STORAGE,
    IB_PICKLE_TENSOR,
    IB_PICKLE_MARK /* never a result */
} ib_pickle_kind;

/* The globals that are known; what each may be used for is in pickle_torch.c. */
typedef struct ib_pickle_global {
    const char *module, *name;
    enum {
        IB_GLOBAL_STORAGE,
        IB_GLOBAL_DTYPE,
        IB_GLOBAL_DICT,
        IB_GLOBAL_SIZE,
        IB_GLOBAL_TENSOR_V2,
        IB_GLOBAL_TENSOR_V3,
        IB_GLOBAL_PARAMETER
    } use;
    int item_bytes; /* storages and dtypes: size of an element */
    int dtype;      /* ib_dtype, or -1: a type of which no weights are read */
} ib_pickle_global;

typedef struct ib_pickle_value ib_pickle_value;
struct ib_pickle_value {
    ib_pickle_kind kind;
    union {
        int64_t integer; /* BOOL, INT */
        double real;
        struct {
            const char *text; /* in the pickle, not terminated */
            size_t length;
        } string;
        struct {
            ib_pickle_value **items; /* DICT: key, value, key, value ... */
            size_t count, capacity;
            int ordered; /* DICT: a collections.OrderedDict */
        } seq;           /* TUPLE, LIST, DICT */
        const ib_pickle_global *global;
        struct {
            const ib_pickle_global *type;
            const ib_pickle_value *key; /* a STRING: the name of the zip entry under data/ */
            int64_t numel;
        } storage;
        struct {
            const ib_pickle_value *storage;
            const ib_pickle_global *type; /* of its elements */
            int64_t offset;
            const ib_pickle_value *dim, *stride; /* TUPLEs of INT */
        } tensor;
    } as;
};

typedef struct ib_pickle ib_pickle; /* owns all values */

/* Runs `size` bytes of pickle, which must outlive the result. `where` starts every error text ("file.pth: data.pkl").
 * Errors: ISOBATH_ERR_MODEL with the offending opcode or global and its byte, ISOBATH_ERR_MEMORY. */
isobath_status ib_pickle_run(const void *data, size_t size, const char *where, ib_diag *diag, ib_pickle **out);
const ib_pickle_value *ib_pickle_root(const ib_pickle *pickle);
void ib_pickle_free(ib_pickle *pickle); /* NULL allowed */

/* ---- between pickle.c (the machine) and pickle_torch.c (what torch's calls mean) ---- */

/* Records "where byte N: ..." and returns ISOBATH_ERR_MODEL. */
isobath_status ib_pickle_fail(ib_pickle *pickle, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A new value of that kind, zeroed; NULL: out of memory, recorded. */
ib_pickle_value *ib_pickle_new(ib_pickle *pickle, ib_pickle_kind kind);
const char *ib_pickle_kind_name(ib_pickle_kind kind);

/* The global of that name, or NULL: refused. */
const ib_pickle_global *ib_pickle_global_find(const char *module, size_t module_length, const char *name,
                                              size_t name_length);
/* callable(*args), for the few callables that build tensors. */
isobath_status ib_pickle_call(ib_pickle *pickle, const ib_pickle_value *callable, ib_pickle_value *args,
                              ib_pickle_value **result);
/* A persistent id: ('storage', type, key, location, numel). */
isobath_status ib_pickle_persistent(ib_pickle *pickle, const ib_pickle_value *id, ib_pickle_value **result);

#endif
