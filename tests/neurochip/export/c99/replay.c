/* Runs one of several policies: their number, input size and readout size are the arguments. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/*DECLARED*/
static void (*const policies[])(const uint8_t *, int32_t *) = {/*LISTED*/};

int main(int argc, char **argv)
{
    const size_t inputs = argc > 3 ? (size_t)atoi(argv[2]) : 0;
    const size_t readouts = argc > 3 ? (size_t)atoi(argv[3]) : 0;
    uint8_t *input = malloc(inputs);
    int32_t *readout = malloc(readouts * sizeof *readout);

    while (input && readout && fread(input, 1, inputs, stdin) == inputs) {
        policies[atoi(argv[1])](input, readout);
        fwrite(readout, sizeof *readout, readouts, stdout);
    }
    free(input);
    free(readout);
    return 0;
}
