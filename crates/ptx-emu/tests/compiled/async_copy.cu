// Asynchronous copies into shared memory, two stages deep: out = running sum over the tiles.

#include <cuda_pipeline_primitives.h>

constexpr int THREADS = 64;

extern "C" __global__ void __launch_bounds__(THREADS)
    tile_sum(const float4* x, float4* out, int tiles) {
    __shared__ float4 stages[2][THREADS];
    int me = threadIdx.x;
    __pipeline_memcpy_async(&stages[0][me], &x[me], sizeof(float4));
    __pipeline_commit();
    float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    for (int tile = 0; tile < tiles; tile++) {
        if (tile + 1 < tiles)
            __pipeline_memcpy_async(&stages[(tile + 1) % 2][me], &x[(tile + 1) * THREADS + me],
                                    sizeof(float4));
        __pipeline_commit();
        __pipeline_wait_prior(1);
        __syncthreads();
        // Another thread's element, so that the barrier matters.
        float4 value = stages[tile % 2][THREADS - 1 - me];
        sum = make_float4(sum.x + value.x, sum.y + value.y, sum.z + value.z, sum.w + value.w);
        __syncthreads();
    }
    out[me] = sum;
}
