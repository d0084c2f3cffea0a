/* Relation distillation (MiniLMv2): the loss of relation heads, and its gradient, in one pass over each head.
   Compiled and called by compiled_relations.py.

   A head is s tokens by a few columns of a projection (s, B, 3H). Of head h of sequence b the student's rows x_i have d
   columns, the teacher's t_i have e. Over the first n tokens, those that are not padding:

   loss = mean over i of KL(softmax_j(t_i·t_j/√e) ‖ softmax_j(x_i·x_j/√d))

   Rows are padded to a multiple of LANES. All sums run in LANES parts, so that every processor rounds alike. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define LANES 8
#define LEAST -87.0f /* e to this is about 1e-38; what is smaller counts as this */

/* e^x for LEAST <= x <= 0, relative error below 2e-7: 2^n·e^r, e^r by a polynomial (Cephes). Without a branch, so that
   compilers vectorize it. */
static inline float exponential(float x) {
    int32_t n = (int32_t)(x * 1.44269504f - 0.5f);
    float r = x - (float)n * 0.693359375f + (float)n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    union { int32_t bits; float value; } power;
    power.bits = (n + 127) * (1 << 23);
    return p * power.value;
}

static float sum(const float *restrict values, size_t width) {
    float parts[LANES] = {0}, total = 0;
    for (size_t j = 0; j < width; j += LANES)
        for (size_t k = 0; k < LANES; k++)
            parts[k] += values[j + k];
    for (size_t k = 0; k < LANES; k++)
        total += parts[k];
    return total;
}

/* scores <- scores - max; probabilities <- softmax of the n scores, 0 behind them. Returns the log of the sum. */
static float softmax(float *restrict scores, float *restrict probabilities, size_t n, size_t width) {
    float parts[LANES], largest = scores[0];
    for (size_t k = 0; k < LANES; k++)
        parts[k] = scores[0];
    for (size_t j = 0; j < width; j += LANES)
        for (size_t k = 0; k < LANES; k++)
            parts[k] = scores[j + k] > parts[k] ? scores[j + k] : parts[k];
    for (size_t k = 0; k < LANES; k++)
        largest = parts[k] > largest ? parts[k] : largest;
    for (size_t j = 0; j < width; j++)
        scores[j] -= largest;
    for (size_t j = 0; j < width; j++)
        probabilities[j] = scores[j] < LEAST ? LEAST : scores[j];
    for (size_t j = 0; j < width; j++)
        probabilities[j] = exponential(probabilities[j]);
    for (size_t j = n; j < width; j++)
        probabilities[j] = 0;
    float total = sum(probabilities, width), inverse = 1 / total;
    for (size_t j = 0; j < width; j++)
        probabilities[j] *= inverse;
    return logf(total);
}

/* columns[k][j] <- row j, column k of a head; 0 behind its n rows. */
static void turned(const float *restrict head, size_t stride, size_t n, size_t width, size_t size,
                   float *restrict columns) {
    for (size_t k = 0; k < size; k++)
        for (size_t j = 0; j < width; j++)
            columns[k * width + j] = j < n ? head[j * stride + k] : 0;
}

/* scores[j] <- factor * row·(row j) for all j. Padding gets the score of row 0, so that it changes no maximum. */
static void products(const float *restrict row, const float *restrict columns, float factor, size_t n, size_t width,
                     size_t size, float *restrict scores) {
    for (size_t j = 0; j < width; j++)
        scores[j] = 0;
    for (size_t k = 0; k < size; k++) {
        float value = row[k] * factor;
        for (size_t j = 0; j < width; j++)
            scores[j] += value * columns[k * width + j];
    }
    for (size_t j = n; j < width; j++)
        scores[j] = scores[0];
}

/* Heads begin to end, counted b·heads + h. student (s, B, heads·d) and teacher (s, B, heads·e), lengths (B).
   losses (B·heads) and gradient, of the student's shape, are written; padding's gradient is left as it is.
   Returns 1 if there is no memory, else 0. */
int relations(const float *restrict student, const float *restrict teacher, const float *restrict lengths, size_t s,
              size_t B, size_t heads, size_t d, size_t e, size_t begin, size_t end, float *restrict losses,
              float *restrict gradient) {
    size_t most = (s + LANES - 1) / LANES * LANES;
    float *memory = malloc((most * (most + 2 * d + e + 3)) * sizeof(float));
    if (memory == NULL)
        return 1;
    float *errors = memory, *x = errors + most * most, *gx = x + most * d, *t = gx + most * d, *scores = t + most * e;
    float *targets = scores + most, *logs = targets + most;
    for (size_t number = begin; number < end; number++) {
        size_t b = number / heads, h = number % heads, n = (size_t)lengths[b];
        size_t width = (n + LANES - 1) / LANES * LANES, stride = B * heads * d, theirs = B * heads * e;
        const float *own = student + b * heads * d + h * d, *other = teacher + b * heads * e + h * e;
        turned(own, stride, n, width, d, x);
        turned(other, theirs, n, width, e, t);
        float total = 0, scale = 1 / sqrtf((float)d), teachers = 1 / sqrtf((float)e);
        for (size_t i = 0; i < n; i++) {
            float *error = errors + i * width;
            products(other + i * theirs, t, teachers, n, width, e, logs);
            float entropy = softmax(logs, targets, n, width);
            products(own + i * stride, x, scale, n, width, d, scores);
            float cross = softmax(scores, error, n, width);
            for (size_t j = 0; j < width; j++)
                logs[j] = targets[j] * ((logs[j] - scores[j]) - (entropy - cross));
            total += sum(logs, width);
            for (size_t j = 0; j < width; j++)
                error[j] -= targets[j];
        }
        losses[number] = total / (float)n;
        /* The score of i and j depends on both rows: x_j's gradient is the sum over i of (error_ij + error_ji)·x_i. */
        for (size_t k = 0; k < d * width; k++)
            gx[k] = 0;
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < n; j++)
                scores[j] = errors[i * width + j] + errors[j * width + i];
            for (size_t k = 0; k < d; k++) {
                float value = own[i * stride + k];
                for (size_t j = 0; j < n; j++)
                    gx[k * width + j] += value * scores[j];
            }
        }
        float share = scale / (float)n;
        for (size_t j = 0; j < n; j++)
            for (size_t k = 0; k < d; k++)
                gradient[b * heads * d + h * d + j * stride + k] = gx[k * width + j] * share;
    }
    free(memory);
    return 0;
}
