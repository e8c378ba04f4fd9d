// bfloat16: conversions with their rounding, fused multiply-add, and pairs in one register.

#include <cuda_bf16.h>

// out = round(a * x + y) in bfloat16, from float sources.
extern "C" __global__ void bf16_fma(const float* x, const float* y, __nv_bfloat16* out, float a,
                                    int n) {
    int at = 2 * (blockIdx.x * blockDim.x + threadIdx.x);
    if (at + 1 < n) {
        __nv_bfloat162 pair = __floats2bfloat162_rn(x[at], x[at + 1]);
        __nv_bfloat162 sum = __floats2bfloat162_rn(y[at], y[at + 1]);
        sum = __hfma2(__float2bfloat162_rn(a), pair, sum);
        *reinterpret_cast<__nv_bfloat162*>(out + at) = sum;
    } else if (at < n) {
        out[at] = __hfma(__float2bfloat16(a), __float2bfloat16(x[at]), __float2bfloat16(y[at]));
    }
}

// Six results an element: two roundings of the conversion, then arithmetic on bfloat16 values.
extern "C" __global__ void bf16_ops(const float* x, const float* y, __nv_bfloat16* out, int n) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= n) return;
    __nv_bfloat16 a = __float2bfloat16_rn(x[at]);
    __nv_bfloat16 b = __float2bfloat16_rn(y[at]);
    __nv_bfloat16* to = out + 6 * at;
    to[0] = __float2bfloat16_rz(x[at]);
    to[1] = __hadd(a, b);
    to[2] = __hmul(a, b);
    to[3] = __hmax(a, b);
    to[4] = __hneg(__hsub(a, b));
    to[5] = __hle(a, b) ? __double2bfloat16(__bfloat162float(a) * 0.5) : __int2bfloat16_rn(at);
}
