/* Layer $index: dense, $inputs counts of at most $levels_in to $outputs $emitted. */
static void layer$index(const uint8_t *restrict x, $out_type *restrict y)
{
    $sum_type sum[$outputs] = {0};
    int16_t w[$lanes];
    const uint8_t *p = weight$index;
    int32_t i, j;

    for (i = 0; i < $inputs; ++i, p += $row_bytes) {
        const int16_t count = x[i];

        if (count == 0)
            continue;
$unpack
        AS_LOOP
        for (j = 0; j < $outputs; ++j)
            sum[j] = ($sum_type)(sum[j] + count * w[j]);
    }
    emit$index(sum, y);
}
