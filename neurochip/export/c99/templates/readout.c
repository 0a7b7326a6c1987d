static void emit$index(const $sum_type *restrict sum, int32_t *restrict y)
{
    int32_t j;

    AS_LOOP
    for (j = 0; j < $outputs; ++j)
        y[j] = (int32_t)(sum[j] + bias$index[j]);
}
