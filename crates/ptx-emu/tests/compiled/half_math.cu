// Half arithmetic: pairs with a scalar tail, comparisons, conversions and a half dot product.

#include <cuda_fp16.h>

// y = relu(a * x + y), two elements a thread.
extern "C" __global__ void half_axpy(const __half* x, __half* y, float a, int n) {
    int at = 2 * (blockIdx.x * blockDim.x + threadIdx.x);
    __half scale = __float2half(a);
    if (at + 1 < n) {
        __half2 pair = *reinterpret_cast<const __half2*>(x + at);
        __half2 sum = *reinterpret_cast<__half2*>(y + at);
        sum = __hfma2(__half2half2(scale), pair, sum);
        *reinterpret_cast<__half2*>(y + at) = __hmax2(sum, __float2half2_rn(0.0f));
    } else if (at < n) {
        __half sum = __hfma(scale, x[at], y[at]);
        y[at] = __hgt(sum, __float2half(0.0f)) ? sum : __float2half(0.0f);
    }
}

// Eight results an element, so that each operation is seen alone.
extern "C" __global__ void half_ops(const __half* x, const __half* y, __half* out, int n) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= n) return;
    __half a = x[at], b = y[at];
    __half* to = out + 8 * at;
    to[0] = __hadd(a, b);
    to[1] = __hsub(a, b);
    to[2] = __hmul(a, b);
    to[3] = __hdiv(a, b);
    to[4] = __hmin(__habs(a), __hneg(b));
    to[5] = hsqrt(__habs(a));
    to[6] = __int2half_rn(__half2int_rz(a) + __half2int_rn(b));
    to[7] = __hlt(a, b) ? __low2half(__halves2half2(a, b)) : __high2half(__halves2half2(a, b));
}

extern "C" __global__ void half_exp(const __half* x, float* out, int n) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= n) return;
    out[2 * at] = __half2float(hexp(x[at]));
    out[2 * at + 1] = __half2float(h2exp2(__half2half2(x[at])).y);
}
