// Warp shuffles: one warp sums a row of floats, and one warp scans 32 integers.

#include <math_constants.h>

extern "C" __global__ void row_sum(const float* x, float* sums, float* peaks, int rows, int cols) {
    int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    int lane = threadIdx.x % 32;
    if (row >= rows) return;

    float sum = 0.0f;
    float peak = -CUDART_INF_F;
    for (int col = lane; col < cols; col += 32) {
        float value = x[row * cols + col];
        sum += value;
        peak = fmaxf(peak, value);
    }
    for (int step = 16; step > 0; step /= 2) {
        sum += __shfl_down_sync(0xffffffff, sum, step);
        peak = fmaxf(peak, __shfl_xor_sync(0xffffffff, peak, step));
    }
    if (lane == 0) {
        sums[row] = sum;
        peaks[row] = __shfl_sync(1, peak, 0);
    }
}

// scan[i] = x[0] + .. + x[i] within each warp; stats = sum, min, max, and, or, xor of the warp.
extern "C" __global__ void warp_scan(const int* x, int* scan, int* stats) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    int lane = threadIdx.x % 32;
    int value = x[at];

    int sum = value;
    for (int step = 1; step < 32; step *= 2) {
        int below = __shfl_up_sync(0xffffffff, sum, step);
        if (lane >= step) sum += below;
    }
    scan[at] = sum;

    int total = __reduce_add_sync(0xffffffff, value);
    int low = __reduce_min_sync(0xffffffff, value);
    int high = __reduce_max_sync(0xffffffff, value);
    unsigned both = __reduce_and_sync(0xffffffff, (unsigned)value);
    unsigned any = __reduce_or_sync(0xffffffff, (unsigned)value);
    unsigned odd = __reduce_xor_sync(0xffffffff, (unsigned)value);
    // The width argument splits the warp: each group of 8 lanes reads its own lane 3.
    int third = __shfl_sync(0xffffffff, value, 3, 8);
    int* mine = stats + at * 7;
    mine[0] = total;
    mine[1] = low;
    mine[2] = high;
    mine[3] = (int)both;
    mine[4] = (int)any;
    mine[5] = (int)odd;
    mine[6] = third;
}
