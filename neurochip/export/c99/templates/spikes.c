static void emit$index(const $sum_type *restrict sum, uint8_t *restrict y)
{
    int32_t j;

    AS_LOOP
    for (j = 0; j < $outputs; ++j) {
        const $v_type th = threshold$index[j];
        $v_type v = ($v_type)sum[j] * $one + offset$index[j];
        int32_t count = 0;

$division
        y[j] = (uint8_t)$count;
    }
}
