/* Layer $index: conv2d $kernel_h x $kernel_w, stride $stride, $height x $width x $channels counts of at most $levels_in
   to $height_out x $width_out x $outputs $emitted. */
static void layer$index(const uint8_t *restrict x, $out_type *restrict y)
{
    int16_t unpacked[$inputs * $lanes];
    int16_t count[$inputs + 1] = {0};
    int32_t at[$inputs + 1] = {0};
    const uint8_t *p = weight$index;
    int32_t i, j, row, column, ky, kx, c;

    for (i = 0; i < $inputs; ++i, p += $row_bytes) {
        int16_t *w = unpacked + i * $lanes;

$unpack
    }
    for (row = 0; row < $height_out; ++row)
    for (column = 0; column < $width_out; ++column, y += $outputs) {
        $sum_type sum[$outputs] = {0};
        int32_t active = 0;

        /* The counts of the window that are not zero, listed without a branch. A zero ends them: a
           loop over a number of them would be turned around, to no good. */
        for (ky = 0; ky < $kernel_h; ++ky)
        for (kx = 0; kx < $kernel_w; ++kx) {
            const int32_t in_row = row * $stride + ky - $pad_top;
            const int32_t in_column = column * $stride + kx - $pad_left;

            if (in_row < 0 || in_row >= $height || in_column < 0 || in_column >= $width)
                continue;
            for (c = 0; c < $channels; ++c) {
                at[active] = ((ky * $kernel_w + kx) * $channels + c) * $lanes;
                count[active] = x[(in_row * $width + in_column) * $channels + c];
                active += count[active] != 0;
            }
        }
        count[active] = 0;
        for (i = 0; count[i] != 0; ++i) {
            const int16_t *w = unpacked + at[i];

            AS_LOOP
            for (j = 0; j < $outputs; ++j)
                sum[j] = ($sum_type)(sum[j] + count[i] * w[j]);
        }
        emit$index(sum, y);
    }
}
