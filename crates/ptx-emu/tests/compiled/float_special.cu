// Special functions of a float; built with and without fast arithmetic.

// Twelve results an element; x is positive and y has either sign.
extern "C" __global__ void specials(const float* x, const float* y, float* out, int n) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= n) return;
    float a = x[at], b = y[at];
    float* to = out + 12 * at;
    to[0] = expf(b);
    to[1] = logf(a);
    to[2] = sqrtf(a);
    to[3] = rsqrtf(a);
    to[4] = tanhf(b);
    to[5] = sinf(b);
    to[6] = cosf(b);
    to[7] = b / a;
    to[8] = powf(a, b * 0.125f);
    to[9] = 1.0f / a;
    to[10] = log1pf(a) + exp2f(b);
    to[11] = erff(b);
}

// Rounding to integers, bits and signs: exact whatever the flags.
extern "C" __global__ void roundings(const float* y, int* out, int n) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= n) return;
    float b = y[at];
    int* to = out + 8 * at;
    to[0] = (int)floorf(b);
    to[1] = (int)ceilf(b);
    to[2] = (int)b;
    to[3] = __float2int_rn(b);
    to[4] = (int)roundf(b);
    to[5] = __float_as_int(copysignf(1.5f, b));
    to[6] = (int)(unsigned)fabsf(b) + (int)(long long)b;
    int odd = (isnan(b) ? 1 : 0) + (isinf(b) ? 2 : 0);
    to[7] = odd + (signbit(b) ? 4 : 0) + (b == rintf(b) ? 8 : 0);
}
