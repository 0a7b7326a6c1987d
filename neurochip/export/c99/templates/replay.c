/* Runs a policy on counts from stdin, and writes its readouts to stdout. */
#include <stdio.h>

#include "policy.h"

int main(void)
{
    static uint8_t input[${macro}_INPUT_SIZE];
    static int32_t readout[${macro}_READOUT_SIZE];

    while (fread(input, 1, sizeof input, stdin) == sizeof input) {
        ${prefix}_infer(input, readout);
        fwrite(readout, 1, sizeof readout, stdout);
    }
    return 0;
}
