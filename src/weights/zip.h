/* Zip archives as torch.save writes them: every entry stored, zip64 allowed. Read from memory, nothing is unpacked. */
#ifndef IB_WEIGHTS_ZIP_H
#define IB_WEIGHTS_ZIP_H

#include "base/diag.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ib_zip_entry {
    const char *name; /* in the archive, not terminated */
    size_t name_length;
    const uint8_t *data; /* in the archive */
    uint64_t size;
    uint32_t crc;
    int checked; /* the CRC was compared */
} ib_zip_entry;

typedef struct ib_zip {
    const char *path;      /* for error texts */
    ib_zip_entry *entries; /* sorted by name */
    size_t count;
} ib_zip;

/* Reads the central directory of `size` bytes at `data`, which must outlive the result. Damage of any kind, overlapping
 * entries and doubled names are ISOBATH_ERR_MODEL with one line. `zip` is to be freed after success. */
isobath_status ib_zip_open(const void *data, size_t size, const char *path, ib_diag *diag, ib_zip *zip);
void ib_zip_free(ib_zip *zip);

/* NULL when there is none of that name. */
ib_zip_entry *ib_zip_find(const ib_zip *zip, const char *name, size_t length);

/* Compares the CRC-32 of an entry's data with the archive's, once. Errors: ISOBATH_ERR_MODEL. */
isobath_status ib_zip_check(const ib_zip *zip, ib_zip_entry *entry, ib_diag *diag);

#endif
