/* A ZIP archive written front to back: one big streamed member whose size is not known, then small ones. ZIP64 where
 * the sizes ask for it. No time stamps: the bytes depend on the contents only. */
#ifndef IB_SINK_ZIP_WRITER_H
#define IB_SINK_ZIP_WRITER_H

#include "sink/file.h"

typedef struct ib_zip_writer ib_zip_writer;

/* `file` stays the caller's and outlives the writer. */
isobath_status ib_zip_writer_create(ib_out_file *file, ib_diag *diag, ib_zip_writer **out);
void ib_zip_writer_destroy(ib_zip_writer *zip); /* NULL allowed */

/* Begins a member. `deflated`: what is written is a raw deflate stream. `align`: the data begin at a multiple of it
 * (1: anywhere). Then ib_zip_write any number of times, then ib_zip_end with CRC-32 and size of the plain data. */
isobath_status ib_zip_begin(ib_zip_writer *zip, const char *name, int deflated, int align);
isobath_status ib_zip_write(ib_zip_writer *zip, const void *data, size_t size);
/* Where the data of the current member begin in the file: for ib_out_file_patch. */
int64_t ib_zip_data_offset(const ib_zip_writer *zip);
isobath_status ib_zip_end(ib_zip_writer *zip, uint32_t crc, int64_t plain_size);
/* Writes the central directory. */
isobath_status ib_zip_finish(ib_zip_writer *zip);

#endif
