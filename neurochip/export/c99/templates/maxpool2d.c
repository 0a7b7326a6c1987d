/* Layer $index: maxpool2d $kernel_h x $kernel_w, stride $stride, $height x $width x $channels counts
   to $height_out x $width_out x $channels. */
static void layer$index(const uint8_t *restrict x, uint8_t *restrict y)
{
    int32_t row, column, ky, kx, c;

    for (row = 0; row < $height_out; ++row)
    for (column = 0; column < $width_out; ++column, y += $channels) {
        for (c = 0; c < $channels; ++c)
            y[c] = 0;
        for (ky = 0; ky < $kernel_h; ++ky)
        for (kx = 0; kx < $kernel_w; ++kx) {
            const int32_t in_row = row * $stride + ky - $pad_top;
            const int32_t in_column = column * $stride + kx - $pad_left;
            const uint8_t *pixel;

            if (in_row < 0 || in_row >= $height || in_column < 0 || in_column >= $width)
                continue;
            pixel = x + (in_row * $width + in_column) * $channels;
            AS_LOOP
            for (c = 0; c < $channels; ++c)
                y[c] = pixel[c] > y[c] ? pixel[c] : y[c];
        }
    }
}
