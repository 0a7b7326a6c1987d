/* Replays the golden vectors:

       cc -std=c99 -O3 policy.c test_policy.c -o test_policy && ./test_policy golden.npz

   Leaves with 1 if a readout differs, with 2 if the vectors cannot be read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy.h"

#define INPUTS ${macro}_INPUT_SIZE
#define READOUTS ${macro}_READOUT_SIZE

static void give_up(const char *path, const char *why)
{
    fprintf(stderr, "%s %s\n", path, why);
    exit(2);
}

/* Read on to the end of a text whose first character comes once; false if it is not there. */
static int skip_past(FILE *file, const char *text)
{
    size_t found = 0;
    int c;

    while (text[found] && (c = getc(file)) != EOF)
        found = c == text[found] ? found + 1 : c == text[0];
    return !text[found];
}

/* Open one array at its first number. A plain .npz holds each array as it is, after its name and
   a header of one line that ends with the shape; the shape begins with the number of states. */
static FILE *open_array(const char *path, const char *name, long *states)
{
    FILE *file = fopen(path, "rb");

    if (!file || !skip_past(file, name) || !skip_past(file, "shape': (")
        || fscanf(file, "%ld", states) != 1 || !skip_past(file, "\n"))
        give_up(path, "holds no golden vectors");
    return file;
}

/* A little-endian int64 that fits 32 bits: its low half, for its high half repeats the sign. */
static int32_t read_integer(FILE *file, const char *path)
{
    unsigned char bytes[8];
    uint32_t low;
    int32_t value;

    if (fread(bytes, 1, sizeof bytes, file) != sizeof bytes)
        give_up(path, "ends early");
    low = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    memcpy(&value, &low, sizeof value);
    return value;
}

int main(int argc, char **argv)
{
    static uint8_t input[INPUTS];
    static int32_t readout[READOUTS];
    const char *path = argc > 1 ? argv[1] : "golden.npz";
    long state, states, rows, different = 0;
    FILE *inputs = open_array(path, "inputs.npy", &states);
    FILE *expected = open_array(path, "readout.npy", &rows);

    if (states != rows)
        give_up(path, "holds other readouts than inputs");
    for (state = 0; state < states; ++state) {
        int differs = 0;
        long i;

        if (fread(input, 1, sizeof input, inputs) != sizeof input)
            give_up(path, "ends early");
        ${prefix}_infer(input, readout);
        for (i = 0; i < READOUTS; ++i) {
            const int32_t value = read_integer(expected, path);

            if (value == readout[i])
                continue;
            differs = 1;
            printf("state %ld, readout %ld: got %ld, expected %ld\n", state, i, (long)readout[i],
                   (long)value);
        }
        different += differs;
    }
    printf("%ld states, %ld different\n", states, different);
    return different != 0;
}
