// Block reduction through dynamic shared memory: sum, minimum, maximum and a vote of the block.

#include <math_constants.h>

struct Stats {
    float sum;
    float low;
    float high;
    int negatives;
};

extern "C" __global__ void __launch_bounds__(256)
    block_reduce(const float* x, Stats* stats, int n) {
    extern __shared__ float shared[];
    float* sums = shared;
    float* lows = sums + blockDim.x;
    float* highs = lows + blockDim.x;
    int me = threadIdx.x;

    float sum = 0.0f, low = CUDART_INF_F, high = -CUDART_INF_F;
    int negatives = 0;
    for (int at = blockIdx.x * blockDim.x + me; at < n; at += gridDim.x * blockDim.x) {
        float value = x[at];
        sum += value;
        low = fminf(low, value);
        high = fmaxf(high, value);
        negatives += value < 0.0f;
    }
    sums[me] = sum;
    lows[me] = low;
    highs[me] = high;
    __syncthreads();

    // Any block size: the upper half, rounded up, folds onto the lower one.
    for (int size = blockDim.x; size > 1;) {
        int half = (size + 1) / 2;
        if (me + half < size) {
            sums[me] += sums[me + half];
            lows[me] = fminf(lows[me], lows[me + half]);
            highs[me] = fmaxf(highs[me], highs[me + half]);
        }
        size = half;
        __syncthreads();
    }

    int threads = __syncthreads_count(negatives > 0);
    int every = __syncthreads_and(negatives == 0);
    int some = __syncthreads_or(negatives > 0);
    if (me == 0) {
        Stats result = {sums[0], lows[0], highs[0], every ? 0 : (some ? threads : -1)};
        stats[blockIdx.x] = result;
    }
}
