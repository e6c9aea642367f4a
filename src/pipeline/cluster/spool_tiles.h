/* Tiles of 4 x 4 differences, packed to the bits that their largest needs: what spool_pack.c and its vector code (spool_tiles_x86.c)
 * share. */
#ifndef IB_PIPELINE_CLUSTER_SPOOL_TILES_H
#define IB_PIPELINE_CLUSTER_SPOOL_TILES_H

#include <stddef.h>
#include <stdint.h>

enum {
    IB_TILE = 4, /* rows and columns */
    IB_TILE_VALUES = IB_TILE * IB_TILE,
    IB_TILE_BITS = 32, /* of a value, at most */
    IB_TILE_READ = 64  /* bytes that the vector code reads from where a tile begins */
};

/* Where the 16 values of a tile of b bits begin, for every b: value i at bit i*b of the tile. */
typedef struct ib_tile_tables {
    _Alignas(64) uint8_t byte[IB_TILE_BITS + 1][64]; /* for each of the four bytes of each of 16 lanes: which byte of the tile */
    _Alignas(64) uint32_t rotate[IB_TILE_BITS + 1][16]; /* to the right, until a value's lowest bit is the highest one */
    _Alignas(64) uint32_t lift[IB_TILE_BITS + 1][16];   /* to the left, until it is; 0 bits: until nothing is left */
    _Alignas(64) uint8_t nothing[64];                   /* zeros: what tiles of 0 bits are read from */
    _Alignas(32) uint8_t row_byte[IB_TILE_BITS + 1][64]; /* the same counted from row_at, four lanes a row */
    uint8_t row_at[IB_TILE_BITS + 1][4];                 /* byte that a row's first value begins in */
    uint32_t half[IB_TILE_BITS + 1]; /* mask of a value without its lowest bit */
} ib_tile_tables;

/* Four rows of a map out of `count` tiles whose widths are `bits` (each one that ib_tile_width gives) and whose values begin at `packed`;
 * IB_TILE_READ bytes can be read from where the last one begins. above: the row above; row[i]: where the rows go. Returns what follows the
 * tiles. */
typedef const uint8_t *(*ib_tile_band)(const ib_tile_tables *tables, const uint8_t *packed, const uint8_t *bits, size_t count, const uint32_t *above,
                                       uint32_t *const row[IB_TILE]);

/* The quickest one that this processor has; NULL: none. `most`: 0 any, 1 none that needs more than AVX2 (for tests). */
ib_tile_band ib_tile_band_find(int most);

/* Values of up to 26 bits can begin at any bit of a byte and end within four bytes, of 28 and 32 bits by luck. */
static inline int ib_tile_width(int bits) { return bits <= 26 ? bits : bits <= 28 ? 28 : 32; }

#endif
