/* Program $sha256, written by rivc.

   input    $input_size counts of 0..$levels_in: $order
   readout  $groups group(s) of $actions action values in integers, each worth $scale;
            the greedy action of a group is its first largest integer
   stack    $stack_bytes bytes of arrays, beside what a compiler saves there
   weights  $weight_bytes bytes

   No heap, no floats, no state that outlives a call: calls may run side by side. */
#ifndef ${macro}_H
#define ${macro}_H

#include <stdint.h>

#define ${macro}_INPUT_SIZE $input_size
#define ${macro}_READOUT_SIZE $readout_size
#define ${macro}_GROUPS $groups
#define ${macro}_ACTIONS $actions

#ifdef __cplusplus
extern "C" {
#endif

void ${prefix}_infer(const uint8_t *input, int32_t *readout);

#ifdef __cplusplus
}
#endif

#endif
