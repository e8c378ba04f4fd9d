// Softmax of each row, one block a row: three passes, warp shuffles, one shared slot a warp.

#include <math_constants.h>

__device__ float block_max(float value, float* slots) {
    for (int step = 16; step > 0; step /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xffffffff, value, step));
    if (threadIdx.x % 32 == 0) slots[threadIdx.x / 32] = value;
    __syncthreads();
    float result = slots[0];
    for (int warp = 1; warp < blockDim.x / 32; warp++) result = fmaxf(result, slots[warp]);
    __syncthreads();
    return result;
}

__device__ float block_sum(float value, float* slots) {
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffff, value, step);
    if (threadIdx.x % 32 == 0) slots[threadIdx.x / 32] = value;
    __syncthreads();
    float result = slots[0];
    for (int warp = 1; warp < blockDim.x / 32; warp++) result += slots[warp];
    __syncthreads();
    return result;
}

extern "C" __global__ void softmax_rows(const float* __restrict__ x, float* __restrict__ y,
                                        int cols, float scale) {
    __shared__ float slots[32];
    const float* from = x + (long long)blockIdx.x * cols;
    float* to = y + (long long)blockIdx.x * cols;

    float peak = -CUDART_INF_F;
    for (int col = threadIdx.x; col < cols; col += blockDim.x)
        peak = fmaxf(peak, from[col] * scale);
    peak = block_max(peak, slots);

    float sum = 0.0f;
    for (int col = threadIdx.x; col < cols; col += blockDim.x)
        sum += expf(from[col] * scale - peak);
    sum = block_sum(sum, slots);

    for (int col = threadIdx.x; col < cols; col += blockDim.x)
        to[col] = expf(from[col] * scale - peak) / sum;
}
