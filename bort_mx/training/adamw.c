/* AdamW (Loshchilov & Hutter 2017) in one pass over n weights. Compiled and called by compiled.py.

   w: weights; g: gradients; m, v: means of the gradient and of its square. Each gradient is multiplied by scale first.
   w <- w - rate * (factor * m / (sqrt(v) + epsilon) + decay * w)  */

#include <math.h>
#include <stddef.h>

void adamw(float *restrict w, const float *restrict g, float *restrict m, float *restrict v, size_t n, float scale,
           float beta1, float beta2, float factor, float epsilon, float rate, float decay) {
    for (size_t i = 0; i < n; i++) {
        float gradient = g[i] * scale;
        m[i] = beta1 * m[i] + (1 - beta1) * gradient;
        v[i] = beta2 * v[i] + (1 - beta2) * gradient * gradient;
        w[i] -= rate * (factor * m[i] / (sqrtf(v[i]) + epsilon) + decay * w[i]);
    }
}
