/* Program $sha256, written by rivc.
   Integers only; $weight_bytes bytes of packed weights.

   A spiking layer emits clip(floor((2^F z + B + floor(th / 2)) / th), 0, L) for the weighted sum z of
   its counts; `offset` is B + floor(th / 2). The quotient comes by long division, one bit of the
   count at a time: th * 2^b is taken from v if it is there, for b = k - 1 .. 0. For 0 <= v < 2^k th
   that is the quotient; below, nothing is taken and it is 0; above, all is and it is 2^k - 1, which
   is L or is clipped to it. So it is exact for every th, without a division.

   A row of weights is those of one input for all outputs. One byte holds the weights of outputs that
   lie a stripe apart, so that a row unpacks by loops over whole stripes, which vectorise. Silent
   inputs are skipped: dense layers do not unpack their rows, convolutions list the others. */
#include "policy.h"

/* -O3 of gcc unrolls loops of up to 16 steps before it looks for vectors in them, unless told. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 8
#define AS_LOOP _Pragma("GCC unroll 1")
#else
#define AS_LOOP
#endif

$layers
void ${prefix}_infer(const uint8_t *input, int32_t *readout)
{
$buffers

$calls
}
